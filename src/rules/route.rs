//! The way from a sample's facts to each value of a measurement, through lists and keyed maps.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use serde_json::Value;

use crate::sample::{Kind, Measure, Measurements, Reason, Unknown, find_measure};

/// How a measurement is reached.
#[derive(Clone, Debug)]
pub(super) struct Route {
    steps: Arc<[Step]>,
}

#[derive(Clone, Debug)]
enum Step {
    /// A field of an object.
    Field(String),
    /// One key of a map, written in brackets.
    Key(String),
    /// Each item of a list, or each value of a keyed map.
    Each { container: Arc<str>, fields: &'static [&'static str] },
}

/// A measure as a rule writes it: `tls.versions`, or `tls.vulnerabilities[robot]`.
pub(super) fn split(written: &str) -> Option<(&str, Option<&str>)> {
    match written.split_once('[') {
        None => Some((written, None)),
        Some((path, key)) => {
            let key = key.strip_suffix(']')?;
            (!key.is_empty() && !key.contains(['[', ']'])).then_some((path, Some(key)))
        }
    }
}

impl Route {
    /// The way to `measure`, or to `key` of it; `items` walks the items of a list one by one.
    pub(super) fn new(measure: &Measure, key: Option<&str>, items: bool) -> Self {
        let mut steps = Vec::new();
        let mut path = measure.path.split('.').next().unwrap_or_default().to_owned();
        let fields: Vec<&str> = measure.path.split('.').skip(1).collect();
        for (at, field) in fields.iter().enumerate() {
            path = format!("{path}.{field}");
            steps.push(Step::Field((*field).to_owned()));
            let Some(here) = find_measure(&path) else { continue };
            let is_last = at + 1 == fields.len();
            let mut kind = here.kind;
            if is_last && let (Some(key), Kind::MapOf(inner)) = (key, kind) {
                steps.push(Step::Key(key.to_owned()));
                kind = *inner;
            }
            while let Kind::MapOf(inner) = kind {
                steps.push(Step::Each { container: path.as_str().into(), fields: &[] });
                kind = *inner;
            }
            if kind == Kind::Items && (!is_last || items) {
                steps.push(Step::Each { container: path.as_str().into(), fields: here.subject });
            }
        }
        Self { steps: steps.into() }
    }

    /// The top-level fact that it leads through.
    pub(super) fn fact(&self) -> Option<&str> {
        match self.steps.first() {
            Some(Step::Field(fact)) => Some(fact),
            _ => None,
        }
    }

