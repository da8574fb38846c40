//! How sure it is that a hello closed upon again and again is refused, and not merely unlucky.

/// What a run's connections say of the way to the peer: how many were answered, and how many of
/// those that should have been were not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    /// Hellos answered, be it by an alert.
    pub(super) answered: u32,
    /// Hellos closed upon that were answered at another try.
    pub(super) dropped: u32,
}

impl Evidence {
    /// Whether `closes` in a row show a refusal. The bound holds for a way that drops any share of
    /// connections, each by chance: it is the greatest probability, over all shares, that a hello
    /// which the peer accepts is dropped every time while no more than `dropped` of the others are.
    pub(super) fn proves(self, closes: u32) -> bool {
        if closes < LEAST_CLOSES {
            return false;
        }
        (1..STEPS).all(|step| {
            let share = f64::from(step) / f64::from(STEPS);
            share.powi(closes.try_into().unwrap_or(i32::MAX)) * self.at_most(share) < CHANCE
        })
    }

    /// The probability of at most this many drops among all that were sent, at this share.
    fn at_most(self, share: f64) -> f64 {
        let sent = f64::from(self.answered + self.dropped);
        let mut term = (1.0 - share).powf(sent);
        if term == 0.0 {
            // Too small to count up from, and far below what matters.
            return if f64::from(self.dropped) < sent * share / 2.0 { 0.0 } else { 1.0 };
        }
        let mut sum = term;
        for k in 0..self.dropped {
            let k = f64::from(k);
            term *= (sent - k) / (k + 1.0) * share / (1.0 - share);
            sum += term;
        }
        sum.min(1.0)
    }
}

/// The greatest chance of one false absence. A sample has some twenty questions of the kind.
const CHANCE: f64 = 1e-8;

/// However steady the peer was so far.
const LEAST_CLOSES: u32 = 4;

const STEPS: u32 = 200;

/// Beyond this many closes the question is left.
pub(super) const MOST_CLOSES: u32 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(answered: u32, dropped: u32) -> Option<u32> {
        (1..=MOST_CLOSES).find(|&closes| Evidence { answered, dropped }.proves(closes))
    }

    #[test]
    fn the_steadier_the_peer_the_fewer_closes_prove_a_refusal() {
        assert_eq!(needed(0, 0), None);
        assert!(needed(10, 0).is_none_or(|closes| closes >= 12));
        assert!(needed(60, 0).is_some_and(|closes| (4..=6).contains(&closes)));
        assert!(needed(60, 1) > needed(60, 0));
        assert_eq!(needed(40, 20), None);
        assert_eq!(needed(3_000, 1_500), None);
        assert!(needed(100_000, 0) == Some(LEAST_CLOSES));
    }

    /// The claim itself: peers that drop at random, asked until the question is decided.
    #[test]
    fn no_share_of_drops_makes_an_accepted_hello_refused() {
        let mut rng = fastrand::Rng::with_seed(1);
        for round in 0..20_000_u32 {
            let share = f64::from(round % 20) / 20.0;
            let mut evidence = Evidence::default();
            for _ in 0..30 {
                if rng.f64() >= share {
                    evidence.answered += 1;
                } else {
                    evidence.dropped += 1;
                }
            }
            let mut closes = 0;
            while closes < MOST_CLOSES && rng.f64() < share {
                closes += 1;
                assert!(!evidence.proves(closes), "share {share}, {evidence:?}, {closes}");
                if rng.f64() >= share {
                    evidence.answered += 1;
                } else {
                    evidence.dropped += 1;
                }
            }
        }
    }
}
