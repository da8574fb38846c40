//! Target groups in Prometheus' exact shape: `[{"targets": ["h:p"], "labels": {"k": "v"}}]`.

use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::inventory::labels::{check_label, check_value};
use crate::target::{Labels, targets_of};

/// Targets that share labels.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The targets as the source writes them.
    #[serde(deserialize_with = "targets")]
    pub targets: Vec<String>,
    /// Their labels.
    #[serde(default, deserialize_with = "labels")]
    pub labels: Labels,
}

impl Group {
    /// How many targets it comes to; a network is as many as it has addresses.
    pub fn count(&self) -> usize {
        self.targets.iter().map(|target| targets_of(target)).sum()
    }
}

/// The formats of a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Reads a list of groups. Bounded: at most [`MAX_BYTES`], [`MAX_GROUPS`] and [`MAX_TARGETS`].
pub fn parse_groups(bytes: &[u8], format: Format) -> Result<Vec<Group>, GroupsError> {
    if bytes.len() > MAX_BYTES {
        return Err(GroupsError::TooLarge);
    }
    let List(groups) = match format {
        Format::Json => serde_json::from_slice(bytes).map_err(|error| {
            // serde_json repeats the position at the end of its message.
            let text = error.to_string();
            let message = text.split(" at line ").next().unwrap_or(&text);
            GroupsError::syntax(error.line(), error.column(), message)
        })?,
        Format::Yaml => from_yaml(bytes)?,
    };
    if groups.iter().map(Group::count).sum::<usize>() > MAX_TARGETS {
        return Err(GroupsError::TooMany);
    }
    Ok(groups)
}

fn from_yaml(bytes: &[u8]) -> Result<List, GroupsError> {
    let text = str::from_utf8(bytes).map_err(|_| GroupsError::syntax(0, 0, "it is not UTF-8"))?;
    if text.trim().is_empty() {
        return Ok(List(Vec::new()));
    }
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! { max_events: 4_000_000, max_nodes: 2_000_000, max_depth: 8 },
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
        let formatted = serde_saphyr::MessageFormatter::format_message(
            &serde_saphyr::UserMessageFormatter,
            error.without_snippet(),
        );
        GroupsError::syntax(
            usize::try_from(line).unwrap_or(0),
            usize::try_from(column).unwrap_or(0),
            &formatted,
        )
    })
}

struct List(Vec<Group>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Groups;

        impl<'de> Visitor<'de> for Groups {
            type Value = Vec<Group>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of target groups")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut groups = Vec::new();
                while let Some(group) = seq.next_element()? {
                    if groups.len() == MAX_GROUPS {
                        return Err(de::Error::custom(GroupsError::TooMany));
                    }
                    groups.push(group);
                }
                Ok(groups)
            }
        }

        deserializer.deserialize_seq(Groups).map(Self)
    }
}

fn targets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Targets;

    impl<'de> Visitor<'de> for Targets {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of targets")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut targets = Vec::new();
            while let Some(target) = seq.next_element::<String>()? {
                if target.len() > MAX_TARGET || target.chars().any(char::is_control) {
                    return Err(de::Error::custom("a target has at most 2048 printable bytes"));
                }
                targets.push(target);
            }
            Ok(targets)
        }
    }

    deserializer.deserialize_seq(Targets)
}

/// Labels are checked where they are read, so that the error has their position.
fn labels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
    struct Checked;

    impl<'de> Visitor<'de> for Checked {
        type Value = Labels;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of labels")
        }

        fn visit_unit<E: de::Error>(self) -> Result<Labels, E> {
            Ok(Labels::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
            let mut labels = Labels::new();
            while let Some(name) = map.next_key::<String>()? {
                check_label(&name).map_err(de::Error::custom)?;
                let value = map.next_value::<String>()?;
                check_value(&value).map_err(de::Error::custom)?;
                if labels.len() == MAX_LABELS {
                    return Err(de::Error::custom("a group has at most 64 labels"));
                }
                labels.insert(name, value);
            }
            Ok(labels)
        }
    }

    deserializer.deserialize_any(Checked)
}

