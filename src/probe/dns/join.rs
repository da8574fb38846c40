//! What a zone says of certificates, held against the certificates that the tls probe saw: CAA's
//! issuers (RFC 8659) and TLSA's digests (RFC 6698, RFC 7671). Pure; each result says how old the look
//! at the certificate is.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::catalogue::Catalogue;
use crate::probe::Known;
use crate::sample::{Measurements, Path, Reason, Unknown};

/// Adds to a sample of `host` what the latest looks at its certificates make of `caa` and `tlsa`:
/// `caa.issuance` and `tlsa.NAME.matches`.
pub fn join(facts: &mut Measurements, host: &str, known: &[Known], now: DateTime<Utc>) {
    let served = served(known, now);
    join_caa(facts, host, &served);
    join_tlsa(facts, &served);
}

/// A certificate as the tls probe told of it.
struct Served<'a> {
    facts: &'a Value,
    seen_at: DateTime<Utc>,
}

/// Every certificate of every address, as far as the look is not too old.
fn served(known: &[Known], now: DateTime<Utc>) -> Vec<Served<'_>> {
    let fresh = known.iter().filter(|one| now - one.taken_at <= MAX_AGE);
    let each = fresh.flat_map(|one| {
        let certificates = one.facts["certificates"].as_array().into_iter().flatten();
        certificates.map(|facts| Served { facts, seen_at: one.taken_at })
    });
    each.take(MAX_SERVED).collect()
}

