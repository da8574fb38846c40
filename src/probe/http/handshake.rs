//! A TLS handshake that takes whatever certificate it is shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, Error, InvalidMessage, SignatureScheme,
};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::probe::dial::{Connection, of_io};
use crate::sample::{Reason, Unknown};

use super::trust::PROVIDER;

/// A connection after its handshake.
#[derive(Debug)]
pub(super) struct Secured {
    /// The encrypted stream.
    pub(super) stream: TlsStream<Connection>,
    /// Whether `h2` was agreed on.
    pub(super) is_h2: bool,
    /// The certificates shown, leaf first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// Whether the peer proved that the leaf is its own.
    pub(super) is_proven: bool,
}

/// Shakes hands over `connection`, offering `h2` and `http/1.1`, no resumption.
pub(super) async fn secure(
    connection: Connection,
    name: ServerName<'static>,
) -> Result<Secured, Unknown> {
    let witness = Arc::new(Witness::default());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_safe_default_protocol_versions()
        .map_err(|error| Unknown::new(Reason::LocalError, error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&witness) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, connection)
        .await
        .map_err(|error| of_stream(&error))?;
    let (_, session) = stream.get_ref();
    let is_h2 = session.alpn_protocol() == Some(b"h2");
    let chain = session.peer_certificates().unwrap_or_default().to_vec();
    Ok(Secured { is_h2, chain, is_proven: !witness.is_forged.load(Ordering::Relaxed), stream })
}

/// The reason behind a stream's failure, in the handshake or after it.
pub(super) fn of_stream(error: &std::io::Error) -> Unknown {
    let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            std::io::ErrorKind::FileTooLarge => {
                Unknown::new(Reason::NotObserved, error.to_string())
            }
            _ => of_io(error),
        };
    };
    match inner {
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => Reason::NotTls.into(),
        Error::AlertReceived(alert) => {
            Unknown::new(Reason::TlsError, format!("alert {}", alert_name(*alert)))
        }
        other => Unknown::new(Reason::TlsError, other.to_string()),
    }
}

fn alert_name(alert: AlertDescription) -> String {
    alert.as_str().map_or_else(|| u8::from(alert).to_string(), str::to_owned)
}

/// Accepts every certificate, and remembers whether the handshake was signed by its key.
#[derive(Debug, Default)]
struct Witness {
    is_forged: AtomicBool,
}

impl Witness {
    fn note(
        &self,
        checked: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        if checked.is_err() {
            self.is_forged.store(true, Ordering::Relaxed);
        }
        Ok(HandshakeSignatureValid::assertion())
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        self.note(verify_tls12_signature(message, leaf, signed, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        self.note(verify_tls13_signature(message, leaf, signed, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}
