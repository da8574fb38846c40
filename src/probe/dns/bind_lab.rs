//! A signed internet of BIND's on loopback: root, `test` and zones of every kind of trouble, on
//! 127.0.0.1; a second server on ::1 has some of them in a state of its own.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;

/// Servers that end with the test.
pub(super) struct BindLab {
    /// The port of every server.
    pub(super) port: u16,
    /// The root's key, in presentation form.
    pub(super) anchor: String,
    /// The root in named.root form.
    pub(super) hints: &'static str,
    _servers: [Named; 2],
    _dir: TempDir,
}

/// One zone below `test`.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    /// Its name.
    pub(super) name: &'static str,
    /// Records beside its apex.
    pub(super) records: &'static str,
    /// Words for dnssec-signzone; `None` leaves it unsigned.
    pub(super) signed: Option<&'static str>,
    /// How the parent names its keys.
    pub(super) ds: GivenDs,
    /// What is replaced in the signed file.
    pub(super) spoilt: Option<(&'static str, &'static str)>,
    /// How the second server's file is signed, if it has another.
    pub(super) second: Option<&'static str>,
}

/// DS records at the parent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum GivenDs {
    /// None.
    None,
    /// dnssec-dsfromkey's, with this word.
    Of(&'static str),
    /// One that names no key.
    Foreign(&'static str),
}

/// A zone signed as it should be.
pub(super) fn sound(name: &'static str) -> Zone {
    Zone { name, records: "", signed: Some(""), ds: GivenDs::Of("-2"), spoilt: None, second: None }
}

/// Root, `test` and the zones, signed, as files `NAME.signed` of a folder.
pub(super) struct Signed {
    /// The folder.
    pub(super) dir: TempDir,
    /// The root's key, in presentation form.
    pub(super) anchor: String,
}

impl Signed {
    /// Signs. Signatures hold from 2026-09-01 to 2026-10-01 where a zone says nothing.
    pub(super) fn of(zones: &[Zone]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path();
        let mut delegations = String::new();
        for zone in zones {
            zone.write(path, &mut delegations);
        }
        let tld =
            format!("$TTL 60\n@ SOA ns hm 1 60 60 600 60\n@ NS ns\nns A 127.0.0.1\n{delegations}");
        keys(path, "test");
        sign(path, "test", &tld, "-3 - -A", "test");
        let root = "$TTL 60\n@ SOA a.root. hm. 1 60 60 600 60\n@ NS a.root.\na.root. A 127.0.0.1\n\
                    test. NS ns.test.\nns.test. A 127.0.0.1\n";
        let root = format!("{root}{}", digests(path, "test", "-2"));
        keys(path, ".");
        sign(path, ".", &root, "", "root");
        let anchor = std::fs::read_to_string(key_file(path, ".", "257")).expect("a key");
        Self { dir, anchor }
    }
}

impl BindLab {
    /// Signs and serves.
    pub(super) async fn start(zones: &[Zone]) -> Self {
        let Signed { dir, anchor } = Signed::of(zones);
        for port in crate::testing::ports() {
            let first = Named::start(dir.path(), "127.0.0.1", port, zones).await;
            let second = Named::start(dir.path(), "::1", port, zones).await;
            if let (Some(first), Some(second)) = (first, second) {
                let servers = [first, second];
                return Self { port, anchor, hints: HINTS, _servers: servers, _dir: dir };
            }
        }
        panic!("no free port");
    }
}

impl Zone {
    fn write(&self, dir: &Path, delegations: &mut String) {
        let name = self.name;
        let six = if self.second.is_some() { "ns AAAA ::1\n" } else { "" };
        let text = format!(
            "$TTL 300\n@ SOA ns hm 7 60 60 600 60\n@ NS ns\nns A 127.0.0.1\n{six}@ A 192.0.2.1\n{}",
            self.records
        );
        let _ = write!(delegations, "{name}. NS ns.{name}.\nns.{name}. A 127.0.0.1\n");
        if self.second.is_some() {
            let _ = writeln!(delegations, "ns.{name}. AAAA ::1");
        }
        if self.signed.is_some() || self.ds != GivenDs::None {
            keys(dir, name);
        }
        match self.signed {
            Some(words) => sign(dir, name, &text, words, name),
            None => std::fs::write(dir.join(format!("{name}.signed")), &text).expect("a zone file"),
        }
        if let Some(words) = self.second {
            sign(dir, name, &text, words, &format!("{name}.second"));
        }
        if let Some((from, to)) = self.spoilt {
            let file = dir.join(format!("{name}.signed"));
            let signed = std::fs::read_to_string(&file).expect("a zone file");
            assert!(signed.contains(from), "{name}: nothing to spoil: {signed}");
            std::fs::write(file, signed.replacen(from, to, 1)).expect("a zone file");
        }
        match self.ds {
            GivenDs::None => {}
            GivenDs::Of(word) => delegations.push_str(&digests(dir, name, word)),
            GivenDs::Foreign(digest_type) => {
                let digest = "AB".repeat(if digest_type == "1" { 20 } else { 32 });
                let _ = writeln!(delegations, "{name}. DS 4711 13 {digest_type} {digest}");
            }
        }
    }
}

fn tool(dir: &Path, name: &str, arguments: &[&str]) -> String {
    let run = Command::new(name).current_dir(dir).args(arguments).output();
    let output = run.unwrap_or_else(|error| panic!("{name} (package bind9): {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn keys(dir: &Path, zone: &str) {
    let algorithm = ["-a", "ECDSAP256SHA256", zone];
    tool(dir, "dnssec-keygen", &algorithm);
    tool(dir, "dnssec-keygen", &[&["-f", "KSK"], &algorithm[..]].concat());
}

fn sign(dir: &Path, zone: &str, text: &str, words: &str, file: &str) {
    let plain = format!("{file}.zone");
    std::fs::write(dir.join(&plain), text).expect("a zone file");
    let mut given: Vec<&str> = words.split_whitespace().collect();
    for (word, date) in [("-s", "20260901000000"), ("-e", "20261001000000")] {
        if !given.contains(&word) {
            given.extend([word, date]);
        }
    }
    let signed = format!("{file}.signed");
    let fixed = ["-S", "-P", "-x", "-o", zone, "-f", &signed];
    tool(dir, "dnssec-signzone", &[&fixed[..], &given, &[&plain]].concat());
}

/// The file of a zone's key with these flags.
fn key_file(dir: &Path, zone: &str, flags: &str) -> PathBuf {
    let prefix = format!("K{}.+", zone.trim_end_matches('.'));
    let files = std::fs::read_dir(dir).expect("a directory");
    let mut files = files.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&prefix) && name.ends_with(".key")
    });
    let is_it = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.contains(&format!("DNSKEY {flags} "))
    };
    files.find(is_it).expect("a key")
}

