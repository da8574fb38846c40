//! Set-Cookie (RFC 6265bis §5.6, §5.7): what browsers make of each line. Values never leave here.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::fields::Fields;
use super::text::clean;

/// One cookie, or all those whose names differ in digits only.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Cookie {
    /// The name; runs of eight or more hexadecimal digits are `*`.
    pub(super) name: String,
    /// Secure.
    pub(super) secure: bool,
    /// HttpOnly.
    pub(super) http_only: bool,
    /// `Strict`, `Lax`, `None`, or empty.
    pub(super) same_site: &'static str,
    /// Path; empty where browsers take the default.
    pub(super) path: String,
    /// Domain; empty for the host alone.
    pub(super) domain: String,
    /// Partitioned: kept apart for each site that embeds this one (CHIPS).
    pub(super) partitioned: bool,
    /// Whether what `__Host-` or `__Secure-` promise is kept; true without one.
    pub(super) prefix_ok: bool,
    /// Whether the name looks like a session's.
    pub(super) session: bool,
}

/// The cookies that the responses set, worst flags first where a name is set twice. A cookie that
/// is deleted (already expired) is not set. Each response comes with whether it came over https.
pub(super) fn read<'a>(
    responses: impl Iterator<Item = (&'a Fields, bool)>,
    now: DateTime<Utc>,
) -> Vec<Cookie> {
    let mut cookies: BTreeMap<String, Cookie> = BTreeMap::new();
    for (fields, is_https) in responses {
        for line in fields.all("set-cookie") {
            let Some(cookie) = parse(line, is_https, now) else { continue };
            if let Some(known) = cookies.get_mut(&cookie.name) {
                known.weaken(cookie);
            } else if cookies.len() < MAX_COOKIES {
                cookies.insert(cookie.name.clone(), cookie);
            }
        }
    }
    cookies.into_values().collect()
}

impl Cookie {
    fn weaken(&mut self, other: Self) {
        self.secure &= other.secure;
        self.http_only &= other.http_only;
        self.partitioned &= other.partitioned;
        self.prefix_ok &= other.prefix_ok;
        let rank = |word: &str| SAME_SITE.iter().position(|known| *known == word);
        if rank(other.same_site) < rank(self.same_site) {
            self.same_site = other.same_site;
        }
        if self.domain.is_empty() {
            self.domain = other.domain;
        }
    }
}

fn parse(line: &str, is_https: bool, now: DateTime<Utc>) -> Option<Cookie> {
    if line.chars().any(|c| c.is_ascii_control() && c != '\t') {
        return None;
    }
    let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
    // A pair without `=` is a value without a name.
    let (name, value) = pair.split_once('=').unwrap_or(("", pair));
    let (name, value) = (name.trim(), value.trim());
    if (name.is_empty() && value.is_empty()) || name.len() + value.len() > MAX_BYTES {
        return None;
    }
    let read = Attributes::parse(attributes);
    if read.is_expired(now) {
        return None;
    }
    // Browsers refuse a nameless cookie whose value bears a prefix.
    let prefixed = if name.is_empty() { value } else { name };
    let prefix_ok = match prefix(prefixed) {
        None => true,
        Some(_) if name.is_empty() => false,
        Some("__host-") => is_https && read.secure && read.domain.is_empty() && read.path == "/",
        Some(_) => is_https && read.secure,
    };
    Some(Cookie {
        name: clean(&masked(name), MAX_TEXT),
        secure: read.secure,
        http_only: read.http_only,
        same_site: read.same_site,
        path: clean(&masked(&read.path), MAX_TEXT),
        domain: clean(&read.domain, MAX_TEXT),
        // Browsers heed it beside Secure only.
        partitioned: read.partitioned && read.secure,
        prefix_ok,
        session: looks_like_a_session(name),
    })
}

#[derive(Default)]
struct Attributes {
    secure: bool,
    http_only: bool,
    partitioned: bool,
    same_site: &'static str,
    path: String,
    domain: String,
    max_age: Option<i64>,
    expires: Option<DateTime<Utc>>,
}

