//! The canonical JSON of what a sample says for good: its volatile measurements are left out on the
//! way, for a copy without them cost more than all the digesting.

use std::collections::BTreeMap;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Stability, Unknown, measures};
use crate::target::ProbeKind;

/// The facts without the volatile ones, and the reasons of what is unknown; keys in order.
#[derive(Serialize)]
pub(super) struct Stable<'a> {
    facts: Facts<'a>,
    unknown: Reasons<'a>,
}

impl<'a> Stable<'a> {
    pub(super) fn of(
        probe: ProbeKind,
        facts: &'a Map<String, Value>,
        unknown: &'a BTreeMap<String, Unknown>,
    ) -> Self {
        let volatile = measures(probe).iter().filter(|m| m.stability == Stability::Volatile);
        let volatile = volatile.filter_map(|measure| measure.path.split_once('.'));
        let left_out: Vec<&'static str> = volatile.map(|(_, path)| path).collect();
        let unknown = Reasons { unknown, left_out: left_out.clone() };
        Self { facts: Facts { facts, left_out }, unknown }
    }
}

struct Facts<'a> {
    facts: &'a Map<String, Value>,
    left_out: Vec<&'static str>,
}

impl Serialize for Facts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        entries(serializer, self.facts, |key| {
            let mut below = Vec::new();
            for path in &self.left_out {
                match path.split_once('.') {
                    None if *path == key => return None,
                    Some((first, rest)) if first == key => below.push(rest),
                    _ => {}
                }
            }
            Some(below)
        })
    }
}

/// A value without what the paths lead to, through lists and keyed maps alike.
struct Without<'a> {
    value: &'a Value,
    paths: Vec<&'static str>,
}

impl Serialize for Without<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            value if self.paths.is_empty() => value.serialize(serializer),
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for value in items {
                    list.serialize_element(&Self { value, paths: self.paths.clone() })?;
                }
                list.end()
            }
            Value::Object(map) => entries(serializer, map, |key| self.below(map, key)),
            value => value.serialize(serializer),
        }
    }
}

impl Without<'_> {
    /// What is left out below a key; `None` if the key is. A path whose field is not here leads
    /// through a keyed map, into each of its values.
    fn below(&self, map: &Map<String, Value>, key: &str) -> Option<Vec<&'static str>> {
        let mut below = Vec::new();
        for path in &self.paths {
            let (first, rest) = path.split_once('.').map_or((*path, None), |(f, r)| (f, Some(r)));
            match (map.contains_key(first), first == key, rest) {
                (true, true, None) => return None,
                (true, true, Some(rest)) => below.push(rest),
                (true, false, _) => {}
                (false, ..) => below.push(path),
            }
        }
        Some(below)
    }
}

/// The entries whose key is kept, each without what is left out below it.
fn entries<S: Serializer>(
    serializer: S,
    map: &Map<String, Value>,
    below: impl Fn(&str) -> Option<Vec<&'static str>>,
) -> Result<S::Ok, S::Error> {
    let mut entries = serializer.serialize_map(None)?;
    for (key, value) in map {
        if let Some(paths) = below(key) {
            entries.serialize_entry(key, &Without { value, paths })?;
        }
    }
    entries.end()
}

struct Reasons<'a> {
    unknown: &'a BTreeMap<String, Unknown>,
    left_out: Vec<&'static str>,
}

impl Serialize for Reasons<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_kept = |path: &str| {
            let fact = path.split(['.', '[']).next().unwrap_or(path);
            !self.left_out.contains(&fact)
        };
        let kept = self.unknown.iter().filter(|(path, _)| is_kept(path));
        serializer.collect_map(kept.map(|(path, why)| (path, why.reason.as_str())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_volatile_is_left_out_of_lists_and_keyed_maps_at_any_depth() {
        let value =
            json!({"a": [{"x": 1, "y": 2}, {"x": 3}], "k1": {"x": 4, "z": {"x": 5}}, "x": 6});
        let text = |paths: &[&'static str]| {
            let without = Without { value: &value, paths: paths.to_vec() };
            serde_json::to_string(&without).expect("JSON")
        };
        assert_eq!(text(&[]), value.to_string());
        assert_eq!(text(&["x"]), r#"{"a":[{"x":1,"y":2},{"x":3}],"k1":{"x":4,"z":{"x":5}}}"#);
        let list = r#"{"a":[{"y":2},{}],"k1":{"x":4,"z":{"x":5}},"x":6}"#;
        assert_eq!(text(&["a.x"]), list);
        let keyed = r#"{"a":[{"x":1,"y":2},{"x":3}],"k1":{"x":4},"x":6}"#;
        assert_eq!(text(&["z"]), keyed);
    }
}
