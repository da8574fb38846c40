//! What plans promise, held against ten thousand faults each; and `secchi plan`, which says it.
//!
//! No clock runs here: due times are a pure function of time, so a year of sampling is a loop.

use std::fmt::Write;

use chrono::{DateTime, TimeDelta, Utc};
use secchi::schedule::{Fault, Plan, PlanSpec, Seed, stats};
use secchi::target::PointKey;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::run;

const FAULTS: u64 = 10_000;
const SEED: Seed = Seed([9; 16]);

fn plan(json: &str) -> Plan {
    serde_json::from_str::<PlanSpec>(json).expect(json).compile().expect(json)
}

/// When a fault shows to one observation.
#[derive(Clone, Copy)]
enum Shows {
    Always,
    /// In bursts: so many seconds of every so many, from its beginning on.
    Bursts(i64, i64),
    /// To this share of connections.
    Share(f64),
}

impl Shows {
    fn fault(self) -> Fault {
        match self {
            Self::Always => Fault::Permanent,
            Self::Bursts(on, of) => Fault::Intermittent(on as f64 / of as f64),
            Self::Share(share) => Fault::Partial(share),
        }
    }

    fn to(self, since: TimeDelta, random: &mut fastrand::Rng) -> bool {
        match self {
            Self::Always => true,
            Self::Bursts(on, of) => {
                let into = since.num_milliseconds().rem_euclid(of * 1_000);
                into < on * 1_000
            }
            Self::Share(share) => random.f64() < share,
        }
    }
}

/// When faults begin: at any moment, or on the minute, as what is deployed by a timetable does.
#[derive(Clone, Copy, Debug)]
enum Begins {
    Anywhen,
    OnTheMinute,
    OnTheQuarter,
}

impl Begins {
    fn at(self, random: &mut fastrand::Rng) -> DateTime<Utc> {
        let seconds = random.i64(1_700_000_000..1_731_536_000);
        let (seconds, nanos) = match self {
            Self::Anywhen => (seconds, random.u32(0..1_000_000_000)),
            Self::OnTheMinute => (seconds - seconds % 60, 0),
            Self::OnTheQuarter => (seconds - seconds % 900, 0),
        };
        DateTime::from_timestamp(seconds, nanos).expect("a time")
    }
}

/// How long after its beginning the plan sees the fault, if it does within `limit`.
fn seen_after(
    plan: &Plan,
    key: PointKey,
    shows: Shows,
    began: DateTime<Utc>,
    limit: TimeDelta,
    random: &mut fastrand::Rng,
) -> Option<TimeDelta> {
    let mut at = began;
    loop {
        let slot = plan.next(key, &SEED, at)?;
        let since = slot.due - began;
        if since > limit {
            return None;
        }
        if shows.to(since, random) {
            return Some(since);
        }
        at = slot.due;
    }
}

/// How many of ten thousand faults, each at a point of its own, are seen within `limit`.
fn seen_within(plan: &Plan, shows: Shows, begins: Begins, limit: TimeDelta) -> u64 {
    let mut random = fastrand::Rng::with_seed(7);
    let mut seen = 0;
    for _ in 0..FAULTS {
        let (key, began) = (PointKey(random.u64(..)), begins.at(&mut random));
        seen += u64::from(seen_after(plan, key, shows, began, limit, &mut random).is_some());
    }
    seen
}

/// The binomial test at 99.9 %: so few would be seen in under one of a thousand such trials, if the
/// share that is promised were the true one (Clopper and Pearson).
fn is_below(seen: u64, promised: f64) -> bool {
    stats::upper_bound(seen, FAULTS, 0.999).expect("a bound") < promised
}

