//! One set against what is expected of it: its pin's operators, or the learnt set. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hickory_proto::rr::RecordType;
use serde_json::{Value, json};

use super::memory::{self, Learnt};
use super::{answer, rdata};
use crate::target::{AsnTable, Expectation, parse_asn};

/// One server's set of a name and type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set<'a> {
    /// The type.
    pub(super) kind: &'a str,
    /// The values.
    pub(super) values: &'a BTreeSet<String>,
    /// Their TTL.
    pub(super) ttl: Option<u32>,
    /// The alias that the server gives for the name.
    pub(super) alias: Option<&'a BTreeSet<String>>,
}

/// One way in which a set departs from what is expected.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Departure {
    /// added, removed or changed.
    pub(super) kind: &'static str,
    /// What was expected.
    pub(super) expected: Value,
    /// Addresses that are others' with the systems that originate them, where the pin is by those.
    pub(super) asn: Option<Value>,
}

impl Set<'_> {
    /// Holds it against its pin: the first operator that it breaks, then count and TTL.
    pub(super) fn held(&self, pin: &Expectation, asn: Option<&AsnTable>) -> Option<Departure> {
        let record_type = answer::record_type(self.kind).unwrap_or(RecordType::ZERO);
        let normal = |values: &Vec<String>| -> BTreeSet<String> {
            values.iter().map(|value| rdata::normal(record_type, value)).collect()
        };
        let (none, seen) = (BTreeSet::new(), self.values);
        if let Some(exact) = pin.exact.as_ref().map(normal)
            && let Some(kind) = departs(&exact, &exact, seen)
        {
            return depart(kind, json!(exact));
        }
        if let Some(must) = pin.contains.as_ref().map(normal)
            && !must.is_subset(seen)
        {
            return depart("removed", json!(must));
        }
        if let Some(within) = pin.within.as_ref().map(normal)
            && let Some(kind) = departs(&none, &within, seen).or_else(|| vanished(seen))
        {
            return depart(kind, json!(within));
        }
        if let Some(departure) = self.by_address(pin, asn) {
            return Some(departure);
        }
        if let Some(suffixes) = &pin.cname_suffix {
            let of_alias = record_type == RecordType::CNAME;
            let targets = if of_alias { Some(seen) } else { self.alias };
            let lies = |target: &String| suffixes.iter().any(|suffix| is_below(target, suffix));
            let kind = match targets {
                Some(targets) if targets.is_empty() => Some("removed"),
                Some(targets) if !targets.iter().all(lies) => Some("changed"),
                _ => None,
            };
            if let Some(kind) = kind {
                return depart(kind, json!(suffixes));
            }
        }
        match pin.absent {
            Some(true) if !seen.is_empty() => return depart("added", json!("absent")),
            Some(false) if seen.is_empty() => return depart("removed", json!("present")),
            _ => {}
        }
        self.bounds(pin)
    }

    /// Where each address lies, and whose it is.
    fn by_address(&self, pin: &Expectation, asn: Option<&AsnTable>) -> Option<Departure> {
        let seen = self.values;
        if let Some(prefixes) = &pin.prefix {
            let lies = |value: &String| {
                value
                    .parse::<IpAddr>()
                    .is_ok_and(|address| prefixes.iter().any(|net| net.contains(&address)))
            };
            let outside = !seen.iter().all(lies);
            if let Some(kind) = outside.then_some("added").or_else(|| vanished(seen)) {
                return depart(kind, json!(prefixes));
            }
        }
        // Without a file the pin is unknown, not broken.
        let (numbers, asn) = (pin.asn.as_ref()?, asn?);
        let numbers: BTreeSet<u32> = numbers.iter().filter_map(|text| parse_asn(text)).collect();
        let mut others = serde_json::Map::new();
        for value in seen {
            let origins = value.parse::<IpAddr>().map_or(&[][..], |address| asn.of(address));
            if !origins.iter().any(|origin| numbers.contains(origin)) {
                others.insert(value.clone(), json!(origins));
            }
        }
        let kind = (!others.is_empty()).then_some("added").or_else(|| vanished(seen))?;
        let others = (!others.is_empty()).then_some(Value::Object(others));
        Some(Departure { kind, expected: json!(numbers), asn: others })
    }

    fn bounds(&self, pin: &Expectation) -> Option<Departure> {
        let count = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        match pin.count {
            Some(wanted) if count < wanted => {
                return depart("removed", json!(format!("count {wanted}")));
            }
            Some(wanted) if count > wanted => {
                return depart("added", json!(format!("count {wanted}")));
            }
            _ => {}
        }
        let ttl = self.ttl?;
        match (pin.ttl_min, pin.ttl_max) {
            (Some(min), _) if ttl < min => depart("changed", json!(format!("ttl at least {min}"))),
            (_, Some(max)) if ttl > max => depart("changed", json!(format!("ttl at most {max}"))),
            _ => None,
        }
    }

    /// Holds it against the set that was learnt.
    pub(super) fn as_learnt(&self, learnt: &Learnt) -> Option<Departure> {
        let values = memory::shortened(self.values.clone());
        let steady = learnt.steady().cloned().collect();
        let known: BTreeSet<String> = learnt.values.keys().cloned().collect();
        depart(departs(&steady, &known, &values)?, json!(known))
    }
}

fn depart(kind: &'static str, expected: Value) -> Option<Departure> {
    Some(Departure { kind, expected, asn: None })
}

/// How `seen` departs from sets that must be there and that may be.
fn departs(
    must: &BTreeSet<String>,
    may: &BTreeSet<String>,
    seen: &BTreeSet<String>,
) -> Option<&'static str> {
    match (seen.is_subset(may), must.is_subset(seen)) {
        (true, true) => None,
        (false, true) => Some("added"),
        (true, false) => Some("removed"),
        (false, false) => Some("changed"),
    }
}

/// A pin that names what may be there says that something is.
fn vanished(seen: &BTreeSet<String>) -> Option<&'static str> {
    seen.is_empty().then_some("removed")
}

fn is_below(name: &str, suffix: &str) -> bool {
    let suffix = suffix.trim_matches('.').to_ascii_lowercase();
    name == suffix || name.strip_suffix(&suffix).is_some_and(|rest| rest.ends_with('.'))
}
