//! The ports probe: an unprivileged connect scan. *Closed*, *did not answer* and *could not be
//! asked* are three things, and never taken for each other.

mod accepted;
mod ask;
mod believe;
mod common;
mod datagrams;
mod drip;
mod glimpse;
mod http;
mod identity;
mod loss;
mod memory;
#[doc(hidden)]
pub mod offline;
mod port;
mod questions;
mod report;
mod scan;
mod state;
mod talk;
#[cfg(test)]
mod tests;
mod tiers;
mod udp;
mod voice;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::time::Instant;

use self::ask::Ask;
use self::memory::Past;
use self::report::Look;
use self::scan::Scanner;
use super::{Job, Observation, Run};

pub use self::accepted::{AcceptError, accept};

/// Addresses of one name that are sampled (DESIGN §4.7); those named by hand are all asked.
const MAX_ADDRESSES: usize = 16;

/// Takes one sample: every asked port of every address of the target.
pub async fn run(job: Job) -> Run {
    let start = Instant::now();
    let target = &job.point.target;
    let mut addresses = target.settings.addresses.clone();
    let mut excess = 0;
    if addresses.is_empty() {
        let port = target.endpoint.port_or_default();
        addresses = match job.dialer.resolve(&target.endpoint.host, port).await {
            Ok(addresses) => addresses,
            Err(unknown) => return Run::unknown(&job.point, unknown, start.elapsed(), 0),
        };
        excess = addresses.len().saturating_sub(MAX_ADDRESSES);
        addresses.truncate(MAX_ADDRESSES);
    }
    let mut once = BTreeSet::new();
    addresses.retain(|address| once.insert(*address));
    let mut past = Past::read(job.memory.as_ref());
    let asks: Vec<Ask> = addresses.iter().map(|address| Ask::of(&job, *address, &past)).collect();
    let scanner = Arc::new(Scanner::of(&job).await);
    // Boxed, for the compiler cannot tell of so deep a future that it may cross threads.
    let scans = scanner.scan(&asks, job.seed).boxed().await;
    let looks = asks.into_iter().zip(scans).map(|(ask, scan)| {
        let unstable = past.learn(ask.address, &scan.states, job.now);
        Look::new(ask, scan, unstable)
    });
    let mut looks: Vec<Look> = looks.collect();
    let drips = looks.iter_mut().filter_map(|look| look.remember(&past)).collect::<Vec<_>>();
    past.keep_drips(drips);
    let outcome = report::outcome(&looks, excess, job.now);
    let own = Observation {
        probe: job.point.probe,
        address: None,
        port: None,
        outcome,
        duration: start.elapsed(),
        connections: job.dialer.connections(),
    };
    let glimpses = looks.iter_mut().flat_map(Look::take_glimpses);
    let glimpses = glimpses.filter(|seen| past.tells_of(seen, job.now)).collect::<Vec<_>>();
    Run { observations: [own].into_iter().chain(glimpses).collect(), memory: past.write() }
}
