//! Sets of ports as `--ports` and pins write them: `80,443,8000-8099,53/udp,top:100`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The transports a port belongs to.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP, the default.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A parsed port list. `top:N` stays symbolic: which ports are the commonest is the ports probe's
/// knowledge.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PortSet {
    /// Closed ranges as written.
    pub ranges: Vec<(u16, u16, Transport)>,
    /// The `N` of each `top:N`.
    pub top: Vec<(u16, Transport)>,
}

impl PortSet {
    /// Whether a range names the port; `top:N` is not looked into.
    pub fn contains(&self, port: u16, transport: Transport) -> bool {
        self.ranges.iter().any(|&(low, high, t)| t == transport && (low..=high).contains(&port))
    }

    /// How many ports are named; one that two items name counts twice.
    pub fn count(&self) -> u32 {
        let ranges = self.ranges.iter().map(|(low, high, _)| u32::from(high.abs_diff(*low)) + 1);
        let tops = self.top.iter().map(|(count, _)| u32::from(*count));
        ranges.chain(tops).fold(0, u32::saturating_add)
    }

    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty() && self.top.is_empty()
    }
}

impl FromStr for PortSet {
    type Err = PortSetError;

    fn from_str(text: &str) -> Result<Self, PortSetError> {
        let mut set = Self::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let bad = || PortSetError(item.to_owned());
            let (ports, transport) = match item.split_once('/') {
                None | Some((_, "tcp")) => (item.split('/').next().unwrap_or(item), Transport::Tcp),
                Some((ports, "udp")) => (ports, Transport::Udp),
                Some(_) => return Err(bad()),
            };
            if let Some(count) = ports.strip_prefix("top:") {
                let count = count.parse().ok().filter(|&n: &u16| n > 0).ok_or_else(bad)?;
                set.top.push((count, transport));
                continue;
            }
            let (low, high) = ports.split_once('-').unwrap_or((ports, ports));
            let low: u16 = low.parse().map_err(|_| bad())?;
            let high: u16 = high.parse().map_err(|_| bad())?;
            if low == 0 || low > high {
                return Err(bad());
            }
            set.ranges.push((low, high, transport));
        }
        Ok(set)
    }
}

/// Why a port list could not be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("`{0}` is no port list item; write PORT, PORT-PORT or top:N, each with /tcp or /udp")]
pub struct PortSetError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_ranges_tops_and_transports_are_read() {
        let set: PortSet = "80,443/tcp, 8000-8099,53/udp,top:100".parse().expect("a list");
        assert!(set.contains(80, Transport::Tcp) && set.contains(8050, Transport::Tcp));
        assert!(set.contains(53, Transport::Udp) && !set.contains(53, Transport::Tcp));
        assert_eq!(set.top, [(100, Transport::Tcp)]);
        assert_eq!(set.count(), 2 + 100 + 1 + 100);
    }

    #[test]
    fn what_is_no_port_list_is_refused() {
        for text in ["0", "70000", "9-1", "80/sctp", "top:0", "top:x", "http"] {
            assert!(text.parse::<PortSet>().is_err(), "{text}");
        }
    }
}
