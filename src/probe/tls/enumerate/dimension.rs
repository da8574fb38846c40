//! One set to find out: what could be in it, what is, and what is not.

use std::collections::HashSet;

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
        let is_new = !self.found.contains(&member);
        if is_new {
            self.found.push(member);
            self.told.insert(member);
        }
        is_new
    }

    /// None of these is there.
    pub(super) fn exclude(&mut self, members: impl IntoIterator<Item = u16>) {
        for member in members {
            if self.told.insert(member) {
                self.absent.insert(member);
            }
        }
    }

    /// Whether a member now found had been excluded: the peer contradicts itself.
    pub(super) fn is_contradicted(&self) -> bool {
        self.found.iter().any(|member| self.absent.contains(member))
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
