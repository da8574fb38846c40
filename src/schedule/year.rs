//! A year of every kind of plan, held to oracles that know nothing of how plans are computed.

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Timelike, Utc, Weekday};
use chrono_tz::Tz;

use super::{BudgetSpec, Plan, PlanSpec, Queue, Seed, WindowSpec};
use crate::target::PointKey;

const SEED: Seed = Seed(*b"one year of them");
const START: &str = "2026-01-01T00:00:00Z";
const END: &str = "2027-01-01T00:00:00Z";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

fn plan(json: &str) -> Plan {
    serde_json::from_str::<PlanSpec>(json).expect(json).compile().expect(json)
}

/// What a daemon would do: ask for the next slot, take it, ask again.
fn year_of(plan: &Plan, key: PointKey) -> Vec<DateTime<Utc>> {
    let (mut now, end) = (at(START), at(END));
    let mut due = Vec::new();
    while let Some(slot) = plan.next(key, &SEED, now).filter(|slot| slot.due <= end) {
        assert!(slot.due > now, "time must grow");
        due.push(slot.due);
        now = slot.due;
    }
    due
}

/// The config of DESIGN §5, word for word, and what must not pass for it.
#[test]
fn the_config_of_the_design_is_read_from_yaml() {
    let plans: std::collections::BTreeMap<String, PlanSpec> = serde_saphyr::from_str(
        "{fast: {every: 5m}, night: {cron: \"0 2 * * *\", time_zone: Europe/Paris}, \
         sure: {detect: {within: 1h, prevalence: 10%, confidence: 99%}}}",
    )
    .expect("plans");
    assert!(plans.len() == 3 && plans.values().all(|plan| plan.compile().is_ok()));
    let window = "{cron: \"0 3 * * 0\", lasts: 2h, targets: {env: staging}, effect: mute}";
    let window: WindowSpec = serde_saphyr::from_str(window).expect("a window");
    assert!(window.compile().is_ok());
    for (yaml, says) in [
        ("evry: 5m", "every"),
        ("every: 5", "no duration"),
        ("detect: {within: 1h, prevalence: 10, confidence: 99%}", "no share"),
        ("detect: {within: 1h, prevalence: 100%, confidence: 99%}", "below 100%"),
    ] {
        let error = serde_saphyr::from_str::<PlanSpec>(yaml).expect_err(yaml).to_string();
        assert!(error.contains(says), "{yaml}: {error}");
    }
}

#[test]
fn the_schemas_refuse_unknown_keys_as_the_reader_does() {
    for schema in [
        schemars::schema_for!(PlanSpec),
        schemars::schema_for!(BudgetSpec),
        schemars::schema_for!(WindowSpec),
    ] {
        assert_eq!(schema.get("additionalProperties"), Some(&false.into()));
    }
}

type Matches = fn(NaiveDateTime) -> bool;

/// Minutes at which the wall clock shows a matching time.
fn shown(zone: Tz, matches: Matches) -> Vec<DateTime<Utc>> {
    minutes().filter(|minute| matches(minute.with_timezone(&zone).naive_local())).collect()
}

/// Minutes at which the wall clock reaches or passes a matching time for the first time.
fn reached(zone: Tz, matches: Matches) -> Vec<DateTime<Utc>> {
    let mut furthest = at(START).with_timezone(&zone).naive_local();
    let mut fires = move |minute: &DateTime<Utc>| {
        let wall = minute.with_timezone(&zone).naive_local();
        let mut fired = false;
        while furthest < wall {
            furthest += TimeDelta::minutes(1);
            fired |= matches(furthest);
        }
        fired
    };
    minutes().filter(|minute| fires(minute)).collect()
}

fn minutes() -> impl Iterator<Item = DateTime<Utc>> {
    let start = at(START);
    (1..=365 * 1_440).map(move |minute| start + TimeDelta::minutes(minute))
}

const ZONES: [Tz; 4] =
    [Tz::UTC, Tz::Europe__Paris, Tz::America__New_York, Tz::Australia__Lord_Howe];

