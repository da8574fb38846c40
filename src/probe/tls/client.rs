//! rustls on a connection of ours: a client that remembers tickets, and a session of it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Error, NamedGroup, SupportedProtocolVersion,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::probe::dial::Connection;
use crate::probe::trust::Witness;
use crate::sample::{Reason, Unknown};

use super::handshake::{Failure, Offer};
use super::line::ending_of;
use super::outcome::Ending;

/// Who shakes hands: a rustls client with its witness and its tickets.
pub(super) struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    witness: Arc<Witness>,
    purse: Arc<Purse>,
}

impl Client {
    /// A client of these versions.
    pub(super) fn new(
        offer: &Offer<'_>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Self, Error> {
        Self::with(offer, versions, |_| {})
    }

    /// The same with a last touch to its config.
    pub(super) fn with(
        offer: &Offer<'_>,
        versions: &[&'static SupportedProtocolVersion],
        touch: impl FnOnce(&mut ClientConfig),
    ) -> Result<Self, Error> {
        let witness = Witness::new(|scheme| offer.kinds.fits(scheme.into()));
        let purse = Arc::<Purse>::default();
        let mut config = witness.client_of(offer.alpn, versions)?;
        config.resumption = Resumption::store(Arc::clone(&purse) as Arc<dyn ClientSessionStore>);
        let name = offer.server_name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        config.enable_sni = name.is_some();
        touch(&mut config);
        // Without a name to send, any will do: nothing is checked against it.
        let nobody = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
        Ok(Self { config: Arc::new(config), name: name.unwrap_or(nobody), witness, purse })
    }

    /// Begins a handshake.
    pub(super) fn begin(&self, connection: Connection, give_up: Instant) -> Result<Session, Error> {
        let tls = ClientConnection::new(Arc::clone(&self.config), self.name.clone())?;
        Ok(Session { tls, connection, give_up })
    }

    pub(super) fn witness(&self) -> &Witness {
        &self.witness
    }

    /// The tickets that came so far.
    pub(super) fn tickets(&self) -> Tickets {
        self.purse.open().tickets.clone()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

/// What is known of a client's tickets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Tickets {
    /// How many there were, sessions by their number included.
    pub(super) count: usize,
    /// The most early data that one allows, in bytes.
    pub(super) early_data: u32,
    /// The longest time that one may be used for, in seconds; `None` where that does not show.
    pub(super) lifetime: Option<u32>,
    /// Whether the peer had said all it had to say.
    pub(super) is_all: bool,
}

/// Where a client keeps its tickets: the newest of TLS 1.2, a few of TLS 1.3.
#[derive(Debug, Default)]
struct Purse(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    tickets: Tickets,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: VecDeque<Tls13ClientSessionValue>,
}

impl Purse {
    fn open(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Purse {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        let mut kept = self.open();
        kept.tickets.count += 1;
        // RFC 5077 §3.3: nought leaves the time to the client.
        let lifetime = lifetime(&session).filter(|&seconds| seconds > 0);
        kept.tickets.lifetime = kept.tickets.lifetime.max(lifetime);
        kept.tls12 = Some(session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.open().tls12.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.open().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut kept = self.open();
        kept.tickets.count += 1;
        kept.tickets.lifetime = kept.tickets.lifetime.max(lifetime(&ticket));
        kept.tickets.early_data = kept.tickets.early_data.max(ticket.max_early_data_size());
        if kept.tls13.len() < MAX_TICKETS {
            kept.tls13.push_back(ticket);
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.open().tls13.pop_front()
    }
}

/// How long a ticket may be used. rustls keeps it to itself, but for what it prints of a session.
fn lifetime(session: &impl fmt::Debug) -> Option<u32> {
    let printed = format!("{session:?}");
    let (_, after) = printed.split_once("lifetime_secs: ")?;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// One session of a client, on a connection of its own.
pub(super) struct Session {
    tls: ClientConnection,
    connection: Connection,
    give_up: Instant,
}

impl Session {
    pub(super) fn tls(&self) -> &ClientConnection {
        &self.tls
    }

    /// Shakes hands.
    pub(super) async fn shake(&mut self) -> Result<(), Failure> {
        match timeout_at(self.give_up, drive(&mut self.tls, &mut self.connection)).await {
            Ok(done) => done,
            Err(_) => Err(Failure::Other(Reason::Timeout.into())),
        }
    }

    /// Says goodbye. The peer may be gone already; nothing hangs on it.
    pub(super) async fn close(&mut self) {
        self.tls.send_close_notify();
        let _ = timeout_at(self.give_up, flush(&mut self.tls, &mut self.connection)).await;
    }

    /// In TLS 1.3 the client is done before the peer has judged its lack of a certificate.
    pub(super) async fn is_thrown_out(&mut self, patience: Duration) -> bool {
        let until = self.give_up.min(Instant::now() + patience);
        let heard = timeout_at(until, receive(&mut self.tls, &mut self.connection)).await;
        matches!(heard, Ok(Err(Failure::Refused(_))))
    }

    /// Listens until the peer has no more to say, or enough was heard; `false` if that took too long.
    pub(super) async fn hear_out(
        &mut self,
        patience: Duration,
        is_enough: impl Fn() -> bool,
    ) -> bool {
        let until = self.give_up.min(Instant::now() + patience);
        let end = timeout_at(until, async {
            while !is_enough() {
                if let Err(failure) = receive(&mut self.tls, &mut self.connection).await {
                    return Some(failure);
                }
            }
            None
        });
        matches!(end.await, Ok(None | Some(Failure::Closed | Failure::Refused(_))))
    }

    /// Sends words inside.
    pub(super) async fn say(&mut self, words: &[u8]) -> Result<(), Failure> {
        use std::io::Write;
        // Into rustls' own buffer, which takes more than the few words there are.
        let _ = self.tls.writer().write_all(words);
        match timeout_at(self.give_up, flush(&mut self.tls, &mut self.connection)).await {
            Ok(done) => done,
            Err(_) => Err(Failure::Other(Reason::Timeout.into())),
        }
    }

    /// The next words from inside, none when the peer has ended.
    pub(super) async fn hear(&mut self) -> Result<Vec<u8>, Failure> {
        loop {
            let words = self.unread();
            if !words.is_empty() {
                return Ok(words);
            }
            let heard = receive(&mut self.tls, &mut self.connection);
            match timeout_at(self.give_up, heard).await {
                Ok(Ok(())) => {}
                Ok(Err(Failure::Closed)) => return Ok(self.unread()),
                Ok(Err(failure)) => return Err(failure),
                Err(_) => return Err(Failure::Other(Reason::Timeout.into())),
            }
        }
    }

    fn unread(&mut self) -> Vec<u8> {
        use std::io::Read;
        let mut words = vec![0; 4096];
        let count = self.tls.reader().read(&mut words).unwrap_or(0);
        words.truncate(count);
        words
    }
}

async fn drive(tls: &mut ClientConnection, connection: &mut Connection) -> Result<(), Failure> {
    loop {
        flush(tls, connection).await?;
        if !tls.is_handshaking() {
            return Ok(());
        }
        if let Err(failure) = receive(tls, connection).await {
            // Our alert tells the peer why, if it still listens.
            let _ = flush(tls, connection).await;
            return Err(failure);
        }
    }
}

async fn flush(tls: &mut ClientConnection, connection: &mut Connection) -> Result<(), Failure> {
    let mut out = Vec::new();
    while tls.wants_write() {
        // Writing to memory does not fail.
        let _ = tls.write_tls(&mut out);
    }
    connection.write_all(&out).await.map_err(|error| failure_of(&error))
}

async fn receive(tls: &mut ClientConnection, connection: &mut Connection) -> Result<(), Failure> {
    let mut buffer = [0; 4096];
    let count = connection.read(&mut buffer).await.map_err(|error| failure_of(&error))?;
    if count == 0 {
        return Err(Failure::Closed);
    }
    let mut unread = &buffer[..count];
    while !unread.is_empty() {
        // What came inside and nobody wanted to hear makes rustls refuse to take more.
        tls.read_tls(&mut unread).map_err(|error| failure_of(&error))?;
        let state = tls.process_new_packets().map_err(|error| match error {
            Error::AlertReceived(AlertDescription::CloseNotify) => Failure::Closed,
            Error::AlertReceived(alert) => Failure::Refused(u8::from(alert)),
            error => Failure::Other(Unknown::new(Reason::TlsError, error.to_string())),
        })?;
        if state.peer_has_closed() {
            return Err(Failure::Closed);
        }
    }
    Ok(())
}

fn failure_of(error: &std::io::Error) -> Failure {
    match ending_of(error) {
        Ending::Cut(unknown) => Failure::Other(unknown),
        _ => Failure::Closed,
    }
}

/// Tickets that are kept: one is enough to come back with.
const MAX_TICKETS: usize = 4;
