//! What Prometheus reads, held to promtool.

use std::io::Write as _;
use std::process::{Command, Stdio};

use tokio::time::Instant;

use super::fakes::*;
use crate::ledger::latest::PointLatest;
use crate::target::{PointKey, ProbeKind};

fn promtool(text: &str) {
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("install Debian's prometheus for promtool");
    tool.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
    let output = tool.wait_with_output().expect("an answer");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "promtool: {said}");
}

fn points(count: usize) -> Vec<PointLatest> {
    (0..count)
        .map(|n| PointLatest {
            key: PointKey(n as u64),
            target: format!("{HOSTILE}\"\\\n{n}").into(),
            probe: ProbeKind::ALL[n % 4],
            address: if n % 4 < 2 { "2001:db8::1".into() } else { "".into() },
            last_sample: if n == 0 { 0.0 } else { 1.8e9 },
            out_of_range: (!n.is_multiple_of(3)).then_some(n.is_multiple_of(5)),
            unknown: n.is_multiple_of(7),
            gauges: Box::new([
                ("tls_cert_not_after_timestamp_seconds", 1.9e9),
                ("http_hsts_max_age_seconds", f64::NAN),
            ]),
        })
        .collect()
}

#[tokio::test]
async fn promtool_accepts_what_is_exposed() {
    let house = House::new(settings());
    house.latest.replace(points(500));
    let (_, headers, text) = house.near("GET", "/metrics").send().await;
    assert!(
        headers["content-type"].to_str().expect("text").starts_with("text/plain; version=0.0.4")
    );
    promtool(&text);
    let (_, _, text) = house.near("GET", "/metrics/targets").send().await;
    assert!(text.contains("secchi_target_out_of_range{target=\"<script>"), "{text}");
    promtool(&text);
    let (_, _, text) =
        house.near("GET", "/probe?target=https://shop.example.com&module=http_2xx").send().await;
    promtool(&text);
}

#[tokio::test]
async fn many_points_are_streamed_and_failing_ones_are_the_default() {
    let house = House::new(settings());
    house.latest.replace(points(20_000));
    let (_, _, failing) = house.near("GET", "/metrics/targets").send().await;
    let (_, _, all) = house.near("GET", "/metrics/targets?mode=all").send().await;
    let count = |text: &str| text.matches("\nsecchi_target_unknown{").count();
    assert_eq!(count(&all), 20_000);
    assert!(count(&failing) > 0 && count(&failing) < 10_000);
    assert_eq!(house.near("GET", "/metrics/targets?mode=some").status().await, 400);
}

#[tokio::test]
async fn probe_speaks_blackbox_exporters_dialect() {
    let house = House::new(settings());
    let path = "/probe?target=https://shop.example.com";
    let (_, _, text) = house.near("GET", path).send().await;
    for line in [
        "probe_success 1",
        "probe_duration_seconds 0.25",
        "probe_ssl_earliest_cert_expiry 1861920000",
        "probe_tls_version_info{version=\"TLS 1.3\"} 1",
        "probe_tls_cipher_info{cipher=\"TLS_AES_128_GCM_SHA256\\\"\\n\"} 1",
        "probe_http_status_code 200",
        "probe_http_version 1.1",
        "probe_http_ssl 1",
        "probe_http_redirects 1",
        "probe_http_duration_seconds{phase=\"connect\"} 0.01",
        "probe_ip_protocol 4",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
    let (_, _, debug) = house.near("GET", &format!("{path}&debug=true")).send().await;
    assert!(debug.contains("Metrics that would have been returned:\n# HELP probe_success"));
    assert!(!debug.contains('\u{1b}'));
    for (query, status) in [
        ("target=https://other.example.com", 404),
        ("module=http", 400),
        ("target=a&module=icmp", 400),
    ] {
        assert_eq!(house.near("GET", &format!("/probe?{query}")).status().await, status, "{query}");
    }
}

#[tokio::test]
async fn a_probe_that_takes_too_long_did_not_succeed() {
    let house = House::new(settings());
    let started = Instant::now();
    let ask = house.near("GET", "/probe?target=slow");
    let (status, _, text) = ask.with("x-prometheus-scrape-timeout-seconds", "0.7").send().await;
    assert_eq!(status, 200);
    assert!(text.contains("probe_success 0\n"), "{text}");
    assert!(started.elapsed().as_secs_f64() < 2.0);
}