impl Attributes {
    /// §5.6: of a repeated attribute the last counts.
    fn parse(text: &str) -> Self {
        let mut read = Self::default();
        for attribute in text.split(';') {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let value = value.trim();
            match &*name.trim().to_ascii_lowercase() {
                "secure" => read.secure = true,
                "httponly" => read.http_only = true,
                "partitioned" => read.partitioned = true,
                "samesite" => {
                    let known = SAME_SITE.into_iter().find(|w| w.eq_ignore_ascii_case(value));
                    read.same_site = known.unwrap_or_default();
                }
                "path" => {
                    read.path =
                        if value.starts_with('/') { value.to_owned() } else { String::new() };
                }
                "domain" => {
                    read.domain = value.strip_prefix('.').unwrap_or(value).to_ascii_lowercase();
                }
                "max-age" => read.max_age = value.parse().ok().or(read.max_age),
                "expires" => read.expires = date(value).or(read.expires),
                _ => {}
            }
        }
        read
    }

    fn is_expired(&self, now: DateTime<Utc>) -> bool {
        match (self.max_age, self.expires) {
            (Some(seconds), _) => seconds <= 0,
            (None, Some(at)) => at <= now,
            (None, None) => false,
        }
    }
}

fn date(text: &str) -> Option<DateTime<Utc>> {
    // Netscape's form has dashes: Thu, 01-Jan-1970 00:00:00 GMT.
    let text = text.replace('-', " ");
    DateTime::parse_from_rfc2822(&text).ok().map(|date| date.with_timezone(&Utc))
}

fn prefix(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    ["__host-", "__secure-"].into_iter().find(|prefix| lower.starts_with(prefix))
}

/// Names that carry an id (`SSESS1f2e…`) are one cookie, not a new one at every sample.
fn masked(name: &str) -> String {
    let (mut masked, mut run) = (String::new(), String::new());
    for c in name.chars().chain(std::iter::once('\0')) {
        if c.is_ascii_hexdigit() || (c == '-' && !run.is_empty()) {
            run.push(c);
            continue;
        }
        let digits = run.bytes().filter(u8::is_ascii_hexdigit).count();
        if digits >= 8 && run.bytes().any(|b| b.is_ascii_digit()) {
            masked.push('*');
        } else {
            masked.push_str(&run);
        }
        run.clear();
        masked.push(c);
    }
    masked.pop();
    masked
}

fn looks_like_a_session(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    // Anti-forgery tokens are meant to be read by script.
    if ["csrf", "xsrf", "forgery"].iter().any(|part| lower.contains(part)) {
        return false;
    }
    let parts = ["sess", "login", "auth", "jwt", "token", "remember_me", "rememberme"];
    parts.iter().any(|part| lower.contains(part))
        || lower == "sid"
        || ["_sid", "-sid", ".sid"].iter().any(|end| lower.ends_with(end))
}

/// From weakest to strongest.
const SAME_SITE: [&str; 4] = ["None", "", "Lax", "Strict"];

/// RFC 6265bis §5.6: name and value together.
const MAX_BYTES: usize = 4096;

