//! What samples prove, counted.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ledger::chain::{self, Link};
use crate::ledger::entry::SampleEntry;
use crate::ledger::project::apply;
use crate::ledger::{bytes, dump, schema};

const DAY: i64 = 86_400;

fn page(view: &dyn View, since: i64, until: i64) -> EvidencePage {
    let filter = EvidenceFilter {
        since: at(since),
        until: at(until),
        limit: 1000,
        ..EvidenceFilter::default()
    };
    view.evidence(&filter).expect("evidence")
}

fn rows(view: &dyn View, since: i64, until: i64) -> Vec<EvidenceRow> {
    page(view, since, until).rows
}

/// (samples, positives, unknown, due, taken) of the only row.
fn counts(view: &dyn View, since: i64, until: i64) -> (u64, u64, u64, u64, u64) {
    let rows = rows(view, since, until);
    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = &rows[0];
    (row.samples, row.positives, row.unknown, row.due, row.taken)
}

#[tokio::test]
async fn an_unknown_sample_is_taken_and_proves_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(options(dir.path()));
    ledger.record(sample(0, &["TLSv1.3"])).await.expect("a receipt");
    ledger.record(sample(60, &["TLSv1.0"])).await.expect("a receipt");
    for minute in 2..7 {
        ledger.record(unknown(minute * 60)).await.expect("a receipt");
    }
    assert_eq!(counts(&ledger, 0, 361), (2, 1, 5, 7, 7));
    let row = &rows(&ledger, 0, 361)[0];
    assert_eq!((&*row.target, &*row.rule), (TARGET, "tls-legacy-protocol"));
    assert_eq!(row.oldest, Some(at(0) + TimeDelta::milliseconds(1)));
    assert_eq!(row.range, rule().range);
    assert_whole(dir.path());
}

#[tokio::test]
async fn an_endpoint_that_never_answered_has_coverage_and_no_clean_sample() {
    let ledger = open(Options { linger: Duration::ZERO, ..Options::default() });
    for minute in 0..5 {
        ledger.record(unknown(minute * 60)).await.expect("a receipt");
    }
    let row = &rows(&ledger, 0, 300)[0];
    assert_eq!((row.samples, row.unknown, row.oldest), (0, 5, None));
    assert!((row.coverage() - 1.0).abs() < 1e-9);
}

#[tokio::test]
async fn only_samples_of_the_points_own_plan_count() {
    let ledger = open(Options { linger: Duration::ZERO, ..Options::default() });
    for cause in [Cause::Repeat, Cause::Deploy, Cause::Manual, Cause::Probe, Cause::Scheduled] {
        let mut record = sample(0, &["TLSv1.0"]);
        (record.sample.cause, record.sample.slot) = (cause, None);
        ledger.record(record).await.expect("a receipt");
        assert!(rows(&ledger, 0, 60).is_empty(), "{cause:?}");
    }
    ledger.record(sample(60, &["TLSv1.3"])).await.expect("a receipt");
    assert_eq!(counts(&ledger, 0, 60), (1, 0, 0, 1, 1));
}

#[tokio::test]
async fn a_rule_that_does_not_apply_says_nothing_and_another_range_begins_anew() {
    let ledger = open(Options { linger: Duration::ZERO, ..Options::default() });
    let verdict = |seconds: i64, verdict: Verdict, range: &str| {
        let mut record = sample(seconds, &["TLSv1.3"]);
        let held = RuleFacts { range: range.into(), ..(*rule()).clone() };
        record.judgements =
            vec![Judgement { rule: Arc::new(held), verdict, breaches: vec![], doubts: vec![] }];
        record
    };
    ledger.record(verdict(0, Verdict::NotApplicable, "a")).await.expect("a receipt");
    assert!(rows(&ledger, 0, 60).is_empty());
    for minute in 1..4 {
        ledger.record(verdict(minute * 60, Verdict::InRange, "a")).await.expect("a receipt");
    }
    assert_eq!(counts(&ledger, 0, 240), (3, 0, 0, 4, 4));
    ledger.record(verdict(240, Verdict::InRange, "b")).await.expect("a receipt");
    assert_eq!(counts(&ledger, 0, 300), (1, 0, 0, 5, 5));
    let row = &rows(&ledger, 0, 300)[0];
    assert_eq!((&*row.range, row.oldest), ("b", Some(at(240) + TimeDelta::milliseconds(1))));
}

