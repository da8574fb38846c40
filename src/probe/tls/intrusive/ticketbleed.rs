//! CVE-2016-9244: who takes up a session by its ticket echoes the client's session id (RFC 5077
//! §3.4). The faulty server echoes 32 bytes whatever the id's length: the rest is its memory.

use crate::sample::Reason;

use super::super::features::{Fact, Known};
use super::super::line::Line;
use super::super::session::{Greeted, Hello, come_back, shake};
use super::{CLEAR, speaks_tls12};

/// One session for a ticket, one hello that comes back with it.
pub(super) async fn ask(line: &Line<'_>, known: Known<'_>, rng: &mut fastrand::Rng) -> Fact<bool> {
    if known.newest_clear().is_none() {
        return match known.any_of(&CLEAR) {
            Err(why) if why.reason != Reason::NotApplicable => Err(why),
            _ => Ok(false),
        };
    }
    speaks_tls12(known)?;
    // The first connection is closed before the second is opened.
    let ticket = shake(line, known.server_name, rng).await?.ticket;
    let Some(ticket) = ticket else { return Ok(false) };
    let session_id: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(ID).collect();
    let mut hello = Hello::new(known.server_name, rng);
    hello.session_id.clone_from(&session_id);
    hello.ticket = ticket;
    match come_back(line, &hello).await? {
        Greeted::Done(answer) | Greeted::Resumed(answer) => {
            Ok(answer.session_id.len() > ID && answer.session_id.starts_with(&session_id))
        }
        Greeted::Refused(Some(_)) => Ok(false),
        Greeted::Refused(None) => Err(Reason::Reset.into()),
    }
}

/// Shorter than what the faulty server echoes.
const ID: usize = 16;
