//! The ledger on disk with fsync: samples a second, bytes a sample, and the time of a restart.
#![allow(clippy::print_stdout, unreachable_pub, reason = "a bench prints what it measured")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secchi::ledger::{Ledger, Options, verify};
use secchi::telemetry::Metrics;
use support::samples::Recorded;
use support::{Series, Watched, mib, size, told};
use tokio::time::{Instant, sleep};

/// Samples at once, as the sampler has them.
const AT_ONCE: usize = 1024;

/// How much of what is recorded says something new.
#[derive(Clone, Copy)]
struct Mix {
    title: &'static str,
    /// One sample in so many; `None`: no sample.
    changes: Option<usize>,
}

const MIXES: [Mix; 3] = [
    Mix { title: "unchanged", changes: None },
    Mix { title: "one in a hundred changes", changes: Some(100) },
    Mix { title: "every sample changes", changes: Some(1) },
];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    if !support::is_wanted("ledger") {
        return;
    }
    let recorded = Arc::new(Recorded::new());
    for mix in MIXES {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        sustained(&recorded, folder.path(), mix).await;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    restart(&recorded, folder.path()).await;
}

/// Records rounds of all points, a virtual minute apart, for some seconds.
async fn sustained(recorded: &Arc<Recorded>, folder: &Path, mix: Mix) {
    let points = size("POINTS", 10_000);
    let seconds = size("SECONDS", 20);
    let ledger = Arc::new(open(folder));
    rounds(&ledger, recorded, points, 0..points, None, &Arc::default()).await;
    // Closing empties the write-ahead log, so that only the store's own size is compared.
    ledger.close().await.expect("closed");
    let ledger = Arc::new(open(folder));
    let (own, taken) = (Watched::own(), Arc::new(AtomicUsize::new(0)));
    let (before, written, cpu) = (bytes_of(folder), written(), own.cpu());
    let begun = Instant::now();
    let end = begun + Duration::from_secs(seconds as u64);
    let counting = Arc::clone(&taken);
    let counter = tokio::spawn(async move {
        let mut rates = Vec::new();
        let mut last = (Instant::now(), 0);
        while Instant::now() < end {
            sleep(Duration::from_secs(1)).await;
            let now = (Instant::now(), counting.load(Ordering::Relaxed));
            rates.push((now.1 - last.1) as f64 / (now.0 - last.0).as_secs_f64());
            last = now;
        }
        rates
    });
    let mut at = points;
    while Instant::now() < end {
        rounds(&ledger, recorded, points, at..at + points, mix.changes, &taken).await;
        at += points;
    }
    let passed = begun.elapsed().as_secs_f64();
    let samples = at - points;
    let rates = Series::new(counter.await.expect("no panic"));
    let (own_cpu, io) = (own.cpu() - cpu, written_since(written));
    ledger.close().await.expect("closed");
    drop(ledger);
    let grown = bytes_of(folder).saturating_sub(before) as f64 / samples as f64;
    told(mix.title, format!("{:.0} samples/s", samples as f64 / passed), "goal: 5,000 at least");
    told("  in each second", rates.in_words("samples/s"), "");
    let share = format!("{:.0} %", 100.0 * own_cpu / passed);
    told("  share of a core", share, "making the samples included");
    told("  samples a processor second", format!("{:.0}", samples as f64 / own_cpu), "");
    told("  bytes a sample kept", format!("{grown:.0}"), "");
    told("  bytes a sample written", format!("{:.0}", io as f64 / samples as f64), "");
    let a_day = grown * 10_000.0 * 1440.0 / f64::from(1 << 30);
    told("  at 10,000 samples a minute", format!("{a_day:.2} GiB a day"), "");
}

/// Records samples `range`, counted over all rounds, with [`AT_ONCE`] under way.
async fn rounds(
    ledger: &Arc<Ledger>,
    recorded: &Arc<Recorded>,
    points: usize,
    range: std::ops::Range<usize>,
    changes: Option<usize>,
    taken: &Arc<AtomicUsize>,
) {
    let (next, end) = (Arc::new(AtomicUsize::new(range.start)), range.end);
    let tasks: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (ledger, recorded) = (Arc::clone(ledger), Arc::clone(recorded));
            let (next, taken) = (Arc::clone(&next), Arc::clone(taken));
            tokio::spawn(async move {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= end {
                        return;
                    }
                    let minute = TimeDelta::minutes((nth / points) as i64);
                    let change = changes.filter(|one_in| nth.is_multiple_of(*one_in));
                    let record =
                        recorded.record(nth % points, epoch() + minute, change.map(|_| nth as u64));
                    ledger.record(record).await.expect("recorded");
                    taken.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
}

/// Opens a ledger that knows many points.
async fn restart(recorded: &Arc<Recorded>, folder: &Path) {
    let points = size("RESTART", 100_000);
    let ledger = Arc::new(open(folder));
    rounds(&ledger, recorded, points, 0..2 * points, None, &Arc::default()).await;
    ledger.close().await.expect("closed");
    drop(ledger);
    let own = Watched::own();
    let (mut times, mut resident) = (Vec::new(), Vec::new());
    let before = own.rss();
    for _ in 0..5 {
        let begun = Instant::now();
        let ledger = open(folder);
        resident.push(mib(own.rss().saturating_sub(before)));
        times.push(begun.elapsed().as_secs_f64());
        assert_eq!(ledger.latest().len(), points);
        ledger.close().await.expect("closed");
    }
    told(
        &format!("opened with {points} points"),
        Series::new(times).in_words("s"),
        "goal: below 3 s",
    );
    told("  resident more than before, first", format!("{:.0} MiB", resident[0]), "");
    let begun = Instant::now();
    let report = verify(folder).expect("a report");
    assert!(report.is_whole(), "{:?}", report.faults);
    let rate = report.samples as f64 / begun.elapsed().as_secs_f64();
    told("  verified", format!("{} samples, {rate:.0} a second", report.samples), "");
}

fn open(folder: &Path) -> Ledger {
    let options = Options { dir: Some(folder.to_owned()), ..Options::default() };
    let metrics = Arc::new(Metrics::new().expect("metrics"));
    Ledger::open(options, metrics, epoch()).expect("a ledger")
}

fn epoch() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a time")
}

/// Bytes of the store; the reserve for a full disk is none of it.
fn bytes_of(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).expect("a folder").flatten();
    let ours = files.filter(|file| file.file_name().to_string_lossy().contains(".db"));
    ours.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

/// Bytes that this process has had written to disk.
fn written() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").expect("proc(5)");
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|number| number.parse().ok()).unwrap_or_default()
}

fn written_since(before: u64) -> u64 {
    written().saturating_sub(before)
}
