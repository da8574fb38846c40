//! A million sampling points: the time to find a next due time and to sum up a plan, bytes a point in
//! the sampler's loop, and how late samples begin.
#![allow(clippy::print_stdout, unreachable_pub, reason = "a bench prints what it measured")]

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use secchi::probe::Memory;
use secchi::rules::RuleSet;
use secchi::sample::Cause;
use secchi::sampler::{Entry, Glimpse, Judged, Order, Remembered, Repeat, Sampler, Sink, Take};
use secchi::schedule::{Clock, PlanSpec, Seed, SystemClock};
use secchi::target::{Point, PointKey, ProbeKind, Target};
use secchi::telemetry::Metrics;
use support::{Series, Watched, mib, size, told};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const SEED: Seed = Seed([7; 16]);

/// Notes how late each sample begins, and does nothing else.
struct Idle {
    clock: SystemClock,
    lags: Mutex<Vec<f64>>,
    taken: AtomicU64,
}

impl Take for Idle {
    fn take<'a>(
        &'a self,
        entry: &'a Entry,
        _: Cause,
        slot: Option<i64>,
        _: Option<Memory>,
    ) -> BoxFuture<'a, Vec<Judged>> {
        let now = self.clock.now();
        if let Some(due) = slot.and_then(|slot| due(entry, slot)) {
            let lag = (now - due).num_microseconds().unwrap_or(i64::MAX) as f64 / 1e3;
            self.lags.lock().expect("no panic").push(lag);
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Vec::new() })
    }
}

impl Sink for Idle {
    fn memory(&self, _: PointKey) -> Remembered {
        Remembered::default()
    }

    fn deliver<'a>(&'a self, _: &'a Entry, _: Vec<Judged>, _: u64) -> BoxFuture<'a, u32> {
        Box::pin(async { 0 })
    }

    fn turned(&self, _: DateTime<Utc>) {}
}

/// When the sample of a slot was due. A slot's number is its start in whole seconds, so the sample
/// of the slot before may still lie behind that second.
fn due(entry: &Entry, number: i64) -> Option<DateTime<Utc>> {
    let key = entry.point.key();
    let mut after = DateTime::from_timestamp(number, 0)?;
    for _ in 0..3 {
        let slot = entry.plan.next(key, &SEED, after)?;
        if slot.number == number {
            return Some(slot.due);
        }
        after = slot.due;
    }
    None
}

/// Points of distinct targets with one plan and one rule selection, as a config makes them.
struct Made {
    targets: Vec<Arc<Target>>,
    like: Entry,
}

impl Made {
    fn new(points: usize, every: Duration) -> Self {
        let targets = (0..points).map(|n| {
            let text = format!("host-{n:07}.example.com:443");
            Arc::new(Target::new(text.parse().expect("a target")))
        });
        let targets: Vec<_> = targets.collect();
        let rules = RuleSet::builtin();
        let selection = rules.select(&[], &Default::default()).expect("the built-in rules");
        let plan = PlanSpec::every(every).compile().expect("a plan");
        let like = Entry {
            point: Point { target: Arc::clone(&targets[0]), probe: ProbeKind::Tls, address: None },
            plan: Arc::new(plan),
            plan_name: "bench".into(),
            selection,
            repeat: Repeat { samples: 3, agree: 2, within: Duration::from_secs(60) },
            freshness: Duration::from_secs(3600),
            glimpse: Glimpse::Apart,
            spoken_for: Arc::default(),
        };
        Self { targets, like }
    }

    fn entry(&self, n: usize) -> Entry {
        let address = [10, (n >> 16) as u8, (n >> 8) as u8, n as u8];
        let target = Arc::clone(&self.targets[n]);
        let point = Point { target, probe: ProbeKind::Tls, address: Some(address.into()) };
        Entry { point, ..self.like.clone() }
    }
}

