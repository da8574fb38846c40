//! The API from outside, and the commands that talk to it.

use std::path::Path;
use std::process::Output;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::{Site, config, verify};
use crate::monitoring::Hook;
use crate::support::peers::{is_skipped, named};
use crate::support::{Daemon, Process, eventually, free_port, get_json, http, run, secchi};

const RULE: &str = "http-content-type-options";

/// Tokens of two people: one may mark deployments, the other may decide.
pub fn tokens(folder: &Path) -> String {
    std::fs::write(folder.join("ci.token"), "secret-that-only-deploys\n").expect("a token");
    std::fs::write(folder.join("ciso.token"), "secret-that-only-decides\n").expect("a token");
    "web: {tokens: [{name: ci, token_file: ci.token, may: [deploy]}, \
     {name: ciso, token_file: ciso.token, may: [exception, baseline]}]}\n"
        .to_owned()
}

/// Runs a command that talks to the daemon, with a token of the folder.
pub fn ask(daemon: &Daemon, token: &str, args: &[&str]) -> Output {
    let url = format!("http://127.0.0.1:{}", daemon.port);
    secchi()
        .args(args)
        .args(["--url", &url])
        .env("SECCHI_TOKEN_FILE", daemon.folder.join(token))
        .output()
        .expect("the binary runs")
}

pub fn said(output: &Output) -> String {
    let bytes = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(bytes).expect("text")
}

fn post(daemon: &Daemon, path: &str, token: Option<&str>, body: &Value) -> (u16, String) {
    let bearer = format!("Bearer {}", token.unwrap_or_default());
    let mut headers = vec![("Content-Type", "application/json")];
    if token.is_some() {
        headers.push(("Authorization", &bearer));
    }
    http("POST", daemon.port, path, &headers, &body.to_string()).expect("an answer")
}

#[test]
fn the_machines_own_name_names_secchi_and_a_foreign_one_does_not() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let daemon = Daemon::start(folder.path(), &config(&site, ""));
    let own = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let ask = |host: &str| http("GET", daemon.port, "/api/v1/findings", &[("Host", host)], "");
    let status = |host: &str| ask(host).expect("an answer").0;
    assert_eq!(status(&format!("{}:{}", own.trim(), daemon.port)), 200);
    assert_eq!(status("rebound.example"), 421);
}

#[test]
fn an_exception_ends_the_alert_and_keeps_the_finding() {
    let (folder, site, hook) = (TempDir::new().expect("a folder"), Site::start(), Hook::start());
    let target = format!("http://127.0.0.1:{}", site.port);
    let rest = format!(
        "alerting: {{webhooks: [{{url: \"http://127.0.0.1:{}/\"}}]}}\n{}",
        hook.port,
        tokens(folder.path())
    );
    site.broken.store(true, Ordering::SeqCst);
    let daemon = Daemon::start(folder.path(), &config(&site, &rest));
    let finding = daemon.wait_finding(RULE, "confirmed", Duration::from_secs(10));
    hook.wait(RULE, "firing", Duration::from_secs(30));
    let add = |until: &str| {
        let args = ["exception", "add", "--rule", RULE, "--target", &target, "--until", until];
        let why = ["--reason", "till terminals", "--approved-by", "the board"];
        ask(&daemon, "ciso.token", &[&args[..], &why].concat())
    };
    let over = add("2020-01-01");
    assert_eq!(over.status.code(), Some(2), "{}", said(&over));
    assert!(said(&over).contains("2020-01-01 is over"), "{}", said(&over));
    let added = add("2999-12-31");
    assert_eq!(added.status.code(), Some(0), "{}", said(&added));
    let excepted = daemon.wait_finding(RULE, "excepted", Duration::from_secs(5));
    assert_eq!(excepted["id"], finding["id"]);
    assert_eq!(excepted["excepted_until"], "2999-12-31");
    // Two messages of one group to a webhook are a minute apart.
    hook.wait(RULE, "resolved", Duration::from_secs(120));
    let list = said(&ask(&daemon, "ciso.token", &["exception", "list"]));
    assert!(list.contains("till terminals") && list.contains("the board"), "{list}");
    let list = get_json(daemon.port, "/api/v1/exceptions").expect("exceptions");
    assert_eq!(list["exceptions"][0]["source"], "api", "{list}");
}

