//! `secchi check` against real servers: nginx, OpenSSL, BIND.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::peers::{Nginx, is_skipped, named, s_server};
use crate::support::pki::Pki;
use crate::support::{check_json, eventually, free_port, rules_out, run};

/// Mozilla intermediate 6.0.
const GOOD: &str = "ssl_protocols TLSv1.2 TLSv1.3; server_tokens off; ssl_ecdh_curve X25519:prime256v1:secp384r1;\n\
    ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305;\n";

fn good() -> String {
    let headers = [
        ("Strict-Transport-Security", "max-age=63072000; includeSubDomains"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
    ];
    let lines = headers.map(|(name, value)| format!("add_header {name} \"{value}\" always;\n"));
    GOOD.to_owned() + &lines.concat()
}

fn sample<'a>(report: &'a Value, probe: &str) -> &'a Value {
    let samples = report["samples"].as_array().expect("samples");
    samples.iter().find(|sample| sample["probe"] == probe).expect("a sample of the probe")
}

fn site(folder: &Path, lines: &str, last_year: i32) -> Option<(Pki, Nginx)> {
    if is_skipped("nginx-light") {
        return None;
    }
    let pki = Pki::new(folder);
    let (certificate, key) = pki.leaf("site.test", last_year);
    let nginx = Nginx::start(folder, &certificate, &key, lines);
    Some((pki, nginx))
}

fn switches(pki: &Pki, nginx: &Nginx) -> Vec<String> {
    [
        "site.test",
        "--probe=tls,http",
        &format!("--connect-to=site.test:443:127.0.0.1:{}", nginx.https),
        &format!("--connect-to=site.test:80:127.0.0.1:{}", nginx.http),
        &format!("--ca-file={}", pki.ca()),
    ]
    .map(str::to_owned)
    .to_vec()
}

