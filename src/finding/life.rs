//! One sample's effect on the findings of its sampling point.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use siphasher::sip::SipHasher24;

use super::{Exception, Finding, FindingKey, FindingState, Transition, clean_needed, stale_rule};
use crate::sample::{Breach, Cause, Evidence, Judgement, RuleFacts, Verdict};
use crate::target::{Labels, ProbeKind};

/// How sure one must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// What was missed or can be forged is decided within so many samples, the first included.
    pub samples: u32,
    /// So many of them must agree.
    pub agree: u32,
    /// With what confidence a fault must be gone; 0.99 by default.
    pub confidence: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Self { samples: 3, agree: 2, confidence: 0.99 }
    }
}

impl Policy {
    fn agree(self) -> u32 {
        self.agree.clamp(1, self.samples.max(1))
    }

    /// Whether so many samples without a breach leave no room for an agreement.
    fn disagrees(self, misses: u32) -> bool {
        misses > self.samples.max(1) - self.agree()
    }
}

/// A sample as findings see it.
#[derive(Clone, Debug)]
pub struct Look<'a> {
    /// The target's name.
    pub target: &'a Arc<str>,
    /// The probe.
    pub probe: ProbeKind,
    /// The address; `None` for ports and dns.
    pub address: Option<IpAddr>,
    /// When it was taken.
    pub at: DateTime<Utc>,
    /// Why it was taken.
    pub cause: Cause,
    /// Whether it measured anything: what measured nothing moves nothing.
    pub measured: bool,
    /// What the rules said.
    pub judgements: &'a [Judgement],
    /// The target's labels.
    pub labels: &'a Arc<Labels>,
    /// The exceptions in force.
    pub exceptions: &'a [Exception],
    /// How sure one must be.
    pub policy: Policy,
}

/// A finding that a sample moved.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The finding after it.
    pub finding: Finding,
    /// How far it moved.
    pub step: Move,
}

/// How far a sample moved a finding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Move {
    /// Only its counts and times.
    Counted {
        /// Whether it was seen again.
        breached: bool,
    },
    /// What was measured is another, the state is the same.
    Retold,
    /// Another state; `None` at birth.
    Stepped {
        /// The state before.
        from: Option<FindingState>,
    },
}

impl Change {
    /// The transition, if its state changed.
    pub fn transition(&self) -> Option<Transition> {
        let Move::Stepped { from } = self.step else { return None };
        let finding = self.finding.clone();
        Some(Transition { from, at: finding.ended_at.unwrap_or(finding.last_judged), finding })
    }
}

/// Every finding that the sample opens, moves or ends. `open` holds the open findings of the
/// sample's point; others are left alone.
pub fn step<'a>(
    open: impl IntoIterator<Item = &'a Finding> + Clone,
    look: &Look<'_>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    if !look.measured {
        return changes;
    }
    for judgement in look.judgements {
        let shown: HashMap<&str, &Breach> =
            judgement.breaches.iter().map(|breach| (&*breach.subject, breach)).collect();
        let mut known = HashSet::new();
        let of_rule = open
            .clone()
            .into_iter()
            .filter(|finding| finding.key.rule == judgement.rule.id && finding.state.is_open());
        for finding in of_rule {
            known.insert(&*finding.key.subject);
            match shown.get(&*finding.key.subject) {
                Some(breach) => changes.push(breached(finding, &judgement.rule, breach, look)),
                None if is_clean(judgement, finding) => {
                    changes.push(clean(finding, &judgement.rule, look))
                }
                None => {}
            }
        }
        // A peer may show any number of faults; what is beyond the bound opens as others end.
        let room = MAX_SUBJECTS.saturating_sub(known.len());
        let born =
            judgement.breaches.iter().filter(|breach| known.insert(&*breach.subject)).take(room);
        changes.extend(born.map(|breach| birth(&judgement.rule, breach, look)));
    }
    changes.extend(unheld(open, look));
    dedup(changes)
}

