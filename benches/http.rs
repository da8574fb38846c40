//! The http probe: judging one response by every profile; samples of a local nginx, plain and over
//! TLS, and blackbox_exporter's probes of it; one whole `secchi check`, and the Observatory's own.
#![allow(clippy::print_stdout, unreachable_pub, reason = "a bench prints what it measured")]

mod support;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use secchi::probe::dial::{Dialer, Unbounded};
use secchi::probe::http::offline;
use secchi::probe::{self, Job};
use secchi::sample::{Cause, Outcome};
use secchi::target::{Point, ProbeKind, Settings, Target};
use tokio::time::Instant;

use support::peers::{Process, nginx, wait_for};
use support::{Series, Watched, free_port, get, get_text, size, told};

/// What `secchi` has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    if !support::is_wanted("http") {
        return;
    }
    let runs = std::env::var("SECCHI_BENCH_RUNS");
    let runs = runs.unwrap_or_else(|_| "judging,http,https,flight,check".to_owned());
    let is_run = |name: &str| runs.split(',').any(|run| run == name);
    if is_run("judging") {
        judging();
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let port = free_port();
    let server = nginx(folder.path(), port);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    for (scheme, port, goal) in [("http", port + 1, 12_000), ("https", port, 3_000)] {
        if is_run(scheme) {
            let own = runtime.block_on(sampling(scheme, port, goal));
            blackbox(folder.path(), scheme, port, own);
        }
    }
    if is_run("flight") {
        runtime.block_on(in_flight(port));
    }
    if is_run("check") {
        whole(port);
    }
    drop(server);
}

/// A head of twenty fields and a page of eight kilobytes, parsed and judged.
fn judging() {
    let page = page();
    let mut times: Vec<Duration> = (0..size("ROUNDS", 20_000))
        .map(|_| {
            let start = Instant::now();
            let facts = offline::judge(HEAD.as_bytes(), page.as_bytes(), DateTime::UNIX_EPOCH);
            assert!(facts.is_some_and(|facts| facts.fact("profiles").is_some()));
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at =
        |share: usize| format!("{:.1} µs", times[times.len() * share / 100].as_secs_f64() * 1e6);
    told("one response by every profile", at(50), "p50, goal 50 µs");
    told("", at(99), "p99, goal 200 µs");
}

fn page() -> String {
    let mut page = "<!doctype html><title>Shop</title>".to_owned();
    for number in 0..40 {
        page.push_str(&format!(
            "<script src=/s/{number}.js></script><img src=/i/{number}.png alt=x>\
             <p>Some text of the page, as pages have it, with <a href=/p/{number}>a link</a>.</p>"
        ));
    }
    page
}

/// As many samples as come out, `AT_ONCE` at a time; the processor seconds of each.
async fn sampling(scheme: &'static str, port: u16, goal: usize) -> f64 {
    let count = size("TARGETS", 10_000);
    let now: DateTime<Utc> = DateTime::UNIX_EPOCH;
    let memory = taken(scheme, port, now, None).await.1;
    let (start, before) = (Instant::now(), Watched::own().cpu());
    let known = many(count, AT_ONCE, |_| taken(scheme, port, now, memory.clone())).await;
    assert_eq!(known, count, "samples that are known");
    let (rate, each) = (
        known as f64 / start.elapsed().as_secs_f64(),
        (Watched::own().cpu() - before) / known as f64,
    );
    let goal = format!("{:.2} ms of processor each; goal {goal} a second", each * 1e3);
    told(&format!("{scheme} samples a second, server included"), format!("{rate:.0}"), &goal);
    each
}

/// What a sample takes of memory while it is under way.
async fn in_flight(port: u16) {
    let now = DateTime::UNIX_EPOCH;
    let mut peaks = [0; 2];
    for (peak, at_once) in peaks.iter_mut().zip([64, 1064]) {
        Watched::own().forget_peak();
        many(4 * at_once, at_once, |_| taken("https", port, now, None)).await;
        *peak = Watched::own().peak();
    }
    let each = peaks[1].saturating_sub(peaks[0]) as f64 / 1000.0 / 1024.0;
    told(
        "memory of a sample in flight",
        format!("{each:.1} KiB"),
        "goal 64 KiB; 1,000 more at once",
    );
}

async fn many<F>(count: usize, at_once: usize, sample: impl Fn(usize) -> F) -> usize
where
    F: Future<Output = (bool, Option<probe::Memory>)> + Send + 'static,
{
    stream::iter(0..count)
        .map(|nth| tokio::spawn(sample(nth)))
        .buffer_unordered(at_once)
        .filter(|run| std::future::ready(matches!(run, Ok((true, _)))))
        .count()
        .await
}

/// The same number of probes by blackbox_exporter, where it is installed.
fn blackbox(folder: &Path, scheme: &str, port: u16, own: f64) {
    let listen = free_port();
    std::fs::write(
        folder.join("blackbox.yml"),
        "modules:\n  http_2xx:\n    prober: http\n    timeout: 10s\n    http: {preferred_ip_protocol: ip4, \
         tls_config: {insecure_skip_verify: true}}\n",
    )
    .expect("a config");
    let mut command = Command::new("prometheus-blackbox-exporter");
    command.arg(format!("--config.file={}", folder.join("blackbox.yml").display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{listen}")).arg("--log.level=error");
    let mut exporter = Process::start("blackbox", &mut command, folder);
    wait_for(&mut exporter, listen, "/-/healthy", Duration::from_secs(20));
    let path = format!("/probe?module=http_2xx&target={scheme}://127.0.0.1:{port}/");
    let answer = get_text(listen, &path).unwrap_or_default();
    assert!(answer.contains("probe_success 1"), "{answer}");
    let count = size("TARGETS", 10_000) / 16 * 16;
    let watched = Watched::of(exporter.id());
    let (start, before) = (Instant::now(), watched.cpu());
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| (0..count / 16).for_each(|_| assert!(get(listen, &path).is_some())));
        }
    });
    let rate = count as f64 / start.elapsed().as_secs_f64();
    let each = (watched.cpu() - before) / count as f64;
    let by =
        format!("{:.2} ms of processor each, {:.1} times ours; goal 4", each * 1e3, each / own);
    told("  blackbox_exporter's probes a second", format!("{rate:.0}"), &by);
}