#[test]
fn a_marked_deployment_is_listed_under_its_markers_name() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let daemon = Daemon::start(folder.path(), &config(&site, &tokens(folder.path())));
    for version in ["1.2.3", "1.2.4"] {
        let args = ["deploy", "mark", "--service", "shop", "--version", version];
        let marked = ask(&daemon, "ci.token", &args);
        assert_eq!(marked.status.code(), Some(0), "{}", said(&marked));
        assert!(said(&marked).contains(version), "{}", said(&marked));
    }
    let first = get_json(daemon.port, "/api/v1/deployments?limit=1").expect("a page");
    assert_eq!(first["deployments"][0]["version"], "1.2.3", "{first}");
    assert_eq!(first["deployments"][0]["actor"], "ci");
    assert_eq!(first["deployments"][0]["labels"]["service"], "shop");
    let next = first["next"].as_str().expect("another page");
    let second =
        get_json(daemon.port, &format!("/api/v1/deployments?after={next}")).expect("a page");
    assert_eq!(second["deployments"][0]["version"], "1.2.4", "{second}");
    assert_eq!(
        (second["deployments"].as_array().map(Vec::len), &second["next"]),
        (Some(1), &Value::Null)
    );
}

#[test]
fn a_token_may_do_what_it_is_for_and_nothing_else() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let daemon = Daemon::start(folder.path(), &config(&site, &tokens(folder.path())));
    let (deployment, sample) = (json!({"service": "shop"}), json!({"target": "x"}));
    let exception = json!({"rule": RULE, "target": "x", "reason": "r", "approved_by": "a", "until": "2999-01-01"});
    for (path, body, token, status) in [
        ("/api/v1/deployments", &deployment, None, 401),
        ("/api/v1/deployments", &deployment, Some("wrong"), 401),
        ("/api/v1/deployments", &deployment, Some("secret-that-only-decides"), 403),
        ("/api/v1/deployments", &deployment, Some("secret-that-only-deploys"), 200),
        ("/api/v1/exceptions", &exception, Some("secret-that-only-deploys"), 403),
        ("/api/v1/exceptions", &exception, Some("secret-that-only-decides"), 200),
        ("/api/v1/baselines", &sample, Some("secret-that-only-deploys"), 403),
        ("/api/v1/samples", &sample, Some("secret-that-only-decides"), 403),
        ("/-/reload", &json!({}), Some("secret-that-only-decides"), 403),
    ] {
        let (code, text) = post(&daemon, path, token, body);
        assert_eq!(code, status, "{path} {token:?}: {text}");
        assert!(!text.contains("secret-that"), "{text}");
    }
    let refused = ask(&daemon, "ci.token", &["baseline", "accept", "--target", "x"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        said(&refused).contains("403") && said(&refused).contains("`baseline`"),
        "{}",
        said(&refused)
    );
    let missing = ask(&daemon, "no.token", &["deploy", "mark", "--service", "shop"]);
    assert!(said(&missing).contains("no.token"), "{}", said(&missing));
    // Readers need none on loopback.
    assert!(get_json(daemon.port, "/api/v1/exceptions").is_some());
}

#[test]
fn sampling_points_come_in_pages_that_join_without_gap_or_overlap() {
    let (folder, sites) = (TempDir::new().expect("a folder"), [(); 5].map(|()| Site::start()));
    let others: String = sites[1..]
        .iter()
        .map(|site| {
            format!(
                "  - target: http://127.0.0.1:{}\n    probes: [http, ports]\n    ports: \"{}\"\n",
                site.port, site.port
            )
        })
        .collect();
    let text = config(&sites[0], "").replace("budgets:", &format!("{others}budgets:"));
    let daemon = Daemon::start(folder.path(), &text);
    let all = eventually("all points", Duration::from_secs(10), || {
        let page = get_json(daemon.port, "/api/v1/targets")?;
        let rows = page["targets"].as_array()?.clone();
        (rows.len() == 9).then_some(rows)
    });
    let name = |row: &Value| (row["target"].to_string(), row["probe"].to_string());
    let (mut joined, mut after) = (Vec::new(), String::new());
    loop {
        let page =
            get_json(daemon.port, &format!("/api/v1/targets?limit=2{after}")).expect("a page");
        let rows = page["targets"].as_array().expect("rows");
        assert!(!rows.is_empty() && rows.len() <= 2, "{page}");
        joined.extend(rows.iter().map(name));
        let Some(next) = page["next"].as_str() else { break };
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        after = format!("&after={next}");
    }
    assert_eq!(joined, all.iter().map(name).collect::<Vec<_>>());
    let one = url::form_urlencoded::byte_serialize(
        format!("http://127.0.0.1:{}", sites[2].port).as_bytes(),
    )
    .collect::<String>();
    let page = get_json(daemon.port, &format!("/api/v1/targets?target={one}&probe=ports"))
        .expect("a page");
    assert_eq!(page["targets"].as_array().map(Vec::len), Some(1), "{page}");
    assert!(page["targets"][0]["next_due"].is_string(), "{page}");
}

