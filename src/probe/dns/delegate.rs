//! The walk from the root down to the zone of a name, and what was met on the way: each cut with
//! the parent's NS set and glue.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use super::answer::{self, Answer, Fault, MAX_CHAIN, Seen, Told};
use super::ask::{Asker, Failure, Reply, Server, locked};
use super::dnssec::Packet;
use super::text;
use super::wire::Question;
use crate::probe::dial::Purpose;
use crate::sample::{Reason, Unknown};
use crate::target::Settings;

/// A zone as its parent delegates it.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    /// The zone.
    pub(super) name: Name,
    /// The NS set met, each with the glue that came with it.
    pub(super) ns: BTreeMap<Name, BTreeSet<IpAddr>>,
    /// Whether the set came by a referral. Where every server of the parent holds the zone itself they
    /// answer in its place, and nobody is ever led by what the parent's own data say.
    pub(super) from_parent: bool,
    /// Who said so; they are asked for what only the parent knows.
    parents: Vec<Server>,
}

impl Cut {
    /// The servers that delegate it.
    pub(super) fn parents(&self) -> &[Server] {
        &self.parents
    }
}

/// What a name and type came to, all aliases followed.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The answer.
    pub(super) answer: Answer,
    /// Where the aliases of the name lead, if it is one.
    pub(super) target: Option<Name>,
}

/// Walks within a bounded number of questions, and remembers what it met.
pub(super) struct Walk<'a> {
    asker: &'a Asker,
    port: u16,
    cuts: Mutex<BTreeMap<Name, Arc<Cut>>>,
    whole: Mutex<BTreeSet<Name>>,
    found: Mutex<HashMap<(Name, RecordType), Result<Found, Unknown>>>,
    left: AtomicU32,
}

impl<'a> Walk<'a> {
    pub(super) fn new(asker: &'a Asker, settings: &Settings) -> Self {
        let hints = super::hints::roots(settings.root_hints.as_ref().map(|file| &*file.text));
        let ns = hints
            .into_iter()
            .filter_map(|(name, addresses)| Some((text::name(&name)?, addresses)))
            .map(|(name, addresses)| (name, addresses.into_iter().collect()))
            .collect();
        let root = Cut { name: Name::root(), ns, from_parent: false, parents: Vec::new() };
        Self {
            asker,
            port: settings.dns_port.unwrap_or(53),
            cuts: Mutex::new(BTreeMap::from([(Name::root(), Arc::new(root))])),
            whole: Mutex::default(),
            found: Mutex::default(),
            left: AtomicU32::new(MAX_STEPS),
        }
    }

    /// The zone that a name lies in.
    pub(super) async fn zone_of(&self, name: &Name) -> Result<Arc<Cut>, Unknown> {
        self.descend(name, &[]).await
    }

    /// What a name and type come to at the first authority that answers.
    pub(super) async fn lookup(&self, name: &Name, kind: RecordType) -> Result<Found, Unknown> {
        self.search(name, kind, &[], &[]).await
    }

    /// Follows an alias that an authority gave to its end.
    pub(super) async fn follow(&self, from: &Name, target: &Name, kind: RecordType) -> Seen {
        self.search(target, kind, &[], std::slice::from_ref(from)).await.map(|found| found.answer)
    }

    /// The zone that delegates `zone`, as far as the walk came.
    pub(super) fn zone_above(&self, zone: &Name) -> Arc<Cut> {
        self.deepest(&zone.base_name())
    }

    /// The deepest zone on the way to a name that was met, below the root.
    pub(super) fn deepest_known(&self, name: &Name) -> Option<Arc<Cut>> {
        Some(self.deepest(name)).filter(|cut| !cut.name.is_root())
    }

    /// A number of this run's randomness.
    pub(super) fn random(&self) -> u64 {
        self.asker.random()
    }

    /// A few servers of a zone.
    pub(super) async fn servers(&self, cut: &Arc<Cut>) -> Vec<Server> {
        self.hosts(cut, &[]).await
    }

    /// One server's answer as an authority, with its signatures.
    pub(super) async fn packet(
        &self,
        server: &Server,
        name: &Name,
        kind: RecordType,
    ) -> Option<Packet> {
        let reply = self.ask(server, &Question::of(name, kind)).await.ok()?;
        Packet::read(&reply.octets)
    }

