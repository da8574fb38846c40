//! What a handshake tells of TLS that another probe made for its own sake: the certificate served,
//! and what the two came to. Whatever takes a question of this probe's own is named as not observed.

use x509_parser::certificate::X509Certificate;

use crate::probe::trust::{Judgement, Staple};
use crate::sample::{Measurements, Reason, Unknown};

use super::certificates::{self, Judged};
use super::handshake::Handshake;
use super::names::Kinds;
use super::report::{negotiated, protocol, unasked};

/// The measurements of such a handshake, by what was `read` of its certificates and how they were
/// judged; whether it offered application protocols. `None` if the leaf cannot be read.
pub(in crate::probe) fn glimpse(
    handshake: &Handshake,
    read: &[Option<X509Certificate<'_>>],
    judgement: Judgement,
    staple: Option<Staple>,
    offered_alpn: bool,
) -> Option<Measurements> {
    let judged = Judged::new(&handshake.served, read, judgement, staple)?;
    let mut facts = Measurements::new();
    facts.set_unknown("starttls", Reason::NotApplicable);
    negotiated(&mut facts, handshake);
    protocol(&mut facts, handshake, offered_alpn);
    match handshake.asked {
        false => facts.set("client_auth", "none"),
        true => facts.set_unknown("client_auth", Unknown::new(Reason::NotObserved, INSISTS)),
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

const INSISTS: &str = "asked for; whether it is required shows only after the handshake";
