//! From the file's shapes to the typed config. Every check reports what it finds and goes on, so
//! that one pass shows all mistakes.

mod alerting;
mod blocks;
mod expectations;
mod keys;
mod plans;
mod targets;

pub(super) use targets::refusal;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::adhoc::user_agent;
use super::at::At;
use super::context::Context;
use super::diagnostics::did_you_mean;
use super::file::{self, File};
use super::fit::{Fit, over_budget};
use super::model::Config;
use super::overrides::Overrides;
use crate::inventory::{Families, ResolverSpec};
use crate::rules::RuleSet;
use crate::schedule::Plan;

/// Checks the file. The config is only good if the context has no errors.
pub(super) fn check(context: &mut Context<'_>, file: File, path: &std::path::Path) -> Config {
    context.vantage = blocks::vantage(context, file.vantage.as_ref());
    let (known, rules) = Known::of(context, &file.rules);
    let plans::Plans { plans, places } = plans::check(context, &file.plans);
    let (resolvers, families) = (resolvers(context, &file), families(context, &file));
    let contact = blocks::contact(context, file.contact.as_ref());
    let mut defaults = keys::check(context, &file.defaults.into_keys(), &plans, &known);
    defaults.user_agent = contact.as_deref().map(|contact| user_agent(Some(contact)).into());
    let shelf = Shelf { defaults: &defaults, plans: &plans, known: &known };
    let first_source = file.discovery.first();
    let discovery = targets::discovery(context, file.discovery, &shelf);
    let sites = targets::Sites {
        scope: file.scope.as_ref(),
        targets: file.targets,
        discovery: &discovery,
        first_source: first_source.clone(),
    };
    let found = targets::check(context, sites, &shelf, &resolvers);
    let budgets = plans::budgets(context, &file.budgets);
    let over_budget = over_budget(&Fit {
        plans: &plans,
        places: &places,
        targets: &found.targets,
        spans: &found.spans,
        scope: &found.scope,
        budgets: &budgets,
    });
    Config {
        path: path.to_owned(),
        scope: found.scope,
        exceptions: blocks::exceptions(
            context,
            &file.exceptions,
            &found.targets,
            first_source.is_some(),
            &known,
        ),
        targets: found.targets,
        discovery,
        rules: Arc::new(rules),
        maintenance: plans::maintenance(context, &file.maintenance),
        alerting: alerting::check(context, &file.alerting),
        budgets,
        over_budget,
        web: blocks::web(context, &file.web),
        data: blocks::data(context, &file.data),
        resolvers,
        families,
        vantage: Arc::clone(&context.vantage),
        contact,
        notes: crate::config::Diagnostics::new(path, ""),
        plans,
        defaults,
    }
}

/// What every target is read with.
struct Shelf<'a> {
    defaults: &'a Overrides,
    plans: &'a BTreeMap<Arc<str>, Arc<Plan>>,
    known: &'a Known,
}

/// The words of the rules room: every rule, also those that are disabled, and every profile.
struct Known {
    all: RuleSet,
    rules: BTreeSet<String>,
    profiles: BTreeSet<String>,
}

impl Known {
    /// The words, and the rules that apply.
    fn of(context: &mut Context<'_>, block: &file::Rules) -> (Self, RuleSet) {
        let packs = packs(context, block);
        let all = RuleSet::load(&packs, &[]).unwrap_or_else(|faults| {
            let span = block.packs.first().map(|at| at.span.clone()).unwrap_or_default();
            for fault in faults {
                context.error(&span, fault.to_string());
            }
            RuleSet::builtin()
        });
        let known = Self {
            rules: all.rules().iter().map(|rule| rule.id.to_string()).collect(),
            profiles: all.profiles().into_iter().map(str::to_owned).collect(),
            all,
        };
        let known_ones = block.disable.iter().filter(|at| known.rule(context, at));
        let disable: Vec<String> = known_ones.map(|at| at.value.clone()).collect();
        let rules = match disable.is_empty() {
            true => known.all.clone(),
            // Packs with faults were reported.
            false => RuleSet::load(&packs, &disable).unwrap_or_default(),
        };
        (known, rules)
    }

    /// Whether an operator and its value fit the rule's measure.
    fn range(&self, rule: &str, operator: &str, value: &Value) -> Result<(), String> {
        let range = serde_json::json!({ operator: value });
        let overrides = BTreeMap::from([(rule.to_owned(), range)]);
        self.all.select(&[], &overrides).map(drop).map_err(|errors| errors.join("; "))
    }

    fn rule(&self, context: &mut Context<'_>, at: &At<String>) -> bool {
        word(context, at, &self.rules, "rule")
    }

    fn profile(&self, context: &mut Context<'_>, at: &At<String>) -> bool {
        word(context, at, &self.profiles, "profile")
    }
}

fn word(context: &mut Context<'_>, at: &At<String>, known: &BTreeSet<String>, what: &str) -> bool {
    if known.contains(&at.value) {
        return true;
    }
    let help = did_you_mean(&at.value, known.iter().map(String::as_str));
    context.error_with(&at.span, format!("there is no {what} `{}`", at.value), help);
    false
}

/// The operator's packs: path and text.
fn packs(context: &mut Context<'_>, block: &file::Rules) -> Vec<(String, Arc<str>)> {
    let mut packs = Vec::new();
    for pattern in &block.packs {
        let full = context.path(&pattern.value).to_string_lossy().into_owned();
        let found = match context.files.glob(&full) {
            Ok(found) => found,
            Err(error) => {
                context.error(&pattern.span, format!("cannot read {full}: {error}"));
                continue;
            }
        };
        if found.is_empty() {
            context.error(&pattern.span, format!("no file matches {full}"));
        }
        for pack in found {
            let path = pack.to_string_lossy().into_owned();
            let text = context.text_file(&pattern.with(path.clone()), super::files::MAX_FILE);
            packs.extend(text.map(|file| (path, file.text)));
        }
    }
    packs
}

fn resolvers(context: &mut Context<'_>, file: &File) -> ResolverSpec {
    let Some(list) = &file.resolvers else { return ResolverSpec::System };
    let mut servers = Vec::new();
    for item in &list.items {
        if item.value == "system" {
            if list.items.len() > 1 {
                context.error(&item.span, "`system` stands alone, or addresses do");
            }
            continue;
        }
        let server = super::context::parse_server(&item.value, 53);
        servers.extend(context.read(&item.span, server));
    }
    if list.items.is_empty() {
        context.error(&list.span, "name at least one resolver, or `system`");
    }
    if servers.is_empty() { ResolverSpec::System } else { ResolverSpec::Servers(servers) }
}

fn families(context: &mut Context<'_>, file: &File) -> Families {
    let Some(list) = &file.ip_families else { return Families::default() };
    let mut families = Families { v4: false, v6: false };
    for item in &list.items {
        match item.value.as_str() {
            "4" => families.v4 = true,
            "6" => families.v6 = true,
            other => context.error(&item.span, format!("`{other}` is neither 4 nor 6")),
        }
    }
    if list.items.is_empty() {
        context.error(&list.span, "name at least one of 4 and 6");
    }
    families
}

/// A shared name, for what is cloned into every target.
pub(super) fn shared(text: &str) -> Arc<str> {
    Arc::from(text)
}
