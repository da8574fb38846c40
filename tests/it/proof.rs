//! What samples prove afterwards: the API, the metrics, the start page and `secchi report` agree.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{Site, config};
use crate::support::{Daemon, eventually, get_json, http, run};

const RULE: &str = "http-content-type-options";
const PATIENCE: Duration = Duration::from_secs(20);

fn evidence(daemon: &Daemon, query: &str) -> Vec<Value> {
    let page = get_json(daemon.port, &format!("/api/v1/evidence{query}")).expect("evidence");
    page["evidence"].as_array().expect("a list").clone()
}

/// The row of the rule that the site keeps or breaks.
fn row(daemon: &Daemon) -> Option<Value> {
    evidence(daemon, &format!("?rule={RULE}")).into_iter().next()
}

fn wait_row(daemon: &Daemon, key: &str, least: u64) -> Value {
    eventually(&format!("{least} {key}"), PATIENCE, || {
        row(daemon).filter(|row| row[key].as_u64().is_some_and(|count| count >= least))
    })
}

fn report(folder: &Path, more: &[&str]) -> (i32, String, String) {
    let config = folder.join("secchi.yaml").display().to_string();
    let data = folder.join("data").display().to_string();
    let output = run(&[&["report", "--config", &config, "--data-dir", &data], more].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("a status"), text(output.stdout), text(output.stderr))
}

fn report_json(folder: &Path) -> Value {
    let (status, out, error) = report(folder, &["--format", "json"]);
    assert_eq!(status, 0, "{error}");
    serde_json::from_str(&out).expect("JSON")
}

/// The report's row of the rule at the site.
fn reported(report: &Value) -> Value {
    let points = report["points"].as_array().expect("points");
    points.iter().find(|point| point["rule"] == RULE).expect("the rule").clone()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} of {value}"))
}

fn share(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("{key} of {value}"))
}

fn stop(daemon: &mut Daemon) {
    daemon.process.signal("TERM");
    assert_eq!(daemon.process.wait(PATIENCE), Some(0));
}

#[test]
fn clean_samples_bound_the_prevalence_in_api_metrics_page_and_report_alike() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let mut daemon = Daemon::start(folder.path(), &config(&site, ""));
    let first = wait_row(&daemon, "samples", 5);
    let n = number(&first, "samples");
    assert_eq!((number(&first, "positives"), number(&first, "unknown")), (0, 0), "{first}");
    assert_eq!(number(&first, "taken"), n);
    let bound = 1.0 - 0.05_f64.powf(1.0 / n as f64);
    assert!((share(&first, "prevalence_upper_bound") - bound).abs() < 1e-9, "{first}");
    assert!(share(&first, "coverage") > 0.7, "{first}");
    assert_eq!((&first["window"], &first["confidence"]), (&"30d".into(), &0.95.into()));
    let surer = &evidence(&daemon, &format!("?rule={RULE}&confidence=99.9%25&window=7d"))[0];
    assert!(share(surer, "prevalence_upper_bound") > bound * 1.2, "{surer}");

    // Other samples come in meanwhile: what the report counts lies between two answers of the API.
    let then = reported(&report_json(folder.path()));
    let last = row(&daemon).expect("a row");
    assert!((n..=number(&last, "samples")).contains(&number(&then, "samples")), "{then}");

    eventually("the gauges", Duration::from_secs(30), || {
        let metrics = daemon.metrics();
        let series = format!("secchi_evidence_prevalence_upper_bound{{rule=\"{RULE}\"}}");
        (metrics.contains(&series)
            && metrics.contains("secchi_evidence_coverage_ratio{probe=\"http\"}"))
        .then_some(())
    });
    let (_, page) = http("GET", daemon.port, "/", &[], "").expect("a page");
    assert!(page.contains("What the samples of 30 days prove"), "{page}");

    stop(&mut daemon);
    let whole = report_json(folder.path());
    let then = reported(&whole);
    assert_eq!(number(&then, "samples"), number(&then, "taken"));
    let of_rule = whole["rules"].as_array().expect("rules").iter().find(|r| r["rule"] == RULE);
    let of_rule = of_rule.expect("the rule's summary");
    assert_eq!(of_rule["prevalence_upper_bound"], then["prevalence_upper_bound"]);
    assert_eq!((number(of_rule, "points"), &of_rule["samples"]), (1, &then["samples"]));
    assert!(of_rule["controls"].as_object().is_some_and(|controls| !controls.is_empty()));
    let head = whole["ledger"]["head_hash"].as_str().expect("a hash");
    let data = folder.path().join("data").display().to_string();
    let verified = run(&["ledger", "verify", "--data-dir", &data]);
    assert!(String::from_utf8_lossy(&verified.stdout).contains(head));
    for format in ["human", "markdown"] {
        let (status, out, error) = report(folder.path(), &["--format", format]);
        assert_eq!(status, 0, "{error}");
        let rule = if format == "human" { RULE } else { "http-content-type-options" };
        assert!(out.contains(head) && out.contains(rule), "{out}");
    }
}

