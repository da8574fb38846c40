//! What goes wrong around the daemon: full disks, receivers that are down, restarts; and what must
//! hold meanwhile: windows, its own listener's locks, secrets.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::daemon::{Site, config, verify};
use crate::support::pki::Pki;
use crate::support::scripted::{Scripted, json, response};
use crate::support::{Daemon, Process, eventually, free_port, http, run, secchi};

const RULE: &str = "http-content-type-options";
const QUICK: Duration = Duration::from_secs(10);

/// The value of one series of `/metrics`; 0 where it is not there.
pub fn metric(daemon: &Daemon, series: &str) -> f64 {
    let text = daemon.metrics();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// http samples taken, whatever came of them.
fn samples(daemon: &Daemon) -> f64 {
    metric(daemon, "secchi_sample_duration_seconds_count{probe=\"http\"}")
}

/// What the daemon of a folder has logged.
pub fn log(folder: &TempDir) -> String {
    std::fs::read_to_string(folder.path().join("secchi.log")).unwrap_or_default()
}

/// SIGTERM, and status 0.
pub fn stop(daemon: &mut Daemon) {
    daemon.process.signal("TERM");
    assert_eq!(daemon.process.wait(Duration::from_secs(20)), Some(0));
}

/// A fake Alertmanager that keeps every alert it is told, and may be down or refuse a rule.
struct Ear {
    server: Scripted,
    deaf: Arc<AtomicBool>,
}

impl Ear {
    fn start(refused: &'static str) -> Self {
        let deaf = Arc::new(AtomicBool::new(false));
        let is_deaf = Arc::clone(&deaf);
        let server = Scripted::start(move |request| {
            let hit = |request: &str| !refused.is_empty() && request.contains(refused);
            match request.starts_with("POST") {
                true if is_deaf.load(Ordering::SeqCst) => {
                    response("503 Service Unavailable", "", "")
                }
                true if hit(request) => response("400 Bad Request", "", "no such label"),
                true => response("200 OK", "", ""),
                false => {
                    json(r#"{"uptime":"2026-01-01T00:00:00.000Z","cluster":{"status":"disabled"}}"#)
                }
            }
        });
        Self { server, deaf }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }

    /// Every alert of the rule that was sent, refused or not.
    fn alerts(&self, rule: &str) -> Vec<Value> {
        let contacts = self.server.contacts();
        let posts = contacts.iter().filter(|contact| contact.request.starts_with("POST"));
        let all = posts.flat_map(|contact| {
            serde_json::from_str::<Vec<Value>>(contact.body()).unwrap_or_default()
        });
        all.filter(|alert| alert["labels"]["rule"] == rule).collect()
    }

    fn wait(&self, rule: &str, patience: Duration, is_it: impl Fn(&Value) -> bool) -> Value {
        eventually(&format!("an alert of {rule}"), patience, || {
            self.alerts(rule).into_iter().find(&is_it)
        })
    }
}

fn alerting(ears: &[&Ear]) -> String {
    let members: Vec<String> =
        ears.iter().map(|ear| format!("{{url: \"{}\"}}", ear.url())).collect();
    format!("alerting: {{alertmanagers: [{}]}}\n", members.join(", "))
}

#[test]
fn a_receiver_that_is_down_costs_nothing_but_its_own_queue() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let (down, up, closed) = (Ear::start(""), Ear::start(""), free_port());
    down.deaf.store(true, Ordering::SeqCst);
    let text = format!(
        "alerting: {{alertmanagers: [{{url: \"http://127.0.0.1:{closed}\"}}, {{url: \"{}\"}}, {{url: \"{}\"}}]}}\n",
        down.url(),
        up.url()
    );
    let daemon = Daemon::start(folder.path(), &config(&site, &text));
    eventually("a first sample", QUICK, || (samples(&daemon) > 0.0).then_some(()));
    site.broken.store(true, Ordering::SeqCst);
    daemon.wait_finding(RULE, "confirmed", QUICK);
    let begun = Instant::now();
    up.wait(RULE, QUICK, |_| true);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    eventually("the queues", QUICK, || {
        let pending = |nth: usize| {
            metric(
                &daemon,
                &format!("secchi_alert_outbox_pending{{receiver=\"alertmanager/{nth}\"}}"),
            )
        };
        (pending(0) >= 1.0 && pending(1) >= 1.0 && pending(2) == 0.0).then_some(())
    });
    down.deaf.store(false, Ordering::SeqCst);
    // Twice a doubled back-off with jitter, at the worst.
    eventually("the late alert", Duration::from_secs(90), || {
        let series = "secchi_alert_outbox_pending{receiver=\"alertmanager/1\"}";
        (metric(&daemon, series) == 0.0).then_some(())
    });
}

#[test]
fn a_refused_alert_does_not_take_its_neighbours_with_it() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    site.broken.store(true, Ordering::SeqCst);
    let ear = Ear::start(RULE);
    let daemon = Daemon::start(folder.path(), &config(&site, &alerting(&[&ear])));
    let refused = "secchi_alert_deliveries_total{outcome=\"refused\",receiver=\"alertmanager/0\"}";
    eventually("a refusal", Duration::from_secs(20), || {
        (metric(&daemon, refused) >= 1.0).then_some(())
    });
    assert!(log(&folder).contains("an alert was refused for good"));
    let others: Vec<String> = daemon
        .findings("?state=confirmed")
        .iter()
        .filter(|finding| finding["rule"] != RULE && finding["severity"] != "info")
        .map(|finding| finding["rule"].as_str().expect("a rule").to_owned())
        .collect();
    assert!(!others.is_empty(), "the site breaks other rules too");
    // The gauge is as fresh as the last look at the outbox.
    eventually("the others", Duration::from_secs(40), || {
        let series = "secchi_alert_outbox_pending{receiver=\"alertmanager/0\"}";
        (metric(&daemon, series) == 0.0).then_some(())
    });
    for rule in others {
        let accepted = ear.server.contacts().into_iter().any(|contact| {
            contact.request.starts_with("POST")
                && contact.body().contains(&format!("\"{rule}\""))
                && !contact.body().contains(RULE)
        });
        assert!(accepted, "{rule} was never accepted");
    }
}

