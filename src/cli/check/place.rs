//! Where a finding is shown by what knows only files of a repository: the config's line that names
//! the target, else a path made of the target's own name.

use std::collections::HashMap;
use std::path::{Component, Path};

use serde_json::{Value, json};

use crate::finding::FindingKey;
use crate::target::Endpoint;

/// The places of all targets.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The config as a relative URI, and the line of each target.
    config: Option<(String, HashMap<String, usize>)>,
}

impl Places {
    /// Reads the config once more, for its lines; without one (or one outside of the working folder,
    /// which is no file of the repository) targets stand for themselves.
    pub(super) fn of(config: &Path) -> Self {
        let text = match config.as_os_str().is_empty() {
            true => None,
            false => std::fs::read_to_string(config).ok(),
        };
        Self { config: relative(config).zip(text.map(|text| lines(&text))) }
    }

    /// SARIF's location (§3.28). Code scanning takes no URI but a relative one, and refuses the whole
    /// log otherwise.
    pub(super) fn location(&self, key: &FindingKey) -> Value {
        let (uri, line) = match &self.config {
            Some((uri, lines)) => (uri.clone(), lines.get(&*key.target).copied().unwrap_or(1)),
            None => (path_of_name(&key.target), 1),
        };
        let mut logical = vec![json!({
            "name": key.target,
            "fullyQualifiedName": key.target,
            "kind": "resource",
        })];
        if let Some(address) = key.address {
            let full = format!("{} {address}", key.target);
            logical.push(json!({
                "name": address,
                "fullyQualifiedName": full,
                "kind": "resource",
            }));
        }
        json!({
            "physicalLocation": {
                "artifactLocation": { "uri": uri },
                "region": { "startLine": line },
            },
            "logicalLocations": logical,
        })
    }
}

fn relative(path: &Path) -> Option<String> {
    let here = std::env::current_dir().ok();
    let path = match path.is_absolute() {
        true => path.strip_prefix(here?).ok()?,
        false => path,
    };
    let parts = path.components().filter(|part| *part != Component::CurDir);
    let parts: Option<Vec<String>> = parts
        .map(|part| match part {
            Component::Normal(name) => Some(escaped(name.to_str()?)),
            _ => None,
        })
        .collect();
    parts.filter(|parts| !parts.is_empty()).map(|parts| parts.join("/"))
}

/// The first line that names each target; line 1 stands for what was not found so.
fn lines(text: &str) -> HashMap<String, usize> {
    let mut lines = HashMap::new();
    for (nth, line) in text.lines().enumerate() {
        for (at, word) in line.match_indices("target:") {
            let value = line[at + word.len()..].trim_start().trim_start_matches(['"', '\'']);
            let end = value.find(|c: char| c.is_whitespace() || "\"',}#".contains(c));
            let written = &value[..end.unwrap_or(value.len())];
            if let Ok(endpoint) = written.parse::<Endpoint>() {
                lines.entry(endpoint.to_string()).or_insert(nth + 1);
            }
        }
    }
    lines
}

/// `https://shop.example.com:8443/path` is `shop.example.com%3A8443/path`.
fn path_of_name(target: &str) -> String {
    let name = target.split_once("://").map_or(target, |(_, rest)| rest);
    let parts = name.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
    parts.map(escaped).collect::<Vec<_>>().join("/")
}

fn escaped(part: &str) -> String {
    let mut escaped = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_without_a_config_is_a_relative_path_without_a_scheme() {
        for (target, path) in [
            ("shop.example.com", "shop.example.com"),
            ("https://shop.example.com:8443/a b", "shop.example.com%3A8443/a%20b"),
            ("starttls+smtp://mx.example.com:25", "mx.example.com%3A25"),
            ("[::1]:443", "%5B%3A%3A1%5D%3A443"),
            ("https://a.test/../../etc", "a.test/etc"),
        ] {
            assert_eq!(path_of_name(target), path);
        }
    }

    #[test]
    fn a_target_of_a_config_is_its_line() {
        let text = "targets:\n  - target: https://A.test # shop\n  - {target: \"b.test:8443\", probes: [tls]}\n";
        let lines = lines(text);
        assert_eq!(lines.get("https://a.test"), Some(&2));
        assert_eq!(lines.get("b.test:8443"), Some(&3));
    }

    #[test]
    fn a_config_elsewhere_is_no_file_of_the_repository() {
        assert_eq!(relative(Path::new("/etc/secchi/secchi.yaml")), None);
        assert_eq!(relative(Path::new("../secchi.yaml")), None);
        assert_eq!(
            relative(Path::new("./deploy/sec chi.yaml")),
            Some("deploy/sec%20chi.yaml".into())
        );
        let here = std::env::current_dir().expect("a folder").join("secchi.yaml");
        assert_eq!(relative(&here), Some("secchi.yaml".into()));
    }
}
