//! CVE-2014-0224: a ChangeCipherSpec before any key was exchanged. A sound server turns it down at
//! once. One that takes it says nothing, and finds the next record, which it reads with keys made of
//! nothing, spoilt.

use std::time::Duration;

use crate::sample::Reason;

use super::super::features::{Fact, Known};
use super::super::hello::HelloSpec;
use super::super::line::Line;
use super::super::session::wire::{CHANGE_CIPHER_SPEC, record};
use super::super::session::{Greeted, greet};
use super::clear_hello;

/// Asks once, and again where only a goodbye tells. Each time the peer has answered the hello.
pub(super) async fn ask(line: &Line<'_>, known: Known<'_>, rng: &mut fastrand::Rng) -> Fact<bool> {
    let Some(spec) = clear_hello(known)? else { return Ok(false) };
    let first = try_once(line, known, &spec, rng).await?;
    match first {
        Reaction::Refused => Ok(false),
        Reaction::Spoilt => Ok(true),
        Reaction::Left => match try_once(line, known, &spec, rng).await? {
            Reaction::Left | Reaction::Spoilt => Ok(true),
            Reaction::Refused => Err(Reason::Inconsistent.into()),
        },
    }
}

/// What the peer makes of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reaction {
    /// It took the first and left at the second, without a word.
    Left,
    /// It turned the first down.
    Refused,
    /// It could not read what came behind the first.
    Spoilt,
}

async fn try_once(
    line: &Line<'_>,
    known: Known<'_>,
    spec: &HelloSpec,
    rng: &mut fastrand::Rng,
) -> Fact<Reaction> {
    let (mut wire, greeted) = greet(line, spec, known.server_name, rng).await?;
    let Greeted::Done(greeting) = greeted else { return Err(Reason::NotObserved.into()) };
    let early = record(CHANGE_CIPHER_SPEC, greeting.version, &[1]);
    if !wire.send(&early).await? {
        return Ok(Reaction::Refused);
    }
    match wire.next_within(SILENCE.min(line.read_timeout())).await? {
        // Said or shown: it will not have it.
        Some(None) => return Ok(Reaction::Refused),
        Some(Some(heard)) if heard.alert().is_some() => return Ok(Reaction::Refused),
        Some(Some(_)) => return Err(Reason::NotObserved.into()),
        None => {}
    }
    if !wire.send(&early).await? {
        return Ok(Reaction::Left);
    }
    while let Some(heard) = wire.next().await? {
        match heard.alert() {
            // bad_record_mac, decryption_failed.
            Some(20 | 21) => return Ok(Reaction::Spoilt),
            Some(_) => return Ok(Reaction::Refused),
            None => {}
        }
    }
    Ok(Reaction::Left)
}

/// Long enough for a refusal of the first to be here.
const SILENCE: Duration = Duration::from_secs(1);
