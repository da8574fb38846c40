//! What every request passes before its handler: rate limit, Host and Origin, access; and what
//! every answer gets on its way out.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use axum::http::request::Parts;
use axum::http::{StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::access::{self, Access, Asker, Denial, Rules};
use super::error::Problem;
use super::routes;
use super::security::{Loaded, Security};
use super::site::{Applied, Site};

/// In whose name a request is made; empty if nobody said.
#[derive(Clone, Debug)]
pub(super) struct Actor(pub(super) String);

/// What the connection says of the asker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Connection {
    /// The listener and the asker have loopback addresses.
    pub(super) is_local: bool,
    /// Showed a certificate that we verified.
    pub(super) has_certificate: bool,
}

/// The state of the gate.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) site: Arc<Site>,
    pub(super) security: Arc<Security>,
}

/// The gate itself, around every route.
pub(super) async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let path = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let loaded = gate.security.current();
    let answer = match admit(&gate, &loaded, path.as_deref(), &parts).await {
        Ok(actor) => {
            parts.extensions.insert(Actor(actor));
            next.run(Request::from_parts(parts, body)).await
        }
        Err(problem) => problem.into_response(),
    };
    let route = path.as_deref().unwrap_or("other");
    let status = answer.status();
    let labels = [route, status.as_str()];
    gate.site.metrics.http_requests.with_label_values(&labels).inc();
    dress(answer, &loaded)
}

async fn admit(
    gate: &Gate,
    loaded: &Loaded,
    path: Option<&str>,
    request: &Parts,
) -> Result<String, Problem> {
    if let Some(rate) = loaded.config.rate_limit
        && !gate.security.may_pass(rate)
    {
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate limited"));
    }
    let path = path.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no such page"))?;
    let access = routes::access(request.method.as_str(), path)
        .ok_or_else(|| Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no such method here"))?;
    let connection = request.extensions.get::<Connection>().copied().unwrap_or_default();
    let applied = gate.site.applied();
    let users = &loaded.config.basic_auth_users;
    let (is_user, token) = match credentials(&request.headers) {
        Credentials::Basic(user, password) if !users.is_empty() => {
            (gate.security.basic.check(users, &user, &password).await, None)
        }
        Credentials::Bearer(secret) => (false, access::find(&applied.settings.tokens, &secret)),
        _ => (false, None),
    };
    let is_known = is_user || (connection.has_certificate && loaded.verifies_clients());
    // Behind a proxy on this machine everybody looks local: good enough to read what the operator
    // put behind it, not to change anything.
    let is_forwarded = FORWARDED.iter().any(|name| request.headers.contains_key(*name));
    let is_local = connection.is_local && !(is_forwarded && matches!(access, Access::Write(_)));
    let asker = Asker { is_local, is_known, token };
    let rules = Rules {
        has_users: !users.is_empty(),
        has_tokens: !applied.settings.tokens.is_empty(),
        allow_unauthenticated: applied.settings.allow_unauthenticated,
    };
    check_site(access, is_known || token.is_some(), &applied, request)?;
    access::decide(access, &asker, &rules).map_err(|denial| match denial {
        Denial::NeedsUser => Problem::unauthorized(denial.words(), "Basic realm=\"secchi\""),
        Denial::NeedsToken => Problem::unauthorized(denial.words(), "Bearer realm=\"secchi\""),
        Denial::Lacks(_) => Problem::new(StatusCode::FORBIDDEN, denial.words()),
    })
}

/// Whether the request can have been made by a page of another site. Reading with credentials is
/// safe: no browser sends ours to a name that is not ours.
fn check_site(
    access: Access,
    has_credentials: bool,
    applied: &Applied,
    request: &Parts,
) -> Result<(), Problem> {
    let is_write = matches!(access, Access::Write(_));
    let is_open = matches!(access, Access::Health | Access::Metrics);
    if is_open || (has_credentials && !is_write) {
        return Ok(());
    }
    let host = host(request);
    let names = &applied.names;
    if !names.knows_host(host) {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "the Host field does not name Secchi; set web.external_url, or ask by address",
        ));
    }
    let origin = text(&request.headers, &ORIGIN);
    let is_foreign = text(&request.headers, &SEC_FETCH_SITE) == Some("cross-site");
    if is_write && (!names.knows_origin(origin, host) || is_foreign) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "a page of another site may not do this"));
    }
    Ok(())
}

/// The Host field, or HTTP/2's :authority.
fn host(request: &Parts) -> Option<&str> {
    if request.version == Version::HTTP_2 {
        return request.uri.authority().map(|authority| authority.as_str());
    }
    let mut hosts = request.headers.get_all(HOST).iter();
    // Two Host fields name nobody.
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"))
}

enum Credentials {
    Basic(String, Vec<u8>),
    Bearer(Vec<u8>),
    None,
}

fn credentials(headers: &HeaderMap) -> Credentials {
    let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, rest)) = value.and_then(|value| value.split_once(' ')) else {
        return Credentials::None;
    };
    if scheme.eq_ignore_ascii_case("bearer") {
        return Credentials::Bearer(rest.trim().as_bytes().to_vec());
    }
    let pair = scheme.eq_ignore_ascii_case("basic").then(|| STANDARD.decode(rest.trim()).ok());
    let Some(pair) = pair.flatten() else { return Credentials::None };
    let Some(colon) = pair.iter().position(|byte| *byte == b':') else { return Credentials::None };
    match std::str::from_utf8(&pair[..colon]) {
        Ok(user) => Credentials::Basic(user.to_owned(), pair[colon + 1..].to_vec()),
        Err(_) => Credentials::None,
    }
}

/// Safe fields on every answer; those of the handler and of the web config win.
fn dress(mut answer: Response, loaded: &Loaded) -> Response {
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    for (name, value) in loaded.config.http_server_config.fields() {
        headers.insert(name, value);
    }
    answer
}

const FORWARDED: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
