//! Fields that say something small each: Integrity-Policy, Clear-Site-Data, Reporting, Alt-Svc,
//! Cache-Control, and those that browsers no longer heed.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sfv::{BareItem, Dictionary, ListEntry, Parser};
use url::Url;

use super::fields::Fields;
use super::text::clean;

/// Integrity-Policy: `{present, report_only, blocks}`, `blocks` the destinations that must bear a
/// digest.
pub(super) fn integrity_policy(fields: &Fields) -> Value {
    let blocked = |name: &str| -> Option<BTreeSet<String>> {
        let text = fields.joined(name)?;
        let dictionary: Dictionary = Parser::new(&text).parse().ok()?;
        let Some(ListEntry::InnerList(list)) = dictionary.get("blocked-destinations") else {
            return Some(BTreeSet::new());
        };
        let words = list.items.iter().filter_map(|item| match &item.bare_item {
            BareItem::Token(token) if matches!(token.as_str(), "script" | "style") => {
                Some(token.as_str().to_owned())
            }
            _ => None,
        });
        Some(words.collect())
    };
    let blocks = blocked("integrity-policy").unwrap_or_default();
    json!({
        "present": !blocks.is_empty(),
        "report_only": fields.first("integrity-policy-report-only").is_some(),
        "blocks": blocks,
    })
}

/// What Clear-Site-Data clears.
pub(super) fn clear_site_data(fields: &Fields) -> BTreeSet<String> {
    let values = fields.split("clear-site-data").unwrap_or_default();
    let known = [
        "cache",
        "clientHints",
        "cookies",
        "executionContexts",
        "prefetchCache",
        "prerenderCache",
        "storage",
        "*",
    ];
    let inner = values.iter().filter_map(|value| value.strip_prefix('"')?.strip_suffix('"'));
    inner.filter(|value| known.contains(value)).map(str::to_owned).collect()
}

/// Where reports go: `{endpoints, hosts, nel}`.
pub(super) fn reporting(fields: &Fields) -> Value {
    let text = fields.joined("reporting-endpoints").unwrap_or_default();
    let mut endpoints = BTreeSet::new();
    let mut hosts = BTreeSet::new();
    if let Ok(dictionary) = Parser::new(&text).parse::<Dictionary>() {
        for (name, entry) in dictionary.iter().take(MAX_ENTRIES) {
            endpoints.insert(clean(name.as_str(), 64));
            if let ListEntry::Item(item) = entry
                && let BareItem::String(url) = &item.bare_item
                && let Some(host) = Url::parse(url.as_str()).ok().and_then(host_of)
            {
                hosts.insert(host);
            }
        }
    }
    json!({
        "endpoints": endpoints,
        "hosts": hosts,
        "nel": fields.first("nel").is_some(),
        "report_to": fields.first("report-to").is_some(),
    })
}

fn host_of(url: Url) -> Option<String> {
    url.host_str().map(|host| clean(host, 253))
}

/// The protocols that Alt-Svc offers (RFC 7838); `clear` offers none.
pub(super) fn alt_svc(fields: &Fields) -> BTreeSet<String> {
    let values = fields.split("alt-svc").unwrap_or_default();
    let protocols = values.iter().filter_map(|value| value.split_once('='));
    protocols.map(|(protocol, _)| clean(protocol.trim(), 32)).take(MAX_ENTRIES).collect()
}

/// The fields sent that browsers no longer heed, or that do harm.
pub(super) fn deprecated(fields: &Fields) -> BTreeSet<&'static str> {
    let sent = |name: &&&str| fields.first(name).is_some();
    let mut found: BTreeSet<&'static str> = DEPRECATED.iter().filter(sent).copied().collect();
    // 0 turns off what should be off.
    if fields.joined("x-xss-protection").is_some_and(|value| !value.trim().starts_with('0')) {
        found.insert("x-xss-protection");
    }
    found
}

