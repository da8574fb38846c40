//! Puts the looks of one sample into measurements (CONTRACT §ports). Pure: what could not be
//! measured is named as unknown, member by member, so that silence neither opens nor resolves.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::ask::Ask;
use super::common;
use super::drip::bound;
use super::glimpse;
use super::memory::Past;
use super::port::{Port, ranges};
use super::scan::Scan;
use super::state::State;
use super::tiers::Drip;
use crate::probe::Observation;
use crate::sample::{Measurements, Outcome, Path, Reason, Unknown};
use crate::target::Transport;

/// Doubts about single ports; beyond, the whole set is a lower bound.
const MOST_DOUBTS: usize = 64;

/// One address, looked at.
#[derive(Clone, Debug)]
pub(super) struct Look {
    ask: Ask,
    /// Of the ports that were asked.
    states: BTreeMap<Port, State>,
    /// What the drip knows of all, these answers among it.
    known: Option<Drip>,
    host: Host,
    unstable: BTreeSet<Port>,
    /// Open and then not, within this run.
    fickle: BTreeSet<Port>,
    /// Unexpected, and found open by three connects.
    confirmed: BTreeSet<Port>,
}

/// What is known of the host itself.
#[derive(Clone, Debug, PartialEq)]
enum Host {
    AnswersEverywhere,
    Down,
    /// Nothing, for this reason.
    Unknown(Unknown),
    Up,
}

impl Host {
    fn of(states: &BTreeMap<Port, State>, answers_everywhere: bool) -> Self {
        if answers_everywhere {
            return Self::AnswersEverywhere;
        }
        if states.values().any(State::is_sign_of_life) {
            return Self::Up;
        }
        match states.values().find_map(State::not_measured) {
            Some(unknown) => Self::Unknown(unknown.clone()),
            // That UDP ports are silent is no sign of anything.
            None if states.keys().all(|port| port.transport == Transport::Udp) => {
                Self::Unknown(Reason::NotObserved.into())
            }
            None => Self::Down,
        }
    }
}

impl Look {
    pub(super) fn new(ask: Ask, scan: Scan, mut unstable: BTreeSet<Port>) -> Self {
        let Scan { states, answers_everywhere, fickle, confirmed } = scan;
        let host = Host::of(&states, answers_everywhere);
        unstable.extend(&fickle);
        Self { ask, states, known: None, host, unstable, fickle, confirmed }
    }

    /// Takes in what the drip knows of ports that were not asked this time, and what the drip is to
    /// remember. Where the host was down nothing was looked at, and the drip is where it was.
    pub(super) fn remember(&mut self, past: &Past) -> Option<(IpAddr, Drip)> {
        let address = self.ask.address;
        let drip = self.ask.drip.as_mut()?;
        match self.host {
            Host::Down | Host::Unknown(_) => {
                // The step back leaves the time of the last look as it was.
                *drip = past.drip(address, drip.key());
            }
            Host::Up | Host::AnswersEverywhere => drip.learn(&self.states),
        }
        let drip = drip.clone();
        let mut known = drip.clone();
        known.learn(&self.states);
        self.known = Some(known);
        Some((address, drip))
    }

