//! Judging one sample by one rule.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::range::{Fact, Quantity, Ruling, seconds_left};
use super::route::{Index, Place, Route, What};
use super::rule::{Condition, Held};
use crate::sample::{
    Breach, Doubt, Evidence, Judgement, Measurements, Outcome, Reason, Sample, Unknown, Verdict,
    clean, in_short, span_in_words,
};

/// Judges a sample by every rule of its probe. A sample without measurements leaves every rule
/// unknown; without a time, so is every rule about the time left.
pub(super) fn judge_all<'a>(
    sample: &Sample,
    now: Option<DateTime<Utc>>,
    rules: impl Iterator<Item = &'a Arc<Held>>,
) -> Vec<Judgement> {
    let rules = rules.filter(|rule| rule.probe == sample.probe);
    match &sample.outcome {
        Outcome::Unknown(unknown) => rules.map(|rule| unknown_as_a_whole(rule, unknown)).collect(),
        Outcome::Measured(facts) => {
            let index = OnceCell::new();
            let bench = Bench { facts, index: &index, now };
            rules.map(|rule| bench.judge(rule)).collect()
        }
    }
}

/// Whether a sample looked at what the rule is about. One that did not set out to names the fact as
/// not observed, without saying what stood in the way.
pub(super) fn is_looked_at(rule: &Held, sample: &Sample) -> bool {
    let Outcome::Measured(facts) = &sample.outcome else { return true };
    let is_there = |fact: &str| match facts.fact(fact) {
        None => false,
        Some(Value::Null) => facts
            .unknowns()
            .get(fact)
            .is_none_or(|why| why.reason != Reason::NotObserved || why.detail.is_some()),
        Some(_) => true,
    };
    let of_sample = rule.conditions.iter().filter(|condition| condition.of_sample);
    std::iter::once(&rule.route)
        .chain(of_sample.map(|condition| &condition.route))
        .all(|route| route.fact().is_none_or(is_there))
}

fn unknown_as_a_whole(rule: &Held, unknown: &Unknown) -> Judgement {
    let mut tally = Tally::default();
    tally.doubt(None, unknown);
    tally.into_judgement(rule)
}

/// One sample, laid out to be judged by many rules.
struct Bench<'a> {
    facts: &'a Measurements,
    /// Made by the first rule that needs it.
    index: &'a OnceCell<Index<'a>>,
    now: Option<DateTime<Utc>>,
}

impl<'a> Bench<'a> {
    fn index(&self) -> &'a Index<'a> {
        self.index.get_or_init(|| Index::new(self.facts))
    }

    fn judge(&self, rule: &Held) -> Judgement {
        let Some(judgement) = self.at_a_glance(rule) else { return self.look_closely(rule) };
        debug_assert_eq!(judgement, self.look_closely(rule), "at a glance it was another");
        judgement
    }

    /// The judgement where there is little to tell: what the rule asks for is one value, known and in
    /// range, or nothing is known of its fact, or a list is empty, or its condition plainly fails.
    /// Most rules of most samples end here; `None` sends the rule the long way round, to the same
    /// judgement.
    fn at_a_glance(&self, rule: &Held) -> Option<Judgement> {
        let mut tally = Tally::default();
        let is_barren = rule.route.is_barren(self.facts);
        for condition in rule.conditions.iter() {
            // Where there are no items, none has to meet it.
            if !condition.of_sample && is_barren {
                continue;
            }
            if !condition.of_sample || condition.per_item {
                return None;
            }
            match self.glance(&condition.route, &condition.range)? {
                Glance::Untold(why) => {
                    tally.doubt(None, &why);
                    return Some(tally.into_judgement(rule));
                }
                Glance::Told(ruling) if !ruling.breaches.is_empty() => {
                    return Some(tally.into_judgement(rule));
                }
                Glance::Told(ruling) if !ruling.doubts.is_empty() => return None,
                Glance::Told(_) => {}
            }
        }
        if is_barren {
            tally.judged = rule.per_item;
            return Some(tally.into_judgement(rule));
        }
        match self.glance(&rule.route, &rule.range)? {
            Glance::Untold(why) => tally.doubt(None, &why),
            Glance::Told(ruling) => {
                tally.judged = ruling.breaches.is_empty() && ruling.doubts.is_empty();
                if rule.per_item || !tally.judged {
                    return None;
                }
            }
        }
        Some(tally.into_judgement(rule))
    }

