//! Names beside what stands behind them, with BIND as root and zone and nginx as the site.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::peers::{Nginx, is_skipped, named};
use crate::support::pki::Pki;
use crate::support::{Daemon, Process, check_json, eventually, free_port, rules_out};

/// A site with its zone.
struct Site {
    folder: TempDir,
    nginx: Nginx,
    pki: Pki,
    port: u16,
    _named: Option<Process>,
}

impl Site {
    /// A site whose certificate an issuer of this name made; its zone comes later.
    fn start(organisation: &str) -> Option<Self> {
        if is_skipped("bind9") || is_skipped("nginx-light") {
            return None;
        }
        let folder = TempDir::new().expect("a folder");
        let pki = Pki::of(folder.path(), organisation);
        write(folder.path(), "hints", ". 60 NS a.root.\na.root. 60 A 127.0.0.1\n");
        let (certificate, key) = pki.leaf("site.test", 2050);
        let nginx = Nginx::start(folder.path(), &certificate, &key, "");
        Some(Self { folder, nginx, pki, port: free_port(), _named: None })
    }

    /// Serves the zone with these records.
    fn serve(&mut self, records: &str) {
        let path = self.folder.path();
        let root = ". 60 SOA a.root. h. 1 60 60 60 60\n. 60 NS a.root.\na.root. 60 A 127.0.0.1\n\
                    site.test. 60 NS ns.site.test.\nns.site.test. 60 A 127.0.0.1\n";
        let zone = format!(
            "$TTL 60\n@ SOA ns h 7 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n@ A 127.0.0.1\n{records}"
        );
        write(path, "root.zone", root);
        write(path, "site.zone", &zone);
        let (port, path) = (self.port, path.display());
        let config = format!(
            "options {{ directory \"{path}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n\
             recursion no; dnssec-validation no; notify no; pid-file none; session-keyfile none; }};\n\
             controls {{ }};\nzone \".\" {{ type primary; file \"root.zone\"; }};\n\
             zone \"site.test\" {{ type primary; file \"site.zone\"; }};\n"
        );
        self._named = Some(named(self.folder.path(), &config));
        eventually("BIND", Duration::from_secs(15), || {
            let dns = self.check("dns");
            dns["samples"][0]["measurements"]["records"].is_object().then_some(())
        });
    }

    fn check(&self, probes: &str) -> Value {
        let path = self.folder.path().display();
        check_json(&[
            "site.test",
            &format!("--probe={probes}"),
            &format!("--connect-to=site.test:443:127.0.0.1:{}", self.nginx.https),
            &format!("--ca-file={}", self.pki.ca()),
            &format!("--root-hints={path}/hints"),
            &format!("--dns-port={}", self.port),
            "--allow-network=127.0.0.0/8",
            "--timeout=5s",
        ])
        .1
    }

    /// The digest of the served key.
    fn key(&self) -> String {
        let report = self.check("tls");
        let digest = &measurements(&report, "tls")["certificates"][0]["spki_sha256"];
        digest.as_str().expect("a digest").to_owned()
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a file");
}

fn measurements<'a>(report: &'a Value, probe: &str) -> &'a Value {
    let samples = report["samples"].as_array().expect("samples");
    let sample = samples.iter().find(|sample| sample["probe"] == probe).expect("a sample");
    &sample["measurements"]
}

const CAA: &str = "@ CAA 0 issue \"digicert.com\"\n";
const LETS_ENCRYPT: &str = "Let's Encrypt";
const TLSA: &str = "_443._tcp.site.test";

#[test]
fn the_certificate_that_is_served_is_held_to_caa_and_tlsa() {
    let Some(mut site) = Site::start(LETS_ENCRYPT) else { return };
    let key = site.key();
    site.serve(&format!("{CAA}_443._tcp TLSA 3 1 1 {key}\n"));
    let report = site.check("dns,tls");
    let dns = measurements(&report, "dns");
    assert_eq!(dns["caa"]["issuance"][LETS_ENCRYPT]["permitted"], false, "{dns}");
    assert_eq!(dns["tlsa"][TLSA]["matches"], true, "{dns}");
    let out = rules_out(&report);
    assert!(out.contains(&"dns-caa-issuer".to_owned()), "{out:?}");
    assert!(!out.contains(&"dns-tlsa".to_owned()), "{out:?}");

    let alone = site.check("dns");
    let dns = measurements(&alone, "dns");
    assert_eq!(dns["caa"]["issuance"], Value::Null, "nobody looked at the certificate");
    assert_eq!(dns["unknown"]["caa.issuance"], "not_observed");
    assert_eq!(dns["tlsa"][TLSA]["matches"], Value::Null);
    assert!(!rules_out(&alone).contains(&"dns-caa-issuer".to_owned()));
}

#[test]
fn the_daemon_holds_names_to_the_certificate_that_it_saw_last() {
    let Some(mut site) = Site::start(LETS_ENCRYPT) else { return };
    site.serve("@ CAA 0 issue \"letsencrypt.org\"\n_443._tcp TLSA 3 1 1 00AA\n");
    let path = site.folder.path();
    let config = format!(
        "scope: {{networks: [127.0.0.0/8], names: [site.test]}}\n\
         plans: {{fast: {{every: 2s}}}}\n\
         budgets: {{per_address: 1000/s, per_network: 1000/s, total: 1000/s}}\n\
         targets:\n  - target: site.test\n    probes: [tls, dns]\n    plan: fast\n\
         \x20   connect_to: [\"site.test:443:127.0.0.1:{}\"]\n    ca_file: ca.pem\n\
         \x20   root_hints: hints\n    dns_port: {}\n",
        site.nginx.https, site.port
    );
    let daemon = Daemon::start(path, &config);
    let finding = daemon.wait_finding("dns-tlsa", "suspected", Duration::from_secs(60));
    assert_eq!(finding["subject"], TLSA);
    assert!(daemon.findings("").iter().all(|finding| finding["rule"] != "dns-caa-issuer"));
    let samples =
        crate::support::get_json(daemon.port, "/api/v1/samples?target=site.test&probe=dns");
    let samples = samples.expect("samples");
    let joined = samples["samples"].as_array().expect("a list").iter().any(|sample| {
        sample["measurements"]["caa"]["issuance"][LETS_ENCRYPT]["permitted"] == json!(true)
    });
    assert!(joined, "{samples}");
}
