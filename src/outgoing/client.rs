//! The client of one peer.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Method, Proxy, RequestBuilder, Response, Url};

use super::{ClientError, HttpClientSpec, tls};
use crate::target::Host;

/// How a client behaves, whatever the config says.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'a> {
    /// What it calls itself.
    pub user_agent: &'a str,
    /// One request, connect to last byte.
    pub timeout: Duration,
    /// The most redirects that it follows.
    pub redirects: usize,
}

/// A client for one URL, and what lies beside it on the same host.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    url: Url,
    headers: HeaderMap,
}

impl Client {
    /// The client that the spec describes. Reads the system's anchors, so call it where blocking
    /// for a moment does no harm.
    pub fn new(spec: &HttpClientSpec, url: &Url, manner: Manner<'_>) -> Result<Self, ClientError> {
        let failed = |error: reqwest::Error| ClientError::Client(words(error));
        let mut headers = HeaderMap::new();
        headers.extend(spec.authorization()?.map(|value| (AUTHORIZATION, value)));
        let redirects = match manner.redirects {
            0 => Policy::none(),
            most => Policy::limited(most),
        };
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(redirects)
            .referer(false)
            .user_agent(manner.user_agent)
            .timeout(manner.timeout)
            .connect_timeout(manner.timeout.min(CONNECT))
            .pool_max_idle_per_host(1)
            .tls_backend_preconfigured(tls::config(spec)?);
        if let Some(proxy) = &spec.proxy_url {
            builder = builder.proxy(Proxy::all(proxy.clone()).map_err(failed)?);
        }
        let mut url = url.clone();
        if let Some(name) = &spec.server_name {
            if spec.proxy_url.is_some() {
                return Err(ClientError::NameAndProxy);
            }
            headers.insert(HOST, authority(&url)?);
            let place = rename(&mut url, name)?;
            // HTTP/2 has no Host of its own beside the name in the URL, and a redirect would carry
            // ours to another host.
            builder = builder.dns_resolver(Arc::new(place)).http1_only().redirect(Policy::none());
        }
        Ok(Self { http: builder.build().map_err(failed)?, url, headers })
    }

    /// The URL, as this client has to ask for it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// A request with the credentials, to [`Client::url`] or one beside it.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url).headers(self.headers.clone())
    }
}

/// Puts `server_name` where the host stands, since that is what TLS takes as SNI and holds the
/// certificate to; the resolver then leads back to the host.
fn rename(url: &mut Url, name: &str) -> Result<Elsewhere, ClientError> {
    let bad = || ClientError::ServerName(name.to_owned());
    if !matches!(name.parse(), Ok(Host::Name(_))) {
        return Err(bad());
    }
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    url.set_host(Some(name)).map_err(|_| bad())?;
    Ok(Elsewhere(host))
}

fn authority(url: &Url) -> Result<HeaderValue, ClientError> {
    let host = url.host_str().unwrap_or_default();
    let text = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    HeaderValue::try_from(text).map_err(|error| ClientError::Client(error.to_string()))
}

/// Resolves every name to where one other host is.
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

/// The body; `None` if it is longer than `most` bytes.
pub async fn body(mut response: Response, most: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// The error with what lies behind it, fit for a log line; without the URL, which may be a secret.
pub fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text.chars().take(300).map(|c| if is_shown(c) { c } else { ' ' }).collect()
}

/// Neither a control character nor one that turns the direction of text.
fn is_shown(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns
}

const CONNECT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn client(spec: &HttpClientSpec) -> Result<Client, ClientError> {
        let url = Url::parse("https://192.0.2.1:9093/x").expect("a URL");
        let manner = Manner { user_agent: "secchi", timeout: CONNECT, redirects: 0 };
        Client::new(spec, &url, manner)
    }

    #[test]
    fn the_server_name_takes_the_hosts_place_and_the_host_stays_in_its_field() {
        let named = |name: &str| HttpClientSpec {
            server_name: Some(name.to_owned()),
            ..HttpClientSpec::default()
        };
        let made = client(&named("am.test")).expect("a client");
        assert_eq!(made.url().as_str(), "https://am.test:9093/x");
        assert_eq!(made.headers[HOST], "192.0.2.1:9093");
        let error = client(&named("192.0.2.7")).expect_err("an address is not resolved");
        assert_eq!(error, ClientError::ServerName("192.0.2.7".to_owned()));
        let proxy_url = Url::parse("http://127.0.0.1:3128").ok();
        let error = client(&HttpClientSpec { proxy_url, ..named("am.test") }).expect_err("both");
        assert_eq!(error, ClientError::NameAndProxy);
    }
}
