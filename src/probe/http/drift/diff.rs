//! The difference between two meanings, in words, and whether it makes the site weaker.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Meaning;

/// One fact that changed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(in crate::probe::http) struct Change {
    /// Which fact.
    pub(in crate::probe::http) field: String,
    /// For better or worse.
    pub(in crate::probe::http) direction: Direction,
    /// In words: `script-src gained *`.
    pub(in crate::probe::http) change: String,
}

/// What a change does to the site's protection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::probe::http) enum Direction {
    /// Less of it.
    Weaker,
    /// More of it.
    Stronger,
    /// Another, neither more nor less.
    Sideways,
}

/// What changed from one to the other.
pub(super) fn between(from: &Meaning, to: &Meaning) -> Vec<Change> {
    let names: BTreeSet<&String> = from.0.keys().chain(to.0.keys()).collect();
    let nothing = BTreeSet::new();
    let changed = names.into_iter().filter_map(|name| {
        let (old, new) = (from.0.get(name), to.0.get(name));
        if old == new {
            return None;
        }
        let (was, is) = (old.unwrap_or(&nothing), new.unwrap_or(&nothing));
        let (direction, change) = match name.strip_prefix("csp") {
            Some(rest) if name != "csp report-only" => {
                (policy(rest, old, new), words(name, old, new))
            }
            _ if name == "hsts" => (plain(name, was, is), words(name, old, new)),
            // Of the rest nothing and no words are one.
            _ => (plain(name, was, is), words(name, Some(was), Some(is))),
        };
        Some(Change { field: name.clone(), direction, change })
    });
    changed.collect()
}

/// What is new of a cookie.
pub(super) fn cookie(name: &str, was: Option<&str>, is: &str) -> Change {
    let flags = |text: &str| -> BTreeSet<String> { text.split(' ').map(str::to_owned).collect() };
    let (direction, change) = match was {
        None => {
            let is_guarded = is.split(' ').any(|flag| flag == "Secure");
            let direction = if is_guarded { Direction::Sideways } else { Direction::Weaker };
            (direction, format!("cookie {name} is new: {is}"))
        }
        Some(was) => {
            let (was_set, is_set) = (flags(was), flags(is));
            let direction = by_guards(&was_set, &is_set);
            (direction, format!("cookie {name} was {was}, is {is}"))
        }
    };
    Change { field: format!("cookie {name}"), direction, change }
}

fn policy(
    directive: &str,
    old: Option<&BTreeSet<String>>,
    new: Option<&BTreeSet<String>>,
) -> Direction {
    let directive = directive.rsplit(' ').next().unwrap_or_default();
    if directive.starts_with("report-") {
        return Direction::Sideways;
    }
    let (Some(old), Some(new)) = (old, new) else {
        return if new.is_none() { Direction::Weaker } else { Direction::Stronger };
    };
    let gained: Vec<&String> = new.difference(old).collect();
    let lost: Vec<&String> = old.difference(new).collect();
    let is_guard = |source: &&String| GUARDS.contains(&&***source);
    let opens = gained.iter().any(|source| OPEN.contains(&&***source)) || lost.iter().any(is_guard);
    let widens = gained.iter().any(|source| !is_guard(source));
    let narrows = lost.iter().any(|source| !is_guard(source)) || gained.iter().any(is_guard);
    match (opens, widens, narrows) {
        (true, ..) | (false, true, false) => Direction::Weaker,
        (false, false, true) => Direction::Stronger,
        _ => Direction::Sideways,
    }
}

fn plain(name: &str, was: &BTreeSet<String>, is: &BTreeSet<String>) -> Direction {
    let word = |set: &BTreeSet<String>| set.first().cloned().unwrap_or_default();
    // What could not be told in one of them is no change for better or worse.
    if let Some(ranks) = ranks(name) {
        let rank = |set: &BTreeSet<String>| ranks.iter().position(|known| *known == word(set));
        return match (rank(was), rank(is)) {
            (Some(was), Some(is)) if is < was => Direction::Weaker,
            (Some(was), Some(is)) if is > was => Direction::Stronger,
            _ => Direction::Sideways,
        };
    }
    match name {
        "permissions-policy open" | "leaks" => by_guards(is, was),
        "integrity-policy" => by_guards(was, is),
        _ => Direction::Sideways,
    }
}

/// Losing a member weakens, gaining one strengthens.
fn by_guards(was: &BTreeSet<String>, is: &BTreeSet<String>) -> Direction {
    match (is.is_superset(was), is.is_subset(was)) {
        (false, _) => Direction::Weaker,
        (true, false) => Direction::Stronger,
        (true, true) => Direction::Sideways,
    }
}

/// The words of a fact from weakest to strongest.
fn ranks(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "framing refused"
        | "nosniff"
        | "hsts includeSubDomains"
        | "hsts preload"
        | "redirects to https"
        | "https certificate trusted" => &["false", "true"],
        "https downgrades" | "cache shared" => &["true", "false"],
        "hsts" => &["0", "less than a day", "a day", "half a year", "a year", "two years"],
        "referrer-policy" => &[
            "unsafe-url",
            "origin-when-cross-origin",
            "origin",
            "no-referrer-when-downgrade",
            "",
            "strict-origin-when-cross-origin",
            "strict-origin",
            "same-origin",
            "no-referrer",
        ],
        "cross-origin-opener-policy" => {
            &["unsafe-none", "noopener-allow-popups", "same-origin-allow-popups", "same-origin"]
        }
        "cross-origin-embedder-policy" => &["unsafe-none", "credentialless", "require-corp"],
        "cross-origin-resource-policy" => &["cross-origin", "", "same-site", "same-origin"],
        _ => return None,
    })
}

fn words(name: &str, old: Option<&BTreeSet<String>>, new: Option<&BTreeSet<String>>) -> String {
    let list = |set: Vec<&String>| {
        let shown: Vec<&str> = set.iter().take(8).map(|word| &***word).collect();
        let more = if set.len() > shown.len() { " …" } else { "" };
        format!("{}{more}", shown.join(" "))
    };
    let (Some(old), Some(new)) = (old, new) else {
        return format!("{name} {}", if new.is_none() { "is gone" } else { "is new" });
    };
    let gained: Vec<&String> = new.difference(old).collect();
    let lost: Vec<&String> = old.difference(new).collect();
    match (&*gained, &*lost) {
        ([one], [other]) => format!("{name}: {other} -> {one}"),
        (_, []) => format!("{name} gained {}", list(gained)),
        ([], _) => format!("{name} lost {}", list(lost)),
        _ => format!("{name} gained {}, lost {}", list(gained), list(lost)),
    }
}

/// Sources that make a list stricter by standing in it.
const GUARDS: [&str; 4] = ["'none'", "'strict-dynamic'", "'nonce-*'", "'hash-*'"];

/// Sources that open a list to anybody.
const OPEN: [&str; 8] =
    ["*", "http:", "https:", "data:", "'unsafe-inline'", "'unsafe-eval'", "https://*", "http://*"];
