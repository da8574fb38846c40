//! The config as the rest of the house uses it: typed, checked, with every file read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use serde_json::Value;
use url::Url;

use super::overrides::Overrides;
use super::{Diagnostics, Effect, Right};
use crate::inventory::{Families, ResolverSpec, Scope, SourceSpec};
use crate::outgoing::{HttpClientSpec, Secret};
use crate::target::{Labels, ProbeKind, Target, TextFile};

/// A whole, checked config.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from; empty without one.
    pub path: PathBuf,
    /// What may be contacted. It knows the configured resolvers, but not the system's.
    pub scope: Scope,
    /// Every plan, the built-in `default` among them.
    pub plans: BTreeMap<Arc<str>, PlanSpec>,
    /// The static targets.
    pub targets: Vec<TargetConfig>,
    /// Where more are found.
    pub discovery: Vec<SourceConfig>,
    /// Which rules apply.
    pub rules: RulesSpec,
    /// Accepted risks.
    pub exceptions: Vec<ExceptionSpec>,
    /// Windows.
    pub maintenance: Vec<MaintenanceSpec>,
    /// Who is told.
    pub alerting: AlertingSpec,
    /// Politeness.
    pub budgets: BudgetsSpec,
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
    pub plan: PlanSpec,
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

/// Rule to operator to value.
pub type Ranges = BTreeMap<String, BTreeMap<String, Value>>;

/// How often and how.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PlanSpec {
    /// By crontab(5).
    Cron {
        /// The expression as written.
        expression: String,
        /// An IANA name; UTC if `None`.
        time_zone: Option<String>,
    },
    /// With a guarantee.
    Detect {
        /// The window.
        within: Duration,
        /// The share of connections, between 0 and 1.
        prevalence: f64,
        /// Between 0 and 1.
        confidence: f64,
    },
    /// At an interval.
    Every(Duration),
}

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

/// Which rules apply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RulesSpec {
    /// The operator's own packs.
    pub packs: Vec<TextFile>,
    /// Rules that do not apply.
    pub disable: Vec<String>,
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

/// A maintenance window.
#[derive(Clone, Debug, PartialEq)]
pub struct MaintenanceSpec {
    /// When it opens; always [`PlanSpec::Cron`].
    pub opens: PlanSpec,
    /// How long it is open.
    pub lasts: Duration,
    /// Labels that a target must have; all targets if empty.
    pub targets: Labels,
    /// What it does.
    pub effect: Effect,
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

/// Connections or queries begun a second.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetsSpec {
    /// To one address.
    pub per_address: Limit,
    /// To one /24 or /48.
    pub per_network: Limit,
    /// Altogether.
    pub total: Limit,
}

impl Default for BudgetsSpec {
    fn default() -> Self {
        Self {
            per_address: Limit::PerProbe(PER_ADDRESS.into()),
            per_network: Limit::Shared(50.0),
            total: Limit::Shared(200.0),
        }
    }
}

/// A rate, or one for each probe.
#[derive(Clone, Debug, PartialEq)]
pub enum Limit {
    /// One for each; a probe that is not there has no limit of its own here.
    PerProbe(BTreeMap<ProbeKind, f64>),
    /// One value that serves all probes.
    Shared(f64),
}

impl Limit {
    /// The rate that a probe is held to.
    pub fn of(&self, probe: ProbeKind) -> Option<f64> {
        match self {
            Self::PerProbe(rates) => rates.get(&probe).copied(),
            Self::Shared(rate) => Some(*rate),
        }
    }
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

pub(super) const PER_ADDRESS: [(ProbeKind, f64); 4] = [
    (ProbeKind::Tls, 2.0),
    (ProbeKind::Http, 2.0),
    (ProbeKind::Ports, 20.0),
    (ProbeKind::Dns, 5.0),
];

/// The plan of a target that names none.
pub(super) const DEFAULT_PLAN: &str = "default";

/// What `default` is unless the file says otherwise.
pub(super) const DEFAULT_EVERY: Duration = Duration::from_secs(15 * 60);

pub(super) const DEFAULT_MAX_ADDRESSES: usize = 16;
