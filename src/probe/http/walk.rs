//! Walks: from a start, over its redirects, to the response that is judged.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use http::Method;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::probe::dial::{Contact, DialError, Purpose};
use crate::probe::trust::Anchors;
use crate::probe::{Job, Observation};
use crate::sample::{Reason, Unknown};
use crate::target::{Endpoint, Host, Scheme};

use super::body::Want;
use super::exchange::{self, Answer, Kept, Question};
use super::redirect;

/// The most responses of one walk.
pub(super) const MAX_HOPS: usize = 10;

/// Where the walks begin.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Starts {
    /// The plain one, if it is walked.
    pub(super) http: Option<Url>,
    /// The encrypted one, if it is walked.
    pub(super) https: Option<Url>,
}

/// CONTRACT §http: both schemes for a bare host and on the default ports (80, 443), its own on any
/// other port, https for a bare `host:port`. `None` for what does not speak HTTP.
pub(super) fn starts(endpoint: &Endpoint) -> Option<Starts> {
    let is_plain = match endpoint.scheme {
        Some(Scheme::Http) => true,
        None | Some(Scheme::Https | Scheme::Tls) => false,
        Some(Scheme::StartTls(_)) => return None,
    };
    let url = |scheme: &str, port: u16| {
        let host = match &endpoint.host {
            Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
            host => host.to_string(),
        };
        Url::parse(&format!("{scheme}://{host}:{port}{}", endpoint.path)).ok()
    };
    let is_default = match (endpoint.scheme, endpoint.port) {
        (_, None) => true,
        (None, Some(port)) => port == 80 || port == 443,
        (Some(_), Some(port)) => port == if is_plain { 80 } else { 443 },
    };
    let starts = match (is_default, is_plain) {
        (true, _) => Starts { http: url("http", 80), https: url("https", 443) },
        (false, true) => Starts { http: url("http", endpoint.port?), https: None },
        (false, false) => Starts { http: None, https: url("https", endpoint.port?) },
    };
    (starts.http.is_some() || starts.https.is_some()).then_some(starts)
}

/// The one origin that credentials are for: https, or plain http where the target names it and it is
/// all that is walked.
fn guarded(endpoint: &Endpoint) -> Option<Url> {
    let Starts { http, https } = starts(endpoint)?;
    https.or(http)
}

/// One request and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Hop {
    /// What was asked for.
    pub(super) url: Url,
    /// The URL's host.
    pub(super) host: Host,
    /// The address asked, if it came to that.
    pub(super) address: Option<IpAddr>,
    /// The response, or why there is none.
    pub(super) answer: Result<Answer, Unknown>,
}

/// The way from one start.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    /// Its hops in order, as places in [`Walker::hops`].
    pub(super) hops: Vec<usize>,
    /// Why the walk did not arrive: the last hop gave no response, or has no end.
    pub(super) failure: Option<Unknown>,
}

/// How a question is put.
#[derive(Clone, Debug)]
pub(super) struct Way<'a> {
    /// The method.
    pub(super) method: Method,
    /// Fields beyond the usual ones.
    pub(super) fields: &'a [(&'static str, &'a str)],
    /// What of the body is wanted.
    pub(super) want: Want,
    /// Whether the target's own origin is sent what it asks for.
    pub(super) is_as_user: bool,
}

/// Takes the walks of one job. No URL is asked twice in one run: where http leads to https, its
/// walk goes on over the hops of the other.
#[derive(Debug)]
pub(super) struct Walker<'a> {
    job: &'a Job,
    agent: &'a str,
    own: IpAddr,
    anchors: Anchors,
    guarded: Option<Url>,
    resolved: HashMap<Host, IpAddr>,
    hops: Vec<Hop>,
    glimpse: OnceLock<Observation>,
    kept: Option<Kept>,
}

impl<'a> Walker<'a> {
    /// A walker that dials the target's own host at `own`.
    pub(super) async fn new(job: &'a Job, own: IpAddr, agent: &'a str) -> Self {
        let anchors = Anchors::load(&job.point.target.settings).await;
        let (resolved, hops, glimpse) = (HashMap::new(), Vec::new(), OnceLock::new());
        let guarded = guarded(&job.point.target.endpoint);
        Self { job, agent, own, anchors, guarded, resolved, hops, glimpse, kept: None }
    }

    /// Every hop so far, and what the target's own handshake told of TLS. No connection is left.
    pub(super) async fn into_seen(self) -> (Vec<Hop>, Option<Observation>) {
        if let Some(kept) = self.kept {
            kept.close().await;
        }
        (self.hops, self.glimpse.into_inner())
    }

    /// Walks from `start` until `deadline`.
    pub(super) async fn walk(&mut self, start: Url, deadline: Instant) -> Walk {
        let (mut at, mut hops) = (start, Vec::new());
        let failure = loop {
            if hops.len() == MAX_HOPS {
                break Some(Unknown::new(Reason::NotObserved, "more than 10 redirects"));
            }
            let index = match self.hops.iter().position(|hop| hop.url == at) {
                Some(index) => index,
                None => self.hop(at, deadline).await,
            };
            if hops.contains(&index) {
                break Some(Unknown::new(Reason::NotObserved, "redirect loop"));
            }
            hops.push(index);
            let hop = &self.hops[index];
            match &hop.answer {
                Err(unknown) => break Some(unknown.clone()),
                Ok(answer) => match redirect::next(&hop.url, &answer.head) {
                    Some(next) => at = next,
                    None => break None,
                },
            }
        };
        Walk { hops, failure }
    }

