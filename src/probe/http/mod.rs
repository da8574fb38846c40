//! The http probe: what a site says in its header fields, over every hop, at one pinned address.
//!
//! Both schemes are walked (`walk`), each request over a fresh connection (`exchange`) whose raw
//! head is kept (`tee`, `head`). What the responses say is read by one pure module a field, and
//! put together in `facts`.

mod cookies;
mod cross_origin;
mod csp;
mod exchange;
mod facts;
mod fields;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handshake;
mod head;
mod hsts;
mod leaks;
mod redirect;
mod redirection;
mod referrer;
mod tee;
#[cfg(test)]
mod tests;
mod text;
mod usable;
mod walk;
mod xcto;
mod xfo;

use std::time::Duration;

use tokio::time::Instant;

use crate::sample::{Outcome, Reason, Unknown};
use crate::target::ProbeKind;

use super::{Job, Observation, Run};
use facts::Seen;
use walk::{Starts, Walker};

/// The User-Agent where the config names no contact.
const AGENT: &str = concat!("Secchi/", env!("CARGO_PKG_VERSION"), " (out-of-band sampler)");

/// Takes one sample: one request a URL, each over a connection of its own, bodies never read.
pub async fn run(mut job: Job) -> Run {
    let start = Instant::now();
    let Some(address) = job.point.address else { return super::unresolved(&job.point) };
    let Some(starts) = walk::starts(&job.point.target.endpoint) else {
        let unknown = Unknown::new(Reason::NotApplicable, "the target does not speak HTTP");
        return Run::unknown(&job.point, unknown, Duration::ZERO, 0);
    };
    job.dialer = job.dialer.with_read_limit(exchange::READ_LIMIT);
    let agent = job.point.target.settings.user_agent.as_deref().unwrap_or(AGENT);
    let mut walker = Walker::new(&job, address, agent).await;
    let Starts { http, https } = starts;
    // A scheme that drips must leave the other its time. https comes first: it matters most.
    let (now, end) = (Instant::now(), job.dialer.deadline());
    let left = end.saturating_duration_since(now);
    let share = if http.is_some() { left * 3 / 5 } else { left };
    let https = match https {
        Some(url) => Some(walker.walk(url, now + share).await),
        None => None,
    };
    let http = match http {
        Some(url) => Some(walker.walk(url, end).await),
        None => None,
    };
    let (hops, glimpse) = walker.into_seen();
    let seen = Seen { own: job.point.target.endpoint.host.clone(), hops, http, https };
    let (duration, connections) = (start.elapsed(), job.dialer.connections());
    let outcome = match seen.silence() {
        Some(unknown) => Outcome::Unknown(unknown),
        None => Outcome::Measured(facts::measure(&seen, job.now)),
    };
    let observation = Observation {
        probe: ProbeKind::Http,
        address: Some(address),
        outcome,
        duration,
        connections,
    };
    Run { observations: [observation].into_iter().chain(glimpse).collect(), memory: None }
}
