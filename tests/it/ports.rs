//! The ports probe against real servers and a real network: drops, rejects, lost packets, limiters,
//! proxies and lies.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::api::{ask, said, tokens};
use crate::support::net::{Net, THERE, THERE6};
use crate::support::peers::{Nginx, find, is_skipped, wait_port};
use crate::support::pki::Pki;
use crate::support::{Daemon, Process, check_json, eventually, free_port, get_json, run};

fn facts(report: &Value) -> &Value {
    &report["samples"][0]["measurements"]
}

fn address<'a>(report: &'a Value, wanted: &str) -> &'a Value {
    let addresses = facts(report)["addresses"].as_array().unwrap_or_else(|| panic!("{report:#}"));
    addresses.iter().find(|item| item["address"] == wanted).expect("the address")
}

/// Service and exposure of an open port.
fn voice(address: &Value, port: u16) -> (&str, &str) {
    let open = address["open"].as_array().expect("a list");
    let item = open.iter().find(|item| item["port"] == port);
    let item = item.unwrap_or_else(|| panic!("{port} is not open: {address:#}"));
    (item["service"].as_str().expect("a word"), item["exposure"].as_str().expect("a word"))
}

fn list(address: &Value, name: &str) -> Vec<String> {
    let items = address[name].as_array().expect("a list").iter();
    items.map(|item| item.as_str().expect("ports").to_owned()).collect()
}

fn redis(net: &Net, port: u16, folder: &Path) -> Process {
    let port_text = port.to_string();
    let args = ["--port", &port_text, "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""];
    let process = net.serve(&format!("redis-{port}"), &find("redis-server"), &args, folder);
    net.wait_port(port);
    process
}

#[test]
fn every_way_to_say_no_is_told_from_every_other() {
    let Some(net) = Net::start("ways to say no") else { return };
    let folder = TempDir::new().expect("a folder");
    let _servers = [redis(&net, 6379, folder.path()), redis(&net, 6380, folder.path())];
    assert!(net.nft(
        "table inet t {
          set seen { type ipv4_addr . inet_service; flags dynamic; timeout 1m; }
          chain in { type filter hook input priority 0;
            tcp dport 1000-1003 drop
            tcp dport 1100-1101 reject with icmpx admin-prohibited
            tcp dport 1110-1111 reject with icmpx host-unreachable
            tcp dport 1200-1201 reject with icmpx port-unreachable
            tcp dport 1300-1309 reject with tcp reset
            tcp dport 6380 tcp flags syn / syn,ack ip saddr . tcp sport != @seen add @seen { ip saddr . tcp sport } drop
          }
        }\n"
    ));
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, format!("{THERE} lab.test\n{THERE6} lab.test\n")).expect("a file");
    let ports = "--ports=1000-1003,1100-1101,1110-1111,1200-1201,1300-1309,1400-1409,6379,6380";
    let (status, report) =
        net.check(&["lab.test", "--hosts-file", hosts.to_str().expect("a path"), ports]);
    assert_eq!(status, 1, "{report:#}");
    let filtered = ["1000-1003/tcp", "1100-1101/tcp", "1110-1111/tcp"];
    let v4 = address(&report, THERE);
    assert_eq!(v4["host"], "up");
    assert_eq!(list(v4, "closed"), ["1200-1201/tcp", "1300-1309/tcp", "1400-1409/tcp"]);
    assert_eq!(list(v4, "filtered"), filtered);
    for empty in ["not_measured", "forged", "unstable"] {
        assert_eq!(v4[empty], json!([]), "{empty}");
    }
    // The first SYN of every connect to 6380 is lost.
    for port in [6379, 6380] {
        assert_eq!(voice(v4, port), ("redis", "unauthenticated"), "{port}");
    }
    let v6 = address(&report, THERE6);
    assert_eq!(v6["open"], json!([]));
    assert_eq!(list(v6, "filtered"), filtered);
    let asymmetry = facts(&report)["asymmetry"].as_array().expect("a list");
    let ports: Vec<&Value> = asymmetry.iter().map(|item| &item["port"]).collect();
    assert_eq!(ports, ["6379/tcp", "6380/tcp"]);
}

