//! From what was seen to measurements: every fact of CONTRACT §tls is stated, or named as unknown
//! with its reason. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::probe::trust::certificate::fingerprint;
use crate::probe::trust::{self, Anchors, Served};
use crate::sample::{Measurements, Path, Reason, Unknown};

use super::board::Presence;
use super::certificates::{self, Judged};
use super::features::{self, Features};
use super::grade;
use super::handshake::Handshake;
use super::names;
use super::sets::{protocols, sets};
use super::suites;
use super::vulnerabilities::vulnerabilities;
use super::walk::Seen;
use super::wire::Version;

/// What measurements are judged by, beyond what was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// The name that certificates are matched with.
    pub(super) name: &'a str,
    pub(super) anchors: &'a Anchors,
    pub(super) now: DateTime<Utc>,
    /// Whether the target asks for STARTTLS.
    pub(super) upgrades: bool,
    /// Whether application protocols were offered.
    pub(super) offered_alpn: bool,
    /// What was asked beside versions and suites.
    pub(super) features: &'a Features,
}

/// The measurements, or why there are none.
pub(super) fn measure(seen: &Seen, frame: Frame<'_>) -> Result<Measurements, Unknown> {
    let mut facts = Measurements::new();
    if seen.upgrade == Some(false) {
        facts.set("starttls", "not_offered");
        for key in KEYS.iter().filter(|key| **key != "starttls") {
            facts.set_unknown(*key, Reason::StarttlsNotOffered);
        }
        return Ok(facts);
    }
    if let Some(why) = &seen.stopped {
        return Err(why.clone());
    }
    if !seen.board.is_any_offered() {
        return Err(seen.board.why_nothing());
    }
    match frame.upgrades {
        true => facts.set("starttls", "offered"),
        false => facts.set_unknown("starttls", Reason::NotApplicable),
    }
    versions(&mut facts, seen);
    witnesses(&mut facts, seen);
    sets(&mut facts, seen);
    negotiated(&mut facts, &seen.handshake);
    protocols(&mut facts, seen, frame.offered_alpn);
    compression(&mut facts, seen);
    client_auth(&mut facts, seen);
    features::negotiable(&mut facts, &seen.handshake);
    features::state(&mut facts, seen, frame.features);
    certificates(&mut facts, seen, frame);
    vulnerabilities(&mut facts, frame.features.tried.as_ref());
    grade::state(&mut facts);
    facts.set("recalled", seen.recalled);
    unasked(&mut facts);
    Ok(facts)
}

/// Whatever has not been spoken of.
pub(super) fn unasked(facts: &mut Measurements) {
    for key in KEYS {
        if facts.fact(key).is_none() {
            facts.set_unknown(*key, Reason::NotObserved);
        }
    }
}

fn versions(facts: &mut Measurements, seen: &Seen) {
    let offered = Version::ALL.into_iter().filter(|&version| seen.board.is_offered(version));
    facts.set("versions", offered.map(Version::name).collect::<Vec<_>>());
    for version in Version::ALL {
        if let Presence::Unknown(why) = seen.board.presence(version) {
            let path = Path::of("versions").member(version.name());
            facts.set_unknown(path.to_string(), why);
        }
        if seen.board.is_contradicted(version) {
            let path = Path::of("versions").member(version.name());
            facts.set_unknown(path.to_string(), Reason::Inconsistent);
        }
    }
}

/// With what each version was seen first: where several servers answer at one address, this tells
/// which of them it was.
fn witnesses(facts: &mut Measurements, seen: &Seen) {
    let real = &seen.handshake;
    let shaken =
        real.version.map(|version| (version, real.suite, real.served.certificates.first()));
    let answered = seen.board.answers.iter().map(|answer| {
        (answer.version, answer.suite(), answer.certificates.iter().flatten().next())
    });
    let mut of_version: BTreeMap<&str, String> = BTreeMap::new();
    for (version, suite, leaf) in answered.chain(shaken) {
        let suite = suite.map(suites::name).map(Into::into);
        let leaf = leaf.map(|der| format!("certificate sha256 {}", fingerprint(der)));
        let words: Vec<String> = suite.into_iter().chain(leaf).collect();
        of_version.entry(version.name()).or_insert_with(|| words.join(", "));
    }
    facts.set("witnesses", of_version);
}

/// What a handshake came to that a current client makes.
pub(super) fn negotiated(facts: &mut Measurements, real: &Handshake) {
    let failure = real.failure.as_ref().filter(|_| !real.insisted).map(|f| f.unknown());
    match (real.version, real.suite) {
        (Some(version), Some(suite)) => {
            let group = real.group.map(names::group);
            let alpn = real.alpn.as_deref().map(String::from_utf8_lossy);
            facts.set(
                "negotiated",
                json!({
                    "version": version.name(),
                    "cipher_suite": suites::name(suite),
                    "group": group,
                    "alpn": alpn,
                }),
            );
            if real.group.is_none() {
                facts.set_unknown("negotiated.group", Reason::NotObserved);
            }
            if alpn.is_none() {
                facts.set_unknown("negotiated.alpn", Reason::NotApplicable);
            }
        }
        _ => {
            let why = failure.clone().unwrap_or_else(|| Reason::NotObserved.into());
            facts.set_unknown("negotiated", why);
        }
    }
    match failure {
        None => facts.set("handshake_seconds", real.duration.as_secs_f64()),
        Some(why) => facts.set_unknown("handshake_seconds", why),
    }
}

