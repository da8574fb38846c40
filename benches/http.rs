//! The http probe: judging one response by every profile, and samples against a local nginx.
#![allow(clippy::print_stdout, unreachable_pub, reason = "a bench prints what it measured")]

mod support;

use std::net::{IpAddr, Ipv4Addr};
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

use support::peers::nginx;
use support::{free_port, size, told};

fn main() {
    if !support::is_wanted("http") {
        return;
    }
    judging();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let port = free_port();
    let server = nginx(folder.path(), port);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(sampling(port));
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

/// As many samples as come out, `AT_ONCE` at a time.
async fn sampling(port: u16) {
    let count = size("TARGETS", 10_000);
    let now: DateTime<Utc> = DateTime::UNIX_EPOCH;
    let memory = taken(port, now, None).await.1;
    let start = Instant::now();
    let known = stream::iter(0..count)
        .map(|_| {
            let memory = memory.clone();
            tokio::spawn(async move { taken(port, now, memory).await.0 })
        })
        .buffer_unordered(AT_ONCE)
        .filter(|known| std::future::ready(matches!(known, Ok(true))))
        .count()
        .await;
    let rate = known as f64 / start.elapsed().as_secs_f64();
    told("https samples a second", format!("{rate:.0}"), "a full handshake each, server included");
}

async fn taken(
    port: u16,
    now: DateTime<Utc>,
    memory: Option<probe::Memory>,
) -> (bool, Option<probe::Memory>) {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let target = Target::new(format!("https://127.0.0.1:{port}").parse().expect("a target"));
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