    /// What is known of a port: by this look, or by earlier ones of the drip.
    fn state(&self, port: Port) -> Option<Cow<'_, State>> {
        let seen = self.states.get(&port).map(Cow::Borrowed);
        seen.or_else(|| Some(Cow::Owned(self.known.as_ref()?.known(port)?)))
    }

    /// What handshakes told of TLS on ports that are believed to be open.
    pub(super) fn take_glimpses(&mut self) -> Vec<Observation> {
        let address = self.ask.address;
        let seen = self.states.iter_mut().filter_map(|(port, state)| {
            let State::Open(voice) = state else { return None };
            Some(glimpse::observation(address, port.number, *voice.glimpse.take()?))
        });
        seen.collect()
    }

    /// Why the state of a port is not known, if it is not.
    fn doubt(&self, port: Port) -> Option<Unknown> {
        match (self.state(port).as_deref(), &self.host) {
            (_, Host::Down) => Some(Reason::HostDown.into()),
            (None, _) => Some(Reason::NotObserved.into()),
            (Some(State::NotMeasured(unknown)), _) => Some(unknown.clone()),
            (Some(State::Forged), _) => Some(Unknown::new(Reason::Inconsistent, "handshake only")),
            (Some(State::Silent), _) => Some(Reason::Timeout.into()),
            // Without a sign of life, silence is the network's as much as the port's.
            (Some(State::Dropped | State::Rejected), Host::Unknown(unknown)) => {
                Some(unknown.clone())
            }
            (Some(_), _) => None,
        }
    }

    fn opens(&self) -> impl Iterator<Item = (Port, &super::state::Voice)> {
        self.states.iter().filter_map(|(port, state)| match state {
            State::Open(voice) => Some((*port, &**voice)),
            _ => None,
        })
    }

    fn is_open(&self, port: Port) -> bool {
        matches!(self.states.get(&port), Some(State::Open(_)))
    }

    /// The asked ports of some states; none of them is known where the host is down.
    fn list(&self, wanted: impl Fn(&State) -> bool) -> Vec<String> {
        let is_up = self.host != Host::Down;
        let states = self.states.iter().filter(|(_, state)| is_up && wanted(state));
        ranges(states.map(|(port, _)| *port))
    }

    /// The same with what the drip knows.
    fn list_known<'a, I: Iterator<Item = Port>>(
        &'a self,
        known: impl Fn(&'a Drip) -> I,
        wanted: impl Fn(&State) -> bool,
    ) -> Vec<String> {
        match &self.known {
            Some(drip) if self.host != Host::Down => {
                // The drip has the answers of TCP in it.
                let states =
                    self.states.iter().filter(|(port, _)| port.transport == Transport::Udp);
                let udp = states.filter(|(_, state)| wanted(state)).map(|(port, _)| *port);
                ranges(known(drip).chain(udp))
            }
            _ => self.list(wanted),
        }
    }

    fn not_measured(&self) -> Vec<String> {
        if self.host != Host::Down {
            return self.list(|state| matches!(state, State::NotMeasured(_)));
        }
        let known = self.known.iter().flat_map(|drip| drip.closed().chain(drip.filtered()));
        let all: BTreeSet<Port> = self.states.keys().copied().chain(known).collect();
        ranges(all)
    }

    fn to_json(&self) -> Value {
        let open = self.opens().map(|(port, voice)| {
            json!({
                "port": port.number,
                "transport": port.transport,
                "service": voice.service,
                "exposure": voice.exposure,
                "evidence": voice.evidence,
            })
        });
        json!({
            "address": self.ask.address,
            "host": match self.host {
                Host::AnswersEverywhere => Some("answers_everywhere"),
                Host::Down => Some("down"),
                Host::Unknown(_) => None,
                Host::Up => Some("up"),
            },
            "open": open.collect::<Vec<_>>(),
            "closed": self.list_known(Drip::closed, |state| *state == State::Closed),
            "filtered": self.list_known(Drip::filtered, |state| {
                matches!(state, State::Dropped | State::Rejected)
            }),
            "open_or_filtered": self.list(|state| *state == State::Silent),
            "not_measured": self.not_measured(),
            "forged": self.list(|state| *state == State::Forged),
            "unstable": ranges(self.unstable.iter().copied()),
        })
    }
}