#[test]
fn a_thousand_dropped_ports_take_one_timeout() {
    let Some(net) = Net::start("default drop") else { return };
    let folder = TempDir::new().expect("a folder");
    let _redis = redis(&net, 6379, folder.path());
    assert!(net.nft(
        "table inet t { chain in { type filter hook input priority 0; policy drop;
         tcp dport 6379 accept; ct state established accept; meta l4proto icmp accept; }
        }\n"
    ));
    let begun = Instant::now();
    let (_, report) = net.check(&[THERE, "--ports=1-999,6379"]);
    let took = begun.elapsed();
    assert_eq!(list(address(&report, THERE), "filtered"), ["1-999/tcp"]);
    assert_eq!(address(&report, THERE)["open"][0]["port"], 6379);
    let sample = report["samples"][0]["duration_seconds"].as_f64().expect("seconds");
    assert!(sample < 3.5 * 1.1, "{sample} s");
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_limiter_of_syns_makes_no_closed_port_a_filtered_one() {
    let Some(net) = Net::start("SYN limiter") else { return };
    assert!(net.nft(
        "table inet l { chain in { type filter hook input priority 0;
         tcp flags syn / syn,ack limit rate over 200/second burst 200 packets drop; }
        }\n"
    ));
    let (_, report) = net.check(&[THERE, "--ports=1-1500"]);
    assert_eq!(list(address(&report, THERE), "closed"), ["1-1500/tcp"], "{report:#}");
}

#[test]
fn behind_a_syn_proxy_only_what_is_there_is_open() {
    let Some(net) = Net::start("SYN proxy") else { return };
    let folder = TempDir::new().expect("a folder");
    let _redis = redis(&net, 6379, folder.path());
    let is_there = net.nft(
        "table ip x {
          chain pre { type filter hook prerouting priority raw; tcp flags syn notrack; }
          chain in { type filter hook input priority 0;
            ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm
            ct state invalid drop
          }
        }\n",
    );
    if !is_there {
        eprintln!("skipped: SYN proxy: this kernel has none");
        return;
    }
    assert!(net.set("net.netfilter.nf_conntrack_tcp_loose=0"));
    let (_, report) = net.check(&[THERE, "--ports=6000-6100,6379"]);
    let there = address(&report, THERE);
    assert_eq!(there["host"], "answers_everywhere", "{report:#}");
    assert_eq!(list(there, "forged"), ["6000-6100/tcp"], "{report:#}");
    assert_eq!(voice(there, 6379).0, "redis");
}

#[test]
fn where_every_port_leads_to_one_service_no_port_is_believed() {
    let Some(net) = Net::start("DNAT of all ports") else { return };
    let folder = TempDir::new().expect("a folder");
    let _redis = redis(&net, 6379, folder.path());
    assert!(net.nft(
        "table ip y { chain pre { type nat hook prerouting priority -100; tcp dport 1-65535 redirect to :6379; }
        }\n"
    ));
    let (_, report) = net.check(&[THERE, "--ports=1-40"]);
    let there = address(&report, THERE);
    assert_eq!(there["host"], "answers_everywhere", "{report:#}");
    assert_eq!(list(there, "forged"), ["1-40/tcp"]);
    assert_eq!(there["open"], json!([]));
}

#[test]
fn a_host_that_is_down_is_one_event_and_no_route_is_none_of_its() {
    let Some(net) = Net::start("host down") else { return };
    let (status, report) = net.check(&["10.77.0.99", "--ports=1-100"]);
    assert_eq!(status, 3);
    assert_eq!(report["samples"][0]["unknown_reason"], "host_down", "{report:#}");
    let (status, report) = net.check(&["10.99.0.1", "--ports=1-100"]);
    assert_eq!(status, 3);
    let reason = report["samples"][0]["unknown_reason"].as_str().expect("a reason");
    assert!(reason.starts_with("local_error"), "{reason}");
}

