//! An outbox in memory, a fake receiver that records, and a clock.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::alert::{Delivery, Kind, Receiver, Timing};
use crate::ledger::{Ack, Alert, AlertState, LedgerError, Outbox, OutboxRow};
use crate::outgoing::HttpClientSpec;
use crate::sample::Severity;
use crate::telemetry::Metrics;

pub(super) fn epoch() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a time")
}

pub(super) fn alert(id: &str, severity: Severity, at: DateTime<Utc>) -> Alert {
    let labels = [("alertname", "SecchiTest"), ("target", id), ("rule", "test"), ("address", "")];
    Alert {
        id: id.to_owned(),
        labels: labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        annotations: BTreeMap::from([("summary".to_owned(), "all is \u{1b}[31mred".to_owned())]),
        severity,
        state: AlertState::Firing,
        starts_at: at,
        ends_at: None,
        changed_at: at,
    }
}

pub(super) fn resolved(alert: &Alert, at: DateTime<Utc>) -> Alert {
    Alert { state: AlertState::Resolved, ends_at: Some(at), changed_at: at, ..alert.clone() }
}

/// What the ledger keeps: it outlives the couriers of a test as it outlives a crash.
#[derive(Debug)]
pub(super) struct MemoryOutbox {
    rows: Mutex<BTreeMap<(String, String), OutboxRow>>,
    receivers: Vec<String>,
    version: watch::Sender<u64>,
    clock: Clock,
}

impl MemoryOutbox {
    pub(super) fn new(receivers: &[&str], clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            rows: Mutex::default(),
            receivers: receivers.iter().map(|name| (*name).to_owned()).collect(),
            version: watch::Sender::new(0),
            clock,
        })
    }

    pub(super) fn set(&self, alert: &Alert) {
        for receiver in &self.receivers {
            let key = (receiver.clone(), alert.id.clone());
            let mut rows = lock(&self.rows);
            let row = rows.entry(key).or_insert_with(|| OutboxRow {
                alert: alert.clone(),
                delivery: Default::default(),
            });
            row.alert = alert.clone();
        }
        self.version.send_modify(|version| *version += 1);
    }

    pub(super) fn row(&self, receiver: &str, id: &str) -> OutboxRow {
        lock(&self.rows)[&(receiver.to_owned(), id.to_owned())].clone()
    }
}

impl Outbox for MemoryOutbox {
    fn pending(&self, receiver: &str) -> Result<Vec<OutboxRow>, LedgerError> {
        let now = self.clock.now();
        let rows = lock(&self.rows);
        let rows = rows.iter().filter(|((name, _), row)| name == receiver && is_pending(row, now));
        Ok(rows.map(|(_, row)| row.clone()).collect())
    }

    fn acknowledge<'a>(
        &'a self,
        receiver: &'a str,
        acks: Vec<Ack>,
    ) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async move {
            for ack in acks {
                let key = (receiver.to_owned(), ack.id.clone());
                if let Some(row) = lock(&self.rows).get_mut(&key) {
                    record(row, &ack);
                }
            }
            Ok(())
        })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}

pub(super) fn is_pending(row: &OutboxRow, now: DateTime<Utc>) -> bool {
    let delivery = &row.delivery;
    row.alert.state == AlertState::Firing
        || delivery.accepted != Some(AlertState::Resolved)
        || delivery.resolved_at.is_none_or(|at| now - at < TimeDelta::hours(1))
}

pub(super) fn record(row: &mut OutboxRow, ack: &Ack) {
    let delivery = &mut row.delivery;
    if ack.refused.is_some() {
        delivery.refused = ack.refused.clone();
        return;
    }
    delivery.accepted = Some(ack.state);
    delivery.accepted_at = Some(ack.at);
    if ack.state == AlertState::Resolved {
        delivery.resolved_at.get_or_insert(ack.at);
    }
}

/// Time of a test: an epoch and tokio's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) epoch: DateTime<Utc>,
    pub(super) started: Instant,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { epoch: epoch(), started: Instant::now() }
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.epoch + TimeDelta::from_std(self.started.elapsed()).expect("a short test")
    }
}

/// Everything a hundred times faster.
pub(super) fn hasty() -> Timing {
    let ms = TimeDelta::milliseconds;
    Timing {
        resend: ms(400),
        min_firing: ms(300),
        resolved_resend: ms(2000),
        replay_window: ms(20_000),
        status_interval: ms(100),
        group_wait: ms(100),
        group_interval: ms(200),
        backoff_min: ms(20),
        backoff_max: ms(100),
        ..Timing::default()
    }
}

