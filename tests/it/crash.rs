//! `kill -9` at random moments while findings open and resolve: nothing confirmed is lost, no alert
//! stays firing or is never sent, the ledger verifies, replay equals the tables.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{Site, config, verify};
use crate::support::{Daemon, eventually, free_port};

/// What a fake Alertmanager has heard: the state of each alert by its labels.
type Heard = Arc<Mutex<BTreeMap<String, bool>>>;

/// Speaks just enough of API v2: status with an uptime, and alerts.
fn alertmanager() -> (u16, Heard) {
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a listener");
    let heard = Heard::default();
    let ears = Arc::clone(&heard);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let ears = Arc::clone(&ears);
            thread::spawn(move || {
                let request = read_request(&mut stream);
                let body = request.split("\r\n\r\n").nth(1).unwrap_or_default();
                if request.starts_with("POST") {
                    for alert in serde_json::from_str::<Vec<Value>>(body).unwrap_or_default() {
                        let ended = alert["endsAt"]
                            .as_str()
                            .and_then(chrono_parse)
                            .is_some_and(|at| at <= now());
                        ears.lock().expect("a lock").insert(alert["labels"].to_string(), !ended);
                    }
                }
                let status =
                    r#"{"uptime":"2026-01-01T00:00:00.000Z","cluster":{"status":"disabled"}}"#;
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{status}",
                    status.len()
                );
            });
        }
    });
    (port, heard)
}

fn read_request(stream: &mut std::net::TcpStream) -> String {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase();
            let length = length
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if body.len() >= length.unwrap_or(0_usize) {
                return text;
            }
        }
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
            _ => return text,
        }
    }
}

fn chrono_parse(text: &str) -> Option<chrono::DateTime<chrono::Utc>> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

#[expect(clippy::disallowed_methods, reason = "a fake Alertmanager has a clock of its own")]
fn now() -> chrono::DateTime<chrono::Utc> {
    chrono::Utc::now()
}

#[test]
fn a_hundred_kills_lose_no_finding_and_no_alert() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let (port, heard) = alertmanager();
    let alerting = format!("alerting: {{alertmanagers: [{{url: \"http://127.0.0.1:{port}\"}}]}}\n");
    let text = config(&site, &alerting).replace("timeout: 2s", "timeout: 1s");
    let mut daemon = Daemon::start(folder.path(), &text);
    let mut dice = fastrand::Rng::with_seed(7);
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for kill in 0..KILLS {
        site.broken.store(dice.bool(), Ordering::SeqCst);
        thread::sleep(Duration::from_millis(dice.u64(20..900)));
        let before = daemon.findings("");
        daemon.process.kill();
        if kill % 20 == 0 {
            verify(folder.path());
        }
        daemon.restart();
        let after: BTreeMap<String, String> = daemon.findings("").iter().map(life).collect();
        for (id, state) in before.iter().map(life) {
            assert!(after.contains_key(&id), "kill {kill} lost {id} ({state})");
            known.insert(id, state);
        }
        assert!(known.keys().all(|id| after.contains_key(id)), "kill {kill} lost an older finding");
    }
    site.broken.store(false, Ordering::SeqCst);
    eventually("every finding to end", Duration::from_secs(60), || {
        daemon
            .findings("")
            .iter()
            .all(|finding| finding["state"] == "resolved" || finding["rule"] != RULE)
            .then_some(())
    });
    eventually("every alert to end", Duration::from_secs(120), || {
        let heard = heard.lock().expect("a lock");
        let ours: Vec<bool> = heard
            .iter()
            .filter(|(labels, _)| labels.contains(RULE))
            .map(|(_, firing)| *firing)
            .collect();
        (!ours.is_empty() && ours.iter().all(|firing| !firing)).then_some(())
    });
    assert!(known.len() > 1, "findings opened and resolved in the run: {known:?}");
    daemon.process.signal("TERM");
    assert_eq!(daemon.process.wait(Duration::from_secs(20)), Some(0));
    verify(folder.path());
}

fn life(finding: &Value) -> (String, String) {
    let text = |key: &str| finding[key].as_str().expect(key).to_owned();
    (text("id"), text("state"))
}

const KILLS: usize = 100;
const RULE: &str = "http-content-type-options";
