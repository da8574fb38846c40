//! What a sample knows of the versions so far. Pure: evidence in, facts out.

use std::collections::{BTreeMap, BTreeSet};

use crate::sample::{Reason, Unknown};

use super::outcome::{Answer, Outcome};
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
    /// How many of them are of earlier runs.
    pub(super) remembered: usize,
    /// Versions that were both seen in use and refused.
    contradicted: BTreeSet<Version>,
    /// A real handshake with TLS 1.3 on offer came to an older version.
    pub(super) tolerates_tls13: bool,
    /// What best tells why nothing was accepted.
    excuse: Option<Outcome>,
}

impl Board {
    /// A version was seen in use.
    pub(super) fn offer(&mut self, version: Version) {
        self.state(version, Presence::Offered);
    }

    /// What was seen in use outweighs every absence; the contradiction is kept.
    pub(super) fn state(&mut self, version: Version, presence: Presence) {
        let keep = match (self.versions.get(&version), &presence) {
            (Some(Presence::Offered), _) => {
                if presence == Presence::Absent {
                    self.contradicted.insert(version);
                }
                true
            }
            (Some(Presence::Absent), Presence::Unknown(_)) => true,
            (Some(Presence::Absent), Presence::Offered) => {
                self.contradicted.insert(version);
                false
            }
            _ => false,
        };
        if !keep {
            self.versions.insert(version, presence);
        }
    }

    /// Leaves a version to be told of anew.
    pub(super) fn forget(&mut self, version: Version) {
        self.versions.remove(&version);
        self.contradicted.remove(&version);
    }

    /// Whether one answer showed it and another denied it.
    pub(super) fn is_contradicted(&self, version: Version) -> bool {
        self.contradicted.contains(&version)
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

    /// Whether anything has been said of it.
    pub(super) fn is_told(&self, version: Version) -> bool {
        self.versions.contains_key(&version)
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_never_called_absent_later() {
        let mut board = Board::default();
        board.offer(Version::Tls12);
        board.state(Version::Tls12, Presence::Absent);
        assert_eq!(board.presence(Version::Tls12), Presence::Offered);
        assert!(board.is_contradicted(Version::Tls12));
        board.state(Version::Tls11, Presence::Absent);
        board.state(Version::Tls11, Presence::Unknown(Reason::Timeout.into()));
        assert_eq!(board.presence(Version::Tls11), Presence::Absent);
        board.offer(Version::Tls11);
        assert!(board.is_offered(Version::Tls11) && board.is_contradicted(Version::Tls11));
        assert!(!board.is_told(Version::Ssl2) && board.speaks_newer_than(Version::Tls10));
    }
}
