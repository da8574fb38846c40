//! Which ports drip at which window, and what is remembered of an address: how far each tier has
//! come, and two bits a port.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};

use super::common;
use super::drip::{Progress, bound, every_port, some_ports};
use super::port::Port;
use super::state::State;
use crate::target::Transport;

/// A class of ports with a window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Tier {
    pub(super) name: &'static str,
    /// Milliseconds within which each of its ports is looked at again.
    pub(super) window: i64,
}

/// Pinned and dangerous ports, the common ones, all.
pub(super) const TIERS: [Tier; 3] = [
    Tier { name: "dangerous", window: 5 * 60 * 1_000 },
    Tier { name: "common", window: 60 * 60 * 1_000 },
    Tier { name: "all", window: 24 * 60 * 60 * 1_000 },
];

/// Of one address.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Drip {
    key: u64,
    tiers: [Progress; 3],
    states: Bits,
}

/// How old the oldest look of a tier is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Coverage {
    pub(super) tier: Tier,
    pub(super) oldest_look: Option<DateTime<Utc>>,
    /// Whether it is older than it should be.
    pub(super) is_late: bool,
}

impl Drip {
    /// Of an address that nothing is known of.
    pub(super) fn new(key: u64) -> Self {
        Self { key, ..Self::default() }
    }

    /// The TCP ports whose turn it is, and those that were open the last time.
    pub(super) fn step(&mut self, pinned: &BTreeSet<Port>, now: DateTime<Utc>) -> BTreeSet<u16> {
        let pinned = pinned.iter().filter(|port| port.transport == Transport::Tcp);
        let mut dangerous: Vec<u16> = common::risky().to_vec();
        dangerous.extend(pinned.map(|port| port.number));
        dangerous.sort_unstable();
        dangerous.dedup();
        let now = now.timestamp_millis();
        let orders = [
            some_ports(dangerous, self.key),
            some_ports(common::top(TOP), self.key),
            every_port(self.key),
        ];
        let mut ports: BTreeSet<u16> = self.states.open().take(MOST_OPEN).collect();
        for ((tier, order), progress) in TIERS.iter().zip(orders).zip(&mut self.tiers) {
            ports.extend(progress.step(&order, self.key, tier.window, now));
        }
        ports
    }

    /// Takes in what was seen; what could not be measured keeps nothing of what was known.
    pub(super) fn learn(&mut self, states: &BTreeMap<Port, State>) {
        for (port, state) in states.iter().filter(|(port, _)| port.transport == Transport::Tcp) {
            self.states.set(port.number, Bit::of(state));
        }
    }

    /// The states of ports that were not asked this time.
    pub(super) fn known(&self) -> impl Iterator<Item = (Port, State)> {
        (1..=u16::MAX).filter_map(|number| {
            let state = match self.states.at(number) {
                Bit::Closed => State::Closed,
                Bit::Filtered => State::Dropped,
                // An open port is asked every time; without an answer nothing is said of it.
                Bit::Open | Bit::Unknown => return None,
            };
            Some((Port::tcp(number), state))
        })
    }

    pub(super) fn coverage(&self, now: DateTime<Utc>) -> impl Iterator<Item = Coverage> {
        let now = now.timestamp_millis();
        TIERS.iter().zip(&self.tiers).map(move |(tier, progress)| {
            let oldest = progress.oldest_look();
            let allowed = bound(tier.window) + progress.interval();
            Coverage {
                tier: *tier,
                oldest_look: oldest.and_then(DateTime::from_timestamp_millis),
                is_late: oldest.is_some_and(|oldest| now - oldest > allowed),
            }
        })
    }

    pub(super) fn key(&self) -> u64 {
        self.key
    }

    /// Whether every port was looked at once.
    pub(super) fn is_complete(&self) -> bool {
        self.tiers.iter().all(|progress| progress.oldest_look().is_some())
    }

    /// Forgets what each port was, where there is no room for it.
    pub(super) fn forget_states(&mut self) {
        self.states = Bits::default();
    }
}

/// What two bits say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Bit {
    Unknown = 0,
    Closed = 1,
    Filtered = 2,
    Open = 3,
}

impl Bit {
    fn of(state: &State) -> Self {
        match state {
            State::Closed => Self::Closed,
            State::Dropped | State::Rejected => Self::Filtered,
            State::Open(_) => Self::Open,
            State::Forged | State::NotMeasured(_) | State::Silent => Self::Unknown,
        }
    }
}

/// Two bits a port, 16 KiB; deflated where they are written down.
#[derive(Clone, Debug, PartialEq)]
struct Bits(Vec<u8>);

impl Default for Bits {
    fn default() -> Self {
        Self(vec![0; BYTES])
    }
}

impl Bits {
    fn at(&self, port: u16) -> Bit {
        let byte = self.0.get(usize::from(port) / 4).copied().unwrap_or_default();
        match byte >> (port % 4 * 2) & 3 {
            1 => Bit::Closed,
            2 => Bit::Filtered,
            3 => Bit::Open,
            _ => Bit::Unknown,
        }
    }

