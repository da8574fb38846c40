//! The test and lab switches of a target, the same on the command line and in `secchi.yaml`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use ipnet::IpNet;
use thiserror::Error;

use super::{AsnTable, Credentials, Endpoint, Host, Pins, PortSet, RdapBootstrap};

/// How a target is sampled, beyond where it is. Files are read at load, so that a mistake in one is
/// found by `config check` and a probe touches no file system.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Sample only these addresses of the name.
    pub addresses: Vec<IpAddr>,
    /// Which autonomous system originates which addresses.
    pub asn: Option<Arc<AsnTable>>,
    /// PEM anchors beside the trust store.
    pub ca_file: Option<TextFile>,
    /// Networks of content delivery, one a line: there only pinned and own ports are asked.
    pub cdn_ranges: Option<TextFile>,
    /// Samples at once per address.
    pub concurrency: Option<usize>,
    /// curl's connect-to: the first match decides where a host and port are dialled.
    pub connect_to: Vec<ConnectTo>,
    /// What the http probe sends to the target's own origin, over https that it trusts, or over the
    /// plain http that the target names.
    pub credentials: Option<Credentials>,
    /// The port of every authority.
    pub dns_port: Option<u16>,
    /// Recursive servers to resolve by and to hold against the authorities.
    pub dns_servers: Vec<SocketAddr>,
    /// hosts(5) text; all lines of a name count.
    pub hosts_file: Option<TextFile>,
    /// Chromium's `transport_security_state_static.json`.
    pub hsts_preload_list: Option<TextFile>,
    /// Checks that alarm an IDS are allowed.
    pub intrusive: bool,
    /// What ports and records are expected.
    pub pins: Pins,
    /// The ports that the ports probe asks.
    pub ports: Option<PortSet>,
    /// Connections or queries begun a second to one address.
    pub rate: Option<f64>,
    /// Registries that may be asked when the registration of the target's domain ends.
    pub rdap: Option<Arc<RdapBootstrap>>,
    /// The day on which the registration of the target's domain ends, where a person says so.
    pub registration_expires: Option<NaiveDate>,
    /// Root servers in named.root form.
    pub root_hints: Option<TextFile>,
    /// The SNI, and the name that certificates are matched with.
    pub server_name: Option<String>,
    /// tls and http: one sample as a whole. ports and dns: one connect or query.
    pub timeout: Option<Duration>,
    /// DNSKEY or DS records in presentation form.
    pub trust_anchor: Option<TextFile>,
    /// What the http probe calls itself, with the operator's contact: a field's value.
    pub user_agent: Option<Arc<str>>,
}

impl Settings {
    /// Where `--connect-to` sends a connection to (host, port), if anywhere.
    pub fn connect_to(&self, host: &Host, port: u16) -> Option<SocketAddr> {
        self.connect_to
            .iter()
            .find(|rule| rule.matches(host, port))
            .map(|rule| SocketAddr::new(rule.address, rule.to_port.unwrap_or(port)))
    }

    /// Whether an address lies in one of the `cdn_ranges`. Lines that are no network count for nothing;
    /// the config's check has named them.
    pub fn is_of_cdn(&self, address: IpAddr) -> bool {
        let text = self.cdn_ranges.as_ref().map_or("", |file| &file.text);
        let mut networks = text.lines().filter_map(|line| network(line).and_then(Result::ok));
        networks.any(|network| network.contains(&address))
    }

    /// What is wrong where a pin is by autonomous system and no file tells of any.
    pub fn lacks_asn_file(&self) -> Option<String> {
        let (name, kind) = self.pins.by_asn().filter(|_| self.asn.is_none())?;
        Some(format!(
            "pin {name} {}: asn needs `asn_file`, which says who has which networks",
            kind.as_str()
        ))
    }

    /// The lines of `cdn_ranges` that are no network.
    pub fn odd_ranges(file: &TextFile) -> impl Iterator<Item = &str> {
        file.text.lines().filter(|line| matches!(network(line), Some(Err(_))))
    }

