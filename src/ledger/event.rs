//! Events: everything that ever changed, each with a type and a version.
//!
//! One commit's events are recorded as JSON lines. Recorded bytes are never rewritten: what an older
//! release wrote is brought up to date by [`upcast`] as it is read.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entry::SampleEntry;
use super::outbox::Ack;
use super::{LedgerError, bytes};
use crate::finding::{Exception, Finding, FindingState};
use crate::target::{Labels, PointKey, ProbeKind};

/// Something that changed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A receiver accepted or refused alerts.
    AlertsAcknowledged {
        /// The receiver's name.
        receiver: String,
        /// Its answers.
        acks: Vec<Ack>,
    },
    /// Somebody accepted what a point shows as its past.
    BaselineAccepted {
        /// When.
        at: DateTime<Utc>,
        /// The token's or the person's name.
        actor: String,
        /// The target.
        target: Arc<str>,
        /// The probe.
        probe: ProbeKind,
        /// The address; `None` for ports and dns.
        address: Option<IpAddr>,
        /// What was accepted.
        value: Value,
    },
    /// A config was loaded; its exceptions replace those of the one before.
    ConfigLoaded {
        /// When.
        at: DateTime<Utc>,
        /// The config's SHA-256 in hex, or another mark of its content.
        digest: String,
        /// The exceptions that it holds.
        exceptions: Vec<Exception>,
    },
    /// A deployment was marked.
    DeploymentMarked {
        /// When.
        at: DateTime<Utc>,
        /// The token's or the person's name.
        actor: String,
        /// Labels that choose the targets, such as `service`; `target` chooses by name.
        labels: Labels,
        /// What was deployed.
        version: String,
    },
    /// Evidence grew old. Written by the ledger.
    EvidenceAged {
        /// Days before this Monday, counted from 1970-01-01, are added up by week.
        weeks_before: i64,
        /// What is older than this day is forgotten.
        dropped_before: i64,
    },
    /// An exception was taken back.
    ExceptionEnded {
        /// When.
        at: DateTime<Utc>,
        /// The token's or the person's name.
        actor: String,
        /// Its rule.
        rule: String,
        /// Its target or glob.
        target: String,
        /// Its subject.
        subject: Option<String>,
    },
    /// A risk was accepted.
    ExceptionMade {
        /// When.
        at: DateTime<Utc>,
        /// The token's or the person's name.
        actor: String,
        /// The exception.
        exception: Exception,
    },
    /// A finding's life went on, or what it tells changed. Written by the ledger.
    FindingChanged {
        /// The finding's number in this ledger.
        number: i64,
        /// Whether its state changed.
        stepped: bool,
        /// The state before; `None` at birth.
        from: Option<FindingState>,
        /// When.
        at: DateTime<Utc>,
        /// The finding after it, in full.
        finding: Box<Finding>,
    },
    /// A finding was ended by hand. The ledger adds the transition.
    FindingWithdrawn {
        /// When.
        at: DateTime<Utc>,
        /// The token's or the person's name.
        actor: String,
        /// The finding's id.
        id: String,
    },
    /// A point is sampled for the first time, or is described otherwise. Written by the ledger.
    PointDescribed {
        /// The point's number in this ledger.
        number: i64,
        /// The target.
        target: Arc<str>,
        /// The probe.
        probe: ProbeKind,
        /// The address; `None` for ports and dns.
        address: Option<IpAddr>,
        /// The target's labels.
        labels: Arc<Labels>,
        /// The plan's name.
        plan: Arc<str>,
        /// How old its last known fact may be, in milliseconds.
        freshness: i64,
        /// The plan's longest regular time between two samples, in milliseconds; nought in what an
        /// earlier release wrote.
        #[serde(default, skip_serializing_if = "is_nought")]
        interval: i64,
    },
    /// Points are sampled no more. The ledger adds the withdrawals of their findings.
    PointsWithdrawn {
        /// When.
        at: DateTime<Utc>,
        /// `target_removed`, `address_gone` or `port_closed`.
        note: String,
        /// Who.
        points: Vec<PointKey>,
    },
    /// A content was erased; its digest stays in the chain.
    Redacted {
        /// When.
        at: DateTime<Utc>,
        /// The token's or the person's name.
        actor: String,
        /// The content's SHA-256 in hex.
        digest: String,
        /// Why.
        reason: String,
    },
    /// A rule is held for the first time, or with another range. Written by the ledger.
    RuleDescribed {
        /// The number of this rule with this range in this ledger.
        number: i64,
        /// Its id.
        rule: Arc<str>,
        /// The measurement's dotted path.
        measure: Arc<str>,
        /// The range in words.
        range: Arc<str>,
    },
    /// Rules are judged no more. The ledger adds the withdrawals of their findings.
    RulesRemoved {
        /// When.
        at: DateTime<Utc>,
        /// Their ids.
        rules: Vec<String>,
    },
    /// The rules that ship are others than before: a new release brought or changed some.
    RulesShipped {
        /// When.
        at: DateTime<Utc>,
        /// Every shipped rule's id, with a mark of what it asks.
        marks: BTreeMap<Arc<str>, String>,
    },
    /// Samples in the order they were recorded. Written by the ledger.
    Samples {
        /// The first one's id; the others follow by one.
        first: i64,
        /// The samples.
        samples: Vec<SampleEntry>,
    },
    /// Samples that could not be written and are lost. Written by the ledger.
    SamplesLost {
        /// How many.
        count: u64,
    },
    /// A segment ended. Written by the ledger.
    SegmentClosed {
        /// The segment.
        segment: i64,
        /// Its last commit.
        last: i64,
        /// That commit's hash.
        #[serde(with = "bytes")]
        head: Vec<u8>,
        /// SHA-256 of the checkpoint taken there.
        #[serde(with = "bytes")]
        checkpoint: Vec<u8>,
    },
    /// Segments left for good, their last included. Written by the ledger.
    SegmentsDropped {
        /// The last of them.
        through: i64,
    },
    /// Something was said of a sample that was never said before. Written by the ledger.
    SheetDescribed {
        /// The sheet's number in this ledger.
        number: i64,
        /// Four times the number of a rule that applied, plus 0 in range, 1 out of range, 2 unknown.
        said: Vec<i64>,
    },
    /// The daemon started.
    Started {
        /// When.
        at: DateTime<Utc>,
        /// Secchi's version.
        version: String,
    },
    /// The daemon stopped in order.
    Stopped {
        /// When.
        at: DateTime<Utc>,
    },
}

