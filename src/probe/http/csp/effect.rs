//! What one policy lets script do (CSP3 §6.7.3.2, §6.8, §4.5).

use super::policy::Policy;
use super::source::Source;

/// Where inline script stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Script {
    /// `onclick=…` and `javascript:`.
    Attribute,
    /// `<script>…</script>`.
    Element,
}

/// Whether any inline script may run ("allows all inline behavior"): `'unsafe-inline'` counts only
/// without a nonce, a hash or `'strict-dynamic'`.
pub(super) fn allows_inline(policy: &Policy, script: Script) -> bool {
    let directives = match script {
        Script::Attribute => ["script-src-attr", "script-src", "default-src"],
        Script::Element => ["script-src-elem", "script-src", "default-src"],
    };
    if is_without_script(policy) {
        return false;
    }
    let Some(sources) = policy.first_sources(&directives) else { return true };
    let is_narrowed = sources.iter().any(|source| {
        matches!(source, Source::Nonce | Source::Hash(_)) || source.is_keyword("strict-dynamic")
    });
    !is_narrowed && sources.iter().any(|source| source.is_keyword("unsafe-inline"))
}

/// Whether strings may be compiled to script (§4.5).
pub(super) fn allows_eval(policy: &Policy) -> bool {
    if is_without_script(policy) {
        return false;
    }
    match policy.first_sources(&["script-src", "default-src"]) {
        Some(sources) => sources.iter().any(|source| source.is_keyword("unsafe-eval")),
        None => true,
    }
}

/// Whether script from where `is_foreign` says may be loaded; `'strict-dynamic'` switches hosts and
/// schemes off.
pub(super) fn allows_foreign(policy: &Policy, is_foreign: impl Fn(&Source) -> bool) -> bool {
    if is_without_script(policy) {
        return false;
    }
    match policy.first_sources(&["script-src-elem", "script-src", "default-src"]) {
        Some(sources) => {
            !sources.iter().any(|source| source.is_keyword("strict-dynamic"))
                && sources.iter().any(is_foreign)
        }
        None => true,
    }
}

fn is_without_script(policy: &Policy) -> bool {
    policy
        .words("sandbox")
        .is_some_and(|flags| !flags.iter().any(|flag| flag.eq_ignore_ascii_case("allow-scripts")))
}
