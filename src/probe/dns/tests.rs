//! The whole probe against a scripted internet on loopback.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::lab::{Lab, Script, Way};
use crate::probe::dial::{Dialer, Unbounded};
use crate::probe::{Job, Memory, Run};
use crate::sample::{Cause, Measurements, Outcome, Reason};
use crate::target::{Point, ProbeKind, Settings, Target, TextFile};

const ROOT: &str = ". 60 SOA 1
    . 60 NS a.root.test
    a.root.test 60 A 127.0.0.1
    test 60 NS ns.tld.test
    ns.tld.test 60 A 127.0.0.2";

const TLD: &str = "test 60 SOA 1
    test 60 NS ns.tld.test
    ns.tld.test 60 A 127.0.0.2
    shop.test 60 NS ns1.shop.test
    shop.test 60 NS ns2.shop.test
    ns1.shop.test 60 A 127.0.0.3
    ns2.shop.test 60 A 127.0.0.4
    cdn.test 60 NS ns.cdn.test
    ns.cdn.test 60 A 127.0.0.5
    other.test 60 NS ns1.shop.test
    loop.test 60 NS ns.loop2.test
    loop2.test 60 NS ns.loop.test";

pub(super) const SHOP: &str = "shop.test 300 SOA 7
    shop.test 300 NS ns1.shop.test
    shop.test 300 NS ns2.shop.test
    ns1.shop.test 300 A 127.0.0.3
    ns2.shop.test 300 A 127.0.0.4
    shop.test 300 A 192.0.2.1
    shop.test 300 A 192.0.2.2
    shop.test 300 TXT v=spf1 -all
    shop.test 300 MX 10 mail.shop.test
    mail.shop.test 300 A 192.0.2.25
    _dmarc.shop.test 300 TXT v=DMARC1; p=reject
    www.shop.test 300 CNAME edge.cdn.test
    a.shop.test 300 CNAME b.shop.test
    b.shop.test 300 CNAME a.shop.test
    evil.shop.test 300 TXT \x1b[31mred";

const CDN: &str = "cdn.test 60 SOA 1
    cdn.test 60 NS ns.cdn.test
    ns.cdn.test 60 A 127.0.0.5
    edge.cdn.test 60 A 198.51.100.7";

pub(super) fn shop() -> Script {
    Script::of(&[("shop.test", SHOP)])
}

/// The internet with two given servers of shop.test, and more.
pub(super) async fn internet(ns1: Script, ns2: Script, more: Vec<(u8, Script)>) -> Lab {
    let mut scripts = vec![
        (1, Script::of(&[(".", ROOT)])),
        (2, Script::of(&[("test", TLD)])),
        (3, ns1),
        (4, ns2),
        (5, Script::of(&[("cdn.test", CDN)])),
    ];
    scripts.extend(more);
    Lab::start(scripts).await
}

pub(super) struct Asked {
    pub(super) settings: Settings,
    pub(super) memory: Option<Memory>,
    pub(super) now: DateTime<Utc>,
    seed: u64,
    pub(super) cause: Cause,
}

pub(super) fn asked(lab: &Lab) -> Asked {
    asked_at(lab.port)
}

pub(super) fn asked_at(port: u16) -> Asked {
    let hints = ". 60 NS a.root.test.\na.root.test. 60 A 127.0.0.1\n";
    let settings = Settings {
        dns_port: Some(port),
        root_hints: Some(TextFile { path: "hints".into(), text: hints.into() }),
        timeout: Some(Duration::from_millis(250)),
        ..Settings::default()
    };
    let now = DateTime::from_timestamp(1_790_000_000, 0).expect("a date");
    Asked { settings, memory: None, now, seed: 42, cause: Cause::Scheduled }
}

impl Asked {
    pub(super) fn pins(mut self, pins: Value) -> Self {
        self.settings.pins = serde_json::from_value(pins).expect("pins");
        self
    }

    fn resolvers(mut self, lab: &Lab, last: &[u8]) -> Self {
        let at = |last: &u8| ([127, 0, 0, *last], lab.port).into();
        self.settings.dns_servers = last.iter().map(at).collect();
        self
    }

    pub(super) async fn of(&self, target: &str) -> Run {
        let settings = Arc::new(self.settings.clone());
        let mut target = Target::new(target.parse().expect("a target"));
        target.settings = settings.clone();
        let outside = Unbounded::outside();
        let dialer = Dialer::new(outside, settings, ProbeKind::Dns, Duration::from_secs(30));
        super::run(Job {
            point: Point { target: Arc::new(target), probe: ProbeKind::Dns, address: None },
            memory: self.memory.clone(),
            now: self.now,
            seed: self.seed,
            cause: self.cause,
            dialer,
            glimpses: false,
            promised: false,
        })
        .await
    }

    pub(super) async fn facts(&self, target: &str) -> Measurements {
        measured(self.of(target).await)
    }
}

pub(super) fn measured(run: Run) -> Measurements {
    let [observation] = run.observations.as_slice() else { panic!("one observation") };
    match &observation.outcome {
        Outcome::Measured(measured) => measured.clone(),
        Outcome::Unknown(unknown) => panic!("{unknown}"),
    }
}

pub(super) fn fact<'a>(measured: &'a Measurements, path: &[&str]) -> &'a Value {
    let (first, rest) = path.split_first().expect("a path");
    let first = measured.fact(first).unwrap_or(&Value::Null);
    rest.iter().fold(first, |value, step| &value[*step])
}

