//! What a sample costs its target. The one table of costs: `config check` holds plans to the budgets
//! by it, `secchi plan` prints it.

use super::{Endpoint, Host, ProbeKind, Scheme, Target};

impl Target {
    /// Connections (of dns, queries) that one sample begins: of tls, http and ports at each of the
    /// target's addresses, of dns at its servers together. As measured on well-kept targets: doubt
    /// and repeats cost more, a peer that is down less. `may_scan` is whether the scope lets ports
    /// be asked that are neither pinned nor the target's own.
    pub fn contacts(&self, probe: ProbeKind, may_scan: bool) -> u32 {
        match probe {
            ProbeKind::Tls => TLS,
            ProbeKind::Http => http(&self.endpoint),
            ProbeKind::Ports => self.ports(may_scan),
            ProbeKind::Dns => match self.endpoint.host {
                Host::Address(_) => DNS_SERVER,
                Host::Name(_) => DNS_NAME,
            },
        }
    }

    fn ports(&self, may_scan: bool) -> u32 {
        let listed = self.settings.ports.as_ref().map(super::PortSet::count);
        match may_scan {
            true => listed.unwrap_or(DEFAULT_PORTS).saturating_add(CANARIES),
            false => 1,
        }
    }
}

/// A request a scheme; where http leads to https, the second is the first of the other. What has its
/// turn beside them, two more requests every five minutes at most, is not in it.
fn http(endpoint: &Endpoint) -> u32 {
    let own = if endpoint.scheme == Some(Scheme::Http) { 80 } else { 443 };
    let is_default = match endpoint.port {
        None => true,
        Some(port) => port == own || (endpoint.scheme.is_none() && port == 80),
    };
    if is_default { 2 } else { 1 }
}

/// An endpoint that is known: one hello of each version in use, one of TLS 1.1 and below, one of
/// SSLv2, and a real handshake; each fourth sample has one more. The first sample takes some thirty.
const TLS: u32 = 5;
/// From the root down, two authorities, mail and CAA.
const DNS_NAME: u32 = 25;
/// A server by itself: SOA over UDP and TCP, version, recursion.
const DNS_SERVER: u32 = 4;
/// Ports that the probe asks of a target that names none.
pub const DEFAULT_PORTS: u32 = 212;
/// Ports that nobody has, to know a host that answers everywhere.
const CANARIES: u32 = 8;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::target::Settings;

    fn target(text: &str) -> Target {
        Target::new(text.parse().expect(text))
    }

    #[test]
    fn what_a_sample_costs_follows_from_the_target() {
        for (text, http) in [
            ("a.test", 2),
            ("a.test:80", 2),
            ("https://a.test", 2),
            ("https://a.test:8443", 1),
            ("http://a.test:443", 1),
        ] {
            assert_eq!(target(text).contacts(ProbeKind::Http, true), http, "{text}");
        }
        let dns = |text| target(text).contacts(ProbeKind::Dns, true);
        assert!(dns("192.0.2.1") < dns("a.test"));
        let mut scanned = target("192.0.2.1");
        assert_eq!(scanned.contacts(ProbeKind::Ports, true), DEFAULT_PORTS + CANARIES);
        assert_eq!(scanned.contacts(ProbeKind::Ports, false), 1);
        let ports = Some("1-65535".parse().expect("ports"));
        scanned.settings = Arc::new(Settings { ports, ..Settings::default() });
        assert_eq!(scanned.contacts(ProbeKind::Ports, true), 65_543);
    }
}