const MAX_COOKIES: usize = 64;
const MAX_TEXT: usize = 128;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("a date")
    }

    fn cookie(line: &str) -> Option<Cookie> {
        parse(line, true, now())
    }

    #[test]
    fn attributes_are_read_as_browsers_read_them() {
        for (line, secure, http_only, same_site, path, domain) in [
            ("a=b", false, false, "", "", ""),
            ("a=b; Secure; HttpOnly; SameSite=Strict", true, true, "Strict", "", ""),
            ("a=b;secure;HTTPONLY;samesite=lax", true, true, "Lax", "", ""),
            ("a=b; SameSite=None; Secure", true, false, "None", "", ""),
            ("a=b; SameSite=Bogus", false, false, "", "", ""),
            ("a=b; SameSite=Lax; SameSite=Bogus", false, false, "", "", ""),
            ("a=b; Secure=false", true, false, "", "", ""),
            ("a=b; Path=/x; Path=/y", false, false, "", "/y", ""),
            ("a=b; Path=x", false, false, "", "", ""),
            ("a=b; Domain=.Example.com", false, false, "", "", "example.com"),
            ("a=b; SecureX; HttpOnlyX", false, false, "", "", ""),
            ("a=\"b; Secure\"", false, false, "", "", ""),
            ("a=b; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT", false, false, "", "", ""),
        ] {
            let c = cookie(line).expect(line);
            assert_eq!(
                (c.secure, c.http_only, c.same_site, &*c.path, &*c.domain),
                (secure, http_only, same_site, path, domain),
                "{line}"
            );
        }
    }

    #[test]
    fn what_sets_nothing_is_no_cookie() {
        for line in [
            "",
            "=",
            " ; Secure",
            "a=b; Max-Age=0",
            "a=b; Max-Age=-1",
            "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "a=; expires=Thu, 01-Jan-1970 00:00:01 GMT; Secure",
            "a=b\u{1}",
            &format!("a={}", "x".repeat(5000)),
        ] {
            assert_eq!(cookie(line), None, "{line}");
        }
    }

    #[test]
    fn prefixes_are_held_to_their_promise() {
        for (line, ok) in [
            ("a=b", true),
            ("__Secure-a=b; Secure", true),
            ("__Secure-a=b", false),
            ("__secure-a=b", false),
            ("__Host-a=b; Secure; Path=/", true),
            ("__Host-a=b; Secure", false),
            ("__Host-a=b; Secure; Path=/x", false),
            ("__Host-a=b; Path=/", false),
            ("__Host-a=b; Secure; Path=/; Domain=a.example", false),
            ("__HOST-a=b; Secure; Path=/; Domain=", true),
            ("__Host-a; Secure; Path=/", false),
            ("=__Secure-a=b; Secure", false),
        ] {
            assert_eq!(cookie(line).expect(line).prefix_ok, ok, "{line}");
        }
        let plain = parse("__Secure-a=b; Secure", false, now()).expect("a cookie");
        assert!(!plain.prefix_ok, "no browser takes it over http");
    }

    #[test]
    fn a_cookie_is_partitioned_beside_secure_alone() {
        for (line, partitioned) in [
            ("a=b; Secure; Partitioned", true),
            ("a=b; Partitioned", false),
            ("a=b; Secure; PARTITIONED=x", true),
            ("a=b; Secure", false),
        ] {
            assert_eq!(cookie(line).expect(line).partitioned, partitioned, "{line}");
        }
    }

    #[test]
    fn session_looking_names_are_known() {
        for name in
            ["PHPSESSID", "JSESSIONID", "connect.sid", "sid", "auth", "access_token", "login"]
        {
            assert!(looks_like_a_session(name), "{name}");
        }
        for name in ["csrftoken", "XSRF-TOKEN", "lang", "_ga", "inside", "residence"] {
            assert!(!looks_like_a_session(name), "{name}");
        }
    }

    #[test]
    fn ids_in_names_are_masked_and_the_weakest_flags_of_a_name_count() {
        assert_eq!(masked("SSESS1f2e3d4c5b6a7988"), "SSESS*");
        assert_eq!(masked("u_123e4567-e89b-12d3-a456-426614174000"), "u_*");
        assert_eq!(masked("deadbeefcafe"), "deadbeefcafe");
        assert_eq!(masked("v1_2"), "v1_2");
        let first = Fields::of(&[("Set-Cookie", "a=1; Secure; SameSite=Strict")]);
        let second = Fields::of(&[("set-cookie", "a=2; HttpOnly; SameSite=None")]);
        let cookies = read([(&first, true), (&second, true)].into_iter(), now());
        assert_eq!(cookies.len(), 1);
        let a = &cookies[0];
        assert_eq!((a.secure, a.http_only, a.same_site), (false, false, "None"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = cookie(&text);
        }

        #[test]
        fn values_never_leave(value in "[a-z]{12,20}Q") {
            let line = format!("n={value}; Secure; Path=/; x={value}");
            let shown = serde_json::to_string(&cookie(&line)).expect("JSON");
            prop_assert!(!shown.contains(&value));
        }
    }
}
