//! One question to one server: UDP, once more if nobody answers, TCP where it must be.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hickory_proto::op::{Message, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::answer::Fault;
use super::wire::{self, Heard, Question, Sent, Style};
use crate::probe::dial::{DialError, Dialer, Purpose, Traffic, of_io};
use crate::sample::{Reason, Unknown};

/// A server to ask.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Server {
    /// The name it is known by, for the scope.
    pub(super) name: Option<String>,
    /// Where it is.
    pub(super) address: SocketAddr,
    /// What it is asked for.
    pub(super) purpose: Purpose,
}

/// An answer, and what its way here showed of the server.
#[derive(Debug)]
pub(super) struct Reply {
    /// The answer.
    pub(super) message: Message,
    /// The answer as it came.
    pub(super) octets: Vec<u8>,
    /// From the last question sent to its answer.
    pub(super) latency: Duration,
    /// Whether the server speaks EDNS; `None` where the answer does not tell.
    pub(super) edns: Option<bool>,
    /// Whether the question came back letter by letter.
    pub(super) keeps_case: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The server's doing, or nobody's: a measured fact.
    Fault(Fault),
    /// The question was not put: scope, budget, this machine.
    Unasked(Unknown),
}

impl Failure {
    /// The reason of what is not known by it.
    pub(super) fn unknown(&self) -> Unknown {
        match self {
            Self::Fault(fault) => fault.unknown(),
            Self::Unasked(unknown) => unknown.clone(),
        }
    }
}

/// Puts questions, with this run's randomness and budget.
pub(super) struct Asker {
    dialer: Dialer,
    timeout: Duration,
    now: DateTime<Utc>,
    rng: Mutex<fastrand::Rng>,
    left: AtomicU32,
    silent: Mutex<BTreeSet<SocketAddr>>,
}

impl Asker {
    pub(super) fn new(dialer: Dialer, timeout: Duration, now: DateTime<Utc>, seed: u64) -> Self {
        Self {
            dialer,
            timeout,
            now,
            rng: Mutex::new(fastrand::Rng::with_seed(seed)),
            left: AtomicU32::new(MAX_QUESTIONS),
            silent: Mutex::default(),
        }
    }

    /// Whether a question of this sample met silence there; who has a choice asks others first.
    pub(super) fn is_silent(&self, server: &Server) -> bool {
        locked(&self.silent).contains(&server.address)
    }

    /// Questions asked so far.
    pub(super) fn asked(&self) -> u32 {
        self.dialer.connections()
    }

    /// The time that dates are judged by.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// A number of this run's randomness.
    pub(super) fn random(&self) -> u64 {
        self.with_rng(|rng| rng.u64(..))
    }

    /// Asks over UDP, by TCP where the answer is cut or its sender in doubt.
    pub(super) async fn ask(&self, server: &Server, asked: &Question) -> Result<Reply, Failure> {
        let full = Style { edns: true, mixed_case: true };
        match self.datagrams(server, asked, full).await? {
            Datagram::Reply(reply) if reply.message.metadata.truncation => {
                let edns = reply.edns;
                let reply = self.ask_tcp(server, asked).await?;
                Ok(Reply { edns: reply.edns.or(edns), ..reply })
            }
            Datagram::Reply(reply) if chokes_on_edns(&reply) => {
                let plain = Style { edns: false, mixed_case: true };
                match self.datagrams(server, asked, plain).await? {
                    Datagram::Reply(plain) if plain.message.metadata.truncation => {
                        self.ask_tcp(server, asked).await
                    }
                    // Refused without EDNS as well: the question was the trouble, not its form.
                    Datagram::Reply(plain) if chokes_on_edns(&plain) => Ok(reply),
                    Datagram::Reply(plain) => Ok(Reply { edns: Some(false), ..plain }),
                    Datagram::Doubt { .. } => Ok(reply),
                }
            }
            Datagram::Reply(reply) => Ok(reply),
            Datagram::Doubt { case_lost } => self.ask_in_doubt(server, asked, case_lost).await,
        }
    }

