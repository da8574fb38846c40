//! One text by https, for a probe that reads policies and registries: one GET over a fresh connection
//! to one address. No redirect is followed, nothing is decompressed, and the certificate is judged.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::Method;
use tokio::time::Instant;
use url::Url;

use super::body::Want;
use super::exchange::{self, Question};
use crate::probe::dial::Dialer;
use crate::probe::trust::{Anchors, Verdict};
use crate::sample::{Reason, Unknown};
use crate::target::{Host, Settings};

/// What is fetched, and whence.
#[derive(Clone, Copy, Debug)]
pub(in crate::probe) struct Fetch<'a> {
    /// An https URL.
    pub(in crate::probe) url: &'a Url,
    /// The address dialled.
    pub(in crate::probe) address: IpAddr,
    /// The target's settings: anchors and User-Agent.
    pub(in crate::probe) settings: &'a Settings,
    /// When the certificate must be valid.
    pub(in crate::probe) now: DateTime<Utc>,
    /// The most bytes of it.
    pub(in crate::probe) bytes: usize,
}

/// What came.
#[derive(Clone, Debug)]
pub(in crate::probe) struct Fetched {
    /// The status.
    pub(in crate::probe) status: u16,
    /// The media type in lower case, without parameters.
    pub(in crate::probe) media: String,
    /// The text; `None` where it was longer than it may be, or did not end.
    pub(in crate::probe) body: Option<Vec<u8>>,
    /// Whether the certificate is to be trusted.
    pub(in crate::probe) trust: Verdict,
}

/// Fetches it.
pub(in crate::probe) async fn fetch(dialer: &Dialer, what: Fetch<'_>) -> Result<Fetched, Unknown> {
    let name = what.url.host_str().unwrap_or_default();
    let host: Host =
        name.parse().map_err(|_| Unknown::new(Reason::LocalError, "the URL has no host"))?;
    let question = Question {
        url: what.url,
        host: &host,
        address: what.address,
        server_name: name,
        method: Method::GET,
        fields: &[],
        want: Want::Start {
            bytes: what.bytes.saturating_add(1),
            until: dialer.deadline().min(Instant::now() + BODY_TIME),
        },
        credentials: None,
        agent: what.settings.user_agent.as_deref().unwrap_or(super::AGENT),
        anchors: &Anchors::load(what.settings).await,
        now: what.now,
        glimpse: None,
    };
    let dialer = dialer.clone().with_read_limit(exchange::READ_LIMIT);
    let mut kept = None;
    let answer = exchange::ask(&dialer, &question, &mut kept).await;
    if let Some(kept) = kept {
        kept.close().await;
    }
    let answer = answer?;
    let media = answer.head.fields.first("content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let untold = Verdict::Untold(Unknown::new(Reason::NotTls, "no TLS was spoken"));
    Ok(Fetched {
        status: answer.head.status,
        media,
        body: answer.body.is_whole.then_some(answer.body.start),
        trust: answer.trust.unwrap_or(untold),
    })
}

/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(10);
