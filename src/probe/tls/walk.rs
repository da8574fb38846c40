//! The questions of one sample, in order, one connection at a time. What was seen comes back as
//! values; nothing is judged here.
//!
//! At most eight questions where the peer says what it lacks: TLS 1.2 with every suite; a real
//! handshake; TLS 1.3 alone if that did not come to it; the other kind of certificate; everything
//! older with one hello capped at TLS 1.1 (and one more for each version that turns up); SSLv2.
//! Hellos that are turned away without a word cost repeats and controls ([`Board::settle`]).

use crate::probe::trust::Served;
use crate::sample::{Reason, Unknown};

use super::board::{Board, REPEATS};
use super::handshake::{Failure, Handshake, Offer, shake};
use super::hello::HelloSpec;
use super::line::Line;
use super::names::Kinds;
use super::outcome::{Outcome, Weight};
use super::suites::Breadth;
use super::wire::Version;

/// What the questions brought.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) board: Board,
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
}

/// Asks everything.
pub(super) async fn walk(line: Line<'_>, alpn: &[&[u8]], server_name: Option<&str>) -> Seen {
    let mut walk = Walk { line, alpn, server_name, seen: Seen::default() };
    if walk.introduce().await.is_some() {
        walk.ask_tls13().await;
        walk.ask_other_kind().await;
        walk.ask_older().await;
        walk.ask_ssl2().await;
        walk.settle().await;
    }
    walk.seen
}

struct Walk<'a> {
    line: Line<'a>,
    alpn: &'a [&'a [u8]],
    server_name: Option<&'a str>,
    seen: Seen,
}

