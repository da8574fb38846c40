//! A local nginx by Mozilla's intermediate profile, with an RSA and an ECDSA certificate: what
//! `secchi check` takes to know all of it, sslscan beside it where it is; then many endpoints, new
//! and known. Needs nginx and openssl.
#![allow(clippy::print_stdout, unreachable_pub, reason = "a bench prints what it measured")]

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use secchi::probe::dial::{Dialer, Unbounded};
use secchi::probe::{self, Job, Memory};
use secchi::sample::{Cause, Outcome};
use secchi::target::{Point, ProbeKind, Settings, Target};
use serde_json::Value;
use tokio::time::Instant;

use support::peers::Process;
use support::{Series, Watched, free_port, mib, size, told};

fn main() {
    if !support::is_wanted("tls") {
        return;
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let sets = free_port();
    let order = sets + 1;
    let _server = nginx(folder.path(), sets, order);
    for (port, goal) in [(sets, 30), (order, 36)] {
        whole(port, goal);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(many(sets));
}

/// One endpoint, known whole, again and again; sslscan in turn with it.
fn whole(port: u16, goal: usize) {
    let (mut command, mut sample, mut peer, mut asked) = (vec![], vec![], vec![], vec![]);
    for _ in 0..size("ROUNDS", 20) {
        let begun = Instant::now();
        let report = check(port);
        command.push(begun.elapsed().as_secs_f64() * 1e3);
        let first = &report["samples"][0];
        sample.push(first["duration_seconds"].as_f64().unwrap_or(f64::NAN) * 1e3);
        asked.push(first["connections"].as_f64().unwrap_or(f64::NAN));
        assert_whole(&first["measurements"]);
        peer.extend(sslscan(port));
    }
    let who = if goal == 30 { "the client's order" } else { "the server's order" };
    told(
        &format!("connections, {who}"),
        Series::new(asked).in_words(""),
        &format!("features included; goal {goal} + 2 without"),
    );
    told("  the sample", Series::new(sample).in_words("ms"), "goal: below 20 ms");
    told("  the whole command", Series::new(command).in_words("ms"), "");
    if !peer.is_empty() {
        told("  sslscan", Series::new(peer).in_words("ms"), "goal: 10 times the sample");
    }
}

/// Fast and wrong is not fast.
fn assert_whole(facts: &Value) {
    let count = |path: &str| facts.pointer(path).and_then(Value::as_array).map_or(0, Vec::len);
    assert_eq!(facts["versions"], serde_json::json!(["TLSv1.2", "TLSv1.3"]));
    assert_eq!(count("/cipher_suites/TLSv1.2"), 6, "{}", facts["cipher_suites"]);
    assert_eq!(count("/cipher_suites/TLSv1.3"), 3);
    assert_eq!(count("/groups/TLSv1.2"), 3);
    assert_eq!(count("/certificates"), 2);
}

fn check(port: u16) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_secchi"))
        .args(["check", &format!("{HOME}:{port}"), "--allow-network", "127.0.0.0/8"])
        .args(["--probe", "tls", "--server-name", "a.test", "--rate", "1000000"])
        .args(["--format", "json", "--fail-on", "critical"])
        .output()
        .expect("the binary");
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn sslscan(port: u16) -> Option<f64> {
    let begun = Instant::now();
    let status = Command::new("sslscan")
        .args(["--no-colour", "--sni-name=a.test", &format!("{HOME}:{port}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.ok()?.success().then(|| begun.elapsed().as_secs_f64() * 1e3)
}

/// Endpoints that nothing is known of, then the same at their next samples.
async fn many(port: u16) {
    let count = size("TARGETS", 500);
    let known = series("endpoints, each known whole", "", port, vec![None; count]).await;
    series(
        "  versions and certificates of known ones",
        "goal: 1,000 a second, 6 connections each",
        port,
        known,
    )
    .await;
    told("  resident memory", format!("{:.1} MiB", mib(Watched::own().peak())), "at most");
}

async fn series(
    what: &str,
    goal: &str,
    port: u16,
    memories: Vec<Option<Memory>>,
) -> Vec<Option<Memory>> {
    let count = memories.len() as f64;
    let begun = Instant::now();
    let runs: Vec<(u64, Option<Memory>)> = stream::iter(memories.into_iter().enumerate())
        .map(|(nth, memory)| tokio::spawn(taken(nth, port, memory)))
        .buffer_unordered(AT_ONCE)
        .map(|run| run.expect("a sample"))
        .collect()
        .await;
    let rate = count / begun.elapsed().as_secs_f64();
    let connections: u64 = runs.iter().map(|(connections, _)| connections).sum();
    let each = connections as f64 / count;
    told(what, format!("{rate:.0} a second, {each:.1} connections each"), goal);
    runs.into_iter().map(|(_, memory)| memory).collect()
}

/// One sample: its connections and what it leaves behind.
async fn taken(nth: usize, port: u16, memory: Option<Memory>) -> (u64, Option<Memory>) {
    let last = u8::try_from(nth % 250).unwrap_or_default() + 1;
    let block = u8::try_from(nth / 250 % 250).unwrap_or_default() + 1;
    let address = IpAddr::V4(Ipv4Addr::new(127, 0, block, last));
    let target = Target::new(format!("https://{address}:{port}").parse().expect("a target"));
    let settings =
        Arc::new(Settings { server_name: Some("a.test".to_owned()), ..Settings::default() });
    let target = Arc::new(Target { settings: Arc::clone(&settings), ..target });
    let point = Point { target, probe: ProbeKind::Tls, address: Some(address) };
    let dialer =
        Dialer::new(Unbounded::outside(), settings, ProbeKind::Tls, Duration::from_secs(60));
    let now: DateTime<Utc> = DateTime::UNIX_EPOCH;
    let cause = Cause::Scheduled;
    let job = Job {
        point,
        memory,
        now,
        seed: 1,
        cause,
        dialer,
        glimpses: false,
        promised: false,
        spoken_for: Arc::default(),
    };
    let run = probe::run(job).await;
    let first = &run.observations[0];
    assert!(matches!(first.outcome, Outcome::Measured(_)), "{:?}", first.outcome);
    (u64::from(first.connections), run.memory)
}

/// Mozilla intermediate 5.7 on two ports: the client's order, as it says, and the server's own.
fn nginx(folder: &Path, sets: u16, order: u16) -> Process {
    let dir = folder.display();
    certificate(folder, "rsa", &["-newkey", "rsa:2048"]);
    certificate(folder, "ec", &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    let server = |port: u16, own_order: &str| {
        format!(
            "server {{ listen 0.0.0.0:{port} ssl; ssl_prefer_server_ciphers {own_order};\n\
             ssl_certificate {dir}/rsa.pem; ssl_certificate_key {dir}/rsa.key;\n\
             ssl_certificate {dir}/ec.pem; ssl_certificate_key {dir}/ec.key; return 200 ok; }}\n"
        )
    };
    let config = format!(
        "worker_processes 1; pid {dir}/nginx.pid;\nevents {{ worker_connections 4096; }}\nhttp {{\n\
         access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p;\n\
         fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;\n\
         ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets off;\n\
         ssl_ecdh_curve X25519:prime256v1:secp384r1; ssl_ciphers {SUITES};\n{}{}}}\n",
        server(sets, "off"),
        server(order, "on"),
    );
    std::fs::write(folder.join("nginx.conf"), config).expect("a config");
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(folder.join("nginx.conf")).arg("-p").arg(folder);
    command.args(["-e", "nginx-error.log", "-g", "daemon off; master_process off;"]);
    let process = Process::start("nginx", &mut command, folder);
    let begun = Instant::now();
    let patience = Duration::from_secs(5);
    while TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], sets)), patience).is_err() {
        assert!(begun.elapsed() < patience, "nginx does not listen; see its log");
        std::thread::sleep(Duration::from_millis(20));
    }
    process
}

fn certificate(folder: &Path, name: &str, key: &[&str]) {
    let output = Command::new("openssl")
        .current_dir(folder)
        .args(["req", "-x509", "-nodes", "-days", "90", "-subj", "/CN=a.test"])
        .args(["-addext", "subjectAltName=DNS:a.test"])
        .args(key)
        .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
        .output()
        .expect("openssl");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl req: {said}");
}

const AT_ONCE: usize = 64;

const HOME: &str = "127.0.0.98";

/// The cipher suites of Mozilla's intermediate profile 5.7, without the finite-field ones.
const SUITES: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
