//! Targets that stand in no file: of the command line, and of discovery.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use thiserror::Error;

use super::check::refusal;
use super::diagnostics::Diagnostics;
use super::model::{AlertingSpec, Config, DEFAULT_PLAN, DataSpec, TargetConfig, WebSpec};
use super::overrides::Overrides;
use crate::inventory::labels::{LabelError, check_label, check_value};
use crate::inventory::{Families, Refusal, ResolverSpec, Scope};
use crate::rules::RuleSet;
use crate::schedule::{BudgetSpec, Plan};
use crate::target::{
    Endpoint, EndpointError, Labels, NetworkError, ProbeKind, Settings, Target, of_network,
};

/// What the command line says of targets that stand in no file.
#[derive(Clone, Debug, Default)]
pub struct AdHoc {
    /// The probes; those that fit the target if `None`.
    pub probes: Option<Vec<ProbeKind>>,
    /// Rule profiles; `standard` if empty.
    pub profile: Vec<String>,
    /// Networks that are not public and may be contacted all the same.
    pub allow_networks: Vec<IpNet>,
    /// The switches.
    pub settings: Settings,
}

/// Why a target is refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum AdHocError {
    /// A label that may not be set.
    #[error("{target}: {error}")]
    Label {
        /// The target as written.
        target: String,
        /// Why.
        error: LabelError,
    },
    /// A network of too many addresses.
    #[error("{0}")]
    Network(#[from] NetworkError),
    /// A network that is not looked at by ports alone.
    #[error(
        "{target}: a network is a target of ports alone; say `probes: [ports]` of its source, or name its hosts"
    )]
    NotPorts {
        /// The target as written.
        target: String,
    },
    /// Out of scope.
    #[error("{target}: target out of scope: {error}")]
    Scope {
        /// The target as written.
        target: String,
        /// The rule that refused it.
        error: Refusal,
    },
    /// No target.
    #[error("{error}")]
    Target {
        /// The target as written.
        target: String,
        /// Why.
        error: EndpointError,
    },
}

impl AdHoc {
    /// A config of these targets and no file, none of them refused: whoever is out of scope is
    /// found out of scope when it is sampled.
    pub fn config(&self, endpoints: &[Endpoint]) -> Config {
        let settings = &self.settings;
        let mapped = settings.connect_to.iter().filter_map(|rule| rule.host.clone());
        let mapped: Vec<Endpoint> =
            mapped.filter_map(|host| host.to_string().parse().ok()).collect();
        let asked = settings.dns_servers.iter().map(std::net::SocketAddr::ip);
        let known = endpoints.iter().chain(&mapped);
        let scope = Scope::of_targets(known, self.allow_networks.clone()).with_resolvers(asked);
        let mut config = Config::bare(scope);
        if let [first, ..] = settings.dns_servers.as_slice() {
            // CONTRACT: for tls, http and ports the first one resolves names.
            config.resolvers = ResolverSpec::Servers(vec![*first]);
        }
        let shared = Arc::new(settings.clone());
        let target = |endpoint: &Endpoint| self.target(endpoint.clone(), &shared, &config.plans);
        config.targets = endpoints.iter().map(target).collect();
        config
    }

    fn target(
        &self,
        endpoint: Endpoint,
        settings: &Arc<Settings>,
        plans: &BTreeMap<Arc<str>, Arc<Plan>>,
    ) -> TargetConfig {
        let own = Overrides {
            probes: self.probes.clone(),
            profile: (!self.profile.is_empty()).then(|| self.profile.clone()),
            ..Overrides::default()
        };
        let mut config = own.target(endpoint, plans);
        let settings = Arc::clone(settings);
        config.target = Arc::new(Target { settings, ..(*config.target).clone() });
        config
    }
}

impl Config {
    /// A config without a file, for `run --target`: defaults everywhere; the scope is the targets.
    /// Every target that is refused is named.
    pub fn from_targets(targets: &[String], options: &AdHoc) -> Result<Self, Vec<AdHocError>> {
        let (mut endpoints, mut errors) = (Vec::new(), Vec::new());
        for text in targets {
            match endpoint(text) {
                Ok(endpoint) if endpoints.contains(&endpoint) => {}
                Ok(endpoint) => endpoints.push(endpoint),
                Err(error) => errors.push(error),
            }
        }
        let config = options.config(&endpoints);
        for config_of in &config.targets {
            if let Err(error) = refusal(&config.scope, config_of) {
                errors.push(AdHocError::Scope { target: config_of.target.name.to_string(), error });
            }
        }
        if errors.is_empty() { Ok(config) } else { Err(errors) }
    }

