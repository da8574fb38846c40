//! Staples and weak certificates, made by the openssl command line.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::probe::trust::certificate::{parse, serial};
use crate::probe::trust::{self, Anchors, Served};
use crate::target::{Settings, TextFile};
use crate::testing::{Leaf, Pki};

use super::peers::OpenSsl;
use super::{Ask, fact, now, why};

fn openssl(folder: &Path, arguments: &str) {
    let run = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .output()
        .expect("openssl is installed");
    assert!(run.status.success(), "{arguments}: {}", String::from_utf8_lossy(&run.stderr));
}

fn der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM").to_vec()
}

/// A response of the intermediate about the leaf: `V` valid or `R` revoked.
fn response(folder: &Path, pki: &Pki, leaf: &Leaf, status: &str) -> Vec<u8> {
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).expect("a file");
    };
    write("int.pem", &pki.intermediate);
    write("int.key", &pki.key());
    write("leaf.pem", &leaf.certificate);
    let serial = hex::encode_upper(serial(&parse(&der(&leaf.certificate)).expect("readable")));
    let revoked = if status == "R" { "261101000000Z,keyCompromise" } else { "" };
    write(
        "index.txt",
        &format!("{status}\t270101000000Z\t{revoked}\t{serial}\tunknown\t/CN=leaf\n"),
    );
    openssl(
        folder,
        "ocsp -index index.txt -CA int.pem -rsigner int.pem -rkey int.key -issuer int.pem \
         -cert leaf.pem -respout out.der -ndays 7 -noverify",
    );
    std::fs::read(folder.join("out.der")).expect("a response")
}

#[test]
fn a_staple_is_held_to_leaf_issuer_and_time() {
    let folder = TempDir::new().expect("a folder");
    let (pki, stranger) = (Pki::new(), Pki::new());
    let (leaf, other) = (pki.leaf(&["a.test"], false), pki.leaf(&["a.test"], false));
    let served = [der(&leaf.certificate), der(&pki.intermediate)];
    let anchors = Anchors::new(&Settings::default());
    let good = response(folder.path(), &pki, &leaf, "V");
    // OpenSSL stamps its own clock: the test's time is taken from the response.
    let far = "2200-01-01T00:00:00Z".parse().expect("a time");
    let judge = |response: &[u8], served: &[Vec<u8>], at| {
        let served = Served { certificates: served.to_vec(), staple: Some(response.to_vec()) };
        trust::judge(&served, &served.read(), &anchors, "a.test", at).expect("readable")
    };
    let until = judge(&good, &served, far).1.and_then(|staple| staple.next_update);
    let until: chrono::DateTime<chrono::Utc> =
        until.expect("a next update").parse().expect("a time");
    let during = until - chrono::TimeDelta::days(1);
    let judged = |response: &[u8], served: &[Vec<u8>], at| {
        let (judgement, staple) = judge(response, served, at);
        let staple = staple.expect("a staple");
        assert_eq!(judgement.reason == Some("revoked"), staple.proves_revoked);
        (staple.status, staple.matches, staple.proves_revoked)
    };
    assert_eq!(judged(&good, &served, during), ("good", true, false));
    assert_eq!(judged(&good, &served, far), ("expired", true, false));
    let early = during - chrono::TimeDelta::days(30);
    assert_eq!(judged(&good, &served, early), ("invalid", true, false));
    let others = [der(&other.certificate), der(&pki.intermediate)];
    assert_eq!(judged(&good, &others, during), ("good", false, false));
    let revoked = response(folder.path(), &pki, &leaf, "R");
    assert_eq!(judged(&revoked, &served, during), ("revoked", true, true));
    // Without the issuer nothing is proven, and another issuer's key does not match.
    assert_eq!(judged(&revoked, &served[..1], during), ("revoked", true, false));
    let strange = [served[0].clone(), der(&stranger.intermediate)];
    assert!(!judged(&revoked, &strange, during).2);
    // Another second of producedAt: the signature no longer covers it.
    let mut forged = revoked.clone();
    let produced = forged.windows(2).position(|w| w == [0x18, 0x0f]).expect("producedAt");
    forged[produced + 15] = b'0' + (forged[produced + 15] - b'0' + 1) % 10;
    assert_eq!(judged(&forged, &served, during), ("invalid", true, false));
    assert_eq!(judged(b"rubbish", &served, during), ("invalid", false, false));
    for cut in 0..good.len() {
        let _ = judge(&good[..cut], &served, during);
    }
}