impl Walk<'_> {
    /// TLS 1.2 and the real handshake. `None` if there is no one to talk to.
    async fn introduce(&mut self) -> Option<()> {
        let spec = HelloSpec::new(Version::Tls12, Breadth::Every);
        let first = self.line.ask(&spec).await;
        match &first {
            Outcome::Unreached(unknown) => self.seen.stopped = Some(unknown.clone()),
            Outcome::NotUpgraded => self.seen.upgrade = Some(false),
            Outcome::NotTls(_) => self.seen.stopped = Some(first.unknown()),
            _ => {}
        }
        if self.seen.stopped.is_some() || self.seen.upgrade == Some(false) {
            return None;
        }
        let (spec, outcome) = self.again(spec, first).await;
        self.learn(&spec, &outcome, false);
        self.shake_hands().await;
        let silent = Some(Failure::Other(Reason::Timeout.into()));
        let is_silent = outcome == Outcome::Timeout && self.seen.handshake.failure == silent;
        if is_silent && !self.seen.board.is_any_offered() {
            self.seen.stopped = Some(Reason::Timeout.into());
            return None;
        }
        Some(())
    }

    /// A second try where the first brought nothing that settles it, with a short list: some peers
    /// choke on the long one.
    async fn again(&mut self, spec: HelloSpec, first: Outcome) -> (HelloSpec, Outcome) {
        let is_settled = first.is_settled(spec.ceiling)
            || matches!(first, Outcome::Unreached(_) | Outcome::NotUpgraded | Outcome::NotTls(_))
            || (spec.ceiling == Version::Ssl2 && first == Outcome::Timeout);
        if is_settled {
            return (spec, first);
        }
        let short = HelloSpec::new(spec.ceiling, Breadth::Common);
        let outcome = self.line.ask(&short).await;
        if outcome.is_settled(spec.ceiling) {
            match spec.ceiling {
                // SSLv2 has one form: the same hello was answered once and once not.
                Version::Ssl2 => self.seen.board.is_unsteady(),
                _ => self.seen.board.suspect(spec),
            }
        }
        (short, outcome)
    }

    async fn shake_hands(&mut self) {
        let mut handshake = self.shake(self.alpn, Kinds::Any).await;
        match handshake.failure {
            // no_application_protocol: a peer that speaks neither of ours.
            Some(Failure::Refused(120)) => handshake = self.shake(&[], Kinds::Any).await,
            Some(Failure::Closed) if handshake.version.is_none() => {
                handshake = self.shake(self.alpn, Kinds::Any).await;
                if handshake.version.is_some() {
                    self.seen.board.is_unsteady();
                }
            }
            _ => {}
        }
        if let Some(version) = handshake.version {
            self.seen.board.offer(version);
            self.seen.board.tolerates_tls13 = version < Version::Tls13;
        }
        self.keep(&handshake.served.certificates, handshake.served.staple.as_deref());
        self.seen.handshake = handshake;
    }

    async fn shake(&self, alpn: &[&[u8]], kinds: Kinds) -> Handshake {
        let offer = Offer { server_name: self.server_name, alpn, kinds };
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

    async fn ask_tls13(&mut self) {
        if !self.seen.board.is_offered(Version::Tls13) {
            self.ask(Version::Tls13, false).await;
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
            Version::Tls12.and_below().find(|&version| self.seen.board.is_offered(version));
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
            if outcome.is_settled(ceiling) {
                self.seen.board.is_unsteady();
            }
        }
        match outcome.answer() {
            Some(answer) => {
                self.keep(answer.certificates.as_deref().unwrap_or(&[]), answer.staple.as_deref());
                self.seen.board.answers.push(answer.clone());
                answer.certificates.is_none().then(|| answer.cut.clone()).flatten()
            }
            None if outcome.weight(ceiling) == Weight::Absent => None,
            None => Some(outcome.unknown()),
        }
    }

    async fn ask_kind_in_tls13(&mut self, wanted: Kinds) -> Option<Unknown> {
        let handshake = self.shake(self.alpn, wanted).await;
        self.keep(&handshake.served.certificates, handshake.served.staple.as_deref());
        match handshake.failure {
            Some(Failure::Refused(40 | 71)) => None,
            Some(failure) if handshake.served.certificates.is_empty() => Some(failure.unknown()),
            _ => None,
        }
    }

    /// From TLS 1.1 down. One hello asks for all of them where the peer is known to choose among
    /// versions as it should.
    async fn ask_older(&mut self) {
        let mut next = Some(Version::Tls11);
        while let Some(ceiling) = next {
            if self.seen.board.is_offered(ceiling) {
                next = ceiling.older();
                continue;
            }
            let and_below = self.seen.board.speaks_newer_than(ceiling);
            let chosen = self.ask(ceiling, and_below).await;
            next = match chosen {
                Some(version) => version.older(),
                None if and_below => None,
                None => ceiling.older(),
            };
        }
    }

    async fn ask_ssl2(&mut self) {
        self.ask(Version::Ssl2, false).await;
    }

    /// Repeats what is in doubt between controls, as long as the peer is steady.
    async fn settle(&mut self) {
        if let Some(long) = self.seen.board.suspected() {
            let outcome = self.line.ask(&long).await;
            self.seen.board.cleared(&long, &outcome);
        }
        self.control().await;
        for _ in 0..REPEATS {
            for spec in self.seen.board.doubtful() {
                if self.seen.board.has_doubts() {
                    let outcome = self.line.ask(&spec).await;
                    self.seen.board.repeated(&spec, &outcome);
                }
            }
            self.control().await;
        }
        self.seen.board.settle();
    }

    async fn control(&mut self) {
        if let Some(control) = self.seen.board.control() {
            let outcome = self.line.ask(&control).await;
            self.seen.board.controlled(&outcome);
        }
    }

    async fn ask(&mut self, ceiling: Version, and_below: bool) -> Option<Version> {
        let spec = HelloSpec::new(ceiling, Breadth::Every);
        let first = self.line.ask(&spec).await;
        // Where nothing has been accepted so far, no control could make more of a second close.
        let is_hopeless = first == Outcome::Closed && !self.seen.board.is_any_offered();
        let (spec, outcome) =
            if is_hopeless { (spec, first) } else { self.again(spec, first).await };
        self.learn(&spec, &outcome, and_below);
        outcome.answer().map(|answer| answer.version)
    }

    fn learn(&mut self, spec: &HelloSpec, outcome: &Outcome, and_below: bool) {
        self.seen.board.learn(spec, outcome, and_below);
        if let Some(answer) = outcome.answer() {
            self.keep(answer.certificates.as_deref().unwrap_or(&[]), answer.staple.as_deref());
        }
    }

    fn keep(&mut self, certificates: &[Vec<u8>], staple: Option<&[u8]>) {
        if certificates.is_empty() {
            return;
        }
        let known = self.seen.chains.iter_mut().find(|served| served.certificates == certificates);
        match known {
            Some(served) if served.staple.is_none() => {
                served.staple = staple.map(<[u8]>::to_vec);
            }
            Some(_) => {}
            None => self.seen.chains.push(Served {
                certificates: certificates.to_vec(),
                staple: staple.map(<[u8]>::to_vec),
            }),
        }
    }
}
