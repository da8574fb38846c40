//! Reading rule packs: one pass, every mistake with its position.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::error::{Mistake, Position};
use super::literal::{OPERATORS, is_operator, leaf, read_range};
use super::node::{Key, Node, Tree};
use super::route::{Route, split};
use super::rule::{Condition, PackFacts, ProfileUse, Rule, is_per_item};
use crate::sample::{Kind, Measure, PLACEHOLDERS, Severity, find_measure, measures};
use crate::target::{ProbeKind, Span};

/// A pack that was read, as far as it could be.
#[derive(Debug, Default)]
pub(super) struct Pack {
    /// The name under which it replaces another pack.
    pub(super) name: Option<String>,
    pub(super) rules: Vec<(Position, Rule)>,
    pub(super) mistakes: Vec<Mistake>,
}

/// Reads a pack. `file` names it where it has no name of its own.
pub(super) fn read_pack(file: &str, text: &str, shipped: bool) -> Pack {
    let mut pack = Pack::default();
    let node = match Node::read(text) {
        Ok(node) => node,
        Err(mistake) => {
            pack.mistakes.push(mistake);
            return pack;
        }
    };
    let mut head = Fields::new(&node, "a pack", &mut pack.mistakes);
    let name = head.text("pack");
    let probe = head.required("probe").and_then(|node| read_probe(node, head.mistakes));
    let version = head.required_text("version").unwrap_or_default();
    let source = head.required_text("source").unwrap_or_default();
    let own = head.take("profiles").map(|node| read_words(node, head.mistakes)).unwrap_or_default();
    let rules = head.required("rules");
    head.finish(&["pack", "probe", "version", "source", "profiles", "rules"]);

    let facts =
        PackFacts { name: name.clone().unwrap_or_else(|| file.into()), version, source, shipped };
    let profiles = PROFILES.iter().map(|(name, _)| (*name).to_owned()).chain(own).collect();
    pack.name = name;
    let (Some(probe), Some(rules)) = (probe, rules) else { return pack };
    let reader = Reader { probe, pack: Arc::new(facts), profiles };
    let Tree::List(items) = &rules.tree else {
        pack.mistakes
            .push(Mistake::new(rules.at, format!("rules is a list, found {}", rules.what())));
        return pack;
    };
    let mut ids = BTreeSet::new();
    for item in items {
        if let Some(rule) = reader.rule(item, &mut ids, &mut pack.mistakes) {
            pack.rules.push((item.at, rule));
        }
    }
    pack.mistakes.sort_by_key(|mistake| (mistake.at.line, mistake.at.column));
    pack
}

/// The profiles that Secchi knows, and what each is for.
pub(super) const PROFILES: [(&str, &str); 13] = [
    ("baseline", "What is broken or dangerous on any estate."),
    (
        "standard",
        "The default: Mozilla intermediate 6.0 for TLS, browsers' protections, sound DNS.",
    ),
    ("strict", "Everything that good practice asks."),
    ("mozilla-modern-6.0", "Mozilla's server side TLS guideline 6.0, modern."),
    ("mozilla-intermediate-6.0", "Mozilla's server side TLS guideline 6.0, intermediate."),
    ("mozilla-intermediate-5.8", "Mozilla's server side TLS guideline 5.8, intermediate."),
    ("mozilla-intermediate-5.7", "Mozilla's server side TLS guideline 5.7, intermediate."),
    ("mozilla-old-5.7", "Mozilla's server side TLS guideline 5.7 (and 5.8), old."),
    (
        "ncsc-nl",
        "The Dutch NCSC's guidelines for TLS 2025-05: nothing to phase out or insufficient.",
    ),
    ("pci", "What PCI DSS 4.0.1 asks of encryption on open networks."),
    ("pq", "Post-quantum readiness: hybrid key exchange preferred by every endpoint."),
    ("owasp-headers", "The OWASP Secure Headers Project's recommendations."),
    ("internet-nl", "What Internet.nl's test of a website asks of HTTP."),
];

struct Reader {
    probe: ProbeKind,
    pack: Arc<PackFacts>,
    profiles: BTreeSet<String>,
}

