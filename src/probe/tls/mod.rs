//! The tls probe: hellos of our own for all that is offered, a real handshake for the certificate.
//!
//! `walk` asks over a `line`; hellos (`hello`) and answers (`reader`, `messages`) are coded here,
//! since no library speaks SSLv2 to TLS 1.1 any more. Every hello comes to an `outcome`. `enumerate`
//! decides, without I/O, what to ask and what the outcomes show; the `board` holds the versions.
//! What is known is remembered, and `sentinel` watches it with a few hellos a sample.
//! `handshake` is rustls with a witness that accepts and remembers. `report` and `sets` turn what
//! was seen into measurements, its `certificates` judged by `probe/trust` at the job's time; `configurations`
//! tells unlike servers apart; `grade` and `vulnerabilities` follow from those.
//!
//! `features` asks what else the peer can do, `intrusive`, with leave, which known faults it has: by
//! hellos, by a `client` of rustls', and by `session`, a TLS 1.2 client for what no library asks.
//! Connections are opened by `line` alone; `walk`, `handshake`, `client` and `session::wire` speak on
//! them.
//! A `glimpse` is what the handshake of another probe tells of all this.

mod board;
mod certificates;
mod client;
mod configurations;
mod enumerate;
pub mod explain;
mod features;
#[cfg(fuzzing)]
pub mod fuzzing;
mod glimpse;
mod grade;
mod handshake;
mod hello;
mod intrusive;
mod line;
mod messages;
mod names;
mod outcome;
mod primes;
mod reader;
mod report;
mod sentinel;
mod session;
mod sets;
mod shares;
mod starttls;
mod suites;
#[cfg(test)]
mod tests;
mod vulnerabilities;
mod walk;
mod wire;

use futures_util::FutureExt;
use tokio::time::Instant;

use crate::sample::Outcome;
use crate::target::{Host, Scheme};

use super::trust::Anchors;
use super::{Job, Observation, Run};
use features::Features;
use line::Line;
use report::{Frame, measure};
use sentinel::{Known, Pace};
use walk::{Manner, Seen, walk};

pub(super) use glimpse::glimpse;
pub(super) use handshake::{Handshake, collect};

/// Takes one sample.
pub async fn run(job: Job) -> Run {
    let started = Instant::now();
    let Some(address) = job.point.address else { return super::unresolved(&job.point) };
    let target = &job.point.target;
    let endpoint = &target.endpoint;
    let name = match &target.settings.server_name {
        Some(name) => name.trim_end_matches('.').to_ascii_lowercase(),
        None => endpoint.host.to_string(),
    };
    // RFC 6066 §3: an address is never sent as a server name.
    let server_name = matches!(name.parse(), Ok(Host::Name(_))).then_some(name.as_str());
    let alpn = protocols(endpoint.scheme);
    let line = |seed| {
        let to = (address, endpoint.port_or_default());
        let dialer = job.dialer.clone();
        Line::new(dialer, &endpoint.host, to, endpoint.starttls(), server_name, seed)
    };
    // Boxed, for the compiler cannot tell of so deep a future that it may cross threads.
    let manner = Manner {
        alpn,
        protocols: if alpn.is_empty() { &[] } else { PROTOCOLS },
        server_name,
        at_once: target.settings.concurrency.unwrap_or(AT_ONCE),
        seed: job.seed,
    };
    let known = Known::read(job.memory.as_ref());
    let pace = if job.may_look_in_turn() { Pace::InTurn } else { Pace::Whole };
    let seen = walk(line(job.seed), manner, known.as_ref(), pace, job.now).boxed().await;
    let asked = features::Known {
        seen: &seen,
        server_name,
        alpn,
        starttls: endpoint.starttls(),
        intrusive: target.settings.intrusive,
        seed: !job.seed,
    };
    let features = match recalled(&job, known.as_ref(), &seen) {
        Some(mut features) => {
            if let Some(slice) = seen.slice {
                features::refresh(&line(asked.seed), asked, slice, &mut features).boxed().await;
            }
            features
        }
        None => features::ask(&line(asked.seed), asked).boxed().await,
    };
    let connections = job.dialer.connections();
    let frame = Frame {
        name: &name,
        anchors: &Anchors::load(&target.settings).await,
        now: job.now,
        upgrades: endpoint.starttls().is_some(),
        offered_alpn: !alpn.is_empty(),
        features: &features,
    };
    let outcome = match measure(&seen, frame) {
        Ok(measurements) => Outcome::Measured(measurements),
        Err(why) => return Run::unknown(&job.point, why, started.elapsed(), connections),
    };
    let observation = Observation {
        probe: job.point.probe,
        address: Some(address),
        outcome,
        duration: started.elapsed(),
        connections,
    };
    let memory = seen.leaves.and_then(|mut known| {
        known.features = Some(features);
        known.write()
    });
    Run { observations: vec![observation], memory }
}

/// What else the peer can do, where that need not be asked all at once.
fn recalled(job: &Job, known: Option<&Known>, seen: &Seen) -> Option<Features> {
    let known = known.filter(|known| {
        let is_due = known.turn.wrapping_add(1).is_multiple_of(BETWEEN_FEATURES);
        // In turn they are asked a part at a time, but for what is asked with leave only.
        let is_in_parts = job.may_look_in_turn() && known.restless == 0;
        job.is_planned() && (!is_due || is_in_parts && !job.point.target.settings.intrusive)
    })?;
    let leaf = seen.handshake.served.certificates.first();
    let features = known.features.clone().filter(|_| !seen.is_anew && known.saw(leaf))?;
    (features.tried.is_some() == job.point.target.settings.intrusive).then_some(features)
}

/// Ticks from one time that all features are asked for to the next, where nothing else changes.
const BETWEEN_FEATURES: u32 = 16;

/// Hellos under way at once; the budget may well allow fewer.
const AT_ONCE: usize = 4;

/// Protocols of the web (IANA "TLS ALPN Protocol IDs"). Others are not asked for.
const PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// What to offer as application protocol: nothing where the service is none of the web's.
fn protocols(scheme: Option<Scheme>) -> &'static [&'static [u8]] {
    match scheme {
        None | Some(Scheme::Http | Scheme::Https) => &[b"h2", b"http/1.1"],
        Some(Scheme::StartTls(_) | Scheme::Tls) => &[],
    }
}
