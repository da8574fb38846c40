//! The smaller blocks.

use schemars::JsonSchema;
use serde::Deserialize;

use super::EachOrMany;
use crate::config::at::At;
use crate::web::Right;

/// What may ever be contacted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Scope {
    /// `example.com` is itself, `*.example.com` every name below it. Names cover their public
    /// addresses.
    pub(crate) names: Vec<At<String>>,
    /// CIDRs. Whatever is not public must be here, and only here every port may be scanned.
    pub(crate) networks: Vec<At<String>>,
}

/// [`PlanSpec`](crate::schedule::PlanSpec) as it is written; its schema is that one's.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Plan {
    pub(crate) every: Option<At<String>>,
    pub(crate) share: Option<At<String>>,
    pub(crate) cron: Option<At<String>>,
    pub(crate) time_zone: Option<At<String>>,
    pub(crate) detect: Option<At<Detect>>,
    pub(crate) mix: Option<At<Vec<At<Self>>>>,
    pub(crate) importance: Option<At<String>>,
}

/// [`DetectSpec`](crate::schedule::DetectSpec) as it is written.
#[derive(Debug, Deserialize)]
pub(crate) struct Detect {
    pub(crate) within: At<String>,
    pub(crate) prevalence: At<String>,
    pub(crate) confidence: At<String>,
}

/// Which rules apply.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Rules {
    /// Glob patterns of own rule packs.
    pub(crate) packs: Vec<At<String>>,
    /// Rules that do not apply.
    pub(crate) disable: Vec<At<String>>,
}

/// An accepted risk.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Exception {
    /// The rule.
    pub(crate) rule: At<String>,
    /// The target.
    pub(crate) target: At<String>,
    /// The subject, all if not said.
    #[serde(default)]
    pub(crate) subject: Option<At<String>>,
    /// Why.
    pub(crate) reason: At<String>,
    /// Who accepted it.
    pub(crate) approved_by: At<String>,
    /// The last day it holds, YYYY-MM-DD.
    pub(crate) until: At<String>,
}

/// [`WindowSpec`](crate::schedule::WindowSpec) as it is written; its schema is that one's.
#[derive(Debug, Deserialize)]
pub(crate) struct Maintenance {
    pub(crate) cron: At<String>,
    #[serde(default)]
    pub(crate) time_zone: Option<At<String>>,
    pub(crate) lasts: At<String>,
    #[serde(default)]
    pub(crate) targets: Option<EachOrMany>,
    #[serde(default)]
    pub(crate) effect: Option<At<String>>,
}

/// [`BudgetSpec`](crate::schedule::BudgetSpec) as it is written; its schema is that one's.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Budgets {
    pub(crate) per_address: Option<EachOrMany>,
    pub(crate) per_network: Option<At<String>>,
    pub(crate) total: Option<At<String>>,
    pub(crate) bytes: Outlay,
    pub(crate) cpu: Outlay,
}

/// [`OutlaySpec`](crate::schedule::OutlaySpec) as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Outlay {
    pub(crate) per_target: Option<At<String>>,
    pub(crate) total: Option<At<String>>,
}

/// The listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Web {
    /// ADDRESS:PORT; 127.0.0.1:9640 if not said.
    pub(crate) listen: Option<At<String>>,
    /// exporter-toolkit's web configuration file: TLS, client certificates, basic auth.
    pub(crate) config_file: Option<At<String>>,
    /// Where people reach this daemon; goes into alerts.
    pub(crate) external_url: Option<At<String>>,
    /// Who may do what.
    pub(crate) tokens: Vec<At<Token>>,
    /// Serve everything beyond loopback without authentication.
    pub(crate) allow_unauthenticated: bool,
}

/// A token.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Token {
    /// The name that is kept as actor.
    pub(crate) name: At<String>,
    /// A file with the token in it.
    pub(crate) token_file: At<String>,
    /// What its bearer may do.
    #[schemars(with = "Vec<Right>")]
    pub(crate) may: Vec<At<String>>,
}

/// Where state is kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Data {
    /// The folder, or `none`.
    pub(crate) dir: Option<At<String>>,
    /// How long samples are kept.
    pub(crate) retention: Option<At<String>>,
    /// The most disk the ledger may take.
    pub(crate) max_size: Option<At<String>>,
    /// The schedule's seed; `seed` in the folder if not said.
    pub(crate) seed_file: Option<At<String>>,
}
