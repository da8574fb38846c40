//! Targets that stand in no file: of the command line, and of discovery.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use thiserror::Error;

use super::check::refusal;
use super::diagnostics::Diagnostics;
use super::model::{
    AlertingSpec, BudgetsSpec, Config, DEFAULT_EVERY, DEFAULT_PLAN, DataSpec, PlanSpec, RulesSpec,
    TargetConfig, WebSpec,
};
use super::overrides::Overrides;
use crate::inventory::labels::{LabelError, check_label, check_value};
use crate::inventory::{Families, Refusal, ResolverSpec, Scope};
use crate::target::{Endpoint, EndpointError, Labels, ProbeKind, Settings, Target};

/// What the command line says of targets that stand in no file.
#[derive(Clone, Debug, Default)]
pub struct AdHoc {
    /// The probes; those that fit the target if `None`.
    pub probes: Option<Vec<ProbeKind>>,
    /// Rule profiles; `standard` if empty.
    pub profile: Vec<String>,
    /// How often; the built-in plan if `None`.
    pub every: Option<Duration>,
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

impl Config {
    /// A config without a file, for `check` and `run --target`: defaults everywhere; the scope is
    /// the targets. Every target that is refused is named.
    pub fn from_targets(targets: &[String], options: &AdHoc) -> Result<Self, Vec<AdHocError>> {
        let (mut endpoints, mut errors) = (Vec::new(), Vec::new());
        for text in targets {
            match endpoint(text) {
                Ok(endpoint) if endpoints.contains(&endpoint) => {}
                Ok(endpoint) => endpoints.push(endpoint),
                Err(error) => errors.push(error),
            }
        }
        let settings = &options.settings;
        let mapped = settings.connect_to.iter().filter_map(|rule| rule.host.clone());
        let mapped: Vec<Endpoint> =
            mapped.filter_map(|host| host.to_string().parse().ok()).collect();
        let asked = settings.dns_servers.iter().map(std::net::SocketAddr::ip);
        let known = endpoints.iter().chain(&mapped);
        let scope = Scope::of_targets(known, options.allow_networks.clone()).with_resolvers(asked);
        let plan = PlanSpec::Every(options.every.unwrap_or(DEFAULT_EVERY));
        let mut config = Self::bare(scope, plan);
        if let [first, ..] = settings.dns_servers.as_slice() {
            // CONTRACT: for tls, http and ports the first one resolves names.
            config.resolvers = ResolverSpec::Servers(vec![*first]);
        }
        for endpoint in endpoints {
            let target = config.with_switches(endpoint, options);
            match refusal(&config.scope, &target) {
                Ok(()) => config.targets.push(target),
                Err(error) => {
                    let target = target.target.name.to_string();
                    errors.push(AdHocError::Scope { target, error });
                }
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
            None => self.admit(text, endpoint, &Overrides::default(), &Overrides::default()),
        }
    }

    /// A target that source number `source_index` of [`Config::discovery`] found.
    pub fn target_from_discovery(
        &self,
        source_index: usize,
        text: &str,
        labels: &Labels,
    ) -> Result<TargetConfig, AdHocError> {
        for (name, value) in labels {
            check_label(name)
                .and_then(|()| check_value(value))
                .map_err(|error| AdHocError::Label { target: text.to_owned(), error })?;
        }
        let none = Overrides::default();
        let block = self.discovery.get(source_index).map_or(&none, |source| &source.overrides);
        let own = Overrides { labels: labels.clone(), ..Overrides::default() };
        self.admit(text, endpoint(text)?, &own, block)
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
        own: &Overrides,
        block: &Overrides,
    ) -> Result<TargetConfig, AdHocError> {
        let base = block.over(&self.defaults);
        let target = own.for_endpoint(&base, &endpoint).target(endpoint, &self.plans);
        match refusal(&self.scope, &target) {
            Ok(()) => Ok(target),
            Err(error) => Err(AdHocError::Scope { target: text.to_owned(), error }),
        }
    }

    fn with_switches(&self, endpoint: Endpoint, options: &AdHoc) -> TargetConfig {
        let own = Overrides {
            probes: options.probes.clone(),
            profile: (!options.profile.is_empty()).then(|| options.profile.clone()),
            ..Overrides::default()
        };
        let mut config = own.target(endpoint, &self.plans);
        let settings = Arc::new(options.settings.clone());
        config.target = Arc::new(Target { settings, ..(*config.target).clone() });
        config
    }

    fn bare(scope: Scope, plan: PlanSpec) -> Self {
        Self {
            path: PathBuf::new(),
            scope,
            plans: BTreeMap::from([(Arc::from(DEFAULT_PLAN), plan)]),
            targets: Vec::new(),
            discovery: Vec::new(),
            rules: RulesSpec::default(),
            exceptions: Vec::new(),
            maintenance: Vec::new(),
            alerting: AlertingSpec::default(),
            budgets: BudgetsSpec::default(),
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
