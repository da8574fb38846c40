//! How many clean samples prove that a fault is mended (DESIGN §4.6).

use statrs::function::beta::inv_beta_reg;

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
        inv_beta_reg(f64::from(positives), f64::from(seen - positives) + 1.0, 0.5)
    };
    let confidence = if confidence.is_finite() { confidence.clamp(0.5, 0.999_999) } else { 0.99 };
    let needed = (1.0 - confidence).ln() / (1.0 - share).ln();
    // NaN and infinity (a share of nought) fall to the most that is ever asked.
    if needed.is_finite() { (needed.floor() as u32 + 1).clamp(LEAST, MOST) } else { MOST }
}

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

    proptest! {
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
