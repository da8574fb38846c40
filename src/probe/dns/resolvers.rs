//! Recursive servers held against the authorities.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use futures_util::future::join_all;
use hickory_proto::op::Message;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, Seen};
use super::ask::{Asker, Failure, Server};
use super::drift::Records;
use super::memory::Baseline;
use super::wanted::Wanted;
use super::wire::Question;
use crate::probe::dial::Purpose;
use crate::sample::{Path, Reason, Unknown};

/// What one recursive server said of one name and type.
#[derive(Debug)]
pub(super) struct Heard {
    /// The server's key.
    pub(super) server: String,
    /// The name.
    pub(super) name: String,
    /// The type.
    pub(super) kind: String,
    /// The answer.
    pub(super) seen: Seen,
    /// Its extended error (RFC 8914).
    ede: Option<u16>,
}

/// Asks each server for everything wanted: servers side by side, questions one by one.
pub(super) async fn ask(asker: &Asker, servers: &[SocketAddr], wanted: &[Wanted]) -> Vec<Heard> {
    let keys = keys(servers);
    let each = servers.iter().zip(keys).map(|(address, key)| async move {
        let server = Server { name: None, address: *address, purpose: Purpose::Resolver };
        let mut heard = Vec::new();
        for Wanted { name, kind, .. } in wanted {
            let question = Question::of(name, *kind).recursive();
            let (seen, ede) = match asker.ask(&server, &question).await {
                Ok(reply) => (
                    Ok(answer::from_resolver(&reply.message, name, *kind)),
                    extended(&reply.message),
                ),
                Err(Failure::Fault(fault)) => (Ok(Answer::Error(fault)), None),
                Err(Failure::Unasked(unknown)) => (Err(unknown), None),
            };
            let (name, kind) = answer::key(name, *kind);
            heard.push(Heard { server: key.clone(), name, kind, seen, ede });
        }
        heard
    });
    join_all(each).await.into_iter().flatten().collect()
}

/// `resolvers`, `resolver_disagreement`, and what is unknown in the first.
pub(super) fn judge(
    heard: &[Heard],
    records: &Records,
    baseline: &Baseline,
    now: i64,
) -> (Value, Vec<Value>, Vec<(Path, Unknown)>) {
    let mut servers = Map::new();
    let (mut disagreements, mut unknown) = (Vec::new(), Vec::new());
    for one in heard {
        let given = given(records, &one.name, &one.kind);
        let agrees = one.seen.as_ref().ok().and_then(|answer| {
            let key = format!("{} {}", one.name, one.kind);
            let agrees = agrees(answer, &given, baseline, &key)?;
            Some(agrees || baseline.may_be_cached(&key, answer, now))
        });
        if let (Ok(answer @ Answer::Set(_)), Some(false)) = (&one.seen, agrees) {
            disagreements.push(json!({
                "server": one.server, "name": one.name, "type": one.kind,
                "answer": answer, "authorities": union(&given),
            }));
        }
        let path = Path::of("resolvers").join(&one.server).join(&one.name).join(&one.kind);
        match &one.seen {
            Err(why) => unknown.push((path, why.clone())),
            Ok(Answer::Error(fault)) => unknown.push((path.join("agrees"), fault.unknown())),
            Ok(_) if agrees.is_none() => {
                unknown.push((path.join("agrees"), Reason::NotObserved.into()));
            }
            Ok(_) => {}
        }
        let answer = one.seen.as_ref().map_or(Value::Null, |answer| json!(answer));
        let mut fact = json!({ "answer": answer, "agrees": agrees });
        if let Some(code) = one.ede {
            fact["ede"] = json!(code);
        }
        servers.entry(one.server.clone()).or_insert_with(|| json!({}))[&one.name][&one.kind] = fact;
    }
    (Value::Object(servers), disagreements, unknown)
}

/// Whether an answer is one of today: some authority gives it, or all its values are ones that
/// authorities give or were accepted to give. `None` where that can't be said.
fn agrees(answer: &Answer, given: &[&Answer], baseline: &Baseline, key: &str) -> Option<bool> {
    let values = answer.values()?;
    if given.is_empty() {
        return None;
    }
    if given.contains(&answer) {
        return Some(true);
    }
    let mut known = union(given);
    if let Some(learnt) = baseline.frozen(key) {
        known.extend(learnt.values.keys().cloned());
    }
    Some(!values.is_empty() && values.is_subset(&known))
}

/// The answers of authorities that compare.
fn given<'a>(records: &'a Records, name: &str, kind: &str) -> Vec<&'a Answer> {
    let servers = records.get(name).and_then(|types| types.get(kind));
    servers
        .into_iter()
        .flat_map(BTreeMap::values)
        .filter_map(|told| told.seen.as_ref().ok())
        .filter(|answer| answer.values().is_some())
        .collect()
}

fn union(given: &[&Answer]) -> BTreeSet<String> {
    given.iter().filter_map(|answer| answer.values()).flatten().collect()
}

fn extended(message: &Message) -> Option<u16> {
    match message.edns.as_ref()?.option(EdnsCode::Unknown(15))? {
        EdnsOption::Unknown(15, octets) => {
            Some(u16::from_be_bytes(octets.get(..2)?.try_into().ok()?))
        }
        _ => None,
    }
}

/// Addresses without ports, but where two servers share one.
fn keys(servers: &[SocketAddr]) -> Vec<String> {
    servers
        .iter()
        .map(|server| {
            let shared = servers.iter().filter(|other| other.ip() == server.ip()).count() > 1;
            if shared { server.to_string() } else { server.ip().to_string() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::dns::answer::Fault;

    fn set(values: &[&str]) -> Answer {
        Answer::Set(values.iter().map(|v| (*v).to_owned()).collect())
    }

    #[test]
    fn only_a_set_that_no_authority_gives_disagrees() {
        let one = set(&["1", "2"]);
        let other = set(&["2", "3"]);
        let given = [&one, &other];
        for (answer, verdict) in [
            (set(&["1", "2"]), Some(true)),
            (set(&["1", "3"]), Some(true)),
            (set(&["66"]), Some(false)),
            (set(&["1", "66"]), Some(false)),
            (Answer::Nxdomain, Some(false)),
            (Answer::Error(Fault::Servfail), None),
        ] {
            assert_eq!(agrees(&answer, &given, &Baseline::default(), "a A"), verdict, "{answer:?}");
        }
        assert_eq!(agrees(&one, &[], &Baseline::default(), "a A"), None);
    }

    #[test]
    fn servers_are_keyed_by_address_unless_two_share_one() {
        let servers = ["127.0.0.1:53", "127.0.0.2:53", "127.0.0.1:54"];
        let servers: Vec<SocketAddr> =
            servers.iter().map(|s| s.parse().expect("an address")).collect();
        assert_eq!(keys(&servers), ["127.0.0.1:53", "127.0.0.2", "127.0.0.1:54"]);
    }
}