#[test]
fn probe_answers_in_blackbox_exporters_dialect() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let daemon = Daemon::start(folder.path(), &config(&site, ""));
    let ask = |query: &str| {
        http("GET", daemon.port, &format!("/probe?{query}"), &[], "").expect("an answer")
    };
    let target = format!("http://127.0.0.1:{}", site.port);
    let (status, text) = ask(&format!("target={target}&module=http_2xx"));
    assert_eq!(status, 200, "{text}");
    for line in ["probe_http_status_code 200", "probe_ip_protocol 4", "probe_http_ssl 0"] {
        assert!(text.lines().any(|have| have == line), "{line} is missing from\n{text}");
    }
    assert!(
        text.contains("# TYPE probe_success gauge") && text.contains("\nprobe_duration_seconds "),
        "{text}"
    );
    assert_eq!(ask("module=http").0, 400);
    assert_eq!(ask(&format!("target={target}&module=icmp")).0, 400);
    assert_eq!(ask("target=http://127.0.0.1:1&module=http").0, 404);
}

/// BIND on loopback, root and zone at once; it asks nobody.
struct Zone {
    folder: TempDir,
    port: u16,
    named: Process,
    serial: u32,
}

impl Zone {
    fn start(address: &str) -> Self {
        let (folder, port) = (TempDir::new().expect("a folder"), free_port());
        let path = folder.path();
        std::fs::write(
            path.join("root.zone"),
            ". 60 SOA a.root.test. h.test. 1 60 60 60 60\n. 60 NS a.root.test.\na.root.test. 60 A 127.0.0.1\n\
             shop.lab. 60 NS ns1.shop.lab.\nns1.shop.lab. 60 A 127.0.0.1\n",
        )
        .expect("a zone");
        let hints = ". 60 NS a.root.test.\na.root.test. 60 A 127.0.0.1\n";
        std::fs::write(path.join("hints"), hints).expect("hints");
        write_zone(path, 1, address);
        let config = format!(
            "options {{ directory \"{0}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n\
             recursion no; forwarders {{ }}; query-source address 127.0.0.1; notify no; dnssec-validation no;\n\
             pid-file \"{0}/pid\"; session-keyfile \"{0}/key\"; }};\ncontrols {{ }};\n\
             zone \".\" {{ type primary; file \"root.zone\"; }};\n\
             zone \"shop.lab\" {{ type primary; file \"shop.zone\"; }};\n",
            path.display()
        );
        let named = named(path, &config);
        Self { folder, port, named, serial: 1 }
    }

    /// Another address of www.shop.lab.
    fn change(&mut self, address: &str) {
        self.serial += 1;
        write_zone(self.folder.path(), self.serial, address);
        self.named.signal("HUP");
    }

    fn config(&self, rest: &str) -> String {
        format!(
            "scope: {{names: [\"*.shop.lab\"], networks: [\"127.0.0.0/8\"]}}\n\
             plans: {{fast: {{every: 1s}}}}\ndefaults: {{plan: fast, timeout: 1s}}\n\
             targets:\n  - target: www.shop.lab\n    probes: [dns]\n    root_hints: {}/hints\n    dns_port: {}\n\
             budgets: {{per_address: 200/s, per_network: 1000/s, total: 1000/s}}\n{rest}",
            self.folder.path().display(),
            self.port
        )
    }
}

fn write_zone(folder: &Path, serial: u32, address: &str) {
    let zone = format!(
        "$ORIGIN shop.lab.\n@ 60 SOA ns1 h {serial} 60 60 60 60\n@ 60 NS ns1\nns1 60 A 127.0.0.1\nwww 60 A {address}\n"
    );
    std::fs::write(folder.join("shop.zone"), zone).expect("a zone");
}

