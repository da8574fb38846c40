//! The scope: what may ever be contacted, whatever discovery, redirects or DNS answers say.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

use super::address::{AddressClass, canonical, is_within_link_local};
use crate::target::{Endpoint, Host};

/// Names and networks that may be contacted. An empty scope allows nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// Hosts of their own and wider rules are apart: without a `scope` block every target is a
    /// host of its own, and there may be a hundred thousand.
    exact: HashSet<String>,
    below: HashSet<String>,
    addresses: HashSet<IpAddr>,
    networks: Vec<IpNet>,
    resolvers: Vec<IpAddr>,
    /// Without a config file any public address that a redirect names may be contacted; then the
    /// targets' own names may be scanned, for whoever typed them asked for it.
    open: bool,
}

/// What a contact is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ContactKind {
    /// A query to a server on the delegation path.
    Delegation,
    /// A text from a host that a standard derives from a name in scope.
    Derived,
    /// A query to a recursive server of the config.
    Resolver,
    /// A port that is neither pinned nor the target's own.
    Scan,
    /// A sample of the target.
    Target,
}

impl Scope {
    /// The scope of a config file.
    pub fn new(names: Vec<NameRule>, networks: Vec<IpNet>) -> Self {
        let mut scope = Self::default();
        for name in names {
            scope.add_name(name);
        }
        for network in networks {
            scope.add_network(network);
        }
        scope
    }

    /// The scope of a run without a config file: the targets, and hosts that a redirect or a
    /// delegation names; what is not public needs one of `networks`.
    pub fn of_targets<'a>(
        targets: impl IntoIterator<Item = &'a Endpoint>,
        networks: Vec<IpNet>,
    ) -> Self {
        let mut scope = Self { open: true, ..Self::new(Vec::new(), networks) };
        for target in targets {
            scope.add_target(target);
        }
        scope
    }

    /// Adds a target by its exact name, or by its address where that is public.
    pub fn add_target(&mut self, target: &Endpoint) {
        match &target.host {
            Host::Name(name) => self.add_name(NameRule::Exact(name.clone())),
            Host::Address(address) => {
                let address = canonical(*address);
                if AddressClass::of(address) == AddressClass::Public {
                    self.addresses.insert(address);
                }
            }
        }
    }

    fn add_name(&mut self, rule: NameRule) {
        match rule {
            NameRule::Below(name) => self.below.insert(name),
            NameRule::Exact(name) => self.exact.insert(name),
        };
    }

    fn add_network(&mut self, network: IpNet) {
        if network.prefix_len() == network.max_prefix_len() {
            self.addresses.insert(network.addr());
        } else {
            self.networks.push(network.trunc());
        }
    }

    /// The same scope with the recursive servers that may be asked.
    #[must_use]
    pub fn with_resolvers(mut self, resolvers: impl IntoIterator<Item = IpAddr>) -> Self {
        self.resolvers.extend(resolvers.into_iter().map(canonical));
        self.resolvers.sort_unstable();
        self.resolvers.dedup();
        self
    }

    /// The same scope with networks that the command line allows.
    #[must_use]
    pub fn with_networks(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        for network in networks {
            self.add_network(network);
        }
        self
    }

    /// The networks; an address is one of its own.
    pub fn networks(&self) -> impl Iterator<Item = IpNet> {
        self.networks.iter().copied().chain(self.addresses.iter().map(|address| (*address).into()))
    }

    /// Whether a contact is allowed, judged by the address actually dialled. `host` is the name it
    /// is made for; an address in its place counts as none.
    pub fn permit(
        &self,
        host: Option<&str>,
        address: IpAddr,
        purpose: ContactKind,
    ) -> Result<(), Refusal> {
        let host = host.filter(|host| host.parse::<IpAddr>().is_err());
        let address = canonical(address);
        if purpose == ContactKind::Resolver {
            let known = self.resolvers.contains(&address);
            return if known { Ok(()) } else { Err(Refusal::Resolver { address }) };
        }
        if self.is_public_or_listed(address)? {
            return Ok(());
        }
        // From here the address is public and lies in none of the networks.
        match (purpose, host) {
            (ContactKind::Delegation | ContactKind::Derived, _) => Ok(()),
            (ContactKind::Scan, Some(host)) if self.open && self.covers(host) => Ok(()),
            (ContactKind::Scan, _) => Err(Refusal::Scan { address }),
            (_, _) if self.open => Ok(()),
            (_, Some(host)) if self.covers(host) => Ok(()),
            (_, Some(host)) => Err(Refusal::Name { host: printable(host), address }),
            (_, None) => Err(Refusal::Address { address }),
        }
    }

    /// Whether a target can be in scope at all, before any name is resolved. A name that no rule
    /// covers is refused unless the scope is one of networks only; then its addresses decide.
    pub fn permit_target(&self, target: &Endpoint) -> Result<(), Refusal> {
        match &target.host {
            Host::Address(address) => self.permit(None, *address, ContactKind::Target),
            Host::Name(name) => {
                let by_networks = self.exact.is_empty()
                    && self.below.is_empty()
                    && self.networks().next().is_some();
                if self.open || self.covers(name) || by_networks {
                    return Ok(());
                }
                Err(Refusal::TargetName { host: name.clone() })
            }
        }
    }

    /// Whether every port of an address may be scanned.
    pub fn may_scan(&self, address: IpAddr) -> bool {
        self.permit(None, address, ContactKind::Scan).is_ok()
    }

    /// Whether a rule covers the name.
    pub fn covers(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        // The name itself matches no `*.` rule, and an empty label before the dot is no name.
        let mut above = name.match_indices('.').filter(|(dot, _)| *dot > 0);
        self.exact.contains(&name) || above.any(|(dot, _)| self.below.contains(&name[dot + 1..]))
    }

    /// Whether the networks allow the address (`true`), or it is public and names decide
    /// (`false`).
    fn is_public_or_listed(&self, address: IpAddr) -> Result<bool, Refusal> {
        if self.addresses.contains(&address) {
            return Ok(true);
        }
        let mut containing = self.networks.iter().filter(|network| network.contains(&address));
        match AddressClass::of(address) {
            AddressClass::Public => Ok(containing.next().is_some()),
            // A wide network such as 0.0.0.0/0 never meant these.
            AddressClass::Metadata => Err(Refusal::Metadata { address }),
            AddressClass::LinkLocal => match containing.any(is_within_link_local) {
                true => Ok(true),
                false => Err(Refusal::LinkLocal { address }),
            },
            AddressClass::Special(kind) => match containing.next() {
                Some(_) => Ok(true),
                None => Err(Refusal::NotPublic { address, kind }),
            },
        }
    }
}

