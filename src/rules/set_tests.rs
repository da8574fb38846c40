//! Packs, profiles and a target's own ranges.

use serde_json::{Value, json};

use super::*;
use crate::sample::Severity;
use crate::target::ProbeKind;

#[test]
fn the_shipped_packs_have_no_mistakes() {
    for (name, text) in SHIPPED {
        let pack = read_pack(name, text, true);
        let errors: Vec<_> =
            pack.mistakes.into_iter().map(|mistake| mistake.in_file(name).to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        assert_eq!(pack.name.as_deref(), Some(name));
    }
    assert!(RuleSet::builtin().rules().len() >= 48);
}

#[test]
fn every_mistake_of_a_pack_comes_at_once_with_its_place() {
    let text = r#"probe: tls
version: 1.10
sauce: x
rules:
  - id: http-x
    severity: hihg
    measure: tls.version
    min: 3
    summary: "{what}"
    why: w
    remedy: r
  - id: tls-a
    severity: low
    measure: tls.certificates.not_after
    min: 21
    when: {measure: tls.chain, equals: x}
    for: soon
    profiles: [standart]
    summary: s
    why: w
    remedy: r
    controls: {iso: ["8.20"]}
    remdy: r
  - {id: tls-a, severity: low, measure: tls.versions, min: 3, summary: s, why: w, remedy: r}
  - {id: tls-b, severity: low, measure: tls.versions, none_of: [a], all_of: [b], summary: s, why: w, remedy: r}
  - {id: tls-c, severity: low, measure: tls.client_auth, matches: "(", summary: s, why: w, remedy: r}
  - {id: tls-d, severity: low, measure: dns.drift, summary: s, why: w}
  - {id: tls-e, severity: low, measure: tls.versions, all_of: ["TLS*"], absent: false, summary: s, why: w, remedy: r}
"#;
    let errors =
        RuleSet::load(&[("own.yaml", text)], &["tls-legacy".to_owned()]).expect_err("mistakes");
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let expected = EXPECTED_MISTAKES.trim().lines().collect::<Vec<_>>();
    assert_eq!(lines, expected, "\n{}", lines.join("\n"));
}

const EXPECTED_MISTAKES: &str = r#"
own.yaml:1:1: a pack needs `source`
own.yaml:3:1: a pack has no key `sauce`; did you mean `source`?
own.yaml:5:9: the id `http-x` does not begin with `tls-`; a rule's id is prefixed by the probe of its pack
own.yaml:6:15: `hihg` is no severity; use critical, high, medium, low or info; did you mean `high`?
own.yaml:7:14: no measurement `tls.version`; did you mean `tls.versions`?
own.yaml:9:14: no placeholder `{what}`; a summary may hold {measured}, {subject}, {target}
own.yaml:15:10: `21` is not a duration such as 21d; tls.certificates.not_after is measured in the time left until it
own.yaml:16:21: `tls.chain` is an object; a range needs one value; below it are tls.chain.trusted, tls.chain.reason, tls.chain.hostname_matches, tls.chain.order_ok, tls.chain.extra, tls.chain.incomplete, tls.chain.root_sent
own.yaml:17:10: `soon` is no duration; write numbers with y, w, d, h, m, s or ms, such as 1h30m
own.yaml:18:16: no profile `standart`; did you mean `standard`?
own.yaml:22:16: no framework `iso`; the frameworks are iso27002, nist-csf, pci-dss, soc2
own.yaml:23:5: a rule has no key `remdy`; did you mean `remedy`?
own.yaml:24:10: the id `tls-a` is used twice in this pack
own.yaml:24:55: `min` cannot be asked of tls.versions; a set of words takes equals, one_of, all_of, none_of, subset_of, contains, matches, absent, present
own.yaml:25:69: `all_of` is a second range operator; a range has one operator; only min and max stand together
own.yaml:26:67: the regular expression cannot be read: unclosed group
own.yaml:27:5: a rule needs `remedy`
own.yaml:27:41: `dns.drift` is not measured by the tls probe; a pack judges the samples of its own probe
own.yaml:28:63: `*` has no meaning in all_of: its words are looked for as such; write `\*` for the character itself
own.yaml:28:81: expected true, found false; write `absent: true` or `present: true`
rules.disable: no rule `tls-legacy` to disable
"#;

#[test]
fn a_users_pack_adds_replaces_and_takes_the_place_of_a_shipped_one() {
    let body =
        "severity: info, measure: tls.versions, contains: TLSv1.2, summary: s, why: w, remedy: r";
    let head = "probe: tls\nversion: x\nsource: x\nrules:";
    let own =
        format!("{head}\n  - {{id: tls-own, {body}}}\n  - {{id: tls-legacy-protocol, {body}}}\n");
    let set = RuleSet::load(&[("own.yaml", &own)], &["http-csp".to_owned()]).expect("rules");
    let shipped = RuleSet::builtin().rules().len();
    assert_eq!(set.rules().len(), shipped);
    assert_eq!(set.find("tls-legacy-protocol").map(|rule| rule.severity), Some(Severity::Info));
    assert!(set.find("http-csp").is_none() && set.find("tls-own").is_some());

    let whole = RuleSet::load(&[("own.yaml", format!("pack: tls\n{own}"))], &[]).expect("rules");
    assert_eq!(whole.rules().iter().filter(|rule| rule.probe == ProbeKind::Tls).count(), 2);

    let twice = RuleSet::load(&[("a.yaml", &own), ("b.yaml", &own)], &[]).expect_err("twice");
    assert_eq!(twice[0].to_string(), "b.yaml:5:5: the id `tls-own` is used in a.yaml too");
}

#[test]
fn profiles_and_a_targets_own_ranges_decide_what_holds() {
    let set = RuleSet::builtin();
    let facts = |profiles: &[&str], overrides: Value, id: &str| {
        let profiles: Vec<_> = profiles.iter().map(|&profile| profile.to_owned()).collect();
        let overrides = serde_json::from_value(overrides).expect("a map");
        let selection = set.select(&profiles, &overrides).expect("a selection");
        let rule =
            ProbeKind::ALL.into_iter().flat_map(|p| selection.rules(p)).find(|r| &*r.id == id);
        rule.map(|rule| format!("{} {}", rule.severity, rule.range))
    };
    let retired = |profiles: &[&str]| facts(profiles, json!({}), "tls-cipher-retired");
    let words = "none of TLS_DHE_*_GCM_*, TLS_DHE_*_CHACHA20_*";
    assert_eq!(retired(&[]), Some(format!("low {words}")));
    assert_eq!(retired(&["mozilla-intermediate-5.7"]), None);
    assert_eq!(retired(&["standard", "mozilla-intermediate-6.0"]), Some(format!("medium {words}")));
    assert_eq!(
        facts(&[], json!({"tls-certificate-expiry": {"min": "30d"}}), "tls-certificate-expiry"),
        Some("medium at least 30d left".to_owned())
    );
    assert_eq!(
        facts(&["baseline"], json!({"http-csp": {"equals": true}}), "http-csp"),
        Some("medium true".to_owned())
    );
    let overrides = serde_json::from_value(json!({
        "tls-certificate-expiry": {"min": 21},
        "tls-certficate-expiry": {"min": "21d"},
        "http-csp": {"equls": true},
        "tls-weak-dh": 5,
    }));
    let errors =
        set.select(&["strickt".to_owned()], &overrides.expect("a map")).expect_err("errors");
    assert_eq!(
        errors,
        [
            "no profile `strickt`; did you mean `strict`?",
            "no rule `tls-certficate-expiry`; did you mean `tls-certificate-expiry`?",
            "tls-certificate-expiry: `21` is not a duration such as 21d; tls.certificates.not_after is measured in the time left until it",
            "tls-weak-dh: a range is a map such as {min: 21d}",
            "http-csp: a range has no operator `equls`; did you mean `equals`?",
            "http-csp: there is no range operator; give one of equals",
        ]
    );
}

#[test]
fn the_ids_that_others_rely_on_exist() {
    let set = RuleSet::builtin();
    for id in
        "tls-chain-untrusted tls-hostname-mismatch tls-certificate-expiry tls-legacy-protocol \
               tls-weak-cipher tls-no-forward-secrecy tls-weak-key tls-weak-signature http-hsts \
               http-redirect http-csp http-frame-options http-content-type-options http-cookies \
               http-server-leak ports-unexpected ports-missing ports-unauthenticated dns-drift \
               dns-delegation dns-dnssec"
            .split_whitespace()
    {
        let rule = set.find(id).expect(id);
        assert!(rule.profiles.contains_key("standard"), "{id}");
    }
}

/// A team that steps up keeps every finding that it had: `baseline` ⊂ `standard` ⊂ `strict`, with a
/// severity at least as high. The ranges are held to the same by the examples of every rule.
#[test]
fn each_risk_profile_holds_all_that_the_milder_one_holds() {
    let set = RuleSet::builtin();
    let select = |profile: &str| {
        let selection = set.select(&[profile.to_owned()], &BTreeMap::new()).expect(profile);
        let rules = ProbeKind::ALL.into_iter().flat_map(|probe| {
            let rules = selection.rules(probe);
            rules.map(|rule| (rule.id.to_string(), rule.severity)).collect::<Vec<_>>()
        });
        rules.collect::<BTreeMap<String, Severity>>()
    };
    for (milder, stricter) in [("baseline", "standard"), ("standard", "strict")] {
        let (mild, strict) = (select(milder), select(stricter));
        for (rule, severity) in &mild {
            let there = strict.get(rule);
            assert!(
                there.is_some_and(|there| there >= severity),
                "{rule} is {severity} in {milder} and {there:?} in {stricter}"
            );
        }
        assert!(mild.len() < strict.len(), "{stricter} holds no rule more than {milder}");
    }
}