#[tokio::test]
async fn a_sound_zone_is_walked_from_the_root_to_every_authority() {
    let lab = internet(shop(), shop(), vec![]).await;
    let m = asked(&lab).facts("shop.test").await;
    for server in ["127.0.0.3", "127.0.0.4"] {
        let at = |kind: &'static str| fact(&m, &["records", "shop.test", kind, server]);
        assert_eq!(at("A"), &json!(["192.0.2.1", "192.0.2.2"]));
        assert_eq!(at("AAAA"), "nodata");
        assert_eq!(at("CNAME"), "nodata");
        assert_eq!(fact(&m, &["ttl", "shop.test", "A", server]), 300);
        assert_eq!(fact(&m, &["delegation", "servers", server, "state"]), "ok");
        assert_eq!(fact(&m, &["soa", server, "serial"]), 7);
        let abilities = fact(&m, &["servers", server]);
        for able in ["edns", "tcp", "keeps_case"] {
            assert_eq!(abilities[able], true, "{able}");
        }
        assert_eq!(fact(&m, &["recursion", server]), false);
        assert_eq!(fact(&m, &["transfer", server]), "refused");
        assert_eq!(fact(&m, &["dnssec", server, "state"]), "insecure");
        assert_eq!(fact(&m, &["dnssec", server, "reason"]), "not_signed");
    }
    let names = json!(["ns1.shop.test", "ns2.shop.test"]);
    assert_eq!(fact(&m, &["delegation", "parent"]), &names);
    assert_eq!(fact(&m, &["delegation", "child", "127.0.0.3"]), &names);
    assert_eq!(fact(&m, &["delegation", "mismatch"]), &json!([]));
    assert_eq!(fact(&m, &["delegation", "count"]), 2);
    assert_eq!(fact(&m, &["delegation", "names", "ns1.shop.test", "problem"]), "none");
    assert_eq!(fact(&m, &["delegation", "glue"]), &json!({}));
    assert_eq!(fact(&m, &["delegation", "networks"]), 1);
    assert_eq!(fact(&m, &["serials"]), 1);
    assert_eq!(fact(&m, &["disagreement"]), &json!([]));
    assert_eq!(fact(&m, &["drift"]), &json!([]));
    assert_eq!(fact(&m, &["caa", "present"]), false);
    assert_eq!(fact(&m, &["mail", "spf", "all"]), "-");
    assert_eq!(fact(&m, &["mail", "dmarc", "policy"]), "reject");
    assert_eq!(fact(&m, &["mail", "mx", "mail.shop.test", "problem"]), "none");
}

#[tokio::test]
async fn an_alias_is_followed_to_the_authority_of_its_target() {
    let lab = internet(shop(), shop(), vec![]).await;
    let m = asked(&lab).facts("www.shop.test").await;
    let at = |kind: &'static str| fact(&m, &["records", "www.shop.test", kind, "127.0.0.3"]);
    assert_eq!(at("CNAME"), &json!(["edge.cdn.test"]));
    assert_eq!(at("A"), &json!(["198.51.100.7"]));
    assert_eq!(at("AAAA"), "nodata");
}

