//! What a certificate says of itself.

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use x509_parser::asn1_rs::Oid;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use super::der::{INTEGER, Row, SEQUENCE, bits};

/// A certificate's SHA-256 in hex.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    hex::encode(digest(&SHA256, der))
}

/// One certificate, as CONTRACT §tls writes it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Facts {
    pub(crate) subject: String,
    pub(crate) san: Vec<String>,
    pub(crate) issuer: String,
    pub(crate) serial: String,
    pub(crate) not_before: Option<String>,
    pub(crate) not_after: Option<String>,
    pub(crate) lifetime_seconds: i64,
    pub(crate) key_type: String,
    pub(crate) key_bits: usize,
    pub(crate) signature_algorithm: String,
    pub(crate) sha256: String,
    pub(crate) spki_sha256: String,
    pub(crate) scts: usize,
    pub(crate) must_staple: bool,
}

/// Reads a certificate; bytes behind it make it unreadable.
pub(crate) fn parse(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, c)| c)
}

/// The facts of a certificate that could be read.
pub(crate) fn facts(der: &[u8], certificate: &X509Certificate<'_>) -> Facts {
    let validity = certificate.validity();
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let key = certificate.public_key();
    Facts {
        subject: name_text(certificate.subject()),
        san: alternative_names(certificate),
        issuer: name_text(certificate.issuer()),
        serial: hex::encode(serial(certificate)),
        not_before: rfc3339(validity.not_before),
        not_after: rfc3339(validity.not_after),
        lifetime_seconds: until.saturating_sub(from),
        key_type: key_type(key),
        key_bits: key_bits(key),
        signature_algorithm: signature_name(&certificate.signature_algorithm.algorithm),
        sha256: fingerprint(der),
        spki_sha256: hex::encode(digest(&SHA256, key.raw)),
        scts: scts(certificate),
        must_staple: must_staple(certificate),
    }
}

/// The serial number without the zeros that DER puts before it.
pub(crate) fn serial<'a>(certificate: &X509Certificate<'a>) -> &'a [u8] {
    let raw = certificate.raw_serial();
    let zeros = raw.iter().take_while(|&&byte| byte == 0).count();
    &raw[zeros.min(raw.len().saturating_sub(1))..]
}

/// Whether a name in the certificate's SAN covers `name` (RFC 9525 §6.3): the CN never counts, a
/// wildcard stands for the whole left-most label before at least two more.
pub(crate) fn covers(certificate: &X509Certificate<'_>, name: &str) -> bool {
    let Ok(Some(san)) = certificate.subject_alternative_name() else { return false };
    let address: Option<IpAddr> = name.parse().ok();
    san.value.general_names.iter().any(|presented| match (presented, address) {
        (GeneralName::DNSName(presented), None) => matches_name(presented, name),
        (GeneralName::IPAddress(bytes), Some(IpAddr::V4(wanted))) => *bytes == wanted.octets(),
        (GeneralName::IPAddress(bytes), Some(IpAddr::V6(wanted))) => *bytes == wanted.octets(),
        _ => false,
    })
}

fn matches_name(presented: &str, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    match presented.strip_prefix("*.") {
        Some(parent) => {
            let rest = name.split_once('.').filter(|(label, _)| !label.is_empty());
            parent.contains('.')
                && !parent.contains('*')
                && rest.is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(parent))
        }
        None => !presented.contains('*') && presented.eq_ignore_ascii_case(name),
    }
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(san)) = certificate.subject_alternative_name() else { return Vec::new() };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(clean(&name.to_ascii_lowercase())),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        GeneralName::RFC822Name(name) => Some(format!("email:{}", clean(name))),
        GeneralName::URI(uri) => Some(format!("URI:{}", clean(uri))),
        _ => None,
    };
    san.value.general_names.iter().take(MAX_NAMES).filter_map(text).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

fn scts(certificate: &X509Certificate<'_>) -> usize {
    let count = |parsed: &ParsedExtension<'_>| match parsed {
        ParsedExtension::SCT(list) => list.len(),
        _ => 0,
    };
    certificate.iter_extensions().map(|extension| count(extension.parsed_extension())).sum()
}

/// TLS feature 5, status_request (RFC 7633).
fn must_staple(certificate: &X509Certificate<'_>) -> bool {
    let extension = certificate.iter_extensions().find(|e| e.oid.to_id_string() == TLS_FEATURE);
    let Some(list) = extension.and_then(|e| Row(e.value).next(SEQUENCE)) else { return false };
    let mut features = list.row();
    std::iter::from_fn(|| features.next(INTEGER)).any(|feature| feature.content == [5])
}

/// rsa, rsa-pss, ec, ed25519, ed448 or dsa; another stands as its number.
pub(crate) fn key_type(key: &SubjectPublicKeyInfo<'_>) -> String {
    let oid = key.algorithm.algorithm.to_id_string();
    match oid.as_str() {
        "1.2.840.113549.1.1.1" => "rsa",
        "1.2.840.113549.1.1.10" => "rsa-pss",
        "1.2.840.10045.2.1" => "ec",
        "1.3.101.112" => "ed25519",
        "1.3.101.113" => "ed448",
        "1.2.840.10040.4.1" => "dsa",
        _ => return oid,
    }
    .to_owned()
}

