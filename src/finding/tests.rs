//! What the life cycle promises, by example and by property.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::sample::{
    Breach, Cause, Doubt, Evidence, Judgement, Reason, RuleFacts, Severity, Verdict,
};
use crate::target::{Labels, ProbeKind};

#[test]
fn what_was_shown_is_confirmed_at_first_sight() {
    let mut point = Point::default();
    let changes = point.look(&[breach("TLSv1.0", Evidence::Shown)]);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].step, Move::Stepped { from: None });
    assert_eq!(point.state("TLSv1.0"), Some(FindingState::Confirmed));
    assert!(changes[0].finding.confirmed_at.is_some());
}

#[test]
fn what_must_last_is_confirmed_only_when_it_has_and_begins_anew_after_a_clean_sample() {
    for evidence in [Evidence::Shown, Evidence::Missed] {
        let mut point = Point { hold: Duration::from_secs(600), ..Point::default() };
        let seen = [breach("a", evidence)];
        point.look(&seen);
        point.repeat(&seen);
        point.repeat(&seen);
        point.now += TimeDelta::seconds(500);
        point.look(&seen);
        assert_eq!(point.state("a"), Some(FindingState::Suspected), "{evidence:?}");
        point.look(&[]);
        assert_eq!(point.state("a"), None, "a clean sample ends the waiting");
        point.look(&seen);
        point.repeat(&[]);
        assert_eq!(point.state("a"), Some(FindingState::Suspected), "a repeat does not");
        point.now += TimeDelta::seconds(600);
        let changes = point.look(&seen);
        assert_eq!(point.state("a"), Some(FindingState::Confirmed), "{evidence:?}");
        assert_eq!(changes[0].step, Move::Stepped { from: Some(FindingState::Suspected) });
    }
}

#[test]
fn what_was_missed_is_confirmed_when_k_of_n_agree() {
    for evidence in [Evidence::Missed, Evidence::Forgeable] {
        let mut point = Point::default();
        point.look(&[breach("a", evidence)]);
        assert_eq!(point.state("a"), Some(FindingState::Suspected));
        point.repeat(&[]);
        assert_eq!(point.state("a"), Some(FindingState::Suspected));
        point.repeat(&[breach("a", evidence)]);
        assert_eq!(point.state("a"), Some(FindingState::Confirmed));
    }
}

#[test]
fn what_was_missed_once_is_dropped_when_no_agreement_is_left() {
    let mut point = Point::default();
    point.look(&[breach("a", Evidence::Missed)]);
    point.repeat(&[]);
    let changes = point.repeat(&[]);
    assert_eq!(changes[0].step, Move::Stepped { from: Some(FindingState::Suspected) });
    assert_eq!(changes[0].finding.state, FindingState::Resolved);
    assert_eq!(changes[0].finding.confirmed_at, None);
}

#[test]
fn a_rule_that_the_target_is_no_longer_held_to_withdraws_its_findings_and_no_others() {
    let mut point = Point::default();
    point.look(&[breach("a", Evidence::Shown)]);
    let other = Arc::new(RuleFacts { id: "tls-weak-cipher".into(), ..RuleFacts::clone(&rule()) });
    let judged = Judgement {
        rule: other,
        verdict: Verdict::OutOfRange,
        breaches: vec![breach("b", Evidence::Shown)],
        doubts: vec![],
    };
    assert_eq!(point.judge(Cause::Scheduled, false, &[]), []);
    let changes = point.judge(Cause::Scheduled, true, std::slice::from_ref(&judged));
    let ended = changes.iter().find(|change| &*change.finding.key.subject == "a");
    let ended = &ended.expect("a change").finding;
    assert_eq!(ended.state, FindingState::Withdrawn);
    assert_eq!(ended.note.as_deref(), Some("rule_removed"));
    assert_eq!(point.state("b"), Some(FindingState::Confirmed));
}

#[test]
fn a_permanent_fault_ends_after_three_clean_samples_and_repeats_count_for_none() {
    let mut point = Point::default();
    point.look(&[breach("a", Evidence::Shown)]);
    for _ in 0..3 {
        point.repeat(&[breach("a", Evidence::Shown)]);
    }
    for _ in 0..20 {
        point.look(&[breach("a", Evidence::Shown)]);
    }
    for _ in 0..5 {
        point.repeat(&[]);
    }
    assert_eq!(point.state("a"), Some(FindingState::Confirmed));
    let mut clean = 0;
    while point.state("a").is_some() {
        point.look(&[]);
        clean += 1;
    }
    assert!((2..=4).contains(&clean), "{clean}");
}

