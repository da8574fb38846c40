//! Which sampling points there are: targets of config and discovery, with the addresses that their
//! names have now. Pure: answers in, changes out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::TargetConfig;
use crate::inventory::{Family, Lookup, fixed_addresses, points};
use crate::rules::Selection;
use crate::sample::Unknown;
use crate::sampler::{Entry, Repeat};
use crate::schedule::Plan;
use crate::target::{Host, Point, PointKey};

/// A target ready to be sampled.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// What the config says of it.
    pub(super) config: Arc<TargetConfig>,
    /// Its plan, compiled; shared by all targets of the plan.
    pub(super) plan: Arc<Plan>,
    /// Its rules; shared by all targets with the same profile and ranges.
    pub(super) selection: Selection,
}

/// Every target with its points.
#[derive(Debug, Default)]
pub(super) struct Population {
    members: BTreeMap<Arc<str>, Member>,
    /// Addresses of targets from before the start, until the target is wanted.
    remembered: HashMap<Arc<str>, Vec<Known>>,
}

/// What became of the points.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// New points, and known ones whose plan or rules changed.
    pub(super) put: Vec<Entry>,
    /// Points of targets that are gone.
    pub(super) target_removed: Vec<PointKey>,
    /// Points of addresses that are gone.
    pub(super) address_gone: Vec<PointKey>,
}

impl Change {
    /// Whether nothing changed.
    pub(super) fn is_empty(&self) -> bool {
        self.put.is_empty() && self.target_removed.is_empty() && self.address_gone.is_empty()
    }
}

#[derive(Debug)]
struct Member {
    wanted: Wanted,
    points: HashSet<PointKey>,
    addresses: Vec<Known>,
    excess: usize,
    /// When the name is to be resolved again; `None` where there is nothing to resolve.
    resolve_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    address: IpAddr,
    seen: Instant,
    ttl: Duration,
}

impl Population {
    /// None yet; a name that had addresses before the start has them until they are gone.
    pub(super) fn remembering(addresses: HashMap<Arc<str>, Vec<IpAddr>>, now: Instant) -> Self {
        let known = |address| Known { address, seen: now, ttl: Duration::ZERO };
        let remembered = addresses
            .into_iter()
            .map(|(target, all)| (target, all.into_iter().map(known).collect()));
        Self { members: BTreeMap::new(), remembered: remembered.collect() }
    }

    /// Every point that there is.
    pub(super) fn keys(&self) -> HashSet<PointKey> {
        self.members.values().flat_map(|member| &member.points).copied().collect()
    }

    /// Makes these the targets. Untouched ones keep their points; with `rules_changed` every point
    /// is put again with its new rules, which moves no phase.
    pub(super) fn set(&mut self, wanted: Vec<Wanted>, rules_changed: bool, now: Instant) -> Change {
        let mut change = Change::default();
        let names: HashSet<Arc<str>> =
            wanted.iter().map(|w| Arc::clone(&w.config.target.name)).collect();
        self.members.retain(|name, member| {
            let stays = names.contains(name);
            if !stays {
                change.target_removed.extend(member.points.drain());
            }
            stays
        });
        for wanted in wanted {
            let name = Arc::clone(&wanted.config.target.name);
            match self.members.get_mut(&name) {
                Some(member) if *member.wanted.config == *wanted.config && !rules_changed => {}
                Some(member) => {
                    member.wanted = wanted;
                    // What was sampled for a probe or an address that is no longer wanted goes.
                    let gone = member.refresh(now, &mut change.put, true);
                    change.target_removed.extend(gone);
                }
                None => {
                    let mut member = Member::new(wanted);
                    member.addresses = self.remembered.remove(&name).unwrap_or_default();
                    member.refresh(now, &mut change.put, true);
                    self.members.insert(name, member);
                }
            }
        }
        change
    }

    /// The names that are to be resolved now, at most `most`; each is asked again only after its
    /// answer came.
    pub(super) fn due_names(&mut self, now: Instant, most: usize) -> Vec<(Arc<str>, String)> {
        let mut due = Vec::new();
        for (target, member) in &mut self.members {
            if due.len() == most {
                break;
            }
            if member.resolve_at.is_some_and(|at| at <= now)
                && let Host::Name(name) = &member.wanted.config.target.endpoint.host
            {
                due.push((Arc::clone(target), name.clone()));
                member.resolve_at = Some(now + IN_FLIGHT);
            }
        }
        due
    }