impl Reader {
    fn rule(
        &self,
        node: &Node,
        ids: &mut BTreeSet<String>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Rule> {
        let before = mistakes.len();
        let mut fields = Fields::new(node, "a rule", mistakes);
        let id = fields.required("id").and_then(|node| self.id(node, ids, fields.mistakes));
        let severity =
            fields.required("severity").and_then(|node| read_severity(node, fields.mistakes));
        let measure =
            fields.required("measure").and_then(|node| self.measure(node, fields.mistakes));
        let when = fields.take("when");
        let hold = fields.take("for").and_then(|node| read_span(node, fields.mistakes));
        let profiles = fields.take("profiles");
        let profiles =
            profiles.map(|node| self.profiles(node, fields.mistakes)).unwrap_or_default();
        let summary =
            fields.required("summary").and_then(|node| read_summary(node, fields.mistakes));
        let why = fields.required_text("why");
        let remedy = fields.required_text("remedy");
        let references = fields.take("references");
        let references = references.map(|n| read_words(n, fields.mistakes)).unwrap_or_default();
        let controls =
            fields.take("controls").map(|n| read_controls(n, fields.mistakes)).unwrap_or_default();
        let operators = fields.take_operators();
        fields.finish(&RULE_KEYS);

        let found = measure?;
        let range = read_range(found.catalogued, &operators, node.at, mistakes);
        let conditions: Vec<_> =
            when.map(|node| self.conditions(node, mistakes)).unwrap_or_default();
        let (range, severity) = (range?, severity?);
        let mut rule = Rule {
            id: id?.into(),
            probe: self.probe,
            severity,
            measure: found.written,
            range: range.clone(),
            when: conditions.iter().map(|(words, _)| words.clone()).collect(),
            hold,
            profiles: BTreeMap::new(),
            summary: summary?.into(),
            why: why?,
            remedy: remedy?.into(),
            references,
            controls: Arc::new(controls),
            pack: Arc::clone(&self.pack),
            conditions: conditions.into_iter().map(|(_, condition)| condition).collect(),
            key: found.key,
            catalogued: found.catalogued,
            held: BTreeMap::new(),
        };
        for (at, name, node) in profiles {
            hold_in_profile(&mut rule, name, (at, node), mistakes);
        }
        (mistakes.len() == before).then_some(rule)
    }

    fn id(
        &self,
        node: &Node,
        ids: &mut BTreeSet<String>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<String> {
        let id = node.scalar()?;
        let prefix = format!("{}-", self.probe);
        let plain = id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let mistake = if !id.starts_with(&prefix) || id.len() == prefix.len() {
            Mistake::new(node.at, format!("the id `{id}` does not begin with `{prefix}`"))
                .help("a rule's id is prefixed by the probe of its pack")
        } else if !plain || id.len() > 64 {
            Mistake::new(node.at, format!("the id `{id}` is not made of a-z, 0-9 and -"))
        } else if id == format!("{prefix}stale") {
            Mistake::new(node.at, format!("`{id}` is built in")).help("choose another id")
        } else if !ids.insert(id.clone()) {
            Mistake::new(node.at, format!("the id `{id}` is used twice in this pack"))
        } else {
            return Some(id);
        };
        mistakes.push(mistake);
        None
    }

    fn measure(&self, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Found> {
        match find(self.probe, node) {
            Ok(found) => Some(found),
            Err(mistake) => {
                mistakes.push(mistake);
                None
            }
        }
    }

    fn conditions(&self, node: &Node, mistakes: &mut Vec<Mistake>) -> Vec<(String, Condition)> {
        let items = match &node.tree {
            Tree::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        items.iter().filter_map(|item| self.condition(item, mistakes)).collect()
    }

    fn condition(&self, node: &Node, mistakes: &mut Vec<Mistake>) -> Option<(String, Condition)> {
        let mut fields = Fields::new(node, "when", mistakes);
        let measure =
            fields.required("measure").and_then(|node| self.measure(node, fields.mistakes));
        let operators = fields.take_operators();
        fields.finish(&["measure"]);
        let found = measure?;
        let range = read_range(found.catalogued, &operators, node.at, mistakes)?;
        let per_item = is_per_item(found.catalogued, &range);
        let route = Route::new(found.catalogued, found.key.as_deref(), per_item);
        let of_sample = route.depth() == 0;
        let words = format!("{} is {range}", found.written);
        Some((words, Condition { route, range, per_item, of_sample }))
    }

    /// `[standard, strict]`, or `{standard: {severity: low}, strict: {min: 30d}}`.
    fn profiles<'n>(
        &self,
        node: &'n Node,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<(Position, String, Option<&'n Node>)> {
        let mut entries: Vec<_> = match &node.tree {
            Tree::List(items) => items
                .iter()
                .map(|item| (item.at, item.scalar().unwrap_or_default(), None))
                .collect(),
            Tree::Map(entries) => {
                entries.iter().map(|(key, value)| (key.at, key.word.clone(), Some(value))).collect()
            }
            _ => {
                let message = format!("profiles is a list or a map, found {}", node.what());
                mistakes.push(Mistake::new(node.at, message));
                return Vec::new();
            }
        };
        if entries.is_empty() {
            mistakes.push(
                Mistake::new(node.at, "the rule belongs to no profile")
                    .help("leave profiles out to hold it in every profile"),
            );
        }
        entries.retain(|(at, name, _)| {
            let known = self.profiles.contains(name);
            if !known {
                let known = self.profiles.iter().map(String::as_str);
                mistakes.push(Mistake::new(*at, format!("no profile `{name}`")).meant(name, known));
            }
            known
        });
        entries
    }
}

/// Notes how a profile holds the rule: as it is, or with a severity or range of its own.
fn hold_in_profile(
    rule: &mut Rule,
    name: String,
    (at, node): (Position, Option<&Node>),
    mistakes: &mut Vec<Mistake>,
) {
    let (mut severity, mut range) = (rule.severity, rule.range.clone());
    if let Some(node) = node.filter(|node| node.tree != Tree::Null) {
        let mut fields = Fields::new(node, "a profile's own form of a rule", mistakes);
        let own = fields.take("severity").and_then(|node| read_severity(node, fields.mistakes));
        let operators = fields.take_operators();
        fields.finish(&["severity"]);
        severity = own.unwrap_or(severity);
        if !operators.is_empty() {
            range = read_range(rule.catalogued, &operators, at, mistakes).unwrap_or(range);
        }
    }
    let words = range.to_string();
    rule.held.insert(name.clone(), Arc::new(rule.hold(severity, range)));
    rule.profiles.insert(name, ProfileUse { severity, range: words });
}

/// A measure that a rule names.
struct Found {
    written: String,
    key: Option<String>,
    catalogued: &'static Measure,
}

fn find(probe: ProbeKind, node: &Node) -> Result<Found, Mistake> {
    let Some(written) = node.scalar() else {
        return Err(Mistake::new(node.at, format!("measure is a path, found {}", node.what())));
    };
    let Some((path, key)) = split(&written) else {
        return Err(Mistake::new(node.at, format!("`{written}` is no path"))
            .help("write `tls.versions`, or `tls.vulnerabilities[robot]` for one key of a map"));
    };
    let known = || measures(probe).iter().map(|measure| measure.path);
    let Some(catalogued) = find_measure(path) else {
        return Err(Mistake::new(node.at, format!("no measurement `{path}`")).meant(path, known()));
    };
    if !path.starts_with(&format!("{probe}.")) {
        return Err(Mistake::new(
            node.at,
            format!("`{path}` is not measured by the {probe} probe"),
        )
        .help("a pack judges the samples of its own probe"));
    }
    if key.is_some() && !matches!(catalogued.kind, Kind::MapOf(_)) {
        return Err(Mistake::new(node.at, format!("`{path}` has no keys")));
    }
    if leaf(catalogued.kind) == Kind::Object {
        let below: Vec<_> =
            known().filter(|other| other.starts_with(&format!("{path}."))).collect();
        return Err(Mistake::new(
            node.at,
            format!("`{path}` is an object; a range needs one value"),
        )
        .help(format!("below it are {}", below.join(", "))));
    }
    Ok(Found { key: key.map(str::to_owned), written, catalogued })
}

/// The fields of a map, each taken once; what is left over is a mistake.
struct Fields<'n, 'm> {
    at: Position,
    what: &'static str,
    entries: Vec<(&'n Key, &'n Node)>,
    mistakes: &'m mut Vec<Mistake>,
    is_map: bool,
}

impl<'n, 'm> Fields<'n, 'm> {
    fn new(node: &'n Node, what: &'static str, mistakes: &'m mut Vec<Mistake>) -> Self {
        let entries = match &node.tree {
            Tree::Map(entries) => entries.iter().map(|(key, value)| (key, value)).collect(),
            _ => {
                mistakes
                    .push(Mistake::new(node.at, format!("{what} is a map, found {}", node.what())));
                Vec::new()
            }
        };
        let is_map = matches!(node.tree, Tree::Map(_));
        Self { at: node.at, what, entries, mistakes, is_map }
    }

    fn take(&mut self, word: &str) -> Option<&'n Node> {
        let at = self.entries.iter().position(|(key, _)| key.word == word)?;
        Some(self.entries.remove(at).1)
    }

    fn required(&mut self, word: &str) -> Option<&'n Node> {
        let node = self.take(word);
        match node {
            None if self.is_map => {
                self.mistakes.push(Mistake::new(self.at, format!("{} needs `{word}`", self.what)));
                None
            }
            Some(Node { at, tree: Tree::Null }) => {
                self.mistakes.push(Mistake::new(*at, format!("`{word}` is empty")));
                None
            }
            node => node,
        }
    }

    fn text(&mut self, word: &str) -> Option<String> {
        let node = self.take(word)?;
        self.as_text(node, word)
    }

    fn required_text(&mut self, word: &str) -> Option<String> {
        let node = self.required(word)?;
        self.as_text(node, word)
    }

    fn as_text(&mut self, node: &Node, word: &str) -> Option<String> {
        let text = node.scalar().map(|text| text.trim().to_owned());
        let text = text.filter(|text| !text.is_empty());
        if text.is_none() {
            self.mistakes
                .push(Mistake::new(node.at, format!("{word} is a text, found {}", node.what())));
        }
        text
    }

    fn take_operators(&mut self) -> Vec<(&'n Key, &'n Node)> {
        let (operators, rest) = self.entries.drain(..).partition(|(key, _)| is_operator(&key.word));
        self.entries = rest;
        operators
    }

    fn finish(self, known: &[&'static str]) {
        for (key, _) in self.entries {
            let known = known.iter().copied().chain(OPERATORS);
            let message = format!("{} has no key `{}`", self.what, key.word);
            self.mistakes.push(Mistake::new(key.at, message).meant(&key.word, known));
        }
    }
}

fn read_probe(node: &Node, mistakes: &mut Vec<Mistake>) -> Option<ProbeKind> {
    let word = node.scalar().unwrap_or_default();
    let probe = word.parse::<ProbeKind>();
    if let Err(message) = &probe {
        let known = ProbeKind::ALL.map(ProbeKind::as_str);
        mistakes.push(Mistake::new(node.at, message.clone()).meant(&word, known));
    }
    probe.ok()
}

fn read_severity(node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Severity> {
    let word = node.scalar().unwrap_or_default();
    let severity = word.parse::<Severity>();
    if let Err(message) = &severity {
        let known = Severity::ALL.map(Severity::as_str);
        mistakes.push(Mistake::new(node.at, message.clone()).meant(&word, known));
    }
    severity.ok()
}

fn read_span(node: &Node, mistakes: &mut Vec<Mistake>) -> Option<Span> {
    let span = node.scalar().unwrap_or_default().parse::<Span>();
    if let Err(error) = &span {
        mistakes.push(Mistake::new(node.at, error.to_string()));
    }
    span.ok()
}

fn read_words(node: &Node, mistakes: &mut Vec<Mistake>) -> Vec<String> {
    let items = match &node.tree {
        Tree::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut words = Vec::new();
    for item in items {
        match item.scalar() {
            Some(word) => words.push(word),
            None => mistakes
                .push(Mistake::new(item.at, format!("expected a text, found {}", item.what()))),
        }
    }
    words
}

fn read_summary(node: &Node, mistakes: &mut Vec<Mistake>) -> Option<String> {
    let text = node.scalar()?;
    for (at, _) in text.match_indices('{') {
        if !PLACEHOLDERS.iter().any(|placeholder| text[at..].starts_with(placeholder)) {
            let word = text[at..].split_inclusive('}').next().unwrap_or("{");
            mistakes.push(
                Mistake::new(node.at, format!("no placeholder `{word}`"))
                    .help(format!("a summary may hold {}", PLACEHOLDERS.join(", "))),
            );
        }
    }
    Some(text)
}

fn read_controls(node: &Node, mistakes: &mut Vec<Mistake>) -> BTreeMap<String, Vec<String>> {
    let Tree::Map(entries) = &node.tree else {
        mistakes.push(Mistake::new(node.at, format!("controls is a map, found {}", node.what())));
        return BTreeMap::new();
    };
    let mut controls = BTreeMap::new();
    for (key, value) in entries {
        if FRAMEWORKS.contains(&key.word.as_str()) {
            controls.insert(key.word.clone(), read_words(value, mistakes));
        } else {
            let mistake = Mistake::new(key.at, format!("no framework `{}`", key.word))
                .help(format!("the frameworks are {}", FRAMEWORKS.join(", ")));
            mistakes.push(mistake);
        }
    }
    controls
}

const RULE_KEYS: [&str; 11] = [
    "id",
    "severity",
    "measure",
    "when",
    "for",
    "profiles",
    "summary",
    "why",
    "remedy",
    "references",
    "controls",
];

const FRAMEWORKS: [&str; 4] = ["iso27002", "nist-csf", "pci-dss", "soc2"];
