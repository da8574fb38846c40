//! Where alerts go. Plain structs; the config room makes them.

use std::fmt;
use std::time::Duration;

use url::Url;

use crate::outgoing::{HttpClientSpec, Secret};

/// One receiver of alerts.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Its name in metrics, logs and the outbox. Two receivers never share one.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Whether it hears of resolves.
    pub send_resolved: bool,
    /// How it is reached.
    pub http: HttpClientSpec,
    /// One request, connect to last byte.
    pub timeout: Duration,
}

impl Receiver {
    /// What a request may take where nothing else is said.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
}

/// The two kinds of receivers. Debug shows no more of an address than its origin: the path of a
/// webhook is often its password.
#[derive(Clone)]
#[non_exhaustive]
pub enum Kind {
    /// One member of an Alertmanager cluster, API v2. Each member is a receiver of its own.
    Alertmanager {
        /// Its base, with path prefix; `/api/v2/alerts` is added.
        url: Url,
    },
    /// Anything that takes Alertmanager's webhook body, version 4.
    Webhook {
        /// Where it is posted.
        url: Url,
        /// Signs the body.
        hmac_key: Option<Secret>,
    },
}

impl Kind {
    /// The configured address.
    pub fn url(&self) -> &Url {
        match self {
            Self::Alertmanager { url } | Self::Webhook { url, .. } => url,
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Alertmanager { .. } => "Alertmanager",
            Self::Webhook { .. } => "Webhook",
        };
        write!(f, "{kind}({})", self.url().origin().ascii_serialization())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_a_secret() {
        let http = HttpClientSpec {
            authorization: Some(("Bearer".into(), Secret::new("hunter2"))),
            basic_auth: Some(("me".into(), Secret::new("hunter2"))),
            ..HttpClientSpec::default()
        };
        let url = Url::parse("https://hooks.example.com/hunter2").expect("a URL");
        let receiver = Receiver {
            name: "x".into(),
            kind: Kind::Webhook { url, hmac_key: Some(Secret::new("hunter2")) },
            send_resolved: true,
            http,
            timeout: Receiver::TIMEOUT,
        };
        let text = format!("{receiver:?}");
        assert!(text.contains("<secret>") && !text.contains("hunter2") && !text.contains("104"));
    }
}
