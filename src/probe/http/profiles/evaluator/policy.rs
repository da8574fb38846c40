//! A policy as csp-evaluator reads it, and what a browser of CSP3 makes of it.

use std::collections::HashSet;

/// Directives in order of their first appearance, each with its values in order, no value twice.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Policy {
    pub(super) directives: Vec<(String, Vec<String>)>,
}

impl Policy {
    /// Reads one policy. Keywords and schemes become lower case; a directive that was there before
    /// is passed over.
    pub(super) fn parse(text: &str) -> Self {
        let (mut policy, mut known) = (Self::default(), HashSet::new());
        for token in text.split(';') {
            let mut words = token.split_whitespace();
            let Some(name) = words.next().map(str::to_lowercase) else { continue };
            if !known.insert(name.clone()) {
                continue;
            }
            let mut values: Vec<String> = words.map(normalized).collect();
            let mut before = HashSet::new();
            values.retain(|word| before.insert(word.clone()));
            policy.directives.push((name, values));
        }
        policy
    }

    /// What a browser of CSP3 heeds: beside a nonce or hash no `'unsafe-inline'`, beside
    /// `'strict-dynamic'` no addresses; and what it ignores, as (directive, value), named as often as
    /// the evaluator comes by it.
    pub(super) fn effective(&self) -> (Self, Vec<(String, String)>) {
        let (mut effective, mut ignored) = (self.clone(), Vec::new());
        for directive in ["script-src", "script-src-attr", "script-src-elem"] {
            let name = effective.governing(directive).to_owned();
            let values = self.values(&name);
            let mut goes: Vec<&String> = Vec::new();
            if effective.values(&name).iter().any(|value| is_nonce(value) || is_hash(value)) {
                goes.extend(values.iter().find(|value| *value == UNSAFE_INLINE));
            }
            if values.iter().any(|value| value == "'strict-dynamic'") {
                goes.extend(values.iter().filter(|value| {
                    !value.starts_with('\'') || *value == "'self'" || *value == UNSAFE_INLINE
                }));
            }
            ignored.extend(goes.iter().map(|value| (name.clone(), (*value).clone())));
            let goes: HashSet<&String> = goes.into_iter().collect();
            if let Some((_, left)) = effective.directives.iter_mut().find(|(n, _)| *n == name) {
                left.retain(|value| !goes.contains(value));
            }
        }
        (effective, ignored)
    }

    /// Whether the directive is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.directives.iter().any(|(known, _)| known == name)
    }

    /// Its values; none where it is not there.
    pub(super) fn values(&self, name: &str) -> &[String] {
        self.directives.iter().find(|(known, _)| known == name).map_or(&[], |(_, values)| values)
    }

    /// The directive that governs in its place.
    pub(super) fn governing<'a>(&self, name: &'a str) -> &'a str {
        match name {
            _ if self.has(name) => name,
            "script-src-attr" | "script-src-elem" if self.has("script-src") => "script-src",
            "style-src-attr" | "style-src-elem" if self.has("style-src") => "style-src",
            _ if FETCH.contains(&name) => "default-src",
            _ => name,
        }
    }

    /// Those of several, each once.
    pub(super) fn governing_all<'a>(&self, names: &[&'a str]) -> Vec<&'a str> {
        let mut all = Vec::new();
        for name in names.iter().map(|name| self.governing(name)) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }

    /// Whether scripts may bear a nonce.
    pub(super) fn has_script_nonce(&self) -> bool {
        self.values(self.governing("script-src")).iter().any(|value| is_nonce(value))
    }

    /// Whether scripts are known by their hash.
    pub(super) fn has_script_hash(&self) -> bool {
        self.values(self.governing("script-src")).iter().any(|value| is_hash(value))
    }

    /// Whether scripts may load further ones.
    pub(super) fn is_dynamic(&self) -> bool {
        self.values(self.governing("script-src")).iter().any(|value| value == "'strict-dynamic'")
    }
}

fn normalized(word: &str) -> String {
    let lower = word.to_lowercase();
    if KEYWORDS.contains(&&*lower) || is_scheme(word) { lower } else { word.to_owned() }
}

/// `scheme:` and nothing more.
pub(super) fn is_scheme(text: &str) -> bool {
    text.strip_suffix(':').is_some_and(|scheme| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+.-".contains(&b))
    })
}

/// `'nonce-…'` in base64's letters.
pub(super) fn is_nonce(text: &str) -> bool {
    quoted(text, "nonce-").is_some_and(is_base64)
}

/// What stands in `'nonce-…'`, whatever its letters.
pub(super) fn nonce(text: &str) -> Option<&str> {
    quoted(text, "nonce-").filter(|value| !value.is_empty())
}

/// `'sha256-…'` or its longer kin in base64's letters.
pub(super) fn is_hash(text: &str) -> bool {
    HASHES.into_iter().any(|prefix| quoted(text, prefix).is_some_and(is_base64))
}

fn quoted<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    text.strip_prefix('\'')?.strip_prefix(prefix)?.strip_suffix('\'')
}

fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    text.len() - body.len() <= 2
        && !body.is_empty()
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/_-".contains(&b))
}

const UNSAFE_INLINE: &str = "'unsafe-inline'";

/// How hashes begin.
pub(super) const HASHES: [&str; 3] = ["sha256-", "sha384-", "sha512-"];

/// The keywords it knows.
pub(super) const KEYWORDS: [&str; 13] = [
    "'self'",
    "'none'",
    "'unsafe-inline'",
    "'unsafe-eval'",
    "'wasm-eval'",
    "'wasm-unsafe-eval'",
    "'strict-dynamic'",
    "'unsafe-hashed-attributes'",
    "'unsafe-hashes'",
    "'report-sample'",
    "'block'",
    "'allow'",
    "'inline-speculation-rules'",
];

/// Directives for which `default-src` stands in.
const FETCH: [&str; 16] = [
    "child-src",
    "connect-src",
    "default-src",
    "font-src",
    "frame-src",
    "img-src",
    "manifest-src",
    "media-src",
    "object-src",
    "script-src",
    "script-src-attr",
    "script-src-elem",
    "style-src",
    "style-src-attr",
    "style-src-elem",
    "worker-src",
];

/// The directives it knows.
pub(super) const DIRECTIVES: [&str; 33] = [
    "child-src",
    "connect-src",
    "default-src",
    "font-src",
    "frame-src",
    "img-src",
    "media-src",
    "object-src",
    "script-src",
    "script-src-attr",
    "script-src-elem",
    "style-src",
    "style-src-attr",
    "style-src-elem",
    "prefetch-src",
    "manifest-src",
    "worker-src",
    "base-uri",
    "plugin-types",
    "sandbox",
    "disown-opener",
    "form-action",
    "frame-ancestors",
    "navigate-to",
    "report-to",
    "report-uri",
    "block-all-mixed-content",
    "upgrade-insecure-requests",
    "reflected-xss",
    "referrer",
    "require-sri-for",
    "trusted-types",
    "require-trusted-types-for",
];