#[test]
fn a_fault_of_one_sample_in_ten_needs_many_clean_ones() {
    let mut point = Point::default();
    point.look(&[breach("a", Evidence::Shown)]);
    for _ in 0..9 {
        point.repeat(&[]);
    }
    for _ in 0..60 {
        point.look(&[]);
    }
    assert_eq!(point.state("a"), Some(FindingState::Confirmed));
    for _ in 0..7 {
        point.look(&[]);
    }
    assert_eq!(point.state("a"), None);
}

#[test]
fn a_finding_that_opens_again_has_another_id() {
    let mut point = Point::default();
    let first = point.look(&[breach("a", Evidence::Shown)])[0].finding.id.clone();
    while point.state("a").is_some() {
        point.look(&[]);
    }
    let second = point.look(&[breach("a", Evidence::Shown)])[0].finding.id.clone();
    assert!(first < second, "{first} {second}");
}

#[test]
fn doubt_about_one_subject_keeps_it_and_ends_the_other() {
    let mut point = Point::default();
    point.look(&[breach("a", Evidence::Shown), breach("b", Evidence::Shown)]);
    for _ in 0..20 {
        let doubt = Doubt { subject: Some("a".into()), unknown: Reason::Timeout.into() };
        point.see(Cause::Scheduled, true, &[], vec![doubt], Verdict::Unknown);
    }
    assert_eq!((point.state("a"), point.state("b")), (Some(FindingState::Confirmed), None));
}

#[test]
fn an_accepted_risk_is_excepted_until_its_date_has_passed() {
    let accepted = Exception {
        rule: "tls-legacy-protocol".into(),
        target: "a.test".into(),
        subject: None,
        reason: "till terminals".into(),
        approved_by: "ciso".into(),
        until: NaiveDate::from_ymd_opt(2027, 1, 15).expect("a date"),
    };
    let mut point = Point { exceptions: vec![accepted], ..Point::default() };
    point.look(&[breach("a", Evidence::Shown)]);
    assert_eq!(point.state("a"), Some(FindingState::Excepted));
    point.now += TimeDelta::days(30);
    assert_eq!(point.state("a"), Some(FindingState::Excepted));
    let changes = point.look(&[breach("a", Evidence::Shown)]);
    assert_eq!(changes[0].step, Move::Stepped { from: Some(FindingState::Excepted) });
    assert_eq!(changes[0].finding.state, FindingState::Confirmed);
    assert_eq!(changes[0].finding.confirmed_at, Some(point.now));
    assert_eq!(changes[0].finding.note, None);
}

#[test]
fn an_exception_made_later_moves_a_confirmed_finding_at_once() {
    let mut point = Point::default();
    point.look(&[breach("a", Evidence::Shown)]);
    let exception = Exception {
        rule: "tls-legacy-protocol".into(),
        target: "*.test".into(),
        subject: Some("a".into()),
        reason: "known".into(),
        approved_by: "ciso".into(),
        until: NaiveDate::from_ymd_opt(2030, 1, 1).expect("a date"),
    };
    let change = except(&point.open[0], &[exception], point.now).expect("a change");
    assert_eq!(change.finding.state, FindingState::Excepted);
    assert_eq!(change.finding.note.as_deref(), Some("known"));
    assert_eq!(except(&change.finding, &[], point.now), None);
}

#[test]
fn a_withdrawal_says_why_and_ends_it() {
    let mut point = Point::default();
    point.look(&[breach("a", Evidence::Shown)]);
    let change = withdraw(&point.open[0], "target_removed", point.now);
    assert_eq!(change.finding.state, FindingState::Withdrawn);
    assert_eq!(change.finding.note.as_deref(), Some("target_removed"));
    assert!(change.finding.ended_at.is_some());
}

