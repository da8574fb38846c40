//! The listener's TLS, from the web configuration file.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{
    CryptoProvider, SupportedKxGroup, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    SupportedCipherSuite, SupportedProtocolVersion,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::config::{ClientAuth, Curve, TlsServer, TlsVersion, WebConfigError};

/// Reads the files and makes the server's configuration.
pub(super) fn server(tls: &TlsServer, http2: bool) -> Result<ServerConfig, WebConfigError> {
    let chain = pem(tls.cert.as_ref().map(String::as_bytes), tls.cert_file.as_deref())?;
    let chain = certificates(&chain)?;
    let key = pem(tls.key.as_ref().map(|key| key.0.as_bytes()), tls.key_file.as_deref())?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| unusable(&error))?;
    let provider = Arc::new(provider(tls)?);
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls))
        .map_err(|error| unusable(&error))?
        .with_client_cert_verifier(client_verifier(tls, provider)?)
        .with_single_cert(chain, key)
        .map_err(|error| unusable(&error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if http2 {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok(config)
}

/// Whether one of the certificate's alternative names is allowed.
pub(super) fn is_allowed(certificate: &CertificateDer<'_>, allowed: &[String]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
    names.value.general_names.iter().any(|name| {
        let text = match name {
            GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
                (*name).to_owned()
            }
            GeneralName::IPAddress(bytes) => address(bytes).unwrap_or_default(),
            _ => return false,
        };
        !text.is_empty() && allowed.contains(&text)
    })
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from))
        .ok()
        .map(|address| address.to_string())
}

fn pem(inline: Option<&[u8]>, file: Option<&Path>) -> Result<Vec<u8>, WebConfigError> {
    match (inline, file) {
        (Some(bytes), _) => Ok(bytes.to_vec()),
        (None, Some(path)) => std::fs::read(path).map_err(|error| WebConfigError::File {
            path: path.display().to_string(),
            reason: error.to_string(),
        }),
        (None, None) => Ok(Vec::new()),
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, WebConfigError> {
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let list = list.map_err(|error| unusable(&error))?;
    if list.is_empty() {
        return Err(WebConfigError::Tls("a certificate file holds none".to_owned()));
    }
    Ok(list)
}

fn unusable(error: &dyn std::fmt::Display) -> WebConfigError {
    WebConfigError::Tls(error.to_string())
}

fn versions(tls: &TlsServer) -> Vec<&'static SupportedProtocolVersion> {
    let min = tls.min_version.unwrap_or(TlsVersion::Tls12);
    let max = tls.max_version.unwrap_or(TlsVersion::Tls13);
    [(TlsVersion::Tls13, &rustls::version::TLS13), (TlsVersion::Tls12, &rustls::version::TLS12)]
        .into_iter()
        .filter(|(version, _)| (min..=max).contains(version))
        .map(|(_, version)| version)
        .collect()
}

fn provider(tls: &TlsServer) -> Result<CryptoProvider, WebConfigError> {
    let mut provider = aws_lc_rs::default_provider();
    if !tls.cipher_suites.is_empty() {
        let named = suites(&tls.cipher_suites)?;
        // As in Go, the suites of TLS 1.3 cannot be chosen.
        provider.cipher_suites.retain(|suite| suite.tls13().is_some() || named.contains(suite));
    }
    let groups: Vec<_> = tls.curve_preferences.iter().filter_map(|curve| group(*curve)).collect();
    if !groups.is_empty() {
        provider.kx_groups = groups;
    }
    Ok(provider)
}

/// The suites of these names that rustls has. An older one that only Go has is passed over.
fn suites(names: &[String]) -> Result<Vec<SupportedCipherSuite>, WebConfigError> {
    if let Some(name) = names.iter().find(|name| !name.starts_with("TLS_")) {
        return Err(WebConfigError::Tls(format!("unknown cipher suite {name}")));
    }
    let is_named = |suite: &&SupportedCipherSuite| {
        // Go has IANA's names; rustls marks those of TLS 1.3.
        let name = suite.suite().as_str().unwrap_or_default().replace("TLS13_", "TLS_");
        names.contains(&name)
    };
    let found: Vec<_> = aws_lc_rs::ALL_CIPHER_SUITES.iter().filter(is_named).copied().collect();
    if found.is_empty() {
        return Err(WebConfigError::Tls("none of cipher_suites is safe to offer".to_owned()));
    }
    Ok(found)
}

fn group(curve: Curve) -> Option<&'static dyn SupportedKxGroup> {
    match curve {
        Curve::P256 => Some(kx_group::SECP256R1),
        Curve::P384 => Some(kx_group::SECP384R1),
        Curve::P521 => None,
        Curve::X25519 => Some(kx_group::X25519),
        Curve::X25519MLKEM768 => Some(kx_group::X25519MLKEM768),
    }
}

fn client_verifier(
    tls: &TlsServer,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, WebConfigError> {
    let kind = tls.client_auth_type;
    if kind == ClientAuth::NoClientCert {
        return Ok(WebPkiClientVerifier::no_client_auth());
    }
    if !kind.verifies() {
        return Ok(Arc::new(AnyCertificate { provider, is_mandatory: kind.requires() }));
    }
    let anchors = pem(tls.client_ca.as_ref().map(String::as_bytes), tls.client_ca_file.as_deref())?;
    let mut store = RootCertStore::empty();
    for certificate in certificates(&anchors)? {
        store.add(certificate).map_err(|error| unusable(&error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider);
    let verifier = if kind.requires() { verifier } else { verifier.allow_unauthenticated() };
    verifier.build().map_err(|error| unusable(&error))
}

/// `RequestClientCert` and `RequireAnyClientCert`: any certificate. It makes nobody known.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
    is_mandatory: bool,
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
