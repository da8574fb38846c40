//! Sources against real files and a real HTTP server on loopback.

use std::fs;
use std::sync::Arc;
use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;

use super::*;
use crate::outgoing::Secret;
use crate::testing::{HERE, listener};

/// What the server answers, and what it was asked with.
#[derive(Default)]
struct Script {
    status: u16,
    kind: &'static str,
    body: String,
    asked: Option<HeaderMap>,
}

type Shared = Arc<Mutex<Script>>;

async fn answer(State(script): State<Shared>, headers: HeaderMap) -> impl IntoResponse {
    let mut script = script.lock().expect("the script");
    script.asked = Some(headers);
    let status = StatusCode::from_u16(script.status).expect("a status");
    (status, [("content-type", script.kind)], script.body.clone())
}

async fn serve() -> (Url, Shared, tokio::task::AbortHandle) {
    let script = Shared::default();
    let (listener, port) = listener(HERE).await;
    let url = format!("http://127.0.0.1:{port}/sd");
    let app = Router::new().route("/sd", get(answer)).with_state(Arc::clone(&script));
    let task = tokio::spawn(async move {
        let _ = axum::serve(listener, app).await;
    });
    (url.parse().expect("a url"), script, task.abort_handle())
}

fn say(script: &Shared, status: u16, kind: &'static str, body: &str) {
    let mut script = script.lock().expect("the script");
    *script = Script { status, kind, body: body.to_owned(), asked: None };
}

fn http_source(url: &Url, http: HttpClientSpec) -> SourceSpec {
    SourceSpec::Http { url: url.clone(), refresh: Duration::from_secs(60), http: Box::new(http) }
}

const JSON: &str = "application/json";

#[tokio::test]
async fn a_failing_source_keeps_its_last_good_list_over_a_restart() {
    let (url, script, server) = serve().await;
    let folder = tempfile::tempdir().expect("a folder");
    let spec = http_source(&url, HttpClientSpec::default());
    let start = || Discovery::new(&spec, 1, "secchi", Some(folder.path())).expect("a source");

    let mut source = start();
    assert_eq!(source.label(), "http_sd/1");
    say(&script, 200, JSON, r#"[{"targets": ["a.test"], "labels": {"team": "x"}}]"#);
    let first = source.refresh().await;
    assert!(first.changed && first.known && first.error.is_none(), "{first:?}");
    assert_eq!(first.next, Duration::from_secs(60));
    assert!(!source.refresh().await.changed);

    for (status, kind, body) in [
        (500, JSON, "[]"),
        (200, "text/html", "[]"),
        (200, JSON, "[{"),
        (200, JSON, r#"[{"targets": ["b.test"], "labels": {"rule": "x"}}]"#),
    ] {
        say(&script, status, kind, body);
        let kept = source.refresh().await;
        assert!(kept.error.is_some() && !kept.changed, "{status} {kind} {body}");
        assert_eq!(kept.groups[0].targets, ["a.test"]);
    }

    server.abort();
    let mut restarted = start();
    let after = restarted.refresh().await;
    assert!(after.error.is_some() && after.known);
    assert_eq!(after.groups, first.groups);
}

#[tokio::test]
async fn a_source_that_never_answered_is_not_known_to_be_empty() {
    let (url, script, _server) = serve().await;
    let mut source =
        Discovery::new(&http_source(&url, HttpClientSpec::default()), 0, "secchi", None)
            .expect("a source");
    say(&script, 503, JSON, "[]");
    let failed = source.refresh().await;
    assert!(!failed.known && failed.groups.is_empty() && failed.error.is_some());
    say(&script, 200, JSON, "[]");
    let empty = source.refresh().await;
    assert!(empty.known && empty.groups.is_empty() && empty.error.is_none());
}

#[tokio::test]
async fn the_request_is_prometheus_own_and_carries_the_credentials() {
    let (url, script, _server) = serve().await;
    let http = HttpClientSpec {
        authorization: Some(("Bearer".to_owned(), Secret::new("s3cret\n"))),
        ..HttpClientSpec::default()
    };
    let mut source = Discovery::new(&http_source(&url, http), 0, "secchi/1 (ops@a.test)", None)
        .expect("a source");
    say(&script, 200, JSON, "[]");
    source.refresh().await;
    let asked = script.lock().expect("the script").asked.take().expect("asked");
    assert_eq!(asked["authorization"], "Bearer s3cret");
    assert_eq!(asked["accept"], "application/json");
    assert_eq!(asked["x-prometheus-refresh-interval-seconds"], "60");
    assert_eq!(asked["user-agent"], "secchi/1 (ops@a.test)");
    assert!(!format!("{source:?}").contains("s3cret"));
}

#[tokio::test]
async fn files_are_followed_and_a_restart_with_a_broken_one_has_its_last_list() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.json");
    fs::write(&file, r#"[{"targets": ["a.test"]}]"#).expect("written");
    let spec = SourceSpec::File {
        patterns: vec![folder.path().join("*.json").to_string_lossy().into_owned()],
        refresh: Duration::from_secs(30),
    };
    let cache = folder.path().join("cache");
    let start = || Discovery::new(&spec, 0, "secchi", Some(&cache)).expect("a source");
    let mut source = start();
    assert_eq!(source.refresh().await.groups.len(), 1);

    fs::write(&file, "broken").expect("written");
    let mut restarted = start();
    let after = restarted.refresh().await;
    assert_eq!(after.groups[0].targets, ["a.test"]);
    assert!(after.error.is_some());

    fs::remove_file(&file).expect("removed");
    let gone = start().accepting_loss().refresh().await;
    assert!(gone.groups.is_empty() && gone.known && gone.changed);
}

#[tokio::test]
async fn a_list_that_lost_over_half_waits_for_a_person_over_restarts_too() {
    let (url, script, _server) = serve().await;
    let folder = tempfile::tempdir().expect("a folder");
    let spec = http_source(&url, HttpClientSpec::default());
    let start = || Discovery::new(&spec, 0, "secchi", Some(folder.path())).expect("a source");
    let mut source = start();
    say(&script, 200, JSON, r#"[{"targets": ["a.test", "b.test", "c.test"]}]"#);
    source.refresh().await;
    say(&script, 200, JSON, r#"[{"targets": ["a.test"]}]"#);
    for source in [&mut source, &mut start()] {
        let held = source.refresh().await;
        assert_eq!((held.groups[0].targets.len(), held.held), (3, 2));
    }

    let mut agreed = start().accepting_loss();
    say(&script, 500, JSON, "");
    assert_eq!(agreed.refresh().await.groups[0].targets.len(), 3);
    say(&script, 200, JSON, r#"[{"targets": ["a.test"]}]"#);
    let accepted = agreed.refresh().await;
    assert_eq!((accepted.groups[0].targets.len(), accepted.held), (1, 0));
    say(&script, 200, JSON, "[]");
    assert_eq!(agreed.refresh().await.held, 1);
}

#[test]
fn only_more_than_half_counts_as_vanished() {
    for (previous, now, expected) in
        [(0, 0, false), (10, 5, false), (10, 4, true), (1, 0, true), (5, 9, false), (2, 1, false)]
    {
        assert_eq!(vanished(previous, now), expected, "{previous} → {now}");
    }
}
