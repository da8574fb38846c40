//! The flow of change: what a deployment broke is seen at once, and how far and how often it shows.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::Site;
use crate::faults::metric;
use crate::support::peers::{is_skipped, nginx, wait_port};
use crate::support::pki::Pki;
use crate::support::{Daemon, Process, eventually, free_port, secchi};

const RULE: &str = "http-content-type-options";

/// Sites of one service on a plan so slow that only a mark makes a sample.
fn config(sites: &[&Site], every: &str, folder: &Path) -> String {
    std::fs::write(folder.join("ci.token"), "secret-that-only-deploys\n").expect("a token");
    let target = |site: &&Site| {
        format!("  - {{target: \"http://127.0.0.1:{}\", labels: {{service: shop}}}}\n", site.port)
    };
    format!(
        "scope: {{networks: [\"127.0.0.0/8\"]}}\nplans: {{own: {{every: {every}}}}}\n\
         defaults: {{plan: own, probes: [http], timeout: 2s, repeat: {{samples: 2, agree: 1, within: 1s}}}}\n\
         budgets: {{per_address: 100/s, per_network: 1000/s, total: 1000/s}}\n\
         web: {{tokens: [{{name: ci, token_file: ci.token, may: [deploy]}}]}}\ntargets:\n{}",
        sites.iter().map(target).collect::<String>()
    )
}

fn mark(daemon: &Daemon, version: &str) -> String {
    let url = format!("http://127.0.0.1:{}", daemon.port);
    let output = secchi()
        .args(["deploy", "mark", "--service", "shop", "--version", version, "--url", &url])
        .env("SECCHI_TOKEN_FILE", daemon.folder.join("ci.token"))
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_deployment_is_sampled_at_once_and_the_finding_names_it() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let daemon = Daemon::start(folder.path(), &config(&[&site], "300d", folder.path()));
    site.broken.store(true, Ordering::SeqCst);
    let said = mark(&daemon, "v42");
    assert!(said.contains("1 sampling points"), "{said}");
    let finding = daemon.wait_finding(RULE, "confirmed", Duration::from_secs(10));
    let last = &finding["last_deployment"];
    assert_eq!((&last["version"], &last["actor"]), (&"v42".into(), &"ci".into()), "{finding}");
    assert!(last["seconds_before"].as_i64().is_some_and(|s| (0..10).contains(&s)), "{finding}");
    let lead = "secchi_deployment_detection_lead_seconds_count{probe=\"http\"}";
    eventually("the lead time", Duration::from_secs(5), || {
        (metric(&daemon, lead) >= 1.0).then_some(())
    });
    // A later deployment is not the one before its first sight.
    mark(&daemon, "v43");
    let again = daemon.wait_finding(RULE, "confirmed", Duration::from_secs(5));
    assert_eq!(again["last_deployment"]["version"], "v42", "{again}");
}

#[test]
fn one_first_sight_finds_the_fault_at_every_target_of_the_service() {
    let folder = TempDir::new().expect("a folder");
    let sites: Vec<Site> = (0..4).map(|_| Site::start()).collect();
    let all: Vec<&Site> = sites.iter().collect();
    let daemon = Daemon::start(folder.path(), &config(&all, "20s", folder.path()));
    let missing_csp = |finding: &Value| finding["rule"] == "http-csp";
    eventually("a sample of each", Duration::from_secs(60), || {
        (daemon.findings("").iter().filter(|one| missing_csp(one)).count() == 4).then_some(())
    });
    // What a repeat of those first sights sees first has no repeats of its own.
    thread::sleep(Duration::from_secs(3));
    sites[..3].iter().for_each(|site| site.broken.store(true, Ordering::SeqCst));
    daemon.wait_finding(RULE, "confirmed", Duration::from_secs(60));
    let of_rule = || {
        let open = daemon.findings("?state=confirmed").into_iter();
        open.filter(|finding| finding["rule"] == RULE).collect::<Vec<Value>>()
    };
    // The plan alone would take up to 40 s for each.
    eventually("its siblings", Duration::from_secs(5), || (of_rule().len() == 3).then_some(()));
    // What is sampled is counted anew every ten seconds.
    let found = eventually("the count", Duration::from_secs(15), || {
        Some(of_rule()).filter(|found| found[0]["spread"]["targets"]["sampled"] == 4)
    });
    assert!(found.iter().all(|finding| finding["spread"]["scope"] == "service"), "{found:#?}");
    assert_eq!(found[0]["spread"]["targets"]["affected"], 3, "{found:#?}");
}