    async fn hop(&mut self, url: Url, deadline: Instant) -> usize {
        let host = host_of(&url);
        let address = timeout_at(deadline, self.address(&host, &url))
            .await
            .unwrap_or_else(|_| Err(Reason::Timeout.into()));
        let want = Want::Page { until: half(deadline) };
        let way = Way { method: Method::GET, fields: &[], want, is_as_user: true };
        let answer = match &address {
            Ok(address) => timeout_at(deadline, self.ask(&url, &host, *address, way))
                .await
                .unwrap_or_else(|_| Err(Reason::Timeout.into())),
            Err(unknown) => Err(unknown.clone()),
        };
        self.hops.push(Hop { url, host, address: address.ok(), answer });
        self.hops.len() - 1
    }

    /// One more question, whose answer is no hop.
    pub(super) async fn extra(
        &mut self,
        url: &Url,
        way: Way<'_>,
        deadline: Instant,
    ) -> Result<Answer, Unknown> {
        let host = host_of(url);
        let asked = async {
            let address = self.address(&host, url).await?;
            self.ask(url, &host, address, way).await
        };
        timeout_at(deadline, asked).await.unwrap_or_else(|_| Err(Reason::Timeout.into()))
    }

    /// Every hop so far.
    pub(super) fn hops(&self) -> &[Hop] {
        &self.hops
    }

    async fn ask(
        &mut self,
        url: &Url,
        host: &Host,
        address: IpAddr,
        way: Way<'_>,
    ) -> Result<Answer, Unknown> {
        let text = host.to_string();
        let target = &self.job.point.target;
        let named =
            target.settings.server_name.as_deref().filter(|_| *host == target.endpoint.host);
        // Of another host or port, a handshake says nothing of the target's.
        let is_own = *host == target.endpoint.host
            && url.port_or_known_default() == Some(target.endpoint.port_or_default());
        let is_guarded = self.guarded.as_ref().is_some_and(|own| own.origin() == url.origin());
        let credentials = target.settings.credentials.as_ref();
        let question = Question {
            credentials: credentials.filter(|_| way.is_as_user && is_guarded),
            url,
            host,
            address,
            server_name: named.unwrap_or(&text),
            method: way.method,
            fields: way.fields,
            want: way.want,
            agent: self.agent,
            anchors: &self.anchors,
            now: self.job.now,
            glimpse: (self.job.glimpses && is_own).then_some(&self.glimpse),
        };
        exchange::ask(&self.job.dialer, &question, &mut self.kept).await
    }

    /// The pinned address for the target's own host; for another the first that the scope permits,
    /// the same for the whole run.
    async fn address(&mut self, host: &Host, url: &Url) -> Result<IpAddr, Unknown> {
        if *host == self.job.point.target.endpoint.host {
            return Ok(self.own);
        }
        if let Some(known) = self.resolved.get(host) {
            return Ok(*known);
        }
        let port = url.port_or_known_default().unwrap_or(80);
        let addresses = self.job.dialer.resolve(host, port).await?;
        let mut refused = Unknown::new(Reason::DnsError, "no address");
        for address in addresses {
            let contact = Contact { host: host.name(), address, port, purpose: Purpose::Target };
            match self.job.dialer.permits(&contact) {
                Ok(()) => {
                    self.resolved.insert(host.clone(), address);
                    return Ok(address);
                }
                Err(error @ DialError::OutOfScope(_)) => refused = error.unknown(),
                Err(error) => return Err(error.unknown()),
            }
        }
        Err(refused)
    }
}

/// A body may take half of what time is left: a page that drips must not cost the sample its head.
fn half(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + (deadline.saturating_duration_since(now) / 2).min(MAX_BODY_TIME)
}

const MAX_BODY_TIME: Duration = Duration::from_secs(3);

fn host_of(url: &Url) -> Host {
    match url.host() {
        Some(url::Host::Ipv4(address)) => Host::Address(address.into()),
        Some(url::Host::Ipv6(address)) => Host::Address(address.into()),
        Some(url::Host::Domain(name)) => {
            Host::Name(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
        }
        None => Host::Name(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_says_which_schemes_are_walked() {
        for (target, http, https) in [
            ("a.test", Some("http://a.test/"), Some("https://a.test/")),
            ("a.test:443", Some("http://a.test/"), Some("https://a.test/")),
            ("a.test:80", Some("http://a.test/"), Some("https://a.test/")),
            ("a.test:8443", None, Some("https://a.test:8443/")),
            ("http://a.test/x?y", Some("http://a.test/x?y"), Some("https://a.test/x?y")),
            ("https://a.test:443/x", Some("http://a.test/x"), Some("https://a.test/x")),
            ("http://a.test:8080", Some("http://a.test:8080/"), None),
            ("https://a.test:8443", None, Some("https://a.test:8443/")),
            ("http://a.test:443", Some("http://a.test:443/"), None),
            ("https://a.test:80", None, Some("https://a.test:80/")),
            ("[2001:db8::1]:8443", None, Some("https://[2001:db8::1]:8443/")),
            ("192.0.2.1", Some("http://192.0.2.1/"), Some("https://192.0.2.1/")),
        ] {
            let starts = starts(&target.parse().expect(target)).expect(target);
            assert_eq!(starts.http.as_ref().map(Url::as_str), http, "{target}");
            assert_eq!(starts.https.as_ref().map(Url::as_str), https, "{target}");
        }
        let mail: Endpoint = "starttls+smtp://a.test".parse().expect("a target");
        assert_eq!(starts(&mail), None);
    }
}
