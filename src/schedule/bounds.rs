//! What clean samples prove: upper bounds on prevalence, each worked out once.

use std::collections::HashMap;

use super::Percent;
use super::stats::upper_bound;

/// Upper bounds at one confidence. Most sampling points have the same few counts, so each bound is
/// kept for the next one who asks.
#[derive(Clone, Debug)]
pub struct UpperBounds {
    confidence: f64,
    known: HashMap<(u64, u64), f64>,
}

impl UpperBounds {
    /// None worked out yet.
    pub fn new(confidence: Percent) -> Self {
        Self { confidence: confidence.share(), known: HashMap::new() }
    }

    /// The share of faulty samples that `positives` of `samples` leave possible: the exact binomial
    /// bound (Clopper and Pearson 1934, one-sided). Of no samples nothing is known: 1.
    pub fn of(&mut self, positives: u64, samples: u64) -> f64 {
        if let Some(bound) = self.known.get(&(positives, samples)) {
            return *bound;
        }
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let bound = upper_bound(positives, samples, self.confidence).unwrap_or(1.0);
        self.known.insert((positives, samples), bound);
        bound
    }
}

const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_the_same_each_time_and_of_nothing_nothing_is_known() {
        let mut bounds = UpperBounds::new("95%".parse().expect("a share"));
        for _ in 0..2 {
            assert!((bounds.of(0, 59) - (1.0 - 0.05_f64.powf(1.0 / 59.0))).abs() < 1e-9);
            assert!((bounds.of(0, 0) - 1.0).abs() < 1e-9);
            assert!((bounds.of(7, 7) - 1.0).abs() < 1e-9);
        }
        assert!(bounds.of(0, 60) < bounds.of(0, 59) && bounds.of(1, 60) > bounds.of(0, 60));
        for n in 0..3 * MOST as u64 {
            bounds.of(n, n);
        }
        assert!(bounds.known.len() <= MOST);
    }
}
