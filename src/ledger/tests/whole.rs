//! Durability, replay and the chain.

use proptest::prelude::*;

use super::*;
use crate::finding::Exception;

#[tokio::test]
async fn what_was_recorded_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(options(dir.path()));
    let mut first = sample(0, &["TLSv1.0", "TLSv1.3"]);
    first.memory = Some(Memory { version: 3, bytes: vec![1, 2, 3] });
    let receipt = ledger.record(first).await.expect("a receipt");
    assert_eq!(receipt, Receipt { repeats_wanted: 3, opened: 1, transitions: 1 });
    let receipt = ledger.record(sample(60, &["TLSv1.0", "TLSv1.3"])).await.expect("a receipt");
    assert_eq!(receipt, Receipt::default());
    ledger.record(unknown(120)).await.expect("a receipt");
    ledger.close().await.expect("closed");

    let ledger = open(options(dir.path()));
    let state = ledger.point_state(key(TARGET));
    assert_eq!(state.last_slot, Some(2));
    assert_eq!(state.last_sample.map(|at| at.timestamp()), Some(at(120).timestamp()));
    assert_eq!(state.last_known.map(|at| at.timestamp()), Some(at(60).timestamp()));
    assert_eq!(state.verdict, Some(Verdict::Unknown));
    let memory = ledger.memory(key(TARGET)).expect("memory");
    assert_eq!(memory, Some(Memory { version: 3, bytes: vec![1, 2, 3] }));
    assert_eq!(states(&ledger), [FindingState::Confirmed]);
    let mut latest = Vec::new();
    ledger.latest().for_each_chunk(10, |chunk| latest.extend_from_slice(chunk));
    assert_eq!((latest[0].out_of_range, latest[0].unknown), (Some(true), true));
    // The finding goes on where it was: seen twice, it needs four clean samples.
    for minute in 3..7 {
        ledger.record(sample(minute * 60, &["TLSv1.3"])).await.expect("a receipt");
    }
    assert_eq!(states(&ledger), [FindingState::Resolved]);
    assert_whole(dir.path());
}

#[tokio::test]
async fn samples_read_back_latest_first_as_the_contract_writes_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(options(dir.path()));
    for minute in 0..5 {
        ledger.record(sample(minute * 60, &["TLSv1.3"])).await.expect("a receipt");
        ledger.record(sample_of("other.test", minute * 60, None)).await.expect("a receipt");
    }
    ledger.record(unknown(300)).await.expect("a receipt");
    let rows = ledger.samples(TARGET, None, None, 3).expect("rows");
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0].sample["unknown_reason"], "timeout");
    assert_eq!(rows[1].sample["measurements"]["versions"], json!(["TLSv1.3"]));
    assert_eq!(rows[1].sample["measurements"]["unknown"]["groups"], "not_observed");
    assert_eq!(rows[1].sample["duration_seconds"], 0.25);
    let next = ledger.samples(TARGET, Some(ProbeKind::Tls), Some(rows[2].id), 10).expect("rows");
    assert_eq!(next.len(), 3);
    assert!(next[0].id < rows[2].id);
    // Volatile parts are kept where meaning changed: with the first of the five.
    assert_eq!(next[2].sample["measurements"]["handshake_seconds"], 0.25);
    assert!(next[0].sample["measurements"].get("handshake_seconds").is_none());
    assert!(ledger.samples(TARGET, Some(ProbeKind::Dns), None, 10).expect("rows").is_empty());
    assert_eq!(assert_whole(dir.path()).contents, 1);
}

#[tokio::test]
async fn the_last_known_facts_outlive_an_unknown_sample_but_not_their_point() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(options(dir.path()));
    let known = |target: &str| ledger.last_known(target, ProbeKind::Tls).expect("facts");
    assert!(known(TARGET).is_empty());
    ledger.record(unknown(0)).await.expect("a receipt");
    assert!(known(TARGET).is_empty(), "nothing was measured yet");
    ledger.record(sample(60, &["TLSv1.0"])).await.expect("a receipt");
    ledger.record(sample(120, &["TLSv1.3"])).await.expect("a receipt");
    ledger.record(unknown(180)).await.expect("a receipt");
    let facts = known(TARGET);
    assert_eq!(facts.len(), 1);
    assert_eq!(facts[0].0.timestamp(), at(120).timestamp());
    assert_eq!(facts[0].1["versions"], json!(["TLSv1.3"]));
    assert!(ledger.last_known(TARGET, ProbeKind::Dns).expect("facts").is_empty());
    let points = vec![key(TARGET)];
    let gone = Event::PointsWithdrawn { at: at(240), note: "target_removed".into(), points };
    ledger.append(vec![gone]).await.expect("withdrawn");
    assert!(known(TARGET).is_empty());
}

