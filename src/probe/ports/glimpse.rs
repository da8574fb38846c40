//! What the handshake that asked who is there tells of TLS: the certificate, on whatever port. It costs
//! no connection.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustls::ClientConnection;
use serde_json::Value;

use crate::probe::tls::{collect, glimpse};
use crate::probe::trust::{self, Anchors, Witness};
use crate::probe::{Job, Observation};
use crate::sample::{Measurements, Outcome};
use crate::target::{ProbeKind, Target};

/// Judges what handshakes showed, where somebody asked for it.
#[derive(Debug)]
pub(super) struct Glimpser {
    anchors: Anchors,
    /// The name that certificates must cover; of a bare address nobody knows by which name clients
    /// come.
    name: Option<String>,
    now: DateTime<Utc>,
    /// Ports that somebody else looks at.
    spoken_for: Arc<[u16]>,
}

impl Glimpser {
    pub(super) async fn of(job: &Job) -> Option<Self> {
        if !job.glimpses {
            return None;
        }
        Some(Self {
            anchors: Anchors::load(&job.point.target.settings).await,
            name: server_name(&job.point.target),
            now: job.now,
            spoken_for: Arc::clone(&job.spoken_for),
        })
    }

    /// What the handshake, which took this long, tells of the port.
    pub(super) fn look(
        &self,
        port: u16,
        session: &ClientConnection,
        witness: &Witness,
        took: Duration,
    ) -> Option<Box<Measurements>> {
        if self.spoken_for.contains(&port) {
            return None;
        }
        let mut handshake = collect(session, witness);
        handshake.duration = took;
        let read = handshake.served.read();
        let name = self.name.as_deref().unwrap_or_default();
        let (mut judgement, staple) =
            trust::judge(&handshake.served, &read, &self.anchors, name, self.now)?;
        if handshake.is_forged {
            judgement.disown();
        }
        if self.name.is_none() {
            judgement.unname();
        }
        glimpse(&handshake, &read, judgement, staple, false).map(Box::new)
    }
}

/// The name to say in a hello, and that certificates must cover.
pub(super) fn server_name(target: &Target) -> Option<String> {
    let name = target.settings.server_name.as_deref().or_else(|| target.endpoint.host.name())?;
    Some(name.trim_end_matches('.').to_ascii_lowercase())
}

/// What was glimpsed, as an observation of that port. The connection is the scan's.
pub(super) fn observation(address: IpAddr, port: u16, facts: Measurements) -> Observation {
    let took = facts.fact("handshake_seconds").and_then(Value::as_f64).unwrap_or_default();
    Observation {
        probe: ProbeKind::Tls,
        address: Some(address),
        port: Some(port),
        outcome: Outcome::Measured(facts),
        duration: Duration::try_from_secs_f64(took).unwrap_or_default(),
        connections: 0,
    }
}
