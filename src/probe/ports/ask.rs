//! What is asked of one address, and what is expected of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use chrono::NaiveDate;

use super::common;
use super::port::{Port, expand};
use super::scan::Question;
use crate::probe::Job;
use crate::probe::dial::{Contact, DialError, Purpose};
use crate::sample::Unknown;
use crate::target::{Host, Pins, Transport};

/// A pin that allows more ports than this does not make us ask them all.
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
    /// The pins, where there are any.
    pub(super) expected: Option<Expected>,
}

impl Ask {
    pub(super) fn of(job: &Job, address: IpAddr) -> Self {
        let target = &job.point.target;
        let endpoint = &target.endpoint;
        let own = Port::tcp(endpoint.port_or_default());
        let expected =
            Expected::of(&target.settings.pins, &endpoint.host, address, job.now.date_naive());
        let pinned = expected.as_ref().map(Expected::pinned).unwrap_or_default();
        let wanted: BTreeSet<Port> = match &target.settings.ports {
            Some(set) => expand(set),
            None => {
                let usual = common::default_ports().map(Port::tcp);
                pinned.iter().copied().chain([own]).chain(usual).collect()
            }
        };
        let host = endpoint.host.name();
        let mut ask = Self {
            address,
            ports: BTreeMap::new(),
            refused: BTreeMap::new(),
            may_scan: false,
            expected,
        };
        for port in wanted {
            let is_known = port == own || pinned.contains(&port);
            let purpose = if is_known { Purpose::Target } else { Purpose::Scan };
            let contact = Contact { host, address, port: port.number, purpose };
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
            to: SocketAddr::new(self.address, port.number),
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
}

impl Expected {
    /// The pins of the address itself or, where there are none, of the name. A pin holds until the
    /// end of its last day.
    fn of(pins: &Pins, host: &Host, address: IpAddr, today: NaiveDate) -> Option<Self> {
        let named = |name: &str| {
            let mut expected: Option<Self> = None;
            for (kind, expectation) in pins.of(name) {
                if kind.is_ports() && expectation.until.is_none_or(|until| today <= until) {
                    let (required, allowed) = expectation.ports();
                    let expected = expected.get_or_insert_default();
                    expected.required.extend(required.iter().flat_map(expand));
                    if let Some(allowed) = allowed {
                        expected.allowed.get_or_insert_default().extend(expand(&allowed));
                    }
                }
            }
            expected
        };
        let mut expected = named(&address.to_string()).or_else(|| named(&host.to_string()))?;
        if let Some(allowed) = &mut expected.allowed {
            // What must be open may be.
            allowed.extend(&expected.required);
        }
        Some(expected)
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
