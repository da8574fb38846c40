//! What the authorities showed, as the measurements of CONTRACT §dns.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::abilities::Abilities;
use super::answer::{Answer, Seen};
use super::drift::{Records, Told};
use super::signed;
use super::survey::Survey;
use super::zone::Authorities;
use crate::sample::{Measurements, Path, Reason, Unknown};

/// Collects records of every zone asked.
pub(super) fn records(zones: &[Authorities]) -> Records {
    let mut records = Records::new();
    for survey in zones.iter().flat_map(|zone| &zone.surveys) {
        let server = survey.address().to_string();
        for ((name, kind, subnet), (seen, ttl)) in &survey.records {
            let told = Told { seen: seen.clone(), ttl: *ttl };
            let types = records.entry(name.clone()).or_default();
            let key = match subnet {
                Some(net) => format!("{server}{BY_SUBNET}{net}"),
                None => server.clone(),
            };
            types.entry(kind.clone()).or_default().insert(key, told);
        }
    }
    records
}

/// Writes `records`, `ttl` and `disagreement`.
pub(super) fn write_records(facts: &mut Measurements, records: &Records, zones: &[Authorities]) {
    let (mut values, mut ttls) = (Map::new(), Map::new());
    for (name, types) in records {
        for (kind, servers) in types {
            for (server, told) in servers {
                let value = told.seen.as_ref().map_or(Value::Null, |answer| json!(answer));
                put(&mut values, [name, kind, server], value);
                if let Some(ttl) = told.ttl {
                    put(&mut ttls, [name, kind, server], json!(ttl));
                }
                if let Err(why) = &told.seen {
                    let path = Path::of("records").join(name).join(kind).join(server);
                    facts.set_unknown(path.to_string(), why.clone());
                }
            }
        }
    }
    facts.set("records", values);
    facts.set("ttl", ttls);
    facts.set("disagreement", disagreement(records, zones));
}

/// Writes what the home zone's servers showed of themselves and of it.
pub(super) fn write_zone(facts: &mut Measurements, zone: &Authorities, now: DateTime<Utc>) {
    write_delegation(facts, zone);
    write_soa(facts, zone);
    signed::write(facts, zone, now);
    let (mut servers, mut recursion, mut transfer) = (Map::new(), Map::new(), Map::new());
    let mut wildcard = Map::new();
    for survey in &zone.surveys {
        let key = survey.address().to_string();
        servers.insert(key.clone(), abilities(facts, &key, &survey.abilities));
        each(facts, &mut recursion, "recursion", &key, survey.recursion.clone());
        each(facts, &mut transfer, "transfer", &key, survey.transfer.clone());
        each(facts, &mut wildcard, "wildcard", &key, survey.wildcard.clone().map(|one| json!(one)));
    }
    facts.set("servers", servers);
    facts.set("recursion", recursion);
    facts.set("transfer", transfer);
    facts.set("wildcard", wildcard);
}

/// A server's abilities; what its answers did not show is null.
pub(super) fn abilities(facts: &mut Measurements, server: &str, shown: &Abilities) -> Value {
    let value = json!({
        "edns": shown.edns,
        "tcp": shown.tcp,
        "keeps_case": shown.keeps_case,
        "latency_seconds": shown.latency.map(|latency| latency.as_secs_f64()),
        "version": shown.version,
    });
    for (ability, _) in value.as_object().into_iter().flatten().filter(|(_, v)| v.is_null()) {
        let path = Path::of("servers").join(server).join(ability);
        facts.set_unknown(path.to_string(), Reason::NotObserved);
    }
    value
}

fn write_delegation(facts: &mut Measurements, zone: &Authorities) {
    let (mut child, mut servers) = (Map::new(), Map::new());
    for survey in &zone.surveys {
        let key = survey.address().to_string();
        let at = |field: &str| Path::of("delegation").join(field).join(&key).to_string();
        if let Ok(Answer::Set(ns)) = &survey.ns {
            child.insert(key.clone(), json!(ns));
        } else {
            child.insert(key.clone(), Value::Null);
            facts.set_unknown(at("child"), reason(&survey.ns));
        }
        let state = match &survey.unasked {
            Some(why) => {
                facts.set_unknown(at("servers"), why.clone());
                Value::Null
            }
            None => {
                let mut state = json!({ "name": survey.server.name, "state": survey.state() });
                if let Some(fault) = survey.fault {
                    state["reason"] = json!(fault.as_str());
                }
                state
            }
        };
        servers.insert(key, state);
    }
    let says = zone.child_names();
    let parent = zone.parent_names();
    let mut delegation = json!({
        "parent": parent, "child": child, "servers": servers, "names": zone.names,
    });
    delegation["glue"] = json!(zone.glue);
    let networks: BTreeSet<IpNet> =
        zone.surveys.iter().filter_map(|survey| network(survey.address())).collect();
    delegation["networks"] = json!(networks.len());
    match (&parent, &says) {
        (Some(parent), Some(child)) => {
            let only = |these: &BTreeSet<String>, those: &BTreeSet<String>, on: &str| {
                these.difference(those).map(|ns| json!({ "ns": ns, "on": on })).collect::<Vec<_>>()
            };
            let mut mismatch = only(parent, child, "parent");
            mismatch.extend(only(child, parent, "child"));
            delegation["mismatch"] = json!(mismatch);
        }
        _ => {
            delegation["mismatch"] = Value::Null;
            facts.set_unknown("delegation.mismatch", Reason::NotObserved);
        }
    }
    delegation["count"] = json!(says.as_ref().or(parent.as_ref()).map(BTreeSet::len));
    if delegation["count"].is_null() {
        facts.set_unknown("delegation.count", Reason::NotObserved);
    }
    delegation["parent_by"] = json!(parent.as_ref().map(|_| zone.parent_by()));
    if parent.is_none() {
        let why = if zone.is_root() { Reason::NotApplicable } else { Reason::NotObserved };
        facts.set_unknown("delegation.parent", why);
        facts.set_unknown("delegation.parent_by", why);
    }
    for (ns, why) in &zone.unresolved {
        facts.set_unknown(Path::of("delegation").join("names").join(ns).to_string(), why.clone());
    }
    facts.set("delegation", delegation);
}

