//! All ports of a loopback address by `secchi check`, again and again; nmap beside it where it is.
#![allow(clippy::print_stdout, unreachable_pub, reason = "a bench prints what it measured")]

mod support;

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::{Series, Watched, mib, size, told};
use tokio::time::Instant;

fn main() {
    if !support::is_wanted("ports") {
        return;
    }
    let rounds = size("ROUNDS", 20);
    // One port is open, so that a scan which sees nothing does not pass for a fast one.
    let listener = TcpListener::bind((HOME, 0)).expect("a port");
    let open = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || for _ in listener.incoming() {});
    let (mut times, mut samples, mut peak, mut wrong) = (Vec::new(), Vec::new(), 0, 0);
    for _ in 0..rounds {
        let begun = Instant::now();
        let (report, most) = scan();
        times.push(begun.elapsed().as_secs_f64());
        samples.push(report["samples"][0]["duration_seconds"].as_f64().unwrap_or(f64::NAN));
        peak = peak.max(most);
        wrong += u32::from(!is_right(&report, open));
    }
    told("65,535 ports, the whole command", Series::new(times).in_words("s"), "goal: as nmap");
    told("  the sample alone", Series::new(samples).in_words("s"), "");
    told("  peak of resident memory", format!("{:.1} MiB", mib(peak)), "goal: below 64 MiB");
    told("  runs with a wrong state", wrong, "goal: 0");
    let nmap = (0..rounds.min(5)).filter_map(|_| nmap()).collect::<Vec<_>>();
    if !nmap.is_empty() {
        told("nmap -sT -T5 -p-", Series::new(nmap).in_words("s"), "");
    }
}

fn scan() -> (Value, u64) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_secchi"))
        .args(["check", HOME, "--allow-network", "127.0.0.0/8", "--probe", "ports"])
        .args(["--ports", "1-65535", "--rate", "1000000", "--format", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary");
    let watched = Watched::of(child.id());
    let output = child.stdout.take().expect("a pipe");
    let reader = std::thread::spawn(move || std::io::read_to_string(output).expect("text"));
    let mut peak = 0;
    while !reader.is_finished() {
        peak = peak.max(watched.peak());
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait().expect("a child");
    let text = reader.join().expect("a reader");
    (serde_json::from_str(&text).expect("JSON"), peak)
}

/// Whether our port is open, and every other one closed or another's that listens everywhere.
fn is_right(report: &Value, ours: u16) -> bool {
    let address = &report["samples"][0]["measurements"]["addresses"][0];
    let empty = ["filtered", "not_measured", "forged", "unstable"];
    let open = address["open"].as_array().map(Vec::as_slice).unwrap_or_default();
    empty.iter().all(|list| address[list] == serde_json::json!([]))
        && open.iter().any(|item| item["port"] == ours)
        && open.len() < 30
}

fn nmap() -> Option<f64> {
    let begun = Instant::now();
    let status = Command::new("nmap")
        .args(["-sT", "-T5", "-n", "-Pn", "-p-", HOME])
        .stdout(Stdio::null())
        .status();
    status.ok()?.success().then(|| begun.elapsed().as_secs_f64())
}

const HOME: &str = "127.0.0.98";
