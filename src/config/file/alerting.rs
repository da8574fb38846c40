//! Who is told, and how they are reached.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::at::At;

/// Who is told.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Alerting {
    /// Alertmanagers; each alert goes to every one.
    pub(crate) alertmanagers: Vec<At<Alertmanager>>,
    /// Webhooks.
    pub(crate) webhooks: Vec<At<Webhook>>,
    /// Labels of every alert.
    pub(crate) external_labels: BTreeMap<String, At<String>>,
}

/// An Alertmanager (API v2).
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Alertmanager {
    /// Its address, with a path prefix where it has one.
    pub(crate) url: At<String>,
    /// How it is reached.
    #[serde(default)]
    pub(crate) http_config: HttpConfig,
}

/// A webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Webhook {
    /// Where.
    pub(crate) url: At<String>,
    /// A file with the key that signs the body (HMAC-SHA-256).
    #[serde(default)]
    pub(crate) hmac_file: Option<At<String>>,
    /// How it is reached.
    #[serde(default)]
    pub(crate) http_config: HttpConfig,
}

/// The part of Prometheus' http_config that Secchi takes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct HttpConfig {
    /// The Authorization field.
    pub(crate) authorization: Option<At<Authorization>>,
    /// HTTP basic authentication.
    pub(crate) basic_auth: Option<At<BasicAuth>>,
    /// TLS.
    pub(crate) tls_config: TlsConfig,
    /// An HTTP proxy; the environment's are ignored.
    pub(crate) proxy_url: Option<At<String>>,
}

/// The Authorization field.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Authorization {
    /// The scheme; Bearer if not said.
    #[serde(default, rename = "type")]
    pub(crate) scheme: Option<At<String>>,
    /// A file with the credentials.
    pub(crate) credentials_file: At<String>,
}

/// HTTP basic authentication.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct BasicAuth {
    /// The user.
    pub(crate) username: At<String>,
    /// A file with the password.
    pub(crate) password_file: At<String>,
}

/// TLS.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct TlsConfig {
    /// Trust only these anchors (PEM).
    pub(crate) ca_file: Option<At<String>>,
    /// Our certificate (PEM).
    pub(crate) cert_file: Option<At<String>>,
    /// Our key (PEM).
    pub(crate) key_file: Option<At<String>>,
    /// Believe any certificate.
    pub(crate) insecure_skip_verify: bool,
    /// The name that the certificate is held to.
    pub(crate) server_name: Option<At<String>>,
}