/// A name of the scope.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NameRule {
    /// Every name below it, at any depth, but not the name itself: `*.example.com`.
    Below(String),
    /// The name alone: `example.com`.
    Exact(String),
}

impl FromStr for NameRule {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let bad = || ScopeError::Name(text.to_owned());
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        if name.contains('*') || name.parse::<IpNet>().is_ok() {
            return Err(bad());
        }
        match name.parse::<Host>() {
            Ok(Host::Name(name)) if below => Ok(Self::Below(name)),
            Ok(Host::Name(name)) => Ok(Self::Exact(name)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for NameRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

/// Reads a network of the scope: a CIDR, or an address, which is a network of one.
pub fn parse_network(text: &str) -> Result<IpNet, ScopeError> {
    let network: IpNet = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => text.parse::<IpAddr>().map_err(|_| ScopeError::Network(text.to_owned()))?.into(),
    };
    if network.network() != network.addr() {
        return Err(ScopeError::HostBits { written: text.to_owned(), network: network.trunc() });
    }
    // An address inside would be judged as IPv4, so that such a network could never match.
    let carrier = network.prefix_len() >= 96 && canonical(network.addr()) != network.addr();
    if carrier {
        return Err(ScopeError::CarriesV4(text.to_owned()));
    }
    Ok(network)
}

/// Why a part of the scope could not be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ScopeError {
    /// An IPv6 network that only carries IPv4 addresses.
    #[error("`{0}` carries IPv4 addresses, which are judged as such; write the IPv4 network")]
    CarriesV4(String),
    /// Bits set beyond the prefix.
    #[error("`{written}` has bits set beyond its prefix; did you mean {network}?")]
    HostBits {
        /// As written.
        written: String,
        /// Without those bits.
        network: IpNet,
    },
    /// Not a name.
    #[error("`{0}` is no name; write example.com, or *.example.com for every name below it")]
    Name(String),
    /// Not a network.
    #[error("`{0}` is no network; write a CIDR such as 192.0.2.0/24 or 2001:db8::/32")]
    Network(String),
}

/// Why a contact is refused: the text names the rule that refused it.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// An address target outside the networks.
    #[error("{address} lies in none of scope.networks")]
    Address {
        /// The address.
        address: IpAddr,
    },
    /// Link-local.
    #[error("{address} is link-local; only a link-local network in scope.networks allows it")]
    LinkLocal {
        /// The address.
        address: IpAddr,
    },
    /// A cloud's metadata service.
    #[error(
        "{address} is a cloud metadata address; only that very address in scope.networks allows it"
    )]
    Metadata {
        /// The address.
        address: IpAddr,
    },
    /// A name that no rule covers, at an address that no network contains.
    #[error("`{host}` matches none of scope.names, and {address} lies in none of scope.networks")]
    Name {
        /// The name.
        host: String,
        /// The address dialled.
        address: IpAddr,
    },
    /// Private, loopback or otherwise special.
    #[error("{address} is {kind}; a name does not cover it, only scope.networks can")]
    NotPublic {
        /// The address.
        address: IpAddr,
        /// What it is.
        kind: &'static str,
    },
    /// A recursive server that is not configured.
    #[error("{address} is none of the configured resolvers")]
    Resolver {
        /// The address.
        address: IpAddr,
    },
    /// A scan outside the networks.
    #[error(
        "{address} lies in none of scope.networks; only pinned and own ports are scanned there"
    )]
    Scan {
        /// The address.
        address: IpAddr,
    },
    /// A target whose name no rule covers.
    #[error("`{host}` matches none of scope.names")]
    TargetName {
        /// The name.
        host: String,
    },
}

