//! Drift: what authorities gave against what was pinned, or learnt where nothing is. Pure; sets
//! against sets; errors never compare.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use chrono::NaiveDate;
use hickory_proto::rr::RecordType;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::answer::{self, Answer, Seen};
use super::facts::BY_SUBNET;
use super::memory::{self, Baseline};
use super::{rdata, text};
use crate::sample::Unknown;
use crate::target::{Expectation, Pins};

/// Name → type → server → what it gave, with the TTL.
pub(super) type Records = BTreeMap<String, BTreeMap<String, BTreeMap<String, Told>>>;

/// One server's answer.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// The answer, or why it was not asked.
    pub(super) seen: Seen,
    /// Its TTL.
    pub(super) ttl: Option<u32>,
}

/// Departures, and what could not be held against its expectation.
#[derive(Debug, Default)]
pub(super) struct Drift {
    /// Items of CONTRACT §dns.
    pub(super) items: Vec<Value>,
    /// `NAME TYPE` with the reason.
    pub(super) unknown: BTreeMap<String, Unknown>,
}

/// One way in which a set departs from what is expected.
#[derive(Clone, Debug, PartialEq)]
struct Departure {
    kind: &'static str,
    expected: Value,
}

/// Holds every record against its pin, or against the baseline where none holds today.
pub(super) fn judge(
    records: &Records,
    pins: &Pins,
    baseline: &Baseline,
    today: NaiveDate,
) -> Drift {
    let mut drift = Drift::default();
    for (name, types) in records {
        for (kind, servers) in types {
            let key = format!("{name} {kind}");
            let pin = pinned(pins, name, kind).filter(|pin| pin.until.is_none_or(|u| today <= u));
            let learnt = baseline.frozen(&key);
            if pin.is_none() && learnt.is_none() {
                continue;
            }
            for (server, told) in servers {
                let values = match &told.seen {
                    Ok(Answer::Error(fault)) => {
                        drift.unknown.insert(key.clone(), fault.unknown());
                        continue;
                    }
                    Err(unknown) => {
                        drift.unknown.insert(key.clone(), unknown.clone());
                        continue;
                    }
                    Ok(answer) => answer.values().unwrap_or_default(),
                };
                let departure = match (pin, learnt) {
                    (Some(pin), _) => {
                        let alias = alias_at(types, server);
                        of_server(pin, server)
                            .and_then(|pin| held(pin, kind, &values, told.ttl, alias.as_ref()))
                    }
                    (None, Some(learnt)) => {
                        let values = memory::shortened(values);
                        let steady = learnt.steady().cloned().collect();
                        let known: BTreeSet<String> = learnt.values.keys().cloned().collect();
                        departs(&steady, &known, &values)
                            .map(|kind| Departure { kind, expected: json!(known) })
                    }
                    (None, None) => None,
                };
                if let Some(Departure { kind: change, expected }) = departure {
                    let seen = match &told.ttl {
                        Some(ttl) if expected.is_string() && told_of_ttl(&expected) => {
                            json!(format!("ttl {ttl}"))
                        }
                        _ => told.seen.as_ref().map_or(Value::Null, |answer| json!(answer)),
                    };
                    let mut item = json!({
                        "name": name, "type": kind, "server": server,
                        "kind": change, "expected": expected, "seen": seen,
                    });
                    if let Some(alias) = alias_at(types, server).filter(|alias| !alias.is_empty()) {
                        // Whoever has the end of the alias made the change.
                        item["alias"] = json!(alias);
                    }
                    let words = pin.map(|pin| [("reason", &pin.reason), ("owner", &pin.owner)]);
                    for (field, word) in words.into_iter().flatten() {
                        if let Some(word) = word {
                            item[field] = json!(word);
                        }
                    }
                    drift.items.push(item);
                }
            }
        }
    }
    drift
}

/// The pin of a name and type.
pub(super) fn pinned<'a>(pins: &'a Pins, name: &str, kind: &str) -> Option<&'a Expectation> {
    pins.0
        .iter()
        .filter(|(pinned, _)| text::name(pinned).is_some_and(|n| text::of_name(&n) == name))
        .flat_map(|(_, types)| types)
        .find(|(pinned, _)| {
            answer::record_type(pinned.as_str()).map(answer::type_word).as_deref() == Some(kind)
        })
        .map(|(_, expectation)| expectation)
}

/// The part of a pin that speaks of this server, or of the network that it was asked for.
fn of_server<'a>(pin: &'a Expectation, server: &str) -> Option<&'a Expectation> {
    let Some((_, net)) = server.split_once(BY_SUBNET) else { return Some(pin) };
    let is_it = |written: &str| written.parse::<IpNet>().is_ok_and(|one| one.to_string() == net);
    pin.subnets.iter().find(|(written, _)| is_it(written)).map(|(_, pin)| pin)
}