    fn glance(&self, route: &Route, range: &super::Range) -> Option<Glance> {
        if let Some(why) = route.untold(self.facts) {
            return Some(Glance::Untold(why));
        }
        let value = route.one(self.facts)?;
        let fact = Fact { value, whole: None, members: BTreeMap::new(), now: self.now };
        Some(Glance::Told(range.check(&fact)))
    }

    fn look_closely(&self, rule: &Held) -> Judgement {
        let mut tally = Tally::default();
        let walk = |route: &Route| route.walk(self.facts, self.index());
        for condition in rule.conditions.iter().filter(|condition| condition.of_sample) {
            match self.holds(condition, walk(&condition.route).iter()) {
                Holds::Yes => {}
                Holds::No => return tally.into_judgement(rule),
                Holds::Unknown(unknown) => {
                    tally.doubt(None, &unknown);
                    return tally.into_judgement(rule);
                }
            }
        }
        let of_items = rule.conditions.iter().filter(|condition| !condition.of_sample);
        let of_items: Vec<_> = of_items.map(|held| (held, walk(&held.route))).collect();
        // That a list has no such item is a measured fact.
        tally.judged = rule.per_item;
        for place in walk(&rule.route) {
            let mut applies = Holds::Yes;
            for (condition, beside) in &of_items {
                let beside = beside.iter().filter(|other| place.is_beside(other));
                match (self.holds(condition, beside), &applies) {
                    (Holds::No, _) => applies = Holds::No,
                    (unknown @ Holds::Unknown(_), Holds::Yes) => applies = unknown,
                    _ => {}
                }
            }
            // A place outside of any item stands for items that were not seen: no condition that
            // fails elsewhere settles those.
            let is_item = place.depth() == rule.route.depth();
            match (applies, &place.what) {
                (Holds::No, What::Value(_)) => {}
                (Holds::No, What::Unknown(_)) if is_item => {}
                (Holds::Unknown(unknown), What::Value(_)) => tally.doubt_place(&place, &unknown),
                _ => self.judge_place(rule, &place, &mut tally),
            }
        }
        tally.into_judgement(rule)
    }

    fn judge_place(&self, rule: &Held, place: &Place<'a>, tally: &mut Tally) {
        let value = match &place.what {
            What::Unknown(unknown) if unknown.reason == Reason::NotApplicable => {
                // A list that cannot exist has no items to bar, but no fact either.
                tally.judged &= !rule.per_item;
                return;
            }
            What::Unknown(unknown) | What::More(unknown) => {
                return tally.doubt_place(place, unknown);
            }
            What::Value(value) => *value,
        };
        tally.judged = true;
        if rule.per_item {
            tally.breach(place, None, self.breach_of_item(rule, place, value));
            return;
        }
        let ruling = self.rule_on(&rule.range, place, value);
        for broken in ruling.breaches {
            let shown = match (rule.measure.evidence)(place.item.unwrap_or(value)) {
                Evidence::Shown if broken.missed => Evidence::Missed,
                evidence => evidence,
            };
            let evidence = match (&broken.member, broken.missed) {
                (Some(member), false) => {
                    format!("{} has {member}{}", place.shown_path, self.witness(member))
                }
                (Some(member), true) => {
                    format!("{} lacks {member}: {}", place.shown_path, in_short(value))
                }
                (None, _) => self.evidence_of_scalar(rule, place, value),
            };
            let breach = Breach {
                subject: "".into(),
                measured: broken.measured,
                evidence: clean(&evidence, MAX_EVIDENCE),
                shown,
            };
            tally.breach(place, broken.member.as_deref(), breach);
        }
        for (member, unknown) in ruling.doubts {
            tally.doubt(subject_of(place, member.as_deref()), &unknown);
        }
    }

    fn rule_on(&self, range: &super::Range, place: &Place<'a>, value: &Value) -> Ruling {
        let members = match value {
            Value::Array(_) => place
                .paths
                .iter()
                .flat_map(|path| self.index().below(path))
                .filter(|(_, below, _)| below.is_empty())
                .map(|(member, _, unknown)| (member, unknown))
                .collect(),
            _ => BTreeMap::new(),
        };
        range.check(&Fact { value, whole: self.index().why(&place.paths), members, now: self.now })
    }

    fn breach_of_item(&self, rule: &Held, place: &Place<'a>, value: &Value) -> Breach {
        Breach {
            subject: "".into(),
            measured: value.clone(),
            evidence: clean(&format!("{}: {value}", place.shown_path), MAX_EVIDENCE),
            shown: (rule.measure.evidence)(value),
        }
    }

