//! exporter-toolkit's web configuration file, taken unchanged
//! (prometheus/exporter-toolkit docs/web-configuration.md). Unknown keys are refused.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

/// The file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WebConfig {
    pub(super) tls_server_config: Option<TlsServer>,
    pub(super) http_server_config: HttpServer,
    pub(super) basic_auth_users: BTreeMap<String, PasswordHash>,
    pub(super) rate_limit: Option<RateLimit>,
}

impl WebConfig {
    /// Reads the text of a file that lies in `folder`, which relative paths start from.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, WebConfigError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        // No snippet: the lines around a mistake may hold a key or a hash.
        let options = serde_saphyr::options! { with_snippet: false };
        let mut config: Self = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| WebConfigError::Syntax(error.to_string()))?;
        if let Some(tls) = &mut config.tls_server_config {
            tls.settle(folder)?;
        }
        Ok(config)
    }
}

/// `tls_server_config`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsServer {
    pub(super) cert: Option<String>,
    pub(super) key: Option<Inline>,
    pub(super) client_ca: Option<String>,
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) client_ca_file: Option<PathBuf>,
    pub(super) client_auth_type: ClientAuth,
    pub(super) client_allowed_sans: Vec<String>,
    pub(super) min_version: Option<TlsVersion>,
    pub(super) max_version: Option<TlsVersion>,
    pub(super) cipher_suites: Vec<String>,
    pub(super) curve_preferences: Vec<Curve>,
    /// Accepted and without effect, as in Go since 1.17.
    #[allow(dead_code)]
    pub(super) prefer_server_cipher_suites: Option<bool>,
}

impl TlsServer {
    fn settle(&mut self, folder: &Path) -> Result<(), WebConfigError> {
        let files = [&mut self.cert_file, &mut self.key_file, &mut self.client_ca_file];
        for path in files.into_iter().flatten() {
            *path = folder.join(&*path);
        }
        let pairs = [
            ("cert", self.cert.is_some(), self.cert_file.is_some(), true),
            ("key", self.key.is_some(), self.key_file.is_some(), true),
            ("client_ca", self.client_ca.is_some(), self.client_ca_file.is_some(), false),
        ];
        for (name, inline, file, needed) in pairs {
            if (inline && file) || (needed && !inline && !file) {
                return Err(WebConfigError::OneOf(name));
            }
        }
        let has_ca = self.client_ca.is_some() || self.client_ca_file.is_some();
        if has_ca != self.client_auth_type.verifies() {
            return Err(WebConfigError::ClientCa);
        }
        if !self.client_allowed_sans.is_empty() && !self.client_auth_type.verifies() {
            return Err(WebConfigError::ClientCa);
        }
        if let Some(max @ (TlsVersion::Tls10 | TlsVersion::Tls11)) = self.max_version {
            return Err(WebConfigError::Version(max));
        }
        if self.min_version.zip(self.max_version).is_some_and(|(min, max)| min > max) {
            return Err(WebConfigError::Versions);
        }
        Ok(())
    }
}

/// `client_auth_type`, by Go's names.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[allow(clippy::enum_variant_names)]
pub(super) enum ClientAuth {
    #[default]
    #[serde(alias = "")]
    NoClientCert,
    RequestClientCert,
    #[serde(alias = "RequireClientCert")]
    RequireAnyClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

impl ClientAuth {
    pub(super) fn verifies(self) -> bool {
        matches!(self, Self::VerifyClientCertIfGiven | Self::RequireAndVerifyClientCert)
    }

    pub(super) fn requires(self) -> bool {
        matches!(self, Self::RequireAnyClientCert | Self::RequireAndVerifyClientCert)
    }
}

/// Protocol versions by Go's names. What is older than 1.2 is accepted as a minimum only.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum TlsVersion {
    #[serde(rename = "TLS10")]
    Tls10,
    #[serde(rename = "TLS11")]
    Tls11,
    #[serde(rename = "TLS12")]
    Tls12,
    #[serde(rename = "TLS13")]
    Tls13,
}

/// Curves by Go's names. P-521 is accepted and not offered.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub(super) enum Curve {
    #[serde(rename = "CurveP256")]
    P256,
    #[serde(rename = "CurveP384")]
    P384,
    #[serde(rename = "CurveP521")]
    P521,
    X25519,
    X25519MLKEM768,
}

/// `http_server_config`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpServer {
    pub(super) http2: bool,
    pub(super) headers: BTreeMap<Header, String>,
}

impl HttpServer {
    pub(super) fn fields(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        self.headers.iter().filter(|(_, value)| !value.is_empty()).filter_map(|(name, value)| {
            Some((HeaderName::from_static(name.as_str()), HeaderValue::from_str(value).ok()?))
        })
    }
}

impl Default for HttpServer {
    fn default() -> Self {
        Self { http2: true, headers: BTreeMap::new() }
    }
}

