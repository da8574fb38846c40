//! What a name says of its mail: exchanges, SPF, DKIM, DMARC, MTA-STS, TLS reports and BIMI.

use std::collections::BTreeSet;

use base64::Engine;
use futures_util::future::{join, join4};
use hickory_proto::rr::{Name, RecordType};
use serde_json::{Map, Value, json};
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo};
use x509_parser::public_key::PublicKey;

use super::delegate::Walk;
use super::policy::{problem, values};
use super::{spf, text};
use crate::sample::{Path, Reason, Unknown};

/// Mail policy of a name, and what of it could not be established, by path below `mail`.
/// `selectors` are DKIM's, as far as somebody named them.
pub(super) async fn mail(
    walk: &Walk<'_>,
    name: &Name,
    selectors: &BTreeSet<String>,
) -> (Value, Vec<(String, Unknown)>) {
    let mut facts = Facts::default();
    let (exchanges, strings) =
        join(walk.lookup(name, RecordType::MX), walk.lookup(name, RecordType::TXT)).await;
    let takes_mail = match values(exchanges) {
        Ok(set) => {
            let set = set.unwrap_or_default();
            let null_mx = set.len() == 1 && set.contains("0 .");
            facts.put("null_mx", Ok(json!(null_mx)));
            facts.put("mx", Ok(mx(walk, &set).await));
            !set.is_empty() && !null_mx
        }
        Err(why) => {
            facts.put("null_mx", Err(why.clone()));
            facts.put("mx", Err(why));
            false
        }
    };
    match values(strings) {
        Ok(strings) => {
            let (policy, unknown) = spf::policy(walk, name, strings.unwrap_or_default()).await;
            facts.put("spf", Ok(policy));
            facts
                .unknown
                .extend(unknown.into_iter().map(|(path, why)| (format!("spf.{path}"), why)));
        }
        Err(why) => facts.put("spf", Err(why)),
    }
    facts.put("dmarc", dmarc(walk, name).await);
    let (dkim, mta_sts, tls_rpt, bimi) = join4(
        dkim(walk, name, selectors, takes_mail),
        tagged_record(walk, name, "_mta-sts", "STSv1", "id"),
        tagged_record(walk, name, "_smtp._tls", "TLSRPTv1", "rua"),
        tagged_record(walk, name, "default._bimi", "BIMI1", "l"),
    )
    .await;
    facts.put("dkim", dkim);
    facts.put("mta_sts", mta_sts);
    facts.put("tls_rpt", tls_rpt);
    facts.put("bimi", bimi);
    facts.done()
}

#[derive(Default)]
struct Facts {
    facts: Map<String, Value>,
    unknown: Vec<(String, Unknown)>,
}

impl Facts {
    fn put(&mut self, key: &str, fact: Result<Value, Unknown>) {
        let value = fact.unwrap_or_else(|why| {
            self.unknown.push((key.to_owned(), why));
            Value::Null
        });
        self.facts.insert(key.to_owned(), value);
    }

