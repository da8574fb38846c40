//! CVE-2014-0160: a heartbeat request (RFC 6520) that claims one byte of payload and has none. A
//! server that answers it reads one byte beyond what it was sent; no more is ever asked for. A sound
//! request right behind it makes a mended server speak as well.

use crate::sample::Reason;

use super::super::features::{Fact, Known};
use super::super::hello::HelloSpec;
use super::super::line::Line;
use super::super::session::wire::{ALERT, HEARTBEAT, Record, record};
use super::super::session::{Greeted, Hello, greet, shake_by};
use super::super::wire::Version;
use super::clear_hello;

/// Asks once.
pub(super) async fn ask(line: &Line<'_>, known: Known<'_>, rng: &mut fastrand::Rng) -> Fact<bool> {
    let Some(spec) = clear_hello(known)? else { return Ok(false) };
    let spec = HelloSpec { heartbeat: true, ..spec };
    let (wire, greeted) = greet(line, &spec, known.server_name, rng).await?;
    let Greeted::Done(greeting) = greeted else { return Err(Reason::NotObserved.into()) };
    if !greeting.extensions.contains(&15) {
        return Ok(false);
    }
    // OpenSSL holds what it says during a handshake back until the end of it.
    drop(wire);
    if known.has(Version::Tls12) == Ok(true) {
        let mut hello = Hello::new(known.server_name, rng);
        hello.heartbeat = true;
        inside(line, hello).await
    } else {
        in_clear(line, &spec, known, rng).await
    }
}

async fn inside(line: &Line<'_>, hello: Hello) -> Fact<bool> {
    let mut session = shake_by(line, hello).await?;
    if !session.say(HEARTBEAT, &[&CLAIMS_ONE, &SOUND]).await? {
        return Err(Reason::Reset.into());
    }
    while let Some(heard) = session.hear().await? {
        if let Some(answer) = read(&heard) {
            return Ok(answer);
        }
    }
    Err(Reason::Reset.into())
}

async fn in_clear(
    line: &Line<'_>,
    spec: &HelloSpec,
    known: Known<'_>,
    rng: &mut fastrand::Rng,
) -> Fact<bool> {
    let (mut wire, greeted) = greet(line, spec, known.server_name, rng).await?;
    let Greeted::Done(greeting) = greeted else { return Err(Reason::NotObserved.into()) };
    let both = [&CLAIMS_ONE[..], &SOUND].map(|body| record(HEARTBEAT, greeting.version, body));
    if !wire.send(&both.concat()).await? {
        return Err(Reason::Reset.into());
    }
    while let Some(heard) = wire.next().await? {
        if let Some(answer) = read(&heard) {
            return Ok(answer);
        }
    }
    Err(Reason::Reset.into())
}

/// Whether the answer is one to the false claim; `None` if it is none at all.
fn read(heard: &Record) -> Option<bool> {
    match (heard.kind, &heard.body[..]) {
        (HEARTBEAT, [RESPONSE, 0, 1, ..]) => Some(true),
        (HEARTBEAT, [RESPONSE, 0, 2, ..]) | (ALERT, _) => Some(false),
        _ => None,
    }
}

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;

/// One byte of payload, says its length, and holds nothing.
const CLAIMS_ONE: [u8; 3] = [REQUEST, 0, 1];

/// Two bytes of payload, and the 16 of padding that are the least.
const SOUND: [u8; 21] = [REQUEST, 0, 2, b'o', b'k', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