/// Why a list could not be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum GroupsError {
    /// Not a list of groups, or a label that may not be set.
    #[error("{line}:{column}: {message}")]
    Syntax {
        /// From 1; 0 where unknown.
        line: usize,
        /// From 1; 0 where unknown.
        column: usize,
        /// What is wrong, printable.
        message: String,
    },
    /// Beyond [`MAX_BYTES`].
    #[error("the list is larger than 16 MiB")]
    TooLarge,
    /// Beyond [`MAX_GROUPS`] or [`MAX_TARGETS`].
    #[error("the list has more than 100,000 groups or 200,000 targets")]
    TooMany,
}

impl GroupsError {
    fn syntax(line: usize, column: usize, message: &str) -> Self {
        // The source may be hostile: what it wrote comes back in the message.
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let message = message.chars().take(300).map(clean).collect();
        Self::Syntax { line, column, message }
    }
}

/// The largest list in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The most groups in a list.
pub const MAX_GROUPS: usize = 100_000;

/// The most targets in a list, each address of a network one.
pub const MAX_TARGETS: usize = 200_000;

const MAX_LABELS: usize = 64;
const MAX_TARGET: usize = 2048;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn json_and_yaml_of_prometheus_read_alike() {
        let json = br#"[{"targets": ["a.test:443", "b.test"], "labels": {"team": "pay"}},
                        {"targets": []}]"#;
        let yaml = b"- targets:\n    - a.test:443\n    - b.test\n  labels:\n    team: pay\n- targets: []\n";
        let groups = parse_groups(json, Format::Json).expect("json");
        assert_eq!(groups, parse_groups(yaml, Format::Yaml).expect("yaml"));
        assert_eq!(groups[0].targets, ["a.test:443", "b.test"]);
        assert_eq!(groups[0].labels["team"], "pay");
        assert_eq!(parse_groups(b"", Format::Yaml), Ok(Vec::new()));
    }

    #[test]
    fn a_network_counts_as_many_targets_as_it_has_addresses() {
        let list = |entries: usize| {
            let entries = vec!["\"10.0.0.0/22\""; entries].join(",");
            parse_groups(format!("[{{\"targets\": [{entries}]}}]").as_bytes(), Format::Json)
        };
        assert_eq!(list(2).expect("a list")[0].count(), 2 * 1_022);
        assert!(list(195).is_ok());
        assert_eq!(list(196), Err(GroupsError::TooMany));
    }

    #[test]
    fn a_label_that_may_not_be_set_is_refused_with_its_position() {
        let json = b"[\n {\"targets\": [\"a\"],\n  \"labels\": {\"severity\": \"low\"}}]";
        let error = parse_groups(json, Format::Json).expect_err("reserved");
        let GroupsError::Syntax { line, ref message, .. } = error else { panic!("{error}") };
        assert_eq!(line, 3);
        assert!(message.contains("`severity` is reserved"), "{message}");
        let yaml = b"- targets: [a]\n  labels:\n    __meta_x: y\n";
        let error = parse_groups(yaml, Format::Yaml).expect_err("internal");
        let GroupsError::Syntax { line, ref message, .. } = error else { panic!("{error}") };
        assert!(line >= 2 && message.contains("__meta_x"), "{error}");
    }

    #[test]
    fn what_is_no_list_of_groups_is_refused() {
        for text in [
            "",
            "{}",
            "[1]",
            r#"[{"labels": {}}]"#,
            r#"[{"targets": "a"}]"#,
            r#"[{"targets": ["a"], "label": {}}]"#,
            r#"[{"targets": ["a"], "labels": {"x": 1}}]"#,
            r#"[{"targets": ["a\u001b[31m"]}]"#,
            r#"[{"targets": ["a"]}] x"#,
        ] {
            assert!(parse_groups(text.as_bytes(), Format::Json).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for format in [Format::Json, Format::Yaml] {
                if let Err(error) = parse_groups(&bytes, format) {
                    prop_assert!(!error.to_string().chars().any(char::is_control));
                }
            }
        }
    }
}
