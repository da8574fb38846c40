//! Health, reload and Secchi's own metrics.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::command::Command;
use super::error::Problem;
use super::gate::Actor;
use super::site::Site;

pub(super) async fn healthy() -> &'static str {
    "Secchi is healthy.\n"
}

pub(super) async fn ready(State(site): State<Arc<Site>>) -> (StatusCode, &'static str) {
    match site.is_ready() {
        true => (StatusCode::OK, "Secchi is ready.\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "Secchi is not ready.\n"),
    }
}

pub(super) async fn reload(
    State(site): State<Arc<Site>>,
    Extension(Actor(actor)): Extension<Actor>,
) -> Result<&'static str, Problem> {
    site.ask(RELOAD, |reply| Command::Reload { actor, reply }).await?;
    Ok("Reloaded.\n")
}

pub(super) async fn metrics(State(site): State<Arc<Site>>) -> Response {
    match site.metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(error) => {
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}

/// Prometheus' text exposition.
pub(super) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A reload may resolve names and read lists.
const RELOAD: Duration = Duration::from_secs(60);