#[tokio::test]
async fn a_copy_taken_at_any_moment_opens_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(options(dir.path()));
    for round in 0..6 {
        let versions: &[&str] = if round % 2 == 0 { &["TLSv1.0"] } else { &["TLSv1.3"] };
        ledger.record(sample(round * 60, versions)).await.expect("a receipt");
        // What a crash leaves: the file and the log beside it, in the midst of writing.
        let copy = tempfile::tempdir().expect("a directory");
        for name in [FILE, "ledger.db-wal"] {
            std::fs::copy(dir.path().join(name), copy.path().join(name)).expect("a copy");
        }
        let again = open(options(copy.path()));
        assert_eq!(again.last_slot(key(TARGET)), Some(round), "a receipt was given for it");
        assert_eq!(states(&again), states(&ledger));
        again.record(sample(9999, &["TLSv1.0"])).await.expect("a receipt");
        assert_whole(copy.path());
    }
}

#[tokio::test]
async fn a_changed_byte_is_found_in_its_commit() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(options(dir.path()));
    for minute in 0..5 {
        ledger.record(sample(minute * 60, &["TLSv1.0"])).await.expect("a receipt");
    }
    ledger.close().await.expect("closed");
    assert_eq!(assert_whole(dir.path()).commits, 5);
    let file = std::fs::read(dir.path().join(FILE)).expect("the file");
    for (sql, word) in [
        (
            "UPDATE commits SET events = CAST(substr(events, 1, 20) || x'00' || substr(events, 22) AS BLOB) WHERE number = 3",
            "commit 3",
        ),
        ("UPDATE commits SET at = at + 1 WHERE number = 2", "commit 2"),
        ("DELETE FROM commits WHERE number = 4", "commit 5"),
        ("UPDATE findings SET state = 'resolved'", "table findings"),
        ("UPDATE samples SET verdict = 0 WHERE id = 2", "samples 2 to 2"),
        ("DELETE FROM samples WHERE id = 5", "samples 5 to 5"),
        (
            "INSERT INTO samples SELECT 99, prev, point, at, duration, connections, cause, slot, verdict, content, unknown, vantage FROM samples WHERE id = 1",
            "6 samples are stored",
        ),
        ("UPDATE blobs SET body = x'00'", "content 1"),
        ("UPDATE latest SET known_at = 1", "table latest"),
    ] {
        meddle(dir.path(), sql);
        let faults = verify(dir.path()).expect("a report").faults;
        assert!(faults.iter().any(|fault| fault.contains(word)), "{sql}: {faults:?}");
        std::fs::write(dir.path().join(FILE), &file).expect("mended");
        let _ = std::fs::remove_file(dir.path().join("ledger.db-wal"));
    }
    assert_whole(dir.path());
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_a_closed_ledger_lets_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(options(dir.path()));
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let second = Ledger::open(options(dir.path()), Arc::clone(&metrics), at(0));
    assert!(matches!(second, Err(LedgerError::Locked { .. })));
    ledger.close().await.expect("closed");
    assert!(matches!(ledger.record(unknown(0)).await, Err(LedgerError::Closed)));
    Ledger::open(options(dir.path()), metrics, at(0)).expect("free again");
    let nowhere = Ledger::open(
        options(Path::new("/proc/secchi")),
        Arc::new(Metrics::new().expect("metrics")),
        at(0),
    );
    assert!(matches!(nowhere, Err(LedgerError::Directory { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_samples_share_a_commit_and_readers_never_wait() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger =
        Arc::new(open(Options { linger: Duration::from_millis(50), ..options(dir.path()) }));
    let tasks: Vec<_> = (0..400)
        .map(|n| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                ledger.record(sample_of(&format!("{n}.test"), n, Some(&["TLSv1.3"]))).await
            })
        })
        .collect();
    for n in 0..50 {
        ledger.samples(&format!("{n}.test"), None, None, 10).expect("rows");
        verify(dir.path()).expect("a report while it writes");
    }
    for task in tasks {
        task.await.expect("a task").expect("a receipt");
    }
    let report = assert_whole(dir.path());
    assert_eq!(report.samples, 400);
    assert!(report.commits < 100, "{}", report.commits);
    assert_eq!(ledger.latest().len(), 400);
}

