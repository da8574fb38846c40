//! What a `check` came to: samples, findings, where they stand towards the gate, exit status. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::baseline::Baseline;
use super::missing::{Missing, missing};
use crate::finding::{Exception, FindingKey};
use crate::sample::{Judgement, RuleFacts, Sample, Severity, Verdict};
use crate::sampler::Judged;
use crate::target::{Labels, ProbeKind};

/// What decides whether findings fail the run.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) fail_on: Severity,
    pub(super) allow_unknown: bool,
    /// What an earlier run found.
    pub(super) baseline: Option<Baseline>,
    /// Accepted risks.
    pub(super) exceptions: Vec<Exception>,
    pub(super) now: DateTime<Utc>,
}

/// Everything that one `check` saw.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Every sample, in the order of targets and times.
    pub(super) samples: Vec<(Sample, Verdict)>,
    /// Breaches and doubts, worst first, one an identity.
    pub(super) findings: Vec<Finding>,
    /// What was looked at, a (target, probe) each, with every rule that had a say.
    pub(super) looks: Vec<Look>,
    /// Findings of the baseline that this run did not see.
    pub(super) missing: Vec<Missing>,
    /// Whether there was a baseline.
    pub(super) is_compared: bool,
    summary: BTreeMap<&'static str, u64>,
}

/// One target by one probe.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) target: Arc<str>,
    pub(super) probe: ProbeKind,
    pub(super) labels: Arc<Labels>,
    /// Its samples' places in [`Report::samples`].
    pub(super) samples: Vec<usize>,
    /// Each rule with its worst verdict.
    pub(super) rules: Vec<(Arc<RuleFacts>, Verdict)>,
}

/// One line of the report (CONTRACT §Output 5).
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) key: FindingKey,
    pub(super) rule: Arc<RuleFacts>,
    pub(super) probe: ProbeKind,
    pub(super) verdict: Verdict,
    pub(super) measured: Value,
    /// The same for people.
    pub(super) in_words: String,
    pub(super) summary: String,
    pub(super) evidence: String,
    /// The accepted risk that covers it.
    pub(super) excepted: Option<Exception>,
    /// Whether the baseline had it; `None` without a baseline.
    pub(super) known: Option<bool>,
}

impl Report {
    /// Gathers judged samples and holds them against the gate.
    pub(super) fn new(judged: Vec<Judged>, gate: &Gate, labels: &LabelsOf) -> Self {
        let mut report = Self { is_compared: gate.baseline.is_some(), ..Self::default() };
        for verdict in Verdict::ALL {
            report.summary.insert(verdict.as_str(), 0);
        }
        let mut findings = Findings::default();
        for item in &judged {
            for judgement in &item.judgements {
                *report.summary.entry(judgement.verdict.as_str()).or_default() += 1;
                findings.take_in(&item.sample, judgement);
            }
        }
        report.findings = findings.list;
        for finding in &mut report.findings {
            finding.stand(gate);
        }
        let order =
            |f: &Finding| (f.verdict != Verdict::OutOfRange, std::cmp::Reverse(f.rule.severity));
        report.findings.sort_by_key(order);
        if let Some(baseline) = &gate.baseline {
            report.missing = missing(baseline, &report.findings, &judged);
        }
        report.looks = looks(&judged, labels);
        report.samples = judged.into_iter().map(|item| (item.sample, item.verdict)).collect();
        report
    }

    /// CONTRACT §Output 1.
    pub(super) fn to_json(&self) -> Value {
        let mut value = json!({
            "secchi": env!("CARGO_PKG_VERSION"),
            "samples": self.samples.iter().map(|(sample, verdict)| sample.to_json(*verdict)).collect::<Vec<_>>(),
            "findings": self.findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
            "summary": self.summary,
        });
        if self.is_compared {
            let list = |missing: Vec<&Missing>| -> Vec<Value> {
                missing.into_iter().map(Missing::to_json).collect()
            };
            value["gone"] = json!(list(self.gone().collect()));
            value["not_seen"] = json!(list(self.not_seen().collect()));
        }
        value
    }

    /// 1 where a finding fails the gate, 3 where a requested (target, probe) has no measurement at
    /// all, else 0.
    pub(super) fn exit_status(&self, gate: &Gate, asked: &[(Arc<str>, ProbeKind)]) -> u8 {
        if self.findings.iter().any(|finding| finding.fails(gate)) {
            return 1;
        }
        let measured: HashSet<(&str, ProbeKind)> = self
            .samples
            .iter()
            .filter(|(sample, _)| sample.measurements().is_some())
            .map(|(sample, _)| (&*sample.target, sample.probe))
            .collect();
        let is_whole = asked.iter().all(|(target, probe)| measured.contains(&(target, *probe)));
        if gate.allow_unknown || is_whole { 0 } else { 3 }
    }

    /// The counts of rules by verdict.
    pub(super) fn count(&self, verdict: Verdict) -> u64 {
        self.summary.get(verdict.as_str()).copied().unwrap_or_default()
    }

    /// The labels of each target that has some.
    pub(super) fn labels(&self) -> BTreeMap<&str, &Labels> {
        let labelled = self.looks.iter().filter(|look| !look.labels.is_empty());
        labelled.map(|look| (&*look.target, &*look.labels)).collect()
    }

