//! A whole pass of one signed zone with four servers, by `secchi check`: questions asked and time
//! taken. The same zone by others' tools, on port 53 of a network namespace. Then a daemon with a
//! thousand such zones, every five minutes: processor time and memory. Needs knot and bind9's dnssec
//! tools; `beside` root, unbound, and what of zonemaster-cli, dnsviz and checkdmarc is to be beaten.
#![allow(clippy::print_stdout, unreachable_pub, reason = "a bench prints what it measured")]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::peers::{secchi, wait_for};
use support::{Series, Watched, free_port, get_text, metric, mib, size, told};
use tokio::time::Instant;

fn main() {
    if !support::is_wanted("dns") {
        return;
    }
    let wanted = std::env::var("SECCHI_BENCH_RUNS").unwrap_or_else(|_| "pass,zones".to_owned());
    for run in wanted.split(',') {
        match run {
            "pass" => pass(),
            "beside" => beside(),
            IN_NAMESPACE => in_namespace(),
            _ => fleet(),
        }
    }
}

/// One zone, again and again.
fn pass() {
    let (folder, port) = (tempfile::tempdir().expect("a folder"), free_port());
    let names = size("NAMES", 20);
    let zone = [ZONE.to_owned()];
    zones(folder.path(), &zone, names);
    let _knot = knot(folder.path(), port, &zone);
    let runs = size("ROUNDS", 20);
    let (mut whole, mut sample, mut asked) = (Vec::new(), Vec::new(), 0.0);
    for _ in 0..runs {
        let begun = Instant::now();
        let report = check(folder.path(), port, ZONE);
        whole.push(begun.elapsed().as_secs_f64() * 1e3);
        let first = &report["samples"][0];
        sample.push(first["duration_seconds"].as_f64().unwrap_or(f64::NAN) * 1e3);
        asked = first["connections"].as_f64().unwrap_or(f64::NAN);
        assert_sound(&report);
    }
    told(
        &format!("questions, 4 servers, {names} pinned names"),
        asked,
        "goal: at most 120 + 16 a name",
    );
    told("  one pass", Series::new(sample).in_words("ms"), "goal: below 100 ms");
    told("  the whole command", Series::new(whole).in_words("ms"), "");
}

/// Others' tools ask on port 53 alone.
fn beside() {
    let own = std::env::current_exe().expect("this program");
    let status = Command::new("unshare")
        .arg("-n")
        .arg(own)
        .arg("--bench")
        .env("SECCHI_BENCH_RUNS", IN_NAMESPACE)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "unshare -n (needs root)");
}