    /// How many lists and maps lie on the way.
    pub(super) fn depth(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::Each { .. })).count()
    }

    /// Why nothing at all is known of its fact; `None` where something may be.
    pub(super) fn untold(&self, facts: &Measurements) -> Option<Unknown> {
        let fact = self.fact()?;
        let (value, why) = (facts.fact(fact), facts.unknowns().get(fact));
        match value {
            None => Some(why.cloned().unwrap_or_else(not_looked_at)),
            Some(Value::Null) => Some(why.cloned().unwrap_or_else(|| Reason::NotObserved.into())),
            Some(_) => None,
        }
    }

    /// Whether it leads into a list or a map that is empty, of which nothing is unknown.
    pub(super) fn is_barren(&self, facts: &Measurements) -> bool {
        let [Step::Field(fact), Step::Each { .. }, ..] = &*self.steps else { return false };
        let is_empty = match facts.fact(fact) {
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Object(map)) => map.is_empty(),
            _ => false,
        };
        is_empty && !Self::is_doubted(fact, facts)
    }

    /// Whether anything of a fact is named unknown.
    fn is_doubted(fact: &str, facts: &Measurements) -> bool {
        let from = (Bound::Included(fact), Bound::Unbounded);
        let unknown = facts.unknowns().range::<str, _>(from).map(|(path, _)| path);
        let mut after = unknown.map_while(|path| path.strip_prefix(fact));
        after.any(|after| after.is_empty() || after.starts_with(['.', '[']))
    }

    /// The one value at the end of a way without lists and maps, if it is there and nothing about its
    /// fact is unknown.
    pub(super) fn one<'a>(&self, facts: &'a Measurements) -> Option<&'a Value> {
        let (Step::Field(fact), rest) = self.steps.split_first()? else { return None };
        if Self::is_doubted(fact, facts) {
            return None;
        }
        let value = rest.iter().try_fold(facts.fact(fact)?, |value, step| match step {
            Step::Field(name) | Step::Key(name) => value.as_object()?.get(name),
            Step::Each { .. } => None,
        });
        value.filter(|value| !value.is_null())
    }

    /// Every value on the way, and every place where there should be one.
    pub(super) fn walk<'a>(&self, facts: &'a Measurements, index: &'a Index<'a>) -> Vec<Place<'a>> {
        let start = Place {
            what: What::Unknown(Unknown::from(Reason::NotObserved)),
            paths: vec![Vec::new()],
            shown_path: String::new(),
            subject: Vec::new(),
            trail: Vec::new(),
            item: None,
        };
        let mut walker = Walker { index, places: Vec::new() };
        let Some((Step::Field(fact), rest)) = self.steps.split_first() else { return Vec::new() };
        let place = start.field(fact);
        match facts.fact(fact) {
            Some(value) => walker.descend(value, rest, place),
            None => {
                let unknown = index.why(&place.paths).cloned().unwrap_or_else(not_looked_at);
                walker.places.push(Place { what: What::Unknown(unknown), ..place });
            }
        }
        walker.places
    }
}

/// What a sample says nothing of, because it did not set out to measure it.
pub(super) fn not_looked_at() -> Unknown {
    Unknown::new(Reason::NotObserved, "this sample did not look at it")
}

/// One value of a measurement, or the place where it should be.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    pub(super) what: What<'a>,
    /// The paths that `unknown` may name it by: a list's item by nothing, its number, its subject.
    pub(super) paths: Vec<Vec<String>>,
    /// The path as the contract writes it.
    pub(super) shown_path: String,
    /// What names it among its siblings, outermost first.
    pub(super) subject: Vec<String>,
    /// The choices made in lists and maps on the way.
    trail: Vec<(Arc<str>, String)>,
    /// The innermost object on the way.
    pub(super) item: Option<&'a Value>,
}

#[derive(Clone, Debug)]
pub(super) enum What<'a> {
    /// A value.
    Value(&'a Value),
    /// There may be more places than were walked.
    More(Unknown),
    /// No value, for this reason.
    Unknown(Unknown),
}

impl Place<'_> {
    fn field(mut self, field: &str) -> Self {
        self.paths.iter_mut().for_each(|path| path.push(field.to_owned()));
        if !self.shown_path.is_empty() {
            self.shown_path.push('.');
        }
        self.shown_path.push_str(field);
        self
    }

    fn key(mut self, key: &str) -> Self {
        self.paths.iter_mut().for_each(|path| path.push(key.to_owned()));
        self.shown_path.push_str(&format!("[{key}]"));
        self.subject.push(key.to_owned());
        self
    }

    /// How many items of lists and maps it lies in.
    pub(super) fn depth(&self) -> usize {
        self.trail.len()
    }

    /// Whether both lie in the same item of every list or map that they share.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.trail
            .iter()
            .zip(&other.trail)
            .take_while(|((ours, _), (theirs, _))| ours == theirs)
            .all(|((_, ours), (_, theirs))| ours == theirs)
    }
}

struct Walker<'a> {
    index: &'a Index<'a>,
    places: Vec<Place<'a>>,
}

