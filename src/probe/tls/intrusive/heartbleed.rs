//! CVE-2014-0160: a heartbeat request (RFC 6520) that claims one byte of payload and has none. A
//! server that answers it reads one byte beyond what it was sent; no more is ever asked for. A sound
//! request right behind it makes a mended server speak as well.

use crate::sample::Reason;

use super::super::features::{Fact, Known};
use super::super::hello::HelloSpec;
use super::super::line::Line;
use super::super::session::wire::{HEARTBEAT, record};
use super::super::session::{Greeted, greet};
use super::clear_hello;

/// Asks once.
pub(super) async fn ask(line: &Line<'_>, known: Known<'_>, rng: &mut fastrand::Rng) -> Fact<bool> {
    let Some(spec) = clear_hello(known)? else { return Ok(false) };
    let spec = HelloSpec { heartbeat: true, ..spec };
    let (mut wire, greeted) = greet(line, &spec, known.server_name, rng).await?;
    let Greeted::Done(greeting) = greeted else { return Err(Reason::NotObserved.into()) };
    if !greeting.extensions.contains(&15) {
        return Ok(false);
    }
    let claims_one = [REQUEST, 0, 1];
    let mut sound = vec![REQUEST, 0, 2, b'o', b'k'];
    sound.extend([0; PADDING]);
    let both = [&claims_one[..], &sound].map(|body| record(HEARTBEAT, greeting.version, body));
    if !wire.send(&both.concat()).await? {
        return Err(Reason::Reset.into());
    }
    while let Some(heard) = wire.next().await? {
        match (heard.kind, &heard.body[..]) {
            (HEARTBEAT, [RESPONSE, 0, 1, ..]) => return Ok(true),
            (HEARTBEAT, [RESPONSE, 0, 2, ..]) => return Ok(false),
            _ if heard.alert().is_some() => return Ok(false),
            _ => {}
        }
    }
    Err(Reason::Reset.into())
}

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;
const PADDING: usize = 16;
