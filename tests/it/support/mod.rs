//! What tests share: the binary, free ports, peers that end with the test, patience.

pub mod net;
pub mod peers;
pub mod pki;
pub mod scripted;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// The binary under test, with a quiet environment.
pub fn secchi() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secchi"));
    command
        .env_remove("SECCHI_CONFIG")
        .env_remove("SECCHI_TOKEN_FILE")
        .env_remove("SECCHI_URL")
        .env("NO_COLOR", "1");
    command
}

/// Runs the binary to its end.
pub fn run(args: &[&str]) -> Output {
    secchi().args(args).stdin(Stdio::null()).output().expect("the binary runs")
}

/// Runs `check … --format json`; gives exit status and the one object on standard output.
pub fn check_json(args: &[&str]) -> (i32, Value) {
    let output =
        run(&[&["check", "--format", "json", "--allow-network", "127.0.0.0/8"], args].concat());
    let text = String::from_utf8(output.stdout).expect("text");
    let value = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text:?}\n{}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code().expect("an exit status"), value)
}

/// The rules that a report finds out of range.
pub fn rules_out(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().expect("findings");
    let out = findings.iter().filter(|finding| finding["verdict"] == "out_of_range");
    out.map(|finding| finding["rule"].as_str().expect("a rule").to_owned()).collect()
}

/// A port below the ephemeral range that is free for TCP and UDP now, and that no other test of
/// this machine was given lately.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in 0..500 {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let spread = std::process::id().wrapping_mul(7919) as u16;
        let port = 12_000 + spread.wrapping_add(nth.wrapping_mul(13)) % 18_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok()
            && UdpSocket::bind(("127.0.0.1", port)).is_ok()
        {
            return port;
        }
    }
    panic!("no free port below 32768");
}

/// A child that is killed when the test ends, however it ends.
pub struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts it, with its output in a file of the folder.
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Self {
        let log = std::fs::File::create(folder.join(format!("{name}.log"))).expect("a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{name} could not be started ({error}); tests/run installs it")
            });
        Self { child, name: name.to_owned() }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by name.
    pub fn signal(&self, signal: &str) {
        let status =
            Command::new("kill").args([&format!("-{signal}"), &self.id().to_string()]).status();
        assert!(status.expect("kill runs").success(), "{} is gone", self.name);
    }

    /// Waits for its end.
    pub fn wait(&mut self, patience: Duration) -> Option<i32> {
        for _ in 0..patience.as_millis() / 20 {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status.code();
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("{} did not end within {patience:?}", self.name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks again and again until the answer is there.
pub fn eventually<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..=patience.as_millis() / 50 {
        if let Some(answer) = ask() {
            return answer;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("waited {patience:?} for {what}");
}

/// A plain HTTP/1.1 request to loopback; status and body.
pub fn http(
    method: &str,
    port: u16,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<(u16, String)> {
    #[expect(clippy::disallowed_methods, reason = "a test's client, not a probe")]
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += &format!("Host: 127.0.0.1:{port}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).ok()?;
    let mut reader = BufReader::new(stream);
    let mut status = String::new();
    reader.read_line(&mut status).ok()?;
    let code = status.split(' ').nth(1)?.parse().ok()?;
    let mut chunked = false;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        chunked |= line.to_ascii_lowercase().starts_with("transfer-encoding: chunked");
        if line.trim().is_empty() {
            break;
        }
    }
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).ok()?;
    let bytes = if chunked { dechunk(&bytes) } else { bytes };
    Some((code, String::from_utf8_lossy(&bytes).into_owned()))
}

/// GET of a JSON document.
pub fn get_json(port: u16, path: &str) -> Option<Value> {
    let (status, body) = http("GET", port, path, &[], "")?;
    (status == 200).then(|| serde_json::from_str(&body).expect("JSON"))
}

fn dechunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end])
            .ok()
            .and_then(|hex| usize::from_str_radix(hex.trim(), 16).ok());
        let (Some(size), start) = (size, end + 2) else { break };
        if size == 0 || bytes.len() < start + size {
            break;
        }
        whole.extend_from_slice(&bytes[start..start + size]);
        bytes = bytes.get(start + size + 2..).unwrap_or_default();
    }
    whole
}

/// A running daemon with its config in a folder of its own.
pub struct Daemon {
    /// The process.
    pub process: Process,
    /// The listener's port.
    pub port: u16,
    /// The folder of config and data.
    pub folder: PathBuf,
}

impl Daemon {
    /// Writes the config, starts the daemon on a free port and waits until it is ready.
    pub fn start(folder: &Path, config: &str) -> Self {
        let port = free_port();
        std::fs::write(folder.join("secchi.yaml"), config).expect("a config");
        let daemon = Self { process: Self::launch(folder, port), port, folder: folder.to_owned() };
        daemon.wait_ready();
        daemon
    }

    /// Starts the same daemon again.
    pub fn restart(&mut self) {
        self.process = Self::launch(&self.folder, self.port);
        self.wait_ready();
    }

    /// Starts the process only.
    pub fn launch(folder: &Path, port: u16) -> Process {
        let mut command = secchi();
        command.arg("run").arg("--config").arg(folder.join("secchi.yaml"));
        command
            .arg("--data-dir")
            .arg(folder.join("data"))
            .args(["--listen", &format!("127.0.0.1:{port}")]);
        Process::start("secchi", &mut command, folder)
    }

    /// Waits for `/-/ready`.
    pub fn wait_ready(&self) {
        eventually("the daemon to be ready", Duration::from_secs(20), || {
            http("GET", self.port, "/-/ready", &[], "").filter(|(status, _)| *status == 200)
        });
    }

    /// The API's findings, with a query such as `?state=confirmed`.
    pub fn findings(&self, query: &str) -> Vec<Value> {
        let page = get_json(self.port, &format!("/api/v1/findings{query}")).expect("findings");
        page["findings"].as_array().expect("a list").clone()
    }

    /// `/metrics`.
    pub fn metrics(&self) -> String {
        http("GET", self.port, "/metrics", &[], "").expect("metrics").1
    }

    /// Waits until a finding of the rule is in the state.
    pub fn wait_finding(&self, rule: &str, state: &str, patience: Duration) -> Value {
        eventually(&format!("{rule} {state}"), patience, || {
            self.findings("")
                .into_iter()
                .find(|finding| finding["rule"] == rule && finding["state"] == state)
        })
    }
}