    /// Takes in what a target's name was resolved to.
    pub(super) fn resolved(
        &mut self,
        target: &str,
        answer: Result<Lookup, Unknown>,
        now: Instant,
    ) -> Change {
        let mut change = Change::default();
        let Some(member) = self.members.get_mut(target) else { return change };
        member.learn(answer, now);
        change.address_gone = member.refresh(now, &mut change.put, false);
        change
    }

    /// Addresses beyond `max_addresses`, in all.
    pub(super) fn excess(&self) -> usize {
        self.members.values().map(|member| member.excess).sum()
    }
}

impl Member {
    fn new(wanted: Wanted) -> Self {
        Self { wanted, points: HashSet::new(), addresses: Vec::new(), excess: 0, resolve_at: None }
    }

    /// Keeps what is still known: an address is gone only when answers lacked it for three TTLs and
    /// at least an hour; what could not be asked is not gone.
    fn learn(&mut self, answer: Result<Lookup, Unknown>, now: Instant) {
        let Ok(found) = answer else {
            self.resolve_at = Some(now + RETRY);
            return;
        };
        let silent = |family: Family| found.unknown.iter().any(|(unknown, _)| *unknown == family);
        for address in &found.addresses {
            match self.addresses.iter_mut().find(|known| known.address == *address) {
                Some(known) => (known.seen, known.ttl) = (now, found.ttl),
                None => self.addresses.push(Known { address: *address, seen: now, ttl: found.ttl }),
            }
        }
        for known in &mut self.addresses {
            let family = if known.address.is_ipv4() { Family::V4 } else { Family::V6 };
            if silent(family) {
                known.seen = now;
            }
        }
        self.addresses
            .retain(|known| now < known.seen + known.ttl.saturating_mul(3).clamp(HOUR, DAY));
        self.resolve_at = Some(now + found.ttl.clamp(SOONEST, LATEST));
    }

    /// Brings the points in step with the addresses; gives those that are gone.
    fn refresh(&mut self, now: Instant, put: &mut Vec<Entry>, again: bool) -> Vec<PointKey> {
        let config = Arc::clone(&self.wanted.config);
        let needs_address = config.probes.iter().any(|probe| probe.is_per_address());
        let addresses = match fixed_addresses(&config.target) {
            Some(fixed) => {
                self.resolve_at = None;
                fixed
            }
            None => {
                if self.resolve_at.is_none() && needs_address {
                    self.resolve_at = Some(now);
                }
                self.addresses.iter().map(|known| known.address).collect()
            }
        };
        let found = points(&config.target, &config.probes, &addresses, config.max_addresses);
        self.excess = found.excess;
        let mut wanted: Vec<Point> = found.points;
        if addresses.is_empty() {
            // A name without a known address is sampled as such: unknown, with the reason.
            let unresolved = config.probes.iter().filter(|probe| probe.is_per_address());
            let point = |&probe| Point { target: Arc::clone(&config.target), probe, address: None };
            wanted.extend(unresolved.map(point));
        }
        let mut keys = HashSet::with_capacity(wanted.len());
        for point in wanted {
            let key = point.key();
            keys.insert(key);
            if again || !self.points.contains(&key) {
                put.push(self.entry(point));
            }
        }
        let gone = self.points.difference(&keys).copied().collect();
        self.points = keys;
        gone
    }

    fn entry(&self, point: Point) -> Entry {
        let config = &self.wanted.config;
        let interval = self.wanted.plan.interval();
        Entry {
            point,
            plan: Arc::clone(&self.wanted.plan),
            plan_name: Arc::clone(&config.plan_name),
            selection: self.wanted.selection.clone(),
            repeat: Repeat {
                samples: config.repeat.samples.into(),
                agree: config.repeat.agree.into(),
                within: config.repeat.within,
            },
            freshness: config.freshness.unwrap_or_else(|| (interval * 3).max(HOUR)),
        }
    }
}

/// How often names are resolved whose TTL is shorter, or longer.
const SOONEST: Duration = Duration::from_secs(30);
const LATEST: Duration = Duration::from_secs(900);
/// When a name that could not be resolved is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// A question is not asked again while its answer is on the way.
const IN_FLIGHT: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