const PLANS: [(&str, &str); 5] = [
    ("every", r#"{"every": "5m"}"#),
    ("detect", r#"{"detect": {"within": "1h", "prevalence": "10%", "confidence": "99%"}}"#),
    (
        "mix",
        r#"{"mix": [{"every": "15m"}, {"detect": {"within": "2h", "prevalence": "10%", "confidence": "95%"}}]}"#,
    ),
    ("share", r#"{"every": "5m", "share": "10%"}"#),
    ("cron", r#"{"cron": "*/15 * * * *"}"#),
];

const SHOWN: [(&str, Shows); 6] = [
    ("always", Shows::Always),
    ("30 s of every minute", Shows::Bursts(30, 60)),
    ("1 min of every 10", Shows::Bursts(60, 600)),
    ("3 h of every 6", Shows::Bursts(10_800, 21_600)),
    ("to half of connections", Shows::Share(0.5)),
    ("to a tenth of connections", Shows::Share(0.1)),
];

#[test]
fn every_plan_sees_as_many_faults_within_its_times_as_it_promises() {
    for (name, json) in PLANS {
        let plan = plan(json);
        for (how, shows) in SHOWN {
            for (quantile, begins) in [
                (0.5, Begins::Anywhen),
                (0.95, Begins::Anywhen),
                (0.95, Begins::OnTheMinute),
                (0.99, Begins::OnTheQuarter),
            ] {
                let Some(time) = plan.detection_time(shows.fault(), quantile) else {
                    assert!(name == "cron" && matches!(shows, Shows::Bursts(..)), "{name}, {how}");
                    continue;
                };
                let limit = TimeDelta::from_std(time).expect("a time");
                let seen = seen_within(&plan, shows, begins, limit);
                assert!(
                    !is_below(seen, quantile),
                    "{name}, {how}, {begins:?}: {seen} of {FAULTS} within {time:?}, promised {quantile}"
                );
            }
        }
    }
}

#[test]
fn what_detect_guarantees_holds_in_any_window_and_against_any_rhythm() {
    for json in [
        r#"{"detect": {"within": "1h", "prevalence": "10%", "confidence": "99%"}}"#,
        r#"{"detect": {"within": "4h", "prevalence": "6%", "confidence": "95%"}}"#,
        PLANS[2].1,
    ] {
        let plan = plan(json);
        let [promise] = plan.guarantees(1)[..] else { panic!("one guarantee: {json}") };
        let limit = TimeDelta::from_std(promise.within).expect("a time");
        let partial = Shows::Share(promise.prevalence);
        for begins in [Begins::Anywhen, Begins::OnTheMinute, Begins::OnTheQuarter] {
            let seen = seen_within(&plan, partial, begins, limit);
            assert!(!is_below(seen, promise.confidence), "{json}, {begins:?}: {seen}");
        }
        // So much of the time, in step with the minute, the quarter and the hour.
        for of in [60, 300, 900, 1_200] {
            let on = (promise.prevalence * of as f64).ceil() as i64;
            let seen = seen_within(&plan, Shows::Bursts(on, of), Begins::OnTheQuarter, limit);
            assert!(!is_below(seen, promise.confidence), "{json}, {on} of {of}: {seen}");
        }
    }
}

#[test]
fn a_fault_that_a_tenth_of_a_group_shares_is_seen_as_soon_as_the_group_s_plan_says() {
    for json in [PLANS[0].1, PLANS[3].1] {
        let (plan, members) = (plan(json), 20_u64);
        let time = plan.detection_time_of_group(members as u32, 0.95).expect("a time");
        let limit = TimeDelta::from_std(time).expect("a time");
        let mut random = fastrand::Rng::with_seed(3);
        let seen = (0..FAULTS).filter(|_| {
            let (first, began) = (random.u64(..), Begins::OnTheMinute.at(&mut random));
            let mut sees = |member| {
                let key = PointKey(first.wrapping_add(member));
                seen_after(&plan, key, Shows::Always, began, limit, &mut random).is_some()
            };
            (0..members).any(&mut sees)
        });
        let seen = seen.count() as u64;
        assert!(!is_below(seen, 0.95), "{json}: {seen}");
        // And not much sooner, or the plan's statement would be empty.
        assert!(stats::lower_bound(seen, FAULTS, 0.999).expect("a bound") < 0.955, "{seen}");
    }
}

const QUARTERS: i64 = 15 * 60;
const NAIVE: &str = r#"{"cron": "*/15 * * * *"}"#;
const AS_CHEAP: &str = r#"{"every": "15m"}"#;
const SURE: &str = r#"{"detect": {"within": "6h", "prevalence": "6%", "confidence": "95%"}}"#;

/// When each of ten thousand faults that are open one minute in every quarter of an hour is seen,
/// in seconds after it began; the minute is any of the fifteen.
fn one_minute_in_fifteen(plan: &Plan, limit: TimeDelta) -> Vec<Option<i64>> {
    let mut random = fastrand::Rng::with_seed(15);
    let faults = (0..FAULTS).map(|_| {
        let key = PointKey(random.u64(..));
        let minute = TimeDelta::minutes(random.i64(0..15));
        let began = Begins::OnTheQuarter.at(&mut random) + minute;
        // What is due at the very moment counts.
        let just_before = began - TimeDelta::nanoseconds(1);
        let bursts = Shows::Bursts(60, QUARTERS);
        let seen = seen_after(plan, key, bursts, just_before, limit, &mut random);
        seen.map(|since| since.num_seconds())
    });
    faults.collect()
}

#[test]
fn a_fault_open_one_minute_in_fifteen_is_found_by_detect_and_missed_by_cron() {
    let day = TimeDelta::days(1);
    let of = |json: &str| one_minute_in_fifteen(&plan(json), day);
    let (naive, cheap, sure) = (of(NAIVE), of(AS_CHEAP), of(SURE));
    let by = |seen: &[Option<i64>], limit: i64| {
        seen.iter().filter(|at| at.is_some_and(|at| at <= limit)).count() as u64
    };
    // Cron sees the faults whose minute is its own in the first quarter, and the others never.
    assert_eq!(by(&naive, QUARTERS), by(&naive, 86_400));
    let share = by(&naive, 86_400) as f64 / FAULTS as f64;
    assert!((share - 1.0 / 15.0).abs() < 0.01, "{share}");
    // As many samples at random times find nearly all of them within a day.
    let cheaper = plan(AS_CHEAP);
    let time = cheaper.detection_time(Fault::Intermittent(1.0 / 15.0), 0.95).expect("a time");
    assert!(!is_below(by(&cheap, time.as_secs() as i64), 0.95));
    assert!(by(&cheap, 86_400) > 9_900);
    // And the guarantee is kept.
    assert!(!is_below(by(&sure, 6 * 3_600), 0.95), "{}", by(&sure, 6 * 3_600));
    let plot = plot(&[
        ("cron: \"*/15 * * * *\", 4 samples/h", "#b3261e", &naive),
        ("every: 15m, 4 samples/h", "#1f6feb", &cheap),
        ("detect: {within: 6h, prevalence: 6%, confidence: 95%}, 8.3 samples/h", "#1a7f37", &sure),
    ]);
    held("docs/sampling/aliasing.svg", &plot);
}

/// The share seen, by the hours since the fault began.
fn plot(curves: &[(&str, &str, &[Option<i64>])]) -> String {
    let x = |hours: f64| 60.0 + hours * 45.0;
    let y = |share: f64| 300.0 - share * 260.0;
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 410\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>A fault that is open one minute in every fifteen: share of 10,000 such faults seen, by hours since they began</title>\n\
         <rect width=\"640\" height=\"410\" fill=\"#fff\"/>\n",
    );
    let mut line = |text: String| writeln!(svg, "{text}").expect("a string");
    for percent in [0, 25, 50, 75, 95, 100] {
        let at = y(f64::from(percent) / 100.0);
        line(format!(
            "<path d=\"M60 {at:.1}H600\" stroke=\"#ddd\"/><text x=\"52\" y=\"{:.1}\" text-anchor=\"end\">{percent}%</text>",
            at + 4.0
        ));
    }
    for hours in (0..=12).step_by(2) {
        let at = x(f64::from(hours));
        line(format!(
            "<path d=\"M{at:.1} 40V300\" stroke=\"#eee\"/><text x=\"{at:.1}\" y=\"318\" text-anchor=\"middle\">{hours}h</text>"
        ));
    }
    let (promised, told) = ((x(6.0), y(0.95)), y(0.6));
    line(format!(
        "<path d=\"M{:.1} {:.1}V{told:.1}\" stroke=\"#1a7f37\" stroke-dasharray=\"2 3\"/><circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"none\" stroke=\"#1a7f37\" stroke-width=\"2\"/><text x=\"{:.1}\" y=\"{told:.1}\">promised: 95% within 6h</text>",
        promised.0,
        promised.1,
        promised.0,
        promised.1,
        promised.0 + 8.0,
    ));
    for (nth, (name, colour, seen)) in curves.iter().enumerate() {
        let mut path = format!("M{:.1} {:.1}", x(0.0), y(0.0));
        for quarter in 1..=48 {
            let by = seen.iter().filter(|at| at.is_some_and(|at| at <= quarter * QUARTERS)).count();
            let share = by as f64 / FAULTS as f64;
            write!(path, "L{:.1} {:.1}", x(quarter as f64 / 4.0), y(share)).expect("a string");
        }
        let at = 345 + 20 * nth;
        line(format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"));
        line(format!(
            "<path d=\"M60 {}h24\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"92\" y=\"{at}\">{}</text>",
            at - 4,
            name.replace('"', "&quot;")
        ));
    }
    line("<text x=\"60\" y=\"24\" font-weight=\"bold\">Open one minute in fifteen: share of 10,000 faults seen, by hours since they began</text>".to_owned());
    svg.push_str("</svg>\n");
    svg
}

#[test]
fn the_page_on_sampling_shows_what_was_measured() {
    let mut table = String::from(
        "| plan | fault | promised for 95 % | seen within it, of 10,000 |\n|---|---|---|---|\n",
    );
    for (_, json) in PLANS {
        let plan = plan(json);
        let spec = plan.spec().to_string();
        for (how, shows) in SHOWN {
            let row = match plan.detection_time(shows.fault(), 0.95) {
                None => "nothing | –".to_owned(),
                Some(time) => {
                    let limit = TimeDelta::from_std(time).expect("a time");
                    let seen = seen_within(&plan, shows, Begins::Anywhen, limit);
                    format!("{:.1} min | {seen}", time.as_secs_f64() / 60.0)
                }
            };
            let plan = if how == SHOWN[0].0 { format!("`{spec}`") } else { String::new() };
            writeln!(table, "| {plan} | {how} | {row} |").expect("a string");
        }
    }
    let page = std::fs::read_to_string("docs/sampling.md").expect("the page");
    let (head, rest) = page.split_once(BEGIN).expect("the mark where the table begins");
    let (_, tail) = rest.split_once(END).expect("the mark where the table ends");
    held("docs/sampling.md", &format!("{head}{BEGIN}\n{table}{END}{tail}"));
}

const BEGIN: &str = "<!-- measured: written by a test -->";
const END: &str = "<!-- end of what was measured -->";

/// The file holds this text; `SECCHI_WRITE=1` writes it.
fn held(path: &str, text: &str) {
    if std::env::var_os("SECCHI_WRITE").is_some() {
        std::fs::write(path, text).expect("the file");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == text, "run the tests once with SECCHI_WRITE=1 to write {path}");
}

fn config(text: &str) -> (TempDir, String) {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("secchi.yaml");
    std::fs::write(&file, text).expect("a file");
    let file = file.display().to_string();
    (folder, file)
}

fn plan_json(text: &str) -> (i32, Value) {
    let (_folder, file) = config(text);
    let output = run(&["plan", "--format", "json", "--config", &file]);
    let said = String::from_utf8_lossy(&output.stderr);
    let value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (output.status.code().expect("a status"), value)
}

const TIERS: &str = r#"
scope: {names: ["*.example.com"], networks: ["192.0.2.0/24"]}
plans:
  gold:   {detect: {within: 1h, prevalence: 10%, confidence: 99%}, importance: high}
  silver: {mix: [{every: 15m}, {cron: "0 6 * * *"}]}
  bronze: {every: 5m, share: 10%, importance: low}
defaults: {probes: [tls, http]}
targets:
  - {target: "https://shop.example.com", plan: gold, labels: {service: shop}}
  - {target: "https://till.example.com:8443", plan: gold, labels: {service: shop}}
  - {target: "https://blog.example.com", plan: silver}
  - {target: "192.0.2.7:443", plan: bronze, labels: {service: old}}
"#;

#[test]
fn the_plan_says_what_each_tier_costs_and_promises() {
    let (status, value) = plan_json(TIERS);
    assert_eq!(status, 0, "{value:#}");
    let of = |name: &str| {
        let plans = value["plans"].as_array().expect("plans");
        plans.iter().find(|plan| plan["plan"] == name).expect(name).clone()
    };
    let gold = of("gold");
    assert_eq!((gold["points"].as_u64(), gold["samples_per_hour"].as_f64()), (Some(4), Some(45.0)));
    // Two requests where both schemes are walked, one where there is a port, five hellos each.
    assert_eq!(gold["connections_per_hour_total"].as_f64(), Some(45.0 * (5.0 + 2.0 + 5.0 + 1.0)));
    assert_eq!(gold["connections_per_hour_target"]["most_at"], "https://shop.example.com");
    for fault in ["permanent", "intermittent", "partial"] {
        let times = &gold["detection_seconds"][fault];
        let [p50, p95, p99] =
            ["p50", "p95", "p99"].map(|key| times[key].as_f64().expect("seconds"));
        assert!(p50 < p95 && p95 < p99, "{times}");
    }
    assert!(gold["detection_seconds"]["partial"]["p99"].as_f64() <= Some(3_600.0));
    assert_eq!(gold["longest_wait_seconds"].as_f64(), Some(160.0));
    let promise = &gold["guarantees"][0];
    assert!(promise["weakest_confidence"].as_f64() >= Some(0.99), "{promise}");
    let tls = &promise["by_measure"][0];
    assert_eq!((&tls["probe"], &tls["observations_per_sample"]), (&"tls".into(), &1.into()));
    assert!(tls["measures"].as_array().expect("measures").contains(&"tls.versions".into()));
    let nothing = promise["promised_nothing"].as_array().expect("measures");
    assert!(nothing.contains(&"tls.client_renegotiation".into()));
    assert_eq!(gold["independence"], "unproven");
    assert_eq!(gold["groups"][0]["service"], "shop");
    assert!(of("silver")["guarantees"].as_array().expect("a list").is_empty());
    assert_eq!(of("bronze")["longest_wait_seconds"].as_f64(), Some(6_000.0));
    assert_eq!(value["total"]["points"].as_u64(), Some(8));
}

#[test]
fn people_read_the_same() {
    let (_folder, file) = config(TIERS);
    let output = run(&["plan", "--config", &file]);
    let said = String::from_utf8(output.stdout).expect("text");
    for what in [
        "gold  {detect: {within: 1h, prevalence: 10%, confidence: 99%}, importance: high}",
        "4 points of 2 targets, 45.0 samples/h each",
        "promised: what shows on 10% of connections, or of the time, is seen within any 1h with 99.03% or more",
        "independence of connections: unproven",
        "service shop",
        "longest wait 1h40m",
    ] {
        assert!(said.contains(what), "{what} is missing from:\n{said}");
    }
}

#[test]
fn a_plan_beyond_its_budget_is_refused_at_its_place_with_the_nearest_that_fits() {
    let greedy = "scope: {networks: [\"192.0.2.0/24\"]}\nplans:\n  \
                  greedy: {detect: {within: 10m, prevalence: 1%, confidence: 99%}}\n\
                  defaults: {plan: greedy, probes: [tls]}\ntargets:\n  - target: 192.0.2.7:443\n";
    let (_folder, file) = config(greedy);
    let output = run(&["config", "check", "--config", &file]);
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{said}");
    for what in [
        "secchi.yaml:3:20",
        "3.833 connections a second at 192.0.2.7, 2/s are allowed: 1.92 times",
        "{detect: {within: 19m10s, prevalence: 1%, confidence: 99%}}",
    ] {
        assert!(said.contains(what), "{what} is missing from:\n{said}");
    }
    // `secchi plan` refuses it too, and says what it would come to.
    let (status, value) = plan_json(greedy);
    assert_eq!(status, 2);
    let over = &value["over_budget"][0];
    assert_eq!(
        (&over["plan"], &over["nearest"]["detect"]["within"]),
        (&"greedy".into(), &"19m10s".into())
    );
    // And what is said to fit does.
    let (status, value) = plan_json(&greedy.replace("within: 10m", "within: 19m10s"));
    assert_eq!((status, value["over_budget"].as_array().map(Vec::len)), (0, Some(0)));
}

/// The next due times of one target, by `config explain`.
fn due(text: &str, seed: &str) -> Vec<String> {
    let (folder, file) = config(&format!("{text}data: {{seed_file: seed}}\n"));
    std::fs::write(folder.path().join("seed"), seed).expect("a seed");
    let output = run(&["config", "explain", "192.0.2.7:443", "--config", &file]);
    let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let points = value["next_due"].as_array().expect("points");
    let times = points.iter().flat_map(|point| point["next_due"].as_array().expect("times"));
    times.map(|time| time.as_str().expect("a time").to_owned()).collect()
}

#[test]
fn due_times_hang_on_seed_point_and_own_plan_and_on_nothing_else() {
    let seed = "0123456789abcdef0123456789abcdef\n";
    let text = TIERS.replace("every: 5m, share: 10%", "every: 1d, share: 10%");
    let before = due(&text, seed);
    assert_eq!(before.len(), 6);
    let others =
        text.replace("within: 1h", "within: 2h").replace("every: 15m", "every: 7m").replace(
            "{target: \"https://blog.example.com\", plan: silver}",
            "{target: x.example.com, plan: bronze}",
        );
    assert!(others != text && due(&others, seed) == before);
    assert_ne!(due(&text, "fedcba98765432100123456789abcdef\n"), before);
    assert_ne!(due(&text.replace("every: 1d", "every: 2d"), seed), before);
}

#[test]
fn a_target_s_explanation_says_what_its_plan_gives_and_when_it_is_due() {
    let (folder, file) = config(&format!("{TIERS}data: {{seed_file: seed}}\n"));
    std::fs::write(folder.path().join("seed"), "0123456789abcdef0123456789abcdef\n")
        .expect("a seed");
    let output = run(&["config", "explain", "192.0.2.7:443", "--config", &file]);
    let said = String::from_utf8_lossy(&output.stderr);
    let value: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_eq!(value["plan_gives"]["samples_per_hour"].as_f64(), Some(1.2));
    assert_eq!(value["plan_gives"]["longest_wait_seconds"].as_f64(), Some(6_000.0));
    assert_eq!(value["next_due"][0]["next_due"].as_array().map(Vec::len), Some(3), "{value:#}");
}
