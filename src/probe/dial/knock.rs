//! The connects of a port scan. Begun without waiting, so that what the kernel knows at once (as on
//! loopback) costs four system calls and no timer, and told apart by *who* said no: this machine
//! before a SYN left, or somebody else after.

use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use rustix::process::{Resource, getrlimit};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Connection, DialError, Dialer, Permit};
use crate::sample::{Reason, Unknown};

/// What one connect came to.
#[derive(Debug)]
pub enum Knock {
    /// A handshake.
    Open(Connection),
    /// Somebody's word after the SYN had left: a refusal, a reset, an ICMP error.
    Refused(io::Error),
    /// No answer in time.
    Silent,
    /// This machine could not ask.
    Unasked(DialError),
}

/// A connect that was begun.
#[derive(Debug)]
pub enum Begun {
    /// It came to this at once, without a wait.
    Settled(Knock),
    /// An answer is to come.
    Waiting(Waiting),
}

/// A connect on its way, or one that waits for a file.
#[derive(Debug)]
pub struct Waiting {
    permit: Permit,
    to: SocketAddr,
    sent: Option<(OwnedFd, File)>,
}

type File = SemaphorePermit<'static>;

impl Dialer {
    /// Connects with leave that [`Dialer::admit`] gave.
    pub async fn knock(&self, permit: Permit, to: SocketAddr, timeout: Duration) -> Knock {
        match self.begin(permit, to) {
            Begun::Settled(knock) => knock,
            Begun::Waiting(waiting) => self.finish(waiting, timeout).await,
        }
    }

    /// Sends the SYN. Where no file is free, or buffers are short, that is left for
    /// [`Dialer::finish`], so that scans together never use up what the process may open.
    pub fn begin(&self, permit: Permit, to: SocketAddr) -> Begun {
        let Ok(file) = FILES.try_acquire() else {
            return Begun::Waiting(Waiting { permit, to, sent: None });
        };
        let socket = match start(to) {
            Ok(socket) => socket,
            Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS) => {
                return Begun::Waiting(Waiting { permit, to, sent: None });
            }
            Err(error) => return Begun::Settled(unsent(error)),
        };
        match refusal(&socket) {
            Err(unsettled) => Begun::Settled(unsettled.into()),
            Ok(()) => Begun::Waiting(Waiting { permit, to, sent: Some((socket, file)) }),
        }
    }

    /// Waits for the answer, at most as long as the timeout.
    pub async fn finish(&self, waiting: Waiting, timeout: Duration) -> Knock {
        let Waiting { permit, to, sent } = waiting;
        let (socket, file) = match sent {
            Some(sent) => sent,
            None => match self.start_later(to).await {
                Ok(sent) => sent,
                Err(knock) => return *knock,
            },
        };
        match settle(socket, self.deadline.min(Instant::now() + timeout)).await {
            Ok(stream) => Knock::Open(self.connection(stream, permit, file)),
            Err(unsettled) => unsettled.into(),
        }
    }

    async fn start_later(&self, to: SocketAddr) -> Result<(OwnedFd, File), Box<Knock>> {
        let Ok(Ok(file)) = timeout_at(self.deadline, FILES.acquire()).await else {
            let unknown = Unknown::new(Reason::LocalError, "no file was free in time");
            return Err(Box::new(Knock::Unasked(DialError::Budget(unknown))));
        };
        let mut tries = 1;
        loop {
            match start(to) {
                Ok(socket) => return Ok((socket, file)),
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS) if tries < TRIES => {
                    tries += 1;
                    sleep(SHORTAGE).await;
                }
                Err(error) => return Err(Box::new(unsent(error))),
            }
        }
    }

    fn connection(&self, stream: TcpStream, permit: Permit, file: File) -> Connection {
        // Without it a hello of two writes waits for an ACK; a failure costs only time.
        let _ = stream.set_nodelay(true);
        let bounds = (self.read_timeout, self.deadline, self.read_limit);
        let permit = Permit::holding((permit, file));
        Connection::new(stream, permit, bounds, Arc::clone(&self.traffic))
    }
}

/// What an error of the connect itself means: a refusal is the peer's, everything else ours.
fn unsent(error: Errno) -> Knock {
    match error {
        Errno::CONNREFUSED => Knock::Refused(error.into()),
        error => Knock::Unasked(DialError::Io(error.into())),
    }
}

enum Unsettled {
    Local(io::Error),
    Refused(io::Error),
    Silent,
}

impl From<Unsettled> for Knock {
    fn from(unsettled: Unsettled) -> Self {
        match unsettled {
            Unsettled::Local(error) => Self::Unasked(DialError::Io(error)),
            Unsettled::Refused(error) if error.kind() == io::ErrorKind::TimedOut => Self::Silent,
            Unsettled::Refused(error) => Self::Refused(error),
            Unsettled::Silent => Self::Silent,
        }
    }
}

fn start(to: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// The stream once the peer has answered.
async fn settle(socket: OwnedFd, give_up: Instant) -> Result<TcpStream, Unsettled> {
    let stream = StdStream::from(socket);
    let is_settled = stream.peer_addr().is_ok();
    let stream = TcpStream::from_std(stream).map_err(Unsettled::Local)?;
    if !is_settled {
        match timeout_at(give_up, stream.writable()).await {
            Err(_) => return Err(Unsettled::Silent),
            Ok(Err(error)) => return Err(Unsettled::Local(error)),
            Ok(Ok(())) => refusal(&stream)?,
        }
    }
    match (stream.local_addr(), stream.peer_addr()) {
        // On loopback a connect to a free ephemeral port can meet itself: nobody listens there.
        (Ok(local), Ok(peer)) if local == peer => {
            Err(Unsettled::Refused(io::ErrorKind::ConnectionRefused.into()))
        }
        (_, Ok(_)) => Ok(stream),
        // Reset between the handshake and this question.
        (_, Err(_)) => Err(Unsettled::Refused(io::ErrorKind::ConnectionReset.into())),
    }
}

fn refusal(socket: impl std::os::fd::AsFd) -> Result<(), Unsettled> {
    match sockopt::socket_error(socket) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Unsettled::Refused(error.into())),
        Err(error) => Err(Unsettled::Local(error.into())),
    }
}

/// The files that scans may hold at once, of all that this process may open.
fn files_for_scans(limit: Option<u64>) -> usize {
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    (limit - limit / 4).saturating_sub(KEPT).clamp(1, MOST_FILES)
}

static FILES: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(files_for_scans(getrlimit(Resource::Nofile).current)));

/// Files that everything else needs even where few are allowed.
const KEPT: usize = 24;
const MOST_FILES: usize = 16_384;
const SHORTAGE: Duration = Duration::from_millis(100);
const TRIES: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_leave_files_for_everything_else() {
        for (limit, files) in
            [(Some(64), 24), (Some(1_024), 744), (Some(16), 1), (Some(0), 1), (None, MOST_FILES)]
        {
            assert_eq!(files_for_scans(limit), files, "{limit:?}");
        }
    }
}
