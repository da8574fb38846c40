//! A rule: a range with its severity, reasons, remedy and controls.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use siphasher::sip::SipHasher24;

use super::range::Range;
use super::route::Route;
use crate::sample::{Kind, Measure, RuleFacts, Severity};
use crate::target::{ProbeKind, Span};

/// A rule as a pack states it.
#[derive(Clone, Debug, Serialize)]
pub struct Rule {
    /// Its id, prefixed by its probe: `tls-legacy-protocol`.
    pub id: Arc<str>,
    /// The probe whose samples it judges.
    pub probe: ProbeKind,
    /// How bad a breach is, where its profile says nothing else.
    pub severity: Severity,
    /// The measurement as written: `tls.versions`, `tls.vulnerabilities[robot]`.
    pub measure: String,
    /// The range in words.
    #[serde(serialize_with = "in_words")]
    pub range: Range,
    /// What must hold for the rule to have anything to say, in words.
    pub when: Vec<String>,
    /// How long a breach must last before it is confirmed.
    #[serde(rename = "for")]
    pub hold: Option<Span>,
    /// The profiles that hold it, with severity and range there; every profile if empty.
    pub profiles: BTreeMap<String, ProfileUse>,
    /// What is wrong when it is out of range; may hold {measured}, {subject} and {target}.
    pub summary: Arc<str>,
    /// Why it matters.
    pub why: String,
    /// What to do.
    pub remedy: Arc<str>,
    /// Where that comes from.
    pub references: Vec<String>,
    /// Framework to control ids.
    pub controls: Arc<BTreeMap<String, Vec<String>>>,
    /// The pack's name, version and source.
    pub pack: Arc<PackFacts>,
    #[serde(skip)]
    pub(super) conditions: Arc<[Condition]>,
    #[serde(skip)]
    pub(super) key: Option<String>,
    #[serde(skip)]
    pub(super) catalogued: &'static Measure,
    #[serde(skip)]
    pub(super) held: BTreeMap<String, Arc<Held>>,
}

impl Rule {
    /// A mark of what it asks, sixteen hex digits.
    pub(super) fn mark(&self) -> String {
        let Self { severity, measure, range, when, hold, profiles, .. } = self;
        let asked = format!("{severity:?}\n{measure}\n{range}\n{when:?}\n{hold:?}\n{profiles:?}");
        let mut hasher = SipHasher24::new_with_keys(0x5365_6363_6869, 3);
        hasher.write(asked.as_bytes());
        format!("{:016x}", hasher.finish())
    }
}

/// How one profile holds a rule.
#[derive(Clone, Debug, Serialize)]
pub struct ProfileUse {
    /// The severity there.
    pub severity: Severity,
    /// The range there, in words.
    pub range: String,
}

/// Where a rule comes from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct PackFacts {
    /// The pack's name; the file where it has none.
    pub name: String,
    /// The pack's version.
    pub version: String,
    /// What the pack is drawn from.
    pub source: String,
    /// Whether it ships with Secchi.
    pub shipped: bool,
}

/// Another measurement that must be in its range for a rule to apply.
#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) route: Route,
    pub(super) range: Range,
    pub(super) per_item: bool,
    /// Whether it is one fact of the sample, rather than one an item.
    pub(super) of_sample: bool,
}

/// A rule as one profile or target holds it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) facts: Arc<RuleFacts>,
    pub(super) probe: ProbeKind,
    pub(super) measure: &'static Measure,
    pub(super) route: Route,
    pub(super) range: Range,
    /// The range is asked of each item of a list: that it is not there.
    pub(super) per_item: bool,
    pub(super) conditions: Arc<[Condition]>,
}

impl Rule {
    /// The same rule with another range or severity.
    pub(super) fn hold(&self, severity: Severity, range: Range) -> Held {
        let per_item = is_per_item(self.catalogued, &range);
        Held {
            facts: Arc::new(RuleFacts {
                id: Arc::clone(&self.id),
                severity,
                measure: self.catalogued.path.into(),
                range: range.to_string().into(),
                summary: Arc::clone(&self.summary),
                remedy: Arc::clone(&self.remedy),
                controls: Arc::clone(&self.controls),
                hold: self.hold.map_or(Duration::ZERO, |hold| hold.0),
            }),
            probe: self.probe,
            measure: self.catalogued,
            route: Route::new(self.catalogued, self.key.as_deref(), per_item),
            range,
            per_item,
            conditions: Arc::clone(&self.conditions),
        }
    }

    /// Whether one of the profiles holds it; the last one named decides how.
    pub(super) fn held_by(&self, profiles: &[String]) -> Option<Arc<Held>> {
        if self.held.is_empty() {
            return Some(Arc::new(self.plain()));
        }
        profiles.iter().rev().find_map(|profile| self.held.get(profile).cloned())
    }

    /// The rule as it stands, whatever the profile.
    pub(super) fn plain(&self) -> Held {
        self.hold(self.severity, self.range.clone())
    }
}

/// The built-in rule that a silent sampling point breaks: `tls-stale`. Only the age of the last known
/// fact opens it, so no pack holds it.
pub fn stale_rule(probe: ProbeKind) -> RuleFacts {
    RuleFacts {
        id: format!("{probe}-stale").into(),
        severity: Severity::Low,
        measure: probe.as_str().into(),
        range: "a fact within its freshness".into(),
        summary: "Nothing new is known of {target}; the last fact is from {measured}".into(),
        remedy: "Look at the reasons of its unknown samples: a firewall, a rate limit, a name that is gone, or this \
                 machine. Nothing is resolved meanwhile."
            .into(),
        controls: Arc::new(BTreeMap::from([
            ("iso27002".to_owned(), vec!["8.16".to_owned()]),
            ("nist-csf".to_owned(), vec!["DE.CM-01".to_owned()]),
            ("soc2".to_owned(), vec!["CC7.2".to_owned()]),
        ])),
        hold: Duration::ZERO,
    }
}

/// Whether a range is asked of each item of a list.
pub(super) fn is_per_item(measure: &Measure, range: &Range) -> bool {
    super::literal::leaf(measure.kind) == Kind::Items && range.bars_items()
}

fn in_words<S: Serializer>(range: &Range, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(range)
}
