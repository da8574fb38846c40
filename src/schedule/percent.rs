//! Shares as people write them: `10%`.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A share above 0 % and below 100 %.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl Percent {
    /// The share as a number between 0 and 1.
    pub fn share(self) -> f64 {
        self.0 / 100.0
    }
}

impl FromStr for Percent {
    type Err = PercentError;

    fn from_str(text: &str) -> Result<Self, PercentError> {
        let bad = || PercentError(text.chars().take(40).collect());
        let number = text.trim().strip_suffix('%').ok_or_else(bad)?.trim_end();
        if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(bad());
        }
        let percent: f64 = number.parse().map_err(|_| bad())?;
        // Below a millionth, nothing that Secchi can do would show it.
        (0.0001..=99.9999).contains(&percent).then_some(Self(percent)).ok_or_else(bad)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Percent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Percent".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^[0-9]+(\.[0-9]+)? ?%$",
            "description": "a share above 0% and below 100%, such as 10%",
        })
    }
}

/// No share.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("`{0}` is no share; write one above 0% and below 100%, such as 10%")]
pub struct PercentError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_lie_between_none_and_all() {
        for (text, share) in [("10%", 0.1), ("99.9%", 0.999), ("0.5 %", 0.005)] {
            let percent: Percent = text.parse().expect(text);
            assert!((percent.share() - share).abs() < 1e-12);
        }
        for text in ["0%", "100%", "10", "-1%", "NaN%", "1e1%", "%", "inf%", ""] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
        assert_eq!("99.90%".parse::<Percent>().map(|p| p.to_string()), Ok("99.9%".to_owned()));
    }
}
