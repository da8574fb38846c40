//! A network of two namespaces and a wire between them: `here`, where Secchi runs, and `there`, the
//! host that it looks at, with what rules of nftables a test gives it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::Process;
use super::peers::find;

/// The host's addresses.
pub const THERE: &str = "10.77.0.2";
/// Its IPv6 address.
pub const THERE6: &str = "fd77::2";

/// The namespaces; they go with the test.
pub struct Net {
    here: String,
    there: String,
}

impl Net {
    /// Makes the network; `None`, said by name, where this machine does not permit it.
    pub fn start(test: &str) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |side: &str| format!("secchi-{}-{nth}-{side}", std::process::id());
        let net = Self { here: name("a"), there: name("b") };
        let made = ip(&["netns", "add", &net.here]) && ip(&["netns", "add", &net.there]);
        if !made || !net.nft("flush ruleset\n") {
            eprintln!("skipped: {test}: no network namespaces or nftables here");
            return None;
        }
        let (here, there) = (net.here.as_str(), net.there.as_str());
        let wire = ["link", "add", "v", "netns", here, "type", "veth", "peer"];
        assert!(ip(&[&wire[..], &["name", "v", "netns", there]].concat()));
        for (side, last) in [(here, "1"), (there, "2")] {
            let (v4, v6) = (format!("10.77.0.{last}/24"), format!("fd77::{last}/64"));
            assert!(ip(&["-n", side, "addr", "add", &v4, "dev", "v"]));
            assert!(ip(&["-n", side, "addr", "add", &v6, "dev", "v", "nodad"]));
            for device in ["lo", "v"] {
                assert!(ip(&["-n", side, "link", "set", device, "up"]));
            }
        }
        Some(net)
    }

    /// Loads rules on the host.
    pub fn nft(&self, rules: &str) -> bool {
        let mut command = Command::new(find("ip"));
        command.args(["netns", "exec", &self.there, "nft", "-f", "-"]);
        let child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn();
        let Ok(mut child) = child else { return false };
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(rules.as_bytes()).expect("nft reads");
        drop(stdin);
        child.wait().is_ok_and(|status| status.success())
    }

    /// Sets a kernel parameter of the host, `key=value`.
    pub fn set(&self, parameter: &str) -> bool {
        ip(&["netns", "exec", &self.there, "sysctl", "-q", "-w", parameter])
    }

    /// Starts a server on the host.
    pub fn serve(&self, name: &str, program: &Path, args: &[&str], folder: &Path) -> Process {
        let mut command = Command::new(find("ip"));
        command.args(["netns", "exec", &self.there]).arg(program).args(args);
        Process::start(name, command.current_dir(folder), folder)
    }

    /// Waits until something listens on the host's port.
    pub fn wait_port(&self, port: u16) {
        super::eventually(&format!("port {port}"), std::time::Duration::from_secs(15), || {
            let listening = Command::new(find("ip"))
                .args(["netns", "exec", &self.there, "cat", "/proc/net/tcp", "/proc/net/tcp6"])
                .output();
            let text = String::from_utf8(listening.expect("cat runs").stdout).expect("text");
            let wanted = format!(":{port:04X} ");
            let is_there = |line: &&str| line.contains(&wanted) && line.contains(" 0A ");
            text.lines().find(is_there).map(drop)
        });
    }

    /// `secchi check --probe ports` of a target over the wire; exit status and the object.
    pub fn check(&self, args: &[&str]) -> (i32, Value) {
        let output = Command::new(find("ip"))
            .args(["netns", "exec", &self.here, env!("CARGO_BIN_EXE_secchi"), "check"])
            .args(["--format", "json", "--probe", "ports"])
            .args(["--allow-network", "10.0.0.0/8", "--allow-network", "fd77::/64"])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        let text = String::from_utf8(output.stdout).expect("text");
        let value = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{error}: {text:?}\n{}", String::from_utf8_lossy(&output.stderr));
        });
        (output.status.code().expect("an exit status"), value)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for side in [&self.here, &self.there] {
            ip(&["netns", "del", side]);
        }
    }
}

fn ip(args: &[&str]) -> bool {
    let status = Command::new(find("ip")).args(args).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