#[test]
fn an_endpoint_that_is_down_has_coverage_and_no_clean_sample() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    site.silent.store(true, Ordering::SeqCst);
    let mut daemon = Daemon::start(folder.path(), &config(&site, ""));
    let row = wait_row(&daemon, "unknown", 3);
    assert_eq!((number(&row, "samples"), number(&row, "positives")), (0, 0), "{row}");
    assert_eq!(row["prevalence_upper_bound"], 1.0);
    assert_eq!(row["oldest"], Value::Null);
    assert_eq!(number(&row, "unknown"), number(&row, "taken"));
    assert!(share(&row, "coverage") > 0.5, "{row}");
    stop(&mut daemon);
    let then = reported(&report_json(folder.path()));
    assert_eq!((number(&then, "samples"), share(&then, "prevalence_upper_bound")), (0, 1.0));
}

#[test]
fn repeats_are_no_statistics_and_the_report_names_findings_risks_and_deployments() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    site.broken.store(true, Ordering::SeqCst);
    std::fs::write(folder.path().join("ci.token"), "secret-that-only-deploys\n").expect("a token");
    let rest = format!(
        "web: {{tokens: [{{name: ci, token_file: ci.token, may: [deploy]}}]}}\n\
         exceptions: [{{rule: http-frame-options, target: \"http://127.0.0.1:{}\", reason: \"a|b <script>x</script>\", \
         approved_by: the board, until: 2999-12-31}}]\n",
        site.port
    );
    let mut daemon = Daemon::start(folder.path(), &config(&site, &rest));
    daemon.wait_finding(RULE, "confirmed", PATIENCE);
    let headers = [
        ("Content-Type", "application/json"),
        ("Authorization", "Bearer secret-that-only-deploys"),
    ];
    let body = r#"{"service": "shop", "version": "v1 | `x`"}"#;
    let (status, said) =
        http("POST", daemon.port, "/api/v1/deployments", &headers, body).expect("an answer");
    assert_eq!(status, 200, "{said}");
    let causes = || {
        let page = format!("/api/v1/samples?target=http://127.0.0.1:{}", site.port);
        let page = get_json(daemon.port, &page).expect("samples");
        let samples = page["samples"].as_array().expect("a list").clone();
        let of = |cause: &str| samples.iter().filter(|s| s["cause"] == cause).count() as u64;
        (of("scheduled"), of("repeat"))
    };
    eventually("repeats", PATIENCE, || (causes().1 >= 2).then_some(()));
    let (before, _) = causes();
    let row = wait_row(&daemon, "samples", 4);
    let (after, _) = causes();
    assert!((before..=after).contains(&number(&row, "taken")), "{before} {row} {after}");
    assert_eq!(number(&row, "positives"), number(&row, "samples"), "{row}");
    assert_eq!(row["prevalence_upper_bound"], 1.0);
    stop(&mut daemon);
    let whole = report_json(folder.path());
    let findings = whole["findings"].as_array().expect("findings");
    assert!(findings.iter().any(|f| f["rule"] == RULE && f["state"] == "confirmed"));
    assert_eq!(whole["exceptions"][0]["approved_by"], "the board");
    assert_eq!(whole["exceptions"][0]["until"], "2999-12-31");
    assert_eq!(whole["deployments"][0]["version"], "v1 | `x`");
    let (_, page, _) = report(folder.path(), &["--format", "markdown"]);
    assert!(page.contains("a\\|b &lt;script&gt;") && page.contains("v1 \\| \\`x\\`"), "{page}");
    assert!(!page.contains("<script"));
}

