//! What the baseline had and this run did not find: gone, or not seen.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::baseline::{Baseline, Known};
use super::report::Finding;
use crate::finding::FindingKey;
use crate::sample::{Judgement, Sample, Verdict};
use crate::sampler::Judged;
use crate::target::ProbeKind;

/// A finding of the baseline that was not seen again.
#[derive(Clone, Debug)]
pub(super) struct Missing {
    pub(super) key: FindingKey,
    pub(super) known: Known,
    /// Why nobody can say that it is gone; `None` where its rule was looked at and is kept.
    pub(super) doubt: Option<String>,
}

impl Missing {
    /// The finding as the baseline had it.
    pub(super) fn to_json(&self) -> Value {
        let mut value = json!({
            "rule": self.key.rule,
            "severity": self.known.severity,
            "target": self.key.target,
            "probe": self.known.probe,
            "subject": self.key.subject,
            "verdict": Verdict::OutOfRange,
            "summary": self.known.summary,
        });
        if let Some(address) = self.key.address {
            value["address"] = json!(address);
        }
        if let Some(doubt) = &self.doubt {
            value["reason"] = json!(doubt);
        }
        value
    }
}

/// What the baseline had and this run did not find. Gone is only what was looked at and is kept:
/// `unknown` is no absence.
pub(super) fn missing(
    baseline: &Baseline,
    findings: &[Finding],
    judged: &[Judged],
) -> Vec<Missing> {
    let seen: HashSet<&FindingKey> = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::OutOfRange)
        .map(|finding| &finding.key)
        .collect();
    let mut said: HashMap<(&str, &str, _), Vec<Said<'_>>> = HashMap::new();
    for Judged { sample, judgements, .. } in judged {
        for judgement in judgements {
            let at = (&*judgement.rule.id, &*sample.target, sample.address);
            said.entry(at).or_default().push(Said { sample, judgement });
        }
    }
    let not_seen = baseline.iter().filter(|(key, _)| !seen.contains(key));
    not_seen
        .map(|(key, known)| {
            let of_rule = said.get(&(&*key.rule, &*key.target, key.address));
            let doubt = doubt_of(key, of_rule.map(Vec::as_slice).unwrap_or_default());
            Missing { key: key.clone(), known: known.clone(), doubt }
        })
        .collect()
}

/// What a rule said of a sample.
struct Said<'a> {
    sample: &'a Sample,
    judgement: &'a Judgement,
}

fn doubt_of(key: &FindingKey, said: &[Said<'_>]) -> Option<String> {
    let is_clean = |said: &Said<'_>| {
        said.judgement.is_clean_for(&key.subject) && asked_for(said.sample, &key.subject)
    };
    if said.iter().any(is_clean) {
        return None;
    }
    let doubt = said.iter().flat_map(|said| &said.judgement.doubts).next();
    Some(doubt.map_or_else(|| NOT_LOOKED_AT.to_owned(), |doubt| doubt.unknown.to_string()))
}

/// A port that was not on this run's list is no measured absence.
fn asked_for(sample: &Sample, subject: &str) -> bool {
    let port = subject.rsplit(' ').next().and_then(|word| word.split_once('/'));
    let (ProbeKind::Ports, Some((port, transport))) = (sample.probe, port) else { return true };
    let Ok(port) = port.parse::<u16>() else { return true };
    let addresses = sample.measurements().and_then(|facts| facts.fact("addresses"));
    let mut addresses = addresses.and_then(Value::as_array).into_iter().flatten();
    addresses.any(|address| {
        let listed = |list: &str| address[list].as_array().into_iter().flatten();
        let is_open = |open: &Value| open["port"] == port && open["transport"] == transport;
        let has = |words: &Value| words.as_str().is_some_and(|words| holds(words, port, transport));
        listed("open").any(is_open) || SETTLED.iter().any(|list| listed(list).any(has))
    })
}

/// Whether `80/tcp` or `1-1024/tcp` holds the port.
fn holds(words: &str, port: u16, transport: &str) -> bool {
    let Some((ports, of)) = words.split_once('/') else { return false };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let bounds = first.parse::<u16>().ok().zip(last.parse::<u16>().ok());
    of == transport && bounds.is_some_and(|(first, last)| (first..=last).contains(&port))
}

/// The lists of ports that were asked and are not open (CONTRACT, ports).
const SETTLED: [&str; 4] = ["closed", "filtered", "forged", "open_or_filtered"];
const NOT_LOOKED_AT: &str = "not looked at by this run";
