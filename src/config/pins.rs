//! A file of pins, as `--expect F` and a target's `expect` name it.

use serde::Deserialize;

use crate::target::Pins;

/// Reads `pins: {NAME: {TYPE: {OPERATOR: value}}}`, or the map alone, as YAML or JSON. The error
/// is one line with the position.
pub fn parse_expectations(text: &str) -> Result<Pins, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped {
        pins: Pins,
    }

    let options = || serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let wrapped = serde_saphyr::from_str_with_options::<Wrapped>(text, options());
    let pins = match wrapped {
        Ok(Wrapped { pins }) => pins,
        Err(wrapped) => match serde_saphyr::from_str_with_options::<Pins>(text, options()) {
            Ok(pins) => pins,
            // Which of the two was meant shows in the text.
            Err(bare) => {
                let meant = text.lines().any(|line| line.trim_start().starts_with("pins:"));
                let error = if meant { wrapped } else { bare };
                return Err(error.to_string().replace('\n', " "));
            }
        },
    };
    match pins.check().into_iter().next() {
        Some(fault) => Err(fault.to_string()),
        None => Ok(pins),
    }
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
            let pins = parse_expectations(text).expect(text);
            assert_eq!(pins.of("a.test").count(), 1);
        }
        for text in ["pins: {a.test: {A: {exat: x}}}", "a.test: {A: {}}", "[", "pins: 3"] {
            let error = parse_expectations(text).expect_err(text);
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
