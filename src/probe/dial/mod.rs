//! The only place that opens probing sockets. Every contact passes the scope guard with the address
//! actually dialled, waits for the politeness budget, and is bounded in time and bytes.

mod connection;
mod error;
mod knock;
mod tee;
mod traffic;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

use crate::sample::{Reason, Unknown};
use crate::target::{Host, ProbeKind, Settings};

pub use connection::Connection;
pub use error::{DialError, of_io};
pub use knock::{Begun, Knock, Waiting};
pub(crate) use tee::{Copied, Tee};
pub use traffic::Traffic;

/// Three SYNs leave in this time (0, 1 and 3 s), so that one lost packet is no verdict.
pub const CONNECT_TIMEOUT: Duration = Duration::from_millis(3500);

/// Bytes one connection may bring unless a probe says otherwise.
pub const READ_LIMIT: usize = 2 * 1024 * 1024;

/// What bounds a contact: scope, budget and names. The sampler brings the real ones, tests theirs.
#[derive(Clone)]
pub struct Outside {
    /// What may be contacted.
    pub guard: Arc<dyn Guard>,
    /// When.
    pub pace: Arc<dyn Pace>,
    /// How names become addresses.
    pub resolve: Arc<dyn Resolve>,
}

/// The scope: decides on the address actually dialled, after redirects and DNS.
pub trait Guard: Send + Sync {
    /// Whether the contact is allowed; the error names the rule that refused it.
    fn permit(&self, contact: &Contact<'_>) -> Result<(), String>;
}

/// One contact about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Contact<'a> {
    /// The name it is made for, if there is one.
    pub host: Option<&'a str>,
    /// The address dialled.
    pub address: IpAddr,
    /// The port dialled.
    pub port: u16,
    /// What for.
    pub purpose: Purpose,
}

/// What a contact is for; the scope is wider for some than for others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// A query to a server on the delegation path.
    Delegation,
    /// A text from a host that a standard derives from a name in scope: its MTA-STS policy, its
    /// registry's entry.
    Derived,
    /// A query to a recursive server of the config.
    Resolver,
    /// A port that is neither pinned nor the target's own.
    Scan,
    /// A sample of the target.
    Target,
}

/// The politeness budget.
pub trait Pace: Send + Sync {
    /// Waits until one more contact may be begun; the permit is held while it lasts. Gives up with
    /// `budget` where the wait would pass `deadline`.
    fn admit(&self, admission: Admission) -> BoxFuture<'_, Result<Permit, Unknown>>;
}

/// What is asked of the politeness budget.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    /// Who asks.
    pub probe: ProbeKind,
    /// The address about to be contacted.
    pub address: IpAddr,
    /// Contacts begun a second to the address, where the target has a rate of its own.
    pub rate: Option<f64>,
    /// Connections held at once to the address, where the target has a number of its own.
    pub concurrency: Option<usize>,
    /// When waiting is no use any more.
    pub deadline: Instant,
}

