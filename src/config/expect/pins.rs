//! Secchi's own file of pins.

use serde::Deserialize;

use crate::target::Pins;

/// Reads `pins: {NAME: {TYPE: {OPERATOR: value}}}`, or the map alone, as YAML or JSON. The error
/// is one line with the position.
pub(super) fn parse(text: &str) -> Result<Pins, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped {
        pins: Pins,
    }

    let options = || serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let wrapped = serde_saphyr::from_str_with_options::<Wrapped>(text, options());
    let wrapped = match wrapped {
        Ok(Wrapped { pins }) => return Ok(pins),
        Err(wrapped) => wrapped,
    };
    serde_saphyr::from_str_with_options::<Pins>(text, options()).map_err(|bare| {
        // Which of the two was meant shows in the text.
        let meant = text.lines().any(|line| line.trim_start().starts_with("pins:"));
        let error = if meant { wrapped } else { bare };
        error.to_string().replace('\n', " ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_wrapped_or_bare_and_from_json() {
        for text in [
            "pins:\n  a.test:\n    ports: {exact: [443, 80]}\n",
            "a.test:\n  ports: {exact: [443, 80]}\n",
            r#"{"pins": {"a.test": {"ports": {"exact": ["443", "80"]}}}}"#,
        ] {
            let pins = parse(text).expect(text);
            assert_eq!(pins.of("a.test").count(), 1);
        }
        for text in ["pins: {a.test: {A: {exat: x}}}", "[", "pins: 3"] {
            let error = parse(text).expect_err(text);
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
