//! The rules of one target, and what they make of its samples.

use std::sync::Arc;

use serde::Serialize;

use super::judge::{is_looked_at, judge_all};
use super::route::not_looked_at;
use super::rule::Held;
use crate::sample::{Judgement, Reason, RuleFacts, Sample, Severity, Verdict};
use crate::target::ProbeKind;

/// The rules that judge a target; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    rules: Arc<[Arc<Held>]>,
}

impl Selection {
    pub(super) fn new(rules: Vec<Arc<Held>>) -> Self {
        Self { rules: rules.into() }
    }

    /// Tells selections apart while they live: clones of one have the same.
    pub fn id(&self) -> usize {
        self.rules.as_ptr().addr()
    }

    /// What every rule of the sample's probe says of it. Pure: `taken_at` is the time that dates
    /// are judged by.
    pub fn evaluate(&self, sample: &Sample) -> Vec<Judgement> {
        judge_all(sample, Some(sample.taken_at), self.rules.iter())
    }

    /// The same for a sample that was taken while the clock was in doubt: every range of the time
    /// left until a date is `unknown`.
    pub fn evaluate_undated(&self, sample: &Sample) -> Vec<Judgement> {
        judge_all(sample, None, self.rules.iter())
    }

    /// The same for a glimpse, a sample that another probe's run gave by the way: rules about what
    /// it did not look at have no part in it, so that no finding waits for it in vain.
    pub fn evaluate_glimpse(&self, sample: &Sample, is_dated: bool) -> Vec<Judgement> {
        let rules = self.rules.iter().filter(|rule| rule.probe == sample.probe);
        let rules = rules.filter(|rule| is_looked_at(rule, sample));
        judge_all(sample, is_dated.then_some(sample.taken_at), rules)
    }

    /// What a finding repeats of each rule, with the range and severity that hold here.
    pub fn rules(&self, probe: ProbeKind) -> impl Iterator<Item = &Arc<RuleFacts>> {
        self.rules.iter().filter(move |rule| rule.probe == probe).map(|rule| &rule.facts)
    }
}

/// What a sample comes to, by the judgements of its rules. A rule of severity `info` never decides.
/// What the sample did not set out to measure (opt-in checks, measurements that it has no trace of)
/// leaves that rule unknown, but not the sample, as long as another rule could judge it.
pub fn sample_verdict(judgements: &[Judgement]) -> Verdict {
    let mut any_in_range = false;
    let mut any_aside = false;
    let mut verdict = Verdict::NotApplicable;
    for judgement in judgements {
        let is_info = judgement.rule.severity == Severity::Info;
        match judgement.verdict {
            Verdict::OutOfRange if !is_info => return Verdict::OutOfRange,
            Verdict::Unknown if was_not_asked(judgement) => any_aside = true,
            Verdict::Unknown if is_info => any_aside = true,
            Verdict::Unknown => verdict = Verdict::Unknown,
            Verdict::InRange | Verdict::OutOfRange => any_in_range = true,
            Verdict::NotApplicable => {}
        }
    }
    match verdict {
        Verdict::Unknown => Verdict::Unknown,
        _ if any_in_range => Verdict::InRange,
        _ if any_aside => Verdict::Unknown,
        _ => Verdict::NotApplicable,
    }
}

fn was_not_asked(judgement: &Judgement) -> bool {
    let not_looked_at = not_looked_at();
    judgement.doubts.iter().all(|doubt| match doubt.unknown.reason {
        Reason::OptIn => true,
        // With a detail something stood in the way; without one it was not on the sample's list.
        Reason::NotObserved => doubt.unknown.detail.is_none() || doubt.unknown == not_looked_at,
        _ => false,
    })
}

/// How many judgements came to what.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Summary {
    /// Rules that hold.
    pub in_range: usize,
    /// Rules that are broken.
    pub out_of_range: usize,
    /// Rules that could not be judged.
    pub unknown: usize,
    /// Rules that have nothing to say.
    pub not_applicable: usize,
}

impl Summary {
    /// Counts one sample's judgements in.
    pub fn add(&mut self, judgements: &[Judgement]) {
        for judgement in judgements {
            let count = match judgement.verdict {
                Verdict::InRange => &mut self.in_range,
                Verdict::OutOfRange => &mut self.out_of_range,
                Verdict::Unknown => &mut self.unknown,
                Verdict::NotApplicable => &mut self.not_applicable,
            };
            *count += 1;
        }
    }
}
