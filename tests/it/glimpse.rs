//! An https site that only the http or the ports probe looks at: their handshakes show the certificate
//! too.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use chrono::{Days, NaiveDate, Utc};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::reload;
use crate::support::pki::Pki;
use crate::support::{Daemon, check_json, eventually, free_port, get_json, http, rules_out};

/// An https site by TLS 1.2 whose certificate can be renewed, and that counts its connections.
struct Shop {
    port: u16,
    connections: Arc<AtomicUsize>,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    pki: Pki,
}

impl Shop {
    fn start(folder: &Path, days_left: u64) -> Self {
        let pki = Pki::new(folder);
        let config = Arc::new(Mutex::new(server(pki.leaf_until("127.0.0.1", in_days(days_left)))));
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a listener");
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, current) = (Arc::clone(&connections), Arc::clone(&config));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let config = Arc::clone(&current.lock().expect("a lock"));
                let tls = ServerConnection::new(config).expect("a connection");
                let mut stream = StreamOwned::new(tls, stream);
                let mut request = [0; 2048];
                if stream.read(&mut request).is_ok() {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                }
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        Self { port, connections, config, pki }
    }

    fn renew(&self, days_left: u64) {
        let renewed = server(self.pki.leaf_until("127.0.0.1", in_days(days_left)));
        *self.config.lock().expect("a lock") = renewed;
    }

    fn target(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// A config with this site, sampled every second, and another that is never there.
    fn config(&self, probes: &str) -> String {
        let site = format!(
            "  - target: {}\n    probes: [{probes}]\n    labels: {{service: shop}}\n",
            self.target()
        );
        self.config_of(&site)
    }

    fn config_of(&self, site: &str) -> String {
        format!(
            "scope: {{names: [], networks: [\"127.0.0.0/8\"]}}\n\
             plans: {{fast: {{every: 1s}}, slow: {{every: 1h}}}}\n\
             defaults: {{plan: fast, timeout: 5s, ca_file: {}, repeat: {{samples: 2, agree: 1, within: 1s}}}}\n\
             targets:\n{site}  - {{target: \"http://127.0.0.1:9\", probes: [http], plan: slow}}\n\
             budgets: {{per_address: 100/s, per_network: 1000/s, total: 1000/s}}\n",
            self.pki.ca()
        )
    }
}

#[expect(clippy::disallowed_methods, reason = "the daemon under test has the machine's time")]
fn in_days(days: u64) -> NaiveDate {
    Utc::now().date_naive() + Days::new(days)
}

fn server((certificate, key): (PathBuf, PathBuf)) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(certificate).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a config");
    Arc::new(config)
}