    /// Findings of the baseline whose rule was looked at and is kept now.
    pub(super) fn gone(&self) -> impl Iterator<Item = &Missing> {
        self.missing.iter().filter(|missing| missing.doubt.is_none())
    }

    /// Findings of the baseline of which nothing is known now.
    pub(super) fn not_seen(&self) -> impl Iterator<Item = &Missing> {
        self.missing.iter().filter(|missing| missing.doubt.is_some())
    }
}

/// Labels by target.
pub(super) type LabelsOf = BTreeMap<Arc<str>, Arc<Labels>>;

/// One finding an identity: of several samples, what was shown stands over what was not known.
#[derive(Default)]
struct Findings {
    list: Vec<Finding>,
    places: HashMap<FindingKey, usize>,
}

impl Findings {
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
            let subject = doubt.subject.clone().unwrap_or_default();
            let mut finding = Finding::new(sample, judgement, Verdict::Unknown, &subject);
            finding.evidence = doubt.unknown.to_string();
            self.add(finding);
        }
    }

    fn add(&mut self, finding: Finding) {
        match self.places.get(&finding.key).and_then(|&at| self.list.get_mut(at)) {
            Some(there) if there.verdict == Verdict::Unknown => *there = finding,
            Some(_) => {}
            None => {
                self.places.insert(finding.key.clone(), self.list.len());
                self.list.push(finding);
            }
        }
    }
}

impl Finding {
    fn new(sample: &Sample, judgement: &Judgement, verdict: Verdict, subject: &Arc<str>) -> Self {
        let rule = Arc::clone(&judgement.rule);
        Self {
            key: FindingKey {
                rule: Arc::clone(&rule.id),
                target: Arc::clone(&sample.target),
                address: sample.address,
                subject: Arc::clone(subject),
            },
            probe: sample.probe,
            verdict,
            measured: Value::Null,
            in_words: String::new(),
            summary: rule.summary_of(&sample.target, subject, &Value::Null),
            evidence: String::new(),
            excepted: None,
            known: None,
            rule,
        }
    }

    /// Notes which exception covers it and whether the baseline had it.
    fn stand(&mut self, gate: &Gate) {
        if self.verdict != Verdict::OutOfRange {
            return;
        }
        self.excepted = Exception::find(&gate.exceptions, &self.key, gate.now).cloned();
        let is_excepted = self.excepted.is_some();
        self.known = gate.baseline.as_ref().map(|baseline| {
            baseline.find(&self.key).is_some_and(|known| known.still_counts(is_excepted))
        });
    }

    /// Whether it counts towards the exit status at all: neither accepted nor known before.
    pub(super) fn counts(&self) -> bool {
        self.verdict == Verdict::OutOfRange && self.excepted.is_none() && self.known != Some(true)
    }

    /// Whether it makes the exit status 1.
    pub(super) fn fails(&self, gate: &Gate) -> bool {
        self.counts() && self.rule.severity >= gate.fail_on
    }

    /// The finding with what the gate makes of it: `baseline` where there is one, `excepted` where
    /// an exception covers it.
    pub(super) fn to_json(&self) -> Value {
        let mut value = json!({
            "rule": self.key.rule,
            "severity": self.rule.severity,
            "target": self.key.target,
            "probe": self.probe,
            "measure": self.rule.measure,
            "subject": self.key.subject,
            "verdict": self.verdict,
            "measured": self.measured,
            "range": self.rule.range,
            "summary": self.summary,
            "remedy": self.rule.remedy,
            "evidence": self.evidence,
            "controls": self.rule.controls,
        });
        if let Some(address) = self.key.address {
            value["address"] = json!(address);
        }
        if let Some(known) = self.known {
            value["baseline"] = json!(if known { "known" } else { "new" });
        }
        if let Some(Exception { reason, approved_by, until, .. }) = &self.excepted {
            value["excepted"] =
                json!({ "reason": reason, "approved_by": approved_by, "until": until });
        }
        value
    }
}

fn looks(judged: &[Judged], labels: &LabelsOf) -> Vec<Look> {
    let mut looks: Vec<Look> = Vec::new();
    let mut places: HashMap<(&str, ProbeKind), usize> = HashMap::new();
    for (nth, item) in judged.iter().enumerate() {
        let (target, probe) = (&item.sample.target, item.sample.probe);
        let at = *places.entry((target, probe)).or_insert_with(|| {
            looks.push(Look {
                target: Arc::clone(target),
                probe,
                labels: labels.get(target).cloned().unwrap_or_default(),
                samples: Vec::new(),
                rules: Vec::new(),
            });
            looks.len() - 1
        });
        looks[at].samples.push(nth);
        for judgement in &item.judgements {
            looks[at].note(judgement);
        }
    }
    looks
}

impl Look {
    fn note(&mut self, judgement: &Judgement) {
        match self.rules.iter_mut().find(|(rule, _)| rule.id == judgement.rule.id) {
            Some((_, worst)) => *worst = judgement.verdict.max(*worst),
            None => self.rules.push((Arc::clone(&judgement.rule), judgement.verdict)),
        }
    }
}

/// `excepted until 2027-01-31 by ciso: till terminals`.
pub(super) fn exception_in_words(exception: &Exception) -> String {
    let Exception { reason, approved_by, until, .. } = exception;
    format!("excepted until {until} by {approved_by}: {reason}")
}
