//! Lists of targets in files and over HTTP: what holds when a source fails, what waits for a
//! person, and what is out of scope whoever asks for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use crate::daemon::Site;
use crate::faults::{log, metric, stop};
use crate::support::scripted::{Scripted, json, response};
use crate::support::{Daemon, eventually, free_port, get_json, http, run};

fn config(discovery: &str) -> String {
    format!(
        "scope: {{networks: [\"127.0.0.1/32\"]}}\n\
         plans: {{fast: {{every: 1s}}}}\n\
         defaults: {{plan: fast, probes: [http], timeout: 2s}}\n\
         budgets: {{per_address: 100/s, per_network: 100/s, total: 100/s}}\n\
         discovery: {discovery}\n"
    )
}

fn sites(count: usize) -> Vec<Site> {
    (0..count).map(|_| Site::start()).collect()
}

/// A list in Prometheus' JSON.
fn list(sites: &[Site], labels: &str) -> String {
    let targets: Vec<String> =
        sites.iter().map(|site| format!("\"http://127.0.0.1:{}\"", site.port)).collect();
    format!("[{{\"targets\": [{}], \"labels\": {labels}}}]", targets.join(", "))
}

/// The names of what is sampled.
fn targets(daemon: &Daemon) -> Vec<String> {
    let page = get_json(daemon.port, "/api/v1/targets").expect("targets");
    let targets = page["targets"].as_array().expect("a list");
    targets.iter().map(|target| target["target"].as_str().expect("a name").to_owned()).collect()
}

fn wait_targets(daemon: &Daemon, count: usize) {
    eventually(&format!("{count} targets"), Duration::from_secs(15), || {
        (targets(daemon).len() == count).then_some(())
    });
}

fn reload(daemon: &Daemon) {
    let (status, body) = http("POST", daemon.port, "/-/reload", &[], "").expect("an answer");
    assert_eq!(status, 200, "{body}");
}

/// Replaces a file as a careful writer does.
fn put(folder: &TempDir, name: &str, text: &str) {
    std::fs::write(folder.path().join("next"), text).expect("a file");
    std::fs::rename(folder.path().join("next"), folder.path().join(name)).expect("a rename");
}

/// An http_sd server whose answer the test replaces.
fn source(text: String) -> (Scripted, Arc<Mutex<String>>) {
    let answer = Arc::new(Mutex::new(text));
    let said = Arc::clone(&answer);
    (Scripted::start(move |_| said.lock().expect("a lock").clone()), answer)
}

fn say(answer: &Mutex<String>, text: String) {
    *answer.lock().expect("a lock") = text;
}