#[test]
fn slots_that_passed_while_the_daemon_was_down_are_counted_and_not_made_up_for() {
    let folder = TempDir::new().expect("a folder");
    let site = Scripted::start(|_| response("200 OK", "X-Content-Type-Options: nosniff\r\n", "ok"));
    let text = format!(
        "scope: {{networks: [\"127.0.0.1/32\"]}}\nplans: {{fast: {{every: 1s}}}}\n\
         defaults: {{plan: fast, probes: [http], timeout: 2s}}\n\
         targets: [{{target: \"http://127.0.0.1:{}\"}}]\n\
         budgets: {{per_address: 100/s, per_network: 100/s, total: 100/s}}\n",
        site.port
    );
    // Not what has its turn beside the page.
    let pages = || site.contacts().iter().filter(|c| c.request.starts_with("GET / ")).count();
    let mut daemon = Daemon::start(folder.path(), &text);
    eventually("samples", QUICK, || (pages() >= 3).then_some(()));
    daemon.process.kill();
    let before = pages();
    thread::sleep(Duration::from_secs(5));
    daemon.restart();
    let missed = metric(&daemon, "secchi_scheduler_skipped_total{reason=\"missed\"}");
    assert!((4.0..=9.0).contains(&missed), "{missed}");
    let begun = Instant::now();
    eventually("samples again", QUICK, || (pages() >= before + 3).then_some(()));
    // Slots of a second: three samples span more than one second, and repeats there are none.
    assert!(begun.elapsed() > Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[test]
fn what_left_the_config_while_the_daemon_was_down_is_withdrawn_at_its_start() {
    let (folder, site, other) = (TempDir::new().expect("a folder"), Site::start(), Site::start());
    site.broken.store(true, Ordering::SeqCst);
    let ear = Ear::start("");
    let receivers = alerting(&[&ear]);
    let mut daemon = Daemon::start(folder.path(), &config(&site, &receivers));
    ear.wait(RULE, Duration::from_secs(20), |_| true);
    stop(&mut daemon);
    std::fs::write(folder.path().join("secchi.yaml"), config(&other, &receivers)).expect("a file");
    daemon.restart();
    let gone = daemon.wait_finding(RULE, "withdrawn", QUICK);
    assert_eq!(gone["note"], "target_removed", "{gone}");
    let (_, series) = http("GET", daemon.port, "/metrics/targets", &[], "").expect("metrics");
    assert!(!series.contains(&format!("127.0.0.1:{}\"", site.port)), "{series}");
}

#[test]
fn a_rule_that_left_while_the_daemon_was_down_takes_its_findings_with_it() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    site.broken.store(true, Ordering::SeqCst);
    let mut daemon = Daemon::start(folder.path(), &config(&site, ""));
    daemon.wait_finding(RULE, "confirmed", QUICK);
    stop(&mut daemon);
    let without = config(&site, &format!("rules: {{disable: [{RULE}]}}\n"));
    std::fs::write(folder.path().join("secchi.yaml"), without).expect("a file");
    daemon.restart();
    let gone = daemon.wait_finding(RULE, "withdrawn", QUICK);
    assert_eq!(gone["note"], "rule_removed", "{gone}");
    assert!(daemon.findings("?state=confirmed").iter().all(|finding| finding["rule"] != RULE));
}

#[test]
fn a_window_that_pauses_takes_no_sample() {
    let folder = TempDir::new().expect("a folder");
    let site = Scripted::start(|_| response("200 OK", "", "ok"));
    let text = |window: &str| {
        format!(
            "scope: {{networks: [\"127.0.0.1/32\"]}}\nplans: {{fast: {{every: 1s}}}}\n\
             defaults: {{plan: fast, probes: [http], timeout: 2s}}\n\
             targets: [{{target: \"http://127.0.0.1:{}\", labels: {{env: staging}}}}]\n{window}",
            site.port
        )
    };
    let window =
        "maintenance: [{cron: \"* * * * *\", lasts: 2m, effect: pause, targets: {env: staging}}]\n";
    let daemon = Daemon::start(folder.path(), &text(window));
    eventually("skipped slots", QUICK, || {
        let series = "secchi_scheduler_skipped_total{reason=\"maintenance\"}";
        (metric(&daemon, series) >= 3.0).then_some(())
    });
    assert_eq!(site.contacts().len(), 0);
    // It is for others now.
    reload(&daemon, &text(&window.replace("staging", "prod")));
    eventually("a sample", QUICK, || (!site.contacts().is_empty()).then_some(()));
}

#[test]
fn a_window_that_mutes_tells_nobody_until_it_closes() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let ear = Ear::start("");
    let window = "maintenance: [{cron: \"* * * * *\", lasts: 2m, targets: {env: test}}]\n";
    let text = config(&site, &alerting(&[&ear]));
    site.broken.store(true, Ordering::SeqCst);
    let daemon = Daemon::start(folder.path(), &format!("{text}{window}"));
    daemon.wait_finding(RULE, "confirmed", QUICK);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(ear.alerts(RULE), Vec::<Value>::new());
    reload(&daemon, &text);
    ear.wait(RULE, QUICK, |_| true);
}

