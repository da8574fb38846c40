//! Two questions by one hello each: TLS_FALLBACK_SCSV (RFC 7507), and encrypt-then-MAC (RFC 7366).

use crate::sample::Reason;

use super::super::hello::HelloSpec;
use super::super::line::Line;
use super::super::outcome::Outcome;
use super::super::suites::{self, Breadth};
use super::super::wire::Version;
use super::{Fact, Known};

/// Whether a client that falls back to an older version than needed is turned away.
pub(super) async fn ask(line: &Line<'_>, known: Known<'_>) -> Fact<bool> {
    let newest = known.offered().next().ok_or(Reason::NotApplicable)?;
    let Some(older) = known.offered().nth(1) else {
        let below: Vec<Version> = newest.and_below().skip(1).collect();
        known.any_of(&below)?;
        return Err(Reason::NotApplicable.into());
    };
    let spec = HelloSpec { scsv: true, ..HelloSpec::new(older, Breadth::Every) };
    let mut outcome = line.ask(&spec).await;
    if outcome == Outcome::Closed {
        outcome = line.ask(&spec).await;
    }
    match outcome {
        Outcome::Refused(86) => Ok(true),
        Outcome::Accepted(_) | Outcome::Downgraded(_) => Ok(false),
        other => Err(other.unknown()),
    }
}

/// Whether CBC suites are answered with the extension; it goes with no other suite.
pub(super) async fn encrypt_then_mac(line: &Line<'_>, known: Known<'_>) -> Fact<bool> {
    known.any_of(&[Version::Tls12, Version::Tls11, Version::Tls10])?;
    if let Some(shown) = shown(known) {
        return Ok(shown);
    }
    if has_no_cbc(known) {
        return Err(Reason::NotApplicable.into());
    }
    let version = known.newest_clear().ok_or(Reason::NotApplicable)?;
    let mut spec = HelloSpec::new(version, Breadth::Every);
    spec.suites.retain(|&suite| is_cbc(suite));
    match line.ask(&spec).await {
        Outcome::Accepted(answer) | Outcome::Downgraded(answer) => {
            Ok(answer.hello.is_some_and(|hello| hello.has(ENCRYPT_THEN_MAC)))
        }
        Outcome::Refused(40 | 71) => Err(Reason::NotApplicable.into()),
        other => Err(other.unknown()),
    }
}

/// What answers so far have shown.
fn shown(known: Known<'_>) -> Option<bool> {
    let answers = &known.seen.board.answers;
    let mut cbc = answers
        .iter()
        .filter(|answer| answer.version >= Version::Tls10)
        .filter_map(|answer| answer.hello.as_ref())
        .filter(|hello| is_cbc(hello.suite))
        .peekable();
    cbc.peek()?;
    Some(cbc.all(|hello| hello.has(ENCRYPT_THEN_MAC)))
}

/// Whether the enumeration has closed every set of suites without one.
fn has_no_cbc(known: Known<'_>) -> bool {
    let mut clear = known.offered().filter(|&version| version < Version::Tls13);
    clear.all(|version| {
        known.seen.sets.choices.get(&version).is_some_and(|choices| {
            choices.suites.is_closed() && !choices.suites.found.iter().any(|&suite| is_cbc(suite))
        })
    })
}

fn is_cbc(suite: u16) -> bool {
    suites::name(suite).contains("_CBC_")
}

const ENCRYPT_THEN_MAC: u16 = 22;
