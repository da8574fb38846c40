//! Secchi's own HTTP, towards those who serve it: discovery sources and receivers of alerts. What
//! Prometheus' `http_config` says, and the client that it makes. Probes go by `probe/dial` instead.

mod client;
mod secret;
mod spec;
mod tls;

use thiserror::Error;

pub use client::{Client, Manner, body, words};
pub use secret::Secret;
pub use spec::HttpClientSpec;

/// Why a client could not be made. No text holds a secret.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ClientError {
    /// The library refused.
    #[error("{0}")]
    Client(String),
    /// Control characters, mostly.
    #[error("the credentials hold characters that no header carries")]
    Credentials,
    /// A file of `tls_config` does not hold what it should.
    #[error("{key}: {message}")]
    File {
        /// The key that names it.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
    /// Through a proxy, the name sent is always that of the URL.
    #[error("server_name and proxy_url cannot be had together")]
    NameAndProxy,
    /// No DNS name.
    #[error("server_name: `{0}` is no DNS name")]
    ServerName(String),
}
