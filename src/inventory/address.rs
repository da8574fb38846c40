//! What an address is, by IANA's special-purpose registries (RFC 6890 and what followed it).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// What an address is good for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AddressClass {
    /// Holds for one link only.
    LinkLocal,
    /// A cloud's metadata or machine-agent service.
    Metadata,
    /// Routed over the Internet.
    Public,
    /// Anything else, by its name in the registry.
    Special(&'static str),
}

impl AddressClass {
    /// The class of an address, judged in its [`canonical`] form.
    pub fn of(address: IpAddr) -> Self {
        let address = canonical(address);
        if METADATA.contains(&address) {
            return Self::Metadata;
        }
        match address {
            IpAddr::V4(v4) => of_v4(v4),
            IpAddr::V6(v6) => of_v6(v6),
        }
    }
}

/// The address that is really reached: an IPv6 address that only carries an IPv4 one (mapped
/// `::ffff:0:0/96`, NAT64 `64:ff9b::/96` of RFC 6052, 6to4 `2002::/16` of RFC 3056) is that one.
pub fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let s = v6.segments();
    let carried = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            carried(high, low)
        }
        [0x2002, high, low, ..] => carried(high, low),
        _ => address,
    }
}

/// Whether a network lies within the ranges that hold for one link only.
pub(super) fn is_within_link_local(network: &IpNet) -> bool {
    match network {
        IpNet::V4(v4) => v4.prefix_len() >= 16 && v4.network().is_link_local(),
        IpNet::V6(v6) => v6.prefix_len() >= 10 && v6.network().is_unicast_link_local(),
    }
}

fn of_v4(address: Ipv4Addr) -> AddressClass {
    use AddressClass::{LinkLocal, Public, Special};
    match address.octets() {
        [0, ..] => Special("unspecified (0.0.0.0/8)"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Special("private (RFC 1918)"),
        [100, 64..=127, ..] => Special("shared by carriers (100.64.0.0/10)"),
        [127, ..] => Special("loopback"),
        [169, 254, ..] => LinkLocal,
        [192, 0, 0, _] => Special("reserved for protocols (192.0.0.0/24)"),
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => {
            Special("for documentation (RFC 5737)")
        }
        [192, 88, 99, _] => Special("a 6to4 relay (192.88.99.0/24)"),
        [198, 18..=19, ..] => Special("for benchmarks (198.18.0.0/15)"),
        [224..=239, ..] => Special("multicast"),
        [240..=255, ..] => Special("reserved (240.0.0.0/4)"),
        _ => Public,
    }
}

fn of_v6(address: Ipv6Addr) -> AddressClass {
    use AddressClass::{LinkLocal, Public, Special};
    if address.is_unspecified() {
        return Special("unspecified");
    }
    if address.is_loopback() {
        return Special("loopback");
    }
    match address.segments() {
        [first, ..] if first & 0xffc0 == 0xfe80 => LinkLocal,
        [first, ..] if first & 0xfe00 == 0xfc00 => Special("unique local (fc00::/7)"),
        [first, ..] if first & 0xff00 == 0xff00 => Special("multicast"),
        // Anycast and 6to4's successors in 2001::/23 are no endpoints that a name should have.
        [0x2001, second, ..] if second < 0x200 => Special("reserved for protocols (2001::/23)"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => Special("for documentation"),
        // Of all of IPv6 only 2000::/3 is given out as global unicast.
        [first, ..] if first & 0xe000 != 0x2000 => Special("not global unicast (2000::/3)"),
        _ => Public,
    }
}

/// Services that hand credentials to whoever asks, or steer the machine: AWS, GCP, Azure and most
/// others; AWS over IPv6; GCP over IPv6; Alibaba; Azure's agent; Oracle.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn class(text: &str) -> AddressClass {
        AddressClass::of(text.parse().expect(text))
    }

    #[test]
    fn an_address_that_carries_an_ipv4_one_is_judged_as_that_one() {
        for text in ["::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"] {
            assert_eq!(class(text), AddressClass::Metadata, "{text}");
        }
        assert_eq!(class("::ffff:127.0.0.1"), AddressClass::Special("loopback"));
        assert_eq!(class("64:ff9b::808:808"), AddressClass::Public);
    }

    #[test]
    fn only_what_is_routed_over_the_internet_is_public() {
        for text in ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1", "2a00::1"] {
            assert_eq!(class(text), AddressClass::Public, "{text}");
        }
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.1.1.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.2.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(matches!(class(text), AddressClass::Special(_)), "{text}: {:?}", class(text));
        }
        for text in ["169.254.0.1", "fe80::1", "febf::1"] {
            assert_eq!(class(text), AddressClass::LinkLocal, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_the_standard_library_calls_private_is_never_public(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local()
                || v4.is_multicast() || v4.is_broadcast() || v4.is_documentation()
                || v4.is_unspecified();
            if special {
                prop_assert_ne!(AddressClass::of(IpAddr::V4(v4)), AddressClass::Public);
            }
        }

        #[test]
        fn a_canonical_address_stays_as_it_is(bits: u128) {
            let once = canonical(IpAddr::V6(Ipv6Addr::from(bits)));
            prop_assert_eq!(canonical(once), once);
        }
    }
}
