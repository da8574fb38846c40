//! Drift: what a site's responses mean now, held against what they meant before.
//!
//! Only meaning is compared (`meaning`), never bytes: nonces, cookie values, the order and case of
//! fields are not in it. Each stratum (path, protocol, class of status) has a window of its last
//! samples. A meaning that alternates with a known one is a variant and no news; one that has the
//! window's majority is what the site is now. Cookies come and go: their union over the window is
//! compared.

mod diff;
mod meaning;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(super) use diff::Change;
#[cfg(test)]
pub(super) use diff::Direction;
pub(super) use meaning::Meaning;

/// What is known of a point, by stratum; bounded.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Past {
    strata: BTreeMap<String, Window>,
}

/// Why a sample is taken, as far as drift is concerned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Occasion {
    /// Again and again, with repeats where something is seen.
    ByPlan,
    /// A few times in a row, or once.
    ByHand,
}

/// One of several meanings that alternate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Share {
    /// Of the window's samples, 0 to 1.
    share: f64,
    /// From the most frequent one, in words.
    differs: Vec<String>,
}

/// The last samples of one stratum.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
struct Window {
    /// The meanings seen, with what is known of each.
    variants: Vec<Variant>,
    /// Which of them each of the last samples had, oldest first; empty while there was only one.
    recent: Vec<u8>,
    /// Every cookie seen, with its flags.
    cookies: BTreeMap<String, Cookie>,
    /// How many samples were taken; ends at [`LEARNING`].
    age: u8,
    /// In which facts the last two samples departed.
    departed: Vec<Vec<String>>,
    /// Of the last nonces, what tells them apart.
    nonces: Vec<u64>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Variant {
    meaning: Meaning,
    /// Whether it is how the site is known to be.
    is_known: bool,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Cookie {
    flags: String,
    /// In how many samples, up to [`SETTLED`].
    seen: u8,
}

impl Past {
    /// Takes in one usable sample, and tells what it means that the site did not mean before.
    /// `cookies` are names with their flags. By plan every departure is told, and repeat samples
    /// decide; by hand there are none, so that two of three samples must agree, and all three where
    /// little was seen before.
    pub(super) fn step(
        &mut self,
        stratum: &str,
        meaning: &Meaning,
        cookies: &[(String, String)],
        occasion: Occasion,
    ) -> Vec<Change> {
        if !self.strata.contains_key(stratum) && self.strata.len() >= MAX_STRATA {
            // The one that is least known makes room.
            let least = self.strata.iter().min_by_key(|(_, window)| window.age);
            if let Some(least) = least.map(|(name, _)| name.clone()) {
                self.strata.remove(&least);
            }
        }
        let window = self.strata.entry(stratum.to_owned()).or_default();
        let mut changes = window.step(meaning, window.age < occasion.learning());
        // Cookies come and go: what is one of them shows only after a few samples.
        let is_learning = window.age < occasion.learning().max(SETTLED);
        changes.extend(window.step_cookies(cookies, is_learning));
        window.age = window.age.saturating_add(1).min(LEARNING);
        changes.truncate(MAX_CHANGES);
        let fields = changes.iter().map(|change| change.field.clone()).collect();
        if occasion == Occasion::ByHand {
            let is_young = window.age < LEARNING;
            let agreeing = if is_young { 2 } else { 1 };
            let departed = |change: &Change| {
                window.departed.iter().filter(|fields| fields.contains(&change.field)).count()
            };
            changes.retain(|change| departed(change) >= agreeing);
        }
        window.departed.push(fields);
        let surplus = window.departed.len().saturating_sub(2);
        window.departed.drain(..surplus);
        changes
    }

    /// The meanings that the stratum's last samples share among them, where there are several: how
    /// often each was seen, and in what it differs from the most frequent.
    pub(super) fn variants(&self, stratum: &str) -> Vec<Share> {
        let Some(window) = self.strata.get(stratum) else { return Vec::new() };
        let mut shares: Vec<(usize, &Variant)> = window
            .variants
            .iter()
            .enumerate()
            .map(|(at, variant)| (window.count(at), variant))
            .filter(|(count, _)| count * 10 >= window.recent.len().max(1))
            .collect();
        shares.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let Some((_, most)) = shares.first().copied() else { return Vec::new() };
        if shares.len() < 2 {
            return Vec::new();
        }
        let share = |(count, variant): &(usize, &Variant)| Share {
            share: *count as f64 / window.recent.len() as f64,
            differs: diff::between(&most.meaning, &variant.meaning)
                .into_iter()
                .take(MAX_CHANGES)
                .map(|change| change.change)
                .collect(),
        };
        shares.iter().map(share).collect()
    }

    /// Whether one of these nonces was there in an earlier sample; `None` where there was none
    /// before, or is none now.
    pub(super) fn reuses(&mut self, stratum: &str, nonces: &[u64]) -> Option<bool> {
        let window = self.strata.get_mut(stratum)?;
        let is_told = !nonces.is_empty() && !window.nonces.is_empty();
        let is_reused = nonces.iter().any(|nonce| window.nonces.contains(nonce));
        window.nonces.extend_from_slice(&nonces[..nonces.len().min(4)]);
        let surplus = window.nonces.len().saturating_sub(WINDOW);
        window.nonces.drain(..surplus);
        is_told.then_some(is_reused)
    }
}

impl Occasion {
    fn learning(self) -> u8 {
        match self {
            Self::ByPlan => LEARNING,
            Self::ByHand => LEARNING_BY_HAND,
        }
    }
}

impl Window {
    fn step(&mut self, meaning: &Meaning, is_learning: bool) -> Vec<Change> {
        let found = self.variants.iter().position(|variant| variant.meaning == *meaning);
        // As a rule nothing changed, and nothing need be held against anything.
        if let Some(at) = found.filter(|&at| self.variants[at].is_known) {
            self.note(at);
            return Vec::new();
        }
        let reference = self.reference();
        let at = found.unwrap_or_else(|| self.admit(meaning, is_learning));
        self.note(at);
        if self.variants[at].is_known {
            return Vec::new();
        }
        let Some(reference) = reference else {
            self.variants[at].is_known = true;
            return Vec::new();
        };
        let changes = diff::between(&reference, meaning);
        if self.has_majority(at) {
            self.variants.iter_mut().for_each(|variant| variant.is_known = false);
            self.variants[at].is_known = true;
        } else if self.alternates(at) {
            self.variants[at].is_known = true;
            return Vec::new();
        }
        changes
    }

    fn note(&mut self, at: usize) {
        // Where there is one meaning there is nothing to count, and nothing new to remember.
        if self.variants.len() == 1 {
            return;
        }
        self.recent.push(u8::try_from(at).unwrap_or(u8::MAX));
        let surplus = self.recent.len().saturating_sub(WINDOW);
        self.recent.drain(..surplus);
    }

    /// The meaning that the next one is held against: the known one seen last.
    fn reference(&self) -> Option<Meaning> {
        let known = |&&at: &&u8| self.variants.get(usize::from(at)).is_some_and(|v| v.is_known);
        let last = self.recent.iter().rev().find(known);
        let variant = match last {
            Some(&at) => self.variants.get(usize::from(at)),
            None => self.variants.iter().find(|variant| variant.is_known),
        };
        variant.map(|variant| variant.meaning.clone())
    }

    /// A place for a new meaning; where there is none, an unknown one that was not seen for longest
    /// gives way.
    fn admit(&mut self, meaning: &Meaning, is_known: bool) -> usize {
        let variant = Variant { meaning: meaning.clone(), is_known };
        if self.variants.len() < MAX_VARIANTS {
            if self.variants.len() == 1 && self.recent.is_empty() {
                let count = if self.age < LEARNING { usize::from(self.age) } else { WINDOW };
                self.recent = vec![0; count];
            }
            self.variants.push(variant);
            return self.variants.len() - 1;
        }
        let last_seen = |at: usize| {
            self.recent.iter().rposition(|&recent| usize::from(recent) == at).map_or(0, |p| p + 1)
        };
        let oldest = (0..self.variants.len())
            .min_by_key(|&at| (self.variants[at].is_known, last_seen(at)))
            .unwrap_or_default();
        // What its number meant before is forgotten.
        let gone = u8::try_from(oldest).unwrap_or(u8::MAX);
        self.recent.iter_mut().filter(|at| **at == gone).for_each(|at| *at = u8::MAX);
        self.variants[oldest] = variant;
        oldest
    }

    fn count(&self, at: usize) -> usize {
        self.recent.iter().filter(|&&recent| usize::from(recent) == at).count()
    }

    /// More than half of a full window.
    fn has_majority(&self, at: usize) -> bool {
        self.count(at) * 2 > WINDOW
    }

    /// Seen twice, with a known one in between.
    fn alternates(&self, at: usize) -> bool {
        let first = self.recent.iter().position(|&recent| usize::from(recent) == at);
        let is_known = |&recent: &u8| {
            self.variants.get(usize::from(recent)).is_some_and(|variant| variant.is_known)
        };
        self.count(at) >= 2 && first.is_some_and(|first| self.recent[first..].iter().any(is_known))
    }

    fn step_cookies(&mut self, cookies: &[(String, String)], is_learning: bool) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, flags) in cookies {
            let count = self.cookies.len();
            match self.cookies.get_mut(name) {
                Some(known) if known.flags == *flags => {
                    known.seen = (known.seen + 1).min(SETTLED);
                    let is_new = known.seen < SETTLED;
                    changes.extend(is_new.then(|| diff::cookie(name, None, flags)));
                }
                Some(known) => {
                    let change = diff::cookie(name, Some(&known.flags), flags);
                    known.seen = known.seen.saturating_sub(1);
                    // Another set of flags is the known one once it is seen often enough.
                    if known.seen == 0 || is_learning {
                        *known = Cookie { flags: flags.clone(), seen: SETTLED };
                    }
                    changes.extend((!is_learning).then_some(change));
                }
                None if count < MAX_COOKIES => {
                    let seen = if is_learning { SETTLED } else { 1 };
                    self.cookies.insert(name.clone(), Cookie { flags: flags.clone(), seen });
                    changes.extend((!is_learning).then(|| diff::cookie(name, None, flags)));
                }
                None => {}
            }
        }
        changes
    }
}

/// Samples of a window.
const WINDOW: usize = 20;
/// Samples during which everything is taken for known.
const LEARNING: u8 = 10;
/// By hand there is no grace: what comes first is what the rest is held against.
const LEARNING_BY_HAND: u8 = 1;
/// Sightings after which a cookie is known.
const SETTLED: u8 = 4;
const MAX_STRATA: usize = 4;
const MAX_VARIANTS: usize = 4;
const MAX_COOKIES: usize = 64;
const MAX_CHANGES: usize = 32;