#[tokio::test]
async fn slots_that_nothing_was_taken_in_lower_the_coverage() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(options(dir.path()));
    ledger.record(sample(0, &["TLSv1.3"])).await.expect("a receipt");
    let mut after_a_gap = sample(600, &["TLSv1.3"]);
    after_a_gap.due = 10;
    ledger.record(after_a_gap.clone()).await.expect("a receipt");
    assert_eq!(counts(&ledger, 0, 600), (2, 0, 0, 11, 2));
    // The slot under way may still be taken; those that passed whole since were not.
    assert_eq!(counts(&ledger, 0, 719), (2, 0, 0, 11, 2));
    assert_eq!(counts(&ledger, 0, 601 + 60 * 61), (2, 0, 0, 71, 2));
    // What passed under another plan, or while nobody wanted it sampled, was not due.
    after_a_gap.sample.taken_at = at(1200);
    after_a_gap.plan = "slow".into();
    ledger.record(after_a_gap.clone()).await.expect("a receipt");
    let gone = Event::PointsWithdrawn {
        at: at(1201),
        note: "target_removed".into(),
        points: vec![key(TARGET)],
    };
    ledger.append(vec![gone]).await.expect("withdrawn");
    assert_eq!(counts(&ledger, 0, 99_999), (3, 0, 0, 12, 3));
    after_a_gap.sample.taken_at = at(9000);
    ledger.record(after_a_gap).await.expect("a receipt");
    assert_eq!(counts(&ledger, 0, 9001), (4, 0, 0, 13, 4));
    assert_whole(dir.path());
}

#[tokio::test]
async fn a_gap_over_days_falls_into_the_days_of_the_window_only() {
    let ledger = open(Options { linger: Duration::ZERO, ..Options::default() });
    ledger.record(sample(0, &["TLSv1.3"])).await.expect("a receipt");
    let mut late = sample(4 * DAY, &["TLSv1.3"]);
    late.due = 4 * 1440;
    ledger.record(late).await.expect("a receipt");
    // 1,800,000,000 is 08:00 of its day: a third of the last day, 480 slots, lies before the sample.
    let (_, _, _, due, taken) = counts(&ledger, 4 * DAY, 4 * DAY);
    assert_eq!((due, taken), (481, 1));
    let (_, _, _, due, taken) = counts(&ledger, 0, 4 * DAY);
    assert_eq!((due, taken), (4 * 1440 + 1, 2));
}

#[tokio::test]
async fn days_become_weeks_and_weeks_leave_with_retention() {
    let dir = tempfile::tempdir().expect("a directory");
    let kept = || Options {
        retention: Duration::from_secs(60 * DAY.unsigned_abs()),
        segment: SegmentPolicy { max_bytes: 1500, ..SegmentPolicy::default() },
        max_size: Some(64 << 20),
        ..options(dir.path())
    };
    let mut ledger = open_at(kept(), 200 * DAY);
    for day in 0..120 {
        for (hour, target) in [(0, TARGET), (1, "b.test"), (2, TARGET)] {
            let versions: &[&str] = if day == 119 { &["TLSv1.0"] } else { &["TLSv1.3"] };
            let record = sample_of(target, day * DAY + hour * 3600, Some(versions));
            ledger.record(record).await.expect("a receipt");
        }
        if day == 60 {
            ledger.close().await.expect("closed");
            ledger = open_at(kept(), 200 * DAY);
        }
    }
    let until = 119 * DAY + 7200;
    let week = page(&ledger, 113 * DAY, until);
    assert_eq!((week.rows[0].samples, week.rows[0].positives), (7, 1));
    assert_eq!((week.rows[1].samples, week.rows[1].positives), (14, 2));
    let all = page(&ledger, 0, until);
    let days = (at(until) - all.rows[1].oldest.expect("a sample")).num_days();
    assert!((60..67).contains(&days), "{days}");
    assert_eq!(all.rows[1].samples, (days.unsigned_abs() + 1) * 2);
    // Older than two weeks, a window begins with a week: on a Monday, at midnight.
    let long = page(&ledger, 85 * DAY, until);
    assert_eq!(long.since.format("%a %H:%M").to_string(), "Mon 00:00");
    assert!(long.since <= at(85 * DAY) && at(85 * DAY) - long.since < TimeDelta::days(7));
    let shown = (at(until) - long.since).num_days().unsigned_abs() + 1;
    assert_eq!(long.rows[1].samples, shown * 2);
    let report = assert_whole(dir.path());
    assert!(report.dropped_through > 0, "{report:?}");
    let db = Connection::open(dir.path().join(FILE)).expect("the store");
    let count = |sql: &str| -> i64 { db.query_row(sql, [], |row| row.get(0)).expect("a number") };
    assert!(count("SELECT count(*) FROM evidence") < 2 * (21 + 8) + 4);
    assert_eq!(count("SELECT count(*) FROM sheets"), 2);
    ledger.close().await.expect("closed");
    let archive = Archive::open(dir.path()).expect("an archive");
    assert_eq!(page(&archive, 0, until), all);
    assert!(archive.verify().expect("a report").is_whole());
}

