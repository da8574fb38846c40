//! A network as a target: each of its addresses is one.

use std::net::IpAddr;

use ipnet::IpNet;
use thiserror::Error;

use super::{Endpoint, Host};

/// A network of more addresses than are taken apart.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("`{0}` has more than {MOST} addresses; name smaller networks")]
pub struct NetworkError(String);

/// The endpoints of a network such as `192.0.2.0/28`, of IPv4 without its own address and that of all;
/// `None` where the text is no network.
pub fn of_network(text: &str) -> Option<Result<Vec<Endpoint>, NetworkError>> {
    let network: IpNet = text.trim().parse().ok()?;
    let addresses: Vec<IpAddr> = network.hosts().take(MOST + 1).collect();
    if addresses.len() > MOST {
        return Some(Err(NetworkError(text.to_owned())));
    }
    let endpoint = |address| Endpoint {
        scheme: None,
        host: Host::Address(address),
        port: None,
        path: "/".to_owned(),
    };
    Some(Ok(addresses.into_iter().map(endpoint).collect()))
}

/// How many targets a text comes to: of a network that is not too large its addresses, else 1. It costs
/// the same whatever the network.
pub fn targets_of(text: &str) -> usize {
    let Ok(network) = text.trim().parse::<IpNet>() else { return 1 };
    let bits = u32::from(network.max_prefix_len() - network.prefix_len());
    let all = 1_usize.checked_shl(bits).filter(|_| bits < usize::BITS).unwrap_or(usize::MAX);
    // Of IPv4 the network's own address and that of all are left out, but where there are two or one.
    let hosts = if network.addr().is_ipv4() && bits > 1 { all.saturating_sub(2) } else { all };
    if hosts > MOST { 1 } else { hosts }
}

/// Addresses of one network.
const MOST: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_its_addresses_up_to_a_bound() {
        let count = |text| of_network(text).map(|found| found.map(|endpoints| endpoints.len()));
        assert_eq!(count("192.0.2.0/28"), Some(Ok(14)));
        assert_eq!(count("192.0.2.1/32"), Some(Ok(1)));
        assert_eq!(count("2001:db8::/118"), Some(Ok(1_024)));
        for text in ["10.0.0.0/8", "2001:db8::/64", "::/0"] {
            assert_eq!(count(text), Some(Err(NetworkError(text.to_owned()))), "{text}");
        }
        for text in ["192.0.2.1", "a.test", "https://a.test/28", "[2001:db8::1]:443"] {
            assert_eq!(count(text), None, "{text}");
        }
        for text in [
            "192.0.2.0/28",
            "192.0.2.0/30",
            "192.0.2.0/31",
            "192.0.2.1/32",
            "10.0.0.0/22",
            "2001:db8::/118",
            "2001:db8::/127",
            "2001:db8::1/128",
        ] {
            let Some(Ok(count)) = count(text) else { panic!("{text}") };
            assert_eq!(targets_of(text), count, "{text}");
        }
        for text in ["a.test", "10.0.0.0/8", "2001:db8::/117", "::/0"] {
            assert_eq!(targets_of(text), 1, "{text}");
        }
        let named = of_network("192.0.2.8/31").expect("a network").expect("few");
        assert_eq!(named[1].to_string(), "192.0.2.9");
        assert_eq!(Ok(&named[1]), "192.0.2.9".parse().as_ref());
    }
}
