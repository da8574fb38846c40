//! Names to addresses: every A and AAAA, in a stable order, within a bounded time.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, lookup};
use thiserror::Error;
use tokio::time::timeout;

use crate::sample::{Reason, Unknown};

/// Who is asked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum ResolverSpec {
    /// These recursive servers.
    Servers(Vec<SocketAddr>),
    /// What `/etc/resolv.conf` and `/etc/hosts` say.
    #[default]
    System,
}

/// An address family.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// IPv4, by A records.
    V4,
    /// IPv6, by AAAA records.
    V6,
}

impl Family {
    fn record_type(self) -> RecordType {
        match self {
            Self::V4 => RecordType::A,
            Self::V6 => RecordType::AAAA,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "A",
            Self::V6 => "AAAA",
        })
    }
}

/// Which families are sampled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl Default for Families {
    fn default() -> Self {
        Self { v4: true, v6: true }
    }
}

/// What a name has.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lookup {
    /// Every address, IPv4 before IPv6, each sorted; not empty, at most [`Lookup::MAX`].
    pub addresses: Vec<IpAddr>,
    /// The least TTL among the records.
    pub ttl: Duration,
    /// Families that could not be asked. Their earlier addresses are not gone, they are unknown.
    pub unknown: Vec<(Family, Unknown)>,
}

impl Lookup {
    /// The most addresses a name may have here.
    pub const MAX: usize = 512;
}

/// Resolves names by the configured servers.
#[derive(Clone)]
pub struct Resolver {
    inner: TokioResolver,
    hosts: Arc<Hosts>,
    servers: Vec<SocketAddr>,
    families: Families,
    patience: Duration,
}

impl Resolver {
    /// The longest a lookup may take.
    pub const PATIENCE: Duration = Duration::from_secs(5);

    /// A resolver; for [`ResolverSpec::System`] it reads the system's files once.
    pub fn new(spec: &ResolverSpec, families: Families) -> Result<Self, ResolverError> {
        let (config, mut options, hosts) = match spec {
            ResolverSpec::System => {
                let (config, options) = read_system_conf().map_err(ResolverError::system)?;
                (config, options, Hosts::from_system().unwrap_or_default())
            }
            ResolverSpec::Servers(servers) => {
                let servers = servers.iter().copied().map(name_server).collect();
                let config = ResolverConfig::from_name_servers(servers);
                (config, ResolverOpts::default(), Hosts::default())
            }
        };
        let servers = addresses_of(&config);
        if servers.is_empty() {
            return Err(ResolverError::NoServers);
        }
        // Two tries within the patience; hosts are looked up here, before any server is asked.
        options.timeout = Duration::from_secs(2);
        options.attempts = 2;
        options.use_hosts_file = ResolveHosts::Never;
        options.try_tcp_on_error = true;
        options.positive_max_ttl = Some(Duration::from_secs(3600));
        options.negative_max_ttl = Some(Duration::from_secs(60));
        let inner = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(ResolverError::system)?;
        Ok(Self { inner, hosts: Arc::new(hosts), servers, families, patience: Self::PATIENCE })
    }

    /// The servers that are asked; the scope must know them.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// Every address of a name. The error tells a name that does not exist from one whose servers
    /// did not answer.
    pub async fn lookup(&self, name: &str) -> Result<Lookup, Unknown> {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(Lookup { addresses: vec![address], ttl: DAY, unknown: Vec::new() });
        }
        let mut fqdn = Name::from_ascii(name)
            .map_err(|_| Unknown::new(Reason::DnsError, "the name cannot be asked for in DNS"))?;
        // Search domains would resolve what was not written.
        fqdn.set_fqdn(true);
        if let Some(found) = self.in_hosts(&fqdn) {
            return Ok(found);
        }
        let (v4, v6) = tokio::join!(self.ask(&fqdn, Family::V4), self.ask(&fqdn, Family::V6));
        join([(Family::V4, v4), (Family::V6, v6)])
    }

    fn in_hosts(&self, name: &Name) -> Option<Lookup> {
        let mut addresses = Vec::new();
        for family in self.families() {
            let query = Query::query(name.clone(), family.record_type());
            addresses.extend(self.hosts.lookup_static_host(&query).iter().flat_map(|l| of(l).0));
        }
        if addresses.is_empty() {
            return None;
        }
        Some(Lookup { addresses: in_order(addresses), ttl: HOSTS_TTL, unknown: Vec::new() })
    }

    fn families(&self) -> impl Iterator<Item = Family> {
        let Families { v4, v6 } = self.families;
        [(Family::V4, v4), (Family::V6, v6)].into_iter().filter(|(_, on)| *on).map(|(f, _)| f)
    }

    /// One family; `None` where it is not wanted.
    async fn ask(&self, name: &Name, family: Family) -> Option<Result<Answer, Fault>> {
        self.families().find(|wanted| *wanted == family)?;
        let asked = self.inner.lookup(name.clone(), family.record_type());
        Some(match timeout(self.patience, asked).await {
            Err(_) => Err(Fault::Unknown(no_answer())),
            Ok(Ok(lookup)) => {
                let (addresses, ttl) = of(&lookup);
                if addresses.is_empty() {
                    Err(Fault::NoData)
                } else {
                    Ok(Answer { addresses, ttl })
                }
            }
            Ok(Err(error)) => Err(fault(&error)),
        })
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("servers", &self.servers).finish_non_exhaustive()
    }
}