    fn set(&mut self, port: u16, bit: Bit) {
        if let Some(byte) = self.0.get_mut(usize::from(port) / 4) {
            let shift = port % 4 * 2;
            *byte = *byte & !(3 << shift) | (bit as u8) << shift;
        }
    }

    fn open(&self) -> impl Iterator<Item = u16> {
        (1..=u16::MAX).filter(|port| self.at(*port) == Bit::Open)
    }
}

impl Serialize for Bits {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&self.0).map_err(serde::ser::Error::custom)?;
        let bytes = encoder.finish().map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(&BASE64.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let deflated = BASE64.decode(text).map_err(serde::de::Error::custom)?;
        let mut bytes = Vec::new();
        let mut decoder = DeflateDecoder::new(deflated.as_slice()).take(BYTES as u64);
        decoder.read_to_end(&mut bytes).map_err(serde::de::Error::custom)?;
        bytes.resize(BYTES, 0);
        Ok(Self(bytes))
    }
}

const BYTES: usize = 16 * 1_024;
const TOP: u16 = 1_000;
/// Ports that are asked at every step because they were open; a host has no more.
const MOST_OPEN: usize = 512;

#[cfg(test)]
mod tests {
    use super::super::state::Voice;
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + 60 * minute, 0).expect("a time")
    }

    #[test]
    fn what_a_step_asks_is_what_its_cost_is_reckoned_by() {
        let reckoned =
            crate::target::DRIP_TIERS.map(|(ports, window)| (usize::from(ports), window));
        let counts = [common::risky().len(), common::top(TOP).len(), every_port(1).len()];
        let tiers = TIERS.map(|tier| u32::try_from(tier.window / 1_000).expect("seconds"));
        assert_eq!(reckoned.map(|(ports, _)| ports), counts);
        assert_eq!(reckoned.map(|(_, window)| window), tiers);
        assert_eq!(crate::target::DRIP_BLOCKS as usize, super::super::drip::BLOCKS);
        let target = crate::target::Target::new("192.0.2.1".parse().expect("a target"));
        for (minutes, hours) in [(1, 24), (5, 24), (30, 48), (240, 96)] {
            let (mut drip, mut asked) = (Drip::new(3), 0);
            let steps = hours * 60 / minutes;
            for step in 0..steps {
                asked += drip.step(&BTreeSet::new(), at(step * minutes)).len();
            }
            let an_hour = 60.0 / minutes as f64;
            let kind = crate::target::ProbeKind::Ports;
            let reckoned = target.contacts_by_plan(kind, true, (an_hour, false)) * steps as f64;
            let off = reckoned / asked as f64;
            // Ports of two tiers at once are asked once; beside the ports there are canaries.
            assert!((0.95..1.15).contains(&off), "every {minutes} min: {off}");
        }
    }

    #[test]
    fn states_survive_being_written_down() {
        let mut drip = Drip::new(3);
        let open = || State::Open(Box::new(Voice::silent()));
        let states =
            [(1, State::Closed), (2, State::Dropped), (65_535, open()), (4, State::Forged)];
        drip.learn(&states.into_iter().map(|(n, state)| (Port::tcp(n), state)).collect());
        let text = serde_json::to_string(&drip).expect("JSON");
        assert!(text.len() < 400, "{text}");
        let read: Drip = serde_json::from_str(&text).expect("a drip");
        assert_eq!(read, drip);
        let known: Vec<_> = read.known().collect();
        assert_eq!(known, [(Port::tcp(1), State::Closed), (Port::tcp(2), State::Dropped)]);
        assert_eq!(read.states.open().collect::<Vec<_>>(), [65_535]);
    }

    #[test]
    fn pinned_dangerous_and_open_ports_come_at_every_step_and_the_rest_in_turn() {
        let mut drip = Drip::new(3);
        let pinned = [Port::tcp(31_337)].into();
        drip.learn(&[(Port::tcp(4_711), State::Open(Box::new(Voice::silent())))].into());
        for minute in [0, 5, 10] {
            let ports = drip.step(&pinned, at(minute));
            assert!([31_337, 4_711, 6_379].iter().all(|port| ports.contains(port)), "{minute}");
            assert!((400..700).contains(&ports.len()), "{}", ports.len());
        }
        let coverage: Vec<_> = drip.coverage(at(10)).collect();
        assert_eq!(coverage[0].oldest_look, Some(at(10)));
        assert_eq!(coverage[2].oldest_look, None);
        assert!(coverage.iter().all(|coverage| !coverage.is_late));
    }

    #[test]
    fn a_drip_that_was_stopped_for_long_is_late_until_it_has_come_round() {
        let mut drip = Drip::new(3);
        let run = |drip: &mut Drip, minutes: std::ops::Range<i64>| {
            for minute in minutes.step_by(5) {
                drip.step(&BTreeSet::new(), at(minute));
            }
        };
        let late = |drip: &Drip, minute| drip.coverage(at(minute)).any(|tier| tier.is_late);
        run(&mut drip, 0..1_500);
        assert!(!late(&drip, 1_500));
        run(&mut drip, 3_000..3_010);
        assert!(late(&drip, 3_010));
        run(&mut drip, 3_010..4_600);
        assert!(!late(&drip, 4_600));
    }
}
