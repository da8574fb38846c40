//! The tests that read one field.

use sfv::{BareItem, Item, Parser};

use super::csp::Judged;
use super::{Response, Scan, Sharing, keys};
use crate::probe::http::fields::Fields;

/// Lines of one name as the scanner's HTTP library hands them over: joined, and what is empty counts
/// as not sent.
fn value(response: Option<&Response<'_>>, name: &str) -> Option<String> {
    response?.fields.joined(name).filter(|value| !value.is_empty())
}

fn cut(text: &str, max: usize) -> String {
    text.chars().take(max).collect::<String>().trim().to_owned()
}

/// The token of a structured field item.
fn token(text: &str) -> Option<String> {
    let item: Item = Parser::new(&cut(text, 1024)).parse().ok()?;
    match item.bare_item {
        BareItem::Token(token) => Some(token.as_str().to_owned()),
        _ => None,
    }
}

/// Cross-Origin-Embedder-Policy.
pub(super) fn embedder(scan: &Scan<'_>) -> &'static str {
    let sent = value(scan.auto.as_ref(), "cross-origin-embedder-policy");
    let Some(text) = sent else { return "coep-not-implemented" };
    match token(&text).as_deref() {
        Some("require-corp") => "coep-implemented-with-require-corp",
        Some("credentialless") => "coep-implemented-with-credentialless",
        Some("unsafe-none") => "coep-implemented-with-unsafe-none",
        _ => "coep-header-invalid",
    }
}

/// Cross-Origin-Opener-Policy.
pub(super) fn opener(scan: &Scan<'_>) -> &'static str {
    let sent = value(scan.auto.as_ref(), "cross-origin-opener-policy");
    let Some(text) = sent else { return "coop-not-implemented" };
    match token(&text).as_deref() {
        Some("same-origin") => "coop-implemented-with-same-origin",
        Some("same-origin-allow-popups") => "coop-implemented-with-same-origin-allow-popups",
        Some("noopener-allow-popups") => "coop-implemented-with-noopener-allow-popups",
        Some("unsafe-none") => "coop-implemented-with-unsafe-none",
        _ => "coop-header-invalid",
    }
}

/// Cross-Origin-Resource-Policy.
pub(super) fn resource(scan: &Scan<'_>) -> &'static str {
    let sent = value(scan.auto.as_ref(), "cross-origin-resource-policy");
    let Some(text) = sent else { return "corp-not-implemented" };
    match &*cut(&text, 256).to_lowercase() {
        "same-origin" => "corp-implemented-with-same-origin",
        "same-site" => "corp-implemented-with-same-site",
        "cross-origin" => "corp-implemented-with-cross-origin",
        "" => "corp-not-implemented",
        _ => "corp-header-invalid",
    }
}

/// Cross-Origin Resource Sharing.
pub(super) fn sharing_of(scan: &Scan<'_>) -> &'static str {
    match scan.cors {
        Sharing::Nothing => NOT_SHARED,
        Sharing::Answer(fields, origin) => sharing(fields, origin),
        Sharing::Known(key) => keys::known(key).unwrap_or(NOT_SHARED),
    }
}

/// The key for these fields, sent to this origin.
pub(in crate::probe::http) fn sharing(fields: &Fields, origin: &str) -> &'static str {
    let sent = fields.joined("access-control-allow-origin").filter(|value| !value.is_empty());
    let Some(allowed) = sent else { return NOT_SHARED };
    if cut(&allowed, 256) == "*" {
        return "cross-origin-resource-sharing-implemented-with-public-access";
    }
    let credentials = fields.joined("access-control-allow-credentials");
    let credentials = credentials.is_some_and(|value| value.trim().to_lowercase() == "true");
    if allowed == origin && !origin.is_empty() && credentials {
        "cross-origin-resource-sharing-implemented-with-universal-access"
    } else {
        "cross-origin-resource-sharing-implemented-with-restricted-access"
    }
}

/// Referrer-Policy, of the field and of `<meta name=referrer>`: the last known word counts.
pub(super) fn referrer(scan: &Scan<'_>) -> &'static str {
    let none = "referrer-policy-not-implemented";
    let Some(response) = &scan.auto else { return none };
    let field = response.fields.joined("referrer-policy");
    let meta = scan.declaring_page().and_then(|page| page.referrer.clone());
    if field.is_none() && meta.is_none() {
        return none;
    }
    let words = field.iter().chain(&meta).flat_map(|text| text.split(','));
    let words = words.map(|word| word.trim().to_lowercase());
    let words: Vec<String> = words.collect();
    let is_known = |word: &&String| PRIVATE.contains(&&***word) || UNSAFE.contains(&&***word);
    match words.iter().rev().find(is_known) {
        Some(word) if PRIVATE.contains(&&**word) => "referrer-policy-private",
        Some(_) => "referrer-policy-unsafe",
        None => "referrer-policy-header-invalid",
    }
}

/// X-Content-Type-Options.
pub(super) fn content_type_options(scan: &Scan<'_>) -> &'static str {
    match value(scan.auto.as_ref(), "x-content-type-options") {
        None => "x-content-type-options-not-implemented",
        Some(text) if cut(&text, 256).to_lowercase() == "nosniff" => {
            "x-content-type-options-nosniff"
        }
        Some(_) => "x-content-type-options-header-invalid",
    }
}

/// X-Frame-Options, or `frame-ancestors` of whatever kind in a policy that could be read.
pub(super) fn frame_options(scan: &Scan<'_>, policy: &Judged) -> &'static str {
    if policy.has_frame_ancestors && scan.auto.is_some() {
        return "x-frame-options-implemented-via-csp";
    }
    let sent = value(scan.auto.as_ref(), "x-frame-options");
    let Some(text) = sent else { return "x-frame-options-not-implemented" };
    match &*cut(&text, 1024).to_lowercase() {
        "deny" | "sameorigin" => "x-frame-options-sameorigin-or-deny",
        text if text.starts_with("allow-from") => "x-frame-options-allow-from-origin",
        _ => "x-frame-options-header-invalid",
    }
}

const NOT_SHARED: &str = "cross-origin-resource-sharing-not-implemented";

const PRIVATE: [&str; 4] =
    ["no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin"];
const UNSAFE: [&str; 4] =
    ["no-referrer-when-downgrade", "origin", "origin-when-cross-origin", "unsafe-url"];