struct Answer {
    addresses: Vec<IpAddr>,
    ttl: Duration,
}

enum Fault {
    NoData,
    NxDomain,
    Unknown(Unknown),
}

/// Joins what the families came to. What one family has stands even where the other failed.
fn join(answers: [(Family, Option<Result<Answer, Fault>>); 2]) -> Result<Lookup, Unknown> {
    let mut found = Lookup { addresses: Vec::new(), ttl: DAY, unknown: Vec::new() };
    let mut no_such_name = false;
    for (family, answer) in answers {
        match answer {
            None | Some(Err(Fault::NoData)) => {}
            Some(Err(Fault::NxDomain)) => no_such_name = true,
            Some(Err(Fault::Unknown(unknown))) => found.unknown.push((family, unknown)),
            Some(Ok(answer)) => {
                found.addresses.extend(answer.addresses);
                found.ttl = found.ttl.min(answer.ttl);
            }
        }
    }
    if !found.addresses.is_empty() {
        found.addresses = in_order(found.addresses);
        return Ok(found);
    }
    // An answer that the name does not exist outweighs a family that was not answered.
    if no_such_name {
        return Err(Unknown::new(Reason::DnsError, "NXDOMAIN: the name does not exist"));
    }
    match found.unknown.into_iter().next() {
        Some((_, unknown)) => Err(unknown),
        None => Err(Unknown::new(Reason::DnsError, "the name has no address (NODATA)")),
    }
}

fn in_order(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(Lookup::MAX);
    addresses
}

fn of(lookup: &lookup::Lookup) -> (Vec<IpAddr>, Duration) {
    let mut ttl = DAY;
    let mut addresses = Vec::new();
    for record in lookup.answers() {
        // An alias that goes sooner than its address takes the address with it.
        ttl = ttl.min(Duration::from_secs(record.ttl.into()));
        addresses.extend(record.data.ip_addr());
    }
    (addresses, ttl)
}

fn fault(error: &NetError) -> Fault {
    match error {
        NetError::Timeout => Fault::Unknown(no_answer()),
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Fault::NxDomain,
            ResponseCode::NoError => Fault::NoData,
            code => Fault::Unknown(answered(code)),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => Fault::Unknown(answered(*code)),
        NetError::Io(error) if is_local(error) => {
            Fault::Unknown(Unknown::new(Reason::LocalError, error.to_string()))
        }
        // Whatever else went wrong, the name's state was not learnt.
        error => Fault::Unknown(Unknown::new(Reason::DnsError, error.to_string())),
    }
}

fn is_local(error: &io::Error) -> bool {
    // EACCES, ENFILE, EMFILE, EADDRNOTAVAIL, ENETUNREACH, ENOBUFS: this machine, not the servers.
    matches!(error.raw_os_error(), Some(13 | 23 | 24 | 99 | 101 | 105))
}

fn answered(code: ResponseCode) -> Unknown {
    Unknown::new(Reason::DnsError, format!("the resolver answered {code}"))
}

fn no_answer() -> Unknown {
    Unknown::new(Reason::DnsError, "timeout: no resolver answered in time")
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn addresses_of(config: &ResolverConfig) -> Vec<SocketAddr> {
    let mut servers: Vec<_> = config
        .name_servers()
        .iter()
        .flat_map(|server| server.connections.iter().map(|c| SocketAddr::new(server.ip, c.port)))
        .collect();
    let mut seen = Vec::new();
    servers.retain(|server| {
        !seen.contains(server) && {
            seen.push(*server);
            true
        }
    });
    servers
}

/// Why there is no resolver.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ResolverError {
    /// Nobody to ask.
    #[error("no resolver is configured; /etc/resolv.conf names none")]
    NoServers,
    /// The system's configuration could not be read.
    #[error("the system's resolver configuration cannot be used: {0}")]
    System(String),
}

