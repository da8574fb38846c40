//! One policy as sent: directives with their values, repeats and oddities kept.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};

use super::source::{Source, is_host_like_keyword};

/// One policy.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Policy {
    directives: Vec<Directive>,
    not_ascii: usize,
}

/// One directive.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Directive {
    /// In lower case.
    name: String,
    /// As written.
    values: Vec<String>,
    /// What they are, where they are source expressions.
    sources: Vec<Source>,
    /// Browsers pass over a directive that was there before.
    repeats: bool,
}

impl Policy {
    /// CSP3 §2.2.1, "parse a serialized CSP".
    pub(super) fn parse(text: &str) -> Self {
        let (mut policy, mut seen) = (Self::default(), HashSet::new());
        for token in text.split(';') {
            let mut words = token.split_ascii_whitespace();
            let Some(name) = words.next() else { continue };
            if !token.is_ascii() {
                policy.not_ascii += 1;
                continue;
            }
            let name = name.to_ascii_lowercase();
            let repeats = !seen.insert(name.clone());
            let values: Vec<String> = words.map(str::to_owned).collect();
            let sources = match WITH_SOURCES.contains(&&*name) {
                true => values.iter().map(|value| Source::parse(value)).collect(),
                false => Vec::new(),
            };
            policy.directives.push(Directive { name, values, sources, repeats });
        }
        policy
    }

    /// Whether there is no directive at all.
    pub(super) fn is_empty(&self) -> bool {
        self.directives.is_empty()
    }

    /// The words of a directive.
    pub(super) fn words(&self, name: &str) -> Option<&[String]> {
        self.directives.iter().find(|directive| directive.name == name).map(|d| &*d.values)
    }

    /// The sources of a directive.
    pub(super) fn sources(&self, name: &str) -> Option<&[Source]> {
        self.directives.iter().find(|directive| directive.name == name).map(|d| &*d.sources)
    }

    /// The sources of the first of these directives that is there.
    pub(super) fn first_sources(&self, names: &[&str]) -> Option<&[Source]> {
        names.iter().find_map(|name| self.sources(name))
    }

    /// The policy's meaning: directive to the set of its values, in canonical form.
    pub(super) fn written(&self) -> Value {
        self.directives
            .iter()
            .filter(|directive| !directive.repeats)
            .map(|directive| (directive.name.clone(), directive.written().into_iter().collect()))
            .collect::<Map<_, _>>()
            .into()
    }

    /// What browsers pass over.
    pub(super) fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if self.not_ascii > 0 {
            errors.push("directive that is not ASCII".to_owned());
        }
        for directive in &self.directives {
            let name = &directive.name;
            if directive.repeats {
                errors.push(format!("repeated directive: {name}"));
            } else if OBSOLETE.contains(&&**name) {
                errors.push(format!("obsolete directive: {name}"));
            } else if !directive.has_sources() && !WITHOUT_SOURCES.contains(&&**name) {
                errors.push(format!("unknown directive: {name}"));
            } else if directive.has_sources() {
                errors.extend(directive.source_errors());
            }
        }
        errors
    }
}

impl Directive {
    fn has_sources(&self) -> bool {
        WITH_SOURCES.contains(&&*self.name)
    }

    fn written(&self) -> BTreeSet<String> {
        let values = self.values.iter();
        match &*self.name {
            // A report address's query may carry a key.
            "report-uri" => values.map(|v| v.split('?').next().unwrap_or(v).to_owned()).collect(),
            "sandbox" => values.map(|value| value.to_ascii_lowercase()).collect(),
            _ if self.has_sources() => self.sources.iter().map(Source::to_string).collect(),
            _ => values.cloned().collect(),
        }
    }

    fn source_errors(&self) -> Vec<String> {
        let name = &self.name;
        let mut errors = Vec::new();
        for (value, source) in self.values.iter().zip(&self.sources) {
            match source {
                Source::None if self.values.len() > 1 => {
                    errors.push(format!("'none' beside others: {name}"));
                }
                Source::Bad(text) => errors.push(format!("bad source: {name} {text}")),
                Source::Host { .. } if is_host_like_keyword(value) => {
                    errors.push(format!("keyword without quotes: {name} {value}"));
                }
                _ => {}
            }
        }
        errors
    }
}

/// Directives whose values are source expressions.
const WITH_SOURCES: [&str; 20] = [
    "base-uri",
    "child-src",
    "connect-src",
    "default-src",
    "fenced-frame-src",
    "font-src",
    "form-action",
    "frame-ancestors",
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

/// Directives with values of their own, or none.
const WITHOUT_SOURCES: [&str; 7] = [
    "report-to",
    "report-uri",
    "require-trusted-types-for",
    "sandbox",
    "trusted-types",
    "upgrade-insecure-requests",
    "webrtc",
];

/// Directives that were specified once.
const OBSOLETE: [&str; 7] = [
    "block-all-mixed-content",
    "navigate-to",
    "plugin-types",
    "prefetch-src",
    "referrer",
    "reflected-xss",
    "require-sri-for",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_pass_over_is_named() {
        for (text, errors) in [
            ("default-src 'self'", &[][..]),
            ("default-src 'self'; default-src *", &["repeated directive: default-src"]),
            ("defualt-src 'self'", &["unknown directive: defualt-src"]),
            ("script-src: 'self'", &["unknown directive: script-src:"]),
            ("referrer no-referrer", &["obsolete directive: referrer"]),
            ("script-src 'none' a.example", &["'none' beside others: script-src"]),
            ("script-src self", &["keyword without quotes: script-src self"]),
            ("script-src 'slef'", &["bad source: script-src 'slef'"]),
            ("script-src 'nonce-'", &["bad source: script-src 'nonce-'"]),
            (
                "script-src 'nonce-a b'",
                &["bad source: script-src 'nonce-*", "bad source: script-src b'"],
            ),
            ("img-src h\u{e9}.example; font-src *", &["directive that is not ASCII"]),
            ("upgrade-insecure-requests; report-to x; sandbox", &[]),
            ("script-src https//a.example", &[]),
            ("script-src \"self\"", &["bad source: script-src \"self\""]),
        ] {
            assert_eq!(Policy::parse(text).errors(), errors, "{text}");
        }
    }

    #[test]
    fn a_directive_that_is_not_ascii_is_passed_over_and_the_rest_stands() {
        let policy = Policy::parse("script-src h\u{e9}.example; img-src *");
        assert!(policy.words("script-src").is_none() && policy.words("img-src").is_some());
    }
}
