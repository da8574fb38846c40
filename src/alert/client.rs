//! One receiver's HTTP: requests with its settings, and what an answer means.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use url::Url;

use super::message::{Externals, PostableAlert, clean};
use super::plan::Batch;
use super::receiver::{Kind, Receiver};
use super::{AlertError, webhook};
use crate::outgoing::{self, Manner, body, words};

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
    http: outgoing::Client,
    receiver: Receiver,
}

impl Client {
    pub(super) fn new(receiver: Receiver) -> Result<Self, AlertError> {
        let endpoint = match &receiver.kind {
            Kind::Alertmanager { url } => below(url, "api/v2/alerts"),
            Kind::Webhook { url, .. } => url.clone(),
        };
        let manner = Manner { user_agent: AGENT, timeout: receiver.timeout, redirects: 0 };
        match outgoing::Client::new(&receiver.http, &endpoint, manner) {
            Ok(http) => Ok(Self { http, receiver }),
            Err(error) => {
                Err(AlertError::Client { receiver: receiver.name, reason: error.to_string() })
            }
        }
    }

    pub(super) fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// Sends one request.
    pub(super) async fn send(&self, batch: &Batch, externals: &Externals) -> Answer {
        let mut headers = HeaderMap::new();
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
        let request = self.http.request(Method::POST, self.http.url().clone());
        let request = request.headers(headers).body(body);
        match request.send().await {
            Ok(response) => answer(response).await,
            Err(error) => Answer::Unreached(words(error)),
        }
    }

    /// Asks an Alertmanager when its present life began.
    pub(super) async fn life(&self, now: DateTime<Utc>) -> Life {
        let request = self.http.request(Method::GET, below(self.http.url(), "../status"));
        let Ok(response) = request.send().await else { return Life::Unreached };
        if response.status().is_server_error() {
            return Life::Unreached;
        }
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        let body = body(response, STATUS_BYTES).await.ok().flatten().unwrap_or_default();
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
    let body = body(response, ERROR_BYTES).await.ok().flatten().unwrap_or_default();
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

const AGENT: &str = concat!("secchi/", env!("CARGO_PKG_VERSION"));
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
