//! Gauges that are worked out now and then: coverage, staleness, the process itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;
use crate::schedule::Clock;
use crate::telemetry::Metrics;

/// Runs until `stop`.
pub(super) async fn run(
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = beats.tick() => {}
        }
        process(&metrics, ticks_per_second);
        if let Err(error) = ledger.check_stale(clock.now()).await {
            tracing::error!(%error, "staleness could not be judged");
        }
    }
}

/// What `/proc/self` says, under the names of the Prometheus client libraries.
fn process(metrics: &Metrics, ticks_per_second: u64) {
    if let Ok(statm) = std::fs::read_to_string("/proc/self/statm") {
        let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<i64>().ok());
        let size = i64::try_from(rustix::param::page_size()).unwrap_or(4096);
        metrics.process_rss.set(pages.unwrap_or_default() * size);
    }
    if let Ok(stat) = std::fs::read_to_string("/proc/self/stat") {
        // The second field may hold spaces; it ends with the last parenthesis.
        let after = stat.rsplit(") ").next().unwrap_or_default();
        let ticks = after.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
        let seconds = ticks.sum::<f64>() / ticks_per_second as f64;
        metrics.process_cpu.inc_by((seconds - metrics.process_cpu.get()).max(0.0));
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        metrics.process_fds.set(i64::try_from(files.count()).unwrap_or_default());
    }
    let limit = super::place::file_limit();
    metrics
        .process_max_fds
        .set(limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(i64::MAX));
}

const BEAT: Duration = Duration::from_secs(5);
