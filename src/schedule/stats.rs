//! What sampling proves, before (how many observations it takes) and after (what clean and failed
//! samples say of the share of faulty connections). Every function returns `None` rather than a
//! number that means nothing.
//!
//! Before: acceptance sampling, where n = ln(1−c)/ln(1−p) clean observations reject a prevalence p
//! with confidence c; the samples lie at random as RFC 2330 §11 asks, so that the observations are
//! of the time as it passes. After: C. J. Clopper and E. S. Pearson's exact binomial bounds
//! (Biometrika 26, 1934).

use statrs::function::beta::checked_ln_beta;

/// Observations by fresh connections after which a fault that shows on `prevalence` of them is seen
/// with `confidence`: ⌈ln(1−c)/ln(1−p)⌉. One is enough where the fault always shows.
pub fn observations(prevalence: f64, confidence: f64) -> Option<u64> {
    if !(prevalence > 0.0 && prevalence <= 1.0 && confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let observations = (-confidence).ln_1p() / (-prevalence).ln_1p();
    // A hair below the next whole number is rounding, not need.
    let whole = (observations - 1e-9).ceil().max(1.0);
    (whole < 1e15).then_some(whole as u64)
}

/// The probability that `n` observations see a fault of this prevalence.
pub fn confidence(prevalence: f64, n: u64) -> Option<f64> {
    if !(0.0..=1.0).contains(&prevalence) {
        return None;
    }
    Some(-f64::exp_m1(n as f64 * (-prevalence).ln_1p())).map(|c| if c.is_nan() { 0.0 } else { c })
}

/// The time, in slots, within which a fault that begins at a random moment and shows on
/// `prevalence` of connections is seen with probability `quantile`, when each slot has one sample
/// at a random place. Exact.
pub fn slots_to_detect(prevalence: f64, quantile: f64) -> Option<f64> {
    let enough = observations(prevalence, quantile)? as f64;
    // That many whole slots lie in a window one slot longer.
    let (mut low, mut high) = (0.0, enough + 1.0);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if unseen(prevalence, middle) > 1.0 - quantile { low = middle } else { high = middle }
    }
    Some(high)
}

/// The probability that the fault is not seen within `time` slots: the mean over the moment `u` in
/// its slot at which the fault began. Between the breaks the integrand is a parabola, so that
/// Simpson's rule is exact.
pub(super) fn unseen(prevalence: f64, time: f64) -> f64 {
    let (whole, part) = (time.floor(), time.fract());
    let missed = |slots: f64| if slots > 0.0 { (1.0 - prevalence).powf(slots) } else { 1.0 };
    let until_break = |u: f64| {
        if whole == 0.0 {
            return 1.0 - prevalence * part;
        }
        (1.0 - prevalence * (1.0 - u)) * missed(whole - 1.0) * (1.0 - prevalence * (u + part))
    };
    let after_break = |u: f64| {
        (1.0 - prevalence * (1.0 - u)) * missed(whole) * (1.0 - prevalence * (u + part - 1.0))
    };
    let simpson = |f: &dyn Fn(f64) -> f64, a: f64, b: f64| {
        (b - a) / 6.0 * (f(a) + 4.0 * f(f64::midpoint(a, b)) + f(b))
    };
    simpson(&until_break, 0.0, 1.0 - part) + simpson(&after_break, 1.0 - part, 1.0)
}

/// The probability that none of `members` points, whose slots begin at the same moment, has a sample
/// within `time` slots of a random moment. Given that moment they are independent; the mean over it
/// is taken numerically, for no closed form is shorter.
pub(super) fn unseen_together(members: u32, time: f64) -> f64 {
    let one = |u: f64| match time {
        _ if time < 1.0 - u => 1.0 - time,
        _ if time < 2.0 - u => u * (2.0 - u - time),
        _ => 0.0,
    };
    let mean = |n: u32| one((f64::from(n) + 0.5) / f64::from(STEPS)).powf(members.into());
    (0..STEPS).map(mean).sum::<f64>() / f64::from(STEPS)
}