fn key_bits(key: &SubjectPublicKeyInfo<'_>) -> usize {
    let parameters = key.algorithm.parameters.as_ref();
    match key.algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10" => {
            let modulus = Row(&key.subject_public_key.data)
                .next(SEQUENCE)
                .and_then(|sequence| sequence.row().next(INTEGER));
            modulus.map_or(0, |modulus| bits(modulus.content))
        }
        "1.2.840.10045.2.1" => {
            let curve = parameters.and_then(|p| p.as_oid().ok()).map(|oid| oid.to_id_string());
            match curve.as_deref() {
                // The point's bytes would say 528 and 168.
                Some("1.3.132.0.35") => 521,
                Some("1.3.132.0.1" | "1.3.132.0.15") => 163,
                _ => key.parsed().as_ref().map_or(0, PublicKey::key_size),
            }
        }
        "1.3.101.112" => 256,
        "1.3.101.113" => 456,
        "1.2.840.10040.4.1" => {
            let prime = parameters.and_then(|p| Row(p.data).next(INTEGER));
            prime.map_or(0, |prime| bits(prime.content))
        }
        _ => 0,
    }
}

/// OpenSSL's long name of a signature algorithm; one that it does not know stands as its number.
pub(crate) fn signature_name(oid: &Oid<'_>) -> String {
    let oid = oid.to_id_string();
    match SIGNATURES.iter().find(|(number, _)| *number == oid) {
        Some((_, name)) => (*name).to_owned(),
        None => oid,
    }
}

/// A name so that it can stand on any screen.
pub(crate) fn name_text(name: &X509Name<'_>) -> String {
    clean(&name.to_string())
}

/// A peer's text so that it can stand on any screen, cut where it is absurdly long.
fn clean(text: &str) -> String {
    text.chars().take(MAX_TEXT).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn rfc3339(time: ASN1Time) -> Option<String> {
    let time: DateTime<Utc> = DateTime::from_timestamp(time.timestamp(), 0)?;
    Some(time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

const MAX_NAMES: usize = 1_000;

const MAX_TEXT: usize = 512;

const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";

const SIGNATURES: &[(&str, &str)] = &[
    ("1.2.840.113549.1.1.2", "md2WithRSAEncryption"),
    ("1.2.840.113549.1.1.3", "md4WithRSAEncryption"),
    ("1.2.840.113549.1.1.4", "md5WithRSAEncryption"),
    ("1.2.840.113549.1.1.5", "sha1WithRSAEncryption"),
    ("1.3.14.3.2.29", "sha1WithRSA"),
    ("1.2.840.113549.1.1.10", "rsassaPss"),
    ("1.2.840.113549.1.1.11", "sha256WithRSAEncryption"),
    ("1.2.840.113549.1.1.12", "sha384WithRSAEncryption"),
    ("1.2.840.113549.1.1.13", "sha512WithRSAEncryption"),
    ("1.2.840.113549.1.1.14", "sha224WithRSAEncryption"),
    ("1.2.840.10045.4.1", "ecdsa-with-SHA1"),
    ("1.2.840.10045.4.3.1", "ecdsa-with-SHA224"),
    ("1.2.840.10045.4.3.2", "ecdsa-with-SHA256"),
    ("1.2.840.10045.4.3.3", "ecdsa-with-SHA384"),
    ("1.2.840.10045.4.3.4", "ecdsa-with-SHA512"),
    ("1.2.840.10040.4.3", "dsaWithSHA1"),
    ("2.16.840.1.101.3.4.3.1", "dsa_with_SHA224"),
    ("2.16.840.1.101.3.4.3.2", "dsa_with_SHA256"),
    ("1.3.101.112", "ED25519"),
    ("1.3.101.113", "ED448"),
    ("1.2.156.10197.1.501", "SM2-with-SM3"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, CustomExtension, KeyPair, SerialNumber};

    use super::*;

    #[test]
    fn a_certificate_is_told_as_the_contract_writes_it() {
        let mut params =
            CertificateParams::new(vec!["A.test".into(), "127.0.0.1".into()]).expect("names");
        params.serial_number = Some(SerialNumber::from_slice(&[0x8a, 1]));
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, 31);
        params.custom_extensions.push(CustomExtension::from_oid_content(
            &[1, 3, 6, 1, 5, 5, 7, 1, 24],
            vec![0x30, 3, 2, 1, 5],
        ));
        let key = KeyPair::generate().expect("a key");
        let der = params.self_signed(&key).expect("a certificate");
        let parsed = parse(der.der()).expect("readable");
        let facts = facts(der.der(), &parsed);
        assert_eq!(facts.san, ["a.test", "127.0.0.1"]);
        assert_eq!((facts.key_type.as_str(), facts.key_bits), ("ec", 256));
        assert_eq!(facts.signature_algorithm, "ecdsa-with-SHA256");
        assert_eq!(facts.serial, "8a01");
        assert_eq!(facts.not_after.as_deref(), Some("2026-01-31T00:00:00Z"));
        assert_eq!(facts.lifetime_seconds, 30 * 86_400);
        assert!(facts.must_staple && facts.scts == 0);
        assert!(covers(&parsed, "A.TEST") && covers(&parsed, "127.0.0.1"));
        assert!(!covers(&parsed, "b.a.test") && !covers(&parsed, "127.0.0.2"));
    }

    #[test]
    fn a_wildcard_is_one_whole_label_before_two_more() {
        assert!(matches_name("*.a.test", "x.a.test"));
        assert!(matches_name("*.A.test", "x.a.test."));
        for name in ["a.test", "y.x.a.test", ".a.test"] {
            assert!(!matches_name("*.a.test", name), "{name}");
        }
        assert!(!matches_name("*.test", "a.test"));
        assert!(!matches_name("x*.a.test", "xy.a.test"));
        assert!(!matches_name("*.*.test", "a.b.test"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(certificate) = parse(&bytes) {
                let _ = facts(&bytes, &certificate);
                let _ = covers(&certificate, "a.test");
            }
        }
    }
}
