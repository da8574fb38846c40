//! The probe against Knot and Unbound: brands of server that are not BIND say the same of the same
//! zones, and a real resolver hides what the authorities show.

use serde_json::{Value, json};

use super::bind_lab::{HINTS, Signed, Zone};
use super::bind_tests;
use super::peer_lab::{Peer, is_skipped, knot, unbound};
use super::tests::{Asked, asked_at, fact};
use crate::target::TextFile;

/// Those of BIND's zones that one server has.
fn zones() -> Vec<Zone> {
    bind_tests::zones().into_iter().filter(|zone| zone.second.is_none()).collect()
}

fn asked(signed: &Signed, authority: &Peer) -> Asked {
    let mut asked = asked_at(authority.at.port());
    let text = |text: &str| Some(TextFile { path: "a".into(), text: text.into() });
    asked.settings.root_hints = text(HINTS);
    asked.settings.trust_anchor = text(&signed.anchor);
    asked
}

#[tokio::test]
async fn knot_is_judged_as_bind_is() {
    if is_skipped("knot") {
        return;
    }
    let (zones, signed) = (zones(), Signed::of(&zones()));
    let knot = knot(&signed, &zones).await;
    for (zone, state, reason) in [
        ("good.test", "secure", "none"),
        ("expired.test", "bogus", "signature_expired"),
        ("future.test", "bogus", "signature_not_yet_valid"),
        ("badds.test", "bogus", "ds_matches_no_dnskey"),
        ("dsnokey.test", "bogus", "dnskey_missing"),
        ("badsig.test", "bogus", "signature_invalid"),
        ("iter.test", "secure", "none"),
        ("nods.test", "insecure", "no_ds"),
        ("plain.test", "insecure", "not_signed"),
    ] {
        let m = asked(&signed, &knot).facts(zone).await;
        let dnssec = fact(&m, &["dnssec", "127.0.0.1"]);
        assert_eq!(
            (&dnssec["state"], &dnssec["reason"]),
            (&json!(state), &json!(reason)),
            "{zone}: {dnssec}"
        );
        assert_eq!(fact(&m, &["delegation", "servers", "127.0.0.1", "state"]), "ok", "{zone}");
        assert_eq!(fact(&m, &["transfer", "127.0.0.1"]), "refused", "{zone}");
    }
    let m = asked(&signed, &knot).facts("expired.test").await;
    assert_eq!(fact(&m, &["dnssec", "127.0.0.1", "expires"]), "2026-09-10T03:04:05Z");
    let m = asked(&signed, &knot).facts("good.test").await;
    let able = fact(&m, &["servers", "127.0.0.1"]);
    assert_eq!([&able["edns"], &able["tcp"], &able["keeps_case"]], [true, true, true], "{able}");
    assert_eq!(able["version"], "", "it was told to keep it to itself");
}

#[tokio::test]
async fn unbound_says_servfail_where_the_authority_shows_why_and_one_that_rewrites_is_found() {
    if is_skipped("knot") || is_skipped("unbound") {
        return;
    }
    let (zones, signed) = (zones(), Signed::of(&zones()));
    let knot = knot(&signed, &zones).await;
    let honest = unbound(&signed, &zones, knot.at, "").await;
    let rewrites = "  local-zone: \"good.test.\" typetransparent\n  local-data: \"good.test. 60 IN A 203.0.113.66\"\n";
    let rewriting = unbound(&signed, &zones, knot.at, rewrites).await;
    let mut asked = asked(&signed, &knot);
    asked.settings.dns_servers = vec![honest.at, rewriting.at];
    let (honest, rewriting) = (honest.at.to_string(), rewriting.at.to_string());

    let m = asked.facts("good.test").await;
    let of = |server: &str| fact(&m, &["resolvers", server, "good.test", "A"]).clone();
    assert_eq!(of(&honest), json!({"answer": ["192.0.2.1"], "agrees": true}));
    assert_eq!(of(&rewriting), json!({"answer": ["203.0.113.66"], "agrees": false}));
    let found = fact(&m, &["resolver_disagreement"]);
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found[0]["server"], rewriting.as_str());

    for zone in ["expired.test", "future.test", "badds.test", "dsnokey.test", "badsig.test"] {
        let m = asked.facts(zone).await;
        let heard = fact(&m, &["resolvers", &honest, zone, "A"]);
        assert_eq!(
            (&heard["answer"], &heard["agrees"]),
            (&json!("error:servfail"), &Value::Null),
            "{zone}"
        );
        assert!(heard["ede"].as_u64().is_some(), "{zone}: {heard}");
        assert_eq!(fact(&m, &["dnssec", "127.0.0.1", "state"]), "bogus", "{zone}");
        assert_eq!(fact(&m, &["resolver_disagreement"]), &json!([]), "{zone}");
    }
}
