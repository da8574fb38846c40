//! Browsers' HSTS preload list, in the shape of Chromium's
//! `transport_security_state_static.json`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde::Deserialize;

/// The names on the list whose mode forces https, and whether their subdomains are covered.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::probe::http) struct PreloadList(HashMap<Box<str>, Cover>);

/// How the list covers a host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::probe::http) struct Cover {
    /// Whether subdomains are covered too.
    pub(in crate::probe::http) include_subdomains: bool,
    /// Whether the entry is of the time when 18 weeks were enough.
    pub(in crate::probe::http) is_old: bool,
}

impl PreloadList {
    /// The entry that covers a host: its own, or a parent's that covers subdomains.
    pub(in crate::probe::http) fn covers(&self, host: &str) -> Option<Cover> {
        if let Some(cover) = self.0.get(host) {
            return Some(*cover);
        }
        let mut rest = host;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(cover) = self.0.get(parent).filter(|cover| cover.include_subdomains) {
                return Some(*cover);
            }
            rest = parent;
        }
        None
    }

    /// Reads the list; lines that begin with `//` are comments. `None` if it is no such list.
    pub(in crate::probe::http) fn parse(text: &str) -> Option<Self> {
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let file: File = serde_json::from_str(&lines.collect::<Vec<_>>().join("\n")).ok()?;
        let forced = file.entries.into_iter().filter(|entry| entry.mode == "force-https");
        let named = |entry: Entry| {
            let is_old = entry.policy == "bulk-18-weeks";
            let cover = Cover { include_subdomains: entry.include_subdomains, is_old };
            (entry.name.to_ascii_lowercase().into(), cover)
        };
        Some(Self(forced.map(named).collect()))
    }

    /// The list of a text that many samples share, read once for all of them.
    pub(in crate::probe::http) fn shared(text: &Arc<str>) -> Option<Arc<Self>> {
        static READ: Mutex<Vec<Read>> = Mutex::new(Vec::new());
        let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
        read.retain(|(text, _)| text.strong_count() > 0);
        if let Some((_, list)) =
            read.iter().find(|(known, _)| known.as_ptr().addr() == text.as_ptr().addr())
        {
            return list.clone();
        }
        let list = Self::parse(text).map(Arc::new);
        if read.len() < MAX_LISTS {
            read.push((Arc::downgrade(text), list.clone()));
        }
        list
    }
}

/// A text that is still held, and the list in it.
type Read = (Weak<str>, Option<Arc<PreloadList>>);

#[derive(Deserialize)]
struct File {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    #[serde(default)]
    mode: String,
    #[serde(default)]
    policy: String,
    #[serde(default)]
    include_subdomains: bool,
}

const MAX_LISTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_covers_names_and_what_lies_under_them() {
        let text: Arc<str> = "// comment\n{\"entries\": [\n  // more\n\
            {\"name\": \"a.example\", \"mode\": \"force-https\", \"include_subdomains\": true},\n\
            {\"name\": \"b.example\", \"mode\": \"force-https\"},\n\
            {\"name\": \"c.example\", \"include_subdomains\": true}]}"
            .into();
        let list = PreloadList::shared(&text).expect("a list");
        for (host, covered) in [
            ("a.example", Some(true)),
            ("x.y.a.example", Some(true)),
            ("b.example", Some(false)),
            ("x.b.example", None),
            ("c.example", None),
            ("x.c.example", None),
            ("example", None),
        ] {
            assert_eq!(list.covers(host).map(|c| c.include_subdomains), covered, "{host}");
        }
        assert!(Arc::ptr_eq(&list, &PreloadList::shared(&text).expect("a list")));
        assert_eq!(PreloadList::parse("[]"), None);
    }
}
