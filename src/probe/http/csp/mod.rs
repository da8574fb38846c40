//! Content-Security-Policy (CSP3): a lossless reading, and what it comes to under all policies.

mod effect;
mod policy;
mod source;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::fields::Fields;
use super::text::{clean, digest};
use policy::Policy;

/// Every policy of a response.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Csp {
    enforced: Vec<Policy>,
    report_only: Vec<Policy>,
    is_sent: bool,
}

/// Reads the fields of a response.
pub(super) fn read(fields: &Fields) -> Csp {
    Csp {
        enforced: policies(fields, "content-security-policy"),
        report_only: policies(fields, "content-security-policy-report-only"),
        is_sent: fields.first("content-security-policy").is_some(),
    }
}

/// §2.2.1: each comma-separated part of each line is a policy; one without directives is none.
fn policies(fields: &Fields, name: &str) -> Vec<Policy> {
    fields
        .all(name)
        .flat_map(|line| line.split(','))
        .map(Policy::parse)
        .filter(|policy| !policy.is_empty())
        .collect()
}

/// What tells the nonces of a response apart; the nonces themselves stay here.
pub(super) fn nonces(fields: &Fields) -> Vec<u64> {
    let words = fields.all("content-security-policy").flat_map(|l| l.split([' ', ';', ',']));
    let is_nonce =
        |word: &&str| word.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("'nonce-"));
    let mut nonces: Vec<u64> = words.filter(is_nonce).map(|word| digest([word])).collect();
    nonces.sort_unstable();
    nonces.dedup();
    nonces
}

impl Csp {
    /// Whether an enforced policy restricts anything.
    pub(super) fn is_present(&self) -> bool {
        !self.enforced.is_empty()
    }

    /// Whether `frame-ancestors` keeps foreign sites out; `None` where no enforced policy has it.
    pub(super) fn refuses_foreign_frames(&self) -> Option<bool> {
        let mut lists =
            self.enforced.iter().filter_map(|p| p.sources("frame-ancestors")).peekable();
        lists.peek()?;
        Some(lists.any(|list| !list.iter().any(source::Source::is_any_ancestor)))
    }

    /// Whether inline script may run under every policy: as an element or as an attribute.
    fn unsafe_inline(&self) -> bool {
        self.all(|p| effect::allows_inline(p, effect::Script::Element))
            || self.all(|p| effect::allows_inline(p, effect::Script::Attribute))
    }

    /// Whether script of any https host, or of a `data:` URL, may run under every policy.
    fn wildcard_script(&self) -> bool {
        self.all(|p| effect::allows_foreign(p, source::Source::is_any_host))
            || self.all(|p| effect::allows_foreign(p, source::Source::is_data))
    }

    fn all(&self, allows: impl Fn(&Policy) -> bool) -> bool {
        self.enforced.iter().all(allows)
    }

    fn frame_ancestors(&self) -> BTreeSet<String> {
        let lists = self.enforced.iter().filter_map(|p| p.sources("frame-ancestors"));
        let written = |list: &[source::Source]| match list.is_empty() {
            true => vec!["'none'".to_owned()],
            false => list.iter().map(ToString::to_string).collect(),
        };
        lists.flat_map(written).take(MAX_SOURCES).collect()
    }

    fn errors(&self) -> BTreeSet<String> {
        let mut errors: BTreeSet<String> = self
            .enforced
            .iter()
            .chain(&self.report_only)
            .flat_map(Policy::errors)
            .take(MAX_ERRORS)
            .map(|error| clean(&error, 120))
            .collect();
        if self.is_sent && self.enforced.is_empty() {
            errors.insert("empty policy".to_owned());
        }
        errors
    }

    /// The measurement. What policies allow is `null` where there is none; the caller says why.
    pub(super) fn to_json(&self) -> Value {
        let written = |policies: &[Policy]| -> Value {
            policies.iter().take(MAX_POLICIES).map(Policy::written).collect()
        };
        let judged = |allowed: bool| self.is_present().then_some(allowed);
        json!({
            "present": self.is_present(),
            "report_only": !self.report_only.is_empty(),
            "policies": written(&self.enforced),
            "report_only_policies": written(&self.report_only),
            "unsafe_inline": judged(self.unsafe_inline()),
            "unsafe_eval": judged(self.all(effect::allows_eval)),
            "wildcard_script": judged(self.wildcard_script()),
            "frame_ancestors": self.frame_ancestors(),
            "errors": self.errors(),
        })
    }
}

