//! Records that point to names that are not there, or may not be ours, ranked by what is proven.
//! One sign alone never says takeover: that needs the name to be free for anyone to have.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join;
use hickory_proto::rr::{Name, RecordType};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::catalogue::Catalogue;
use super::delegate::{Found, Walk};
use super::drift::Records;
use super::text;
use crate::sample::Unknown;

/// A record that points to another name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Pointer {
    /// Who owns the record.
    owner: String,
    /// CNAME, MX or NS.
    kind: &'static str,
    /// Where it points.
    target: Name,
}

/// What is proven of a pointer, the worst last.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Risk {
    /// Others can have what is missing, or not: it can't be told from here.
    Unproven,
    /// It leads nowhere, and only we can change that.
    Broken,
    /// The name that is needed can be had by others.
    Takeover,
}

impl Risk {
    fn as_str(self) -> &'static str {
        match self {
            Self::Unproven => "unproven",
            Self::Broken => "broken",
            Self::Takeover => "takeover",
        }
    }
}

/// Every pointer of a sample: aliases, name servers of the zone, mail exchanges.
pub(super) fn pointers(
    zone: &Name,
    name: &Name,
    records: &Records,
    servers: impl IntoIterator<Item = Name>,
    exchanges: impl IntoIterator<Item = Name>,
) -> BTreeSet<Pointer> {
    let point = |owner: String, kind: &'static str, target: Name| Pointer { owner, kind, target };
    let mut pointers = BTreeSet::new();
    for (owner, types) in records {
        let aliases = types.get("CNAME").into_iter().flat_map(BTreeMap::values);
        let targets = aliases.filter_map(|told| told.seen.as_ref().ok()?.values()).flatten();
        let targets = targets.filter_map(|target| text::name(&target));
        pointers.extend(targets.map(|target| point(owner.clone(), "CNAME", target)));
    }
    let of_zone = servers.into_iter().map(|target| point(text::of_name(zone), "NS", target));
    pointers.extend(of_zone);
    pointers.extend(exchanges.into_iter().map(|target| point(text::of_name(name), "MX", target)));
    pointers.into_iter().take(MAX_POINTERS).collect()
}

/// Looks after each pointer: `dangling`, and the pointers that nothing can be said of.
pub(super) async fn look(
    walk: &Walk<'_>,
    zone: &Name,
    pointers: BTreeSet<Pointer>,
) -> (Value, Vec<(String, Unknown)>) {
    let catalogue = Catalogue::builtin();
    let mut found: BTreeMap<String, Vec<(Risk, Pointer)>> = BTreeMap::new();
    let mut unknown = Vec::new();
    for pointer in pointers {
        match risk(walk, catalogue, zone, &pointer.target).await {
            Ok(None) => {}
            Ok(Some(risk)) => {
                found.entry(pointer.owner.clone()).or_default().push((risk, pointer));
            }
            Err(why) => unknown.push((pointer.owner, why)),
        }
    }
    let mut dangling = Map::new();
    for (owner, mut those) in found {
        those.sort_by(|one, other| other.cmp(one));
        for (at, (risk, Pointer { kind, target, .. })) in those.into_iter().enumerate() {
            let target = text::of_name(&target);
            // The worst stands under the name itself.
            let key = if at == 0 { owner.clone() } else { format!("{owner} {kind} {target}") };
            dangling.insert(key, json!({ "type": kind, "target": target, "risk": risk.as_str() }));
        }
    }
    (Value::Object(dangling), unknown)
}

async fn risk(
    walk: &Walk<'_>,
    catalogue: &Catalogue,
    zone: &Name,
    target: &Name,
) -> Result<Option<Risk>, Unknown> {
    let (v4, v6) =
        join(walk.lookup(target, RecordType::A), walk.lookup(target, RecordType::AAAA)).await;
    let is = |wanted: fn(&Answer) -> bool| {
        let found = [&v4, &v6].map(|found| found.as_ref().ok());
        found.into_iter().flatten().find(|found| wanted(&found.answer))
    };
    if is(|answer| matches!(answer, Answer::Set(_))).is_some() {
        let is_foreign = !zone.zone_of(target) && catalogue.is_service(target);
        return Ok((is_foreign && answers_all(walk, target).await).then_some(Risk::Unproven));
    }
    if let Some(Found { target: end, .. }) = is(|answer| matches!(answer, Answer::Nxdomain)) {
        let end = end.as_ref().unwrap_or(target);
        return missing(walk, catalogue, zone, end).await.map(Some);
    }
    // No answer at all: perhaps nobody holds the names of its servers any more.
    let lost = is(|answer| matches!(answer, Answer::Error(_))).is_some() || v4.is_err();
    if lost && unserved(walk, catalogue, target).await {
        return Ok(Some(Risk::Takeover));
    }
    match (v4, v6) {
        (Err(why), _) | (_, Err(why)) => Err(why),
        (Ok(Found { answer: Answer::Error(fault), .. }), _) => Err(fault.unknown()),
        // The name is there without an address: a matter of who has the zone.
        _ => Ok(None),
    }
}

/// What it means that a name does not exist.
async fn missing(
    walk: &Walk<'_>,
    catalogue: &Catalogue,
    zone: &Name,
    target: &Name,
) -> Result<Risk, Unknown> {
    if zone.zone_of(target) {
        return Ok(Risk::Broken);
    }
    Ok(match is_free(walk, catalogue, target).await? {
        true => Risk::Takeover,
        false => Risk::Unproven,
    })
}

/// Whether the name that a registry would sell is not registered.
async fn is_free(walk: &Walk<'_>, catalogue: &Catalogue, name: &Name) -> Result<bool, Unknown> {
    let Some(domain) = catalogue.registrable(name) else { return Ok(false) };
    let held_by = walk.zone_of(&domain).await?;
    if held_by.name == domain {
        return Ok(false);
    }
    let answer = walk.lookup(&domain, RecordType::NS).await?.answer;
    Ok(answer == Answer::Nxdomain)
}

/// Whether all servers of a name's zone have names, none of them is reached, and one is free.
async fn unserved(walk: &Walk<'_>, catalogue: &Catalogue, target: &Name) -> bool {
    let Some(zone) = walk.deepest_known(target) else { return false };
    for server in zone.ns.keys().take(MAX_SERVERS) {
        if let Ok(true) = is_free(walk, catalogue, server).await {
            return true;
        }
    }
    false
}

/// Whether the service answers for names that nobody made.
async fn answers_all(walk: &Walk<'_>, target: &Name) -> bool {
    let label = format!("{:016x}", walk.random());
    let parent = target.base_name();
    let sibling = Name::from_labels(std::iter::once(label.as_bytes()).chain(parent.iter()));
    let Ok(sibling) = sibling else { return false };
    let found = walk.lookup(&sibling, RecordType::A).await;
    found.is_ok_and(|found| matches!(found.answer, Answer::Set(_)))
}

/// Pointers looked after in one sample.
const MAX_POINTERS: usize = 64;

/// Servers of a zone whose names are looked up.
const MAX_SERVERS: usize = 8;