/// The sample's outcome: unknown as a whole only where no address told anything.
pub(super) fn outcome(looks: &[Look], excess: usize, now: DateTime<Utc>) -> Outcome {
    let told = |look: &Look| look.states.values().any(|state| state.not_measured().is_none());
    if !looks.iter().any(|look| look.host != Host::Down && told(look)) {
        return Outcome::Unknown(nothing(looks));
    }
    let mut measured = Measurements::new();
    measured.set("addresses", looks.iter().map(Look::to_json).collect::<Vec<_>>());
    for look in looks {
        let address = Path::of("addresses").join(&look.ask.address.to_string());
        if let Host::Unknown(unknown) = &look.host {
            measured.set_unknown(address.clone().join("host").to_string(), unknown.clone());
        }
        let unasked = look.states.values().find_map(State::not_measured).cloned();
        let unseen = look.ask.drip.as_ref().filter(|drip| !drip.is_complete());
        let unseen = unseen.map(|_| Unknown::new(Reason::NotObserved, "the first pass goes on"));
        let why = match look.host {
            Host::Down => Some(Reason::HostDown.into()),
            _ => unasked.or(unseen),
        };
        if let Some(unknown) = why {
            measured.set_unknown(address.join("open").to_string(), unknown);
        }
    }
    for (fact, (items, doubts)) in [
        ("asymmetry", asymmetry(looks)),
        ("exposure", exposure(looks)),
        ("unexpected", unexpected(looks)),
        ("missing", missing(looks)),
    ] {
        measured.set(fact, items);
        doubt(&mut measured, fact, doubts, excess);
    }
    set_coverage(&mut measured, looks, now);
    Outcome::Measured(measured)
}

/// By address and tier of the drip: when the longest ago of the last looks was; and those that are
/// later than their bound.
fn set_coverage(measured: &mut Measurements, looks: &[Look], now: DateTime<Utc>) {
    let (mut coverage, mut late) = (Vec::new(), Vec::new());
    for look in looks {
        for tier in look.ask.drip.iter().flat_map(|drip| drip.coverage(now)) {
            let item = json!({
                "address": look.ask.address,
                "tier": tier.tier.name,
                "window_seconds": tier.tier.window / 1_000,
                "bound_seconds": bound(tier.tier.window) / 1_000,
                "oldest_look": tier.oldest_look.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)),
            });
            if tier.is_late {
                late.push(json!({ "address": look.ask.address, "tier": tier.tier.name }));
            }
            coverage.push(item);
        }
    }
    if !coverage.is_empty() {
        measured.set("coverage", coverage);
    }
    measured.set("late_looks", late);
}

/// Why no address told anything.
fn nothing(looks: &[Look]) -> Unknown {
    if looks.iter().any(|look| look.host == Host::Down) {
        return Reason::HostDown.into();
    }
    let unasked = looks.iter().find_map(|look| match &look.host {
        Host::Unknown(unknown) => Some(unknown.clone()),
        _ => None,
    });
    unasked.unwrap_or_else(|| Unknown::new(Reason::OutOfScope, "no port may be asked"))
}

/// Items found, and the ports of which it cannot be said whether they belong to them.
type Found = (Vec<Value>, BTreeMap<Port, Unknown>);

fn doubt(measured: &mut Measurements, fact: &str, doubts: BTreeMap<Port, Unknown>, excess: usize) {
    if excess > 0 {
        let detail = format!("{excess} more addresses than max_addresses");
        measured.set_unknown(fact, Unknown::new(Reason::Budget, detail));
    }
    if doubts.len() > MOST_DOUBTS {
        if let Some(unknown) = doubts.into_values().next() {
            measured.set_unknown(fact, unknown);
        }
        return;
    }
    for (port, unknown) in doubts {
        let path = Path::of(fact).member(&port.to_string());
        measured.set_unknown(path.to_string(), unknown);
    }
}

/// Open ports that the pins, or where they say nothing a person, did not allow.
fn unexpected(looks: &[Look]) -> Found {
    let (mut items, mut doubts) = (Vec::new(), BTreeMap::new());
    for look in looks {
        let Some(expected) = &look.ask.expected else { continue };
        for (port, voice) in look.opens().filter(|(port, _)| !expected.allows(*port)) {
            if look.fickle.contains(&port) {
                let unknown = Unknown::new(Reason::Inconsistent, "open, then not");
                doubts.insert(port, unknown);
                continue;
            }
            let mut item = json!({
                "address": look.ask.address,
                "port": port.to_string(),
                "service": voice.service,
                "expected_by": if expected.is_accepted { "baseline" } else { "pins" },
            });
            if !expected.is_accepted {
                expected.explain(&mut item);
            }
            if look.confirmed.contains(&port) {
                item["sightings"] = json!(3);
            }
            items.push(item);
        }
        // Of a host that told nothing, what was known before is as doubtful.
        let before = match look.host {
            Host::Down | Host::Unknown(_) => look.known.as_ref(),
            Host::Up | Host::AnswersEverywhere => None,
        };
        let before = before.into_iter().flat_map(|drip| drip.closed().chain(drip.filtered()));
        let ports = look.states.keys().copied().chain(before);
        for port in ports.filter(|port| !expected.allows(*port)) {
            // A silent UDP port is the usual thing; it was asked and told us nothing.
            if look.states.get(&port) != Some(&State::Silent)
                && let Some(unknown) = look.doubt(port)
            {
                doubts.insert(port, unknown);
            }
        }
    }
    (items, doubts)
}

