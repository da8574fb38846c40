//! Rates as people write them: `2/s`, `30/m`, or `2`, which is in a second.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use thiserror::Error;

/// How many contacts may be begun in a time.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// A rate a second, if it is one: above once in a day, at most a million.
    pub fn per_second(contacts: f64) -> Option<Self> {
        (1.0 / 86_400.0..=1e6).contains(&contacts).then_some(Self(contacts))
    }

    /// Contacts a second.
    pub fn hertz(self) -> f64 {
        self.0
    }

    /// A rate of the defaults, which are written in this crate.
    pub(super) const fn default_of(contacts: f64) -> Self {
        Self(contacts)
    }
}

const UNITS: [(&str, f64); 3] = [("s", 1.0), ("m", 60.0), ("h", 3_600.0)];

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let bad = || RateError::NoRate(text.chars().take(40).collect());
        let (count, unit) = text.split_once('/').unwrap_or((text, "s"));
        let (count, unit) = (count.trim(), unit.trim());
        if !count.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(bad());
        }
        let count: f64 = count.parse().map_err(|_| bad())?;
        if count == 0.0 {
            return Err(RateError::Zero);
        }
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        Self::per_second(count / seconds).ok_or_else(bad)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, seconds) in UNITS {
            let count = self.0 * seconds;
            if (count - count.round()).abs() < 1e-9 * count && count.round() >= 1.0 {
                return write!(f, "{}/{unit}", count.round());
            }
        }
        write!(f, "{}/s", self.0)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number"],
            "pattern": r"^[0-9]+(\.[0-9]+)?( ?/ ?[smh])?$",
            "description": "contacts begun in a second (2, or 2/s), a minute (30/m) or an hour (9/h)",
        })
    }
}

/// No rate.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum RateError {
    /// Nothing that could be a rate, or one beyond the bounds.
    #[error("`{0}` is no rate; write contacts in a second, minute or hour, such as 2/s or 30/m")]
    NoRate(String),
    /// Never.
    #[error("a rate of 0 would never sample; leave the probe out instead")]
    Zero,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_read_back_as_written() {
        for text in ["2/s", "30/m", "1/h", "7/m", "1000000/s"] {
            assert_eq!(text.parse::<Rate>().expect(text).to_string(), text);
        }
        for (text, read) in [("60/m", "1/s"), ("2", "2/s"), ("0.5", "30/m")] {
            assert_eq!(text.parse::<Rate>().expect(text).to_string(), read);
        }
        assert_eq!("0/s".parse::<Rate>(), Err(RateError::Zero));
        for text in ["", ".", "0", "2/d", "-1/s", "1e9/s", "2000000/s", "NaN/s", "/s", "inf/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