#[test]
fn an_accepted_baseline_ends_the_drift_and_outlives_the_samples_under_way() {
    if is_skipped("bind9") {
        return;
    }
    let (folder, mut zone) = (TempDir::new().expect("a folder"), Zone::start("192.0.2.1"));
    let mut daemon = Daemon::start(folder.path(), &zone.config(&tokens(folder.path())));
    let samples = |daemon: &Daemon| {
        let page = get_json(daemon.port, "/api/v1/samples?target=www.shop.lab&probe=dns")
            .expect("samples");
        page["samples"].as_array().expect("a list").clone()
    };
    eventually("samples to learn from", Duration::from_secs(60), || {
        let learnt = samples(&daemon);
        let answered = |sample: &&Value| {
            sample["measurements"]["records"]["www.shop.lab"]["A"]["127.0.0.1"].is_array()
        };
        (learnt.iter().filter(answered).count() >= 2).then_some(())
    });
    let accept = |daemon: &Daemon, more: &[&str]| {
        ask(
            daemon,
            "ciso.token",
            &[&["baseline", "accept", "--target", "www.shop.lab"], more].concat(),
        )
    };
    let nothing = accept(&daemon, &[]);
    assert_eq!(nothing.status.code(), Some(2), "{}", said(&nothing));
    assert!(said(&nothing).contains("departs from its baseline"), "{}", said(&nothing));
    let tls = accept(&daemon, &["--probe", "tls"]);
    assert!(said(&tls).contains("only dns and ports have a baseline"), "{}", said(&tls));
    let ports = accept(&daemon, &["--probe", "ports"]);
    assert!(said(&ports).contains("no ports sample of `www.shop.lab`"), "{}", said(&ports));

    // A person need not wait until the baseline closes by itself.
    let known =
        ["--name", "www.shop.lab", "--type", "A", "--value", "192.0.2.1", "--reason", "ours"];
    let known = accept(&daemon, &known);
    assert_eq!(known.status.code(), Some(0), "{}", said(&known));
    zone.change("192.0.2.66");
    daemon.wait_finding("dns-drift", "confirmed", Duration::from_secs(30));
    let show = ask(&daemon, "ciso.token", &["baseline", "show", "--target", "www.shop.lab"]);
    assert!(said(&show).contains("pending www.shop.lab A: 192.0.2.66"), "{}", said(&show));
    let accepted = accept(&daemon, &["--reason", "moved to the new hall"]);
    assert_eq!(accepted.status.code(), Some(0), "{}", said(&accepted));
    assert!(said(&accepted).contains("www.shop.lab A: 192.0.2.66"), "{}", said(&accepted));
    daemon.wait_finding("dns-drift", "resolved", Duration::from_secs(60));

    let show = said(&ask(&daemon, "ciso.token", &["baseline", "show"]));
    assert!(show.contains("by ciso: moved to the new hall"), "{show}");
    assert!(
        !said(&ask(&daemon, "ciso.token", &["baseline", "show", "--target", "www.shop.lab"]))
            .contains("pending")
    );
    // The old address is now what departs.
    daemon.process.signal("TERM");
    assert_eq!(daemon.process.wait(Duration::from_secs(20)), Some(0));
    verify(folder.path());
    daemon.restart();
    zone.change("192.0.2.1");
    daemon.wait_finding("dns-drift", "confirmed", Duration::from_secs(30));
}

#[test]
fn every_command_explains_itself() {
    for command in [
        &["baseline", "show"][..],
        &["baseline", "accept"],
        &["exception", "add"],
        &["exception", "list"],
        &["deploy", "mark"],
    ] {
        let help = run(&[command, &["--help"]].concat());
        assert_eq!(help.status.code(), Some(0), "{}", said(&help));
        assert!(said(&help).contains("--token-file"), "{}", said(&help));
    }
}

#[test]
fn a_reload_brings_new_tokens_into_force() {
    let (folder, site) = (TempDir::new().expect("a folder"), Site::start());
    let daemon = Daemon::start(folder.path(), &config(&site, ""));
    let (path, body) = ("/api/v1/deployments", json!({ "service": "shop" }));
    let token = Some("secret-that-only-deploys");
    assert!(post(&daemon, path, token, &body).0 >= 400);
    let text = config(&site, &tokens(folder.path()));
    std::fs::write(folder.path().join("secchi.yaml"), text).expect("a config");
    daemon.process.signal("HUP");
    eventually("the token to hold", Duration::from_secs(10), || {
        (post(&daemon, path, token, &body).0 < 300).then_some(())
    });
}
