//! Records on a connection of ours, read one at a time.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::probe::dial::Connection;
use crate::sample::{Reason, Unknown};

use super::super::line::ending_of;
use super::super::outcome::Ending;
use super::super::wire::{Cursor, u16s, vec16};

/// A connection that records go over.
pub(in crate::probe::tls) struct Wire {
    connection: Connection,
    give_up: Instant,
    buffer: Vec<u8>,
}

/// One record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::probe::tls) struct Record {
    pub(in crate::probe::tls) kind: u8,
    pub(in crate::probe::tls) body: Vec<u8>,
}

impl Record {
    /// The number of an alert in clear.
    pub(in crate::probe::tls) fn alert(&self) -> Option<u8> {
        match (self.kind, &self.body[..]) {
            (ALERT, [_, number]) => Some(*number),
            _ => None,
        }
    }
}

impl Wire {
    pub(in crate::probe::tls) fn new((connection, give_up): (Connection, Instant)) -> Self {
        Self { connection, give_up, buffer: Vec::new() }
    }

    /// Sends bytes as they are; `false` if the peer has left.
    pub(in crate::probe::tls) async fn send(&mut self, bytes: &[u8]) -> Result<bool, Unknown> {
        let sent = self.connection.write_all(bytes);
        match timeout_at(self.give_up, sent).await {
            Err(_) => Err(Reason::Timeout.into()),
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) => match ending_of(&error) {
                Ending::Cut(why) => Err(why),
                _ => Ok(false),
            },
        }
    }

    /// The next record; `None` once the peer has left.
    pub(in crate::probe::tls) async fn next(&mut self) -> Result<Option<Record>, Unknown> {
        loop {
            if let Some(record) = self.take()? {
                return Ok(Some(record));
            }
            let mut bytes = [0; 4096];
            match timeout_at(self.give_up, self.connection.read(&mut bytes)).await {
                Err(_) => return Err(Reason::Timeout.into()),
                Ok(Ok(0)) => return Ok(None),
                Ok(Ok(count)) => self.buffer.extend_from_slice(&bytes[..count]),
                Ok(Err(error)) => match ending_of(&error) {
                    Ending::Cut(why) => return Err(why),
                    _ => return Ok(None),
                },
            }
        }
    }

    /// The same; the outer `None` where nothing comes for so long.
    pub(in crate::probe::tls) async fn next_within(
        &mut self,
        patience: Duration,
    ) -> Result<Option<Option<Record>>, Unknown> {
        match timeout(patience, self.next()).await {
            Ok(heard) => heard.map(Some),
            Err(_) => Ok(None),
        }
    }

    fn take(&mut self) -> Result<Option<Record>, Unknown> {
        let mut rest = Cursor(&self.buffer);
        let Some(head) = rest.take(3) else { return Ok(None) };
        let (kind, major) = (head[0], head[1]);
        if !(20..=24).contains(&kind) || major != 3 {
            return Err(Unknown::new(Reason::TlsError, "not a record"));
        }
        let Some(length) = rest.u16() else { return Ok(None) };
        if usize::from(length) > MAX_RECORD {
            return Err(Unknown::new(Reason::TlsError, "a record too long"));
        }
        let Some(body) = rest.take(length.into()) else { return Ok(None) };
        let record = Record { kind, body: body.to_vec() };
        let used = self.buffer.len() - rest.0.len();
        self.buffer.drain(..used);
        Ok(Some(record))
    }
}

/// A record as it is sent.
pub(in crate::probe::tls) fn record(kind: u8, version: u16, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    u16s(&mut out, &[version]);
    vec16(&mut out, |out| out.extend_from_slice(body));
    out
}

pub(in crate::probe::tls) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(in crate::probe::tls) const ALERT: u8 = 21;
pub(in crate::probe::tls) const HANDSHAKE: u8 = 22;
pub(in crate::probe::tls) const HEARTBEAT: u8 = 24;

/// RFC 5246 §6.2.3: 2^14 and 2048 of slack.
const MAX_RECORD: usize = 16_384 + 2_048;
