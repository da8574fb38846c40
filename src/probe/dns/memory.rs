//! The learnt baseline: what each name and type showed so far, open until little can be missing,
//! then frozen. What comes after waits for a person.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher24;

use super::answer::Answer;
use crate::probe::Memory;

/// What the probe remembers of a target.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Baseline {
    /// By `NAME TYPE`.
    pub(super) records: BTreeMap<String, Learnt>,
}

/// What one name and type showed.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Learnt {
    /// Samples in which at least one authority gave an answer that compares.
    pub(super) samples: u32,
    /// Samples since a value was new.
    pub(super) calm: u32,
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
}

impl Learnt {
    /// Values that every sample showed at every authority: only these can be missed.
    pub(super) fn steady(&self) -> impl Iterator<Item = &String> {
        self.values.iter().filter(|(_, count)| count.every >= self.samples).map(|(value, _)| value)
    }

    /// Good–Turing: the share of answers yet unseen is about that of values seen once.
    fn is_complete(&self) -> bool {
        let singletons = self.values.values().filter(|count| count.some == 1).count();
        self.samples >= MIN_SAMPLES
            && self.calm >= MIN_CALM
            && singletons as f64 / f64::from(self.samples) < MAX_MISSING
    }

    fn learn(&mut self, answers: &[&Answer]) {
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
        self.samples = self.samples.saturating_add(1);
        self.calm = self.calm.saturating_add(1);
        for value in union {
            if !self.values.contains_key(value) {
                self.calm = 0;
            }
            let count = self.values.entry(value.clone()).or_default();
            count.some += 1;
            count.every += u32::from(sets.iter().all(|set| set.contains(value)));
        }
        // The first sample shows nothing new: there was nothing to hold it against.
        if self.samples == 1 {
            self.calm = 0;
        }
        self.frozen = self.is_complete();
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
        learnt.learn(answers);
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
    learnt.samples = learnt.samples.max(MIN_SAMPLES);
    // Of a new value nobody knows yet whether every answer has it, so it cannot be missed.
    let new = Count { some: learnt.samples, every: 0 };
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
const MAX_RECORDS: usize = 128;

/// Values of one name and type.
const MAX_VALUES: usize = 64;

/// Characters of one value; longer ones are remembered by digest.
const MAX_TEXT: usize = 512;

/// Samples before a set may close.
const MIN_SAMPLES: u32 = 3;

/// Samples without a new value before a set may close.
const MIN_CALM: u32 = 3;

/// The share of answers that may yet be unseen when a set closes.
const MAX_MISSING: f64 = 0.01;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::probe::dns::answer::Fault;

    fn set(values: &[&str]) -> Answer {
        Answer::Set(values.iter().map(|v| (*v).to_owned()).collect())
    }

    fn learnt(samples: &[&[Answer]]) -> Baseline {
        let mut baseline = Baseline::default();
        for answers in samples {
            baseline.learn("a A", &answers.iter().collect::<Vec<_>>());
        }
        baseline
    }

    #[test]
    fn a_set_closes_after_three_samples_without_anything_new() {
        let one = [set(&["1"])];
        assert!(learnt(&[&one, &one, &one]).frozen("a A").is_none());
        assert!(learnt(&[&one, &one, &one, &one]).frozen("a A").is_some());
    }

    #[test]
    fn a_pool_stays_open_while_values_were_seen_only_once() {
        let pool: Vec<[Answer; 1]> =
            ["1", "2", "3", "1", "2", "1"].map(|value| [set(&[value])]).into();
        let samples: Vec<&[Answer]> = pool.iter().map(|s| s.as_slice()).collect();
        let baseline = learnt(&samples);
        assert!(baseline.frozen("a A").is_none(), "3 was seen once in 6");
    }

    #[test]
    fn an_error_teaches_nothing() {
        let baseline = learnt(&[&[Answer::Error(Fault::Servfail)]]);
        assert!(baseline.records.is_empty());
    }

    #[test]
    fn a_closed_set_takes_nothing_in_but_by_acceptance() {
        let one = [set(&["1"])];
        let mut baseline = learnt(&[&one, &one, &one, &one]);
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