/// A peer may have chosen the name (a redirect): nothing but printable characters, and not many.
fn printable(host: &str) -> String {
    host.chars().take(253).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scope(names: &[&str], networks: &[&str]) -> Scope {
        Scope::new(
            names.iter().map(|name| name.parse().expect(name)).collect(),
            networks.iter().map(|text| parse_network(text).expect(text)).collect(),
        )
    }

    fn permits(scope: &Scope, host: Option<&str>, address: &str, kind: ContactKind) -> bool {
        scope.permit(host, address.parse().expect(address), kind).is_ok()
    }

    #[test]
    fn a_star_covers_any_depth_but_not_the_name_itself() {
        let scope = scope(&["*.Example.com"], &[]);
        for name in ["a.example.com", "a.b.c.EXAMPLE.com.", "_dmarc.example.com"] {
            assert!(scope.covers(name), "{name}");
        }
        for name in ["example.com", "badexample.com", ".example.com", "example.com.evil.test", ""] {
            assert!(!scope.covers(name), "{name}");
        }
    }

    #[test]
    fn names_cover_public_addresses_and_nothing_private() {
        let scope = scope(&["*.example.com"], &["10.1.0.0/16"]);
        let host = Some("shop.example.com");
        assert!(permits(&scope, host, "93.184.216.34", ContactKind::Target));
        assert!(permits(&scope, host, "10.1.2.3", ContactKind::Target));
        for address in ["10.2.0.1", "127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "fd00::1"] {
            assert!(!permits(&scope, host, address, ContactKind::Target), "{address}");
        }
        let refusal = scope.permit(host, "127.0.0.1".parse().expect("v4"), ContactKind::Target);
        assert_eq!(
            refusal.expect_err("loopback").to_string(),
            "127.0.0.1 is loopback; a name does not cover it, only scope.networks can"
        );
        assert!(!permits(&scope, Some("evil.test"), "93.184.216.34", ContactKind::Target));
        assert!(!permits(&scope, None, "93.184.216.34", ContactKind::Target));
        assert!(!permits(&scope, Some("93.184.216.34"), "93.184.216.34", ContactKind::Target));
    }

    #[test]
    fn the_widest_network_opens_neither_link_local_nor_metadata() {
        let wide = scope(&["*.example.com"], &["0.0.0.0/0", "::/0"]);
        for address in
            ["169.254.1.1", "169.254.169.254", "100.100.100.200", "fe80::1", "fd00:ec2::254"]
        {
            for kind in [ContactKind::Target, ContactKind::Scan, ContactKind::Delegation] {
                assert!(!permits(&wide, Some("a.example.com"), address, kind), "{address}");
            }
        }
        assert!(permits(&wide, None, "127.0.0.1", ContactKind::Scan));
        let named = scope(&[], &["169.254.0.0/16", "fe80::/64"]);
        assert!(permits(&named, None, "169.254.1.1", ContactKind::Target));
        assert!(permits(&named, None, "fe80::1", ContactKind::Target));
        assert!(!permits(&named, None, "169.254.169.254", ContactKind::Target));
        let exact = scope(&[], &["169.254.169.254/32"]);
        assert!(permits(&exact, None, "169.254.169.254", ContactKind::Target));
        assert!(permits(&exact, None, "::ffff:169.254.169.254", ContactKind::Target));
    }

    #[test]
    fn scans_stay_within_the_networks_and_delegations_on_public_servers() {
        let scope = scope(&["example.com"], &["192.0.2.0/24"]);
        let host = Some("example.com");
        assert!(permits(&scope, host, "192.0.2.9", ContactKind::Scan));
        assert!(!permits(&scope, host, "93.184.216.34", ContactKind::Scan));
        assert!(permits(&scope, Some("a.root.test"), "198.41.0.4", ContactKind::Delegation));
        assert!(permits(&scope, None, "192.0.2.9", ContactKind::Delegation));
        assert!(!permits(&scope, None, "10.0.0.1", ContactKind::Delegation));
        let derived = Some("mta-sts.example.com");
        assert!(permits(&scope, derived, "93.184.216.34", ContactKind::Derived));
        assert!(!permits(&scope, derived, "10.0.0.1", ContactKind::Derived));
    }

    #[test]
    fn only_configured_resolvers_are_asked() {
        let scope = scope(&[], &[]).with_resolvers(["127.0.0.53".parse().expect("v4")]);
        assert!(permits(&scope, None, "127.0.0.53", ContactKind::Resolver));
        assert!(permits(&scope, None, "::ffff:127.0.0.53", ContactKind::Resolver));
        assert!(!permits(&scope, None, "8.8.8.8", ContactKind::Resolver));
        assert!(!permits(&scope, None, "127.0.0.53", ContactKind::Target));
    }

    #[test]
    fn without_a_file_redirects_may_lead_anywhere_public_and_only_targets_are_scanned() {
        let targets: Vec<Endpoint> =
            ["example.com", "93.184.216.34", "10.0.0.1"].map(|t| t.parse().expect(t)).to_vec();
        let scope = Scope::of_targets(&targets, Vec::new());
        assert!(permits(&scope, Some("www.elsewhere.test"), "1.1.1.1", ContactKind::Target));
        assert!(permits(&scope, Some("example.com"), "1.1.1.1", ContactKind::Scan));
        assert!(permits(&scope, None, "93.184.216.34", ContactKind::Scan));
        assert!(!permits(&scope, Some("www.elsewhere.test"), "1.1.1.1", ContactKind::Scan));
        assert!(!permits(&scope, None, "10.0.0.1", ContactKind::Target));
        assert!(!permits(&scope, Some("example.com"), "127.0.0.1", ContactKind::Target));
    }

    #[test]
    fn networks_are_read_strictly() {
        assert_eq!(
            parse_network("192.0.2.7/24").expect_err("host bits").to_string(),
            "`192.0.2.7/24` has bits set beyond its prefix; did you mean 192.0.2.0/24?"
        );
        assert_eq!(parse_network("192.0.2.7").map(|n| n.prefix_len()), Ok(32));
        for text in ["", "192.0.2.0/33", "example.com", "::ffff:10.0.0.0/104"] {
            assert!(parse_network(text).is_err(), "{text}");
        }
        for text in ["*", "*.", "a.*.test", "192.0.2.1", "192.0.2.0/24", "https://a.test", "a b"] {
            assert!(text.parse::<NameRule>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_empty_scope_permits_no_target(bits: u128, host in "\\PC{0,40}") {
            let address = IpAddr::V6(bits.into());
            let scope = Scope::default();
            prop_assert!(scope.permit(Some(&host), address, ContactKind::Target).is_err());
            prop_assert!(scope.permit(None, address, ContactKind::Scan).is_err());
        }

        #[test]
        fn name_rules_never_panic_and_read_back(text in "\\PC{0,40}", name in "\\PC{0,40}") {
            if let Ok(rule) = text.parse::<NameRule>() {
                let _ = Scope::new(vec![rule.clone()], Vec::new()).covers(&name);
                prop_assert_eq!(rule.to_string().parse::<NameRule>(), Ok(rule));
            }
        }
    }
}