    /// The time that dates are judged by.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.asker.now()
    }

    /// A server of the delegation path.
    pub(super) fn server(&self, ns: &Name, address: IpAddr) -> Server {
        Server {
            name: Some(text::of_name(ns)),
            address: SocketAddr::new(address, self.port),
            purpose: Purpose::Delegation,
        }
    }

    fn descend<'b>(
        &'b self,
        name: &'b Name,
        trail: &'b [Name],
    ) -> BoxFuture<'b, Result<Arc<Cut>, Unknown>> {
        Box::pin(async move {
            let mut zone = self.deepest(name);
            let labels = name.iter().count();
            for depth in zone.name.iter().count() + 1..=labels {
                let step = name.trim_to(depth);
                if locked(&self.whole).contains(&step) {
                    continue;
                }
                match self.step(&zone, &step, trail).await? {
                    Some(cut) => {
                        zone = Arc::new(cut);
                        locked(&self.cuts).insert(step, zone.clone());
                    }
                    None => {
                        locked(&self.whole).insert(step);
                    }
                }
            }
            Ok(zone)
        })
    }

    fn deepest(&self, name: &Name) -> Arc<Cut> {
        let cuts = locked(&self.cuts);
        cuts.values()
            .filter(|cut| cut.name.zone_of(name))
            .max_by_key(|cut| cut.name.iter().count())
            .cloned()
            .unwrap_or_else(|| {
                let name = Name::root();
                Arc::new(Cut { name, ns: BTreeMap::new(), from_parent: false, parents: Vec::new() })
            })
    }

    /// Asks a zone's servers whether one label more is a zone of its own.
    async fn step(
        &self,
        zone: &Arc<Cut>,
        step: &Name,
        trail: &[Name],
    ) -> Result<Option<Cut>, Unknown> {
        let servers = self.hosts(zone, trail).await;
        let question = Question::of(step, RecordType::NS);
        let mut tries = Tries::default();
        let mut childs_word: Option<Cut> = None;
        for (at, server) in servers.iter().enumerate() {
            if tries.are_up() || childs_word.is_some() && at >= MAX_PARENTS {
                break;
            }
            match self.ask(server, &question).await {
                Err(failure) => tries.failed(failure),
                Ok(reply) => match told(&reply.message, step, &zone.name) {
                    Step::Cut { ns, from_parent } => {
                        let parents = servers.clone();
                        let cut = Cut { name: step.clone(), ns, from_parent, parents };
                        // A server that holds both zones hides what the parent says.
                        if from_parent {
                            return Ok(Some(cut));
                        }
                        match &mut childs_word {
                            None => childs_word = Some(cut),
                            Some(word) => {
                                for (name, glue) in cut.ns {
                                    word.ns.entry(name).or_default().extend(glue);
                                }
                            }
                        }
                    }
                    Step::Same if childs_word.is_some() => {}
                    Step::Same => return Ok(None),
                    Step::Lame(fault) => tries.failed(Failure::Fault(fault)),
                },
            }
        }
        match childs_word {
            Some(cut) => Ok(Some(cut)),
            None => Err(tries.unknown()),
        }
    }

    /// A few servers of a zone to walk on with.
    async fn hosts(&self, cut: &Arc<Cut>, trail: &[Name]) -> Vec<Server> {
        let mut servers: Vec<Server> = cut
            .ns
            .iter()
            .flat_map(|(ns, glue)| glue.iter().map(|address| self.server(ns, *address)))
            .collect();
        if servers.is_empty() {
            for ns in cut.ns.keys().take(MAX_NS) {
                if trail.len() >= MAX_DEPTH || trail.contains(ns) {
                    continue;
                }
                servers.extend(self.bare(cut, ns, trail).await);
                if servers.len() >= 2 {
                    break;
                }
            }
        }
        let mut rng = fastrand::Rng::with_seed(self.asker.random());
        rng.shuffle(&mut servers);
        servers.sort_by_key(|server| self.asker.is_silent(server));
        servers
    }

    /// Addresses of a name server that came without glue.
    async fn bare(&self, cut: &Arc<Cut>, ns: &Name, trail: &[Name]) -> Vec<Server> {
        let mut trail = trail.to_vec();
        trail.push(ns.clone());
        let mut servers = Vec::new();
        for kind in [RecordType::A, RecordType::AAAA] {
            let answer = if cut.name.zone_of(ns) {
                self.at(&cut.parents, ns, kind, &cut.name).await
            } else {
                self.search(ns, kind, &trail, &[]).await.ok().map(|found| found.answer)
            };
            for value in answer.and_then(|answer| answer.values()).unwrap_or_default() {
                servers.extend(value.parse().ok().map(|address| self.server(ns, address)));
            }
        }
        servers
    }

    /// One question at given servers, the first that answers as an authority of `zone`.
    async fn at(
        &self,
        servers: &[Server],
        name: &Name,
        kind: RecordType,
        zone: &Name,
    ) -> Option<Answer> {
        for server in servers.iter().take(2) {
            if let Ok(reply) = self.ask(server, &Question::of(name, kind)).await
                && let Told::Answer(answer, _) =
                    answer::from_authority(&reply.message, name, kind, zone)
            {
                return Some(answer);
            }
        }
        None
    }

    fn search<'b>(
        &'b self,
        name: &'b Name,
        kind: RecordType,
        trail: &'b [Name],
        chain: &'b [Name],
    ) -> BoxFuture<'b, Result<Found, Unknown>> {
        Box::pin(async move {
            if chain.len() > MAX_CHAIN || chain.contains(name) {
                let target = Some(name.clone());
                return Ok(Found { answer: Answer::Error(Fault::CnameLoop), target });
            }
            let key = (name.clone(), kind);
            if let Some(found) = locked(&self.found).get(&key) {
                return found.clone();
            }
            let found = self.search_once(name, kind, trail, chain).await;
            // Within a trail an end may be one of the way taken, not of the name.
            if trail.is_empty() {
                locked(&self.found).insert(key, found.clone());
            }
            found
        })
    }

    async fn search_once(
        &self,
        name: &Name,
        kind: RecordType,
        trail: &[Name],
        chain: &[Name],
    ) -> Result<Found, Unknown> {
        let zone = self.descend(&answer::zone_side(name, kind), trail).await?;
        let mut tries = Tries::default();
        for server in &self.hosts(&zone, trail).await {
            if tries.are_up() {
                break;
            }
            let reply = match self.ask(server, &Question::of(name, kind)).await {
                Ok(reply) => reply,
                Err(failure) => {
                    tries.failed(failure);
                    continue;
                }
            };
            match answer::from_authority(&reply.message, name, kind, &zone.name) {
                Told::Answer(Answer::Error(fault), _) => tries.failed(Failure::Fault(fault)),
                Told::Answer(answer, _) => return Ok(Found { answer, target: None }),
                Told::Alias(target, _) => {
                    let chain = [chain, std::slice::from_ref(name)].concat();
                    let end = self.search(&target, kind, trail, &chain).await?;
                    return Ok(Found { target: end.target.or(Some(target)), ..end });
                }
                Told::Referral(_) => tries.failed(Failure::Fault(Fault::NotAuthoritative)),
                Told::TooMany => return Err(Unknown::new(Reason::Budget, "too many values")),
            }
        }
        tries.end()
    }

    async fn ask(&self, server: &Server, question: &Question) -> Result<Reply, Failure> {
        let spent = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_err();
        if spent {
            return Err(Failure::Unasked(Unknown::new(Reason::Budget, "the walk is too long")));
        }
        self.asker.ask(server, question).await
    }
}