const STEPS: u32 = 250;

/// The least share of faulty connections that `faulty` of `n` observations are compatible with
/// (Clopper and Pearson, one-sided, so that it holds with at least `confidence`).
pub fn lower_bound(faulty: u64, n: u64, confidence: f64) -> Option<f64> {
    let alpha = error_of(faulty, n, confidence)?;
    if faulty == 0 {
        return Some(0.0);
    }
    quantile(faulty as f64, (n - faulty + 1) as f64, alpha)
}

/// The greatest such share. Of no observations nothing is known: 1.
pub fn upper_bound(faulty: u64, n: u64, confidence: f64) -> Option<f64> {
    let alpha = error_of(faulty, n, confidence)?;
    if faulty == n {
        return Some(1.0);
    }
    quantile((faulty + 1) as f64, (n - faulty) as f64, 1.0 - alpha)
}

fn error_of(faulty: u64, n: u64, confidence: f64) -> Option<f64> {
    (faulty <= n && confidence > 0.0 && confidence < 1.0).then_some(1.0 - confidence)
}

/// The quantile of the Beta distribution, by bisection of its distribution function: slower than
/// Newton's way, but it can neither leave [0, 1] nor come back with NaN.
fn quantile(a: f64, b: f64, probability: f64) -> Option<f64> {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        let below = beta_distribution(a, b, middle).filter(|share| !share.is_nan())?;
        if below < probability { low = middle } else { high = middle }
    }
    Some(f64::midpoint(low, high))
}

/// The Beta distribution function. statrs has one that gives up after 140 terms, which is wrong
/// from some ten thousand observations on; the continued fraction (DLMF 8.17.22, by Lentz) needs
/// about √(a+b) of them.
fn beta_distribution(a: f64, b: f64, x: f64) -> Option<f64> {
    if x <= 0.0 || x >= 1.0 {
        return Some(if x <= 0.0 { 0.0 } else { 1.0 });
    }
    // The fraction converges fast on the near side of the mean only.
    if x > (a + 1.0) / (a + b + 2.0) {
        return Some(1.0 - beta_fraction(b, a, 1.0 - x)?);
    }
    beta_fraction(a, b, x)
}

fn beta_fraction(a: f64, b: f64, x: f64) -> Option<f64> {
    let front = (a * x.ln() + b * (-x).ln_1p() - checked_ln_beta(a, b).ok()?).exp() / a;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut c, mut d) = (1.0, 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for term in 1..MOST_TERMS {
        let m = f64::from(term);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for numerator in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + numerator * d);
            c = away_from_zero(1.0 + numerator / c);
            fraction *= c * d;
        }
        if (fraction - before).abs() <= 1e-15 * fraction.abs() {
            return Some(front * fraction);
        }
    }
    None
}