#[test]
fn a_number_that_hardly_moves_is_only_counted() {
    let mut point = Point::default();
    let with = |value: f64| Breach { measured: json!(value), ..breach("a", Evidence::Shown) };
    point.look(&[with(1000.0)]);
    assert_eq!(point.look(&[with(995.0)])[0].step, Move::Counted { breached: true });
    assert_eq!(point.look(&[with(900.0)])[0].step, Move::Retold);
    assert_eq!(point.open[0].measured, json!(900.0));
}

#[test]
fn a_peer_that_shows_a_hundred_thousand_faults_opens_a_thousand() {
    let mut point = Point::default();
    let many: Vec<_> = (0..100_000).map(|n| breach(&n.to_string(), Evidence::Shown)).collect();
    assert_eq!(point.look(&many).len(), 1000);
    assert_eq!(point.look(&many).len(), 1000);
    assert_eq!(point.open.len(), 1000);
}

/// What a sample may be.
#[derive(Clone, Debug)]
struct Seen {
    measured: bool,
    judged: bool,
    cause: Cause,
    breaches: Vec<(u8, Evidence)>,
    doubts: Vec<Option<u8>>,
    step: i64,
}

fn seen() -> impl Strategy<Value = Seen> {
    let evidence =
        prop_oneof![Just(Evidence::Shown), Just(Evidence::Missed), Just(Evidence::Forgeable)];
    let cause = prop_oneof![Just(Cause::Scheduled), Just(Cause::Repeat), Just(Cause::Manual)];
    (
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.9),
        cause,
        prop::collection::vec((0u8..3, evidence), 0..3),
        prop::collection::vec(prop::option::of(0u8..3), 0..2),
        -5i64..600,
    )
        .prop_map(|(measured, judged, cause, breaches, doubts, step)| Seen {
            measured,
            judged,
            cause,
            breaches,
            doubts,
            step,
        })
}

proptest! {
    #[test]
    fn silence_and_the_unknown_never_move_a_finding(history in prop::collection::vec(seen(), 1..40)) {
        let mut point = Point::default();
        for seen in history {
            let before = point.open.clone();
            let changes = point.take(&seen);
            if seen.measured && !seen.judged {
                let end = |c: &Change| (c.finding.state, c.finding.note.clone());
                let gone = (FindingState::Withdrawn, Some("rule_removed".to_owned()));
                prop_assert!(changes.len() == before.len(), "{changes:?}");
                prop_assert!(changes.iter().all(|change| end(change) == gone), "{changes:?}");
            } else if !seen.measured || seen.doubts.contains(&None) && seen.breaches.is_empty() {
                prop_assert!(changes.is_empty(), "{changes:?}");
                prop_assert_eq!(&before, &point.open);
            }
        }
    }

    #[test]
    fn only_a_clean_look_ends_a_finding_and_times_only_grow(history in prop::collection::vec(seen(), 1..60)) {
        let mut point = Point::default();
        for seen in history {
            let before = point.open.clone();
            for change in point.take(&seen) {
                let after = &change.finding;
                prop_assert!(after.first_seen <= after.last_seen && after.last_seen <= after.last_judged);
                prop_assert!(after.positives >= 1 && after.positives <= after.samples);
                if let Some(old) = before.iter().find(|f| f.id == after.id) {
                    prop_assert!(old.last_judged <= after.last_judged && old.last_seen <= after.last_seen);
                }
                let breached = seen.breaches.iter().any(|(n, _)| n.to_string() == *after.key.subject);
                let doubted = seen.doubts.iter().flatten().any(|n| n.to_string() == *after.key.subject);
                if after.state == FindingState::Resolved {
                    prop_assert!(!breached && !doubted && seen.measured);
                }
                if let Some(transition) = change.transition() {
                    prop_assert!(transition.at >= after.first_seen);
                    prop_assert_ne!(transition.from, Some(after.state));
                }
            }
            if seen.measured && seen.judged {
                for (subject, evidence) in &seen.breaches {
                    let state = point.state(&subject.to_string());
                    prop_assert!(state.is_some());
                    // Two breaches may name one subject; the last wins, so only unanimity counts.
                    let alone = seen.breaches.iter().filter(|(s, _)| s == subject).count() == 1;
                    if *evidence == Evidence::Shown && alone {
                        prop_assert_eq!(state, Some(FindingState::Confirmed));
                    }
                }
            }
        }
    }

    #[test]
    fn a_replay_of_the_changes_gives_the_same_findings(history in prop::collection::vec(seen(), 1..60)) {
        let mut point = Point::default();
        let mut replayed: Vec<Finding> = Vec::new();
        for seen in history {
            let changes = point.take(&seen);
            for change in changes {
                let at = replayed.iter().position(|f| f.id == change.finding.id);
                match (change.step, at) {
                    (Move::Counted { breached }, Some(at)) => {
                        let mut tally = replayed[at].tally();
                        tally.count(breached, point.now, seen.cause);
                        replayed[at].set_tally(tally);
                    }
                    (_, Some(at)) => replayed[at] = change.finding,
                    (_, None) => replayed.push(change.finding),
                }
            }
            replayed.retain(|finding| finding.state.is_open());
            prop_assert_eq!(&replayed, &point.open);
        }
    }
}