#[tokio::test]
async fn a_loop_of_aliases_is_an_error_of_the_record() {
    let lab = internet(shop(), shop(), vec![]).await;
    let m = asked(&lab).facts("a.shop.test").await;
    let at = |kind: &'static str| fact(&m, &["records", "a.shop.test", kind, "127.0.0.3"]);
    assert_eq!(at("A"), "error:cname_loop");
    assert_eq!(at("CNAME"), &json!(["b.shop.test"]));
    let server = fact(&m, &["delegation", "servers", "127.0.0.3"]);
    assert_eq!((&server["state"], &server["reason"]), (&json!("broken"), &json!("cname_loop")));
}

#[tokio::test]
async fn a_bad_server_is_named_with_its_reason_and_removes_no_record() {
    let pins = json!({"shop.test": {"A": {"exact": ["192.0.2.1", "192.0.2.2"]}}});
    for (way, state, reason) in [
        (Way::Refuse, "lame", "refused"),
        (Way::Upward, "lame", "upward_referral"),
        (Way::Recurse, "lame", "not_authoritative"),
        (Way::Servfail, "broken", "servfail"),
        (Way::Garbage, "broken", "malformed"),
        (Way::NoTcp, "broken", "tcp_failed"),
        (Way::Mute, "unreachable", "timeout"),
    ] {
        let lab = internet(shop(), shop().way(way), vec![]).await;
        let m = asked(&lab).pins(pins.clone()).facts("shop.test").await;
        let server = fact(&m, &["delegation", "servers", "127.0.0.4"]);
        assert_eq!(server["state"], state, "{way:?}");
        assert_eq!(server["reason"], reason, "{way:?}");
        assert_eq!(fact(&m, &["delegation", "servers", "127.0.0.3", "state"]), "ok", "{way:?}");
        assert_eq!(fact(&m, &["drift"]), &json!([]), "{way:?}");
        assert_eq!(fact(&m, &["disagreement"]), &json!([]), "{way:?}");
        let lower_bound = m.unknowns().contains_key("drift[shop.test A]");
        assert_eq!(lower_bound, way != Way::NoTcp, "{way:?}");
    }
}

#[tokio::test]
async fn a_zone_whose_servers_are_all_silent_is_unknown() {
    let mute = || shop().way(Way::Mute);
    let lab = internet(mute(), mute(), vec![]).await;
    let run = asked(&lab).of("shop.test").await;
    let Outcome::Unknown(unknown) = &run.observations[0].outcome else { panic!("unknown") };
    assert_eq!(unknown.reason, Reason::Timeout);
    assert!(run.memory.is_none(), "silence teaches nothing");
}

#[tokio::test]
async fn answers_are_found_through_truncation_wrong_ids_lost_case_and_missing_edns() {
    for (way, ability) in [
        (Way::Truncate, ("tcp", true)),
        (Way::WrongIds, ("keeps_case", true)),
        (Way::LowerCase, ("keeps_case", false)),
        (Way::NoEdns, ("edns", false)),
    ] {
        let lab = internet(shop(), shop().way(way), vec![]).await;
        let m = asked(&lab).facts("shop.test").await;
        let records = fact(&m, &["records", "shop.test", "A", "127.0.0.4"]);
        assert_eq!(records, &json!(["192.0.2.1", "192.0.2.2"]), "{way:?}");
        assert_eq!(fact(&m, &["servers", "127.0.0.4", ability.0]), ability.1, "{way:?}");
        assert_eq!(fact(&m, &["delegation", "servers", "127.0.0.4", "state"]), "ok", "{way:?}");
    }
}

#[tokio::test]
async fn other_data_under_the_same_serial_is_told() {
    let other = SHOP.replace("shop.test 300 A 192.0.2.2", "shop.test 300 A 6.6.6.6");
    let lab = internet(shop(), Script::of(&[("shop.test", &other)]), vec![]).await;
    let m = asked(&lab).facts("shop.test").await;
    let item = &fact(&m, &["disagreement"])[0];
    assert_eq!(item["name"], "shop.test");
    assert_eq!(item["type"], "A");
    assert_eq!(item["same_serial"], true);
    assert_eq!(item["sets"]["127.0.0.4"], json!(["192.0.2.1", "6.6.6.6"]));
}

