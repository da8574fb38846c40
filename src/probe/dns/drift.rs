//! Drift: what authorities gave against what was pinned, or learnt where nothing is. Pure; sets
//! against sets; errors never compare.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::answer::{self, Answer, Seen};
use super::facts::BY_SUBNET;
use super::hold::{Departure, Set};
use super::memory::Baseline;
use super::text;
use crate::sample::{Reason, Unknown};
use crate::target::{AsnTable, Expectation, Pins};

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

/// What is expected.
#[derive(Clone, Copy)]
pub(super) struct Expected<'a> {
    /// What was pinned.
    pub(super) pins: &'a Pins,
    /// Whose networks are whose.
    pub(super) asn: Option<&'a AsnTable>,
    /// What was learnt.
    pub(super) baseline: &'a Baseline,
    /// A pin may hold up to a day.
    pub(super) today: NaiveDate,
}

/// Holds every record against its pin, or against the baseline where none holds today.
pub(super) fn judge(records: &Records, expected: Expected<'_>) -> Drift {
    let Expected { pins, asn, baseline, today } = expected;
    let mut drift = Drift::default();
    for (name, types) in records {
        for (kind, servers) in types {
            let key = format!("{name} {kind}");
            let pin = pinned(pins, name, kind).filter(|pin| pin.until.is_none_or(|u| today <= u));
            let learnt = baseline.frozen(&key);
            if pin.is_none() && learnt.is_none() {
                continue;
            }
            if asn.is_none() && pin.is_some_and(|pin| pin.asn.is_some()) {
                let why = Unknown::new(Reason::NotObserved, "no asn_file says whose networks");
                drift.unknown.insert(key.clone(), why);
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
                let alias = alias_at(types, server);
                let set = Set { kind, values: &values, ttl: told.ttl, alias: alias.as_ref() };
                let departure = match (pin, learnt) {
                    (Some(pin), _) => of_server(pin, server).and_then(|pin| set.held(pin, asn)),
                    (None, Some(learnt)) => set.as_learnt(learnt),
                    (None, None) => None,
                };
                if let Some(departure) = departure {
                    drift.items.push(item([name, kind, server], told, pin, departure, alias));
                }
            }
        }
    }
    drift
}

/// A departure as CONTRACT §dns writes it.
fn item(
    [name, kind, server]: [&String; 3],
    told: &Told,
    pin: Option<&Expectation>,
    departure: Departure,
    alias: Option<BTreeSet<String>>,
) -> Value {
    let Departure { kind: change, expected, asn } = departure;
    let seen = match &told.ttl {
        Some(ttl) if expected.as_str().is_some_and(|text| text.starts_with("ttl ")) => {
            json!(format!("ttl {ttl}"))
        }
        _ => told.seen.as_ref().map_or(Value::Null, |answer| json!(answer)),
    };
    let mut item = json!({
        "name": name, "type": kind, "server": server,
        "kind": change, "expected": expected, "seen": seen,
    });
    if let Some(asn) = asn {
        item["asn"] = asn;
    }
    if let Some(alias) = alias.filter(|alias| !alias.is_empty()) {
        // Whoever has the end of the alias made the change.
        item["alias"] = json!(alias);
    }
    let words = pin.map(|pin| [("reason", &pin.reason), ("owner", &pin.owner)]);
    for (field, word) in words.into_iter().flatten() {
        if let Some(word) = word {
            item[field] = json!(word);
        }
    }
    item
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
    use crate::target::TextFile;

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

    fn expected<'a>(pins: &'a Pins, baseline: &'a Baseline) -> Expected<'a> {
        Expected { pins, asn: None, baseline, today: today() }
    }

    fn against(pin: &str, kind: &str, answer: Answer) -> Drift {
        let pins = format!(r#"{{"WWW.Example.": {{"{kind}": {pin}}}}}"#);
        let pins: Pins = serde_json::from_str(&pins).expect("pins");
        judge(&records(kind, &[answer]), expected(&pins, &Baseline::default()))
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
    fn addresses_are_held_to_the_systems_that_originate_them() {
        let text = "192.0.2.0/24 64500\n198.51.100.0/24 64501\n2001:db8::/32 64500\n";
        let table = AsnTable::parse(&TextFile { path: "asn".into(), text: text.into() });
        let table = table.expect("a table");
        let pins = r#"{"www.example": {"A": {"asn": [64500, "AS64502"]}}}"#;
        let pins: Pins = serde_json::from_str(pins).expect("pins");
        let baseline = Baseline::default();
        let judged = |asn, answer: Answer| {
            let expected = Expected { asn, ..expected(&pins, &baseline) };
            judge(&records("A", &[answer]), expected)
        };
        assert!(judged(Some(&table), set(&["192.0.2.1", "2001:db8::1"])).items.is_empty());
        let drift = judged(Some(&table), set(&["192.0.2.1", "198.51.100.1", "203.0.113.1"]));
        let item = &drift.items[0];
        assert_eq!((&item["kind"], &item["expected"]), (&json!("added"), &json!([64500, 64502])));
        assert_eq!(item["asn"], json!({"198.51.100.1": [64501], "203.0.113.1": []}));
        assert_eq!(judged(Some(&table), Answer::Nxdomain).items[0]["kind"], "removed");
        let without = judged(None, set(&["198.51.100.1"]));
        assert!(without.items.is_empty() && without.unknown.contains_key("www.example A"));
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
            judge(&records, expected(&pins, &Baseline::default())).items
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
        let drift = judge(&records("A", answers), expected(&Pins::default(), baseline));
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
            judge(&records("A", &[set(&["1"])]), expected(&Pins::default(), &Baseline::default()));
        assert!(drift.items.is_empty() && drift.unknown.is_empty());
    }
}