/// The fields that the toolkit allows to set.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Header {
    #[serde(rename = "Content-Security-Policy")]
    ContentSecurityPolicy,
    #[serde(rename = "Strict-Transport-Security")]
    StrictTransportSecurity,
    #[serde(rename = "X-Content-Type-Options")]
    XContentTypeOptions,
    #[serde(rename = "X-Frame-Options")]
    XFrameOptions,
    #[serde(rename = "X-XSS-Protection")]
    XXssProtection,
}

impl Header {
    fn as_str(self) -> &'static str {
        match self {
            Self::ContentSecurityPolicy => "content-security-policy",
            Self::StrictTransportSecurity => "strict-transport-security",
            Self::XContentTypeOptions => "x-content-type-options",
            Self::XFrameOptions => "x-frame-options",
            Self::XXssProtection => "x-xss-protection",
        }
    }
}

/// `rate_limit`: one request an interval, and so many at once.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RateLimit {
    #[serde(deserialize_with = "interval")]
    pub(super) interval: Duration,
    #[serde(default = "one")]
    pub(super) burst: NonZeroU32,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn interval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(serde::de::Error::custom(format!("`{text}` is no duration"))),
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * scale);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no duration")))
}

/// A bcrypt hash that was looked at when the file was read.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct PasswordHash(String);

impl PasswordHash {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for PasswordHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parts = bcrypt::HashParts::from_str(&text)
            .map_err(|_| serde::de::Error::custom("a password is no bcrypt hash"))?;
        if parts.get_cost() > MAX_COST {
            return Err(serde::de::Error::custom("a bcrypt cost above 16 takes seconds a request"));
        }
        Ok(Self(text))
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// A key written into the file itself.
#[derive(Clone, Deserialize)]
pub(super) struct Inline(pub(super) String);

impl fmt::Debug for Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Why a web configuration file cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WebConfigError {
    /// A CA without verification, or the other way round.
    #[error(
        "client_ca, client_ca_file and client_allowed_sans go with client_auth_type VerifyClientCertIfGiven or RequireAndVerifyClientCert, which need a CA"
    )]
    ClientCa,
    /// A file that it names.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// Both or neither of two ways to say it.
    #[error("tls_server_config needs one of {0} and {0}_file")]
    OneOf(&'static str),
    /// Not the YAML of a web configuration file.
    #[error("{0}")]
    Syntax(String),
    /// rustls has no use for it.
    #[error("tls_server_config: {0}")]
    Tls(String),
    /// Secchi speaks nothing older than TLS 1.2.
    #[error("max_version {0:?}: nothing older than TLS 1.2 is spoken")]
    #[allow(private_interfaces)]
    Version(TlsVersion),
    /// The least above the greatest.
    #[error("min_version is above max_version")]
    Versions,
}

const MAX_COST: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<WebConfig, WebConfigError> {
        WebConfig::parse(text, Path::new("/etc/secchi"))
    }

    #[test]
    fn the_toolkits_own_example_is_taken_unchanged() {
        let config = parse(
            "tls_server_config:\n  cert_file: server.crt\n  key_file: /keys/server.key\n\
             \x20 client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n\
             \x20 client_allowed_sans: [prometheus.example.com]\n  min_version: TLS12\n\
             \x20 max_version: TLS13\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n\
             \x20 prefer_server_cipher_suites: true\n  curve_preferences: [CurveP256, X25519]\n\
             http_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: deny\n\
             basic_auth_users:\n  alice: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze\n\
             rate_limit: {interval: 10ms, burst: 20}\n",
        )
        .expect("the example");
        let tls = config.tls_server_config.expect("tls");
        assert_eq!(tls.cert_file.as_deref(), Some(Path::new("/etc/secchi/server.crt")));
        assert_eq!(tls.key_file.as_deref(), Some(Path::new("/keys/server.key")));
        assert_eq!(config.rate_limit.map(|rate| rate.interval), Some(Duration::from_millis(10)));
        assert!(!format!("{:?}", config.basic_auth_users).contains("mDwo"));
    }

    #[test]
    fn a_mistake_is_refused_without_repeating_the_file() {
        for text in [
            "tls_server_confg: {}",
            "tls_server_config: {cert_file: a}",
            "tls_server_config: {cert_file: a, cert: b, key_file: c}",
            "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCert}",
            "tls_server_config: {cert_file: a, key_file: b, client_ca_file: c}",
            "tls_server_config: {cert_file: a, key_file: b, max_version: TLS11}",
            "tls_server_config: {cert_file: a, key_file: b, min_version: TLS13, max_version: TLS12}",
            "http_server_config: {headers: {Server: x}}",
            "basic_auth_users: {alice: hunter2}",
            "rate_limit: {interval: 5}",
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(parse("").is_ok() && parse("# nothing\n{}").is_ok());
    }
}
