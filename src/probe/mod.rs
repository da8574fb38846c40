//! The four ways to look. A probe is a function (point, memory, budget) → (observations, memory′):
//! it knows nothing of config files, rules, storage or metrics, and a failure is data.

pub mod dial;
pub mod dns;
pub mod http;
mod memo;
pub mod ports;
pub mod tls;
mod trust;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::sample::{Cause, Measurements, Outcome, Reason, Unknown};
use crate::target::{Point, ProbeKind, Target};

/// What a probe is handed.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where to look.
    pub point: Point,
    /// What the point's earlier runs asked to remember.
    pub memory: Option<Memory>,
    /// The time that dates are judged by.
    pub now: DateTime<Utc>,
    /// This run's randomness.
    pub seed: u64,
    /// Why it runs: what is asked by hand is asked in full, what is due again and again in turns.
    pub cause: Cause,
    /// The only way out to the network.
    pub dialer: dial::Dialer,
    /// Whether the run may also tell what it came by of another kind (http → tls): nobody else
    /// asks for it, and it knows less than that kind's own probe.
    pub glimpses: bool,
    /// Whether the point's plan gives a guarantee (`detect`): then each run looks at all that it is
    /// given for.
    pub promised: bool,
    /// Ports of the host whose TLS others look at: no glimpse of these is wanted.
    pub spoken_for: Arc<[u16]>,
}

impl Job {
    /// Whether the run is one of a plan's, others before and after it, and need not see all at once.
    pub fn is_planned(&self) -> bool {
        matches!(self.cause, Cause::Scheduled | Cause::Repeat | Cause::Deploy)
    }

    /// Whether the run is one of many that may share the work, each a part of it.
    pub fn may_look_in_turn(&self) -> bool {
        self.cause == Cause::Scheduled && !self.promised
    }
}

/// What a probe hands back. It may hold an observation of another kind: a glimpse.
#[derive(Clone, Debug)]
pub struct Run {
    /// What was seen: at least one observation of the job's own kind.
    pub observations: Vec<Observation>,
    /// What to remember; `None` keeps what there was.
    pub memory: Option<Memory>,
}

/// A sample as the probe knows it: without target, time, cause and slot.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The kind.
    pub probe: ProbeKind,
    /// The address looked at; `None` for ports and dns.
    pub address: Option<IpAddr>,
    /// The port looked at, in a glimpse of one that is not the target's own.
    pub port: Option<u16>,
    /// Measurements, or the reason why there are none.
    pub outcome: Outcome,
    /// How long it took.
    pub duration: Duration,
    /// Connections begun, or queries asked.
    pub connections: u32,
}

impl Run {
    /// A run that came to nothing, for this reason.
    pub fn unknown(
        point: &Point,
        unknown: impl Into<Unknown>,
        duration: Duration,
        connections: u32,
    ) -> Self {
        let observation = Observation {
            probe: point.probe,
            address: point.address,
            port: None,
            outcome: Outcome::Unknown(unknown.into()),
            duration,
            connections,
        };
        Self { observations: vec![observation], memory: None }
    }
}

/// A probe's bounded, versioned memory: at most [`Memory::MAX`] bytes, kept by the ledger as the
/// latest snapshot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Memory {
    /// The version of the bytes' form; a probe drops what it does not know.
    pub version: u16,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Memory {
    /// The most a probe may remember of a point.
    pub const MAX: usize = 64 * 1024;
}

/// What the latest sample of another kind showed of the same target.
#[derive(Clone, Debug)]
pub struct Known {
    /// When it was taken.
    pub taken_at: DateTime<Utc>,
    /// Its measurements as JSON.
    pub facts: serde_json::Value,
}

/// The kind whose latest samples a sample of this kind is held against, if any.
pub fn joins(probe: ProbeKind) -> Option<ProbeKind> {
    (probe == ProbeKind::Dns).then_some(ProbeKind::Tls)
}

/// Adds to a sample what it comes to beside the latest samples of the kind that it [`joins`].
pub fn join(
    target: &Target,
    probe: ProbeKind,
    facts: &mut Measurements,
    known: &[Known],
    now: DateTime<Utc>,
) {
    if let (ProbeKind::Dns, Some(host)) = (probe, target.endpoint.host.name()) {
        dns::join(facts, host, known, now);
    }
}

/// Begins to read what the first sample of these probes would wait for.
pub fn read_ahead(probes: &[ProbeKind]) {
    if probes.iter().any(|probe| matches!(probe, ProbeKind::Tls | ProbeKind::Http)) {
        trust::Anchors::read_ahead();
    }
}

/// Runs the job's probe: the one table of probes.
pub async fn run(job: Job) -> Run {
    match job.point.probe {
        ProbeKind::Tls => tls::run(job).await,
        ProbeKind::Http => http::run(job).await,
        ProbeKind::Ports => ports::run(job).await,
        ProbeKind::Dns => dns::run(job).await,
    }
}

/// A job that needs an address and has none.
pub(crate) fn unresolved(point: &Point) -> Run {
    Run::unknown(point, Reason::DnsError, Duration::ZERO, 0)
}
