//! One port of one transport, and how lists of them are written.

use std::collections::BTreeSet;
use std::fmt;

use super::common;
use crate::target::{PortSet, Transport};

/// A port, in the order of reports: TCP before UDP, low before high.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Port {
    pub(super) transport: Transport,
    pub(super) number: u16,
}

impl Port {
    pub(super) fn tcp(number: u16) -> Self {
        Self { transport: Transport::Tcp, number }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.transport)
    }
}

/// Every port that a set names, `top:N` looked up.
pub(super) fn expand(set: &PortSet) -> BTreeSet<Port> {
    let ranges = set.ranges.iter().flat_map(|&(low, high, transport)| {
        (low..=high).map(move |number| Port { transport, number })
    });
    let top = set.top.iter().flat_map(|&(count, transport)| {
        common::top(count).into_iter().map(move |number| Port { transport, number })
    });
    ranges.chain(top).collect()
}

/// `["22/tcp", "80-82/tcp"]` of sorted ports.
pub(super) fn ranges(ports: impl IntoIterator<Item = Port>) -> Vec<String> {
    let mut runs: Vec<(Port, u16)> = Vec::new();
    for port in ports {
        match runs.last_mut() {
            Some((first, last))
                if first.transport == port.transport
                    && last.checked_add(1) == Some(port.number) =>
            {
                *last = port.number;
            }
            _ => runs.push((port, port.number)),
        }
    }
    let written = runs.into_iter().map(|(first, last)| match first.number == last {
        true => first.to_string(),
        false => format!("{}-{last}/{}", first.number, first.transport),
    });
    written.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_transport_are_written_as_a_range() {
        let set: PortSet = "80-82,443,22,65535,65534,53/udp,83/udp,81".parse().expect("a set");
        let expected = ["22/tcp", "80-82/tcp", "443/tcp", "65534-65535/tcp", "53/udp", "83/udp"];
        assert_eq!(ranges(expand(&set)), expected);
        assert_eq!(ranges([]), Vec::<String>::new());
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(
            numbers in proptest::collection::btree_set(1_u16..300, 0..80), udp: bool,
        ) {
            let transport = if udp { Transport::Udp } else { Transport::Tcp };
            let ports: BTreeSet<Port> =
                numbers.into_iter().map(|number| Port { transport, number }).collect();
            let set: PortSet = ranges(ports.iter().copied()).join(",").parse().expect("a set");
            proptest::prop_assert_eq!(expand(&set), ports);
        }
    }
}
