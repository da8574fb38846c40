//! X-Frame-Options (HTML Standard §7.4.2.4), and whether foreign sites may frame the page at all.

use std::collections::BTreeSet;

use serde::Serialize;

use super::csp::Csp;
use super::fields::Fields;

/// What a response says.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) struct FrameOptions {
    /// `deny`, `sameorigin`, `allowall`, `conflict` (several values, which browsers treat as deny),
    /// `invalid` (which browsers ignore), `none`.
    pub(super) value: &'static str,
    /// Whether framing by foreign sites is refused, by this field or by `frame-ancestors`.
    pub(super) protected: bool,
}

/// Reads the fields of a response.
pub(super) fn read(fields: &Fields, csp: &Csp) -> FrameOptions {
    let value = value(fields);
    // An enforced frame-ancestors, however wide, switches X-Frame-Options off.
    let protected =
        csp.refuses_foreign_frames().unwrap_or(matches!(value, "deny" | "sameorigin" | "conflict"));
    FrameOptions { value, protected }
}

fn value(fields: &Fields) -> &'static str {
    let Some(values) = fields.split("x-frame-options") else { return "none" };
    let values: BTreeSet<String> = values.iter().map(|value| value.to_ascii_lowercase()).collect();
    let known: Vec<&'static str> = ["deny", "sameorigin", "allowall"]
        .into_iter()
        .filter(|known| values.contains(*known))
        .collect();
    match (&*known, values.len()) {
        ([only], 1) => only,
        ([], _) => "invalid",
        _ => "conflict",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::http::csp;

    #[test]
    fn values_are_read_as_the_standard_reads_them() {
        for (lines, expected) in [
            (&[][..], "none"),
            (&["DENY"], "deny"),
            (&["sameOrigin"], "sameorigin"),
            (&["ALLOWALL"], "allowall"),
            (&["DENY, DENY"], "deny"),
            (&["DENY", "deny"], "deny"),
            (&["SAMEORIGIN, DENY"], "conflict"),
            (&["SAMEORIGIN", "ALLOWALL"], "conflict"),
            (&["DENY,"], "conflict"),
            (&["DENY; x"], "invalid"),
            (&["\"DENY\""], "invalid"),
            (&["ALLOW-FROM https://a.example"], "invalid"),
            (&["allow-from https://a.example, allow-from https://b.example"], "invalid"),
            (&[""], "invalid"),
            (&["SAMEORIGIN, ALLOW-FROM https://a.example"], "conflict"),
        ] {
            let pairs: Vec<_> = lines.iter().map(|line| ("X-Frame-Options", *line)).collect();
            assert_eq!(value(&Fields::of(&pairs)), expected, "{lines:?}");
        }
    }

    #[test]
    fn frame_ancestors_overrules_the_field() {
        for (policy, xfo, protected) in [
            ("frame-ancestors 'none'", None, true),
            ("frame-ancestors", None, true),
            ("frame-ancestors 'self' https://a.example", None, true),
            ("frame-ancestors *", Some("DENY"), false),
            ("frame-ancestors https:", Some("DENY"), false),
            ("frame-ancestors https://*", Some("DENY"), false),
            ("frame-ancestors *, frame-ancestors 'self'", None, true),
            ("default-src 'none'", None, false),
            ("default-src 'none'", Some("SAMEORIGIN"), true),
            ("script-src 'self'", Some("ALLOW-FROM https://a.example"), false),
        ] {
            let mut pairs = vec![("Content-Security-Policy", policy)];
            pairs.extend(xfo.map(|value| ("X-Frame-Options", value)));
            let fields = Fields::of(&pairs);
            assert_eq!(read(&fields, &csp::read(&fields)).protected, protected, "{policy} {xfo:?}");
        }
    }

    #[test]
    fn a_report_only_policy_protects_nothing() {
        let fields =
            Fields::of(&[("Content-Security-Policy-Report-Only", "frame-ancestors 'none'")]);
        assert!(!read(&fields, &csp::read(&fields)).protected);
    }
}
