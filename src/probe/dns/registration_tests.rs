//! Registrations asked for at a scripted registry.

use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};
use serde_json::{Value, json};

use super::mta_sts_tests::Web;
use super::tests::{Asked, fact, internet, measured, shop};
use crate::sample::{Cause, Measurements};
use crate::target::{RdapBootstrap, TextFile};

const BOOTSTRAP: &str =
    r#"{"version": "1.0", "services": [[["test"], ["https://rdap.registry.test/v1"]]]}"#;

fn entry(expires: &str) -> String {
    json!({"objectClassName": "domain", "ldhName": "shop.test", "status": ["active"],
        "events": [{"eventAction": "expiration", "eventDate": expires}]})
    .to_string()
}

fn with_registries(mut asked: Asked) -> Asked {
    let file = TextFile { path: "dns.json".into(), text: BOOTSTRAP.into() };
    asked.settings.rdap = Some(Arc::new(RdapBootstrap::parse(&file).expect("a file")));
    asked
}

fn why(measured: &Measurements, path: &str) -> String {
    measured.unknowns().get(path).map(ToString::to_string).unwrap_or_default()
}

#[tokio::test]
async fn nobody_is_asked_unless_the_config_says_whom() {
    let (lab, web) =
        (internet(shop(), shop(), vec![]).await, Web::start("rdap.registry.test").await);
    let mut asked = web.asked(&lab, "rdap.registry.test");
    let m = asked.facts("shop.test").await;
    assert_eq!(
        (fact(&m, &["registration"]), why(&m, "registration")),
        (&Value::Null, "opt_in".into())
    );
    asked.settings.registration_expires = NaiveDate::from_ymd_opt(2027, 3, 1);
    let m = with_registries(asked).facts("www.shop.test").await;
    assert_eq!(
        fact(&m, &["registration"]),
        &json!({"domain": "shop.test", "expires": "2027-03-01T00:00:00Z", "source": "config",
            "status": null, "asked_at": null})
    );
    assert_eq!(web.requests(), 0, "a person's word is enough");
}

#[tokio::test]
async fn a_registry_is_asked_once_a_day_and_what_it_said_stays_when_it_fails() {
    let (lab, web) =
        (internet(shop(), shop(), vec![]).await, Web::start("rdap.registry.test").await);
    let mut asked = with_registries(web.asked(&lab, "rdap.registry.test"));
    asked.cause = Cause::Scheduled;
    let sample = async |asked: &mut Asked, hours: i64| {
        asked.now += TimeDelta::hours(hours);
        let run = asked.of("shop.test").await;
        asked.memory.clone_from(&run.memory);
        measured(run)
    };
    web.says("503 Busy", "text/plain", "");
    let m = sample(&mut asked, 0).await;
    assert_eq!(why(&m, "registration"), "http_status: 503");
    web.says("200 OK", "application/rdap+json", &entry("2027-03-01T12:00:00Z"));
    let m = sample(&mut asked, 23).await;
    assert_eq!(why(&m, "registration"), "http_status: 503", "once a day");
    assert_eq!(web.requests(), 1);
    let m = sample(&mut asked, 1).await;
    assert_eq!(fact(&m, &["registration", "expires"]), "2027-03-01T12:00:00Z");
    assert_eq!(fact(&m, &["registration", "source"]), "rdap");
    let asked_at = fact(&m, &["registration", "asked_at"]).clone();
    web.says("429 Slow down", "text/plain", "");
    let m = sample(&mut asked, 24).await;
    assert_eq!(web.requests(), 3);
    assert_eq!(fact(&m, &["registration", "expires"]), "2027-03-01T12:00:00Z");
    assert_eq!(fact(&m, &["registration", "asked_at"]), &asked_at);
    let m = asked.facts("ns1.shop.test").await;
    assert_eq!(why(&m, "registration"), "not_applicable", "the domain's own target asks");
    assert_eq!(web.requests(), 3);
}

#[tokio::test]
async fn a_registry_that_nobody_may_trust_says_nothing() {
    let (lab, web) = (internet(shop(), shop(), vec![]).await, Web::start("other.test").await);
    web.says("200 OK", "application/rdap+json", &entry("2027-03-01T12:00:00Z"));
    let mut asked = with_registries(web.asked(&lab, "rdap.registry.test"));
    asked.cause = Cause::Manual;
    let m = asked.facts("www.shop.test").await;
    assert_eq!(why(&m, "registration"), "tls_error: hostname_mismatch");
    assert_eq!(web.requests(), 1);
}
