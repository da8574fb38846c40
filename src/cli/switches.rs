//! The test and lab switches of `check`, and the settings that they make.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use ipnet::IpNet;

use crate::config::{parse_expectations, parse_server};
use crate::schedule::Rate;
use crate::target::{AsnTable, ConnectTo, Pins, PortSet, RdapBootstrap, Settings, Span, TextFile};

/// How targets are sampled, beyond where they are.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Sampling")]
pub(super) struct Switches {
    /// Dial ADDR:PORT for HOST:PORT; an empty HOST or PORT means any
    #[arg(long, value_name = "HOST:PORT:ADDR:PORT")]
    connect_to: Vec<ConnectTo>,
    /// The SNI, and the name that certificates are matched with
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// Anchors beside the trust store, in PEM
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Sample only this address of the name
    #[arg(long, value_name = "ADDR")]
    address: Vec<IpAddr>,
    /// A recursive server: resolves names, and is held against the authorities
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = dns_server)]
    pub(super) dns_server: Vec<SocketAddr>,
    /// Root servers in named.root form
    #[arg(long, value_name = "FILE")]
    root_hints: Option<PathBuf>,
    /// The port of every authority
    #[arg(long, value_name = "PORT")]
    dns_port: Option<u16>,
    /// DNSKEY or DS records in presentation form
    #[arg(long, value_name = "FILE")]
    trust_anchor: Option<PathBuf>,
    /// Names and addresses in hosts(5) form
    #[arg(long, value_name = "FILE")]
    hosts_file: Option<PathBuf>,
    /// Chromium's transport_security_state_static.json
    #[arg(long, value_name = "FILE")]
    hsts_preload_list: Option<PathBuf>,
    /// Networks of content delivery, one a line: there only pinned and own ports are asked
    #[arg(long, value_name = "FILE")]
    cdn_ranges: Option<PathBuf>,
    /// Networks and the autonomous systems that originate them, for pins by asn
    #[arg(long, value_name = "FILE")]
    asn_file: Option<PathBuf>,
    /// IANA's bootstrap file of RDAP: ask the registry when the domain's registration ends
    #[arg(long, value_name = "FILE")]
    rdap_bootstrap: Option<PathBuf>,
    /// Expected ports and records: pins, a zone file, octoDNS, dnscontrol or Terraform state
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Ports to ask: 1-65535, 80,443, top:100, 53/udp
    #[arg(long, value_name = "LIST")]
    ports: Option<PortSet>,
    /// Connections or queries begun a second to one address
    #[arg(long, value_name = "N")]
    rate: Option<Rate>,
    /// Samples at once per address (default: 4)
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
    /// Bounds one tls or http sample, one connect, one query
    #[arg(long, value_name = "DURATION", value_parser = span)]
    timeout: Option<Duration>,
    /// A network that may be contacted although it is private, loopback or link-local
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub(super) allow_network: Vec<IpNet>,
    /// Allow checks that alarm an intrusion detection system
    #[arg(long)]
    intrusive: bool,
}