/// How long a next due time takes, of each kind of plan, with a key of its own each time.
fn next_due(points: usize) {
    for (name, json) in [
        ("every", r#"{"every": "5m"}"#),
        ("detect", r#"{"detect": {"within": "1h", "prevalence": "10%", "confidence": "99%"}}"#),
        ("share", r#"{"every": "5m", "share": "10%"}"#),
        ("mix", r#"{"mix": [{"every": "15m"}, {"cron": "0 6 * * *"}]}"#),
        ("cron", r#"{"cron": "*/15 * * * *"}"#),
    ] {
        let plan = serde_json::from_str::<PlanSpec>(json).expect(json).compile().expect(json);
        let now = SystemClock.now();
        let begun = Instant::now();
        let sum = (0..points as u64)
            .filter_map(|key| plan.next(PointKey(key), &SEED, now))
            .fold(0_i64, |sum, slot| sum.wrapping_add(slot.number));
        std::hint::black_box(sum);
        let nanos = begun.elapsed().as_nanos() as f64 / points as f64;
        told(&format!("next due, {name}"), format!("{nanos:.0} ns"), "goal: below 1,000");
    }
}

/// What `secchi plan` does once the config is read, for targets with four points each.
fn summary(points: usize) {
    let mut text = String::from(
        "scope: {names: [\"*.example.com\"], networks: [\"10.0.0.0/8\"]}\nplans: {sure: {detect: {within: 1d, prevalence: 10%, confidence: 99%}}}\n\
         budgets: {per_address: 1000/s, per_network: 100000/s, total: 1000000/s}\n\
         defaults: {plan: sure, probes: [tls, http, ports, dns]}\ntargets:\n",
    );
    for n in 0..points / 4 {
        let [_, a, b, c] = (n as u32).to_be_bytes();
        text.push_str(&format!(
            "  - {{target: h{n}.example.com, address: 10.{a}.{b}.{c}, labels: {{service: s{}}}}}\n",
            n % 1_000
        ));
    }
    let path = std::path::Path::new("secchi.yaml");
    let begun = Instant::now();
    let config = secchi::config::parse(&text, path, &secchi::config::Disk, SystemClock.now());
    let config = config.unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)));
    told("config read and checked", format!("{:.2} s", begun.elapsed().as_secs_f64()), "");
    let begun = Instant::now();
    let summed = secchi::cli::plan_summary(&config);
    let took = begun.elapsed().as_secs_f64();
    let summed = &summed["total"]["points"];
    told("plan summary", format!("{took:.2} s for {summed} points"), "goal: below 1 s");
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    if !support::is_wanted("schedule") {
        return;
    }
    let points = size("POINTS", 1_000_000);
    let seconds = size("SECONDS", 60) as u64;
    next_due(points);
    let made = Made::new(points, Duration::from_secs((points as u64 / 1000).max(1)));
    let idle = Arc::new(Idle {
        clock: SystemClock,
        lags: Mutex::new(Vec::with_capacity(2_000 * seconds as usize)),
        taken: AtomicU64::new(0),
    });
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    let sampler = Sampler {
        taker: Arc::clone(&idle) as Arc<dyn Take>,
        sink: Arc::clone(&idle) as Arc<dyn Sink>,
        clock: Arc::new(SystemClock),
        seed: SEED,
        spending: Arc::default(),
        at_once: 1024,
        metrics: Arc::clone(&metrics),
    };
    let (orders, heard) = mpsc::channel(4);
    let stop = CancellationToken::new();
    let own = Watched::own();
    let before = own.rss();
    let running = tokio::spawn(sampler.run(heard, stop.clone()));

    let begun = Instant::now();
    for start in (0..points).step_by(BATCH) {
        let end = (start + BATCH).min(points);
        let put = (start..end).map(|n| (made.entry(n), None)).collect();
        orders.send(Order::Put(put)).await.expect("the loop runs");
    }
    let gauge = metrics.points.with_label_values(&["tls"]);
    while usize::try_from(gauge.get()) != Ok(points) {
        sleep(Duration::from_millis(5)).await;
    }
    let put = begun.elapsed();
    let held = own.rss().saturating_sub(before);
    told("points put in", format!("{points} in {:.2} s", put.as_secs_f64()), "");
    told("resident for the schedule", format!("{:.0} MiB", mib(held)), "");
    told("bytes a point", format!("{:.0}", held as f64 / points as f64), "goal: 200 at most");

    // Warm-up: what came due while the points went in is late by right.
    sleep(Duration::from_secs(5)).await;
    idle.lags.lock().expect("no panic").clear();
    let (cpu, taken, begun) = (own.cpu(), idle.taken.load(Ordering::Relaxed), Instant::now());
    sleep(Duration::from_secs(seconds)).await;
    let passed = begun.elapsed().as_secs_f64();
    let lags = Series::new(std::mem::take(&mut idle.lags.lock().expect("no panic")));
    let rate = (idle.taken.load(Ordering::Relaxed) - taken) as f64 / passed;
    stop.cancel();
    running.await.expect("the loop ends");
    told("samples a second", format!("{rate:.0} over {passed:.0} s"), "");
    let quantiles = [0.5, 0.9, 0.99, 0.999, 1.0].map(|share| lags.quantile(share));
    told("lag p50 p90 p99 p99.9 max, ms", format!("{quantiles:.2?}"), "goal: p99 below 250");
    told("share of a core", format!("{:.1} %", 100.0 * (own.cpu() - cpu) / passed), "");
    // Last, for what it leaves in the allocator would blur the bytes a point.
    summary(points);
}

const BATCH: usize = 10_000;