#[test]
fn real_servers_on_ports_of_no_fame_are_known_by_their_answers() {
    if is_skipped("redis-server") || is_skipped("memcached") {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let (open, locked, cache) = (free_port(), free_port(), free_port());
    let redis = |port: u16, more: &[&str]| {
        let mut command = Command::new(find("redis-server"));
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(more).current_dir(folder.path());
        let process = Process::start(&format!("redis-{port}"), &mut command, folder.path());
        wait_port(port);
        process
    };
    let _redis = (redis(open, &["--protected-mode", "no"]), redis(locked, &["--requirepass", "x"]));
    let mut command = Command::new(find("memcached"));
    command.args(["-l", "127.0.0.1", "-U", "0", "-u", "nobody", "-p", &cache.to_string()]);
    let _memcached = Process::start("memcached", &mut command, folder.path());
    wait_port(cache);
    let ports = format!("--ports={open},{locked},{cache}");
    let (status, report) = check_json(&["127.0.0.1", "--probe=ports", &ports]);
    assert_eq!(status, 1, "{report:#}");
    let there = address(&report, "127.0.0.1");
    assert_eq!(voice(there, open), ("redis", "unauthenticated"));
    assert_eq!(voice(there, locked), ("redis", "auth"));
    assert_eq!(voice(there, cache), ("memcached", "unauthenticated"));
    let log = std::fs::read_to_string(folder.path().join(format!("redis-{open}.log")));
    assert!(!log.expect("a log").contains("ATTACK"), "Redis took us for an attacker");
}

#[test]
fn a_real_sshd_is_known_by_its_greeting() {
    if is_skipped("openssh-server") {
        return;
    }
    let (folder, port) = (TempDir::new().expect("a folder"), free_port());
    let key = folder.path().join("key");
    let mut keygen = Command::new("ssh-keygen");
    let made = keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.is_ok_and(|status| status.success()), "no key; tests/run installs sshd");
    // Started by root it wants this folder, which its unit makes elsewhere.
    let _ = std::fs::create_dir("/run/sshd");
    let mut command = Command::new(find("sshd"));
    command.args([
        "-D",
        "-e",
        "-f",
        "/dev/null",
        "-o",
        "PidFile=none",
        "-o",
        "ListenAddress=127.0.0.1",
    ]);
    command.args(["-p", &port.to_string(), "-h"]).arg(&key);
    let _sshd = Process::start("sshd", &mut command, folder.path());
    wait_port(port);
    let (_, report) = check_json(&["127.0.0.1", "--probe=ports", &format!("--ports={port}")]);
    let there = address(&report, "127.0.0.1");
    assert_eq!(voice(there, port), ("ssh", "none"));
    let evidence = there["open"][0]["evidence"].as_str().expect("text");
    assert!(evidence.contains("SSH-2.0-OpenSSH"), "{evidence}");
}

