//! The vocabulary of *what was seen*: samples, measurements, reasons, verdicts.

mod measure;
mod measurements;
mod measures;
mod reason;
mod stable;
mod verdict;
mod words;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::target::ProbeKind;

pub use measure::{Evidence, Kind, Measure, Stability, Unit};
pub use measurements::{Measurements, Path, Segment};
pub use measures::{find as find_measure, measures};
pub use reason::{Reason, Unknown};
pub use verdict::{Breach, Doubt, Judgement, RuleFacts, Severity, Verdict};
pub use words::{PLACEHOLDERS, clean, in_short, span_in_words, steers};

/// One run of a probe at a sampling point.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The target's name.
    pub target: Arc<str>,
    /// The way it was looked at.
    pub probe: ProbeKind,
    /// The address sampled; `None` for ports and dns.
    pub address: Option<IpAddr>,
    /// When the sample began.
    pub taken_at: DateTime<Utc>,
    /// How long it took.
    pub duration: Duration,
    /// Connections begun, or queries asked.
    pub connections: u32,
    /// Why it was taken.
    pub cause: Cause,
    /// The plan's slot it was taken for; scheduled samples only.
    pub slot: Option<i64>,
    /// From where.
    pub vantage: Arc<str>,
    /// What was seen.
    pub outcome: Outcome,
}

/// What a sample came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Something was measured; single facts may still be unknown.
    Measured(Measurements),
    /// Nothing was, for this reason.
    Unknown(Unknown),
}

impl Sample {
    /// The measurements, if there are any.
    pub fn measurements(&self) -> Option<&Measurements> {
        match &self.outcome {
            Outcome::Measured(measurements) => Some(measurements),
            Outcome::Unknown(_) => None,
        }
    }

    /// Whether the sample did not look at this measurement (its dotted path), but states what earlier
    /// ones have shown: then it is no observation of it.
    pub fn recalls(&self, measure: &str) -> bool {
        let recalled = self.measurements().and_then(|facts| facts.fact("recalled"));
        let Some(recalled) = recalled.and_then(|list| list.as_array()) else { return false };
        let fact = measure.split(['.', '[']).nth(1).unwrap_or_default();
        recalled.iter().any(|key| key.as_str() == Some(fact))
    }

    /// Why nothing was measured.
    pub fn unknown(&self) -> Option<&Unknown> {
        match &self.outcome {
            Outcome::Measured(_) => None,
            Outcome::Unknown(unknown) => Some(unknown),
        }
    }

    /// The sample as CONTRACT §Output writes it, with the verdict that rules gave it.
    pub fn to_json(&self, verdict: Verdict) -> serde_json::Value {
        serde_json::to_value(SampleJson { sample: self, verdict }).unwrap_or_default()
    }
}

struct SampleJson<'a> {
    sample: &'a Sample,
    verdict: Verdict,
}

impl Serialize for SampleJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sample = self.sample;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("target", &sample.target)?;
        map.serialize_entry("probe", &sample.probe)?;
        map.serialize_entry("address", &sample.address)?;
        map.serialize_entry(
            "taken_at",
            &sample.taken_at.to_rfc3339_opts(SecondsFormat::Millis, true),
        )?;
        map.serialize_entry("duration_seconds", &sample.duration.as_secs_f64())?;
        map.serialize_entry("connections", &sample.connections)?;
        map.serialize_entry("cause", &sample.cause)?;
        map.serialize_entry("slot", &sample.slot)?;
        map.serialize_entry("vantage", &sample.vantage)?;
        map.serialize_entry("verdict", &self.verdict)?;
        match &sample.outcome {
            Outcome::Measured(measurements) => map.serialize_entry("measurements", measurements)?,
            Outcome::Unknown(unknown) => {
                map.serialize_entry("unknown_reason", &unknown.to_string())?;
                map.serialize_entry("measurements", &serde_json::Map::new())?;
            }
        }
        map.end()
    }
}

/// Why a sample was taken. Statistics use scheduled ones only.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// After a deployment was marked.
    Deploy,
    /// By hand: `check`, or the API.
    Manual,
    /// Asked by `/probe`.
    Probe,
    /// To measure the share and spread of a breach.
    Repeat,
    /// By the plan.
    Scheduled,
}
