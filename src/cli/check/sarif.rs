//! The report as a SARIF 2.1.0 log (OASIS, 2020), for code scanning and viewers. Breaches are
//! results; what is unknown is a notification of the invocation, and never a result.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::missing::Missing;
use super::place::Places;
use super::report::{Finding, Report, exception_in_words};
use crate::cli::screen::clean;
use crate::finding::FindingKey;
use crate::rules::{Rule, RuleSet};
use crate::sample::{Reason, RuleFacts, Sample, Severity, Verdict};
use crate::target::Labels;

/// The whole log: one run with one invocation. Complete at every exit status.
pub(super) fn log(report: &Report, rules: &RuleSet, places: &Places, status: u8) -> Value {
    let table = Table::of(report);
    let broken = report.findings.iter().filter(|finding| finding.verdict == Verdict::OutOfRange);
    let labels = report.labels();
    let mut results: Vec<Value> =
        broken.map(|finding| result(finding, &table, places, &labels)).collect();
    results.extend(report.missing.iter().map(|missing| missing_result(missing, &table, places)));
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": "Secchi",
                    "version": env!("CARGO_PKG_VERSION"),
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "informationUri": HOME,
                    "rules": table.descriptors(rules),
                },
            },
            "invocations": [invocation(report, &table, places, status)],
            "results": results,
        }],
    })
}

/// The rules of the run, in an order that `ruleIndex` points into.
struct Table<'a> {
    /// With the worst severity that a target's profile gives it.
    rules: BTreeMap<&'a str, Option<&'a Arc<RuleFacts>>>,
}

impl<'a> Table<'a> {
    fn of(report: &'a Report) -> Self {
        let mut rules: BTreeMap<&str, Option<&Arc<RuleFacts>>> = BTreeMap::new();
        for (facts, _) in report.looks.iter().flat_map(|look| &look.rules) {
            let known = rules.entry(&facts.id).or_insert(Some(facts));
            if known.is_none_or(|known| known.severity < facts.severity) {
                *known = Some(facts);
            }
        }
        for missing in &report.missing {
            rules.entry(&missing.key.rule).or_insert(None);
        }
        Self { rules }
    }

    fn index(&self, id: &str) -> usize {
        self.rules.range(..id).count()
    }

    fn descriptors(&self, rules: &RuleSet) -> Vec<Value> {
        let one = |(id, facts): (&&str, &Option<&Arc<RuleFacts>>)| match (facts, rules.find(id)) {
            (Some(facts), Some(rule)) => descriptor(facts, rule),
            _ => json!({ "id": id }),
        };
        self.rules.iter().map(one).collect()
    }
}

fn descriptor(facts: &RuleFacts, rule: &Rule) -> Value {
    let short = facts
        .summary
        .replace("{target}", "the target")
        .replace("{subject}", "")
        .replace("{measured}", "what was measured");
    let mut short = short.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(first) = short.get(..1) {
        short = first.to_uppercase() + &short[1..];
    }
    let mut value = json!({
        "id": facts.id,
        "shortDescription": message(&short),
        "fullDescription": message(&rule.why),
        "help": { "text": escaped(&help(facts, rule)), "markdown": escaped(&markdown(facts, rule)) },
        "defaultConfiguration": { "level": level(facts.severity) },
        "properties": {
            "tags": tags(rule),
            "security-severity": security_severity(facts.severity),
            "measure": facts.measure,
            "range": facts.range,
            "controls": facts.controls,
        },
    });
    if rule.pack.shipped {
        value["helpUri"] = json!(format!("{HOME}/blob/main/docs/rules.md#{}", facts.id));
    }
    value
}

fn help(facts: &RuleFacts, rule: &Rule) -> String {
    format!(
        "{} {} is to be {}. Remedy: {} References: {}",
        rule.why,
        facts.measure,
        facts.range,
        facts.remedy,
        rule.references.join("; ")
    )
}

