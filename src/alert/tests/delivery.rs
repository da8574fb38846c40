//! Couriers against fake receivers.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::fakes::*;
use crate::alert::{Delivery, Kind, Receiver, run};
use crate::ledger::AlertState::{Firing, Resolved};
use crate::outgoing::{HttpClientSpec, Secret};
use crate::sample::Severity;

struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(receivers: Vec<Receiver>, delivery: Delivery) -> Self {
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let task = tokio::spawn(async move {
            run(receivers, delivery, token).await.expect("receivers can be used");
        });
        Self { shutdown, task }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(8), self.task)
            .await
            .expect("stops")
            .expect("ends");
    }

    fn crash(self) {
        self.task.abort();
    }
}

fn webhook(name: &str, port: u16) -> Receiver {
    let url = Url::parse(&format!("http://127.0.0.1:{port}/hook")).expect("a URL");
    let kind = Kind::Webhook { url, hmac_key: Some(Secret::new("key")) };
    let (http, timeout) = (HttpClientSpec::default(), Receiver::TIMEOUT);
    Receiver { name: name.to_owned(), kind, send_resolved: true, http, timeout }
}

#[tokio::test]
async fn an_alert_raised_while_the_receiver_is_down_arrives_when_it_is_up() {
    let outbox = MemoryOutbox::new(&["am"], Clock::new());
    let port = Fake::start(None).await.port;
    let delivery = delivery(&outbox, hasty());
    let metrics = Arc::clone(&delivery.metrics);
    let running = Running::start(vec![alertmanager("am", port)], delivery);
    outbox.set(&alert("a", Severity::High, epoch()));
    let retried = || metrics.deliveries.with_label_values(&["am", "retried"]).get();
    tokio::time::sleep(Duration::from_millis(50)).await;
    eventually("a retry is counted", || retried() > 0).await;
    assert_eq!(metrics.outbox_pending.with_label_values(&["am"]).get(), 1);

    let fake = Fake::start(Some(port)).await;
    eventually("the alert arrives", || fake.heard("a") == [Firing]).await;
    eventually("nothing is pending", || {
        metrics.outbox_pending.with_label_values(&["am"]).get() == 0
    })
    .await;
    let (_, body) = lock(&fake.bodies)[0].clone();
    assert_eq!(body[0]["labels"]["cluster"], "eu1");
    assert_eq!(body[0]["labels"].get("address"), None, "an empty label is no label");
    assert_eq!(body[0]["annotations"]["summary"], "all is  [31mred");
    assert_eq!(body[0]["generatorURL"], "https://secchi.example.com");
    assert_eq!(body[0]["startsAt"], "2027-01-15T08:00:00.000Z");
    running.stop().await;
}

#[tokio::test]
async fn a_slow_receiver_does_not_hold_up_another() {
    let outbox = MemoryOutbox::new(&["slow", "fast"], Clock::new());
    let (slow, fast) = (Fake::start(None).await, Fake::start(None).await);
    lock(&slow.manners).delay = Duration::from_secs(60);
    let receivers = vec![alertmanager("slow", slow.port), alertmanager("fast", fast.port)];
    let running = Running::start(receivers, delivery(&outbox, hasty()));
    outbox.set(&alert("a", Severity::Low, epoch()));
    tokio::time::timeout(
        Duration::from_millis(1500),
        eventually("the fast one hears", || fast.heard("a") == [Firing]),
    )
    .await
    .expect("at once");
    assert!(slow.heard("a").is_empty());
    running.stop().await;
}

