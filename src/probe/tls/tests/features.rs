//! What a peer can do beyond versions and suites.

use std::sync::Arc;

use rustls::CertificateCompressionAlgorithm;
use rustls::compress::{CertCompressor, CompressionFailed, CompressionLevel};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::testing::{Pki, scripted};

use super::peers::{OpenSsl, pass_on, rustls_config};
use super::{Ask, fact, why};

#[tokio::test]
async fn a_current_server_has_what_current_clients_ask_for() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"], false);
    let server = OpenSsl::start(&[&leaf], &pki.intermediate, &[]).await;
    let m = Ask { ca: Some(pki.root.clone()), ..Ask::default() }.measure(server.port).await;
    for (pointer, value) in [
        ("/fallback_scsv", json!(true)),
        ("/session_tickets", json!(true)),
        ("/resumption", json!({"TLSv1.2": true, "TLSv1.3": true})),
        ("/session_ticket_lifetime", json!({"TLSv1.2": 7200, "TLSv1.3": 7200})),
        ("/early_data", json!(0)),
        ("/certificate_compression", json!([])),
        ("/intolerances", json!([])),
        ("/without_sni/accepted", json!(true)),
        ("/without_sni/same_certificate", json!(true)),
        ("/secure_renegotiation", json!(true)),
        ("/extended_master_secret", json!(true)),
        ("/encrypt_then_mac", json!(true)),
    ] {
        assert_eq!(fact(&m, pointer), value, "{pointer}");
    }
    assert_eq!(why(&m, "without_sni.alert").as_deref(), Some("not_applicable"));
    assert_eq!(why(&m, "starttls_injection").as_deref(), Some("not_applicable"));
    assert_eq!(why(&m, "client_auth_authorities").as_deref(), Some("not_applicable"));
}

#[tokio::test]
async fn what_a_server_was_told_to_leave_out_is_not_there() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"], false);
    for (arguments, pointer, value) in [
        (&["-num_tickets", "0", "-tls1_3"][..], "/session_tickets", json!(false)),
        (&["-num_tickets", "0", "-tls1_3"], "/resumption", json!({"TLSv1.3": false})),
        (&["-no_etm"], "/encrypt_then_mac", json!(false)),
        (&["-no_ticket", "-no_cache", "-tls1_2"], "/session_tickets", json!(false)),
        (&["-no_ticket", "-no_cache", "-tls1_2"], "/resumption", json!({"TLSv1.2": false})),
        (&["-no_ticket", "-tls1_2"], "/resumption", json!({"TLSv1.2": true})),
    ] {
        let server = OpenSsl::start(&[&leaf], "", arguments).await;
        let m = Ask::default().measure(server.port).await;
        assert_eq!(fact(&m, pointer), value, "{arguments:?}");
    }
    let server = OpenSsl::start(&[&leaf], "", &["-num_tickets", "0", "-tls1_3"]).await;
    let m = Ask::default().measure(server.port).await;
    assert_eq!(why(&m, "session_ticket_lifetime").as_deref(), Some("not_applicable"));
    let server = OpenSsl::start(&[&leaf], "", &["-tls1_3"]).await;
    let m = Ask::default().measure(server.port).await;
    for key in ["fallback_scsv", "encrypt_then_mac", "secure_renegotiation"] {
        assert_eq!(why(&m, key).as_deref(), Some("not_applicable"), "{key}");
    }
    assert_eq!(fact(&m, "/without_sni/same_certificate"), true);
}

#[tokio::test]
async fn authorities_of_client_certificates_are_told_by_name() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"], false);
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, &pki.root).expect("a file");
    let file = file.display().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let arguments = ["-verify", "1", "-CAfile", &file, version];
        let server = OpenSsl::start(&[&leaf], "", &arguments).await;
        let m = Ask::default().measure(server.port).await;
        assert_eq!(fact(&m, "/client_auth"), "requested", "{version}");
        assert_eq!(fact(&m, "/client_auth_authorities"), json!(["CN=Lab Root"]), "{version}");
    }
}