#[tokio::test]
async fn pins_show_what_was_added_and_what_was_removed() {
    let lab = internet(shop(), shop(), vec![]).await;
    let m = asked(&lab)
        .pins(json!({
            "shop.test": {"A": {"exact": ["192.0.2.1"]}, "MX": {"exact": ["10 mail.shop.test."]}},
            "gone.shop.test": {"A": {"contains": ["192.0.2.9"]}},
            "edge.cdn.test": {"A": {"prefix": ["198.51.100.0/24"]}},
        }))
        .facts("shop.test")
        .await;
    let items: BTreeSet<(String, String)> = fact(&m, &["drift"])
        .as_array()
        .expect("items")
        .iter()
        .map(|item| (item["name"].to_string(), item["kind"].to_string()))
        .collect();
    let wanted = [("\"shop.test\"", "\"added\""), ("\"gone.shop.test\"", "\"removed\"")];
    assert_eq!(items, wanted.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    assert_eq!(
        fact(&m, &["records", "edge.cdn.test", "A", "127.0.0.5"]),
        &json!(["198.51.100.7"]),
        "a pinned name of another zone is asked at that zone's authority"
    );
}

#[tokio::test]
async fn what_a_server_gives_to_a_network_is_held_to_that_networks_pin() {
    let lab = internet(shop().way(Way::Geo), shop(), vec![]).await;
    let pins = json!({"mail.shop.test": {"A": {
        "exact": "192.0.2.25",
        "subnets": {"198.51.100.0/24": {"exact": "198.51.100.1"}, "203.0.113.0/24": {"exact": "192.0.2.25"}},
    }}});
    let m = asked(&lab).pins(pins).facts("shop.test").await;
    let at = |server: &'static str| fact(&m, &["records", "mail.shop.test", "A", server]).clone();
    assert_eq!(at("127.0.0.3/ecs=198.51.100.0/24"), json!(["198.51.100.1"]));
    assert_eq!(at("127.0.0.3/ecs=203.0.113.0/24"), json!(["192.0.2.25"]));
    assert_eq!(fact(&m, &["disagreement"]), &json!([]));
    let drift = fact(&m, &["drift"]);
    assert_eq!(
        drift.as_array().map(Vec::len),
        Some(1),
        "the other server knows no networks: {drift}"
    );
    assert_eq!(drift[0]["server"], "127.0.0.4/ecs=198.51.100.0/24");
}

#[tokio::test]
async fn an_alias_is_held_to_its_suffix_whatever_type_the_pin_names() {
    let lab = internet(shop(), shop(), vec![]).await;
    for (suffix, departures) in [("cdn.test", 0), ("other.test", 2)] {
        let pins = json!({"www.shop.test": {"A": {"cname_suffix": suffix}}});
        let m = asked(&lab).pins(pins).facts("shop.test").await;
        assert_eq!(fact(&m, &["drift"]).as_array().map(Vec::len), Some(departures), "{suffix}");
    }
}

#[tokio::test]
async fn a_learnt_baseline_shows_drift_and_is_not_updated_by_it() {
    let lab = internet(shop(), shop(), vec![]).await;
    let mut asked_often = asked(&lab);
    for _ in 0..2 {
        let run = asked_often.of("shop.test").await;
        asked_often.memory = run.memory.clone();
        assert_eq!(fact(&measured(run), &["drift"]), &json!([]));
    }
    let known = ["192.0.2.1", "192.0.2.2"].map(str::to_owned).into();
    asked_often.memory = Some(super::accept(asked_often.memory.as_ref(), "shop.test", "A", &known));
    let m = asked_often.facts("shop.test").await;
    assert_eq!(fact(&m, &["drift"]), &json!([]));
    assert_eq!(fact(&m, &["baseline", "shop.test A", "frozen"]), true);
    assert_eq!(fact(&m, &["baseline", "shop.test AAAA", "frozen"]), false);
    drop(lab);
    let rogue = SHOP.replace("shop.test 300 A 192.0.2.2", "shop.test 300 A 6.6.6.6");
    let rogue = || Script::of(&[("shop.test", &rogue)]);
    let lab = internet(rogue(), rogue(), vec![]).await;
    let mut asked_again = Asked { memory: asked_often.memory, ..asked(&lab) };
    for _ in 0..2 {
        let run = asked_again.of("shop.test").await;
        asked_again.memory = run.memory.clone();
        let m = measured(run);
        let items = fact(&m, &["drift"]).as_array().expect("items").clone();
        assert_eq!(items.len(), 2, "one a server");
        assert_eq!(items[0]["kind"], "changed");
        assert_eq!(items[0]["seen"], json!(["192.0.2.1", "6.6.6.6"]));
    }
    let waiting = super::pending(asked_again.memory.as_ref());
    assert_eq!(waiting["shop.test A"], BTreeSet::from(["6.6.6.6".to_owned()]));
    let set = ["192.0.2.1", "6.6.6.6"].map(str::to_owned).into();
    let memory = super::accept(asked_again.memory.as_ref(), "shop.test", "A", &set);
    asked_again.memory = Some(memory);
    assert_eq!(fact(&asked_again.facts("shop.test").await, &["drift"]), &json!([]));
}

#[tokio::test]
async fn a_resolver_that_rewrites_is_held_against_the_authorities() {
    let honest = Script::of(&[("shop.test", SHOP)]).way(Way::Recurse);
    let lie = SHOP.replace("192.0.2.2", "6.6.6.6");
    let liar = Script::of(&[("shop.test", &lie)]).way(Way::Recurse);
    let broken = shop().way(Way::Servfail);
    let lab = internet(shop(), shop(), vec![(6, honest), (7, liar), (8, broken)]).await;
    let m = asked(&lab).resolvers(&lab, &[6, 7, 8]).facts("shop.test").await;
    let agrees = |server| fact(&m, &["resolvers", server, "shop.test", "A", "agrees"]).clone();
    assert_eq!(agrees("127.0.0.6"), true);
    assert_eq!(agrees("127.0.0.7"), false);
    assert_eq!(agrees("127.0.0.8"), Value::Null, "an error never compares");
    let items = fact(&m, &["resolver_disagreement"]).as_array().expect("items");
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["server"], "127.0.0.7");
}

