//! The learnt baseline: what each name and type showed so far, open until little can be missing,
//! then frozen. What comes after waits for a person.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

use super::answer::Answer;
use super::given::Given;
use super::kept::Kept;
use super::skew::GRACE;
use crate::probe::Memory;

/// What the probe remembers of a target.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Baseline {
    /// By `NAME TYPE`.
    pub(super) records: BTreeMap<String, Learnt>,
    /// By `NAME TYPE`, where recursive servers are asked too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) given: BTreeMap<String, Given>,
    /// The second at which the authorities' serials were first seen to differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    skew_since: Option<i64>,
    /// What was fetched of late.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) kept: BTreeMap<String, Kept>,
}

/// What one name and type showed.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Learnt {
    /// Samples in which at least one authority gave an answer that compares.
    pub(super) samples: u32,
    /// Such answers.
    #[serde(default)]
    answers: u32,
    /// Times that a value came which the sample before did not have.
    #[serde(default)]
    arrivals: u32,
    /// `arrivals` when a value was new the last time.
    #[serde(default)]
    arrivals_at_new: u32,
    /// Whether a value ever came later, or went.
    #[serde(default)]
    varied: bool,
    /// Whether the set is closed.
    pub(super) frozen: bool,
    /// The values, with how often they were seen.
    pub(super) values: BTreeMap<String, Count>,
    /// Values that came after, for a person to accept.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) pending: BTreeSet<String>,
}

/// How often a value was seen.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Count {
    /// Samples in which some authority gave it.
    pub(super) some: u32,
    /// Samples in which every authority that answered gave it.
    pub(super) every: u32,
    /// Times that it came.
    #[serde(default)]
    runs: u32,
    /// Whether the last sample had it.
    #[serde(default)]
    here: bool,
}

impl Learnt {
    /// Values that every sample showed at every authority: only these can be missed.
    pub(super) fn steady(&self) -> impl Iterator<Item = &String> {
        self.values.iter().filter(|(_, count)| count.every >= self.samples).map(|(value, _)| value)
    }

    /// The share of answers that may yet be unseen. A set that never varied: three in the number of
    /// answers (at 95 %). Else by arrivals, for samples that follow one another are no independent
    /// draws where answers stay a while: Good–Turing, the share of those that came once, and no less
    /// than three in the arrivals since one was new.
    pub(super) fn missing_mass(&self) -> f64 {
        if !self.varied {
            return share(3, self.answers);
        }
        let once = self.values.values().filter(|count| count.runs == 1).count();
        let once = share(u32::try_from(once).unwrap_or(u32::MAX), self.arrivals);
        once.max(share(3, self.arrivals - self.arrivals_at_new.min(self.arrivals)))
    }

    fn is_complete(&self, kind: &str) -> bool {
        let most = match (self.varied, BALANCED.contains(&kind)) {
            // Who varies may well have a seldom value.
            (true, _) => MAX_MISSING_VARIED,
            (false, true) => MAX_MISSING,
            (false, false) => MAX_MISSING_CONFIGURED,
        };
        self.missing_mass() <= most
    }

    fn learn(&mut self, kind: &str, answers: &[&Answer]) {
        let sets: Vec<BTreeSet<String>> =
            answers.iter().filter_map(|answer| answer.values()).map(shortened).collect();
        if sets.is_empty() {
            return;
        }
        let union: BTreeSet<&String> = sets.iter().flatten().collect();
        if self.frozen {
            let new = union.into_iter().filter(|value| !self.values.contains_key(*value));
            for value in new {
                if self.pending.len() < MAX_VALUES {
                    self.pending.insert(value.clone());
                }
            }
            return;
        }
        let is_first = self.samples == 0;
        self.samples = self.samples.saturating_add(1);
        self.answers = self.answers.saturating_add(u32::try_from(sets.len()).unwrap_or(u32::MAX));
        for (value, count) in &mut self.values {
            if count.here && !union.contains(value) {
                count.here = false;
                self.varied = true;
            }
        }
        for value in union {
            let is_new = !self.values.contains_key(value);
            let count = self.values.entry(value.clone()).or_default();
            count.some = count.some.saturating_add(1);
            count.every += u32::from(sets.iter().all(|set| set.contains(value)));
            if !count.here {
                count.here = true;
                count.runs = count.runs.saturating_add(1);
                self.arrivals = self.arrivals.saturating_add(1);
                self.varied |= !is_first;
            }
            if is_new {
                self.arrivals_at_new = self.arrivals;
            }
        }
        self.frozen = self.is_complete(kind);
    }
}

fn share(part: u32, whole: u32) -> f64 {
    if whole == 0 { 1.0 } else { (f64::from(part) / f64::from(whole)).min(1.0) }
}

impl Baseline {
    /// What each record's baseline rests on: `NAME TYPE` → how many values it has, whether it is
    /// closed, and the share of answers that may yet be unseen.
    pub(super) fn shown(&self) -> serde_json::Value {
        let facts = |learnt: &Learnt| {
            serde_json::json!({
                "values": learnt.values.len(), "samples": learnt.samples, "frozen": learnt.frozen,
                "missing_mass": (learnt.missing_mass() * 1e4).round() / 1e4,
                "pending": learnt.pending,
            })
        };
        self.records.iter().map(|(key, learnt)| (key.clone(), facts(learnt))).collect()
    }