const MAX_POLICIES: usize = 16;
const MAX_ERRORS: usize = 32;
const MAX_SOURCES: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn enforced(lines: &[&str]) -> Csp {
        let pairs: Vec<_> = lines.iter().map(|line| ("Content-Security-Policy", *line)).collect();
        read(&Fields::of(&pairs))
    }

    #[test]
    fn inline_script_is_judged_over_every_policy() {
        for (lines, unsafe_inline) in [
            (&["script-src 'unsafe-inline'"][..], true),
            (&["script-src 'UNSAFE-INLINE'"], true),
            (&["default-src 'unsafe-inline'"], true),
            (&["default-src 'self'; script-src 'unsafe-inline'"], true),
            (&["default-src 'unsafe-inline'; script-src 'self'"], false),
            (&["script-src 'unsafe-inline' 'nonce-abc'"], false),
            (&["script-src 'unsafe-inline' 'sha256-abc='"], false),
            (&["script-src 'unsafe-inline' 'strict-dynamic'"], false),
            (&["script-src 'unsafe-inline' 'nonce-'"], true),
            (&["script-src 'unsafe-inline' 'sha1-abc='"], true),
            (&["script-src unsafe-inline"], false),
            (&["script-src 'self'"], false),
            (&["script-src 'unsafe-inline', script-src 'self'"], false),
            (&["script-src 'unsafe-inline'", "script-src 'self'"], false),
            (&["script-src 'unsafe-inline'", "img-src 'self'"], true),
            (&["script-src 'self'; script-src-attr 'unsafe-inline'"], true),
            (&["script-src 'self'; script-src-elem 'unsafe-inline'"], true),
            (&["script-src 'self'; script-src 'unsafe-inline'"], false),
            (&["img-src *"], true),
            (&["upgrade-insecure-requests"], true),
            (&["script-src 'unsafe-inline'; sandbox"], false),
            (&["script-src 'unsafe-inline'; sandbox allow-scripts"], true),
        ] {
            assert_eq!(enforced(lines).unsafe_inline(), unsafe_inline, "{lines:?}");
        }
    }

    #[test]
    fn eval_is_judged_over_every_policy() {
        for (policy, unsafe_eval) in [
            ("script-src 'unsafe-eval'", true),
            ("default-src 'unsafe-eval'", true),
            ("default-src 'unsafe-eval'; script-src 'self'", false),
            ("script-src 'wasm-unsafe-eval'", false),
            ("script-src 'self'", false),
            ("script-src-elem 'self'", true),
            ("object-src 'none'", true),
            ("script-src 'unsafe-eval', script-src 'self'", false),
            ("script-src 'unsafe-eval', default-src *", false),
            ("script-src 'unsafe-eval' 'nonce-abc' 'strict-dynamic'", true),
            ("script-src 'none'", false),
            ("script-src", false),
        ] {
            assert_eq!(enforced(&[policy]).all(effect::allows_eval), unsafe_eval, "{policy}");
        }
    }

    #[test]
    fn foreign_script_is_judged_over_every_policy() {
        for (policy, wildcard) in [
            ("script-src *", true),
            ("script-src https:", true),
            ("script-src HTTPS:", true),
            ("script-src http:", true),
            ("script-src https://*", true),
            ("script-src *:443", true),
            ("script-src data:", true),
            ("script-src *.example.com", false),
            ("script-src 'self' https://cdn.example.com", false),
            ("script-src https: 'strict-dynamic' 'nonce-abc'", false),
            ("default-src *", true),
            ("default-src *; script-src 'self'", false),
            ("script-src https:, script-src 'self'", false),
            ("script-src https:, script-src data:", false),
            ("script-src https:, script-src *", true),
            ("style-src 'self'", true),
            ("script-src 'self'; script-src-elem *", true),
            ("script-src *; script-src-elem 'self'", false),
            ("script-src *; sandbox", false),
        ] {
            assert_eq!(enforced(&[policy]).wildcard_script(), wildcard, "{policy}");
        }
    }

    #[test]
    fn report_only_stands_apart_and_enforces_nothing() {
        let fields = Fields::of(&[("Content-Security-Policy-Report-Only", "default-src 'self'")]);
        let csp = read(&fields).to_json();
        assert_eq!(csp["present"], false);
        assert_eq!(csp["report_only"], true);
        assert_eq!(csp["unsafe_inline"], Value::Null);
        assert_eq!(csp["report_only_policies"], json!([{"default-src": ["'self'"]}]));
    }

    #[test]
    fn the_written_form_is_what_it_means_and_holds_no_nonce() {
        let csp = enforced(&[
            "Script-Src 'SELF' HTTPS://CDN.Example.com/Path 'nonce-AbC123' 'SHA256-AbC=' 'nonce-x'; ;\
             script-src *; report-uri /csp?key=1; IMG-SRC, ,frame-ancestors https://a.example",
        ]);
        let json = csp.to_json();
        assert_eq!(
            json["policies"],
            json!([
                {
                    "img-src": [],
                    "report-uri": ["/csp"],
                    "script-src":
                        ["'nonce-*'", "'self'", "'sha256-AbC='", "https://cdn.example.com/Path"],
                },
                {"frame-ancestors": ["https://a.example"]},
            ])
        );
        assert_eq!(json["errors"], json!(["repeated directive: script-src"]));
        assert_eq!(json["frame_ancestors"], json!(["https://a.example"]));
    }

    #[test]
    fn an_empty_policy_is_none() {
        for text in ["", ";", " ; ,; "] {
            let csp = enforced(&[text]);
            assert!(!csp.is_present(), "{text:?}");
            assert_eq!(csp.to_json()["errors"], json!(["empty policy"]));
        }
        assert_eq!(read(&Fields::default()).to_json()["errors"], json!([]));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = enforced(&[&text]).to_json();
        }

        #[test]
        fn one_more_policy_never_allows_more(
            first in "(script-src|default-src|img-src|sandbox)( 'self'| \\*| 'unsafe-inline'| 'nonce-a'| https:| 'unsafe-eval'| data:){0,3}",
            second in "(script-src-elem|default-src|script-src-attr)( 'self'| \\*| 'unsafe-inline'| 'strict-dynamic'| 'unsafe-eval'){0,3}",
        ) {
            let (one, two) = (enforced(&[&first]), enforced(&[&first, &second]));
            prop_assert!(one.unsafe_inline() || !two.unsafe_inline());
            prop_assert!(one.wildcard_script() || !two.wildcard_script());
            prop_assert!(one.all(effect::allows_eval) || !two.all(effect::allows_eval));
        }
    }
}
