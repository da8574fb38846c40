//! The questions of one sample. What was seen comes back as values; nothing is judged here.
//!
//! The first hello tells whether there is anybody; then one real handshake, as a current client
//! makes it; then the rest of the enumeration, several hellos side by side as far as the budget lets
//! them; last the other kind of certificate, where only a real handshake can show it.

mod revisit;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};

use crate::probe::trust::Served;
use crate::sample::{Reason, Unknown};

use super::board::Board;
use super::enumerate::{Enumeration, Question, Row};
use super::features::Slice;
use super::handshake::{Failure, Handshake, Offer, shake};
use super::hello::HelloSpec;
use super::line::Line;
use super::names::Kinds;
use super::outcome::{Answer, Outcome, Weight};
use super::sentinel::{self, Known, Pace};
use super::suites::Breadth;
use super::wire::Version;

/// What the questions brought.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) board: Board,
    pub(super) sets: Enumeration,
    /// The real handshake.
    pub(super) handshake: Handshake,
    /// What was served, in the order seen; none without a leaf.
    pub(super) chains: Vec<Served>,
    /// The kind of certificate that could not be asked for, and why.
    pub(super) missing_kind: Option<(Kinds, Unknown)>,
    /// Whether the upgrade was offered; `None` where it was not asked for or not settled.
    pub(super) upgrade: Option<bool>,
    /// Nothing could be asked: why.
    pub(super) stopped: Option<Unknown>,
    /// When each fact was confirmed last, in Unix seconds.
    pub(super) confirmed: BTreeMap<String, i64>,
    /// The answers that showed something new, and began something anew.
    breaches: Vec<Answer>,
    /// Known members that were refused, each by itself.
    denied: Vec<Row>,
    /// Whether everything was asked for, rather than what a tick asks.
    pub(super) is_anew: bool,
    /// The versions that were asked for anew, where not everything was.
    focus: Vec<Version>,
    /// What else is to be asked in this tick.
    pub(super) slice: Option<Slice>,
    /// Measurements that stand as they were remembered.
    pub(super) recalled: &'static [&'static str],
    /// Whether several hellos may be under way at once: they may, and no connection was turned away.
    pub(super) bears_company: bool,
    /// Whether known members are refused together and accepted one by one.
    pub(super) asks_apart: bool,
    /// What to remember.
    pub(super) leaves: Option<Known>,
}

/// How a walk goes about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner<'a> {
    /// Application protocols that a current client offers.
    pub(super) alpn: &'a [&'a [u8]],
    /// Application protocols to ask for, one by one.
    pub(super) protocols: &'a [&'a [u8]],
    /// The DNS name to send.
    pub(super) server_name: Option<&'a str>,
    /// Hellos under way at once, at most.
    pub(super) at_once: usize,
    pub(super) seed: u64,
}

/// Asks everything; of an endpoint that is known, only what a tick asks.
pub(super) async fn walk(
    line: Line<'_>,
    manner: Manner<'_>,
    known: Option<&Known>,
    pace: Pace,
    now: DateTime<Utc>,
) -> Seen {
    let seen = Seen {
        board: Board::default(),
        sets: Enumeration::new(manner.protocols, manner.seed),
        handshake: Handshake::default(),
        chains: Vec::new(),
        missing_kind: None,
        upgrade: None,
        stopped: None,
        confirmed: BTreeMap::new(),
        breaches: Vec::new(),
        denied: Vec::new(),
        is_anew: known.is_none(),
        focus: Vec::new(),
        slice: None,
        recalled: &[],
        bears_company: manner.at_once > 1,
        asks_apart: known.is_some_and(|known| known.asks_apart),
        leaves: None,
    };
    let mut walk = Walk { line, manner, seen, asks_other_kind: true };
    let is_there = match known {
        None => walk.introduce().await.is_some(),
        Some(known) => walk.revisit(known, pace, now).await.is_some(),
    };
    if is_there {
        walk.enumerate(manner.at_once).await;
        if walk.has_lost_focus() {
            walk.begin_anew();
            walk.enumerate(manner.at_once).await;
        }
        if walk.recollect() {
            walk.enumerate(manner.at_once).await;
        }
        if walk.asks_other_kind {
            walk.ask_other_kind().await;
        }
    }
    let mut seen = walk.seen;
    seen.board = std::mem::take(&mut seen.sets.board);
    if seen.stopped.is_none() && seen.board.is_any_offered() {
        sentinel::confirm_all(&mut seen, now);
        let turn = known.map_or(0, |known| known.turn.wrapping_add(1));
        let mut leaves = Known::of(&seen, seen.confirmed.clone(), turn);
        leaves.restless = restless(&seen, known);
        seen.leaves = Some(leaves);
    }
    seen
}