/// Findings of rules that the target is no longer held to, by another profile say: no sample would
/// ever judge them again.
fn unheld<'a>(
    open: impl IntoIterator<Item = &'a Finding>,
    look: &Look<'_>,
) -> impl Iterator<Item = Change> {
    let held: HashSet<&str> = look.judgements.iter().map(|judged| &*judged.rule.id).collect();
    let of_probe = open.into_iter().filter(|finding| finding.probe == look.probe);
    let open = of_probe.filter(|finding| finding.state.is_open());
    open.filter(move |finding| {
        !held.contains(&*finding.key.rule) && &*finding.key.rule != stale_rule(look.probe)
    })
    .map(|finding| withdraw(finding, "rule_removed", look.at))
}

/// Ends a finding whose reason for being sampled is gone. It never counts as mended.
pub fn withdraw(finding: &Finding, note: &str, at: DateTime<Utc>) -> Change {
    let from = Some(finding.state);
    let mut finding = finding.clone();
    finding.note = Some(note.to_owned());
    finding.state = FindingState::Withdrawn;
    finding.ended_at = Some(at.max(finding.last_judged));
    Change { finding, step: Move::Stepped { from } }
}

/// What an exception that was made, or that ended, does to an open finding at once.
pub fn except(finding: &Finding, exceptions: &[Exception], at: DateTime<Utc>) -> Option<Change> {
    let covering = Exception::find(exceptions, &finding.key, at);
    let from = finding.state;
    match (from, covering) {
        (FindingState::Confirmed, Some(exception)) => {
            let mut finding = finding.clone();
            accept(&mut finding, exception);
            finding.last_judged = finding.last_judged.max(at);
            Some(Change { finding, step: Move::Stepped { from: Some(from) } })
        }
        // It comes back only when a sample shows it again.
        _ => None,
    }
}

fn is_clean(judgement: &Judgement, finding: &Finding) -> bool {
    let in_doubt = judgement.verdict == Verdict::Unknown && judgement.doubts.is_empty();
    !in_doubt && judgement.is_clean_for(&finding.key.subject)
}

fn birth(rule: &RuleFacts, breach: &Breach, look: &Look<'_>) -> Change {
    let key = FindingKey {
        rule: Arc::clone(&rule.id),
        target: Arc::clone(look.target),
        address: look.address,
        subject: Arc::clone(&breach.subject),
    };
    let mut finding = Finding {
        id: id(&key, look.at),
        key,
        probe: look.probe,
        severity: rule.severity,
        state: FindingState::Suspected,
        measure: Arc::clone(&rule.measure),
        measured: breach.measured.clone(),
        range: Arc::clone(&rule.range),
        summary: rule.summary_of(look.target, &breach.subject, &breach.measured).into(),
        remedy: Arc::clone(&rule.remedy),
        evidence: breach.evidence.clone(),
        controls: Arc::clone(&rule.controls),
        labels: Arc::clone(look.labels),
        shown: breach.shown,
        first_seen: look.at,
        last_seen: look.at,
        last_judged: look.at,
        confirmed_at: None,
        ended_at: None,
        note: None,
        excepted_until: None,
        samples: 1,
        positives: 1,
        clean: 0,
    };
    let lasted = rule.hold.is_zero();
    if lasted && (breach.shown == Evidence::Shown || look.policy.agree() == 1) {
        confirm(&mut finding, look.exceptions);
    }
    Change { finding, step: Move::Stepped { from: None } }
}

fn breached(before: &Finding, rule: &RuleFacts, breach: &Breach, look: &Look<'_>) -> Change {
    let mut finding = before.clone();
    let mut tally = finding.tally();
    tally.count(true, look.at, look.cause);
    finding.set_tally(tally);
    let retold = retell(&mut finding, rule, breach);
    let agreed = breach.shown == Evidence::Shown || finding.positives >= look.policy.agree();
    let age = (look.at - finding.first_seen).to_std().unwrap_or_default();
    let lasted = age >= rule.hold;
    if before.state != FindingState::Suspected || (agreed && lasted) {
        confirm(&mut finding, look.exceptions);
    }
    let step = match finding.state == before.state {
        false => Move::Stepped { from: Some(before.state) },
        true if retold => Move::Retold,
        true => Move::Counted { breached: true },
    };
    Change { finding, step }
}

