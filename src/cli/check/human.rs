//! The report for people.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use anstyle::Style;
use serde_json::Value;

use super::report::{Finding, Report};
use crate::cli::screen::{clean, severity_style, verdict_style};
use crate::sample::{Measurements, Outcome, Reason, Sample, Verdict};
use crate::target::ProbeKind;

/// Writes the report. Every text that a peer may have had a hand in is cleaned.
pub(super) fn write(out: &mut impl Write, report: &Report) -> io::Result<()> {
    for (sample, verdict) in &report.samples {
        write_sample(out, sample, *verdict)?;
    }
    let shown: Vec<&Finding> =
        report.findings.iter().filter(|f| f.verdict == Verdict::OutOfRange).collect();
    if !shown.is_empty() {
        writeln!(out)?;
    }
    for finding in &shown {
        write_finding(out, finding)?;
    }
    write_unknown(out, report)?;
    let counts: Vec<String> = Verdict::ALL
        .into_iter()
        .map(|verdict| format!("{} {}", report.count(verdict), verdict.as_str().replace('_', " ")))
        .collect();
    writeln!(out, "\n{} samples, rules: {}", report.samples.len(), counts.join(", "))
}

fn write_sample(out: &mut impl Write, sample: &Sample, verdict: Verdict) -> io::Result<()> {
    let style = verdict_style(verdict);
    let address = sample.address.map(|address| address.to_string()).unwrap_or_default();
    let facts = match &sample.outcome {
        Outcome::Measured(measurements) => facts(sample.probe, measurements),
        Outcome::Unknown(unknown) => unknown.to_string(),
    };
    let verdict = verdict.as_str().replace('_', " ");
    writeln!(
        out,
        "{:<5} {} {}  {style}{verdict}{style:#}  {}",
        sample.probe,
        clean(&sample.target, 200),
        address,
        clean(&facts, 240),
    )
}

fn write_finding(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    let (style, bold, dim) =
        (severity_style(finding.severity), Style::new().bold(), Style::new().dimmed());
    let address = finding.address.map(|address| format!(" {address}")).unwrap_or_default();
    let subject = if finding.subject.is_empty() {
        String::new()
    } else {
        format!(" [{}]", clean(&finding.subject, 120))
    };
    writeln!(
        out,
        "{style}{:<8}{style:#} {bold}{}{bold:#}{subject}  {dim}{}{address}{dim:#}",
        finding.severity.as_str(),
        finding.rule,
        clean(&finding.target, 200),
    )?;
    writeln!(out, "         {}", clean(&finding.summary, 240))?;
    writeln!(
        out,
        "         measured {}, wanted {}",
        clean(&finding.in_words, 160),
        clean(&finding.range, 200)
    )?;
    writeln!(out, "         {dim}{}{dim:#}", clean(&finding.remedy, 300))
}

/// Unknowns in one line a reason: what could not be measured is said, and not at length. A sample
/// that measured nothing has said so already, and what is opt-in was not asked for.
fn write_unknown(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let mut by_reason = BTreeMap::<&str, BTreeSet<&str>>::new();
    for finding in report.findings.iter().filter(|f| f.verdict == Verdict::Unknown) {
        let measured = report.samples.iter().any(|(sample, _)| {
            *sample.target == *finding.target
                && (sample.probe, sample.address) == (finding.probe, finding.address)
                && sample.measurements().is_some()
        });
        if measured && finding.evidence != Reason::OptIn.as_str() {
            by_reason.entry(&finding.evidence).or_default().insert(&finding.rule);
        }
    }
    for (reason, rules) in by_reason {
        let style = verdict_style(Verdict::Unknown);
        let rules: Vec<&str> = rules.into_iter().collect();
        writeln!(
            out,
            "{style}unknown{style:#}  {}: {}",
            clean(reason, 120),
            clean(&rules.join(", "), 400)
        )?;
    }
    Ok(())
}

/// The few facts that a person looks for first.
fn facts(probe: ProbeKind, m: &Measurements) -> String {
    let keys: &[&str] = match probe {
        ProbeKind::Tls => &["versions", "negotiated", "chain"],
        ProbeKind::Http => &["status", "hsts", "redirection"],
        ProbeKind::Ports => &["addresses"],
        ProbeKind::Dns => &["serials", "drift", "disagreement"],
    };
    let facts = keys.iter().filter_map(|key| m.fact(key).map(|value| (key, value)));
    facts.map(|(key, value)| format!("{key}={}", compact(value))).collect::<Vec<_>>().join(" ")
}

fn compact(value: &Value) -> String {
    match value {
        Value::Null => "?".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(compact).collect::<Vec<_>>().join(","),
        Value::Object(map) => {
            let known = map.iter().filter(|(_, value)| !value.is_null());
            let pairs: Vec<String> =
                known.map(|(key, value)| format!("{key}:{}", compact(value))).collect();
            format!("{{{}}}", pairs.join(" "))
        }
        other => other.to_string(),
    }
}