#[test]
fn files_of_both_formats_give_targets_with_labels_and_follow_changes() {
    let (folder, sites) = (TempDir::new().expect("a folder"), sites(3));
    put(&folder, "a.json", &list(&sites[..1], r#"{"team": "checkout"}"#));
    let yaml = format!(
        "- targets: [\"http://127.0.0.1:{}\"]\n  labels: {{team: search, env: prod}}\n",
        sites[1].port
    );
    put(&folder, "b.yml", &yaml);
    let files = config("{file_sd: [{files: [\"*.json\", \"*.yml\"], refresh: 1s}]}");
    sites[1].broken.store(true, Ordering::SeqCst);
    let daemon = Daemon::start(folder.path(), &files);
    wait_targets(&daemon, 2);
    let finding =
        daemon.wait_finding("http-content-type-options", "confirmed", Duration::from_secs(10));
    assert_eq!(finding["target"], format!("http://127.0.0.1:{}", sites[1].port));
    assert_eq!(finding["labels"]["team"], "search", "{finding}");
    put(&folder, "c.json", &list(&sites[2..], "{}"));
    wait_targets(&daemon, 3);
    // A torn file keeps what it gave.
    put(&folder, "a.json", "[{\"targets\": [");
    let failed = || metric(&daemon, "secchi_discovery_failures_total{source=\"file_sd/0\"}");
    eventually("the failure", Duration::from_secs(10), || (failed() >= 1.0).then_some(()));
    assert_eq!(targets(&daemon).len(), 3);
}

#[test]
fn the_last_good_list_survives_the_source_and_a_restart() {
    let (folder, sites) = (TempDir::new().expect("a folder"), sites(3));
    let (server, answer) = source(json(&list(&sites, "{}")));
    let sd =
        format!("{{http_sd: [{{url: \"http://127.0.0.1:{}/sd\", refresh: 1s}}]}}", server.port);
    let mut daemon = Daemon::start(folder.path(), &config(&sd));
    wait_targets(&daemon, 3);
    for failure in [
        response("500 Internal Server Error", "", "no"),
        response("200 OK", "Content-Type: text/html\r\n", "<p>Please log in"),
        json("[{\"targets\": [1]}]"),
    ] {
        say(&answer, failure);
        let failures = || metric(&daemon, "secchi_discovery_failures_total{source=\"http_sd/0\"}");
        let before = failures();
        eventually("the failure", Duration::from_secs(10), || (failures() > before).then_some(()));
        assert_eq!(targets(&daemon).len(), 3);
    }
    stop(&mut daemon);
    daemon.restart();
    wait_targets(&daemon, 3);
    assert!(log(&folder).contains("the last good list holds"));
    say(&answer, json(&list(&sites[..2], "{}")));
    wait_targets(&daemon, 2);
}

#[test]
fn when_over_half_of_a_source_vanishes_its_targets_wait_for_a_person() {
    let (folder, sites) = (TempDir::new().expect("a folder"), sites(4));
    sites[3].broken.store(true, Ordering::SeqCst);
    let (server, answer) = source(json(&list(&sites, "{}")));
    let sd =
        format!("{{http_sd: [{{url: \"http://127.0.0.1:{}/sd\", refresh: 1s}}]}}", server.port);
    let daemon = Daemon::start(folder.path(), &config(&sd));
    wait_targets(&daemon, 4);
    let rule = "http-content-type-options";
    daemon.wait_finding(rule, "confirmed", Duration::from_secs(10));
    say(&answer, json(&list(&sites[..1], "{}")));
    eventually("the warning", Duration::from_secs(10), || {
        log(&folder).contains("over half of a source vanished").then_some(())
    });
    let asked = server.contacts().len();
    eventually("more answers", Duration::from_secs(10), || {
        (server.contacts().len() > asked + 2).then_some(())
    });
    assert_eq!(targets(&daemon).len(), 4);
    assert_eq!(metric(&daemon, "secchi_discovery_held_targets{source=\"http_sd/0\"}"), 3.0);
    daemon.wait_finding(rule, "confirmed", Duration::from_secs(1));
    reload(&daemon);
    wait_targets(&daemon, 1);
    let gone = daemon.wait_finding(rule, "withdrawn", Duration::from_secs(10));
    assert_eq!(gone["note"], "target_removed", "{gone}");
}

#[test]
fn reserved_labels_and_targets_out_of_scope_are_refused_with_the_rule_that_refused_them() {
    let (folder, sites) = (TempDir::new().expect("a folder"), sites(1));
    let good = list(&sites, "{}");
    put(&folder, "good.json", &good);
    put(&folder, "reserved.json", &list(&sites, r#"{"severity": "info"}"#));
    let outside = r#"[{"targets": ["http://127.0.0.9:80", "169.254.169.254", "10.1.2.3"]}]"#;
    put(&folder, "outside.json", outside);
    let files = config("{file_sd: [{files: [\"*.json\"], refresh: 1s}]}");
    let daemon = Daemon::start(folder.path(), &files);
    wait_targets(&daemon, 1);
    let log = eventually("the refusals", Duration::from_secs(10), || {
        let text = log(&folder);
        (text.contains("10.1.2.3") && text.contains("severity")).then_some(text)
    });
    for says in [
        "127.0.0.9 is loopback; a name does not cover it, only scope.networks can",
        "169.254.169.254 is a cloud metadata address; only that very address in scope.networks",
        "10.1.2.3 is private",
        "label `severity` is reserved",
    ] {
        assert!(log.contains(says), "{says:?} is missing from {log}");
    }
    assert_eq!(targets(&daemon).len(), 1);
}

#[test]
fn a_redirect_leads_no_probe_out_of_scope() {
    // Nobody listens there: were it dialled, the reason would be `refused`, or the trap would tell.
    let caught = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&caught);
    let trap = Scripted::start(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        response("200 OK", "", "caught")
    });
    for (host, says) in [
        ("127.0.0.2", "127.0.0.2 is loopback"),
        ("169.254.169.254", "169.254.169.254 is a cloud metadata address"),
        ("2852039166", "169.254.169.254 is a cloud metadata address"),
        ("[::ffff:169.254.169.254]", "169.254.169.254 is a cloud metadata address"),
        ("[::1]", "::1 is loopback"),
        ("inside.test", "10.9.8.7 is private"),
    ] {
        let location = format!("Location: http://{host}:{}/latest/meta-data/\r\n", trap.port);
        let site = Scripted::start(move |_| response("302 Found", &location, ""));
        let folder = TempDir::new().expect("a folder");
        let hosts = folder.path().join("hosts").display().to_string();
        std::fs::write(&hosts, "10.9.8.7 inside.test\n").expect("a file");
        let file = folder.path().join("secchi.yaml");
        // Whatever a name is asked of, it is not asked beyond loopback.
        let text = format!(
            "scope: {{networks: [\"127.0.0.1/32\"]}}\nresolvers: [\"127.0.0.1:{}\"]\n\
             targets: [{{target: \"http://127.0.0.1:{}\", probes: [http]}}]\n",
            free_port(),
            site.port
        );
        std::fs::write(&file, text).expect("a config");
        let target = format!("http://127.0.0.1:{}", site.port);
        let (config, hosts) =
            (format!("--config={}", file.display()), format!("--hosts-file={hosts}"));
        let arguments = ["check", &target, "--probe=http", "--timeout=5s", "--format=json"];
        let output = run(&[&arguments[..], &[&config, &hosts]].concat());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("out_of_scope") && text.contains(says), "{host}: {text}");
        assert_eq!(site.contacts().len(), 1, "{host}");
    }
    assert_eq!(caught.load(Ordering::SeqCst), 0);
}

#[test]
fn networks_in_lists_are_taken_apart_and_what_is_left_out_is_named() {
    let folder = TempDir::new().expect("a folder");
    let entries = |networks: &str| {
        format!("[{{\"targets\": [{networks}], \"labels\": {{\"team\": \"net\"}}}}]")
    };
    put(&folder, "a.json", &entries(r#""127.0.0.32/29", "10.0.0.0/8", "192.0.2.0/30""#));
    let (server, _) = source(json(&entries("\"127.0.0.64/30\"")));
    let config = format!(
        "scope: {{networks: [\"127.0.0.0/24\"]}}\nplans: {{fast: {{every: 1s}}}}\n\
         defaults: {{plan: fast, probes: [ports], ports: \"9\"}}\n\
         discovery: {{file_sd: [{{files: [a.json], refresh: 1s}}],\
         http_sd: [{{url: \"http://127.0.0.1:{}/sd\", refresh: 1s}}]}}\n",
        server.port
    );
    let daemon = Daemon::start(folder.path(), &config);
    wait_targets(&daemon, 6 + 2);
    let found = targets(&daemon);
    for name in ["127.0.0.33", "127.0.0.38", "127.0.0.65"] {
        assert!(found.iter().any(|found| found == name), "{found:?}");
    }
    assert_eq!(metric(&daemon, "secchi_targets{source=\"http_sd/0\"}"), 2.0);
    let path = folder.path().join("secchi.yaml");
    let checked = run(&["config", "check", "--config", path.to_str().expect("a path")]);
    let remarks = String::from_utf8(checked.stderr).expect("text");
    assert_eq!(checked.status.code(), Some(0), "{remarks}");
    for text in [remarks, log(&folder)] {
        assert!(text.contains("file_sd/0"), "{text}");
        assert!(text.contains("`10.0.0.0/8` has more than 1024 addresses"), "{text}");
        assert!(text.contains("192.0.2.0/30: target out of scope"), "{text}");
    }
}
