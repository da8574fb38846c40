//! What was sent and what came back, in words for a person who wants to check a finding by hand:
//! events that `secchi check --explain` shows. Nothing hangs on them.

use tracing::{Level, debug, enabled};

use super::handshake::Handshake;
use super::hello::HelloSpec;
use super::names;
use super::outcome::{Answer, Outcome};
use super::suites;

/// The target of the events.
pub const TARGET: &str = "secchi::explain";

/// A hello as it is sent.
pub(super) fn sent(spec: &HelloSpec, server_name: Option<&str>, bytes: &[u8]) {
    if !enabled!(target: TARGET, Level::DEBUG) {
        return;
    }
    let name = server_name.filter(|_| spec.sni).unwrap_or("no name");
    let flags = [
        (spec.scsv, "fallback_scsv"),
        (spec.grease, "grease"),
        (spec.heartbeat, "heartbeat"),
        (spec.split_at.is_some(), "split"),
        (spec.pad_to.is_some(), "padded"),
        (!spec.alpn.is_empty(), "alpn"),
    ];
    let flags: Vec<&str> = flags.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
    debug!(
        target: TARGET,
        "-> hello {} to {}: {}; {}; {}{}{}",
        spec.ceiling,
        super::wire::printable(name.as_bytes()),
        list("suites", &spec.suites, suites::name),
        list("groups", &spec.groups, names::group),
        list("schemes", &spec.schemes, names::scheme),
        if flags.is_empty() { "" } else { "; " },
        flags.join(" "),
    );
    debug!(target: TARGET, "   {}", hex::encode(bytes));
}

/// What became of it.
pub(super) fn got(outcome: &Outcome) {
    if !enabled!(target: TARGET, Level::DEBUG) {
        return;
    }
    match outcome {
        Outcome::Accepted(answer) => debug!(target: TARGET, "<- {}", words(answer)),
        Outcome::Downgraded(answer) => debug!(target: TARGET, "<- older: {}", words(answer)),
        Outcome::Illegal(how, _) => debug!(target: TARGET, "<- against the rules: {how}"),
        Outcome::NotUpgraded => debug!(target: TARGET, "<- STARTTLS refused"),
        other => debug!(target: TARGET, "<- {}", other.unknown()),
    }
}

/// What a real handshake came to.
pub(super) fn shook(handshake: &Handshake) {
    if !enabled!(target: TARGET, Level::DEBUG) {
        return;
    }
    let version = handshake.version.map_or("no version", super::wire::Version::name);
    let suite = handshake.suite.map(suites::name).unwrap_or_default();
    let group = handshake.group.map(names::group).unwrap_or_default();
    let end = match &handshake.failure {
        Some(failure) => failure.unknown().to_string(),
        None if handshake.resumed => "resumed".to_owned(),
        None => format!("finished, {} tickets", handshake.tickets.count),
    };
    debug!(target: TARGET, "== handshake {version} {suite} {group}: {end}");
}

fn words(answer: &Answer) -> String {
    let mut words = vec![answer.version.name().to_owned()];
    words.extend(answer.suite().map(|suite| suites::name(suite).into_owned()));
    words.extend(answer.group().map(|group| names::group(group).into_owned()));
    words.extend(answer.key_exchange.scheme.map(|scheme| names::scheme(scheme).into_owned()));
    if let Some(hello) = &answer.hello {
        words.extend(hello.is_retry.then(|| "(retry)".to_owned()));
        words.push(format!("extensions {:?}", hello.extensions));
    }
    if let Some(certificates) = &answer.certificates {
        words.push(format!("{} certificates", certificates.len()));
    }
    words.extend(answer.asks_for_certificate.then(|| "asks for a certificate".to_owned()));
    words.extend(answer.cut.as_ref().map(|why| format!("cut short: {why}")));
    words.join(", ")
}

/// A list by its names, cut where it is long.
fn list<N: std::fmt::Display>(what: &str, numbers: &[u16], name: impl Fn(u16) -> N) -> String {
    let shown: Vec<String> = numbers.iter().take(SHOWN).map(|n| name(*n).to_string()).collect();
    let more = match numbers.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{} {what} {}{more}", numbers.len(), shown.join(" "))
}

const SHOWN: usize = 8;
