//! The ports that a person accepted as open: the baseline of what no pin speaks of. It is only ever
//! what somebody accepted; what was merely seen is none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::memory::Past;
use super::port::{Port, expand, ranges};
use crate::probe::Memory;
use crate::target::PortSet;

/// Bytes of all lists together; the memory holds much beside them.
const MOST: usize = 8 * 1_024;

/// By address: its accepted open ports, as a list.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Accepted(BTreeMap<IpAddr, String>);

impl Accepted {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What may be open on an address, and whether that was accepted of this very one. Of one that
    /// is new to the target, what may be open on any may: names move; but nothing must. `None` where
    /// nobody accepted anything.
    pub(super) fn of(&self, address: IpAddr) -> Option<(BTreeSet<Port>, bool)> {
        let own = self.0.get(&address);
        let lists: Vec<&String> = own.map_or_else(|| self.0.values().collect(), |own| vec![own]);
        let sets = lists.iter().filter_map(|list| list.parse::<PortSet>().ok());
        let ports = sets.flat_map(|set| expand(&set)).collect();
        (!lists.is_empty()).then_some((ports, own.is_some()))
    }
}

/// Why something cannot be accepted.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum AcceptError {
    /// The key is no address.
    #[error("`{0}` is no address")]
    Address(String),
    /// Not `PORT`, `PORT-PORT`, with `/tcp` or `/udp` behind it.
    #[error("`{0}` is no port")]
    Ports(String),
    /// More than is remembered of a target.
    #[error("these are more open ports than a baseline holds; pin them instead")]
    TooMany,
}

/// The memory in which exactly these ports are accepted, by address. The rest of it stays as it is.
pub fn accept(
    memory: Option<&Memory>,
    open: &BTreeMap<String, BTreeSet<String>>,
) -> Result<Memory, AcceptError> {
    let mut accepted = BTreeMap::new();
    for (address, ports) in open {
        let key: IpAddr = address.parse().map_err(|_| AcceptError::Address(address.clone()))?;
        let mut all = BTreeSet::new();
        for text in ports {
            let set: PortSet = text.parse().map_err(|_| AcceptError::Ports(text.clone()))?;
            all.extend(expand(&set));
        }
        accepted.insert(key, ranges(all).join(","));
    }
    if accepted.values().map(|list| list.len() + 64).sum::<usize>() > MOST {
        return Err(AcceptError::TooMany);
    }
    let mut past = Past::read(memory);
    past.accepted = Accepted(accepted);
    past.write().ok_or(AcceptError::TooMany)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records<const N: usize>(items: [(&str, &str); N]) -> BTreeMap<String, BTreeSet<String>> {
        let set = |ports: &str| ports.split_whitespace().map(str::to_owned).collect();
        items.into_iter().map(|(address, ports)| (address.to_owned(), set(ports))).collect()
    }

    fn of(memory: &Memory, address: &str) -> Option<Vec<String>> {
        let address = address.parse().expect("an address");
        Past::read(Some(memory)).accepted.of(address).map(|(ports, _)| ranges(ports))
    }

    #[test]
    fn what_is_accepted_holds_by_address_and_as_a_whole_for_new_addresses() {
        assert_eq!(Past::read(None).accepted.of("192.0.2.1".parse().expect("one")), None);
        let open = records([("192.0.2.1", "22/tcp 53/udp"), ("192.0.2.2", "443"), ("::1", "")]);
        let memory = accept(None, &open).expect("accepted");
        assert_eq!(of(&memory, "192.0.2.1"), Some(vec!["22/tcp".into(), "53/udp".into()]));
        assert_eq!(of(&memory, "::1"), Some(vec![]));
        let all = ["22/tcp", "443/tcp", "53/udp"].map(str::to_owned).to_vec();
        assert_eq!(of(&memory, "192.0.2.3"), Some(all));
        // Another acceptance is the whole truth from then on.
        let memory = accept(Some(&memory), &records([("192.0.2.2", "80")])).expect("accepted");
        assert_eq!(of(&memory, "192.0.2.1"), Some(vec!["80/tcp".into()]));
    }

    #[test]
    fn what_is_no_port_no_address_or_too_much_is_refused() {
        let refused = |open| accept(None, &open).expect_err("refused");
        assert_eq!(refused(records([("www", "22")])), AcceptError::Address("www".into()));
        assert_eq!(refused(records([("::1", "ssh")])), AcceptError::Ports("ssh".into()));
        let odd: Vec<String> = (1..3_000).map(|n| (2 * n).to_string()).collect();
        assert_eq!(refused(records([("::1", &odd.join(" "))])), AcceptError::TooMany);
    }
}