fn reload(daemon: &Daemon, config: &str) {
    std::fs::write(daemon.folder.join("secchi.yaml"), config).expect("a config");
    let (status, body) = http("POST", daemon.port, "/-/reload", &[], "").expect("an answer");
    assert_eq!(status, 200, "{body}");
}

/// A daemon whose data directory is a file system of its own, in a mount namespace of its own.
struct Small {
    daemon: Daemon,
    data: PathBuf,
    how: Vec<&'static str>,
}

/// The script that mounts the file system and becomes the daemon. The first argument is the
/// directory, the second its size, the third what to run before.
const MOUNT: &str = "set -e; mount -t tmpfs -o size=\"$2\" tmpfs \"$1\"; sh -c \"$3\" - \"$1\"; shift 3; exec \"$@\"";

/// How to get a mount namespace here, if at all.
fn unshare() -> Option<Vec<&'static str>> {
    [vec!["--mount"], vec!["--map-root-user", "--mount"]].into_iter().find(|how| {
        let probe = "d=$(mktemp -d); mount -t tmpfs tmpfs $d && umount $d; s=$?; rmdir $d; exit $s";
        let mut command = Command::new("unshare");
        command.args(how).args(["sh", "-c", probe]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    })
}

fn launch_small(folder: &Path, port: u16, how: &[&str], size: &str, before: &str) -> Process {
    let data = folder.join("data");
    std::fs::create_dir_all(&data).expect("a folder");
    let binary = secchi().get_program().to_owned();
    let mut command = Command::new("unshare");
    command.args(how).args(["sh", "-c", MOUNT, "sh"]).arg(&data).args([size, before]);
    command.arg(binary).arg("run").arg("--config").arg(folder.join("secchi.yaml"));
    command.arg("--data-dir").arg(data).args(["--listen", &format!("127.0.0.1:{port}")]);
    command.env("NO_COLOR", "1").env_remove("SECCHI_CONFIG");
    Process::start("secchi", &mut command, folder)
}