fn write_soa(facts: &mut Measurements, zone: &Authorities) {
    let mut soa = Map::new();
    for survey in &zone.surveys {
        let key = survey.address().to_string();
        match &survey.soa {
            Some(one) => {
                let value = json!({
                    "serial": one.serial, "refresh": one.refresh.cast_unsigned(),
                    "retry": one.retry.cast_unsigned(), "expire": one.expire.cast_unsigned(),
                    "minimum": one.minimum,
                });
                soa.insert(key, value);
            }
            None => {
                let path = Path::of("soa").join(&key).to_string();
                facts.set_unknown(path, survey.why());
                soa.insert(key, Value::Null);
            }
        }
    }
    let serials: BTreeSet<u32> =
        zone.surveys.iter().filter_map(|survey| Some(survey.soa.as_ref()?.serial)).collect();
    if serials.is_empty() {
        facts.set_unknown("serials", Reason::NotObserved);
    } else {
        facts.set("serials", serials.len());
    }
    facts.set("soa", soa);
}

/// The smallest network that is routed apart.
fn network(address: IpAddr) -> Option<IpNet> {
    let length = if address.is_ipv4() { 24 } else { 48 };
    Some(IpNet::new(address, length).ok()?.trunc())
}

/// Records that authorities answer differently, errors apart.
fn disagreement(records: &Records, zones: &[Authorities]) -> Vec<Value> {
    let serials: BTreeMap<String, u32> = zones
        .iter()
        .flat_map(|zone| &zone.surveys)
        .filter_map(|survey| Some((survey.address().to_string(), survey.soa.as_ref()?.serial)))
        .collect();
    let mut items = Vec::new();
    for (name, types) in records {
        for (kind, servers) in types {
            let sets: BTreeMap<&String, &Answer> = servers
                .iter()
                // What differs by network is meant to.
                .filter(|(server, _)| !server.contains(BY_SUBNET))
                .filter_map(|(server, told)| Some((server, told.seen.as_ref().ok()?)))
                .filter(|(_, answer)| answer.values().is_some())
                .collect();
            let Some(first) = sets.values().next() else { continue };
            if sets.values().all(|answer| answer == first) {
                continue;
            }
            let mut item = json!({ "name": name, "type": kind, "sets": sets });
            if let Some(same) = same_serial(&sets, &serials) {
                item["same_serial"] = json!(same);
            }
            items.push(item);
        }
    }
    items
}

/// Whether two servers that differ show one serial; `None` where a serial is missing to tell.
fn same_serial(sets: &BTreeMap<&String, &Answer>, serials: &BTreeMap<String, u32>) -> Option<bool> {
    let mut all_known = true;
    for (one, answer) in sets {
        for (other, differs) in sets {
            match (serials.get(*one), serials.get(*other)) {
                (Some(a), Some(b)) if a == b && answer != differs => return Some(true),
                (Some(_), Some(_)) => {}
                _ => all_known = false,
            }
        }
    }
    all_known.then_some(false)
}

/// Sets one server's entry of a map, or names it as unknown.
fn each<T: Into<Value>>(
    facts: &mut Measurements,
    map: &mut Map<String, Value>,
    fact: &str,
    server: &str,
    value: Result<T, Unknown>,
) {
    let value = match value {
        Ok(value) => value.into(),
        Err(why) => {
            facts.set_unknown(Path::of(fact).join(server).to_string(), why);
            Value::Null
        }
    };
    map.insert(server.to_owned(), value);
}

fn put(map: &mut Map<String, Value>, [name, kind, server]: [&String; 3], value: Value) {
    map.entry(name.clone()).or_insert_with(|| json!({}))[kind][server] = value;
}

fn reason(seen: &Seen) -> Unknown {
    match seen {
        Ok(Answer::Error(fault)) => fault.unknown(),
        Ok(_) => Unknown::new(Reason::DnsError, "no NS set"),
        Err(unknown) => unknown.clone(),
    }
}

impl Survey {
    /// Why what it should have given is not known.
    fn why(&self) -> Unknown {
        match (&self.unasked, self.fault) {
            (Some(unknown), _) => unknown.clone(),
            (None, Some(fault)) => fault.unknown(),
            (None, None) => Reason::NotObserved.into(),
        }
    }
}

/// Between a server and the client subnet that it was asked for.
pub(super) const BY_SUBNET: &str = "/ecs=";
