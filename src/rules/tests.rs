//! The engine from pack to judgement: operators, kinds, unknowns, mistakes.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::examples::{everything, judgement_of, now, sample, unknown_sample};
use super::pack::read_pack;
use super::{RuleSet, Selection, Summary, sample_verdict};
use crate::sample::{Evidence, Judgement, Measurements, Outcome, Reason, Sample, Verdict};
use crate::target::ProbeKind;

/// A rule of one's own: `measure` and what else it says, in YAML's flow form.
fn rule(probe: ProbeKind, body: &str) -> Selection {
    let text = format!(
        "probe: {probe}\nversion: x\nsource: x\nrules:\n  - {{id: {probe}-own, severity: high, \
         summary: s, why: w, remedy: r, {body}}}\n"
    );
    let set = RuleSet::load(&[("own.yaml", text)], &[]).unwrap_or_else(|e| panic!("{e:#?}"));
    set.select(&[], &BTreeMap::new()).expect("a selection")
}

fn judge(probe: ProbeKind, body: &str, measurements: Value) -> Judgement {
    let own = format!("{probe}-own");
    let judgements = rule(probe, body).evaluate(&sample(probe, measurements));
    judgements.into_iter().find(|judgement| *judgement.rule.id == own).expect("the rule")
}

/// `in`, `na`, or `out` and `unknown` with their subjects, `*` for the whole.
fn outcome(judgement: &Judgement) -> String {
    let breaches = judgement.breaches.iter().map(|breach| format!("{:?}", breach.subject));
    let doubts = judgement.doubts.iter().map(|doubt| match &doubt.subject {
        Some(subject) => format!("{subject:?}?"),
        None => "*?".to_owned(),
    });
    let verdict = match judgement.verdict {
        Verdict::InRange => "in",
        Verdict::OutOfRange => "out",
        Verdict::Unknown => "unknown",
        Verdict::NotApplicable => "na",
    };
    std::iter::once(verdict.to_owned()).chain(breaches).chain(doubts).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_glimpse_is_judged_by_rules_on_what_it_looked_at_and_by_no_others() {
    let mut glimpse = sample(
        ProbeKind::Tls,
        json!({
            "certificates": [{"key_type": "ec", "not_after": now().to_rfc3339()}],
            "chain": {"trusted": true, "hostname_matches": true},
            "ocsp_staple": null, "versions": null, "cipher_suites": null,
        }),
    );
    let Outcome::Measured(facts) = &mut glimpse.outcome else { panic!("facts") };
    for unasked in ["versions", "cipher_suites", "certificates[rsa]"] {
        facts.set_unknown(unasked, Reason::NotObserved);
    }
    facts.set_unknown("ocsp_staple", Reason::TlsError);
    let standard = RuleSet::builtin().select(&[], &BTreeMap::new()).expect("rules");
    let judgements = standard.evaluate_glimpse(&glimpse, true);
    let verdict = |id: &str| {
        judgements.iter().find(|judged| *judged.rule.id == *id).map(|judged| judged.verdict)
    };
    assert_eq!(verdict("tls-certificate-expiry"), Some(Verdict::OutOfRange));
    assert_eq!(verdict("tls-chain-untrusted"), Some(Verdict::InRange));
    assert_eq!(verdict("tls-staple-invalid"), Some(Verdict::Unknown), "something was in the way");
    for unasked in ["tls-legacy-protocol", "tls-weak-cipher", "tls-no-pq", "tls-heartbleed"] {
        assert_eq!(verdict(unasked), None, "{unasked}");
    }
    let undated = standard.evaluate_glimpse(&glimpse, false);
    let expiry = undated.iter().find(|judged| *judged.rule.id == *"tls-certificate-expiry");
    assert_eq!(expiry.map(|judged| judged.verdict), Some(Verdict::Unknown));
}

#[test]
fn a_clean_glimpse_is_in_range_and_settles_nothing_of_the_kind_it_did_not_see() {
    let mut glimpse = sample(
        ProbeKind::Tls,
        json!({"certificates": [{"key_type": "ec", "not_after": "2099-01-01T00:00:00Z"}]}),
    );
    let Outcome::Measured(facts) = &mut glimpse.outcome else { panic!("facts") };
    facts.set_unknown("certificates[rsa]", Reason::NotObserved);
    let expiry = rule(ProbeKind::Tls, "measure: tls.certificates.not_after, min: 21d");
    let judgements = expiry.evaluate_glimpse(&glimpse, true);
    let judged = judgements.iter().find(|judged| *judged.rule.id == *"tls-own").expect("the rule");
    assert!(judged.is_clean_for("ec") && !judged.is_clean_for("rsa"), "{judged:?}");
    let standard = RuleSet::builtin().select(&[], &BTreeMap::new()).expect("rules");
    let chain = json!({"trusted": true, "hostname_matches": true, "incomplete": false, "order_ok": true, "extra": 0});
    let Outcome::Measured(facts) = &mut glimpse.outcome else { panic!("facts") };
    facts.set("chain", chain);
    let verdict = sample_verdict(&standard.evaluate_glimpse(&glimpse, true));
    assert_eq!(verdict, Verdict::InRange);
}

#[test]
fn an_item_that_was_not_seen_puts_no_doubt_on_the_conditions_of_those_that_were() {
    let weak = "measure: tls.certificates.key_bits, min: 2048, \
                when: {measure: tls.certificates.key_type, one_of: [rsa]}";
    let of = |key_type: &str, bits: u32, other: &str| {
        let mut facts = json!({"certificates": [{"key_type": key_type, "key_bits": bits}]});
        facts["unknown"] = json!({ format!("certificates[{other}]"): "not_observed" });
        outcome(&judge(ProbeKind::Tls, weak, facts))
    };
    assert_eq!(of("rsa", 1024, "ec"), "out \"rsa\" \"ec\"?");
    assert_eq!(of("rsa", 2048, "ec"), "unknown \"ec\"?");
    assert_eq!(of("ec", 256, "rsa"), "unknown \"rsa\"?");
}

#[test]
fn without_a_time_only_ranges_of_the_time_left_are_unknown() {
    let facts = json!({
        "dh_prime_bits": 1024,
        "certificates": [{"key_type": "ec", "not_after": now().to_rfc3339()}],
    });
    let undated = |body: &str| {
        let judgements =
            rule(ProbeKind::Tls, body).evaluate_undated(&sample(ProbeKind::Tls, facts.clone()));
        let own = judgements.into_iter().find(|judgement| *judgement.rule.id == *"tls-own");
        own.expect("the rule")
    };
    let expiry = undated("measure: tls.certificates.not_after, min: 21d");
    assert_eq!(expiry.verdict, Verdict::Unknown);
    assert_eq!(expiry.doubts[0].unknown.reason, Reason::LocalError);
    assert!(expiry.breaches.is_empty());
    let bits = undated("measure: tls.dh_prime_bits, min: 2048");
    assert_eq!(bits.verdict, Verdict::OutOfRange);
    let when = undated(
        "measure: tls.dh_prime_bits, min: 2048, when: {measure: tls.certificates.not_after, min: 1d}",
    );
    assert_eq!(when.verdict, Verdict::Unknown);
}

#[test]
fn every_operator_judges_every_kind_it_can_be_asked_of() {
    use ProbeKind::{Dns, Http, Ports, Tls};
    let in_3_days = (now() + chrono::TimeDelta::days(3)).to_rfc3339();
    let ago = (now() - chrono::TimeDelta::days(3)).to_rfc3339();
    let leaf = |at: &str| json!({"certificates": [{"key_type": "ec", "not_after": at}]});
    for (probe, body, measurements, expected) in [
        // Numbers, with both ends included.
        (Tls, "measure: tls.dh_prime_bits, min: 2048", json!({"dh_prime_bits": 2048}), "in"),
        (Tls, "measure: tls.dh_prime_bits, min: 2048", json!({"dh_prime_bits": 2047}), r#"out """#),
        (
            Tls,
            "measure: tls.dh_prime_bits, min: 1, max: 9",
            json!({"dh_prime_bits": 10}),
            r#"out """#,
        ),
        (Http, "measure: http.status, equals: 200", json!({"status": 200}), "in"),
        (Http, "measure: http.status, one_of: [200, 301]", json!({"status": 404}), r#"out """#),
        (Http, "measure: http.status, none_of: [404, 500]", json!({"status": 404}), r#"out """#),
        (
            Tls,
            "measure: tls.handshake_seconds, max: 500ms",
            json!({"handshake_seconds": 0.5}),
            "in",
        ),
        (Tls, "measure: tls.early_data, max: 64KiB", json!({"early_data": 65537}), r#"out """#),
        // Times: the time left.
        (Tls, "measure: tls.certificates.not_after, min: 3d", leaf(&in_3_days), "in"),
        (Tls, "measure: tls.certificates.not_after, min: 73h", leaf(&in_3_days), r#"out "ec""#),
        (Tls, "measure: tls.certificates.not_after, max: 2d", leaf(&in_3_days), r#"out "ec""#),
        (Tls, "measure: tls.certificates.not_after, min: 0", leaf(&ago), r#"out "ec""#),
        (Tls, "measure: tls.certificates.not_after, min: 0", leaf("soon"), r#"unknown "ec"?"#),
        // Truth values and texts.
        (
            Tls,
            "measure: tls.chain.trusted, equals: true",
            json!({"chain": {"trusted": true}}),
            "in",
        ),
        (
            Tls,
            "measure: tls.chain.trusted, equals: true",
            json!({"chain": {"trusted": 1}}),
            "unknown *?",
        ),
        (
            Tls,
            "measure: tls.client_auth, equals: none",
            json!({"client_auth": "required"}),
            r#"out """#,
        ),
        (
            Tls,
            "measure: tls.client_auth, one_of: [no*, requested]",
            json!({"client_auth": "none"}),
            "in",
        ),
        (
            Tls,
            "measure: tls.client_auth, none_of: [req*]",
            json!({"client_auth": "required"}),
            r#"out """#,
        ),
        (Tls, "measure: tls.client_auth, matches: ^n", json!({"client_auth": "none"}), "in"),
        (
            Tls,
            "measure: tls.client_auth, matches: ^n",
            json!({"client_auth": "requested"}),
            r#"out """#,
        ),
        (
            Http,
            "measure: http.corp.policy, present: true",
            json!({"corp": {"policy": ""}}),
            r#"out """#,
        ),
        (Http, "measure: http.corp.policy, absent: true", json!({"corp": {"policy": ""}}), "in"),
        // Sets.
        (
            Tls,
            "measure: tls.alpn, equals: [h2, http/1.1]",
            json!({"alpn": ["http/1.1", "h2"]}),
            "in",
        ),
        (
            Tls,
            "measure: tls.alpn, equals: [h2, http/1.1]",
            json!({"alpn": ["h2", "h3"]}),
            r#"out "h3" "http/1.1""#,
        ),
        (Tls, "measure: tls.alpn, one_of: [h2, h3]", json!({"alpn": ["h3"]}), "in"),
        (Tls, "measure: tls.alpn, one_of: [h2, h3]", json!({"alpn": ["x"]}), r#"out """#),
        (Tls, "measure: tls.alpn, all_of: [h2, h3]", json!({"alpn": ["h3"]}), r#"out "h2""#),
        (Tls, "measure: tls.alpn, contains: h2", json!({"alpn": ["h2", "x"]}), "in"),
        (
            Tls,
            "measure: tls.alpn, none_of: ['spdy*']",
            json!({"alpn": ["spdy/3", "h2"]}),
            r#"out "spdy/3""#,
        ),
        (Tls, "measure: tls.alpn, subset_of: [h2]", json!({"alpn": ["h2", "h3"]}), r#"out "h3""#),
        (Tls, "measure: tls.alpn, matches: ^h", json!({"alpn": ["h2", "spdy"]}), r#"out "spdy""#),
        (Tls, "measure: tls.alpn, present: true", json!({"alpn": []}), r#"out """#),
        (Tls, "measure: tls.alpn, absent: true", json!({"alpn": []}), "in"),
        (Tls, "measure: tls.alpn, present: true", json!({"alpn": [7]}), "unknown *?"),
        (
            Http,
            r"measure: http.csp.frame_ancestors, none_of: ['\*']",
            json!({"csp": {"frame_ancestors": ["*.a.test"]}}),
            "in",
        ),
        (
            Http,
            r"measure: http.csp.frame_ancestors, none_of: ['\*']",
            json!({"csp": {"frame_ancestors": ["*"]}}),
            r#"out "*""#,
        ),
        // Maps and lists.
        (
            Tls,
            "measure: tls.server_order, equals: true",
            json!({"server_order": {"TLSv1.2": false, "TLSv1.3": true}}),
            r#"out "TLSv1.2""#,
        ),
        (Tls, "measure: tls.server_order, equals: true", json!({"server_order": {}}), "na"),
        (
            Dns,
            "measure: dns.transfer, none_of: [open]",
            json!({"transfer": {"::1": "open"}}),
            r#"out "::1""#,
        ),
        (
            Ports,
            "measure: ports.unexpected, absent: true",
            json!({"unexpected": [{"port": "1/tcp"}, {"port": "2/udp"}]}),
            r#"out "1/tcp" "2/udp""#,
        ),
        (Ports, "measure: ports.addresses, present: true", json!({"addresses": []}), r#"out """#),
        (Ports, "measure: ports.addresses, present: true", json!({"addresses": [{}]}), "in"),
        (Dns, "measure: dns.drift, drift: none", json!({"drift": []}), "in"),
    ] {
        let judged = judge(probe, body, measurements.clone());
        assert_eq!(outcome(&judged), expected, "{body} of {measurements}");
    }
}

#[test]
fn what_is_unknown_is_neither_in_range_nor_out_of_it() {
    use ProbeKind::{Dns, Ports, Tls};
    for (probe, body, measurements, expected) in [
        // Nothing there, null, null with a reason, not applicable.
        (Tls, "measure: tls.alpn, absent: true", json!({}), "unknown *?"),
        (Tls, "measure: tls.alpn, absent: true", json!({"alpn": null}), "unknown *?"),
        (
            Tls,
            "measure: tls.alpn, absent: true",
            json!({"alpn": null, "unknown": {"alpn": "timeout"}}),
            "unknown *?",
        ),
        (
            Tls,
            "measure: tls.alpn, absent: true",
            json!({"alpn": null, "unknown": {"alpn": "not_applicable"}}),
            "na",
        ),
        (
            Tls,
            "measure: tls.chain.trusted, equals: true",
            json!({"chain": {}, "unknown": {"chain.trusted": "timeout"}}),
            "unknown *?",
        ),
        (
            Tls,
            "measure: tls.chain.trusted, equals: true",
            json!({"chain": null, "unknown": {"chain": "not_applicable"}}),
            "na",
        ),
        // A member of a set: only where it matters.
        (
            Tls,
            "measure: tls.versions, none_of: [SSLv3]",
            json!({"versions": [], "unknown": {"versions[SSLv3]": "timeout"}}),
            r#"unknown "SSLv3"?"#,
        ),
        (
            Tls,
            "measure: tls.versions, none_of: [SSLv3]",
            json!({"versions": [], "unknown": {"versions.SSLv3": "timeout"}}),
            r#"unknown "SSLv3"?"#,
        ),
        (
            Tls,
            "measure: tls.versions, none_of: [SSLv3]",
            json!({"versions": [], "unknown": {"versions[TLSv1.3]": "timeout"}}),
            "in",
        ),
        (
            Tls,
            "measure: tls.versions, none_of: [SSLv3]",
            json!({"versions": ["SSLv3"], "unknown": {"versions[SSLv3]": "inconsistent"}}),
            r#"out "SSLv3""#,
        ),
        (
            Tls,
            "measure: tls.versions, contains: TLSv1.3",
            json!({"versions": [], "unknown": {"versions[TLSv1.3]": "intolerant"}}),
            r#"unknown "TLSv1.3"?"#,
        ),
        (
            Tls,
            "measure: tls.versions, contains: TLSv1.3",
            json!({"versions": ["TLSv1.3"], "unknown": {"versions[TLSv1.3]": "inconsistent"}}),
            r#"unknown "TLSv1.3"?"#,
        ),
        (
            Tls,
            "measure: tls.versions, subset_of: [TLSv1.3]",
            json!({"versions": ["TLSv1.3"], "unknown": {"versions[SSLv3]": "timeout"}}),
            r#"unknown "SSLv3"?"#,
        ),
        (
            Tls,
            "measure: tls.versions, one_of: [SSLv3]",
            json!({"versions": [], "unknown": {"versions[SSLv3]": "timeout"}}),
            "unknown *?",
        ),
        // A lower bound: what is seen may break the range, what is not seen proves nothing.
        (
            Tls,
            "measure: tls.versions, none_of: [SSLv3]",
            json!({"versions": ["SSLv3"], "unknown": {"versions": "timeout"}}),
            r#"out "SSLv3" *?"#,
        ),
        (
            Tls,
            "measure: tls.versions, none_of: [SSLv3]",
            json!({"versions": ["TLSv1.2"], "unknown": {"versions": "timeout"}}),
            "unknown *?",
        ),
        (
            Tls,
            "measure: tls.versions, subset_of: [TLSv1.3]",
            json!({"versions": ["TLSv1.2"], "unknown": {"versions": "timeout"}}),
            r#"out "TLSv1.2" *?"#,
        ),
        (
            Tls,
            "measure: tls.versions, subset_of: [TLSv1.3]",
            json!({"versions": ["TLSv1.3"], "unknown": {"versions": "timeout"}}),
            "unknown *?",
        ),
        (
            Tls,
            "measure: tls.versions, all_of: [TLSv1.2, TLSv1.3]",
            json!({"versions": ["TLSv1.3"], "unknown": {"versions": "timeout"}}),
            r#"unknown "TLSv1.2"?"#,
        ),
        (
            Tls,
            "measure: tls.versions, contains: TLSv1.3",
            json!({"versions": ["TLSv1.3"], "unknown": {"versions": "timeout"}}),
            "in",
        ),
        (
            Tls,
            "measure: tls.versions, present: true",
            json!({"versions": ["TLSv1.3"], "unknown": {"versions": "timeout"}}),
            "in",
        ),
        (
            Tls,
            "measure: tls.versions, present: true",
            json!({"versions": [], "unknown": {"versions": "timeout"}}),
            "unknown *?",
        ),
        // A scalar that stands but was not the same each time.
        (
            Tls,
            "measure: tls.client_auth, equals: none",
            json!({"client_auth": "none", "unknown": {"client_auth": "inconsistent"}}),
            "unknown *?",
        ),
        (
            Tls,
            "measure: tls.client_auth, equals: none",
            json!({"client_auth": "required", "unknown": {"client_auth": "inconsistent"}}),
            r#"out """#,
        ),
        // Keys of maps and items of lists.
        (
            Tls,
            "measure: tls.cipher_suites, none_of: [X]",
            json!({"cipher_suites": {"TLSv1.3": []}, "unknown": {"cipher_suites[TLSv1.2]": "timeout"}}),
            r#"unknown "TLSv1.2"?"#,
        ),
        (
            Tls,
            "measure: tls.cipher_suites, none_of: [X]",
            json!({"cipher_suites": {"TLSv1.2": null}, "unknown": {"cipher_suites[TLSv1.2]": "timeout"}}),
            r#"unknown "TLSv1.2"?"#,
        ),
        (
            Tls,
            "measure: tls.cipher_suites, none_of: [X]",
            json!({"cipher_suites": {"TLSv1.2": []}, "unknown": {"cipher_suites[TLSv1.2][X]": "reset"}}),
            r#"unknown "TLSv1.2 X"?"#,
        ),
        (
            Tls,
            "measure: tls.cipher_suites, none_of: [X]",
            json!({"cipher_suites": {"TLSv1.2": ["Y"]}, "unknown": {"cipher_suites": "budget"}}),
            r#"unknown *? "TLSv1.2"?"#,
        ),
        (
            Tls,
            "'measure': 'tls.vulnerabilities[robot]', equals: false",
            json!({"vulnerabilities": {"robot": null, "drown": true}, "unknown": {"vulnerabilities.robot": "opt_in"}}),
            r#"unknown "robot"?"#,
        ),
        (
            Tls,
            "measure: tls.certificates.scts, min: 2",
            json!({"certificates": [{"key_type": "ec", "scts": null}, {"key_type": "rsa", "scts": 2}], "unknown": {"certificates[ec].scts": "timeout"}}),
            r#"unknown "ec"?"#,
        ),
        (
            Tls,
            "measure: tls.certificates.scts, min: 2",
            json!({"certificates": [{"key_type": "ec", "scts": 3}], "unknown": {"certificates.scts": "timeout"}}),
            r#"unknown "ec"?"#,
        ),
        (
            Tls,
            "measure: tls.certificates.scts, min: 2",
            json!({"certificates": [{"key_type": "ec", "scts": 3}], "unknown": {"certificates[rsa]": "timeout"}}),
            r#"unknown "rsa"?"#,
        ),
        (Tls, "measure: tls.certificates.scts, min: 2", json!({"certificates": []}), "na"),
        (
            Ports,
            "measure: ports.unexpected, absent: true",
            json!({"unexpected": [], "unknown": {"unexpected": "host_down"}}),
            "unknown *?",
        ),
        (
            Ports,
            "measure: ports.unexpected, absent: true",
            json!({"unexpected": null, "unknown": {"unexpected": "not_applicable"}}),
            "na",
        ),
        (
            Ports,
            "measure: ports.unexpected, absent: true",
            json!({"unexpected": [{"port": "1/tcp"}], "unknown": {"unexpected[2/tcp]": "timeout"}}),
            r#"out "1/tcp" "2/tcp"?"#,
        ),
        (
            Dns,
            "measure: dns.dnssec.state, none_of: [bogus]",
            json!({"dnssec": {"::1": {"state": "secure"}, "::2": null}, "unknown": {"dnssec[::2]": "timeout"}}),
            r#"unknown "::2"?"#,
        ),
    ] {
        let judged = judge(probe, body, measurements.clone());
        assert_eq!(outcome(&judged), expected, "{body} of {measurements}");
    }
}

#[test]
fn a_condition_speaks_of_the_same_item_and_its_unknowns_count() {
    let body = "measure: tls.certificates.key_bits, min: 2048, \
                when: {measure: tls.certificates.key_type, one_of: [rsa, dsa]}";
    let ports = "measure: ports.unexpected, absent: true, when: {measure: ports.addresses.host, equals: up}";
    for (probe, body, measurements, expected) in [
        (
            ProbeKind::Tls,
            body,
            json!({"certificates": [{"key_type": "ec", "key_bits": 256}]}),
            "na",
        ),
        (
            ProbeKind::Tls,
            body,
            json!({"certificates": [{"key_type": "ec", "key_bits": null}, {"key_type": "rsa", "key_bits": 2048}]}),
            "in",
        ),
        (
            ProbeKind::Tls,
            body,
            json!({"certificates": [{"key_type": "rsa", "key_bits": 512}, {"key_type": "ec", "key_bits": 256}]}),
            r#"out "rsa""#,
        ),
        (
            ProbeKind::Tls,
            body,
            json!({"certificates": [{"key_type": null, "key_bits": 512}]}),
            "unknown *?",
        ),
        (
            ProbeKind::Tls,
            body,
            json!({"certificates": [{"key_type": "ec", "key_bits": 256}], "unknown": {"certificates": "timeout"}}),
            "unknown *?",
        ),
        (
            ProbeKind::Tls,
            "measure: tls.dh_prime_bits, min: 1, when: {measure: tls.versions, contains: TLSv1.2}",
            json!({"versions": ["TLSv1.3"], "dh_prime_bits": null}),
            "na",
        ),
        (
            ProbeKind::Tls,
            "measure: tls.dh_prime_bits, min: 1, when: {measure: tls.versions, contains: TLSv1.2}",
            json!({"versions": null, "dh_prime_bits": 0}),
            "unknown *?",
        ),
        (
            ProbeKind::Tls,
            "measure: tls.early_data, max: 0, when: [{measure: tls.versions, contains: TLSv1.3}, {measure: tls.alpn, contains: h2}]",
            json!({"versions": ["TLSv1.3"], "alpn": [], "early_data": 1}),
            "na",
        ),
        (
            ProbeKind::Ports,
            ports,
            json!({"addresses": [{"address": "::1", "host": "up"}], "unexpected": []}),
            "in",
        ),
    ] {
        let judged = judge(probe, body, measurements.clone());
        assert_eq!(outcome(&judged), expected, "{body} of {measurements}");
    }
}

#[test]
fn a_sample_without_measurements_leaves_every_rule_of_its_probe_unknown() {
    let judgements = everything().evaluate(&unknown_sample(ProbeKind::Tls, Reason::Timeout));
    assert!(judgements.iter().all(|j| j.rule.id.starts_with("tls-") && outcome(j) == "unknown *?"));
    assert_eq!(sample_verdict(&judgements), Verdict::Unknown);
    let mut summary = Summary::default();
    summary.add(&judgements);
    assert_eq!(summary, Summary { unknown: judgements.len(), ..Summary::default() });
}

#[test]
fn a_doubt_about_a_version_keeps_its_suites_from_being_clean() {
    let suites = json!({"cipher_suites": {"TLSv1.2": null}, "unknown": {"cipher_suites[TLSv1.2]": "timeout"}});
    let judged = judgement_of("tls-weak-cipher", &sample(ProbeKind::Tls, suites));
    assert!(!judged.is_clean_for("TLSv1.2 TLS_RSA_WITH_RC4_128_SHA"));
    assert!(judged.is_clean_for("TLSv1.1 TLS_RSA_WITH_RC4_128_SHA"));
}

#[test]
fn what_is_missed_or_forgeable_is_told_from_what_was_shown() {
    let shown = |id: &str, probe, measurements| {
        judgement_of(id, &sample(probe, measurements)).breaches.remove(0).shown
    };
    use ProbeKind::{Dns, Ports, Tls};
    let drift = |kind: &str| json!({"drift": [{"name": "a", "type": "A", "kind": kind}]});
    let server = |state: &str| json!({"delegation": {"servers": {"::1": {"state": state}}}});
    for (id, probe, measurements, expected) in [
        ("tls-legacy-protocol", Tls, json!({"versions": ["SSLv3"]}), Evidence::Shown),
        ("tls-no-tls13", Tls, json!({"versions": []}), Evidence::Missed),
        ("ports-unexpected", Ports, json!({"unexpected": [{"port": 1}]}), Evidence::Forgeable),
        ("ports-missing", Ports, json!({"missing": [{"port": 1}]}), Evidence::Missed),
        ("dns-drift", Dns, drift("added"), Evidence::Shown),
        ("dns-drift", Dns, drift("removed"), Evidence::Missed),
        ("dns-delegation", Dns, server("lame"), Evidence::Shown),
        ("dns-delegation", Dns, server("unreachable"), Evidence::Missed),
    ] {
        assert_eq!(shown(id, probe, measurements), expected, "{id}");
    }
}

#[test]
fn a_breach_says_where_and_what_in_printable_text() {
    let hostile = json!({"cookies": [{"name": "a\u{1b}]0;x\u{7}", "secure": false}]});
    let judged = judgement_of("http-cookies", &sample(ProbeKind::Http, hostile));
    let breach = &judged.breaches[0];
    let is_plain = |text: &str| !text.chars().any(char::is_control);
    assert!(is_plain(&breach.subject) && is_plain(&breach.evidence), "{breach:?}");
    assert_eq!(breach.evidence, "cookies[a ]0;x ].secure = false");
    let leaf = json!({"certificates": [{"key_type": "ec", "not_after": (now() + chrono::TimeDelta::hours(36)).to_rfc3339()}]});
    let judged = judgement_of("tls-certificate-expiry", &sample(ProbeKind::Tls, leaf));
    assert!(judged.breaches[0].evidence.ends_with("(1d12h left)"), "{judged:?}");
    assert_eq!(&*judged.rule.range, "at least 21d left");
}

#[test]
fn a_flood_of_subjects_is_cut_and_nothing_beyond_the_cut_counts_as_clean() {
    let ports: Vec<_> = (1..3_000).map(|port| json!({"port": port})).collect();
    let judged =
        judgement_of("ports-unexpected", &sample(ProbeKind::Ports, json!({"unexpected": ports})));
    assert_eq!(judged.breaches.len(), 1_024);
    assert!(!judged.is_clean_for("2999/tcp"));
}

#[test]
fn info_and_what_was_not_asked_do_not_decide_a_samples_verdict() {
    let verdict = |measurements: Value| {
        let profiles = ["standard".to_owned()];
        let selection = RuleSet::builtin().select(&profiles, &BTreeMap::new()).expect("rules");
        sample_verdict(&selection.evaluate(&sample(ProbeKind::Tls, measurements)))
    };
    assert_eq!(verdict(json!({"chain": {"extra": 3, "trusted": true}})), Verdict::InRange);
    assert_eq!(verdict(json!({"chain": {"trusted": false}})), Verdict::OutOfRange);
    assert_eq!(
        verdict(
            json!({"chain": {"trusted": true}, "dh_prime_bits": null, "unknown": {"dh_prime_bits": "timeout"}})
        ),
        Verdict::Unknown
    );
    let opt_in = json!({"chain": {"trusted": true}, "vulnerabilities": {"robot": null}, "unknown": {"vulnerabilities.robot": "opt_in"}});
    assert_eq!(verdict(opt_in), Verdict::InRange);
    // A lower bound that the probe never meant to close does not make a good sample unknown, but
    // one that something stood in the way of does.
    let bound = |why: &str| json!({"chain": {"trusted": true}, "cipher_suites": {"TLSv1.3": ["TLS_AES_128_GCM_SHA256"]}, "unknown": {"cipher_suites": why}});
    assert_eq!(verdict(bound("not_observed")), Verdict::InRange);
    assert_eq!(verdict(bound("not_observed: the walk was cut short")), Verdict::Unknown);
    assert_eq!(verdict(bound("timeout")), Verdict::Unknown);
    assert_eq!(verdict(json!({})), Verdict::Unknown);
}

fn arbitrary_json() -> impl Strategy<Value = Value> {
    let words =
        "versions|TLSv1.2|unknown|certificates|key_type|not_after|open|\\[|é|2027-01-01T00:00:00Z|";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(words, inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_measurements_whatever_make_the_engine_panic(
        values in prop::collection::vec(arbitrary_json(), 24),
        unknown in prop::collection::vec(("[a-zA-Z_.\\[\\]0-9]{0,24}", 0..Reason::ALL.len()), 0..6),
    ) {
        for probe in ProbeKind::ALL {
            let mut facts = Measurements::new();
            let measures = crate::sample::measures(probe);
            let tops = measures.iter().filter_map(|measure| measure.path.split('.').nth(1));
            for (top, value) in tops.zip(values.iter().cycle()) {
                facts.set(top, value);
            }
            for (path, reason) in &unknown {
                facts.set_unknown(path.clone(), Reason::ALL[*reason]);
            }
            let sample = Sample { outcome: Outcome::Measured(facts), ..sample(probe, json!({})) };
            for judgement in everything().evaluate(&sample) {
                let broken = judgement.verdict == Verdict::OutOfRange;
                prop_assert_eq!(broken, !judgement.breaches.is_empty());
            }
        }
    }

    #[test]
    fn no_pack_whatever_makes_the_reader_panic(text in "([a-z]{0,6}[:\\-\\[\\]{}, \n\"&*]{0,3}){0,40}") {
        let head = "probe: tls\nversion: x\nsource: x\nrules: ";
        let _ = read_pack("a.yaml", &text, false);
        let _ = read_pack("a.yaml", &format!("{head}{text}"), false);
    }
}
