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
        let named = of_network("192.0.2.8/31").expect("a network").expect("few");
        assert_eq!(named[1].to_string(), "192.0.2.9");
        assert_eq!(Ok(&named[1]), "192.0.2.9".parse().as_ref());
    }
}
