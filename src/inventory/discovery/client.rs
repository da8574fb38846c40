//! An HTTP client as Prometheus' `http_config` describes it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Proxy, Request, Url};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::DiscoveryError;
use crate::target::{Secret, TextFile};

/// The part of Prometheus' `http_config` that blocks with a `url` take, with its files read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpClientSpec {
    /// The scheme and the secret of the Authorization field.
    pub authorization: Option<(String, Secret)>,
    /// User name and password.
    pub basic_auth: Option<(String, Secret)>,
    /// Trust only these anchors (PEM).
    pub ca_file: Option<TextFile>,
    /// Show this certificate (PEM) with this key (PEM).
    pub certificate: Option<(TextFile, Secret)>,
    /// Believe any certificate.
    pub insecure_skip_verify: bool,
    /// The name that the certificate is held to, in place of the URL's.
    pub server_name: Option<String>,
    /// Go through this proxy; the environment's are ignored.
    pub proxy_url: Option<Url>,
}

impl HttpClientSpec {
    /// A client that gives up after `timeout`.
    pub fn client(&self, user_agent: &str, timeout: Duration) -> Result<Client, DiscoveryError> {
        let failed = |error: reqwest::Error| DiscoveryError::Client(error.to_string());
        let mut builder = Client::builder()
            .user_agent(user_agent)
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .redirect(Policy::limited(5))
            .pool_max_idle_per_host(1)
            .no_proxy()
            .tls_backend_preconfigured(self.tls()?);
        if let Some(proxy) = &self.proxy_url {
            builder = builder.proxy(Proxy::all(proxy.clone()).map_err(failed)?);
        }
        builder.build().map_err(failed)
    }

    /// Adds the credentials to a request.
    pub fn authorize(&self, request: &mut Request) -> Result<(), DiscoveryError> {
        let value = match (&self.authorization, &self.basic_auth) {
            (Some((scheme, secret)), _) => format!("{scheme} {}", secret.expose()),
            (None, Some((user, password))) => {
                use base64::Engine as _;
                let pair = format!("{user}:{}", password.expose());
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
            }
            (None, None) => return Ok(()),
        };
        let mut value = http::HeaderValue::from_str(&value).map_err(|_| {
            DiscoveryError::Client("the credentials hold control characters".to_owned())
        })?;
        value.set_sensitive(true);
        request.headers_mut().insert(http::header::AUTHORIZATION, value);
        Ok(())
    }

    fn tls(&self) -> Result<ClientConfig, DiscoveryError> {
        let failed = |error: &dyn fmt::Display| DiscoveryError::Client(error.to_string());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier: Arc<dyn ServerCertVerifier> = if self.insecure_skip_verify {
            Arc::new(AnyCertificate(Arc::clone(&provider)))
        } else {
            let inner = WebPkiServerVerifier::builder_with_provider(
                Arc::new(self.roots()?),
                Arc::clone(&provider),
            )
            .build()
            .map_err(|error| failed(&error))?;
            match &self.server_name {
                None => inner,
                Some(name) => {
                    let name =
                        ServerName::try_from(name.clone()).map_err(|error| failed(&error))?;
                    Arc::new(NamedCertificate { inner, name })
                }
            }
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let Some((certificate, key)) = &self.certificate else {
            return Ok(config.with_no_client_auth());
        };
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
            .map_err(|_| DiscoveryError::Client("key_file holds no private key".to_owned()))?;
        config.with_client_auth_cert(chain, key).map_err(|error| failed(&error))
    }

    fn roots(&self) -> Result<RootCertStore, DiscoveryError> {
        let mut roots = RootCertStore::empty();
        match &self.ca_file {
            Some(file) => {
                for certificate in certificates(file)? {
                    roots.add(certificate).map_err(|error| {
                        DiscoveryError::Client(format!("{}: {error}", file.path.display()))
                    })?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                }
            }
        }
        Ok(roots)
    }
}

fn certificates(file: &TextFile) -> Result<Vec<CertificateDer<'static>>, DiscoveryError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(file.text.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(DiscoveryError::Client(format!("{} holds no certificate", file.path.display()))),
    }
}

/// `insecure_skip_verify`: the peer must still prove that it has its certificate's key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
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

/// `server_name`: the certificate is held to another name than the URL's.
#[derive(Debug)]
struct NamedCertificate {
    inner: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for NamedCertificate {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner.verify_server_cert(certificate, chain, &self.name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