    /// Asks over TCP, once more if the first connection came to nothing.
    pub(super) async fn ask_tcp(
        &self,
        server: &Server,
        asked: &Question,
    ) -> Result<Reply, Failure> {
        match self.tcp_once(server, asked).await {
            Err(Failure::Fault(Fault::TcpFailed)) => self.tcp_once(server, asked).await,
            done => done,
        }
    }

    /// TCP can't be forged from off the path; a server without it is asked in small letters.
    async fn ask_in_doubt(
        &self,
        server: &Server,
        asked: &Question,
        case_lost: bool,
    ) -> Result<Reply, Failure> {
        let failure = match self.ask_tcp(server, asked).await {
            Ok(reply) => return Ok(Reply { keeps_case: !case_lost, ..reply }),
            Err(failure) => failure,
        };
        if !case_lost {
            return Err(failure);
        }
        let lower = Style { edns: true, mixed_case: false };
        match self.datagrams(server, asked, lower).await? {
            Datagram::Reply(reply) if !reply.message.metadata.truncation => {
                Ok(Reply { keeps_case: false, ..reply })
            }
            _ => Err(failure),
        }
    }

    async fn datagrams(
        &self,
        server: &Server,
        asked: &Question,
        style: Style,
    ) -> Result<Datagram, Failure> {
        let mut fault = Fault::Timeout;
        for _ in 0..ATTEMPTS {
            match self.udp_once(server, asked, style).await {
                Err(Failure::Fault(seen @ (Fault::Timeout | Fault::Malformed))) => {
                    // Garbage once is garbage: a later silence does not take it back.
                    if fault != Fault::Malformed {
                        fault = seen;
                    }
                }
                done => return done,
            }
        }
        locked(&self.silent).insert(server.address);
        Err(Failure::Fault(fault))
    }

    /// A fresh socket for each datagram: a forger must guess its port as well.
    async fn udp_once(
        &self,
        server: &Server,
        asked: &Question,
        style: Style,
    ) -> Result<Datagram, Failure> {
        let sent = self.write(asked, style)?;
        self.spend()?;
        let (socket, _permit) = self
            .dialer
            .udp(server.name.as_deref(), server.address, server.purpose)
            .await
            .map_err(|error| of_dial(&error, Fault::Timeout))?;
        let begun = Instant::now();
        let give_up = self.dialer.deadline().min(begun + self.timeout);
        socket.send(&sent.octets).await.map_err(|error| of_socket(&error, Fault::Timeout))?;
        self.dialer.traffic().note_sent(sent.octets.len());
        match hear(&socket, &sent, give_up, self.dialer.traffic()).await? {
            Ear::Reply { message, octets } => {
                let edns = edns_of(&message, style);
                let latency = begun.elapsed();
                let message = *message;
                Ok(Datagram::Reply(Reply { message, octets, latency, edns, keeps_case: true }))
            }
            Ear::CaseLost => Ok(Datagram::Doubt { case_lost: true }),
            Ear::Flooded => Ok(Datagram::Doubt { case_lost: false }),
        }
    }

    async fn tcp_once(&self, server: &Server, asked: &Question) -> Result<Reply, Failure> {
        let style = Style { edns: true, mixed_case: true };
        let sent = self.write(asked, style)?;
        self.spend()?;
        let begun = Instant::now();
        let mut connection = self
            .dialer
            .dial(server.name.as_deref(), server.address, server.purpose, self.timeout)
            .await
            .map_err(|error| of_dial(&error, Fault::TcpFailed))?;
        let give_up = self.dialer.deadline().min(Instant::now() + self.timeout);
        let exchange = async {
            let length = u16::try_from(sent.octets.len()).unwrap_or(u16::MAX);
            let mut framed = length.to_be_bytes().to_vec();
            framed.extend_from_slice(&sent.octets);
            connection.write_all(&framed).await?;
            let length = connection.read_u16().await?;
            let mut octets = vec![0; usize::from(length)];
            connection.read_exact(&mut octets).await?;
            io::Result::Ok(octets)
        };
        let octets = match timeout_at(give_up, exchange).await {
            Err(_) => return Err(Failure::Fault(Fault::TcpFailed)),
            Ok(Err(error)) => return Err(of_socket(&error, Fault::TcpFailed)),
            Ok(Ok(octets)) => octets,
        };
        match wire::judge(&sent, &octets) {
            // Nobody off the path forges a connection: another case is the server's own.
            Heard::Reply { message, keeps_case } => {
                let edns = edns_of(&message, style);
                let latency = begun.elapsed();
                Ok(Reply { message: *message, octets, latency, edns, keeps_case })
            }
            Heard::Foreign | Heard::Malformed => Err(Failure::Fault(Fault::Malformed)),
        }
    }

