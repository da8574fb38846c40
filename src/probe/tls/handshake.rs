//! One real handshake through rustls, as a current client makes it, whatever certificate it is
//! shown.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConnection, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::probe::dial::Connection;
use crate::probe::trust::{Served, Witness};
use crate::sample::{Reason, Unknown};

use super::line::ending_of;
use super::names::Kinds;
use super::outcome::Ending;
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
    mut connection: Connection,
    offer: &Offer<'_>,
    give_up: Instant,
    patience: Duration,
) -> Handshake {
    let started = Instant::now();
    let witness = Witness::new(|scheme| offer.kinds.fits(scheme.into()));
    let mut tls = match client(offer, &witness) {
        Ok(tls) => tls,
        Err(error) => {
            let failure = Failure::Other(Unknown::new(Reason::LocalError, error.to_string()));
            return Handshake { failure: Some(failure), ..Handshake::default() };
        }
    };
    let failure = match timeout_at(give_up, drive(&mut tls, &mut connection)).await {
        Ok(done) => done.err(),
        Err(_) => Some(Failure::Other(Reason::Timeout.into())),
    };
    let mut handshake = collect(&tls, &witness);
    handshake.duration = started.elapsed();
    handshake.insisted = handshake.asked && matches!(failure, Some(Failure::Refused(_)));
    if failure.is_none() {
        if handshake.asked && handshake.version == Some(Version::Tls13) {
            let until = give_up.min(Instant::now() + patience);
            handshake.insisted = is_thrown_out(&mut tls, &mut connection, until).await;
        }
        tls.send_close_notify();
        // The peer may be gone already; nothing hangs on the goodbye.
        let _ = timeout_at(give_up, flush(&mut tls, &mut connection)).await;
    }
    handshake.failure = failure;
    handshake
}

fn client(offer: &Offer<'_>, witness: &Arc<Witness>) -> Result<ClientConnection, Error> {
    let mut config = witness.client(offer.alpn)?;
    let name = offer.server_name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
    config.enable_sni = name.is_some();
    // Without a name to send, any will do: nothing is checked against it.
    let nobody = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
    ClientConnection::new(Arc::new(config), name.unwrap_or(nobody))
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

/// In TLS 1.3 the client is done before the peer has judged its lack of a certificate.
async fn is_thrown_out(
    tls: &mut ClientConnection,
    connection: &mut Connection,
    until: Instant,
) -> bool {
    matches!(timeout_at(until, receive(tls, connection)).await, Ok(Err(Failure::Refused(_))))
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
        tls.read_tls(&mut unread).map_err(|error| failure_of(&error))?;
        tls.process_new_packets().map_err(|error| match error {
            Error::AlertReceived(AlertDescription::CloseNotify) => Failure::Closed,
            Error::AlertReceived(alert) => Failure::Refused(u8::from(alert)),
            error => Failure::Other(Unknown::new(Reason::TlsError, error.to_string())),
        })?;
    }
    Ok(())
}

fn failure_of(error: &std::io::Error) -> Failure {
    match ending_of(error) {
        Ending::Cut(unknown) => Failure::Other(unknown),
        _ => Failure::Closed,
    }
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
        is_forged: seen.is_forged,
        ..Handshake::default()
    }
}
