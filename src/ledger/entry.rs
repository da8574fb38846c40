//! One sample as the log keeps it: a few short fields, most of them left out.

use serde::{Deserialize, Serialize};

use crate::sample::{Cause, Verdict};

/// A sample in a `samples` event. What is as usual is left out, so that an unchanged sample costs
/// about 40 bytes before compression.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SampleEntry {
    /// The point's number.
    #[serde(rename = "p")]
    pub point: i64,
    /// When it was taken, in milliseconds since 1970.
    #[serde(rename = "t")]
    pub at: i64,
    /// How long it took, in microseconds.
    #[serde(rename = "d")]
    pub duration: i64,
    /// Connections begun, or queries asked.
    #[serde(rename = "n", default, skip_serializing_if = "is_default")]
    pub connections: u32,
    /// Why it was taken.
    #[serde(rename = "c", default, skip_serializing_if = "is_default")]
    pub cause: Code<Cause>,
    /// The plan's slot.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<i64>,
    /// The verdict.
    #[serde(rename = "v", default, skip_serializing_if = "is_default")]
    pub verdict: Code<Verdict>,
    /// From where; left out if local.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub vantage: Option<String>,
    /// Why nothing was measured.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    /// SHA-256 in hex of what was measured, where it is not what the point showed before.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Gauges of what was measured, with the digest only.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub gauges: Vec<(String, f64)>,
    /// Findings that were seen again, by number.
    #[serde(rename = "b", default, skip_serializing_if = "Vec::is_empty")]
    pub breached: Vec<i64>,
    /// Findings that were not, by number.
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    pub clean: Vec<i64>,
    /// The sheet of what the rules said, by number; of samples of the point's own plan only.
    #[serde(rename = "j", default, skip_serializing_if = "Option::is_none")]
    pub sheet: Option<i64>,
    /// Slots of the plan that passed unseen before this one.
    #[serde(rename = "m", default, skip_serializing_if = "is_default")]
    pub missed: i64,
    /// The plan's sample before them, in milliseconds since 1970.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A word as a small number, the same in every release.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "u8", into = "u8", bound(deserialize = "T: Coded", serialize = "T: Coded"))]
pub struct Code<T: Copy>(pub T);

impl<T: Coded> Default for Code<T> {
    fn default() -> Self {
        Self(T::LIST[0])
    }
}

impl<T: Coded> From<u8> for Code<T> {
    fn from(code: u8) -> Self {
        T::LIST.get(usize::from(code)).copied().map_or_else(Self::default, Self)
    }
}

impl<T: Coded> From<Code<T>> for u8 {
    fn from(code: Code<T>) -> Self {
        let at = T::LIST.iter().position(|word| *word == code.0);
        at.and_then(|at| Self::try_from(at).ok()).unwrap_or_default()
    }
}

/// Words that have numbers; the commonest has nought.
pub trait Coded: Copy + PartialEq + 'static {
    /// The words in the order of their numbers; new ones are added at the end.
    const LIST: &'static [Self];
}

impl Coded for Cause {
    const LIST: &'static [Self] =
        &[Self::Scheduled, Self::Repeat, Self::Deploy, Self::Manual, Self::Probe];
}

impl Coded for Verdict {
    const LIST: &'static [Self] =
        &[Self::InRange, Self::OutOfRange, Self::Unknown, Self::NotApplicable];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_sample_is_short_and_reads_back() {
        let entry = SampleEntry {
            point: 1234,
            at: 1_800_000_000_000,
            duration: 12_345,
            slot: Some(6_000_000),
            sheet: Some(17),
            ..SampleEntry::default()
        };
        let text = serde_json::to_string(&entry).expect("text");
        assert!(text.len() < 67, "{text}");
        assert_eq!(serde_json::from_str::<SampleEntry>(&text).expect("an entry"), entry);
    }

    #[test]
    fn every_cause_and_verdict_has_its_number() {
        for cause in Cause::LIST {
            assert_eq!(Code::<Cause>::from(u8::from(Code(*cause))).0, *cause);
        }
        for verdict in Verdict::ALL {
            assert_eq!(Code::<Verdict>::from(u8::from(Code(verdict))).0, verdict);
        }
    }
}