/// The application protocol that a handshake came to, one of perhaps many.
pub(super) fn protocol(facts: &mut Measurements, real: &Handshake, offered_alpn: bool) {
    let failure = real.failure.as_ref().filter(|_| !real.insisted).map(|f| f.unknown());
    match (&failure, &real.alpn) {
        _ if !offered_alpn => facts.set_unknown("alpn", Reason::NotApplicable),
        (Some(why), None) => facts.set_unknown("alpn", why.clone()),
        (None, None) => facts.set("alpn", [""; 0]),
        (_, Some(chosen)) => {
            facts.set("alpn", [String::from_utf8_lossy(chosen)]);
            // The server takes one; what else it would take is not asked.
            facts.set_unknown("alpn", Reason::NotObserved);
        }
    }
}

/// The only compression that hellos offer.
fn compression(facts: &mut Measurements, seen: &Seen) {
    let only_tls13 = Version::Tls12
        .and_below()
        .chain([Version::Ssl2])
        .all(|version| seen.board.presence(version) == Presence::Absent);
    let clear: Vec<_> = seen
        .board
        .answers
        .iter()
        .filter(|answer| answer.version < Version::Tls13)
        .filter_map(|answer| answer.hello.as_ref())
        .collect();
    let compressed = clear.iter().any(|hello| hello.deflate);
    match (compressed, clear.is_empty() && !only_tls13) {
        (true, _) => facts.set("compression", ["DEFLATE"]),
        (false, false) => facts.set("compression", [""; 0]),
        (false, true) => facts.set_unknown("compression", Reason::NotObserved),
    }
}

fn client_auth(facts: &mut Measurements, seen: &Seen) {
    let real = &seen.handshake;
    let asked = real.asked || seen.board.answers.iter().any(|answer| answer.asks_for_certificate);
    let heard_out = real.failure.is_none()
        || seen.board.answers.iter().any(|answer| {
            answer.version < Version::Tls13 && answer.hello.is_some() && answer.cut.is_none()
        });
    match (real.insisted, asked) {
        (true, _) => facts.set("client_auth", "required"),
        (false, true) if real.failure.is_none() => facts.set("client_auth", "requested"),
        (false, true) => facts.set_unknown("client_auth", Reason::NotObserved),
        (false, false) if heard_out => facts.set("client_auth", "none"),
        (false, false) => facts.set_unknown("client_auth", Reason::NotObserved),
    }
}

/// Every chain that was served, what a current client sees first.
fn certificates(facts: &mut Measurements, seen: &Seen, frame: Frame<'_>) {
    if let Some((kinds, why)) = &seen.missing_kind {
        certificates::lacks(facts, *kinds, why.clone());
    }
    let mut judged: Vec<Judged<'_>> =
        seen.chains.iter().filter_map(|served| judge(served, frame)).collect();
    if judged.is_empty() {
        let why = why_no_certificate(seen);
        for key in ["certificates", "chain", "ocsp_staple"] {
            facts.set_unknown(key, why.clone());
        }
        return;
    }
    judged.sort_by_key(|judged| judged.served.certificates != seen.handshake.served.certificates);
    certificates::state(facts, judged);
}

fn judge<'a>(served: &'a Served, frame: Frame<'_>) -> Option<Judged<'a>> {
    let read = served.read();
    let (judgement, staple) = trust::judge(served, &read, frame.anchors, frame.name, frame.now)?;
    Judged::new(served, &read, judgement, staple)
}

fn why_no_certificate(seen: &Seen) -> Unknown {
    if !seen.chains.is_empty() {
        return Unknown::new(Reason::TlsError, "a certificate that cannot be read");
    }
    let cut = seen.board.answers.iter().find_map(|answer| answer.cut.clone());
    let failure = seen.handshake.failure.as_ref().map(|failure| failure.unknown());
    cut.or(failure).unwrap_or_else(|| Reason::NotObserved.into())
}

/// Every top-level fact of the probe.
const KEYS: &[&str] = &[
    "alpn",
    "certificate_compression",
    "certificates",
    "chacha20_prioritized",
    "chain",
    "cipher_suites",
    "client_auth",
    "client_auth_authorities",
    "client_renegotiation",
    "compression",
    "configuration_shares",
    "configurations",
    "dh_prime_bits",
    "dh_primes",
    "early_data",
    "encrypt_then_mac",
    "extended_master_secret",
    "fallback_scsv",
    "grade",
    "grade_reasons",
    "groups",
    "handshake_seconds",
    "intolerances",
    "last_confirmed",
    "negotiated",
    "ocsp_staple",
    "post_quantum",
    "recalled",
    "resumption",
    "secure_renegotiation",
    "server_order",
    "session_ticket_lifetime",
    "session_tickets",
    "signature_schemes",
    "starttls",
    "starttls_injection",
    "versions",
    "vulnerabilities",
    "without_sni",
    "witnesses",
];
