//! The daemon from outside: findings open and resolve, reload, metrics, API, stop.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::peers::find;
use crate::support::{Daemon, eventually, free_port, get_json, http, run};

/// A plain http site that keeps its headers, or loses them, or falls silent.
pub struct Site {
    pub port: u16,
    pub broken: Arc<AtomicBool>,
    pub silent: Arc<AtomicBool>,
}

impl Site {
    pub fn start() -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a listener");
        let (broken, silent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (is_broken, is_silent) = (Arc::clone(&broken), Arc::clone(&silent));
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                if is_silent.load(Ordering::SeqCst) {
                    continue;
                }
                let good = if is_broken.load(Ordering::SeqCst) {
                    ""
                } else {
                    "X-Content-Type-Options: nosniff\r\n"
                };
                let mut request = [0; 2048];
                let _ = stream.read(&mut request);
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\n{good}X-Frame-Options: DENY\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
                );
            }
        });
        Self { port, broken, silent }
    }
}

pub fn config(site: &Site, rest: &str) -> String {
    format!(
        "scope: {{names: [], networks: [\"127.0.0.0/8\"]}}\n\
         plans: {{fast: {{every: 1s}}, slow: {{every: 1h}}}}\n\
         defaults: {{plan: fast, probes: [http], timeout: 2s, repeat: {{samples: 2, agree: 1, within: 1s}}}}\n\
         targets:\n  - target: http://127.0.0.1:{}\n    labels: {{service: shop, team: checkout, env: test}}\n\
         budgets: {{per_address: 100/s, per_network: 1000/s, total: 1000/s}}\n{rest}",
        site.port
    )
}

const RULE: &str = "http-content-type-options";

#[test]
fn a_finding_opens_at_first_sight_and_resolves_when_clean_samples_outweigh_it() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let daemon = Daemon::start(folder.path(), &config(&site, ""));
    wait_samples(&daemon, 1.0);
    assert!(daemon.findings("").iter().all(|finding| finding["rule"] != RULE));
    site.broken.store(true, Ordering::SeqCst);
    let finding = daemon.wait_finding(RULE, "confirmed", Duration::from_secs(10));
    for key in [
        "id",
        "rule",
        "target",
        "probe",
        "severity",
        "state",
        "first_seen",
        "last_seen",
        "measure",
        "subject",
        "measured",
        "range",
    ] {
        assert!(finding.get(key).is_some(), "{key} is missing from {finding}");
    }
    site.broken.store(false, Ordering::SeqCst);
    daemon.wait_finding(RULE, "resolved", Duration::from_secs(60));
}

#[test]
fn a_profile_without_a_rule_withdraws_the_findings_of_that_rule() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    site.broken.store(true, Ordering::SeqCst);
    let before = config(&site, "");
    let daemon = Daemon::start(folder.path(), &before);
    daemon.wait_finding(RULE, "confirmed", Duration::from_secs(10));
    reload(&daemon, &before.replace("timeout: 2s,", "timeout: 2s, profile: mozilla-modern-6.0,"));
    let gone = daemon.wait_finding(RULE, "withdrawn", Duration::from_secs(10));
    assert_eq!(gone["note"], "rule_removed", "{gone}");
}

#[test]
fn silence_neither_opens_nor_resolves_and_is_counted_by_its_reason() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let daemon = Daemon::start(folder.path(), &config(&site, ""));
    site.broken.store(true, Ordering::SeqCst);
    let before = daemon.wait_finding(RULE, "confirmed", Duration::from_secs(10));
    site.broken.store(false, Ordering::SeqCst);
    site.silent.store(true, Ordering::SeqCst);
    eventually("unknown samples", Duration::from_secs(20), || {
        let metrics = daemon.metrics();
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with("secchi_sample_unknown_total{probe=\"http\""));
        let total: f64 =
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        (total >= 4.0).then_some(())
    });
    let after = daemon.findings("?state=confirmed");
    assert!(after.iter().any(|finding| finding["id"] == before["id"]), "{after:?}");
}

#[test]
fn a_restart_keeps_findings_and_the_ledger_verifies_meanwhile() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    site.broken.store(true, Ordering::SeqCst);
    let mut daemon = Daemon::start(folder.path(), &config(&site, ""));
    let before = daemon.wait_finding(RULE, "confirmed", Duration::from_secs(10));
    verify(folder.path());
    daemon.process.signal("TERM");
    assert_eq!(daemon.process.wait(Duration::from_secs(20)), Some(0));
    verify(folder.path());
    daemon.restart();
    let after = daemon.findings("?state=confirmed");
    assert!(after.iter().any(|finding| finding["id"] == before["id"]), "{after:?}");
}

#[test]
fn a_bad_file_leaves_the_running_config_alone_and_sets_a_metric() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let daemon = Daemon::start(folder.path(), &config(&site, ""));
    let file = folder.path().join("secchi.yaml");
    std::fs::write(&file, config(&site, "nonsense: true\n")).expect("a config");
    let (status, body) = http("POST", daemon.port, "/-/reload", &[], "").expect("an answer");
    assert!(status >= 400, "{status} {body}");
    assert!(body.contains("nonsense"), "{body}");
    assert!(daemon.metrics().contains("\nsecchi_config_last_reload_successful 0"));
    assert_eq!(targets(&daemon).len(), 1);
    std::fs::write(&file, config(&site, "")).expect("a config");
    daemon.process.signal("HUP");
    eventually("the reload", Duration::from_secs(5), || {
        daemon.metrics().contains("\nsecchi_config_last_reload_successful 1").then_some(())
    });
}

