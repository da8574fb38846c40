//! Strict-Transport-Security (RFC 6797 §6.1, §8.1).

use std::collections::HashSet;

use serde::Serialize;

use super::fields::{Fields, is_token, is_token_byte};

/// What a response says. "Not sent" is `false` and 0: they mean the same to a browser.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(super) struct Hsts {
    /// Whether a field was sent.
    pub(super) present: bool,
    /// Whether the first field sent reads by the grammar; browsers ignore it otherwise.
    pub(super) valid: bool,
    /// Whether browsers act on it: valid, not 0, from a host with a name and a trusted certificate
    /// (§8.1, §8.1.1).
    pub(super) effective: bool,
    /// max-age in seconds, at most 2⁶³−1; 0 where the field is not valid.
    pub(super) max_age: u64,
    /// includeSubDomains.
    pub(super) include_subdomains: bool,
    /// preload.
    pub(super) preload: bool,
    /// What is wrong.
    pub(super) errors: Vec<&'static str>,
}

/// Reads the fields of an https response. `is_heeded` says whether a browser would heed any
/// Strict-Transport-Security from there.
pub(super) fn read(fields: &Fields, is_heeded: bool) -> Hsts {
    let mut lines = fields.all("strict-transport-security");
    // §8.1: only the first field is processed.
    let Some(first) = lines.next() else { return Hsts::default() };
    let mut hsts = match parse(first) {
        Ok(hsts) => hsts,
        Err(error) => Hsts { present: true, errors: vec![error], ..Hsts::default() },
    };
    if lines.next().is_some() {
        hsts.errors.push("several_fields");
    }
    hsts.effective = hsts.valid && hsts.max_age > 0 && is_heeded;
    hsts
}

fn parse(text: &str) -> Result<Hsts, &'static str> {
    let mut hsts = Hsts { present: true, valid: true, ..Hsts::default() };
    let mut seen = HashSet::new();
    let mut max_age = None;
    for (name, value) in directives(text)? {
        let name = name.to_ascii_lowercase();
        if !seen.insert(name.clone()) {
            return Err("repeated_directive");
        }
        match (&*name, value) {
            ("max-age", Some(value)) => max_age = Some(seconds(&value)?),
            ("max-age", None) => return Err("bad_max_age"),
            ("includesubdomains", None) => hsts.include_subdomains = true,
            ("preload", None) => hsts.preload = true,
            ("includesubdomains" | "preload", Some(_)) => return Err("unexpected_value"),
            _ => {}
        }
    }
    hsts.max_age = max_age.ok_or("no_max_age")?;
    Ok(hsts)
}

fn seconds(text: &str) -> Result<u64, &'static str> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err("bad_max_age");
    }
    // More digits than fit are a very long time, not an error.
    let most = i64::MAX.unsigned_abs();
    Ok(text.parse::<u64>().unwrap_or(most).min(most))
}

/// `directive = token [ "=" ( token | quoted-string ) ]`, separated by semicolons, empty ones
/// allowed, white space allowed between all parts (RFC 2616's implied LWS).
fn directives(text: &str) -> Result<Vec<(&str, Option<String>)>, &'static str> {
    let mut found = Vec::new();
    let mut rest = text.trim_ascii_start();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(';') {
            rest = after.trim_ascii_start();
            continue;
        }
        let (name, after) = token(rest)?;
        let mut after = after.trim_ascii_start();
        let mut value = None;
        if let Some(text) = after.strip_prefix('=') {
            let (text, rest) = word(text.trim_ascii_start())?;
            value = Some(text);
            after = rest.trim_ascii_start();
        }
        if !after.is_empty() && !after.starts_with(';') {
            return Err("syntax");
        }
        found.push((name, value));
        rest = after;
    }
    Ok(found)
}

fn token(text: &str) -> Result<(&str, &str), &'static str> {
    let end = text.bytes().position(|b| !is_token_byte(b)).unwrap_or(text.len());
    let (token, rest) = text.split_at(end);
    if is_token(token) { Ok((token, rest)) } else { Err("syntax") }
}

fn word(text: &str) -> Result<(String, &str), &'static str> {
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(token, rest)| (token.to_owned(), rest));
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Ok((value, &quoted[at + 1..])),
            _ => value.push(c),
        }
    }
    Err("syntax")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_grammar_allows_is_read() {
        for (text, max_age, include_subdomains, preload) in [
            ("max-age=31536000", 31_536_000, false, false),
            ("max-age=31536000; includeSubDomains; preload", 31_536_000, true, true),
            ("MAX-AGE=1;INCLUDESUBDOMAINS", 1, true, false),
            ("max-age=\"31536000\"", 31_536_000, false, false),
            ("max-age=\"3\\1\"", 31, false, false),
            (" ; max-age = 5 ;; ", 5, false, false),
            ("includeSubDomains; max-age=0", 0, true, false),
            ("max-age=1; unknown=\"a;b, c\"; other", 1, false, false),
            ("max-age=99999999999999999999999", i64::MAX.unsigned_abs(), false, false),
            ("max-age=00010", 10, false, false),
        ] {
            let hsts = parse(text).expect(text);
            assert_eq!(
                (hsts.max_age, hsts.include_subdomains, hsts.preload),
                (max_age, include_subdomains, preload),
                "{text}"
            );
        }
    }

    #[test]
    fn what_the_grammar_does_not_allow_is_not_valid() {
        for (text, error) in [
            ("", "no_max_age"),
            ("includeSubDomains", "no_max_age"),
            ("max-age", "bad_max_age"),
            ("max-age=", "syntax"),
            ("max-age=abc", "bad_max_age"),
            ("max-age='31536000'", "bad_max_age"),
            ("max-age=-1", "bad_max_age"),
            ("max-age=1.5", "bad_max_age"),
            ("max-age=\"\"", "bad_max_age"),
            ("max-age=\"1", "syntax"),
            ("max-age=1; max-age=2", "repeated_directive"),
            ("max-age=1; foo; FOO", "repeated_directive"),
            ("max-age=1, max-age=2", "syntax"),
            ("max-age=1 includeSubDomains", "syntax"),
            ("max-age=1; includeSubDomains=true", "unexpected_value"),
            ("max-age 1", "syntax"),
            ("max\u{e9}=1; max-age=1", "syntax"),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn the_first_field_wins() {
        let name = "Strict-Transport-Security";
        let hsts = read(&Fields::of(&[(name, "max-age=10"), (name, "max-age=0")]), true);
        assert_eq!((hsts.max_age, hsts.effective), (10, true));
        assert_eq!(hsts.errors, ["several_fields"]);
        let hsts = read(&Fields::of(&[(name, "nonsense"), (name, "max-age=10")]), true);
        assert_eq!((hsts.valid, hsts.max_age, hsts.effective), (false, 0, false));
    }

    #[test]
    fn what_a_browser_does_not_heed_stays_as_sent_but_has_no_effect() {
        let fields = Fields::of(&[("Strict-Transport-Security", "max-age=10")]);
        let hsts = read(&fields, false);
        assert!(hsts.present && hsts.valid && !hsts.effective && hsts.max_age == 10);
        assert_eq!(read(&Fields::default(), true), Hsts::default());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn valid_means_a_max_age_was_there(text in "[max\\-age=0-9;\" \\\\includeSubDomains]{0,40}") {
            if parse(&text).is_ok() {
                prop_assert!(text.to_ascii_lowercase().contains("max-age"));
            }
        }
    }
}
