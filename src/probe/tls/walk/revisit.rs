//! One tick of an endpoint that is known: what `sentinel` would have asked, and a closer look at
//! what has changed.

use chrono::{DateTime, Utc};

use crate::sample::Reason;

use super::super::enumerate::Enumeration;
use super::super::handshake::Failure;
use super::super::hello::HelloSpec;
use super::super::outcome::Outcome;
use super::super::sentinel::{self, Known, Pace, Sentinel, Tick, Verdict};
use super::super::suites::Breadth;
use super::super::wire::Version;
use super::Walk;

impl Walk<'_> {
    /// The same for an endpoint that is known: what a tick asks. Where that shows something new, or
    /// that something is gone, what it is about is asked for again at once.
    pub(super) async fn revisit(
        &mut self,
        known: &Known,
        pace: Pace,
        now: DateTime<Utc>,
    ) -> Option<()> {
        self.seen.sets = known.restore(self.manner.protocols, self.manner.seed);
        self.seen.confirmed.clone_from(&known.confirmed);
        if !self.seen.sets.is_done() {
            // The first enumeration was not finished.
            self.shake_hands().await;
            return Some(());
        }
        let calm = if known.restless == 0 { pace } else { Pace::Whole };
        let Tick { sentinels, slice, other_kind, recalled } =
            sentinel::tick(&self.seen.sets, known, calm);
        self.seen.slice = slice;
        self.seen.recalled = recalled;
        let mut sentinels = sentinels.into_iter();
        let first = sentinels.next();
        let outcome = match &first {
            Some(first) => Some(self.line.ask(&first.spec).await),
            None => None,
        };
        if outcome.as_ref().is_some_and(|outcome| self.is_nobody(outcome)) {
            return None;
        }
        self.shake_hands().await;
        let outcome = match outcome {
            // Nobody to shake hands with: a hello tells why.
            None if self.seen.handshake.failure.is_some() => Some(self.ask_control().await),
            outcome => outcome,
        };
        if outcome.as_ref().is_some_and(|outcome| self.is_nobody(outcome) || self.is_mute(outcome))
        {
            return None;
        }
        let leaf = self.seen.handshake.served.certificates.first();
        let beside = known.chains_beside(leaf);
        self.asks_other_kind = other_kind || known.lacks_kind || !known.saw(leaf);
        self.seen.chains.extend(beside);
        if known.is_newer_than(self.seen.handshake.version) {
            self.begin_anew();
            return Some(());
        }
        if let Some((first, outcome)) = first.zip(outcome) {
            self.take(&first, &outcome, now).await;
        }
        for sentinel in sentinels {
            let is_answered = |version| self.seen.focus.contains(&version);
            if self.seen.is_anew {
                break;
            }
            if !sentinel.about.is_some_and(is_answered) {
                let outcome = self.line.ask(&sentinel.spec).await;
                self.take(&sentinel, &outcome, now).await;
            }
        }
        Some(())
    }

    /// Whether the first words show that there is no one to talk to.
    fn is_nobody(&mut self, outcome: &Outcome) -> bool {
        let is_gone = matches!(outcome, Outcome::Unreached(_) | Outcome::NotTls(_));
        self.seen.stopped = is_gone.then(|| outcome.unknown());
        self.seen.upgrade = (*outcome == Outcome::NotUpgraded).then_some(false);
        is_gone || self.seen.upgrade == Some(false)
    }

    /// Whether neither a hello nor a real handshake was answered in time.
    fn is_mute(&mut self, outcome: &Outcome) -> bool {
        let silent = Some(Failure::Other(Reason::Timeout.into()));
        let is_mute = *outcome == Outcome::Timeout && self.seen.handshake.failure == silent;
        if is_mute {
            self.seen.stopped = Some(Reason::Timeout.into());
        }
        is_mute
    }

    async fn ask_control(&self) -> Outcome {
        let newest = Version::Tls13.and_below().find(|&v| self.seen.sets.board.is_offered(v));
        let spec = HelloSpec::new(newest.unwrap_or(Version::Tls12), Breadth::Every);
        self.line.ask(&spec).await
    }

    /// Takes what a sentinel heard.
    async fn take(&mut self, sentinel: &Sentinel, outcome: &Outcome, now: DateTime<Utc>) {
        match sentinel.judge(&self.seen.sets, outcome) {
            Verdict::Confirmed => self.confirm(sentinel, outcome, now),
            Verdict::Silent => self.note(outcome),
            Verdict::Breached => {
                if outcome.answer().is_some() || !self.are_there_apart(sentinel, now).await {
                    self.seen.breaches.extend(outcome.answer().cloned());
                    self.look_closer(sentinel.about);
                }
            }
        }
    }

    fn note(&mut self, outcome: &Outcome) {
        if let Some(answer) = outcome.answer() {
            self.seen.sets.board.answers.push(answer.clone());
        }
    }

    fn confirm(&mut self, sentinel: &Sentinel, outcome: &Outcome, now: DateTime<Utc>) {
        self.note(outcome);
        let paths = sentinel.confirms(outcome).into_iter();
        self.seen.confirmed.extend(paths.map(|path| (path, now.timestamp())));
    }

    /// Whether members that were refused together are accepted one by one: then they do not go
    /// together, and nothing is gone.
    async fn are_there_apart(&mut self, sentinel: &Sentinel, now: DateTime<Utc>) -> bool {
        let apart = sentinel.apart(&self.seen.sets);
        if apart.len() < 2 {
            self.seen.denied.extend(sentinel.row);
            return false;
        }
        for alone in apart {
            let outcome = self.line.ask(&alone.spec).await;
            match alone.judge(&self.seen.sets, &outcome) {
                Verdict::Confirmed => self.confirm(&alone, &outcome, now),
                Verdict::Silent => self.note(&outcome),
                Verdict::Breached => {
                    self.seen.denied.extend(alone.row);
                    return false;
                }
            }
        }
        self.seen.asks_apart = true;
        true
    }

    /// Leaves what has changed to be asked for anew: a version, or everything.
    fn look_closer(&mut self, about: Option<Version>) {
        self.seen.slice = None;
        self.seen.recalled = &[];
        match about {
            None => self.begin_anew(),
            Some(version) => {
                self.seen.focus.push(version);
                let is_of = |path: &String| path.contains(&format!("[{version}]"));
                self.seen.confirmed.retain(|path, _| !is_of(path));
                self.seen.sets.forget(version, self.manner.protocols);
                self.tell_of_handshake();
            }
        }
    }

    /// Adds what was seen and refused before it was asked for anew: another server may have answered.
    /// Whether that leaves something to ask.
    pub(super) fn recollect(&mut self) -> bool {
        for answer in std::mem::take(&mut self.seen.breaches) {
            self.seen.sets.see(&answer);
        }
        for row in std::mem::take(&mut self.seen.denied) {
            self.seen.sets.deny(row);
        }
        !self.seen.sets.is_done()
    }

    /// Whether the version that was looked at closer is gone: then everything may have changed.
    pub(super) fn has_lost_focus(&self) -> bool {
        let board = &self.seen.sets.board;
        !self.seen.is_anew && self.seen.focus.iter().any(|&version| !board.is_offered(version))
    }

    pub(super) fn begin_anew(&mut self) {
        self.seen.is_anew = true;
        self.asks_other_kind = true;
        self.seen.slice = None;
        self.seen.recalled = &[];
        self.seen.confirmed.clear();
        self.seen.sets = Enumeration::new(self.manner.protocols, self.manner.seed);
        self.tell_of_handshake();
    }
}
