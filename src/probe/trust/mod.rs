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
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use x509_parser::certificate::X509Certificate;

pub(crate) use anchors::Anchors;
pub(crate) use chain::{Judgement, Verdict, WEAK_SIGNATURE};
pub(crate) use der::bits;
pub(crate) use ocsp::Staple;
pub(crate) use witness::Witness;

/// The one provider; nothing relies on a process default.
pub(crate) static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

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