/// Ports that the pins demand, or that a person accepted as open: refused, or silent on a host that is
/// up.
fn missing(looks: &[Look]) -> Found {
    let (mut items, mut doubts) = (Vec::new(), BTreeMap::new());
    for look in looks {
        let Some(expected) = &look.ask.expected else { continue };
        for port in &expected.required {
            if let Some(unknown) = look.doubt(*port) {
                doubts.insert(*port, unknown);
            } else if !look.is_open(*port) {
                let mut item = json!({ "address": look.ask.address, "port": port.to_string() });
                match expected.accepted.contains(port) {
                    true => item["expected_by"] = json!("baseline"),
                    false => expected.explain(&mut item),
                }
                items.push(item);
            }
        }
    }
    (items, doubts)
}

/// Open ports that gave access without credentials. Of a port where such a service is at home, and
/// which let itself not be known, nothing is.
fn exposure(looks: &[Look]) -> Found {
    let (mut items, mut doubts) = (Vec::new(), BTreeMap::new());
    for look in looks {
        for (port, voice) in look.opens() {
            match voice.exposure {
                "unauthenticated" => items.push(json!({
                    "address": look.ask.address,
                    "port": port.to_string(),
                    "service": voice.service,
                })),
                "none" if leaves_question(port, &voice.service) => {
                    doubts.insert(port, Reason::NotObserved.into());
                }
                _ => {}
            }
        }
    }
    (items, doubts)
}

fn leaves_question(port: Port, service: &str) -> bool {
    match service {
        "nats" | "rsync" | "vnc" => true,
        "unknown" => common::is_risky(port.number),
        _ => false,
    }
}

/// Ports open on some address of one family and, for certain, on none of the other's.
fn asymmetry(looks: &[Look]) -> Found {
    let (mut items, mut doubts) = (Vec::new(), BTreeMap::new());
    let (v4, v6): (Vec<&Look>, Vec<&Look>) =
        looks.iter().partition(|look| look.ask.address.is_ipv4());
    if v4.is_empty() || v6.is_empty() {
        return (items, doubts);
    }
    let ports: BTreeSet<Port> =
        looks.iter().flat_map(|look| look.opens().map(|(port, _)| port)).collect();
    for port in ports {
        let open_on = |looks: &[&Look]| looks.iter().any(|look| look.is_open(port));
        let (with, without) = match (open_on(&v4), open_on(&v6)) {
            (true, true) => continue,
            (true, false) => (&v4, &v6),
            (false, _) => (&v6, &v4),
        };
        if let Some(unknown) = without.iter().find_map(|look| look.doubt(port)) {
            doubts.insert(port, unknown);
            continue;
        }
        let open_on = with.iter().filter(|look| look.is_open(port));
        items.push(json!({
            "port": port.to_string(),
            "open_on": open_on.map(|look| look.ask.address).collect::<Vec<_>>(),
            "not_on": without.iter().map(|look| look.ask.address).collect::<Vec<_>>(),
        }));
    }
    (items, doubts)
}

#[cfg(test)]
mod tests {
    use super::super::ask::Expected;
    use super::super::state::Voice;
    use super::*;

