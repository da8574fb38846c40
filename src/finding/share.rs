//! How often a fault shows, and how many clean samples prove that it is mended (DESIGN §4.6).

use serde::Serialize;
use statrs::function::beta::inv_beta_reg;

use super::Finding;

/// How often a finding's fault shows at its sampling point: of the samples that could judge it, the
/// one that saw it first left out, for it is the reason why anybody counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// Samples that were out of range.
    pub positives: u32,
    /// Samples.
    pub samples: u32,
    /// Their ratio; `None` before there is a sample.
    pub estimate: Option<f64>,
    /// The ends of the exact binomial interval (Clopper–Pearson), each wrong with half of what
    /// `confidence` leaves.
    pub lower: f64,
    /// See `lower`.
    pub upper: f64,
    /// 0.95.
    pub confidence: f64,
}

impl Finding {
    /// How often its fault shows.
    pub fn share(&self) -> Share {
        Share::of(self.positives.saturating_sub(1), self.samples.saturating_sub(1))
    }
}

impl Share {
    fn of(positives: u32, samples: u32) -> Self {
        let positives = positives.min(samples);
        let estimate = (samples > 0).then(|| f64::from(positives) / f64::from(samples));
        // The quantile's series ends within some thousand samples, and beyond may not end at all;
        // fewer of them only widen it.
        let n = f64::from(samples).min(MOST_COUNTED);
        let x = estimate.unwrap_or(0.0) * n;
        let tail = (1.0 - CONFIDENCE) / 2.0;
        let lower = if positives == 0 { 0.0 } else { inv_beta_reg(x, n - x + 1.0, tail) };
        let upper =
            if positives == samples { 1.0 } else { inv_beta_reg(x + 1.0, n - x, 1.0 - tail) };
        Self { positives, samples, estimate, lower, upper, confidence: CONFIDENCE }
    }

    /// In words: `1 of 8 samples since (12.5 %; 0.3 to 52.7 % with 95 % confidence)`.
    pub fn words(&self) -> String {
        let percent = |share: f64| format!("{:.1}", share * 100.0);
        let Some(estimate) = self.estimate else { return "seen once, not looked at since".into() };
        format!(
            "{} of {} samples since ({} %; {} to {} % with 95 % confidence)",
            self.positives,
            self.samples,
            percent(estimate),
            percent(self.lower),
            percent(self.upper),
        )
    }
}

/// Clean samples in a row, taken for other reasons than to repeat, that end a finding which showed
/// on `positives` of `seen` samples.
///
/// A fault that shows on a share s of samples hides from n of them with probability (1 − s)ⁿ, so
/// the finding ends at the smallest n with (1 − s)ⁿ < 1 − `confidence`. For s stands the exact
/// binomial (Clopper–Pearson) lower bound at even odds, the median of Beta(x, n − x + 1): the share
/// is as likely above it as below. A stricter bound would ask 458 clean samples of a fault that was
/// seen once in one look; the confidence in being mended comes from the clean samples.
///
/// `seen` counts all samples up to the last breach and the repeats after it; the clean streak
/// itself stays out, else a fault seen once could never end. With `confidence` 0.99:
///
/// | positives / seen | clean samples |
/// |---|---|
/// | 1 / 1 (no repeats) | 7 |
/// | 4 / 4 (a permanent fault, three repeats) | 3 |
/// | 7 / 7 and more | 2 |
/// | 1 / 4 (an intermittent one) | 27 |
/// | 1 / 10 | 67 |
///
/// It is never less than two: after a change the past share says nothing of a fleet that is half
/// mended, so one clean look proves nothing.
pub fn clean_needed(positives: u32, seen: u32, confidence: f64) -> u32 {
    let positives = positives.max(1);
    let seen = seen.max(positives);
    let share = if positives == seen {
        0.5_f64.powf(1.0 / f64::from(seen))
    } else {
        let n = f64::from(seen).min(MOST_COUNTED);
        let x = f64::from(positives) / f64::from(seen) * n;
        inv_beta_reg(x, n - x + 1.0, 0.5)
    };
    let confidence = if confidence.is_finite() { confidence.clamp(0.5, 0.999_999) } else { 0.99 };
    let needed = (1.0 - confidence).ln() / (1.0 - share).ln();
    // NaN and infinity (a share of nought) fall to the most that is ever asked.
    if needed.is_finite() { (needed.floor() as u32 + 1).clamp(LEAST, MOST) } else { MOST }
}

const CONFIDENCE: f64 = 0.95;
const MOST_COUNTED: f64 = 5_000.0;
const LEAST: u32 = 2;
const MOST: u32 = 10_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_table_of_the_documentation_holds() {
        for (positives, seen, needed) in
            [(1, 1, 7), (4, 4, 3), (7, 7, 2), (1000, 1000, 2), (1, 4, 27), (1, 10, 67)]
        {
            assert_eq!(clean_needed(positives, seen, 0.99), needed, "{positives}/{seen}");
        }
    }

    #[test]
    fn a_share_has_the_exact_binomial_interval() {
        let share = Share::of(1, 8);
        assert!((share.lower - 0.003_16).abs() < 1e-4, "{share:?}");
        assert!((share.upper - 0.526_51).abs() < 1e-4, "{share:?}");
        assert_eq!(
            share.words(),
            "1 of 8 samples since (12.5 %; 0.3 to 52.7 % with 95 % confidence)"
        );
        let (none, all) = (Share::of(0, 0), Share::of(4, 4));
        assert_eq!((none.estimate, none.lower, none.upper), (None, 0.0, 1.0));
        assert!(all.upper == 1.0 && (all.lower - 0.397_6).abs() < 1e-3, "{all:?}");
    }

    #[test]
    fn counts_of_billions_are_answered_at_once() {
        for (x, n) in [(1, u32::MAX), (u32::MAX / 2, u32::MAX), (u32::MAX - 1, u32::MAX)] {
            assert!((LEAST..=MOST).contains(&clean_needed(x, n, 0.99)), "{x}/{n}");
        }
    }

    proptest! {
        #[test]
        fn a_share_lies_in_its_interval_however_many_samples_there_were(x: u32, n: u32) {
            let share = Share::of(x, n);
            prop_assert!((0.0..=1.0).contains(&share.lower) && (0.0..=1.0).contains(&share.upper));
            let estimate = share.estimate.unwrap_or(0.5);
            prop_assert!(share.lower <= estimate + 1e-6 && estimate <= share.upper + 1e-6, "{share:?}");
        }

        #[test]
        fn a_rarer_fault_never_needs_fewer_clean_samples(x in 1u32..200, more in 0u32..200, c in 0.6..0.999f64) {
            let seen = x + more;
            prop_assert!(clean_needed(x, seen + 1, c) >= clean_needed(x, seen, c));
            prop_assert!(clean_needed(x + 1, seen + 1, c) <= clean_needed(x, seen + 1, c));
        }

        #[test]
        fn it_is_always_bounded(x: u32, n: u32, c: f64) {
            let needed = clean_needed(x, n, c);
            prop_assert!((LEAST..=MOST).contains(&needed));
        }
    }
}