#[tokio::test]
async fn a_server_that_wants_a_name_says_so_by_its_alert() {
    let pki = Pki::new();
    let (leaf, other) = (pki.leaf(&["a.test"], false), pki.leaf(&["b.test"], false));
    let folder = tempfile::TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (certificate, key) = (write("c", &leaf.certificate), write("k", &leaf.key));
    let names = ["-servername", "a.test", "-cert2", &certificate, "-key2", &key];
    let server = OpenSsl::start(&[&other], "", &names).await;
    let m = Ask::default().measure(server.port).await;
    assert_eq!(fact(&m, "/without_sni/accepted"), true);
    assert_eq!(fact(&m, "/without_sni/same_certificate"), false);
    assert_ne!(fact(&m, "/without_sni/sha256"), fact(&m, "/certificates/0/sha256"));
    let m = Ask { server_name: None, ..Ask::default() }.measure(server.port).await;
    assert_eq!(why(&m, "without_sni").as_deref(), Some("not_applicable"));
}

#[derive(Debug)]
struct AsItIs(CertificateCompressionAlgorithm);

impl CertCompressor for AsItIs {
    fn compress(&self, input: Vec<u8>, _: CompressionLevel) -> Result<Vec<u8>, CompressionFailed> {
        Ok(input)
    }

    fn algorithm(&self) -> CertificateCompressionAlgorithm {
        self.0
    }
}

#[tokio::test]
async fn compressed_certificates_are_seen_by_their_algorithms() {
    use CertificateCompressionAlgorithm::{Brotli, Zlib};
    let leaf = Pki::new().leaf(&["a.test"], false);
    let mut config = rustls_config(&leaf);
    config.cert_compressors = vec![&AsItIs(Brotli), &AsItIs(Zlib)];
    config.max_early_data_size = 1_000;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let port = scripted(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read(&mut [0; 64]).await;
                let _ = stream.shutdown().await;
            }
        }
    })
    .await;
    let m = Ask::default().measure(port).await;
    assert_eq!(fact(&m, "/certificate_compression"), json!(["zlib", "brotli"]));
    assert_eq!(fact(&m, "/early_data"), 1_000);
    assert_eq!(fact(&m, "/negotiated/group"), "X25519MLKEM768");
}

/// Turns away what `chokes` on the hello's bytes as they come in one read.
async fn choking(backend: u16, chokes: fn(&[u8]) -> bool) -> u16 {
    scripted(move |_, mut stream| async move {
        let mut first = vec![0; 4096];
        let Ok(count) = stream.peek(&mut first).await else { return };
        if !chokes(&first[..count]) {
            pass_on(&mut stream, backend).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_peer_that_chokes_on_a_form_of_hello_is_told_from_one_that_is_down() {
    let leaf = Pki::new().leaf(&["a.test"], false);
    let server = OpenSsl::start(&[&leaf], "", &["-tls1_2"]).await;
    let long = choking(server.port, |bytes| bytes.len() > 1_700).await;
    let m = Ask::default().measure(long).await;
    assert_eq!(fact(&m, "/intolerances"), json!(["long_hello"]));
    let split = choking(server.port, |bytes| bytes.len() < 100).await;
    let m = Ask::default().measure(split).await;
    assert_eq!(fact(&m, "/intolerances"), json!(["split_hello"]));
    let grease = choking(server.port, |bytes| bytes.windows(2).any(|w| w == [0x2a, 0x2a])).await;
    let m = Ask::default().measure(grease).await;
    assert_eq!(fact(&m, "/intolerances"), json!(["grease"]));
}

#[tokio::test]
async fn a_peer_that_drops_connections_is_called_intolerant_of_nothing() {
    let leaf = Pki::new().leaf(&["a.test"], false);
    let server = OpenSsl::start(&[&leaf], "", &[]).await;
    let backend = server.port;
    for seed in 0..20 {
        let port = scripted(move |number, mut stream| async move {
            let mut rng = fastrand::Rng::with_seed(seed * 1_000 + number as u64);
            if rng.u8(..3) > 0 {
                pass_on(&mut stream, backend).await;
            }
        })
        .await;
        let mut run = Ask::default().sample(port).await;
        let crate::sample::Outcome::Measured(m) = run.observations.swap_remove(0).outcome else {
            continue;
        };
        let json = serde_json::to_value(&m).expect("JSON");
        let found = json["intolerances"].as_array().cloned().unwrap_or_default();
        let found: Vec<_> = found.iter().filter(|name| *name != "tls13_hello").collect();
        assert!(found.is_empty(), "seed {seed}: {found:?}");
        assert_ne!(json["without_sni"]["accepted"], Value::Bool(false), "seed {seed}");
        assert_ne!(json["fallback_scsv"], Value::Bool(false), "seed {seed}");
    }
}