/// PostgreSQL with a fresh cluster. It refuses to be root, so root gives it the package's user.
fn postgres(folder: &Path, name: &str, trust: &str) -> (Process, u16) {
    let (port, data) = (free_port(), folder.join(name));
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let home = versions.map(|version| version.path().join("bin")).max();
    let home = home.expect("PostgreSQL; tests/run installs it");
    let as_user = |program: &str| {
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        if !is_root {
            return Command::new(home.join(program));
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        command.arg(home.join(program));
        command
    };
    std::fs::create_dir(&data).expect("a folder");
    for path in [folder, &data] {
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).expect("permissions");
    }
    let password = folder.join("password");
    std::fs::write(&password, "long and of the lab\n").expect("a file");
    // Without the right to give a folder away, it is our own already.
    let _ = Command::new("chown").arg("postgres:").arg(&data).stderr(Stdio::null()).status();
    let mut made = as_user("initdb");
    made.args(["-N", "-A", trust, "-U", "postgres", "--pwfile"]).arg(password);
    let made = made.arg("-D").arg(&data).output();
    let made = made.expect("initdb runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut command = as_user("postgres");
    command.args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k", "", "-D"]).arg(&data);
    let process = Process::start(name, &mut command, folder);
    wait_port(port);
    (process, port)
}

#[test]
fn a_real_postgresql_gives_access_or_asks_for_a_password() {
    if is_skipped("postgresql") {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let (_one, trusting) = postgres(folder.path(), "trusting", "trust");
    let (_other, locked) = postgres(folder.path(), "locked", "scram-sha-256");
    let ports = format!("--ports={trusting},{locked}");
    let (_, report) = check_json(&["127.0.0.1", "--probe=ports", &ports]);
    let there = address(&report, "127.0.0.1");
    assert_eq!(voice(there, trusting), ("postgresql", "unauthenticated"));
    assert_eq!(voice(there, locked), ("postgresql", "auth"));
}

#[test]
fn a_tarpit_and_an_endless_banner_take_bounded_time_and_memory() {
    let Some(net) = Net::start("tarpit") else { return };
    let folder = TempDir::new().expect("a folder");
    let serve = |port: u16, says: &str| {
        let script = format!(
            "$SIG{{PIPE}} = 'IGNORE'; my $all = IO::Socket::INET->new(LocalPort => {port}, \
             Listen => 9, ReuseAddr => 1) or die; while (my $one = $all->accept) {{ {says} }}"
        );
        let args = ["-MIO::Socket::INET", "-e", &script];
        let process = net.serve(&format!("perl-{port}"), &find("perl"), &args, folder.path());
        net.wait_port(port);
        process
    };
    let _servers = [
        serve(
            2222,
            "while (syswrite($one, chr(97 + int(rand(26))))) { select(undef, undef, undef, 0.3) }",
        ),
        serve(2323, "while (syswrite($one, 'endless ' x 4096)) {}"),
    ];
    let (_, report) = net.check(&[THERE, "--ports=2222,2323,2400"]);
    let there = address(&report, THERE);
    for (at, port) in [2222, 2323].into_iter().enumerate() {
        assert_eq!(voice(there, port), ("unknown", "none"));
        let evidence = there["open"][at]["evidence"].as_str().expect("text");
        assert!((1..=512).contains(&evidence.len()), "{evidence}");
    }
    assert_eq!(list(there, "closed"), ["2400/tcp"]);
    let took = report["samples"][0]["duration_seconds"].as_f64().expect("seconds");
    assert!(took < 17.0, "{took} s");
    let received = facts(&report)["cost"]["received_bytes"].as_u64().expect("bytes");
    assert!(received < 64 * 1_024, "{received} bytes");
}

#[test]
fn what_speaks_inside_tls_is_known_inside_tls() {
    if is_skipped("nginx-light") {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let pki = Pki::new(folder.path());
    let (certificate, key) = pki.leaf("site.test", 2124);
    let (search, engine) = (free_port(), free_port());
    let lines = format!(
        "}} server {{ listen 127.0.0.1:{search}; \
         location / {{ return 200 '{{\"tagline\" : \"You Know, for Search\"}}'; }} }}\n\
         server {{ listen 127.0.0.1:{engine}; location /version {{ return 200 '{{\"ApiVersion\":\"1\"}}'; }}\n\
         location / {{ return 404 '404 page not found'; }} }} server {{ listen 127.0.0.1:{};",
        free_port()
    );
    let nginx = Nginx::start(folder.path(), &certificate, &key, &lines);
    let ports = format!("--ports={},{},{search},{engine}", nginx.https, nginx.http);
    let (_, report) = check_json(&["127.0.0.1", "--probe=ports", &ports]);
    let there = address(&report, "127.0.0.1");
    assert_eq!(voice(there, nginx.https), ("tls/http", "none"));
    assert_eq!(voice(there, nginx.http), ("http", "none"));
    assert_eq!(voice(there, search), ("elasticsearch", "unauthenticated"));
    assert_eq!(voice(there, engine), ("docker", "unauthenticated"));
}

#[test]
fn few_files_make_a_scan_slow_and_never_wrong() {
    let secchi = env!("CARGO_BIN_EXE_secchi");
    let scan = format!(
        "ulimit -n 40; exec {secchi} check 127.0.0.1 --allow-network 127.0.0.0/8 --probe ports \
         --ports 1-9 --format json"
    );
    let output = Command::new("sh").args(["-c", &scan]).output().expect("sh runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(address(&report, "127.0.0.1")["not_measured"], json!([]), "{report:#}");
}

#[test]
fn a_whole_host_is_scanned_in_a_moment_and_every_port_stands_in_one_list() {
    let begun = Instant::now();
    let output = run(&[
        "check",
        "127.0.0.99",
        "--allow-network=127.0.0.0/8",
        "--probe=ports",
        "--ports=1-65535",
        "--rate=1000000",
        "--format=json",
    ]);
    let took = begun.elapsed();
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let there = address(&report, "127.0.0.99");
    assert_eq!(there["host"], "up");
    for empty in ["filtered", "not_measured", "forged", "open_or_filtered"] {
        assert_eq!(there[empty], json!([]), "{empty}");
    }
    // Unoptimised, and beside other tests.
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[test]
fn a_check_begins_a_thousand_connections_a_second_unless_told_otherwise() {
    let took = |more: &[&str]| {
        let args = [&["127.0.0.97", "--probe=ports", "--ports=1-4000"], more].concat();
        let (_, report) = check_json(&args);
        report["samples"][0]["duration_seconds"].as_f64().expect("seconds")
    };
    // A bucket holds a second's worth to begin with.
    let paced = took(&[]);
    assert!((2.5..20.0).contains(&paced), "{paced} s");
    let lifted = took(&["--rate=1000000"]);
    assert!(lifted < 2.0, "{lifted} s");
}

#[test]
fn a_port_is_unexpected_only_against_what_a_person_accepted() {
    let folder = TempDir::new().expect("a folder");
    let (known, other) = (free_port(), free_port());
    greet(known);
    let config = format!(
        "scope: {{networks: [\"127.0.0.0/8\"]}}\nplans: {{fast: {{every: 1s}}}}\n\
         targets:\n  - {{target: 127.0.0.1, probes: [ports], plan: fast, ports: \"{known},{other}\"}}\n{}",
        tokens(folder.path())
    );
    let mut daemon = Daemon::start(folder.path(), &config);
    let baseline = |daemon: &Daemon, args: &[&str]| {
        let target = ["--target", "127.0.0.1"];
        let output = ask(daemon, "ciso.token", &[&["baseline"], args, &target].concat());
        (output.status.code(), said(&output))
    };
    let open = format!("pending 127.0.0.1: {known}/tcp");
    eventually("a sample", Duration::from_secs(30), || {
        baseline(&daemon, &["show"]).1.contains(&open).then_some(())
    });
    let unexpected = |daemon: &Daemon| {
        let findings = daemon.findings("").into_iter();
        findings.filter(|finding| finding["rule"] == "ports-unexpected").count()
    };
    assert_eq!(unexpected(&daemon), 0);
    let (status, words) = baseline(&daemon, &["accept", "--probe=ports", "--reason=our own"]);
    assert_eq!(status, Some(0), "{words}");
    assert!(words.contains(&format!("accepted 127.0.0.1: {known}/tcp")), "{words}");
    daemon.restart();

    greet(other);
    let finding = daemon.wait_finding("ports-unexpected", "confirmed", Duration::from_secs(30));
    assert_eq!(finding["subject"], format!("{other}/tcp"), "{finding:#}");
    let (_, words) = baseline(&daemon, &["show"]);
    assert!(words.contains(&format!("unexpected 127.0.0.1 {other}/tcp")), "{words}");
    let (status, words) = baseline(&daemon, &["accept", "--probe=ports"]);
    assert_eq!(status, Some(0), "{words}");
    daemon.wait_finding("ports-unexpected", "resolved", Duration::from_secs(60));
    let odd = ["accept", "--probe=ports", "--name=www", "--value=22"];
    let (status, words) = baseline(&daemon, &odd);
    assert!(status == Some(2) && words.contains("`www` is no address"), "{words}");
}

/// An address that no other test listens on, so that a drip disturbs none.
const QUIET: &str = "127.0.0.95";

/// A server that greets until it is stopped.
struct Service {
    port: u16,
    is_over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Service {
    fn start(port: u16) -> Self {
        let listener = TcpListener::bind((QUIET, port)).expect("a port");
        let is_over = Arc::<AtomicBool>::default();
        let told = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                if told.load(Ordering::SeqCst) {
                    return;
                }
                let _ = stream.write_all(b"SSH-2.0-Lab\r\n");
            }
        });
        Self { port, is_over, thread: Some(thread) }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        #[expect(clippy::disallowed_methods, reason = "a test's client, not a probe")]
        drop(std::net::TcpStream::connect((QUIET, self.port)));
        self.thread.take().map(thread::JoinHandle::join);
    }
}

#[test]
fn a_port_that_a_person_accepted_and_that_closes_is_missed_until_it_is_back_or_given_up() {
    let folder = TempDir::new().expect("a folder");
    let (other, port) = (Service::start(free_port()), free_port());
    let stays = other.port;
    // Twice the same host: where a plan names the ports, and where it drips.
    for ports in [format!(", ports: \"{port},{stays}\""), String::new()] {
        let service = Service::start(port);
        let folder = folder.path().join(if ports.is_empty() { "drip" } else { "named" });
        std::fs::create_dir(&folder).expect("a folder");
        let config = format!(
            "scope: {{networks: [\"127.0.0.0/8\"]}}\nplans: {{fast: {{every: 1s}}}}\n\
             defaults: {{repeat: {{samples: 3, agree: 2, within: 2s}}}}\n\
             budgets: {{per_address: {{ports: 5000/s}}, per_network: 5000/s, total: 5000/s}}\n\
             targets:\n  - {{target: {QUIET}, probes: [ports], plan: fast{ports}}}\n{}",
            tokens(&folder)
        );
        let daemon = Daemon::start(&folder, &config);
        let baseline = |args: &[&str]| {
            let target = ["--target", QUIET];
            let output = ask(&daemon, "ciso.token", &[&["baseline"], args, &target].concat());
            (output.status.code(), said(&output))
        };
        let (known, kept) = (format!("{port}/tcp"), format!("{stays}/tcp"));
        let value = |port: &str| format!("--value={port}");
        let named = ["accept", "--probe=ports", "--name=127.0.0.95", &value(&known), &value(&kept)];
        eventually("a sample", Duration::from_secs(30), || {
            baseline(&["show"]).1.contains(QUIET).then_some(())
        });
        assert_eq!(baseline(&named).0, Some(0));
        // It is asked from then on, wherever the drip is.
        eventually("both open", Duration::from_secs(30), || {
            let query = "/api/v1/samples?target=127.0.0.95&probe=ports&limit=1";
            let page = get_json(daemon.port, query).expect("samples");
            let facts = page["samples"][0]["measurements"]["addresses"][0]["open"].to_string();
            (facts.contains(&port.to_string()) && facts.contains(&stays.to_string())).then_some(())
        });
        let missing = || {
            let findings = daemon.findings("").into_iter();
            findings.filter(|finding| finding["rule"] == "ports-missing").count()
        };
        assert_eq!(missing(), 0);

        drop(service);
        let found = daemon.wait_finding("ports-missing", "confirmed", Duration::from_secs(30));
        assert_eq!(found["subject"], known.as_str(), "{found:#}");
        let (_, words) = baseline(&["show"]);
        assert!(words.contains(&format!("missing {QUIET} {known}")), "{words}");
        let back = Service::start(port);
        let over = daemon.wait_finding("ports-missing", "resolved", Duration::from_secs(60));
        assert_eq!(over["id"], found["id"]);

        drop(back);
        daemon.wait_finding("ports-missing", "confirmed", Duration::from_secs(30));
        let (status, words) = baseline(&["accept", "--probe=ports"]);
        assert!(status == Some(0) && !words.contains(&known), "{words}");
        eventually("no open finding", Duration::from_secs(60), || {
            let open = daemon.findings("?state=confirmed").into_iter();
            (!open.into_iter().any(|finding| finding["rule"] == "ports-missing")).then_some(())
        });
    }
}

/// One connection as the server saw it.
#[derive(Clone, Debug)]
struct Visit {
    begun: Instant,
    said: usize,
    lasted: Duration,
}

/// A server that says who it is and hears its client out.
fn greet(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"SSH-2.0-Lab\r\n");
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
}

/// A server that never says a word, and its own log.
fn mute() -> (u16, Arc<Mutex<Vec<Visit>>>) {
    mute_at("127.0.0.1")
}

fn mute_at(host: &str) -> (u16, Arc<Mutex<Vec<Visit>>>) {
    let port = free_port();
    let listener = TcpListener::bind((host, port)).expect("a port");
    let log: Arc<Mutex<Vec<Visit>>> = Arc::default();
    let kept = Arc::clone(&log);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (begun, log) = (Instant::now(), Arc::clone(&kept));
            thread::spawn(move || {
                let mut said = Vec::new();
                let _ = stream.expect("a connection").read_to_end(&mut said);
                let visit = Visit { begun, said: said.len(), lasted: begun.elapsed() };
                log.lock().expect("a lock").push(visit);
            });
        }
    });
    (port, log)
}

