//! What a sample knows of the versions so far, and when an absence counts as shown. Pure: outcomes
//! in, facts out.

use std::collections::BTreeMap;

use crate::sample::{Reason, Unknown};

use super::hello::{HelloSpec, Shares};
use super::outcome::{Answer, Outcome, Weight};
use super::suites::{self, Breadth};
use super::wire::Version;

/// What is known of one version.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Presence {
    Offered,
    Absent,
    Unknown(Unknown),
}

/// The sample's knowledge.
#[derive(Clone, Debug, Default)]
pub(super) struct Board {
    versions: BTreeMap<Version, Presence>,
    /// Every accepted answer.
    pub(super) answers: Vec<Answer>,
    /// Refusals that count only once repeated beside accepted controls.
    doubts: Vec<Doubt>,
    /// A hello that the peer has accepted, best the longest: the control.
    control: Option<HelloSpec>,
    /// Controls accepted since the doubts arose.
    controls: usize,
    /// A long hello that was turned away where the short one was answered: intolerance, or chance.
    suspect: Option<HelloSpec>,
    /// Whether one hello was both answered and not.
    is_flaky: bool,
    /// A real handshake with TLS 1.3 on offer came to an older version.
    pub(super) tolerates_tls13: bool,
    /// What best tells why nothing was accepted.
    excuse: Option<Outcome>,
}

/// A version whose hello was turned away without a word on it.
#[derive(Clone, Debug)]
struct Doubt {
    asked: Version,
    /// Whether older versions hang on the same answer.
    and_below: bool,
    outcome: Outcome,
    /// How often the same happened again.
    repeats: usize,
}

impl Board {
    /// Takes the outcome of the last attempt at one version.
    /// `and_below`: the hello's refusal speaks of every older version down to SSLv3 too, since a
    /// peer that had one would have chosen it (RFC 5246 §E.1).
    pub(super) fn learn(&mut self, spec: &HelloSpec, last: &Outcome, and_below: bool) {
        let asked = spec.ceiling;
        if let Some(answer) = last.answer() {
            self.accept(spec, answer.clone());
            return;
        }
        self.excuse(last);
        let weight = last.weight(asked);
        let unknown = match weight {
            Weight::Absent => None,
            Weight::IfRepeated | Weight::Nothing => Some(last.unknown()),
        };
        for version in covered(asked, and_below) {
            let presence = unknown.clone().map_or(Presence::Absent, Presence::Unknown);
            self.state(version, presence);
        }
        if weight == Weight::IfRepeated {
            self.doubts.push(Doubt { asked, and_below, outcome: last.clone(), repeats: 0 });
        }
    }

    /// Takes an answer: its version is there, and what lies between it and the ceiling is not.
    fn accept(&mut self, spec: &HelloSpec, answer: Answer) {
        for version in spec.ceiling.and_below().take_while(|&v| v > answer.version) {
            self.state(version, Presence::Absent);
        }
        self.offer(answer.version);
        if spec.ceiling != Version::Ssl2
            && self.control.as_ref().is_none_or(|control| breadth(control) == Breadth::Common)
        {
            self.control = Some(spec.clone());
        }
        self.answers.push(answer);
    }

    /// A version was seen in use.
    pub(super) fn offer(&mut self, version: Version) {
        self.state(version, Presence::Offered);
    }

    /// One hello, or one handshake, was answered once and once not.
    pub(super) fn is_unsteady(&mut self) {
        self.is_flaky = true;
    }

    /// What was seen in use outweighs every absence; the contradiction is kept.
    fn state(&mut self, version: Version, presence: Presence) {
        let known = self.versions.get(&version);
        let keep = match (known, &presence) {
            (Some(Presence::Offered), _) => {
                if presence == Presence::Absent {
                    self.is_flaky = true;
                }
                true
            }
            (Some(Presence::Absent), Presence::Unknown(_)) => true,
            (Some(Presence::Absent), Presence::Offered) => {
                self.is_flaky = true;
                false
            }
            _ => false,
        };
        if !keep {
            self.versions.insert(version, presence);
        }
    }

    /// Remembers why nothing was accepted: what says most of the peer wins.
    pub(super) fn excuse(&mut self, outcome: &Outcome) {
        let rank = |outcome: &Outcome| match outcome {
            Outcome::NotTls(_) => 6,
            Outcome::Refused(_) => 5,
            Outcome::Illegal(..) => 4,
            Outcome::Closed => 3,
            Outcome::Timeout => 2,
            _ => 1,
        };
        if self.excuse.as_ref().is_none_or(|known| rank(known) < rank(outcome)) {
            self.excuse = Some(outcome.clone());
        }
    }

    /// Why nothing was accepted at all.
    pub(super) fn why_nothing(&self) -> Unknown {
        match &self.excuse {
            Some(outcome) => outcome.unknown(),
            None => Reason::NotObserved.into(),
        }
    }

    /// Whether a version above this one has been accepted, so that a refusal speaks for all below.
    pub(super) fn speaks_newer_than(&self, version: Version) -> bool {
        self.versions.iter().any(|(&v, p)| v > version && *p == Presence::Offered)
    }