impl ResolverError {
    fn system(error: NetError) -> Self {
        Self::System(error.to_string())
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// The hosts file has no TTLs; this is how soon a change of it may count.
const HOSTS_TTL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::{Message, MessageType, OpCode};
    use hickory_resolver::proto::rr::rdata::{A, AAAA};
    use hickory_resolver::proto::rr::{RData, Record};

    use super::*;
    use crate::testing::{HERE, udp};

    /// A name server on loopback that ends with the test.
    struct Server {
        address: SocketAddr,
        task: tokio::task::JoinHandle<()>,
    }

    impl Drop for Server {
        fn drop(&mut self) {
            self.task.abort();
        }
    }

    async fn serve(answer: impl Fn(&str, RecordType) -> Reply + Send + 'static) -> Server {
        let socket = Arc::new(udp(HERE).await);
        let address = socket.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            let mut bytes = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut bytes).await {
                let asked = Message::from_vec(&bytes[..length]).expect("a query");
                let query = asked.queries[0].clone();
                let name = query.name().to_string();
                let mut reply = Message::response(asked.metadata.id, OpCode::Query);
                reply.metadata.message_type = MessageType::Response;
                reply.metadata.recursion_available = true;
                reply.add_query(query.clone());
                match answer(name.trim_end_matches('.'), query.query_type()) {
                    Reply::Silence => continue,
                    Reply::Code(code) => reply.metadata.response_code = code,
                    Reply::Addresses(ttl, addresses) => {
                        for address in addresses {
                            let data = match address.parse().expect("an address") {
                                IpAddr::V4(v4) => RData::A(A(v4)),
                                IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
                            };
                            reply.add_answer(Record::from_rdata(query.name().clone(), ttl, data));
                        }
                    }
                }
                let _ = socket.send_to(&reply.to_vec().expect("bytes"), peer).await;
            }
        });
        Server { address, task }
    }

    enum Reply {
        Addresses(u32, &'static [&'static str]),
        Code(ResponseCode),
        Silence,
    }

    fn resolver(server: &Server, families: Families) -> Resolver {
        let spec = ResolverSpec::Servers(vec![server.address]);
        let mut resolver = Resolver::new(&spec, families).expect("a resolver");
        resolver.patience = Duration::from_millis(300);
        resolver
    }

    #[tokio::test]
    async fn every_address_comes_in_a_stable_order_with_the_least_ttl() {
        let server = serve(|_, kind| match kind {
            RecordType::A => Reply::Addresses(300, &["192.0.2.9", "192.0.2.1"]),
            _ => Reply::Addresses(60, &["2001:db8::2", "2001:db8::1"]),
        })
        .await;
        let found = resolver(&server, Families::default()).lookup("a.test").await.expect("found");
        let written: Vec<_> = found.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(written, ["192.0.2.1", "192.0.2.9", "2001:db8::1", "2001:db8::2"]);
        assert_eq!(found.ttl, Duration::from_secs(60));
        let v4 = Families { v4: true, v6: false };
        let found = resolver(&server, v4).lookup("a.test").await.expect("found");
        assert_eq!(found.addresses.len(), 2);
    }

    #[tokio::test]
    async fn a_family_that_was_not_answered_is_unknown_and_never_absent() {
        let server = serve(|_, kind| match kind {
            RecordType::A => Reply::Addresses(300, &["192.0.2.1"]),
            _ => Reply::Silence,
        })
        .await;
        let found = resolver(&server, Families::default()).lookup("a.test").await.expect("found");
        assert_eq!(found.addresses.len(), 1);
        assert_eq!(found.unknown.len(), 1);
        assert_eq!(found.unknown[0].0, Family::V6);
    }

    #[tokio::test]
    async fn a_missing_name_a_silent_server_and_a_failing_one_are_told_apart() {
        let server = serve(|name, _| match name {
            "gone.test" => Reply::Code(ResponseCode::NXDomain),
            "broken.test" => Reply::Code(ResponseCode::ServFail),
            "empty.test" => Reply::Addresses(60, &[]),
            _ => Reply::Silence,
        })
        .await;
        let resolver = resolver(&server, Families::default());
        for (name, word) in [
            ("gone.test", "NXDOMAIN"),
            ("silent.test", "timeout"),
            ("empty.test", "NODATA"),
            ("broken.test", ""),
        ] {
            let unknown = resolver.lookup(name).await.expect_err(name);
            assert_eq!(unknown.reason, Reason::DnsError, "{name}");
            let detail = unknown.detail.unwrap_or_default();
            assert!(detail.contains(word), "{name}: {detail}");
            assert!(name != "broken.test" || !detail.contains("NXDOMAIN"), "{detail}");
        }
    }

    #[tokio::test]
    async fn an_address_is_its_own_answer_and_a_long_name_an_error() {
        let server = serve(|_, _| Reply::Silence).await;
        let resolver = resolver(&server, Families::default());
        assert_eq!(resolver.lookup("::1").await.map(|l| l.addresses.len()), Ok(1));
        let long = "a.".repeat(300);
        assert!(resolver.lookup(&long).await.is_err());
    }
}
