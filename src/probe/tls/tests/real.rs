//! Against OpenSSL.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use crate::probe::dial::{Dialer, Unbounded};
use crate::sample::Outcome;
use crate::target::{ProbeKind, Settings};
use crate::testing::{Pki, scripted};

use super::super::enumerate::Order;
use super::super::line::Line;
use super::super::sentinel::Pace;
use super::super::walk::{Manner, Seen, walk};
use super::super::wire::Version;
use super::peers::OpenSsl;
use super::{Ask, fact, why};

const ALL_VERSIONS: &[&str] = &["-cipher", "ALL:@SECLEVEL=0"];

#[tokio::test]
async fn a_current_server_is_measured_whole() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"], false);
    let server = OpenSsl::start(&[&leaf], &pki.intermediate, &["-no_tls1_1", "-no_tls1"]).await;
    let ask = Ask { ca: Some(pki.root.clone()), ..Ask::default() };
    let run = ask.sample(server.port).await;
    assert!(
        run.observations[0].connections <= 42,
        "{} connections",
        run.observations[0].connections
    );
    let m = Ask { ca: Some(pki.root.clone()), ..Ask::default() }.measure(server.port).await;
    assert_eq!(fact(&m, "/versions"), json!(["TLSv1.2", "TLSv1.3"]));
    for version in ["SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"] {
        assert_eq!(why(&m, &format!("versions[{version}]")), None, "{version}");
    }
    assert_eq!(fact(&m, "/negotiated/version"), "TLSv1.3");
    assert_eq!(fact(&m, "/negotiated/cipher_suite"), "TLS_AES_256_GCM_SHA384");
    assert_eq!(fact(&m, "/negotiated/group"), "x25519");
    assert_eq!(fact(&m, "/chain/trusted"), true);
    assert_eq!(fact(&m, "/chain/hostname_matches"), true);
    assert_eq!(fact(&m, "/chain/extra"), 0);
    assert_eq!(fact(&m, "/certificates/0/key_type"), "ec");
    assert_eq!(fact(&m, "/certificates/0/not_after"), "2027-01-01T00:00:00Z");
    assert_eq!(fact(&m, "/certificates").as_array().map(Vec::len), Some(1));
    assert_eq!(fact(&m, "/certificates/0/chain").as_array().map(Vec::len), Some(1));
    assert_eq!(fact(&m, "/secure_renegotiation"), true);
    assert_eq!(fact(&m, "/extended_master_secret"), true);
    assert_eq!(fact(&m, "/compression"), json!([]));
    assert_eq!(fact(&m, "/client_auth"), "none");
    assert_eq!(fact(&m, "/ocsp_staple/present"), false);
    assert_eq!(fact(&m, "/vulnerabilities/poodle"), false);
    assert_eq!(why(&m, "vulnerabilities.heartbleed").as_deref(), Some("opt_in"));
    assert_eq!(fact(&m, "/cipher_suites/TLSv1.3").as_array().map(Vec::len), Some(3));
    assert!(!m.unknowns().keys().any(|path| path.starts_with("cipher_suites")));
    assert_eq!(why(&m, "starttls").as_deref(), Some("not_applicable"));
}

#[tokio::test]
async fn legacy_versions_are_seen_each() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"], true);
    for (arguments, versions) in [
        (&["-tls1"][..], json!(["TLSv1.0"])),
        (&["-tls1_1"], json!(["TLSv1.1"])),
        (&["-no_tls1_1", "-no_tls1_3"], json!(["TLSv1.0", "TLSv1.2"])),
        (&[], json!(["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"])),
        (&["-tls1_2"], json!(["TLSv1.2"])),
        (&["-tls1_3"], json!(["TLSv1.3"])),
    ] {
        let arguments = [ALL_VERSIONS, arguments].concat();
        let server = OpenSsl::start(&[&leaf], "", &arguments).await;
        let m = Ask::default().measure(server.port).await;
        assert_eq!(fact(&m, "/versions"), versions, "{arguments:?}");
        let doubts: Vec<_> =
            m.unknowns().keys().filter(|path| path.starts_with("versions")).collect();
        assert!(doubts.is_empty(), "{arguments:?}: {doubts:?}");
        assert_eq!(fact(&m, "/certificates/0/key_type"), "rsa", "{arguments:?}");
        assert_eq!(fact(&m, "/certificates/0/key_bits"), 2048);
    }
}