/// For how many ticks everything is looked at: some, once anything has changed or is not of a piece.
fn restless(seen: &Seen, known: Option<&Known>) -> u32 {
    let leaf = seen.handshake.served.certificates.first();
    let is_changed = known.is_some_and(|known| {
        seen.is_anew || !seen.focus.is_empty() || leaf.is_some() && !known.saw(leaf)
    });
    match is_changed || sentinel::is_odd(seen) {
        true => RESTLESS,
        false => known.map_or(0, |known| known.restless.saturating_sub(1)),
    }
}

struct Walk<'a> {
    line: Line<'a>,
    manner: Manner<'a>,
    seen: Seen,
    asks_other_kind: bool,
}

impl Walk<'_> {
    /// The first hello and the real handshake. `None` if there is no one to talk to.
    async fn introduce(&mut self) -> Option<()> {
        let question = self.seen.sets.next()?;
        let first = self.line.ask(&question.spec).await;
        match &first {
            Outcome::Unreached(unknown) => self.seen.stopped = Some(unknown.clone()),
            Outcome::NotUpgraded => self.seen.upgrade = Some(false),
            Outcome::NotTls(_) => self.seen.stopped = Some(first.unknown()),
            _ => {}
        }
        if self.seen.stopped.is_some() || self.seen.upgrade == Some(false) {
            return None;
        }
        self.learn(&question, &first, true);
        self.shake_hands().await;
        let silent = Some(Failure::Other(Reason::Timeout.into()));
        if first == Outcome::Timeout && self.seen.handshake.failure == silent {
            self.seen.stopped = Some(Reason::Timeout.into());
            return None;
        }
        Some(())
    }

    async fn shake_hands(&mut self) {
        let mut handshake = self.shake(self.manner.alpn, Kinds::Any).await;
        match handshake.failure {
            // no_application_protocol: a peer that speaks neither of ours.
            Some(Failure::Refused(120)) => handshake = self.shake(&[], Kinds::Any).await,
            Some(Failure::Closed) if handshake.version.is_none() => {
                handshake = self.shake(self.manner.alpn, Kinds::Any).await;
            }
            _ => {}
        }
        self.keep(&handshake.served.certificates, handshake.served.staple.as_deref());
        self.seen.handshake = handshake;
        self.tell_of_handshake();
    }

    fn tell_of_handshake(&mut self) {
        let Some(version) = self.seen.handshake.version else { return };
        let board = &mut self.seen.sets.board;
        board.offer(version);
        board.tolerates_tls13 = version < Version::Tls13;
        self.seen.sets.expected.extend(self.seen.handshake.scheme);
        let is_shown = version == Version::Tls13 && !self.seen.handshake.is_forged;
        self.seen.sets.shown13 = self.seen.handshake.scheme.filter(|_| is_shown);
    }

    async fn shake(&self, alpn: &[&[u8]], kinds: Kinds) -> Handshake {
        let offer = Offer { server_name: self.manner.server_name, alpn, kinds };
        match self.line.open().await {
            Ok((connection, give_up)) => {
                shake(connection, &offer, give_up, self.line.read_timeout()).await
            }
            Err(outcome) => {
                let failure = match outcome {
                    Outcome::Closed => Failure::Closed,
                    outcome => Failure::Other(outcome.unknown()),
                };
                Handshake { failure: Some(failure), ..Handshake::default() }
            }
        }
    }

    /// Asks until nothing is open, or time is up.
    async fn enumerate(&mut self, at_once: usize) {
        let mut at_once = at_once.max(1);
        let deadline = self.line.deadline();
        let mut stopped = None;
        loop {
            let line = &self.line;
            let mut running = FuturesUnordered::new();
            let mut is_done = true;
            while stopped.is_none() {
                while running.len() < at_once && Instant::now() < deadline {
                    let Some(question) = self.seen.sets.next() else { break };
                    is_done = false;
                    running.push(async move {
                        let (outcome, alone) = line.ask_noting(&question.spec).await;
                        (question, outcome, alone)
                    });
                }
                let Some((question, outcome, alone)) = running.next().await else { break };
                if let Outcome::Unreached(why) = &outcome
                    && matches!(why.reason, Reason::Budget | Reason::OutOfScope)
                {
                    stopped = Some(why.clone());
                }
                if matches!(outcome, Outcome::Closed | Outcome::Unreached(_)) {
                    // Perhaps one connection at a time is all that it allows.
                    at_once = 1;
                    self.seen.bears_company = false;
                }
                learn(&mut self.seen, &question, &outcome, alone);
                let troubles = self.seen.sets.troubles();
                if troubles > 0 && running.is_empty() {
                    break;
                }
            }
            drop(running);
            if let Some(why) = &stopped {
                self.seen.sets.stop(why);
                return;
            }
            if Instant::now() >= deadline {
                self.seen.sets.stop(&Reason::Timeout.into());
                return;
            }
            if is_done {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            sleep(pause(self.seen.sets.troubles()).min(left)).await;
        }
    }

    /// Servers may hold one certificate of each kind and show one per handshake.
    async fn ask_other_kind(&mut self) {
        let leaves = self.seen.chains.iter().map(|served| &served.certificates[0]);
        let kinds: Vec<Kinds> = leaves.filter_map(|leaf| Kinds::of(leaf)).collect();
        let wanted = match (kinds.contains(&Kinds::Rsa), kinds.contains(&Kinds::Ecdsa)) {
            (true, false) => Kinds::Ecdsa,
            (false, true) => Kinds::Rsa,
            _ => return,
        };
        let newest_clear =
            Version::Tls12.and_below().find(|&version| self.seen.sets.board.is_offered(version));
        let failure = match newest_clear {
            Some(ceiling) => self.ask_kind_in_clear(ceiling, wanted).await,
            None => self.ask_kind_in_tls13(wanted).await,
        };
        self.seen.missing_kind = failure.map(|unknown| (wanted, unknown));
    }

    async fn ask_kind_in_clear(&mut self, ceiling: Version, wanted: Kinds) -> Option<Unknown> {
        let breadth = if wanted == Kinds::Rsa { Breadth::Rsa } else { Breadth::Ecdsa };
        let spec = HelloSpec::new(ceiling, breadth);
        let mut outcome = self.line.ask(&spec).await;
        if outcome == Outcome::Closed {
            outcome = self.line.ask(&spec).await;
        }
        match outcome.answer() {
            Some(answer) => {
                self.keep(answer.certificates.as_deref().unwrap_or(&[]), answer.staple.as_deref());
                self.seen.sets.board.answers.push(answer.clone());
                answer.certificates.is_none().then(|| answer.cut.clone()).flatten()
            }
            None if outcome.weight(ceiling) == Weight::Absent => None,
            None => Some(outcome.unknown()),
        }
    }

    async fn ask_kind_in_tls13(&mut self, wanted: Kinds) -> Option<Unknown> {
        let handshake = self.shake(self.manner.alpn, wanted).await;
        self.keep(&handshake.served.certificates, handshake.served.staple.as_deref());
        match handshake.failure {
            Some(Failure::Refused(40 | 71)) => None,
            Some(failure) if handshake.served.certificates.is_empty() => Some(failure.unknown()),
            _ => None,
        }
    }

    fn learn(&mut self, question: &Question, outcome: &Outcome, alone: bool) {
        learn(&mut self.seen, question, outcome, alone);
    }

    fn keep(&mut self, certificates: &[Vec<u8>], staple: Option<&[u8]>) {
        keep(&mut self.seen.chains, certificates, staple);
    }
}