    /// Notes which servers are behind now, and says whether that began so lately that they may be.
    pub(super) fn is_skew_young(&mut self, behind: &BTreeSet<String>, now: i64) -> bool {
        if behind.is_empty() {
            self.skew_since = None;
            return false;
        }
        let since = *self.skew_since.get_or_insert(now);
        (since..since.saturating_add(GRACE)).contains(&now)
    }
}

impl Baseline {
    /// Reads what was remembered; an unknown version or broken bytes begin anew.
    pub(super) fn read(memory: Option<&Memory>) -> Self {
        memory
            .filter(|memory| memory.version == VERSION)
            .and_then(|memory| serde_json::from_slice(&memory.bytes).ok())
            .unwrap_or_default()
    }

    /// Writes what is to be remembered, within its bound: what is largest and still open goes
    /// first.
    pub(super) fn write(mut self) -> Memory {
        loop {
            let bytes = serde_json::to_vec(&self).unwrap_or_default();
            if bytes.len() <= MAX_BYTES {
                return Memory { version: VERSION, bytes };
            }
            if self.given.pop_last().is_some() {
                continue;
            }
            let heaviest = self
                .records
                .iter()
                .max_by_key(|(_, learnt)| (!learnt.frozen, learnt.weight()))
                .map(|(key, _)| key.clone());
            match heaviest {
                Some(key) => self.records.remove(&key),
                None => return Memory { version: VERSION, bytes: b"{\"records\":{}}".to_vec() },
            };
        }
    }

    /// Takes in one sample's answers of a name and type, those of every authority that gave one.
    pub(super) fn learn(&mut self, key: &str, answers: &[&Answer]) {
        if !self.records.contains_key(key) && self.records.len() >= MAX_RECORDS {
            return;
        }
        let learnt = self.records.entry(key.to_owned()).or_default();
        learnt.learn(key.rsplit(' ').next().unwrap_or_default(), answers);
        // A set without end is no set; it is never judged.
        if learnt.samples == 0 || learnt.values.len() > MAX_VALUES {
            self.records.remove(key);
        }
    }

    /// What is frozen of a name and type.
    pub(super) fn frozen(&self, key: &str) -> Option<&Learnt> {
        self.records.get(key).filter(|learnt| learnt.frozen)
    }
}

impl Learnt {
    fn weight(&self) -> usize {
        self.values.keys().chain(&self.pending).map(String::len).sum()
    }
}

/// Accepts `values` as the whole set of a name and type from now on, as a person's decision. An
/// empty set accepts that there is none. The rest of the memory stays as it is.
pub fn accept(
    memory: Option<&Memory>,
    name: &str,
    kind: &str,
    values: &BTreeSet<String>,
) -> Memory {
    let mut baseline = Baseline::read(memory);
    let key = format!("{} {}", name.trim_end_matches('.').to_ascii_lowercase(), kind);
    let learnt = baseline.records.entry(key).or_default();
    learnt.samples = learnt.samples.max(1);
    // Of a new value nobody knows yet whether every answer has it, so it cannot be missed.
    let new = Count { some: learnt.samples, ..Count::default() };
    let counts = std::mem::take(&mut learnt.values);
    learnt.values = values
        .iter()
        .take(MAX_VALUES)
        .map(|value| short(value))
        .map(|value| (counts.get(&value).copied().unwrap_or(new), value))
        .map(|(count, value)| (value, count))
        .collect();
    learnt.pending.clear();
    learnt.frozen = true;
    baseline.write()
}

/// What waits for a person: by `NAME TYPE`, the values that came after the set was closed.
pub fn pending(memory: Option<&Memory>) -> BTreeMap<String, BTreeSet<String>> {
    Baseline::read(memory)
        .records
        .into_iter()
        .filter(|(_, learnt)| !learnt.pending.is_empty())
        .map(|(key, learnt)| (key, learnt.pending))
        .collect()
}

/// Values in the form that the baseline holds them in.
pub(super) fn shortened(values: BTreeSet<String>) -> BTreeSet<String> {
    values.iter().map(|value| short(value)).collect()
}

/// A long value by its beginning and its digest.
fn short(value: &str) -> String {
    if value.len() <= MAX_TEXT {
        return value.to_owned();
    }
    let digest = SipHasher24::new().hash(value.as_bytes());
    let start: String = value.chars().take(32).collect();
    format!("{start}...({digest:016x})")
}

/// The version of the bytes' form.
const VERSION: u16 = 1;

/// Bytes remembered of one target.
const MAX_BYTES: usize = 32 * 1024;

/// Names and types remembered.
pub(super) const MAX_RECORDS: usize = 128;

/// Values of one name and type.
const MAX_VALUES: usize = 64;

/// Characters of one value; longer ones are remembered by digest.
const MAX_TEXT: usize = 512;

