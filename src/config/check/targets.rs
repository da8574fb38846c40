//! The scope, the targets and the discovery blocks, held against each other.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::{Known, alerting, keys};
use crate::config::at::At;
use crate::config::context::Context;
use crate::config::file::{File, FileSd, HttpSd};
use crate::config::model::{PlanSpec, SourceConfig, TargetConfig};
use crate::config::overrides::{Overrides, applicable};
use crate::inventory::discovery::is_list_name;
use crate::inventory::{
    ContactKind, NameRule, Refusal, ResolverSpec, Scope, SourceSpec, fixed_addresses, parse_network,
};
use crate::target::{Endpoint, ProbeKind};

pub(super) struct Targets {
    pub(super) scope: Scope,
    pub(super) targets: Vec<TargetConfig>,
    pub(super) discovery: Vec<SourceConfig>,
}

pub(super) fn check(
    context: &mut Context<'_>,
    file: &File,
    defaults: &Overrides,
    plans: &BTreeMap<Arc<str>, PlanSpec>,
    known: &Known,
    resolvers: &ResolverSpec,
) -> Targets {
    let mut targets: Vec<(Range<usize>, TargetConfig)> = Vec::new();
    let mut allowed = defaults.allow_networks.clone();
    let mut seen: HashMap<Arc<str>, ()> = HashMap::new();
    for At { value: target, .. } in &file.targets {
        let own = keys::check(context, &target.keys(), plans, known);
        allowed.extend(own.allow_networks.iter().copied());
        let at = &target.target;
        let Some(endpoint) = context.read(&at.span, at.value.parse::<Endpoint>()) else { continue };
        sensible(context, at, &endpoint, &own);
        let joined = own.for_endpoint(defaults, &endpoint);
        let config = joined.target(endpoint, plans);
        if seen.insert(Arc::clone(&config.target.name), ()).is_some() {
            context.error(&at.span, format!("target `{}` is there twice", config.target.name));
            continue;
        }
        targets.push((at.span.clone(), config));
    }
    let discovery = discovery(context, file, plans, known, &mut allowed);
    let mut scope = scope(context, file, &targets, allowed);
    scope = scope.with_resolvers(asked(defaults, &targets, &discovery, resolvers));
    for (span, target) in &targets {
        let refusal = refusal(&scope, target);
        if let Err(refusal) = refusal {
            let help = "scope bounds what may ever be contacted".to_owned();
            context.error_with(span, format!("target out of scope: {refusal}"), Some(help));
        } else {
            reduced(context, span, target, &scope);
            one_shot(context, span, target);
        }
    }
    let targets = targets.into_iter().map(|(_, target)| target).collect();
    Targets { scope, targets, discovery }
}

/// Probes that were asked for by name and can only come to nothing.
fn sensible(context: &mut Context<'_>, at: &At<String>, endpoint: &Endpoint, own: &Overrides) {
    let fitting = applicable(endpoint);
    for probe in own.probes.iter().flatten() {
        // A bare address means the name server itself, and may well be meant.
        if !fitting.contains(probe) && *probe != ProbeKind::Dns {
            context.error(&at.span, format!("the {probe} probe cannot sample `{endpoint}`"));
        }
    }
}

fn scope(
    context: &mut Context<'_>,
    file: &File,
    targets: &[(Range<usize>, TargetConfig)],
    allowed: Vec<ipnet::IpNet>,
) -> Scope {
    let Some(block) = &file.scope else {
        let sources = file.discovery.file_sd.iter().map(|at| at.span.clone());
        let sources = sources.chain(file.discovery.http_sd.iter().map(|at| at.span.clone()));
        if let Some(span) = sources.into_iter().next() {
            context.error_with(
                &span,
                "discovery needs a scope: what is found must not decide what may be contacted",
                Some("add scope: {names: [\"*.example.com\"], networks: [...]}".to_owned()),
            );
        }
        // The static targets alone: unlike `check`, a daemon follows no redirect elsewhere.
        let mut scope = Scope::new(Vec::new(), allowed);
        for (_, target) in targets {
            scope.add_target(&target.target.endpoint);
        }
        return scope;
    };
    let mut names = Vec::new();
    for at in &block.names {
        names.extend(context.read(&at.span, at.value.parse::<NameRule>()));
    }
    let mut networks = allowed;
    for at in &block.networks {
        networks.extend(context.read(&at.span, parse_network(&at.value)));
    }
    Scope::new(names, networks)
}

