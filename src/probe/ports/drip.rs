//! The drip: every port of an address is looked at again before its window is over, a few at a time.
//!
//! A tier's ports have one keyed order, cut into [`BLOCKS`] fixed blocks and shuffled anew inside
//! each block at every pass. So two looks at a port are at most one pass and one block apart: with a
//! window W, no port waits longer than W(1 + 1/K), and nobody can tell when a port's turn comes.
//! Ports 1 to 65535 are the multiplicative group modulo the prime 65537 but for one element.

use serde::{Deserialize, Serialize};

/// K.
pub(super) const BLOCKS: usize = 24;

/// How far a tier has come. Times are Unix milliseconds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Progress {
    /// The place in the pass.
    cursor: usize,
    pass: u64,
    /// Port-milliseconds that did not make a whole port yet.
    credit: u64,
    /// The last step, and how long after the one before.
    at: i64,
    interval: i64,
    /// When the visit of the block at the cursor began.
    began: i64,
    /// By block: when the last whole visit began; 0 before the first.
    seen: Vec<i64>,
    /// The mark of the list that all this is said of; 0 where it is not known.
    #[serde(default)]
    list: u64,
}

impl Progress {
    /// The ports whose turn it is, of `order` with this window. What was missed while nobody looked
    /// is not caught up with.
    pub(super) fn step(&mut self, order: &[u16], key: u64, window: i64, now: i64) -> Vec<u16> {
        let (count, window) = (order.len(), window.max(1));
        if count == 0 {
            return Vec::new();
        }
        self.seen.resize(BLOCKS, 0);
        self.cursor %= count;
        let is_new = self.turn_to(order);
        let due = if is_new && count <= FEW { count } else { self.due(count, window, now) };
        if due == count {
            // The ends of two passes, shuffled differently, would not be every port.
            self.cursor = 0;
        }
        let mut ports = Vec::with_capacity(due);
        while ports.len() < due {
            let (block, range) = block_at(self.cursor, count);
            if self.cursor == range.start {
                self.began = now;
            }
            let shuffled = shuffled(&order[range.clone()], key, self.pass, block);
            let from = self.cursor - range.start;
            let take = (due - ports.len()).min(shuffled.len() - from);
            ports.extend(&shuffled[from..from + take]);
            self.cursor += take;
            if self.cursor == range.end {
                self.seen[block] = self.began;
            }
            if self.cursor == count {
                self.cursor = 0;
                self.pass += 1;
            }
        }
        ports
    }

    /// Whether the list is another than the last time. What was said of its blocks is then said of
    /// others' ports: it is forgotten.
    fn turn_to(&mut self, order: &[u16]) -> bool {
        let mark = |mark: u64, port: &u16| (mark ^ u64::from(*port)).wrapping_mul(0x100_0000_01b3);
        // FNV-1a; the list of all ports is known by its head.
        let list =
            order.iter().take(4 * FEW).fold(0xcbf2_9ce4_8422_2325 ^ order.len() as u64, mark);
        let is_new = self.list != list && self.list != 0;
        self.list = list;
        if is_new {
            self.cursor = 0;
            self.seen.fill(0);
        }
        is_new
    }

    /// How many, so that a pass and a block and the wait for this step fit the bound together.
    fn due(&mut self, count: usize, window: i64, now: i64) -> usize {
        let first = self.at == 0;
        let passed = if first { FIRST } else { (now - self.at).max(0) };
        // A plan's interval is believed when it has come twice; what is longer was a pause.
        let passed = passed.min((2 * self.interval).max(FIRST).max(window / BLOCKS as i64));
        self.at = now;
        self.interval = passed;
        if passed >= window {
            self.credit = 0;
            return count;
        }
        let pass = (window - passed.max(window / BLOCKS as i64)).max(1) as u64;
        let credit = self.credit + count as u64 * passed as u64;
        self.credit = credit % pass;
        usize::try_from(credit / pass).unwrap_or(count).min(count)
    }

    /// When the longest ago of the last looks was, at the latest; `None` while some port was never
    /// looked at.
    pub(super) fn oldest_look(&self) -> Option<i64> {
        self.seen.iter().copied().min().filter(|oldest| *oldest > 0)
    }

    /// How long after the step before the last one came.
    pub(super) fn interval(&self) -> i64 {
        self.interval
    }
}

/// The longest that a port may wait between two looks: W(1 + 1/K).
pub(super) fn bound(window: i64) -> i64 {
    window + window / BLOCKS as i64
}

/// Ports 1 to 65535 in the order that the key gives.
pub(super) fn every_port(key: u64) -> Vec<u16> {
    let mut random = fastrand::Rng::with_seed(key);
    // 3 is a primitive root; so is every odd power of it, for the group's order is a power of 2.
    let generator = power(3, u64::from(random.u16(..)) * 2 + 1);
    let mut element = power(3, u64::from(random.u16(..)));
    let mut ports = Vec::with_capacity(usize::from(u16::MAX));
    for _ in 0..PRIME - 1 {
        // The one element that is no port is 65536.
        ports.extend(u16::try_from(element));
        element = element * generator % PRIME;
    }
    ports
}

