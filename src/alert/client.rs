//! One receiver's HTTP: requests with its settings, and what an answer means.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, DATE, HOST, HeaderMap, HeaderValue, RETRY_AFTER,
};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use url::Url;

use super::message::{Externals, PostableAlert, clean};
use super::plan::Batch;
use super::receiver::{Kind, Receiver};
use super::{AlertError, tls, webhook};

/// What an answer means for the alerts of a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// 2xx.
    Accepted,
    /// A 4xx that speaks of the alerts: some of them is bad.
    Refused(String),
    /// 403: perhaps of the alerts (a filter on the way), perhaps of us.
    Forbidden(String),
    /// 5xx, 408, 425, or what says that the receiver is set up wrongly: try again.
    Later(String),
    /// 429: not before this.
    Slower(String, Option<TimeDelta>),
    /// No answer.
    Unreached(String),
}

/// A member's present life.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Life {
    /// Its start as the member writes it, and the same by our clock.
    Since { id: String, started: Option<DateTime<Utc>> },
    /// No answer.
    Unreached,
    /// An answer without a start.
    Unsaid,
}

/// A receiver with its connection pool.
pub(super) struct Client {
    http: reqwest::Client,
    receiver: Receiver,
    endpoint: Url,
    headers: HeaderMap,
}

impl Client {
    pub(super) fn new(receiver: Receiver) -> Result<Self, AlertError> {
        let name = receiver.name.clone();
        Self::build(receiver).map_err(|reason| AlertError::Client { receiver: name, reason })
    }

    fn build(receiver: Receiver) -> Result<Self, String> {
        let settings = &receiver.http;
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("secchi/", env!("CARGO_PKG_VERSION")))
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout.min(Duration::from_secs(5)))
            .pool_max_idle_per_host(1)
            .tls_backend_preconfigured(tls::config(settings)?);
        if let Some(url) = &settings.proxy_url {
            builder = builder.proxy(reqwest::Proxy::all(url.clone()).map_err(words)?);
        }
        let mut endpoint = match &receiver.kind {
            Kind::Alertmanager { url } => below(url, "api/v2/alerts"),
            Kind::Webhook { url, .. } => url.clone(),
        };
        let mut headers = authorization(&receiver)?;
        if let Some(server_name) = &settings.server_name {
            if settings.proxy_url.is_some() {
                return Err("server_name and proxy_url cannot be had together".to_owned());
            }
            headers.insert(HOST, authority(&endpoint)?);
            let host = endpoint.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            endpoint
                .set_host(Some(server_name))
                .map_err(|error| format!("server_name: {error}"))?;
            // HTTP/2 has no Host of its own beside the name in the URL.
            builder = builder.dns_resolver(Arc::new(Elsewhere(host))).http1_only();
        }
        let http = builder.build().map_err(words)?;
        Ok(Self { http, receiver, endpoint, headers })
    }

    pub(super) fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// Sends one request.
    pub(super) async fn send(&self, batch: &Batch, externals: &Externals) -> Answer {
        let mut headers = self.headers.clone();
        let body = match &self.receiver.kind {
            Kind::Alertmanager { .. } => {
                let alerts: Vec<_> =
                    batch.entries.iter().map(|e| PostableAlert::new(e, externals)).collect();
                serde_json::to_vec(&alerts)
            }
            Kind::Webhook { hmac_key, .. } => {
                let message = webhook::Message::new(batch, &self.receiver.name, externals);
                let body = serde_json::to_vec(&message);
                let key = HeaderValue::try_from(webhook::idempotency_key(batch)).ok();
                headers.extend(key.map(|key| (IDEMPOTENCY_KEY, key)));
                if let (Some(secret), Ok(body)) = (hmac_key, &body) {
                    let signature = HeaderValue::try_from(webhook::signature(secret, body)).ok();
                    headers.extend(signature.map(|value| (SIGNATURE, value)));
                }
                body
            }
        };
        let Ok(body) = body else { return Answer::Refused("not writable as JSON".to_owned()) };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = self.http.post(self.endpoint.clone()).headers(headers).body(body);
        match request.send().await {
            Ok(response) => answer(response).await,
            Err(error) => Answer::Unreached(words(error)),
        }
    }

    /// Asks an Alertmanager when its present life began.
    pub(super) async fn life(&self, now: DateTime<Utc>) -> Life {
        let url = below(&self.endpoint, "../status");
        let request = self.http.get(url).headers(self.headers.clone());
        let Ok(response) = request.send().await else { return Life::Unreached };
        if response.status().is_server_error() {
            return Life::Unreached;
        }
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        let body = bounded(response, STATUS_BYTES).await.unwrap_or_default();
        let Ok(status) = serde_json::from_slice::<Status>(&body) else { return Life::Unsaid };
        let started = DateTime::parse_from_rfc3339(&status.uptime).ok();
        // Its clock may differ from ours: the answer's Date says by how much.
        let started = started.zip(date).map(|(started, date)| now - (date - started));
        Life::Since { id: status.uptime, started }
    }
}

