//! Policies that live in records: CAA by its climb, MX, SPF and DMARC.

use std::collections::BTreeSet;

use futures_util::future::join;
use hickory_proto::rr::{Name, RecordType};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::delegate::{Found, Walk};
use super::text;
use crate::sample::{Path, Reason, Unknown};

/// The CAA set that applies to a name: its own, else the nearest above it (RFC 8659 §3).
pub(super) async fn caa(walk: &Walk<'_>, name: &Name) -> Result<Value, Unknown> {
    let mut at = name.clone();
    for _ in 0..MAX_CLIMB {
        if at.is_root() {
            break;
        }
        if let Some(set) = values(walk.lookup(&at, RecordType::CAA).await)? {
            let of = |tag: &str| -> Vec<String> {
                set.iter().filter_map(|record| caa_value(record, tag)).collect()
            };
            return Ok(json!({
                "present": true, "found_at": text::of_name(&at),
                "issue": of("issue"), "issuewild": of("issuewild"), "iodef": of("iodef"),
            }));
        }
        at = at.base_name();
    }
    Ok(json!({ "present": false, "found_at": "", "issue": [], "issuewild": [], "iodef": [] }))
}

/// Mail policy of a name, and what of it could not be established, by path below `mail`.
pub(super) async fn mail(
    walk: &Walk<'_>,
    name: &Name,
    zone: &Name,
) -> (Value, Vec<(String, Unknown)>) {
    let mut facts = Map::new();
    let mut unknown = Vec::new();
    let mut put = |key: &str, fact: Result<Value, Unknown>| match fact {
        Ok(value) => drop(facts.insert(key.to_owned(), value)),
        Err(why) => {
            facts.insert(key.to_owned(), Value::Null);
            unknown.push((key.to_owned(), why));
        }
    };
    let (exchanges, strings) =
        join(walk.lookup(name, RecordType::MX), walk.lookup(name, RecordType::TXT)).await;
    match values(exchanges) {
        Ok(set) => {
            let set = set.unwrap_or_default();
            put("null_mx", Ok(json!(set.len() == 1 && set.contains("0 ."))));
            put("mx", Ok(mx(walk, &set).await));
        }
        Err(why) => {
            put("null_mx", Err(why.clone()));
            put("mx", Err(why));
        }
    }
    put("spf", values(strings).map(|set| spf(&set.unwrap_or_default())));
    put("dmarc", dmarc(walk, name, zone).await);
    if facts.get("spf").is_some_and(Value::is_object) {
        unknown.push(("spf.lookups".to_owned(), Reason::NotObserved.into()));
    }
    for (exchange, fact) in facts.get("mx").and_then(Value::as_object).into_iter().flatten() {
        if fact["problem"].is_null() {
            let path = Path::of("mx").join(exchange).join("problem");
            unknown.push((path.to_string(), Reason::DnsError.into()));
        }
    }
    (Value::Object(facts), unknown)
}

/// Each exchange with its preference, and whether it has an address at all.
async fn mx(walk: &Walk<'_>, set: &BTreeSet<String>) -> Value {
    let mut exchanges = Map::new();
    for record in set.iter().take(MAX_EXCHANGES) {
        let Some((preference, exchange)) = record.split_once(' ') else { continue };
        let Some(host) = text::name(exchange).filter(|host| !host.is_root()) else { continue };
        let (v4, v6) =
            join(walk.lookup(&host, RecordType::A), walk.lookup(&host, RecordType::AAAA)).await;
        let problem = problem(&v4, &v6);
        let preference: Option<u16> = preference.parse().ok();
        exchanges
            .insert(exchange.to_owned(), json!({ "preference": preference, "problem": problem }));
    }
    Value::Object(exchanges)
}

/// What is wrong with a name that others point to: `none`, `nxdomain`, `nodata`, `cname`; null
/// where it could not be asked.
pub(super) fn problem(
    v4: &Result<Found, Unknown>,
    v6: &Result<Found, Unknown>,
) -> Option<&'static str> {
    let found = [v4, v6].map(|found| found.as_ref().ok());
    if found.iter().flatten().any(|found| found.alias) {
        return Some("cname");
    }
    let answers = found.map(|found| found.map(|found| &found.answer));
    if answers.iter().any(|answer| matches!(answer, Some(Answer::Set(_)))) {
        return Some("none");
    }
    match answers {
        [Some(Answer::Nxdomain), _] | [_, Some(Answer::Nxdomain)] => Some("nxdomain"),
        [Some(Answer::Nodata), Some(Answer::Nodata)] => Some("nodata"),
        _ => None,
    }
}