fn markdown(facts: &RuleFacts, rule: &Rule) -> String {
    let controls: Vec<String> =
        rule.controls.iter().map(|(name, ids)| format!("{name} {}", ids.join(", "))).collect();
    format!(
        "{}\n\n**Range:** `{}` is to be `{}`.\n\n**Remedy:** {}\n\n**References:** {}\n\n**Controls:** {}",
        rule.why,
        facts.measure,
        facts.range,
        facts.remedy,
        rule.references.join("; "),
        controls.join("; ")
    )
}

fn tags(rule: &Rule) -> Vec<String> {
    let mut tags = vec!["security".to_owned(), rule.probe.to_string()];
    for (framework, ids) in rule.controls.iter() {
        tags.extend(ids.iter().map(|id| format!("{framework}/{id}")));
    }
    tags.dedup();
    // Code scanning takes no more.
    tags.truncate(20);
    tags
}

fn result(
    finding: &Finding,
    table: &Table<'_>,
    places: &Places,
    labels: &BTreeMap<&str, &Labels>,
) -> Value {
    let words = format!(
        "{}: measured {}, wanted {}",
        clean(&finding.summary, 400),
        clean(&finding.in_words, 200),
        clean(&finding.rule.range, 200),
    );
    let mut value = result_of(&finding.key, &words, table, places);
    value["kind"] = json!("fail");
    value["level"] = json!(level(finding.rule.severity));
    value["properties"] = finding.to_json();
    if let Some(labels) = labels.get(&*finding.key.target) {
        value["properties"]["labels"] = json!(labels);
    }
    if let Some(known) = finding.known {
        value["baselineState"] = json!(if known { "unchanged" } else { "new" });
    }
    if let Some(exception) = &finding.excepted {
        let justification = clean(&exception_in_words(exception), 400);
        value["suppressions"] =
            json!([{ "kind": "external", "status": "accepted", "justification": justification }]);
    }
    value
}

/// What is gone is `absent`, and its rule passed; what nobody could see is `unchanged` and open, so
/// that no viewer takes it for mended.
fn missing_result(missing: &Missing, table: &Table<'_>, places: &Places) -> Value {
    let (state, kind, words) = match &missing.doubt {
        None => ("absent", "pass", "gone".to_owned()),
        Some(doubt) => ("unchanged", "open", format!("not seen: {doubt}")),
    };
    let words = format!("{} ({})", clean(&missing.known.summary, 400), clean(&words, 200));
    let mut value = result_of(&missing.key, &words, table, places);
    value["kind"] = json!(kind);
    value["level"] = json!("none");
    value["baselineState"] = json!(state);
    value["properties"] = missing.to_json();
    value
}

fn result_of(key: &FindingKey, words: &str, table: &Table<'_>, places: &Places) -> Value {
    let fingerprint = fingerprint(key);
    json!({
        "ruleId": key.rule,
        "ruleIndex": table.index(&key.rule),
        "message": message(words),
        "locations": [places.location(key)],
        "partialFingerprints": {
            "secchiIdentity/v1": fingerprint,
            // The only one that GitHub looks at.
            "primaryLocationLineHash": fingerprint,
        },
    })
}

/// A finding's identity as one word.
fn fingerprint(key: &FindingKey) -> String {
    let address = key.address.map(|address| address.to_string()).unwrap_or_default();
    let identity = [&key.rule, &key.target, &*address, &key.subject].join("\0");
    hex::encode(digest(&SHA256, identity.as_bytes()))
}

fn invocation(report: &Report, table: &Table<'_>, places: &Places, status: u8) -> Value {
    let words = match status {
        0 => "everything that counts is in range",
        1 => "a finding fails the gate",
        _ => "not everything that was asked could be measured",
    };
    let mut value = json!({
        "executionSuccessful": status != 3,
        "exitCode": status,
        "exitCodeDescription": words,
        "toolExecutionNotifications": notifications(report, table, places),
    });
    let begun = report.samples.iter().map(|(sample, _)| sample.taken_at).min();
    let ended = report.samples.iter().filter_map(|(sample, _)| end_of(sample)).max();
    if let (Some(begun), Some(ended)) = (begun, ended) {
        value["startTimeUtc"] = json!(in_utc(begun));
        value["endTimeUtc"] = json!(in_utc(ended));
    }
    value
}

