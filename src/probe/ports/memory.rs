//! What the probe remembers of earlier runs: how far each address' drip has come, and ports that were
//! open within the hour, so that one that flaps is told from one that was closed for good.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::accepted::Accepted;
use super::port::Port;
use super::state::State;
use super::tiers::Drip;
use crate::probe::{Memory, Observation};

const VERSION: u16 = 2;
const HOUR: i64 = 3_600;

/// Enough for every port that a sane host has open; at some 80 bytes each, under 16 KiB.
const MOST: usize = 150;

/// Ports of one target whose TLS is told of beside.
const MOST_GLIMPSED: usize = 64;

/// What is remembered of a target's addresses.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Past {
    /// By address and port: when it was last seen open and, since, closed, in Unix seconds.
    flaps: BTreeMap<String, (i64, Option<i64>)>,
    /// By address.
    drips: BTreeMap<IpAddr, Drip>,
    /// By address and port: when its TLS was told of last, in Unix seconds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    glimpsed: BTreeMap<String, i64>,
    #[serde(default, skip_serializing_if = "Accepted::is_empty")]
    pub(super) accepted: Accepted,
}

impl Past {
    /// What was remembered; a form that is not known is forgotten.
    pub(super) fn read(memory: Option<&Memory>) -> Self {
        let known = memory.filter(|memory| memory.version == VERSION);
        known.and_then(|memory| serde_json::from_slice(&memory.bytes).ok()).unwrap_or_default()
    }

    /// Of many addresses with nothing alike about their ports, the first keep what each port was.
    pub(super) fn write(mut self) -> Option<Memory> {
        let mut bytes = serde_json::to_vec(&self).ok()?;
        let addresses: Vec<IpAddr> = self.drips.keys().rev().copied().collect();
        for address in addresses {
            if bytes.len() <= Memory::MAX {
                break;
            }
            self.drips.entry(address).and_modify(Drip::forget_states);
            bytes = serde_json::to_vec(&self).ok()?;
        }
        Some(Memory { version: VERSION, bytes })
    }

    /// The drip of an address; a new one begins by this seed.
    pub(super) fn drip(&self, address: IpAddr, seed: u64) -> Drip {
        self.drips.get(&address).cloned().unwrap_or_else(|| Drip::new(seed))
    }

    /// Remembers the drips of these addresses and no others.
    pub(super) fn keep_drips(&mut self, drips: impl IntoIterator<Item = (IpAddr, Drip)>) {
        self.drips = drips.into_iter().collect();
    }

    /// Whether a glimpse is told of, and remembers it. Ports that come and go must not make ever more
    /// sampling points: a new one is told of only once an old one has been gone for long.
    pub(super) fn tells_of(&mut self, glimpse: &Observation, now: DateTime<Utc>) -> bool {
        let now = now.timestamp();
        self.glimpsed.retain(|_, last| now.saturating_sub(*last) < 2 * HOUR);
        let (Some(address), Some(port)) = (glimpse.address, glimpse.port) else { return false };
        let key = format!("{address} {port}");
        let tells = self.glimpsed.len() < MOST_GLIMPSED || self.glimpsed.contains_key(&key);
        if tells {
            self.glimpsed.insert(key, now);
        }
        tells
    }

    /// Takes a look in, and says which ports were seen both open and closed within the hour.
    pub(super) fn learn(
        &mut self,
        address: IpAddr,
        states: &BTreeMap<Port, State>,
        now: DateTime<Utc>,
    ) -> BTreeSet<Port> {
        let now = now.timestamp();
        self.flaps.retain(|_, (open, _)| now.saturating_sub(*open) < HOUR);
        let mut unstable = BTreeSet::new();
        for (port, state) in states {
            if self.flaps.is_empty() && !matches!(state, State::Open(_)) {
                continue;
            }
            let key = format!("{address} {port}");
            match state {
                State::Open(_) if self.flaps.len() < MOST || self.flaps.contains_key(&key) => {
                    self.flaps.entry(key.clone()).or_insert((now, None)).0 = now;
                }
                State::Closed => {
                    if let Some((_, closed)) = self.flaps.get_mut(&key) {
                        *closed = Some(now);
                    }
                }
                _ => {}
            }
            let closed = self.flaps.get(&key).and_then(|(_, closed)| *closed);
            if closed.is_some_and(|closed| now.saturating_sub(closed) < HOUR) {
                unstable.insert(*port);
            }
        }
        unstable
    }
}

