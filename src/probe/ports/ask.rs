//! What is asked of one address, and what is expected of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use chrono::NaiveDate;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::common;
use super::memory::Past;
use super::port::{Port, expand};
use super::scan::Question;
use super::tiers::Drip;
use crate::probe::Job;
use crate::probe::dial::{Contact, DialError, Purpose};
use crate::sample::{Reason, Unknown};
use crate::target::{Host, Pins, Transport};

/// A pin or a baseline that allows more ports than this does not make us ask them all.
const MOST_ALLOWED: usize = 1_024;

/// The questions to one address.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) address: IpAddr,
    /// Every asked port, and what for.
    pub(super) ports: BTreeMap<Port, Purpose>,
    /// Ports that were asked for by name and that the scope refuses, with its reason.
    pub(super) refused: BTreeMap<Port, Unknown>,
    /// Whether the scope allows ports that are neither pinned nor the target's own.
    pub(super) may_scan: bool,
    /// The pins, and what a person accepted where they leave it open; where there are any.
    pub(super) expected: Option<Expected>,
    /// How far the drip comes with this, where there is one.
    pub(super) drip: Option<Drip>,
}

impl Ask {
    pub(super) fn of(job: &Job, address: IpAddr, past: &Past) -> Self {
        let target = &job.point.target;
        let endpoint = &target.endpoint;
        let own = Port::tcp(endpoint.port_or_default());
        let mut expected =
            Expected::of(&target.settings.pins, &endpoint.host, address, job.now.date_naive());
        let pinned = expected.as_ref().map(Expected::pinned).unwrap_or_default();
        if let Some((accepted, is_own)) = past.accepted.of(address) {
            expected.get_or_insert_default().accept(accepted, is_own);
        }
        let accepted = expected.as_ref().map(|expected| expected.accepted.clone());
        let watched: BTreeSet<Port> =
            pinned.iter().copied().chain(accepted.into_iter().flatten()).collect();
        let host = endpoint.host.name();
        let scan = Contact { host, address, port: 1, purpose: Purpose::Scan };
        // What answers there is the CDN, on every port that it has.
        let is_of_cdn = target.settings.is_of_cdn(address);
        let drips = job.is_planned() && target.settings.ports.is_none() && !is_of_cdn;
        let mut drip = (drips && job.dialer.permits(&scan).is_ok())
            .then(|| past.drip(address, job.seed ^ common::mark(address)));
        let wanted: BTreeSet<Port> = match (&target.settings.ports, &mut drip) {
            (Some(set), _) => expand(set),
            (None, usual) => {
                let usual: Vec<u16> = match usual {
                    Some(drip) => drip.step(&watched, job.now).into_iter().collect(),
                    None => common::default_ports().collect(),
                };
                let usual = usual.into_iter().map(Port::tcp);
                watched.into_iter().chain([own]).chain(usual).collect()
            }
        };
        let mut ask = Self {
            address,
            ports: BTreeMap::new(),
            refused: BTreeMap::new(),
            may_scan: false,
            expected,
            drip,
        };
        for port in wanted {
            let is_known = port == own || pinned.contains(&port);
            let purpose = if is_known { Purpose::Target } else { Purpose::Scan };
            let contact = Contact { host, address, port: port.number, purpose };
            if is_of_cdn && !is_known {
                if target.settings.ports.is_some() {
                    let unknown = Unknown::new(Reason::OutOfScope, "cdn_ranges");
                    ask.refused.insert(port, unknown);
                }
                continue;
            }
            match job.dialer.permits(&contact) {
                Ok(()) => {
                    ask.may_scan |= purpose == Purpose::Scan;
                    ask.ports.insert(port, purpose);
                }
                // Elsewhere than in `scope.networks` only pinned and own ports are looked at: what
                // nobody asked for by name is left out, what somebody did is not measured.
                Err(_) if !is_known && target.settings.ports.is_none() => {}
                Err(error) => {
                    ask.refused.insert(port, DialError::unknown(&error));
                }
            }
        }
        ask
    }

    /// Every asked port as a question to the address, the `at`-th.
    pub(super) fn questions(&self, at: usize) -> impl Iterator<Item = Question> {
        self.ports.iter().map(move |(port, purpose)| Question {
            at,
            address: self.address,
            number: port.number,
            transport: port.transport,
            purpose: *purpose,
            is_expected: self.expected.as_ref().is_some_and(|e| e.required.contains(port)),
            is_unexpected: self.expected.as_ref().is_some_and(|e| !e.allows(*port)),
            is_canary: false,
        })
    }

    /// How many TCP ports are asked.
    pub(super) fn tcp_count(&self) -> usize {
        self.ports.keys().filter(|port| port.transport == Transport::Tcp).count()
    }
}