/// One whole command, by hand: every further request is made. `SECCHI_BENCH_MDN` is the path of the
/// Observatory's scanner (`mdn-http-observatory-scan`), which takes public names only: it is given
/// one that does not resolve, so that what it takes is its start alone.
fn whole(port: u16) {
    let timed = |program: &str, arguments: &[&str]| {
        let rounds = size("ROUNDS", 20_000).min(20);
        let times = (0..rounds).map(|_| {
            let start = Instant::now();
            let output = Command::new(program).args(arguments).output().expect("the program");
            drop(output);
            start.elapsed().as_secs_f64() * 1e3
        });
        Series::new(times.collect()).in_words("ms")
    };
    let target = format!("https://127.0.0.1:{port}");
    let allow = ["--allow-network", "127.0.0.0/8", "--rate", "1000000", "--format", "json"];
    let arguments = [&["check", &target, "--probe", "http"][..], &allow].concat();
    told("a whole check", timed(env!("CARGO_BIN_EXE_secchi"), &arguments), "goal 16 ms");
    if let Ok(scanner) = std::env::var("SECCHI_BENCH_MDN") {
        told("  the Observatory's start", timed(&scanner, &["nowhere.invalid"]), "");
    }
}

async fn taken(
    scheme: &'static str,
    port: u16,
    now: DateTime<Utc>,
    memory: Option<probe::Memory>,
) -> (bool, Option<probe::Memory>) {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let endpoint = format!("{scheme}://127.0.0.1:{port}").parse();
    let target = Target::new(endpoint.expect("a target"));
    let settings = Arc::new(Settings::default());
    let point = Point { target: Arc::new(target), probe: ProbeKind::Http, address: Some(address) };
    let dialer =
        Dialer::new(Unbounded::outside(), settings, ProbeKind::Http, Duration::from_secs(10));
    let job = Job {
        point,
        memory,
        now,
        seed: 1,
        cause: Cause::Scheduled,
        dialer,
        glimpses: false,
        promised: false,
        spoken_for: Arc::default(),
    };
    let run = probe::run(job).await;
    let known = matches!(run.observations[0].outcome, Outcome::Measured(_));
    (known, run.memory)
}

const AT_ONCE: usize = 64;

const HEAD: &str = "HTTP/1.1 200 OK\r\n\
Date: Sun, 22 Nov 2026 10:00:00 GMT\r\n\
Content-Type: text/html; charset=utf-8\r\n\
Content-Length: 8000\r\n\
Connection: close\r\n\
Strict-Transport-Security: max-age=63072000; includeSubDomains; preload\r\n\
Content-Security-Policy: default-src 'none'; script-src 'nonce-4rXz0aVq1cYk2w==' 'strict-dynamic' https: 'unsafe-inline'; style-src 'self' https://fonts.example; img-src 'self' data: https://img.example; font-src https://fonts.example; connect-src 'self' https://api.example; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; report-uri /csp\r\n\
X-Frame-Options: DENY\r\n\
X-Content-Type-Options: nosniff\r\n\
Referrer-Policy: strict-origin-when-cross-origin\r\n\
Permissions-Policy: camera=(), geolocation=(self), microphone=(), payment=(self \"https://pay.example\")\r\n\
Cross-Origin-Opener-Policy: same-origin\r\n\
Cross-Origin-Embedder-Policy: require-corp\r\n\
Cross-Origin-Resource-Policy: same-origin\r\n\
Set-Cookie: __Host-sid=0123456789abcdef; Secure; HttpOnly; SameSite=Lax; Path=/\r\n\
Set-Cookie: lang=en; Secure; Path=/; Max-Age=31536000\r\n\
Cache-Control: private, no-cache\r\n\
Alt-Svc: h3=\":443\"; ma=86400\r\n\
Server: nginx\r\n\
Vary: Accept-Encoding\r\n\
\r\n";
