//! One real handshake through rustls, as a current client makes it, whatever certificate it is
//! shown.

use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, Error, HandshakeKind};
use tokio::time::Instant;

use crate::probe::dial::Connection;
use crate::probe::trust::{Served, Witness};
use crate::sample::{Reason, Unknown};

use super::client::{Client, Tickets};
use super::explain;
use super::names::Kinds;
use super::wire::{Version, alert_name};

/// What the handshake offers.
#[derive(Clone, Debug)]
pub(super) struct Offer<'a> {
    /// The DNS name to send, if the peer has one.
    pub(super) server_name: Option<&'a str>,
    /// Application protocols, in order.
    pub(super) alpn: &'a [&'a [u8]],
    /// The kind of certificate asked for.
    pub(super) kinds: Kinds,
}

/// What it came to. A handshake that failed late still shows what came before.
#[derive(Clone, Debug, Default)]
pub(in crate::probe) struct Handshake {
    pub(super) version: Option<Version>,
    pub(super) suite: Option<u16>,
    pub(super) group: Option<u16>,
    pub(in crate::probe) alpn: Option<Vec<u8>>,
    pub(in crate::probe) served: Served,
    pub(super) scheme: Option<u16>,
    /// Whether the peer asked for a client certificate.
    pub(super) asked: bool,
    /// Whether it broke off for want of one.
    pub(super) insisted: bool,
    /// Whether it was not signed by the leaf's key.
    pub(in crate::probe) is_forged: bool,
    /// How long it took, from the hello to the end.
    pub(in crate::probe) duration: Duration,
    /// Whether an earlier session was taken up again.
    pub(super) resumed: bool,
    /// The tickets that came with it and with earlier ones of the same client.
    pub(super) tickets: Tickets,
    /// Whose client certificates the peer would take: DER of Name.
    pub(super) authorities: Vec<Vec<u8>>,
    /// Who shook hands, to come back with a ticket; only of a finished handshake.
    pub(super) client: Option<Arc<Client>>,
    /// Why it was not finished.
    pub(super) failure: Option<Failure>,
}

/// Why a handshake was not finished.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Failure {
    /// The stream closed or broke.
    Closed,
    /// A fatal alert of the peer.
    Refused(u8),
    /// Slow, unreached, or against the rules.
    Other(Unknown),
}

impl Failure {
    /// The reason that facts give.
    pub(super) fn unknown(&self) -> Unknown {
        match self {
            Self::Closed => Reason::Reset.into(),
            Self::Refused(alert) => {
                Unknown::new(Reason::TlsError, format!("alert {alert} ({})", alert_name(*alert)))
            }
            Self::Other(unknown) => unknown.clone(),
        }
    }
}

/// Shakes hands on an open connection and says goodbye.
pub(super) async fn shake(
    connection: Connection,
    offer: &Offer<'_>,
    give_up: Instant,
    patience: Duration,
) -> Handshake {
    match Client::new(offer, &[&TLS13, &TLS12]) {
        Ok(client) => shake_for_tickets(&Arc::new(client), connection, give_up, patience).await,
        Err(error) => Handshake { failure: Some(local(&error)), ..Handshake::default() },
    }
}

/// The same by this client, which waits a moment for what it can come back with.
pub(super) async fn shake_for_tickets(
    client: &Arc<Client>,
    connection: Connection,
    give_up: Instant,
    patience: Duration,
) -> Handshake {
    let handshake = meet(client, connection, give_up, patience, true).await;
    explain::shook(&handshake);
    handshake
}

/// The same by a client that may have been there before, and waits for no ticket.
pub(super) async fn shake_as(
    client: &Arc<Client>,
    connection: Connection,
    give_up: Instant,
    patience: Duration,
) -> Handshake {
    let handshake = meet(client, connection, give_up, patience, false).await;
    explain::shook(&handshake);
    handshake
}

async fn meet(
    client: &Arc<Client>,
    connection: Connection,
    give_up: Instant,
    patience: Duration,
    is_for_tickets: bool,
) -> Handshake {
    let started = Instant::now();
    let mut session = match client.begin(connection, give_up) {
        Ok(session) => session,
        Err(error) => return Handshake { failure: Some(local(&error)), ..Handshake::default() },
    };
    let failure = session.shake().await.err();
    let mut handshake = collect(session.tls(), client.witness());
    handshake.duration = started.elapsed();
    handshake.insisted = handshake.asked && matches!(failure, Some(Failure::Refused(_)));
    if failure.is_none() {
        handshake.resumed = session.tls().handshake_kind() == Some(HandshakeKind::Resumed);
        let is_tls13 = handshake.version == Some(Version::Tls13);
        if handshake.asked && is_tls13 {
            handshake.insisted = session.is_thrown_out(patience).await;
        }
        session.close().await;
        // Below TLS 1.3 a ticket is a part of the handshake; there it comes behind it.
        let is_over = !is_tls13 || {
            let a_while = (4 * handshake.duration).max(TICKETS_COME_WITHIN).min(patience);
            is_for_tickets && session.hear_out(a_while, || client.tickets().count > 0).await
        };
        handshake.tickets = client.tickets();
        handshake.tickets.is_all = is_over && !handshake.insisted;
        handshake.client = Some(Arc::clone(client));
    }
    handshake.failure = failure;
    handshake
}

fn local(error: &Error) -> Failure {
    Failure::Other(Unknown::new(Reason::LocalError, error.to_string()))
}

/// What a handshake with this witness has come to so far.
pub(in crate::probe) fn collect(tls: &ClientConnection, witness: &Witness) -> Handshake {
    let seen = witness.seen();
    Handshake {
        version: tls.protocol_version().and_then(|v| Version::from_code(u16::from(v))),
        suite: tls.negotiated_cipher_suite().map(|suite| u16::from(suite.suite())),
        group: tls.negotiated_key_exchange_group().map(|group| u16::from(group.name())),
        alpn: tls.alpn_protocol().map(<[u8]>::to_vec),
        served: seen.served,
        scheme: seen.scheme,
        asked: seen.asked,
        authorities: seen.authorities,
        is_forged: seen.is_forged,
        ..Handshake::default()
    }
}

/// A server sends its tickets at once; on a slow way the handshake's own time says how long that is.
const TICKETS_COME_WITHIN: Duration = Duration::from_millis(100);
