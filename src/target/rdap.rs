//! Which registry answers for which domain by RDAP: IANA's bootstrap file (RFC 9224).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use siphasher::sip::SipHasher24;
use thiserror::Error;

use super::TextFile;

/// The RDAP service of each top-level domain, or of a deeper one.
#[derive(Clone)]
pub struct RdapBootstrap {
    path: PathBuf,
    digest: u64,
    services: BTreeMap<String, Arc<str>>,
}

impl RdapBootstrap {
    /// Reads <https://data.iana.org/rdap/dns.json>, or a file of that form. Services without https are
    /// left out.
    pub fn parse(file: &TextFile) -> Result<Self, RdapBootstrapError> {
        #[derive(Deserialize)]
        struct Shape {
            version: String,
            services: Vec<(Vec<String>, Vec<String>)>,
        }
        let shape: Shape = serde_json::from_str(&file.text)
            .map_err(|error| RdapBootstrapError::Shape(error.to_string()))?;
        if shape.version != "1.0" {
            let version = shape.version.chars().take(20).collect();
            return Err(RdapBootstrapError::Version(version));
        }
        let mut services = BTreeMap::new();
        for (domains, urls) in shape.services {
            let Some(url) = urls.iter().find(|url| url.starts_with("https://")) else { continue };
            let base: Arc<str> = format!("{}/", url.trim_end_matches('/')).into();
            for domain in domains {
                let domain = domain.trim_end_matches('.').to_ascii_lowercase();
                services.insert(domain, Arc::clone(&base));
            }
        }
        if services.is_empty() {
            return Err(RdapBootstrapError::Empty);
        }
        let digest = SipHasher24::new().hash(file.text.as_bytes());
        Ok(Self { path: file.path.clone(), digest, services })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The base of the service that answers for a domain, with a slash at its end: that of the longest
    /// name that it ends in.
    pub fn of(&self, domain: &str) -> Option<&str> {
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        let ends = std::iter::successors(Some(domain.as_str()), |name| {
            name.split_once('.').map(|(_, rest)| rest)
        });
        ends.filter(|end| !end.is_empty())
            .find_map(|end| self.services.get(end))
            .map(|base| &**base)
    }
}

/// By the file's digest: a reload compares every target's.
impl PartialEq for RdapBootstrap {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, self.digest) == (&other.path, other.digest)
    }
}

impl Eq for RdapBootstrap {}

impl fmt::Debug for RdapBootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domains = self.services.len();
        f.debug_struct("RdapBootstrap")
            .field("path", &self.path)
            .field("domains", &domains)
            .finish()
    }
}

/// Why a bootstrap file could not be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum RdapBootstrapError {
    /// It names no service with https.
    #[error("it names no RDAP service with https")]
    Empty,
    /// It has another form.
    #[error("it is no RDAP bootstrap file: {0}")]
    Shape(String),
    /// It has another version.
    #[error("version `{0}` of the bootstrap file is not known, 1.0 is")]
    Version(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RdapBootstrap, RdapBootstrapError> {
        RdapBootstrap::parse(&TextFile { path: "dns.json".into(), text: text.into() })
    }

    #[test]
    fn the_longest_name_that_a_domain_ends_in_decides() {
        let table = parse(
            r#"{"version": "1.0", "publication": "2026-01-01T00:00:00Z", "services": [
                [["com", "net"], ["http://rdap.test/", "https://rdap.test/com/v1/"]],
                [["UK"], ["https://rdap.uk.test"]], [["co.uk"], ["https://co.uk.test/"]],
                [["plain"], ["http://plain.test/"]]]}"#,
        )
        .expect("a table");
        for (domain, base) in [
            ("Shop.COM.", Some("https://rdap.test/com/v1/")),
            ("shop.uk", Some("https://rdap.uk.test/")),
            ("shop.co.uk", Some("https://co.uk.test/")),
            ("shop.plain", None),
            ("shop.test", None),
            ("", None),
        ] {
            assert_eq!(table.of(domain), base, "{domain}");
        }
    }

    #[test]
    fn what_is_no_bootstrap_file_is_refused() {
        assert!(matches!(parse("[]"), Err(RdapBootstrapError::Shape(_))));
        assert!(matches!(
            parse(r#"{"version": "2.0", "services": []}"#),
            Err(RdapBootstrapError::Version(_))
        ));
        assert_eq!(parse(r#"{"version": "1.0", "services": []}"#), Err(RdapBootstrapError::Empty));
    }
}