impl Event {
    /// When it happened, if it says so.
    pub fn at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::AlertsAcknowledged { acks, .. } => acks.iter().map(|ack| ack.at).max(),
            Self::BaselineAccepted { at, .. }
            | Self::ConfigLoaded { at, .. }
            | Self::DeploymentMarked { at, .. }
            | Self::ExceptionEnded { at, .. }
            | Self::ExceptionMade { at, .. }
            | Self::FindingChanged { at, .. }
            | Self::FindingWithdrawn { at, .. }
            | Self::PointsWithdrawn { at, .. }
            | Self::Redacted { at, .. }
            | Self::RulesRemoved { at, .. }
            | Self::RulesShipped { at, .. }
            | Self::Started { at, .. }
            | Self::Stopped { at } => Some(*at),
            Self::Samples { samples, .. } => samples
                .iter()
                .map(|sample| sample.at)
                .max()
                .and_then(DateTime::from_timestamp_millis),
            _ => None,
        }
    }

    /// Whether only the ledger itself may write it.
    pub(super) fn is_internal(&self) -> bool {
        matches!(
            self,
            Self::EvidenceAged { .. }
                | Self::FindingChanged { .. }
                | Self::PointDescribed { .. }
                | Self::RuleDescribed { .. }
                | Self::Samples { .. }
                | Self::SamplesLost { .. }
                | Self::SegmentClosed { .. }
                | Self::SegmentsDropped { .. }
                | Self::SheetDescribed { .. }
        )
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_nought(number: &i64) -> bool {
    *number == 0
}

/// Events as they are recorded: one JSON object a line, each with its version.
pub(super) fn encode(events: &[Event]) -> Result<Vec<u8>, LedgerError> {
    #[derive(Serialize)]
    struct Versioned<'a> {
        v: u32,
        #[serde(flatten)]
        event: &'a Event,
    }
    let mut text = Vec::with_capacity(events.len() * 256);
    for event in events {
        serde_json::to_writer(&mut text, &Versioned { v: VERSION, event })
            .map_err(|error| LedgerError::Event(error.to_string()))?;
        text.push(b'\n');
    }
    Ok(text)
}

