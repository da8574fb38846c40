//! One authority of a zone, asked everything that a sample wants of it, one question at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, RecordType};
use ipnet::IpNet;

use super::abilities::{self, Abilities};
use super::answer::{self, Answer, Fault, Seen, Told};
use super::ask::{Asker, Failure, Reply, Server};
use super::delegate::Walk;
use super::dnssec::{self, Dnskey, Packet, Proof};
use super::text;
use super::wanted::Wanted;
use super::wire::Question;
use crate::sample::{Reason, Unknown};

/// Name, type, and the network that was asked for.
pub(super) type Key = (String, String, Option<IpNet>);

/// What one authority showed.
#[derive(Debug)]
pub(super) struct Survey {
    /// The server.
    pub(super) server: Server,
    /// The zone's NS set as it gives it.
    pub(super) ns: Seen,
    /// Its SOA.
    pub(super) soa: Option<SOA>,
    /// Why it is not a sound authority of the zone.
    pub(super) fault: Option<Fault>,
    /// Why it was not asked.
    pub(super) unasked: Option<Unknown>,
    /// What it gave for each name and type, to anyone or to a network, with the TTL.
    pub(super) records: BTreeMap<Key, (Seen, Option<u32>)>,
    /// Its DNSKEY set.
    pub(super) keys: Result<BTreeSet<Dnskey>, Unknown>,
    /// Its answers with their signatures, within bounds.
    pub(super) proofs: Vec<Proof>,
    /// What it gives for a name that nobody can have made.
    pub(super) wildcard: Seen,
    /// What it is able to do.
    pub(super) abilities: Abilities,
    /// Whether it recurses for strangers.
    pub(super) recursion: Result<bool, Unknown>,
    /// `open`, `refused` or an error.
    pub(super) transfer: Result<String, Unknown>,
}

impl Survey {
    /// The server's key in every map.
    pub(super) fn address(&self) -> IpAddr {
        self.server.address.ip()
    }

    /// Whether nothing at all came from it: silence, which is no fact of the zone.
    pub(super) fn is_silent(&self) -> bool {
        self.unasked.is_some()
            || self.fault == Some(Fault::Timeout)
                && !matches!(self.ns, Ok(Answer::Set(_) | Answer::Nodata | Answer::Nxdomain))
    }

    /// ok, lame, unreachable or broken.
    pub(super) fn state(&self) -> &'static str {
        match self.fault {
            None => "ok",
            Some(Fault::Timeout | Fault::PortUnreachable) => "unreachable",
            Some(Fault::Refused | Fault::NotAuthoritative | Fault::UpwardReferral) => "lame",
            Some(_) => "broken",
        }
    }
}

/// Asks one authority of `zone` for what is wanted there; `whole` also tries its abilities.
pub(super) async fn take(
    asker: &Asker,
    walk: &Walk<'_>,
    server: Server,
    zone: &Name,
    wanted: &[Wanted],
    whole: bool,
) -> Survey {
    let mut survey = blank(server);
    survey.ask_soa(asker, zone).await;
    survey.ask_ns(asker, zone).await;
    for Wanted { name, kind, subnets } in wanted {
        let question = Question::of(name, *kind);
        let told = survey.ask_record(asker, walk, zone, &question).await;
        let (name, kind) = answer::key(name, *kind);
        survey.records.insert((name.clone(), kind.clone(), None), told);
        for net in subnets {
            let question = question.clone().for_client(*net);
            let told = survey.ask_record(asker, walk, zone, &question).await;
            survey.records.insert((name.clone(), kind.clone(), Some(*net)), told);
        }
    }
    if whole && survey.hopeless().is_none() {
        survey.ask_keys(asker, zone).await;
        survey.ask_wildcard(asker, zone).await;
        survey.try_tcp(asker, zone).await;
        survey.abilities.version = abilities::version(asker, &survey.server).await;
        survey.recursion = abilities::recursion(asker, &survey.server).await;
        survey.transfer = abilities::transfer(asker, &survey.server, zone).await;
    }
    survey
}

fn blank(server: Server) -> Survey {
    Survey {
        server,
        ns: Err(Reason::NotObserved.into()),
        soa: None,
        fault: None,
        unasked: None,
        records: BTreeMap::new(),
        keys: Err(Reason::NotObserved.into()),
        proofs: Vec::new(),
        wildcard: Err(Reason::NotObserved.into()),
        abilities: Abilities::default(),
        recursion: Err(Reason::NotObserved.into()),
        transfer: Err(Reason::NotObserved.into()),
    }
}

