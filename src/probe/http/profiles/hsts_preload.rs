//! Whether Chromium's HSTS preload list would take a site, keep it, or let it go, in the words of
//! its own checker (hstspreload.org).

use serde::Serialize;

use crate::probe::http::fields::Fields;

/// What stands in the way, and what is odd.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(in crate::probe::http) struct Issues {
    /// What refuses the site.
    pub(in crate::probe::http) errors: Vec<&'static str>,
    /// What does not.
    pub(in crate::probe::http) warnings: Vec<&'static str>,
}

/// What a max-age must be at least.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::probe::http) enum Policy {
    /// For those on the list since before 2017.
    EighteenWeeks,
    /// For new ones.
    OneYear,
}

/// The issues of a response of https: of its one field, under a policy.
pub(in crate::probe::http) fn of_response(fields: &Fields, policy: Policy) -> Issues {
    let mut lines = fields.all("strict-transport-security");
    let refused = |code| Issues { errors: vec![code], ..Issues::default() };
    match (lines.next(), lines.next()) {
        (None, _) => refused("response.no_header"),
        (Some(_), Some(_)) => refused("response.multiple_headers"),
        (Some(line), None) => eligible(line, policy),
    }
}

/// The issues of a field under a policy.
pub(in crate::probe::http) fn eligible(text: &str, policy: Policy) -> Issues {
    let (header, mut issues) = parse(text);
    if !header.include_subdomains {
        issues.errors.push("header.preloadable.include_sub_domains.missing");
    }
    if !header.preload {
        issues.errors.push("header.preloadable.preload.missing");
    }
    let (least, below) = match policy {
        Policy::OneYear => (YEAR, "header.preloadable.max_age.below_1_year"),
        Policy::EighteenWeeks => (126 * DAY, "header.preloadable.max_age.below_18_weeks"),
    };
    match header.max_age {
        None => issues.errors.push("header.preloadable.max_age.missing"),
        Some(0) => issues.errors.push("header.preloadable.max_age.zero"),
        Some(age) if age < least => issues.errors.push(below),
        Some(age) if age > 10 * YEAR => {
            issues.warnings.push("header.preloadable.max_age.over_10_years");
        }
        Some(_) => {}
    }
    issues
}

/// The issues of a field's form alone.
#[cfg(test)]
pub(in crate::probe::http) fn parsed(text: &str) -> Issues {
    parse(text).1
}

/// The issues of a field of a site that wants to leave the list; oddities of its form do not count.
#[cfg(test)]
pub(in crate::probe::http) fn removable(text: &str) -> Issues {
    let (header, Issues { mut errors, .. }) = parse(text);
    if header.preload {
        errors.push("header.removable.contains.preload");
    }
    if header.max_age.is_none() {
        errors.push("header.removable.missing.max_age");
    }
    Issues { errors, ..Issues::default() }
}

/// A field as the checker reads it.
#[derive(Clone, Copy, Debug, Default)]
struct Header {
    max_age: Option<u64>,
    include_subdomains: bool,
    preload: bool,
}

fn parse(text: &str) -> (Header, Issues) {
    let (mut header, mut issues) = (Header::default(), Issues::default());
    let directives: Vec<&str> = text.split(';').map(str::trim).collect();
    if directives == [""] {
        issues.warnings.push("header.parse.empty");
        return (header, issues);
    }
    for directive in directives {
        let lower = directive.to_lowercase();
        match &*lower {
            "preload" if header.preload => issues.warn_once("header.parse.repeated.preload"),
            "preload" => header.preload = true,
            _ if lower.starts_with("preload") => issues.warn_once("header.parse.invalid.preload"),
            "includesubdomains" if header.include_subdomains => {
                issues.warn_once("header.parse.repeated.include_sub_domains");
            }
            "includesubdomains" => header.include_subdomains = true,
            _ if lower.starts_with("includesubdomains") => {
                issues.warn_once("header.parse.invalid.include_sub_domains");
            }
            _ if lower.starts_with("max-age=") => match max_age(&lower[8..], &mut issues) {
                Some(_) if header.max_age.is_some() => {
                    issues.warn_once("header.parse.repeated.max_age");
                }
                Some(age) => header.max_age = Some(age),
                None => {}
            },
            _ if lower.starts_with("max-age") => {
                let code = "header.parse.invalid.max_age.no_value";
                if !issues.errors.contains(&code) {
                    issues.errors.push(code);
                }
            }
            "" => issues.warn_once("header.parse.empty_directive"),
            _ => issues.warnings.push("header.parse.unknown_directive"),
        }
    }
    (header, issues)
}

fn max_age(digits: &str, issues: &mut Issues) -> Option<u64> {
    if digits.len() > 1 && digits.starts_with('0') {
        issues.warnings.push("header.parse.max_age.leading_zero");
    }
    if digits.bytes().any(|b| !b.is_ascii_digit()) {
        issues.errors.push("header.parse.max_age.non_digit_characters");
        return None;
    }
    let age = digits.parse().ok();
    if age.is_none() {
        issues.errors.push("header.parse.max_age.parse_int_error");
    }
    age
}

impl Issues {
    fn warn_once(&mut self, code: &'static str) {
        if !self.warnings.contains(&code) {
            self.warnings.push(code);
        }
    }
}

const DAY: u64 = 86_400;
const YEAR: u64 = 365 * DAY;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_response_must_have_one_field() {
        let name = "Strict-Transport-Security";
        let good = "max-age=31536000; includeSubDomains; preload";
        for (lines, errors) in [
            (&[][..], &["response.no_header"][..]),
            (&[good, good], &["response.multiple_headers"]),
            (&[good], &[]),
        ] {
            let pairs: Vec<_> = lines.iter().map(|line| (name, *line)).collect();
            assert_eq!(
                of_response(&Fields::of(&pairs), Policy::OneYear).errors,
                errors,
                "{lines:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = eligible(&text, Policy::OneYear);
            let _ = removable(&format!("max-age={text}"));
        }
    }
}