impl Small {
    fn start(folder: &Path, config: &str, how: Vec<&'static str>, size: &str) -> Self {
        let port = free_port();
        std::fs::write(folder.join("secchi.yaml"), config).expect("a config");
        let process = launch_small(folder, port, &how, size, ":");
        let daemon = Daemon { process, port, folder: folder.to_owned() };
        daemon.wait_ready();
        // The directory as the daemon's namespace has it.
        let data = folder.join("data");
        let inside = data.strip_prefix("/").expect("an absolute path");
        let data = Path::new("/proc").join(daemon.process.id().to_string()).join("root");
        Self { data: data.join(inside), daemon, how }
    }

    /// Fills what room there is.
    fn fill(&self) {
        let filler = self.data.join("filler");
        for nth in 0..3 {
            let _ = std::fs::write(filler.with_extension(nth.to_string()), vec![7; 16 << 20]);
        }
    }

    fn empty(&self) {
        for nth in 0..3 {
            std::fs::remove_file(self.data.join("filler").with_extension(nth.to_string()))
                .expect("a filler");
        }
    }

    /// `ledger verify` in the daemon's namespace: SQLite follows no path through `/proc`.
    fn verify(&self) -> std::process::Output {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.daemon.process.id().to_string(), "--mount"]);
        if self.how.len() > 1 {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg(secchi().get_program()).args(["ledger", "verify", "--data-dir"]);
        command.arg(self.daemon.folder.join("data")).stdin(Stdio::null());
        command.output().expect("nsenter runs")
    }
}

#[test]
fn a_disk_that_fills_up_loses_no_finding_and_no_alert() {
    let Some(how) = unshare() else {
        eprintln!("skipped: no mount namespace may be made here");
        return;
    };
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let ear = Ear::start("");
    let text = config(&site, &alerting(&[&ear]));
    let small = Small::start(folder.path(), &text, how, "8m");
    let daemon = &small.daemon;
    eventually("a first sample", QUICK, || (samples(daemon) > 0.0).then_some(()));
    small.fill();
    // The reserve is freed first; whoever fills the disk takes that too.
    let failures = || metric(daemon, "secchi_ledger_write_failures_total");
    eventually("failed writes", Duration::from_secs(60), || {
        small.fill();
        (failures() >= 1.0).then_some(())
    });
    ear.wait("secchi-ledger-failing", QUICK, |_| true);
    site.broken.store(true, Ordering::SeqCst);
    let alert = ear.wait(RULE, Duration::from_secs(20), |_| true);
    assert_eq!(alert["annotations"]["unrecorded"], "true", "{alert}");
    assert!(metric(daemon, "secchi_ledger_unrecorded_findings") >= 1.0);
    assert_eq!(
        http("GET", daemon.port, "/-/healthy", &[], "").map(|(status, _)| status),
        Some(200)
    );
    let sampled = || samples(daemon);
    let before = sampled();
    eventually("sampling goes on", QUICK, || (sampled() > before + 1.0).then_some(()));

    small.empty();
    daemon.wait_finding(RULE, "confirmed", QUICK);
    eventually("nothing to wait", QUICK, || {
        (metric(daemon, "secchi_ledger_unrecorded_findings") == 0.0).then_some(())
    });
    let verified = small.verify();
    let said = [verified.stdout, verified.stderr].concat();
    assert_eq!(verified.status.code(), Some(0), "{}", String::from_utf8_lossy(&said));
    // What fired is held for a minute, so that Alertmanager tells of both.
    ear.wait("secchi-ledger-failing", Duration::from_secs(110), |alert| {
        let end =
            alert["endsAt"].as_str().and_then(|t| chrono::DateTime::parse_from_rfc3339(t).ok());
        let start =
            alert["startsAt"].as_str().and_then(|t| chrono::DateTime::parse_from_rfc3339(t).ok());
        end.zip(start).is_some_and(|(end, start)| (end - start).num_seconds() < 240)
    });
}