#[derive(Deserialize)]
struct Status {
    uptime: String,
}

async fn answer(response: Response) -> Answer {
    let status = response.status();
    if status.is_success() {
        return Answer::Accepted;
    }
    let wish = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wish = wish.and_then(|text| text.trim().parse().ok()).and_then(TimeDelta::try_seconds);
    let body = bounded(response, ERROR_BYTES).await.unwrap_or_default();
    let body: String = String::from_utf8_lossy(&body).chars().take(200).collect();
    let said = clean(format!("{status} {body}").trim(), false);
    match status {
        StatusCode::TOO_MANY_REQUESTS => Answer::Slower(said, wish),
        StatusCode::SERVICE_UNAVAILABLE if wish.is_some() => Answer::Slower(said, wish),
        StatusCode::FORBIDDEN => Answer::Forbidden(said),
        // Said of the receiver's address or credentials, never of an alert. An operator mends it,
        // and no alert may be lost till then.
        StatusCode::UNAUTHORIZED
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        | StatusCode::REQUEST_TIMEOUT
        | StatusCode::MISDIRECTED_REQUEST
        | StatusCode::TOO_EARLY => Answer::Later(said),
        status if status.is_client_error() => Answer::Refused(said),
        _ => Answer::Later(said),
    }
}

/// The body up to a bound; `None` if it is longer or breaks off.
async fn bounded(mut response: Response, bound: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > bound {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

/// The URL with a path below its own, whether that ends in a slash or not.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let mut own: Vec<&str> = base.path().split('/').filter(|step| !step.is_empty()).collect();
    for step in path.split('/') {
        if step == ".." {
            own.pop();
        } else {
            own.push(step);
        }
    }
    url.set_path(&own.join("/"));
    url
}

fn authority(url: &Url) -> Result<HeaderValue, String> {
    let host = url.host_str().unwrap_or_default();
    let text = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    HeaderValue::try_from(text).map_err(|error| error.to_string())
}

fn authorization(receiver: &Receiver) -> Result<HeaderMap, String> {
    use base64::Engine as _;
    let mut headers = HeaderMap::new();
    let settings = &receiver.http;
    let value = match (&settings.authorization, &settings.basic_auth) {
        (Some((kind, secret)), _) => {
            [kind.as_bytes(), b" ", secret.expose().trim_ascii().as_bytes()].concat()
        }
        (None, Some((user, secret))) => {
            let pair = [user.as_bytes(), b":", secret.expose().as_bytes()].concat();
            let pair = base64::engine::general_purpose::STANDARD.encode(pair);
            format!("Basic {pair}").into_bytes()
        }
        (None, None) => return Ok(headers),
    };
    let mut value = HeaderValue::from_bytes(&value)
        .map_err(|_| "authorization holds characters that no header carries".to_owned())?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(headers)
}

/// The error with its causes, without the URL: that may be a secret.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    clean(&text, false).chars().take(300).collect()
}

/// Resolves every name to where one other host is: the URL then carries `server_name`.
struct Elsewhere(String);

impl Resolve for Elsewhere {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

const IDEMPOTENCY_KEY: reqwest::header::HeaderName =
    reqwest::header::HeaderName::from_static("idempotency-key");
const SIGNATURE: reqwest::header::HeaderName =
    reqwest::header::HeaderName::from_static("x-secchi-signature");

/// A status answer carries the member's whole config.
const STATUS_BYTES: usize = 4 << 20;
const ERROR_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_prefix_is_kept() {
        for (base, expected) in [
            ("http://h:9093", "http://h:9093/api/v2/alerts"),
            ("http://h/am/", "http://h/am/api/v2/alerts"),
            ("http://h/am", "http://h/am/api/v2/alerts"),
        ] {
            let url = below(&Url::parse(base).expect(base), "api/v2/alerts");
            assert_eq!(url.as_str(), expected);
            assert!(below(&url, "../status").as_str().ends_with("/api/v2/status"));
        }
    }
}