const TINY: f64 = 1e-300;
const MOST_TERMS: u32 = 200_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(seen: Option<f64>, expected: f64) -> bool {
        seen.is_some_and(|seen| (seen - expected).abs() < 1e-4)
    }

    #[test]
    fn observations_follow_the_formula() {
        for (prevalence, confidence, n) in
            [(0.1, 0.99, 44), (0.5, 0.99, 7), (0.01, 0.95, 299), (0.5, 0.5, 1), (1.0, 0.99, 1)]
        {
            assert_eq!(observations(prevalence, confidence), Some(n), "{prevalence} {confidence}");
        }
        for (p, c) in
            [(0.0, 0.9), (0.1, 1.0), (0.1, 0.0), (1.1, 0.5), (f64::NAN, 0.5), (0.5, f64::NAN)]
        {
            assert_eq!(observations(p, c), None);
        }
    }

    /// Values of the exact binomial interval, from tables of the 95 % two-sided one (97.5 %).
    #[test]
    fn the_bounds_are_the_exact_binomial_ones() {
        assert!(close(upper_bound(0, 10, 0.95), 1.0 - 0.05_f64.powf(0.1)));
        assert!(close(lower_bound(10, 10, 0.95), 0.05_f64.powf(0.1)));
        assert!(close(lower_bound(1, 10, 0.975), 0.002_53));
        assert!(close(upper_bound(1, 10, 0.975), 0.445_02));
        assert!(close(lower_bound(5, 10, 0.975), 0.187_09));
        assert!(close(upper_bound(5, 10, 0.975), 0.812_91));
        assert_eq!(upper_bound(0, 0, 0.95), Some(1.0));
        assert_eq!(lower_bound(0, 0, 0.95), Some(0.0));
        assert_eq!(lower_bound(3, 2, 0.95), None);
        assert_eq!(upper_bound(1, 2, 1.0), None);
    }

    #[test]
    fn the_bounds_hold_for_millions_of_observations() {
        // The rule of three, and the normal limit: s ± 1.6449·√(s(1−s)/n).
        assert!(close(upper_bound(0, 3_000_000, 0.95).map(|high| high * 1e6), 0.998_576));
        assert!(close(lower_bound(1_000_000, 4_000_000, 0.95), 0.25 - 1.6449 * 0.433 / 2_000.0));
        assert!(close(upper_bound(1_000_000, 4_000_000, 0.95), 0.25 + 1.6449 * 0.433 / 2_000.0));
    }

    #[test]
    fn the_time_to_see_a_permanent_fault_is_that_of_two_random_places() {
        assert!(close(slots_to_detect(1.0, 0.5), 0.523_98));
        assert!(close(slots_to_detect(1.0, 0.95), 2.0 - 0.3_f64.cbrt()));
        assert!(close(slots_to_detect(1.0, 0.99), 2.0 - 0.06_f64.cbrt()));
    }

    #[test]
    fn the_time_to_see_a_partial_fault_agrees_with_a_simulation() {
        let mut random = fastrand::Rng::with_seed(1);
        let limit = slots_to_detect(0.2, 0.9).expect("a time");
        let seen = (0..20_000)
            .filter(|_| {
                let began = random.f64();
                let shown = (0..200).map(|slot| (f64::from(slot) + random.f64(), random.f64()));
                let shown: Vec<_> = shown.collect();
                let first = shown.into_iter().find(|(at, luck)| *at > began && *luck < 0.2);
                first.is_some_and(|(at, _)| at - began <= limit)
            })
            .count();
        assert!((17_800..=18_200).contains(&seen), "{seen} of 20000 within {limit} slots");
    }

    proptest! {
        #[test]
        fn no_bound_is_ever_nan_and_they_enclose_the_share(
            n in 1_u64..200_000, part in 0.0_f64..=1.0, confidence in 0.01_f64..0.999_999,
        ) {
            let faulty = ((n as f64 * part) as u64).min(n);
            let low = lower_bound(faulty, n, confidence).expect("a bound");
            let high = upper_bound(faulty, n, confidence).expect("a bound");
            prop_assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high));
            if confidence >= 0.5 {
                let share = faulty as f64 / n as f64;
                // From a half on, a median lies within a step of the share.
                prop_assert!(low <= share + 1.0 / n as f64 && high >= share - 1.0 / n as f64);
            }
        }

        #[test]
        fn that_many_observations_are_enough_and_one_less_is_not(
            prevalence in 0.0001_f64..0.9, wanted in 0.5_f64..0.9999,
        ) {
            let n = observations(prevalence, wanted).expect("a number");
            prop_assert!(confidence(prevalence, n).expect("a share") >= wanted - 1e-6);
            prop_assert!(n == 1 || confidence(prevalence, n - 1).expect("a share") < wanted + 1e-6);
        }
    }
}