    fn done(mut self) -> (Value, Vec<(String, Unknown)>) {
        let exchanges = self.facts.get("mx").and_then(Value::as_object);
        for (exchange, fact) in exchanges.into_iter().flatten() {
            if fact["problem"].is_null() {
                let path = Path::of("mx").join(exchange).join("problem");
                self.unknown.push((path.to_string(), Reason::DnsError.into()));
            }
        }
        (Value::Object(self.facts), self.unknown)
    }
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

/// The DMARC policy that holds for a name: its own, else the nearest above it (RFC 9989, DNS tree
/// walk).
async fn dmarc(walk: &Walk<'_>, name: &Name) -> Result<Value, Unknown> {
    let mut found = (name.clone(), Vec::new());
    for at in climb(name) {
        let Some(owner) = below(&["_dmarc"], &at) else { continue };
        let set = values(walk.lookup(&owner, RecordType::TXT).await)?.unwrap_or_default();
        let records: Vec<String> =
            set.into_iter().filter(|text| version(text) == Some("DMARC1")).collect();
        if !records.is_empty() {
            found = (at, records);
            break;
        }
    }
    let (at, records) = found;
    let policy = match records.as_slice() {
        [one] => {
            let below = (at != *name).then(|| tagged(one, "sp")).flatten();
            below.or_else(|| tagged(one, "p")).unwrap_or("").to_ascii_lowercase()
        }
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
    let found_at = if records.is_empty() { String::new() } else { text::of_name(&at) };
    Ok(json!({
        "records": records.len(), "policy": policy, "found_at": found_at, "errors": errors,
    }))
}

/// The names that a tree walk asks: at most eight, the longest ones skipped.
fn climb(name: &Name) -> Vec<Name> {
    let labels = name.iter().count();
    let mut names = vec![name.clone()];
    names.extend((1..labels.min(MAX_CLIMB)).rev().map(|depth| name.trim_to(depth)));
    names
}

/// Keys of the named selectors, and of a few that mail providers use.
async fn dkim(
    walk: &Walk<'_>,
    name: &Name,
    selectors: &BTreeSet<String>,
    takes_mail: bool,
) -> Result<Value, Unknown> {
    let common = USUAL_SELECTORS.iter().filter(|_| takes_mail).map(|s| (*s).to_owned());
    let mut found = Map::new();
    for selector in selectors.iter().cloned().chain(common).take(MAX_SELECTORS) {
        let labels: Vec<&str> = selector.split('.').chain(["_domainkey"]).collect();
        let Some(owner) = below(&labels, name) else { continue };
        let Some(set) = values(walk.lookup(&owner, RecordType::TXT).await)? else { continue };
        let Some(key) = set.iter().find(|text| tagged(text, "p").is_some()) else { continue };
        found.insert(selector, dkim_key(key));
    }
    Ok(Value::Object(found))
}

/// A key record (RFC 6376 §3.6.1).
fn dkim_key(record: &str) -> Value {
    let kind = tagged(record, "k").unwrap_or("rsa").to_ascii_lowercase();
    let key: String = tagged(record, "p").unwrap_or("").split_whitespace().collect();
    let octets = base64::engine::general_purpose::STANDARD.decode(&key).unwrap_or_default();
    let bits = match &*kind {
        "ed25519" if octets.len() == 32 => 256,
        "rsa" => rsa_bits(&octets).unwrap_or(0),
        _ => 0,
    };
    let errors: &[&str] = match (key.is_empty(), bits) {
        (true, _) => &["revoked"],
        (false, 0) => &["syntax"],
        _ => &[],
    };
    json!({ "key_type": text::printable(&kind), "key_bits": bits, "errors": errors })
}

fn rsa_bits(octets: &[u8]) -> Option<usize> {
    let (_, info) = SubjectPublicKeyInfo::from_der(octets).ok()?;
    match info.parsed().ok()? {
        PublicKey::RSA(key) => Some(key.key_size()),
        _ => None,
    }
}

/// A record of one version below a name, with whether it has the tag that it must have.
async fn tagged_record(
    walk: &Walk<'_>,
    name: &Name,
    prefix: &str,
    wanted: &str,
    tag: &str,
) -> Result<Value, Unknown> {
    let labels: Vec<&str> = prefix.split('.').collect();
    let Some(owner) = below(&labels, name) else { return Err(Reason::NotApplicable.into()) };
    let set = values(walk.lookup(&owner, RecordType::TXT).await)?.unwrap_or_default();
    let records: Vec<&String> = set.iter().filter(|text| version(text) == Some(wanted)).collect();
    let value = match records.as_slice() {
        [one] => tagged(one, tag),
        _ => None,
    };
    let is_id = |value: &str| value.len() <= 32 && value.bytes().all(|b| b.is_ascii_alphanumeric());
    let value = value.filter(|value| tag != "id" || is_id(value));
    // An empty logo says that there is none to show; nothing else may be empty.
    let fine = value.is_some_and(|value| wanted == "BIMI1" || !value.is_empty());
    let value = value.unwrap_or("");
    let errors: &[&str] = match records.len() {
        0 => &[],
        1 if !fine => &["syntax"],
        1 => &[],
        _ => &["multiple_records"],
    };
    Ok(json!({ "records": records.len(), tag: value, "errors": errors }))
}

fn below(labels: &[&str], name: &Name) -> Option<Name> {
    Name::from_labels(labels.iter().map(|label| label.as_bytes()).chain(name.iter())).ok()
}

/// The version that such a record must begin with.
fn version(text: &str) -> Option<&str> {
    let (tag, value) = text.split(';').next()?.split_once('=')?;
    (tag.trim() == "v").then(|| value.trim())
}

/// A tag's value in a `tag=value; …` list (RFC 6376 §3.2).
fn tagged<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    text.split(';')
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case(tag))
        .map(|(_, value)| value.trim())
}

/// Mail exchanges looked up.
const MAX_EXCHANGES: usize = 8;

/// Labels of the longest name above the first that DMARC's tree walk asks.
const MAX_CLIMB: usize = 8;

/// Selectors that large providers give their customers.
const USUAL_SELECTORS: [&str; 6] = ["default", "google", "k1", "s1", "selector1", "selector2"];

/// Selectors asked for.
const MAX_SELECTORS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_found_wherever_they_stand() {
        assert_eq!(tagged("v=DMARC1; P = reject;rua=mailto:x", "p"), Some("reject"));
        assert_eq!(tagged("v=DMARC1", "p"), None);
        assert_eq!(version("v = DMARC1 ; p=none"), Some("DMARC1"));
        assert_eq!(version("p=none; v=DMARC1"), None, "the version comes first");
    }

    #[test]
    fn a_tree_walk_is_bounded_and_ends_below_the_root() {
        let asked = |name: &str| -> Vec<String> {
            climb(&text::name(name).expect("a name")).iter().map(text::of_name).collect()
        };
        assert_eq!(asked("a.b.test"), ["a.b.test", "b.test", "test"]);
        let long = asked("a.b.c.d.e.f.g.h.i.test");
        assert_eq!(long.len(), 8);
        assert_eq!(long[1], "d.e.f.g.h.i.test");
    }

    #[test]
    fn a_dkim_key_says_its_size_or_what_is_wrong() {
        // RFC 8463 appendix A.
        let ed = dkim_key("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=");
        assert_eq!(ed, json!({"key_type": "ed25519", "key_bits": 256, "errors": []}));
        let rsa = dkim_key(
            "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a\
             5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKr\
             M3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
        );
        assert_eq!((&rsa["key_bits"], &rsa["errors"]), (&json!(1024), &json!([])));
        assert_eq!(dkim_key("v=DKIM1; p=")["errors"], json!(["revoked"]));
        assert_eq!(dkim_key("v=DKIM1; p=!!")["errors"], json!(["syntax"]));
    }
}
