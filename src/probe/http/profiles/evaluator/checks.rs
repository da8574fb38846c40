//! The evaluator's default checks, in its order.

use super::Finding;
use super::bypass::{self, LISTS};
use super::policy::{self, DIRECTIVES, HASHES, KEYWORDS, Policy};

/// Every finding on what a browser heeds of a policy.
pub(super) fn all(policy: &Policy) -> Vec<Finding> {
    let checks: [fn(&Policy) -> Vec<Finding>; 14] = [
        script_unsafe_inline,
        script_unsafe_eval,
        plain_schemes,
        wildcards,
        missing_directives,
        script_allowlist,
        flash_allowlist,
        ip_sources,
        nonces,
        plain_http,
        deprecated,
        unknown_directives,
        missing_semicolons,
        invalid_keywords,
    ];
    checks.into_iter().flat_map(|check| check(policy)).collect()
}

fn finding(kind: &'static str, severity: &'static str, directive: &str) -> Finding {
    Finding { kind, severity, directive: directive.to_owned(), value: None, policy: None }
}

impl Finding {
    fn about(mut self, value: &str) -> Self {
        self.value = Some(value.to_owned());
        self
    }
}

/// Each value of each directive.
fn each(policy: &Policy) -> impl Iterator<Item = (&str, &str)> {
    policy
        .directives
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| (&**name, &**value)))
}

fn script_unsafe_inline(policy: &Policy) -> Vec<Finding> {
    let mut found = Vec::new();
    for directive in policy.governing_all(&SCRIPT) {
        let has = |keyword: &str| policy.values(directive).iter().any(|value| value == keyword);
        let inline = "'unsafe-inline'";
        if has(inline) {
            found.push(finding("SCRIPT_UNSAFE_INLINE", HIGH, directive).about(inline));
        }
        let hashes = "'unsafe-hashes'";
        if has(hashes) {
            found.push(finding("SCRIPT_UNSAFE_HASHES", MEDIUM_MAYBE, directive).about(hashes));
        }
    }
    found
}

fn script_unsafe_eval(policy: &Policy) -> Vec<Finding> {
    let eval = "'unsafe-eval'";
    let directives = policy.governing_all(&SCRIPT).into_iter();
    directives
        .filter(|directive| policy.values(directive).iter().any(|value| value == eval))
        .map(|directive| finding("SCRIPT_UNSAFE_EVAL", MEDIUM_MAYBE, directive).about(eval))
        .collect()
}

fn plain_schemes(policy: &Policy) -> Vec<Finding> {
    dangerous(policy, "PLAIN_URL_SCHEMES", |value| matches!(value, "data:" | "http:" | "https:"))
}

fn wildcards(policy: &Policy) -> Vec<Finding> {
    dangerous(policy, "PLAIN_WILDCARD", |value| bypass::without_scheme(value) == "*")
}

fn dangerous(policy: &Policy, kind: &'static str, is: fn(&str) -> bool) -> Vec<Finding> {
    let directives = policy.governing_all(&CAUSING_XSS).into_iter();
    let pairs = directives.flat_map(|name| policy.values(name).iter().map(move |v| (name, v)));
    pairs
        .filter(|(_, value)| is(value))
        .map(|(directive, value)| finding(kind, HIGH, directive).about(value))
        .collect()
}

fn missing_directives(policy: &Policy) -> Vec<Finding> {
    let missing = |directive| finding("MISSING_DIRECTIVES", HIGH, directive);
    let mut found = Vec::new();
    if policy.values(policy.governing("object-src")).is_empty() {
        found.push(missing("object-src"));
    }
    if !policy.has("script-src") && !policy.has("default-src") {
        found.push(missing("script-src"));
    }
    let needs_base = policy.has_script_nonce() || (policy.has_script_hash() && policy.is_dynamic());
    if needs_base && !policy.has("base-uri") {
        found.push(missing("base-uri"));
    }
    found
}

fn script_allowlist(policy: &Policy) -> Vec<Finding> {
    let mut found = Vec::new();
    for directive in policy.governing_all(&["script-src", "script-src-elem"]) {
        let values = policy.values(directive);
        if values.iter().any(|value| value == "'none'") {
            continue;
        }
        let may_eval = values.iter().any(|value| value == "'unsafe-eval'");
        for value in values {
            let severity = if value == "'self'" {
                MEDIUM_MAYBE
            } else if value.starts_with('\'') || policy::is_scheme(value) || !value.contains('.') {
                continue;
            } else if is_passed_by(value, may_eval) {
                HIGH
            } else {
                MEDIUM_MAYBE
            };
            found.push(finding("SCRIPT_ALLOWLIST_BYPASS", severity, directive).about(value));
        }
    }
    found
}

fn is_passed_by(value: &str, may_eval: bool) -> bool {
    let jsonp = bypass::first(value, &LISTS.jsonp);
    let jsonp = jsonp.filter(|host| may_eval || !LISTS.needs_eval.iter().any(|n| n == host.0));
    jsonp.is_some() || bypass::first(value, &LISTS.angular).is_some()
}