fn in_namespace() {
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.is_ok_and(|status| status.success()), "ip (package iproute2)");
    let folder = tempfile::tempdir().expect("a folder");
    let zone = [ZONE.to_owned()];
    zones(folder.path(), &zone, 0);
    let _knot = knot(folder.path(), 53, &zone);
    let _unbound = unbound(folder.path());
    let at = |file: &str| folder.path().join(file).display().to_string();
    let own = || assert_sound(&check(folder.path(), 53, ZONE));
    let probed = format!("dnsviz probe -A -4 -x .+:a.root=127.0.0.6 {ZONE} | dnsviz grok");
    let others = [
        format!("zonemaster-cli --no-ipv6 --hints {} {ZONE}", at("hints")),
        probed,
        format!("checkdmarc {ZONE} -n 127.0.0.53"),
    ];
    let rounds = size("ROUNDS", 20).min(10);
    let (mut times, mut theirs) = (Vec::new(), vec![Vec::new(); others.len()]);
    for _ in 0..rounds {
        let begun = Instant::now();
        own();
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        for (command, times) in others.iter().zip(&mut theirs) {
            let begun = Instant::now();
            let output = Command::new("sh").args(["-c", command]).output().expect("sh");
            if output.stdout.len() < LEAST_SAID {
                println!("  {command}: {}", String::from_utf8_lossy(&output.stderr));
            } else {
                times.push(begun.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    let own = Series::new(times);
    let median = own.quantile(0.5);
    told("one signed zone, the whole command", own.in_words("ms"), "");
    for (command, times) in others.iter().zip(theirs) {
        let name = command.split(' ').next().unwrap_or_default();
        let series = Series::new(times);
        let factor = format!("{:.1} times ours; goal 10", series.quantile(0.5) / median);
        told(&format!("  {name}"), series.in_words("ms"), &factor);
    }
}

/// A recursive server, for tools that ask no authority.
fn unbound(folder: &Path) -> Knot {
    let path = folder.display();
    let config = format!(
        "server:\n  interface: 127.0.0.53\n  do-not-query-localhost: no\n  root-hints: {path}/hints\n\
         \x20 trust-anchor-file: {path}/anchor\n  local-zone: \"test.\" nodefault\n  chroot: \"\"\n  username: \"\"\n\
         \x20 directory: {path}\n  pidfile: \"\"\n  use-syslog: no\n  do-daemonize: no\n  do-ip6: no\n\
         remote-control:\n  control-enable: no\n"
    );
    std::fs::write(folder.join("unbound.conf"), config).expect("a config");
    let child = Command::new("/usr/sbin/unbound")
        .arg("-c")
        .arg(folder.join("unbound.conf"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let server = Knot(child.expect("/usr/sbin/unbound (package unbound)"));
    std::thread::sleep(Duration::from_millis(500));
    server
}

/// The daemon with many zones. The time that it is watched for may be shorter than the plan's round: then
/// a part of the zones is sampled in it, the rate is the same.
fn fleet() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let (dns, port) = (free_port(), free_port() + 7);
    let (count, names) = (size("ZONES", 1000), size("NAMES", 20));
    let (every, warm_up, seconds) =
        (size("EVERY", 300), size("WARM_UP", 330) as u64, size("SECONDS", 300) as u64);
    let all: Vec<String> = (0..count).map(|n| format!("z{n:04}.test")).collect();
    let begun = Instant::now();
    zones(folder.path(), &all, names);
    let _knot = knot(folder.path(), dns, &all);
    let last = all.last().expect("a zone");
    while !check(folder.path(), dns, last)["samples"][0]["measurements"]["records"].is_object() {
        assert!(begun.elapsed() < Duration::from_secs(600), "knotd does not serve the zones");
    }
    println!("  {count} zones signed and served in {:.0} s", begun.elapsed().as_secs_f64());
    config(folder.path(), &all, dns, every);
    let mut daemon = secchi(folder.path(), port);
    wait_for(&mut daemon, port, "/-/ready", Duration::from_secs(60));
    std::thread::sleep(Duration::from_secs(warm_up));
    let metrics = || get_text(port, "/metrics").expect("metrics");
    let (watched, before) = (Watched::of(daemon.id()), metrics());
    watched.forget_peak();
    let (cpu, begun) = (watched.cpu(), Instant::now());
    std::thread::sleep(Duration::from_secs(seconds));
    assert!(!daemon.has_ended(), "the daemon ended; see its log");
    let passed = begun.elapsed().as_secs_f64();
    let share = 100.0 * (watched.cpu() - cpu) / passed;
    let after = metrics();
    let of =
        |name: &str, labels: &[&str]| metric(&after, name, labels) - metric(&before, name, labels);
    told(
        &format!("{count} zones of {names} names every {every} s, for {seconds} s"),
        format!("{share:.1} % of a core"),
        "goal: below 5 %",
    );
    let memory = format!("{:.0} MiB, peak {:.0}", mib(watched.rss()), mib(watched.peak()));
    told("  resident", memory, "goal: below 128 MiB");
    let samples = of("secchi_samples_total", &["probe=\"dns\""]);
    let planned = count as f64 * passed / every as f64;
    told("  samples", format!("{samples} ({:.1} % of the plan)", 100.0 * samples / planned), "");
    told("    unknown", of("secchi_samples_total", &["verdict=\"unknown\""]), "none");
    let asked = of("secchi_connections_total", &["probe=\"dns\""]);
    told(
        "  questions",
        format!("{:.0} a second, {:.0} a sample", asked / passed, asked / samples),
        "",
    );
    told("  slots skipped", of("secchi_scheduler_skipped_total", &[]), "none");
    told("  findings open", metric(&after, "secchi_findings_active", &[]) + 0.0, "");
}

/// Budgets are lifted: one machine stands for a thousand zones' servers.
fn config(folder: &Path, zones: &[String], dns: u16, every: usize) {
    let mut text = format!(
        "scope: {{names: ['*.test'], networks: [127.0.0.0/8]}}\n\
         plans: {{round: {{every: {every}s}}}}\n\
         budgets: {{per_address: 10000/s, per_network: 10000/s, total: 10000/s}}\n\
         defaults: {{plan: round, probes: [dns], dns_port: {dns}, root_hints: hints, trust_anchor: anchor}}\n\
         targets:\n"
    );
    for zone in zones {
        let _ = writeln!(text, "  - {{target: {zone}, expect: {zone}.pins.yaml}}");
    }
    std::fs::write(folder.join("secchi.yaml"), text).expect("a config");
}

fn assert_sound(report: &serde_json::Value) {
    let measured = &report["samples"][0]["measurements"];
    let states = measured["dnssec"].as_object().expect("servers");
    assert_eq!(states.len(), 4);
    assert!(states.values().all(|state| state["state"] == "secure"), "{states:?}");
    assert_eq!(measured["drift"], serde_json::json!([]));
}

fn check(folder: &Path, port: u16, zone: &str) -> serde_json::Value {
    let at = |file: &str| folder.join(file).display().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_secchi"))
        .args(["check", zone, "--probe", "dns", "--format", "json", "--fail-on", "critical"])
        .args(["--root-hints", &at("hints"), "--trust-anchor", &at("anchor")])
        .args(["--expect", &at(&format!("{zone}.pins.yaml")), "--dns-port", &port.to_string()])
        .args(["--allow-network", "127.0.0.0/8", "--rate", "10000"])
        .output()
        .expect("the binary");
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// Root, `test` and the zones below it, each signed, with their pins.
fn zones(folder: &Path, zones: &[String], names: usize) {
    let mut tld = String::from("$TTL 60\n@ SOA ns hm 1 60 60 600 60\n@ NS ns\nns A 127.0.0.5\n");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for part in zones.chunks(zones.len().div_ceil(cores)) {
            scope.spawn(move || part.iter().for_each(|zone| below(folder, zone, names)));
        }
    });
    for zone in zones {
        for server in 1..=4 {
            let _ = write!(
                tld,
                "{zone}. NS ns{server}.{zone}.\nns{server}.{zone}. A 127.0.0.{server}\n"
            );
        }
        tld += &std::fs::read_to_string(folder.join(format!("dsset-{zone}."))).expect("a DS set");
    }
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

fn below(folder: &Path, zone: &str, names: usize) {
    let mut text = String::from(
        "$TTL 300\n@ SOA ns1 hm 7 7200 3600 1209600 300\n@ A 192.0.2.1\n@ MX 10 mail\nmail A 192.0.2.25\n\
         @ TXT \"v=spf1 mx -all\"\n_dmarc TXT \"v=DMARC1; p=reject\"\n@ CAA 0 issue \"ca.test\"\n",
    );
    let mut pins = String::from(if names == 0 { "pins: {}\n" } else { "pins:\n" });
    for server in 1..=4 {
        let _ = write!(text, "@ NS ns{server}\nns{server} A 127.0.0.{server}\n");
    }
    for name in 0..names {
        let _ = writeln!(text, "h{name} A 198.51.100.{}", name % 250);
        let _ = writeln!(pins, "  h{name}.{zone}: {{A: {{exact: 198.51.100.{}}}}}", name % 250);
    }
    std::fs::write(folder.join(format!("{zone}.pins.yaml")), pins).expect("pins");
    sign(folder, zone, &text);
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

/// A server that ends with the bench.
struct Knot(Child);

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn knot(folder: &Path, port: u16, zones: &[String]) -> Knot {
    let path = folder.display();
    let listen: Vec<String> = (1..=6).map(|last| format!("127.0.0.{last}@{port}")).collect();
    let mut lines = String::new();
    for zone in zones {
        let _ = write!(lines, "  - domain: {zone}\n    file: {zone}.signed\n");
    }
    let config = format!(
        "server:\n  rundir: {path}\n  listen: [{}]\n  identity: \"\"\n  version: \"\"\n\
         database:\n  storage: {path}/db\nlog:\n  - target: {path}/log\n    any: warning\n\
         template:\n  - id: default\n    storage: {path}\n    zonefile-sync: -1\n\
         zone:\n  - domain: .\n    file: root.signed\n  - domain: test\n    file: test.signed\n\
         {lines}",
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

/// What says less has not looked at the zone.
const LEAST_SAID: usize = 500;

const IN_NAMESPACE: &str = "in-namespace";

/// The one zone of a pass.
const ZONE: &str = "bench.test";