fn join_caa(facts: &mut Measurements, host: &str, served: &[Served<'_>]) {
    let Some(mut caa) = facts.fact("caa").filter(|caa| caa.is_object()).cloned() else { return };
    let path = Path::of("caa").join("issuance");
    if caa["present"] != true || served.is_empty() {
        let any_may = caa["present"] == false;
        let why = if any_may { Reason::NotApplicable } else { Reason::NotObserved };
        caa["issuance"] = Value::Null;
        facts.set("caa", caa);
        facts.set_unknown(path.to_string(), why);
        return;
    }
    let mut issuance: BTreeMap<String, (Result<bool, Unknown>, DateTime<Utc>)> = BTreeMap::new();
    for one in served {
        let issuer = one.facts["issuer"].as_str().unwrap_or_default();
        let issuer = organisation(issuer).unwrap_or(issuer).to_owned();
        let permitted = permitted(&caa, host, one.facts, &issuer);
        let entry = issuance.entry(issuer).or_insert_with(|| (permitted.clone(), one.seen_at));
        entry.1 = entry.1.max(one.seen_at);
        // One certificate that may not be is enough.
        if permitted == Ok(false) {
            entry.0 = permitted;
        }
    }
    let mut shown = Map::new();
    for (issuer, (permitted, seen_at)) in issuance {
        shown.insert(
            issuer.clone(),
            json!({ "permitted": permitted.as_ref().ok(), "seen_at": time(seen_at) }),
        );
        if let Err(why) = permitted {
            facts.set_unknown(path.clone().join(&issuer).join("permitted").to_string(), why);
        }
    }
    caa["issuance"] = Value::Object(shown);
    facts.set("caa", caa);
}

/// Whether the set lets this issuer issue for the name today, as the certificate covers it.
fn permitted(caa: &Value, host: &str, certificate: &Value, issuer: &str) -> Result<bool, Unknown> {
    let names: Vec<&str> =
        certificate["san"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let is_exact = names.iter().any(|name| name.eq_ignore_ascii_case(host));
    let parent = host.split_once('.').map_or("", |(_, parent)| parent);
    let by_wildcard = !is_exact
        && names.iter().any(|name| {
            name.strip_prefix("*.").is_some_and(|below| below.eq_ignore_ascii_case(parent))
        });
    if !is_exact && !by_wildcard || by_wildcard && caa["found_at"] == host {
        // Another name's certificate is held to another name's set.
        return Err(Reason::NotApplicable.into());
    }
    let tagged = |tag: &str| -> Vec<String> {
        let values = caa[tag].as_array().into_iter().flatten().filter_map(Value::as_str);
        values.map(|value| value.split(';').next().unwrap_or("").trim().to_lowercase()).collect()
    };
    let (issue, issuewild) = (tagged("issue"), tagged("issuewild"));
    let allowed = if by_wildcard && !issuewild.is_empty() { issuewild } else { issue };
    if allowed.is_empty() {
        return Ok(true);
    }
    let known_as = Catalogue::builtin().issuer(issuer);
    match known_as {
        [] => Err(Reason::NotObserved.into()),
        names => Ok(names.iter().any(|name| allowed.contains(name))),
    }
}

/// The O of a name as `C=US, O=Let's Encrypt, CN=R11`; values may hold commas.
fn organisation(name: &str) -> Option<&str> {
    let start = match name.strip_prefix("O=") {
        Some(rest) => rest,
        None => name.split_once(", O=")?.1,
    };
    let is_key = |text: &str| {
        let key = text.split('=').next().unwrap_or_default();
        text.contains('=') && key.len() <= 12 && key.bytes().all(|b| b.is_ascii_alphabetic())
    };
    let end = start.match_indices(", ").find(|(at, _)| is_key(&start[at + 2..]));
    Some(end.map_or(start, |(at, _)| &start[..at]))
}

fn join_tlsa(facts: &mut Measurements, served: &[Served<'_>]) {
    let Some(mut tlsa) = facts.fact("tlsa").filter(|tlsa| tlsa.is_object()).cloned() else {
        return;
    };
    let mut unknown = Vec::new();
    for (name, entry) in tlsa.as_object_mut().into_iter().flatten() {
        let records = entry["records"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let records: Vec<Record> = records.filter_map(Record::read).collect();
        let matches = all_match(&records, served);
        entry["matches"] = json!(matches);
        entry["seen_at"] = json!(served.iter().map(|one| one.seen_at).min().map(time));
        if matches.is_none() {
            unknown.push(Path::of("tlsa").join(name).join("matches"));
        }
        if served.is_empty() {
            unknown.push(Path::of("tlsa").join(name).join("seen_at"));
        }
    }
    facts.set("tlsa", tlsa);
    for path in unknown {
        facts.set_unknown(path.to_string(), Reason::NotObserved);
    }
}

/// Whether each certificate served has a record that fits; none fits beside one that can't be told.
fn all_match(records: &[Record], served: &[Served<'_>]) -> Option<bool> {
    let each: Vec<Option<bool>> = served
        .iter()
        .map(|one| {
            let fits: Vec<Option<bool>> = records.iter().map(|r| r.fits(one.facts)).collect();
            match fits.contains(&Some(true)) {
                true => Some(true),
                false if fits.contains(&None) => None,
                false => Some(false),
            }
        })
        .collect();
    match each.contains(&Some(false)) {
        true => Some(false),
        false if each.is_empty() || each.contains(&None) => None,
        false => Some(true),
    }
}

/// A TLSA record (RFC 6698 §2.1).
#[derive(Clone, Debug, Eq, PartialEq)]
struct Record {
    usage: u8,
    selector: u8,
    matching: u8,
    data: String,
}

impl Record {
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut number = || words.next()?.parse().ok();
        let (usage, selector, matching) = (number()?, number()?, number()?);
        Some(Self { usage, selector, matching, data: words.next()?.to_ascii_lowercase() })
    }

    /// Whether it fits the certificate or its chain; `None` where what was kept of them can't tell.
    fn fits(&self, leaf: &Value) -> Option<bool> {
        let digests = match self.selector {
            0 => "sha256",
            1 => "spki_sha256",
            _ => return Some(false),
        };
        let wanted = match self.matching {
            0 => hex::encode(digest(&SHA256, &hex::decode(&self.data).ok()?)),
            1 => self.data.clone(),
            // No SHA-512 is kept.
            2 => return None,
            _ => return Some(false),
        };
        let is_it = |certificate: &Value| certificate[digests] == *wanted;
        let chain = leaf["chain"].as_array();
        let is_above = chain.is_some_and(|chain| chain.iter().any(is_it));
        let fits = match self.usage {
            0 | 2 => is_above,
            1 | 3 => is_it(leaf),
            _ => return Some(false),
        };
        match (self.usage, fits, leaf["trusted"].as_bool()) {
            // PKIX-TA may name the root, which few servers send.
            (0, false, _) if leaf["root_sent"] != true => None,
            // PKIX: the path must hold as well.
            (0 | 1, true, trusted) => trusted,
            (_, fits, _) => Some(fits),
        }
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The oldest look at a certificate that still says something: a nightly one, and one that failed.
const MAX_AGE: TimeDelta = TimeDelta::hours(50);

/// Certificates looked at.
const MAX_SERVED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).expect("a date")
    }

    fn seen(certificates: Value, age: TimeDelta) -> Known {
        let facts = json!({ "certificates": certificates });
        Known { taken_at: now() - age, facts }
    }

    fn joined(facts: Value, known: &[Known]) -> Value {
        let mut facts: Measurements = serde_json::from_value(facts).expect("facts");
        join(&mut facts, "www.shop.test", known, now());
        serde_json::to_value(&facts).expect("JSON")
    }

    fn leaf(issuer: &str, san: &[&str]) -> Value {
        json!({"issuer": issuer, "san": san, "sha256": "aa", "spki_sha256": "bb", "trusted": true,
            "root_sent": false, "chain": [{"sha256": "cc", "spki_sha256": "dd"}]})
    }

    const LETS_ENCRYPT: &str = "C=US, O=Let's Encrypt, CN=R11";

    #[test]
    fn the_issuer_seen_is_held_to_the_set_that_applies() {
        let caa = |issue: &[&str], wild: &[&str], found_at: &str| {
            json!({"caa": {"present": true, "found_at": found_at, "issue": issue, "issuewild": wild,
                "iodef": []}})
        };
        let exact: &[&str] = &["www.shop.test"];
        let wild: &[&str] = &["*.shop.test", "shop.test"];
        for (issue, issuewild, found_at, san, permitted) in [
            (&["letsencrypt.org; accounturi=x"][..], &[][..], "shop.test", exact, json!(true)),
            (&["digicert.com"], &[], "shop.test", exact, json!(false)),
            (&[";"], &[], "shop.test", exact, json!(false)),
            (&[], &["digicert.com"], "shop.test", exact, json!(true)),
            (&["letsencrypt.org"], &["digicert.com"], "shop.test", wild, json!(false)),
            (&["LetsEncrypt.org"], &[], "shop.test", wild, json!(true)),
            (&["digicert.com"], &[], "www.shop.test", wild, Value::Null),
            (&["digicert.com"], &[], "shop.test", &["other.test"], Value::Null),
        ] {
            let known = [seen(json!([leaf(LETS_ENCRYPT, san)]), TimeDelta::minutes(5))];
            let facts = joined(caa(issue, issuewild, found_at), &known);
            let shown = &facts["caa"]["issuance"]["Let's Encrypt"];
            assert_eq!(shown["permitted"], permitted, "{issue:?} {issuewild:?} {san:?}");
            assert_eq!(shown["seen_at"], "2026-09-21T14:08:20Z");
        }
    }

    #[test]
    fn without_a_look_or_a_set_or_a_known_issuer_nothing_is_said() {
        let caa =
            json!({"caa": {"present": true, "found_at": "", "issue": ["a.test"], "issuewild": []}});
        let own = leaf("O=Own, Inc., CN=Own Root", &["www.shop.test"]);
        let facts = joined(caa.clone(), &[seen(json!([own]), TimeDelta::zero())]);
        assert_eq!(facts["caa"]["issuance"]["Own, Inc."]["permitted"], Value::Null);
        assert_eq!(facts["unknown"]["caa.issuance[Own, Inc.].permitted"], "not_observed");
        let old = [seen(json!([leaf(LETS_ENCRYPT, &["www.shop.test"])]), TimeDelta::hours(51))];
        for known in [&old[..], &[]] {
            let facts = joined(caa.clone(), known);
            assert_eq!(facts["caa"]["issuance"], Value::Null);
            assert_eq!(facts["unknown"]["caa.issuance"], "not_observed");
        }
        let facts = joined(json!({"caa": {"present": false}}), &old);
        assert_eq!(facts["unknown"]["caa.issuance"], "not_applicable");
        let facts = joined(json!({"caa": null, "unknown": {"caa": "timeout"}}), &old);
        assert_eq!(facts["unknown"], json!({"caa": "timeout"}));
    }

    #[test]
    fn each_certificate_served_needs_a_record_that_fits() {
        let fresh = |leaves: Value| [seen(leaves, TimeDelta::zero())];
        let one = || json!([leaf(LETS_ENCRYPT, &[])]);
        let full = hex::encode(digest(&SHA256, b"\x30\x00"));
        let mut whole = leaf(LETS_ENCRYPT, &[]);
        whole["sha256"] = json!(full);
        let other = json!({"issuer": "", "sha256": "ee", "spki_sha256": "ff", "chain": []});
        for (records, served, matches) in [
            (&["3 1 1 BB"][..], one(), json!(true)),
            (&["3 0 1 AA"], one(), json!(true)),
            (&["2 1 1 DD"], one(), json!(true)),
            (&["2 1 1 BB"], one(), json!(false)),
            (&["3 1 1 EE"], one(), json!(false)),
            (&["3 1 1 EE", "3 1 1 BB"], one(), json!(true)),
            (&["3 0 0 3000"], json!([whole]), json!(true)),
            (&["1 1 1 BB"], one(), json!(true)),
            (&["0 1 1 EE"], one(), Value::Null),
            (&["3 1 2 EE"], one(), Value::Null),
            (&["9 1 1 BB"], one(), json!(false)),
            (&["3 1 1 BB"], json!([leaf("", &[]), other]), json!(false)),
            (&["3 1 1 BB"], json!([]), Value::Null),
        ] {
            let facts = json!({"tlsa": {"_443._tcp.www.shop.test": {"records": records}}});
            let facts = joined(facts, &fresh(served));
            let shown = &facts["tlsa"]["_443._tcp.www.shop.test"];
            assert_eq!(shown["matches"], matches, "{records:?}: {facts}");
            let unknown = &facts["unknown"]["tlsa[_443._tcp.www.shop.test].matches"];
            assert_eq!(unknown.is_null(), !matches.is_null(), "{facts}");
        }
    }

    #[test]
    fn an_organisation_is_found_in_whatever_order_and_with_its_commas() {
        for (name, wanted) in [
            (LETS_ENCRYPT, Some("Let's Encrypt")),
            ("O=DigiCert Inc", Some("DigiCert Inc")),
            ("C=US, ST=Arizona, O=GoDaddy.com, Inc., OU=x, CN=y", Some("GoDaddy.com, Inc.")),
            ("CN=x", None),
            ("", None),
        ] {
            assert_eq!(organisation(name), wanted, "{name}");
        }
    }
}
