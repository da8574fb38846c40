//! The accepted baseline of a target's ports: what was open when a person said that it may be. Nothing
//! is learnt without one; a port that was merely seen open counts for nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::baseline::{Accepted, latest, memory};
use super::commands::failed;
use crate::ledger::{self, Ledger};
use crate::probe::ports;
use crate::target::ProbeKind;
use crate::web::{NewBaseline, Refusal};

/// By address, ports such as `22/tcp`.
type Open = BTreeMap<String, BTreeSet<String>>;

/// What was accepted, what departs from it now, and what accepting would bring; `None` where no
/// sample has measured anything.
pub(super) fn show(ledger: &Ledger, target: &str) -> Result<Option<Value>, Refusal> {
    let event = ledger.baseline(target, ProbeKind::Ports, None).map_err(failed)?;
    let sample = latest(ledger, target, ProbeKind::Ports)?;
    if event.is_none() && sample.is_none() {
        return Ok(None);
    }
    let sample = sample.unwrap_or_default();
    let accepted = records(event.as_ref());
    let departures = ["unexpected", "missing"].into_iter().flat_map(|kind| {
        let items = sample[kind].as_array().into_iter().flatten();
        items.filter(|item| item["expected_by"] == "baseline").map(move |item| {
            let mut item = item.clone();
            item["kind"] = json!(kind);
            item
        })
    });
    let departures: Vec<Value> = departures.collect();
    let mut pending = open(&sample, &accepted);
    for (address, ports) in &mut pending {
        ports.retain(|port| !accepted.get(address).is_some_and(|known| known.contains(port)));
    }
    pending.retain(|_, ports| !ports.is_empty());
    Ok(Some(json!({
        "target": target,
        "probe": ProbeKind::Ports,
        "accepted": event,
        "departures": departures,
        "pending": pending,
    })))
}

/// Works out the memory in which the open ports of the last sample are accepted; or, of the address
/// that is named, the ports that are.
pub(super) fn accept(ledger: &Ledger, new: &NewBaseline) -> Result<Accepted, Refusal> {
    let before = ledger.baseline(&new.target, ProbeKind::Ports, None).map_err(failed)?;
    let before = records(before.as_ref());
    let (records, all) = match (&new.name, &new.kind, &new.values) {
        (None, None, None) => {
            let sample = latest(ledger, &new.target, ProbeKind::Ports)?.ok_or_else(|| {
                let target = &new.target;
                Refusal::NotFound(format!(
                    "no ports sample of `{target}` has measured anything yet"
                ))
            })?;
            let open = open(&sample, &before);
            (open.clone(), open)
        }
        (Some(address), None, Some(ports)) => {
            let named = Open::from([(address.clone(), ports.iter().cloned().collect())]);
            let mut all = before;
            all.extend(named.clone());
            (named, all)
        }
        _ => {
            let words = "of ports, a name is an address and has values, and there is no type";
            return Err(Refusal::Invalid(words.to_owned()));
        }
    };
    let kept = memory(ledger, &new.target, ProbeKind::Ports)?;
    let kept =
        ports::accept(kept.as_ref(), &all).map_err(|error| Refusal::Invalid(error.to_string()))?;
    let memory = ledger::Memory { version: kept.version, bytes: kept.bytes };
    Ok(Accepted { records, all, memory })
}

/// The records of the event that accepted them.
fn records(event: Option<&Value>) -> Open {
    event
        .and_then(|event| serde_json::from_value(event["value"]["records"].clone()).ok())
        .unwrap_or_default()
}

/// The open ports that a sample showed of each address. Where not every port could be looked at, what
/// was accepted before stays accepted, but for what is missing.
fn open(sample: &Value, before: &Open) -> Open {
    let is_missing = |address: &str, port: &str| {
        let mut missing = sample["missing"].as_array().into_iter().flatten();
        missing.any(|item| item["address"] == address && item["port"] == port)
    };
    let mut all = Open::new();
    for item in sample["addresses"].as_array().into_iter().flatten() {
        let Some(address) = item["address"].as_str() else { continue };
        let ports = item["open"].as_array().into_iter().flatten().filter_map(|port| {
            Some(format!("{}/{}", port["port"].as_u64()?, port["transport"].as_str()?))
        });
        let mut ports: BTreeSet<String> = ports.collect();
        let is_whole = sample["unknown"][format!("addresses[{address}].open")].is_null();
        match (is_whole, before.get(address)) {
            (false, Some(known)) => {
                ports.extend(known.iter().filter(|port| !is_missing(address, port)).cloned());
            }
            // Of an address that told nothing, nothing is accepted: not even that it is closed.
            (false, None) if ports.is_empty() => continue,
            _ => {}
        }
        all.insert(address.to_owned(), ports);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records<const N: usize>(items: [(&str, &[&str]); N]) -> Open {
        let set = |ports: &[&str]| ports.iter().map(|port| (*port).to_owned()).collect();
        items.into_iter().map(|(address, ports)| (address.to_owned(), set(ports))).collect()
    }

    #[test]
    fn what_could_not_be_looked_at_stays_as_it_was_accepted() {
        let port = |number: u16| json!({"port": number, "transport": "tcp"});
        let sample = json!({
            "addresses": [
                {"address": "192.0.2.1", "open": [port(22)]},
                {"address": "192.0.2.2", "open": [port(22)]},
                {"address": "192.0.2.3", "open": []},
                {"address": "192.0.2.4", "open": []},
            ],
            "missing": [{"address": "192.0.2.2", "port": "21/tcp"}],
            "unknown": {
                "addresses[192.0.2.2].open": "local_error",
                "addresses[192.0.2.3].open": "host_down",
            },
        });
        let before = records([("192.0.2.1", &["80/tcp"]), ("192.0.2.2", &["21/tcp", "80/tcp"])]);
        let expected = records([
            ("192.0.2.1", &["22/tcp"]),
            ("192.0.2.2", &["22/tcp", "80/tcp"]),
            ("192.0.2.4", &[]),
        ]);
        assert_eq!(open(&sample, &before), expected);
    }
}
