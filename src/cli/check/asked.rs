//! What a `check` is asked: its targets with their settings, probes and rules, by the switches
//! alone or under a config file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;

use super::Args;
use super::report::LabelsOf;
use crate::cli::switches::over;
use crate::config::{self, AdHoc, Config, Diagnostics, TargetConfig};
use crate::inventory::ResolverSpec;
use crate::rules::{RuleSet, Selection};
use crate::schedule::{Clock, SystemClock};
use crate::target::{Endpoint, ProbeKind, Scheme, Settings, Target};

/// Everything that was asked for, checked.
pub(super) struct Asked {
    /// Scope, resolvers, rules and exceptions.
    pub(super) config: Config,
    /// What is sampled, in the order of the command line or else of the file.
    pub(super) targets: Vec<Wanted>,
}

/// A target and the rules that judge it.
pub(super) struct Wanted {
    pub(super) config: TargetConfig,
    pub(super) selection: Selection,
}

impl Asked {
    /// Reads the config and every file that a switch names.
    pub(super) fn of(args: &Args) -> anyhow::Result<Self> {
        let switches = args.switches.settings()?;
        let (config, found) = match &args.config {
            None => by_switches(args, &switches),
            Some(file) => by_file(args, file, &switches)?,
        };
        let mut selections = Selections { rules: &config.rules, made: BTreeMap::new() };
        let mut names = BTreeSet::new();
        let mut targets = Vec::new();
        for mut target in found {
            if !names.insert(Arc::clone(&target.target.name)) {
                continue;
            }
            if !args.probe.is_empty() {
                target.probes.clone_from(&args.probe);
            }
            if !args.profile.is_empty() {
                target.profile.clone_from(&args.profile);
            }
            if let Some(lacking) = target.target.settings.lacks_asn_file() {
                anyhow::bail!("{lacking}");
            }
            let selection = selections.of(&target)?;
            targets.push(Wanted { config: target, selection });
        }
        Ok(Self { config, targets })
    }

    /// Each (target, probe) that was asked for.
    pub(super) fn points(&self) -> Vec<(Arc<str>, ProbeKind)> {
        let of = |wanted: &Wanted| {
            let name = Arc::clone(&wanted.config.target.name);
            wanted.config.probes.clone().into_iter().map(move |probe| (Arc::clone(&name), probe))
        };
        self.targets.iter().flat_map(of).collect()
    }

    /// The labels of each target.
    pub(super) fn labels(&self) -> LabelsOf {
        let targets = self.targets.iter().map(|wanted| &wanted.config.target);
        targets.map(|target| (Arc::clone(&target.name), Arc::clone(&target.labels))).collect()
    }
}

/// No file: the scope is the targets, and the switches say everything.
fn by_switches(args: &Args, switches: &Settings) -> (Config, Vec<TargetConfig>) {
    let pins = switches.pins.seen_from(HERE);
    let ad_hoc = AdHoc {
        allow_networks: args.switches.allow_network.clone(),
        settings: Settings { pins, ..switches.clone() },
        ..AdHoc::default()
    };
    let config = ad_hoc.config(&args.endpoints());
    let mut targets = config.targets.clone();
    for target in &mut targets {
        target.probes = usual_probes(&target.target.endpoint);
    }
    (config, targets)
}

/// Under a file: its targets as the daemon has them, and others by its defaults. A switch stands
/// before what the file says.
fn by_file(
    args: &Args,
    file: &Path,
    switches: &Settings,
) -> anyhow::Result<(Config, Vec<TargetConfig>)> {
    let mut config = config::load_without_secrets(file, SystemClock.now())
        .map_err(|mistakes| in_words(&mistakes))?;
    if let [first, ..] = switches.dns_servers.as_slice() {
        config.resolvers = ResolverSpec::Servers(vec![*first]);
    }
    config.scope = config.scope.with_networks(args.switches.allow_network.iter().copied());
    let mut targets: Vec<TargetConfig> = match args.endpoints().as_slice() {
        [] => config.targets.clone(),
        named => named.iter().map(|at| config.one_look(at, usual_probes(at))).collect(),
    };
    anyhow::ensure!(
        !targets.is_empty(),
        "{} has no static targets; name one on the command line",
        file.display()
    );
    let pins = switches.pins.seen_from(&config.vantage);
    let switches = &Settings { pins, ..switches.clone() };
    for target in &mut targets {
        let settings = Arc::new(over(switches, &target.target.settings));
        target.target = Arc::new(Target { settings, ..(*target.target).clone() });
    }
    Ok((config, targets))
}

fn in_words(mistakes: &Diagnostics) -> anyhow::Error {
    anyhow!("{}", mistakes.render(false))
}

/// What a target is looked at by where nobody says it: all but a port scan.
fn usual_probes(endpoint: &Endpoint) -> Vec<ProbeKind> {
    let is_name = endpoint.host.name().is_some();
    match endpoint.scheme {
        Some(Scheme::StartTls(_) | Scheme::Tls) => vec![ProbeKind::Tls],
        Some(Scheme::Http) => vec![ProbeKind::Http],
        _ if is_name => vec![ProbeKind::Tls, ProbeKind::Http, ProbeKind::Dns],
        _ => vec![ProbeKind::Tls, ProbeKind::Http],
    }
}

/// Targets with the same profiles and ranges share their rules.
struct Selections<'a> {
    rules: &'a RuleSet,
    made: BTreeMap<String, Selection>,
}

impl Selections<'_> {
    fn of(&mut self, target: &TargetConfig) -> anyhow::Result<Selection> {
        let key = format!("{:?}{:?}", target.profile, target.ranges);
        if let Some(known) = self.made.get(&key) {
            return Ok(known.clone());
        }
        let made = self
            .rules
            .select(&target.profile, &target.ranges)
            .map_err(|errors| anyhow!(errors.join("\n")))?;
        self.made.insert(key, made.clone());
        Ok(made)
    }
}

/// The vantage of a run without a config.
const HERE: &str = "local";