/// The ports that an address is held to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Expected {
    /// Must be open.
    pub(super) required: BTreeSet<Port>,
    /// May be open; `None` where any may.
    pub(super) allowed: Option<BTreeSet<Port>>,
    /// Those of `required` that a person accepted as open, and no pin demands.
    pub(super) accepted: BTreeSet<Port>,
    /// Whether what may be open is what a person accepted, not a pin's word.
    pub(super) is_accepted: bool,
    /// Why, as the pin says.
    pub(super) reason: Option<String>,
    /// Who answers for it.
    pub(super) owner: Option<String>,
}

impl Expected {
    /// The pins of the address itself; where there are none, of the narrowest network that holds it,
    /// of the name, or of the narrowest wildcard (`*.example.com`) that covers the name. A pin holds
    /// until the end of its last day.
    fn of(pins: &Pins, host: &Host, address: IpAddr, today: NaiveDate) -> Option<Self> {
        let named = |name: &str| {
            let mut expected: Option<Self> = None;
            for (kind, expectation) in pins.of(name) {
                if kind.is_ports() && expectation.until.is_none_or(|until| today <= until) {
                    let (required, allowed) = expectation.ports();
                    let expected = expected.get_or_insert_default();
                    expected.required.extend(required.iter().flat_map(expand));
                    if expected.reason.is_none() {
                        expected.reason.clone_from(&expectation.reason);
                    }
                    if expected.owner.is_none() {
                        expected.owner.clone_from(&expectation.owner);
                    }
                    if let Some(allowed) = allowed {
                        expected.allowed.get_or_insert_default().extend(expand(&allowed));
                    }
                }
            }
            expected
        };
        let wild = wildcards(pins, host, address);
        let mut expected = named(&address.to_string())
            .or_else(|| wild.networks.iter().find_map(|network| named(network)))
            .or_else(|| named(&host.to_string()))
            .or_else(|| wild.names.iter().find_map(|name| named(name)))?;
        if let Some(allowed) = &mut expected.allowed {
            // What must be open may be.
            allowed.extend(&expected.required);
        }
        Some(expected)
    }

    /// Takes what a person accepted for what may be open, where no pin says what may; and for what
    /// must be, where it was accepted of this very address.
    fn accept(&mut self, mut accepted: BTreeSet<Port>, is_own: bool) {
        if self.allowed.is_some() {
            return;
        }
        if is_own && accepted.len() <= MOST_ALLOWED {
            self.accepted = accepted.difference(&self.required).copied().collect();
            self.required.extend(&self.accepted);
        }
        accepted.extend(&self.required);
        self.allowed = Some(accepted);
        self.is_accepted = true;
    }

    /// Says in an item why the pin is as it is, and who answers for it.
    pub(super) fn explain(&self, item: &mut Value) {
        for (key, text) in [("reason", &self.reason), ("owner", &self.owner)] {
            if let Some(text) = text {
                item[key] = json!(text);
            }
        }
    }

    /// The ports to ask for the pins' sake.
    fn pinned(&self) -> BTreeSet<Port> {
        let allowed = self.allowed.iter().filter(|allowed| allowed.len() <= MOST_ALLOWED);
        self.required.iter().chain(allowed.flatten()).copied().collect()
    }

    /// Whether an open port is nothing to speak of.
    pub(super) fn allows(&self, port: Port) -> bool {
        self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&port))
    }
}

/// Keys of pins that cover more than one address or name, the narrowest first.
struct Wildcards<'a> {
    networks: Vec<&'a str>,
    names: Vec<&'a str>,
}

fn wildcards<'a>(pins: &'a Pins, host: &Host, address: IpAddr) -> Wildcards<'a> {
    let network = |key: &&'a String| {
        let network = key.parse::<IpNet>().ok()?;
        network.contains(&address).then_some((network.prefix_len(), key.as_str()))
    };
    let mut networks: Vec<_> = pins.0.keys().filter_map(|key| network(&key)).collect();
    networks.sort_unstable_by(|one, other| other.cmp(one));
    let covers = |key: &&str| {
        let above = key.strip_prefix('*').filter(|above| above.starts_with('.'));
        let above = above.map(|above| above.trim_end_matches('.').to_ascii_lowercase());
        let name = host.name();
        above.zip(name).is_some_and(|(above, name)| name.ends_with(&above))
    };
    let mut names: Vec<&str> = pins.0.keys().map(String::as_str).filter(covers).collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    Wildcards { networks: networks.into_iter().map(|(_, key)| key).collect(), names }
}

#[cfg(test)]
mod tests {
    use super::super::port::ranges;
    use super::*;

