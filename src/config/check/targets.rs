//! The scope, the targets and the discovery blocks, held against each other.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::{Shelf, alerting, keys};
use crate::config::at::At;
use crate::config::context::Context;
use crate::config::file::{Discovery, FileSd, HttpSd, Scope as Block, Target};
use crate::config::model::{SourceConfig, TargetConfig};
use crate::config::overrides::{Overrides, applicable};
use crate::inventory::discovery::is_list_name;
use crate::inventory::{
    ContactKind, NameRule, Refusal, ResolverSpec, Scope, SourceSpec, fixed_addresses, parse_network,
};
use crate::target::{Endpoint, Labels, ProbeKind, Settings, of_network};

/// The blocks of the file that say what is contacted.
pub(super) struct Sites<'a> {
    pub(super) scope: Option<&'a Block>,
    pub(super) targets: Vec<At<Target>>,
    pub(super) discovery: &'a [SourceConfig],
    pub(super) first_source: Option<Range<usize>>,
}

/// What became of them.
pub(super) struct Targets {
    pub(super) scope: Scope,
    pub(super) targets: Vec<TargetConfig>,
    /// Where each of them stands.
    pub(super) spans: Vec<Range<usize>>,
}

pub(super) fn check(
    context: &mut Context<'_>,
    file: Sites<'_>,
    shelf: &Shelf<'_>,
    resolvers: &ResolverSpec,
) -> Targets {
    let Shelf { defaults, plans, known } = *shelf;
    let mut allowed = defaults.allow_networks.clone();
    for source in file.discovery {
        allowed.extend(source.overrides.allow_networks.iter().copied());
    }
    let (mut spans, mut targets) = (Vec::new(), Vec::new());
    let mut seen: HashSet<Arc<str>> = HashSet::new();
    let mut common = Common::default();
    for At { value: target, .. } in file.targets {
        let at = target.target.clone();
        let credentials = keys::credentials(context, &target);
        let own = keys::check(context, &target.into_keys(), plans, known);
        let own = Overrides { credentials, ..own };
        allowed.extend(own.allow_networks.iter().copied());
        let found = of_network(&at.value);
        let is_network = found.is_some();
        let endpoints = match found {
            Some(found) => context.read(&at.span, found).unwrap_or_default(),
            None => context.parse::<Endpoint>(&at).into_iter().collect(),
        };
        for endpoint in endpoints {
            sensible(context, &at, &endpoint, &own);
            let config = own.clone().for_endpoint(defaults, &endpoint).target(endpoint, plans);
            without_numbers(context, &at.span, &config.target.settings);
            if is_network && config.probes != [ProbeKind::Ports] {
                let help = Some("say `probes: [ports]`, or name its hosts".to_owned());
                context.error_with(&at.span, "a network is a target of ports alone", help);
                break;
            }
            if !seen.insert(Arc::clone(&config.target.name)) {
                context.error(&at.span, format!("target `{}` is there twice", config.target.name));
                break;
            }
            spans.push(at.span.clone());
            targets.push(common.shared(config));
        }
    }
    let scope = scope(context, file.scope, file.first_source, &targets, allowed)
        .with_resolvers(asked(defaults, &targets, file.discovery, resolvers));
    let mut refused = None;
    for (span, target) in spans.iter().zip(&targets) {
        // Of a network the first address tells.
        if refused == Some(span) {
            continue;
        }
        if let Err(refusal) = refusal(&scope, target) {
            let help = "scope bounds what may ever be contacted".to_owned();
            context.error_with(span, format!("target out of scope: {refusal}"), Some(help));
            refused = Some(span);
        }
    }
    reduced(context, &spans, &targets, &scope);
    Targets { scope, targets, spans }
}

/// Pins by autonomous system that no file says anything of.
fn without_numbers(context: &mut Context<'_>, span: &Range<usize>, settings: &Settings) {
    if let Some(lacking) = settings.lacks_asn_file() {
        context.error(span, lacking);
    }
}

/// The same of what a source will find.
fn found_without_numbers(
    context: &mut Context<'_>,
    span: &Range<usize>,
    defaults: &Overrides,
    source: &Overrides,
) {
    let pins = source.pins.as_ref().or(defaults.pins.as_ref()).cloned().unwrap_or_default();
    let asn = source.asn.as_ref().or(defaults.asn.as_ref()).cloned();
    without_numbers(context, span, &Settings { pins, asn, ..Settings::default() });
}

/// What many targets have in common is kept once.
#[derive(Default)]
struct Common {
    labels: BTreeSet<Arc<Labels>>,
    settings: Arc<Settings>,
}

