//! Which points there are, by what is wanted, known and seen.

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

fn ports_of(target: &str, probes: &[ProbeKind]) -> Wanted {
    wanted(target, &[&[ProbeKind::Ports], probes].concat())
}

fn sighting(giver: &str, port: u16) -> Sighting {
    let seen = vec![("192.0.2.1".parse().expect("an address"), port)];
    Sighting { giver: giver.into(), seen, addresses: serde_json::Value::Null }
}

fn tls_point(target: &str) -> PointKey {
    PointKey::new(target, ProbeKind::Tls, "192.0.2.1".parse().ok())
}

#[test]
fn tls_that_a_ports_run_came_upon_is_a_point_until_its_target_goes() {
    let (now, mut population) = (Instant::now(), Population::default());
    population.set(vec![ports_of(NAME, &[])], false, now);
    let change = population.sighted(&sighting(NAME, 8443), now);
    let [entry] = change.put.as_slice() else { panic!("{change:?}") };
    let key = tls_point("shop.example.com:8443");
    assert_eq!((entry.point.key(), entry.glimpse), (key, Glimpse::Takes));
    assert_eq!(entry.point.target.found_by.as_deref(), Some(NAME));
    assert!(population.keys().contains(&key), "a restart must not take it for left over");
    assert!(population.sighted(&sighting(NAME, 8443), now).is_empty(), "once");
    let again = population.set(vec![ports_of(NAME, &[])], true, now);
    assert!(again.put.iter().any(|entry| entry.point.key() == key), "new rules for it, too");
    let change = population.set(vec![wanted(NAME, &[ProbeKind::Dns])], false, now);
    assert!(change.target_removed.contains(&key), "nobody looks at ports any more");
    // A run that was under way then tells of it once more.
    assert_eq!(population.sighted(&sighting(NAME, 8443), now).target_removed, [key]);
    population.set(Vec::new(), false, now);
    assert_eq!(population.sighted(&sighting(NAME, 8443), now).target_removed, [key]);
}

#[test]
fn a_port_that_somebody_named_is_no_find() {
    let now = Instant::now();
    let found = tls_point("192.0.2.1:8443");
    for (named, is_same) in [("192.0.2.1:8443", true), ("https://192.0.2.1:8443", false)] {
        let (mut population, host) = (Population::default(), || ports_of("192.0.2.1", &[]));
        population.set(vec![host()], false, now);
        assert_eq!(population.sighted(&sighting("192.0.2.1", 8443), now).put.len(), 1);
        let with = vec![host(), wanted(named, &[ProbeKind::Tls])];
        let change = population.set(with, false, now);
        let withdrawn: &[PointKey] = if is_same { &[] } else { &[found] };
        assert_eq!((change.put.len(), change.target_removed.as_slice()), (1, withdrawn), "{named}");
        // A run that was under way then tells of it once more.
        let change = population.sighted(&sighting("192.0.2.1", 8443), now);
        assert_eq!((change.put.len(), change.target_removed.as_slice()), (0, withdrawn), "{named}");
        let change = population.set(vec![host()], false, now);
        assert_eq!(change.target_removed, [tls_point(named)]);
        assert_eq!(population.sighted(&sighting("192.0.2.1", 8443), now).put.len(), 1, "{named}");
    }
}

#[test]
fn after_a_restart_what_ports_runs_came_upon_is_taken_up_again() {
    let (now, mut population) = (Instant::now(), Population::default());
    let named = wanted("192.0.2.1:993", &[ProbeKind::Tls]);
    population.set(vec![ports_of("192.0.2.1", &[]), named], false, now);
    let names: Vec<Arc<str>> =
        ["192.0.2.1:8443", "192.0.2.1:993", "192.0.2.9:8443", "https://192.0.2.1:1", "192.0.2.1"]
            .map(Arc::from)
            .to_vec();
    let address = "192.0.2.1".parse().expect("an address");
    let change = population.adopt(names.iter().map(|name| (name, address)), now);
    let put: Vec<PointKey> = change.put.iter().map(|entry| entry.point.key()).collect();
    assert_eq!(put, [tls_point("192.0.2.1:8443")]);
}