impl Survey {
    async fn ask_soa(&mut self, asker: &Asker, zone: &Name) {
        let reply = match self.ask(asker, &Question::of(zone, RecordType::SOA)).await {
            Ok(reply) => reply,
            Err(Failure::Fault(fault)) => return self.blame(fault),
            Err(Failure::Unasked(unknown)) => {
                self.unasked = Some(unknown);
                return;
            }
        };
        match answer::from_authority(&reply.message, zone, RecordType::SOA, zone) {
            Told::Answer(Answer::Set(_), _) => {}
            Told::Answer(Answer::Error(fault), _) => return self.blame(fault),
            _ => return self.blame(Fault::NotAuthoritative),
        }
        self.soa = reply.message.answers.iter().find_map(|record| match &record.data {
            RData::SOA(soa) if record.name == *zone => Some(soa.clone()),
            _ => None,
        });
    }

    async fn ask_ns(&mut self, asker: &Asker, zone: &Name) {
        self.ns = match &self.unasked {
            Some(unknown) => Err(unknown.clone()),
            None => match self.ask(asker, &Question::of(zone, RecordType::NS)).await {
                Err(Failure::Unasked(unknown)) => Err(unknown),
                Err(Failure::Fault(fault)) => Ok(Answer::Error(fault)),
                Ok(reply) => {
                    match answer::from_authority(&reply.message, zone, RecordType::NS, zone) {
                        Told::Answer(answer, _) => Ok(answer),
                        _ => Ok(Answer::Error(Fault::NotAuthoritative)),
                    }
                }
            },
        };
        match self.ns {
            Ok(Answer::Error(fault)) => self.blame(fault),
            // An answer after all: the silence before it was the network's.
            Ok(_) if self.fault == Some(Fault::Timeout) => {
                self.fault = None;
                self.ask_soa(asker, zone).await;
            }
            _ => {}
        }
    }

    async fn ask_record(
        &mut self,
        asker: &Asker,
        walk: &Walk<'_>,
        zone: &Name,
        question: &Question,
    ) -> (Seen, Option<u32>) {
        let (name, kind) = (&question.name, question.kind);
        if let Some(seen) = self.hopeless() {
            return (seen, None);
        }
        let reply = match self.ask(asker, question).await {
            Ok(reply) => reply,
            Err(Failure::Unasked(unknown)) => return (Err(unknown), None),
            Err(Failure::Fault(fault)) => {
                self.blame_for_answer(fault);
                return (Ok(Answer::Error(fault)), None);
            }
        };
        match answer::from_authority(&reply.message, name, kind, zone) {
            Told::Answer(answer, ttl) => {
                if let Answer::Error(fault) = answer {
                    self.blame_for_answer(fault);
                }
                (Ok(answer), ttl)
            }
            Told::Alias(_, ttl) if kind == RecordType::CNAME => (Ok(Answer::Nodata), Some(ttl)),
            Told::Alias(target, ttl) => {
                let seen = self.chase(asker, walk, zone, question, target).await;
                if let Ok(Answer::Error(fault @ Fault::CnameLoop)) = seen {
                    self.blame_for_answer(fault);
                }
                (seen, Some(ttl))
            }
            Told::Referral(_) => (Ok(Answer::Error(Fault::NotAuthoritative)), None),
            Told::TooMany => (Err(Unknown::new(Reason::Budget, "too many values")), None),
        }
    }

    /// Follows an alias: at this same server while the target stays in the zone, since servers may
    /// differ, else to the authority of each hop.
    async fn chase(
        &mut self,
        asker: &Asker,
        walk: &Walk<'_>,
        zone: &Name,
        asked: &Question,
        target: Name,
    ) -> Seen {
        let (from, kind) = (&asked.name, asked.kind);
        let (mut chain, mut target) = (vec![from.clone()], target);
        while zone.zone_of(&target) {
            if chain.contains(&target) || chain.len() > answer::MAX_CHAIN {
                return Ok(Answer::Error(Fault::CnameLoop));
            }
            let question = Question { name: target.clone(), ..asked.clone() };
            let reply = match self.ask(asker, &question).await {
                Ok(reply) => reply,
                Err(Failure::Unasked(unknown)) => return Err(unknown),
                Err(Failure::Fault(fault)) => return Ok(Answer::Error(fault)),
            };
            chain.push(target.clone());
            match answer::from_authority(&reply.message, &target, kind, zone) {
                Told::Answer(answer, _) => return Ok(answer),
                Told::Alias(next, _) => target = next,
                Told::Referral(_) => return walk.follow(from, &target, kind).await,
                Told::TooMany => return Err(Unknown::new(Reason::Budget, "too many values")),
            }
        }
        walk.follow(from, &target, kind).await
    }

