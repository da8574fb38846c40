//! The report as JUnit XML, for pipelines that show tests: a testsuite a (target, probe), a testcase
//! a rule. A finding that fails the gate is a failure, what is unknown an error.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use chrono::SecondsFormat;

use super::missing::Missing;
use super::report::{Finding, Gate, Look, Report, exception_in_words};
use crate::cli::screen::clean;
use crate::sample::{RuleFacts, Severity, Verdict};
use crate::target::ProbeKind;

/// Writes the document. Complete at every exit status.
pub(super) fn write(out: &mut impl Write, report: &Report, gate: &Gate) -> io::Result<()> {
    let by_rule = by_rule(report);
    let suites: Vec<Suite> =
        report.looks.iter().map(|look| Suite::of(look, report, gate, &by_rule)).collect();
    let count = |what: fn(&Outcome) -> bool| suites.iter().map(|suite| suite.count(what)).sum();
    let (tests, failures, errors): (usize, usize, usize) =
        (count(|_| true), count(Outcome::is_failure), count(Outcome::is_error));
    let seconds: f64 = suites.iter().map(|suite| suite.seconds).sum();
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(
        out,
        "<testsuites name=\"secchi check\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" time=\"{seconds:.3}\">"
    )?;
    suites.iter().try_for_each(|suite| suite.write(out))?;
    writeln!(out, "</testsuites>")
}

/// A (target, probe).
struct Suite {
    name: String,
    properties: Vec<(String, String)>,
    timestamp: String,
    seconds: f64,
    cases: Vec<Case>,
}

/// A rule.
struct Case {
    name: String,
    outcome: Outcome,
    /// What passed although it was found.
    notes: Vec<String>,
}

enum Outcome {
    Error { message: String, kind: String, text: String },
    Failure { message: String, kind: Severity, text: String },
    Passed,
    Skipped { message: String },
}

impl Outcome {
    fn is_error(&self) -> bool {
        matches!(self, Self::Error { .. })
    }

    fn is_failure(&self) -> bool {
        matches!(self, Self::Failure { .. })
    }

    fn is_skipped(&self) -> bool {
        matches!(self, Self::Skipped { .. })
    }
}

impl Suite {
    fn of(look: &Look, report: &Report, gate: &Gate, by_rule: &ByRule<'_>) -> Self {
        let samples: Vec<_> = look.samples.iter().map(|&at| &report.samples[at].0).collect();
        let mut cases: Vec<Case> = Vec::new();
        for (rule, verdict) in &look.rules {
            let at = (&*look.target, look.probe, &*rule.id);
            cases.push(Case::of(rule, *verdict, gate, by_rule.get(&at)));
        }
        // Where no rule had a say, what the sample came to is still told.
        if let Some(unknown) = samples.iter().find_map(|sample| sample.unknown())
            && cases.is_empty()
        {
            let outcome = unknown_outcome(&unknown.to_string(), String::new(), gate);
            cases.push(Case { name: "sample".to_owned(), outcome, notes: Vec::new() });
        }
        let begun = samples.iter().map(|sample| sample.taken_at).min();
        let mut properties = vec![
            ("target".to_owned(), look.target.to_string()),
            ("probe".to_owned(), look.probe.to_string()),
        ];
        let labels = look.labels.iter();
        properties.extend(labels.map(|(name, value)| (format!("label.{name}"), value.clone())));
        Self {
            name: format!("{} {}", look.target, look.probe),
            properties,
            timestamp: begun
                .map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
                .unwrap_or_default(),
            seconds: samples.iter().map(|sample| sample.duration.as_secs_f64()).sum(),
            cases,
        }
    }

    fn count(&self, what: fn(&Outcome) -> bool) -> usize {
        self.cases.iter().filter(|case| what(&case.outcome)).count()
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\" timestamp=\"{}\">",
            xml(&self.name),
            self.cases.len(),
            self.count(Outcome::is_failure),
            self.count(Outcome::is_error),
            self.count(Outcome::is_skipped),
            self.seconds,
            self.timestamp,
        )?;
        writeln!(out, "    <properties>")?;
        for (name, value) in &self.properties {
            writeln!(out, "      <property name=\"{}\" value=\"{}\"/>", xml(name), xml(value))?;
        }
        writeln!(out, "    </properties>")?;
        self.cases.iter().try_for_each(|case| case.write(out, &self.name))?;
        writeln!(out, "  </testsuite>")
    }
}

