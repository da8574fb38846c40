//! Trust anchors: Mozilla's and the system's, read once a process, and a target's own.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::FromDer;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::target::Settings;

use super::der::{Row, SEQUENCE};

/// What a chain may end in.
#[derive(Clone, Debug)]
pub(crate) struct Anchors {
    shared: Arc<RootCertStore>,
    own: Option<RootCertStore>,
}

impl Anchors {
    /// The shared stores and the settings' `ca_file`. Who comes first reads the system's files, away
    /// from the threads that must not wait.
    pub(crate) async fn load(settings: &Settings) -> Self {
        if SHARED.get().is_none() {
            // The task ends early only with the runtime.
            let _ = tokio::task::spawn_blocking(shared).await;
        }
        Self::new(settings)
    }

    /// Begins to read the shared stores, so that who needs them first waits less.
    pub(crate) fn read_ahead() {
        // Without a thread to spare they are read when they are needed.
        let _ = std::thread::Builder::new().spawn(shared);
    }

    /// The same as [`Anchors::load`], where blocking for a moment does no harm.
    pub(crate) fn new(settings: &Settings) -> Self {
        let own = settings.ca_file.as_ref().map(|file| {
            let mut store = RootCertStore::empty();
            let certificates = CertificateDer::pem_slice_iter(file.text.as_bytes());
            store.add_parsable_certificates(certificates.flatten());
            store
        });
        Self { shared: shared(), own }
    }

    /// The stores, one by one.
    pub(crate) fn stores(&self) -> impl Iterator<Item = &RootCertStore> {
        self.own.iter().chain(std::iter::once(&*self.shared))
    }

    /// Whether the operator named anchors of their own.
    pub(crate) fn has_own(&self) -> bool {
        self.own.as_ref().is_some_and(|own| !own.is_empty())
    }

    /// The public keys (DER of SubjectPublicKeyInfo) of the anchors with this subject (DER of Name).
    pub(crate) fn keys_of<'a>(&'a self, subject: &'a [u8]) -> impl Iterator<Item = Vec<u8>> + 'a {
        let subject = Row(subject).next(SEQUENCE).map(|name| name.content);
        self.stores()
            .flat_map(|store| &store.roots)
            .filter(move |anchor| Some(anchor.subject.as_ref()) == subject)
            .map(|anchor| sequence(anchor.subject_public_key_info.as_ref()))
    }

    /// Whether an anchor has this subject (DER of Name).
    pub(crate) fn know(&self, subject: &[u8]) -> bool {
        self.keys_of(subject).next().is_some()
    }
}

/// Reads a SubjectPublicKeyInfo.
pub(crate) fn key(der: &[u8]) -> Option<SubjectPublicKeyInfo<'_>> {
    SubjectPublicKeyInfo::from_der(der).ok().map(|(_, key)| key)
}

/// rustls keeps the content of the sequence; this puts the header back.
fn sequence(content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let digits = &length[length.iter().take_while(|&&b| b == 0).count().min(length.len() - 1)..];
    let mut der = vec![SEQUENCE];
    if content.len() > 0x7f {
        der.push(0x80 | u8::try_from(digits.len()).unwrap_or(u8::MAX));
    }
    der.extend_from_slice(digits);
    der.extend_from_slice(content);
    der
}

fn shared() -> Arc<RootCertStore> {
    let read = || {
        let mut store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let mut seen = HashSet::new();
        store.roots.retain(|anchor| {
            seen.insert((anchor.subject.to_vec(), anchor.subject_public_key_info.to_vec()))
        });
        Arc::new(store)
    };
    Arc::clone(SHARED.get_or_init(read))
}

static SHARED: OnceLock<Arc<RootCertStore>> = OnceLock::new();
