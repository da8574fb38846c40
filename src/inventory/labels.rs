//! Which label names an operator or a discovery source may set.

use thiserror::Error;

/// Labels that Secchi sets itself.
pub const RESERVED: [&str; 10] = [
    "address",
    "alertname",
    "cause",
    "probe",
    "rule",
    "severity",
    "source",
    "subject",
    "target",
    "vantage",
];

/// Whether a label may be set: Prometheus' syntax, not `__…`, not one of [`RESERVED`].
pub fn check_label(name: &str) -> Result<(), LabelError> {
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !starts || !bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_') || name.len() > MAX_NAME {
        return Err(LabelError::Syntax(name.chars().take(80).collect()));
    }
    if name.starts_with("__") {
        return Err(LabelError::Internal(name.to_owned()));
    }
    if RESERVED.contains(&name) {
        return Err(LabelError::Reserved(name.to_owned()));
    }
    Ok(())
}

/// Whether a label may have this value: printable, at most [`MAX_VALUE`] bytes.
pub fn check_value(value: &str) -> Result<(), LabelError> {
    if value.len() > MAX_VALUE || value.chars().any(char::is_control) {
        return Err(LabelError::Value);
    }
    Ok(())
}

/// Why a label is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum LabelError {
    /// `__…`.
    #[error("label `{0}` is refused: names that begin with __ are for internal use")]
    Internal(String),
    /// One that Secchi sets.
    #[error("label `{0}` is reserved: Secchi sets it itself")]
    Reserved(String),
    /// Not a label name.
    #[error("{0:?} is no label name; it has letters, digits and _ and begins with no digit")]
    Syntax(String),
    /// Too long, or not printable.
    #[error("a label's value has at most {MAX_VALUE} bytes and no control characters")]
    Value,
}

const MAX_NAME: usize = 128;

/// The longest value of a label in bytes.
pub const MAX_VALUE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_internal_and_malformed_names_are_refused() {
        for name in ["service", "team", "_x", "Env2"] {
            assert_eq!(check_label(name), Ok(()), "{name}");
        }
        for name in RESERVED.into_iter().chain(["__meta_x", "", "2x", "a-b", "a.b", "ü"]) {
            assert!(check_label(name).is_err(), "{name}");
        }
        assert!(check_value("\u{1b}[31m").is_err() && check_value("pay ments").is_ok());
    }
}