/// Reads what [`encode`] of this or an earlier release wrote.
pub(super) fn decode(text: &[u8]) -> Result<Vec<Event>, LedgerError> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let fault = |error: serde_json::Error| LedgerError::Event(error.to_string());
            let head: Head<'_> = serde_json::from_slice(line).map_err(fault)?;
            if head.v == VERSION {
                return serde_json::from_slice(line).map_err(fault);
            }
            let value = serde_json::from_slice(line).map_err(fault)?;
            let value = upcast(UPCASTERS, VERSION, &head.kind, head.v, value)?;
            serde_json::from_value(value).map_err(fault)
        })
        .collect()
}

#[derive(Deserialize)]
struct Head<'a> {
    v: u32,
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
}

/// One step from a version of an event to the next.
type Upcaster = (&'static str, u32, fn(Value) -> Value);

/// Brings an event of an older version up to date, a version at a time.
fn upcast(
    table: &[Upcaster],
    newest: u32,
    kind: &str,
    version: u32,
    mut value: Value,
) -> Result<Value, LedgerError> {
    if version > newest || version == 0 {
        return Err(LedgerError::Event(format!(
            "`{kind}` has version {version}, newer than known"
        )));
    }
    for from in version..newest {
        if let Some((.., step)) = table.iter().find(|(k, v, _)| *k == kind && *v == from) {
            value = step(value);
        }
    }
    Ok(value)
}

/// The version of all events that this release writes. It grows when any of them changes.
const VERSION: u32 = 1;

/// What changed between versions, by event type. Nothing has yet.
const UPCASTERS: &[Upcaster] = &[];

/// The exceptions' identity in the ledger.
pub(super) fn exception_key(rule: &str, target: &str, subject: Option<&str>) -> String {
    serde_json::json!([rule, target, subject]).to_string()
}

/// A deployment as the projections keep it.
pub(super) fn deployment_text(at: DateTime<Utc>, actor: &str, version: &str) -> String {
    let mut text = BTreeMap::new();
    text.insert("at", at.to_rfc3339());
    text.insert("actor", actor.to_owned());
    text.insert("version", version.to_owned());
    serde_json::to_string(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_read_back_as_written() {
        let at = DateTime::from_timestamp_millis(1_800_000_000_123).expect("a time");
        let events = vec![
            Event::Started { at, version: "0.1.0".into() },
            Event::SegmentClosed { segment: 1, last: 9, head: vec![1, 2], checkpoint: vec![255] },
            Event::Samples {
                first: 7,
                samples: vec![SampleEntry { point: 3, at: 5, ..SampleEntry::default() }],
            },
        ];
        let text = encode(&events).expect("text");
        assert_eq!(decode(&text).expect("events"), events);
        assert!(text.starts_with(br#"{"v":1,"type":"started""#));
    }

    #[test]
    fn an_event_of_a_newer_release_is_refused() {
        let text = br#"{"v":99,"type":"stopped","at":"2027-01-01T00:00:00Z"}"#;
        assert!(matches!(decode(text), Err(LedgerError::Event(_))));
        assert!(decode(br#"{"v":1,"type":"brand_new"}"#).is_err());
    }

    #[test]
    fn an_event_is_brought_up_a_version_at_a_time() {
        let table: &[Upcaster] = &[
            ("stopped", 1, |mut value| {
                value["when"] = value["time"].take();
                value
            }),
            ("stopped", 2, |mut value| {
                value["at"] = value["when"].take();
                value
            }),
        ];
        let old = serde_json::json!({"time": "x"});
        let new = upcast(table, 3, "stopped", 1, old.clone()).expect("a value");
        assert_eq!(new["at"], "x");
        assert_eq!(upcast(table, 3, "started", 1, old.clone()).expect("a value"), old);
        assert!(upcast(table, 3, "stopped", 4, old).is_err());
    }
}