/// Holds one set against its pin: the first operator that it breaks, then count and TTL.
fn held(
    pin: &Expectation,
    kind: &str,
    seen: &BTreeSet<String>,
    ttl: Option<u32>,
    alias: Option<&BTreeSet<String>>,
) -> Option<Departure> {
    let record_type = answer::record_type(kind).unwrap_or(RecordType::ZERO);
    let normal = |values: &Vec<String>| -> BTreeSet<String> {
        values.iter().map(|value| rdata::normal(record_type, value)).collect()
    };
    let none = BTreeSet::new();
    let depart = |kind, expected| Some(Departure { kind, expected });
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
    if let Some(prefixes) = &pin.prefix {
        let outside = seen.iter().any(|value| {
            !value
                .parse::<IpAddr>()
                .is_ok_and(|address| prefixes.iter().any(|net| net.contains(&address)))
        });
        if let Some(kind) = outside.then_some("added").or_else(|| vanished(seen)) {
            return depart(kind, json!(prefixes));
        }
    }
    if let Some(suffixes) = &pin.cname_suffix {
        let targets = if record_type == RecordType::CNAME { Some(seen) } else { alias };
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
    bounds(pin, seen, ttl)
}

fn bounds(pin: &Expectation, seen: &BTreeSet<String>, ttl: Option<u32>) -> Option<Departure> {
    let departure = |kind, expected: String| Some(Departure { kind, expected: json!(expected) });
    let count = u32::try_from(seen.len()).unwrap_or(u32::MAX);
    match pin.count {
        Some(wanted) if count < wanted => return departure("removed", format!("count {wanted}")),
        Some(wanted) if count > wanted => return departure("added", format!("count {wanted}")),
        _ => {}
    }
    let ttl = ttl?;
    match (pin.ttl_min, pin.ttl_max) {
        (Some(min), _) if ttl < min => departure("changed", format!("ttl at least {min}")),
        (_, Some(max)) if ttl > max => departure("changed", format!("ttl at most {max}")),
        _ => None,
    }
}

fn told_of_ttl(expected: &Value) -> bool {
    expected.as_str().is_some_and(|text| text.starts_with("ttl "))
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

/// The alias that a server gives for the name, if it was asked for it.
fn alias_at(
    types: &BTreeMap<String, BTreeMap<String, Told>>,
    server: &str,
) -> Option<BTreeSet<String>> {
    types.get("CNAME")?.get(server)?.seen.as_ref().ok()?.values()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::dns::answer::Fault;

    fn set(values: &[&str]) -> Answer {
        Answer::Set(values.iter().map(|v| (*v).to_owned()).collect())
    }

    fn records(kind: &str, answers: &[Answer]) -> Records {
        let servers = answers.iter().enumerate().map(|(at, answer)| {
            let told = Told { seen: Ok(answer.clone()), ttl: Some(60) };
            (format!("192.0.2.{at}"), told)
        });
        let types = BTreeMap::from([(kind.to_owned(), servers.collect())]);
        BTreeMap::from([("www.example".to_owned(), types)])
    }

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 22).expect("a date")
    }

    fn against(pin: &str, kind: &str, answer: Answer) -> Drift {
        let pins = format!(r#"{{"WWW.Example.": {{"{kind}": {pin}}}}}"#);
        let pins: Pins = serde_json::from_str(&pins).expect("pins");
        judge(&records(kind, &[answer]), &pins, &Baseline::default(), today())
    }

    #[test]
    fn pins_hold_sets_to_their_operators() {
        for (pin, kind, seen, departure) in [
            (r#"{"exact": ["1.1.1.1"]}"#, "A", set(&["1.1.1.1"]), None),
            (r#"{"exact": ["1.1.1.1"]}"#, "A", set(&["1.1.1.1", "6.6.6.6"]), Some("added")),
            (r#"{"exact": ["1.1.1.1", "2.2.2.2"]}"#, "A", set(&["1.1.1.1"]), Some("removed")),
            (r#"{"exact": ["1.1.1.1"]}"#, "A", set(&["6.6.6.6"]), Some("changed")),
            (r#"{"exact": ["1.1.1.1"]}"#, "A", Answer::Nxdomain, Some("removed")),
            (r#"{"exact": "10 Mail.Example."}"#, "MX", set(&["10 mail.example"]), None),
            (r#"{"within": ["1.1.1.1", "2.2.2.2"]}"#, "A", set(&["2.2.2.2"]), None),
            (r#"{"within": ["1.1.1.1"]}"#, "A", set(&["1.1.1.1", "6.6.6.6"]), Some("added")),
            (r#"{"within": ["1.1.1.1"]}"#, "A", Answer::Nodata, Some("removed")),
            (r#"{"contains": ["1.1.1.1"]}"#, "A", set(&["1.1.1.1", "3.3.3.3"]), None),
            (r#"{"contains": ["1.1.1.1"]}"#, "A", set(&["3.3.3.3"]), Some("removed")),
            (r#"{"prefix": ["192.0.2.0/24"]}"#, "A", set(&["192.0.2.9"]), None),
            (r#"{"prefix": ["192.0.2.0/24"]}"#, "A", set(&["198.51.100.1"]), Some("added")),
            (r#"{"cname_suffix": ["cdn.test."]}"#, "CNAME", set(&["x.cdn.test"]), None),
            (r#"{"cname_suffix": "cdn.test"}"#, "CNAME", set(&["evilcdn.test"]), Some("changed")),
            (r#"{"absent": true}"#, "A", Answer::Nxdomain, None),
            (r#"{"absent": true}"#, "A", set(&["6.6.6.6"]), Some("added")),
            (r#"{"count": 2}"#, "A", set(&["1.1.1.1"]), Some("removed")),
            (r#"{"ttl_min": 300}"#, "A", set(&["1.1.1.1"]), Some("changed")),
            (r#"{"ttl_max": 60}"#, "A", set(&["1.1.1.1"]), None),
            (r#"{"agree": true}"#, "A", set(&["1.1.1.1"]), None),
            (r#"{"exact": ["1.1.1.1"], "until": "2026-11-21"}"#, "A", set(&["9.9.9.9"]), None),
            (r#"{"exact": ["1.1.1.1"], "until": "2026-11-22"}"#, "A", set(&[]), Some("removed")),
        ] {
            let drift = against(pin, kind, seen.clone());
            let kinds: Vec<_> = drift.items.iter().map(|item| item["kind"].as_str()).collect();
            assert_eq!(kinds, departure.map(Some).as_slice(), "{pin} {seen:?}");
        }
    }

    #[test]
    fn an_error_never_compares_and_is_never_in_range_either() {
        for fault in [Fault::Timeout, Fault::Servfail, Fault::Malformed, Fault::CnameLoop] {
            let drift = against(r#"{"exact": ["1.1.1.1"]}"#, "A", Answer::Error(fault));
            assert!(drift.items.is_empty());
            assert!(drift.unknown.contains_key("www.example A"), "{fault}");
        }
    }

    #[test]
    fn each_network_is_held_to_its_own_part_of_the_pin() {
        let pins = r#"{"www.example": {"A": {"exact": "1.1.1.1", "owner": "web", "reason": "geo",
            "subnets": {"192.0.2.0/24": {"exact": "2.2.2.2"}, "2001:DB8::/32": {"absent": true}}}}}"#;
        let pins: Pins = serde_json::from_str(pins).expect("pins");
        let told = |value: &str| Told { seen: Ok(set(&[value])), ttl: None };
        let mut servers = BTreeMap::from([
            ("127.0.0.1".to_owned(), told("1.1.1.1")),
            ("127.0.0.1/ecs=192.0.2.0/24".to_owned(), told("2.2.2.2")),
        ]);
        let judged = |servers: &BTreeMap<String, Told>| {
            let types = BTreeMap::from([("A".to_owned(), servers.clone())]);
            let records = BTreeMap::from([("www.example".to_owned(), types)]);
            judge(&records, &pins, &Baseline::default(), today()).items
        };
        assert!(judged(&servers).is_empty());
        servers.insert("127.0.0.1/ecs=2001:db8::/32".to_owned(), told("3.3.3.3"));
        let items = judged(&servers);
        assert_eq!(items.len(), 1);
        assert_eq!(items[0]["server"], "127.0.0.1/ecs=2001:db8::/32");
        assert_eq!((&items[0]["owner"], &items[0]["reason"]), (&json!("web"), &json!("geo")));
    }

    fn learnt<const N: usize>(samples: impl Iterator<Item = [Answer; N]>) -> Baseline {
        let mut baseline = Baseline::default();
        for answers in samples {
            baseline.learn("www.example A", &answers.iter().collect::<Vec<_>>());
        }
        assert!(baseline.frozen("www.example A").is_some());
        baseline
    }

    fn kinds(baseline: &Baseline, answers: &[Answer]) -> Vec<String> {
        let drift = judge(&records("A", answers), &Pins::default(), baseline, today());
        drift.items.iter().map(|item| item["kind"].as_str().unwrap_or("").to_owned()).collect()
    }

    #[test]
    fn a_learnt_set_shows_what_is_new_and_what_always_was_there() {
        let baseline = learnt((0..300).map(|_| [set(&["1"])]));
        assert!(kinds(&baseline, &[set(&["1"])]).is_empty());
        assert_eq!(kinds(&baseline, &[set(&["1", "6"])]), ["added"]);
        assert_eq!(kinds(&baseline, &[Answer::Nodata]), ["removed"]);
        assert_eq!(kinds(&baseline, &[set(&["1"]), set(&["6"])]), ["changed"]);
    }

    #[test]
    fn rotation_within_a_learnt_pool_is_no_drift() {
        let pool = [[set(&["1", "2"])], [set(&["2", "3"])], [set(&["3", "1"])]];
        let baseline = learnt(pool.iter().cloned().cycle().take(2000));
        for sample in &pool {
            assert!(kinds(&baseline, sample).is_empty());
        }
        assert!(kinds(&baseline, &[set(&["2"])]).is_empty());
        assert_eq!(kinds(&baseline, &[set(&["2", "66"])]), ["added"]);
    }

    #[test]
    fn what_is_neither_pinned_nor_learnt_is_not_judged() {
        let drift =
            judge(&records("A", &[set(&["1"])]), &Pins::default(), &Baseline::default(), today());
        assert!(drift.items.is_empty() && drift.unknown.is_empty());
    }
}
