//! A ledger in memory, a daemon that answers, and a way to ask the router.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use crate::finding::{Count, Finding, FindingKey, FindingState, Spread};
use crate::ledger::latest::Latest;
use crate::ledger::{
    Context, EvidenceFilter, EvidencePage, EvidenceRow, FindingFilter, LedgerError, SampleRow,
    TargetRow, View,
};
use crate::sample::{Evidence, Severity};
use crate::target::ProbeKind;
use crate::telemetry::Metrics;
use crate::web::gate::Connection;
use crate::web::router::router;
use crate::web::{Command, ProbeAnswer, Refusal, Right, Security, Settings, Site, Token};

pub(super) const HOSTILE: &str = "<script>alert(1)</script>\u{1b}[2J\u{202e}";

pub(super) fn epoch() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a time")
}

pub(super) fn finding(n: usize, target: &str) -> Finding {
    Finding {
        id: format!("f{n:05}"),
        key: FindingKey {
            rule: "tls-legacy-protocol".into(),
            target: target.into(),
            address: "192.0.2.1".parse().ok(),
            subject: "TLSv1.0".into(),
        },
        probe: ProbeKind::Tls,
        severity: Severity::ALL[n % 5],
        state: if n.is_multiple_of(2) { FindingState::Confirmed } else { FindingState::Resolved },
        measure: "tls.versions".into(),
        measured: json!([HOSTILE]),
        range: "none of TLSv1.0".into(),
        summary: "an old protocol".into(),
        remedy: "turn it off".into(),
        evidence: HOSTILE.to_owned(),
        controls: Arc::default(),
        labels: Arc::default(),
        shown: Evidence::Shown,
        first_seen: epoch() - TimeDelta::minutes(90),
        last_seen: epoch(),
        last_judged: epoch(),
        confirmed_at: None,
        ended_at: None,
        note: None,
        excepted_until: None,
        samples: 1,
        positives: 1,
        clean: 0,
    }
}

pub(super) struct MemoryView(pub(super) Vec<Finding>);

impl View for MemoryView {
    fn contexts(&self, findings: &[Finding]) -> Result<Vec<Context>, LedgerError> {
        let one = |finding: &Finding| Context {
            share: finding.share(),
            spread: Spread::of(Count::of(1, 1), Count::of(1, 1)),
            last_deployment: None,
        };
        Ok(findings.iter().map(one).collect())
    }

    fn findings(&self, filter: &FindingFilter) -> Result<Vec<Finding>, LedgerError> {
        let passes = |finding: &&Finding| {
            (filter.states.is_empty() || filter.states.contains(&finding.state))
                && filter.severity.is_none_or(|severity| finding.severity >= severity)
                && filter.target.as_ref().is_none_or(|target| **target == *finding.key.target)
                && filter.after.as_ref().is_none_or(|after| finding.id > *after)
        };
        Ok(self.0.iter().filter(passes).take(filter.limit).cloned().collect())
    }

    fn finding(&self, id: &str) -> Result<Option<Finding>, LedgerError> {
        Ok(self.0.iter().find(|finding| finding.id == id).cloned())
    }

