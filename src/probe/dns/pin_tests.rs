//! Pins against a scripted internet on loopback: chains of aliases, and changes on their way.

use serde_json::{Value, json};

use super::lab::{Lab, Script};
use super::tests::{Asked, SHOP, asked, fact, internet, measured, shop};
use crate::sample::{Cause, Measurements, Reason};

fn subjects(m: &Measurements) -> Vec<String> {
    let items = fact(m, &["drift"]).as_array().cloned().unwrap_or_default();
    let word = |item: &Value, key: &str| item[key].as_str().unwrap_or("").to_owned();
    items
        .iter()
        .map(|item| ["name", "kind", "server"].map(|key| word(item, key)).join(" "))
        .collect()
}

#[tokio::test]
async fn a_chain_of_aliases_is_held_hop_by_hop_at_who_answers_for_it() {
    let lab = internet(shop(), shop(), vec![]).await;
    let held = async |kind: &str, chain: &[&str]| {
        let pins = json!({"www.shop.test": {kind: {"cname_chain": chain}}});
        subjects(&asked(&lab).pins(pins).facts("shop.test").await)
    };
    for kind in ["A", "CNAME"] {
        assert_eq!(held(kind, &["Edge.cdn.test."]).await, [""; 0]);
        assert_eq!(
            held(kind, &["edge.cdn.test", "more.cdn.test"]).await,
            ["edge.cdn.test removed 127.0.0.5"],
            "the other's zone is to blame"
        );
    }
    let wrong = held("A", &["elsewhere.cdn.test"]).await;
    assert_eq!(wrong[..2], ["www.shop.test changed 127.0.0.3", "www.shop.test changed 127.0.0.4"]);
}

/// The first server has the next serial and a new address, the second is behind.
async fn skewed() -> (Lab, Asked) {
    let newer = SHOP.replace("SOA 7", "SOA 8").replace("192.0.2.25", "192.0.2.26");
    let lab = internet(Script::of(&[("shop.test", &newer)]), shop(), vec![]).await;
    let pins = json!({"mail.shop.test": {"A": {"exact": "192.0.2.26"}}});
    let asked = asked(&lab).pins(pins);
    (lab, asked)
}

#[tokio::test]
async fn a_server_that_is_behind_has_ten_minutes_to_follow() {
    let (_lab, mut asked) = skewed().await;
    let began = asked.now;
    for (minutes, departures) in [(0, 0), (9, 0), (10, 1), (30, 1)] {
        asked.now = began + chrono::TimeDelta::minutes(minutes);
        let run = asked.of("shop.test").await;
        asked.memory.clone_from(&run.memory);
        let m = measured(run);
        assert_eq!(subjects(&m).len(), departures, "{minutes}");
        let unknown = m.unknowns().get("drift[mail.shop.test A]").map(|why| why.reason);
        assert_eq!(unknown, (departures == 0).then_some(Reason::Inconsistent), "{minutes}");
    }
}

#[tokio::test]
async fn a_sample_by_hand_knows_no_grace() {
    let (_lab, mut asked) = skewed().await;
    asked.cause = Cause::Manual;
    let m = asked.facts("shop.test").await;
    assert_eq!(subjects(&m), ["mail.shop.test changed 127.0.0.4"]);
}

#[tokio::test]
async fn a_pin_that_nobody_asks_about_is_unknown() {
    let lab = internet(shop(), shop(), vec![]).await;
    let m =
        asked(&lab).pins(json!({"shop.test": {"BOGUS": {"exact": "x"}}})).facts("shop.test").await;
    let unknown = m.unknowns().get("drift[shop.test BOGUS]").map(|why| why.reason);
    assert_eq!(unknown, Some(Reason::Budget));
}
