//! `secchi run` as a user starts it: time until it is ready, and what it holds when it idles.
#![allow(clippy::print_stdout, unreachable_pub, reason = "a bench prints what it measured")]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use support::peers::{secchi, wait_for};
use support::{Series, Watched, free_port, get_text, metric, mib, size, told};
use tokio::time::Instant;

fn main() {
    if !support::is_wanted("start") {
        return;
    }
    few();
    many(size("TARGETS", 100_000));
}

fn few() {
    let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
    config(folder.path(), 3);
    let mut times = Vec::new();
    for _ in 0..5 {
        let mut daemon = secchi(folder.path(), port);
        let ready = wait_for(&mut daemon, port, "/-/ready", Duration::from_secs(20));
        times.push(ready.as_secs_f64() * 1e3);
    }
    told("ready with 3 targets", Series::new(times).in_words("ms"), "");
    let mut daemon = secchi(folder.path(), port);
    wait_for(&mut daemon, port, "/-/ready", Duration::from_secs(20));
    let watched = Watched::of(daemon.id());
    let cpu = watched.cpu();
    std::thread::sleep(Duration::from_secs(20));
    told(
        "idle, 3 targets, resident",
        format!("{:.1} MiB", mib(watched.rss())),
        "goal: below 40 MiB",
    );
    told("  peak", format!("{:.1} MiB", mib(watched.peak())), "");
    let share = 100.0 * (watched.cpu() - cpu) / 20.0;
    told("  share of a core", format!("{share:.2} %"), "");
}

fn many(targets: usize) {
    let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
    config(folder.path(), targets);
    let begun = Instant::now();
    let check = std::process::Command::new(env!("CARGO_BIN_EXE_secchi"))
        .args(["config", "check", "--config"])
        .arg(folder.path().join("secchi.yaml"))
        .output()
        .expect("the binary");
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let checked = begun.elapsed().as_secs_f64();
    told(&format!("config check, {targets} targets"), format!("{checked:.2} s"), "");
    let (mut ready, mut all) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let begun = Instant::now();
        let mut daemon = secchi(folder.path(), port);
        let patience = Duration::from_secs(120);
        ready.push(wait_for(&mut daemon, port, "/-/ready", patience).as_secs_f64());
        let points = || {
            metric(&get_text(port, "/metrics").unwrap_or_default(), "secchi_sampling_points", &[])
        };
        while (points() as usize) < targets {
            assert!(begun.elapsed() < patience, "the points do not come");
            std::thread::sleep(Duration::from_millis(20));
        }
        all.push(begun.elapsed().as_secs_f64());
        std::thread::sleep(Duration::from_secs(5));
        let watched = Watched::of(daemon.id());
        let resident =
            format!("{:.0} MiB, peak {:.0} MiB", mib(watched.rss()), mib(watched.peak()));
        told("  resident 5 s later", resident, "");
    }
    told(
        &format!("ready with {targets} targets"),
        Series::new(ready).in_words("s"),
        "goal: below 3 s",
    );
    told("  every point scheduled", Series::new(all).in_words("s"), "");
}

/// Nothing is sampled but loopback, and hardly ever.
fn config(folder: &Path, targets: usize) {
    let mut text = "scope: {names: ['*.fleet.test'], networks: [127.0.0.0/8]}\n\
                    plans: {monthly: {every: 30d}}\n\
                    defaults: {plan: monthly, probes: [http], address: 127.0.0.1}\n\
                    targets:\n"
        .to_owned();
    for n in 0..targets {
        let team = n % 20;
        let _ = write!(
            text,
            "  - target: https://host-{n:07}.fleet.test:8443\n    labels: {{service: shop, team: team-{team}, env: production}}\n"
        );
    }
    std::fs::write(folder.join("secchi.yaml"), text).expect("a config");
}
