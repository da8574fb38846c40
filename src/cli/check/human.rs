//! The report for people.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Write};
use std::net::IpAddr;

use anstyle::Style;
use serde_json::Value;

use super::report::{Finding, Gate, Report, exception_in_words};
use crate::cli::screen::{clean, severity_style, verdict_style};
use crate::finding::FindingKey;
use crate::sample::{Measurements, Outcome, Reason, Sample, Severity, Verdict};
use crate::target::ProbeKind;

/// Writes the report. Every text that a peer may have had a hand in is cleaned.
pub(super) fn write(
    out: &mut impl Write,
    report: &Report,
    gate: &Gate,
    status: u8,
) -> io::Result<()> {
    for (sample, verdict) in &report.samples {
        write_sample(out, sample, *verdict)?;
    }
    let broken = || report.findings.iter().filter(|f| f.verdict == Verdict::OutOfRange);
    if broken().next().is_some() || !report.missing.is_empty() {
        writeln!(out)?;
    }
    for finding in broken().filter(|finding| finding.counts()) {
        write_finding(out, finding)?;
    }
    for finding in broken().filter(|finding| !finding.counts()) {
        write_accepted(out, finding)?;
    }
    write_missing(out, report)?;
    write_unknown(out, report)?;
    let counts: Vec<String> = Verdict::ALL
        .into_iter()
        .map(|verdict| format!("{} {}", report.count(verdict), verdict.as_str().replace('_', " ")))
        .collect();
    let samples = report.samples.len();
    let plural = if samples == 1 { "" } else { "s" };
    writeln!(out, "\n{samples} sample{plural}, rules: {}", counts.join(", "))?;
    write_outcome(out, report, gate, status)
}

/// The exit status in words.
fn write_outcome(out: &mut impl Write, report: &Report, gate: &Gate, status: u8) -> io::Result<()> {
    let count = |is: fn(&Finding) -> bool| report.findings.iter().filter(|f| is(f)).count();
    let failing = report.findings.iter().filter(|finding| finding.fails(gate)).count();
    let mut asides = Vec::new();
    for (number, what) in [
        (count(|f| f.excepted.is_none() && f.known == Some(true)), "known"),
        (count(|f| f.excepted.is_some()), "excepted"),
        (report.gone().count(), "gone"),
        (report.not_seen().count(), "known and not seen"),
    ] {
        if number > 0 {
            asides.push(format!("{number} {what}"));
        }
    }
    let asides =
        if asides.is_empty() { String::new() } else { format!(" ({})", asides.join(", ")) };
    let (verdict, words) = match status {
        0 => (Verdict::InRange, "passed".to_owned()),
        1 => {
            let new = if report.is_compared { "new " } else { "" };
            let plural = if failing == 1 { "" } else { "s" };
            let words =
                format!("failed: {failing} {new}finding{plural} at {} or above", gate.fail_on);
            (Verdict::OutOfRange, words)
        }
        _ => (Verdict::Unknown, "unknown: not everything that was asked could be measured".into()),
    };
    let style = verdict_style(verdict);
    writeln!(out, "{style}{words}{style:#}{asides}")
}

fn write_sample(out: &mut impl Write, sample: &Sample, verdict: Verdict) -> io::Result<()> {
    let style = verdict_style(verdict);
    let address = sample.address.map(|address| address.to_string()).unwrap_or_default();
    let facts = match &sample.outcome {
        // Their rows follow.
        Outcome::Measured(_) if sample.probe == ProbeKind::Tls => String::new(),
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
    )?;
    match (sample.probe, sample.measurements()) {
        (ProbeKind::Tls, Some(measurements)) => super::tls::write(out, measurements),
        _ => Ok(()),
    }
}

fn write_finding(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    let dim = Style::new().dimmed();
    writeln!(out, "{}", headline(&finding.key, finding.rule.severity))?;
    writeln!(out, "         {}", clean(&finding.summary, 240))?;
    writeln!(
        out,
        "         measured {}, wanted {}",
        clean(&finding.in_words, 160),
        clean(&finding.rule.range, 200)
    )?;
    writeln!(out, "         {dim}{}{dim:#}", clean(&finding.rule.remedy, 300))
}

/// A finding that fails nothing, in a line: someone has looked at it before.
fn write_accepted(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    let why = finding.excepted.as_ref().map_or_else(|| "known".to_owned(), exception_in_words);
    writeln!(out, "{}  {}", headline(&finding.key, finding.rule.severity), clean(&why, 300))
}

/// What the baseline had and this run has not.
fn write_missing(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let style = verdict_style(Verdict::InRange);
    for gone in report.gone() {
        writeln!(out, "{}  {style}gone{style:#}", headline(&gone.key, gone.known.severity))?;
    }
    let style = verdict_style(Verdict::Unknown);
    for (missing, doubt) in report.not_seen().filter_map(|m| Some((m, m.doubt.as_ref()?))) {
        let line = headline(&missing.key, missing.known.severity);
        writeln!(out, "{line}  {style}known, not seen{style:#}: {}", clean(doubt, 160))?;
    }
    Ok(())
}

fn headline(key: &FindingKey, severity: Severity) -> String {
    let (style, bold, dim) = (severity_style(severity), Style::new().bold(), Style::new().dimmed());
    let address = key.address.map(|address| format!(" {address}")).unwrap_or_default();
    let subject = match &*key.subject {
        "" => String::new(),
        subject => format!(" [{}]", clean(subject, 120)),
    };
    format!(
        "{style}{:<8}{style:#} {bold}{}{bold:#}{subject}  {dim}{}{address}{dim:#}",
        severity.as_str(),
        clean(&key.rule, 80),
        clean(&key.target, 200),
    )
}

/// Unknowns in one line a reason: what could not be measured is said, and not at length. A sample
/// that measured nothing has said so already, and what is opt-in was not asked for.
fn write_unknown(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let mut by_reason = BTreeMap::<&str, BTreeSet<&str>>::new();
    let measured: HashSet<(&str, ProbeKind, Option<IpAddr>)> = report
        .samples
        .iter()
        .filter(|(sample, _)| sample.measurements().is_some())
        .map(|(sample, _)| (&*sample.target, sample.probe, sample.address))
        .collect();
    for finding in report.findings.iter().filter(|f| f.verdict == Verdict::Unknown) {
        let point = (&*finding.key.target, finding.probe, finding.key.address);
        if measured.contains(&point) && finding.evidence != Reason::OptIn.as_str() {
            by_reason.entry(&finding.evidence).or_default().insert(&finding.key.rule);
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
        ProbeKind::Tls => &[],
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