/// The number: all that OpenSSL 3 has, of both kinds of key, in its own order.
#[tokio::test]
async fn openssl_with_everything_on_is_known_whole_from_174_connections() {
    let pki = Pki::new();
    let (rsa, ec) = (pki.leaf(&["a.test"], true), pki.leaf(&["a.test"], false));
    let all = ["-cipher", "ALL:COMPLEMENTOFALL@SECLEVEL=0", "-serverpref"];
    for (leaves, most) in [(&[&rsa, &ec][..], 174), (&[&rsa], 150)] {
        let server = OpenSsl::start(leaves, "", &all).await;
        let (seen, connections) = walked(server.port).await;
        let suites = |version| {
            let choices = &seen.sets.choices[&version];
            assert!(choices.suites.is_closed() && choices.groups.is_closed(), "{version}");
            assert_eq!(choices.order, Order::Server, "{version}");
            choices.suites_in_order().len()
        };
        assert!(suites(Version::Tls10) >= 20 && suites(Version::Tls12) >= 60);
        assert_eq!(suites(Version::Tls13), 3);
        assert!(connections <= most, "{connections} connections for {} keys", leaves.len());
    }
}

/// The enumeration and the real handshake, without features; and the connections they took.
async fn walked(port: u16) -> (Seen, u32) {
    let host = crate::target::Host::Address(Ipv4Addr::LOCALHOST.into());
    let budget = Duration::from_secs(30);
    let settings = Arc::new(Settings::default());
    let dialer = Dialer::new(Unbounded::outside(), settings, ProbeKind::Tls, budget);
    let to = (Ipv4Addr::LOCALHOST.into(), port);
    let line = Line::new(dialer.clone(), &host, to, None, Some("a.test"), 1);
    let web: &[&[u8]] = &[b"h2", b"http/1.1"];
    let manner =
        Manner { alpn: web, protocols: web, server_name: Some("a.test"), at_once: 4, seed: 1 };
    let seen = walk(line, manner, None, Pace::Whole, super::now()).await;
    (seen, dialer.connections())
}

#[tokio::test]
async fn a_prime_that_many_servers_share_is_named() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"], true);
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("dh.pem");
    let made = std::process::Command::new("openssl")
        .args(["genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe3072", "-out"])
        .arg(&file)
        .status();
    assert!(made.expect("openssl").success());
    let suites = ["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"];
    let own = ["-dhparam", file.to_str().expect("a path")];
    for (more, name, bits) in [(&[][..], "modp2048", 2048), (&own, "ffdhe3072", 3072)] {
        let server = OpenSsl::start(&[&leaf], "", &[&suites, more].concat()).await;
        let m = Ask::default().measure(server.port).await;
        assert_eq!(fact(&m, "/dh_primes"), json!([name]));
        assert_eq!(fact(&m, "/dh_prime_bits"), bits);
    }
    let server = OpenSsl::start(&[&leaf], "", &["-tls1_3"]).await;
    let m = Ask::default().measure(server.port).await;
    assert_eq!(why(&m, "dh_primes").as_deref(), Some("not_applicable"));
}

#[tokio::test]
async fn a_version_that_no_current_client_gets_is_seen_all_the_same() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"], false);
    let server = OpenSsl::start(&[&leaf], "", &["-tls1_3", "-groups", "P-521"]).await;
    let m = Ask::default().measure(server.port).await;
    assert_eq!(fact(&m, "/versions"), json!(["TLSv1.3"]));
    assert_eq!(fact(&m, "/groups"), json!({"TLSv1.3": ["secp521r1"]}));
    assert_eq!(why(&m, "negotiated").as_deref(), Some("tls_error: alert 40 (handshake_failure)"));
    assert!(why(&m, "certificates").is_some());
    assert_eq!(why(&m, "extended_master_secret").as_deref(), Some("not_applicable"));
}

#[tokio::test]
async fn a_server_by_its_defaults_leaves_no_version_in_doubt() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"], false);
    let server = OpenSsl::start(&[&leaf], "", &[]).await;
    let m = Ask::default().measure(server.port).await;
    assert_eq!(fact(&m, "/versions"), json!(["TLSv1.2", "TLSv1.3"]));
    assert!(!m.unknowns().keys().any(|path| path.starts_with("versions")), "{:?}", m.unknowns());
}

#[tokio::test]
async fn both_kinds_of_certificate_are_found() {
    let pki = Pki::new();
    let (rsa, ec) = (pki.leaf(&["a.test"], true), pki.leaf(&["a.test"], false));
    for arguments in [&["-tls1_2"][..], &["-tls1_3"], &[]] {
        let server = OpenSsl::start(&[&rsa, &ec], &pki.intermediate, arguments).await;
        let ask = Ask { ca: Some(pki.root.clone()), ..Ask::default() };
        let m = ask.measure(server.port).await;
        assert_eq!(fact(&m, "/certificates/0/key_type"), "ec", "{arguments:?}");
        assert_eq!(fact(&m, "/certificates/1/key_type"), "rsa", "{arguments:?}");
        assert_eq!(fact(&m, "/certificates/1/trusted"), true);
    }
}