pub(super) fn delivery(outbox: &Arc<MemoryOutbox>, timing: Timing) -> Delivery {
    let clock = outbox.clock;
    Delivery {
        outbox: Arc::clone(outbox) as Arc<dyn Outbox>,
        external_labels: BTreeMap::from([("cluster".to_owned(), "eu1".to_owned())]),
        external_url: "https://secchi.example.com".to_owned(),
        clock: Arc::new(move || clock.now()),
        alive: Arc::new(|| false),
        seed: 7,
        timing,
        metrics: Arc::new(Metrics::new().expect("metrics")),
    }
}

pub(super) fn alertmanager(name: &str, port: u16) -> Receiver {
    let url = Url::parse(&format!("http://127.0.0.1:{port}")).expect("a URL");
    let (kind, timeout) = (Kind::Alertmanager { url }, Duration::from_secs(2));
    let http = HttpClientSpec::default();
    Receiver { name: name.to_owned(), kind, send_resolved: true, http, timeout }
}

/// How a fake answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Manners {
    pub(super) delay: Duration,
    /// Answered to any request that holds an alert of one of these targets.
    pub(super) refuse: Vec<String>,
    pub(super) refuse_status: u16,
    /// Answered to everything, if set.
    pub(super) status: Option<u16>,
    /// The life that the status endpoint tells of.
    pub(super) uptime: String,
}

/// A receiver that records what it accepts.
pub(super) struct Fake {
    pub(super) port: u16,
    pub(super) manners: Arc<Mutex<Manners>>,
    /// Bodies accepted, with their header fields.
    pub(super) bodies: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    stop: CancellationToken,
}

impl Fake {
    pub(super) async fn start(port: Option<u16>) -> Self {
        let listener = listen(port).await;
        let fake = Self {
            port: listener.local_addr().expect("an address").port(),
            manners: Arc::new(Mutex::new(Manners {
                uptime: "2026-01-01T00:00:00Z".into(),
                refuse_status: 400,
                ..Manners::default()
            })),
            bodies: Arc::default(),
            stop: CancellationToken::new(),
        };
        let router = Router::new()
            .route("/api/v2/alerts", post(take))
            .route("/hook", post(take))
            .route("/api/v2/status", get(status))
            .with_state((Arc::clone(&fake.manners), Arc::clone(&fake.bodies)));
        let stop = fake.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                _ = axum::serve(listener, router) => {}
            }
        });
        fake
    }

    /// Every (target, state) accepted, in order, without immediate repeats.
    pub(super) fn heard(&self, target: &str) -> Vec<AlertState> {
        let mut heard = Vec::new();
        for (_, body) in lock(&self.bodies).iter() {
            let alerts = body.as_array().or_else(|| body["alerts"].as_array()).expect("alerts");
            for alert in alerts.iter().filter(|alert| alert["labels"]["target"] == target) {
                heard.push(state_of(alert));
            }
        }
        heard.dedup();
        heard
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn state_of(alert: &Value) -> AlertState {
    let ends = alert["endsAt"].as_str().expect("endsAt is always set");
    let ends = DateTime::parse_from_rfc3339(ends).expect("RFC 3339");
    // A hasty test lasts seconds; a firing alert's end lies minutes ahead or is Go's zero time.
    let is_over = ends < epoch() + TimeDelta::minutes(3) && ends > epoch() - TimeDelta::days(1);
    if is_over { AlertState::Resolved } else { AlertState::Firing }
}

type Shared = (Arc<Mutex<Manners>>, Arc<Mutex<Vec<(HeaderMap, Value)>>>);

async fn take(
    State((manners, bodies)): State<Shared>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let manners = lock(&manners).clone();
    tokio::time::sleep(manners.delay).await;
    let code = |status| StatusCode::from_u16(status).expect("a status");
    if let Some(status) = manners.status {
        return code(status).into_response();
    }
    if manners.refuse.iter().any(|target| body.contains(&format!("\"target\":\"{target}\""))) {
        return (code(manners.refuse_status), "bad alert").into_response();
    }
    let body = serde_json::from_str(&body).expect("JSON");
    lock(&bodies).push((headers, body));
    StatusCode::OK.into_response()
}

async fn status(State((manners, _)): State<Shared>) -> Json<Value> {
    Json(json!({ "uptime": lock(&manners).uptime, "config": { "original": "" } }))
}

/// A listener outside the range that the system gives to clients.
pub(super) async fn listen(port: Option<u16>) -> TcpListener {
    for free in crate::testing::ports() {
        let port = port.unwrap_or(free);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no free port");
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until it holds.
pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
