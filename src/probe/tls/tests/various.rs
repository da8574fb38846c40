//! The same questions to servers of other makes, over every bad way: HAProxy, PostgreSQL behind its own
//! STARTTLS, and tlslite-ng, which is strict and speaks SSLv3.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::sample::{Measurements, Outcome};
use crate::testing::{Leaf, Pki, free_port};

use super::peers::OpenSsl;
use super::ways::Way;
use super::{Ask, fact, why};

/// A server in a folder of its own, killed when dropped.
struct Peer {
    port: u16,
    child: Child,
    _files: TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    async fn start(files: TempDir, port: u16, mut command: Command) -> Self {
        let command = command.current_dir(files.path()).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let peer = Self { port, child: child.expect("it starts"), _files: files };
        for _ in 0..400 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return peer;
            }
            sleep(Duration::from_millis(25)).await;
        }
        panic!("{command:?} does not listen");
    }

    async fn haproxy(leaf: &Leaf) -> Self {
        let (files, port) = (folder(leaf), free_port().await);
        let config = format!(
            "defaults\n  mode http\n  timeout client 5s\n  timeout connect 5s\n  timeout server 5s\n\
             frontend lab\n  bind 127.0.0.1:{port} ssl crt both.pem ssl-min-ver TLSv1.2 curves X25519:P-256 \
             alpn h2,http/1.1 ciphers {SUITES}\n  http-request return status 200\n"
        );
        std::fs::write(files.path().join("haproxy.cfg"), config).expect("a config");
        let home = Path::new("/usr/sbin/haproxy");
        let mut command = Command::new(if home.exists() { home } else { Path::new("haproxy") });
        command.args(["-db", "-f", "haproxy.cfg"]);
        Self::start(files, port, command).await
    }

    async fn tlslite(leaf: &Leaf) -> Self {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/tlslite");
        assert!(home.exists(), "{} is missing; tests/run installs it", home.display());
        let (files, port) = (folder(leaf), free_port().await);
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", home).args(["-c", TLSLITE, &port.to_string()]);
        Self::start(files, port, command).await
    }

    /// With a fresh cluster. It refuses to be root, so root gives it the package's user.
    async fn postgresql(leaf: &Leaf) -> Self {
        let (files, port) = (folder(leaf), free_port().await);
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let home = versions.map(|version| version.path().join("bin")).max();
        let home = home.expect("PostgreSQL; tests/run installs it");
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        let as_user = |program: &str| {
            if !is_root {
                return Command::new(home.join(program));
            }
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
            command.arg(home.join(program));
            command
        };
        let path = files.path();
        std::fs::set_permissions(path.join("key.pem"), Permissions::from_mode(0o600))
            .expect("0600");
        if is_root {
            let given = Command::new("chown").args(["-R", "postgres:"]).arg(path).status();
            assert!(given.expect("chown").success());
        }
        let data = path.join("data");
        let made = as_user("initdb").args(["-N", "-U", "postgres", "-D"]).arg(&data).output();
        let made = made.expect("initdb runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut command = as_user("postgres");
        command.args(["-h", "127.0.0.1", "-k", "", "-p", &port.to_string(), "-D"]).arg(&data);
        for (key, value) in [
            ("ssl", "on"),
            ("ssl_cert_file", &path.join("cert.pem").display().to_string()),
            ("ssl_key_file", &path.join("key.pem").display().to_string()),
            ("ssl_ciphers", SUITES),
        ] {
            command.args(["-c", &format!("{key}={value}")]);
        }
        Self::start(files, port, command).await
    }
}

fn folder(leaf: &Leaf) -> TempDir {
    let files = TempDir::new().expect("a folder");
    for (name, text) in [
        ("cert.pem", leaf.certificate.clone()),
        ("key.pem", leaf.key.clone()),
        ("both.pem", format!("{}{}", leaf.certificate, leaf.key)),
    ] {
        std::fs::write(files.path().join(name), text).expect("a file");
    }
    files
}

/// Whether the reader of the tests chose to skip a peer by name.
fn is_skipped(package: &str) -> bool {
    let skipped = std::env::var("SECCHI_SKIP_PEERS").unwrap_or_default();
    let skip = skipped.split_whitespace().any(|name| name == package);
    if skip {
        eprintln!("skipped: SECCHI_SKIP_PEERS names {package}");
    }
    skip
}

fn ask(scheme: &'static str, seconds: u64) -> Ask {
    Ask { scheme, budget: Duration::from_secs(seconds), ..Ask::default() }
}

/// What is offered is offered or unknown, and a set that is called whole lacks nothing.
fn assert_nothing_false(truth: &Value, m: &Measurements, how: &str) {
    let offered = fact(m, "/versions");
    let is_offered =
        |version: &str| offered.as_array().is_some_and(|all| all.contains(&json!(version)));
    let is_open =
        |key: &str, of: &str| why(m, key).is_some() || why(m, &format!("{key}[{of}]")).is_some();
    for version in truth["versions"].as_array().expect("versions") {
        let version = version.as_str().expect("a version");
        assert!(is_offered(version) || is_open("versions", version), "{how}: no {version}");
        for key in ["cipher_suites", "groups", "signature_schemes"] {
            let Some(all) = truth[key][version].as_array() else { continue };
            if !is_offered(version) || is_open(key, version) {
                continue;
            }
            let seen = fact(m, &format!("/{key}/{version}"));
            for member in all {
                let is_seen = seen.as_array().is_some_and(|seen| seen.contains(member));
                assert!(is_seen, "{how}: {member} is missing of {key} of {version}");
            }
        }
    }
}