/// Eight nginx backends; the last one still offers TLS 1.0, with another certificate.
fn backends(folder: &Path, pki: &Pki) -> (Process, Vec<u16>) {
    let ports: Vec<u16> = (0..8).map(|_| free_port()).collect();
    let mut servers = String::new();
    for (nth, port) in ports.iter().enumerate() {
        let is_odd = nth == 7;
        let (certificate, key) = pki.leaf(if is_odd { "odd.test" } else { "site.test" }, 2124);
        let protocols = match is_odd {
            true => "ssl_protocols TLSv1 TLSv1.2 TLSv1.3; ssl_ciphers ALL:@SECLEVEL=0;",
            false => "ssl_protocols TLSv1.2 TLSv1.3;",
        };
        let _ = write!(
            servers,
            "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};\n\
             {protocols} location / {{ return 200 'ok'; }} }}\n",
            certificate.display(),
            key.display(),
        );
    }
    let process = nginx(folder, &servers);
    ports.iter().for_each(|port| wait_port(*port));
    (process, ports)
}

#[expect(clippy::disallowed_methods, reason = "a balancer dials its backends")]
/// One address in front of them, which gives every connection to one of them at random.
fn balancer(backends: Vec<u16>) -> u16 {
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a listener");
    thread::spawn(move || {
        let mut random = fastrand::Rng::with_seed(8);
        for client in listener.incoming().flatten() {
            let backend = backends[random.usize(..backends.len())];
            let Ok(server) = TcpStream::connect(("127.0.0.1", backend)) else { continue };
            let copy = |mut from: TcpStream, mut to: TcpStream| {
                let mut buffer = [0; 16_384];
                while let Ok(read @ 1..) = from.read(&mut buffer) {
                    if to.write_all(&buffer[..read]).is_err() {
                        break;
                    }
                }
                let _ = to.shutdown(Shutdown::Write);
            };
            let (to_server, to_client) = (server.try_clone(), client.try_clone());
            let (Ok(to_server), Ok(to_client)) = (to_server, to_client) else { continue };
            thread::spawn(move || copy(client, to_server));
            thread::spawn(move || copy(server, to_client));
        }
    });
    port
}

#[test]
fn one_backend_in_eight_with_an_old_protocol_is_found_within_the_promise_and_its_share_is_told() {
    if is_skipped("nginx-light") {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let pki = Pki::new(folder.path());
    let (_nginx, ports) = backends(folder.path(), &pki);
    let port = balancer(ports);
    let text = format!(
        "scope: {{networks: [\"127.0.0.0/8\"]}}\n\
         plans: {{sure: {{detect: {{within: 60s, prevalence: 12%, confidence: 99%}}}}}}\n\
         defaults: {{plan: sure, probes: [tls], timeout: 5s, ca_file: {}}}\n\
         budgets: {{per_address: 100/s, per_network: 1000/s, total: 1000/s}}\n\
         targets:\n  - target: https://127.0.0.1:{port}\n",
        pki.ca()
    );
    let daemon = Daemon::start(folder.path(), &text);
    let old = |least: u64| {
        daemon.findings("?state=confirmed").into_iter().find(|finding| {
            finding["rule"] == "tls-legacy-protocol"
                && finding["subject"] == "TLSv1.0"
                && finding["share"]["samples"].as_u64() >= Some(least)
        })
    };
    eventually("TLS 1.0", Duration::from_secs(62), || old(0));
    let finding = eventually("forty samples", Duration::from_secs(150), || old(40));
    let share = &finding["share"];
    let (lower, upper) = (share["lower"].as_f64(), share["upper"].as_f64());
    assert!(lower <= Some(0.125) && Some(0.125) <= upper, "{share}");
    assert!(upper < Some(0.5), "{share}");
    let evidence = finding["evidence"].as_str().expect("evidence");
    assert!(evidence.contains("sha256"), "{evidence}");
}
