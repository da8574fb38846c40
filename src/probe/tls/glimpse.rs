//! What a handshake tells of TLS that another probe made for its own sake: the certificate served,
//! and what the two came to. Whatever takes a question of this probe's own is named as not observed.

use crate::probe::trust::{Judgement, Staple};
use crate::sample::{Measurements, Reason};

use super::certificates::{self, Judged};
use super::handshake::Handshake;
use super::names::Kinds;
use super::report::{negotiated, unasked};

/// The measurements of such a handshake, which offered application protocols. `None` if its leaf
/// cannot be read.
pub(in crate::probe) fn glimpse(
    handshake: &Handshake,
    judgement: Judgement,
    staple: Option<Staple>,
) -> Option<Measurements> {
    let judged = Judged::new(&handshake.served, judgement, staple)?;
    let mut facts = Measurements::new();
    facts.set_unknown("starttls", Reason::NotApplicable);
    negotiated(&mut facts, handshake, true);
    // Who asks for a client certificate may insist on it only later.
    if !handshake.asked {
        facts.set("client_auth", "none");
    }
    // Servers may hold one of each kind; a handshake shows one.
    match judged.leaf.key_type.as_str() {
        "rsa" | "rsa-pss" => certificates::lacks(&mut facts, Kinds::Ecdsa, Reason::NotObserved),
        _ => certificates::lacks(&mut facts, Kinds::Rsa, Reason::NotObserved),
    }
    certificates::state(&mut facts, vec![judged]);
    unasked(&mut facts);
    Some(facts)
}