/// The DMARC record of a name, else of its zone.
async fn dmarc(walk: &Walk<'_>, name: &Name, zone: &Name) -> Result<Value, Unknown> {
    let mut records = Vec::new();
    for owner in [name, zone] {
        let Some(at) = text::name(&format!("_dmarc.{}", text::of_name(owner))) else { continue };
        let set = values(walk.lookup(&at, RecordType::TXT).await)?.unwrap_or_default();
        records = set.into_iter().filter(|text| tagged(text, "v") == Some("DMARC1")).collect();
        if !records.is_empty() || name == zone {
            break;
        }
    }
    let policy = match records.as_slice() {
        [one] => tagged(one, "p").unwrap_or("").to_ascii_lowercase(),
        _ => String::new(),
    };
    let known = matches!(&*policy, "none" | "quarantine" | "reject");
    let errors: Vec<&str> = match records.len() {
        0 => vec![],
        1 if known => vec![],
        1 => vec!["syntax"],
        _ => vec!["multiple_records"],
    };
    let policy = if known { policy } else { String::new() };
    Ok(json!({ "records": records.len(), "policy": policy, "errors": errors }))
}

/// What the SPF record itself says (RFC 7208 §4.5, §4.6); its includes are not followed.
fn spf(strings: &BTreeSet<String>) -> Value {
    let is_spf = |text: &&String| {
        let text = text.to_ascii_lowercase();
        text == "v=spf1" || text.starts_with("v=spf1 ")
    };
    let records: Vec<&String> = strings.iter().filter(is_spf).collect();
    let (mut all, mut errors) = (String::new(), Vec::new());
    if let [record] = records.as_slice() {
        for term in record.split_ascii_whitespace().skip(1) {
            let (qualifier, mechanism) = match term.chars().next() {
                Some(q @ ('+' | '-' | '~' | '?')) => (q, &term[1..]),
                _ => ('+', term),
            };
            let word = mechanism.split([':', '/', '=']).next().unwrap_or("").to_ascii_lowercase();
            if word == "all" {
                all = qualifier.to_string();
            }
            let is_modifier = mechanism.split([':', '/']).next().is_some_and(|w| w.contains('='));
            if !is_modifier && !MECHANISMS.contains(&&*word) && !errors.contains(&"syntax") {
                errors.push("syntax");
            }
        }
    } else if records.len() > 1 {
        errors.push("multiple_records");
    }
    json!({ "records": records.len(), "all": all, "errors": errors, "lookups": null })
}

/// A tag's value in a `tag=value; …` list (RFC 6376 §3.2).
fn tagged<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    text.split(';')
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case(tag))
        .map(|(_, value)| value.trim())
}

fn caa_value(record: &str, tag: &str) -> Option<String> {
    let mut words = record.splitn(3, ' ');
    let (_, name, value) = (words.next()?, words.next()?, words.next()?);
    (name == tag).then(|| value.trim_matches('"').to_owned())
}

/// A set, none, or why it is not known.
fn values(found: Result<Found, Unknown>) -> Result<Option<BTreeSet<String>>, Unknown> {
    match found?.answer {
        Answer::Set(set) => Ok(Some(set)),
        Answer::Nodata | Answer::Nxdomain => Ok(None),
        Answer::Error(fault) => Err(fault.unknown()),
    }
}

/// RFC 7208 §4.6.1.
const MECHANISMS: [&str; 8] = ["all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"];

/// Labels climbed for a CAA set.
const MAX_CLIMB: usize = 10;

/// Mail exchanges looked up.
const MAX_EXCHANGES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(|v| (*v).to_owned()).collect()
    }

    #[test]
    fn an_spf_record_is_read_without_its_includes() {
        for (records, count, all, errors) in [
            (&["v=spf1 -all"][..], 1, "-", json!([])),
            (&["v=spf1 include:a.test ip4:192.0.2.0/24 ~all"], 1, "~", json!([])),
            (&["v=spf1 a/24 mx all"], 1, "+", json!([])),
            (&["v=spf1 redirect=_spf.a.test"], 1, "", json!([])),
            (&["v=spf1 a:x -all", "v=spf1 ?all"], 2, "", json!(["multiple_records"])),
            (&["v=spf1 bogus -all"], 1, "-", json!(["syntax"])),
            (&["v=spf10 -all", "hello"], 0, "", json!([])),
        ] {
            let spf = spf(&strings(records));
            assert_eq!(spf["records"], count, "{records:?}");
            assert_eq!(spf["all"], all, "{records:?}");
            assert_eq!(spf["errors"], errors, "{records:?}");
        }
    }

    #[test]
    fn tags_are_found_wherever_they_stand() {
        assert_eq!(tagged("v=DMARC1; P = reject;rua=mailto:x", "p"), Some("reject"));
        assert_eq!(tagged("v=DMARC1", "p"), None);
        assert_eq!(caa_value("0 issue \"ca.test; a=b\"", "issue"), Some("ca.test; a=b".to_owned()));
    }
}