#[test]
fn a_silent_server_is_asked_thrice_at_most_in_few_words_and_left_alone() {
    let (port, log) = mute();
    let (_, report) = check_json(&["127.0.0.1", "--probe=ports", &format!("--ports={port}")]);
    assert_eq!(voice(address(&report, "127.0.0.1"), port), ("unknown", "none"));
    thread::sleep(Duration::from_millis(200));
    let visits = log.lock().expect("a lock").clone();
    assert!((1..=3).contains(&visits.len()), "{visits:#?}");
    assert!(visits.iter().map(|visit| visit.said).sum::<usize>() <= 4_096, "{visits:#?}");
    let held: Duration = visits.iter().map(|visit| visit.lasted).sum();
    assert!(held < Duration::from_secs(8), "{held:?}");
}

/// The most that were begun within any such span.
fn most_within(begun: &[Instant], span: Duration) -> usize {
    let from =
        |from: &Instant| begun.iter().filter(|at| *at >= from && **at < *from + span).count();
    begun.iter().map(from).max().unwrap_or_default()
}

#[test]
fn the_daemon_keeps_to_its_budgets_by_the_servers_own_logs() {
    // Of an address; of a network, whose addresses have three times as much each; and of all.
    for (budgets, hosts) in [
        ("per_address: {ports: 3/s}", &["127.0.0.1"][..]),
        (
            "per_address: {ports: 9/s}, per_network: 3/s",
            &["127.0.0.91", "127.0.0.92", "127.0.0.93"],
        ),
        ("per_address: {ports: 9/s}, per_network: 9/s, total: 3/s", &["127.0.0.94", "127.0.2.94"]),
    ] {
        let folder = TempDir::new().expect("a folder");
        let servers: Vec<_> =
            hosts.iter().flat_map(|host| (0..4).map(move |_| (host, mute_at(host)))).collect();
        let targets = hosts.iter().map(|host| {
            let own = servers.iter().filter(|(of, _)| *of == host);
            let ports: Vec<String> = own.map(|(_, (port, _))| port.to_string()).collect();
            let ports = ports.join(",");
            format!("  - {{target: {host}, probes: [ports], plan: fast, ports: \"{ports}\"}}\n")
        });
        let config = format!(
            "scope: {{networks: [\"127.0.0.0/8\"]}}\nplans: {{fast: {{every: 1s}}}}\n\
             budgets: {{{budgets}}}\ntargets:\n{}",
            targets.collect::<String>()
        );
        let _daemon = Daemon::start(folder.path(), &config);
        thread::sleep(Duration::from_secs(12));
        let mut begun: Vec<Instant> = Vec::new();
        for (_, (_, log)) in &servers {
            let log = log.lock().expect("a lock");
            // A hello with a share of X25519MLKEM768 is the longest that is said.
            assert!(log.iter().all(|visit| visit.said <= 2_048), "{log:#?}");
            begun.extend(log.iter().map(|visit| visit.begun));
        }
        begun.sort();
        assert!(begun.len() >= 12, "{budgets}: {} connections", begun.len());
        // A bucket holds a second's worth to begin with; what is accepted late was not begun late.
        let (second, five) = (Duration::from_millis(900), Duration::from_millis(4_900));
        assert!(most_within(&begun, second) <= 6, "{budgets}: {begun:#?}");
        assert!(most_within(&begun, five) <= 18, "{budgets}: {begun:#?}");
    }
}

