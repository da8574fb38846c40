//! The probe against BIND with a signed zone: what a real server sends of signatures.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;

use super::lab::{Lab, Script};
use super::tests::{asked, fact};
use crate::target::TextFile;

/// `named` that ends with the test.
struct Named(Child);

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn tool(dir: &Path, name: &str, arguments: &[&str]) -> String {
    let run = Command::new(name).current_dir(dir).args(arguments).output();
    let output = run.unwrap_or_else(|error| panic!("{name} (package bind9): {error}"));
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A zone signed from 2026-09-01 to 2026-10-01, and its DS records.
fn signed_zone(dir: &Path) -> Vec<String> {
    let zone = "$TTL 300\n@ SOA ns1 hm 7 60 60 600 60\n@ NS ns1\nns1 A 127.0.0.1\n@ A 192.0.2.1\n\
                @ TXT \"v=spf1 \" \"-all\"\n@ CAA 0 issue \"ca.example\"\n";
    std::fs::write(dir.join("zone"), zone).expect("a zone file");
    let algorithm = ["-a", "ECDSAP256SHA256", "shop.test"];
    tool(dir, "dnssec-keygen", &algorithm);
    tool(dir, "dnssec-keygen", &[&["-f", "KSK"], &algorithm[..]].concat());
    let (from, until) = ("20260901000000", "20261001000000");
    tool(dir, "dnssec-signzone", &["-S", "-P", "-s", from, "-e", until, "-o", "shop.test", "zone"]);
    let set = std::fs::read_to_string(dir.join("dsset-shop.test.")).expect("a DS set");
    set.lines()
        .filter_map(|line| line.split_once("DS"))
        .map(|(_, data)| data.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

async fn named(dir: PathBuf, port: u16) -> Named {
    let path = dir.display();
    // Hints and no validation: a server that asks nobody beyond loopback.
    std::fs::write(dir.join("hints"), HINTS).expect("hints");
    let config = format!(
        "options {{ directory \"{path}\"; pid-file none; session-keyfile none; recursion no;
          dnssec-validation no; notify no; listen-on-v6 {{ none; }}; allow-transfer {{ none; }};
          listen-on port {port} {{ 127.0.0.1; }}; query-source address 127.0.0.1; }};
         controls {{ }};
         zone \".\" {{ type hint; file \"hints\"; }};
         zone \"shop.test\" {{ type primary; file \"zone.signed\"; }};"
    );
    std::fs::write(dir.join("named.conf"), config).expect("a config");
    let child = Command::new("/usr/sbin/named")
        .args(["-g", "-4", "-n", "1", "-c"])
        .arg(dir.join("named.conf"))
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(dir.join("log")).expect("a log"))
        .spawn();
    let child = Named(child.expect("/usr/sbin/named (package bind9)"));
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return child;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let log = std::fs::read_to_string(dir.join("log")).unwrap_or_default();
    panic!("named did not start: {log}");
}

#[tokio::test]
async fn a_signed_zone_of_bind_shows_when_its_signatures_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let ds = signed_zone(dir.path());
    let tld = ds.iter().fold(
        "test 60 SOA 1\nshop.test 60 NS ns1.shop.test\nns1.shop.test 60 A 127.0.0.1".to_owned(),
        |zone, ds| format!("{zone}\nshop.test 60 DS {ds}"),
    );
    let root = ". 60 SOA 1\ntest 60 NS ns.tld.test\nns.tld.test 60 A 127.0.0.2";
    let lab =
        Lab::start(vec![(6, Script::of(&[(".", root)])), (2, Script::of(&[("test", &tld)]))]).await;
    let _named = named(dir.path().to_path_buf(), lab.port).await;

    let pins = json!({"shop.test": {"TXT": {"exact": "v=spf1 -all"}}});
    let mut asked = asked(&lab).pins(pins);
    asked.settings.root_hints = Some(TextFile { path: "hints".into(), text: HINTS.into() });
    let m = asked.facts("shop.test").await;
    let dnssec = fact(&m, &["dnssec", "127.0.0.1"]);
    assert_eq!(dnssec["expires"], "2026-10-01T00:00:00Z");
    assert_eq!(dnssec["valid_from"], "2026-09-01T00:00:00Z");
    assert_eq!(dnssec["state"], "indeterminate", "never secure without validation: {dnssec}");
    assert_eq!(fact(&m, &["delegation", "servers", "127.0.0.1", "state"]), "ok");
    assert_eq!(fact(&m, &["transfer", "127.0.0.1"]), "refused");
    assert_eq!(fact(&m, &["recursion", "127.0.0.1"]), false);
    assert_eq!(fact(&m, &["drift"]), &json!([]));
    assert_eq!(fact(&m, &["caa", "issue"]), &json!(["ca.example"]));
    let version = fact(&m, &["servers", "127.0.0.1", "version"]).as_str().unwrap_or("");
    assert!(version.starts_with('9'), "{version}");

    asked.now += chrono::TimeDelta::days(30);
    let m = asked.facts("shop.test").await;
    let dnssec = fact(&m, &["dnssec", "127.0.0.1"]);
    assert_eq!(dnssec["state"], "bogus");
    assert_eq!(dnssec["reason"], "signature_expired");
}

/// The root is scripted: BIND listens on an interface's own addresses only, and has the first.
const HINTS: &str = ". 60 NS a.root.test.\na.root.test. 60 A 127.0.0.6\n";