    /// The addresses that `--hosts-file` gives a name.
    pub fn hosts(&self, name: &str) -> Vec<IpAddr> {
        let text = self.hosts_file.as_ref().map_or("", |file| &file.text);
        let mut addresses = Vec::new();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or("").split_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
            let named = words.any(|word| word.trim_end_matches('.').eq_ignore_ascii_case(name));
            if named && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }
}

/// The network on a line, `#` and what follows apart.
fn network(line: &str) -> Option<Result<IpNet, ipnet::AddrParseError>> {
    let text = line.split('#').next().unwrap_or_default().trim();
    (!text.is_empty()).then(|| text.parse())
}

/// A file that was read when the config was.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TextFile {
    /// Where it was read from, for messages.
    pub path: PathBuf,
    /// What it held.
    pub text: Arc<str>,
}

/// One `--connect-to HOST:PORT:ADDR:PORT`; an empty HOST or PORT means any.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnectTo {
    /// The host to redirect, any if `None`.
    pub host: Option<Host>,
    /// The port to redirect, any if `None`.
    pub port: Option<u16>,
    /// The address dialled instead.
    pub address: IpAddr,
    /// The port dialled instead, the same if `None`.
    pub to_port: Option<u16>,
}

impl ConnectTo {
    fn matches(&self, host: &Host, port: u16) -> bool {
        self.host.as_ref().is_none_or(|h| h == host) && self.port.is_none_or(|p| p == port)
    }
}

impl FromStr for ConnectTo {
    type Err = ConnectToError;

    fn from_str(text: &str) -> Result<Self, ConnectToError> {
        let bad = || ConnectToError(text.to_owned());
        let fields = split_outside_brackets(text);
        let [host, port, address, to_port] = fields.as_slice() else { return Err(bad()) };
        let unbracketed = address.trim_start_matches('[').trim_end_matches(']');
        let host = match *host {
            "" => None,
            host => Some(host.parse::<Endpoint>().map_err(|_| bad())?.host),
        };
        Ok(Self {
            host,
            port: optional_port(port).ok_or_else(bad)?,
            address: unbracketed.parse().map_err(|_| bad())?,
            to_port: optional_port(to_port).ok_or_else(bad)?,
        })
    }
}

fn optional_port(text: &str) -> Option<Option<u16>> {
    if text.is_empty() { Some(None) } else { text.parse().ok().filter(|&p: &u16| p > 0).map(Some) }
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let (mut fields, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth -= 1,
            b':' if depth == 0 => {
                fields.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    fields.push(&text[start..]);
    fields
}

/// Why a `--connect-to` could not be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("`{0}` is not HOST:PORT:ADDR:PORT (an empty HOST or PORT means any; ADDR is an address)")]
pub struct ConnectToError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_to_redirects_what_it_names_and_an_empty_field_means_any() {
        let settings = Settings {
            connect_to: vec![
                "a.test:443:127.0.0.1:8443".parse().expect("a rule"),
                "::[::1]:9443".parse().expect("a rule"),
            ],
            ..Settings::default()
        };
        let a: Host = "a.test".parse().expect("a host");
        assert_eq!(settings.connect_to(&a, 443), "127.0.0.1:8443".parse().ok());
        assert_eq!(settings.connect_to(&a, 80), "[::1]:9443".parse().ok());
    }

    #[test]
    fn every_line_of_a_name_in_the_hosts_file_counts() {
        let text = "127.0.0.1 a.test b.test # c.test\n::1 A.test.\nnonsense\n";
        let file = TextFile { path: "hosts".into(), text: text.into() };
        let settings = Settings { hosts_file: Some(file), ..Settings::default() };
        assert_eq!(settings.hosts("a.test").len(), 2);
        assert!(settings.hosts("c.test").is_empty());
    }
}