impl Common {
    fn shared(&mut self, mut config: TargetConfig) -> TargetConfig {
        let Some(target) = Arc::get_mut(&mut config.target) else { return config };
        match self.labels.get(&target.labels) {
            Some(known) => target.labels = Arc::clone(known),
            None => {
                self.labels.insert(Arc::clone(&target.labels));
            }
        }
        // Those that share their switches stand together, as a rule.
        if self.settings == target.settings {
            target.settings = Arc::clone(&self.settings);
        } else {
            self.settings = Arc::clone(&target.settings);
        }
        config
    }
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
    block: Option<&Block>,
    first_source: Option<Range<usize>>,
    targets: &[TargetConfig],
    allowed: Vec<ipnet::IpNet>,
) -> Scope {
    let Some(block) = block else {
        if let Some(span) = first_source {
            context.error_with(
                &span,
                "discovery needs a scope: what is found must not decide what may be contacted",
                Some("add scope: {names: [\"*.example.com\"], networks: [...]}".to_owned()),
            );
        }
        // The static targets alone: unlike `check`, a daemon follows no redirect elsewhere.
        let mut scope = Scope::new(Vec::new(), allowed);
        for target in targets {
            scope.add_target(&target.target.endpoint);
        }
        return scope;
    };
    let mut names = Vec::new();
    for at in &block.names {
        names.extend(context.parse::<NameRule>(at));
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
    targets: &[TargetConfig],
    discovery: &[SourceConfig],
    resolvers: &ResolverSpec,
) -> Vec<std::net::IpAddr> {
    let general: &[std::net::SocketAddr] = match resolvers {
        ResolverSpec::Servers(servers) => servers,
        ResolverSpec::System => &[],
    };
    let of_targets = targets.iter().flat_map(|t| &t.target.settings.dns_servers);
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

/// Remarks where the ports probe may not scan.
fn reduced(
    context: &mut Context<'_>,
    spans: &[Range<usize>],
    targets: &[TargetConfig],
    scope: &Scope,
) {
    let (mut reduced, mut partly) = (Vec::new(), Vec::new());
    let wanted = |target: &&TargetConfig| target.probes.contains(&ProbeKind::Ports);
    for (span, target) in spans.iter().zip(targets).filter(|(_, target)| wanted(target)) {
        match fixed_addresses(&target.target) {
            Some(addresses) if addresses.iter().all(|at| scope.may_scan(*at)) => {}
            // Where a name's addresses lie is known once it is resolved.
            None if scope.networks().next().is_some() => partly.push(span),
            _ => reduced.push(span),
        }
    }
    // The addresses of a network stand in one place.
    reduced.dedup();
    for span in reduced.iter().take(MOST_LISTED) {
        let message = "ports: only pinned and own ports are scanned, for the addresses lie in \
                       none of scope.networks";
        context.note(span, message);
    }
    if let Some(span) = reduced.get(MOST_LISTED) {
        let more = reduced.len() - MOST_LISTED;
        context.note(span, format!("ports: so it is with this target and {} more", more - 1));
    }
    if let Some(first) = partly.first() {
        let message = format!(
            "ports: {} named target(s) are scanned only at addresses in scope.networks; at others \
             pinned and own ports are asked",
            partly.len(),
        );
        context.note(first, message);
    }
}

pub(super) fn discovery(
    context: &mut Context<'_>,
    block: Discovery,
    shelf: &Shelf<'_>,
) -> Vec<SourceConfig> {
    let Shelf { plans, known, .. } = *shelf;
    let mut sources = Vec::new();
    for (index, at) in block.file_sd.into_iter().enumerate() {
        let spec = file_source(context, &at);
        let span = at.span.clone();
        let overrides = keys::check(context, &at.value.into_keys(), plans, known);
        found_without_numbers(context, &span, shelf.defaults, &overrides);
        sources.push(SourceConfig { spec, index, overrides });
    }
    for (index, at) in block.http_sd.into_iter().enumerate() {
        let spec = http_source(context, &at.value);
        let span = at.span.clone();
        let overrides = keys::check(context, &at.value.into_keys(), plans, known);
        found_without_numbers(context, &span, shelf.defaults, &overrides);
        sources.extend(spec.map(|spec| SourceConfig { spec, index, overrides }));
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

/// Targets that are named one by one; a config may have a hundred thousand.
const MOST_LISTED: usize = 100;
const FILE_REFRESH: Duration = Duration::from_secs(30);
const HTTP_REFRESH: Duration = Duration::from_secs(60);