#[tokio::test]
async fn a_sheet_that_left_is_described_again_when_it_comes_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let kept =
        Options { retention: Duration::from_secs(20 * DAY.unsigned_abs()), ..options(dir.path()) };
    let ledger = open_at(kept, 900 * DAY);
    ledger.record(sample(0, &["TLSv1.0"])).await.expect("a receipt");
    for day in 1..60 {
        ledger.record(sample(day * DAY, &["TLSv1.3"])).await.expect("a receipt");
    }
    ledger.record(sample(60 * DAY, &["TLSv1.0"])).await.expect("a receipt");
    let row = &rows(&ledger, 60 * DAY, 60 * DAY)[0];
    assert_eq!((row.samples, row.positives), (1, 1));
    assert_whole(dir.path());
}

#[tokio::test]
async fn only_the_plans_own_samples_say_when_slots_are_missed_from() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(options(dir.path()));
    ledger.record(sample(0, &["TLSv1.3"])).await.expect("a receipt");
    let state = || ledger.point_state(key(TARGET)).last_scheduled;
    assert_eq!(state(), Some(at(0) + TimeDelta::milliseconds(1)));
    let mut repeat = sample(20, &["TLSv1.3"]);
    repeat.sample.cause = Cause::Repeat;
    ledger.record(repeat).await.expect("a receipt");
    assert_eq!(state(), Some(at(0) + TimeDelta::milliseconds(1)), "a repeat is of no plan");
    ledger.record(sample(60, &["TLSv1.3"])).await.expect("a receipt");
    assert_eq!(state(), Some(at(60) + TimeDelta::milliseconds(1)));
}

#[tokio::test]
async fn pages_hold_every_row_once_and_filters_are_used() {
    let ledger = open(Options { linger: Duration::ZERO, ..Options::default() });
    for n in 0..10 {
        let mut record = sample_of(&format!("{n}.test"), 0, Some(&["TLSv1.3"]));
        for id in ["a-rule", "z-rule"] {
            let held = RuleFacts { id: id.into(), ..(*rule()).clone() };
            let judged = Judgement { rule: Arc::new(held), ..record.judgements[0].clone() };
            record.judgements.push(judged);
        }
        ledger.record(record).await.expect("a receipt");
    }
    let mut filter =
        EvidenceFilter { since: at(0), until: at(60), limit: 4, ..EvidenceFilter::default() };
    let mut seen = Vec::new();
    loop {
        let page = ledger.evidence(&filter).expect("evidence");
        seen.extend(page.rows.iter().map(EvidenceRow::key));
        let Some(last) = page.rows.last() else { break };
        filter.after = Some(last.key());
    }
    assert_eq!(seen.len(), 30);
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(seen, sorted);
    let only = |target: Option<&str>, probe, rule: Option<&str>| {
        let filter = EvidenceFilter {
            target: target.map(str::to_owned),
            probe,
            rule: rule.map(str::to_owned),
            since: at(0),
            until: at(60),
            limit: 100,
            after: None,
        };
        ledger.evidence(&filter).expect("evidence").rows.len()
    };
    assert_eq!(only(Some("3.test"), None, None), 3);
    assert_eq!(only(None, None, Some("z-rule")), 10);
    assert_eq!(only(None, Some(ProbeKind::Dns), None), 0);
}

/// A store as schema 1 had it, with its events and a closed segment.
fn first_schema(dir: &Path) {
    let tables = ["held_rules", "sheets", "evidence", "rhythms"];
    let db = schema::open_writer(Some(dir)).expect("a store");
    let describe = Event::PointDescribed {
        number: 1,
        target: TARGET.into(),
        probe: ProbeKind::Tls,
        address: "192.0.2.1".parse().ok(),
        labels: Arc::default(),
        plan: "fast".into(),
        freshness: 3_600_000,
        interval: 0,
    };
    let entry = |second: i64| SampleEntry {
        point: 1,
        at: at(second).timestamp_millis(),
        slot: Some(second / 60),
        unknown: Some("timeout".into()),
        ..SampleEntry::default()
    };
    let samples = |first: i64| Event::Samples { first, samples: vec![entry(first * 60)] };
    let mut head = Link::GENESIS;
    let mut commit = |events: &[Event]| {
        for event in events {
            apply(&db, event).expect("applied");
        }
        head = chain::append(&db, head, at(0).timestamp_millis(), events).expect("a commit").0;
        head
    };
    commit(&[describe, samples(1)]);
    let last = commit(&[samples(2)]);
    let (packed, digest) = dump::checkpoint(&db).expect("a checkpoint");
    let text = bytes::inflate(&packed).expect("a text");
    assert_eq!(bytes::sha256(&[&text]).to_vec(), digest);
    db.execute("INSERT INTO checkpoints VALUES (1, ?1)", [packed]).expect("kept");
    commit(&[Event::SegmentClosed {
        segment: 1,
        last: last.number,
        head: last.hash.to_vec(),
        checkpoint: digest,
    }]);
    commit(&[samples(3)]);
    for table in tables {
        assert!(!String::from_utf8_lossy(&text).contains(table));
        db.execute_batch(&format!("DROP TABLE {table}")).expect("dropped");
    }
    db.execute_batch("PRAGMA user_version = 1").expect("a version");
}