/// What a zone's server says of one label more.
enum Step {
    Cut { ns: BTreeMap<Name, BTreeSet<IpAddr>>, from_parent: bool },
    Lame(Fault),
    Same,
}

/// Only NS records of `step` itself and addresses of the servers they name are believed, and
/// addresses only within the zone that speaks.
fn told(message: &Message, step: &Name, zone: &Name) -> Step {
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        code => return Step::Lame(answer::of_code(code)),
    }
    let sections = message.answers.iter().chain(&message.authorities);
    let mut ns: BTreeMap<Name, BTreeSet<IpAddr>> = sections
        .filter(|record| record.name == *step)
        .filter_map(|record| match &record.data {
            RData::NS(ns) => Some((ns.0.to_lowercase(), BTreeSet::new())),
            _ => None,
        })
        .take(MAX_NS)
        .collect();
    let authoritative = message.metadata.authoritative;
    if ns.is_empty() {
        return match answer::referral(message) {
            _ if authoritative => Step::Same,
            Some(owner) if owner.zone_of(zone) && owner != zone => {
                Step::Lame(Fault::UpwardReferral)
            }
            _ => Step::Lame(Fault::NotAuthoritative),
        };
    }
    for record in message.additionals.iter().chain(&message.answers) {
        let Some(address) = record.data.ip_addr() else { continue };
        if zone.zone_of(&record.name)
            && let Some(glue) = ns.get_mut(&record.name.to_lowercase())
            && glue.len() < MAX_GLUE
        {
            glue.insert(address);
        }
    }
    Step::Cut { ns, from_parent: !authoritative }
}

/// The failures of one step: the last is told, and silence is not waited for without end.
#[derive(Default)]
struct Tries {
    silent: u32,
    last: Option<Failure>,
}

impl Tries {
    fn failed(&mut self, failure: Failure) {
        self.silent += u32::from(matches!(failure, Failure::Fault(Fault::Timeout)));
        // What a server did says more than what this machine could not.
        if self.last.is_none() || matches!(failure, Failure::Fault(_)) {
            self.last = Some(failure);
        }
    }

    fn are_up(&self) -> bool {
        self.silent >= MAX_SILENT
    }

    fn unknown(&self) -> Unknown {
        match &self.last {
            Some(failure) => failure.unknown(),
            None => Unknown::new(Reason::DnsError, "no server of the zone has an address"),
        }
    }

    /// An error that every server shares is an answer of the zone; what was not asked is unknown.
    fn end(self) -> Result<Found, Unknown> {
        match self.last {
            Some(Failure::Fault(fault)) => Ok(Found { answer: Answer::Error(fault), target: None }),
            _ => Err(self.unknown()),
        }
    }
}

/// Questions of one walk.
const MAX_STEPS: u32 = 400;

/// Servers of a zone asked for what the parent says of a cut.
const MAX_PARENTS: usize = 6;

/// Name servers of one zone that are looked at.
pub(super) const MAX_NS: usize = 16;

/// Addresses of one name server.
const MAX_GLUE: usize = 8;

/// Name servers that need name servers that need name servers.
const MAX_DEPTH: usize = 6;

/// Silent servers of one zone before a step is given up.
const MAX_SILENT: u32 = 3;
