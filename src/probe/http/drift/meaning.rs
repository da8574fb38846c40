//! What a sample's responses mean: named facts, each a set of words.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sample::Measurements;

/// The facts of posture that have any words, by name. What is not in here is no drift: dates, ids,
/// timings, values of cookies.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(in crate::probe::http) struct Meaning(pub(super) BTreeMap<String, BTreeSet<String>>);

impl Meaning {
    /// The meaning of a sample's measurements.
    pub(in crate::probe::http) fn of(facts: &Measurements) -> Self {
        let mut meaning = Self::default();
        for (name, path) in WORDS {
            let words = at(facts, path).map(words).unwrap_or_default();
            if !words.is_empty() {
                meaning.0.insert((*name).to_owned(), words);
            }
        }
        if let Some(seconds) = at(facts, "hsts.max_age").and_then(Value::as_u64) {
            let band =
                BANDS.iter().find(|(least, _)| seconds >= *least).map_or("0", |(_, band)| band);
            meaning.0.insert("hsts".to_owned(), BTreeSet::from([band.to_owned()]));
        }
        let policies = at(facts, "csp.policies").and_then(Value::as_array);
        for (index, policy) in policies.into_iter().flatten().enumerate() {
            let number = if index == 0 { String::new() } else { format!(" {}", index + 1) };
            for (directive, sources) in policy.as_object().into_iter().flatten() {
                let sources = words(sources).into_iter().map(masked).collect();
                meaning.0.insert(format!("csp{number} {directive}"), sources);
            }
        }
        for leak in at(facts, "leaks").and_then(Value::as_array).into_iter().flatten() {
            let field = leak["field"].as_str().unwrap_or_default();
            let product = leak["product"].as_str().unwrap_or_default();
            let version = if leak["has_version"] == true { " with its version" } else { "" };
            meaning
                .0
                .entry("leaks".to_owned())
                .or_default()
                .insert(format!("{field} {product}{version}"));
        }
        meaning.bounded()
    }

    /// Policies of unusual size are told apart by a digest alone.
    fn bounded(mut self) -> Self {
        let size = |sets: &BTreeMap<String, BTreeSet<String>>| -> usize {
            sets.iter().map(|(k, v)| k.len() + v.iter().map(String::len).sum::<usize>()).sum()
        };
        if size(&self.0) > MAX_SIZE {
            for (name, sources) in &mut self.0 {
                if name.starts_with("csp") {
                    let digest = super::super::text::digest(sources.iter().map(|s| &**s));
                    *sources = BTreeSet::from([format!("#{digest:016x}")]);
                }
            }
        }
        if size(&self.0) > MAX_SIZE { Self::default() } else { self }
    }
}

fn at<'a>(facts: &'a Measurements, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.');
    let mut value = facts.fact(parts.next()?)?;
    for part in parts {
        value = value.get(part)?;
    }
    (!value.is_null()).then_some(value)
}

fn words(value: &Value) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    gather(value, &mut words);
    words
}

fn gather(value: &Value, words: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            words.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, words)),
        Value::Object(members) => words
            .extend(members.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))),
        other => {
            words.insert(other.to_string());
        }
    }
}

/// Hashes change with every deployment; that there are any is what counts.
fn masked(source: String) -> String {
    let is_hash =
        ["'sha256-", "'sha384-", "'sha512-"].iter().any(|start| source.starts_with(start));
    if is_hash { "'hash-*'".to_owned() } else { source }
}

/// Facts that are one word or a set of words.
const WORDS: &[(&str, &str)] = &[
    ("alt-svc", "alt_svc"),
    ("cache shared", "cache.shared"),
    ("clear-site-data", "clear_site_data"),
    ("cross-origin-embedder-policy", "coep.policy"),
    ("cross-origin-opener-policy", "coop.policy"),
    ("cross-origin-resource-policy", "corp.policy"),
    ("deprecated", "deprecated"),
    ("framing refused", "xfo.protected"),
    ("hsts includeSubDomains", "hsts.include_subdomains"),
    ("hsts preload", "hsts.preload"),
    ("https certificate trusted", "https.certificate_trusted"),
    ("https downgrades", "https.downgrades"),
    ("integrity-policy", "integrity_policy.blocks"),
    ("nosniff", "xcto.nosniff"),
    ("permissions-policy", "permissions_policy.features"),
    ("permissions-policy open", "permissions_policy.open"),
    ("redirects to https", "redirection.to_https"),
    ("referrer-policy", "referrer_policy.policy"),
    ("reporting", "reporting.hosts"),
    ("csp report-only", "csp.report_only"),
];

/// A max-age that counts down means the same until it leaves its band.
const BANDS: [(u64, &str); 5] = [
    (63_072_000, "two years"),
    (31_536_000, "a year"),
    (15_552_000, "half a year"),
    (86_400, "a day"),
    (1, "less than a day"),
];

const MAX_SIZE: usize = 3072;