impl<'a> Walker<'a> {
    fn descend(&mut self, value: &'a Value, steps: &[Step], place: Place<'a>) {
        if value.is_null() {
            let why = self.index.why(&place.paths).cloned();
            let unknown = why.unwrap_or_else(|| Reason::NotObserved.into());
            self.places.push(Place { what: What::Unknown(unknown), ..place });
            return;
        }
        match (steps.split_first(), value) {
            (None, value) => self.places.push(Place { what: What::Value(value), ..place }),
            (Some((Step::Field(field), rest)), Value::Object(map)) => {
                let item = Some(value);
                self.step(map.get(field), rest, Place { item, ..place.field(field) });
            }
            (Some((Step::Key(key), rest)), Value::Object(map)) => {
                self.step(map.get(key), rest, place.key(key));
            }
            (Some((Step::Each { container, .. }, rest)), Value::Object(map)) => {
                self.missing_keys(&place, container, rest, |key| map.contains_key(key));
                for (key, value) in map {
                    let mut inner = place.clone().key(key);
                    inner.trail.push((Arc::clone(container), key.clone()));
                    self.descend(value, rest, inner);
                }
            }
            (Some((Step::Each { container, fields }, rest)), Value::Array(items)) => {
                let subjects: Vec<_> = items.iter().map(|item| subject(item, fields)).collect();
                self.missing_keys(&place, container, rest, |key| {
                    key.parse().is_ok_and(|at: usize| at < items.len())
                        || subjects.iter().flatten().any(|subject| subject == key)
                        || is_field(container, key)
                });
                for (at, (item, subject)) in items.iter().zip(subjects).enumerate() {
                    self.descend(item, rest, place.item(container, at, item, subject));
                }
            }
            _ => {
                let unknown = Unknown::new(Reason::NotObserved, "the value has an odd shape");
                self.places.push(Place { what: What::Unknown(unknown), ..place });
            }
        }
    }

    fn step(&mut self, value: Option<&'a Value>, rest: &[Step], place: Place<'a>) {
        match value {
            Some(value) => self.descend(value, rest, place),
            None => {
                let unknown = self.index.why(&place.paths).cloned().unwrap_or_else(not_looked_at);
                self.places.push(Place { what: What::Unknown(unknown), ..place });
            }
        }
    }

    /// Keys that are named unknown and are not there, and the container if it may have more.
    fn missing_keys(
        &mut self,
        place: &Place<'a>,
        container: &Arc<str>,
        rest: &[Step],
        known: impl Fn(&str) -> bool,
    ) {
        if let Some(unknown) = self.index.why(&place.paths) {
            self.places.push(Place { what: What::More(unknown.clone()), ..place.clone() });
        }
        let next = rest.iter().find_map(|step| match step {
            Step::Field(field) => Some(field.as_str()),
            Step::Key(_) | Step::Each { .. } => None,
        });
        for path in &place.paths {
            for (key, below, unknown) in self.index.below(path) {
                let concerns = below.first().is_none_or(|field| next == Some(field.as_str()));
                if concerns && !known(key) {
                    let mut missing = place.clone();
                    missing.subject.push(key.to_owned());
                    // An item of its own: it says nothing of those beside it.
                    missing.trail.push((Arc::clone(container), key.to_owned()));
                    self.places.push(Place { what: What::Unknown(unknown.clone()), ..missing });
                }
            }
        }
    }
}

impl<'a> Place<'a> {
    fn item(
        &self,
        container: &Arc<str>,
        at: usize,
        item: &'a Value,
        subject: Option<String>,
    ) -> Self {
        let mut inner = self.clone();
        let mut paths = Vec::with_capacity(self.paths.len() * 3);
        for path in &self.paths {
            let keyed = |key: String| path.iter().cloned().chain([key]).collect();
            paths.extend([path.clone(), keyed(at.to_string())]);
            paths.extend(subject.clone().map(keyed));
        }
        inner.paths = paths;
        let shown = subject.clone().unwrap_or_else(|| at.to_string());
        inner.shown_path.push_str(&format!("[{shown}]"));
        inner.subject.extend(subject);
        inner.trail.push((Arc::clone(container), at.to_string()));
        inner.item = Some(item);
        inner
    }
}

