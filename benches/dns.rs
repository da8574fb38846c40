//! A whole pass of one signed zone with four servers, by `secchi check`: questions asked and time
//! taken. Needs knot and bind9's dnssec tools.
#![allow(clippy::print_stdout, unreachable_pub, reason = "a bench prints what it measured")]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::{Series, free_port, size, told};
use tokio::time::Instant;

fn main() {
    if !support::is_wanted("dns") {
        return;
    }
    let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
    let names = size("NAMES", 20);
    zones(folder.path(), names);
    let _knot = knot(folder.path(), port);
    let runs = size("ROUNDS", 20);
    let (mut whole, mut sample, mut asked) = (Vec::new(), Vec::new(), 0.0);
    for _ in 0..runs {
        let begun = Instant::now();
        let report = check(folder.path(), port);
        whole.push(begun.elapsed().as_secs_f64() * 1e3);
        let first = &report["samples"][0];
        sample.push(first["duration_seconds"].as_f64().unwrap_or(f64::NAN) * 1e3);
        asked = first["connections"].as_f64().unwrap_or(f64::NAN);
        let states = first["measurements"]["dnssec"].as_object().expect("servers");
        assert_eq!(states.len(), 4);
        assert!(states.values().all(|state| state["state"] == "secure"), "{states:?}");
        assert_eq!(first["measurements"]["drift"], serde_json::json!([]));
    }
    told(
        &format!("questions, 4 servers, {names} pinned names"),
        asked,
        "goal: at most 120 + 16 a name",
    );
    told("  one pass", Series::new(sample).in_words("ms"), "goal: below 100 ms");
    told("  the whole command", Series::new(whole).in_words("ms"), "");
}

fn check(folder: &Path, port: u16) -> serde_json::Value {
    let at = |file: &str| folder.join(file).display().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_secchi"))
        .args([
            "check",
            "bench.test",
            "--probe",
            "dns",
            "--format",
            "json",
            "--fail-on",
            "critical",
        ])
        .args(["--root-hints", &at("hints"), "--trust-anchor", &at("anchor")])
        .args(["--expect", &at("pins.yaml"), "--dns-port", &port.to_string()])
        .args(["--allow-network", "127.0.0.0/8", "--rate", "10000"])
        .output()
        .expect("the binary");
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// Root, `test` and `bench.test`, each signed.
fn zones(folder: &Path, names: usize) {
    let mut zone = String::from(
        "$TTL 300\n@ SOA ns1 hm 7 7200 3600 1209600 300\n@ A 192.0.2.1\n@ MX 10 mail\nmail A 192.0.2.25\n\
         @ TXT \"v=spf1 mx -all\"\n_dmarc TXT \"v=DMARC1; p=reject\"\n@ CAA 0 issue \"ca.test\"\n",
    );
    let mut pins = String::from("pins:\n");
    for server in 1..=4 {
        let _ = write!(zone, "@ NS ns{server}\nns{server} A 127.0.0.{server}\n");
    }
    for name in 0..names {
        let _ = writeln!(zone, "h{name} A 198.51.100.{}", name % 250);
        let _ = writeln!(pins, "  h{name}.bench.test: {{A: {{exact: 198.51.100.{}}}}}", name % 250);
    }
    std::fs::write(folder.join("pins.yaml"), pins).expect("pins");
    sign(folder, "bench.test", &zone);
    let mut tld = String::from("$TTL 60\n@ SOA ns hm 1 60 60 600 60\n@ NS ns\nns A 127.0.0.5\n");
    for server in 1..=4 {
        let _ = write!(tld, "bench NS ns{server}.bench\nns{server}.bench A 127.0.0.{server}\n");
    }
    tld += &std::fs::read_to_string(folder.join("dsset-bench.test.")).expect("a DS set");
    sign(folder, "test", &tld);
    let mut root = String::from(
        "$TTL 60\n@ SOA a.root. hm. 1 60 60 600 60\n@ NS a.root.\na.root. A 127.0.0.6\n\
         test. NS ns.test.\nns.test. A 127.0.0.5\n",
    );
    root += &std::fs::read_to_string(folder.join("dsset-test.")).expect("a DS set");
    sign(folder, ".", &root);
    std::fs::copy(folder.join("dsset-."), folder.join("anchor")).expect("an anchor");
    let hints = ". 60 NS a.root.\na.root. 60 A 127.0.0.6\n";
    std::fs::write(folder.join("hints"), hints).expect("hints");
}

fn sign(folder: &Path, zone: &str, text: &str) {
    let file = if zone == "." { "root" } else { zone };
    std::fs::write(folder.join(file), text).expect("a zone file");
    let run = |tool: &str, words: &[&str]| {
        let output = Command::new(tool).current_dir(folder).args(words).output().expect(tool);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{tool} (package bind9-dnsutils): {said}");
    };
    run("dnssec-keygen", &["-a", "ECDSAP256SHA256", zone]);
    run("dnssec-keygen", &["-f", "KSK", "-a", "ECDSAP256SHA256", zone]);
    run("dnssec-signzone", &["-S", "-x", "-o", zone, "-f", &format!("{file}.signed"), file]);
}

/// knotd that ends with the bench.
struct Knot(Child);

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn knot(folder: &Path, port: u16) -> Knot {
    let path = folder.display();
    let listen: Vec<String> = (1..=6).map(|last| format!("127.0.0.{last}@{port}")).collect();
    let config = format!(
        "server:\n  rundir: {path}\n  listen: [{}]\n  identity: ''\n  version: ''\n\
         database:\n  storage: {path}/db\nlog:\n  - target: {path}/log\n    any: warning\n\
         template:\n  - id: default\n    storage: {path}\n    zonefile-sync: -1\n\
         zone:\n  - domain: .\n    file: root.signed\n  - domain: test\n    file: test.signed\n\
         \x20 - domain: bench.test\n    file: bench.test.signed\n",
        listen.join(", ")
    );
    std::fs::write(folder.join("knot.conf"), config).expect("a config");
    let child = Command::new("/usr/sbin/knotd")
        .arg("-c")
        .arg(folder.join("knot.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let knot = Knot(child.expect("/usr/sbin/knotd (package knot)"));
    for _ in 0..200 {
        if std::fs::read_to_string(folder.join("knot.pid")).is_ok() {
            // It is there before the zones are.
            std::thread::sleep(Duration::from_millis(500));
            return knot;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    panic!("knotd did not start: {log}");
}
