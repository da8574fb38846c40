//! The continuous part: what a tick asks of an endpoint that is known already, and what the answers
//! make of it. `turns` says whose turn it is; `memory` is what is remembered. A breach ends in an
//! enumeration at once, of the version that it is about or of everything. Pure.

mod memory;
mod turns;

use chrono::{DateTime, Utc};

use super::board::Presence;
use super::enumerate::{Enumeration, Row, shown};
use super::features::Slice;
use super::hello::HelloSpec;
use super::outcome::{Answer, Outcome, Weight};
use super::suites;
use super::walk::Seen;
use super::wire::Version;

pub(super) use memory::Known;
pub(super) use turns::tick;

/// How much one tick asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pace {
    /// Whatever a plan's guarantee is given for.
    Whole,
    /// One question, whose turn it is.
    InTurn,
}

/// What one tick asks beside the real handshake.
#[derive(Clone, Debug, Default)]
pub(super) struct Tick {
    pub(super) sentinels: Vec<Sentinel>,
    pub(super) slice: Option<Slice>,
    /// Whether the kind of certificate that was not served is asked for.
    pub(super) other_kind: bool,
    /// Measurements that stand as they were remembered.
    pub(super) recalled: &'static [&'static str],
}

/// One hello of a tick, and what is expected of it.
#[derive(Clone, Debug)]
pub(super) struct Sentinel {
    pub(super) spec: HelloSpec,
    expected: Expected,
    /// The facts that a refusal confirms.
    absent: Vec<String>,
    /// What to enumerate anew if it is not answered so: one version, or everything.
    pub(super) about: Option<Version>,
    /// The members that it asks for together.
    pub(super) row: Option<Row>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    /// Nothing new.
    Nothing,
    Version(Version),
    /// Of this version this suite.
    Suite(Version, u16),
}

/// What an answer makes of what is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Confirmed,
    Breached,
    /// It says nothing; what is known grows older.
    Silent,
}

impl Sentinel {
    /// Judges the answer.
    pub(super) fn judge(&self, asked: &Enumeration, outcome: &Outcome) -> Verdict {
        if let Some(answer) = outcome.answer() {
            return self.judge_answer(asked, answer);
        }
        let is_refused = outcome.weight(self.spec.ceiling) == Weight::Absent
            || matches!(outcome, Outcome::Illegal(_, Some(_)));
        match (self.expected, is_refused) {
            (Expected::Nothing, true) => Verdict::Confirmed,
            (_, true) => Verdict::Breached,
            (_, false) => Verdict::Silent,
        }
    }

    fn judge_answer(&self, asked: &Enumeration, answer: &Answer) -> Verdict {
        let is_as_expected = match self.expected {
            // Known members in place of unknown ones: the peer took what was not on offer.
            Expected::Nothing if asked.knows(&self.spec, answer) => return Verdict::Silent,
            Expected::Nothing => false,
            Expected::Version(version) => answer.version == version,
            Expected::Suite(version, suite) => {
                answer.version == version && answer.suite() == Some(suite)
            }
        };
        // A hello too small to hold extensions is answered without them.
        let has_all = self.spec.ems && self.spec.ticket && self.spec.reneg;
        match is_as_expected && !(has_all && contradicts(asked, answer)) {
            true => Verdict::Confirmed,
            false => Verdict::Breached,
        }
    }

    /// The facts that the outcome confirms.
    pub(super) fn confirms(&self, outcome: &Outcome) -> Vec<String> {
        match outcome.answer() {
            Some(answer) => shown(&self.spec, answer),
            None => self.absent.clone(),
        }
    }

    /// One for each of the members that this one asks for together.
    pub(super) fn apart(&self, asked: &Enumeration) -> Vec<Self> {
        let apart = self.row.map(Row::apart).unwrap_or_default();
        apart.into_iter().filter_map(|row| Self::of(asked, row)).collect()
    }

    /// The one that asks for the members of a row.
    fn of(asked: &Enumeration, row: Row) -> Option<Self> {
        Some(Self {
            spec: asked.hello_of(row)?,
            expected: Expected::Version(row.version),
            absent: Vec::new(),
            about: Some(row.version),
            row: Some(row),
        })
    }

    fn nothing_of(version: Version, spec: HelloSpec) -> Self {
        let about = Some(version);
        Self { spec, expected: Expected::Nothing, absent: Vec::new(), about, row: None }
    }
}

/// Whether an answer shows other extensions than the answers that are remembered of its version:
/// secure renegotiation, extended master secret and tickets hang on nothing but the server.
fn contradicts(asked: &Enumeration, answer: &Answer) -> bool {
    let marks = |answer: &Answer| {
        let hello = answer.hello.as_ref()?;
        let is_clear = (Version::Tls10..Version::Tls13).contains(&answer.version);
        is_clear.then(|| [23, 35, 65281].map(|extension| hello.has(extension)))
    };
    let Some(now) = marks(answer) else { return false };
    let remembered = asked.board.answers.iter().take(asked.board.remembered);
    let same = remembered.filter(|before| before.version == answer.version);
    let mut before = same.filter_map(marks).peekable();
    before.peek().is_some() && !before.any(|before| before == now)
}

/// Dates every fact that is known: what this run has confirmed or found, else as before.
pub(super) fn confirm_all(seen: &mut Seen, now: DateTime<Utc>) {
    let now = now.timestamp();
    let known = seen.sets.known_paths(&seen.board);
    let before = std::mem::take(&mut seen.confirmed);
    let dated = |path: String| {
        let at = before.get(&path).copied().unwrap_or(now);
        (path, at)
    };
    seen.confirmed = known.into_iter().map(dated).collect();
    let real = &seen.handshake;
    let Some(version) = real.version else { return };
    let suite = real.suite.map(suites::name).unwrap_or_default();
    let group = real.group.map(super::names::group).unwrap_or_default();
    let scheme = real.scheme.map(super::names::scheme).unwrap_or_default();
    for path in [
        format!("versions[{version}]"),
        format!("cipher_suites[{version}][{suite}]"),
        format!("groups[{version}][{group}]"),
        format!("signature_schemes[{version}][{scheme}]"),
    ] {
        seen.confirmed.entry(path).and_modify(|at| *at = now);
    }
}

/// Whether this run's answers came from servers that are not alike, or that deny what another one
/// showed.
pub(super) fn is_odd(seen: &Seen) -> bool {
    super::configurations::configurations(seen).len() > 1
        || Version::ALL.into_iter().any(|version| seen.board.is_contradicted(version))
        || seen.sets.choices.values().any(|choices| choices.is_contradicted())
}

/// A version is known to be there.
fn is_there(asked: &Enumeration, version: Version) -> bool {
    asked.board.presence(version) == Presence::Offered
}