fn learn(seen: &mut Seen, question: &Question, outcome: &Outcome, alone: bool) {
    seen.sets.learn(question, outcome, alone);
    if let Some(answer) = outcome.answer() {
        let certificates = answer.certificates.as_deref().unwrap_or(&[]);
        keep(&mut seen.chains, certificates, answer.staple.as_deref());
    }
}

fn keep(chains: &mut Vec<Served>, certificates: &[Vec<u8>], staple: Option<&[u8]>) {
    if certificates.is_empty() {
        return;
    }
    let is_full = chains.len() >= MAX_CHAINS;
    match chains.iter_mut().find(|served| served.certificates == certificates) {
        Some(served) if served.staple.is_none() => served.staple = staple.map(<[u8]>::to_vec),
        Some(_) => {}
        None if is_full => {}
        None => chains.push(Served {
            certificates: certificates.to_vec(),
            staple: staple.map(<[u8]>::to_vec),
        }),
    }
}

/// How long to leave a peer alone that has turned this many hellos away in a row.
fn pause(troubles: u32) -> Duration {
    if troubles == 0 {
        return Duration::ZERO;
    }
    (FIRST_PAUSE * 2_u32.saturating_pow((troubles - 1).min(10))).min(LONGEST_PAUSE)
}

const FIRST_PAUSE: Duration = Duration::from_millis(10);

const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Ticks that look at everything after a change.
const RESTLESS: u32 = 48;

/// A peer that shows another chain each time is not worth more.
const MAX_CHAINS: usize = 16;