/// What names an item: its subject fields, a port with its transport.
fn subject(item: &Value, fields: &[&str]) -> Option<String> {
    let mut words = Vec::new();
    for field in fields.iter().filter(|field| **field != "transport") {
        match &item[*field] {
            Value::String(text) => words.push(text.clone()),
            Value::Number(number) if *field == "port" => {
                let transport = item["transport"].as_str().unwrap_or("tcp");
                words.push(format!("{number}/{transport}"));
            }
            Value::Number(number) => words.push(number.to_string()),
            Value::Bool(value) => words.push(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => {}
        }
    }
    (!words.is_empty()).then(|| words.join(" "))
}

/// Whether `key` below a list names a field of its items, not an item.
fn is_field(container: &str, key: &str) -> bool {
    find_measure(&format!("{container}.{key}")).is_some()
}

/// What a sample names unknown, by path; `a.b` and `a[b]` are one path.
#[derive(Debug, Default)]
pub(super) struct Index<'a> {
    entries: BTreeMap<Vec<String>, &'a Unknown>,
}

impl<'a> Index<'a> {
    pub(super) fn new(facts: &'a Measurements) -> Self {
        let entries = facts.unknowns().iter().map(|(path, unknown)| (segments(path), unknown));
        Self { entries: entries.collect() }
    }

    /// Why one of the paths, or a prefix of it, is unknown.
    pub(super) fn why(&self, paths: &[Vec<String>]) -> Option<&'a Unknown> {
        if self.entries.is_empty() {
            return None;
        }
        paths.iter().find_map(|path| {
            (1..=path.len()).find_map(|length| self.entries.get(&path[..length]).copied())
        })
    }

    /// The unknowns below a path: the next segment, those after it, and why.
    pub(super) fn below<'s>(
        &'s self,
        path: &'s [String],
    ) -> impl Iterator<Item = (&'s str, &'s [String], &'a Unknown)> {
        self.entries
            .range(path.to_vec()..)
            .take_while(move |(entry, _)| entry.starts_with(path))
            .filter_map(move |(entry, unknown)| {
                let (key, below) = entry.get(path.len()..)?.split_first()?;
                Some((key.as_str(), below, *unknown))
            })
    }
}

/// `cipher_suites[TLSv1.2].x` → cipher_suites, TLSv1.2, x.
fn segments(path: &str) -> Vec<String> {
    let mut segments = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (key, after) = inner.split_once(']').unwrap_or((inner, ""));
            segments.push(key.to_owned());
            rest = after;
        } else {
            let rest_of = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest_of.find(['.', '[']).unwrap_or(rest_of.len());
            if end > 0 {
                segments.push(rest_of[..end].to_owned());
            } else if rest_of.len() == rest.len() {
                break;
            }
            rest = &rest_of[end..];
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_fall_into_segments_whatever_they_hold() {
        for (path, expected) in [
            ("versions", vec!["versions"]),
            ("versions[TLSv1.3]", vec!["versions", "TLSv1.3"]),
            ("addresses[2001:db8::1].open", vec!["addresses", "2001:db8::1", "open"]),
            ("a..b", vec!["a", "b"]),
            ("a[", vec!["a", ""]),
            ("", vec![]),
        ] {
            assert_eq!(segments(path), expected, "{path}");
        }
    }

    #[test]
    fn a_port_is_named_with_its_transport() {
        let fields = ["address", "port", "transport"];
        let named = |item| subject(&item, &fields);
        assert_eq!(
            named(serde_json::json!({"port": 53, "transport": "udp"})).as_deref(),
            Some("53/udp")
        );
        assert_eq!(named(serde_json::json!({"port": "6379/tcp"})).as_deref(), Some("6379/tcp"));
        assert_eq!(named(serde_json::json!("x")), None);
    }
}