    pub(super) fn is_offered(&self, version: Version) -> bool {
        self.versions.get(&version) == Some(&Presence::Offered)
    }

    /// Whether anything at all is there.
    pub(super) fn is_any_offered(&self) -> bool {
        self.versions.values().any(|presence| *presence == Presence::Offered)
    }

    /// What is known of a version.
    pub(super) fn presence(&self, version: Version) -> Presence {
        self.versions
            .get(&version)
            .cloned()
            .unwrap_or_else(|| Presence::Unknown(Reason::NotObserved.into()))
    }

    /// The short form of this hello was answered after the long one was turned away.
    pub(super) fn suspect(&mut self, long: HelloSpec) {
        self.suspect = Some(long);
    }

    /// The long hello to try once more before doubts are settled.
    pub(super) fn suspected(&self) -> Option<HelloSpec> {
        if self.has_doubts() { self.suspect.clone() } else { None }
    }

    /// Takes the outcome of the second try: an answer shows that the first was turned away by
    /// chance.
    pub(super) fn cleared(&mut self, spec: &HelloSpec, outcome: &Outcome) {
        self.suspect = None;
        self.is_flaky |= outcome.is_settled(spec.ceiling);
    }

    /// Whether there are doubts that repeats could settle.
    pub(super) fn has_doubts(&self) -> bool {
        !self.doubts.is_empty() && !self.is_flaky
    }

    /// The hello to repeat as a control. Where only the real handshake was accepted, ours has still
    /// to be tried.
    pub(super) fn control(&self) -> Option<HelloSpec> {
        let tls13 = HelloSpec::new(Version::Tls13, Breadth::Every);
        let untried = self.is_offered(Version::Tls13).then_some(tls13);
        if self.has_doubts() { self.control.clone().or(untried) } else { None }
    }

    /// The hellos whose refusal is in doubt, in the control's breadth: a length that the control
    /// does not have would prove nothing.
    pub(super) fn doubtful(&self) -> Vec<HelloSpec> {
        let breadth = self.control.as_ref().map_or(Breadth::Common, breadth);
        self.doubts.iter().map(|doubt| HelloSpec::new(doubt.asked, breadth)).collect()
    }

    /// Takes the repeat of a doubtful hello. Anything but the same again ends the doubt: what was
    /// learnt instead stands.
    pub(super) fn repeated(&mut self, spec: &HelloSpec, outcome: &Outcome) {
        let Some(at) = self.doubts.iter().position(|doubt| doubt.asked == spec.ceiling) else {
            return;
        };
        match outcome.answer() {
            Some(answer) => {
                self.doubts.remove(at);
                self.is_flaky = true;
                self.accept(spec, answer.clone());
            }
            None if outcome.weight(spec.ceiling) == Weight::IfRepeated => {
                self.doubts[at].repeats += 1;
            }
            None => {
                let doubt = self.doubts.remove(at);
                self.learn(spec, outcome, doubt.and_below);
            }
        }
    }

    /// Takes the outcome of a control.
    pub(super) fn controlled(&mut self, outcome: &Outcome) {
        match outcome.answer() {
            Some(_) => self.controls += 1,
            None => self.is_flaky = true,
        }
    }

    /// What is still in doubt is absent if every repeat was the same and every control accepted.
    /// Behind a peer that does not answer steadily nothing is.
    pub(super) fn settle(&mut self) {
        for doubt in std::mem::take(&mut self.doubts) {
            let intolerant = doubt.asked == Version::Tls13 && !self.tolerates_tls13;
            for version in covered(doubt.asked, doubt.and_below) {
                let is_proven = self.controls >= CONTROLS && doubt.repeats >= REPEATS;
                let presence = if self.is_flaky || !is_proven {
                    Presence::Unknown(doubt.outcome.unknown())
                } else if intolerant {
                    let how = "turns TLS 1.3 hellos away without a word on the version";
                    Presence::Unknown(Unknown::new(Reason::Intolerant, how))
                } else {
                    Presence::Absent
                };
                self.state(version, presence);
            }
        }
    }
}

/// Repeats of a hello, beyond its two first tries, that make its refusal an absence.
/// Measured against a peer that drops a third of all connections at random: with one repeat 2 % of
/// offered versions came out absent.
pub(super) const REPEATS: usize = 2;

/// Controls to be accepted meanwhile.
pub(super) const CONTROLS: usize = REPEATS + 1;

/// Whether a hello has the long list or the short one; of TLS 1.3's there is one length only.
fn breadth(spec: &HelloSpec) -> Breadth {
    match spec.suites.len() > suites::COMMON_MAX || spec.shares == Shares::Empty {
        true => Breadth::Every,
        false => Breadth::Common,
    }
}

fn covered(asked: Version, and_below: bool) -> Vec<Version> {
    if and_below { asked.and_below().collect() } else { vec![asked] }
}

#[cfg(test)]
mod tests {
    use super::super::messages::KeyExchange;
    use super::*;

