//! The baselines of a target, and that of its names and records in particular: what it is held to,
//! what departs from it, and what a person accepts of that.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::accepted_ports;
use super::commands::failed;
use crate::ledger::{self, Ledger, View};
use crate::probe::{Memory, dns};
use crate::target::{PointKey, ProbeKind};
use crate::web::{NewBaseline, Refusal};

/// By `NAME TYPE`, values in presentation form.
type Records = BTreeMap<String, BTreeSet<String>>;

/// What accepting comes to.
#[derive(Debug)]
pub(super) struct Accepted {
    /// What is accepted now.
    pub(super) records: Records,
    /// That, and what was accepted before.
    pub(super) all: Records,
    /// The probe's memory that follows.
    pub(super) memory: ledger::Memory,
}

/// Of each probe that learns: what was accepted, what departs from the baseline now, and what waits to
/// be accepted.
pub(super) fn show(ledger: &Ledger, target: &str) -> Result<Value, Refusal> {
    let shown = [show_dns(ledger, target)?, accepted_ports::show(ledger, target)?];
    let shown: Vec<Value> = shown.into_iter().flatten().collect();
    if shown.is_empty() {
        return Err(Refusal::NotFound(format!("no dns or ports sample of `{target}` is known")));
    }
    Ok(Value::Array(shown))
}

/// The values pending are those that came since the baseline closed.
fn show_dns(ledger: &Ledger, target: &str) -> Result<Option<Value>, Refusal> {
    let accepted = ledger.baseline(target, ProbeKind::Dns, None).map_err(failed)?;
    let sample = latest(ledger, target, ProbeKind::Dns)?;
    let departures = sample.as_ref().map(|sample| sample["drift"].clone());
    if accepted.is_none() && departures.is_none() {
        return Ok(None);
    }
    Ok(Some(json!({
        "target": target,
        "probe": ProbeKind::Dns,
        "accepted": accepted,
        "departures": departures.unwrap_or_default(),
        "pending": dns::pending(memory(ledger, target, ProbeKind::Dns)?.as_ref()),
    })))
}

/// Works out the memory that holds what is accepted: the values that are named, else whatever the
/// last sample showed of each record that departs.
pub(super) fn accept(ledger: &Ledger, new: &NewBaseline) -> Result<Accepted, Refusal> {
    let sample = latest(ledger, &new.target, ProbeKind::Dns)?.ok_or_else(|| {
        Refusal::NotFound(format!("no dns sample of `{}` has measured anything yet", new.target))
    })?;
    let records = match (&new.name, &new.kind, &new.values) {
        (None, None, None) => departed(&sample),
        (Some(name), Some(kind), Some(values)) => {
            Records::from([(key(name, kind), values.iter().cloned().collect())])
        }
        (Some(name), Some(kind), None) => {
            let key = key(name, kind);
            let mut departed = departed(&sample);
            departed.retain(|departing, _| *departing == key);
            departed
        }
        _ => {
            let words = "name and type belong together, and values to them";
            return Err(Refusal::Invalid(words.to_owned()));
        }
    };
    if records.is_empty() {
        return Err(Refusal::Invalid(format!(
            "nothing of `{}` departs from its baseline; name a record and its values to accept others",
            new.target
        )));
    }
    let mut kept = memory(ledger, &new.target, ProbeKind::Dns)?;
    for (key, values) in &records {
        if let Some((name, kind)) = key.split_once(' ') {
            kept = Some(dns::accept(kept.as_ref(), name, kind, values));
        }
    }
    let kept = kept.ok_or_else(|| Refusal::Failed("nothing is remembered".to_owned()))?;
    let before = ledger.baseline(&new.target, ProbeKind::Dns, None).map_err(failed)?;
    let before =
        before.and_then(|event| serde_json::from_value(event["value"]["records"].clone()).ok());
    let mut all: Records = before.unwrap_or_default();
    all.extend(records.clone());
    Ok(Accepted {
        records,
        all,
        memory: ledger::Memory { version: kept.version, bytes: kept.bytes },
    })
}

fn key(name: &str, kind: &str) -> String {
    format!("{} {}", name.trim_end_matches('.').to_ascii_lowercase(), kind.to_ascii_uppercase())
}