fn flash_allowlist(policy: &Policy) -> Vec<Finding> {
    let plugins = policy.values("plugin-types");
    let is_flash = plugins.iter().any(|plugin| plugin == "application/x-shockwave-flash");
    if policy.has("plugin-types") && !is_flash {
        return Vec::new();
    }
    let directive = policy.governing("object-src");
    let values = policy.values(directive);
    if values.iter().any(|value| value == "'none'") {
        return Vec::new();
    }
    let mut found = Vec::new();
    for value in values {
        let severity = match bypass::first(value, &LISTS.flash) {
            Some(_) => HIGH,
            None if directive == "object-src" => MEDIUM_MAYBE,
            None => continue,
        };
        found.push(finding("OBJECT_ALLOWLIST_BYPASS", severity, directive).about(value));
    }
    found
}

fn ip_sources(policy: &Policy) -> Vec<Finding> {
    // Most sources are no address at a glance, and need not be read as a URL to know it.
    let may_be = |value: &str| {
        !value.starts_with('\'')
            && value.bytes().any(|b| b.is_ascii_digit() || !b.is_ascii() || b"[%".contains(&b))
    };
    let is_address = |value: &str| {
        may_be(value) && bypass::host(value).is_some_and(|h| looks_like_an_address(&h))
    };
    each(policy)
        .filter(|(_, value)| is_address(value))
        .map(|(directive, value)| finding("IP_SOURCE", INFO, directive).about(value))
        .collect()
}

fn looks_like_an_address(host: &str) -> bool {
    let is_octet =
        |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    (host.starts_with('[') && host.ends_with(']'))
        || (host.split('.').count() == 4 && host.split('.').all(is_octet))
}

fn nonces(policy: &Policy) -> Vec<Finding> {
    let mut found = Vec::new();
    for (directive, value) in each(policy) {
        let Some(nonce) = policy::nonce(value) else { continue };
        if nonce.encode_utf16().count() < 8 {
            found.push(finding("NONCE_LENGTH", "MEDIUM", directive).about(value));
        }
        if !policy::is_nonce(value) {
            found.push(finding("NONCE_CHARSET", INFO, directive).about(value));
        }
    }
    found
}

fn plain_http(policy: &Policy) -> Vec<Finding> {
    each(policy)
        .filter(|(_, value)| value.starts_with("http://"))
        .map(|(directive, value)| finding("SRC_HTTP", "MEDIUM", directive).about(value))
        .collect()
}

fn deprecated(policy: &Policy) -> Vec<Finding> {
    ["reflected-xss", "referrer", "disown-opener", "prefetch-src"]
        .into_iter()
        .filter(|directive| policy.has(directive))
        .map(|directive| finding("DEPRECATED_DIRECTIVE", INFO, directive))
        .collect()
}

fn unknown_directives(policy: &Policy) -> Vec<Finding> {
    policy
        .directives
        .iter()
        .filter(|(name, _)| !is_directive(name))
        .map(|(name, _)| finding("UNKNOWN_DIRECTIVE", SYNTAX, name))
        .collect()
}

fn missing_semicolons(policy: &Policy) -> Vec<Finding> {
    each(policy)
        .filter(|(_, value)| is_directive(value))
        .map(|(directive, value)| finding("MISSING_SEMICOLON", SYNTAX, directive).about(value))
        .collect()
}

fn invalid_keywords(policy: &Policy) -> Vec<Finding> {
    let is_bare = |value: &str| {
        KEYWORDS.iter().any(|keyword| keyword.trim_matches('\'') == value)
            || value.starts_with("nonce-")
            || HASHES.iter().any(|prefix| value.starts_with(prefix))
    };
    let is_known = |directive: &str, value: &str| match directive {
        "require-trusted-types-for" => value == "'script'",
        "trusted-types" => matches!(value, "'allow-duplicates'" | "'none'"),
        _ => KEYWORDS.contains(&value) || policy::is_hash(value) || policy::is_nonce(value),
    };
    each(policy)
        .filter(|(name, value)| {
            is_bare(value) || (value.starts_with('\'') && !is_known(name, value))
        })
        .map(|(directive, value)| finding("INVALID_KEYWORD", SYNTAX, directive).about(value))
        .collect()
}

fn is_directive(name: &str) -> bool {
    DIRECTIVES.contains(&name) || name == "webrtc"
}

const SCRIPT: [&str; 3] = ["script-src", "script-src-attr", "script-src-elem"];
const CAUSING_XSS: [&str; 5] =
    ["script-src", "script-src-attr", "script-src-elem", "object-src", "base-uri"];

const HIGH: &str = "HIGH";
const INFO: &str = "INFO";
const MEDIUM_MAYBE: &str = "MEDIUM_MAYBE";
const SYNTAX: &str = "SYNTAX";
