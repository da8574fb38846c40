//! Source expressions (CSP3 §2.3.1).

use std::fmt;

/// One source expression in canonical form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Source {
    /// What no browser can read; nonces in it masked.
    Bad(String),
    /// `'sha256-…'`, the digest as sent.
    Hash(String),
    /// `[scheme://]host[:port][/path]`.
    Host { scheme: Option<String>, host: String, port: Option<String>, path: String },
    /// A keyword in lower case, without its quotes.
    Keyword(&'static str),
    /// `'nonce-…'`: the value is fresh with each response and not kept.
    Nonce,
    /// `'none'`.
    None,
    /// `scheme:`, without the colon.
    Scheme(String),
}

impl Source {
    /// Reads one expression.
    pub(super) fn parse(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        if let Some(inner) = lower.strip_prefix('\'') {
            return Self::quoted(text, inner).unwrap_or_else(|| Self::bad(text));
        }
        if let Some(scheme) = lower.strip_suffix(':').filter(|scheme| is_scheme(scheme)) {
            return Self::Scheme(scheme.to_owned());
        }
        Self::host(text).unwrap_or_else(|| Self::bad(text))
    }

    fn quoted(text: &str, lower: &str) -> Option<Self> {
        let lower = lower.strip_suffix('\'')?;
        if lower == "none" {
            return Some(Self::None);
        }
        if let Some(keyword) = KEYWORDS.into_iter().find(|keyword| *keyword == lower) {
            return Some(Self::Keyword(keyword));
        }
        let value = |prefix: &str| {
            let start = 1 + prefix.len();
            lower.starts_with(prefix).then(|| &text[start..text.len() - 1]).filter(is_base64)
        };
        if value("nonce-").is_some() {
            return Some(Self::Nonce);
        }
        ["sha256-", "sha384-", "sha512-"]
            .into_iter()
            .find_map(|prefix| value(prefix).map(|digest| Self::Hash(format!("{prefix}{digest}"))))
    }

    fn host(text: &str) -> Option<Self> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, text),
        };
        if scheme.as_deref().is_some_and(|scheme| !is_scheme(scheme)) {
            return None;
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port.to_owned())),
            None => (authority, None),
        };
        let is_port = |port: &String| {
            port == "*" || (!port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
        };
        let is_path = !path.contains([';', ',', '?', '#', '\'', '"']);
        if !is_host(host) || !port.as_ref().is_none_or(is_port) || !is_path {
            return None;
        }
        Some(Self::Host { scheme, host: host.to_ascii_lowercase(), port, path: path.to_owned() })
    }

    fn bad(text: &str) -> Self {
        // Half a nonce is still fresh with each response.
        let is_nonce = text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("'nonce-"));
        Self::Bad(match is_nonce && !text.ends_with("-'") {
            true => "'nonce-*".to_owned(),
            false => text.to_owned(),
        })
    }

    /// Whether it allows any https host.
    pub(super) fn is_any_host(&self) -> bool {
        match self {
            Self::Scheme(scheme) => matches!(&**scheme, "http" | "https"),
            Self::Host { scheme, host, port, path } => {
                host == "*"
                    && matches!(scheme.as_deref(), None | Some("http" | "https"))
                    && matches!(port.as_deref(), None | Some("*" | "443" | "80"))
                    && matches!(&**path, "" | "/")
            }
            _ => false,
        }
    }

    /// Whether it allows `data:` URLs.
    pub(super) fn is_data(&self) -> bool {
        matches!(self, Self::Scheme(scheme) if scheme == "data")
    }

    /// Whether it lets a page of any site be the ancestor.
    pub(super) fn is_any_ancestor(&self) -> bool {
        matches!(self, Self::Scheme(_)) || self.is_any_host()
    }

    /// Whether it is this keyword.
    pub(super) fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self, Self::Keyword(known) if *known == keyword)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(text) => f.write_str(text),
            Self::Hash(hash) => write!(f, "'{hash}'"),
            Self::Host { scheme, host, port, path } => {
                if let Some(scheme) = scheme {
                    write!(f, "{scheme}://")?;
                }
                f.write_str(host)?;
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                f.write_str(path)
            }
            Self::Keyword(keyword) => write!(f, "'{keyword}'"),
            Self::Nonce => f.write_str("'nonce-*'"),
            Self::None => f.write_str("'none'"),
            Self::Scheme(scheme) => write!(f, "{scheme}:"),
        }
    }
}

/// Whether a host-source is a keyword that lost its quotes.
pub(super) fn is_host_like_keyword(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower == "none" || KEYWORDS.contains(&&*lower)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

fn is_host(text: &str) -> bool {
    let rest = text.strip_prefix("*.").unwrap_or(text);
    let is_label = |label: &str| {
        // CSP3's host-char has no underscore, but browsers take it.
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    text == "*" || rest.strip_suffix('.').unwrap_or(rest).split('.').all(is_label)
}

fn is_base64(text: &&str) -> bool {
    let body = text.trim_end_matches('=');
    text.len() - body.len() <= 2
        && !body.is_empty()
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/-_".contains(&b))
}

const KEYWORDS: [&str; 13] = [
    "inline-speculation-rules",
    "report-sample",
    "report-sha256",
    "report-sha384",
    "report-sha512",
    "self",
    "strict-dynamic",
    "trusted-types-eval",
    "unsafe-allow-redirects",
    "unsafe-eval",
    "unsafe-hashes",
    "unsafe-inline",
    "wasm-unsafe-eval",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_a_source_is_read_and_written_in_canonical_form() {
        for (text, written) in [
            ("'SELF'", "'self'"),
            ("'None'", "'none'"),
            ("'nonce-AbC+/=='", "'nonce-*'"),
            ("'NONCE-AbC'", "'nonce-*'"),
            ("'sha384-AbC_-='", "'sha384-AbC_-='"),
            ("'Strict-Dynamic'", "'strict-dynamic'"),
            ("HTTPS:", "https:"),
            ("*", "*"),
            ("*.Example.COM", "*.example.com"),
            ("https://Example.com:443/A/b", "https://example.com:443/A/b"),
            ("example.com:*", "example.com:*"),
            ("wss://*:8443", "wss://*:8443"),
            ("localhost", "localhost"),
        ] {
            let source = Source::parse(text);
            assert!(!matches!(source, Source::Bad(_)), "{text}");
            assert_eq!(source.to_string(), written);
        }
    }

    #[test]
    fn what_browsers_cannot_read_is_bad() {
        for text in [
            "'",
            "''",
            "'self",
            "self'",
            "'nonce-!'",
            "'sha256-'",
            "'sha1-abc='",
            "*.*.com",
            "a..b",
            "a:b",
            "https://",
            "://a",
            "a.example/?q",
            "1http:",
        ] {
            assert!(matches!(Source::parse(text), Source::Bad(_)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_the_written_form_reads_back(text in "['a-zA-Z0-9:/.*=-]{0,20}|\\PC*") {
            let source = Source::parse(&text);
            if !matches!(source, Source::Bad(_)) {
                prop_assert_eq!(Source::parse(&source.to_string().replace("nonce-*", "nonce-a")), source);
            }
        }
    }
}