/// Some ports in the order that the key gives.
pub(super) fn some_ports(mut ports: Vec<u16>, key: u64) -> Vec<u16> {
    fastrand::Rng::with_seed(key).shuffle(&mut ports);
    ports
}

fn power(base: u64, exponent: u64) -> u64 {
    let (mut result, mut square, mut rest) = (1, base, exponent);
    while rest > 0 {
        if rest & 1 == 1 {
            result = result * square % PRIME;
        }
        square = square * square % PRIME;
        rest >>= 1;
    }
    result
}

/// The block that a place lies in, and its bounds.
fn block_at(place: usize, count: usize) -> (usize, std::ops::Range<usize>) {
    let start = |block: usize| block * count / BLOCKS;
    let guess = (place * BLOCKS / count).min(BLOCKS - 1);
    let block = (guess..BLOCKS).find(|block| place < start(block + 1)).unwrap_or(BLOCKS - 1);
    (block, start(block)..start(block + 1))
}

fn shuffled(ports: &[u16], key: u64, pass: u64, block: usize) -> Vec<u16> {
    let seed = key ^ pass.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (block as u64).rotate_left(40);
    let mut ports = ports.to_vec();
    fastrand::Rng::with_seed(seed).shuffle(&mut ports);
    ports
}

const PRIME: u64 = 65_537;

/// A list of so many ports that has changed is looked at as a whole at once.
const FEW: usize = 512;

