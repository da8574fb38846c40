//! Evidence for auditors: what the samples of a window prove, tied to the ledger's head.
//!
//! ```text
//! archive (one moment of the ledger) ─→ verify ─→ summarize ─→ Report ─→ human, Markdown, JSON
//! ```
//!
//! A clean sample proves little, many prove much: of n scheduled samples that judged a rule at a
//! point, x of them out of range, the exact binomial bound says how often the fault may show and
//! still have been seen no more than that. `unknown` samples are none of the n, and the coverage says
//! how much of the plan was really carried out.

mod human;
mod markdown;
mod summary;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use crate::finding::{Finding, FindingState};
use crate::ledger::{self, Archive, Context, FindingFilter, LedgerError, View};
use crate::rules::RuleSet;
use crate::schedule::Percent;
use crate::target::Span;

pub use human::write as write_human;
pub use markdown::write as write_markdown;
pub use summary::{RuleProof, Slots, Summary, Window, summarize};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// How far back, from now.
    pub window: Span,
    /// How sure the bounds must be.
    pub confidence: Percent,
    /// Now.
    pub now: DateTime<Utc>,
}

/// A report. Its JSON is the contract; the other forms show a part of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Secchi's version.
    pub secchi: &'static str,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// The window as it was asked for.
    pub window: String,
    /// The confidence of the bounds.
    pub confidence: f64,
    #[serde(skip)]
    asked: Percent,
    /// Whether the ledger is whole, its head, and what is broken.
    pub ledger: Verified,
    /// What it proves; of a broken ledger, nothing.
    #[serde(flatten)]
    pub proof: Option<Proof>,
}

/// What the verification of the ledger said.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// Whether there are no faults.
    pub whole: bool,
    /// Commits, samples, head and its hash, faults.
    #[serde(flatten)]
    pub report: ledger::Report,
}

/// What a whole ledger proves.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Where the window really begins: at a day's beginning, or a week's.
    pub since: DateTime<Utc>,
    /// By rule.
    pub rules: Vec<Value>,
    /// By rule and sampling point, the weakest first.
    pub points: Vec<Value>,
    /// Points beyond the bound of the list.
    pub points_left_out: u64,
    /// Findings that are not over, worst first, each with its share, spread and last deployment.
    pub findings: Vec<Told>,
    /// Whether there are more than that.
    pub findings_cut: bool,
    /// Accepted risks: with who approved them, and until when.
    pub exceptions: Vec<Value>,
    /// Deployments in the window, latest first.
    pub deployments: Vec<Value>,
}

/// A finding with what surrounds it, as the API tells it.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// The finding.
    #[serde(flatten)]
    pub finding: Finding,
    /// What surrounds it.
    #[serde(flatten)]
    pub context: Context,
}

impl Report {
    /// Whether the ledger is whole.
    pub fn is_whole(&self) -> bool {
        self.ledger.whole
    }
}

/// Verifies the ledger and works out what it proves.
pub fn report(
    archive: &Archive,
    rules: &RuleSet,
    question: &Question,
) -> Result<Report, LedgerError> {
    let verified = archive.verify()?;
    let whole = verified.is_whole();
    let proof = if whole { Some(prove(archive, rules, question)?) } else { None };
    Ok(Report {
        secchi: env!("CARGO_PKG_VERSION"),
        at: question.now,
        window: question.window.to_string(),
        confidence: question.confidence.share(),
        asked: question.confidence,
        ledger: Verified { whole, report: verified },
        proof,
    })
}

fn prove(archive: &Archive, rules: &RuleSet, question: &Question) -> Result<Proof, LedgerError> {
    let window = Window::until(question.now, question.window.0, question.confidence);
    let summary = summarize(archive, &window, MOST)?;
    let mut findings = archive.findings(&FindingFilter {
        states: vec![FindingState::Suspected, FindingState::Confirmed, FindingState::Excepted],
        limit: MOST + 1,
        ..FindingFilter::default()
    })?;
    let findings_cut = findings.len() > MOST;
    findings.truncate(MOST);
    findings.sort_by_key(|finding| std::cmp::Reverse((finding.severity, finding.first_seen)));
    let contexts = archive.contexts(&findings)?;
    let told = findings.into_iter().zip(contexts);
    let findings = told.map(|(finding, context)| Told { finding, context }).collect();
    let exceptions = archive.exceptions()?.into_iter().take(MOST).map(|(exception, made)| {
        let mut value = json!(exception);
        value["source"] = json!(if made { "api" } else { "config" });
        value["expired"] = json!(exception.until < question.now.date_naive());
        value
    });
    let in_window = |deployment: &Value| {
        let at = deployment["at"].as_str().and_then(|at| at.parse::<DateTime<Utc>>().ok());
        at.is_none_or(|at| at >= summary.since)
    };
    let deployments = archive.deployments(MOST)?.into_iter().filter(in_window).collect();
    let rule = |proof: &RuleProof| {
        let mut value = json!(proof);
        value["controls"] = json!(rules.find(&proof.rule).map(|rule| &rule.controls));
        value
    };
    let point = |(bound, row): &(f64, ledger::EvidenceRow)| {
        let mut value = row.to_json();
        value["prevalence_upper_bound"] = json!(bound);
        value
    };
    Ok(Proof {
        since: summary.since,
        rules: summary.rules.values().map(rule).collect(),
        points: summary.weakest.iter().map(point).collect(),
        points_left_out: summary.left_out,
        findings,
        findings_cut,
        exceptions: exceptions.collect(),
        deployments,
    })
}

impl Window {
    /// The window that ends now.
    pub fn until(now: DateTime<Utc>, length: std::time::Duration, confidence: Percent) -> Self {
        let length = TimeDelta::from_std(length).unwrap_or(TimeDelta::MAX);
        let since = now.checked_sub_signed(length).unwrap_or(DateTime::UNIX_EPOCH);
        Self { since, until: now, confidence, with_retired: true }
    }
}

/// A bound as people read it, rounded up: never less than what was proven.
fn at_most(value: &Value) -> String {
    let Some(percent) = value.as_f64().map(|share| share * 100.0) else { return "–".to_owned() };
    // What a fraction lost in binary is no reason to round up.
    let up = |digits: f64| (percent * digits - 1e-9).ceil() / digits;
    match percent {
        0.0..0.01 => format!("{:.4}%", up(10_000.0)),
        0.01..1.0 => format!("{:.3}%", up(1_000.0)),
        _ => format!("{:.1}%", up(10.0)),
    }
}

/// A share as people read it, rounded down: all is said of all only.
fn share(value: &Value) -> String {
    let tenths = value.as_f64().map(|share| (share * 1_000.0 + 1e-9).floor() / 10.0);
    tenths.map_or_else(|| "–".to_owned(), |percent| format!("{percent:.1}%"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn at(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Points, findings and exceptions of one report, each.
const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_rounded_up_and_coverage_down() {
        for (bound, words) in
            [(1.0, "100.0%"), (0.0401, "4.1%"), (0.00499, "0.499%"), (0.000_001_2, "0.0002%")]
        {
            assert_eq!(at_most(&json!(bound)), words);
        }
        for (coverage, words) in
            [(1.0, "100.0%"), (0.9999, "99.9%"), (0.84, "84.0%"), (0.0, "0.0%")]
        {
            assert_eq!(share(&json!(coverage)), words);
        }
        assert_eq!(share(&Value::Null), "–");
    }
}
