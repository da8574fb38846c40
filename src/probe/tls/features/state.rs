//! Features as measurements. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use crate::probe::trust::certificate::name_text;
use crate::sample::{Measurements, Path, Reason, Unknown};

use super::super::board::Presence;
use super::super::handshake::Handshake;
use super::super::walk::Seen;
use super::super::wire::{Version, alert_name};
use super::{Fact, Features, Nameless};

/// States every feature; what was not asked is left to others.
pub(in crate::probe::tls) fn state(facts: &mut Measurements, seen: &Seen, features: &Features) {
    shown(facts, seen);
    tickets(facts, seen);
    lifetimes(facts, &seen.handshake, features);
    let mut set = |key: &str, fact: Option<Fact<Value>>| match fact {
        Some(Ok(value)) => facts.set(key, value),
        Some(Err(why)) => facts.set_unknown(key, why),
        None => {}
    };
    let json = |fact: &Option<Fact<bool>>| fact.clone().map(|fact| fact.map(Value::Bool));
    set("encrypt_then_mac", json(&features.encrypt_then_mac));
    let renegotiation = features.tried.as_ref().map(|tried| tried.renegotiation.clone());
    set(
        "client_renegotiation",
        match renegotiation {
            Some(fact) => fact.map(|fact| fact.map(Value::Bool)),
            None => Some(Err(Reason::OptIn.into())),
        },
    );
    set("fallback_scsv", json(&features.fallback_scsv));
    let compression = features.certificate_compression.clone();
    set("certificate_compression", compression.map(|fact| fact.map(|list| json!(list))));
    resumption(facts, features);
    injection(facts, seen, features);
    intolerances(facts, features);
    nameless(facts, features);
}

/// What ServerHellos below TLS 1.3 carry. TLS 1.3 has none of it.
fn shown(facts: &mut Measurements, seen: &Seen) {
    let hellos: Vec<_> = seen
        .board
        .answers
        .iter()
        .filter(|answer| (Version::Tls10..Version::Tls13).contains(&answer.version))
        .filter_map(|answer| answer.hello.as_ref())
        .collect();
    for (key, number) in [("secure_renegotiation", 65281), ("extended_master_secret", 23)] {
        match hellos.is_empty() {
            true => facts.set_unknown(key, why_not_below_tls13(seen)),
            // Every answer must have it; one without is the weak spot.
            false => facts.set(key, hellos.iter().all(|hello| hello.has(number))),
        }
    }
}

fn why_not_below_tls13(seen: &Seen) -> Unknown {
    let only_tls13 = Version::Tls12
        .and_below()
        .chain([Version::Ssl2])
        .all(|version| seen.board.presence(version) == Presence::Absent);
    if only_tls13 { Reason::NotApplicable.into() } else { Reason::NotObserved.into() }
}

/// A ticket promised in a ServerHello, or one that came.
fn tickets(facts: &mut Measurements, seen: &Seen) {
    let promised = seen
        .board
        .answers
        .iter()
        .filter(|answer| (Version::Tls10..Version::Tls13).contains(&answer.version))
        .filter_map(|answer| answer.hello.as_ref())
        .map(|hello| hello.has(35));
    let real = &seen.handshake;
    let is_tls13 = real.version == Some(Version::Tls13) && real.failure.is_none();
    let came = match (is_tls13, real.tickets.count) {
        (true, 1..) => Some(true),
        (true, 0) if real.tickets.is_all => Some(false),
        _ => None,
    };
    let all: Vec<bool> = promised.chain(came).collect();
    match all.is_empty() {
        true => facts.set_unknown("session_tickets", Reason::NotObserved),
        false => facts.set("session_tickets", all.contains(&true)),
    }
    match (seen.board.presence(Version::Tls13), came) {
        (Presence::Absent, _) | (_, Some(false)) => facts.set("early_data", 0),
        (_, Some(true)) => facts.set("early_data", real.tickets.early_data),
        (Presence::Unknown(why), None) => facts.set_unknown("early_data", why),
        (Presence::Offered, None) => facts.set_unknown("early_data", Reason::NotObserved),
    }
}

