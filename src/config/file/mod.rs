//! `secchi.yaml` as serde reads it: shapes only, every value with its place. Unknown keys are
//! refused by the walk over the tree ([`super::structure`]), which finds all of them at once; so
//! only the schema is told of `deny_unknown_fields`.

mod alerting;
mod blocks;
mod many;
mod target;

use std::collections::BTreeMap;
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::at::At;
use crate::schedule::{BudgetSpec, PlanSpec, WindowSpec};

pub(crate) use alerting::{Alerting, BasicAuth, HttpConfig};
pub(crate) use blocks::{
    Budgets, Data, Detect, Exception, Maintenance, Outlay, Plan, Rules, Scope, Token, Web,
};
pub(crate) use many::{EachOrMany, Many};
pub(crate) use target::{FileSd, HttpSd, Keys, Target};

/// The whole file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields, title = "secchi.yaml")]
pub(crate) struct File {
    /// What may ever be contacted. Without it: the targets below, and nothing private.
    pub(crate) scope: Option<Scope>,
    /// How often and how sampling points are sampled, by name.
    #[serde(deserialize_with = "or_default")]
    #[schemars(with = "BTreeMap<String, PlanSpec>")]
    pub(crate) plans: BTreeMap<String, At<Plan>>,
    /// What a target has that says nothing else: every key of a target.
    #[serde(deserialize_with = "or_default")]
    pub(crate) defaults: Keys,
    /// What is sampled.
    #[serde(deserialize_with = "or_default")]
    pub(crate) targets: Vec<At<Target>>,
    /// Where more targets are found.
    #[serde(deserialize_with = "or_default")]
    pub(crate) discovery: Discovery,
    /// Which rules apply.
    #[serde(deserialize_with = "or_default")]
    pub(crate) rules: Rules,
    /// Accepted risks.
    #[serde(deserialize_with = "or_default")]
    pub(crate) exceptions: Vec<At<Exception>>,
    /// Windows in which nothing is sampled, or nobody is told.
    #[serde(deserialize_with = "or_default")]
    #[schemars(with = "Vec<WindowSpec>")]
    pub(crate) maintenance: Vec<At<Maintenance>>,
    /// Who is told.
    #[serde(deserialize_with = "or_default")]
    pub(crate) alerting: Alerting,
    /// How many connections or queries may be begun a second.
    #[serde(deserialize_with = "or_default")]
    #[schemars(with = "BudgetSpec")]
    pub(crate) budgets: Budgets,
    /// The listener.
    #[serde(deserialize_with = "or_default")]
    pub(crate) web: Web,
    /// Where state is kept.
    #[serde(deserialize_with = "or_default")]
    pub(crate) data: Data,
    /// `system`, or recursive servers as ADDRESS or ADDRESS:PORT.
    pub(crate) resolvers: Option<Many>,
    /// The families that are sampled.
    #[schemars(with = "Option<Vec<u8>>")]
    pub(crate) ip_families: Option<Many>,
    /// The place in the network that this daemon samples from.
    pub(crate) vantage: Option<At<String>>,
    /// Whom to ask about our traffic (mail address or URL); goes into the User-Agent.
    pub(crate) contact: Option<At<String>>,
}

/// Where more targets are found.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Discovery {
    /// Lists in files.
    pub(crate) file_sd: Vec<At<FileSd>>,
    /// Lists over HTTP.
    pub(crate) http_sd: Vec<At<HttpSd>>,
}

impl Discovery {
    /// Where the first source stands, if there is one.
    pub(crate) fn first(&self) -> Option<Range<usize>> {
        let files = self.file_sd.first().map(|at| at.span.clone());
        files.or_else(|| self.http_sd.first().map(|at| at.span.clone()))
    }
}

/// `block:` without anything under it is a block that is not there.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
