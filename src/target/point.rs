//! Targets and the sampling points that they are taken apart into.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

use super::{Endpoint, Settings};

/// Prometheus labels: name to value.
pub type Labels = BTreeMap<String, String>;

/// Whether `chosen` chooses the target of this name and these labels: each pair must be among the
/// labels, and `target` is the name. Without any it chooses all.
pub fn chooses(chosen: &Labels, name: &str, labels: &Labels) -> bool {
    chosen.iter().all(|(label, value)| match label.as_str() {
        "target" => value == name,
        label => labels.get(label) == Some(value),
    })
}

/// A thing to sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The target's identity in samples, findings, labels and the API.
    pub name: Arc<str>,
    /// Where it is.
    pub endpoint: Endpoint,
    /// `service`, `team`, `env` and whatever else the operator says of it.
    pub labels: Arc<Labels>,
    /// Switches that change how it is sampled.
    pub settings: Arc<Settings>,
    /// The target whose ports run came upon it; `None` where somebody named it.
    pub found_by: Option<Arc<str>>,
}

impl Target {
    /// A target with no labels and no switches.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            name: endpoint.to_string().into(),
            endpoint,
            labels: Arc::default(),
            settings: Arc::default(),
            found_by: None,
        }
    }

    /// The target on another port of the same host, as a ports run comes upon it: `host:port`.
    #[must_use]
    pub fn at_port(&self, port: u16) -> Self {
        let host = self.endpoint.host.clone();
        let endpoint = Endpoint { scheme: None, host, port: Some(port), path: "/".to_owned() };
        Self {
            name: endpoint.to_string().into(),
            endpoint,
            labels: Arc::clone(&self.labels),
            settings: Arc::clone(&self.settings),
            found_by: Some(Arc::clone(&self.name)),
        }
    }
}

/// The four ways to look.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum ProbeKind {
    /// TLS configuration and certificates.
    Tls,
    /// HTTP header fields over every hop.
    Http,
    /// Exposed ports.
    Ports,
    /// Authorities, records and drift.
    Dns,
}

impl ProbeKind {
    /// Every probe, in the order of reports.
    pub const ALL: [Self; 4] = [Self::Tls, Self::Http, Self::Ports, Self::Dns];

    /// The name used in config, JSON and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Http => "http",
            Self::Ports => "ports",
            Self::Dns => "dns",
        }
    }

    /// Whether each address of a name is a sampling point of its own. `ports` and `dns` give one
    /// sample a target, with addresses and servers as keys inside.
    pub fn is_per_address(self) -> bool {
        matches!(self, Self::Tls | Self::Http)
    }
}

impl fmt::Display for ProbeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ProbeKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|probe| probe.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no probe; the probes are tls, http, ports and dns"))
    }
}

/// One (target, probe, address) that is sampled on its own plan.
#[derive(Clone, Debug)]
pub struct Point {
    /// The target.
    pub target: Arc<Target>,
    /// The way to look.
    pub probe: ProbeKind,
    /// The address dialled; `None` for `ports` and `dns`, and for a name not yet resolved.
    pub address: Option<IpAddr>,
}

impl Point {
    /// The stable identity that phases, history and findings hang on.
    pub fn key(&self) -> PointKey {
        PointKey::new(&self.target.name, self.probe, self.address)
    }
}

/// A sampling point's identity as 64 bits, the same on every machine and in every release.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct PointKey(pub u64);

impl PointKey {
    /// The key of (target, probe, address).
    pub fn new(target: &str, probe: ProbeKind, address: Option<IpAddr>) -> Self {
        // A fixed key: this names a point, it hides nothing. Phases mix in the seed later.
        let mut hasher = SipHasher24::new_with_keys(0x5365_6363_6869, 1);
        hasher.write(target.as_bytes());
        hasher.write_u8(0xff);
        hasher.write(probe.as_str().as_bytes());
        hasher.write_u8(0xff);
        if let Some(address) = address {
            hasher.write(address.to_string().as_bytes());
        }
        Self(hasher.finish())
    }
}

impl fmt::Display for PointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_key_never_changes_between_releases() {
        let key = PointKey::new("example.com", ProbeKind::Tls, "192.0.2.1".parse().ok());
        assert_eq!(key.to_string(), PointKey(key.0).to_string());
        assert_ne!(key, PointKey::new("example.com", ProbeKind::Http, "192.0.2.1".parse().ok()));
        assert_ne!(key, PointKey::new("example.com", ProbeKind::Tls, None));
    }
}
