//! Alerts: what a receiver is owed.

use super::*;

const DAY: i64 = 86_400;

fn pending(ledger: &Ledger, receiver: &str) -> Vec<OutboxRow> {
    ledger.pending(receiver).expect("rows")
}

async fn ack(ledger: &Ledger, receiver: &str, seconds: i64, refused: Option<&str>) {
    let rows = pending(ledger, receiver);
    let acks = rows.iter().map(|row| Ack {
        id: row.alert.id.clone(),
        state: row.alert.state,
        at: at(seconds),
        refused: refused.map(str::to_owned),
    });
    ledger.acknowledge(receiver, acks.collect()).await.expect("acknowledged");
}

async fn mend(ledger: &Ledger, from: i64) -> i64 {
    let mut now = from;
    while states(ledger).contains(&FindingState::Confirmed) {
        now += 60;
        ledger.record(sample(now, &["TLSv1.3"])).await.expect("a receipt");
    }
    now
}

#[tokio::test]
async fn a_confirmed_finding_is_an_alert_with_the_contracts_labels() {
    let ledger = open(Options {
        external_url: Some("https://secchi.example.com/".into()),
        linger: Duration::ZERO,
        ..Options::default()
    });
    let mut changes = ledger.changes();
    let deployed = Event::DeploymentMarked {
        at: at(-60),
        actor: "ci".into(),
        labels: Labels::from([("service".into(), "shop".into())]),
        version: "v42".into(),
    };
    ledger.append(vec![deployed]).await.expect("marked");
    ledger.record(sample(0, &["TLSv1.0"])).await.expect("a receipt");
    assert!(changes.has_changed().expect("open"));
    changes.mark_unchanged();
    let rows = pending(&ledger, "am");
    let alert = &rows[0].alert;
    let label = |name: &str| alert.labels[name].as_str();
    assert_eq!(label("alertname"), "SecchiTlsLegacyProtocol");
    assert_eq!((label("severity"), label("probe"), label("subject")), ("medium", "tls", "TLSv1.0"));
    assert_eq!((label("address"), label("team"), label("env")), ("192.0.2.1", "checkout", ""));
    assert_eq!(label("source"), "secchi");
    let note = |name: &str| alert.annotations[name].as_str();
    assert_eq!(note("description"), "measured [\"TLSv1.0\"]; range none of TLSv1.0");
    assert_eq!(note("evidence_url"), format!("https://secchi.example.com/findings/{}", alert.id));
    assert!(note("last_deployment").starts_with("v42 at "));
    assert!(!note("evidence").contains('\u{1b}'));
    assert_eq!((alert.state, alert.ends_at), (AlertState::Firing, None));
    ledger.record(sample(60, &["TLSv1.0"])).await.expect("a receipt");
    assert!(!changes.has_changed().expect("open"), "nothing new to tell");
}

#[tokio::test]
async fn a_resolve_is_owed_until_an_hour_after_it_was_accepted() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(options(dir.path()));
    ledger.record(sample(0, &["TLSv1.0"])).await.expect("a receipt");
    ack(&ledger, "am", 1, None).await;
    assert_eq!(pending(&ledger, "am")[0].delivery.accepted, Some(AlertState::Firing));
    assert_eq!(pending(&ledger, "pager")[0].delivery, Delivery::default());
    let ended = mend(&ledger, 60).await;
    let row = &pending(&ledger, "am")[0];
    assert_eq!(row.alert.state, AlertState::Resolved);
    assert!(row.alert.ends_at.is_some());
    assert_eq!(row.delivery.accepted, Some(AlertState::Firing));
    ledger.close().await.expect("closed");

    // Days later it is still owed to who has it firing, and to nobody else.
    let metrics = || Arc::new(Metrics::new().expect("metrics"));
    let later = at(ended + 3 * DAY);
    let ledger = Ledger::open(options(dir.path()), metrics(), later).expect("a ledger");
    assert_eq!(pending(&ledger, "am").len(), 1);
    assert!(pending(&ledger, "pager").is_empty());
    ack(&ledger, "am", ended + 3 * DAY, None).await;
    assert_eq!(pending(&ledger, "am")[0].delivery.resolved_at, Some(later));
    ledger.close().await.expect("closed");
    let later = later + TimeDelta::seconds(3601);
    let ledger = Ledger::open(options(dir.path()), metrics(), later).expect("a ledger");
    assert!(pending(&ledger, "am").is_empty());
    assert_whole(dir.path());
}

#[tokio::test]
async fn an_alert_that_ended_before_anyone_heard_is_owed_for_a_day() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = open(options(dir.path()));
    ledger.record(sample(0, &["TLSv1.0"])).await.expect("a receipt");
    mend(&ledger, 0).await;
    assert_eq!(pending(&ledger, "am")[0].alert.state, AlertState::Resolved);
}

#[tokio::test]
async fn a_refusal_is_remembered_until_the_alert_changes() {
    let ledger = open(Options { linger: Duration::ZERO, ..Options::default() });
    ledger.record(sample(0, &["TLSv1.0"])).await.expect("a receipt");
    ack(&ledger, "am", 1, Some("400 bad label")).await;
    let row = &pending(&ledger, "am")[0];
    assert_eq!(row.delivery.refused.as_deref(), Some("400 bad label"));
    assert_eq!(row.delivery.accepted, None);
    mend(&ledger, 0).await;
    assert_eq!(pending(&ledger, "am")[0].delivery.refused, None);
}

#[tokio::test]
async fn what_is_suspected_or_merely_worth_knowing_is_no_alert() {
    let ledger = open(Options { linger: Duration::ZERO, ..Options::default() });
    let mut missed = sample(0, &["TLSv1.0"]);
    missed.judgements[0].breaches[0].shown = Evidence::Missed;
    ledger.record(missed).await.expect("a receipt");
    let mut info = sample_of("info.test", 0, Some(&["TLSv1.0"]));
    Arc::make_mut(&mut info.judgements[0].rule).severity = Severity::Info;
    ledger.record(info).await.expect("a receipt");
    assert_eq!(states(&ledger), [FindingState::Suspected, FindingState::Confirmed]);
    assert!(pending(&ledger, "am").is_empty());
}

#[tokio::test]
async fn a_withdrawn_finding_ends_its_alert_and_says_why() {
    let ledger = open(Options { linger: Duration::ZERO, ..Options::default() });
    ledger.record(sample(0, &["TLSv1.0"])).await.expect("a receipt");
    let id = pending(&ledger, "am")[0].alert.id.clone();
    let event = Event::FindingWithdrawn { at: at(9), actor: "ops".into(), id };
    ledger.append(vec![event]).await.expect("withdrawn");
    let row = &pending(&ledger, "am")[0];
    assert_eq!(row.alert.state, AlertState::Resolved);
    assert_eq!(row.alert.annotations["withdrawn"], "by_hand");
}
