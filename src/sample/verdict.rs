//! Verdicts: four values, never two, and what a rule said of a sample.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Evidence, Unknown};

/// What a range says of a measurement.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The rule has nothing to say here.
    NotApplicable,
    /// Measured, and as it should be.
    InRange,
    /// Could not be measured.
    Unknown,
    /// Measured, and not as it should be.
    OutOfRange,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Self; 4] =
        [Self::InRange, Self::OutOfRange, Self::Unknown, Self::NotApplicable];

    /// The word in JSON and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InRange => "in_range",
            Self::OutOfRange => "out_of_range",
            Self::Unknown => "unknown",
            Self::NotApplicable => "not_applicable",
        }
    }
}

/// How bad a breach is.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; never makes a sample out of range.
    Info,
    /// A departure from good practice.
    Low,
    /// Breaks a promise of the standard in use.
    Medium,
    /// An attacker gains by it.
    High,
    /// Act now.
    Critical,
}

impl Severity {
    /// Every severity, worst first.
    pub const ALL: [Self; 5] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Info];

    /// The word in JSON and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Info => "info",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == text).ok_or_else(|| {
            format!("`{text}` is no severity; use critical, high, medium, low or info")
        })
    }
}

/// What a finding repeats of its rule.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RuleFacts {
    /// The rule's id, `tls-legacy-protocol`.
    pub id: Arc<str>,
    /// How bad a breach is.
    pub severity: Severity,
    /// The measurement's dotted path with its probe, `tls.versions`.
    pub measure: Arc<str>,
    /// The range in words, `none of SSLv2, SSLv3, TLSv1.0, TLSv1.1`.
    pub range: Arc<str>,
    /// What is wrong when it is out of range.
    pub summary: Arc<str>,
    /// What to do.
    pub remedy: Arc<str>,
    /// Control mappings: framework to control ids.
    pub controls: Arc<std::collections::BTreeMap<String, Vec<String>>>,
    /// How long a breach must last before it is confirmed (`for:`); zero: not at all.
    #[serde(skip)]
    pub hold: std::time::Duration,
}

/// What one rule said of one sample. A rule that has several subjects (one a protocol version, one
/// a port) has one judgement and a breach for each subject that is out of range.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The rule.
    pub rule: Arc<RuleFacts>,
    /// The worst of its subjects.
    pub verdict: Verdict,
    /// Each subject that is out of range.
    pub breaches: Vec<Breach>,
    /// What could not be judged. A judgement that is `unknown` as a whole has one doubt without a
    /// subject.
    pub doubts: Vec<Doubt>,
}

impl Judgement {
    /// Whether this was a clean look at the subject: neither breached nor in doubt. That the rule
    /// no longer applies is a measured fact too, and clean.
    pub fn is_clean_for(&self, subject: &str) -> bool {
        !self.breaches.iter().any(|breach| &*breach.subject == subject)
            && !self.doubts.iter().any(|doubt| doubt.covers(subject))
    }
}

/// One subject out of range.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Breach {
    /// Which one; empty where there is one only.
    pub subject: Arc<str>,
    /// What was measured.
    pub measured: Value,
    /// Text that a person can check.
    pub evidence: String,
    /// Whether it was shown, missed, or can be forged.
    pub shown: Evidence,
}

/// Something that could not be judged.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Doubt {
    /// Which subject; `None` where the whole measurement is unknown.
    pub subject: Option<Arc<str>>,
    /// Why.
    pub unknown: Unknown,
}

impl Doubt {
    /// A doubt about `TLSv1.2` is one about `TLSv1.2 TLS_RSA_WITH_RC4_128_SHA` too.
    fn covers(&self, subject: &str) -> bool {
        self.subject.as_ref().is_none_or(|doubted| {
            let rest = subject.strip_prefix(&**doubted);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Reason;

    #[test]
    fn a_doubt_covers_what_lies_below_its_subject_and_nothing_else() {
        let doubt = |subject: Option<&str>| Doubt {
            subject: subject.map(Into::into),
            unknown: Reason::Timeout.into(),
        };
        assert!(doubt(None).covers("anything"));
        assert!(doubt(Some("TLSv1.2")).covers("TLSv1.2 TLS_RSA_WITH_RC4_128_SHA"));
        assert!(doubt(Some("TLSv1.2")).covers("TLSv1.2"));
        assert!(!doubt(Some("TLSv1.2")).covers("TLSv1"));
        assert!(!doubt(Some("TLSv1")).covers("TLSv1.2"));
    }
}
