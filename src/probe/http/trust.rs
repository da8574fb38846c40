//! Whether a browser would trust a certificate: judged after the handshake, never enforced, so that
//! what an untrusted server says is still read.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The one crypto provider, named rather than taken from the process.
pub(super) static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// Mozilla's anchors and the system's, read once.
static ANCHORS: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut anchors = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    anchors.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    anchors
});

/// The operator's own anchors, beside the public ones.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnAnchors {
    certificates: Vec<CertificateDer<'static>>,
    store: Option<RootCertStore>,
}

impl OwnAnchors {
    /// Reads PEM text; what is no certificate is passed over.
    pub(super) fn read(pem: &str) -> Self {
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates.iter().cloned());
        Self { certificates, store: Some(store).filter(|store| !store.is_empty()) }
    }
}

/// Whether the chain, leaf first, is trusted for `name` at `now`; the error is one of the words
/// `expired`, `not_yet_valid`, `self_signed`, `unknown_issuer`, `weak_signature`, `bad_constraints`,
/// `revoked`, `hostname_mismatch`, `no_certificate`.
pub(super) fn judge(
    chain: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    own: &OwnAnchors,
    now: DateTime<Utc>,
) -> Result<(), &'static str> {
    let (leaf, rest) = chain.split_first().ok_or("no_certificate")?;
    let parsed = ParsedCertificate::try_from(leaf).map_err(|_| "bad_constraints")?;
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(
        u64::try_from(now.timestamp()).unwrap_or(0),
    ));
    let verify = |anchors: &RootCertStore| {
        let algorithms = PROVIDER.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, anchors, rest, at, algorithms)
    };
    // A self-signed leaf that the operator names is trusted as it is, though it be marked a CA.
    if own.certificates.iter().any(|anchor| anchor == leaf) {
        dates(leaf, now)?;
    } else {
        verify(&ANCHORS)
            .or_else(|public| match own.store.as_ref().map(verify) {
                // Whoever knows the issuer knows better what is wrong.
                None | Some(Err(Error::InvalidCertificate(CertificateError::UnknownIssuer))) => {
                    Err(public)
                }
                Some(path) => path,
            })
            .map_err(|error| word(&error, leaf))?;
    }
    verify_server_name(&parsed, name).map_err(|_| "hostname_mismatch")
}

fn dates(leaf: &CertificateDer<'_>, now: DateTime<Utc>) -> Result<(), &'static str> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| "bad_constraints")?;
    let validity = leaf.validity();
    if now.timestamp() < validity.not_before.timestamp() {
        return Err("not_yet_valid");
    }
    if now.timestamp() > validity.not_after.timestamp() {
        return Err("expired");
    }
    Ok(())
}

fn word(error: &Error, leaf: &CertificateDer<'_>) -> &'static str {
    use CertificateError as Bad;
    let Error::InvalidCertificate(error) = error else { return "bad_constraints" };
    match error {
        Bad::Expired | Bad::ExpiredContext { .. } => "expired",
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => "not_yet_valid",
        Bad::Revoked => "revoked",
        Bad::BadSignature
        | Bad::UnsupportedSignatureAlgorithmContext { .. }
        | Bad::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => "weak_signature",
        // webpki says of a self-signed CA used as a leaf that it may not be one.
        _ if is_self_signed(leaf) => "self_signed",
        Bad::UnknownIssuer => "unknown_issuer",
        _ => "bad_constraints",
    }
}

fn is_self_signed(leaf: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(leaf)
        .is_ok_and(|(_, leaf)| leaf.subject().as_raw() == leaf.issuer().as_raw())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn certificate(names: &[&str], is_ca: bool) -> rcgen::CertifiedKey<rcgen::KeyPair> {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut params = rcgen::CertificateParams::new(names).expect("names");
        if is_ca {
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        }
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
        let signing_key = rcgen::KeyPair::generate().expect("a key");
        let cert = params.self_signed(&signing_key).expect("a certificate");
        rcgen::CertifiedKey { cert, signing_key }
    }

    fn at(date: &str) -> DateTime<Utc> {
        date.parse().expect("a date")
    }

    #[test]
    fn a_certificate_is_judged_by_anchor_date_and_name() {
        for is_ca in [false, true] {
            let made = certificate(&["a.test"], is_ca);
            let chain = [made.cert.der().clone()];
            let own = OwnAnchors::read(&made.cert.pem());
            let none = OwnAnchors::default();
            let name = |name: &str| ServerName::try_from(name.to_owned()).expect("a name");
            let (a, b, good) = (name("a.test"), name("b.test"), at("2026-06-01T00:00:00Z"));
            assert_eq!(judge(&chain, &a, &own, good), Ok(()));
            assert_eq!(judge(&chain, &b, &own, good), Err("hostname_mismatch"));
            assert_eq!(judge(&chain, &a, &own, at("2028-01-01T00:00:00Z")), Err("expired"));
            assert_eq!(judge(&chain, &a, &own, at("2025-01-01T00:00:00Z")), Err("not_yet_valid"));
            assert_eq!(judge(&chain, &a, &none, good), Err("self_signed"));
        }
    }

    #[test]
    fn garbage_is_never_trusted() {
        let name = ServerName::try_from("a.test").expect("a name");
        let now = at("2026-06-01T00:00:00Z") + TimeDelta::zero();
        let garbage = [CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])];
        assert!(judge(&garbage, &name, &OwnAnchors::read("nonsense"), now).is_err());
        assert_eq!(judge(&[], &name, &OwnAnchors::default(), now), Err("no_certificate"));
    }
}