    /// A target of the command line under this config's scope and defaults; one that the file has
    /// is that one.
    pub fn ad_hoc(&self, text: &str) -> Result<TargetConfig, AdHocError> {
        let endpoint = endpoint(text)?;
        match self.target(&endpoint.to_string()) {
            Some(known) => Ok(known.clone()),
            None => self.admit(text, endpoint, Overrides::default(), Overrides::default()),
        }
    }

    /// A target of one look under this config's defaults; one that the file has is that one. Nobody
    /// is refused here: who is out of scope is found so when it is sampled. `probes` are for a
    /// target that neither the file nor its defaults give any.
    pub fn one_look(&self, endpoint: &Endpoint, probes: Vec<ProbeKind>) -> TargetConfig {
        if let Some(known) = self.target(&endpoint.to_string()) {
            return known.clone();
        }
        let probes = self.defaults.probes.is_none().then_some(probes);
        let own = Overrides { probes, ..Overrides::default() };
        own.for_endpoint(&self.defaults, endpoint).target(endpoint.clone(), &self.plans)
    }

    /// The target that source number `source_index` of [`Config::discovery`] found; of a network each
    /// of its addresses, or none where any must not be.
    pub fn targets_from_discovery(
        &self,
        source_index: usize,
        text: &str,
        labels: &Labels,
    ) -> Result<Vec<TargetConfig>, AdHocError> {
        for (name, value) in labels {
            check_label(name)
                .and_then(|()| check_value(value))
                .map_err(|error| AdHocError::Label { target: text.to_owned(), error })?;
        }
        let source = self.discovery.get(source_index);
        let block = source.map(|source| source.overrides.clone()).unwrap_or_default();
        let own = Overrides { labels: labels.clone(), ..Overrides::default() };
        let Some(found) = of_network(text) else {
            return Ok(vec![self.admit(text, endpoint(text)?, own, block)?]);
        };
        let admit = |endpoint| {
            let target = self.admit(text, endpoint, own.clone(), block.clone())?;
            match target.probes.as_slice() {
                [ProbeKind::Ports] => Ok(target),
                _ => Err(AdHocError::NotPorts { target: text.to_owned() }),
            }
        };
        found?.into_iter().map(admit).collect()
    }

    /// A static target by its name.
    pub fn target(&self, name: &str) -> Option<&TargetConfig> {
        self.targets.iter().find(|target| &*target.target.name == name)
    }

    /// What `Secchi` calls itself towards the peers of probes and discovery.
    pub fn user_agent(&self) -> String {
        user_agent(self.contact.as_deref())
    }

    /// The same config, with what resolvers the system names added to the scope.
    #[must_use]
    pub fn with_system_resolvers(mut self, servers: impl IntoIterator<Item = IpAddr>) -> Self {
        self.scope = self.scope.with_resolvers(servers);
        self
    }

    fn admit(
        &self,
        text: &str,
        endpoint: Endpoint,
        own: Overrides,
        block: Overrides,
    ) -> Result<TargetConfig, AdHocError> {
        let base = block.over(&self.defaults);
        let target = own.for_endpoint(&base, &endpoint).target(endpoint, &self.plans);
        match refusal(&self.scope, &target) {
            Ok(()) => Ok(target),
            Err(error) => Err(AdHocError::Scope { target: text.to_owned(), error }),
        }
    }

    fn bare(scope: Scope) -> Self {
        Self {
            path: PathBuf::new(),
            scope,
            plans: BTreeMap::from([(Arc::from(DEFAULT_PLAN), Arc::default())]),
            targets: Vec::new(),
            discovery: Vec::new(),
            rules: Arc::new(RuleSet::builtin()),
            exceptions: Vec::new(),
            maintenance: Arc::default(),
            alerting: AlertingSpec::default(),
            budgets: BudgetSpec::default(),
            over_budget: Vec::new(),
            web: WebSpec::default(),
            data: DataSpec::default(),
            resolvers: ResolverSpec::System,
            families: Families::default(),
            vantage: Arc::from("local"),
            contact: None,
            notes: Diagnostics::new(Path::new(""), ""),
            defaults: Overrides::default(),
        }
    }
}

/// A product with a comment (RFC 9110 §10.1.5); the contact was checked to fit into one.
pub(super) fn user_agent(contact: Option<&str>) -> String {
    let version = env!("CARGO_PKG_VERSION");
    match contact {
        Some(contact) => format!("Secchi/{version} (+{contact})"),
        None => format!("Secchi/{version}"),
    }
}

fn endpoint(text: &str) -> Result<Endpoint, AdHocError> {
    text.parse().map_err(|error| AdHocError::Target { target: text.to_owned(), error })
}