/// Types whose answers balancers rotate.
const BALANCED: [&str; 3] = ["A", "AAAA", "CNAME"];

/// The share of answers that may yet be unseen when a set that never varied closes: 300 answers.
const MAX_MISSING: f64 = 0.01;

/// The same for types that only people and tools change: 30 answers.
const MAX_MISSING_CONFIGURED: f64 = 0.1;

/// The same for a set that varies: 1,000 arrivals since a value was new.
const MAX_MISSING_VARIED: f64 = 0.003;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::probe::dns::answer::Fault;

    fn set(values: &[&str]) -> Answer {
        Answer::Set(values.iter().map(|v| (*v).to_owned()).collect())
    }

    fn learnt(key: &str, samples: impl IntoIterator<Item = Answer>) -> Baseline {
        let mut baseline = Baseline::default();
        for answer in samples {
            baseline.learn(key, &[&answer]);
        }
        baseline
    }

    fn closed(key: &str, samples: usize) -> Baseline {
        learnt(key, std::iter::repeat_n(set(&["1"]), samples))
    }

    #[test]
    fn a_set_that_never_varies_closes_when_little_can_be_missing() {
        assert!(closed("a A", 299).frozen("a A").is_none());
        assert!(closed("a A", 300).frozen("a A").is_some());
        assert!(closed("a MX", 29).frozen("a MX").is_none());
        assert!(closed("a MX", 30).frozen("a MX").is_some());
    }

    #[test]
    fn a_pool_stays_open_while_a_value_came_only_once() {
        let pool = (0..4000).map(|at| match at {
            7 => set(&["seldom"]),
            at if at % 2 == 0 => set(&["1"]),
            _ => set(&["2"]),
        });
        let baseline = learnt("a A", pool);
        let learnt = baseline.frozen("a A").expect("closed");
        assert!(learnt.arrivals - learnt.arrivals_at_new >= 1000, "{learnt:?}");
        let stays = (0..600).map(|at| if at < 200 { set(&["1"]) } else { set(&["2"]) });
        assert!(self::learnt("a A", stays).frozen("a A").is_none(), "two values that stayed");
    }

    #[test]
    fn what_an_authority_gave_is_lawful_in_caches_for_its_ttl() {
        let (old, new) = (set(&["1"]), set(&["2"]));
        let mut baseline = Baseline::default();
        baseline.note("a A", &[(&old, 300)], 1000);
        baseline.note("a A", &[(&new, 300)], 1100);
        assert!(baseline.may_be_cached("a A", &old, 1300));
        assert!(baseline.may_be_cached("a A", &set(&["1", "2"]), 1300));
        assert!(!baseline.may_be_cached("a A", &old, 1301));
        assert!(!baseline.may_be_cached("a A", &set(&["6"]), 1100));
        assert!(!baseline.may_be_cached("a A", &Answer::Nxdomain, 1100));
        baseline.note("a A", &[(&Answer::Nxdomain, 60)], 1200);
        assert!(baseline.may_be_cached("a A", &Answer::Nxdomain, 1201));
    }

    #[test]
    fn an_error_teaches_nothing() {
        let baseline = learnt("a A", [Answer::Error(Fault::Servfail)]);
        assert!(baseline.records.is_empty());
    }

    #[test]
    fn a_closed_set_takes_nothing_in_but_by_acceptance() {
        let mut baseline = closed("a A", 300);
        baseline.learn("a A", &[&set(&["1", "66"])]);
        let closed = baseline.frozen("a A").expect("closed");
        assert!(!closed.values.contains_key("66") && closed.pending.contains("66"));

        let memory = baseline.write();
        assert_eq!(pending(Some(&memory))["a A"], BTreeSet::from(["66".to_owned()]));
        let accepted =
            accept(Some(&memory), "A.", "A", &BTreeSet::from(["1".to_owned(), "66".to_owned()]));
        let baseline = Baseline::read(Some(&accepted));
        assert!(baseline.frozen("a A").expect("closed").values.contains_key("66"));
        assert!(pending(Some(&accepted)).is_empty());
    }

    #[test]
    fn an_unknown_version_begins_anew() {
        let memory = Memory { version: VERSION + 1, bytes: b"{}".to_vec() };
        assert_eq!(Baseline::read(Some(&memory)), Baseline::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn memory_stays_within_its_bound_and_reads_back(
            samples in prop::collection::vec((0usize..300, 0usize..80, 1usize..900), 0..60)
        ) {
            let mut baseline = Baseline::default();
            for (name, values, length) in samples {
                let values = (0..values).map(|value| format!("{value:0length$}\"")).collect();
                baseline.learn(&format!("n{name} TXT"), &[&Answer::Set(values)]);
            }
            let memory = baseline.write();
            prop_assert!(memory.bytes.len() <= MAX_BYTES);
            let again = Baseline::read(Some(&memory)).write();
            prop_assert_eq!(again, memory);
        }

        #[test]
        fn broken_bytes_never_bring_the_probe_down(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Baseline::read(Some(&Memory { version: VERSION, bytes }));
        }
    }
}