    fn write(&self, asked: &Question, style: Style) -> Result<Sent, Failure> {
        self.with_rng(|rng| wire::write(asked, style, rng)).ok_or_else(|| {
            Failure::Unasked(Unknown::new(Reason::LocalError, "the name fits no message"))
        })
    }

    fn spend(&self) -> Result<(), Failure> {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .map(drop)
            .map_err(|_| Failure::Unasked(Unknown::new(Reason::Budget, "too many questions")))
    }

    fn with_rng<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut locked(&self.rng))
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the datagrams of one exchange came to.
enum Datagram {
    /// So many of them were not ours, or the case was lost, that only TCP can tell.
    Doubt { case_lost: bool },
    /// The answer.
    Reply(Reply),
}

/// Listens until the answer comes, the patience ends, or too much comes that is none.
async fn hear(
    socket: &UdpSocket,
    sent: &Sent,
    give_up: Instant,
    traffic: &Traffic,
) -> Result<Ear, Failure> {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    for noise in 0..MAX_NOISE {
        let length = match timeout_at(give_up, socket.recv(&mut buffer)).await {
            Err(_) if noise > 0 => return Err(Failure::Fault(Fault::Malformed)),
            Err(_) => return Err(Failure::Fault(Fault::Timeout)),
            Ok(Err(error)) => return Err(of_socket(&error, Fault::Timeout)),
            Ok(Ok(length)) => length,
        };
        traffic.note_received(length);
        match wire::judge(sent, &buffer[..length]) {
            Heard::Reply { message, keeps_case: true } => {
                let octets = buffer[..length].to_vec();
                return Ok(Ear::Reply { message, octets });
            }
            Heard::Reply { keeps_case: false, .. } => return Ok(Ear::CaseLost),
            Heard::Foreign | Heard::Malformed => {}
        }
    }
    Ok(Ear::Flooded)
}

/// What a socket heard.
enum Ear {
    /// The answer, but for its letters.
    CaseLost,
    /// Too much that is no answer.
    Flooded,
    /// The answer, and as it came.
    Reply { message: Box<Message>, octets: Vec<u8> },
}

/// Whether the server answers EDNS in kind. An error may come without for many reasons.
fn edns_of(message: &Message, style: Style) -> Option<bool> {
    match message.edns {
        Some(_) => Some(true),
        None if !style.edns => None,
        None if message.metadata.response_code == ResponseCode::NoError => Some(false),
        None => None,
    }
}

fn chokes_on_edns(reply: &Reply) -> bool {
    matches!(
        reply.message.metadata.response_code,
        ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS
    )
}

fn of_dial(error: &DialError, silence: Fault) -> Failure {
    match error {
        DialError::Io(error) => of_socket(error, silence),
        DialError::ConnectTimeout => Failure::Fault(silence),
        DialError::Budget(_) | DialError::OutOfScope(_) => Failure::Unasked(error.unknown()),
    }
}

/// What this machine could not do is never said of the server.
fn of_socket(error: &io::Error, silence: Fault) -> Failure {
    let unknown = of_io(error);
    match unknown.reason {
        Reason::LocalError if error.raw_os_error().is_some() => Failure::Unasked(unknown),
        Reason::Refused if silence == Fault::Timeout => Failure::Fault(Fault::PortUnreachable),
        _ => Failure::Fault(silence),
    }
}

/// Datagrams sent before silence counts.
const ATTEMPTS: u32 = 2;

/// Datagrams that are no answer, before TCP is asked.
const MAX_NOISE: u32 = 64;

/// Questions of one sample.
const MAX_QUESTIONS: u32 = 4000;