#[tokio::test]
async fn a_ledger_of_schema_1_opens_verifies_and_goes_on() {
    let dir = tempfile::tempdir().expect("a directory");
    first_schema(dir.path());
    assert!(matches!(Archive::open(dir.path()), Err(LedgerError::Older { found: 1, .. })));
    let ledger = open(options(dir.path()));
    assert!(dir.path().join("ledger.v1.db").exists(), "a copy is kept");
    assert_whole(dir.path());
    assert!(rows(&ledger, 0, 600).is_empty(), "what was not recorded is not made up");
    assert_eq!(
        ledger.point_state(key(TARGET)).last_scheduled.map(|at| at.timestamp()),
        Some(at(180).timestamp())
    );
    let mut next = sample(600, &["TLSv1.3"]);
    next.due = 7;
    ledger.record(next).await.expect("a receipt");
    assert_eq!(counts(&ledger, 0, 600), (1, 0, 0, 7, 1));
    assert_whole(dir.path());
}

/// One sample of a model's history.
#[derive(Clone, Debug)]
struct Act {
    target: u8,
    verdicts: [u8; 3],
    scheduled: bool,
    missed: u64,
    wait: i64,
    reopen: bool,
}

fn act() -> impl Strategy<Value = Act> {
    (0u8..2, [0u8..4, 0u8..4, 0u8..4], 0u8..5, 0u64..3, 1i64..200_000, 0u8..12).prop_map(
        |(target, verdicts, cause, missed, wait, reopen)| Act {
            target,
            verdicts,
            scheduled: cause > 0,
            missed,
            wait,
            reopen: reopen == 0,
        },
    )
}

fn judged(act: &Act, now: i64) -> Record {
    let verdicts =
        [Verdict::InRange, Verdict::OutOfRange, Verdict::Unknown, Verdict::NotApplicable];
    let mut record = sample_of(&format!("{}.test", act.target), now, Some(&["TLSv1.3"]));
    record.judgements = (0..3)
        .map(|n| Judgement {
            rule: Arc::new(RuleFacts { id: format!("rule-{n}").into(), ..(*rule()).clone() }),
            verdict: verdicts[usize::from(act.verdicts[n])],
            breaches: vec![],
            doubts: vec![],
        })
        .collect();
    record.due = act.missed + 1;
    if !act.scheduled {
        record.sample.cause = Cause::Manual;
    }
    record
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_projection_counts_as_a_list_of_all_samples_does(
        acts in prop::collection::vec(act(), 1..60), segment in 400u64..6000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("rt");
        runtime.block_on(async {
            let dir = tempfile::tempdir().expect("a directory");
            let kept = || Options {
                segment: SegmentPolicy { max_bytes: segment, ..SegmentPolicy::default() },
                retention: Duration::from_secs(1000 * DAY.unsigned_abs()),
                ..options(dir.path())
            };
            let mut ledger = open_at(kept(), 999 * DAY);
            let (mut now, mut model) = (0, BTreeMap::<(u8, usize), [u64; 3]>::new());
            let (mut taken, mut due) = ([0, 0], [0, 0]);
            for act in &acts {
                now += act.wait;
                ledger.record(judged(act, now)).await.expect("a receipt");
                if act.scheduled {
                    let place = usize::from(act.target);
                    due[place] += if taken[place] == 0 { 1 } else { act.missed + 1 };
                    taken[place] += 1;
                    for (n, verdict) in act.verdicts.into_iter().enumerate().filter(|(_, v)| *v < 3) {
                        model.entry((act.target, n)).or_default()[usize::from(verdict)] += 1;
                    }
                }
                if act.reopen {
                    ledger.close().await.expect("closed");
                    ledger = open_at(kept(), 999 * DAY);
                }
            }
            let found = rows(&ledger, 0, now);
            let counted = found.iter().map(|row| {
                let place = if &*row.target == "0.test" { 0 } else { 1 };
                let (_, n) = row.rule.split_at(5);
                let key = (place, n.parse::<usize>().expect("a number"));
                assert_eq!(row.taken, taken[usize::from(place)]);
                assert!(row.due >= due[usize::from(place)], "what passed since the last counts too");
                (key, [row.samples - row.positives, row.positives, row.unknown])
            });
            assert_eq!(counted.collect::<BTreeMap<_, _>>(), model);
            ledger.close().await.expect("closed");
            assert_whole(dir.path());
        });
    }
}
