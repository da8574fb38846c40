//! The router: a handler for each line of the table of routes.

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, middleware};

use super::gate::{self, Gate};
use super::security::Security;
use super::site::Site;
use super::{api, evidence, exposition, health, openapi, page, probe};

pub(super) fn router(site: Arc<Site>, security: Arc<Security>) -> Router {
    let gate = Gate { site: Arc::clone(&site), security };
    Router::new()
        .route("/", get(page::start))
        .route("/-/healthy", get(health::healthy))
        .route("/-/ready", get(health::ready))
        .route("/-/reload", post(health::reload).put(health::reload))
        .route("/metrics", get(health::metrics))
        .route("/metrics/targets", get(exposition::targets))
        .route("/probe", get(probe::probe))
        .route("/api/v1/baselines", get(api::baselines).post(api::accept_baseline))
        .route("/api/v1/deployments", get(api::deployments).post(api::mark_deployment))
        .route("/api/v1/evidence", get(evidence::evidence))
        .route("/api/v1/exceptions", get(api::exceptions).post(api::add_exception))
        .route("/api/v1/findings", get(api::findings))
        .route("/api/v1/findings/{id}", get(api::finding))
        .route("/api/v1/openapi.json", get(openapi::describe))
        .route("/api/v1/samples", get(api::samples).post(api::sample))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/targets", get(api::targets))
        .route("/api/v1/targets/explain", get(api::explain))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .with_state(site)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn_with_state(gate, gate::pass))
}

const BODY_BYTES: usize = 64 << 10;