/// Cache-Control by what the page is: `{class, shared, stored, directives}`.
pub(super) fn cache(fields: &Fields, path: &str) -> Value {
    let values = fields.split("cache-control").unwrap_or_default();
    let directives: BTreeSet<String> = values
        .iter()
        .map(|value| value.split('=').next().unwrap_or_default().trim().to_ascii_lowercase())
        .filter(|name| KNOWN_CACHE.contains(&&**name))
        .collect();
    let has = |name: &str| directives.contains(name);
    let sets_cookie = fields.first("set-cookie").is_some();
    let path = path.to_ascii_lowercase();
    let is_named = SENSITIVE.iter().any(|word| path.split('/').any(|part| part.starts_with(word)));
    let class = if is_named {
        "sensitive"
    } else if sets_cookie {
        "personal"
    } else {
        "page"
    };
    let says_public = has("public") || has("s-maxage");
    json!({
        "class": class,
        "shared": says_public && !has("no-store") && !has("private"),
        "stored": !has("no-store"),
        "directives": directives,
    })
}

const DEPRECATED: [&str; 11] = [
    "expect-ct",
    "feature-policy",
    "p3p",
    "public-key-pins",
    "public-key-pins-report-only",
    "report-to",
    "x-content-security-policy",
    "x-download-options",
    "x-permitted-cross-domain-policies",
    "x-ua-compatible",
    "x-webkit-csp",
];

const KNOWN_CACHE: [&str; 11] = [
    "immutable",
    "max-age",
    "must-revalidate",
    "must-understand",
    "no-cache",
    "no-store",
    "no-transform",
    "private",
    "proxy-revalidate",
    "public",
    "s-maxage",
];

/// Parts of paths behind which there is something personal.
const SENSITIVE: [&str; 9] =
    ["account", "admin", "checkout", "login", "logout", "profile", "session", "settings", "signin"];

const MAX_ENTRIES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_fields_are_read_by_their_grammar() {
        let fields = Fields::of(&[
            ("Integrity-Policy", "blocked-destinations=(script style), endpoints=(a)"),
            ("Clear-Site-Data", "\"cookies\", storage, \"*\""),
            ("Reporting-Endpoints", "a=\"https://r.example/x?key=1\""),
            ("Alt-Svc", "h3=\":443\"; ma=86400, h2=\"alt.example:443\""),
            ("X-XSS-Protection", "1; mode=block"),
            ("Expect-CT", "max-age=1"),
        ]);
        assert_eq!(integrity_policy(&fields)["blocks"], json!(["script", "style"]));
        assert_eq!(clear_site_data(&fields), ["*", "cookies"].map(str::to_owned).into());
        assert_eq!(reporting(&fields)["hosts"], json!(["r.example"]));
        assert_eq!(alt_svc(&fields), ["h2", "h3"].map(str::to_owned).into());
        assert_eq!(deprecated(&fields), ["expect-ct", "x-xss-protection"].into());
        assert!(deprecated(&Fields::of(&[("X-XSS-Protection", "0")])).is_empty());
    }

    #[test]
    fn caching_is_judged_by_what_the_page_is() {
        for (pairs, path, class, shared, stored) in [
            (&[][..], "/", "page", false, true),
            (&[("Cache-Control", "public, max-age=60")], "/", "page", true, true),
            (&[("Cache-Control", "Private")], "/Login/x", "sensitive", false, true),
            (
                &[("Cache-Control", "no-store"), ("Set-Cookie", "a=b")],
                "/",
                "personal",
                false,
                false,
            ),
            (
                &[("Cache-Control", "s-maxage=9"), ("Set-Cookie", "a=b")],
                "/",
                "personal",
                true,
                true,
            ),
        ] {
            let read = cache(&Fields::of(pairs), path);
            assert_eq!(read["class"], class, "{pairs:?}");
            assert_eq!((&read["shared"], &read["stored"]), (&json!(shared), &json!(stored)));
        }
    }
}
