//! A server's first flight in clear, with what it takes to answer it.

use crate::sample::{Reason, Unknown};

use super::super::hello::HelloSpec;
use super::super::line::Line;
use super::super::messages::certificates;
use super::super::wire::Cursor;
use super::wire::{HANDSHAKE, Record, Wire};

/// What the flight told.
#[derive(Clone, Debug, Default)]
pub(in crate::probe::tls) struct Greeting {
    pub(in crate::probe::tls) version: u16,
    pub(in crate::probe::tls) suite: u16,
    pub(super) random: Vec<u8>,
    pub(in crate::probe::tls) session_id: Vec<u8>,
    pub(in crate::probe::tls) extensions: Vec<u16>,
    pub(in crate::probe::tls) leaf: Option<Vec<u8>>,
    pub(super) key_exchange: Option<Vec<u8>>,
    pub(super) asks_for_certificate: bool,
    /// Every message so far, hello first.
    pub(super) transcript: Vec<u8>,
}

/// What came of a hello.
pub(in crate::probe::tls) enum Greeted {
    /// The whole flight.
    Done(Greeting),
    /// The server took up a session: its hello is the last that is in clear.
    Resumed(Greeting),
    /// A fatal alert, or none and the connection closed.
    Refused(Option<u8>),
}

/// Sends a hello of the enumeration's and reads the flight.
pub(in crate::probe::tls) async fn greet(
    line: &Line<'_>,
    spec: &HelloSpec,
    server_name: Option<&str>,
    rng: &mut fastrand::Rng,
) -> Result<(Wire, Greeted), Unknown> {
    let open = line.open().await.map_err(|outcome| outcome.unknown())?;
    let mut wire = Wire::new(open);
    let greeted = ask(&mut wire, &spec.encode(server_name, rng)).await?;
    Ok((wire, greeted))
}

/// Sends a hello, as one record, and reads the flight.
pub(super) async fn ask(wire: &mut Wire, hello: &[u8]) -> Result<Greeted, Unknown> {
    if !wire.send(hello).await? {
        return Ok(Greeted::Refused(None));
    }
    let mut greeting =
        Greeting { transcript: hello.get(5..).unwrap_or(&[]).to_vec(), ..Greeting::default() };
    let mut messages = Messages::default();
    while let Some(record) = wire.next().await? {
        match record {
            Record { kind: HANDSHAKE, body } => messages.push(&body)?,
            Record { kind: super::wire::CHANGE_CIPHER_SPEC, .. } if greeting.version != 0 => {
                return Ok(Greeted::Resumed(greeting));
            }
            record => match record.alert() {
                // A warning of the name says nothing of the hello's fate (RFC 6066 §3).
                Some(112) if record.body[0] == 1 => {}
                Some(number) => return Ok(Greeted::Refused(Some(number))),
                None => return Err(broken("a record out of turn")),
            },
        }
        while let Some((kind, message)) = messages.next()? {
            greeting.transcript.extend_from_slice(&message);
            greeting.take(kind, &message[4..])?;
            if kind == 14 {
                return Ok(Greeted::Done(greeting));
            }
        }
    }
    Ok(Greeted::Refused(None))
}

impl Greeting {
    fn take(&mut self, kind: u8, body: &[u8]) -> Result<(), Unknown> {
        match kind {
            2 => self.hello(body).ok_or_else(|| broken("an unreadable ServerHello"))?,
            11 => self.leaf = certificates(body).and_then(|all| all.into_iter().next()),
            12 => self.key_exchange = Some(body.to_vec()),
            13 => self.asks_for_certificate = true,
            _ => {}
        }
        Ok(())
    }

    fn hello(&mut self, body: &[u8]) -> Option<()> {
        let mut body = Cursor(body);
        self.version = body.u16()?;
        self.random = body.take(32)?.to_vec();
        self.session_id = body.vec8()?.to_vec();
        self.suite = body.u16()?;
        body.u8()?;
        let mut extensions = Cursor(if body.is_empty() { &[] } else { body.vec16()? });
        while !extensions.is_empty() {
            self.extensions.push(extensions.u16()?);
            extensions.vec16()?;
        }
        Some(())
    }
}

/// Handshake messages out of records.
#[derive(Debug, Default)]
pub(super) struct Messages(Vec<u8>);

impl Messages {
    pub(super) fn push(&mut self, body: &[u8]) -> Result<(), Unknown> {
        self.0.extend_from_slice(body);
        if self.0.len() > MAX_PENDING { Err(broken("a message too long")) } else { Ok(()) }
    }

    /// The next message with its header, and its type.
    pub(super) fn next(&mut self) -> Result<Option<(u8, Vec<u8>)>, Unknown> {
        let mut rest = Cursor(&self.0);
        let (Some(kind), Some(length)) = (rest.u8(), rest.u24()) else { return Ok(None) };
        if length > MAX_PENDING {
            return Err(broken("a message too long"));
        }
        if rest.take(length).is_none() {
            return Ok(None);
        }
        Ok(Some((kind, self.0.drain(..4 + length).collect())))
    }
}

pub(super) fn broken(how: &str) -> Unknown {
    Unknown::new(Reason::TlsError, how)
}

const MAX_PENDING: usize = 128 * 1024;