impl Case {
    fn of(rule: &RuleFacts, verdict: Verdict, gate: &Gate, found: Option<&Found<'_>>) -> Self {
        let name = rule.id.to_string();
        let nothing = Found::default();
        let found = found.unwrap_or(&nothing);
        let failing: Vec<_> = found.findings.iter().filter(|finding| finding.fails(gate)).collect();
        let doubts: Vec<_> =
            found.findings.iter().filter(|finding| finding.verdict == Verdict::Unknown).collect();
        let mut notes: Vec<String> = found
            .findings
            .iter()
            .filter(|finding| finding.verdict == Verdict::OutOfRange && !finding.fails(gate))
            .map(|finding| passed_in_words(finding))
            .collect();
        let gone = found.missing.iter().filter(|missing| missing.doubt.is_none());
        notes.extend(gone.map(|missing| format!("gone: {}", missing.known.summary)));
        let mut lines: Vec<String> = failing.iter().map(|finding| in_words(finding)).collect();
        lines.extend(doubts.iter().map(|finding| unknown_in_words(finding)));
        let outcome = match (failing.first(), doubts.first()) {
            (Some(first), _) => Outcome::Failure {
                message: and_more(&first.summary, failing.len()),
                kind: first.rule.severity,
                text: lines.join("\n") + "\nRemedy: " + &rule.remedy,
            },
            (None, Some(first)) => {
                let message = and_more(&first.evidence, doubts.len());
                unknown_outcome(&message, lines.join("\n"), gate)
            }
            (None, None) if verdict == Verdict::NotApplicable => {
                Outcome::Skipped { message: "not applicable".to_owned() }
            }
            (None, None) => Outcome::Passed,
        };
        Self { name, outcome, notes }
    }

    fn write(&self, out: &mut impl Write, suite: &str) -> io::Result<()> {
        let open = format!(
            "    <testcase name=\"{}\" classname=\"{}\" time=\"0\"",
            xml(&self.name),
            xml(suite)
        );
        if matches!(self.outcome, Outcome::Passed) && self.notes.is_empty() {
            return writeln!(out, "{open}/>");
        }
        writeln!(out, "{open}>")?;
        match &self.outcome {
            Outcome::Passed => {}
            Outcome::Skipped { message } => {
                writeln!(out, "      <skipped message=\"{}\"/>", xml(message))?;
            }
            Outcome::Error { message, kind, text } => {
                let (message, kind, text) = (xml(message), xml(kind), lines(text));
                writeln!(out, "      <error message=\"{message}\" type=\"{kind}\">{text}</error>")?;
            }
            Outcome::Failure { message, kind, text } => {
                let (message, text) = (xml(message), lines(text));
                writeln!(
                    out,
                    "      <failure message=\"{message}\" type=\"{kind}\">{text}</failure>"
                )?;
            }
        }
        if !self.notes.is_empty() {
            let notes = lines(&self.notes.join("\n"));
            writeln!(out, "      <system-out>{notes}</system-out>")?;
        }
        writeln!(out, "    </testcase>")
    }
}

/// The findings of one rule at one (target, probe).
#[derive(Default)]
struct Found<'a> {
    findings: Vec<&'a Finding>,
    missing: Vec<&'a Missing>,
}

type ByRule<'a> = HashMap<(&'a str, ProbeKind, &'a str), Found<'a>>;

fn by_rule(report: &Report) -> ByRule<'_> {
    let mut all = ByRule::new();
    for finding in &report.findings {
        let at = (&*finding.key.target, finding.probe, &*finding.key.rule);
        all.entry(at).or_default().findings.push(finding);
    }
    for missing in &report.missing {
        let at = (&*missing.key.target, missing.known.probe, &*missing.key.rule);
        all.entry(at).or_default().missing.push(missing);
    }
    all
}

/// An error, unless the run allows the unknown.
fn unknown_outcome(message: &str, text: String, gate: &Gate) -> Outcome {
    let message = format!("unknown: {message}");
    match gate.allow_unknown {
        true => Outcome::Skipped { message },
        false => Outcome::Error { message, kind: "unknown".to_owned(), text },
    }
}

fn in_words(finding: &Finding) -> String {
    format!(
        "{}: measured {}, wanted {}{} ({})",
        finding.summary,
        finding.in_words,
        finding.rule.range,
        place(finding),
        finding.evidence
    )
}

fn unknown_in_words(finding: &Finding) -> String {
    format!("unknown{}: {}", place(finding), finding.evidence)
}

fn passed_in_words(finding: &Finding) -> String {
    let why = match (&finding.excepted, finding.known) {
        (Some(exception), _) => exception_in_words(exception),
        (None, Some(true)) => "known".to_owned(),
        (None, _) => finding.rule.severity.to_string(),
    };
    format!("{why}: {}", in_words(finding))
}

fn place(finding: &Finding) -> String {
    let mut place = String::new();
    if let Some(address) = finding.key.address {
        // Writing into a String cannot fail.
        let _ = write!(place, " at {address}");
    }
    if !finding.key.subject.is_empty() {
        let _ = write!(place, " [{}]", finding.key.subject);
    }
    place
}

fn and_more(first: &str, of: usize) -> String {
    match of {
        0 | 1 => first.to_owned(),
        more => format!("{first} (and {} more)", more - 1),
    }
}

fn lines(text: &str) -> String {
    text.lines().map(xml).collect::<Vec<_>>().join("\n")
}

/// Text fit for XML 1.0 (§2.2): what steers a screen, and characters that the standard forbids, are
/// shown by their number.
fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in clean(text, MOST).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Characters of one text.
const MOST: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_breaks_the_document() {
        assert_eq!(
            xml("a<b>&\"c\u{0}\u{1b}[2J\u{ffff}\u{85}]]>"),
            "a&lt;b&gt;&amp;&quot;c\\u{0}\\u{1b}[2J\u{fffd}\\u{85}]]&gt;"
        );
    }
}
