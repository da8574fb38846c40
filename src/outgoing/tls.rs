//! TLS of a client: the one crypto provider, the system's anchors or the config's own.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{ClientError, HttpClientSpec};
use crate::target::TextFile;

/// The client configuration that the spec describes.
pub(super) fn config(spec: &HttpClientSpec) -> Result<ClientConfig, ClientError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Client(error.to_string()))?;
    let builder = if spec.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
    } else {
        builder.with_root_certificates(anchors(spec.ca_file.as_ref())?)
    };
    let Some((chain, key)) = &spec.certificate else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates("cert_file", chain)?;
    // What is wrong with a key is not told: it might quote it.
    let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| {
        ClientError::File { key: "key_file", message: "no private key in PEM".to_owned() }
    })?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| ClientError::File { key: "cert_file", message: error.to_string() })
}

fn anchors(own: Option<&TextFile>) -> Result<RootCertStore, ClientError> {
    let mut store = RootCertStore::empty();
    let Some(file) = own else {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if store.is_empty() {
            // A container from scratch has none of its own.
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        return Ok(store);
    };
    for certificate in certificates("ca_file", file)? {
        store
            .add(certificate)
            .map_err(|error| ClientError::File { key: "ca_file", message: error.to_string() })?;
    }
    Ok(store)
}

fn certificates(
    key: &'static str,
    file: &TextFile,
) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file.text.as_bytes()).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| ClientError::File {
        key,
        message: format!("no certificate in {}", file.path.display()),
    })
}

/// `insecure_skip_verify`: any certificate, though the handshake must still be signed with it.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