/// Every recursive server that the config names.
fn asked(
    defaults: &Overrides,
    targets: &[(Range<usize>, TargetConfig)],
    discovery: &[SourceConfig],
    resolvers: &ResolverSpec,
) -> Vec<std::net::IpAddr> {
    let general: &[std::net::SocketAddr] = match resolvers {
        ResolverSpec::Servers(servers) => servers,
        ResolverSpec::System => &[],
    };
    let of_targets = targets.iter().flat_map(|(_, t)| &t.target.settings.dns_servers);
    let of_sources = discovery.iter().flat_map(|s| s.overrides.dns_servers.iter().flatten());
    let of_defaults = defaults.dns_servers.iter().flatten();
    let all = general.iter().chain(of_targets).chain(of_sources).chain(of_defaults);
    all.map(std::net::SocketAddr::ip).collect()
}

/// Whether a target may be sampled, by its fixed addresses where it has such.
pub(in crate::config) fn refusal(scope: &Scope, target: &TargetConfig) -> Result<(), Refusal> {
    let target = &target.target;
    match fixed_addresses(target) {
        None => scope.permit_target(&target.endpoint),
        Some(addresses) => addresses.into_iter().try_for_each(|address| {
            scope.permit(target.endpoint.host.name(), address, ContactKind::Target)
        }),
    }
}

/// A remark where a switch has its effect in `secchi check` only.
fn one_shot(context: &mut Context<'_>, span: &Range<usize>, target: &TargetConfig) {
    let settings = &target.target.settings;
    if settings.rate.is_some() || settings.concurrency.is_some() {
        let message = "rate and concurrency of a target have no effect in the daemon yet: `budgets` \
                       hold for every target";
        context.note(span, message);
    }
}

/// A remark where the ports probe may not scan.
fn reduced(context: &mut Context<'_>, span: &Range<usize>, target: &TargetConfig, scope: &Scope) {
    if !target.probes.contains(&ProbeKind::Ports) {
        return;
    }
    let scanned = match fixed_addresses(&target.target) {
        Some(addresses) => addresses.into_iter().all(|address| scope.may_scan(address)),
        None => !scope.networks().is_empty(),
    };
    if !scanned {
        let message = "ports: only pinned and own ports are scanned, for the addresses lie in \
                       none of scope.networks";
        context.note(span, message);
    }
}

fn discovery(
    context: &mut Context<'_>,
    file: &File,
    plans: &BTreeMap<Arc<str>, PlanSpec>,
    known: &Known,
    allowed: &mut Vec<ipnet::IpNet>,
) -> Vec<SourceConfig> {
    let mut sources = Vec::new();
    for (index, at) in file.discovery.file_sd.iter().enumerate() {
        let overrides = keys::check(context, &at.value.keys(), plans, known);
        let spec = file_source(context, at);
        sources.push(SourceConfig { spec, index, overrides });
    }
    for (index, at) in file.discovery.http_sd.iter().enumerate() {
        let overrides = keys::check(context, &at.value.keys(), plans, known);
        if let Some(spec) = http_source(context, &at.value) {
            sources.push(SourceConfig { spec, index, overrides });
        }
    }
    for source in &sources {
        allowed.extend(source.overrides.allow_networks.iter().copied());
    }
    sources
}

fn file_source(context: &mut Context<'_>, at: &At<FileSd>) -> SourceSpec {
    let mut patterns = Vec::new();
    for pattern in &at.value.files {
        let full = context.path(&pattern.value).to_string_lossy().into_owned();
        if let Err(error) = glob::Pattern::new(&full) {
            context.error(&pattern.span, format!("not a pattern: {error}"));
        }
        if !is_list_name(&full) {
            context.error(&pattern.span, "a list is a .json, .yml or .yaml file");
        }
        patterns.push(full);
    }
    if patterns.is_empty() {
        context.error(&at.span, "`files` names at least one pattern");
    }
    let refresh = at.value.refresh.as_ref().and_then(|at| refresh(context, at));
    SourceSpec::File { patterns, refresh: refresh.unwrap_or(FILE_REFRESH) }
}

fn http_source(context: &mut Context<'_>, block: &HttpSd) -> Option<SourceSpec> {
    let every = block.refresh.as_ref().and_then(|at| refresh(context, at));
    let http = Box::new(alerting::http_config(context, &block.http_config));
    let url = context.url(&block.url)?;
    Some(SourceSpec::Http { url, refresh: every.unwrap_or(HTTP_REFRESH), http })
}

fn refresh(context: &mut Context<'_>, at: &At<String>) -> Option<Duration> {
    let refresh = context.duration(at)?;
    if refresh < Duration::from_secs(1) {
        context.error(&at.span, "a refresh is at least 1s");
    }
    Some(refresh)
}

const FILE_REFRESH: Duration = Duration::from_secs(30);
const HTTP_REFRESH: Duration = Duration::from_secs(60);
