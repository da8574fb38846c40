//! What the ledger promises, through its public face.

mod evidence;
mod full;
mod outbox;
mod retention;
mod speed;
mod whole;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::Connection;
use serde_json::json;

use super::schema::FILE;
use super::*;
use crate::finding::{FindingState, Policy};
use crate::sample::{
    Breach, Cause, Evidence, Judgement, Measurements, Outcome, Reason, RuleFacts, Sample, Severity,
    Verdict,
};
use crate::target::{Labels, PointKey, ProbeKind};
use crate::telemetry::Metrics;

const TARGET: &str = "shop.example.com";

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
}

fn options(dir: &Path) -> Options {
    Options {
        dir: Some(dir.to_owned()),
        external_url: Some("https://secchi.example.com/".into()),
        linger: Duration::ZERO,
        ..Options::default()
    }
}

fn open(options: Options) -> Ledger {
    open_at(options, 0)
}

fn open_at(options: Options, seconds: i64) -> Ledger {
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    Ledger::open(options, metrics, at(seconds)).expect("a ledger")
}

/// A sample of the versions that a server offers; TLSv1.0 is out of range.
fn sample(seconds: i64, versions: &[&str]) -> Record {
    sample_of(TARGET, seconds, Some(versions))
}

fn unknown(seconds: i64) -> Record {
    sample_of(TARGET, seconds, None)
}

fn sample_of(target: &str, seconds: i64, versions: Option<&[&str]>) -> Record {
    let old: Vec<&&str> = versions.unwrap_or(&[]).iter().filter(|v| **v != "TLSv1.3").collect();
    let breaches: Vec<Breach> = old
        .iter()
        .map(|version| Breach {
            subject: (**version).into(),
            measured: json!(versions),
            evidence: "offered\u{1b}[31m".into(),
            shown: Evidence::Shown,
        })
        .collect();
    let verdict = match versions {
        None => Verdict::Unknown,
        Some(_) if breaches.is_empty() => Verdict::InRange,
        Some(_) => Verdict::OutOfRange,
    };
    let outcome = match versions {
        None => Outcome::Unknown(Reason::Timeout.into()),
        Some(versions) => {
            let mut measurements = Measurements::new();
            measurements.set("versions", versions);
            measurements.set("handshake_seconds", 0.25);
            measurements.set_unknown("groups", Reason::NotObserved);
            Outcome::Measured(measurements)
        }
    };
    Record {
        judgements: vec![Judgement { rule: rule(), verdict, breaches, doubts: vec![] }],
        sample: Sample {
            target: target.into(),
            probe: ProbeKind::Tls,
            address: "192.0.2.1".parse().ok(),
            taken_at: at(seconds) + TimeDelta::microseconds(1234),
            duration: Duration::from_millis(250),
            connections: 3,
            cause: Cause::Scheduled,
            slot: Some(seconds / 60),
            vantage: "local".into(),
            outcome,
        },
        verdict,
        labels: Arc::new(Labels::from([
            ("service".into(), "shop".into()),
            ("team".into(), "checkout".into()),
        ])),
        policy: Policy::default(),
        memory: None,
        memory_before: Memory::NO_MARK,
        plan: "fast".into(),
        freshness: Duration::from_secs(3600),
        interval: Duration::from_secs(60),
        due: 1,
    }
}

fn rule() -> Arc<RuleFacts> {
    Arc::new(RuleFacts {
        id: "tls-legacy-protocol".into(),
        severity: Severity::Medium,
        measure: "tls.versions".into(),
        range: "none of TLSv1.0".into(),
        summary: "Old protocol versions are offered".into(),
        remedy: "Switch them off.".into(),
        controls: Arc::default(),
        hold: Duration::ZERO,
    })
}

fn key(target: &str) -> PointKey {
    PointKey::new(target, ProbeKind::Tls, "192.0.2.1".parse().ok())
}

fn states(ledger: &Ledger) -> Vec<FindingState> {
    let filter = FindingFilter { limit: 100, ..FindingFilter::default() };
    ledger.findings(&filter).expect("findings").iter().map(|finding| finding.state).collect()
}

/// Holds a ledger to the chain and to a replay of its events.
fn assert_whole(dir: &Path) -> Report {
    let report = verify(dir).expect("a report");
    assert!(report.is_whole(), "{:#?}", report.faults);
    report
}

/// The store as another program would change it.
fn meddle(dir: &Path, sql: &str) {
    let db = Connection::open(dir.join(FILE)).expect("the store");
    assert!(db.execute(sql, []).expect("a change") > 0, "nothing was changed by {sql}");
}