/// A zone's DS records as lines of its parent.
fn digests(dir: &Path, zone: &str, word: &str) -> String {
    let file = key_file(dir, zone, "257");
    tool(dir, "dnssec-dsfromkey", &[word, &file.to_string_lossy()])
}

/// `named` that ends with the test.
struct Named(Child);

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Named {
    async fn start(dir: &Path, address: &str, port: u16, zones: &[Zone]) -> Option<Self> {
        let is_second = address == "::1";
        let (four, six) = if is_second { ("none", "::1") } else { ("127.0.0.1", "none") };
        let path = dir.display();
        let mut config = format!(
            "options {{ directory \"{path}\"; pid-file none; session-keyfile none; recursion no;
              dnssec-validation no; notify no; allow-transfer {{ none; }}; minimal-responses yes;
              listen-on port {port} {{ {four}; }}; listen-on-v6 port {port} {{ {six}; }}; }};
             controls {{ }};\n"
        );
        let mut serve = |name: &str, file: &str| {
            let _ = writeln!(config, "zone \"{name}\" {{ type primary; file \"{file}\"; }};");
        };
        for zone in zones {
            match (is_second, zone.second) {
                (false, _) => serve(zone.name, &format!("{}.signed", zone.name)),
                (true, Some(_)) => serve(zone.name, &format!("{}.second.signed", zone.name)),
                (true, None) => {}
            }
        }
        if !is_second {
            serve("test", "test.signed");
            serve(".", "root.signed");
        }
        let file = dir.join(format!("{}.conf", address.replace(':', "_")));
        std::fs::write(&file, config).expect("a config");
        let log = std::fs::File::create(file.with_extension("log")).expect("a log");
        let child = Command::new("/usr/sbin/named")
            .args(["-g", "-n", "1", "-c"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let mut named = Self(child.expect("/usr/sbin/named (package bind9)"));
        for _ in 0..200 {
            if TcpStream::connect((address, port)).await.is_ok() {
                return Some(named);
            }
            if let Ok(Some(_)) = named.0.try_wait() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let log = std::fs::read_to_string(file.with_extension("log")).unwrap_or_default();
        assert!(log.contains("address in use"), "named did not start: {log}");
        None
    }
}

/// The root in named.root form.
pub(super) const HINTS: &str = ". 60 NS a.root.\na.root. 60 A 127.0.0.1\n";