/// What each departing record showed. Of one that only grew the known values stay, for a pool shows
/// another part of itself each time; else what was shown is the whole set.
fn departed(sample: &Value) -> Records {
    let mut records = Records::new();
    let mut kinds: BTreeMap<String, bool> = BTreeMap::new();
    for item in sample["drift"].as_array().into_iter().flatten() {
        let (Some(name), Some(kind)) = (item["name"].as_str(), item["type"].as_str()) else {
            continue;
        };
        // A pin, by an operator of its own, is changed in the config.
        let Some(known) = item["expected"].as_array() else { continue };
        let answers = sample["records"][name][kind].as_object();
        let shown: Vec<BTreeSet<String>> =
            answers.into_iter().flatten().filter_map(|(_, answer)| values(answer)).collect();
        if shown.is_empty() {
            continue;
        }
        let key = format!("{name} {kind}");
        let set = records.entry(key.clone()).or_default();
        set.extend(shown.into_iter().flatten());
        let grew = item["kind"] == "added" && kinds.get(&key).copied().unwrap_or(true);
        kinds.insert(key, grew);
        if grew {
            set.extend(known.iter().filter_map(Value::as_str).map(str::to_owned));
        } else {
            set.retain(|value| {
                answers.is_some_and(|all| {
                    all.values().filter_map(values).any(|shown| shown.contains(value))
                })
            });
        }
    }
    records
}

/// The set that an answer gives; an error gives none.
fn values(answer: &Value) -> Option<BTreeSet<String>> {
    match answer {
        Value::Array(values) => {
            Some(values.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        }
        Value::String(word) if word == "nodata" || word == "nxdomain" => Some(BTreeSet::new()),
        _ => None,
    }
}

/// The measurements of the latest sample that has any.
pub(super) fn latest(
    ledger: &Ledger,
    target: &str,
    probe: ProbeKind,
) -> Result<Option<Value>, Refusal> {
    let samples = ledger.samples(target, Some(probe), None, LOOKED_AT).map_err(failed)?;
    let mut measured = samples.into_iter().map(|mut row| row.sample["measurements"].take());
    let told = |sample: &Value| sample["records"].is_object() || sample["addresses"].is_array();
    Ok(measured.find(told))
}

pub(super) fn memory(
    ledger: &Ledger,
    target: &str,
    probe: ProbeKind,
) -> Result<Option<Memory>, Refusal> {
    let point = PointKey::new(target, probe, None);
    let memory = ledger.memory(point).map_err(failed)?;
    Ok(memory.map(|memory| Memory { version: memory.version, bytes: memory.bytes }))
}

/// Samples looked through for one that measured something.
const LOOKED_AT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(kind: &str, expected: Value, servers: Value) -> Value {
        json!({
            "records": {"a.test": {"A": servers}},
            "drift": [{"name": "a.test", "type": "A", "server": "192.0.2.1", "kind": kind, "expected": expected}],
        })
    }

    fn accepted(sample: &Value) -> Vec<String> {
        departed(sample).remove("a.test A").into_iter().flatten().collect()
    }

    #[test]
    fn a_pool_that_grew_keeps_what_it_had() {
        let grown = sample("added", json!(["1", "2"]), json!({"s": ["2", "3"]}));
        assert_eq!(accepted(&grown), ["1", "2", "3"]);
        let replaced =
            sample("changed", json!(["1", "2"]), json!({"s": ["3"], "t": "error:timeout"}));
        assert_eq!(accepted(&replaced), ["3"]);
    }

    #[test]
    fn a_record_that_is_gone_is_accepted_as_absent_and_an_error_never_is() {
        let gone = sample("removed", json!(["1"]), json!({"s": "nxdomain"}));
        assert_eq!(departed(&gone).get("a.test A"), Some(&BTreeSet::new()));
        let broken = sample("removed", json!(["1"]), json!({"s": "error:servfail"}));
        assert!(departed(&broken).is_empty());
    }

    #[test]
    fn two_servers_that_differ_are_accepted_together() {
        let mut both = sample("added", json!(["1"]), json!({"s": ["1", "3"], "t": ["4"]}));
        let other = json!({"name": "a.test", "type": "A", "server": "192.0.2.2", "kind": "changed", "expected": ["1"]});
        both["drift"].as_array_mut().expect("items").push(other);
        assert_eq!(accepted(&both), ["1", "3", "4"]);
    }
}
