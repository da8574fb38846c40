//! CVE-2014-0224: a ChangeCipherSpec before any key was exchanged. A server that takes it reads the
//! next record with keys of nothing, and finds it spoilt; a sound one does not expect it.

use crate::sample::Reason;

use super::super::features::{Fact, Known};
use super::super::hello::HelloSpec;
use super::super::line::Line;
use super::super::session::wire::{CHANGE_CIPHER_SPEC, record};
use super::super::session::{Greeted, greet};
use super::clear_hello;

/// Asks once, and again where the peer left without a word. Each time it has answered the hello.
pub(super) async fn ask(line: &Line<'_>, known: Known<'_>, rng: &mut fastrand::Rng) -> Fact<bool> {
    let Some(spec) = clear_hello(known)? else { return Ok(false) };
    for _ in 0..2 {
        match try_once(line, known, &spec, rng).await? {
            // bad_record_mac, decryption_failed.
            Some(20 | 21) => return Ok(true),
            Some(_) => return Ok(false),
            None => {}
        }
    }
    Ok(false)
}

/// The alert that it comes to; `None` if the peer leaves.
async fn try_once(
    line: &Line<'_>,
    known: Known<'_>,
    spec: &HelloSpec,
    rng: &mut fastrand::Rng,
) -> Fact<Option<u8>> {
    let (mut wire, greeted) = greet(line, spec, known.server_name, rng).await?;
    let Greeted::Done(greeting) = greeted else { return Err(Reason::NotObserved.into()) };
    let early = record(CHANGE_CIPHER_SPEC, greeting.version, &[1]);
    if !wire.send(&early.repeat(2)).await? {
        return Ok(None);
    }
    while let Some(heard) = wire.next().await? {
        if let Some(alert) = heard.alert() {
            return Ok(Some(alert));
        }
    }
    Ok(None)
}
