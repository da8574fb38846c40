//! Ten thousand samples of what the world's authorities give: no false drift, and a rogue answer is
//! found. Pure: baseline and judgement, no sockets.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::answer::{Answer, Fault};
use super::drift::{Expected, Records, Told, judge};
use super::memory::Baseline;
use crate::target::Pins;

const KEY: &str = "www.example A";

/// Two authorities that answer as the model says.
struct World {
    baseline: Baseline,
    pins: Pins,
    rng: fastrand::Rng,
}

impl World {
    fn new(seed: u64) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self { baseline: Baseline::default(), pins: Pins::default(), rng }
    }

    /// One sample: how many departures it shows.
    fn sample(&mut self, answers: [Answer; 2]) -> usize {
        self.baseline.learn(KEY, &answers.iter().collect::<Vec<_>>());
        let servers = answers.into_iter().enumerate().map(|(at, answer)| {
            (format!("192.0.2.{at}"), Told { seen: Ok(answer), ttl: Some(60) })
        });
        let types = BTreeMap::from([("A".to_owned(), servers.collect())]);
        let records: Records = BTreeMap::from([("www.example".to_owned(), types)]);
        let today = NaiveDate::from_ymd_opt(2026, 11, 22).expect("a date");
        let (pins, baseline) = (&self.pins, &self.baseline);
        judge(&records, Expected { pins, asn: None, baseline, today }).items.len()
    }

    /// One sample of a pool: each authority gives `count` of its values, or now and then an error.
    fn of_pool(&mut self, pool: &[u32], count: usize) -> [Answer; 2] {
        [(); 2].map(|()| match self.rng.u32(..200) {
            0 => Answer::Error(Fault::Timeout),
            1 => Answer::Error(Fault::Servfail),
            _ => set(&self.rng.choose_multiple(pool.iter().copied(), count)),
        })
    }

    fn is_closed(&self) -> bool {
        self.baseline.frozen(KEY).is_some()
    }
}

fn set(values: &[u32]) -> Answer {
    let values: BTreeSet<String> =
        values.iter().map(|value| format!("198.51.100.{value}")).collect();
    Answer::Set(values)
}

const SAMPLES: usize = 10_000;

#[test]
fn rotation_through_a_pool_makes_no_drift_and_its_baseline_closes() {
    let pool: Vec<u32> = (0..8).collect();
    for seed in 0..5 {
        let mut world = World::new(seed);
        for _ in 0..SAMPLES {
            let answers = world.of_pool(&pool, 2);
            assert_eq!(world.sample(answers), 0, "seed {seed}");
        }
        assert!(world.is_closed(), "seed {seed}");
    }
}

#[test]
fn geography_that_prefers_some_answers_makes_no_drift() {
    // Weights of 60, 25, 10, 4 and 1 of 100: the last pair is given seldom.
    let weights = [(60, 1), (85, 2), (95, 3), (99, 4), (100, 5)];
    for seed in 0..5 {
        let mut world = World::new(seed);
        for _ in 0..SAMPLES {
            let answers = [(); 2].map(|()| {
                let draw = world.rng.u32(..100);
                let region = weights.iter().find(|(below, _)| draw < *below).map_or(1, |w| w.1);
                set(&[region * 10, region * 10 + 1])
            });
            assert_eq!(world.sample(answers), 0, "seed {seed}");
        }
        assert!(world.is_closed(), "seed {seed}");
    }
}

#[test]
fn a_cdn_whose_answers_stay_a_while_makes_no_drift() {
    let pool: Vec<u32> = (0..60).collect();
    for seed in 0..5 {
        let mut world = World::new(seed);
        let mut now = world.of_pool(&pool, 4);
        for at in 0..SAMPLES {
            if at % 20 == 0 {
                let same = set(&world.rng.choose_multiple(pool.iter().copied(), 4));
                now = [same.clone(), same];
            }
            assert_eq!(world.sample(now.clone()), 0, "seed {seed}, sample {at}");
        }
    }
}

#[test]
fn an_answer_that_one_in_ten_shows_is_found_within_sixty_samples() {
    let pool: Vec<u32> = (0..8).collect();
    let pins = r#"{"www.example": {"A": {"within": ["198.51.100.0", "198.51.100.1", "198.51.100.2",
        "198.51.100.3", "198.51.100.4", "198.51.100.5", "198.51.100.6", "198.51.100.7"]}}}"#;
    let mut learnt = World::new(1);
    while !learnt.is_closed() {
        let answers = learnt.of_pool(&pool, 2);
        learnt.sample(answers);
    }
    for is_pinned in [true, false] {
        let found = (0..1000).filter(|seed| {
            let mut world = World::new(*seed);
            if is_pinned {
                world.pins = serde_json::from_str(pins).expect("pins");
            } else {
                world.baseline = learnt.baseline.clone();
            }
            (0..60).any(|_| {
                let mut answers = world.of_pool(&pool, 2);
                if world.rng.u32(..10) == 0 {
                    // One server of the two, one time in ten.
                    answers[1] = set(&[0, 66]);
                }
                world.sample(answers) > 0
            })
        });
        let found = found.count();
        assert!(found >= 990, "pinned {is_pinned}: {found} of 1000");
    }
}
