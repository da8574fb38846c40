//! The probe against BIND with signed zones: every state that a zone's signatures can be in, with its
//! reason, held beside what BIND itself makes of them.

use serde_json::{Value, json};

use super::bind_lab::{BindLab, GivenDs, Zone, sound};
use super::tests::{Asked, asked_at, fact};
use crate::target::TextFile;

fn asked(lab: &BindLab) -> Asked {
    let mut asked = asked_at(lab.port);
    let text = |text: &str| Some(TextFile { path: "a".into(), text: text.into() });
    asked.settings.root_hints = text(lab.hints);
    asked.settings.trust_anchor = text(&lab.anchor);
    asked
}

pub(super) fn zones() -> Vec<Zone> {
    let expired = Some("-s 20260801000000 -e 20260910030405");
    vec![
        Zone { records: "www A 192.0.2.2\n* TXT any\n", ..sound("good.test") },
        Zone { signed: expired, ..sound("expired.test") },
        Zone { signed: Some("-s 20260925000000"), ..sound("future.test") },
        Zone { ds: GivenDs::Foreign("2"), ..sound("badds.test") },
        Zone { signed: None, ..sound("dsnokey.test") },
        Zone { spoilt: Some(("192.0.2.1", "192.0.2.66")), ..sound("badsig.test") },
        Zone { signed: Some(""), second: expired, ..sound("onebad.test") },
        Zone { ds: GivenDs::Of("-1"), ..sound("sha1.test") },
        Zone { signed: Some("-3 AABB -H 10"), ..sound("iter.test") },
        Zone { ds: GivenDs::None, ..sound("nods.test") },
        Zone { signed: None, ds: GivenDs::None, ..sound("plain.test") },
        Zone { ds: GivenDs::Foreign("250"), ..sound("newdigest.test") },
        Zone { records: ROLL, ..sound("roll.test") },
    ]
}

