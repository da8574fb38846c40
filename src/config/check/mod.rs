//! From the file's shapes to the typed config. Every check reports what it finds and goes on, so
//! that one pass shows all mistakes.

mod alerting;
mod blocks;
mod keys;
mod plans;
mod targets;

pub(super) use targets::refusal;

use std::sync::Arc;

use super::adhoc::user_agent;
use super::context::Context;
use super::file::File;
use super::model::{Config, RulesSpec};
use crate::inventory::{Families, ResolverSpec};

/// Checks the file. The config is only good if the context has no errors.
pub(super) fn check(context: &mut Context<'_>, file: &File, path: &std::path::Path) -> Config {
    let rules = rules(context, file);
    let known = Known::of(context);
    for disabled in &file.rules.disable {
        known.rule(context, disabled);
    }
    let plans = plans::check(context, &file.plans);
    let mut defaults = keys::check(context, &file.defaults.keys(), &plans, &known);
    let contact = blocks::contact(context, file.contact.as_ref());
    defaults.user_agent = contact.as_deref().map(|contact| user_agent(Some(contact)).into());
    let (resolvers, families) = (resolvers(context, file), families(context, file));
    let targets = targets::check(context, file, &defaults, &plans, &known, &resolvers);
    Config {
        path: path.to_owned(),
        scope: targets.scope,
        exceptions: blocks::exceptions(context, file, &targets.targets, &known),
        targets: targets.targets,
        discovery: targets.discovery,
        rules,
        maintenance: plans::maintenance(context, &file.maintenance),
        alerting: alerting::check(context, &file.alerting),
        budgets: blocks::budgets(context, &file.budgets),
        web: blocks::web(context, &file.web),
        data: blocks::data(context, &file.data),
        resolvers,
        families,
        vantage: blocks::vantage(context, file.vantage.as_ref()),
        contact,
        notes: crate::config::Diagnostics::new(path, ""),
        plans,
        defaults,
    }
}

/// What other rooms know, asked once.
pub(super) struct Known {
    rules: Option<Vec<String>>,
    profiles: Option<Vec<String>>,
}

impl Known {
    pub(super) fn of(context: &Context<'_>) -> Self {
        Self { rules: context.checks.rules(), profiles: context.checks.profiles() }
    }

    fn rule(&self, context: &mut Context<'_>, at: &super::at::At<String>) -> bool {
        Self::word(context, at, self.rules.as_deref(), "rule")
    }

    fn profile(&self, context: &mut Context<'_>, at: &super::at::At<String>) -> bool {
        Self::word(context, at, self.profiles.as_deref(), "profile")
    }

    fn word(
        context: &mut Context<'_>,
        at: &super::at::At<String>,
        known: Option<&[String]>,
        what: &str,
    ) -> bool {
        let Some(known) = known else { return true };
        if known.contains(&at.value) {
            return true;
        }
        let help = super::diagnostics::did_you_mean(&at.value, known.iter().map(String::as_str));
        context.error_with(&at.span, format!("there is no {what} `{}`", at.value), help);
        false
    }
}

fn rules(context: &mut Context<'_>, file: &File) -> RulesSpec {
    let mut packs = Vec::new();
    for pattern in &file.rules.packs {
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
            let at = pattern.with(pack.to_string_lossy().into_owned());
            packs.extend(context.text_file(&at, super::files::MAX_FILE));
        }
    }
    if let Err(faults) = context.checks.packs(&packs) {
        let span = file.rules.packs.first().map(|at| at.span.clone()).unwrap_or_default();
        for fault in faults {
            context.error(&span, fault);
        }
    }
    let disable = file.rules.disable.iter().map(|at| at.value.clone()).collect();
    RulesSpec { packs, disable }
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