#[test]
fn a_data_directory_that_is_full_or_not_ours_stops_the_start_with_the_reason() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    std::fs::write(folder.path().join("secchi.yaml"), config(&site, "")).expect("a config");
    let ended = |mut process: Process, says: &[&str]| {
        let status = process.wait(QUICK);
        let text = log(&folder);
        assert_eq!(status, Some(2), "{text}");
        for says in says {
            assert!(text.contains(says), "{says:?} is missing from {text}");
        }
    };
    // A file lies where the directory should be: root is stopped by that too.
    let data = folder.path().join("data");
    std::fs::write(&data, "").expect("a file");
    ended(Daemon::launch(folder.path(), free_port()), &[&data.display().to_string()]);
    std::fs::remove_file(&data).expect("removed");
    // A store that is none.
    std::fs::create_dir(&data).expect("a folder");
    std::fs::write(data.join("ledger.db"), vec![b'x'; 8192]).expect("a file");
    ended(Daemon::launch(folder.path(), free_port()), &["the ledger", "not a database"]);
    std::fs::remove_dir_all(&data).expect("removed");
    let Some(how) = unshare() else {
        eprintln!("skipped in part: no mount namespace may be made here");
        return;
    };
    let data = data.display().to_string();
    for (size, before, says) in [
        ("64k", ":", "No space left on device"),
        (
            "1100k",
            "dd if=/dev/zero of=\"$1/x\" bs=4k count=999 2>/dev/null || true",
            "No space left",
        ),
        ("8m", "mount -o remount,ro \"$1\"", "Read-only file system"),
        ("8m", "mkdir \"$1/ledger.db\"", "unable to open database file"),
    ] {
        let process = launch_small(folder.path(), free_port(), &how, size, before);
        ended(process, &[&data, says]);
    }
}

