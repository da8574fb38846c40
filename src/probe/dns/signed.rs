//! What a signed zone shows of its signatures and of its keys at the parent, as measurements.

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::dnssec::{self, Dnskey, Ds};
use super::zone::Authorities;
use crate::sample::{Measurements, Path, Reason};

/// Writes `dnssec`, `nsec3`, `ds`, `cds` and `cdnskey`.
pub(super) fn write(facts: &mut Measurements, zone: &Authorities, now: DateTime<Utc>) {
    let date = |date: DateTime<Utc>| date.to_rfc3339_opts(SecondsFormat::Secs, true);
    let (mut servers, mut nsec3) = (Map::new(), Map::new());
    for survey in &zone.surveys {
        let key = survey.address().to_string();
        if let Err(why) = &survey.keys {
            for fact in ["dnssec", "nsec3"] {
                facts.set_unknown(Path::of(fact).join(&key).to_string(), why.clone());
            }
            servers.insert(key.clone(), Value::Null);
            nsec3.insert(key, Value::Null);
            continue;
        }
        let found = dnssec::judge(&zone.name, &zone.delegation, &survey.proofs, now);
        let value = json!({
            "state": found.security.as_str(), "reason": found.why.as_str(),
            "failing": found.failing,
            "expires": found.expires.map(date), "valid_from": found.begins.map(date),
        });
        if found.expires.is_none() {
            // Nothing is signed: there is no end to be near.
            let path = Path::of("dnssec").join(&key);
            facts.set_unknown(path.clone().join("expires").to_string(), Reason::NotApplicable);
            facts.set_unknown(path.join("valid_from").to_string(), Reason::NotApplicable);
        }
        if let Some((iterations, salt)) = dnssec::nsec3(&zone.name, &survey.proofs) {
            nsec3.insert(key.clone(), json!({ "iterations": iterations, "salt": salt }));
        }
        servers.insert(key, value);
    }
    facts.set("dnssec", servers);
    facts.set("nsec3", nsec3);
    write_digests(facts, zone);
}

/// Writes `ds` and `cds`, each digest against what the zone's servers give.
fn write_digests(facts: &mut Measurements, zone: &Authorities) {
    let answered = || zone.surveys.iter().filter(|survey| survey.keys.is_ok());
    let keys: BTreeSet<&Dnskey> =
        answered().flat_map(|survey| survey.keys.iter().flatten()).collect();
    let named = |ds: &Ds| {
        let matches: Vec<bool> = keys.iter().filter_map(|key| ds.names(&zone.name, key)).collect();
        (!matches.is_empty() || keys.is_empty()).then(|| matches.contains(&true))
    };
    let none_answered = answered().next().is_none();
    match &zone.ds {
        Some(set) => {
            let items: Vec<Value> = set
                .iter()
                .map(|ds| {
                    let (key_tag, algorithm, digest_type) = ds.shown();
                    let matches = named(ds).filter(|_| !none_answered);
                    json!({ "key_tag": key_tag, "algorithm": algorithm,
                            "digest_type": digest_type, "matches": matches })
                })
                .collect();
            for (at, _) in items.iter().enumerate().filter(|(_, item)| item["matches"].is_null()) {
                facts.set_unknown(format!("ds[{at}].matches"), Reason::NotObserved);
            }
            facts.set("ds", items);
        }
        None if zone.is_root() => facts.set_unknown("ds", Reason::NotApplicable),
        // A name without a zone of its own was not asked for.
        None if none_answered => facts.set_unknown("ds", Reason::NotObserved),
        None => facts.set_unknown("ds", Reason::DnsError),
    }
    if none_answered {
        facts.set_unknown("cdnskey", Reason::NotObserved);
        return facts.set_unknown("cds", Reason::NotObserved);
    }
    facts.set("cdnskey", cdnskey(zone, &keys));
    let wanted: BTreeSet<Ds> =
        answered().flat_map(|survey| dnssec::child_ds(&zone.name, &survey.proofs)).collect();
    let items: Vec<Value> = wanted
        .iter()
        .map(|ds| {
            let (key_tag, algorithm, digest_type) = ds.shown();
            let in_ds = zone.ds.as_ref().map(|set| set.contains(ds));
            json!({ "key_tag": key_tag, "algorithm": algorithm, "digest_type": digest_type,
                    "in_ds": in_ds, "in_dnskey": named(ds) })
        })
        .collect();
    facts.set("cds", items);
}

/// What the zone asks the parent to have, as keys, each held against what parent and zone have.
fn cdnskey(zone: &Authorities, keys: &BTreeSet<&Dnskey>) -> Vec<Value> {
    let surveys = zone.surveys.iter().filter(|survey| survey.keys.is_ok());
    let wanted: BTreeSet<Dnskey> =
        surveys.flat_map(|survey| dnssec::child_keys(&zone.name, &survey.proofs)).collect();
    let in_ds = |key: &Dnskey| {
        let set = zone.ds.as_ref()?;
        Some(set.iter().any(|ds| ds.names(&zone.name, key) == Some(true)))
    };
    wanted
        .iter()
        .map(|key| {
            let (key_tag, algorithm) = key.shown();
            json!({ "key_tag": key_tag, "algorithm": algorithm, "in_ds": in_ds(key),
                    "in_dnskey": keys.contains(key) })
        })
        .collect()
}
