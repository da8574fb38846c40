//! The way to the peer: one connection after the other, each upgraded where STARTTLS asks for it,
//! each bounded in time.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout_at};

use crate::probe::dial::{Connection, Dialer, of_io};
use crate::sample::{Reason, Unknown};
use crate::target::{Host, StartTls};

use super::explain;
use super::hello::HelloSpec;
use super::outcome::{Ending, Outcome};
use super::reader::FlightReader;
use super::starttls::{Dialogue, Step};

/// Long enough that the peer has read the first part of a split hello before the second comes.
const BETWEEN_SEGMENTS: Duration = Duration::from_millis(10);

/// An odd number with its bits well mixed (2⁶⁴ over the golden ratio).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Bytes one connection may bring: more than any honest flight holds.
const READ_LIMIT: usize = 256 * 1024;

/// The peer, as it is reached.
#[derive(Debug)]
pub(super) struct Line<'a> {
    dialer: Dialer,
    host: &'a Host,
    address: IpAddr,
    port: u16,
    starttls: Option<StartTls>,
    server_name: Option<&'a str>,
    seed: u64,
    /// Hellos begun: each has a seed of its own.
    asked: AtomicU64,
    /// Connections open now, and how often one was opened beside another.
    open: AtomicU64,
    meetings: AtomicU64,
    /// Whether the peer sent words in clear behind its go-ahead to STARTTLS.
    spoke_early: AtomicBool,
}

impl<'a> Line<'a> {
    /// `server_name` is the DNS name to send; an address is never sent.
    pub(super) fn new(
        dialer: Dialer,
        host: &'a Host,
        (address, port): (IpAddr, u16),
        starttls: Option<StartTls>,
        server_name: Option<&'a str>,
        seed: u64,
    ) -> Self {
        let dialer = dialer.with_read_limit(READ_LIMIT);
        Self {
            dialer,
            host,
            address,
            port,
            starttls,
            server_name,
            seed,
            asked: AtomicU64::new(0),
            open: AtomicU64::new(0),
            meetings: AtomicU64::new(0),
            spoke_early: AtomicBool::new(false),
        }
    }

    /// Sends one hello on a connection of its own and reads what the peer says in clear.
    pub(super) async fn ask(&self, spec: &HelloSpec) -> Outcome {
        self.ask_noting(spec).await.0
    }

    /// The same, and whether no other hello was under way meanwhile.
    pub(super) async fn ask_noting(&self, spec: &HelloSpec) -> (Outcome, bool) {
        let before = self.meetings.load(Ordering::Relaxed);
        let beside = self.open.fetch_add(1, Ordering::Relaxed);
        if beside > 0 {
            self.meetings.fetch_add(1, Ordering::Relaxed);
        }
        let outcome = self.ask_now(spec).await;
        self.open.fetch_sub(1, Ordering::Relaxed);
        (outcome, beside == 0 && self.meetings.load(Ordering::Relaxed) == before)
    }

    async fn ask_now(&self, spec: &HelloSpec) -> Outcome {
        let (mut connection, give_up) = match self.open().await {
            Ok(open) => open,
            Err(outcome) => return outcome,
        };
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let mut rng = fastrand::Rng::with_seed(self.seed ^ asked.wrapping_mul(SPREAD));
        let hello = spec.encode(self.server_name, &mut rng);
        explain::sent(spec, self.server_name, &hello);
        let mut reader = FlightReader::new(spec.ceiling);
        let parts = match spec.split_at {
            Some(at) if at < hello.len() => hello.split_at(at),
            _ => (&hello[..], &[][..]),
        };
        let ending = match timeout_at(give_up, converse(&mut connection, parts, &mut reader)).await
        {
            Ok(ending) => ending,
            Err(_) => Ending::Cut(Reason::Timeout.into()),
        };
        let outcome = Outcome::of(spec, reader.into_flight(), ending);
        explain::got(&outcome);
        outcome
    }

    /// A connection ready for a handshake, and when to give it up. The error is what became of it.
    pub(super) async fn open(&self) -> Result<(Connection, Instant), Outcome> {
        let (mut connection, give_up) = self.dial().await?;
        if let Some(protocol) = self.starttls {
            let upgrade = upgrade(&mut connection, self.dialogue(protocol));
            match timeout_at(give_up, upgrade).await {
                Ok(upgraded) => {
                    let early = !upgraded?.behind().is_empty();
                    self.spoke_early.fetch_or(early, Ordering::Relaxed);
                }
                Err(_) => return Err(Outcome::Timeout),
            }
        }
        Ok((connection, give_up))
    }