fn check(arguments: &[String]) -> (i32, Value) {
    check_json(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn a_well_kept_nginx_is_in_range() {
    let folder = TempDir::new().expect("a folder");
    let Some((pki, nginx)) = site(folder.path(), &good(), 2124) else { return };
    let (status, report) = check(&switches(&pki, &nginx));
    // A century is too long a life for a certificate; that is what the test CA can do.
    let out: Vec<_> =
        rules_out(&report).into_iter().filter(|rule| rule != "tls-certificate-lifetime").collect();
    let severe = report["findings"].as_array().expect("findings").iter().filter(|finding| {
        finding["verdict"] == "out_of_range"
            && !matches!(finding["severity"].as_str(), Some("low" | "info"))
    });
    assert_eq!(severe.count(), 0, "status {status}, out of range: {out:?}");
    assert_eq!(status, 0);
    let tls = &sample(&report, "tls")["measurements"];
    assert_eq!(tls["versions"], json!(["TLSv1.2", "TLSv1.3"]));
    assert_eq!(tls["chain"]["trusted"], true);
    assert_eq!(tls["chain"]["hostname_matches"], true);
    let http = &sample(&report, "http")["measurements"];
    assert_eq!(http["hsts"]["max_age"], 63_072_000);
    assert_eq!(http["redirection"]["to_https"], true);
}

#[test]
fn a_neglected_nginx_is_found_out_and_the_exit_status_says_so() {
    let folder = TempDir::new().expect("a folder");
    let Some((pki, nginx)) = site(folder.path(), "ssl_protocols TLSv1.2;", 2025) else { return };
    let (status, report) = check(&switches(&pki, &nginx));
    assert_eq!(status, 1);
    let out = rules_out(&report);
    for rule in [
        "tls-chain-untrusted",
        "http-hsts",
        "http-csp",
        "http-frame-options",
        "http-content-type-options",
        "http-server-leak",
    ] {
        assert!(out.iter().any(|found| found == rule), "{rule} is missing from {out:?}");
    }
    let finding = report["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .find(|f| f["rule"] == "tls-chain-untrusted");
    let finding = finding.expect("the finding");
    for key in [
        "severity", "target", "probe", "address", "measure", "subject", "verdict", "measured",
        "range", "summary", "remedy", "evidence", "controls",
    ] {
        assert!(finding.get(key).is_some(), "{key} is missing from {finding}");
    }
    assert_eq!(sample(&report, "tls")["measurements"]["chain"]["reason"], "expired");
}

#[test]
fn openssl_with_tls_1_1_is_told_from_openssl_without() {
    if is_skipped("openssl") {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let pki = Pki::new(folder.path());
    let (certificate, key) = pki.leaf("old.test", 2124);
    let old = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
    for (arguments, versions) in
        [(&old[..], json!(["TLSv1.1"])), (&["-tls1_3"][..], json!(["TLSv1.3"]))]
    {
        let (_server, port) = s_server(folder.path(), &certificate, &key, arguments);
        let (_, report) = check_json(&[
            &format!("old.test:{port}"),
            "--probe=tls",
            &format!("--connect-to=old.test::127.0.0.1:{port}"),
            &format!("--ca-file={}", pki.ca()),
        ]);
        let tls = &sample(&report, "tls")["measurements"];
        assert_eq!(tls["versions"], versions, "{tls}");
        assert_eq!(tls["chain"]["trusted"], true, "{tls}");
    }
}

#[test]
fn bind_is_asked_directly_and_a_pin_that_breaks_is_drift() {
    if is_skipped("bind9") {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let (port, path) = (free_port(), folder.path().display().to_string());
    // BIND hears only addresses that an interface has, so one server is both root and zone.
    let root = ". 60 SOA a.root.test. h.test. 1 60 60 60 60\n. 60 NS a.root.test.\na.root.test. 60 A 127.0.0.1\n\
                skew.lab. 60 NS ns1.skew.lab.\nns1.skew.lab. 60 A 127.0.0.1\n";
    let zone = "$ORIGIN skew.lab.\n@ 60 SOA ns1 h 7 60 60 60 60\n@ 60 NS ns1\nns1 60 A 127.0.0.1\n\
                www 60 A 192.0.2.1\nwww 60 A 192.0.2.66\n";
    std::fs::write(folder.path().join("root.zone"), root).expect("a zone");
    std::fs::write(folder.path().join("skew.zone"), zone).expect("a zone");
    let config = format!(
        "options {{ directory \"{path}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; \
         dnssec-validation no; notify no; query-source address 127.0.0.1; pid-file \"{path}/pid\"; session-keyfile \"{path}/key\"; }};\n\
         controls {{ }};\nzone \".\" {{ type primary; file \"{path}/root.zone\"; }};\n\
         zone \"skew.lab\" {{ type primary; file \"{path}/skew.zone\"; }};\n"
    );
    let _named = named(folder.path(), &config);
    std::fs::write(
        folder.path().join("hints"),
        ". 60 NS a.root.test.\na.root.test. 60 A 127.0.0.1\n",
    )
    .expect("hints");
    std::fs::write(
        folder.path().join("expect.yaml"),
        "pins: {www.skew.lab: {A: {exact: [192.0.2.1]}}}\n",
    )
    .expect("pins");
    let (status, report) = eventually("BIND", std::time::Duration::from_secs(15), || {
        let answer = check_json(&[
            "www.skew.lab",
            "--probe=dns",
            &format!("--root-hints={path}/hints"),
            &format!("--dns-port={port}"),
            &format!("--expect={path}/expect.yaml"),
            "--timeout=1s",
        ]);
        let measured =
            answer.1["samples"][0]["measurements"]["records"]["www.skew.lab"]["A"]["127.0.0.1"]
                .is_array();
        measured.then_some(answer)
    });
    let dns = &sample(&report, "dns")["measurements"];
    assert_eq!(
        dns["records"]["www.skew.lab"]["A"]["127.0.0.1"],
        json!(["192.0.2.1", "192.0.2.66"])
    );
    assert_eq!(status, 1, "{report}");
    let drift = report["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .find(|f| f["rule"] == "dns-drift")
        .expect("drift");
    assert_eq!(drift["subject"], "www.skew.lab A");
}

#[test]
fn a_port_that_nobody_expects_is_unexpected_and_one_that_is_missing_is_missing() {
    let folder = TempDir::new().expect("a folder");
    let (open, closed) = (free_port(), free_port());
    let _listener = std::net::TcpListener::bind(("127.0.0.1", open)).expect("a listener");
    let pins = format!("pins: {{127.0.0.1: {{ports: {{exact: [{closed}]}}}}}}\n");
    let expect = folder.path().join("expect.yaml");
    std::fs::write(&expect, pins).expect("pins");
    let (status, report) = check_json(&[
        "127.0.0.1",
        "--probe=ports",
        &format!("--ports={open},{closed}"),
        &format!("--expect={}", expect.display()),
    ]);
    assert_eq!(status, 1);
    let out = rules_out(&report);
    assert!(
        out.contains(&"ports-unexpected".to_owned()) && out.contains(&"ports-missing".to_owned()),
        "{out:?}"
    );
    let address = &sample(&report, "ports")["measurements"]["addresses"][0];
    assert_eq!(address["closed"], json!([format!("{closed}/tcp")]), "{address}");
}

#[test]
fn nothing_to_measure_is_exit_3_and_never_a_clean_bill() {
    let port = free_port();
    let (status, report) = check_json(&[&format!("127.0.0.1:{port}"), "--probe=tls"]);
    assert_eq!(status, 3);
    assert_eq!(report["samples"][0]["verdict"], "unknown");
    assert_eq!(report["samples"][0]["unknown_reason"], "refused");
    assert_eq!(report["samples"][0]["measurements"], json!({}));
    assert_eq!(report["summary"]["in_range"], 0);
}

#[test]
fn a_private_address_is_refused_unless_its_network_is_allowed() {
    let output = run(&["check", "--format=json", "--probe=tls", "127.0.0.1:14433"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(3));
    let reason = report["samples"][0]["unknown_reason"].as_str().expect("a reason");
    assert!(reason.starts_with("out_of_scope"), "{reason}");
}

#[test]
fn usage_errors_are_exit_2() {
    for arguments in [
        &["check"][..],
        &["check", "ftp://x"],
        &["check", "a.test", "--probe", "icmp"],
        &["check", "a.test", "--rate", "x"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
}