#[tokio::test]
async fn a_staple_is_seen_on_the_wire() {
    let folder = TempDir::new().expect("a folder");
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"], false);
    let file = folder.path().join("staple.der");
    std::fs::write(&file, response(folder.path(), &pki, &leaf, "V")).expect("a file");
    let file = file.display().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let arguments = ["-status_file", &file, version];
        let server = OpenSsl::start(&[&leaf], &pki.intermediate, &arguments).await;
        let m = Ask { ca: Some(pki.root.clone()), ..Ask::default() }.measure(server.port).await;
        assert_eq!(fact(&m, "/ocsp_staple/present"), json!(true), "{version}");
        assert_eq!(fact(&m, "/ocsp_staple/matches"), json!(true), "{version}");
        assert_eq!(why(&m, "ocsp_staple"), None);
    }
}

#[test]
fn a_signature_over_sha1_is_weak_whoever_made_it() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path();
    openssl(
        path,
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=Root -days 36500",
    );
    std::fs::write(path.join("l.ext"), "basicConstraints=CA:FALSE").expect("a file");
    openssl(path, "req -newkey rsa:2048 -nodes -keyout l.key -out l.csr -subj /CN=leaf");
    openssl(
        path,
        "x509 -req -sha1 -in l.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 36500 -out l.pem",
    );
    let read = |name: &str| std::fs::read_to_string(path.join(name)).expect("a file");
    let ca_file = Some(TextFile { path: "ca.pem".into(), text: read("ca.pem").into() });
    let anchors = Anchors::new(&Settings { ca_file, ..Settings::default() });
    // OpenSSL stamps its own clock; in fifty years it is between the dates.
    let then = now() + chrono::TimeDelta::days(18_000);
    let served = Served { certificates: vec![der(&read("l.pem"))], staple: None };
    let (judgement, _) =
        trust::judge(&served, &served.read(), &anchors, "leaf", then).expect("readable");
    assert_eq!(judgement.trusted, Some(false));
    // rustls refuses version 1 outright; OpenSSL 3.0 makes one where no extension is asked for.
    assert!(
        matches!(judgement.reason, Some("weak_signature" | "bad_constraints")),
        "{judgement:?}"
    );
    // The CN is the name, and does not count.
    assert_eq!(judgement.hostname_matches, Some(false));
}

#[tokio::test]
async fn every_kind_of_key_is_told_by_type_and_size() {
    let folder = TempDir::new().expect("a folder");
    for (asked, key_type, bits) in [
        ("rsa:3072", "rsa", 3_072),
        ("rsa-pss -pkeyopt rsa_keygen_bits:2048", "rsa-pss", 2_048),
        ("ec -pkeyopt ec_paramgen_curve:P-384", "ec", 384),
        ("ec -pkeyopt ec_paramgen_curve:P-521", "ec", 521),
        ("ed25519", "ed25519", 256),
        ("ed448", "ed448", 456),
    ] {
        openssl(
            folder.path(),
            &format!("req -x509 -newkey {asked} -nodes -keyout k -out c -subj /CN=a.test -days 30"),
        );
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a file");
        let leaf = Leaf { certificate: read("c"), key: read("k") };
        let server = OpenSsl::start(&[&leaf], "", &[]).await;
        let m = Ask::default().measure(server.port).await;
        assert_eq!(fact(&m, "/certificates/0/key_type"), key_type);
        assert_eq!(fact(&m, "/certificates/0/key_bits"), bits, "{key_type}");
        assert_eq!(fact(&m, "/certificates/0/reason"), "self_signed", "{key_type}");
        assert_eq!(fact(&m, "/certificates/0/hostname_matches"), false, "{key_type}");
    }
}