async fn over_every_way(scheme: &'static str, port: u16, truth: &Value, ways: &[Way]) {
    for way in ways {
        let mut run = ask(scheme, 20).sample(way.to(port).await).await;
        let Outcome::Measured(m) = run.observations.swap_remove(0).outcome else { continue };
        assert_nothing_false(truth, &m, &format!("{way:?}"));
        if matches!(way, Way::OneAtATime | Way::Dribble | Way::Split | Way::NoMoreThan(_)) {
            // These hide nothing from who is patient.
            assert_eq!(fact(&m, "/versions"), truth["versions"], "{way:?}");
        }
        if matches!(way, Way::Mixed(_)) {
            assert!(fact(&m, "/configurations").as_u64() > Some(1), "{way:?}");
        }
    }
}

const WAYS: [Way; 5] =
    [Way::OneAtATime, Way::NoMoreThan(512), Way::Dribble, Way::Reset, Way::Rate(8)];

#[tokio::test]
async fn haproxy_is_known_whole_and_no_way_to_it_makes_anything_absent() {
    if is_skipped("haproxy") {
        return;
    }
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"], true);
    let peer = Peer::haproxy(&leaf).await;
    let m = ask("", 20).measure(peer.port).await;
    assert_eq!(fact(&m, "/versions"), json!(["TLSv1.2", "TLSv1.3"]));
    assert_eq!(fact(&m, "/cipher_suites/TLSv1.2"), json!(NAMES));
    assert_eq!(fact(&m, "/server_order/TLSv1.2"), true);
    assert_eq!(fact(&m, "/groups/TLSv1.2").as_array().map(Vec::len), Some(2));
    assert_eq!(fact(&m, "/alpn"), json!(["h2", "http/1.1"]));
    for key in ["cipher_suites", "groups", "signature_schemes", "versions"] {
        assert!(
            !m.unknowns().keys().any(|path| path.starts_with(key)),
            "{key}: {:?}",
            m.unknowns()
        );
    }
    let truth = serde_json::to_value(&m).expect("JSON");
    let other = OpenSsl::start(&[&pki.leaf(&["a.test"], true)], "", &["-tls1_2"]).await;
    let ways = [&WAYS[..], &[Way::Split, Way::Mixed(other.port)]].concat();
    over_every_way("", peer.port, &truth, &ways).await;
}

#[tokio::test]
async fn postgresql_is_known_whole_behind_its_own_starttls_over_every_way() {
    if is_skipped("postgresql") {
        return;
    }
    let pki = Pki::new();
    let peer = Peer::postgresql(&pki.leaf(&["a.test"], true)).await;
    let m = ask("starttls+postgres://", 20).measure(peer.port).await;
    assert_eq!(fact(&m, "/starttls"), "offered");
    assert_eq!(fact(&m, "/versions"), json!(["TLSv1.2", "TLSv1.3"]));
    assert_eq!(fact(&m, "/cipher_suites/TLSv1.2"), json!(NAMES));
    assert_eq!(fact(&m, "/groups/TLSv1.3"), json!(["secp256r1"]));
    assert_eq!(fact(&m, "/server_order/TLSv1.2"), true);
    let truth = serde_json::to_value(&m).expect("JSON");
    over_every_way("starttls+postgres://", peer.port, &truth, &WAYS).await;
}

#[tokio::test]
async fn the_strict_tlslite_is_known_whole_down_to_sslv3() {
    if is_skipped("tlslite-ng") {
        return;
    }
    let pki = Pki::new();
    let peer = Peer::tlslite(&pki.leaf(&["a.test"], true)).await;
    let m = ask("", 60).measure(peer.port).await;
    let versions = json!(["SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"]);
    assert_eq!(fact(&m, "/versions"), versions);
    let has = |version: &str, name: &str| {
        let suites = fact(&m, &format!("/cipher_suites/{version}"));
        suites.as_array().is_some_and(|all| all.contains(&json!(name)))
    };
    assert!(has("SSLv3", "TLS_RSA_WITH_3DES_EDE_CBC_SHA"));
    assert!(has("TLSv1.2", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"));
    for key in ["cipher_suites", "versions"] {
        assert!(
            !m.unknowns().keys().any(|path| path.starts_with(key)),
            "{key}: {:?}",
            m.unknowns()
        );
    }
    let truth = serde_json::to_value(&m).expect("JSON");
    over_every_way("", peer.port, &truth, &[Way::OneAtATime, Way::Dribble, Way::Reset]).await;
}

#[tokio::test]
async fn who_answers_nothing_or_in_http_is_unknown_for_that() {
    let ask = |seconds| Ask { budget: Duration::from_secs(seconds), ..Ask::default() };
    let why = ask(3).why_nothing(Way::Tarpit.to(0).await).await;
    assert_eq!(why.reason, crate::sample::Reason::Timeout);
    let why = ask(10).why_nothing(Way::Http.to(0).await).await;
    assert_eq!(why.reason, crate::sample::Reason::NotTls);
}

/// By OpenSSL's names, and by IANA's.
const SUITES: &str =
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-SHA256";
const NAMES: [&str; 3] = [
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

const TLSLITE: &str = r#"
import socket, sys, threading
from tlslite.api import TLSConnection, X509CertChain, HandshakeSettings, parsePEMKey
chain = X509CertChain()
chain.parsePemList(open("cert.pem").read())
key = parsePEMKey(open("key.pem").read(), private=True)
settings = HandshakeSettings()
settings.minVersion = (3, 0)
settings.cipherNames = settings.cipherNames + ["3des"]
def serve(connection):
    try:
        tls = TLSConnection(connection)
        tls.handshakeServer(certChain=chain, privateKey=key, settings=settings)
        tls.close()
    except Exception:
        pass
    connection.close()
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(64)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;