    /// With what the member of a set was seen, where the probe says so.
    fn witness(&self, member: &str) -> String {
        let witnesses = self.facts.fact("witnesses").and_then(Value::as_object);
        let witness = witnesses.and_then(|all| all.get(member)?.as_str());
        witness.map_or_else(String::new, |witness| format!(" ({witness})"))
    }

    fn evidence_of_scalar(&self, rule: &Held, place: &Place<'a>, value: &Value) -> String {
        let left = match (rule.range.quantity, value) {
            (Quantity::Left, Value::String(text)) => {
                self.now.and_then(|now| seconds_left(text, now))
            }
            _ => None,
        };
        match left {
            Some(left) => {
                format!("{} = {} ({} left)", place.shown_path, in_short(value), span_in_words(left))
            }
            None => format!("{} = {}", place.shown_path, in_short(value)),
        }
    }

    fn holds<'p>(&self, condition: &Condition, places: impl Iterator<Item = &'p Place<'a>>) -> Holds
    where
        'a: 'p,
    {
        let (mut values, mut unknown) = (0, None);
        for place in places {
            match &place.what {
                What::Unknown(why) if why.reason == Reason::NotApplicable => return Holds::No,
                What::Unknown(why) | What::More(why) => unknown = Some(why.clone()),
                What::Value(_) if condition.per_item => return Holds::No,
                What::Value(value) => {
                    values += 1;
                    let mut ruling = self.rule_on(&condition.range, place, value);
                    if !ruling.breaches.is_empty() {
                        return Holds::No;
                    }
                    unknown = ruling.doubts.pop().map(|(_, why)| why).or(unknown);
                }
            }
        }
        match unknown {
            Some(why) => Holds::Unknown(why),
            None if values > 0 || condition.per_item => Holds::Yes,
            None => Holds::No,
        }
    }
}

/// What is seen of one value at a glance.
enum Glance {
    Told(Ruling),
    Untold(Unknown),
}

enum Holds {
    Yes,
    No,
    Unknown(Unknown),
}

fn subject_of(place: &Place<'_>, member: Option<&str>) -> Option<Arc<str>> {
    let mut words: Vec<&str> = place.subject.iter().map(String::as_str).collect();
    words.extend(member);
    (!words.is_empty()).then(|| clean(&words.join(" "), MAX_SUBJECT).into())
}

/// What came of a rule's places, one entry a subject.
#[derive(Default)]
struct Tally {
    /// Whether anything was judged at all.
    judged: bool,
    breaches: BTreeMap<Arc<str>, Breach>,
    doubts: BTreeMap<Option<Arc<str>>, Unknown>,
}

impl Tally {
    fn breach(&mut self, place: &Place<'_>, member: Option<&str>, breach: Breach) {
        let subject = subject_of(place, member).unwrap_or_default();
        if self.breaches.len() >= MAX_SUBJECTS && !self.breaches.contains_key(&subject) {
            let words = format!("more than {MAX_SUBJECTS} subjects are out of range");
            self.doubt(None, &Unknown::new(Reason::Budget, words));
            return;
        }
        self.breaches.entry(Arc::clone(&subject)).or_insert_with(|| Breach { subject, ..breach });
    }

    fn doubt_place(&mut self, place: &Place<'_>, unknown: &Unknown) {
        self.doubt(subject_of(place, None), unknown);
    }

    fn doubt(&mut self, subject: Option<Arc<str>>, unknown: &Unknown) {
        if unknown.reason == Reason::NotApplicable {
            return;
        }
        // What one doubt too many does not name, the doubt about the whole covers.
        let subject = subject.filter(|_| self.doubts.len() < MAX_SUBJECTS);
        self.doubts.entry(subject).or_insert_with(|| unknown.clone());
    }

    fn into_judgement(self, rule: &Held) -> Judgement {
        let verdict = if !self.breaches.is_empty() {
            Verdict::OutOfRange
        } else if !self.doubts.is_empty() {
            Verdict::Unknown
        } else if self.judged {
            Verdict::InRange
        } else {
            Verdict::NotApplicable
        };
        let doubts = self.doubts.into_iter();
        Judgement {
            rule: Arc::clone(&rule.facts),
            verdict,
            breaches: self.breaches.into_values().collect(),
            doubts: doubts.map(|(subject, unknown)| Doubt { subject, unknown }).collect(),
        }
    }
}

const MAX_EVIDENCE: usize = 512;
const MAX_SUBJECT: usize = 300;
/// Each subject is a finding; a sample with more than this has another problem.
const MAX_SUBJECTS: usize = 1_024;