/// How long tickets may be used, by version.
fn lifetimes(facts: &mut Measurements, real: &Handshake, features: &Features) {
    let own = real.version.zip(real.tickets.lifetime);
    let other = features.ticket_lifetime.map(|seconds| (Version::Tls12, seconds));
    let known = other.into_iter().chain(own);
    let known: Map<String, Value> =
        known.map(|(version, seconds)| (version.name().to_owned(), json!(seconds))).collect();
    let gives = facts.fact("session_tickets").and_then(Value::as_bool);
    match (known.is_empty(), gives) {
        (false, _) => facts.set("session_ticket_lifetime", known),
        (true, Some(false)) => facts.set_unknown("session_ticket_lifetime", Reason::NotApplicable),
        (true, _) => facts.set_unknown("session_ticket_lifetime", Reason::NotObserved),
    }
}

/// The authorities whose client certificates the peer would take.
pub(in crate::probe::tls) fn negotiable(facts: &mut Measurements, real: &Handshake) {
    let names = real.authorities.iter().filter_map(|der| X509Name::from_der(der).ok());
    let names: Vec<String> = names.map(|(_, name)| name_text(&name)).collect();
    match (real.asked, facts.fact("client_auth").and_then(Value::as_str)) {
        (true, _) => facts.set("client_auth_authorities", names),
        (false, Some("none")) => {
            facts.set_unknown("client_auth_authorities", Reason::NotApplicable);
        }
        (false, _) => facts.set_unknown("client_auth_authorities", Reason::NotObserved),
    }
}

fn resumption(facts: &mut Measurements, features: &Features) {
    if features.resumption.is_empty() {
        return;
    }
    let mut map = Map::new();
    for (version, fact) in &features.resumption {
        if let Err(why) = fact {
            let path = Path::of("resumption").join(version.name());
            facts.set_unknown(path.to_string(), why.clone());
        }
        map.insert(version.name().to_owned(), json!(fact.as_ref().ok()));
    }
    facts.set("resumption", map);
}

/// The ways in which words from outside get into the session.
fn injection(facts: &mut Measurements, seen: &Seen, features: &Features) {
    if features.smuggled.is_none() {
        if seen.upgrade.is_none() {
            facts.set_unknown("starttls_injection", Reason::NotApplicable);
        }
        return;
    }
    let mut ways = Vec::new();
    match &features.smuggled {
        Some(Ok(true)) => ways.push("command"),
        Some(Err(why)) => facts.set_unknown("starttls_injection[command]", why.clone()),
        _ => {}
    }
    if features.spoke_early {
        ways.push("response");
    }
    facts.set("starttls_injection", ways);
}

fn intolerances(facts: &mut Measurements, features: &Features) {
    let Some(found) = &features.intolerances else { return };
    for (name, fact) in found {
        if let Err(why) = fact {
            let path = Path::of("intolerances").member(name);
            facts.set_unknown(path.to_string(), why.clone());
        }
    }
    // The enumeration comes by some of its own.
    let stated = facts.fact("intolerances").and_then(Value::as_array);
    let stated = stated.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let held = found.iter().filter(|(_, fact)| **fact == Ok(true));
    let all: BTreeSet<String> = held.map(|(name, _)| (*name).to_owned()).chain(stated).collect();
    facts.set("intolerances", all);
}

fn nameless(facts: &mut Measurements, features: &Features) {
    let Nameless { accepted, alert, sha256, same } = match &features.nameless {
        None => return,
        Some(Err(why)) => return facts.set_unknown("without_sni", why.clone()),
        Some(Ok(nameless)) => nameless,
    };
    let value = json!({
        "accepted": accepted,
        "alert": alert.map(alert_name),
        "same_certificate": same,
        "sha256": sha256,
    });
    for (key, lacks) in [("alert", alert.is_none()), ("sha256", sha256.is_none())] {
        if lacks {
            facts.set_unknown(format!("without_sni.{key}"), Reason::NotApplicable);
        }
    }
    if same.is_none() {
        let why = if *accepted { Reason::NotObserved } else { Reason::NotApplicable };
        facts.set_unknown("without_sni.same_certificate", why);
    }
    facts.set("without_sni", value);
}
