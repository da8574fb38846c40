//! A store that cannot be written loses no alert.

use super::super::writer::Message;
use super::*;

async fn sql(ledger: &Ledger, text: &str) {
    ledger.ask(|reply| Message::Sql(text.to_owned(), reply)).await.expect("SQL");
}

/// No page more than there are: what a full disk comes down to.
async fn fill(ledger: &Ledger) {
    sql(ledger, "PRAGMA max_page_count = 1").await;
}

async fn empty(ledger: &Ledger) {
    sql(ledger, "PRAGMA max_page_count = 1073741823").await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
}

/// Fills the free room of the pages that are there.
async fn until_full(ledger: &Ledger) -> i64 {
    fill(ledger).await;
    for n in 0..2000 {
        let target = format!("filler-{n}.test");
        if ledger.record(sample_of(&target, n, Some(&["TLSv1.3", &target]))).await.is_err() {
            return n;
        }
    }
    panic!("the store never filled");
}

#[tokio::test]
async fn findings_are_delivered_unrecorded_and_written_when_there_is_room_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(options(dir.path()));
    ledger.record(sample(0, &["TLSv1.3"])).await.expect("a receipt");
    let last = until_full(&ledger).await;
    let mut changes = ledger.changes();
    changes.mark_unchanged();
    let error = ledger.record(sample_of("new.test", last, Some(&["TLSv1.0"]))).await;
    assert!(matches!(error, Err(LedgerError::Unwritten(_))), "{error:?}");
    assert!(changes.has_changed().expect("open"));
    assert!(ledger.health().failure.is_some_and(|why| why.contains("full")));
    let rows = ledger.pending("am").expect("rows");
    let of = |rule: &str| rows.iter().find(|row| row.alert.labels["rule"] == rule);
    let own = of("secchi-ledger-failing").expect("the store's own alert");
    assert_eq!(own.alert.state, AlertState::Firing);
    let new =
        rows.iter().find(|row| row.alert.labels.get("target").is_some_and(|t| t == "new.test"));
    let new = new.expect("the new finding's alert");
    assert_eq!(new.alert.annotations["unrecorded"], "true");
    // Its receiver's answer is kept too, and a person's change is refused.
    let ack =
        Ack { id: new.alert.id.clone(), state: AlertState::Firing, at: at(last), refused: None };
    ledger.acknowledge("am", vec![ack]).await.expect("kept");
    let started = Event::Started { at: at(last), version: "1".into() };
    assert!(ledger.append(vec![started]).await.is_err());

    empty(&ledger).await;
    assert_eq!(ledger.health().failure, None);
    let rows = ledger.pending("am").expect("rows");
    let new =
        rows.iter().find(|row| row.alert.labels.get("target").is_some_and(|t| t == "new.test"));
    let new = new.expect("still an alert");
    assert!(!new.alert.annotations.contains_key("unrecorded"));
    let own = rows.iter().find(|row| row.alert.id == "ledger-failing").expect("its end");
    assert_eq!(own.alert.state, AlertState::Resolved);
    ledger.record(sample_of("new.test", last + 60, Some(&["TLSv1.3"]))).await.expect("a receipt");
    let rows = ledger.pending("am").expect("rows");
    let new =
        rows.iter().find(|row| row.alert.labels.get("target").is_some_and(|t| t == "new.test"));
    assert_eq!(new.expect("it").delivery.accepted, Some(AlertState::Firing));
    ledger.close().await.expect("closed");
    assert_whole(dir.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_outage_gives_up_samples_and_keeps_every_finding() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = Arc::new(open(options(dir.path())));
    ledger.record(sample_of("a.test", 0, Some(&["TLSv1.0"]))).await.expect("a receipt");
    let last = until_full(&ledger).await;
    for round in 0..45 {
        let tasks: Vec<_> = (0..500)
            .map(|n| {
                let ledger = Arc::clone(&ledger);
                let versions: &[&str] = if n == 7 { &["TLSv1.0"] } else { &["TLSv1.3"] };
                let record = sample_of(&format!("{n}.test"), last + round, Some(versions));
                tokio::spawn(async move { ledger.record(record).await })
            })
            .collect();
        for task in tasks {
            assert!(task.await.expect("a task").is_err());
        }
    }
    assert!(ledger.health().lost_samples > 0);
    empty(&ledger).await;
    for n in [7, 8] {
        let record = sample_of(&format!("{n}.test"), last + 99, Some(&["TLSv1.3"]));
        ledger.record(record).await.expect("a receipt");
    }
    let filter = FindingFilter { target: Some("7.test".into()), limit: 9, ..Default::default() };
    let findings = ledger.findings(&filter).expect("findings");
    assert_eq!((findings.len(), findings[0].positives, findings[0].clean), (1, 45, 1));
    ledger.close().await.expect("closed");
    assert_whole(dir.path());
}