#[test]
fn wildcard_jobs_run_at_every_minute_that_shows_their_time() {
    let jobs: [(&str, Matches); 4] = [
        ("*/5 * * * *", |wall| wall.minute() % 5 == 0),
        ("15,45 * * * *", |wall| matches!(wall.minute(), 15 | 45)),
        ("*/20 1-3 * * *", |wall| wall.minute() % 20 == 0 && (1..=3).contains(&wall.hour())),
        ("* 2 * mar,nov 0", |wall| {
            wall.hour() == 2 && matches!(wall.month(), 3 | 11) && wall.weekday() == Weekday::Sun
        }),
    ];
    for zone in ZONES {
        for (cron, matches) in jobs {
            let plan = plan(&format!(r#"{{"cron": "{cron}", "time_zone": "{zone}"}}"#));
            assert!(year_of(&plan, PointKey(1)) == shown(zone, matches), "{cron} {zone}");
        }
    }
}

#[test]
fn fixed_jobs_run_once_for_each_time_that_the_clock_reaches() {
    let jobs: [(&str, Matches); 5] = [
        ("30 2 * * *", |wall| (wall.hour(), wall.minute()) == (2, 30)),
        ("0,15,30,45 1,2 * * *", |wall| matches!(wall.hour(), 1 | 2) && wall.minute() % 15 == 0),
        ("0 9 * * 1", |wall| (wall.hour(), wall.minute(), wall.weekday()) == (9, 0, Weekday::Mon)),
        ("0 0 13 * 5", |wall| {
            (wall.hour(), wall.minute()) == (0, 0)
                && (wall.day() == 13 || wall.weekday() == Weekday::Fri)
        }),
        ("0 3 29 3,10 *", |wall| {
            (wall.hour(), wall.minute(), wall.day()) == (3, 0, 29) && matches!(wall.month(), 3 | 10)
        }),
    ];
    for zone in ZONES {
        for (cron, matches) in jobs {
            let plan = plan(&format!(r#"{{"cron": "{cron}", "time_zone": "{zone}"}}"#));
            assert!(year_of(&plan, PointKey(1)) == reached(zone, matches), "{cron} {zone}");
        }
    }
}

#[test]
fn every_slot_of_a_year_comes_once_and_inside_itself() {
    for json in [
        r#"{"every": "5m"}"#,
        r#"{"every": "1h1m1s7ms"}"#,
        r#"{"detect": {"within": "1h", "prevalence": "10%", "confidence": "99%"}}"#,
    ] {
        let (plan, key) = (plan(json), PointKey(0xfeed));
        let length = TimeDelta::from_std(plan.interval()).expect("short");
        let (mut now, end) = (at(START), at(END));
        let mut count = 0;
        let mut previous = None;
        while let Some(slot) = plan.next(key, &SEED, now).filter(|slot| slot.due <= end) {
            let start = DateTime::from_timestamp(slot.number, 0).expect("a time");
            let into = slot.due - start;
            // The number is the start in whole seconds.
            assert!(into >= TimeDelta::zero() && into < length + TimeDelta::seconds(1));
            if let Some(previous) = previous {
                let between = (slot.number - previous) as f64 - plan.interval().as_secs_f64();
                assert!(between.abs() < 1.0, "a slot was left out before {}", slot.due);
            }
            previous = Some(slot.number);
            (now, count) = (slot.due, count + 1);
        }
        let expected = 365.0 * 24.0 * plan.samples_per_hour();
        assert!((f64::from(count) - expected).abs() <= 1.0, "{json}: {count} of {expected}");
        assert_eq!(plan.slots_between(key, &SEED, at(START), end), u64::from(count as u32));
    }
}

#[test]
fn a_restart_at_any_instant_goes_on_as_if_nothing_had_been() {
    let mut random = fastrand::Rng::with_seed(7);
    let (start, seconds) = (at(START), 365 * 86_400);
    for json in [
        r#"{"every": "7m"}"#,
        r#"{"detect": {"within": "6h", "prevalence": "5%", "confidence": "95%"}}"#,
        r#"{"cron": "*/10 * * * *", "time_zone": "Australia/Lord_Howe"}"#,
        r#"{"cron": "30 2 * * *", "time_zone": "Europe/Paris"}"#,
        r#"{"cron": "30 1 * * 0-6", "time_zone": "America/New_York"}"#,
    ] {
        let plan = plan(json);
        let year = year_of(&plan, PointKey(3));
        // The days on which clocks change deserve more than chance.
        let changes = ["03-29", "10-25", "03-08", "11-01", "04-04", "10-03"];
        let changes = changes.map(|day| at(&format!("2026-{day}T00:00:00Z")));
        let near =
            changes.iter().flat_map(|day| (0..288).map(|n| *day + TimeDelta::minutes(5 * n)));
        let random = (0..2_000).map(|_| start + TimeDelta::seconds(random.i64(0..seconds)));
        for instant in near.chain(random) {
            let expected = year.get(year.partition_point(|due| *due <= instant));
            let next = plan.next(PointKey(3), &SEED, instant).map(|slot| slot.due);
            assert!(expected.is_none() || next == expected.copied(), "{json} at {instant}");
        }
    }
}

#[test]
fn other_points_and_the_order_of_questions_move_nothing() {
    let (one, other) = (plan(r#"{"every": "5m"}"#), plan(r#"{"every": "1m"}"#));
    let alone = year_of(&one, PointKey(1));
    let mut queue = Queue::new();
    let mut seen = Vec::new();
    let (start, day) = (at(START), at(START) + TimeDelta::days(1));
    let plan_of = |index: u32| if index == 1 { &one } else { &other };
    for index in (0..40).rev() {
        let key = PointKey(u64::from(index));
        let slot = plan_of(index).next(key, &SEED, start).expect("a slot");
        queue.insert(index, slot.due);
    }
    while let Some(due) = queue.pop_due(day) {
        if due.index == 1 {
            seen.push(due.at);
        } else if due.at.minute() == 17 {
            continue; // Its target was removed.
        }
        let key = PointKey(u64::from(due.index));
        let slot = plan_of(due.index).next(key, &SEED, due.at).expect("a slot");
        queue.insert(due.index, slot.due);
    }
    assert!(seen.len() > 280 && alone.starts_with(&seen));
}
