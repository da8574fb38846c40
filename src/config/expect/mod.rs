//! What a target is expected to show, from the files that say so already: Secchi's own pins, a zone
//! file, octoDNS, dnscontrol, Terraform. Read at load; a source that can't be read stops the load, so
//! that the daemon goes on with what it had.

mod dnscontrol;
mod octodns;
mod pins;
mod terraform;
mod zone;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::target::{Expectation, PinType, Pins, TextFile};

/// Reads a file of expectations, by its content: `pins`, a master file (RFC 1035 §5), octoDNS's YAML
/// of one zone (named by the file's name), `dnscontrol print-ir` or a Terraform state of version 4.
/// The error is one line with the position.
pub fn parse_expectations(file: &TextFile) -> Result<Pins, String> {
    let read = match kind(&file.text) {
        Kind::Pins(first) => match (pins::parse(&file.text), octodns::origin(&file.path)) {
            (Ok(pins), _) => Ok(pins),
            (Err(error), Some(origin)) if !first => {
                octodns::parse(&file.text, &origin).ok_or(error)
            }
            (Err(error), _) => Err(error),
        },
        Kind::Zone => zone::parse(&file.text),
        Kind::Dnscontrol(value) => dnscontrol::parse(&value),
        Kind::Terraform(value) => terraform::parse(&value),
    }?;
    match read.check().into_iter().next() {
        Some(fault) => Err(fault.to_string()),
        None => Ok(read),
    }
}

enum Kind {
    Dnscontrol(Value),
    /// YAML; whether it says itself that it is pins.
    Pins(bool),
    Terraform(Value),
    Zone,
}

fn kind(text: &str) -> Kind {
    if text.trim_start().starts_with('{')
        && let Ok(value) = serde_json::from_str::<Value>(text)
    {
        if value["resources"].is_array() && value["version"].is_number() {
            return Kind::Terraform(value);
        }
        if value["domains"].is_array() {
            return Kind::Dnscontrol(value);
        }
        return Kind::Pins(true);
    }
    let mut lines = text.lines().map(|line| line.split(';').next().unwrap_or(""));
    let is_zone = |line: &str| {
        let mut words = line.split_whitespace();
        line.starts_with("$ORIGIN")
            || line.starts_with("$TTL")
            || words.by_ref().take(4).any(|word| word.eq_ignore_ascii_case("SOA"))
    };
    if lines.any(is_zone) {
        return Kind::Zone;
    }
    Kind::Pins(text.lines().any(|line| line.trim_start().starts_with("pins:")))
}

/// Record sets on their way to pins.
#[derive(Debug, Default)]
struct Sets(BTreeMap<(String, String), Set>);

#[derive(Debug, Default)]
struct Set {
    values: Vec<String>,
    /// Not all of them at once: pools, weights, places.
    is_pool: bool,
    /// Others may add to them.
    is_open: bool,
}

impl Sets {
    /// Takes in one record. Types whose text has no one form are left out.
    fn add(&mut self, name: &str, kind: &str, value: String) {
        if let Some(set) = self.set(name, kind)
            && !set.values.contains(&value)
        {
            set.values.push(value);
        }
    }

    /// The set of a name and type, if it can be held.
    fn set(&mut self, name: &str, kind: &str) -> Option<&mut Set> {
        let kind = kind.to_ascii_uppercase();
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        (HELD.contains(&&*kind) && !name.is_empty())
            .then(|| self.0.entry((name, kind)).or_default())
    }

    fn pins(self) -> Pins {
        let mut pins = Pins::default();
        for ((name, kind), Set { values, is_pool, is_open }) in self.0 {
            if values.is_empty() {
                continue;
            }
            let mut pin = Expectation::default();
            match (is_pool, is_open) {
                (true, false) => pin.within = Some(values),
                (false, false) => pin.exact = Some(values),
                (false, true) => pin.contains = Some(values),
                // A pool that others add to can't be told from drift.
                (true, true) => continue,
            }
            pins.0.entry(name).or_default().insert(PinType::from(kind.as_str()), pin);
        }
        pins
    }
}

/// A name as a file writes it, made absolute.
fn absolute(name: &str, origin: &str) -> String {
    let origin = origin.trim_matches('.');
    match name {
        "" | "@" => origin.to_owned(),
        "." => ".".to_owned(),
        name if name.ends_with('.') => name.trim_end_matches('.').to_owned(),
        name if origin.is_empty() => name.to_owned(),
        name => format!("{name}.{origin}"),
    }
}

/// A number or text as text.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The fields of a record in their order, as one text.
fn joined(record: &Value, fields: &[&[&str]]) -> Option<String> {
    let words: Option<Vec<String>> =
        fields.iter().map(|names| names.iter().find_map(|name| scalar(&record[*name]))).collect();
    words.map(|words| words.join(" "))
}

/// Types whose data has one presentation form.
const HELD: [&str; 12] =
    ["A", "AAAA", "CAA", "CNAME", "DS", "MX", "NS", "PTR", "SRV", "SSHFP", "TLSA", "TXT"];

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn parsed(path: &str, text: &str) -> Pins {
        read(path, text).expect(text)
    }

    fn read(path: &str, text: &str) -> Result<Pins, String> {
        parse_expectations(&TextFile { path: path.into(), text: text.into() })
    }

    pub(super) fn pin(pins: &Pins, name: &str, kind: &str) -> Option<Expectation> {
        pins.0.get(name)?.get(&PinType::from(kind)).cloned()
    }

    pub(super) fn exact(pins: &Pins, name: &str, kind: &str) -> Vec<String> {
        pin(pins, name, kind).and_then(|pin| pin.exact).unwrap_or_default()
    }

    #[test]
    fn each_source_is_told_by_its_content() {
        let pins = "a.test: {A: {exact: 192.0.2.1}}";
        let octodns = "a: {type: A, value: 192.0.2.1}";
        let zone = "$ORIGIN test.\n@ 60 SOA a b 1 2 3 4 5\na 60 A 192.0.2.1\n";
        let ir = r#"{"domains": [{"name": "test", "records":
            [{"type": "A", "name": "a", "target": "192.0.2.1"}]}]}"#;
        let state = r#"{"version": 4, "resources": [{"mode": "managed", "type": "aws_route53_record",
            "instances": [{"attributes": {"fqdn": "a.test", "type": "A", "records": ["192.0.2.1"]}}]}]}"#;
        for (path, text) in
            [("p", pins), ("zones/test.yaml", octodns), ("z", zone), ("i", ir), ("s", state)]
        {
            assert_eq!(exact(&parsed(path, text), "a.test", "A"), ["192.0.2.1"], "{text}");
        }
    }

    #[test]
    fn what_is_no_source_is_one_line_of_error() {
        for (path, text) in [
            ("test.yaml", "pins: {a.test: {A: {exat: x}}}"),
            ("test.yaml", "a: {type: A}\nb: 3"),
            ("p", "["),
            ("z", "$ORIGIN test.\n$INCLUDE other\n"),
            ("s", r#"{"version": 3, "resources": []}"#),
        ] {
            let error = read(path, text).expect_err(text);
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