#[test]
fn a_planned_target_drips_and_goes_on_after_a_restart() {
    let folder = TempDir::new().expect("a folder");
    let config = "scope: {networks: [\"127.0.0.0/8\"]}\nplans: {fast: {every: 2s}}\n\
         budgets: {per_address: {ports: 1000/s}, per_network: 1000/s, total: 1000/s}\n\
         targets:\n  - {target: 127.0.0.96, probes: [ports], plan: fast}\n";
    let mut daemon = Daemon::start(folder.path(), config);
    let known = |daemon: &Daemon| {
        let query = "/api/v1/samples?target=127.0.0.96&probe=ports&limit=1";
        let page = get_json(daemon.port, query).expect("samples");
        let facts = page["samples"].as_array()?.first()?["measurements"].clone();
        let tier = |name: &str| {
            let coverage = facts["coverage"].as_array()?;
            coverage.iter().find(|item| item["tier"] == name).cloned()
        };
        let dangerous = tier("dangerous")?;
        (!dangerous["oldest_look"].is_null()).then_some((dangerous, facts))
    };
    let (_, facts) = eventually("a sample", Duration::from_secs(30), || known(&daemon));
    let closed = |facts: &Value| facts["addresses"][0]["closed"].to_string().len();
    let before = closed(&facts);
    assert!(facts["unknown"]["addresses[127.0.0.96].open"].is_string(), "{facts:#}");
    daemon.process.signal("TERM");
    daemon.process.wait(Duration::from_secs(25));
    daemon.restart();
    // What was known of other ports than those of one look is known still.
    let (_, facts) = eventually("a sample", Duration::from_secs(30), || known(&daemon));
    assert!(closed(&facts) >= before / 2, "{facts:#}");
    assert_eq!(facts["late_looks"], json!([]));
}