#[tokio::test]
async fn every_trouble_of_signatures_is_told_with_its_reason() {
    let lab = BindLab::start(&zones()).await;
    for (zone, state, reason, failing) in [
        ("good.test", "secure", "none", json!([])),
        ("expired.test", "bogus", "signature_expired", json!(["expired.test DNSKEY"])),
        ("future.test", "bogus", "signature_not_yet_valid", json!(["future.test DNSKEY"])),
        ("badds.test", "bogus", "ds_matches_no_dnskey", json!(["badds.test DNSKEY"])),
        ("dsnokey.test", "bogus", "dnskey_missing", json!(["dsnokey.test DNSKEY"])),
        ("badsig.test", "bogus", "signature_invalid", json!(["badsig.test A"])),
        ("sha1.test", "secure", "none", json!([])),
        ("iter.test", "secure", "none", json!([])),
        ("nods.test", "insecure", "no_ds", json!([])),
        ("plain.test", "insecure", "not_signed", json!([])),
        ("newdigest.test", "insecure", "unsupported_ds_digest_type", json!([])),
        ("roll.test", "secure", "none", json!([])),
    ] {
        let m = asked(&lab).facts(zone).await;
        let dnssec = fact(&m, &["dnssec", "127.0.0.1"]);
        assert_eq!(dnssec["state"], state, "{zone}: {dnssec}");
        assert_eq!(dnssec["reason"], reason, "{zone}: {dnssec}");
        assert_eq!(dnssec["failing"], failing, "{zone}: {dnssec}");
        let ds = fact(&m, &["ds"]);
        match zone {
            "sha1.test" => {
                assert_eq!((&ds[0]["digest_type"], &ds[0]["matches"]), (&json!(1), &json!(true)))
            }
            "badds.test" => assert_eq!(ds[0]["matches"], false),
            "nods.test" | "plain.test" => assert_eq!(ds, &json!([])),
            "iter.test" => {
                let nsec3 = fact(&m, &["nsec3", "127.0.0.1"]);
                assert_eq!(nsec3, &json!({"iterations": 10, "salt": "AABB"}));
            }
            "good.test" => {
                assert_eq!(fact(&m, &["nsec3"]), &json!({}));
                assert_eq!(dnssec["expires"], "2026-10-01T00:00:00Z");
                assert_eq!(dnssec["valid_from"], "2026-09-01T00:00:00Z");
            }
            "expired.test" => assert_eq!(dnssec["expires"], "2026-09-10T03:04:05Z"),
            "roll.test" => {
                let cds = &fact(&m, &["cds"])[0];
                assert_eq!((&cds["in_ds"], &cds["in_dnskey"]), (&json!(false), &json!(false)));
                let key =
                    json!({"key_tag": 55648, "algorithm": 13, "in_ds": false, "in_dnskey": false});
                assert_eq!(fact(&m, &["cdnskey"]), &json!([key]));
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn of_two_servers_the_one_with_old_signatures_is_named() {
    let lab = BindLab::start(&zones()).await;
    let m = asked(&lab).facts("onebad.test").await;
    assert_eq!(fact(&m, &["dnssec", "127.0.0.1", "state"]), "secure");
    let second = fact(&m, &["dnssec", "::1"]);
    assert_eq!(
        (&second["state"], &second["reason"]),
        (&json!("bogus"), &json!("signature_expired"))
    );
}

#[tokio::test]
async fn a_chain_that_breaks_above_a_zone_is_told_with_the_place() {
    let lab = BindLab::start(&zones()).await;
    let mut asked = asked(&lab);
    asked.now += chrono::TimeDelta::days(30);
    let m = asked.facts("good.test").await;
    let dnssec = fact(&m, &["dnssec", "127.0.0.1"]);
    assert_eq!(
        (&dnssec["state"], &dnssec["reason"]),
        (&json!("bogus"), &json!("signature_expired"))
    );
    assert_eq!(dnssec["failing"], json!([". DNSKEY"]));

    asked.now -= chrono::TimeDelta::days(30);
    asked.settings.trust_anchor = Some(TextFile { path: "a".into(), text: FOREIGN.into() });
    let m = asked.facts("good.test").await;
    assert_eq!(fact(&m, &["dnssec", "127.0.0.1", "reason"]), "ds_matches_no_dnskey");
    asked.settings.trust_anchor = None;
    let m = asked.facts("good.test").await;
    let dnssec = fact(&m, &["dnssec", "127.0.0.1"]);
    assert_eq!(dnssec["state"], "indeterminate", "without an anchor nothing is secure: {dnssec}");
    let m = asked.facts("badsig.test").await;
    assert_eq!(fact(&m, &["dnssec", "127.0.0.1", "reason"]), "signature_invalid");
}

#[tokio::test]
async fn what_is_not_there_and_what_a_wildcard_gives_is_proven() {
    let lab = BindLab::start(&zones()).await;
    for zone in ["good.test", "iter.test"] {
        let pins = json!({
            format!("any.{zone}"): {"TXT": {"agree": true}, "A": {"absent": true}},
            format!("deep.gone.{zone}"): {"A": {"absent": true}},
            format!("ns.{zone}"): {"MX": {"absent": true}},
            zone: {"DS": {"agree": true}, "SOA": {"agree": true}, "NS": {"agree": true}},
        });
        let m = asked(&lab).pins(pins).facts(zone).await;
        let dnssec = fact(&m, &["dnssec", "127.0.0.1"]);
        assert_eq!(dnssec["state"], "secure", "{zone}: {dnssec}");
        assert_eq!(fact(&m, &["drift"]), &json!([]));
    }
    let m = asked(&lab).facts("good.test").await;
    assert_eq!(fact(&m, &["wildcard", "127.0.0.1"]), &Value::from("nodata"));
    let m = asked(&lab).facts("iter.test").await;
    assert_eq!(fact(&m, &["wildcard", "127.0.0.1"]), &Value::from("nxdomain"));
}

#[tokio::test]
async fn a_sound_zone_of_bind_is_seen_as_it_is() {
    let records = "@ TXT \"v=spf1 \" \"-all\"\n@ CAA 0 issue \"ca.example\"\n";
    let lab = BindLab::start(&[Zone { records, ..sound("shop.test") }]).await;
    let pins = json!({"shop.test": {"TXT": {"exact": "v=spf1 -all"}}});
    let m = asked(&lab).pins(pins).facts("shop.test").await;
    assert_eq!(fact(&m, &["dnssec", "127.0.0.1", "state"]), "secure");
    assert_eq!(fact(&m, &["delegation", "servers", "127.0.0.1", "state"]), "ok");
    assert_eq!(fact(&m, &["transfer", "127.0.0.1"]), "refused");
    assert_eq!(fact(&m, &["recursion", "127.0.0.1"]), false);
    assert_eq!(fact(&m, &["drift"]), &json!([]));
    assert_eq!(fact(&m, &["caa", "issue"]), &json!(["ca.example"]));
    let version = fact(&m, &["servers", "127.0.0.1", "version"]).as_str().unwrap_or("");
    assert!(version.starts_with('9'), "{version}");
}

const FOREIGN: &str =
    ". DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D";

const ROLL: &str = "@ CDS 4711 13 2 ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB\n\
     @ CDNSKEY 257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==\n";
