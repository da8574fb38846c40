//! A Terraform state of version 4: records of Route 53, Cloudflare, Google and Azure. An alias inside
//! a provider has no records of its own and is not pinned.

use serde_json::Value;

use super::{Sets, absolute, joined, scalar};
use crate::target::Pins;

/// Reads every managed record.
pub(super) fn parse(root: &Value) -> Result<Pins, String> {
    if root["version"] != 4 {
        return Err(format!("a Terraform state of version {}; 4 is read", root["version"]));
    }
    let mut sets = Sets::default();
    for resource in root["resources"].as_array().into_iter().flatten() {
        if resource["mode"] != "managed" {
            continue;
        }
        let kind = resource["type"].as_str().unwrap_or_default();
        for instance in resource["instances"].as_array().into_iter().flatten() {
            let of = &instance["attributes"];
            match kind {
                "aws_route53_record" => route53(&mut sets, of),
                "cloudflare_record" | "cloudflare_dns_record" => cloudflare(&mut sets, of),
                "google_dns_record_set" => google(&mut sets, of),
                kind => {
                    if let Some(kind) = azure_type(kind) {
                        azure(&mut sets, &kind, of);
                    }
                }
            }
        }
    }
    Ok(sets.pins())
}

fn route53(sets: &mut Sets, of: &Value) {
    let name = of["fqdn"].as_str().filter(|name| !name.is_empty()).or_else(|| of["name"].as_str());
    let (Some(name), Some(kind)) = (name, of["type"].as_str()) else { return };
    // One of several answers, by weight, place or health.
    let is_pool = of["set_identifier"].as_str().is_some_and(|id| !id.is_empty());
    for value in texts(&of["records"]) {
        // Long strings are written `first""second`.
        let value = if kind == "TXT" { format!("\"{}\"", value.trim_matches('"')) } else { value };
        sets.add(name, kind, value);
    }
    pool(sets, name, kind, is_pool);
}

fn cloudflare(sets: &mut Sets, of: &Value) {
    let name =
        of["hostname"].as_str().filter(|name| !name.is_empty()).or_else(|| of["name"].as_str());
    let (Some(name), Some(kind)) = (name, of["type"].as_str()) else { return };
    // Behind the proxy the world sees other addresses; a short name's zone is not in the state.
    if of["proxied"] == true || !name.contains('.') {
        return;
    }
    let content = ["content", "value"].iter().find_map(|field| of[*field].as_str());
    let data = match &of["data"] {
        Value::Array(list) => list.first().unwrap_or(&Value::Null),
        data => data,
    };
    let value = match (kind, content) {
        ("MX", Some(content)) => {
            scalar(&of["priority"]).map(|priority| format!("{priority} {content}"))
        }
        ("SRV", _) => joined(data, &[&["priority"], &["weight"], &["port"], &["target"]]),
        ("CAA", _) => joined(data, &[&["flags"], &["tag"], &["value"]]),
        (_, content) => content.map(str::to_owned),
    };
    if let Some(value) = value {
        sets.add(name, kind, value);
    }
}

fn google(sets: &mut Sets, of: &Value) {
    let (Some(name), Some(kind)) = (of["name"].as_str(), of["type"].as_str()) else { return };
    for value in texts(&of["rrdatas"]) {
        sets.add(name, kind, value);
    }
}

/// `A` of `azurerm_dns_a_record`.
fn azure_type(kind: &str) -> Option<String> {
    let kind = kind.strip_prefix("azurerm_dns_")?.strip_suffix("_record")?;
    Some(kind.to_ascii_uppercase())
}

fn azure(sets: &mut Sets, kind: &str, of: &Value) {
    let name = match (of["fqdn"].as_str(), of["name"].as_str(), of["zone_name"].as_str()) {
        (Some(fqdn), _, _) if !fqdn.is_empty() => fqdn.to_owned(),
        (_, Some(name), Some(zone)) => absolute(name, zone),
        _ => return,
    };
    let mut values = texts(&of["records"]);
    values.extend(scalar(&of["record"]));
    for record in of["record"].as_array().into_iter().flatten() {
        values.extend(match kind {
            "MX" => joined(record, &[&["preference"], &["exchange"]]),
            "SRV" => joined(record, &[&["priority"], &["weight"], &["port"], &["target"]]),
            "CAA" => joined(record, &[&["flags"], &["tag"], &["value"]]),
            _ => scalar(&record["value"]),
        });
    }
    for value in values {
        sets.add(&name, kind, value);
    }
}

fn pool(sets: &mut Sets, name: &str, kind: &str, is_pool: bool) {
    if let Some(set) = sets.set(name, kind) {
        set.is_pool |= is_pool;
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(scalar).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{exact, parsed, pin};

    #[test]
    fn records_of_four_providers_are_read() {
        let pins = parsed(
            "terraform.tfstate",
            r#"{"version": 4, "terraform_version": "1.9.0", "resources": [
              {"mode": "managed", "type": "aws_route53_record", "instances": [
                {"attributes": {"fqdn": "a.test", "type": "A", "records": ["192.0.2.1"]}},
                {"attributes": {"fqdn": "t.test", "type": "TXT", "records": ["v=spf1 \"\"-all"]}},
                {"attributes": {"fqdn": "w.test", "type": "A", "records": ["192.0.2.2"], "set_identifier": "x"}},
                {"attributes": {"fqdn": "w.test", "type": "A", "records": ["192.0.2.3"], "set_identifier": "y"}},
                {"attributes": {"fqdn": "alias.test", "type": "A", "records": null, "alias": [{"name": "lb"}]}}]},
              {"mode": "data", "type": "aws_route53_record", "instances": [
                {"attributes": {"fqdn": "data.test", "type": "A", "records": ["192.0.2.9"]}}]},
              {"mode": "managed", "type": "cloudflare_dns_record", "instances": [
                {"attributes": {"name": "cf.test", "type": "CNAME", "content": "x.test", "proxied": false}},
                {"attributes": {"name": "px.test", "type": "A", "content": "192.0.2.4", "proxied": true}},
                {"attributes": {"name": "mx.test", "type": "MX", "content": "m.test", "priority": 5}}]},
              {"mode": "managed", "type": "google_dns_record_set", "instances": [
                {"attributes": {"name": "g.test.", "type": "MX", "rrdatas": ["10 m.test."]}}]},
              {"mode": "managed", "type": "azurerm_dns_mx_record", "instances": [
                {"attributes": {"name": "@", "zone_name": "az.test",
                  "record": [{"preference": "10", "exchange": "m.test"}]}}]},
              {"mode": "managed", "type": "azurerm_dns_cname_record", "instances": [
                {"attributes": {"name": "www", "zone_name": "az.test", "record": "x.test"}}]}]}"#,
        );
        for (name, kind, value) in [
            ("a.test", "A", "192.0.2.1"),
            ("t.test", "TXT", "\"v=spf1 \"\"-all\""),
            ("cf.test", "CNAME", "x.test"),
            ("mx.test", "MX", "5 m.test"),
            ("g.test", "MX", "10 m.test."),
            ("az.test", "MX", "10 m.test"),
            ("www.az.test", "CNAME", "x.test"),
        ] {
            assert_eq!(exact(&pins, name, kind), [value], "{name} {kind}");
        }
        let pool = pin(&pins, "w.test", "A").and_then(|pin| pin.within);
        assert_eq!(pool.map(|pool| pool.len()), Some(2));
        for name in ["alias.test", "data.test", "px.test"] {
            assert_eq!(pin(&pins, name, "A"), None, "{name}");
        }
    }
}