    /// The same, with the dialogue still to be held.
    pub(super) async fn dial(&self) -> Result<(Connection, Instant), Outcome> {
        if Instant::now() >= self.dialer.deadline() {
            return Err(Outcome::Timeout);
        }
        let connection = self
            .dialer
            .connect(self.host, self.address, self.port)
            .await
            .map_err(|error| Outcome::Unreached(error.unknown()))?;
        // A peer may be slow in each answer, but one connection does not eat the whole budget.
        let patience: Duration = 2 * self.dialer.read_timeout();
        Ok((connection, self.dialer.deadline().min(Instant::now() + patience)))
    }

    /// The dialogue that comes before the handshake; `to` the name that the peer is known by.
    pub(super) fn dialogue(&self, protocol: StartTls) -> Dialogue {
        let host = self.host.to_string();
        Dialogue::new(protocol, self.server_name.unwrap_or(&host))
    }

    /// Whether the peer sent words in clear behind its go-ahead, on any connection so far.
    pub(super) fn spoke_early(&self) -> bool {
        self.spoke_early.load(Ordering::Relaxed)
    }

    /// When everything must be over.
    pub(super) fn deadline(&self) -> Instant {
        self.dialer.deadline()
    }

    /// How long a single read may wait.
    pub(super) fn read_timeout(&self) -> Duration {
        self.dialer.read_timeout()
    }
}

async fn converse(
    connection: &mut Connection,
    (first, second): (&[u8], &[u8]),
    reader: &mut FlightReader,
) -> Ending {
    // A peer that has already answered and closed is still to be read.
    let mut sent = connection.write_all(first).await;
    if sent.is_ok() && !second.is_empty() {
        sleep(BETWEEN_SEGMENTS).await;
        sent = connection.write_all(second).await;
    }
    let mut buffer = [0; 4096];
    loop {
        match connection.read(&mut buffer).await {
            Ok(0) => return Ending::Closed,
            Ok(count) => {
                if let Some(end) = reader.push(&buffer[..count]) {
                    return Ending::Read(end);
                }
            }
            Err(_) if sent.is_err() && reader.is_untouched() => return Ending::Closed,
            Err(error) => return ending_of(&error),
        }
    }
}

/// The end that an I/O error is.
pub(super) fn ending_of(error: &std::io::Error) -> Ending {
    if error.kind() == std::io::ErrorKind::FileTooLarge {
        return Ending::Cut(Unknown::new(Reason::TlsError, "more bytes than a sample may read"));
    }
    match of_io(error) {
        Unknown { reason: Reason::Reset, .. } => Ending::Closed,
        unknown => Ending::Cut(unknown),
    }
}

/// Holds the dialogue up to the peer's go-ahead.
pub(super) async fn upgrade(
    connection: &mut Connection,
    mut dialogue: Dialogue,
) -> Result<Dialogue, Outcome> {
    let failed = |error: std::io::Error| match ending_of(&error) {
        Ending::Cut(Unknown { reason: Reason::Timeout, .. }) => Outcome::Timeout,
        Ending::Cut(unknown) => Outcome::Unreached(unknown),
        _ => Outcome::Closed,
    };
    connection.write_all(&dialogue.opening()).await.map_err(failed)?;
    let mut buffer = [0; 1024];
    loop {
        let count = connection.read(&mut buffer).await.map_err(failed)?;
        if count == 0 {
            return Err(Outcome::Closed);
        }
        match dialogue.feed(&buffer[..count]) {
            Step::More => {}
            Step::NotOffered => return Err(Outcome::NotUpgraded),
            Step::Ready => return Ok(dialogue),
            Step::Send(bytes) => connection.write_all(&bytes).await.map_err(failed)?,
            Step::SendThenReady(bytes) => {
                connection.write_all(&bytes).await.map_err(failed)?;
                return Ok(dialogue);
            }
            Step::Broken(how) => {
                let how = format!("the {} dialogue broke off: {how}", dialogue.protocol().name());
                return Err(Outcome::Unreached(Unknown::new(Reason::TlsError, how)));
            }
        }
    }
}
