//! Cross-Origin-Opener-Policy and -Embedder-Policy (HTML Standard §7.1.3, §7.1.4), and
//! Cross-Origin-Resource-Policy (Fetch §3.7).

use serde::Serialize;

use super::fields::{Fields, is_token_byte};

/// What a response says in one of these fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) struct CrossOrigin {
    /// The policy that browsers act on.
    pub(super) policy: &'static str,
    /// Whether the field was sent.
    pub(super) present: bool,
    /// Whether what was sent is a policy that browsers know; true where nothing was.
    pub(super) valid: bool,
}

/// Cross-Origin-Opener-Policy.
pub(super) fn opener(fields: &Fields) -> CrossOrigin {
    let known = ["same-origin", "same-origin-allow-popups", "noopener-allow-popups", "unsafe-none"];
    item(fields, "cross-origin-opener-policy", &known)
}

/// Cross-Origin-Embedder-Policy.
pub(super) fn embedder(fields: &Fields) -> CrossOrigin {
    item(fields, "cross-origin-embedder-policy", &["require-corp", "credentialless", "unsafe-none"])
}

/// Cross-Origin-Resource-Policy: no structured field, case counts, no second value.
pub(super) fn resource(fields: &Fields) -> CrossOrigin {
    let sent = fields.joined("cross-origin-resource-policy");
    let policy = ["same-origin", "same-site", "cross-origin"]
        .into_iter()
        .find(|policy| sent.as_deref() == Some(policy));
    CrossOrigin {
        policy: policy.unwrap_or_default(),
        present: sent.is_some(),
        valid: policy.is_some() || sent.is_none(),
    }
}

/// Whether the response makes its page cross-origin isolated (HTML Standard §7.1.3): it may use
/// precise clocks and shared memory, and nobody shares its process.
pub(super) fn isolates(fields: &Fields) -> bool {
    opener(fields).policy == "same-origin"
        && matches!(embedder(fields).policy, "require-corp" | "credentialless")
}

fn item(fields: &Fields, name: &str, known: &[&'static str]) -> CrossOrigin {
    let sent = fields.joined(name);
    let token = sent.as_deref().and_then(token_item);
    let policy = known.iter().copied().find(|policy| token == Some(policy));
    CrossOrigin {
        policy: policy.unwrap_or("unsafe-none"),
        present: sent.is_some(),
        valid: policy.is_some() || sent.is_none(),
    }
}

/// The token of a structured field item (RFC 9651 §4.2.3); `None` if it does not read as one.
fn token_item(text: &str) -> Option<&str> {
    let text = text.trim_matches(' ');
    let is_part = |b: u8| is_token_byte(b) || b == b':' || b == b'/';
    let end = text.bytes().position(|b| !is_part(b)).unwrap_or(text.len());
    let (token, mut rest) = text.split_at(end);
    if !token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*') {
        return None;
    }
    while !rest.is_empty() {
        rest = parameter(rest)?;
    }
    Some(token)
}

fn parameter(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(';')?.trim_start_matches(' ');
    let is_key = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b);
    let end = rest.bytes().position(|b| !is_key(b)).unwrap_or(rest.len());
    if !rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '*') {
        return None;
    }
    let Some(value) = rest[end..].strip_prefix('=') else { return Some(&rest[end..]) };
    if let Some(quoted) = value.strip_prefix('"') {
        let mut escaped = false;
        for (at, c) in quoted.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Some(&quoted[at + 1..]),
                ' '..='~' => {}
                _ => return None,
            }
        }
        return None;
    }
    let is_bare = |b: u8| is_token_byte(b) || b":/?=@".contains(&b);
    let end = value.bytes().position(|b| !is_bare(b)).unwrap_or(value.len());
    (end > 0).then(|| &value[end..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn opener_and_embedder_are_structured_items() {
        for (lines, policy, valid) in [
            (&[][..], "unsafe-none", true),
            (&["same-origin"], "same-origin", true),
            (&["same-origin-allow-popups"], "same-origin-allow-popups", true),
            (&["noopener-allow-popups"], "noopener-allow-popups", true),
            (&["unsafe-none"], "unsafe-none", true),
            (&["same-origin; report-to=\"x;y\""], "same-origin", true),
            (&["same-origin;report-to=x"], "same-origin", true),
            (&["same-origin; flag"], "same-origin", true),
            (&["Same-Origin"], "unsafe-none", false),
            (&["\"same-origin\""], "unsafe-none", false),
            (&["same-origin, same-origin"], "unsafe-none", false),
            (&["same-origin", "same-origin"], "unsafe-none", false),
            (&["same-origin; report-to=\"x"], "unsafe-none", false),
            (&[""], "unsafe-none", false),
        ] {
            let pairs: Vec<_> =
                lines.iter().map(|line| ("Cross-Origin-Opener-Policy", *line)).collect();
            let read = opener(&Fields::of(&pairs));
            assert_eq!((read.policy, read.valid), (policy, valid), "{lines:?}");
        }
        let fields = Fields::of(&[("cross-origin-embedder-policy", "credentialless")]);
        assert_eq!(embedder(&fields).policy, "credentialless");
    }

    #[test]
    fn resource_policy_counts_case_and_knows_no_second_value() {
        for (lines, policy, valid) in [
            (&[][..], "", true),
            (&["same-origin"], "same-origin", true),
            (&[" same-site "], "same-site", true),
            (&["cross-origin"], "cross-origin", true),
            (&["Same-Origin"], "", false),
            (&["same-origin, same-origin"], "", false),
            (&["same-origin", "same-site"], "", false),
            (&["same-origin;"], "", false),
            (&["none"], "", false),
            (&[""], "", false),
        ] {
            let pairs: Vec<_> =
                lines.iter().map(|line| ("Cross-Origin-Resource-Policy", *line)).collect();
            let read = resource(&Fields::of(&pairs));
            assert_eq!((read.policy, read.valid), (policy, valid), "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,30}", tail in any::<String>()) {
            let _ = token_item(&text);
            let _ = token_item(&format!("a;b=\"{tail}"));
        }
    }
}