#[tokio::test]
async fn an_untrusted_chain_and_a_wrong_name_are_told_apart() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["b.test"], false);
    let server = OpenSsl::start(&[&leaf], "", &[]).await;
    let m = Ask { ca: Some(pki.root.clone()), ..Ask::default() }.measure(server.port).await;
    assert_eq!(fact(&m, "/chain/reason"), "incomplete");
    assert_eq!(fact(&m, "/chain/incomplete"), true);
    assert_eq!(fact(&m, "/chain/hostname_matches"), false);
    let m = Ask { server_name: Some("b.test"), ..Ask::default() }.measure(server.port).await;
    assert_eq!(fact(&m, "/chain/reason"), "unknown_issuer");
    assert_eq!(fact(&m, "/chain/hostname_matches"), true);
}

#[tokio::test]
async fn a_client_certificate_is_seen_to_be_asked_for_or_required() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"], false);
    for (arguments, expected) in [
        (&["-verify", "1"][..], "requested"),
        (&["-Verify", "1"], "required"),
        (&["-verify", "1", "-tls1_2"], "requested"),
        (&["-Verify", "1", "-tls1_2"], "required"),
    ] {
        let server = OpenSsl::start(&[&leaf], "", arguments).await;
        let m = Ask::default().measure(server.port).await;
        assert_eq!(fact(&m, "/client_auth"), expected, "{arguments:?}");
        assert_eq!(fact(&m, "/certificates/0/key_type"), "ec", "{arguments:?}");
    }
}

#[tokio::test]
async fn alpn_tells_what_was_taken() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"], false);
    let server = OpenSsl::start(&[&leaf], "", &["-alpn", "http/1.1"]).await;
    let m = Ask::default().measure(server.port).await;
    assert_eq!(fact(&m, "/alpn"), json!(["http/1.1"]));
    let m = Ask { scheme: "tls://", ..Ask::default() }.measure(server.port).await;
    assert_eq!(why(&m, "alpn").as_deref(), Some("not_applicable"));
}

/// The heart: a peer that drops connections makes nothing absent, whatever the phase.
#[tokio::test]
async fn no_version_is_absent_behind_a_peer_that_drops_connections() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"], true);
    let server = OpenSsl::start(&[&leaf], "", ALL_VERSIONS).await;
    let backend = server.port;
    for (period, phase) in [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (4, 3), (5, 2)] {
        let port = proxy(backend, move |number| number % period == phase).await;
        assert_nothing_offered_is_absent(port, &format!("1 of {period} from {phase}")).await;
    }
    for seed in 0..12 {
        let port = proxy(backend, move |number| {
            fastrand::Rng::with_seed(seed * 1_000 + number as u64).u8(..4) == 0
        })
        .await;
        assert_nothing_offered_is_absent(port, &format!("1 of 4 at random, seed {seed}")).await;
    }
}

/// A way to the backend that drops the connections that `drops` picks by their number.
async fn proxy(backend: u16, drops: impl Fn(usize) -> bool + Send + 'static) -> u16 {
    scripted(move |number, mut stream| {
        let dropped = drops(number);
        async move {
            if dropped {
                return;
            }
            let Ok(mut to) = TcpStream::connect(("127.0.0.1", backend)).await else { return };
            let _ = copy_bidirectional(&mut stream, &mut to).await;
        }
    })
    .await
}

async fn assert_nothing_offered_is_absent(port: u16, how: &str) {
    let budget = Duration::from_secs(2);
    let mut run = Ask { budget, ..Ask::default() }.sample(port).await;
    let Outcome::Measured(m) = run.observations.swap_remove(0).outcome else { return };
    let offered = fact(&m, "/versions");
    for version in ["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"] {
        let is_offered = offered.as_array().is_some_and(|all| all.contains(&version.into()));
        let is_unknown = why(&m, &format!("versions[{version}]")).is_some();
        assert!(is_offered || is_unknown, "{version} is called absent, dropping {how}");
    }
}

#[tokio::test]
async fn starttls_is_spoken_and_its_lack_is_a_fact() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"], false);
    let server = OpenSsl::start(&[&leaf], "", &[]).await;
    let backend = server.port;
    let port = scripted(move |_, mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut request = [0; 8];
        let read = stream.read_exact(&mut request).await.is_ok();
        if !read || request[4..] != [4, 210, 22, 47] || stream.write_all(b"S").await.is_err() {
            return;
        }
        let Ok(mut to) = TcpStream::connect(("127.0.0.1", backend)).await else { return };
        let _ = copy_bidirectional(&mut stream, &mut to).await;
    })
    .await;
    let m = Ask { scheme: "starttls+postgres://", ..Ask::default() }.measure(port).await;
    assert_eq!(fact(&m, "/starttls"), "offered");
    assert_eq!(fact(&m, "/negotiated/version"), "TLSv1.3");

    let port = scripted(|_, mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut request = [0; 8];
        let _ = stream.read_exact(&mut request).await;
        let _ = stream.write_all(b"N").await;
    })
    .await;
    let m = Ask { scheme: "starttls+postgres://", ..Ask::default() }.measure(port).await;
    assert_eq!(fact(&m, "/starttls"), "not_offered");
    assert_eq!(why(&m, "versions").as_deref(), Some("starttls_not_offered"));
}