    /// Keys, and where there are any what else only a signed zone has.
    async fn ask_keys(&mut self, asker: &Asker, zone: &Name) {
        self.keys = match self.ask(asker, &Question::of(zone, RecordType::DNSKEY)).await {
            Err(failure) => Err(failure.unknown()),
            Ok(reply) => {
                match answer::from_authority(&reply.message, zone, RecordType::DNSKEY, zone) {
                    Told::Answer(Answer::Error(fault), _) => Err(fault.unknown()),
                    Told::Answer(..) => Ok(dnssec::keys(zone, &self.proofs)),
                    _ => Err(Unknown::new(Reason::DnsError, "no answer of the zone")),
                }
            }
        };
        if self.keys.as_ref().is_ok_and(|keys| !keys.is_empty()) {
            for kind in [RecordType::CDS, RecordType::CDNSKEY, RecordType::NSEC3PARAM] {
                // Kept as a proof, or not known of.
                let _ = self.ask(asker, &Question::of(zone, kind)).await;
            }
        }
    }

    /// Asks for a label that nobody can have made.
    async fn ask_wildcard(&mut self, asker: &Asker, zone: &Name) {
        let label = format!("{:016x}", asker.random());
        let Ok(name) = Name::from_labels(std::iter::once(label.as_bytes()).chain(zone.iter()))
        else {
            return;
        };
        self.wildcard = match self.ask(asker, &Question::of(&name, RecordType::A)).await {
            Err(Failure::Unasked(unknown)) => Err(unknown),
            Err(Failure::Fault(fault)) => Ok(Answer::Error(fault)),
            Ok(reply) => match answer::from_authority(&reply.message, &name, RecordType::A, zone) {
                Told::Answer(answer, _) => Ok(answer),
                Told::Alias(target, _) => Ok(Answer::Set(BTreeSet::from([text::of_name(&target)]))),
                _ => Ok(Answer::Error(Fault::NotAuthoritative)),
            },
        };
        if let Some(proof) = self.proofs.last_mut().filter(|proof| proof.name == name) {
            proof.shown = Name::from_labels(std::iter::once(b"*".as_slice()).chain(zone.iter()))
                .unwrap_or_else(|_| zone.clone());
        }
    }

    async fn try_tcp(&mut self, asker: &Asker, zone: &Name) {
        match asker.ask_tcp(&self.server, &Question::of(zone, RecordType::SOA)).await {
            Ok(reply) => {
                self.abilities.note(&reply);
                self.abilities.tcp = Some(true);
            }
            Err(Failure::Fault(Fault::TcpFailed)) => {
                self.abilities.tcp = Some(false);
                self.blame(Fault::TcpFailed);
            }
            Err(_) => {}
        }
    }

    async fn ask(&mut self, asker: &Asker, question: &Question) -> Result<Reply, Failure> {
        let reply = asker.ask(&self.server, question).await;
        if let Ok(reply) = &reply {
            self.abilities.note(reply);
            self.keep(question, reply);
        }
        reply
    }

    /// Keeps an answer for its signatures, as long as there is room.
    fn keep(&mut self, question: &Question, reply: &Reply) {
        let Some(packet) = Packet::read(&reply.octets) else { return };
        let kept: usize = self.proofs.iter().map(|proof| proof.packet.weight()).sum();
        let (name, kind) = (question.name.clone(), question.kind);
        let is_new = !self.proofs.iter().any(|proof| proof.name == name && proof.kind == kind);
        if is_new && kept + packet.weight() <= MAX_PROOFS {
            self.proofs.push(Proof { shown: name.clone(), name, kind, packet });
        }
    }

    /// What stands in place of more questions to a server that two found without a word.
    fn hopeless(&self) -> Option<Seen> {
        if let Some(unknown) = &self.unasked {
            return Some(Err(unknown.clone()));
        }
        match (&self.ns, self.fault) {
            (Ok(Answer::Error(ns)), Some(soa)) if *ns == soa => match soa {
                Fault::Timeout | Fault::PortUnreachable | Fault::Malformed => {
                    Some(Ok(Answer::Error(soa)))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The first fault stands, but for silence, which any word tells more than.
    fn blame(&mut self, fault: Fault) {
        if matches!(self.fault, None | Some(Fault::Timeout)) {
            self.fault = Some(fault);
        }
    }

    /// A server that fails on one name is broken; that it lost a packet says nothing of it.
    fn blame_for_answer(&mut self, fault: Fault) {
        use Fault::{CnameLoop, Formerr, Malformed, Servfail, TcpFailed};
        if matches!(fault, CnameLoop | Formerr | Malformed | Servfail | TcpFailed) {
            self.blame(fault);
        }
    }
}

/// Memory for one server's signed answers.
const MAX_PROOFS: usize = 1 << 20;
