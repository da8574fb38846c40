//! Which sampling points there are: targets of config and discovery, with the addresses that their
//! names have now. Pure: answers in, changes out.

mod glimpsed;
mod sighted;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use self::glimpsed::Glimpsed;
use crate::config::TargetConfig;
use crate::inventory::{Family, Lookup, fixed_addresses, points};
use crate::rules::Selection;
use crate::sample::Unknown;
use crate::sampler::{Entry, Glimpse, Repeat};
use crate::target::{Host, Point, PointKey, ProbeKind};

pub(super) use self::glimpsed::Sighting;

/// A target ready to be sampled.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// What the config says of it.
    pub(super) config: Arc<TargetConfig>,
    /// Its rules; shared by all targets with the same profile and ranges.
    pub(super) selection: Selection,
}

/// Every target with its points.
#[derive(Debug, Default)]
pub(super) struct Population {
    members: BTreeMap<Arc<str>, Member>,
    /// When which name is to be resolved.
    agenda: BTreeSet<(Instant, Arc<str>)>,
    /// Addresses beyond `max_addresses`, in all.
    excess: usize,
    /// Ports with TLS that nobody named.
    glimpsed: Glimpsed,
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
    /// Points of ports that are closed, or speak no TLS any more.
    pub(super) port_closed: Vec<PointKey>,
}

impl Change {
    /// Whether nothing changed.
    pub(super) fn is_empty(&self) -> bool {
        let Self { put, target_removed, address_gone, port_closed } = self;
        put.is_empty()
            && [target_removed, address_gone, port_closed].iter().all(|gone| gone.is_empty())
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
        Self { remembered: remembered.collect(), ..Self::default() }
    }

    /// Every point that there is.
    pub(super) fn keys(&self) -> HashSet<PointKey> {
        let named = self.members.values().flat_map(|member| &member.points).copied();
        named.chain(self.glimpsed.keys()).collect()
    }

    /// Makes these the targets. Untouched ones keep their points; with `rules_changed` every point
    /// is put again with its new rules, which moves no phase.
    pub(super) fn set(&mut self, wanted: Vec<Wanted>, rules_changed: bool, now: Instant) -> Change {
        let mut change = Change::default();
        let names: HashSet<Arc<str>> =
            wanted.iter().map(|w| Arc::clone(&w.config.target.name)).collect();
        let gone: Vec<Arc<str>> =
            self.members.keys().filter(|name| !names.contains(*name)).cloned().collect();
        for name in gone {
            self.look_at(&name, |member| change.target_removed.extend(member.points.drain()));
            self.forget(&name);
        }
        let mut touched = HashSet::new();
        for wanted in wanted {
            let name = Arc::clone(&wanted.config.target.name);
            let known = self.members.get(&name).map(|member| Arc::clone(&member.wanted.config));
            if known.is_some_and(|config| *config == *wanted.config) && !rules_changed {
                continue;
            }
            touched.insert(Arc::clone(&name));
            match self.members.get_mut(&name) {
                Some(member) => member.wanted = wanted,
                None => {
                    let mut member = Member::new(wanted);
                    member.addresses = self.remembered.remove(&name).unwrap_or_default();
                    self.members.insert(Arc::clone(&name), member);
                }
            }
            // What was sampled for a probe or an address that is no longer wanted goes.
            let gone = self.look_at(&name, |member| member.refresh(now, &mut change.put, true));
            change.target_removed.extend(gone.into_iter().flatten());
        }
        self.review_glimpsed(&touched, &mut change);
        change
    }

    /// Changes a member, and keeps what is known of all in step with it.
    fn look_at<T>(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Member) -> T) -> Option<T> {
        let member = self.members.get_mut(name)?;
        let (excess, resolve_at) = (member.excess, member.resolve_at);
        let outcome = change(member);
        self.excess = self.excess - excess + member.excess;
        if member.resolve_at != resolve_at {
            if let Some(at) = resolve_at {
                self.agenda.remove(&(at, Arc::clone(name)));
            }
            if let Some(at) = member.resolve_at {
                self.agenda.insert((at, Arc::clone(name)));
            }
        }
        Some(outcome)
    }

    fn forget(&mut self, name: &Arc<str>) {
        self.look_at(name, |member| (member.excess, member.resolve_at) = (0, None));
        self.members.remove(name);
    }

    /// The names that are to be resolved now, at most `most`; each is asked again only after its
    /// answer came.
    pub(super) fn due_names(&mut self, now: Instant, most: usize) -> Vec<(Arc<str>, String)> {
        let due: Vec<Arc<str>> = self
            .agenda
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(most)
            .map(|(_, target)| Arc::clone(target))
            .collect();
        let ask = |target: Arc<str>| {
            let name = self.look_at(&target, |member| {
                let Host::Name(name) = &member.wanted.config.target.endpoint.host else {
                    member.resolve_at = None;
                    return None;
                };
                member.resolve_at = Some(now + IN_FLIGHT);
                Some(name.clone())
            });
            Some((target, name??))
        };
        due.into_iter().filter_map(ask).collect()
    }

    /// Takes in what a target's name was resolved to.
    pub(super) fn resolved(
        &mut self,
        target: &Arc<str>,
        answer: Result<Lookup, Unknown>,
        now: Instant,
    ) -> Change {
        let mut change = Change::default();
        let gone = self.look_at(target, |member| {
            member.learn(answer, now);
            member.refresh(now, &mut change.put, false)
        });
        change.address_gone = gone.unwrap_or_default();
        change
    }

    /// Addresses beyond `max_addresses`, in all.
    pub(super) fn excess(&self) -> usize {
        self.excess
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
        if config.glimpses_tls() {
            // One an address that http is sampled at; a probe of its own knows more.
            let known = wanted.iter().filter(|point| point.probe == ProbeKind::Http);
            let known = known.filter(|point| point.address.is_some());
            let tls = |point: &Point| Point { probe: ProbeKind::Tls, ..point.clone() };
            let glimpsed: Vec<Point> = known.map(tls).collect();
            wanted.extend(glimpsed);
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
        let interval = self.wanted.config.plan.interval();
        let glimpse = match point.probe {
            ProbeKind::Http if config.glimpses_tls() => Glimpse::Gives,
            ProbeKind::Ports => Glimpse::Gives,
            _ if point.target.found_by.is_some() => Glimpse::Takes,
            ProbeKind::Tls if config.glimpses_tls() => Glimpse::Takes,
            _ => Glimpse::Apart,
        };
        Entry {
            point,
            plan: Arc::clone(&self.wanted.config.plan),
            plan_name: Arc::clone(&config.plan_name),
            selection: self.wanted.selection.clone(),
            repeat: Repeat {
                samples: config.repeat.samples.into(),
                agree: config.repeat.agree.into(),
                within: config.repeat.within,
            },
            freshness: config.freshness.unwrap_or_else(|| (interval * 3).max(HOUR)),
            glimpse,
            spoken_for: Arc::default(),
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
