//! The continuous part: what a tick asks of an endpoint that is known already. For each version in
//! use, everything that it is not known to have (is there something new?); the versions that it does
//! not have; and, in turn, one of what it has (is it still there?) or the complement of another set.
//! The real handshake shows the certificate. A breach ends in an enumeration at once. Pure.

mod memory;

use chrono::{DateTime, Utc};

use super::board::Presence;
use super::enumerate::Enumeration;
use super::hello::HelloSpec;
use super::outcome::{Outcome, Weight};
use super::suites::{self, Breadth};
use super::walk::Seen;
use super::wire::Version;

pub(super) use memory::Known;

/// One hello of a tick, and what is expected of it.
#[derive(Clone, Debug)]
pub(super) struct Sentinel {
    pub(super) spec: HelloSpec,
    expected: Expected,
    /// The facts that the expected answer confirms.
    pub(super) confirms: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Refused,
    Version(Version),
}

/// What an answer makes of what is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Confirmed,
    Breached,
    /// It says nothing; what is known grows older.
    Silent,
}

/// Dates every fact that is known: what this run has confirmed or found, else as before.
pub(super) fn confirm_all(seen: &mut Seen, now: DateTime<Utc>) {
    let now = now.timestamp();
    let versions = Version::ALL
        .into_iter()
        .filter(|&version| !matches!(seen.board.presence(version), Presence::Unknown(_)));
    let offered = seen.sets.choices.values().filter(|choices| choices.is_offered());
    let members = offered.flat_map(|choices| choices.known_one_by_one());
    let mut known: Vec<String> = versions.map(|version| format!("versions[{version}]")).collect();
    known.extend(members.flat_map(|(_, paths)| paths));
    let before = std::mem::take(&mut seen.confirmed);
    let dated = |path: String| {
        let at = before.get(&path).copied().unwrap_or(now);
        (path, at)
    };
    seen.confirmed = known.into_iter().map(dated).collect();
    if let Some(version) = seen.handshake.version {
        let suite = seen.handshake.suite.map(suites::name).unwrap_or_default();
        for path in [format!("versions[{version}]"), format!("cipher_suites[{version}][{suite}]")] {
            seen.confirmed.entry(path).and_modify(|at| *at = now);
        }
    }
}

/// The hellos of one tick; `turn` counts them.
pub(super) fn tick(asked: &Enumeration, turn: u32) -> Vec<Sentinel> {
    let mut all = Vec::new();
    for (&version, choices) in &asked.choices {
        if choices.is_offered() {
            let spec = choices.complement();
            // Nothing new of it: those known to be there are confirmed in their turn.
            all.push(Sentinel { spec, expected: Expected::Refused, confirms: Vec::new() });
        }
        if version == Version::Tls13 && !choices.is_offered() {
            all.push(forbidden(asked, Version::Tls13));
        }
    }
    all.push(forbidden(asked, Version::Tls11));
    all.push(forbidden(asked, Version::Ssl2));
    let turns: Vec<Sentinel> = asked
        .choices
        .iter()
        .filter(|(_, choices)| choices.is_offered())
        .flat_map(|(&version, choices)| {
            choices.known_one_by_one().into_iter().map(move |(spec, confirms)| Sentinel {
                spec,
                expected: Expected::Version(version),
                confirms,
            })
        })
        .collect();
    if !turn.is_multiple_of(BETWEEN_KNOWN) {
        return all;
    }
    let nth = usize::try_from(turn / BETWEEN_KNOWN).unwrap_or(0).checked_rem(turns.len());
    all.extend(nth.and_then(|nth| turns.into_iter().nth(nth)));
    all
}

/// Asks for a version and all below: the newest of them that is known is expected, if any is.
fn forbidden(asked: &Enumeration, ceiling: Version) -> Sentinel {
    let known = |version: &Version| asked.board.presence(*version) == Presence::Offered;
    let expected = match ceiling {
        Version::Tls13 => None,
        Version::Ssl2 => Some(ceiling).filter(known),
        _ => ceiling.and_below().find(known),
    };
    let spec = HelloSpec::new(ceiling, Breadth::Every);
    let confirms = match ceiling {
        Version::Ssl2 | Version::Tls13 => vec![format!("versions[{ceiling}]")],
        _ => ceiling.and_below().map(|version| format!("versions[{version}]")).collect(),
    };
    let expected = expected.map_or(Expected::Refused, Expected::Version);
    Sentinel { spec, expected, confirms }
}

/// Ticks from one question for a known fact to the next.
const BETWEEN_KNOWN: u32 = 4;

impl Sentinel {
    /// Judges the answer.
    pub(super) fn judge(&self, outcome: &Outcome) -> Verdict {
        let chosen = outcome.answer().map(|answer| answer.version);
        match (self.expected, chosen) {
            (Expected::Version(expected), Some(chosen)) if chosen == expected => Verdict::Confirmed,
            (_, Some(_)) => Verdict::Breached,
            (expected, None) => {
                let is_refused = outcome.weight(self.spec.ceiling) == Weight::Absent
                    || matches!(outcome, Outcome::Illegal(_, Some(_)));
                match (expected, is_refused) {
                    (Expected::Refused, true) => Verdict::Confirmed,
                    (Expected::Version(_), true) => Verdict::Breached,
                    (_, false) => Verdict::Silent,
                }
            }
        }
    }
}
