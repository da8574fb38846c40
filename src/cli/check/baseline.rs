//! `--baseline FILE`: what an earlier `check` found. What it knew fails no gate.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::cli::screen::clean;
use crate::cli::switches::read_file;
use crate::finding::FindingKey;
use crate::sample::{Severity, Verdict};
use crate::target::ProbeKind;

/// The findings of an earlier `check`.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    known: BTreeMap<FindingKey, Known>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) probe: ProbeKind,
    pub(super) severity: Severity,
    pub(super) summary: String,
    /// It was an accepted risk then. That has an end, and what it covered fails the gate again.
    was_excepted: bool,
}

impl Baseline {
    /// Reads what `--format json` or `--format sarif` wrote. The error has file, line and column.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let file = read_file(path)?;
        Self::parse(&file.text).map_err(|fault| anyhow::anyhow!("{}:{fault}", path.display()))
    }

    /// The error is `LINE:COLUMN: message`.
    fn parse(text: &str) -> Result<Self, String> {
        let file: File = serde_json::from_str(text).map_err(|error| in_words(&error))?;
        let (entries, absent) = match file {
            File { findings: Some(findings), not_seen, .. } => (findings, not_seen),
            File { runs: Some(runs), .. } => {
                (runs.into_iter().flat_map(Run::known).collect(), vec![])
            }
            _ => return Err(format!("1:1: {NO_REPORT}")),
        };
        let broken = entries.into_iter().filter(|entry| entry.verdict == Verdict::OutOfRange);
        let known = broken.chain(absent).map(Entry::into_known).collect();
        Ok(Self { known })
    }

    /// What was known of a finding.
    pub(super) fn find(&self, key: &FindingKey) -> Option<&Known> {
        self.known.get(key)
    }

    /// Every finding that was known.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&FindingKey, &Known)> {
        self.known.iter()
    }
}

impl Known {
    /// Whether a finding that was known then counts as known now.
    pub(super) fn still_counts(&self, is_excepted: bool) -> bool {
        is_excepted || !self.was_excepted
    }
}

/// Either form; whatever else they hold is left alone.
#[derive(Deserialize)]
struct File {
    findings: Option<Vec<Entry>>,
    /// Known before, and neither seen nor gone: they stay known.
    #[serde(default)]
    not_seen: Vec<Entry>,
    runs: Option<Vec<Run>>,
}

#[derive(Deserialize)]
struct Run {
    results: Vec<RunResult>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RunResult {
    baseline_state: Option<String>,
    properties: Entry,
}

#[derive(Deserialize)]
struct Entry {
    rule: Arc<str>,
    target: Arc<str>,
    probe: ProbeKind,
    severity: Severity,
    address: Option<IpAddr>,
    #[serde(default = "nothing")]
    subject: Arc<str>,
    verdict: Verdict,
    #[serde(default)]
    summary: String,
    excepted: Option<IgnoredAny>,
}

impl Run {
    fn known(self) -> impl Iterator<Item = Entry> {
        let there = |result: &RunResult| result.baseline_state.as_deref() != Some("absent");
        self.results.into_iter().filter(there).map(|result| result.properties)
    }
}

impl Entry {
    fn into_known(self) -> (FindingKey, Known) {
        let Self { rule, target, probe, severity, address, subject, summary, excepted, .. } = self;
        let known = Known { probe, severity, summary, was_excepted: excepted.is_some() };
        (FindingKey { rule, target, address, subject }, known)
    }
}

fn nothing() -> Arc<str> {
    Arc::from("")
}

/// serde_json puts the position last.
fn in_words(error: &serde_json::Error) -> String {
    let position = format!(" at line {} column {}", error.line(), error.column());
    let message = error.to_string();
    let message = message.strip_suffix(&position).unwrap_or(&message);
    format!("{}:{}: {}", error.line(), error.column(), clean(message, 300))
}

const NO_REPORT: &str =
    "neither `findings` nor `runs`: a baseline is what `secchi check --format json` wrote";

#[cfg(test)]
mod tests {
    use super::*;

    fn key(rule: &str, address: Option<&str>, subject: &str) -> FindingKey {
        FindingKey {
            rule: rule.into(),
            target: "a.test".into(),
            address: address.map(|text| text.parse().expect("an address")),
            subject: subject.into(),
        }
    }

    #[test]
    fn what_was_out_of_range_is_known_and_what_was_unknown_is_not() {
        let text = r#"{"secchi": "1", "findings": [
            {"rule": "tls-legacy-protocol", "target": "a.test", "probe": "tls", "severity": "high",
             "address": "192.0.2.1", "subject": "TLSv1.0", "verdict": "out_of_range", "measured": [1]},
            {"rule": "dns-caa", "target": "a.test", "probe": "dns", "severity": "low", "verdict": "unknown"}],
            "not_seen": [
            {"rule": "dns-drift", "target": "a.test", "probe": "dns", "severity": "low", "verdict": "out_of_range"}]}"#;
        let baseline = Baseline::parse(text).expect("a baseline");
        assert!(baseline.find(&key("tls-legacy-protocol", Some("192.0.2.1"), "TLSv1.0")).is_some());
        assert!(baseline.find(&key("tls-legacy-protocol", Some("192.0.2.2"), "TLSv1.0")).is_none());
        assert!(baseline.find(&key("dns-caa", None, "")).is_none());
        assert!(baseline.find(&key("dns-drift", None, "")).is_some());
    }

    #[test]
    fn what_was_absent_from_a_sarif_log_is_not_known_and_a_past_exception_excuses_nothing() {
        let text = r#"{"version": "2.1.0", "runs": [{"results": [
            {"baselineState": "absent", "properties": {"rule": "dns-caa", "target": "a.test", "probe": "dns",
             "severity": "low", "verdict": "out_of_range"}},
            {"properties": {"rule": "dns-drift", "target": "a.test", "probe": "dns", "severity": "high",
             "verdict": "out_of_range", "excepted": {"until": "2020-01-01"}}}]}]}"#;
        let baseline = Baseline::parse(text).expect("a baseline");
        assert!(baseline.find(&key("dns-caa", None, "")).is_none());
        let known = baseline.find(&key("dns-drift", None, "")).expect("it was there");
        assert!(known.still_counts(true) && !known.still_counts(false));
    }

    #[test]
    fn a_bad_file_is_refused_with_its_place() {
        for (text, words) in [
            ("", "1:0: EOF while parsing a value"),
            ("{}", "1:1: neither `findings` nor `runs`"),
            ("{\"findings\": [\n{\"rule\": 3}]}", "2:10: invalid type: integer `3`"),
            ("{\"findings\": [\n {}]}", "2:3: missing field `rule`"),
            (
                "{\"runs\": [{\"results\": [{\"ruleId\": \"x\"}]}]}",
                "1:38: missing field `properties`",
            ),
            ("[]", "1:"),
            ("{\"findings\": [", "1:14: EOF"),
        ] {
            let error = Baseline::parse(text).expect_err(text);
            assert!(error.starts_with(words), "{text}: {error}");
        }
        let deep = "[".repeat(100_000);
        assert!(Baseline::parse(&format!("{{\"x\": {deep}")).is_err());
        let hostile = "{\"findings\": [{\"rule\": \"\u{1b}[2J\", \"probe\": \"\\u001b[2J\"}]}";
        let error = Baseline::parse(hostile).expect_err("no probe");
        assert!(!error.contains('\u{1b}'), "{error:?}");
    }
}