#[test]
fn a_reload_applies_a_diff_and_a_removed_target_withdraws_its_findings() {
    let (folder, site, other) = (TempDir::new().expect("a folder"), Site::start(), Site::start());
    site.broken.store(true, Ordering::SeqCst);
    let daemon = Daemon::start(folder.path(), &config(&site, ""));
    let kept = daemon.wait_finding(RULE, "confirmed", Duration::from_secs(10));
    let two = config(&site, "")
        .replace("budgets:", &format!("  - target: http://127.0.0.1:{}\nbudgets:", other.port));
    other.broken.store(true, Ordering::SeqCst);
    reload(&daemon, &two);
    let both = || {
        daemon
            .findings("?state=confirmed")
            .into_iter()
            .filter(|f| f["rule"] == RULE)
            .collect::<Vec<_>>()
    };
    eventually("the new target's finding", Duration::from_secs(10), || {
        (both().len() == 2).then_some(())
    });
    assert!(
        both().iter().any(|finding| finding["id"] == kept["id"]),
        "the untouched finding was replaced"
    );
    reload(&daemon, &config(&site, ""));
    let gone = daemon.wait_finding(RULE, "withdrawn", Duration::from_secs(10));
    assert_eq!(gone["note"], "target_removed", "{gone}");
}

#[test]
fn every_metric_passes_promtool() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    site.broken.store(true, Ordering::SeqCst);
    let daemon = Daemon::start(folder.path(), &config(&site, ""));
    daemon.wait_finding(RULE, "confirmed", Duration::from_secs(10));
    let probe = format!("/probe?target=http://127.0.0.1:{}&module=http", site.port);
    for path in ["/metrics", "/metrics/targets", &probe] {
        let (status, text) = http("GET", daemon.port, path, &[], "").expect("metrics");
        assert_eq!(status, 200, "{path}");
        promtool(&text, path);
    }
    let (_, targets) = http("GET", daemon.port, "/metrics/targets", &[], "").expect("metrics");
    assert!(
        targets.contains("secchi_target_out_of_range{")
            && targets.contains("secchi_target_unknown{"),
        "{targets}"
    );
}

#[test]
fn the_api_describes_itself_and_the_start_page_lists_findings() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    site.broken.store(true, Ordering::SeqCst);
    let daemon = Daemon::start(folder.path(), &config(&site, ""));
    daemon.wait_finding(RULE, "confirmed", Duration::from_secs(10));
    let description = get_json(daemon.port, "/api/v1/openapi.json").expect("a description");
    assert!(
        description["paths"]
            .as_object()
            .is_some_and(|paths| paths.contains_key("/api/v1/findings"))
    );
    let (status, page) = http("GET", daemon.port, "/", &[], "").expect("a page");
    assert_eq!(status, 200);
    assert!(page.contains(RULE) && !page.contains("<script"), "{page}");
    let output =
        run(&["findings", "--url", &format!("http://127.0.0.1:{}", daemon.port), "--format=json"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains(RULE));
    assert_eq!(
        run(&["healthcheck", "--url", &format!("http://127.0.0.1:{}", daemon.port)]).status.code(),
        Some(0)
    );
}

#[test]
fn a_second_daemon_on_the_same_data_is_refused_with_the_reason() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let _first = Daemon::start(folder.path(), &config(&site, ""));
    let mut second = Daemon::launch(folder.path(), free_port());
    assert_eq!(second.wait(Duration::from_secs(10)), Some(2));
}

pub fn verify(folder: &Path) {
    let config = folder.join("secchi.yaml").display().to_string();
    let data = folder.join("data").display().to_string();
    let output = run(&["ledger", "verify", "--config", &config, "--data-dir", &data]);
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(0), "{text}");
}

fn targets(daemon: &Daemon) -> Vec<serde_json::Value> {
    let page = get_json(daemon.port, "/api/v1/targets").expect("targets");
    page["targets"].as_array().expect("a list").clone()
}

pub fn reload(daemon: &Daemon, config: &str) {
    std::fs::write(daemon.folder.join("secchi.yaml"), config).expect("a config");
    let (status, body) = http("POST", daemon.port, "/-/reload", &[], "").expect("an answer");
    assert_eq!(status, 200, "{body}");
}

fn wait_samples(daemon: &Daemon, least: f64) {
    eventually("samples", Duration::from_secs(10), || {
        let metrics = daemon.metrics();
        let lines =
            metrics.lines().filter(|line| line.starts_with("secchi_samples_total{probe=\"http\""));
        let count: f64 =
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        (count >= least).then_some(())
    });
}

fn promtool(text: &str, what: &str) {
    let mut child = Command::new(find("promtool"))
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("promtool reads");
    let output = child.wait_with_output().expect("promtool ends");
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}
