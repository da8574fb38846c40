//! The config as the rest of the house uses it: typed, checked, with every file read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use serde_json::Value;
use url::Url;

use super::Diagnostics;
use super::over_budget::OverBudget;
use super::overrides::Overrides;
use crate::inventory::{Families, ResolverSpec, Scope, SourceSpec};
use crate::outgoing::{HttpClientSpec, Secret};
use crate::rules::RuleSet;
use crate::schedule::{BudgetSpec, Plan, Window};
use crate::target::{Labels, ProbeKind, Target, TextFile};
use crate::web::Right;

/// A whole, checked config.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from; empty without one.
    pub path: PathBuf,
    /// What may be contacted. It knows the configured resolvers, but not the system's.
    pub scope: Scope,
    /// Every plan, the built-in `default` among them.
    pub plans: BTreeMap<Arc<str>, Arc<Plan>>,
    /// The static targets.
    pub targets: Vec<TargetConfig>,
    /// Where more are found.
    pub discovery: Vec<SourceConfig>,
    /// The rules that apply: what ships, and the operator's packs, without what is disabled.
    pub rules: Arc<RuleSet>,
    /// Accepted risks.
    pub exceptions: Vec<ExceptionSpec>,
    /// Windows.
    pub maintenance: Arc<[Window]>,
    /// Who is told.
    pub alerting: AlertingSpec,
    /// Politeness.
    pub budgets: BudgetSpec,
    /// Plans that take more than the budgets allow; none of them refused in a config in force.
    pub over_budget: Vec<OverBudget>,
    /// The listener.
    pub web: WebSpec,
    /// Where state is kept.
    pub data: DataSpec,
    /// How names are resolved.
    pub resolvers: ResolverSpec,
    /// Which families are sampled.
    pub families: Families,
    /// The place in the network; `local` if not said.
    pub vantage: Arc<str>,
    /// Whom to ask about our traffic.
    pub contact: Option<String>,
    /// Remarks that stop nothing.
    pub notes: Diagnostics,
    pub(super) defaults: Overrides,
}

/// A target with everything that decides how it is sampled.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetConfig {
    /// Where, with labels and switches.
    pub target: Arc<Target>,
    /// The ways to look.
    pub probes: Vec<ProbeKind>,
    /// The plan's name.
    pub plan_name: Arc<str>,
    /// The plan.
    pub plan: Arc<Plan>,
    /// Rule profiles.
    pub profile: Vec<String>,
    /// Ranges in place of a rule's own.
    pub ranges: Ranges,
    /// Repeat samples.
    pub repeat: RepeatSpec,
    /// After what time a fact is stale; `None`: three intervals, at least an hour.
    pub freshness: Option<Duration>,
    /// The most addresses that are sampled.
    pub max_addresses: usize,
}

impl TargetConfig {
    /// Whether the http probe's handshakes stand in for a tls probe: they show the certificate, and
    /// nobody else looks at it.
    pub fn glimpses_tls(&self) -> bool {
        let has = |probe| self.probes.contains(&probe);
        has(ProbeKind::Http) && !has(ProbeKind::Tls) && self.target.endpoint.is_https()
    }

    /// Whether it has a tls point under its own name: of its tls probe, or by http's handshakes.
    pub fn looks_at_tls(&self) -> bool {
        self.probes.contains(&ProbeKind::Tls) || self.glimpses_tls()
    }
}

/// Rule to range: `{tls-certificate-expiry: {min: 21d}}`.
pub type Ranges = BTreeMap<String, Value>;

/// Repeat samples after a first breach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RepeatSpec {
    /// How many.
    pub samples: u16,
    /// How many must agree on what was missed.
    pub agree: u16,
    /// Within what time.
    pub within: Duration,
}

impl Default for RepeatSpec {
    fn default() -> Self {
        Self { samples: 3, agree: 2, within: Duration::from_secs(60) }
    }
}

/// A discovery source, with what its targets have.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// The source.
    pub spec: SourceSpec,
    /// Its place among its kind, for its label.
    pub index: usize,
    pub(super) overrides: Overrides,
}

impl SourceConfig {
    /// Its name in metrics and messages: `file_sd/0`, `http_sd/1`.
    pub fn label(&self) -> String {
        self.spec.label(self.index)
    }
}

/// An accepted risk.
#[derive(Clone, Debug, PartialEq)]
pub struct ExceptionSpec {
    /// The rule.
    pub rule: String,
    /// The target's name.
    pub target: String,
    /// The subject; all if `None`.
    pub subject: Option<String>,
    /// Why.
    pub reason: String,
    /// Who accepted it.
    pub approved_by: String,
    /// The last day it holds.
    pub until: NaiveDate,
}

/// Who is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertingSpec {
    /// Alertmanagers.
    pub alertmanagers: Vec<ReceiverSpec>,
    /// Webhooks.
    pub webhooks: Vec<ReceiverSpec>,
    /// Labels of every alert.
    pub external_labels: Labels,
}

/// A receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceiverSpec {
    /// Where.
    pub url: Url,
    /// How.
    pub http: HttpClientSpec,
    /// The key that signs the body; webhooks only.
    pub hmac: Option<Secret>,
}

/// The listener.
#[derive(Clone, Debug, PartialEq)]
pub struct WebSpec {
    /// Where it listens.
    pub listen: SocketAddr,
    /// exporter-toolkit's web configuration file, absolute; paths in it are relative to it.
    pub config_file: Option<TextFile>,
    /// Where people reach it.
    pub external_url: Option<Url>,
    /// Who may do what.
    pub tokens: Vec<TokenSpec>,
    /// Serve everything beyond loopback without authentication.
    pub allow_unauthenticated: bool,
}

impl Default for WebSpec {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9640)),
            config_file: None,
            external_url: None,
            tokens: Vec::new(),
            allow_unauthenticated: false,
        }
    }
}

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenSpec {
    /// The actor's name.
    pub name: String,
    /// The token.
    pub token: Secret,
    /// What its bearer may do.
    pub may: Vec<Right>,
}

/// Where state is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSpec {
    /// The folder.
    pub dir: DataDir,
    /// How long samples are kept.
    pub retention: Duration,
    /// The most disk in bytes.
    pub max_size: u64,
    /// The schedule's seed; `None`: `seed` in the folder.
    pub seed_file: Option<PathBuf>,
}

impl Default for DataSpec {
    fn default() -> Self {
        Self {
            dir: DataDir::Default,
            retention: Duration::from_secs(30 * 86_400),
            max_size: 10 << 30,
            seed_file: None,
        }
    }
}

/// The folder of the ledger.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DataDir {
    /// `$STATE_DIRECTORY` or the user's state folder.
    Default,
    /// None: nothing is kept over a restart.
    None,
    /// This one.
    Path(PathBuf),
}

/// The plan of a target that names none.
pub(super) const DEFAULT_PLAN: &str = "default";

pub(super) const DEFAULT_MAX_ADDRESSES: usize = 16;