/// The sum of a metric's series with this text among their labels.
fn sum(daemon: &Daemon, name: &str, label: &str) -> f64 {
    let metrics = daemon.metrics();
    let lines = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn wait_glimpses(daemon: &Daemon, more: f64) {
    let samples = || sum(daemon, "secchi_samples_total{", "probe=\"tls\"");
    let before = samples();
    eventually("glimpses", Duration::from_secs(20), || (samples() >= before + more).then_some(()));
}

const EXPIRY: &str = "tls-certificate-expiry";

fn stop(daemon: &mut Daemon) {
    daemon.process.signal("TERM");
    assert_eq!(daemon.process.wait(Duration::from_secs(20)), Some(0));
}

fn outlives_a_restart_and_ends_with_its_cause(daemon: &mut Daemon, shop: &Shop, found: &Value) {
    stop(daemon);
    daemon.restart();
    wait_glimpses(daemon, 3.0);
    let kept = daemon.findings("?state=confirmed");
    assert!(kept.iter().any(|finding| finding["id"] == found["id"]), "{kept:?}");

    shop.renew(80);
    let mended = daemon.wait_finding(EXPIRY, "resolved", Duration::from_secs(60));
    assert_eq!(mended["id"], found["id"]);
}

#[test]
fn an_expiring_certificate_is_found_by_the_handshakes_of_http_alone_until_it_is_renewed() {
    let folder = TempDir::new().expect("a folder");
    let shop = Shop::start(folder.path(), 3);
    let mut daemon = Daemon::start(folder.path(), &shop.config("http"));
    let found = daemon.wait_finding(EXPIRY, "confirmed", Duration::from_secs(15));
    assert_eq!((&found["probe"], &found["address"]), (&"tls".into(), &"127.0.0.1".into()));
    assert_eq!((&found["subject"], &found["target"]), (&"ec".into(), &shop.target().into()));
    assert_eq!(found["labels"]["service"], "shop", "{found}");
    wait_glimpses(&daemon, 3.0);
    let rules = daemon.findings("?state=confirmed");
    let rules: Vec<_> = rules.iter().filter_map(|finding| finding["rule"].as_str()).collect();
    assert!(rules.contains(&"tls-certificate-expiry-imminent"), "{rules:?}");
    // It speaks TLS 1.2 only; but nobody asked it for more.
    assert!(!rules.contains(&"tls-no-tls13"), "{rules:?}");

    // One connection a sample of http, and none besides.
    let connections = shop.connections.load(Ordering::SeqCst) as f64;
    let samples = sum(&daemon, "secchi_samples_total{", "probe=\"http\"");
    // Two more requests had their turn.
    assert!(connections <= samples + 3.0, "{connections} connections, {samples} samples");
    assert_eq!(sum(&daemon, "secchi_connections_total", "probe=\"tls\""), 0.0);
    shown_in_lists(&daemon, &shop.target());
    // Each of them was a look by the plan, and proves as much.
    let row = eventually("evidence", Duration::from_secs(20), || {
        let path = format!("/api/v1/evidence?rule={EXPIRY}");
        let row = get_json(daemon.port, &path).expect("evidence")["evidence"][0].clone();
        (row["samples"].as_u64() >= Some(3)).then_some(row)
    });
    assert_eq!(row["samples"], row["positives"], "{row}");
    assert!(row["coverage"].as_f64() > Some(0.5), "{row}");

    outlives_a_restart_and_ends_with_its_cause(&mut daemon, &shop, &found);
}

fn shown_in_lists(daemon: &Daemon, target: &str) {
    let page = get_json(daemon.port, "/api/v1/targets").expect("targets");
    let rows = page["targets"].as_array().expect("a list");
    let row = rows.iter().find(|row| row["target"] == target && row["probe"] == "tls");
    let row = row.unwrap_or_else(|| panic!("{page}"));
    assert_eq!(row["verdict"], "out_of_range");
    assert!(row["next_due"].is_string() && row["last_sample"].is_string(), "{row}");
    let (_, text) = http("GET", daemon.port, "/metrics/targets", &[], "").expect("metrics");
    let of_tls = |line: &&str| line.contains(target) && line.contains("probe=\"tls\"");
    let gauges = text.lines().filter(of_tls).collect::<Vec<_>>();
    let out = gauges.iter().find(|line| line.starts_with("secchi_target_out_of_range{"));
    assert!(out.is_some_and(|line| line.ends_with(" 1")), "{gauges:?}");
    assert!(text.contains("secchi_tls_certificate_not_after_timestamp_seconds{"), "{text}");
    let path = format!("/probe?target={target}&module=tls");
    let (status, text) = http("GET", daemon.port, &path, &[], "").expect("metrics");
    assert!(status == 200 && text.contains("probe_ssl_earliest_cert_expiry"), "{text}");
}

#[test]
fn a_target_that_goes_takes_what_was_glimpsed_of_it_along() {
    let folder = TempDir::new().expect("a folder");
    let shop = Shop::start(folder.path(), 3);
    let daemon = Daemon::start(folder.path(), &shop.config("http"));
    daemon.wait_finding(EXPIRY, "confirmed", Duration::from_secs(15));
    reload(&daemon, &shop.config_of(""));
    let gone = daemon.wait_finding(EXPIRY, "withdrawn", Duration::from_secs(10));
    assert_eq!(gone["note"], "target_removed", "{gone}");
}

#[test]
fn a_target_that_goes_while_the_daemon_is_down_takes_it_along_too() {
    let folder = TempDir::new().expect("a folder");
    let shop = Shop::start(folder.path(), 3);
    let mut daemon = Daemon::start(folder.path(), &shop.config("http"));
    daemon.wait_finding(EXPIRY, "confirmed", Duration::from_secs(15));
    stop(&mut daemon);
    std::fs::write(folder.path().join("secchi.yaml"), shop.config_of("")).expect("a config");
    daemon.restart();
    let gone = daemon.wait_finding(EXPIRY, "withdrawn", Duration::from_secs(10));
    assert_eq!(gone["note"], "target_removed", "{gone}");
}

#[test]
fn without_its_tls_probe_a_target_keeps_what_handshakes_show_and_loses_the_rest() {
    let folder = TempDir::new().expect("a folder");
    let shop = Shop::start(folder.path(), 3);
    let daemon = Daemon::start(folder.path(), &shop.config("http, tls"));
    let expiry = daemon.wait_finding(EXPIRY, "confirmed", Duration::from_secs(20));
    let version = daemon.wait_finding("tls-no-tls13", "confirmed", Duration::from_secs(20));
    let path = format!("/api/v1/samples?target={}&probe=tls", shop.target());
    let samples = get_json(daemon.port, &path).expect("samples");
    let samples = samples["samples"].as_array().expect("a list").clone();
    assert!(!samples.is_empty());
    assert!(samples.iter().all(|sample| sample["connections"] != 0), "{samples:?}");
    reload(&daemon, &shop.config("http"));
    let gone = daemon.wait_finding("tls-no-tls13", "withdrawn", Duration::from_secs(20));
    assert_eq!((&gone["id"], &gone["note"]), (&version["id"], &"rule_removed".into()));
    let kept = daemon.findings("?state=confirmed");
    assert!(kept.iter().any(|finding| finding["id"] == expiry["id"]), "{kept:?}");
    reload(&daemon, &shop.config("http, tls"));
    daemon.wait_finding("tls-no-tls13", "confirmed", Duration::from_secs(20));
}

/// A config with the host of this site, whose ports are looked at every second, and more targets.
fn ports_config(shop: &Shop, more: &str) -> String {
    let host = format!(
        "  - {{target: 127.0.0.1, probes: [ports], ports: \"{}\", labels: {{service: shop}}}}\n{more}",
        shop.port
    );
    shop.config_of(&host)
}

#[test]
fn an_expiring_certificate_is_found_on_whatever_port_a_scan_comes_upon_it() {
    let folder = TempDir::new().expect("a folder");
    let shop = Shop::start(folder.path(), 3);
    let mut daemon = Daemon::start(folder.path(), &ports_config(&shop, ""));
    let name = format!("127.0.0.1:{}", shop.port);
    let found = daemon.wait_finding(EXPIRY, "confirmed", Duration::from_secs(20));
    assert_eq!((&found["probe"], &found["address"]), (&"tls".into(), &"127.0.0.1".into()));
    assert_eq!((&found["subject"], &found["target"]), (&"ec".into(), &name.as_str().into()));
    assert_eq!(found["labels"]["service"], "shop", "{found}");
    wait_glimpses(&daemon, 3.0);
    let rules = daemon.findings("?state=confirmed");
    let rules: Vec<_> = rules.iter().filter_map(|finding| finding["rule"].as_str()).collect();
    // By what name clients come to a bare address nobody said, and TLS 1.3 was not asked for.
    for unasked in ["tls-hostname-mismatch", "tls-no-tls13"] {
        assert!(!rules.contains(&unasked), "{rules:?}");
    }
    assert_eq!(sum(&daemon, "secchi_connections_total", "probe=\"tls\""), 0.0);
    let connections = shop.connections.load(Ordering::SeqCst) as f64;
    let begun = sum(&daemon, "secchi_connections_total", "probe=\"ports\"");
    assert!(connections <= begun + 3.0, "{connections} connections, {begun} begun");
    shown_in_lists(&daemon, &name);

    outlives_a_restart_and_ends_with_its_cause(&mut daemon, &shop, &found);
}

#[test]
fn what_a_scan_came_upon_goes_with_its_target_while_the_daemon_runs_or_not() {
    for is_running in [true, false] {
        let folder = TempDir::new().expect("a folder");
        let shop = Shop::start(folder.path(), 3);
        let mut daemon = Daemon::start(folder.path(), &ports_config(&shop, ""));
        daemon.wait_finding(EXPIRY, "confirmed", Duration::from_secs(20));
        if is_running {
            reload(&daemon, &shop.config_of(""));
        } else {
            stop(&mut daemon);
            let config = shop.config_of("");
            std::fs::write(folder.path().join("secchi.yaml"), config).expect("a config");
            daemon.restart();
        }
        let gone = daemon.wait_finding(EXPIRY, "withdrawn", Duration::from_secs(15));
        assert_eq!(gone["note"], "target_removed", "{gone}");
    }
}

#[test]
fn a_port_that_somebody_named_is_not_told_of_twice() {
    let folder = TempDir::new().expect("a folder");
    let shop = Shop::start(folder.path(), 3);
    let daemon = Daemon::start(folder.path(), &ports_config(&shop, ""));
    let found = daemon.wait_finding(EXPIRY, "confirmed", Duration::from_secs(20));
    let named = format!("  - {{target: \"{}\", probes: [http]}}\n", shop.target());
    reload(&daemon, &ports_config(&shop, &named));
    let gone = daemon.wait_finding(EXPIRY, "withdrawn", Duration::from_secs(20));
    assert_eq!((&gone["id"], &gone["note"]), (&found["id"], &"target_removed".into()));
    let stays = daemon.wait_finding(EXPIRY, "confirmed", Duration::from_secs(20));
    assert_eq!(stays["target"], shop.target().as_str(), "{stays}");
    // A run that was under way may have told of it once more; those after it do not.
    thread::sleep(Duration::from_secs(3));
    let open = daemon.findings("?state=confirmed");
    let expiring = open.iter().filter(|finding| finding["rule"] == EXPIRY);
    assert_eq!(expiring.count(), 1, "{open:?}");
}

#[test]
fn a_check_of_ports_and_tls_judges_every_certificate_that_it_comes_upon() {
    let folder = TempDir::new().expect("a folder");
    let shop = Shop::start(folder.path(), 3);
    let ports = format!("--ports={}", shop.port);
    let args = |probes| vec!["127.0.0.1", probes, &ports, "--ca-file"];
    let ca = shop.pki.ca();
    let check = |probes| check_json(&[args(probes), vec![ca.as_str()]].concat()).1;
    let report = check("--probe=ports,tls");
    let name = format!("127.0.0.1:{}", shop.port);
    let samples = report["samples"].as_array().expect("samples");
    let of_port: Vec<_> = samples.iter().filter(|sample| sample["target"] == *name).collect();
    assert_eq!(of_port.len(), 1, "{samples:?}");
    assert_eq!((&of_port[0]["probe"], &of_port[0]["connections"]), (&"tls".into(), &0.into()));
    let facts = &of_port[0]["measurements"];
    assert_eq!((&facts["chain"]["trusted"], &facts["alpn"]), (&true.into(), &Value::Null));
    assert_eq!(facts["unknown"]["chain.hostname_matches"], "not_observed");
    assert!(rules_out(&report).iter().any(|rule| rule == EXPIRY), "{report:#}");
    let report = check("--probe=ports");
    assert_eq!(report["samples"].as_array().map(Vec::len), Some(1));
    // What is asked by name has a sample of its own.
    let (_, report) = check_json(&[&name, "--probe=ports,tls", &ports, "--ca-file", &ca]);
    let samples = report["samples"].as_array().expect("samples");
    assert_eq!(samples.len(), 2, "{samples:?}");
    assert!(samples.iter().all(|sample| sample["connections"] != 0), "{samples:?}");
}

#[test]
fn a_check_answers_what_it_was_asked_and_no_more() {
    let folder = TempDir::new().expect("a folder");
    let shop = Shop::start(folder.path(), 3);
    let target = shop.target();
    let (_, report) = check_json(&[&target, "--probe", "http", "--ca-file", &shop.pki.ca()]);
    let samples = report["samples"].as_array().expect("samples");
    assert_eq!(samples.len(), 1, "{samples:?}");
    assert_eq!(samples[0]["probe"], "http");
    assert!(rules_out(&report).iter().all(|rule| rule.starts_with("http-")));
}
