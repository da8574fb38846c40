//! Whether a source lets in a public host that serves what passes an allowlist by.

use std::sync::LazyLock;

use serde::Deserialize;
use url::Url;

/// What a list knows of a source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Host<'a>(pub(super) &'a str);

/// The first host of a list that a source lets in.
pub(super) fn first<'a>(source: &str, list: &'a [(String, String)]) -> Option<Host<'a>> {
    let url = address(source)?;
    let host = url.host_str()?;
    let any_below = host.strip_prefix(PLACEHOLDER).filter(|rest| rest.starts_with('.'));
    let path = url.path();
    let is_let_in = |(domain, known): &&(String, String)| {
        let is_host = match any_below {
            Some(parent) => domain.ends_with(parent),
            None => domain == host,
        };
        let is_path = match path {
            "/" => true,
            folder if folder.ends_with('/') => known.starts_with(folder),
            file => known == file,
        };
        is_host && is_path
    };
    list.iter().find(is_let_in).map(|(host, _)| Host(host))
}

/// The host of a source, its star kept; `None` where there is none.
pub(super) fn host(source: &str) -> Option<String> {
    let url = address(source)?;
    Some(url.host_str()?.replacen(PLACEHOLDER, "*", 1))
}

/// A source without its scheme.
pub(super) fn without_scheme(source: &str) -> &str {
    let rest = source.split_once("://").filter(|(scheme, _)| {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        scheme.starts_with(is_word)
            && scheme.chars().all(|c| is_word(c) || matches!(c, '+' | '.' | '-'))
    });
    let rest = rest.map_or(source, |(_, rest)| rest);
    rest.strip_prefix("//").unwrap_or(rest)
}

/// A source as an address; a star in it is a label like another.
fn address(source: &str) -> Option<Url> {
    let bare = without_scheme(source).replacen(":*", "", 1).replacen('*', PLACEHOLDER, 1);
    Url::parse(&format!("https://{bare}")).ok()
}

/// The lists.
#[derive(Debug)]
pub(super) struct Lists {
    pub(super) needs_eval: Vec<String>,
    pub(super) jsonp: Vec<(String, String)>,
    pub(super) angular: Vec<(String, String)>,
    pub(super) flash: Vec<(String, String)>,
}

/// The shipped lists; empty if they do not read, which a test would tell.
pub(super) static LISTS: LazyLock<Lists> = LazyLock::new(|| {
    let file: File = serde_saphyr::from_str(SHIPPED).unwrap_or_default();
    let split = |entries: Vec<String>| {
        let pair = |entry: String| match entry.split_once('/') {
            Some((host, path)) => (host.to_owned(), format!("/{path}")),
            None => (entry, "/".to_owned()),
        };
        entries.into_iter().map(pair).collect()
    };
    Lists {
        needs_eval: file.needs_eval,
        jsonp: split(file.jsonp),
        angular: split(file.angular),
        flash: split(file.flash),
    }
});

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    needs_eval: Vec<String>,
    jsonp: Vec<String>,
    angular: Vec<String>,
    flash: Vec<String>,
}

const SHIPPED: &str = include_str!("../../../../../probes/http-csp-bypasses.yaml");

const PLACEHOLDER: &str = "wildcard_placeholder";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_lets_in_what_a_browser_would_load() {
        for (source, expected) in [
            ("*.google.com", true),
            ("google.com", false),
            ("www.google.com", true),
            ("https://www.google.com:*", true),
            ("//www.google.com", true),
            ("www.google.com/tools/feedback/escalation-options", true),
            ("www.google.com/tools/", true),
            ("www.google.com/tools", false),
            ("WWW.Google.COM", true),
            ("https://[x", false),
        ] {
            assert_eq!(first(source, &LISTS.jsonp).is_some(), expected, "{source}");
        }
        assert!(LISTS.jsonp.len() > 100 && LISTS.angular.len() > 30 && !LISTS.flash.is_empty());
    }
}
