//! A zone and all its authorities: who they are by parent and child, and what each showed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::future::{join, join_all};
use hickory_proto::rr::{Name, RecordType};
use serde_json::{Value, json};

use super::answer::Answer;
use super::ask::{Asker, Server};
use super::delegate::{Cut, MAX_NS, Walk};
use super::dnssec::{self, Delegation, Ds};
use super::survey::{self, Survey};
use super::wanted::Wanted;
use super::{policy, text};
use crate::sample::{Reason, Unknown};
use crate::target::Settings;

/// A zone with what its authorities showed.
#[derive(Debug)]
pub(super) struct Authorities {
    /// The zone.
    pub(super) name: Name,
    /// One a server address.
    pub(super) surveys: Vec<Survey>,
    /// Name servers: their addresses and what is wrong with the name.
    pub(super) names: BTreeMap<String, Value>,
    /// Name servers whose addresses could not be established.
    pub(super) unresolved: BTreeMap<String, Unknown>,
    /// Glue that differs from the child's records.
    pub(super) glue: BTreeMap<String, Value>,
    /// The parent's DS set as it gives it, empty where there is none.
    pub(super) ds: Option<BTreeSet<Ds>>,
    /// What the chain of trust says of the zone.
    pub(super) delegation: Delegation,
    parent: Option<BTreeSet<String>>,
    by_referral: bool,
}

impl Authorities {
    /// Whether it is the root, which no parent delegates.
    pub(super) fn is_root(&self) -> bool {
        self.name.is_root()
    }

    /// The NS set that the parent's servers give.
    pub(super) fn parent_names(&self) -> Option<BTreeSet<String>> {
        self.parent.clone()
    }

    /// How they give it: by `referral`, or by an `answer` of their own, holding the zone themselves.
    pub(super) fn parent_by(&self) -> &'static str {
        if self.by_referral { "referral" } else { "answer" }
    }

    /// The NS set of all child servers together.
    pub(super) fn child_names(&self) -> Option<BTreeSet<String>> {
        let sets: Vec<&BTreeSet<String>> = self
            .surveys
            .iter()
            .filter_map(|survey| match &survey.ns {
                Ok(Answer::Set(set)) => Some(set),
                _ => None,
            })
            .collect();
        (!sets.is_empty()).then(|| sets.into_iter().flatten().cloned().collect())
    }

    /// Why nothing at all is known of the zone, if every server was silent.
    pub(super) fn silence(&self) -> Option<Unknown> {
        if !self.surveys.iter().all(Survey::is_silent) {
            return None;
        }
        let unasked = self.surveys.iter().find_map(|survey| survey.unasked.clone());
        let asked = self.surveys.iter().any(|survey| survey.unasked.is_none());
        Some(match (asked, unasked) {
            (true, _) => Reason::Timeout.into(),
            (false, Some(unknown)) => unknown,
            (false, None) => Unknown::new(Reason::DnsError, "no name server has an address"),
        })
    }
}

/// Asks every authority of a zone. `whole` also tries their abilities and their names.
pub(super) async fn ask(
    asker: &Asker,
    walk: &Walk<'_>,
    settings: &Settings,
    cut: &Arc<Cut>,
    wanted: &[Wanted],
    whole: bool,
) -> Authorities {
    let mut zone = Authorities {
        name: cut.name.clone(),
        surveys: Vec::new(),
        names: BTreeMap::new(),
        unresolved: BTreeMap::new(),
        glue: BTreeMap::new(),
        ds: None,
        delegation: Delegation::Unknown,
        parent: (!cut.parents().is_empty()).then(|| cut.ns.keys().map(text::of_name).collect()),
        by_referral: cut.from_parent,
    };
    let mut known: BTreeSet<Name> = BTreeSet::new();
    let mut fresh: Vec<Name> = cut.ns.keys().cloned().collect();
    // The second round is for name servers that only the child names.
    for _ in 0..2 {
        fresh.retain(|ns| known.insert(ns.clone()));
        let servers = zone.servers(walk, cut, &fresh).await;
        let surveys = servers
            .into_iter()
            .map(|server| survey::take(asker, walk, server, &cut.name, wanted, whole));
        zone.surveys.extend(join_all(surveys).await);
        let child = zone.child_names().unwrap_or_default();
        fresh = child.iter().filter_map(|ns| text::name(ns)).take(MAX_NS).collect();
    }
    if whole {
        (zone.delegation, zone.ds) = dnssec::trace(walk, cut, settings).await;
    }
    zone
}

impl Authorities {
    /// Each address of these name servers that is not asked yet.
    async fn servers(&mut self, walk: &Walk<'_>, cut: &Cut, names: &[Name]) -> Vec<Server> {
        let mut servers: Vec<Server> = Vec::new();
        for ns in names {
            let mut addresses = self.resolve(walk, cut, ns).await;
            addresses.extend(cut.ns.get(ns).into_iter().flatten());
            for address in addresses {
                let asked = self.surveys.iter().map(|survey| &survey.server);
                let mut all = asked.chain(&servers);
                let is_new = all.all(|server| server.address.ip() != address);
                if is_new && self.surveys.len() + servers.len() < MAX_SERVERS {
                    servers.push(walk.server(ns, address));
                }
            }
        }
        servers
    }

    /// A name server's addresses, noted with what is wrong with it.
    async fn resolve(&mut self, walk: &Walk<'_>, cut: &Cut, ns: &Name) -> BTreeSet<IpAddr> {
        let key = text::of_name(ns);
        let (v4, v6) =
            join(walk.lookup(ns, RecordType::A), walk.lookup(ns, RecordType::AAAA)).await;
        let addresses: BTreeSet<IpAddr> = [&v4, &v6]
            .into_iter()
            .filter_map(|found| found.as_ref().ok()?.answer.values())
            .flatten()
            .filter_map(|address| address.parse().ok())
            .collect();
        let problem = policy::problem(&v4, &v6);
        if problem.is_none() {
            let why = [v4, v6].into_iter().find_map(Result::err);
            let why = why.unwrap_or_else(|| Unknown::new(Reason::DnsError, "no answer"));
            self.unresolved.insert(key.clone(), why);
        } else {
            let glue = cut.ns.get(ns).filter(|glue| !glue.is_empty() && cut.from_parent);
            if let Some(glue) = glue.filter(|glue| **glue != addresses) {
                let differs = json!({ "parent": glue, "child": addresses });
                self.glue.insert(key.clone(), differs);
            }
        }
        self.names.insert(key, json!({ "addresses": addresses, "problem": problem }));
        // An alias is no name server (RFC 2181 §10.3), but resolvers ask what it leads to.
        addresses
    }
}

/// Addresses of one zone's servers that are asked.
const MAX_SERVERS: usize = 32;