    fn look<const N: usize>(address: &str, states: [(u16, State); N]) -> Look {
        let ask = Ask {
            address: address.parse().expect("an address"),
            ports: BTreeMap::new(),
            refused: BTreeMap::new(),
            may_scan: true,
            expected: None,
            drip: None,
        };
        let states = states.into_iter().map(|(number, state)| (Port::tcp(number), state));
        let scan = Scan { states: states.collect(), ..Scan::default() };
        Look::new(ask, scan, BTreeSet::new())
    }

    fn pinned(mut look: Look, required: &[u16], allowed: &[u16]) -> Look {
        let set = |ports: &[u16]| ports.iter().copied().map(Port::tcp).collect();
        look.ask.expected = Some(Expected {
            required: set(required),
            allowed: Some(set(allowed)),
            ..Expected::default()
        });
        look
    }

    fn open() -> State {
        State::Open(Box::new(Voice::silent()))
    }

    fn lost() -> State {
        State::NotMeasured(Unknown::new(Reason::LocalError, "Too many open files"))
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("a time")
    }

    fn measured(looks: &[Look]) -> Value {
        match outcome(looks, 0, now()) {
            Outcome::Measured(measured) => serde_json::to_value(measured).expect("json"),
            Outcome::Unknown(unknown) => panic!("nothing measured: {unknown}"),
        }
    }

    #[test]
    fn every_asked_port_stands_in_exactly_one_list() {
        let states = [
            (22, open()),
            (80, State::Closed),
            (81, State::Closed),
            (82, State::Dropped),
            (83, State::Rejected),
            (84, State::Silent),
            (85, lost()),
            (86, State::Forged),
        ];
        let json = measured(&[look("192.0.2.1", states)]);
        let address = &json["addresses"][0];
        assert_eq!(address["host"], "up");
        assert_eq!(address["open"][0]["port"], 22);
        for (list, ports) in [
            ("closed", "80-81/tcp"),
            ("filtered", "82-83/tcp"),
            ("open_or_filtered", "84/tcp"),
            ("not_measured", "85/tcp"),
            ("forged", "86/tcp"),
        ] {
            assert_eq!(address[list], json!([ports]), "{list}");
        }
        assert_eq!(
            json["unknown"]["addresses[192.0.2.1].open"],
            "local_error: Too many open files"
        );
    }

    #[test]
    fn a_host_without_a_sign_of_life_is_down_and_no_port_of_it_is_missing() {
        let down = || {
            let states = [(80, State::Dropped), (443, State::Rejected)];
            pinned(look("192.0.2.1", states), &[443], &[443])
        };
        assert_eq!(outcome(&[down()], 0, now()), Outcome::Unknown(Reason::HostDown.into()));
        let json = measured(&[down(), look("192.0.2.2", [(443, open())])]);
        assert_eq!(json["addresses"][0]["host"], "down");
        assert_eq!(json["addresses"][0]["not_measured"], json!(["80/tcp", "443/tcp"]));
        assert_eq!(json["addresses"][0]["filtered"], json!([]));
        assert_eq!(json["missing"], json!([]));
        assert_eq!(json["unknown"]["missing[443/tcp]"], "host_down");
        assert_eq!(json["unknown"]["unexpected[80/tcp]"], "host_down");
    }

    #[test]
    fn what_this_machine_could_not_ask_is_never_missing() {
        let states =
            [(22, State::Closed), (80, State::Dropped), (443, lost()), (25, State::Forged)];
        let required = [22, 25, 80, 443, 8443];
        let json = measured(&[pinned(look("192.0.2.1", states), &required, &required)]);
        assert_eq!(
            json["missing"],
            json!([
                { "address": "192.0.2.1", "port": "22/tcp" },
                { "address": "192.0.2.1", "port": "80/tcp" },
            ])
        );
        for (port, reason) in [
            ("443", "local_error: Too many open files"),
            ("25", "inconsistent: handshake only"),
            ("8443", "not_observed"),
        ] {
            assert_eq!(json["unknown"][format!("missing[{port}/tcp]")], reason);
        }
    }

