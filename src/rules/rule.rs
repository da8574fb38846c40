//! A rule: a range with its severity, reasons, remedy and controls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::range::{Quantity, Range};
use super::route::Route;
use crate::sample::{Breach, Kind, Measure, RuleFacts, Severity, Unit, find_measure};
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

/// What is wrong, for a screen: the rule's summary with {measured}, {subject} and {target} filled in.
pub fn summary_of(rule: &RuleFacts, target: &str, breach: &Breach) -> String {
    let mut text = String::with_capacity(rule.summary.len() + 64);
    let mut rest: &str = &rule.summary;
    while let Some(at) = rest.find('{') {
        let (before, after) = rest.split_at(at);
        text.push_str(before);
        let placeholder =
            PLACEHOLDERS.into_iter().find(|placeholder| after.starts_with(placeholder));
        match placeholder {
            Some("{measured}") => text.push_str(&measured_in_words(rule, &breach.measured)),
            Some("{subject}") => text.push_str(&clean(&breach.subject, 200)),
            Some("{target}") => text.push_str(&clean(target, 260)),
            _ => text.push('{'),
        }
        rest = &after[placeholder.map_or(1, str::len)..];
    }
    text.push_str(rest);
    text
}

/// What a summary may hold.
pub(super) const PLACEHOLDERS: [&str; 3] = ["{measured}", "{subject}", "{target}"];

fn measured_in_words(rule: &RuleFacts, measured: &Value) -> String {
    let unit = find_measure(&rule.measure).map_or(Unit::None, |measure| measure.unit);
    let words = match (measured, unit) {
        (Value::Number(number), Unit::Seconds) => {
            number.as_f64().map(|n| Quantity::Seconds.words(n))
        }
        (Value::Number(number), Unit::Bytes) => number.as_f64().map(|n| Quantity::Bytes.words(n)),
        (Value::Number(number), Unit::Bits) => number.as_f64().map(|n| Quantity::Bits.words(n)),
        _ => None,
    };
    clean(&words.unwrap_or_else(|| in_short(measured)), 200)
}

/// A value in one line.
pub(super) fn in_short(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "nothing".to_owned(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        value => value.to_string(),
    }
}

/// Text of a peer, fit for any screen: no control or direction characters, at most `max` characters.
pub(super) fn clean(text: &str, max: usize) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut chars = text.chars();
    let mut cleaned: String =
        chars.by_ref().take(max).map(|c| if steers(c) { ' ' } else { c }).collect();
    if chars.next().is_some() {
        cleaned.push('…');
    }
    cleaned
}

fn in_words<S: Serializer>(range: &Range, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Evidence;

    #[test]
    fn a_summary_is_filled_in_and_hostile_text_is_cleaned() {
        let facts = RuleFacts {
            id: "http-hsts".into(),
            severity: Severity::Low,
            measure: "http.hsts.max_age".into(),
            range: "at least 1y".into(),
            summary: "{target}: max-age is {measured} {subject} {other} {".into(),
            remedy: "".into(),
            controls: Arc::default(),
            hold: Duration::ZERO,
        };
        let breach = Breach {
            subject: "a\u{1b}[31m\u{202e}b".into(),
            measured: Value::from(86_400),
            evidence: String::new(),
            shown: Evidence::Shown,
        };
        let text = summary_of(&facts, "a.test", &breach);
        assert_eq!(text, "a.test: max-age is 1d a [31m b {other} {");
    }
}
