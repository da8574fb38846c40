//! What the web room asks of the daemon. It acts in no other way.

use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::ledger::TargetRow;
use crate::target::ProbeKind;

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// One wish. The actor is the name of the token that it was sent with.
#[derive(Debug)]
#[non_exhaustive]
pub enum Command {
    /// Accept a baseline; answers with the stored record.
    AcceptBaseline {
        /// Who.
        actor: String,
        /// What.
        baseline: NewBaseline,
        /// The answer.
        reply: Reply<Value>,
    },
    /// Accept a risk; answers with the stored record.
    AddException {
        /// Who.
        actor: String,
        /// What.
        exception: NewException,
        /// The answer.
        reply: Reply<Value>,
    },
    /// What was accepted of one target, and what departs from its baseline: a list, one a probe.
    Baseline {
        /// The target's name.
        target: String,
        /// The answer.
        reply: Reply<Value>,
    },
    /// The effective settings and next due times of one target.
    Explain {
        /// The target's name.
        target: String,
        /// The answer.
        reply: Reply<Value>,
    },
    /// Records by ascending `id`, a string that each has.
    List {
        /// Which.
        records: Records,
        /// Only ids after this one.
        after: Option<String>,
        /// At most so many.
        limit: usize,
        /// The answer.
        reply: Reply<Vec<Value>>,
    },
    /// Mark a deployment; answers with the stored record.
    MarkDeployment {
        /// Who.
        actor: String,
        /// What.
        deployment: NewDeployment,
        /// The answer.
        reply: Reply<Value>,
    },
    /// A sample of a configured target for `/probe`: a fresh one of the ledger, or a new one.
    Probe {
        /// The target's name.
        target: String,
        /// Which probe; every one of the target's if `None`.
        probe: Option<ProbeKind>,
        /// When the asker stops to wait.
        timeout: Duration,
        /// The answer.
        reply: Reply<ProbeAnswer>,
    },
    /// Load the config again.
    Reload {
        /// Who.
        actor: String,
        /// The answer, once the new config runs.
        reply: Reply<()>,
    },
    /// Sample a configured target now; answers with how many points were queued.
    Sample {
        /// Who.
        actor: String,
        /// The target's name.
        target: String,
        /// Which probe; every one of the target's if `None`.
        probe: Option<ProbeKind>,
        /// The answer.
        reply: Reply<usize>,
    },
    /// The daemon's state for people: config hash, discovery, receivers, ledger.
    Status {
        /// The answer.
        reply: Reply<Value>,
    },
    /// Sampling points by (target, probe, address), ascending, no address first.
    Targets {
        /// Which.
        query: TargetQuery,
        /// The answer.
        reply: Reply<Vec<TargetRow>>,
    },
}

/// Lists of records that the daemon keeps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Records {
    /// Accepted baselines.
    Baselines,
    /// Marked deployments.
    Deployments,
    /// Accepted risks.
    Exceptions,
}

/// Which sampling points.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TargetQuery {
    /// Only this target.
    pub target: Option<String>,
    /// Only this probe.
    pub probe: Option<ProbeKind>,
    /// Only points after this one.
    pub after: Option<(String, ProbeKind, Option<IpAddr>)>,
    /// At most so many.
    pub limit: usize,
}

/// A deployment to mark.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewDeployment {
    /// The `service` label of the targets that it changed.
    pub service: String,
    /// What was deployed.
    #[serde(default)]
    pub version: Option<String>,
    /// When; now if it is left out.
    #[serde(default)]
    pub at: Option<DateTime<Utc>>,
}

/// A risk to accept.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewException {
    /// The rule.
    pub rule: String,
    /// The target.
    pub target: String,
    /// Which subject; every one if it is left out.
    #[serde(default)]
    pub subject: Option<String>,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub approved_by: String,
    /// Its last day.
    pub until: NaiveDate,
}

/// A baseline to accept: what the target shows now.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewBaseline {
    /// The target.
    pub target: String,
    /// Which probe, dns or ports; dns if it is left out.
    #[serde(default)]
    pub probe: Option<ProbeKind>,
    /// Only this record's name; with `type`. Every departing record if it is left out. Of ports only
    /// this address; with `values`.
    #[serde(default)]
    pub name: Option<String>,
    /// Only this record's type; with `name`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// These values are the record's whole set from now on, whatever it shows; none accepts that
    /// it is absent.
    #[serde(default)]
    pub values: Option<Vec<String>>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The answer to `/probe`.
#[derive(Clone, Debug, Default)]
pub struct ProbeAnswer {
    /// Samples as CONTRACT §Output 2 writes them, one a sampling point, verdict included.
    pub samples: Vec<Value>,
    /// How old the oldest of them is; zero if they were taken now.
    pub age: Duration,
}

/// Why the daemon did not do it.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// The budget or a queue is spent; later it may work.
    #[error("busy: {0}")]
    Busy(String),
    /// It went wrong.
    #[error("{0}")]
    Failed(String),
    /// The wish makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
}