    fn expected(json: &str, address: &str) -> Option<(Vec<String>, Option<Vec<String>>)> {
        let pins: Pins = serde_json::from_str(json).expect(json);
        let host = "www.example.com".parse().expect("a host");
        let today = "2026-07-01".parse().expect("a day");
        let found = Expected::of(&pins, &host, address.parse().expect("an address"), today)?;
        Some((ranges(found.required), found.allowed.map(ranges)))
    }

    fn list(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    #[test]
    fn pins_of_the_address_stand_before_those_of_the_name() {
        let json = r#"{"WWW.example.com.": {"ports": {"exact": [22, 443]}},
            "192.0.2.1": {"ports": {"within": "80-82"}}, "www.example.com": {"A": {"count": 1}}}"#;
        let ports = list(&["22/tcp", "443/tcp"]);
        assert_eq!(expected(json, "192.0.2.9"), Some((ports.clone(), Some(ports))));
        assert_eq!(expected(json, "192.0.2.1"), Some((vec![], Some(list(&["80-82/tcp"])))));
    }

    #[test]
    fn pins_of_a_network_or_a_wildcard_hold_what_has_none_of_its_own() {
        let json = r#"{"192.0.2.0/24": {"ports": {"within": 22}}, "192.0.2.128/25": {"ports": {"within": 25}},
            "*.com": {"ports": {"within": 80}}, "*.example.com": {"ports": {"within": 443}}}"#;
        for (address, port) in [
            ("192.0.2.1", "22/tcp"),
            ("192.0.2.129", "25/tcp"),
            ("198.51.100.1", "443/tcp"),
            ("2001:db8::1", "443/tcp"),
        ] {
            assert_eq!(expected(json, address), Some((vec![], Some(list(&[port])))), "{address}");
        }
        assert_eq!(expected(r#"{"*.org": {"ports": {"within": 1}}}"#, "192.0.2.1"), None);
    }

    #[test]
    fn what_was_accepted_holds_only_where_no_pin_says_what_may_be_open() {
        let accepted = |expected: Option<Expected>| {
            let mut expected = expected.unwrap_or_default();
            expected.accept([Port::tcp(80)].into(), true);
            (expected.allowed.map(ranges), ranges(expected.required), ranges(expected.accepted))
        };
        let none = || list(&[]);
        let of = |json: &str| {
            let pins: Pins = serde_json::from_str(json).expect(json);
            let host = Host::Name("www.example.com".into());
            let address = "192.0.2.1".parse().expect("an address");
            Expected::of(&pins, &host, address, NaiveDate::default())
        };
        let http = || list(&["80/tcp"]);
        assert_eq!(accepted(None), (Some(http()), http(), http()));
        let within = of(r#"{"192.0.2.1": {"ports": {"within": 22}}}"#);
        assert_eq!(accepted(within), (Some(list(&["22/tcp"])), none(), none()));
        let contains = of(r#"{"192.0.2.1": {"ports": {"contains": 22}}}"#);
        let both = || list(&["22/tcp", "80/tcp"]);
        assert_eq!(accepted(contains), (Some(both()), both(), http()));
    }

    #[test]
    fn what_was_accepted_of_another_address_or_as_half_of_all_ports_may_be_open_and_need_not() {
        let required = |accepted: BTreeSet<Port>, is_own| {
            let mut expected = Expected::default();
            expected.accept(accepted, is_own);
            assert!(expected.allows(Port::tcp(80)));
            ranges(expected.required)
        };
        assert_eq!(required([Port::tcp(80)].into(), false), list(&[]));
        assert_eq!(required((1..2_000).map(Port::tcp).collect(), true), list(&[]));
    }

    #[test]
    fn what_the_pins_do_not_say_is_not_held_against_anyone() {
        let contains = r#"{"www.example.com": {"ports": {"contains": 22}}}"#;
        assert_eq!(expected(contains, "192.0.2.1"), Some((list(&["22/tcp"]), None)));
        let absent = r#"{"www.example.com": {"ports": {"absent": true}}}"#;
        assert_eq!(expected(absent, "192.0.2.1"), Some((vec![], Some(vec![]))));
        let past = r#"{"www.example.com": {"ports": {"exact": 22, "until": "2026-06-30"}}}"#;
        assert_eq!(expected(past, "192.0.2.1"), None);
        assert_eq!(expected(r#"{"other": {"ports": {"exact": 22}}}"#, "192.0.2.1"), None);
        let both = r#"{"www.example.com": {"ports": {"contains": 25, "within": [22, 80]}}}"#;
        let allowed = list(&["22/tcp", "25/tcp", "80/tcp"]);
        assert_eq!(expected(both, "192.0.2.1"), Some((list(&["25/tcp"]), Some(allowed))));
    }
}
