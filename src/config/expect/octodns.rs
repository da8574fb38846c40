//! One zone of octoDNS's YAML provider: `name: record` or `name: [records]`. Pools and places become
//! `within`, and what octoDNS itself ignores is not pinned.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::{Sets, absolute, joined, scalar};
use crate::target::Pins;

/// The zone that a file of octoDNS is of: its name without `yaml`.
pub(super) fn origin(path: &Path) -> Option<String> {
    let extension = path.extension()?.to_str()?;
    let stem = path.file_stem()?.to_str()?.trim_end_matches('.');
    (matches!(extension, "yaml" | "yml") && !stem.is_empty()).then(|| stem.to_owned())
}

/// Reads a zone; `None` where the text is none.
pub(super) fn parse(text: &str, origin: &str) -> Option<Pins> {
    let names: BTreeMap<String, Value> = serde_saphyr::from_str(text).ok()?;
    let mut sets = Sets::default();
    for (name, records) in &names {
        let name = absolute(name, origin);
        let one = std::slice::from_ref(records);
        for record in records.as_array().map_or(one, Vec::as_slice) {
            let kind = record["type"].as_str()?.to_ascii_uppercase();
            if record["octodns"]["ignored"] == true {
                continue;
            }
            add(&mut sets, &name, &kind, record);
        }
    }
    Some(sets.pins())
}

fn add(sets: &mut Sets, name: &str, kind: &str, record: &Value) {
    let mut values: Vec<&Value> = Vec::new();
    values.extend(listed(&record["values"]));
    values.extend(listed(&record["value"]));
    let pools = record["dynamic"]["pools"].as_object().into_iter().flatten();
    let pools: Vec<&Value> = pools.flat_map(|(_, pool)| listed(&pool["values"])).collect();
    let places = record["geo"].as_object().into_iter().flatten();
    let places: Vec<&Value> = places.flat_map(|(_, values)| listed(values)).collect();
    if let Some(set) = sets.set(name, kind) {
        set.is_pool |= !pools.is_empty() || !places.is_empty();
    }
    for value in pools {
        // A pool's member is `{value: …, weight: …}`.
        let member = if value.is_object() { &value["value"] } else { value };
        sets.add(name, kind, scalar(member).unwrap_or_default());
    }
    for value in values.into_iter().chain(places) {
        if let Some(value) = written(kind, value) {
            sets.add(name, kind, value);
        }
    }
}

fn listed(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(values) => values.iter().collect(),
        value => vec![value],
    }
}

/// A value in presentation form.
fn written(kind: &str, value: &Value) -> Option<String> {
    match kind {
        "MX" => joined(value, &[&["preference", "priority"], &["exchange", "value"]]),
        "SRV" => joined(value, &[&["priority"], &["weight"], &["port"], &["target"]]),
        "CAA" => joined(value, &[&["flags"], &["tag"], &["value"]]),
        "SSHFP" => joined(value, &[&["algorithm"], &["fingerprint_type"], &["fingerprint"]]),
        "DS" => joined(value, &[&["key_tag"], &["algorithm"], &["digest_type"], &["digest"]]),
        "TLSA" => joined(
            value,
            &[
                &["certificate_usage"],
                &["selector"],
                &["matching_type"],
                &["certificate_association_data"],
            ],
        ),
        // A semicolon is written `\;`.
        "TXT" => scalar(value).map(|text| text.replace("\\;", ";")),
        _ => scalar(value),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{exact, parsed, pin};

    const ZONE: &str = r"---
'':
  - type: A
    values: [192.0.2.1, 192.0.2.2]
  - type: MX
    values:
      - {exchange: mail.example.test., preference: 10}
      - {value: backup.example.test., priority: 20}
  - type: TXT
    value: v=DMARC1\; p=none
  - {type: CAA, value: {flags: 0, tag: issue, value: ca.test}}
www: {type: CNAME, ttl: 300, value: cdn.other.test.}
pool:
  type: A
  value: 198.51.100.9
  dynamic:
    pools:
      one: {values: [{value: 198.51.100.1}, {value: 198.51.100.2, weight: 3}]}
    rules: [{pool: one}]
old: {type: A, value: 192.0.2.7, octodns: {ignored: true}}
";

    #[test]
    fn a_zone_is_read_and_pools_are_within() {
        let pins = parsed("config/example.test.yaml", ZONE);
        assert_eq!(exact(&pins, "example.test", "A"), ["192.0.2.1", "192.0.2.2"]);
        let mx = ["10 mail.example.test.", "20 backup.example.test."];
        assert_eq!(exact(&pins, "example.test", "MX"), mx);
        assert_eq!(exact(&pins, "example.test", "TXT"), ["v=DMARC1; p=none"]);
        assert_eq!(exact(&pins, "example.test", "CAA"), ["0 issue ca.test"]);
        assert_eq!(exact(&pins, "www.example.test", "CNAME"), ["cdn.other.test."]);
        let pool = pin(&pins, "pool.example.test", "A").and_then(|pin| pin.within);
        assert_eq!(pool.map(|pool| pool.len()), Some(3));
        assert_eq!(pin(&pins, "old.example.test", "A"), None);
    }
}
