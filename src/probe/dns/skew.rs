//! Skew grace: while a change is on its way from one authority to the others, the one that is behind
//! departs from nothing. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::drift::{Drift, Records};
use super::facts::BY_SUBNET;
use crate::sample::{Reason, Unknown};

/// The servers whose serial is behind the newest of their zone (RFC 1982).
pub(super) fn behind(serials: &BTreeMap<String, u32>) -> BTreeSet<String> {
    let newer = |one: u32, other: u32| one.wrapping_sub(other).cast_signed() > 0;
    let newest = serials.values().copied().reduce(|a, b| if newer(b, a) { b } else { a });
    serials
        .iter()
        .filter(|(_, serial)| newest.is_some_and(|newest| newer(newest, **serial)))
        .map(|(server, _)| server.clone())
        .collect()
}

/// Takes out what departs only at servers that are behind, where one that is not behind shows what is
/// expected. Nothing is known of it until they follow.
pub(super) fn spare(drift: &mut Drift, records: &Records, behind: &BTreeSet<String>) {
    if behind.is_empty() {
        return;
    }
    let is_behind = |server: &str| {
        behind.contains(server.split_once(BY_SUBNET).map_or(server, |(server, _)| server))
    };
    let word = |item: &serde_json::Value, key: &str| item[key].as_str().unwrap_or("").to_owned();
    let departs: BTreeSet<[String; 3]> = drift
        .items
        .iter()
        .map(|item| ["name", "type", "server"].map(|key| word(item, key)))
        .collect();
    let is_held = |name: &String, kind: &String| {
        let servers = records.get(name).and_then(|types| types.get(kind));
        servers.into_iter().flatten().any(|(server, told)| {
            let answered = told.seen.as_ref().is_ok_and(|answer| answer.values().is_some());
            let key = [name.clone(), kind.clone(), server.clone()];
            answered && !is_behind(server) && !departs.contains(&key)
        })
    };
    let Drift { items, unknown } = drift;
    items.retain(|item| {
        let (name, kind) = (word(item, "name"), word(item, "type"));
        let spared = is_behind(&word(item, "server")) && is_held(&name, &kind);
        if spared {
            let why = Unknown::new(Reason::Inconsistent, "a change is on its way");
            unknown.insert(format!("{name} {kind}"), why);
        }
        !spared
    });
}

/// Seconds from the first sight of different serials for which a server may be behind.
pub(super) const GRACE: i64 = 600;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::probe::dns::answer::Answer;
    use crate::probe::dns::drift::Told;

    #[test]
    fn the_newest_serial_is_told_across_the_end_of_numbers() {
        let serials = |list: &[(&str, u32)]| {
            behind(&list.iter().map(|(name, serial)| ((*name).to_owned(), *serial)).collect())
        };
        assert!(serials(&[("a", 7), ("b", 7)]).is_empty() && serials(&[]).is_empty());
        assert_eq!(serials(&[("a", 7), ("b", 8)]), BTreeSet::from(["a".to_owned()]));
        assert_eq!(serials(&[("a", u32::MAX), ("b", 1)]), BTreeSet::from(["a".to_owned()]));
    }

    #[test]
    fn only_who_is_behind_is_spared_and_only_while_another_holds() {
        let told = |value: &str| Told {
            seen: Ok(Answer::Set(BTreeSet::from([value.to_owned()]))),
            ttl: None,
        };
        let servers = [("1", "new"), ("2", "old")].map(|(s, v)| (s.to_owned(), told(v)));
        let types = BTreeMap::from([("A".to_owned(), BTreeMap::from(servers))]);
        let records = BTreeMap::from([("www.test".to_owned(), types)]);
        let left = |departing: &[&str], behind: &str| {
            let item = |server: &&str| json!({"name": "www.test", "type": "A", "server": server});
            let mut drift =
                Drift { items: departing.iter().map(item).collect(), ..Drift::default() };
            spare(&mut drift, &records, &BTreeSet::from([behind.to_owned()]));
            (drift.items.len(), drift.unknown.len())
        };
        assert_eq!(left(&["2"], "2"), (0, 1));
        assert_eq!(left(&["1"], "2"), (1, 0), "the newest departs");
        assert_eq!(left(&["1", "2"], "2"), (2, 0), "nobody shows what is expected");
        assert_eq!(left(&["2"], "3"), (1, 0), "another is behind");
    }
}
