//! The rules of an installation: what ships, what the operator adds, replaces and disables.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::error::{Mistake, Position, RuleError, nearest};
use super::literal::{is_operator, read_range};
use super::node::{Key, Node, Tree};
use super::pack::{PROFILES, Pack, read_pack};
use super::rule::{Held, Rule};
use super::selection::Selection;
use crate::sample::Severity;

/// The packs that ship with Secchi: name and text.
pub const SHIPPED: [(&str, &str); 4] = [
    ("tls", include_str!("../../probes/tls.yaml")),
    ("http", include_str!("../../probes/http.yaml")),
    ("ports", include_str!("../../probes/ports.yaml")),
    ("dns", include_str!("../../probes/dns.yaml")),
];

/// Every rule that may be chosen from, in the order of probes and packs.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    profiles: BTreeSet<String>,
    disabled: BTreeSet<String>,
}

impl RuleSet {
    /// The rules that ship. A test holds the packs to be without mistakes; one that had any would
    /// lack the rules concerned.
    pub fn builtin() -> Self {
        let mut set = Self::default();
        for (name, text) in SHIPPED {
            set.add(read_pack(&format!("probes/{name}.yaml"), text, true));
        }
        set
    }

    /// A mark of what each rule asks. It changes with range, severity, conditions and profiles, not
    /// with the words for the reader.
    pub fn marks(&self) -> BTreeMap<Arc<str>, String> {
        self.rules.iter().map(|rule| (Arc::clone(&rule.id), rule.mark())).collect()
    }

    /// The rules that ship, with the operator's packs over them. A pack that bears a shipped pack's
    /// name (`pack: tls`) replaces it as a whole; a rule with a known id replaces that rule; any
    /// other rule is added. `disable` then takes rules out. All mistakes come at once.
    pub fn load(
        user_packs: &[(impl AsRef<str>, impl AsRef<str>)],
        disable: &[String],
    ) -> Result<Self, Vec<RuleError>> {
        let mut set = Self::builtin();
        let mut errors = Vec::new();
        let mut owners: BTreeMap<Arc<str>, String> = BTreeMap::new();
        for (file, text) in user_packs {
            let file = file.as_ref();
            let mut pack = read_pack(file, text.as_ref(), false);
            for (at, rule) in &pack.rules {
                if let Some(other) = owners.insert(Arc::clone(&rule.id), file.to_owned()) {
                    let message = format!("the id `{}` is used in {other} too", rule.id);
                    pack.mistakes.push(Mistake::new(*at, message));
                }
            }
            errors.extend(pack.mistakes.drain(..).map(|mistake| mistake.in_file(file)));
            set.add(pack);
        }
        for id in disable {
            let known = set.rules.iter().any(|rule| &*rule.id == id.as_str());
            if known {
                set.disabled.insert(id.clone());
            } else {
                let mistake =
                    Mistake::new(Position::default(), format!("no rule `{id}` to disable"));
                let mistake = mistake.meant(id, set.rules.iter().map(|rule| &*rule.id));
                errors.push(mistake.in_file("rules.disable"));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let Self { rules, disabled, .. } = &mut set;
        rules.retain(|rule| !disabled.contains(&*rule.id));
        Ok(set)
    }

    fn add(&mut self, pack: Pack) {
        if let Some(name) = &pack.name {
            self.rules.retain(|rule| !(rule.pack.shipped && rule.pack.name == *name));
        }
        for (_, rule) in pack.rules {
            self.profiles.extend(rule.profiles.keys().cloned());
            match self.rules.iter_mut().find(|known| known.id == rule.id) {
                Some(known) => *known = rule,
                None => self.rules.push(rule),
            }
        }
        self.rules.sort_by_key(|rule| rule.probe);
    }

    /// Every rule.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of that id.
    pub fn find(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| &*rule.id == id)
    }

    /// The names that a profile may have, shipped ones first.
    pub fn profiles(&self) -> Vec<&str> {
        let shipped = PROFILES.iter().map(|(name, _)| *name);
        let own = self.profiles.iter().map(String::as_str);
        let own = own.filter(|name| PROFILES.iter().all(|(known, _)| known != name));
        shipped.chain(own).collect()
    }

    /// The rules of the chosen profiles, with a target's own ranges (`{"tls-certificate-expiry":
    /// {"min": "30d"}}`). None chosen means `standard`; where several hold a rule, the last one
    /// named decides how. A rule with a range of the target's own is chosen whatever the profile.
    pub fn select(
        &self,
        profiles: &[String],
        overrides: &BTreeMap<String, Value>,
    ) -> Result<Selection, Vec<String>> {
        let mut errors = Vec::new();
        let names = self.profiles();
        for profile in profiles.iter().filter(|profile| !names.contains(&profile.as_str())) {
            let words = Mistake::new(Position::default(), format!("no profile `{profile}`"));
            errors.push(words.meant(profile, names.iter().copied()).in_words());
        }
        for id in overrides.keys().filter(|id| self.find(id).is_none()) {
            errors.push(self.unknown_rule(id));
        }
        let standard = ["standard".to_owned()];
        let profiles = if profiles.is_empty() { &standard } else { profiles };
        let mut held = Vec::new();
        for rule in &self.rules {
            let chosen = rule.held_by(profiles);
            match overrides.get(&*rule.id) {
                None => held.extend(chosen),
                Some(range) => {
                    let severity = chosen.map_or(rule.severity, |held| held.facts.severity);
                    match own_range(rule, severity, range) {
                        Ok(own) => held.push(Arc::new(own)),
                        Err(words) => errors.extend(words),
                    }
                }
            }
        }
        if errors.is_empty() { Ok(Selection::new(held)) } else { Err(errors) }
    }

    fn unknown_rule(&self, id: &str) -> String {
        if self.disabled.contains(id) {
            return format!("the rule `{id}` is disabled by rules.disable");
        }
        match nearest(id, self.rules.iter().map(|rule| &*rule.id)) {
            Some(near) => format!("no rule `{id}`; did you mean `{near}`?"),
            None => format!("no rule `{id}`; `secchi rules list` shows all"),
        }
    }
}

/// A rule with the range that a target gives it.
fn own_range(rule: &Rule, severity: Severity, range: &Value) -> Result<Held, Vec<String>> {
    let mut mistakes = Vec::new();
    let node = Node::from_json(range);
    let Tree::Map(entries) = &node.tree else {
        return Err(vec![format!("{}: a range is a map such as {{min: 21d}}", rule.id)]);
    };
    let (operators, others): (Vec<(&Key, &Node)>, Vec<_>) =
        entries.iter().map(|(key, node)| (key, node)).partition(|(key, _)| is_operator(&key.word));
    for (key, _) in others {
        let mistake = Mistake::new(key.at, format!("a range has no operator `{}`", key.word));
        mistakes.push(mistake.meant(&key.word, super::literal::OPERATORS));
    }
    let range = read_range(rule.catalogued, &operators, node.at, &mut mistakes);
    match range {
        Some(range) if mistakes.is_empty() => Ok(rule.hold(severity, range)),
        _ => Err(mistakes.iter().map(|m| format!("{}: {}", rule.id, m.in_words())).collect()),
    }
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