    #[test]
    fn an_open_port_is_unexpected_only_where_pins_say_so() {
        let states = || [(22, open()), (6379, open()), (9200, lost())];
        let json = measured(&[look("192.0.2.1", states())]);
        assert_eq!((&json["unexpected"], &json["missing"]), (&json!([]), &json!([])));
        assert_eq!(json["unknown"]["exposure[6379/tcp]"], "not_observed");
        let json = measured(&[pinned(look("192.0.2.1", states()), &[], &[22])]);
        let expected = json!([{ "address": "192.0.2.1", "port": "6379/tcp", "service": "unknown", "expected_by": "pins" }]);
        assert_eq!(json["unexpected"], expected);
        // A port that was open the last time and could not be asked now is not mended.
        let reason = "local_error: Too many open files";
        assert_eq!(json["unknown"]["unexpected[9200/tcp]"], reason);
    }

    #[test]
    fn a_pins_reason_and_owner_stand_in_what_departs_from_it() {
        let mut look = pinned(look("192.0.2.1", [(22, State::Closed), (80, open())]), &[22], &[22]);
        if let Some(expected) = &mut look.ask.expected {
            (expected.reason, expected.owner) = (Some("bastion".into()), Some("ops".into()));
        }
        let json = measured(&[look]);
        for fact in ["unexpected", "missing"] {
            assert_eq!(
                (&json[fact][0]["reason"], &json[fact][0]["owner"]),
                (&json!("bastion"), &json!("ops"))
            );
        }
    }

    #[test]
    fn families_are_held_against_each_other_only_where_both_were_measured() {
        let v4 = || look("192.0.2.1", [(22, open()), (80, open()), (443, open())]);
        let v6 = look("2001:db8::1", [(22, State::Dropped), (80, lost()), (443, open())]);
        let json = measured(&[v4(), v6]);
        let expected =
            json!([{ "port": "22/tcp", "open_on": ["192.0.2.1"], "not_on": ["2001:db8::1"] }]);
        assert_eq!(json["asymmetry"], expected);
        assert_eq!(json["unknown"]["asymmetry[80/tcp]"], "local_error: Too many open files");
        // Without IPv6 here, nothing is said of theirs.
        let v6 = look("2001:db8::1", [(22, lost()), (80, lost()), (443, lost())]);
        let json = measured(&[v4(), v6]);
        assert_eq!(json["asymmetry"], json!([]));
        assert_eq!(json["addresses"][1]["host"], Value::Null);
        assert!(json["unknown"]["addresses[2001:db8::1].host"].is_string());
        assert_eq!(measured(&[v4()])["asymmetry"], json!([]));
    }

    #[test]
    fn many_doubts_become_one() {
        let mut look = look("192.0.2.1", [(22, open())]);
        look.states.extend((1_000..2_000).map(|number| (Port::tcp(number), lost())));
        let json = measured(&[pinned(look, &[], &[22])]);
        assert!(json["unknown"]["unexpected"].is_string());
        assert!(json["unknown"].as_object().expect("a map").len() < 10);
        assert_eq!(json["addresses"][0]["not_measured"], json!(["1000-1999/tcp"]));
    }

    #[test]
    fn a_full_scan_of_a_silent_firewall_is_reported_in_no_time() {
        let mut silent = look("192.0.2.1", [(65_535, State::Closed)]);
        silent.states.extend((1..=65_534).map(|number| (Port::tcp(number), State::Dropped)));
        let json = measured(&[pinned(silent, &[443], &[443])]);
        assert_eq!(json["addresses"][0]["filtered"], json!(["1-65534/tcp"]));
        assert_eq!(json["missing"][0]["port"], "443/tcp");
        assert_eq!(json.get("unknown"), None);
    }

    #[test]
    fn nothing_asked_is_unknown_for_its_reason() {
        let refused = State::NotMeasured(Unknown::new(Reason::OutOfScope, "scope.networks"));
        let Outcome::Unknown(unknown) = outcome(&[look("192.0.2.1", [(22, refused)])], 0, now())
        else {
            panic!("something was measured");
        };
        assert_eq!(unknown.to_string(), "out_of_scope: scope.networks");
        assert!(matches!(outcome(&[], 0, now()), Outcome::Unknown(_)));
    }
}