fn clean(before: &Finding, rule: &RuleFacts, look: &Look<'_>) -> Change {
    let mut finding = before.clone();
    let mut tally = finding.tally();
    tally.count(false, look.at, look.cause);
    finding.set_tally(tally);
    let ends = match finding.state {
        // What must last (`for:`) begins anew after a clean sample. Repeats only measure how
        // often it shows.
        FindingState::Suspected if !rule.hold.is_zero() && finding.shown == Evidence::Shown => {
            look.cause != Cause::Repeat
        }
        FindingState::Suspected => {
            look.policy.disagrees(tally.samples.saturating_sub(tally.positives))
                || (!rule.hold.is_zero() && look.cause != Cause::Repeat)
        }
        _ => {
            look.cause != Cause::Repeat
                && tally.clean
                    >= clean_needed(tally.positives, tally.seen(), look.policy.confidence)
        }
    };
    if !ends {
        return Change { finding, step: Move::Counted { breached: false } };
    }
    finding.state = FindingState::Resolved;
    finding.ended_at = Some(finding.last_judged);
    Change { finding, step: Move::Stepped { from: Some(before.state) } }
}

/// Confirmed, unless somebody accepted the risk.
fn confirm(finding: &mut Finding, exceptions: &[Exception]) {
    match Exception::find(exceptions, &finding.key, finding.last_judged) {
        Some(exception) => accept(finding, exception),
        None if finding.state != FindingState::Confirmed => {
            finding.state = FindingState::Confirmed;
            finding.confirmed_at = Some(finding.last_judged);
            finding.excepted_until = None;
            finding.note = None;
        }
        None => {}
    }
}

fn accept(finding: &mut Finding, exception: &Exception) {
    finding.state = FindingState::Excepted;
    finding.note = Some(exception.reason.clone());
    finding.excepted_until = Some(exception.until);
}

/// Takes over what was measured now, if it says something else. A number that moves by less than a
/// hundredth (the time left until a date) does not: it would write every sample out in full.
fn retell(finding: &mut Finding, rule: &RuleFacts, breach: &Breach) -> bool {
    let close = match (finding.measured.as_f64(), breach.measured.as_f64()) {
        (Some(old), Some(new)) => (old - new).abs() <= old.abs() * 0.01,
        _ => finding.measured == breach.measured,
    };
    let same = close && finding.range == rule.range && finding.remedy == rule.remedy;
    if !same {
        finding.measured = breach.measured.clone();
        finding.evidence.clone_from(&breach.evidence);
        finding.range = Arc::clone(&rule.range);
        let FindingKey { target, subject, .. } = &finding.key;
        finding.summary = rule.summary_of(target, subject, &breach.measured).into();
        finding.remedy = Arc::clone(&rule.remedy);
        finding.controls = Arc::clone(&rule.controls);
    }
    !same
}

/// A finding moves once a sample, though two judgements or breaches name it twice.
fn dedup(changes: Vec<Change>) -> Vec<Change> {
    let mut seen = HashSet::with_capacity(changes.len());
    changes.into_iter().filter(|change| seen.insert(change.finding.key.clone())).collect()
}

/// Sorts by opening: milliseconds since 1970, then a hash that tells one identity from another.
pub(super) fn id(key: &FindingKey, at: DateTime<Utc>) -> String {
    let mut hasher = SipHasher24::new_with_keys(0x5365_6363_6869, 2);
    key.hash(&mut hasher);
    let millis = u64::try_from(at.timestamp_millis()).unwrap_or(0) & 0xffff_ffff_ffff;
    format!("{millis:012x}{:012x}", hasher.finish() & 0xffff_ffff_ffff)
}

/// Open findings of one rule at one sampling point.
const MAX_SUBJECTS: usize = 1000;
