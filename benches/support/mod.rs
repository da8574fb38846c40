//! What the benches share: sizes, the process's own memory and time, medians, plain HTTP.
#![allow(dead_code, reason = "each bench is a crate of its own and uses a part")]

pub mod peers;
pub mod samples;

use std::fmt::Display;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tokio::time::Instant;

/// Whether this is a bench at all: `cargo test` and test runners that merely list binaries stop here.
pub fn is_wanted(name: &str) -> bool {
    let wanted = std::env::args().any(|argument| argument == "--bench");
    if wanted {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        println!("{name}: {cores} cores, load before {}", load.split(' ').next().unwrap_or("?"));
    }
    wanted
}

/// A size that `SECCHI_BENCH_NAME` may change.
pub fn size(name: &str, usual: usize) -> usize {
    let text = std::env::var(format!("SECCHI_BENCH_{name}")).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// One line of the result.
pub fn told(what: &str, value: impl Display, goal: &str) {
    println!("  {what:<44} {value:<28} {goal}");
}

/// Measured values of one thing.
pub struct Series(Vec<f64>);

impl Series {
    /// From values in any order.
    pub fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The value that this share of all lies at or below.
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
    }

    /// Median with the least and the greatest, in a unit.
    pub fn in_words(&self, unit: &str) -> String {
        let [low, median, high] = [0.0, 0.5, 1.0].map(|share| self.quantile(share));
        format!("{median:.4} {unit} ({low:.4} to {high:.4})")
    }
}

/// A process as /proc shows it.
#[derive(Clone, Copy)]
pub struct Watched(u32);

impl Watched {
    /// This one.
    pub fn own() -> Self {
        Self(std::process::id())
    }

    /// Another.
    pub fn of(pid: u32) -> Self {
        Self(pid)
    }

    /// Resident bytes now.
    pub fn rss(self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most resident bytes since the start, or since [`Watched::forget_peak`].
    pub fn peak(self) -> u64 {
        self.status("VmHWM:")
    }

    /// Lets the peak begin anew.
    pub fn forget_peak(self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.0), "5").expect("proc(5)");
    }

    /// User and system seconds so far.
    pub fn cpu(self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).expect("proc(5)");
        let after = stat.rsplit(") ").next().unwrap_or_default();
        let ticks = after.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
        ticks.sum::<f64>() / rustix::param::clock_ticks_per_second() as f64
    }

    fn status(self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).expect("proc(5)");
        let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
        let kib = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
        kib.unwrap_or_default() << 10
    }
}

/// Mebibytes, for people.
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// GET over loopback: status, bytes of the answer, and how long it took to the last byte.
pub fn get(port: u16, path: &str) -> Option<(u16, u64, Duration)> {
    let begun = Instant::now();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let (mut buffer, mut bytes, mut status) = (vec![0; 64 << 10], 0_u64, None);
    loop {
        let read = stream.read(&mut buffer).ok()?;
        if read == 0 {
            return Some((status?, bytes, begun.elapsed()));
        }
        let code = || std::str::from_utf8(buffer.get(9..12)?).ok()?.parse().ok();
        status = status.or_else(code);
        bytes += read as u64;
    }
}

/// GET of a text, without its head.
pub fn get_text(port: u16, path: &str) -> Option<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    let head = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// The sum of a metric's series that carry all of `labels`.
pub fn metric(text: &str, name: &str, labels: &[&str]) -> f64 {
    let lines = text.lines().filter(|line| {
        let rest = line.strip_prefix(name).unwrap_or_default();
        rest.starts_with(['{', ' ']) && labels.iter().all(|label| rest.contains(label))
    });
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// A port below the ephemeral range that is free now.
pub fn free_port() -> u16 {
    let spread = (std::process::id().wrapping_mul(7919) % 18_000) as u16;
    let mut ports = (0..500_u16).map(|nth| 12_000 + (spread + nth * 13) % 18_000);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}
