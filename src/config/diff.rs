//! What a reload changes: targets by name and content. What is untouched keeps phase, history and
//! findings.

use std::collections::BTreeMap;

use super::model::{Config, TargetConfig};

/// Names of static targets, each list sorted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Diff {
    /// Only in the new config.
    pub added: Vec<String>,
    /// Only in the old config.
    pub removed: Vec<String>,
    /// In both, with other content.
    pub changed: Vec<String>,
    /// In both, the same.
    pub untouched: Vec<String>,
}

/// What a reload from `old` to `new` changes.
pub fn diff(old: &Config, new: &Config) -> Diff {
    let by_name = |config: &'_ Config| -> BTreeMap<String, TargetConfig> {
        config.targets.iter().map(|t| (t.target.name.to_string(), t.clone())).collect()
    };
    let (old, new) = (by_name(old), by_name(new));
    let mut diff = Diff::default();
    for (name, target) in &new {
        let list = match old.get(name) {
            None => &mut diff.added,
            Some(before) if before == target => &mut diff.untouched,
            Some(_) => &mut diff.changed,
        };
        list.push(name.clone());
    }
    diff.removed = old.into_keys().filter(|name| !new.contains_key(name)).collect();
    diff
}
