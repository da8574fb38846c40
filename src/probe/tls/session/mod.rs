//! A TLS 1.2 client small enough to ask what no library lets one ask: renegotiation, and a ticket of
//! its own. The only place of the probe with crypto. It verifies nothing; what it asks for depends on
//! no certificate.

mod flight;
mod keys;
pub(super) mod wire;

use crate::sample::{Reason, Unknown};

use super::line::Line;
use super::wire::{u16s, vec8, vec16, vec24};
use flight::{Messages, ask, broken};
use keys::{Suite, Way, exchange, master, ways};
use wire::{ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, Record, Wire, record};

pub(super) use flight::{Greeted, Greeting, greet};

/// A finished handshake.
pub(super) struct Session {
    wire: Wire,
    out: Way,
    inward: Way,
    hello: Hello,
    verify_data: Vec<u8>,
    /// Whether the server knows RFC 5746.
    is_secure: bool,
    /// The ticket it gave.
    pub(super) ticket: Option<Vec<u8>>,
}

/// What a hello of ours holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Hello {
    pub(super) server_name: Option<String>,
    pub(super) session_id: Vec<u8>,
    /// An empty one asks for a ticket.
    pub(super) ticket: Vec<u8>,
    /// Whether heartbeats may be asked for (RFC 6520).
    pub(super) heartbeat: bool,
    /// The content of `renegotiation_info`.
    renegotiated: Vec<u8>,
    random: Vec<u8>,
}

/// What came of a renegotiation that we began.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Renegotiation {
    Begun,
    Refused,
}

/// Shakes hands. The error is why it did not come to that.
pub(super) async fn shake(
    line: &Line<'_>,
    server_name: Option<&str>,
    rng: &mut fastrand::Rng,
) -> Result<Session, Unknown> {
    shake_by(line, Hello::new(server_name, rng)).await
}

/// The same by a hello of the caller's.
pub(super) async fn shake_by(line: &Line<'_>, hello: Hello) -> Result<Session, Unknown> {
    let mut wire = Wire::new(line.open().await.map_err(|outcome| outcome.unknown())?);
    let greeting = match ask(&mut wire, &hello.record()).await? {
        Greeted::Done(greeting) => greeting,
        Greeted::Resumed(_) => return Err(broken("a session that was never begun")),
        Greeted::Refused(Some(alert)) => {
            return Err(Unknown::new(Reason::TlsError, format!("alert {alert}")));
        }
        Greeted::Refused(None) => return Err(Reason::Reset.into()),
    };
    finish(wire, hello, greeting).await
}

/// A hello that comes back with what is in it; the answer as far as it is in clear.
pub(super) async fn come_back(line: &Line<'_>, hello: &Hello) -> Result<Greeted, Unknown> {
    let mut wire = Wire::new(line.open().await.map_err(|outcome| outcome.unknown())?);
    ask(&mut wire, &hello.record()).await
}

async fn finish(mut wire: Wire, hello: Hello, greeting: Greeting) -> Result<Session, Unknown> {
    let suite = Suite::of(greeting.suite)
        .filter(|_| greeting.version == 0x0303)
        .ok_or_else(|| broken("a choice that was not offered"))?;
    let (share, premaster) =
        exchange(suite, &greeting).ok_or_else(|| broken("a key exchange that is not spoken"))?;
    let secrets = |premaster: &[u8]| {
        let master = master(suite, premaster, &hello.random, &greeting.random)?;
        let ways = ways(suite, &master, &hello.random, &greeting.random)?;
        Some((master, ways))
    };
    let no_keys = || Unknown::new(Reason::LocalError, "no keys");
    let (master, (mut out, inward)) = secrets(&premaster).ok_or_else(no_keys)?;
    let mut transcript = greeting.transcript;
    let mut clear = Vec::new();
    if greeting.asks_for_certificate {
        clear.extend(message(11, &[0, 0, 0]));
    }
    clear.extend(message(16, &share));
    transcript.extend_from_slice(&clear);
    let verify_data =
        suite.verify_data(&master, "client finished", &transcript).ok_or_else(no_keys)?;
    let finished = out.seal(HANDSHAKE, &message(20, &verify_data)).ok_or_else(no_keys)?;
    let bytes = [
        record(HANDSHAKE, 0x0303, &clear),
        record(CHANGE_CIPHER_SPEC, 0x0303, &[1]),
        record(HANDSHAKE, 0x0303, &finished),
    ];
    if !wire.send(&bytes.concat()).await? {
        return Err(Reason::Reset.into());
    }
    let is_secure = greeting.extensions.contains(&0xff01);
    let mut session = Session { wire, out, inward, hello, verify_data, is_secure, ticket: None };
    session.hear_finished().await?;
    Ok(session)
}