fn end_of(sample: &Sample) -> Option<DateTime<Utc>> {
    sample.taken_at.checked_add_signed(chrono::TimeDelta::from_std(sample.duration).ok()?)
}

fn in_utc(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A sample that measured nothing is an error, each rule that could not be judged a warning, or a
/// note where nobody asked for it.
fn notifications(report: &Report, table: &Table<'_>, places: &Places) -> Vec<Value> {
    let mut all = Vec::new();
    let mut told = HashSet::new();
    for (sample, _) in &report.samples {
        let Some(unknown) = sample.unknown() else { continue };
        if !told.insert((&sample.target, sample.probe, sample.address, unknown.to_string())) {
            continue;
        }
        let words = format!("the {} probe measured nothing: {unknown}", sample.probe);
        let key = FindingKey {
            rule: "".into(),
            target: Arc::clone(&sample.target),
            address: sample.address,
            subject: "".into(),
        };
        let mut value = notification(&key, &words, unknown.reason.as_str(), places);
        value["level"] = json!("error");
        value["timeUtc"] = json!(in_utc(sample.taken_at));
        value["properties"] =
            json!({ "target": sample.target, "probe": sample.probe, "address": sample.address });
        all.push(value);
    }
    let doubtful = report.findings.iter().filter(|finding| finding.verdict == Verdict::Unknown);
    all.extend(doubtful.map(|finding| {
        let reason = finding.evidence.split(": ").next().unwrap_or_default();
        let key = &finding.key;
        let words = format!("{} could not be judged: {}", key.rule, finding.evidence);
        let mut value = notification(key, &words, reason, places);
        let is_aside = reason == Reason::OptIn.as_str();
        value["level"] = json!(if is_aside { "note" } else { "warning" });
        value["associatedRule"] = json!({ "id": key.rule, "index": table.index(&key.rule) });
        value["properties"] = finding.to_json();
        value
    }));
    all
}

fn notification(key: &FindingKey, words: &str, reason: &str, places: &Places) -> Value {
    json!({
        "descriptor": { "id": reason },
        "message": message(&clean(words, 500)),
        "locations": [places.location(key)],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// Code scanning's own scale: above 9.0 critical, from 7.0 high, from 4.0 medium, above 0 low.
fn security_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
        Severity::Info => "0.0",
    }
}

fn message(text: &str) -> Value {
    json!({ "text": escaped(text) })
}

/// In a message braces are placeholders (§3.11.5) and brackets links (§3.11.6): a peer may write
/// neither.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '{' => escaped.push_str("{{"),
            '}' => escaped.push_str("}}"),
            '[' => escaped.push_str("\\["),
            ']' => escaped.push_str("\\]"),
            c => escaped.push(c),
        }
    }
    escaped
}

const HOME: &str = "https://github.com/secchi/secchi";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_put_a_link_or_a_placeholder_into_a_message() {
        assert_eq!(
            escaped("[click](https://evil.test) {0}"),
            "\\[click\\](https://evil.test) {{0}}"
        );
    }

    #[test]
    fn a_fingerprint_hangs_on_the_identity_alone() {
        let key = |subject: &str| FindingKey {
            rule: "tls-legacy-protocol".into(),
            target: "a.test".into(),
            address: None,
            subject: subject.into(),
        };
        assert_eq!(fingerprint(&key("TLSv1.0")), fingerprint(&key("TLSv1.0")));
        assert_ne!(fingerprint(&key("TLSv1.0")), fingerprint(&key("TLSv1.1")));
    }
}
