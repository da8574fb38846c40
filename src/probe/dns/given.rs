//! What authorities gave of late, and so what caches may lawfully hold.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::memory::{Baseline, MAX_RECORDS, shortened};

/// What authorities gave of late: a resolver that still gives it is no liar.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Given {
    /// The longest TTL seen.
    ttl: u32,
    /// Values, or the word of a negative answer, with the second they were last given.
    at: BTreeMap<String, i64>,
}

impl Baseline {
    /// Notes what authorities give now, with the TTL that caches keep it for.
    pub(super) fn note(&mut self, key: &str, given: &[(&Answer, u32)], now: i64) {
        if !self.given.contains_key(key) && self.given.len() >= MAX_RECORDS {
            return;
        }
        let entry = self.given.entry(key.to_owned()).or_default();
        for (answer, ttl) in given {
            entry.ttl = entry.ttl.max(*ttl).min(MAX_WINDOW);
            for value in words(answer) {
                entry.at.insert(value, now);
            }
        }
        let since = now - i64::from(entry.ttl);
        entry.at.retain(|_, at| *at >= since);
        while entry.at.len() > MAX_GIVEN {
            let oldest = entry.at.iter().min_by_key(|(_, at)| **at).map(|(value, _)| value.clone());
            oldest.map(|value| entry.at.remove(&value));
        }
        if entry.at.is_empty() {
            self.given.remove(key);
        }
    }

    /// Whether some cache may still hold this answer lawfully.
    pub(super) fn may_be_cached(&self, key: &str, answer: &Answer, now: i64) -> bool {
        let Some(given) = self.given.get(key) else { return false };
        let since = now - i64::from(given.ttl);
        let words = words(answer);
        !words.is_empty()
            && words.iter().all(|value| given.at.get(value).is_some_and(|at| *at >= since))
    }
}

fn words(answer: &Answer) -> BTreeSet<String> {
    match answer {
        Answer::Set(set) => shortened(set.clone()),
        Answer::Nodata => BTreeSet::from(["!nodata".to_owned()]),
        Answer::Nxdomain => BTreeSet::from(["!nxdomain".to_owned()]),
        Answer::Error(_) => BTreeSet::new(),
    }
}

/// Seconds for which a cache may keep an answer, at most (two days).
const MAX_WINDOW: u32 = 48 * 3600;

/// Values of one name and type that a cache may hold.
const MAX_GIVEN: usize = 128;