#[test]
fn the_listener_takes_tls_and_passwords_from_exporter_toolkits_file() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let pki = Pki::new(folder.path());
    let (certificate, key) = pki.leaf("localhost", 2040);
    let hash = bcrypt::hash("correct horse", 4).expect("a hash");
    let web = format!(
        "tls_server_config: {{cert_file: {}, key_file: {}}}\nbasic_auth_users: {{alice: \"{hash}\"}}\n",
        certificate.file_name().expect("a name").display(),
        key.file_name().expect("a name").display()
    );
    std::fs::write(folder.path().join("web.yml"), web).expect("a file");
    let text = config(&site, "web: {config_file: web.yml}\n");
    std::fs::write(folder.path().join("secchi.yaml"), text).expect("a config");
    let port = free_port();
    let mut process = Daemon::launch(folder.path(), port);
    let status = |path: &str, user: Option<&str>| curl(port, &pki, path, user).map(|(s, _)| s);
    eventually("the listener", Duration::from_secs(20), || status("/-/ready", None));
    eventually("readiness", QUICK, || (status("/-/ready", None) == Some(200)).then_some(()));
    assert_eq!(status("/-/healthy", None), Some(200));
    for path in ["/", "/metrics", "/metrics/targets", "/api/v1/status", "/api/v1/findings"] {
        let good = Some("alice:correct horse");
        eventually(path, QUICK, || (status(path, good) == Some(200)).then_some(()));
        assert_eq!(status(path, Some("alice:wrong")), Some(401), "{path}");
        assert_eq!(status(path, Some("bob:correct horse")), Some(401), "{path}");
        assert_eq!(status(path, None), Some(401), "{path}");
    }
    assert!(
        http("GET", port, "/metrics", &[], "").is_none_or(|(status, _)| status != 200),
        "plain http is answered"
    );
    let (url, ca) = (format!("https://127.0.0.1:{port}"), pki.ca());
    let place = ["--url", &url, "--ca-file", &ca, "--server-name", "localhost"];
    assert_eq!(run(&[&["healthcheck"], &place[..]].concat()).status.code(), Some(0));
    assert_eq!(run(&["healthcheck", "--url", &url]).status.code(), Some(1), "an unknown CA");
    let password = folder.path().join("alice.password");
    std::fs::write(&password, "correct horse\n").expect("a file");
    let alice = ["--username", "alice", "--password-file", password.to_str().expect("a path")];
    assert_eq!(run(&[&["findings"], &place[..], &alice].concat()).status.code(), Some(0));
    assert_eq!(run(&[&["findings"], &place[..]].concat()).status.code(), Some(2), "nobody");
    process.signal("TERM");
    assert_eq!(process.wait(Duration::from_secs(20)), Some(0));
    // A file that cannot be used stops the start.
    std::fs::write(folder.path().join("web.yml"), "basic_auth_user: {a: b}\n").expect("a file");
    let mut process = Daemon::launch(folder.path(), free_port());
    assert_eq!(process.wait(QUICK), Some(2), "{}", log(&folder));
    assert!(log(&folder).contains("basic_auth_user"), "{}", log(&folder));
}

/// GET over TLS with the test's CA; status and body.
fn curl(port: u16, pki: &Pki, path: &str, user: Option<&str>) -> Option<(u16, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let pem = std::fs::read(pki.ca()).expect("a CA");
        let ca = reqwest::Certificate::from_pem(&pem).expect("a certificate");
        let builder = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5));
        let client = builder.tls_certs_only([ca]).build().expect("a client");
        let mut request = client.get(format!("https://localhost:{port}{path}"));
        if let Some((name, password)) = user.and_then(|user| user.split_once(':')) {
            request = request.basic_auth(name, Some(password));
        }
        let answer = request.send().await.ok()?;
        Some((answer.status().as_u16(), answer.text().await.ok()?))
    })
}