#[tokio::test]
async fn a_resolver_may_give_what_was_true_until_its_ttl_is_over() {
    let old = Script::of(&[("shop.test", SHOP)]).way(Way::Recurse);
    let lab = internet(shop(), shop(), vec![(6, old.clone())]).await;
    let memory = asked(&lab).resolvers(&lab, &[6]).of("shop.test").await.memory;
    drop(lab);
    let new = SHOP.replace("192.0.2.2", "192.0.2.3");
    let new = || Script::of(&[("shop.test", &new)]);
    let lab = internet(new(), new(), vec![(6, old)]).await;
    let mut late = asked(&lab).resolvers(&lab, &[6]);
    late.memory = memory;
    for (seconds, agrees) in [(299, true), (301, false)] {
        late.now = asked(&lab).now + chrono::TimeDelta::seconds(seconds);
        let m = late.facts("shop.test").await;
        let fact = fact(&m, &["resolvers", "127.0.0.6", "shop.test", "A", "agrees"]);
        assert_eq!(fact, agrees, "after {seconds} s");
    }
}

#[tokio::test]
async fn without_a_way_to_the_root_the_recursive_servers_are_still_asked() {
    let honest = Script::of(&[("shop.test", SHOP)]).way(Way::Recurse);
    let root = Script::of(&[(".", ROOT)]).way(Way::Mute);
    let lab = Lab::start(vec![(1, root), (6, honest)]).await;
    let m = asked(&lab).resolvers(&lab, &[6]).facts("shop.test").await;
    assert_eq!(fact(&m, &["records"]), &Value::Null);
    assert_eq!(m.unknowns()["records"].reason, Reason::Timeout);
    assert_eq!(m.unknowns()["drift"].reason, Reason::Timeout);
    let answer = fact(&m, &["resolvers", "127.0.0.6", "shop.test", "A", "answer"]);
    assert_eq!(answer, &json!(["192.0.2.1", "192.0.2.2"]));
    assert_eq!(fact(&m, &["resolvers", "127.0.0.6", "shop.test", "A", "agrees"]), &Value::Null);
}

