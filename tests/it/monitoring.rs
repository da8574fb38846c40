//! The daemon beside the real Alertmanager and Prometheus.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{Site, config};
use crate::support::peers::{Alertmanager, is_skipped, prometheus};
use crate::support::{Daemon, eventually, free_port, get_json};

/// A webhook that keeps what Alertmanager tells it.
pub struct Hook {
    pub port: u16,
    told: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    pub fn start() -> Self {
        let (port, told) = (free_port(), Arc::new(Mutex::new(Vec::new())));
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a listener");
        let ears = Arc::clone(&told);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.set_read_timeout(Some(Duration::from_millis(300)));
                let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    bytes.extend_from_slice(&buffer[..read]);
                }
                let text = String::from_utf8_lossy(&bytes);
                let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
                if let Ok(body) = serde_json::from_str::<Value>(body) {
                    ears.lock().expect("a lock").push(body);
                }
                let _ = stream.write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                );
            }
        });
        Self { port, told }
    }

    /// Waits for an alert of the rule in the status.
    pub fn wait(&self, rule: &str, status: &str, patience: Duration) -> Value {
        eventually(&format!("{rule} to be {status}"), patience, || {
            let told = self.told.lock().expect("a lock");
            let alerts =
                told.iter().flat_map(|body| body["alerts"].as_array().cloned().unwrap_or_default());
            alerts
                .into_iter()
                .find(|alert| alert["labels"]["rule"] == rule && alert["status"] == status)
        })
    }
}

#[test]
fn alertmanager_is_told_of_a_finding_and_of_its_end_even_after_its_own_crash() {
    if is_skipped("prometheus-alertmanager") {
        return;
    }
    let (folder, site, hook) = (TempDir::new().expect("a folder"), Site::start(), Hook::start());
    let mut alertmanager =
        Alertmanager::start(folder.path(), &format!("http://127.0.0.1:{}/", hook.port));
    let alerting = format!(
        "alerting: {{alertmanagers: [{{url: \"http://127.0.0.1:{}\"}}], external_labels: {{cluster: test}}}}\n",
        alertmanager.port
    );
    let daemon = Daemon::start(folder.path(), &config(&site, &alerting));
    site.broken.store(true, Ordering::SeqCst);
    let alert = hook.wait(RULE, "firing", Duration::from_secs(30));
    let labels = &alert["labels"];
    assert_eq!(labels["alertname"], "SecchiHttpContentTypeOptions");
    for (label, value) in [
        ("source", "secchi"),
        ("probe", "http"),
        ("service", "shop"),
        ("team", "checkout"),
        ("env", "test"),
        ("cluster", "test"),
    ] {
        assert_eq!(labels[label], value, "{labels}");
    }
    for annotation in ["summary", "description", "remedy", "first_seen"] {
        assert!(
            alert["annotations"][annotation].is_string(),
            "{annotation} is missing from {alert}"
        );
    }
    // A plain re-send of the resolved alert would be swallowed by a restarted Alertmanager.
    alertmanager.crash_and_restart();
    site.broken.store(false, Ordering::SeqCst);
    daemon.wait_finding(RULE, "resolved", Duration::from_secs(30));
    hook.wait(RULE, "resolved", Duration::from_secs(180));
}

#[test]
fn the_watchdog_fires_while_all_is_well() {
    if is_skipped("prometheus-alertmanager") {
        return;
    }
    let (folder, site, hook) = (TempDir::new().expect("a folder"), Site::start(), Hook::start());
    let alertmanager =
        Alertmanager::start(folder.path(), &format!("http://127.0.0.1:{}/", hook.port));
    let alerting = format!(
        "alerting: {{alertmanagers: [{{url: \"http://127.0.0.1:{}\"}}]}}\n",
        alertmanager.port
    );
    let _daemon = Daemon::start(folder.path(), &config(&site, &alerting));
    eventually("the watchdog", Duration::from_secs(30), || {
        let alerts = get_json(alertmanager.port, "/api/v2/alerts")?;
        let names = alerts
            .as_array()?
            .iter()
            .map(|alert| alert["labels"]["alertname"].clone())
            .collect::<Vec<_>>();
        names.contains(&"SecchiWatchdog".into()).then_some(())
    });
}

#[test]
fn prometheus_scrapes_the_daemon_and_evaluates_the_shipped_rules() {
    if is_skipped("prometheus") {
        return;
    }
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    site.broken.store(true, Ordering::SeqCst);
    let daemon = Daemon::start(folder.path(), &config(&site, ""));
    let rules =
        std::env::current_dir().expect("a folder").join("deploy/prometheus/secchi.rules.yml");
    let (_prometheus, port) = prometheus(
        folder.path(),
        &format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n\
             - job_name: secchi\n  static_configs: [{{targets: ['127.0.0.1:{1}']}}]\n\
             - job_name: secchi-targets\n  metrics_path: /metrics/targets\n  static_configs: [{{targets: ['127.0.0.1:{1}']}}]\n",
            rules.display(),
            daemon.port
        ),
    );
    for query in [
        "secchi_findings_active%7Brule%3D%22http-content-type-options%22%7D%3E0",
        "secchi_target_out_of_range%3D%3D1",
    ] {
        eventually(query, Duration::from_secs(30), || {
            let answer = get_json(port, &format!("/api/v1/query?query={query}"))?;
            answer["data"]["result"].as_array().is_some_and(|rows| !rows.is_empty()).then_some(())
        });
    }
    let rules = get_json(port, "/api/v1/rules").expect("rules");
    let rules: Vec<Value> = rules["data"]["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
        .collect();
    assert!(rules.len() >= 8, "{} rules", rules.len());
    eventually("every rule's health", Duration::from_secs(20), || {
        let answer = get_json(port, "/api/v1/rules")?;
        let unhealthy = answer.to_string().contains("\"health\":\"err\"")
            || answer.to_string().contains("\"health\":\"unknown\"");
        (!unhealthy).then_some(())
    });
}

const RULE: &str = "http-content-type-options";
