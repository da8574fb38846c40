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

    /// The same of a sample by a plan with so many samples an hour, on average. Where the plan gives
    /// no guarantee, tls asks what has its turn; where ports may be scanned and none are listed, it
    /// asks those whose turn it is.
    pub fn contacts_by_plan(
        &self,
        probe: ProbeKind,
        may_scan: bool,
        (samples_per_hour, is_guaranteed): (f64, bool),
    ) -> f64 {
        if probe == ProbeKind::Tls && !is_guaranteed {
            return TLS_IN_TURN;
        }
        let drips = probe == ProbeKind::Ports && may_scan && self.settings.ports.is_none();
        if !drips || samples_per_hour <= 0.0 {
            return f64::from(self.contacts(probe, may_scan));
        }
        drip(3_600.0 / samples_per_hour) + f64::from(CANARIES)
    }

    fn ports(&self, may_scan: bool) -> u32 {
        let listed = self.settings.ports.as_ref().map(super::PortSet::count);
        match may_scan {
            true => listed.unwrap_or(DEFAULT_PORTS).saturating_add(CANARIES),
            false => 1,
        }
    }
}

/// Ports that are due after so many seconds. A tier goes round once in its window less a block, or less
/// this wait where that is longer.
fn drip(interval: f64) -> f64 {
    let due = |(ports, window): &(u16, u32)| {
        let (ports, window) = (f64::from(*ports), f64::from(*window));
        let pass = window - interval.max(window / f64::from(DRIP_BLOCKS));
        if pass > 0.0 { (ports * interval / pass).min(ports) } else { ports }
    };
    DRIP_TIERS.iter().map(due).sum()
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
/// A real handshake and the hello whose turn it is, where the plan gives no guarantee.
const TLS_IN_TURN: f64 = 2.0;
/// From the root down, two authorities, mail and CAA.
const DNS_NAME: u32 = 25;
/// A server by itself: SOA over UDP and TCP, version, recursion.
const DNS_SERVER: u32 = 4;
/// Ports that the probe asks of a target that names none.
pub const DEFAULT_PORTS: u32 = 212;
/// Ports of services that should face nobody.
const RISKY: u16 = 180;
/// The ports of each tier of the drip, and the seconds within which each of them is looked at.
pub const DRIP_TIERS: [(u16, u32); 3] = [(RISKY, 300), (1_000, 3_600), (65_535, 86_400)];
/// A tier's parts.
pub const DRIP_BLOCKS: u32 = 24;
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
        let tls = |is_guaranteed| {
            target("a.test").contacts_by_plan(ProbeKind::Tls, true, (4.0, is_guaranteed))
        };
        assert!(tls(false) < 3.0 && tls(true) >= 5.0);
        let mut scanned = target("192.0.2.1");
        assert_eq!(scanned.contacts(ProbeKind::Ports, true), DEFAULT_PORTS + CANARIES);
        assert_eq!(scanned.contacts(ProbeKind::Ports, false), 1);
        let ports = Some("1-65535".parse().expect("ports"));
        // Every five minutes all dangerous ports, a twelfth of the common and a 288th of all.
        let by_plan = |target: &Target, an_hour| {
            target.contacts_by_plan(ProbeKind::Ports, true, (an_hour, false)).round() as u32
        };
        let [dangerous, common, all] = [u32::from(RISKY), 91, 237];
        assert_eq!(by_plan(&scanned, 12.0), dangerous + common + all + CANARIES);
        assert_eq!(by_plan(&scanned, 0.001), dangerous + 1_000 + 65_535 + CANARIES);
        // However often it looks, a port is asked no oftener than its window says.
        let an_hour = |samples: f64| {
            samples
                * (scanned.contacts_by_plan(ProbeKind::Ports, true, (samples, false))
                    - f64::from(CANARIES))
        };
        assert!((an_hour(3_600.0) / an_hour(36_000.0) - 1.0).abs() < 0.01);
        assert!(
            (scanned.contacts_by_plan(ProbeKind::Ports, false, (12.0, false)) - 1.0).abs() < 1e-9
        );
        scanned.settings = Arc::new(Settings { ports, ..Settings::default() });
        assert_eq!(scanned.contacts(ProbeKind::Ports, true), 65_543);
        assert_eq!(by_plan(&scanned, 12.0), 65_543);
    }
}