#[cfg(test)]
mod tests {
    use super::super::glimpse::observation;
    use super::super::state::Voice;
    use super::*;
    use crate::sample::Measurements;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + 60 * minute, 0).expect("a time")
    }

    fn learn(past: &mut Past, state: State, minute: i64) -> bool {
        let address = "192.0.2.1".parse().expect("an address");
        let unstable = past.learn(address, &[(Port::tcp(80), state)].into(), at(minute));
        *past = Past::read(past.clone().write().as_ref());
        unstable.contains(&Port::tcp(80))
    }

    #[test]
    fn a_port_is_unstable_for_an_hour_after_it_was_seen_open_and_closed() {
        let (past, open) = (&mut Past::default(), || State::Open(Box::new(Voice::silent())));
        assert!(!learn(past, State::Closed, 0));
        assert!(!learn(past, open(), 5));
        assert!(learn(past, State::Closed, 10));
        assert!(learn(past, State::Dropped, 15));
        assert!(learn(past, open(), 20));
        assert!(!learn(past, open(), 71));
        assert!(!learn(past, State::Closed, 140));
    }

    #[test]
    fn the_memory_is_bounded_and_forgets_what_it_cannot_read() {
        let address = "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().expect("an address");
        let states =
            (10_000..60_000).map(|n| (Port::tcp(n), State::Open(Box::new(Voice::silent()))));
        let mut past = Past::default();
        past.learn(address, &states.collect(), at(0));
        past.learn(
            address,
            &(10_000..60_000).map(|n| (Port::tcp(n), State::Closed)).collect(),
            at(1),
        );
        let memory = past.write().expect("bytes");
        assert!(memory.bytes.len() <= 16 * 1_024, "{} bytes", memory.bytes.len());
        let other = Memory { version: VERSION + 1, ..memory };
        assert_eq!(Past::read(Some(&other)), Past::default());
        let torn = Memory { version: VERSION, bytes: b"{\"x\":".to_vec() };
        assert_eq!(Past::read(Some(&torn)), Past::default());
    }

    #[test]
    fn ports_that_come_and_go_make_no_more_than_so_many_sampling_points() {
        let address = "192.0.2.1".parse().expect("an address");
        let mut past = Past::default();
        let mut tells = |port, minute| {
            let glimpse = observation(address, port, Measurements::new());
            let tells = past.tells_of(&glimpse, at(minute));
            past = Past::read(past.clone().write().as_ref());
            tells
        };
        assert!((1..=64).all(|port| tells(port, 0)));
        assert!(!(65..200).any(|port| tells(port, 1)));
        assert!((1..=63).all(|port| tells(port, 60)));
        assert!(!tells(65, 119));
        assert!(tells(65, 120));
        assert!(!tells(64, 121));
    }

    #[test]
    fn sixteen_addresses_with_nothing_alike_still_fit() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut past = Past::default();
        let drips = (1..=16_u8).map(|n| {
            let mut drip = Drip::new(n.into());
            let mut state = |_| match random.u8(0..3) {
                0 => State::Closed,
                1 => State::Dropped,
                _ => State::Open(Box::new(Voice::silent())),
            };
            drip.learn(&(1..=u16::MAX).map(|n| (Port::tcp(n), state(n))).collect());
            drip.step(&BTreeSet::new(), at(0));
            (IpAddr::from([192, 0, 2, n]), drip)
        });
        past.keep_drips(drips);
        let memory = past.clone().write().expect("bytes");
        assert!(memory.bytes.len() <= Memory::MAX, "{} bytes", memory.bytes.len());
        let read = Past::read(Some(&memory));
        assert_eq!(read.drips.len(), 16);
        let first = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(read.drips[&first], past.drips[&first]);
    }
}
