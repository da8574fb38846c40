//! TLS on ports that ports runs came upon: sampling points that nobody named. They come with the first
//! glimpse and go with their target, or once the port has been known for an hour to be something else.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::target::{Host, PointKey, PortSet, Transport};

/// What one ports run saw.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct Sighting {
    /// The target of the run.
    pub(in crate::daemon) giver: Arc<str>,
    /// Where TLS was glimpsed.
    pub(in crate::daemon) seen: Vec<(IpAddr, u16)>,
    /// The run's measurement `addresses`.
    pub(in crate::daemon) addresses: Value,
}

/// One such port of one address.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The target whose runs give the glimpses.
    pub(super) giver: Arc<str>,
    /// Its host.
    pub(super) host: Host,
    /// The address.
    pub(super) address: IpAddr,
    /// The port.
    pub(super) port: u16,
    /// When it was glimpsed last.
    pub(super) seen: Instant,
}

/// All of them, by the sampling point.
#[derive(Debug, Default)]
pub(super) struct Glimpsed {
    places: HashMap<PointKey, Place>,
}

/// Points that are no more.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Gone {
    /// The port is closed, filtered or speaks no TLS.
    pub(super) ports: Vec<PointKey>,
    /// The name has not had the address any more.
    pub(super) addresses: Vec<PointKey>,
}

impl Glimpsed {
    /// Takes a glimpse in; answers whether it is the first.
    pub(super) fn see(&mut self, key: PointKey, place: Place) -> bool {
        match self.places.get_mut(&key) {
            Some(known) => {
                known.seen = place.seen;
                false
            }
            None => {
                self.places.insert(key, place);
                true
            }
        }
    }

    /// Whether the point is among them.
    pub(super) fn knows(&self, key: PointKey) -> bool {
        self.places.contains_key(&key)
    }

    /// Every point.
    pub(super) fn keys(&self) -> impl Iterator<Item = PointKey> {
        self.places.keys().copied()
    }

    /// Every point with its place.
    pub(super) fn places(&self) -> impl Iterator<Item = (PointKey, &Place)> {
        self.places.iter().map(|(key, place)| (*key, place))
    }

    /// Forgets some; gives them.
    pub(super) fn take(&mut self, goes: impl Fn(PointKey, &Place) -> bool) -> Vec<PointKey> {
        let gone = self.places().filter(|(key, place)| goes(*key, place));
        let gone: Vec<PointKey> = gone.map(|(key, _)| key).collect();
        gone.iter().for_each(|key| drop(self.places.remove(key)));
        gone
    }

    /// What a run says is no more, and was so for an hour. What could not be looked at stays.
    pub(super) fn settle(&mut self, sighting: &Sighting, now: Instant) -> Gone {
        let seen: HashSet<(IpAddr, u16)> = sighting.seen.iter().copied().collect();
        let items = sighting.addresses.as_array().into_iter().flatten();
        let items = items.filter_map(|item| Some((item["address"].as_str()?.parse().ok()?, item)));
        let items: BTreeMap<IpAddr, &Value> = items.collect();
        let is_old = |place: &Place| {
            place.giver == sighting.giver
                && !seen.contains(&(place.address, place.port))
                && now >= place.seen + SETTLED
        };
        let addresses = self.take(|_, place| is_old(place) && !items.contains_key(&place.address));
        let ports = self.take(|_, place| {
            let item = items.get(&place.address);
            is_old(place) && item.is_some_and(|item| speaks_no_tls(item, place.port))
        });
        Gone { ports, addresses }
    }
}

/// Whether a port is known to speak no TLS: refused or silent on a host that is up, or known by
/// something else that it says.
fn speaks_no_tls(address: &Value, port: u16) -> bool {
    if address["host"] != "up" {
        return false;
    }
    let open = address["open"].as_array().into_iter().flatten();
    let open = open.filter(|item| item["transport"] == "tcp" && item["port"] == port);
    let services: Vec<&str> = open.filter_map(|item| item["service"].as_str()).collect();
    if let [service] = services.as_slice() {
        let may_be_tls = ["unknown", "tcpwrapped", "kubelet", "kubernetes"].contains(service);
        return !may_be_tls && !service.starts_with("tls/");
    }
    ["closed", "filtered"].iter().any(|list| {
        let ranges = address[*list].as_array().into_iter().flatten();
        let sets = ranges.filter_map(|range| range.as_str()?.parse::<PortSet>().ok());
        sets.into_iter().any(|set| set.contains(port, Transport::Tcp))
    })
}

const SETTLED: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place(seen: Instant) -> Place {
        Place {
            giver: "a.test".into(),
            host: Host::Name("a.test".into()),
            address: "192.0.2.1".parse().expect("an address"),
            port: 8443,
            seen,
        }
    }

    fn sighting(item: Value) -> Sighting {
        Sighting { giver: "a.test".into(), seen: Vec::new(), addresses: json!([item]) }
    }

    fn item(lists: Value) -> Value {
        let mut item = json!({"address": "192.0.2.1", "host": "up", "open": [], "closed": [],
            "filtered": [], "not_measured": []});
        item.as_object_mut().expect("a map").extend(lists.as_object().expect("a map").clone());
        item
    }

    fn settled(item: Value, after: u64) -> Gone {
        let (key, start) = (PointKey(1), Instant::now());
        let mut glimpsed = Glimpsed::default();
        assert!(glimpsed.see(key, place(start)));
        assert!(!glimpsed.see(key, place(start)), "once");
        glimpsed.settle(&sighting(item), start + Duration::from_secs(60 * after))
    }

    #[test]
    fn a_port_that_was_something_else_for_an_hour_is_gone() {
        let gone = Gone { ports: vec![PointKey(1)], ..Gone::default() };
        let open = |service: &str| {
            item(json!({"open": [{"port": 8443, "transport": "tcp", "service": service}]}))
        };
        for item in [
            item(json!({"closed": ["1-8442/tcp", "8443-9000/tcp"]})),
            item(json!({"filtered": ["8443/tcp"]})),
            open("ssh"),
        ] {
            assert_eq!(settled(item.clone(), 60), gone);
            assert_eq!(settled(item, 59), Gone::default());
        }
        for kept in [open("tls/http"), open("unknown"), item(json!({"closed": ["1-8442/tcp"]}))] {
            assert_eq!(settled(kept, 600), Gone::default());
        }
    }

    #[test]
    fn what_could_not_be_looked_at_is_not_gone() {
        for item in [
            item(json!({"not_measured": ["8443/tcp"]})),
            item(json!({"closed": ["8443/tcp"], "host": "down"})),
            item(json!({"closed": ["8443/tcp"], "host": "answers_everywhere"})),
        ] {
            assert_eq!(settled(item, 6000), Gone::default());
        }
    }

    #[test]
    fn an_address_that_the_name_has_lost_takes_its_ports_along() {
        let gone = Gone { addresses: vec![PointKey(1)], ..Gone::default() };
        let other = json!({"address": "192.0.2.2", "host": "up", "open": [], "closed": []});
        assert_eq!(settled(other.clone(), 61), gone);
        let (key, start) = (PointKey(1), Instant::now());
        let mut glimpsed = Glimpsed::default();
        glimpsed.see(key, place(start));
        let of_another = Sighting { giver: "b.test".into(), ..sighting(other) };
        let gone = glimpsed.settle(&of_another, start + Duration::from_secs(9_999));
        assert_eq!(gone, Gone::default());
    }
}
