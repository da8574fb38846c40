//! The signature schemes of TLS 1.3. Which one the server chose is encrypted, but whether it could
//! choose any is not: a hello with these schemes alone is answered or refused. So sets are tested,
//! and halved where they are answered: first all that is not expected, then what is, one by one.

use crate::sample::{Reason, Unknown};

use super::super::hello::{GREASE_SUITE, HelloSpec, Shares};
use super::super::names::{self, Kinds};
use super::super::outcome::Answer;
use super::super::shares;
use super::super::suites::Breadth;
use super::super::wire::Version;
use super::choices::No;

/// The tests still to be made, and what they have shown.
#[derive(Clone, Debug)]
pub(in crate::probe::tls) struct Schemes13 {
    suites: Vec<u16>,
    group: u16,
    tests: Vec<Vec<u16>>,
    pub(in crate::probe::tls) found: Vec<u16>,
    pub(in crate::probe::tls) lost: Option<Unknown>,
    /// Whether a scheme that does not exist was turned down, so that an answer means something.
    is_judged: bool,
}

impl Schemes13 {
    /// `suites` and `group` are known to be accepted; the scheme `shown` has signed a real handshake
    /// already.
    pub(super) fn new(suites: Vec<u16>, group: u16, expected: &[u16], shown: Option<u16>) -> Self {
        let mut all = names::schemes_for(Version::Tls13, Kinds::Any);
        all.retain(|&scheme| Some(scheme) != shown);
        let (expected, others): (Vec<u16>, Vec<u16>) =
            all.into_iter().partition(|scheme| expected.contains(scheme));
        // Taken from the end.
        let mut tests: Vec<Vec<u16>> = expected.into_iter().rev().map(|s| vec![s]).collect();
        tests.push(others);
        let lost = shares::constant(group)
            .is_none()
            .then(|| Unknown::new(Reason::NotObserved, "no key share is known for its group"));
        Self { suites, group, tests, found: shown.into_iter().collect(), lost, is_judged: false }
    }

    /// What was found in an earlier run.
    pub(super) fn settled(found: Vec<u16>) -> Self {
        let (suites, tests, lost) = (Vec::new(), Vec::new(), None);
        Self { suites, group: 0, tests, found, lost, is_judged: true }
    }

    /// The next hello.
    pub(super) fn spec(&self) -> Option<HelloSpec> {
        if self.lost.is_some() {
            return None;
        }
        let schemes = self.tests.last()?.clone();
        Some(HelloSpec {
            suites: self.suites.clone(),
            groups: vec![self.group],
            schemes,
            shares: Shares::Constant(vec![self.group]),
            ..HelloSpec::new(Version::Tls13, Breadth::Every)
        })
    }

    /// The same with every scheme: known to be accepted.
    pub(super) fn control(&self) -> Option<HelloSpec> {
        let schemes = names::schemes_for(Version::Tls13, Kinds::Any);
        self.spec().map(|spec| HelloSpec { schemes, ..spec })
    }

    pub(super) fn accept(&mut self, answer: &Answer) {
        if answer.hello.as_ref().is_none_or(|hello| hello.is_retry) {
            self.lose(&Unknown::new(Reason::NotObserved, "it asked for another key share"));
            return;
        }
        let Some(test) = self.tests.pop() else { return };
        match test.as_slice() {
            [STRANGER] => self.lose(&Unknown::new(Reason::NotObserved, BLIND)),
            [scheme] => self.found.push(*scheme),
            _ => {
                let (first, second) = test.split_at(test.len() / 2);
                self.tests.extend([second.to_vec(), first.to_vec()]);
                if !self.is_judged {
                    self.tests.push(vec![STRANGER]);
                }
            }
        }
    }

    pub(super) fn refuse(&mut self, no: &No) {
        match no {
            No::Refused { .. } => {
                self.is_judged = true;
                self.tests.pop();
            }
            No::Lost(why) => self.lose(why),
        }
    }

    /// Nothing more will be asked.
    pub(super) fn lose(&mut self, why: &Unknown) {
        if !self.is_done() {
            self.lost = Some(why.clone());
        }
    }

    pub(in crate::probe::tls) fn is_done(&self) -> bool {
        self.tests.is_empty() || self.lost.is_some()
    }
}

/// Nobody ever signs by this (RFC 8701).
const STRANGER: u16 = GREASE_SUITE;

const BLIND: &str = "it answers before it looks at the schemes";