/// One sampling point with its open findings.
struct Point {
    open: Vec<Finding>,
    now: DateTime<Utc>,
    exceptions: Vec<Exception>,
    target: Arc<str>,
    labels: Arc<Labels>,
    hold: Duration,
}

impl Default for Point {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            now: DateTime::from_timestamp(1_800_000_000, 0).expect("a time"),
            exceptions: Vec::new(),
            target: "a.test".into(),
            labels: Arc::default(),
            hold: Duration::ZERO,
        }
    }
}

impl Point {
    fn look(&mut self, breaches: &[Breach]) -> Vec<Change> {
        self.see(Cause::Scheduled, true, breaches, vec![], Verdict::InRange)
    }

    fn repeat(&mut self, breaches: &[Breach]) -> Vec<Change> {
        self.see(Cause::Repeat, true, breaches, vec![], Verdict::InRange)
    }

    fn take(&mut self, seen: &Seen) -> Vec<Change> {
        self.now += TimeDelta::seconds(seen.step);
        let breaches: Vec<_> =
            seen.breaches.iter().map(|(n, evidence)| breach(&n.to_string(), *evidence)).collect();
        let doubt = |n: &Option<u8>| Doubt {
            subject: n.map(|n| n.to_string().into()),
            unknown: Reason::Timeout.into(),
        };
        let doubts: Vec<_> = seen.doubts.iter().map(doubt).collect();
        let verdict = if doubts.is_empty() { Verdict::InRange } else { Verdict::Unknown };
        if !seen.judged {
            return self.judge(seen.cause, seen.measured, &[]);
        }
        self.see(seen.cause, seen.measured, &breaches, doubts, verdict)
    }

    fn see(
        &mut self,
        cause: Cause,
        measured: bool,
        breaches: &[Breach],
        doubts: Vec<Doubt>,
        clean: Verdict,
    ) -> Vec<Change> {
        let verdict = if breaches.is_empty() { clean } else { Verdict::OutOfRange };
        let rule = Arc::new(RuleFacts { hold: self.hold, ..RuleFacts::clone(&rule()) });
        let judgement = Judgement { rule, verdict, breaches: breaches.to_vec(), doubts };
        self.judge(cause, measured, &[judgement])
    }

    fn judge(&mut self, cause: Cause, measured: bool, judgements: &[Judgement]) -> Vec<Change> {
        self.now += TimeDelta::seconds(1);
        let look = Look {
            target: &self.target,
            probe: ProbeKind::Tls,
            address: None,
            at: self.now,
            cause,
            measured,
            judgements,
            labels: &self.labels,
            exceptions: &self.exceptions,
            policy: Policy::default(),
        };
        let changes = step(&self.open, &look);
        for change in &changes {
            match self.open.iter().position(|f| f.id == change.finding.id) {
                Some(at) => self.open[at] = change.finding.clone(),
                None => self.open.push(change.finding.clone()),
            }
        }
        self.open.retain(|finding| finding.state.is_open());
        changes
    }

    fn state(&self, subject: &str) -> Option<FindingState> {
        self.open.iter().find(|f| &*f.key.subject == subject).map(|f| f.state)
    }
}

fn breach(subject: &str, shown: Evidence) -> Breach {
    Breach {
        subject: subject.into(),
        measured: json!([subject]),
        evidence: "offered".into(),
        shown,
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
