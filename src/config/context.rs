//! What every check has at hand: the place for mistakes, the files, and the readers of values.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use url::Url;

use super::at::At;
use super::diagnostics::{DiagnosticLevel, Diagnostics};
use super::files::{Files, MAX_FILE, MAX_LIST};
use crate::inventory::labels::{check_label, check_value};
use crate::outgoing::Secret;
use crate::target::{AsnTable, ByteSize, Labels, RdapBootstrap, Span, TextFile};

/// The state of one check of one file.
pub(super) struct Context<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) now: DateTime<Utc>,
    pub(super) out: Diagnostics,
    /// The place that the daemon samples from.
    pub(super) vantage: Arc<str>,
    base: PathBuf,
    asn: HashMap<PathBuf, Arc<AsnTable>>,
    rdap: HashMap<PathBuf, Arc<RdapBootstrap>>,
    /// Many targets may name the same file.
    read: HashMap<PathBuf, TextFile>,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        path: &Path,
        files: &'a dyn Files,
        now: DateTime<Utc>,
        out: Diagnostics,
    ) -> Self {
        let base = path.parent().map(Path::to_owned).unwrap_or_default();
        let vantage = Arc::from("local");
        let (asn, rdap, read) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { files, now, out, vantage, base, asn, rdap, read }
    }

    pub(super) fn error(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.out.push(DiagnosticLevel::Error, Some(span.clone()), message.into(), None);
    }

    pub(super) fn error_with(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.out.push(DiagnosticLevel::Error, Some(span.clone()), message.into(), help);
    }

    pub(super) fn note(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.out.push(DiagnosticLevel::Note, Some(span.clone()), message.into(), None);
    }

    /// The value, or the mistake at its place.
    pub(super) fn read<T, E: ToString>(
        &mut self,
        span: &Range<usize>,
        result: Result<T, E>,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(span, error.to_string());
                None
            }
        }
    }

    /// What the text says, or the mistake at its place.
    pub(super) fn parse<T: FromStr<Err: ToString>>(&mut self, at: &At<String>) -> Option<T> {
        self.read(&at.span, at.value.parse())
    }

    /// A duration longer than nothing.
    pub(super) fn duration(&mut self, at: &At<String>) -> Option<Duration> {
        let Span(duration) = self.parse(at)?;
        if duration.is_zero() {
            self.error(&at.span, "a duration here is longer than 0");
            return None;
        }
        Some(duration)
    }

    /// A size of more than nothing.
    pub(super) fn size(&mut self, at: &At<String>) -> Option<u64> {
        let ByteSize(bytes) = self.parse(at)?;
        if bytes == 0 {
            self.error(&at.span, "a size here is more than 0");
            return None;
        }
        Some(bytes)
    }

    /// An `http://` or `https://` URL without credentials in it.
    pub(super) fn url(&mut self, at: &At<String>) -> Option<Url> {
        let url = match Url::parse(&at.value) {
            Ok(url) => url,
            Err(error) => {
                self.error(&at.span, format!("not a URL: {error}"));
                return None;
            }
        };
        if !matches!(url.scheme(), "http" | "https") {
            self.error(&at.span, "a URL here begins with http:// or https://");
            return None;
        }
        if !url.username().is_empty() || url.password().is_some() {
            self.error_with(
                &at.span,
                "a URL here carries no credentials",
                Some("use http_config.basic_auth with a password_file".to_owned()),
            );
            return None;
        }
        Some(url)
    }

    /// The path that a name in the file means: relative to the file's folder or, where that is not
    /// there, to systemd's credentials.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// A file's text.
    pub(super) fn text_file(&mut self, at: &At<String>, limit: usize) -> Option<TextFile> {
        let path = self.path(&at.value);
        let file = self.text_at(&path, limit);
        self.read(&at.span, file)
    }

    /// A file of networks and the numbers that originate them; a large one is read once for all.
    pub(super) fn asn_table(&mut self, at: &At<String>) -> Option<Arc<AsnTable>> {
        let path = self.path(&at.value);
        if let Some(known) = self.asn.get(&path) {
            return Some(Arc::clone(known));
        }
        let file = self.text_file(at, MAX_LIST)?;
        let table = AsnTable::parse(&file).map_err(|error| format!("{}: {error}", path.display()));
        let table = Arc::new(self.read(&at.span, table)?);
        self.asn.insert(path, Arc::clone(&table));
        Some(table)
    }

    /// IANA's file of registries, read once for all as well.
    pub(super) fn rdap_bootstrap(&mut self, at: &At<String>) -> Option<Arc<RdapBootstrap>> {
        let path = self.path(&at.value);
        if let Some(known) = self.rdap.get(&path) {
            return Some(Arc::clone(known));
        }
        let file = self.text_file(at, MAX_FILE)?;
        let table = RdapBootstrap::parse(&file);
        let table = table.map_err(|error| format!("{}: {error}", path.display()));
        let table = Arc::new(self.read(&at.span, table)?);
        self.rdap.insert(path, Arc::clone(&table));
        Some(table)
    }

    /// The text of a source of expectations, or why there is none.
    pub(super) fn source_file(&mut self, path: &Path) -> Result<TextFile, String> {
        self.text_at(path, MAX_FILE)
    }

    fn text_at(&mut self, path: &Path, limit: usize) -> Result<TextFile, String> {
        if let Some(known) = self.read.get(path) {
            return Ok(known.clone());
        }
        let bytes = self
            .files
            .read(path, limit)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| format!("{} is not UTF-8 text", path.display()))?;
        let file = TextFile { path: path.to_owned(), text: text.into() };
        self.read.insert(path.to_owned(), file.clone());
        Ok(file)
    }

    /// The text of a file that the daemon alone needs: of its listener, its receivers, its sources.
    pub(super) fn daemons_file(&mut self, at: &At<String>) -> Option<TextFile> {
        self.files.has_daemons_own().then(|| self.text_file(at, MAX_FILE)).flatten()
    }

    /// A secret from its file; what it holds never reaches a message. None without a mistake where
    /// nobody needs it.
    pub(super) fn secret(&mut self, at: &At<String>) -> Option<Secret> {
        if !self.files.has_daemons_own() {
            return None;
        }
        let near = self.path(&at.value);
        let mut found = self.files.read(&near, MAX_FILE);
        let relative = Path::new(&at.value).is_relative();
        if found.is_err()
            && relative
            && let Some(folder) = self.files.credentials()
            && let Ok(bytes) = self.files.read(&folder.join(&at.value), MAX_FILE)
        {
            found = Ok(bytes);
        }
        let bytes = match found {
            Ok(bytes) => bytes,
            Err(error) => {
                self.error(&at.span, format!("cannot read {}: {error}", near.display()));
                return None;
            }
        };
        let secret = str::from_utf8(&bytes).map(Secret::new).ok().filter(|s| !s.is_empty());
        if secret.is_none() {
            self.error(&at.span, format!("{} holds no text", near.display()));
        }
        secret
    }

    /// Labels that may be set.
    pub(super) fn labels(
        &mut self,
        labels: &std::collections::BTreeMap<String, At<String>>,
    ) -> Labels {
        let mut checked = Labels::new();
        for (name, value) in labels {
            let fine = check_label(name).and_then(|()| check_value(&value.value));
            if self.read(&value.span, fine).is_some() {
                checked.insert(name.clone(), value.value.clone());
            }
        }
        checked
    }
}

/// The value of an enumeration that a word stands for.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Option<T> {
    let reader: StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    T::deserialize(reader).ok()
}

/// `ADDRESS` or `ADDRESS:PORT`, IPv6 with a port in brackets.
pub fn parse_server(text: &str, default_port: u16) -> Result<SocketAddr, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = match bare.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, default_port),
        Err(_) => text.parse().map_err(|_| {
            format!("`{text}` is no server; write an address, or ADDRESS:PORT ([v6]:port)")
        })?,
    };
    if address.port() == 0 { Err(format!("`{text}`: a port is 1 to 65535")) } else { Ok(address) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn servers_are_read() {
        assert_eq!(parse_server("::1", 53), Ok("[::1]:53".parse().expect("v6")));
        assert_eq!(parse_server("[::1]:5353", 53), Ok("[::1]:5353".parse().expect("v6")));
        assert!(parse_server("127.0.0.1:0", 53).is_err() && parse_server("a.test", 53).is_err());
    }

    proptest! {
        #[test]
        fn readers_of_text_never_panic(text in "\\PC{0,30}") {
            let _ = parse_server(&text, 53);
        }
    }
}
