//! Durations and sizes as people write them: `21d`, `1h30m`, `1y`, `64KiB`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A duration with units, as Prometheus writes it: y (365 d), w, d, h, m, s, ms.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Span(pub Duration);

const SPANS: [(&str, u64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bad = || UnitError::Span(text.to_owned());
        let (mut rest, mut total) = (text, 0_u64);
        if rest == "0" {
            return Ok(Self(Duration::ZERO));
        }
        if rest.is_empty() {
            return Err(bad());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
            let count: u64 = rest[..digits].parse().map_err(|_| bad())?;
            let unit = &rest[digits..digits + letters];
            let (_, millis) = SPANS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
            total =
                count.checked_mul(*millis).and_then(|ms| total.checked_add(ms)).ok_or_else(bad)?;
            rest = &rest[digits + letters..];
        }
        // Ten thousand years: what is longer overflows dates.
        if total > 315_360_000_000_000 {
            return Err(bad());
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if left == 0 {
            return f.write_str("0s");
        }
        for (unit, millis) in SPANS {
            // Weeks and years are read but not written: 90d is clearer than 12w6d.
            if unit == "w" || (unit == "y" && left % millis != 0) || left < millis {
                continue;
            }
            write!(f, "{}{unit}", left / millis)?;
            left %= millis;
        }
        Ok(())
    }
}

/// A number of bytes with a unit: B, KB, KiB, MB, MiB, GB, GiB, TB, TiB.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ByteSize(pub u64);

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bad = || UnitError::Size(text.to_owned());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let unit = text[digits..].trim_start();
        let count: u64 = text[..digits].parse().map_err(|_| bad())?;
        let (_, bytes) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        count.checked_mul(*bytes).map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact =
            SIZES.iter().find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes));
        let (unit, bytes) = exact.unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

macro_rules! as_text {
    ($type:ident, $pattern:literal, $what:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $what })
            }
        }
    };
}

as_text!(Span, r"^(0|([0-9]+(y|w|d|h|m|s|ms))+)$", "a duration with units, such as 1h30m");
as_text!(ByteSize, r"^[0-9]+ ?([KMGT]i?B|B)$", "a size with a unit, such as 10GiB");

/// Why a quantity could not be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum UnitError {
    /// No size.
    #[error("`{0}` is no size; write a number with B, KiB, MiB, GiB or TiB")]
    Size(String),
    /// No duration.
    #[error("`{0}` is no duration; write numbers with y, w, d, h, m, s or ms, such as 1h30m")]
    Span(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_units_and_read_back_as_written() {
        for (text, seconds) in [("21d", 1_814_400), ("1h30m", 5_400), ("1y", 31_536_000), ("0", 0)]
        {
            assert_eq!(text.parse::<Span>().expect(text).0.as_secs(), seconds);
        }
        assert_eq!(Span(Duration::from_secs(5_400)).to_string(), "1h30m");
        assert_eq!(Span(Duration::from_secs(366 * 86_400)).to_string(), "366d");
        for text in ["", "15", "5 m", "-1s", "m", "999999999999y", "1x"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_need_units() {
        assert_eq!("64KiB".parse(), Ok(ByteSize(65_536)));
        assert_eq!(ByteSize(10 << 30).to_string(), "10GiB");
        assert!("64".parse::<ByteSize>().is_err() && "KiB".parse::<ByteSize>().is_err());
    }
}