impl Switches {
    /// What the switches say; reads the files that they name.
    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        Ok(Settings {
            addresses: self.address.clone(),
            asn: self.asn()?,
            ca_file: read(self.ca_file.as_deref())?,
            concurrency: self.concurrency,
            connect_to: self.connect_to.clone(),
            credentials: None,
            dns_port: self.dns_port,
            dns_servers: self.dns_server.clone(),
            rdap: self.rdap()?,
            registration_expires: None,
            root_hints: read(self.root_hints.as_deref())?,
            trust_anchor: read(self.trust_anchor.as_deref())?,
            hosts_file: read(self.hosts_file.as_deref())?,
            hsts_preload_list: read(self.hsts_preload_list.as_deref())?,
            cdn_ranges: read(self.cdn_ranges.as_deref())?,
            intrusive: self.intrusive,
            pins: self.pins()?,
            ports: self.ports.clone(),
            rate: self.rate.map(Rate::hertz),
            server_name: self.server_name.as_ref().map(|name| name.to_ascii_lowercase()),
            timeout: self.timeout,
            user_agent: None,
        })
    }

    fn asn(&self) -> anyhow::Result<Option<Arc<AsnTable>>> {
        let Some(file) = read(self.asn_file.as_deref())? else { return Ok(None) };
        let table = AsnTable::parse(&file);
        table
            .map(|table| Some(Arc::new(table)))
            .map_err(|error| anyhow::anyhow!("{}: {error}", file.path.display()))
    }

    fn rdap(&self) -> anyhow::Result<Option<Arc<RdapBootstrap>>> {
        let Some(file) = read(self.rdap_bootstrap.as_deref())? else { return Ok(None) };
        let table = RdapBootstrap::parse(&file);
        table
            .map(|table| Some(Arc::new(table)))
            .map_err(|error| anyhow::anyhow!("{}: {error}", file.path.display()))
    }

    fn pins(&self) -> anyhow::Result<Pins> {
        let Some(file) = read(self.expect.as_deref())? else { return Ok(Pins::default()) };
        parse_expectations(&file)
            .map_err(|error| anyhow::anyhow!("{}: {error}", file.path.display()))
    }
}

/// A target's settings of the file with the switches before them: what a switch says replaces what
/// the file says.
pub(super) fn over(switches: &Settings, file: &Settings) -> Settings {
    fn list<T: Clone>(own: &[T], base: &[T]) -> Vec<T> {
        if own.is_empty() { base.to_vec() } else { own.to_vec() }
    }
    let text =
        |own: &Option<TextFile>, base: &Option<TextFile>| own.as_ref().or(base.as_ref()).cloned();
    Settings {
        addresses: list(&switches.addresses, &file.addresses),
        asn: switches.asn.clone().or_else(|| file.asn.clone()),
        ca_file: text(&switches.ca_file, &file.ca_file),
        concurrency: switches.concurrency.or(file.concurrency),
        connect_to: list(&switches.connect_to, &file.connect_to),
        credentials: switches.credentials.clone().or_else(|| file.credentials.clone()),
        dns_port: switches.dns_port.or(file.dns_port),
        dns_servers: list(&switches.dns_servers, &file.dns_servers),
        hosts_file: text(&switches.hosts_file, &file.hosts_file),
        hsts_preload_list: text(&switches.hsts_preload_list, &file.hsts_preload_list),
        cdn_ranges: text(&switches.cdn_ranges, &file.cdn_ranges),
        intrusive: switches.intrusive || file.intrusive,
        pins: if switches.pins.0.is_empty() { &file.pins } else { &switches.pins }.clone(),
        ports: switches.ports.clone().or_else(|| file.ports.clone()),
        rate: switches.rate.or(file.rate),
        rdap: switches.rdap.clone().or_else(|| file.rdap.clone()),
        registration_expires: switches.registration_expires.or(file.registration_expires),
        root_hints: text(&switches.root_hints, &file.root_hints),
        server_name: switches.server_name.clone().or_else(|| file.server_name.clone()),
        timeout: switches.timeout.or(file.timeout),
        trust_anchor: text(&switches.trust_anchor, &file.trust_anchor),
        user_agent: switches.user_agent.clone().or_else(|| file.user_agent.clone()),
    }
}

fn read(path: Option<&Path>) -> anyhow::Result<Option<TextFile>> {
    path.map(read_file).transpose()
}

/// A file that the command line names.
pub(super) fn read_file(path: &Path) -> anyhow::Result<TextFile> {
    let size = std::fs::metadata(path).with_context(|| path.display().to_string())?.len();
    anyhow::ensure!(size <= MOST_BYTES, "{}: {size} bytes are too many", path.display());
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(TextFile { path: path.to_owned(), text: Arc::from(text) })
}

fn dns_server(text: &str) -> Result<SocketAddr, String> {
    parse_server(text, 53)
}

/// Reads a duration such as `1h30m`.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    text.parse::<Span>().map(|span| span.0).map_err(|error| error.to_string())
}

fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("`{text}` is no network; write 192.0.2.0/24"))
}

/// Chromium's preload list has about 15 MiB.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
