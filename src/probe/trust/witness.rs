//! A handshake that takes whatever it is shown, and remembers it: judging comes later, by the job's
//! own time.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
};

use super::{PROVIDER, Served};

/// Sees everything, accepts everything.
pub(crate) struct Witness {
    schemes: Vec<SignatureScheme>,
    seen: Mutex<Seen>,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// The certificates and the staple.
    pub(crate) served: Served,
    /// How the handshake was signed ("TLS SignatureScheme").
    pub(crate) scheme: Option<u16>,
    /// Whether the handshake was not signed by the leaf's key.
    pub(crate) is_forged: bool,
    /// Whether the peer asked for a client certificate.
    pub(crate) asked: bool,
    /// Whose certificates it would take: DER of Name, at most [`MAX_AUTHORITIES`].
    pub(crate) authorities: Vec<Vec<u8>>,
}

impl Witness {
    /// A witness that offers those of the signature schemes that are `wanted`.
    pub(crate) fn new(wanted: impl Fn(SignatureScheme) -> bool) -> Arc<Self> {
        let mut schemes = PROVIDER.signature_verification_algorithms.supported_schemes();
        schemes.retain(|scheme| wanted(*scheme));
        Arc::new(Self { schemes, seen: Mutex::default() })
    }

    /// A client that this witness accompanies, for one handshake: no resumption.
    pub(crate) fn client(self: &Arc<Self>, alpn: &[&[u8]]) -> Result<ClientConfig, Error> {
        self.client_of(alpn, &[&TLS13, &TLS12])
    }

    /// The same, of these versions.
    pub(crate) fn client_of(
        self: &Arc<Self>,
        alpn: &[&[u8]],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<ClientConfig, Error> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_protocol_versions(versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(self) as Arc<dyn ServerCertVerifier>)
            .with_client_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesClientCert>);
        config.resumption = Resumption::disabled();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn signed(
        &self,
        dss: &DigitallySignedStruct,
        checked: &Result<HandshakeSignatureValid, Error>,
    ) -> HandshakeSignatureValid {
        self.note(|seen| {
            seen.scheme = Some(u16::from(dss.scheme));
            seen.is_forged = checked.is_err();
        });
        HandshakeSignatureValid::assertion()
    }
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(end_entity).chain(intermediates);
        let served = Served {
            certificates: all.map(|certificate| certificate.to_vec()).collect(),
            staple: (!ocsp_response.is_empty()).then(|| ocsp_response.to_vec()),
        };
        self.note(|seen| seen.served = served);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        Ok(self.signed(dss, &verify_tls12_signature(message, leaf, dss, algorithms)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        Ok(self.signed(dss, &verify_tls13_signature(message, leaf, dss, algorithms)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

impl ResolvesClientCert for Witness {
    fn resolve(&self, names: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.note(|seen| {
            seen.asked = true;
            seen.authorities =
                names.iter().take(MAX_AUTHORITIES).map(|name| name.to_vec()).collect();
        });
        None
    }

    fn has_certs(&self) -> bool {
        // Else rustls would not ask us when the peer asks it.
        true
    }
}

/// Names of authorities that are kept of a request for a client certificate.
const MAX_AUTHORITIES: usize = 100;