    fn accepted(version: Version) -> Outcome {
        Outcome::Accepted(Box::new(Answer {
            version,
            hello: None,
            ssl2: None,
            certificates: None,
            staple: None,
            key_exchange: KeyExchange::default(),
            asks_for_certificate: false,
            cut: None,
        }))
    }

    fn spec(ceiling: Version) -> HelloSpec {
        HelloSpec::new(ceiling, Breadth::Every)
    }

    /// TLS 1.2 is there; the capped hello is closed on twice.
    fn doubtful() -> Board {
        let mut board = Board::default();
        board.learn(&spec(Version::Tls12), &accepted(Version::Tls12), false);
        board.learn(&spec(Version::Tls11), &Outcome::Closed, true);
        board
    }

    #[test]
    fn a_refusal_is_an_absence_at_once_and_speaks_for_what_is_older() {
        let mut board = Board::default();
        board.learn(&spec(Version::Tls12), &accepted(Version::Tls12), false);
        assert!(board.speaks_newer_than(Version::Tls11));
        board.learn(&spec(Version::Tls11), &Outcome::Refused(70), true);
        for version in [Version::Tls11, Version::Tls10, Version::Ssl3] {
            assert_eq!(board.presence(version), Presence::Absent);
        }
        assert!(board.control().is_none());
    }

    #[test]
    fn a_close_is_an_absence_only_if_repeated_beside_accepted_controls() {
        let mut board = doubtful();
        assert!(matches!(board.presence(Version::Tls11), Presence::Unknown(_)));
        let control = board.control().expect("a control");
        assert_eq!(control.ceiling, Version::Tls12);
        let mut hasty = board.clone();
        for _ in 0..REPEATS {
            board.controlled(&accepted(Version::Tls12));
            board.repeated(&spec(Version::Tls11), &Outcome::Closed);
        }
        board.controlled(&accepted(Version::Tls12));
        board.settle();
        assert_eq!(board.presence(Version::Tls11), Presence::Absent);
        hasty.settle();
        assert!(matches!(hasty.presence(Version::Tls11), Presence::Unknown(_)));
        assert_eq!(board.presence(Version::Ssl3), Presence::Absent);
    }

    #[test]
    fn a_control_that_fails_leaves_every_doubt_unknown() {
        let mut board = doubtful();
        board.controlled(&Outcome::Closed);
        board.repeated(&spec(Version::Tls11), &Outcome::Closed);
        board.settle();
        assert_eq!(board.presence(Version::Tls11), Presence::Unknown(Reason::Reset.into()));
    }

    #[test]
    fn a_repeat_that_is_answered_is_believed_and_the_peer_no_longer() {
        let mut board = doubtful();
        board.learn(&spec(Version::Ssl2), &Outcome::Closed, false);
        board.repeated(&spec(Version::Tls11), &accepted(Version::Tls11));
        board.settle();
        assert_eq!(board.presence(Version::Tls11), Presence::Offered);
        assert!(matches!(board.presence(Version::Ssl2), Presence::Unknown(_)));
    }

    #[test]
    fn a_timeout_in_between_leaves_the_version_unknown() {
        let mut board = doubtful();
        board.repeated(&spec(Version::Tls11), &Outcome::Timeout);
        board.settle();
        assert_eq!(board.presence(Version::Tls11), Presence::Unknown(Reason::Timeout.into()));
    }

    #[test]
    fn a_downgrade_shows_what_lies_between_to_be_absent() {
        let mut board = Board::default();
        let Outcome::Accepted(answer) = accepted(Version::Tls10) else { unreachable!() };
        board.learn(&spec(Version::Tls12), &Outcome::Downgraded(answer), false);
        assert_eq!(board.presence(Version::Tls12), Presence::Absent);
        assert_eq!(board.presence(Version::Tls11), Presence::Absent);
        assert_eq!(board.presence(Version::Tls10), Presence::Offered);
    }

    #[test]
    fn a_peer_that_chokes_on_tls13_hellos_is_intolerant_not_without_it() {
        let mut board = doubtful();
        board.learn(&spec(Version::Tls13), &Outcome::Closed, false);
        for ceiling in [Version::Tls11, Version::Tls13].repeat(REPEATS) {
            board.controlled(&accepted(Version::Tls12));
            board.repeated(&spec(ceiling), &Outcome::Closed);
        }
        board.controlled(&accepted(Version::Tls12));
        let mut tolerant = board.clone();
        board.settle();
        assert!(
            matches!(board.presence(Version::Tls13), Presence::Unknown(u) if u.reason == Reason::Intolerant)
        );
        tolerant.tolerates_tls13 = true;
        tolerant.settle();
        assert_eq!(tolerant.presence(Version::Tls13), Presence::Absent);
    }

    #[test]
    fn what_was_seen_is_never_called_absent_later() {
        let mut board = doubtful();
        board.learn(&spec(Version::Tls12), &Outcome::Refused(70), false);
        assert_eq!(board.presence(Version::Tls12), Presence::Offered);
        board.settle();
        assert!(matches!(board.presence(Version::Tls11), Presence::Unknown(_)));
    }
}
