//! X-Content-Type-Options (Fetch, "determine nosniff").

use serde::Serialize;

use super::fields::Fields;

/// What a response says.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(super) struct ContentTypeOptions {
    /// Whether the first value is `nosniff`.
    pub(super) nosniff: bool,
    /// Whether the field was sent at all.
    pub(super) present: bool,
}

/// Reads the fields of a response.
pub(super) fn read(fields: &Fields) -> ContentTypeOptions {
    let values = fields.split("x-content-type-options");
    let first = values.as_ref().and_then(|values| values.first());
    ContentTypeOptions {
        nosniff: first.is_some_and(|value| value.eq_ignore_ascii_case("nosniff")),
        present: values.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_decides() {
        for (lines, nosniff) in [
            (&[][..], false),
            (&["nosniff"], true),
            (&["NoSniff"], true),
            (&[" nosniff "], true),
            (&["nosniff, nosniff"], true),
            (&["nosniff,"], true),
            (&["nosniff", "sniff"], true),
            (&["sniff", "nosniff"], false),
            (&[", nosniff"], false),
            (&["no-sniff"], false),
            (&["\"nosniff\""], false),
            (&["nosniff;"], false),
            (&["'nosniff'"], false),
            (&[""], false),
        ] {
            let pairs: Vec<_> =
                lines.iter().map(|line| ("X-Content-Type-Options", *line)).collect();
            let read = read(&Fields::of(&pairs));
            assert_eq!((read.nosniff, read.present), (nosniff, !lines.is_empty()), "{lines:?}");
        }
    }
}
