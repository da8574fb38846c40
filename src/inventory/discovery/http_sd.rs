//! http_sd: a list over HTTP, with Prometheus' request and its rules for the answer.

use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Response, Url};
use tokio::time::timeout;

use super::groups::{Format, MAX_BYTES, parse_groups};
use super::{DiscoveryError, Group};
use crate::outgoing::{Client, body, words};

/// One poll of a source.
#[derive(Debug)]
pub(super) struct Poll {
    pub(super) client: Client,
    pub(super) url: Url,
    pub(super) refresh: Duration,
}

impl Poll {
    /// Asks for the list; the whole exchange is over within [`PATIENCE`].
    pub(super) async fn fetch(&self) -> Result<Vec<Group>, DiscoveryError> {
        match timeout(PATIENCE, self.exchange()).await {
            Ok(answer) => answer,
            Err(_) => Err(self.failed("no complete answer in time")),
        }
    }

    async fn exchange(&self) -> Result<Vec<Group>, DiscoveryError> {
        let request = self
            .client
            .request(Method::GET, self.client.url().clone())
            .header(ACCEPT, "application/json")
            .header("x-prometheus-refresh-interval-seconds", self.refresh.as_secs().max(1));
        let response = request.send().await.map_err(|error| self.failed(words(error)))?;
        let body = self.body(response).await?;
        parse_groups(&body, Format::Json)
            .map_err(|error| DiscoveryError::Url { url: shown(&self.url), error })
    }

    async fn body(&self, response: Response) -> Result<Vec<u8>, DiscoveryError> {
        if response.status() != http::StatusCode::OK {
            return Err(self.failed(format!("status {} in place of 200", response.status())));
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if !kind.is_some_and(is_json) {
            return Err(self.failed("the Content-Type is not application/json"));
        }
        match body(response, MAX_BYTES).await {
            Ok(Some(body)) => Ok(body),
            Ok(None) => Err(self.failed("the list is larger than 16 MiB")),
            Err(error) => Err(self.failed(words(error))),
        }
    }

    fn failed(&self, message: impl Into<String>) -> DiscoveryError {
        DiscoveryError::Http { url: shown(&self.url), message: message.into() }
    }
}

/// The URL without what may be secret in it.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.set_query(None);
    url.to_string()
}

/// Prometheus: `application/json`, with no other charset than UTF-8.
fn is_json(kind: &str) -> bool {
    let mut parts = kind.split(';').map(str::trim);
    let json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    json && parts.all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        name.eq_ignore_ascii_case("charset")
            && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    })
}

/// The longest a poll may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_in_utf_8_is_taken() {
        for kind in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
        ] {
            assert!(is_json(kind), "{kind}");
        }
        for kind in ["", "text/html", "application/jsonx", "application/json; charset=latin1"] {
            assert!(!is_json(kind), "{kind}");
        }
    }

    #[test]
    fn a_shown_url_carries_no_credentials() {
        let url = "https://u:p@a.test/sd?token=x".parse().expect("a url");
        assert_eq!(shown(&url), "https://a.test/sd");
    }
}