#[test]
fn no_secret_is_ever_shown() {
    let folder = TempDir::new().expect("a folder");
    let secrets = [
        ("ci.token", "sekret-token-0001"),
        ("hook.key", "sekret-hmac-0002"),
        ("am.credentials", "sekret-bearer-0003"),
        ("sd.password", "sekret-password-0004"),
    ];
    for (file, secret) in secrets {
        let path = folder.path().join(file);
        std::fs::write(&path, format!("{secret}\n")).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    }
    let asked = Arc::new(Mutex::new(String::new()));
    let book = Arc::clone(&asked);
    let site = Scripted::start(|_| {
        let fields = "Set-Cookie: sid=sekret-cookie-0005; Path=/\r\nAuthorization: Bearer sekret-echo-0006\r\nLocation: /next?x=1\r\n";
        response("200 OK", fields, "<p>sekret-body-0007</p>")
    });
    let list = format!("[{{\"targets\": [\"http://127.0.0.1:{}/x\"]}}]", site.port);
    let peer = Scripted::start(move |request| {
        book.lock().expect("a lock").push_str(request);
        if request.starts_with("GET /sd") { json(&list) } else { response("200 OK", "", "") }
    });
    let text = format!(
        "scope: {{networks: [\"127.0.0.1/32\"]}}\nplans: {{fast: {{every: 1s}}}}\n\
         defaults: {{plan: fast, probes: [http], timeout: 2s}}\n\
         targets: [{{target: \"http://127.0.0.1:{1}\"}}]\n\
         discovery: {{http_sd: [{{url: \"http://127.0.0.1:{0}/sd\", refresh: 1s, http_config: {{basic_auth: {{username: sd, password_file: sd.password}}}}}}]}}\n\
         alerting: {{alertmanagers: [{{url: \"http://127.0.0.1:{0}\", http_config: {{authorization: {{credentials_file: am.credentials}}}}}}],\n\
         \x20 webhooks: [{{url: \"http://127.0.0.1:{0}/hook\", hmac_file: hook.key}}]}}\n\
         web: {{tokens: [{{name: ci, token_file: ci.token, may: [deploy, sample, reload]}}]}}\n\
         budgets: {{per_address: 100/s, per_network: 100/s, total: 100/s}}\n",
        peer.port, site.port
    );
    std::fs::write(folder.path().join("secchi.yaml"), text).expect("a config");
    let port = free_port();
    let mut command = secchi();
    command.arg("run").arg("--config").arg(folder.path().join("secchi.yaml"));
    command.arg("--data-dir").arg(folder.path().join("data"));
    command.args(["--listen", &format!("127.0.0.1:{port}")]).env("RUST_LOG", "trace");
    let process = Process::start("secchi", &mut command, folder.path());
    let mut daemon = Daemon { process, port, folder: folder.path().to_owned() };
    daemon.wait_ready();
    // Every secret is in use: the list was asked for, alerts and the webhook were sent.
    let used = |what: &str| asked.lock().expect("a lock").to_ascii_lowercase().contains(what);
    eventually("the secrets' use", Duration::from_secs(40), || {
        (used("authorization: basic") && used("bearer sekret-bearer-0003") && used("post /hook"))
            .then_some(())
    });
    let token = [("Authorization", "Bearer sekret-token-0001")];
    let (status, body) = http("POST", port, "/-/reload", &token, "").expect("an answer");
    assert_eq!(status, 200, "{body}");

    let mut shown = vec![("the config's answer", body)];
    for path in [
        "/",
        "/metrics",
        "/metrics/targets",
        "/api/v1/status",
        "/api/v1/targets",
        "/api/v1/findings",
        "/api/v1/samples",
        "/api/v1/config",
    ] {
        shown.push((path, http("GET", port, path, &[], "").expect("an answer").1));
    }
    let file = folder.path().join("secchi.yaml").display().to_string();
    let target = format!("http://127.0.0.1:{}", site.port);
    let data = folder.path().join("data").display().to_string();
    for (what, arguments) in [
        ("config explain", vec!["config", "explain", &target, "--config", &file]),
        ("config check", vec!["config", "check", "--format=json", "--config", &file]),
        ("ledger export", vec!["ledger", "export", "--config", &file, "--data-dir", &data]),
        ("check", vec!["check", &target, "--config", &file, "--format=json"]),
    ] {
        let output = run(&arguments);
        assert!(!output.stdout.is_empty(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
        let all = [output.stdout, output.stderr].concat();
        shown.push((what, String::from_utf8_lossy(&all).into_owned()));
    }
    stop(&mut daemon);
    verify(folder.path());
    shown.push(("the log", log(&folder)));
    let seed = std::fs::read_to_string(folder.path().join("data/seed")).expect("a seed");
    for (what, text) in shown {
        for secret in ["sekret-", "c2Q6c2VrcmV0", seed.trim()] {
            let at = text.find(secret).map(|at| {
                let from = at.saturating_sub(200);
                String::from_utf8_lossy(&text.as_bytes()[from..(at + 60).min(text.len())])
                    .into_owned()
            });
            assert_eq!(at, None, "{what} shows {secret}");
        }
    }
    // Nor does the store itself hold what a peer sent in confidence.
    let store = std::fs::read(folder.path().join("data/ledger.db")).expect("a store");
    assert!(!store.windows(7).any(|bytes| bytes == b"sekret-"));
}
