//! Which sampling points there are: targets of config and discovery, with the addresses that their
//! names have now. Pure: answers in, changes out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::TargetConfig;
use crate::inventory::{Family, Lookup, fixed_addresses, points};
use crate::rules::Selection;
use crate::sample::Unknown;
use crate::sampler::{Entry, Glimpse, Repeat};
use crate::target::{Host, Point, PointKey, ProbeKind};

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
        Self { remembered: remembered.collect(), ..Self::default() }
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
        let gone: Vec<Arc<str>> =
            self.members.keys().filter(|name| !names.contains(*name)).cloned().collect();
        for name in gone {
            self.look_at(&name, |member| change.target_removed.extend(member.points.drain()));
            self.forget(&name);
        }
        for wanted in wanted {
            let name = Arc::clone(&wanted.config.target.name);
            let known = self.members.get(&name).map(|member| Arc::clone(&member.wanted.config));
            if known.is_some_and(|config| *config == *wanted.config) && !rules_changed {
                continue;
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AdHoc, Config};
    use crate::sample::Reason;
    use crate::schedule::PlanSpec;
    use crate::target::ProbeKind;

    /// A target of the command line with these probes.
    fn wanted(target: &str, probes: &[ProbeKind]) -> Wanted {
        let networks = vec!["192.0.2.0/24".parse().expect("a network")];
        let options = AdHoc { allow_networks: networks, ..AdHoc::default() };
        let config = Config::from_targets(&[target.to_owned()], &options);
        let mut config = config.expect("a config").targets.remove(0);
        config.probes = probes.to_vec();
        config.max_addresses = 2;
        let plan = PlanSpec::every(Duration::from_secs(60)).compile().expect("a plan");
        config.plan = Arc::new(plan);
        Wanted { config: Arc::new(config), selection: Selection::default() }
    }

    fn lookup(addresses: &[&str], ttl: u64, silent: &[Family]) -> Result<Lookup, Unknown> {
        Ok(Lookup {
            addresses: addresses.iter().map(|a| a.parse().expect("an address")).collect(),
            ttl: Duration::from_secs(ttl),
            unknown: silent.iter().map(|f| (*f, Unknown::from(Reason::Timeout))).collect(),
        })
    }

    /// A population of one name, sampled by tls and dns.
    struct One {
        population: Population,
        name: Arc<str>,
        start: Instant,
        points: HashSet<PointKey>,
    }

    impl One {
        fn new() -> Self {
            let (start, wanted) = (Instant::now(), wanted(NAME, &[ProbeKind::Tls, ProbeKind::Dns]));
            let name = Arc::clone(&wanted.config.target.name);
            let mut one =
                Self { population: Population::default(), name, start, points: HashSet::new() };
            let change = one.population.set(vec![wanted], false, start);
            one.follow(&change);
            one
        }

        fn answer(&mut self, minutes: u64, answer: Result<Lookup, Unknown>) -> Change {
            let now = self.start + Duration::from_secs(minutes * 60);
            let change = self.population.resolved(&self.name, answer, now);
            self.follow(&change);
            change
        }

        fn follow(&mut self, change: &Change) {
            self.points.extend(change.put.iter().map(|entry| entry.point.key()));
            for key in change.address_gone.iter().chain(&change.target_removed) {
                assert!(self.points.remove(key), "what goes was there");
            }
        }

        fn has(&self, address: Option<&str>) -> bool {
            let address = address.map(|a| a.parse().expect("an address"));
            self.points.contains(&PointKey::new(&self.name, ProbeKind::Tls, address))
        }
    }

    const NAME: &str = "shop.example.com";

    #[test]
    fn an_unresolved_name_has_a_point_without_address_until_one_is_known() {
        let mut one = One::new();
        assert!(one.has(None));
        assert_eq!(one.points.len(), 2, "and the one of dns");
        assert!(one.answer(0, Err(Reason::DnsError.into())).is_empty());
        let change = one.answer(1, lookup(&["192.0.2.1"], 60, &[]));
        assert_eq!(change.address_gone.len(), 1);
        assert!(one.has(Some("192.0.2.1")) && !one.has(None));
        assert_eq!(one.points.len(), 2);
    }

    #[test]
    fn an_address_is_gone_only_after_three_ttls_and_an_hour() {
        for (ttl, still, gone) in [(60, 59, 61), (1800, 89, 91), (999_999, 23 * 60, 24 * 60 + 1)] {
            let mut one = One::new();
            one.answer(0, lookup(&["192.0.2.1", "192.0.2.2"], ttl, &[]));
            one.answer(still, lookup(&["192.0.2.1"], ttl, &[]));
            assert!(one.has(Some("192.0.2.2")), "{ttl}");
            let change = one.answer(gone, lookup(&["192.0.2.1"], ttl, &[]));
            assert_eq!(change.address_gone.len(), 1, "{ttl}");
            assert!(one.has(Some("192.0.2.1")) && !one.has(Some("192.0.2.2")), "{ttl}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_resolved_keeps_its_addresses() {
        let mut one = One::new();
        one.answer(0, lookup(&["192.0.2.1"], 60, &[]));
        for hour in 1..100 {
            assert!(one.answer(hour * 60, Err(Reason::Timeout.into())).is_empty());
        }
        assert!(one.has(Some("192.0.2.1")));
    }

    #[test]
    fn a_family_that_could_not_be_asked_keeps_its_addresses() {
        let mut one = One::new();
        one.answer(0, lookup(&["192.0.2.1", "2001:db8::1"], 60, &[]));
        for hour in 1..5 {
            one.answer(hour * 60, lookup(&["192.0.2.9"], 60, &[Family::V6]));
        }
        assert!(one.has(Some("2001:db8::1")), "unknown is not gone");
        assert!(!one.has(Some("192.0.2.1")), "the other family answered without it");
    }

    #[test]
    fn addresses_beyond_the_bound_are_counted_though_no_point_changes() {
        let mut one = One::new();
        one.answer(0, lookup(&["192.0.2.1", "192.0.2.2"], 60, &[]));
        assert_eq!(one.population.excess(), 0);
        let change = one.answer(1, lookup(&["192.0.2.1", "192.0.2.2", "192.0.2.3"], 60, &[]));
        assert!(change.is_empty());
        assert_eq!(one.population.excess(), 1);
        one.answer(90, lookup(&["192.0.2.1", "192.0.2.2"], 60, &[]));
        assert_eq!(one.population.excess(), 0);
        one.answer(91, lookup(&["192.0.2.1", "192.0.2.2", "192.0.2.3"], 60, &[]));
        one.population.set(Vec::new(), false, one.start);
        assert_eq!(one.population.excess(), 0, "it goes with its target");
    }

    #[test]
    fn untouched_targets_keep_their_points_and_others_change_alone() {
        let (now, probes) = (Instant::now(), [ProbeKind::Tls]);
        let fixed = |n: u8| wanted(&format!("https://192.0.2.{n}"), &probes);
        let mut population = Population::default();
        assert_eq!(population.set(vec![fixed(1), fixed(2)], false, now).put.len(), 2);
        assert!(population.set(vec![fixed(1), fixed(2)], false, now).is_empty());
        let change = population.set(vec![fixed(1), fixed(3)], false, now);
        assert_eq!((change.put.len(), change.target_removed.len()), (1, 1));
        let again = population.set(vec![fixed(1), fixed(3)], true, now);
        assert_eq!((again.put.len(), again.target_removed.len()), (2, 0), "new rules for all");
    }

    #[test]
    fn a_probe_that_is_taken_off_a_target_withdraws_its_points() {
        let now = Instant::now();
        let with = |probes: &[ProbeKind]| vec![wanted("https://192.0.2.1", probes)];
        let mut population = Population::default();
        population.set(with(&[ProbeKind::Tls, ProbeKind::Http]), false, now);
        let change = population.set(with(&[ProbeKind::Tls]), false, now);
        let name = "https://192.0.2.1";
        let http = PointKey::new(name, ProbeKind::Http, "192.0.2.1".parse().ok());
        assert_eq!(change.target_removed, [http]);
        assert!(change.address_gone.is_empty());
    }

    #[test]
    fn an_https_target_without_a_tls_probe_has_a_tls_point_that_lives_by_http() {
        let now = Instant::now();
        let set = |population: &mut Population, target: &str, probes: &[ProbeKind]| {
            let change = population.set(vec![wanted(target, probes)], false, now);
            let kinds = change.put.iter().map(|entry| (entry.point.probe, entry.glimpse));
            let mut kinds: Vec<_> = kinds.collect();
            kinds.sort_by_key(|(probe, _)| *probe);
            (kinds, change.target_removed.len())
        };
        let (http, tls) = (ProbeKind::Http, ProbeKind::Tls);
        let mut population = Population::default();
        let shared = vec![(tls, Glimpse::Takes), (http, Glimpse::Gives)];
        assert_eq!(set(&mut population, "https://192.0.2.1", &[http]), (shared.clone(), 0));
        let key = PointKey::new("https://192.0.2.1", tls, "192.0.2.1".parse().ok());
        assert!(population.keys().contains(&key), "a restart must not take it for left over");
        let apart = vec![(tls, Glimpse::Apart), (http, Glimpse::Apart)];
        assert_eq!(set(&mut population, "https://192.0.2.1", &[http, tls]), (apart, 0));
        assert_eq!(set(&mut population, "https://192.0.2.1", &[http]), (shared, 0));
        let plain = vec![(http, Glimpse::Apart)];
        assert_eq!(set(&mut population, "http://192.0.2.1", &[http]), (plain, 2));
        assert!(!population.keys().contains(&key));
    }

    #[test]
    fn what_lives_by_http_comes_and_goes_with_the_address() {
        let start = Instant::now();
        let name: Arc<str> = NAME.into();
        let mut population = Population::default();
        let change = population.set(vec![wanted(NAME, &[ProbeKind::Http])], false, start);
        assert_eq!(change.put.len(), 1, "no address, no handshake");
        let change = population.resolved(&name, lookup(&["192.0.2.1"], 60, &[]), start);
        assert_eq!((change.put.len(), change.address_gone.len()), (2, 1));
        let later = start + Duration::from_secs(2 * 3600);
        let change = population.resolved(&name, lookup(&["192.0.2.2"], 60, &[]), later);
        assert_eq!((change.put.len(), change.address_gone.len()), (2, 2));
    }

    #[test]
    fn a_name_is_asked_again_by_its_ttl_and_never_twice_at_once() {
        let mut one = One::new();
        let at = |seconds| one.start + Duration::from_secs(seconds);
        let (start, later) = (at(0), at(31));
        assert_eq!(one.population.due_names(start, 10).len(), 1);
        assert!(one.population.due_names(at(1), 10).is_empty(), "its answer is on the way");
        assert!(one.population.due_names(at(31), 0).is_empty());
        assert_eq!(one.population.due_names(later, 10).len(), 1, "the answer was lost");
        one.answer(1, lookup(&["192.0.2.1"], 300, &[]));
        let asked = |one: &mut One, seconds| {
            let now = one.start + Duration::from_secs(seconds);
            one.population.due_names(now, 10).len()
        };
        assert_eq!((asked(&mut one, 359), asked(&mut one, 360)), (0, 1));
        one.population.set(Vec::new(), false, start);
        assert_eq!(asked(&mut one, 86_400), 0, "nobody asks for a target that is gone");
    }
}