/// Leave to hold a connection; given back when dropped.
pub struct Permit(#[expect(dead_code, reason = "held for its drop")] Option<Box<dyn Send + Sync>>);

impl Permit {
    /// A permit that gives `guard` back when dropped.
    pub fn holding(guard: impl Send + Sync + 'static) -> Self {
        Self(Some(Box::new(guard)))
    }

    /// A permit with nothing to give back.
    pub fn free() -> Self {
        Self(None)
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permit")
    }
}

/// Name resolution as the operator configured it.
pub trait Resolve: Send + Sync {
    /// Every address of a name, A and AAAA, in a stable order. Not empty.
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, Unknown>>;
}

/// One job's way out.
#[derive(Clone)]
pub struct Dialer {
    outside: Outside,
    settings: Arc<Settings>,
    probe: ProbeKind,
    purpose: Purpose,
    deadline: Instant,
    read_timeout: Duration,
    read_limit: usize,
    connections: Arc<AtomicU32>,
    traffic: Arc<Traffic>,
}

impl Dialer {
    /// A way out for one job that must be over within `budget`.
    pub fn new(
        outside: Outside,
        settings: Arc<Settings>,
        probe: ProbeKind,
        budget: Duration,
    ) -> Self {
        Self {
            outside,
            settings,
            probe,
            purpose: Purpose::Target,
            deadline: Instant::now() + budget,
            read_timeout: (budget / 5).min(Duration::from_secs(5)),
            read_limit: READ_LIMIT,
            connections: Arc::default(),
            traffic: Arc::default(),
        }
    }

    /// The same way out with another bound on the bytes of one connection.
    #[must_use]
    pub fn with_read_limit(mut self, bytes: usize) -> Self {
        self.read_limit = bytes;
        self
    }

    /// The same way out whose [`Dialer::connect`] is for another purpose than the target.
    #[must_use]
    pub fn with_purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = purpose;
        self
    }

    /// The bytes of the job; every socket it opens counts there.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// When the job must be over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How long a single read may wait.
    pub fn read_timeout(&self) -> Duration {
        self.read_timeout
    }

    /// Connections begun and queries asked so far.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// The addresses of a host: itself, the hosts file's, `--address`, or the resolver's. A host
    /// that `--connect-to` maps is never resolved; it has the mapped address.
    pub async fn resolve(&self, host: &Host, port: u16) -> Result<Vec<IpAddr>, Unknown> {
        if let Some(mapped) = self.settings.connect_to(host, port) {
            return Ok(vec![mapped.ip()]);
        }
        let name = match host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(name) => name,
        };
        let listed = self.settings.hosts(name);
        if !listed.is_empty() {
            return Ok(listed);
        }
        match timeout_at(self.deadline, self.outside.resolve.lookup(name)).await {
            Ok(answer) => answer,
            Err(_) => Err(Unknown::new(Reason::DnsError, "no answer in time")),
        }
    }

    /// Whether the guard would let the contact through; for planning, no socket is opened.
    pub fn permits(&self, contact: &Contact<'_>) -> Result<(), DialError> {
        self.outside.guard.permit(contact).map_err(DialError::OutOfScope)
    }

    /// Opens a TCP connection for `host` to `address`. `--connect-to` has its say on the port (and
    /// on the address, if it maps the host). Hold no other connection to the same address: where
    /// one at a time is allowed, this would wait for ever within the deadline.
    pub async fn connect(
        &self,
        host: &Host,
        address: IpAddr,
        port: u16,
    ) -> Result<Connection, DialError> {
        let to =
            self.settings.connect_to(host, port).unwrap_or_else(|| SocketAddr::new(address, port));
        self.dial(host.name(), to, self.purpose, CONNECT_TIMEOUT).await
    }

    /// Opens a TCP connection for a purpose, within its own timeout.
    pub async fn dial(
        &self,
        host: Option<&str>,
        to: SocketAddr,
        purpose: Purpose,
        timeout: Duration,
    ) -> Result<Connection, DialError> {
        let permit = self.admit(host, to, purpose).await?;
        let give_up = self.deadline.min(Instant::now() + timeout);
        let stream = match timeout_at(give_up, TcpStream::connect(to)).await {
            Err(_) => return Err(DialError::ConnectTimeout),
            Ok(Err(error)) => return Err(DialError::Io(error)),
            Ok(Ok(stream)) => stream,
        };
        // On loopback a connect to a free ephemeral port can meet itself: nobody listens there.
        if stream.local_addr().is_ok_and(|local| local == to) {
            return Err(DialError::Io(io::ErrorKind::ConnectionRefused.into()));
        }
        // Without it a hello of two writes waits for an ACK; a failure costs only time.
        let _ = stream.set_nodelay(true);
        let traffic = Arc::clone(&self.traffic);
        let bounds = (self.read_timeout, self.deadline, self.read_limit);
        Ok(Connection::new(stream, permit, bounds, traffic))
    }

    /// Opens a UDP socket that hears `to` only. Each datagram sent by it
    /// after the first costs a [`Dialer::admit`] of its own.
    pub async fn udp(
        &self,
        host: Option<&str>,
        to: SocketAddr,
        purpose: Purpose,
    ) -> Result<(UdpSocket, Permit), DialError> {
        let permit = self.admit(host, to, purpose).await?;
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).await.map_err(DialError::Io)?;
        socket.connect(to).await.map_err(DialError::Io)?;
        Ok((socket, permit))
    }

    /// Waits for leave to begin one more contact, and counts it.
    pub async fn admit(
        &self,
        host: Option<&str>,
        to: SocketAddr,
        purpose: Purpose,
    ) -> Result<Permit, DialError> {
        let contact = Contact { host, address: to.ip(), port: to.port(), purpose };
        self.permits(&contact)?;
        let admission = Admission {
            probe: self.probe,
            address: to.ip(),
            rate: self.settings.rate,
            concurrency: self.settings.concurrency,
            deadline: self.deadline,
        };
        let permit = self.outside.pace.admit(admission).await.map_err(DialError::Budget)?;
        self.connections.fetch_add(1, Ordering::Relaxed);
        Ok(permit)
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("probe", &self.probe).finish_non_exhaustive()
    }
}

/// For tests of probes: no scope, no budget, names from nowhere.
#[derive(Clone, Copy, Debug)]
pub struct Unbounded;

impl Unbounded {
    /// An outside without bounds.
    pub fn outside() -> Outside {
        Outside { guard: Arc::new(Self), pace: Arc::new(Self), resolve: Arc::new(Self) }
    }
}

impl Guard for Unbounded {
    fn permit(&self, _: &Contact<'_>) -> Result<(), String> {
        Ok(())
    }
}

impl Pace for Unbounded {
    fn admit(&self, _: Admission) -> BoxFuture<'_, Result<Permit, Unknown>> {
        Box::pin(async { Ok(Permit::free()) })
    }
}

impl Resolve for Unbounded {
    fn lookup<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, Unknown>> {
        Box::pin(async { Err(Reason::DnsError.into()) })
    }
}