impl Session {
    /// A ticket in clear, the change of cipher, and Finished, which opens only with the right keys.
    async fn hear_finished(&mut self) -> Result<(), Unknown> {
        let mut messages = Messages::default();
        while let Some(heard) = self.wire.next().await? {
            match heard {
                Record { kind: HANDSHAKE, body } => messages.push(&body)?,
                Record { kind: CHANGE_CIPHER_SPEC, .. } => break,
                record => {
                    let alert = record.alert().map_or(0, u16::from);
                    return Err(Unknown::new(Reason::TlsError, format!("alert {alert}")));
                }
            }
            while let Some((kind, message)) = messages.next()? {
                // NewSessionTicket: lifetime, ticket (RFC 5077 §3.3).
                if kind == 4 {
                    self.ticket = message.get(10..).map(<[u8]>::to_vec);
                }
            }
        }
        let finished = self.wire.next().await?.ok_or(Reason::Reset)?;
        match self.inward.open(finished.kind, &finished.body) {
            Some(_) if finished.kind == HANDSHAKE => Ok(()),
            _ => Err(broken("a Finished that does not open")),
        }
    }

    /// Sends records inside; `false` if the peer has left.
    pub(super) async fn say(&mut self, kind: u8, bodies: &[&[u8]]) -> Result<bool, Unknown> {
        let mut bytes = Vec::new();
        for body in bodies {
            let sealed = self.out.seal(kind, body);
            let sealed = sealed.ok_or_else(|| Unknown::new(Reason::LocalError, "no keys"))?;
            bytes.extend(record(kind, 0x0303, &sealed));
        }
        self.wire.send(&bytes).await
    }

    /// The next record from inside, opened; `None` once the peer has left.
    pub(super) async fn hear(&mut self) -> Result<Option<Record>, Unknown> {
        let Some(heard) = self.wire.next().await? else { return Ok(None) };
        let opened = self.inward.open(heard.kind, &heard.body);
        let body = opened.ok_or_else(|| broken("a record that does not open"))?;
        Ok(Some(Record { kind: heard.kind, body }))
    }

    /// Begins one renegotiation and says how it was taken. Nothing is finished.
    pub(super) async fn renegotiate(mut self) -> Result<Renegotiation, Unknown> {
        let mut hello = self.hello.clone();
        if self.is_secure {
            hello.renegotiated = self.verify_data.clone();
        }
        if !self.say(HANDSHAKE, &[&hello.message()]).await? {
            return Ok(Renegotiation::Refused);
        }
        for _ in 0..MAX_ASIDES {
            // Servers close on what they will not have.
            let Some(heard) = self.hear().await? else { return Ok(Renegotiation::Refused) };
            match (heard.kind, heard.body.first()) {
                (HANDSHAKE, Some(2)) => return Ok(Renegotiation::Begun),
                (ALERT, _) => return Ok(Renegotiation::Refused),
                // HelloRequest, or words of the application.
                _ => {}
            }
        }
        Err(Reason::NotObserved.into())
    }
}

impl Hello {
    pub(super) fn new(server_name: Option<&str>, rng: &mut fastrand::Rng) -> Self {
        let random = std::iter::repeat_with(|| rng.u8(..)).take(32).collect();
        Self { server_name: server_name.map(str::to_owned), random, ..Self::default() }
    }

    fn record(&self) -> Vec<u8> {
        record(HANDSHAKE, 0x0301, &self.message())
    }

    fn message(&self) -> Vec<u8> {
        let mut body = Vec::new();
        u16s(&mut body, &[0x0303]);
        body.extend_from_slice(&self.random);
        vec8(&mut body, |out| out.extend_from_slice(&self.session_id));
        vec16(&mut body, |out| u16s(out, &Suite::ALL));
        body.extend([1, 0]);
        vec16(&mut body, |out| self.extensions(out));
        message(1, &body)
    }

    fn extensions(&self, out: &mut Vec<u8>) {
        let mut extension = |number: u16, content: &[u8]| {
            u16s(out, &[number]);
            vec16(out, |out| out.extend_from_slice(content));
        };
        if let Some(name) = &self.server_name {
            let mut list = Vec::new();
            vec16(&mut list, |out| {
                out.push(0);
                vec16(out, |out| out.extend_from_slice(name.as_bytes()));
            });
            extension(0, &list);
        }
        // x25519, secp256r1, secp384r1; uncompressed points.
        extension(10, &[0, 6, 0, 29, 0, 23, 0, 24]);
        extension(11, &[1, 0]);
        let schemes: [u16; 8] = [0x0403, 0x0503, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601];
        let mut list = Vec::new();
        vec16(&mut list, |out| u16s(out, &schemes));
        extension(13, &list);
        if self.heartbeat {
            extension(15, &[1]);
        }
        extension(35, &self.ticket);
        let mut renegotiated = Vec::new();
        vec8(&mut renegotiated, |out| out.extend_from_slice(&self.renegotiated));
        extension(0xff01, &renegotiated);
    }
}

/// A handshake message.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    vec24(&mut out, |out| out.extend_from_slice(body));
    out
}

/// Records between a question and its answer.
const MAX_ASIDES: usize = 8;