#[tokio::test]
async fn a_redacted_content_is_gone_and_the_chain_holds() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(options(dir.path()));
    ledger.record(sample(0, &["TLSv1.3", "secret-in-a-banner"])).await.expect("a receipt");
    ledger.record(sample(60, &["TLSv1.3"])).await.expect("a receipt");
    let mut lines = Vec::new();
    export(dir.path(), &mut lines).expect("an export");
    let text = String::from_utf8(lines).expect("text");
    let line =
        text.lines().find(|l| l.starts_with("{\"content\"") && l.contains("secret")).expect("it");
    let digest = serde_json::from_str::<serde_json::Value>(line).expect("JSON")["content"].clone();
    let digest = digest.as_str().expect("a digest").to_owned();
    let event = Event::Redacted { at: at(70), actor: "dpo".into(), digest, reason: "gdpr".into() };
    ledger.append(vec![event]).await.expect("redacted");
    let rows = ledger.samples(TARGET, None, None, 10).expect("rows");
    assert_eq!(rows[1].sample["measurements"], json!({}));
    assert_eq!(rows[0].sample["measurements"]["versions"], json!(["TLSv1.3"]));
    // The same content does not come back.
    ledger.record(sample(120, &["TLSv1.3", "secret-in-a-banner"])).await.expect("a receipt");
    assert_eq!(
        ledger.samples(TARGET, None, None, 1).expect("rows")[0].sample["verdict"],
        "out_of_range"
    );
    assert_whole(dir.path());
}

#[tokio::test]
async fn nobody_else_writes_the_ledgers_own_events() {
    let ledger = open(Options::default());
    let event = Event::SamplesLost { count: 1 };
    assert!(matches!(ledger.append(vec![event]).await, Err(LedgerError::Event(_))));
}

#[tokio::test]
async fn without_a_disk_it_works_the_same() {
    let ledger = open(Options { linger: Duration::ZERO, ..Options::default() });
    ledger.record(sample(0, &["TLSv1.0"])).await.expect("a receipt");
    assert_eq!(states(&ledger), [FindingState::Confirmed]);
    assert_eq!(ledger.samples(TARGET, None, None, 10).expect("rows").len(), 1);
    ledger.close().await.expect("closed");
}

#[tokio::test]
async fn exceptions_withdrawals_and_staleness_move_findings_and_replay() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(options(dir.path()));
    ledger.record(sample(0, &["TLSv1.0"])).await.expect("a receipt");
    let exception = Exception {
        rule: "tls-legacy-protocol".into(),
        target: "*.example.com".into(),
        subject: None,
        reason: "till terminals".into(),
        approved_by: "ciso".into(),
        until: at(86_400).date_naive(),
    };
    let made = Event::ExceptionMade { at: at(5), actor: "api".into(), exception };
    ledger.append(vec![made]).await.expect("made");
    assert_eq!(states(&ledger), [FindingState::Excepted]);
    let ended = Event::ExceptionEnded {
        at: at(6),
        actor: "api".into(),
        rule: "tls-legacy-protocol".into(),
        target: "*.example.com".into(),
        subject: None,
    };
    ledger.append(vec![ended]).await.expect("ended");
    ledger.record(sample(60, &["TLSv1.0"])).await.expect("a receipt");
    assert_eq!(states(&ledger), [FindingState::Confirmed]);
    assert_eq!(ledger.check_stale(at(3600)).await.expect("checked"), 0);
    assert_eq!(ledger.check_stale(at(3662)).await.expect("checked"), 1);
    assert_eq!(states(&ledger), [FindingState::Confirmed, FindingState::Confirmed]);
    ledger.record(sample(3700, &["TLSv1.0"])).await.expect("a receipt");
    assert_eq!(states(&ledger), [FindingState::Confirmed, FindingState::Resolved]);
    ledger.check_stale(at(99_999)).await.expect("checked");
    let gone = Event::PointsWithdrawn {
        at: at(100_000),
        note: "target_removed".into(),
        points: vec![key(TARGET)],
    };
    ledger.append(vec![gone]).await.expect("gone");
    let ended = [FindingState::Withdrawn, FindingState::Resolved, FindingState::Withdrawn];
    assert_eq!(states(&ledger), ended);
    assert!(ledger.latest().is_empty());
    assert_eq!(ledger.check_stale(at(999_999)).await.expect("checked"), 0);
    assert_whole(dir.path());
}

