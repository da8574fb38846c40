//! The only finding that an unknown opens: the last known fact is too old (DESIGN §4.7).

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::Value;

use super::{Change, Exception, Finding, FindingKey, FindingState, Look, Move, Policy, step};
use crate::sample::{Breach, Cause, Evidence, Judgement, RuleFacts, Severity, Verdict};
use crate::target::{Labels, ProbeKind};

/// How fresh a target is, as one probe knows it: the stalest of its sampling points.
#[derive(Clone, Debug)]
pub struct Freshness<'a> {
    /// The target's name.
    pub target: &'a Arc<str>,
    /// The probe.
    pub probe: ProbeKind,
    /// The target's labels.
    pub labels: &'a Arc<Labels>,
    /// The last known fact; `None` if there never was one.
    pub last_known: Option<DateTime<Utc>>,
    /// Since when it has been sampled.
    pub since: DateTime<Utc>,
    /// How old the last known fact may be.
    pub limit: Duration,
}

impl Freshness<'_> {
    fn is_stale(&self, now: DateTime<Utc>) -> bool {
        let limit = TimeDelta::from_std(self.limit).unwrap_or(TimeDelta::MAX);
        now.signed_duration_since(self.last_known.unwrap_or(self.since)) > limit
    }
}

/// The id of a probe's staleness rule.
pub fn stale_rule(probe: ProbeKind) -> &'static str {
    match probe {
        ProbeKind::Tls => "tls-stale",
        ProbeKind::Http => "http-stale",
        ProbeKind::Ports => "ports-stale",
        ProbeKind::Dns => "dns-stale",
    }
}

/// Opens the finding when the last known fact is older than the limit, and resolves it when it no
/// longer is. One finding a target and probe, without address.
pub fn step_stale(
    open: Option<&Finding>,
    fresh: &Freshness<'_>,
    exceptions: &[Exception],
    now: DateTime<Utc>,
) -> Option<Change> {
    let stale = fresh.is_stale(now);
    match open {
        None if stale => open_stale(fresh, exceptions, now),
        Some(finding) if !stale && finding.state.is_open() => {
            let from = Some(finding.state);
            let mut finding = finding.clone();
            finding.last_judged = finding.last_judged.max(now);
            finding.state = FindingState::Resolved;
            finding.ended_at = Some(finding.last_judged);
            Some(Change { finding, step: Move::Stepped { from } })
        }
        Some(finding) if stale && finding.state == FindingState::Excepted => {
            let key: &FindingKey = &finding.key;
            if Exception::find(exceptions, key, now).is_some() {
                return None;
            }
            let mut finding = finding.clone();
            finding.last_judged = finding.last_judged.max(now);
            finding.state = FindingState::Confirmed;
            finding.confirmed_at = Some(finding.last_judged);
            finding.excepted_until = None;
            finding.note = None;
            Some(Change { finding, step: Move::Stepped { from: Some(FindingState::Excepted) } })
        }
        _ => None,
    }
}

fn open_stale(
    fresh: &Freshness<'_>,
    exceptions: &[Exception],
    now: DateTime<Utc>,
) -> Option<Change> {
    let known = fresh.last_known.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    let evidence = match &known {
        Some(at) => format!("nothing could be measured since {at}"),
        None => format!(
            "nothing could be measured since sampling began at {}",
            fresh.since.to_rfc3339_opts(SecondsFormat::Secs, true)
        ),
    };
    let rule = RuleFacts {
        id: stale_rule(fresh.probe).into(),
        severity: Severity::Low,
        measure: format!("{}.last_known", fresh.probe).into(),
        range: format!("at most {} old", crate::target::Span(fresh.limit)).into(),
        summary: format!("What the {} probe knows of this target is out of date", fresh.probe)
            .into(),
        remedy: "See why its samples are unknown: the network path, the target, or a limit on the \
                 way."
            .into(),
        controls: Arc::default(),
        hold: Duration::ZERO,
    };
    let breach = Breach {
        subject: "".into(),
        measured: known.map_or(Value::Null, Value::from),
        evidence,
        shown: Evidence::Shown,
    };
    let judgement = Judgement {
        rule: Arc::new(rule),
        verdict: Verdict::OutOfRange,
        breaches: vec![breach],
        doubts: Vec::new(),
    };
    let look = Look {
        target: fresh.target,
        probe: fresh.probe,
        address: None,
        at: now,
        cause: Cause::Scheduled,
        measured: true,
        judgements: std::slice::from_ref(&judgement),
        labels: fresh.labels,
        exceptions,
        policy: Policy::default(),
    };
    step(std::iter::empty::<&Finding>(), &look).pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
    }

    #[test]
    fn an_old_fact_opens_one_low_finding_and_the_next_known_sample_ends_it() {
        let (target, labels) = (Arc::from("a.test"), Arc::default());
        let mut fresh = Freshness {
            target: &target,
            probe: ProbeKind::Tls,
            labels: &labels,
            last_known: Some(at(0)),
            since: at(0),
            limit: Duration::from_secs(3600),
        };
        assert_eq!(step_stale(None, &fresh, &[], at(3600)), None);
        let opened = step_stale(None, &fresh, &[], at(3601)).expect("a finding");
        assert_eq!(opened.finding.state, FindingState::Confirmed);
        assert_eq!(opened.finding.severity, Severity::Low);
        assert_eq!((&*opened.finding.key.rule, opened.finding.key.address), ("tls-stale", None));
        assert_eq!(step_stale(Some(&opened.finding), &fresh, &[], at(9999)), None);
        fresh.last_known = Some(at(10_000));
        let ended = step_stale(Some(&opened.finding), &fresh, &[], at(10_000)).expect("an end");
        assert_eq!(ended.finding.state, FindingState::Resolved);
    }

    #[test]
    fn a_point_that_was_never_known_ages_from_its_first_sample() {
        let (target, labels) = (Arc::from("a.test"), Arc::default());
        let fresh = Freshness {
            target: &target,
            probe: ProbeKind::Dns,
            labels: &labels,
            last_known: None,
            since: at(0),
            limit: Duration::from_secs(60),
        };
        assert!(step_stale(None, &fresh, &[], at(60)).is_none());
        assert!(step_stale(None, &fresh, &[], at(61)).is_some());
    }
}
