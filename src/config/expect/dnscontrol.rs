//! The JSON of `dnscontrol print-ir`. `IGNORE` and `NO_PURGE` are honoured: what dnscontrol leaves to
//! others is not pinned, and where others may add, what it has must be there.

use regex::Regex;
use serde_json::Value;

use super::{Sets, absolute, joined, scalar};
use crate::target::Pins;

/// Reads every domain.
pub(super) fn parse(root: &Value) -> Result<Pins, String> {
    let mut sets = Sets::default();
    for domain in root["domains"].as_array().into_iter().flatten() {
        let name = domain["name"].as_str().ok_or("a domain has no name")?;
        // `example.com!inside` is one horizon of several.
        let name = name.split('!').next().unwrap_or(name);
        let ignored: Vec<Ignored> =
            domain["unmanaged"].as_array().into_iter().flatten().map(Ignored::read).collect();
        let is_open = domain["keepunknown"] == true;
        for record in domain["records"].as_array().into_iter().flatten() {
            add(&mut sets, name, record, &ignored, is_open);
        }
        for server in domain["nameservers"].as_array().into_iter().flatten() {
            if let Some(target) = server["name"].as_str().filter(|_| !is_open) {
                sets.add(name, "NS", target.to_owned());
            }
        }
    }
    Ok(sets.pins())
}

fn add(sets: &mut Sets, domain: &str, record: &Value, ignored: &[Ignored], is_open: bool) {
    let (Some(kind), Some(label)) = (record["type"].as_str(), record["name"].as_str()) else {
        return;
    };
    // Behind Cloudflare's proxy the world sees other addresses.
    let is_proxied = matches!(record["meta"]["cloudflare_proxy"].as_str(), Some("on" | "full"));
    let covers = |one: &&Ignored| one.covers(label, kind);
    if is_proxied || ignored.iter().any(|one| covers(&one) && one.is_whole) {
        return;
    }
    let name = absolute(label, domain);
    let Some(value) = written(kind, record) else { return };
    sets.add(&name, kind, value);
    if let Some(set) = sets.set(&name, kind) {
        set.is_open |= is_open || ignored.iter().any(|one| covers(&one));
    }
}

fn written(kind: &str, record: &Value) -> Option<String> {
    let or_zero = |field: &str| scalar(&record[field]).unwrap_or_else(|| "0".to_owned());
    let target = scalar(&record["target"])?;
    let numbers = |fields: &[&str]| fields.iter().map(|f| or_zero(f)).collect::<Vec<_>>().join(" ");
    Some(match kind {
        // Newer releases keep the preference in the data.
        "MX" if record["rdata"].is_object() => {
            joined(&record["rdata"], &[&["Preference", "preference"], &["Mx", "mx", "exchange"]])?
        }
        "MX" => format!("{} {target}", numbers(&["mxpreference"])),
        "SRV" => format!("{} {target}", numbers(&["srvpriority", "srvweight", "srvport"])),
        "CAA" => format!("{} {} \"{target}\"", or_zero("caaflag"), record["caatag"].as_str()?),
        "SSHFP" => format!("{} {target}", numbers(&["sshfpalgorithm", "sshfpfingerprint"])),
        "TLSA" => {
            let fields = ["tlsausage", "tlsaselector", "tlsamatchingtype"];
            format!("{} {target}", numbers(&fields))
        }
        "DS" => {
            let digest = record["dsdigest"].as_str()?;
            format!("{} {digest}", numbers(&["dskeytag", "dsalgorithm", "dsdigesttype"]))
        }
        _ => target,
    })
}

/// One `IGNORE()`.
struct Ignored {
    label: Option<Regex>,
    types: Vec<String>,
    /// It speaks of whole sets, not of some targets.
    is_whole: bool,
}

impl Ignored {
    fn read(one: &Value) -> Self {
        let text = |field: &str| one[field].as_str().unwrap_or("").to_owned();
        let types = text("rType_pattern");
        let types = types.split(',').map(|kind| kind.trim().to_ascii_uppercase());
        let is_any = |pattern: &str| matches!(pattern, "" | "*" | "**");
        Self {
            label: glob(&text("label_pattern")),
            types: types.filter(|kind| !is_any(kind)).collect(),
            is_whole: is_any(&text("target_pattern")),
        }
    }

    fn covers(&self, label: &str, kind: &str) -> bool {
        self.label.as_ref().is_none_or(|pattern| pattern.is_match(label))
            && (self.types.is_empty() || self.types.iter().any(|one| one == kind))
    }
}

/// A glob of names: `*` within a label, `**` across them, `{a,b}`.
fn glob(pattern: &str) -> Option<Regex> {
    if matches!(pattern, "" | "**") {
        return None;
    }
    let escaped = regex::escape(pattern)
        .replace("\\*\\*", ".*")
        .replace("\\*", "[^.]*")
        .replace("\\?", "[^.]")
        .replace("\\{", "(")
        .replace("\\}", ")")
        .replace(',', "|");
    Regex::new(&format!("(?i)^{escaped}$")).ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{exact, parsed, pin};

    #[test]
    fn records_are_read_and_what_is_left_to_others_is_not_pinned() {
        let pins = parsed(
            "ir.json",
            r#"{"registrars": [], "domains": [
              {"name": "example.test!inside", "records": [
                {"type": "A", "name": "@", "target": "192.0.2.1", "ttl": 300},
                {"type": "MX", "name": "@", "target": "mail.example.test.", "mxpreference": 10},
                {"type": "CAA", "name": "@", "target": "ca.test", "caatag": "issue"},
                {"type": "A", "name": "proxied", "target": "192.0.2.2", "meta": {"cloudflare_proxy": "on"}},
                {"type": "A", "name": "x.dyn", "target": "192.0.2.3"},
                {"type": "TXT", "name": "x.dyn", "target": "v=1; a"}
              ], "nameservers": [{"name": "ns1.host.test"}],
              "unmanaged": [{"label_pattern": "*.dyn", "rType_pattern": "A,AAAA", "target_pattern": ""}]},
              {"name": "open.test", "keepunknown": true, "records": [
                {"type": "A", "name": "www", "target": "192.0.2.4"}]}]}"#,
        );
        assert_eq!(exact(&pins, "example.test", "A"), ["192.0.2.1"]);
        assert_eq!(exact(&pins, "example.test", "MX"), ["10 mail.example.test."]);
        assert_eq!(exact(&pins, "example.test", "CAA"), ["0 issue \"ca.test\""]);
        assert_eq!(exact(&pins, "example.test", "NS"), ["ns1.host.test"]);
        assert_eq!(exact(&pins, "x.dyn.example.test", "TXT"), ["v=1; a"]);
        assert_eq!(pin(&pins, "proxied.example.test", "A"), None);
        assert_eq!(pin(&pins, "x.dyn.example.test", "A"), None);
        let open = pin(&pins, "www.open.test", "A").expect("a pin");
        assert_eq!((open.exact, open.contains), (None, Some(vec!["192.0.2.4".to_owned()])));
    }
}
