//! What a `check` came to: samples, findings, summary, exit status. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::sample::{Judgement, Sample, Severity, Verdict};
use crate::sampler::Judged;
use crate::target::ProbeKind;

/// Everything that one `check` saw.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Every sample, in the order of targets and times.
    pub(super) samples: Vec<(Sample, Verdict)>,
    /// Breaches and doubts, worst first, one an identity.
    pub(super) findings: Vec<Finding>,
    summary: BTreeMap<&'static str, u64>,
}

/// One line of the report (CONTRACT §Output 5).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    pub(super) rule: String,
    pub(super) severity: Severity,
    pub(super) target: String,
    pub(super) probe: ProbeKind,
    pub(super) address: Option<std::net::IpAddr>,
    pub(super) measure: String,
    pub(super) subject: String,
    pub(super) verdict: Verdict,
    pub(super) measured: Value,
    /// The same for people.
    pub(super) in_words: String,
    pub(super) range: String,
    pub(super) summary: String,
    pub(super) remedy: String,
    pub(super) evidence: String,
    pub(super) controls: Value,
}

impl Report {
    /// Gathers judged samples.
    pub(super) fn new(judged: impl IntoIterator<Item = Judged>) -> Self {
        let mut report = Self::default();
        for verdict in Verdict::ALL {
            report.summary.insert(verdict.as_str(), 0);
        }
        for item in judged {
            for judgement in &item.judgements {
                *report.summary.entry(judgement.verdict.as_str()).or_default() += 1;
                report.take_in(&item.sample, judgement);
            }
            report.samples.push((item.sample, item.verdict));
        }
        report.findings.sort_by(|a, b| {
            let order =
                |f: &Finding| (f.verdict != Verdict::OutOfRange, std::cmp::Reverse(f.severity));
            order(a).cmp(&order(b))
        });
        report
    }

    fn take_in(&mut self, sample: &Sample, judgement: &Judgement) {
        for breach in &judgement.breaches {
            let mut finding = Finding::new(sample, judgement, Verdict::OutOfRange, &breach.subject);
            finding.measured = breach.measured.clone();
            finding.summary =
                judgement.rule.summary_of(&sample.target, &breach.subject, &breach.measured);
            finding.in_words = judgement.rule.in_words(&breach.measured);
            finding.evidence.clone_from(&breach.evidence);
            self.add(finding);
        }
        for doubt in &judgement.doubts {
            let subject = doubt.subject.as_deref().unwrap_or_default();
            let mut finding = Finding::new(sample, judgement, Verdict::Unknown, subject);
            finding.evidence = doubt.unknown.to_string();
            self.add(finding);
        }
    }

    /// One finding an identity: of several samples, what was shown stands over what was not known.
    fn add(&mut self, finding: Finding) {
        match self.findings.iter_mut().find(|known| known.is(&finding)) {
            Some(known) if known.verdict == Verdict::Unknown => *known = finding,
            Some(_) => {}
            None => self.findings.push(finding),
        }
    }

    /// CONTRACT §Output 1.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "secchi": env!("CARGO_PKG_VERSION"),
            "samples": self.samples.iter().map(|(sample, verdict)| sample.to_json(*verdict)).collect::<Vec<_>>(),
            "findings": self.findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
            "summary": self.summary,
        })
    }

    /// 1 where a finding is at or above `fail_on`, 3 where a requested (target, probe) has no
    /// measurement at all, else 0.
    pub(super) fn exit_status(
        &self,
        fail_on: Severity,
        allow_unknown: bool,
        asked: &[(String, ProbeKind)],
    ) -> u8 {
        let fails = |f: &Finding| f.verdict == Verdict::OutOfRange && f.severity >= fail_on;
        if self.findings.iter().any(fails) {
            return 1;
        }
        let measured = |(target, probe): &(String, ProbeKind)| {
            self.samples.iter().any(|(sample, _)| {
                *sample.target == **target
                    && sample.probe == *probe
                    && sample.measurements().is_some()
            })
        };
        if allow_unknown || asked.iter().all(measured) { 0 } else { 3 }
    }

    /// The counts of rules by verdict.
    pub(super) fn count(&self, verdict: Verdict) -> u64 {
        self.summary.get(verdict.as_str()).copied().unwrap_or_default()
    }
}

impl Finding {
    fn new(sample: &Sample, judgement: &Judgement, verdict: Verdict, subject: &str) -> Self {
        let rule = &judgement.rule;
        Self {
            rule: rule.id.to_string(),
            severity: rule.severity,
            target: sample.target.to_string(),
            probe: sample.probe,
            address: sample.address,
            measure: rule.measure.to_string(),
            subject: subject.to_owned(),
            verdict,
            measured: Value::Null,
            range: rule.range.to_string(),
            summary: rule.summary_of(&sample.target, subject, &Value::Null),
            in_words: String::new(),
            remedy: rule.remedy.to_string(),
            evidence: String::new(),
            controls: json!(rule.controls),
        }
    }

    fn is(&self, other: &Self) -> bool {
        (&self.rule, &self.target, &self.address, &self.subject)
            == (&other.rule, &other.target, &other.address, &other.subject)
    }

    fn to_json(&self) -> Value {
        let mut value = json!({
            "rule": self.rule,
            "severity": self.severity,
            "target": self.target,
            "probe": self.probe,
            "measure": self.measure,
            "subject": self.subject,
            "verdict": self.verdict,
            "measured": self.measured,
            "range": self.range,
            "summary": self.summary,
            "remedy": self.remedy,
            "evidence": self.evidence,
            "controls": self.controls,
        });
        if let Some(address) = self.address {
            value["address"] = json!(address);
        }
        value
    }
}
