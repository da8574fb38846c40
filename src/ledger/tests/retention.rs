//! What leaves, and what never does.

use super::*;

fn size(dir: &Path) -> u64 {
    let db = Connection::open(dir.join(FILE)).expect("the store");
    let ask = |name: &str| -> i64 {
        db.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).expect("a number")
    };
    u64::try_from((ask("page_count") - ask("freelist_count")) * ask("page_size")).expect("a size")
}

fn rows(dir: &Path, table: &str) -> i64 {
    let db = Connection::open(dir.join(FILE)).expect("the store");
    db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("a number")
}

#[tokio::test]
async fn old_segments_leave_and_findings_stay() {
    let dir = tempfile::tempdir().expect("a directory");
    let kept = Options {
        retention: Duration::from_secs(3600),
        segment: SegmentPolicy { max_bytes: 2000, max_age: Duration::from_secs(600) },
        ..options(dir.path())
    };
    let ledger = open_at(kept, 200 * 60);
    ledger.record(sample(0, &["TLSv1.0"])).await.expect("a receipt");
    for minute in 1..200 {
        let version = format!("TLSv1.3-{}", minute / 30);
        let mut record = sample(minute * 60, &["TLSv1.3"]);
        if let Outcome::Measured(measurements) = &mut record.sample.outcome {
            measurements.set("version", version);
        }
        ledger.record(record).await.expect("a receipt");
    }
    let report = assert_whole(dir.path());
    assert!(report.dropped_through > 5, "{report:?}");
    assert!(report.samples >= 60 && report.samples < 90, "{report:?}");
    assert_eq!(states(&ledger), [FindingState::Resolved]);
    let kept = ledger.samples(TARGET, None, None, 1000).expect("rows").len();
    assert!((60..90).contains(&kept), "{kept}");
    assert!(rows(dir.path(), "contents") < 6, "contents that nobody has are gone");
    assert_eq!(
        rows(dir.path(), "checkpoints"),
        rows(dir.path(), "segments") - report.dropped_through + 1
    );
    ledger.close().await.expect("closed");
    let ledger = open(options(dir.path()));
    assert_eq!(ledger.last_slot(key(TARGET)), Some(199));
    assert_whole(dir.path());
}

#[tokio::test]
async fn raw_samples_go_first_when_the_store_is_too_big() {
    let dir = tempfile::tempdir().expect("a directory");
    let most = 400 * 1024;
    let ledger = Arc::new(open(Options {
        max_size: Some(most),
        segment: SegmentPolicy { max_bytes: 32 * 1024, ..SegmentPolicy::default() },
        linger: Duration::from_millis(20),
        ..options(dir.path())
    }));
    for round in 0..60 {
        let tasks: Vec<_> = (0..200)
            .map(|n| {
                let ledger = Arc::clone(&ledger);
                let versions: &[&str] =
                    if n == 0 && round == 0 { &["TLSv1.0"] } else { &["TLSv1.3"] };
                let record = sample_of(&format!("{n}.test"), round * 60, Some(versions));
                tokio::spawn(async move { ledger.record(record).await })
            })
            .collect();
        for task in tasks {
            task.await.expect("a task").expect("a receipt");
        }
    }
    let report = assert_whole(dir.path());
    assert!(report.dropped_through > 0 && report.samples < 12_000, "{report:?}");
    let db = Connection::open(dir.path().join(FILE)).expect("the store");
    let sql = "SELECT sum(samples) FROM evidence";
    let proven: i64 = db.query_row(sql, [], |row| row.get(0)).expect("a number");
    assert_eq!(proven, 12_000, "what samples prove outlives them");
    assert!(size(dir.path()) < most + most / 4, "{}", size(dir.path()));
    assert_eq!(states(&ledger), [FindingState::Resolved]);
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_empties_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(Options {
        retention: Duration::from_secs(3600),
        segment: SegmentPolicy { max_bytes: 500, ..SegmentPolicy::default() },
        ..options(dir.path())
    });
    for minute in 0..20 {
        ledger.record(sample(minute, &["TLSv1.3"])).await.expect("a receipt");
    }
    for minute in 0..20 {
        ledger.record(sample(minute + 400_000_000, &["TLSv1.3"])).await.expect("a receipt");
    }
    let report = assert_whole(dir.path());
    assert_eq!((report.dropped_through, report.samples), (0, 40));
}
