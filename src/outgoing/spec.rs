//! Prometheus' `http_config`, its files read.

use reqwest::Url;
use reqwest::header::HeaderValue;

use super::{ClientError, Secret};
use crate::target::TextFile;

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
    /// The SNI and the name that the certificate is held to, in place of the URL's.
    pub server_name: Option<String>,
    /// Go through this proxy; the environment's are ignored.
    pub proxy_url: Option<Url>,
}

impl HttpClientSpec {
    /// The Authorization field, marked as sensitive.
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, ClientError> {
        let text = match (&self.authorization, &self.basic_auth) {
            (Some((scheme, secret)), _) => format!("{scheme} {}", secret.expose().trim()),
            (None, Some((user, password))) => {
                use base64::Engine as _;
                let pair = format!("{user}:{}", password.expose());
                format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
            }
            (None, None) => return Ok(None),
        };
        let mut value =
            HeaderValue::try_from(text.into_bytes()).map_err(|_| ClientError::Credentials)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_prometheus_own_and_never_shown() {
        let bearer = |secret: &str| HttpClientSpec {
            authorization: Some(("Bearer".to_owned(), Secret::new(secret))),
            ..HttpClientSpec::default()
        };
        let field = bearer(" hunter2 \n").authorization().expect("a field").expect("some");
        assert_eq!(field.as_bytes(), b"Bearer hunter2");
        assert!(!format!("{field:?} {:?}", bearer("hunter2")).contains("hunter2"));
        assert_eq!(bearer("hunter\u{1}").authorization(), Err(ClientError::Credentials));
        let basic = HttpClientSpec {
            basic_auth: Some(("me".to_owned(), Secret::new("p:w"))),
            ..HttpClientSpec::default()
        };
        let field = basic.authorization().expect("a field").expect("some");
        assert_eq!(field.as_bytes(), b"Basic bWU6cDp3");
    }
}