/// What the first step looks at: as much as in five minutes.
const FIRST: i64 = 5 * 60 * 1_000;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use proptest::prelude::*;

    use super::*;

    /// The longest wait between two looks at the same port after the first `skipped` steps, and how
    /// many ports were looked at.
    fn longest_wait(
        order: &[u16],
        key: u64,
        window: i64,
        skipped: usize,
        steps: impl Iterator<Item = i64>,
    ) -> (i64, usize) {
        let mut progress = Progress::default();
        let (mut now, mut longest) = (1_700_000_000_000, 0);
        let mut last: HashMap<u16, i64> = HashMap::new();
        for (nth, step) in steps.enumerate() {
            now += step;
            if nth == skipped {
                last.clear();
                longest = 0;
            }
            for port in progress.step(order, key, window, now) {
                if let Some(before) = last.insert(port, now) {
                    longest = longest.max(now - before);
                }
            }
            // Written down and read again, as over a restart.
            let text = serde_json::to_string(&progress).expect("JSON");
            progress = serde_json::from_str(&text).expect("progress");
        }
        let waiting = last.values().map(|look| now - look).max().unwrap_or_default();
        (longest.max(waiting), last.len())
    }

    #[test]
    fn the_order_of_every_port_has_every_port_once_and_hangs_on_the_key() {
        for key in [0, 1, u64::MAX] {
            let order = every_port(key);
            let distinct: BTreeSet<u16> = order.iter().copied().collect();
            assert_eq!((order.len(), distinct.len()), (65_535, 65_535));
            assert!(!distinct.contains(&0));
            assert_ne!(order, every_port(key ^ 2));
        }
    }

    #[test]
    fn blocks_lie_side_by_side() {
        for count in [1, 5, 24, 25, 1_000, 65_535] {
            for place in 0..count {
                let (block, range) = block_at(place, count);
                assert!(range.contains(&place) && block < BLOCKS, "{place} of {count}");
            }
        }
    }

    #[test]
    fn a_day_of_every_port_keeps_the_bound_and_says_its_oldest_look() {
        let (order, day, step) = (every_port(7), 86_400_000, 300_000);
        let mut progress = Progress::default();
        let mut now = 1_700_000_000_000;
        assert_eq!(progress.oldest_look(), None);
        let mut most = 0;
        for _ in 0..3 * 288 {
            now += step;
            most = most.max(progress.step(&order, 7, day, now).len());
        }
        // 65,535 a day are 228 in five minutes, and a little more for the bound's sake.
        assert!((228..=245).contains(&most), "{most}");
        let oldest = progress.oldest_look().expect("every port was looked at");
        assert!(now - oldest <= bound(day), "{}", now - oldest);
    }

    #[test]
    fn what_was_missed_is_not_caught_up_with() {
        let order = every_port(7);
        let mut progress = Progress::default();
        progress.step(&order, 7, 86_400_000, 1_000_000);
        let after = progress.step(&order, 7, 86_400_000, 1_000_000 + 86_400_000);
        // A block at most.
        assert!(after.len() < 65_535 / 22, "{}", after.len());
    }

    #[test]
    fn a_change_of_the_list_is_no_fall() {
        let mut progress = Progress::default();
        for count in [100_u16, 3, 0, 50, 1, 2_000] {
            let order: Vec<u16> = (1..=count).collect();
            for nth in 0..40 {
                progress.step(&order, 1, 60_000, nth * 7_000);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_port_waits_longer_than_the_bound(
            key: u64,
            count in 1_u16..3_000,
            window in 10_000_i64..100_000_000,
            shares in prop::collection::vec(0.05_f64..1.0, 1..50),
        ) {
            let order = some_ports((1..=count).collect(), key);
            let longest_step = window / BLOCKS as i64;
            let steps = shares.iter().cycle().map(|share| (longest_step as f64 * share) as i64 + 1);
            let mut passed = 0;
            let steps = steps.map(|step| step.min(longest_step)).take_while(|step| {
                passed += step;
                passed < 4 * window
            });
            let (longest, looks) = longest_wait(&order, key, window, 0, steps);
            prop_assert!(longest <= bound(window) + 1, "{longest} of {}", bound(window));
            prop_assert_eq!(looks, usize::from(count));
        }

        #[test]
        fn whenever_it_starts_and_however_long_it_stands_still_no_port_waits_longer_while_it_runs(
            key: u64,
            count in 1_u16..1_500,
            window in 10_000_i64..100_000_000,
            start in 1_i64..4_000_000_000_000,
            shares in prop::collection::vec(0.05_f64..1.0, 1..30),
            pauses in prop::collection::vec((1_usize..200, 0_i64..300_000_000), 0..8),
        ) {
            let order = some_ports((1..=count).collect(), key);
            let longest_step = window / BLOCKS as i64;
            let pauses: HashMap<usize, i64> = pauses.into_iter().collect();
            let (mut progress, mut now, mut ran) = (Progress::default(), start, 0);
            // By port: when it was looked at last, and how long the drip had run then.
            let mut last: HashMap<u16, (i64, i64)> = HashMap::new();
            let mut longest = 0;
            for (nth, share) in shares.iter().cycle().enumerate() {
                let step = ((longest_step as f64 * share) as i64 + 1).min(longest_step);
                (now, ran) = (now + step, ran + step);
                now += pauses.get(&nth).copied().unwrap_or_default();
                for port in progress.step(&order, key, window, now) {
                    let (_, before) = last.insert(port, (now, ran)).unwrap_or((0, 0));
                    longest = longest.max(ran - before);
                }
                // What is said of the oldest look is so of every port.
                if let Some(oldest) = progress.oldest_look() {
                    prop_assert_eq!(last.len(), usize::from(count));
                    let truth = last.values().map(|(at, _)| *at).min();
                    prop_assert!(Some(oldest) <= truth, "{oldest}, where {truth:?} is so");
                }
                let text = serde_json::to_string(&progress).expect("JSON");
                progress = serde_json::from_str(&text).expect("progress");
                if ran > 3 * window {
                    break;
                }
            }
            let waiting = last.values().map(|(_, at)| ran - at).max().unwrap_or(ran);
            prop_assert_eq!(last.len(), usize::from(count));
            let longest = longest.max(waiting);
            prop_assert!(longest <= bound(window) + 1, "{longest} of {}", bound(window));
        }

        #[test]
        fn what_is_said_of_the_oldest_look_holds_though_the_list_changes(
            key: u64,
            // Of 300 ports, those that are on the list of each of some steps.
            lists in prop::collection::vec((1_u16..250, 1_u16..300, 1_usize..40), 1..8),
            window in 60_000_i64..7_200_000,
        ) {
            let (mut progress, mut now) = (Progress::default(), 1_700_000_000_000);
            let mut last: HashMap<u16, i64> = HashMap::new();
            for (first, length, steps) in lists {
                let order = some_ports((first..first + length).collect(), key);
                for _ in 0..steps {
                    now += window / 30;
                    last.extend(progress.step(&order, key, window, now).iter().map(|port| (*port, now)));
                    let Some(oldest) = progress.oldest_look() else { continue };
                    for port in &order {
                        let look = last.get(port).copied();
                        prop_assert!(look.is_some_and(|at| at >= oldest), "{port}: {look:?}, {oldest}");
                    }
                }
            }
        }

        #[test]
        fn steps_that_are_far_apart_keep_it_too(
            key: u64, count in 1_u16..500, share in 0.05_f64..1.0,
        ) {
            let window = 3_600_000;
            let order = some_ports((1..=count).collect(), key);
            let step = (window as f64 * share) as i64;
            let steps = std::iter::repeat_n(step, 8 + (6.0 / share) as usize);
            let (longest, _) = longest_wait(&order, key, window, 8, steps);
            prop_assert!(longest <= bound(window) + 1, "{longest} of {}", bound(window));
        }
    }
}
