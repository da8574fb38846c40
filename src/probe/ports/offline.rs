//! What a drip remembers once it has come round, for benches: a day of looking, made in a moment.

use std::collections::BTreeSet;
use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};

use super::memory::Past;
use super::port::Port;
use super::state::State;
use super::tiers::Drip;
use crate::probe::Memory;

/// The memory of a target at this address, whose ports were all looked at by `now`, the last of them
/// five minutes before, and are closed.
pub fn after_a_whole_pass(address: IpAddr, now: DateTime<Utc>) -> Option<Memory> {
    let mut drip = Drip::new(1);
    let (mut at, step) = (now - TimeDelta::hours(26), TimeDelta::minutes(5));
    while at < now {
        drip.step(&BTreeSet::new(), at);
        at += step;
    }
    drip.learn(&(1..=u16::MAX).map(|number| (Port::tcp(number), State::Closed)).collect());
    let mut past = Past::default();
    past.keep_drips([(address, drip)]);
    past.write()
}
