//! What the daemon does to its targets, by their own connection log: one connection at a time, at
//! the configured rate, and no pile of slots behind a slow answer.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::faults::{metric, stop};
use crate::support::scripted::{Contact, Log, Scripted, response};
use crate::support::{Daemon, eventually};

/// Sites on the same address with one log, each answering after `delay`.
fn sites(count: usize, delay: Duration) -> (Log, Vec<Scripted>) {
    let log = Log::default();
    let answer = move |_: &str| {
        thread::sleep(delay);
        response("200 OK", "X-Content-Type-Options: nosniff\r\n", "ok")
    };
    let sites = (0..count).map(|_| Scripted::start_with(Arc::clone(&log), answer)).collect();
    (log, sites)
}

/// Every target once a second; the budgets are the daemon's own.
fn config(sites: &[Scripted], rest: &str) -> String {
    let targets: String =
        sites.iter().map(|s| format!("  - target: http://127.0.0.1:{}\n", s.port)).collect();
    format!(
        "scope: {{networks: [\"127.0.0.0/8\"]}}\n\
         plans: {{fast: {{every: 1s}}}}\n\
         defaults: {{plan: fast, probes: [http], timeout: 20s}}\n\
         targets:\n{targets}{rest}"
    )
}

/// The contacts so far, once there are so many.
fn contacts(log: &Log, least: usize, patience: Duration) -> Vec<Contact> {
    eventually(&format!("{least} connections"), patience, || {
        let contacts = log.lock().expect("a lock").clone();
        (contacts.len() >= least).then_some(contacts)
    })
}

/// The most connections that were begun within any such span.
fn most_within(contacts: &[Contact], span: Duration) -> usize {
    let of = |from: &Contact| {
        let ends = from.begun + span;
        contacts.iter().filter(|c| c.begun >= from.begun && c.begun < ends).count()
    };
    contacts.iter().map(of).max().unwrap_or_default()
}

/// The longest time for which two connections were open at once.
fn longest_overlap(contacts: &[Contact]) -> Duration {
    let pairs = contacts.windows(2).map(|pair| {
        let ended = pair[0].ended.unwrap_or(pair[1].begun + Duration::from_secs(60));
        ended.saturating_duration_since(pair[1].begun)
    });
    // The last one may still be open; it has no successor.
    pairs.max().unwrap_or_default()
}

#[test]
fn three_targets_on_one_address_share_its_rate() {
    let folder = TempDir::new().expect("a folder");
    let (log, sites) = sites(3, Duration::ZERO);
    let daemon = Daemon::start(folder.path(), &config(&sites, ""));
    let seen = contacts(&log, 20, Duration::from_secs(20));
    // 2/s to an address is the default; a bucket holds a second's worth to begin with. What is
    // accepted a moment late is not begun late.
    assert!(most_within(&seen, Duration::from_millis(950)) <= 4, "{seen:#?}");
    assert!(most_within(&seen, Duration::from_secs(5)) <= 12, "{seen:#?}");
    let rate = 19.0 / (seen[19].begun - seen[0].begun).as_secs_f64();
    assert!(rate < 2.4, "{rate} a second");
    for site in &sites {
        assert!(seen.iter().any(|contact| contact.port == site.port), "{} starved", site.port);
    }
    drop(daemon);
}

#[test]
fn a_configured_rate_replaces_the_default() {
    let folder = TempDir::new().expect("a folder");
    let (log, sites) = sites(3, Duration::ZERO);
    let budgets = "budgets: {per_address: {http: 1/s}}\n";
    let _daemon = Daemon::start(folder.path(), &config(&sites, budgets));
    let seen = contacts(&log, 8, Duration::from_secs(20));
    assert!(most_within(&seen, Duration::from_millis(4900)) <= 6, "{seen:#?}");
}

#[test]
fn a_targets_own_rate_and_concurrency_stand_in_place_of_the_budgets() {
    let folder = TempDir::new().expect("a folder");
    let (log, sites) = sites(3, Duration::from_millis(900));
    let own = config(&sites, "").replace(
        "probes: [http], timeout: 20s",
        "probes: [http], timeout: 20s, rate: 50, concurrency: 3",
    );
    let _daemon = Daemon::start(folder.path(), &own);
    let seen = contacts(&log, 13, Duration::from_secs(20));
    // By the budgets it would be one at a time, so about one a second.
    let rate = 12.0 / (seen[12].begun - seen[0].begun).as_secs_f64();
    assert!(rate > 1.6, "{rate} a second: {seen:#?}");
    assert!(longest_overlap(&seen[..12]) > Duration::from_millis(300), "{seen:#?}");
}

#[test]
fn an_address_has_one_connection_at_a_time() {
    let folder = TempDir::new().expect("a folder");
    let (log, sites) = sites(3, Duration::from_millis(900));
    let budgets = "budgets: {per_address: 100/s, per_network: 100/s, total: 100/s}\n";
    let daemon = Daemon::start(folder.path(), &config(&sites, budgets));
    let seen = contacts(&log, 9, Duration::from_secs(30));
    let overlap = longest_overlap(&seen[..8]);
    assert!(overlap < Duration::from_millis(100), "{overlap:?}: {seen:#?}");
    drop(daemon);
}

#[test]
fn a_sample_slower_than_its_plan_makes_overlaps_and_never_a_pile() {
    let folder = TempDir::new().expect("a folder");
    let (log, sites) = sites(1, Duration::from_millis(3500));
    let mut daemon = Daemon::start(folder.path(), &config(&sites, ""));
    let overlaps = || metric(&daemon, "secchi_scheduler_skipped_total{reason=\"overlap\"}");
    eventually("overlaps", Duration::from_secs(20), || (overlaps() >= 6.0).then_some(()));
    let seen = log.lock().expect("a lock").clone();
    assert!(seen.len() <= 4, "{seen:#?}");
    assert!(longest_overlap(&seen) < Duration::from_millis(100), "{seen:#?}");
    assert_eq!(metric(&daemon, "secchi_probes_inflight{probe=\"http\"}"), 1.0);
    stop(&mut daemon);
    let after = log.lock().expect("a lock").len();
    assert!(after <= seen.len() + 1, "a stop sampled what had been skipped");
}

#[test]
fn a_target_beyond_its_bytes_is_let_go_until_they_are_made_good() {
    let folder = TempDir::new().expect("a folder");
    let (log, sites) = sites(1, Duration::ZERO);
    let bounds = "budgets: {bytes: {per_target: 1KiB/m}}\n";
    let mut daemon = Daemon::start(folder.path(), &config(&sites, bounds));
    contacts(&log, 1, Duration::from_secs(10));
    eventually("slots let go for want of bytes", Duration::from_secs(40), || {
        (metric(&daemon, "secchi_scheduler_skipped_total{reason=\"budget\"}") >= 8.0).then_some(())
    });
    let used = ["sent", "received"].map(|direction| {
        let series =
            format!("secchi_probe_bytes_total{{direction=\"{direction}\",probe=\"http\"}}");
        metric(&daemon, &series)
    });
    // A minute's worth, what was made good meanwhile, and the sample that overdrew the account.
    let used: f64 = used.iter().sum();
    assert!((500.0..3_500.0).contains(&used), "{used} bytes");
    stop(&mut daemon);
}
