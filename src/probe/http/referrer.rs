//! Referrer-Policy (W3C Referrer Policy §8.1).

use serde::Serialize;

use super::fields::Fields;

/// What a response says.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) struct ReferrerPolicy {
    /// Whether the field was sent.
    pub(super) present: bool,
    /// The last token that browsers know; empty without one.
    pub(super) policy: &'static str,
}

/// Reads the fields of a response.
pub(super) fn read(fields: &Fields) -> ReferrerPolicy {
    let values = fields.split("referrer-policy");
    let last =
        values.iter().flatten().rev().find_map(|value| {
            POLICIES.into_iter().find(|policy| policy.eq_ignore_ascii_case(value))
        });
    ReferrerPolicy { present: values.is_some(), policy: last.unwrap_or_default() }
}

const POLICIES: [&str; 8] = [
    "no-referrer",
    "no-referrer-when-downgrade",
    "origin",
    "origin-when-cross-origin",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_known_token_decides() {
        for (lines, policy) in [
            (&[][..], ""),
            (&["no-referrer"], "no-referrer"),
            (&["No-Referrer"], "no-referrer"),
            (&["no-referrer, strict-origin-when-cross-origin"], "strict-origin-when-cross-origin"),
            (&["unsafe-url, no-referrer"], "no-referrer"),
            (&["no-referrer, unknown"], "no-referrer"),
            (&["no-referrer", "unsafe-url"], "unsafe-url"),
            (&["unknown"], ""),
            (&[""], ""),
            (&["no-referrer;"], ""),
            (&["'no-referrer'"], ""),
            (&["no-referrer strict-origin"], ""),
            (&["same-origin,,"], "same-origin"),
            (&["never"], ""),
        ] {
            let pairs: Vec<_> = lines.iter().map(|line| ("Referrer-Policy", *line)).collect();
            assert_eq!(read(&Fields::of(&pairs)).policy, policy, "{lines:?}");
        }
    }
}
