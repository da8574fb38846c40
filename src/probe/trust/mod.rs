//! Whether a peer's certificates are to be trusted: one judgement, and one set of words for it, for
//! every probe that speaks TLS.
//!
//! `witness` shakes hands with whatever it is shown and keeps it; `anchors` are what a chain may
//! end in; `chain` judges a list of certificates at a given time, `ocsp` what was stapled to it, and
//! `certificate` says what one says of itself. Only `anchors` touches the file system, once.

mod anchors;
pub(crate) mod certificate;
mod chain;
mod der;
mod memo;
mod ocsp;
mod witness;

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use rustls::CipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use x509_parser::certificate::X509Certificate;

pub(crate) use anchors::Anchors;
pub(crate) use chain::{Judgement, Verdict, WEAK_SIGNATURE};
pub(crate) use der::bits;
pub(crate) use ocsp::Staple;
pub(crate) use witness::Witness;

/// The one provider; nothing relies on a process default. As browsers do, it asks for AES-128 before
/// AES-256: a server that heeds its clients shows what it does for most of them.
pub(crate) static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => 0,
        suite if format!("{suite:?}").starts_with("TLS13") => 1,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 2,
        _ => 3,
    });
    Arc::new(provider)
});

/// What a peer served.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Served {
    /// Leaf first.
    pub(crate) certificates: Vec<Vec<u8>>,
    /// The OCSP response stapled to it.
    pub(crate) staple: Option<Vec<u8>>,
}

impl Served {
    /// The certificates, each as far as it can be read.
    pub(crate) fn read(&self) -> Vec<Option<X509Certificate<'_>>> {
        self.certificates.iter().map(|der| certificate::parse(der)).collect()
    }
}

/// Judges what was served and `read`, with what was stapled to it. `None` if the leaf cannot be
/// read.
pub(crate) fn judge(
    served: &Served,
    read: &[Option<X509Certificate<'_>>],
    anchors: &Anchors,
    name: &str,
    now: DateTime<Utc>,
) -> Option<(Judgement, Option<Staple>)> {
    let list = &served.certificates;
    let readable: Vec<&X509Certificate<'_>> = read.iter().map_while(Option::as_ref).collect();
    let mut judgement = chain::judge(list, &readable, anchors, name, now)?;
    let staple =
        served.staple.as_deref().and_then(|staple| ocsp::judge(staple, list, anchors, now));
    if staple.as_ref().is_some_and(|staple| staple.proves_revoked) {
        judgement.revoke();
    }
    Some((judgement, staple))
}
