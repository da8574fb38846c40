//! Targets taken apart into sampling points.

use std::net::IpAddr;
use std::sync::Arc;

use crate::target::{Endpoint, Point, ProbeKind, Target};

/// What a target was taken apart into.
#[derive(Clone, Debug, Default)]
pub struct Points {
    /// The sampling points.
    pub points: Vec<Point>,
    /// Addresses that are not sampled because there are more than `max_addresses`.
    pub excess: usize,
}

/// The sampling points of a target at these addresses: one per address for tls and http, one per
/// target for ports and dns. Addresses keep their order; the first `max_addresses` are sampled.
pub fn points(
    target: &Arc<Target>,
    probes: &[ProbeKind],
    addresses: &[IpAddr],
    max_addresses: usize,
) -> Points {
    let mut distinct: Vec<IpAddr> = Vec::new();
    for address in addresses {
        if !distinct.contains(address) {
            distinct.push(*address);
        }
    }
    let sampled = &distinct[..distinct.len().min(max_addresses)];
    let point = |probe, address| Point { target: Arc::clone(target), probe, address };
    let mut points = Vec::new();
    for &probe in probes {
        if probe.is_per_address() {
            points.extend(sampled.iter().map(|address| point(probe, Some(*address))));
        } else {
            points.push(point(probe, None));
        }
    }
    let per_address = probes.iter().any(|probe| probe.is_per_address());
    Points { points, excess: if per_address { distinct.len() - sampled.len() } else { 0 } }
}

/// The addresses of a target that needs no resolver: mapped by `connect_to`, chosen by `address`,
/// its own, or from its hosts file.
pub fn fixed_addresses(target: &Target) -> Option<Vec<IpAddr>> {
    let Target { endpoint, settings, .. } = target;
    let Endpoint { host, .. } = endpoint;
    if let Some(mapped) = settings.connect_to(host, endpoint.port_or_default()) {
        return Some(vec![mapped.ip()]);
    }
    if !settings.addresses.is_empty() {
        return Some(settings.addresses.clone());
    }
    if let Some(address) = host.address() {
        return Some(vec![address]);
    }
    let listed = settings.hosts(host.name()?);
    (!listed.is_empty()).then_some(listed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Settings;

    fn target(text: &str) -> Arc<Target> {
        Arc::new(Target::new(text.parse().expect(text)))
    }

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect(text)).collect()
    }

    #[test]
    fn tls_and_http_have_a_point_an_address_and_ports_and_dns_one_a_target() {
        let found = addresses(&["192.0.2.1", "192.0.2.2", "192.0.2.1"]);
        let Points { points, excess } = points(&target("a.test"), &ProbeKind::ALL, &found, 16);
        let count = |probe| points.iter().filter(|p| p.probe == probe).count();
        assert_eq!(ProbeKind::ALL.map(count), [2, 2, 1, 1]);
        assert_eq!(excess, 0);
        assert!(points.iter().all(|p| p.address.is_some() == p.probe.is_per_address()));
    }

    #[test]
    fn what_is_beyond_max_addresses_is_counted_and_not_sampled() {
        let found = addresses(&["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
        let Points { points: made, excess } =
            points(&target("a.test"), &[ProbeKind::Tls], &found, 2);
        assert_eq!((made.len(), excess), (2, 1));
        assert_eq!(points(&target("a.test"), &[ProbeKind::Dns], &found, 2).excess, 0);
    }

    #[test]
    fn a_name_without_addresses_has_no_point_that_needs_one() {
        let Points { points, .. } = points(&target("a.test"), &ProbeKind::ALL, &[], 16);
        assert_eq!(points.len(), 2);
    }

    #[test]
    fn switches_stand_before_the_resolver() {
        assert_eq!(fixed_addresses(&target("a.test")), None);
        assert_eq!(fixed_addresses(&target("192.0.2.1")), Some(addresses(&["192.0.2.1"])));
        let with = |settings| {
            let endpoint = "a.test".parse().expect("a name");
            fixed_addresses(&Target { settings: Arc::new(settings), ..Target::new(endpoint) })
        };
        let mapped = Settings {
            connect_to: vec!["a.test:443:127.0.0.1:8443".parse().expect("a rule")],
            addresses: addresses(&["192.0.2.7"]),
            ..Settings::default()
        };
        assert_eq!(with(mapped), Some(addresses(&["127.0.0.1"])));
        let chosen = Settings { addresses: addresses(&["192.0.2.7"]), ..Settings::default() };
        assert_eq!(with(chosen), Some(addresses(&["192.0.2.7"])));
    }
}