#[tokio::test]
async fn one_bad_alert_of_three_hundred_is_isolated_and_marked_refused() {
    for status in [400, 403] {
        let clock = Clock::new();
        let outbox = MemoryOutbox::new(&["am"], clock);
        let fake = Fake::start(None).await;
        {
            let mut manners = lock(&fake.manners);
            (manners.refuse, manners.refuse_status) = (vec!["t77".to_owned()], status);
        }
        for n in 0..300 {
            outbox.set(&alert(&format!("t{n}"), Severity::Low, epoch()));
        }
        let running =
            Running::start(vec![alertmanager("am", fake.port)], delivery(&outbox, hasty()));
        eventually("the other 299 arrive", || {
            (0..300).filter(|n| *n != 77).all(|n| fake.heard(&format!("t{n}")) == [Firing])
        })
        .await;
        eventually("the bad one is refused", || outbox.row("am", "t77").delivery.refused.is_some())
            .await;
        let said = outbox.row("am", "t77").delivery.refused.expect("refused");
        assert!(said.contains("bad alert"), "{said}");
        assert!(fake.heard("t77").is_empty());
        running.stop().await;
    }
}

#[tokio::test]
async fn wrong_credentials_refuse_no_alert() {
    let outbox = MemoryOutbox::new(&["am"], Clock::new());
    let fake = Fake::start(None).await;
    lock(&fake.manners).status = Some(403);
    let delivery = delivery(&outbox, hasty());
    let metrics = Arc::clone(&delivery.metrics);
    outbox.set(&alert("a", Severity::Low, epoch()));
    outbox.set(&alert("b", Severity::Low, epoch()));
    let running = Running::start(vec![alertmanager("am", fake.port)], delivery);
    let retried = || metrics.deliveries.with_label_values(&["am", "retried"]).get();
    eventually("several retries", || retried() > 4).await;
    lock(&fake.manners).status = None;
    eventually("both arrive", || fake.heard("a") == [Firing] && fake.heard("b") == [Firing]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_resolve_waits_for_the_group_and_comes_after_the_firing() {
    let clock = Clock::new();
    let outbox = MemoryOutbox::new(&["am"], clock);
    let fake = Fake::start(None).await;
    let running = Running::start(vec![alertmanager("am", fake.port)], delivery(&outbox, hasty()));
    let firing = alert("a", Severity::High, clock.now());
    outbox.set(&firing);
    eventually("it fires", || fake.heard("a") == [Firing]).await;
    let accepted = outbox.row("am", "a").delivery.accepted_at.expect("accepted");
    outbox.set(&resolved(&firing, clock.now()));
    eventually("it resolves", || fake.heard("a") == [Firing, Resolved]).await;
    eventually("it is recorded", || outbox.row("am", "a").delivery.resolved_at.is_some()).await;
    let held = outbox.row("am", "a").delivery.resolved_at.expect("resolved") - accepted;
    assert!(held >= hasty().min_firing, "held for {held}");
    // It is sent again for a while, and never as firing.
    let count = lock(&fake.bodies).len();
    eventually("it is sent again", || lock(&fake.bodies).len() > count).await;
    assert_eq!(fake.heard("a"), [Firing, Resolved]);
    running.stop().await;
}

#[tokio::test]
async fn a_restart_replays_what_was_resolved_and_a_blip_is_told_as_a_whole() {
    let clock = Clock::new();
    let outbox = MemoryOutbox::new(&["am"], clock);
    let fake = Fake::start(None).await;
    let delivery = delivery(&outbox, hasty());
    let metrics = Arc::clone(&delivery.metrics);
    // It came and went before anybody could hear of it.
    outbox.set(&resolved(&alert("a", Severity::Low, clock.now()), clock.now()));
    let running = Running::start(vec![alertmanager("am", fake.port)], delivery);
    eventually("the blip is told", || fake.heard("a") == [Firing, Resolved]).await;
    lock(&fake.manners).uptime = "2026-01-02T00:00:00Z".into();
    eventually("the replay", || fake.heard("a") == [Firing, Resolved, Firing, Resolved]).await;
    assert_eq!(metrics.receiver_restarts.with_label_values(&["am"]).get(), 1);
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(fake.heard("a").len(), 4, "one restart is one replay");
    running.stop().await;
}

#[tokio::test]
async fn a_crash_of_secchi_loses_nothing() {
    let clock = Clock::new();
    let outbox = MemoryOutbox::new(&["am"], clock);
    let fake = Fake::start(None).await;
    let start = || Running::start(vec![alertmanager("am", fake.port)], delivery(&outbox, hasty()));
    let alerts: Vec<_> =
        (0..20).map(|n| alert(&format!("t{n}"), Severity::Low, clock.now())).collect();
    for (n, alert) in alerts.iter().enumerate() {
        let running = start();
        outbox.set(alert);
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..60))).await;
        running.crash();
        if n % 2 == 0 {
            outbox.set(&resolved(alert, clock.now()));
        }
    }
    let running = start();
    eventually("each is told in its last state", || {
        (0..20).all(|n| {
            let last = if n % 2 == 0 { Resolved } else { Firing };
            fake.heard(&format!("t{n}")).last() == Some(&last)
        })
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_webhook_hears_one_signed_message_a_group_and_transition() {
    let clock = Clock::new();
    let outbox = MemoryOutbox::new(&["hook"], clock);
    let fake = Fake::start(None).await;
    let running = Running::start(vec![webhook("hook", fake.port)], delivery(&outbox, hasty()));
    let (a, b) = (alert("a", Severity::Low, clock.now()), alert("b", Severity::Low, clock.now()));
    outbox.set(&a);
    outbox.set(&b);
    eventually("they fire", || !lock(&fake.bodies).is_empty()).await;
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_eq!(lock(&fake.bodies).len(), 1, "one message for both, and none again");
    let (headers, body) = lock(&fake.bodies)[0].clone();
    assert_eq!(body["version"], "4");
    assert_eq!(body["status"], "firing");
    assert_eq!(body["receiver"], "hook");
    assert_eq!(body["groupKey"], "{}:{rule=\"test\"}");
    assert_eq!(body["groupLabels"]["rule"], "test");
    assert_eq!(body["commonLabels"]["alertname"], "SecchiTest");
    assert_eq!(body["commonLabels"].get("target"), None);
    assert_eq!(body["alerts"].as_array().map(Vec::len), Some(2));
    assert!(headers["x-secchi-signature"].to_str().expect("text").starts_with("sha256="));
    assert_eq!(headers["idempotency-key"].len(), 32);

    outbox.set(&resolved(&a, clock.now()));
    eventually("one resolves", || lock(&fake.bodies).len() == 2).await;
    let (_, body) = lock(&fake.bodies)[1].clone();
    assert_eq!(
        (&body["status"], &body["alerts"][0]["status"]),
        (&"firing".into(), &"resolved".into())
    );
    running.stop().await;
}

#[tokio::test]
async fn the_same_news_has_the_same_idempotency_key() {
    let clock = Clock::new();
    let outbox = MemoryOutbox::new(&["hook"], clock);
    let fake = Fake::start(None).await;
    outbox.set(&alert("a", Severity::Low, clock.now()));
    for _ in 0..2 {
        // The acceptance is lost with the first outbox; the second knows nothing of it.
        let fresh = MemoryOutbox::new(&["hook"], clock);
        fresh.set(&outbox.row("hook", "a").alert);
        let count = lock(&fake.bodies).len();
        let running = Running::start(vec![webhook("hook", fake.port)], delivery(&fresh, hasty()));
        eventually("it arrives", || lock(&fake.bodies).len() > count).await;
        running.crash();
    }
    let bodies = lock(&fake.bodies);
    assert_eq!(bodies[0].0["idempotency-key"], bodies[1].0["idempotency-key"]);
}

#[tokio::test]
async fn the_watchdog_fires_only_while_secchi_samples() {
    for alive in [true, false] {
        let outbox = MemoryOutbox::new(&["am"], Clock::new());
        let fake = Fake::start(None).await;
        let mut delivery = delivery(&outbox, hasty());
        delivery.alive = Arc::new(move || alive);
        let running = Running::start(vec![alertmanager("am", fake.port)], delivery);
        tokio::time::sleep(Duration::from_millis(700)).await;
        let bodies = lock(&fake.bodies).clone();
        assert_eq!(bodies.len() >= 2, alive, "{bodies:?}");
        if let Some((_, body)) = bodies.first() {
            assert_eq!(body[0]["labels"]["alertname"], "SecchiWatchdog");
            assert_eq!(body[0]["labels"]["cluster"], "eu1");
        }
        running.stop().await;
    }
}
