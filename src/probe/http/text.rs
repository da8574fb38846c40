//! What may leave the probe of a peer's text: cleaned, cut, secrets taken out.

use std::hash::{Hash, Hasher};

use siphasher::sip::SipHasher13;
use url::Url;

use super::fields::Field;

/// What stands where a secret was.
pub(super) const REDACTED: &str = "<redacted>";

/// Printable text of at most `max` characters. Control and format characters (which could write on
/// a screen or turn its direction) become `?`.
pub(super) fn clean(text: &str, max: usize) -> String {
    let is_plain = |c: char| c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric();
    text.chars().take(max).map(|c| if is_plain(c) { c } else { '?' }).collect()
}

/// A number that tells texts apart.
pub(super) fn digest<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut hasher = SipHasher13::new();
    texts.into_iter().for_each(|text| text.hash(&mut hasher));
    hasher.finish()
}

/// A field's value as a hop records it: values that identify or authorise someone are redacted,
/// URLs lose the secrets of their queries.
pub(super) fn recorded(field: &Field) -> String {
    let is = |known: &&str| field.name.eq_ignore_ascii_case(known);
    if SECRET_FIELDS.iter().any(is) || has_secret_part(&field.name) {
        return REDACTED.to_owned();
    }
    match WITH_ADDRESSES.iter().any(is) {
        true => redact_query(&field.value),
        false => field.value.clone(),
    }
}

/// A URL as a hop records it: without credentials and fragment, secrets of the query redacted.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_fragment(None);
    redact_query(url.as_str())
}

/// Redacts the query's values that look like secrets or like fresh random: they would be stored,
/// and make every sample look changed.
fn redact_query(url: &str) -> String {
    let Some((before, query)) = url.split_once('?') else { return url.to_owned() };
    let (query, fragment) = match query.split_once('#') {
        Some((query, fragment)) => (query, Some(fragment)),
        None => (query, None),
    };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) if is_secret(name, value) => format!("{name}={REDACTED}"),
            None if is_random(pair) => REDACTED.to_owned(),
            _ => pair.to_owned(),
        })
        .collect();
    let fragment = if fragment.is_some() { "#" } else { "" };
    format!("{before}?{}{fragment}", pairs.join("&"))
}

fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let named = SECRET_QUERY.contains(&&*name) || has_secret_part(&name);
    (named && !value.is_empty()) || is_random(value)
}

fn has_secret_part(name: &str) -> bool {
    let windows = |part: &&str| {
        let mut windows = name.as_bytes().windows(part.len());
        windows.any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
    };
    SECRET_PARTS.iter().any(windows)
}

/// A run of 16 letters and digits, with both among them.
fn is_random(value: &str) -> bool {
    value.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| {
        run.len() >= 16
            && run.bytes().any(|b| b.is_ascii_digit())
            && run.bytes().any(|b| b.is_ascii_alphabetic())
    })
}

/// Fields whose values are credentials.
const SECRET_FIELDS: [&str; 8] = [
    "authentication-info",
    "authorization",
    "cookie",
    "proxy-authentication-info",
    "proxy-authorization",
    "set-cookie",
    "set-cookie2",
    "x-amz-security-token",
];

/// Fields whose values are addresses.
const WITH_ADDRESSES: [&str; 3] = ["content-location", "location", "refresh"];

/// Parts of names of fields and query parameters whose values are credentials.
const SECRET_PARTS: [&str; 8] =
    ["token", "secret", "password", "passwd", "api-key", "apikey", "session", "credential"];

/// Query parameters whose values are credentials, or fresh at every request.
const SECRET_QUERY: [&str; 12] = [
    "auth",
    "code",
    "jwt",
    "key",
    "nonce",
    "relaystate",
    "samlrequest",
    "samlresponse",
    "sid",
    "sig",
    "signature",
    "state",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, value: &str) -> String {
        recorded(&Field { name: name.to_owned(), value: value.to_owned() })
    }

    #[test]
    fn text_for_screens_has_no_control_or_format_characters() {
        assert_eq!(clean("nginx\u{1b}[2J\u{202e}é\r\n", 50), "nginx?[2J?é??");
        assert_eq!(clean("abc", 2), "ab");
    }

    #[test]
    fn credentials_never_leave_the_probe() {
        for name in ["Set-Cookie", "AUTHORIZATION", "x-csrf-token", "X-Api-Key", "X-Session-Id"] {
            assert_eq!(record(name, "s3cret"), REDACTED, "{name}");
        }
        assert_eq!(record("Server", "nginx"), "nginx");
    }

    #[test]
    fn queries_lose_their_secrets_and_keep_the_rest() {
        for (url, kept) in [
            ("https://a/", "https://a/"),
            ("https://a/?next=/home&lang=en", "https://a/?next=/home&lang=en"),
            ("https://a/?code=abc&x=1", "https://a/?code=<redacted>&x=1"),
            ("/cb?access_token=1#f", "/cb?access_token=<redacted>#"),
            ("/?r=deadbeef0123456789", "/?r=<redacted>"),
            ("/?deadbeef0123456789", "/?<redacted>"),
            ("/?state=", "/?state="),
        ] {
            assert_eq!(record("Location", url), kept);
        }
    }
}