    fn samples(
        &self,
        target: &str,
        _: Option<ProbeKind>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<SampleRow>, LedgerError> {
        let ids = (0..25_i64).rev().filter(|id| before.is_none_or(|before| *id < before));
        let row = |id| SampleRow { id, sample: json!({ "target": target }) };
        Ok(ids.take(limit).map(row).collect())
    }

    fn evidence(&self, filter: &EvidenceFilter) -> Result<EvidencePage, LedgerError> {
        let rows = (0..7).map(|n| EvidenceRow {
            target: HOSTILE.into(),
            probe: ProbeKind::Tls,
            address: "2001:db8::1".parse().ok(),
            rule: format!("tls-rule-{n}").into(),
            range: "at least 1".into(),
            samples: 44,
            positives: u64::from(n == 0),
            unknown: 2,
            due: 50,
            taken: 46,
            oldest: Some(epoch() - TimeDelta::days(3)),
            retired: false,
        });
        let rows = rows.filter(|row| {
            filter.after.as_ref().is_none_or(|after| row.key() > *after)
                && filter.rule.as_ref().is_none_or(|rule| **rule == *row.rule)
        });
        Ok(EvidencePage { since: filter.since, rows: rows.take(filter.limit).collect() })
    }
}

/// What was changed, and by whom.
type Notes = Arc<Mutex<Vec<(&'static str, String)>>>;

/// Answers every command; those that change something are noted as (what, who).
fn daemon() -> (mpsc::Sender<Command>, Notes) {
    let (sender, mut commands) = mpsc::channel(8);
    let notes: Notes = Arc::default();
    let noted = Arc::clone(&notes);
    tokio::spawn(async move {
        while let Some(command) = commands.recv().await {
            let note = |what, who| noted.lock().expect("unpoisoned").push((what, who));
            match command {
                Command::Reload { actor, reply } => {
                    note("reload", actor);
                    let _ = reply.send(Ok(()));
                }
                Command::MarkDeployment { actor, deployment, reply } => {
                    note("deploy", actor);
                    let _ = reply.send(Ok(json!(deployment)));
                }
                Command::AddException { actor, exception, reply } => {
                    note("exception", actor);
                    let _ = reply.send(Ok(json!(exception)));
                }
                Command::AcceptBaseline { actor, baseline, reply } => {
                    note("baseline", actor);
                    let _ = reply.send(Ok(json!(baseline)));
                }
                Command::Sample { actor, reply, .. } => {
                    note("sample", actor);
                    let _ = reply.send(Ok(3));
                }
                Command::Baseline { target, reply } | Command::Explain { target, reply } => {
                    let _ = reply.send(Err(Refusal::NotFound(format!("no target {target}"))));
                }
                Command::Status { reply } => drop(reply.send(Ok(json!({})))),
                Command::List { after, limit, reply, .. } => {
                    let all = (0..7).map(|n| json!({ "id": n.to_string() }));
                    let rest = all.filter(|r| {
                        after.as_ref().is_none_or(|after| r["id"].as_str() > Some(after.as_str()))
                    });
                    let _ = reply.send(Ok(rest.take(limit).collect()));
                }
                Command::Targets { query, reply } => {
                    let rows = ["a", "b,with,commas", "c"].map(row);
                    let after = query.after.map(|(target, ..)| target);
                    let rest = rows
                        .into_iter()
                        .filter(|row| after.as_ref().is_none_or(|after| *row.target > **after));
                    let _ = reply.send(Ok(rest.take(query.limit).collect()));
                }
                Command::Probe { target, reply, .. } => {
                    let answer = match target.as_str() {
                        "https://shop.example.com" => Some(Ok(probe_answer())),
                        "slow" => None,
                        _ => Some(Err(Refusal::NotFound("no such target".to_owned()))),
                    };
                    match answer {
                        Some(answer) => drop(reply.send(answer)),
                        None => std::mem::forget(reply),
                    }
                }
            }
        }
    });
    (sender, notes)
}

fn row(target: &str) -> TargetRow {
    TargetRow {
        target: target.into(),
        probe: ProbeKind::Tls,
        address: "2001:db8::1".parse().ok(),
        labels: Arc::new(BTreeMap::new()),
        plan: "default".into(),
        verdict: None,
        last_sample: None,
        last_known: None,
        next_due: None,
    }
}

fn probe_answer() -> ProbeAnswer {
    let sample = |probe: &str, verdict: &str, measurements: Value| {
        json!({
            "target": "https://shop.example.com", "probe": probe, "address": "192.0.2.1",
            "duration_seconds": 0.25, "verdict": verdict, "measurements": measurements,
        })
    };
    let tls = json!({
        "negotiated": { "version": "TLSv1.3", "cipher_suite": "TLS_AES_128_GCM_SHA256\"\n" },
        "certificates": [{ "not_after": "2030-01-01T00:00:00Z",
                           "chain": [{ "not_after": "2029-01-01T00:00:00Z" }] }],
    });
    let http = json!({
        "status": 200,
        "redirection": { "hops": 1 },
        "hops": [{ "url": "https://shop.example.com/", "version": "HTTP/1.1",
                   "timings": { "connect": 0.01, "total": 0.2 }, "headers": [["x", HOSTILE]] }],
    });
    let samples = vec![sample("tls", "in_range", tls), sample("http", "in_range", http)];
    ProbeAnswer { samples, age: std::time::Duration::from_secs(3) }
}

pub(super) fn settings() -> Settings {
    Settings {
        tokens: vec![
            Token::new("ci", b"ci-secret", [Right::Deploy, Right::Sample]),
            Token::new(
                "admin",
                b"admin-secret",
                [Right::Baseline, Right::Exception, Right::Reload],
            ),
        ],
        external_url: "https://secchi.example.com".parse().ok(),
        ..Settings::default()
    }
}

/// A site with its fakes.
pub(super) struct House {
    pub(super) site: Arc<Site>,
    pub(super) notes: Notes,
    pub(super) latest: Arc<Latest>,
    pub(super) metrics: Arc<Metrics>,
}

impl House {
    pub(super) fn new(settings: Settings) -> Self {
        let findings = (0..25).map(|n| finding(n, HOSTILE)).collect();
        let latest = Arc::new(Latest::default());
        let metrics = Arc::new(Metrics::new().expect("metrics"));
        let (commands, notes) = daemon();
        let site = Site::new(
            Arc::new(MemoryView(findings)),
            Arc::clone(&latest),
            Arc::clone(&metrics),
            commands,
            Arc::new(epoch),
            settings,
        );
        Self { site: Arc::new(site), notes, latest, metrics }
    }

    pub(super) fn router(&self) -> Router {
        router(Arc::clone(&self.site), Arc::new(Security::none()))
    }

    /// A request over loopback.
    pub(super) fn near(&self, method: &str, path: &str) -> Ask {
        let connection = Connection { is_local: true, has_certificate: false };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1:9640")
            .extension(connection);
        Ask { router: self.router(), request, body: Body::empty() }
    }

    /// A request from elsewhere.
    pub(super) fn far(&self, method: &str, path: &str) -> Ask {
        let mut ask = self.near(method, path);
        ask.request = ask.request.extension(Connection::default());
        ask
    }
}

pub(super) struct Ask {
    router: Router,
    request: http::request::Builder,
    body: Body,
}

impl Ask {
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if name == "host" {
            self.request.headers_mut().expect("headers").remove("host");
        }
        self.request = self.request.header(name, value);
        self
    }

    pub(super) fn token(self, secret: &str) -> Self {
        self.with("authorization", &format!("Bearer {secret}"))
    }

    pub(super) fn json(mut self, body: &Value) -> Self {
        self.body = Body::from(body.to_string());
        self.with("content-type", "application/json")
    }

    pub(super) fn raw(mut self, body: Vec<u8>) -> Self {
        self.body = Body::from(body);
        self
    }

    pub(super) async fn send(self) -> (StatusCode, http::HeaderMap, String) {
        let request = self.request.body(self.body).expect("a request");
        let (parts, body) = self.router.oneshot(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).expect("UTF-8"))
    }

    pub(super) async fn status(self) -> u16 {
        self.send().await.0.as_u16()
    }

    pub(super) async fn value(self) -> Value {
        let (status, _, body) = self.send().await;
        assert_eq!(status, StatusCode::OK, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }
}
