//! One set to find out: what could be in it, what is, and what is not.

use std::collections::{HashMap, HashSet};

use crate::sample::Unknown;

/// A set of numbers (suites, groups, schemes) under elimination.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::probe::tls) struct Dimension {
    /// What is to be asked, in the order of asking.
    all: Vec<u16>,
    /// Shown to be accepted, in the order seen.
    pub(in crate::probe::tls) found: Vec<u16>,
    /// Shown not to be.
    absent: HashSet<u16>,
    /// Both, for speed.
    told: HashSet<u16>,
    /// Found once and refused once: the peer, or whoever answered for it, contradicts itself.
    pub(in crate::probe::tls) flips: Vec<u16>,
    /// How often members were refused that are not believed to be absent yet.
    refusals: HashMap<u16, u32>,
    /// Whether a member that does not exist was asked for.
    pub(super) is_judged: bool,
    /// Nothing that is said of it is believed.
    is_disbelieved: bool,
    /// Why what remains will not be asked.
    pub(in crate::probe::tls) lost: Option<Unknown>,
}

impl Dimension {
    pub(super) fn new(all: Vec<u16>) -> Self {
        Self { all, ..Self::default() }
    }

    /// How many could be in it.
    pub(super) fn width(&self) -> usize {
        self.all.len()
    }

    /// The first of all, known or not.
    pub(super) fn first(&self, count: usize) -> Vec<u16> {
        self.all.iter().copied().take(count).collect()
    }

    /// What is neither found nor absent.
    pub(super) fn remaining(&self) -> Vec<u16> {
        self.remaining_where(|_| true)
    }

    pub(super) fn remaining_where(&self, fits: impl Fn(u16) -> bool) -> Vec<u16> {
        let open = |member: &u16| !self.told.contains(member);
        self.all.iter().copied().filter(open).filter(|&member| fits(member)).collect()
    }

    /// Whether there is something left to ask.
    pub(super) fn is_open(&self) -> bool {
        self.lost.is_none() && !self.is_closed()
    }

    /// Whether the set is known whole.
    pub(in crate::probe::tls) fn is_closed(&self) -> bool {
        self.all.len() <= self.told.len()
            && self.all.iter().all(|member| self.told.contains(member))
    }

    /// Takes a member seen in use; whether it is news.
    pub(super) fn find(&mut self, member: u16) -> bool {
        if self.is_disbelieved || self.found.contains(&member) {
            return false;
        }
        self.found.push(member);
        self.told.insert(member);
        if self.absent.contains(&member) || self.refusals.contains_key(&member) {
            self.flip(member);
        }
        true
    }

    /// A member was refused in some other way than by a question of the elimination.
    pub(super) fn deny(&mut self, member: u16) {
        if self.found.contains(&member) && !self.flips.contains(&member) {
            self.flip(member);
        }
    }

    /// What was refused together with this one may be there as well: it is asked for again, and
    /// refused more often before it counts.
    fn flip(&mut self, member: u16) {
        self.flips.push(member);
        let absent = std::mem::take(&mut self.absent).into_iter().filter(|&other| other != member);
        for other in absent {
            self.told.remove(&other);
            self.refusals.insert(other, 1);
        }
        self.refusals.remove(&member);
    }

    /// None of these is there.
    pub(super) fn exclude(&mut self, members: impl IntoIterator<Item = u16>) {
        if self.is_disbelieved {
            return;
        }
        for member in members {
            let refusals = self.refusals.get(&member).copied().unwrap_or_default() + 1;
            if !self.flips.is_empty() && refusals < ONCE_IT_FLIPS && !self.told.contains(&member) {
                self.refusals.insert(member, refusals);
            } else if self.told.insert(member) {
                self.absent.insert(member);
            }
        }
    }

    /// Whether a member now found had been excluded: the peer contradicts itself.
    pub(super) fn is_contradicted(&self) -> bool {
        !self.flips.is_empty()
    }

    /// It took what does not exist: whatever it says of this set means nothing.
    pub(super) fn disbelieve(&mut self, why: &Unknown) {
        self.found.clear();
        self.told.clear();
        self.absent.clear();
        self.is_disbelieved = true;
        self.lost = Some(why.clone());
    }

    /// What remains, then what is known, at most `limit` of it. A server that lets the client
    /// choose shows news first; where there is no room for all, what is known comes first.
    pub(super) fn whole(&self, limit: usize, fits: impl Fn(u16) -> bool) -> Vec<u16> {
        let remaining = self.remaining_where(&fits);
        let found: Vec<u16> = self.found.iter().copied().filter(|&member| fits(member)).collect();
        if remaining.len() + found.len() <= limit {
            return [remaining, found].concat();
        }
        found.into_iter().chain(remaining).take(limit).collect()
    }

    pub(super) fn lose(&mut self, why: &Unknown) {
        if self.is_open() {
            self.lost = Some(why.clone());
        }
    }
}

/// Refusals of a member before it is absent, where others come and go.
const ONCE_IT_FLIPS: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_a_member_comes_and_goes_the_others_are_refused_again_and_again_before_they_are_absent()
    {
        let mut set = Dimension::new(vec![1, 2, 3]);
        assert!(set.find(1));
        set.exclude([2, 3]);
        assert!(set.is_closed());
        assert!(set.find(2));
        assert_eq!((set.flips.as_slice(), set.remaining()), (&[2][..], vec![3]));
        for _ in 2..ONCE_IT_FLIPS {
            set.exclude([3]);
            assert!(!set.is_closed());
        }
        set.exclude([3]);
        assert!(set.is_closed() && set.found == [1, 2]);
    }

    #[test]
    fn nothing_is_said_of_a_set_that_is_disbelieved() {
        let mut set = Dimension::new(vec![1, 2]);
        set.find(1);
        set.disbelieve(&crate::sample::Reason::Inconsistent.into());
        set.exclude([1, 2]);
        assert!(!set.find(2) && set.found.is_empty() && !set.is_closed() && !set.is_open());
    }
}
