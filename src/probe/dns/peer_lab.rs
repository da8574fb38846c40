//! Other brands of server beside BIND: Knot as the authority of every zone, Unbound as a recursive
//! server before it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::bind_lab::{Signed, Zone};
use super::text;
use super::wire::{self, Question, Style};

/// A server that ends with the test.
pub(super) struct Peer {
    child: Child,
    /// Where it listens.
    pub(super) at: SocketAddr,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Knot with root, `test` and the zones.
pub(super) async fn knot(signed: &Signed, zones: &[Zone]) -> Peer {
    let path = signed.dir.path().display();
    let served: Vec<(&str, &str)> = [(".", "root"), ("test", "test")]
        .into_iter()
        .chain(zones.iter().map(|z| (z.name, z.name)))
        .collect();
    let mut lines = String::new();
    for (zone, file) in &served {
        let _ = writeln!(lines, "  - domain: {zone}\n    file: {file}.signed");
    }
    let names: Vec<&str> = served.iter().map(|(zone, _)| *zone).collect();
    start(
        "knotd",
        &names,
        |at, folder| {
            let config = format!(
                "server:\n  rundir: {path}\n  listen: {}@{}\n  identity: \"\"\n  version: \"\"\n\
             database:\n  storage: {path}/db\nlog:\n  - target: {path}/knot.log\n    any: warning\n\
             template:\n  - id: default\n    storage: {path}\n    zonefile-sync: -1\n\
             \x20   semantic-checks: off\nzone:\n{lines}",
                at.ip(),
                at.port()
            );
            let file = folder.join("knot.conf");
            std::fs::write(&file, config).expect("a config");
            vec!["-c".into(), file.into()]
        },
        signed.dir.path(),
    )
    .await
}

/// Unbound that asks `authority` for root, `test` and the zones, and validates by the root's key at a
/// time within the signatures. `lines` are further ones of its `server` block.
pub(super) async fn unbound(
    signed: &Signed,
    zones: &[Zone],
    authority: SocketAddr,
    lines: &str,
) -> Peer {
    let path = signed.dir.path().display();
    std::fs::write(signed.dir.path().join("anchor"), &signed.anchor).expect("an anchor");
    let mut stubs = String::new();
    for zone in [".", "test"].into_iter().chain(zones.iter().map(|zone| zone.name)) {
        let (ip, port) = (authority.ip(), authority.port());
        let _ = writeln!(stubs, "stub-zone:\n  name: \"{zone}\"\n  stub-addr: {ip}@{port}");
    }
    start("unbound", &["good.test"], |at, folder| {
        let port = at.port();
        let config = format!(
            "server:\n  directory: \"{path}\"\n  chroot: \"\"\n  username: \"\"\n  use-syslog: no\n\
             \x20 pidfile: \"{path}/unbound-{port}.pid\"\n  logfile: \"{path}/unbound-{port}.log\"\n\
             \x20 interface: {}@{port}\n  port: {port}\n  num-threads: 1\n  do-ip6: no\n\
             \x20 do-not-query-localhost: no\n  val-override-date: \"20260915000000\"\n  ede: yes\n\
             \x20 trust-anchor-file: \"{path}/anchor\"\n  local-zone: \"test.\" nodefault\n{lines}\
             remote-control:\n  control-enable: no\n{stubs}",
            at.ip()
        );
        let file = folder.join(format!("unbound-{port}.conf"));
        std::fs::write(&file, config).expect("a config");
        vec!["-d".into(), "-c".into(), file.into()]
    }, signed.dir.path())
    .await
}

/// Starts a program of /usr/sbin on a free port and waits until it answers for every name.
async fn start(
    program: &str,
    names: &[&str],
    config: impl Fn(SocketAddr, &Path) -> Vec<std::ffi::OsString>,
    folder: &Path,
) -> Peer {
    for port in crate::testing::ports() {
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        if UdpSocket::bind(at).await.is_err() {
            continue;
        }
        let arguments = config(at, folder);
        let child = Command::new(format!("/usr/sbin/{program}"))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("/usr/sbin/{program} (Debian): {error}"));
        let mut peer = Peer { child, at };
        for _ in 0..200 {
            if answers(at, names).await {
                return peer;
            }
            if let Ok(Some(_)) = peer.child.try_wait() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let logs = std::fs::read_dir(folder).expect("a folder").flatten();
    let logs = logs.filter(|file| file.path().extension().is_some_and(|e| e == "log"));
    let said: String = logs.filter_map(|file| std::fs::read_to_string(file.path()).ok()).collect();
    panic!("{program} did not start: {said}");
}

async fn answers(at: SocketAddr, names: &[&str]) -> bool {
    for name in names {
        let name = text::name(name).expect("a name");
        let question = Question::of(&name, RecordType::SOA).recursive();
        let style = Style { edns: true, mixed_case: false };
        let sent = wire::write(&question, style, &mut fastrand::Rng::with_seed(1)).expect("fits");
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        socket.connect(at).await.expect("a peer");
        let mut buffer = [0; 4096];
        let heard = async {
            socket.send(&sent.octets).await.ok()?;
            let length = socket.recv(&mut buffer).await.ok()?;
            Message::from_vec(&buffer[..length]).ok()
        };
        let heard = timeout(Duration::from_millis(500), heard).await.ok().flatten();
        let is_served = heard.is_some_and(|message| {
            message.metadata.response_code == ResponseCode::NoError && !message.answers.is_empty()
        });
        if !is_served {
            return false;
        }
    }
    true
}

/// Whether a peer is left out by name (`SECCHI_SKIP_PEERS`).
pub(super) fn is_skipped(package: &str) -> bool {
    let skipped = std::env::var("SECCHI_SKIP_PEERS").unwrap_or_default();
    skipped.split_whitespace().any(|name| name == package)
}