#[test]
fn what_was_missed_while_the_daemon_was_down_lowers_the_coverage() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let mut daemon = Daemon::start(folder.path(), &config(&site, ""));
    let before = wait_row(&daemon, "samples", 3);
    daemon.process.kill();
    thread::sleep(Duration::from_secs(6));
    // Nobody took anything meanwhile, and the ledger alone says so.
    let offline = reported(&report_json(folder.path()));
    assert!(number(&offline, "due") >= number(&offline, "taken") + 3, "{offline}");
    daemon.restart();
    let after = wait_row(&daemon, "samples", number(&before, "samples") + 2);
    let missed = number(&after, "due") - number(&after, "taken");
    assert!((4..=12).contains(&missed), "{before} {after}");
    assert!(share(&after, "coverage") < 0.8, "{after}");
    stop(&mut daemon);
    report_json(folder.path());
}

#[test]
fn a_report_of_a_meddled_ledger_says_where_it_is_broken_and_proves_nothing() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let mut daemon = Daemon::start(folder.path(), &config(&site, ""));
    wait_row(&daemon, "samples", 2);
    stop(&mut daemon);
    let store = Connection::open(folder.path().join("data/ledger.db")).expect("the store");
    let changed = store.execute("UPDATE evidence SET samples = samples + 1000", []);
    assert!(changed.expect("a change") > 0);
    drop(store);
    for format in ["human", "markdown", "json"] {
        let (status, out, error) = report(folder.path(), &["--format", format]);
        assert_eq!(status, 1, "{out}");
        assert!(error.contains("table evidence"), "{error}");
        assert!(!out.contains(RULE), "{out}");
    }
    let (status, _, error) = report(&folder.path().join("nowhere"), &[]);
    assert_eq!(status, 1, "{error}");
    assert_eq!(report(folder.path(), &["--window", "1h"]).0, 2);
    assert_eq!(report(folder.path(), &["--confidence", "100%"]).0, 2);
}

#[test]
fn wrong_questions_are_refused_and_pages_follow_each_other() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let daemon = Daemon::start(folder.path(), &config(&site, ""));
    wait_row(&daemon, "samples", 1);
    for query in ["window=1h", "window=x", "confidence=100%25", "probe=icmp", "after=x", "limit=0"]
    {
        let path = format!("/api/v1/evidence?{query}");
        let (status, _) = http("GET", daemon.port, &path, &[], "").expect("an answer");
        assert_eq!(status, 400, "{query}");
    }
    let all: Vec<Value> = evidence(&daemon, "").iter().map(|row| row["rule"].clone()).collect();
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/evidence?limit=3{after}");
        let page = get_json(daemon.port, &path).expect("a page");
        paged
            .extend(page["evidence"].as_array().expect("a list").iter().map(|r| r["rule"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        after = format!("&after={next}");
    }
    assert!(all.len() > 5, "{all:?}");
    assert_eq!(paged, all);
    let described = get_json(daemon.port, "/api/v1/openapi.json").expect("a description");
    assert!(described["paths"]["/api/v1/evidence"]["get"]["parameters"].is_array());
}