#[tokio::test]
async fn parent_and_child_that_differ_are_told_with_their_glue() {
    let child = SHOP
        .replace("shop.test 300 NS ns2.shop.test", "shop.test 300 NS ns3.shop.test")
        .replace("ns1.shop.test 300 A 127.0.0.3", "ns1.shop.test 300 A 127.0.0.8")
        + "\nns3.shop.test 300 A 127.0.0.3";
    let child = || Script::of(&[("shop.test", &child)]);
    let lab = internet(child(), child(), vec![]).await;
    let m = asked(&lab).facts("shop.test").await;
    let wanted = json!([
        {"ns": "ns2.shop.test", "on": "parent"}, {"ns": "ns3.shop.test", "on": "child"},
    ]);
    assert_eq!(fact(&m, &["delegation", "mismatch"]), &wanted);
    let glue = fact(&m, &["delegation", "glue", "ns1.shop.test"]);
    assert_eq!(glue, &json!({"parent": ["127.0.0.3"], "child": ["127.0.0.8"]}));
    let state = fact(&m, &["delegation", "servers", "127.0.0.8"]);
    assert_eq!(state["reason"], "port_unreachable");
}

#[tokio::test]
async fn where_the_parents_servers_hold_the_zone_too_their_answer_is_what_they_lead_to() {
    let own = "sub.shop.test 300 SOA 1
        sub.shop.test 300 NS ns1.shop.test
        sub.shop.test 300 A 192.0.2.9";
    // Left from before a move; no referral ever shows what shop.test itself says.
    let stale = "sub.shop.test 300 SOA 1
        sub.shop.test 300 NS ns2.shop.test
        sub.shop.test 300 A 192.0.2.9";
    let both = |sub: &str| Script::of(&[("shop.test", SHOP), ("sub.shop.test", sub)]);
    let lab = internet(both(own), both(own), vec![]).await;
    let m = asked(&lab).facts("sub.shop.test").await;
    assert_eq!(fact(&m, &["delegation", "parent"]), &json!(["ns1.shop.test"]));
    assert_eq!(fact(&m, &["delegation", "parent_by"]), "answer");
    assert_eq!(fact(&m, &["delegation", "mismatch"]), &json!([]));
    let lab = internet(both(own), both(stale), vec![]).await;
    let m = asked(&lab).facts("sub.shop.test").await;
    assert_eq!(fact(&m, &["delegation", "parent"]), &json!(["ns1.shop.test", "ns2.shop.test"]));
    let m = asked(&lab).facts("shop.test").await;
    assert_eq!(fact(&m, &["delegation", "parent_by"]), "referral");
}

#[tokio::test]
async fn name_servers_that_need_each_other_end_the_walk() {
    let lab = internet(shop(), shop(), vec![]).await;
    let run = asked(&lab).of("loop.test").await;
    let observation = &run.observations[0];
    assert!(matches!(&observation.outcome, Outcome::Unknown(u) if u.reason == Reason::DnsError));
    assert!(observation.connections < 60, "{}", observation.connections);
}

#[tokio::test]
async fn a_transfer_is_proven_open_and_an_open_resolver_too() {
    let open = shop().way(Way::Transfer);
    let recursive = Script::of(&[(".", ROOT)]).way(Way::Recurse);
    let lab = internet(open, shop(), vec![(9, recursive)]).await;
    let m = asked(&lab).facts("shop.test").await;
    assert_eq!(fact(&m, &["transfer", "127.0.0.3"]), "open");
    assert_eq!(fact(&m, &["transfer", "127.0.0.4"]), "refused");

    let m = asked(&lab).facts("127.0.0.9").await;
    assert_eq!(fact(&m, &["recursion", "127.0.0.9"]), true);
    assert_eq!(fact(&m, &["servers", "127.0.0.9", "tcp"]), true);
    let keys: Vec<&String> = m.facts().keys().collect();
    assert_eq!(keys, ["recursion", "servers"]);
}

#[tokio::test]
async fn control_octets_of_a_record_never_reach_the_sample() {
    let lab = internet(shop(), shop(), vec![]).await;
    let pins = json!({"evil.shop.test": {"TXT": {"agree": true}}});
    let m = asked(&lab).pins(pins).facts("shop.test").await;
    let text = fact(&m, &["records", "evil.shop.test", "TXT", "127.0.0.3"]);
    assert_eq!(text, &json!(["\\027[31mred"]));
}