/// What may happen to a ledger.
#[derive(Clone, Debug)]
enum Act {
    Sample { target: u8, versions: u8, repeat: bool },
    Unknown { target: u8 },
    Stale,
    Withdraw { target: u8 },
    Except { made: bool },
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        10 => (0u8..3, 0u8..4, any::<bool>())
            .prop_map(|(target, versions, repeat)| Act::Sample { target, versions, repeat }),
        2 => (0u8..3).prop_map(|target| Act::Unknown { target }),
        1 => Just(Act::Stale),
        1 => (0u8..3).prop_map(|target| Act::Withdraw { target }),
        1 => any::<bool>().prop_map(|made| Act::Except { made }),
        1 => Just(Act::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_replay_of_any_history_gives_the_same_tables(
        acts in prop::collection::vec((act(), 0i64..4000), 1..40),
        segment in 200u64..4000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("rt");
        runtime.block_on(async {
            let dir = tempfile::tempdir().expect("a directory");
            let options = || Options {
                segment: SegmentPolicy { max_bytes: segment, ..SegmentPolicy::default() },
                retention: Duration::from_secs(20_000),
                ..options(dir.path())
            };
            let mut ledger = open_at(options(), 1_000_000);
            let mut now = 0;
            for (act, step) in acts {
                now += step;
                ledger = run(ledger, act, now, options).await;
            }
            let before = states(&ledger);
            ledger.close().await.expect("closed");
            assert_whole(dir.path());
            let again = open(options());
            assert_eq!(states(&again), before);
        });
    }
}

async fn run(ledger: Ledger, act: Act, now: i64, options: impl Fn() -> Options) -> Ledger {
    let name = |target: u8| format!("{target}.example.com");
    match act {
        Act::Sample { target, versions, repeat } => {
            let all = ["TLSv1.0", "TLSv1.1"];
            let chosen: Vec<&str> =
                (0..2).filter(|bit| versions & (1 << bit) != 0).map(|bit| all[bit]).collect();
            let mut record = sample_of(&name(target), now, Some(&chosen));
            if repeat {
                record.sample.cause = Cause::Repeat;
            }
            ledger.record(record).await.expect("a receipt");
        }
        Act::Unknown { target } => {
            ledger.record(sample_of(&name(target), now, None)).await.expect("a receipt");
        }
        Act::Stale => {
            ledger.check_stale(at(now)).await.expect("checked");
        }
        Act::Withdraw { target } => {
            let points = vec![key(&name(target))];
            let event = Event::PointsWithdrawn { at: at(now), note: "address_gone".into(), points };
            ledger.append(vec![event]).await.expect("withdrawn");
        }
        Act::Except { made } => {
            let exception = Exception {
                rule: "tls-legacy-protocol".into(),
                target: "1.example.com".into(),
                subject: None,
                reason: "known".into(),
                approved_by: "ciso".into(),
                until: at(now + 90_000).date_naive(),
            };
            let event = match made {
                true => Event::ExceptionMade { at: at(now), actor: "api".into(), exception },
                false => Event::ConfigLoaded {
                    at: at(now),
                    digest: "x".into(),
                    exceptions: vec![exception],
                },
            };
            ledger.append(vec![event]).await.expect("excepted");
        }
        Act::Reopen => {
            ledger.close().await.expect("closed");
            return open_at(options(), 1_000_000);
        }
    }
    ledger
}

#[tokio::test]
async fn a_memory_that_a_person_accepted_outlives_the_runs_under_way() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(options(dir.path()));
    let memory = |byte: u8| Memory { version: 1, bytes: vec![byte] };
    let with = |seconds: i64, kept: Memory, before: &Memory| {
        let mut record = sample(seconds, &["TLSv1.3"]);
        (record.memory, record.memory_before) = (Some(kept), before.mark());
        record
    };
    let mut first = sample(0, &["TLSv1.3"]);
    first.memory = Some(memory(1));
    ledger.record(first).await.expect("a receipt");
    ledger.record(with(60, memory(2), &memory(1))).await.expect("a receipt");
    let event = Event::BaselineAccepted {
        at: at(90),
        actor: "ciso".into(),
        target: TARGET.into(),
        probe: ProbeKind::Tls,
        address: "192.0.2.1".parse().ok(),
        value: json!({"reason": "moved"}),
    };
    ledger.append_with_memory(event, key(TARGET), memory(9)).await.expect("an event");
    // Begun before it was accepted, ended after.
    ledger.record(with(91, memory(3), &memory(2))).await.expect("a receipt");
    assert_eq!(ledger.memory(key(TARGET)).expect("memory"), Some(memory(9)));
    assert_eq!(ledger.baselines(10).expect("baselines").len(), 1);
    ledger.record(with(120, memory(10), &memory(9))).await.expect("a receipt");
    ledger.close().await.expect("a close");
    assert_whole(dir.path());
    let ledger = open(options(dir.path()));
    assert_eq!(ledger.memory(key(TARGET)).expect("memory"), Some(memory(10)));
}
