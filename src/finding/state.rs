//! What a finding is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sample::{Evidence, Severity};
use crate::target::{Labels, ProbeKind};

/// A finding's identity (CONTRACT §Output 5).
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct FindingKey {
    /// The rule.
    pub rule: Arc<str>,
    /// The target.
    pub target: Arc<str>,
    /// The address; `None` for ports and dns.
    pub address: Option<IpAddr>,
    /// Which one; empty where there is one only.
    pub subject: Arc<str>,
}

/// DESIGN §4.7.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum FindingState {
    /// Seen, but what was missed or can be forged needs k of n.
    Suspected,
    /// Alerted.
    Confirmed,
    /// An accepted risk until a date.
    Excepted,
    /// Clean samples outweigh its share.
    Resolved,
    /// Its cause for being sampled is gone; never counts as mended.
    Withdrawn,
}

impl FindingState {
    /// The word in JSON and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Confirmed => "confirmed",
            Self::Excepted => "excepted",
            Self::Resolved => "resolved",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Whether its life goes on.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Suspected | Self::Confirmed | Self::Excepted)
    }
}

/// An out-of-range verdict with a life. Its JSON is the API's (DESIGN §5).
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Finding {
    /// Stable for one life: a finding that opens again has a new id.
    pub id: String,
    /// Its identity.
    #[serde(flatten)]
    pub key: FindingKey,
    /// The probe that saw it.
    pub probe: ProbeKind,
    /// How bad it is; frozen at opening.
    pub severity: Severity,
    /// Where in its life it is.
    pub state: FindingState,
    /// The measurement's path.
    pub measure: Arc<str>,
    /// What was measured last.
    pub measured: Value,
    /// The range it broke, in words.
    pub range: Arc<str>,
    /// What is wrong.
    pub summary: Arc<str>,
    /// What to do.
    pub remedy: Arc<str>,
    /// Text that a person can check.
    pub evidence: String,
    /// Control mappings.
    pub controls: Arc<BTreeMap<String, Vec<String>>>,
    /// The target's labels, frozen at opening.
    pub labels: Arc<Labels>,
    /// How the first breach was come by.
    pub shown: Evidence,
    /// The first breach.
    pub first_seen: DateTime<Utc>,
    /// The last breach.
    pub last_seen: DateTime<Utc>,
    /// The last sample that could judge it, either way.
    pub last_judged: DateTime<Utc>,
    /// When it was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<DateTime<Utc>>,
    /// When its life ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it was withdrawn: target_removed, address_gone, port_closed, rule_removed, by_hand; or the exception's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The last day of the exception.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excepted_until: Option<chrono::NaiveDate>,
    /// Samples that judged it since the first breach.
    pub samples: u32,
    /// Those of them that were out of range.
    pub positives: u32,
    /// Clean samples in a row, since the last breach.
    pub clean: u32,
}

/// One step of a finding's life.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Transition {
    /// The state before; `None` at birth.
    pub from: Option<FindingState>,
    /// The finding after the step.
    pub finding: Finding,
    /// When.
    pub at: DateTime<Utc>,
}
