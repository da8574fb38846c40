//! The http probe: what a site says in its header fields, over every hop, at one pinned address.
//!
//! Both schemes are walked (`walk`), each request over a fresh connection or a kept one (`exchange`),
//! whose raw head is kept (`head`, by `dial`'s `Tee`). What the responses say is read by one pure module a
//! field, and put together in `facts`.

mod beside;
mod body;
mod challenge;
mod cookies;
mod cors;
mod cross_origin;
mod csp;
mod drift;
mod exchange;
mod exposures;
mod extras;
mod facts;
mod fetch;
mod fields;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handshake;
mod head;
mod hsts;
mod hygiene;
mod leaks;
mod markup;
mod memory;
#[doc(hidden)]
pub mod offline;
mod page;
mod permissions;
mod profiles;
mod redirect;
mod redirection;
mod referrer;
mod security_txt;
mod subresources;
#[cfg(test)]
mod tests;
mod text;
mod usable;
mod walk;
mod xcto;
mod xfo;

use std::time::Duration;

use tokio::time::Instant;

use crate::sample::{Cause, Outcome, Reason, Unknown};
use crate::target::ProbeKind;

use super::{Job, Observation, Run};
use drift::Occasion;
use extras::Asked;
use facts::Seen;
use memory::Remembered;
use profiles::PreloadList;
use walk::{Starts, Walk, Walker};

pub(in crate::probe) use fetch::{Fetch, Fetched, fetch};

/// The User-Agent where the config names no contact.
const AGENT: &str = concat!("Secchi/", env!("CARGO_PKG_VERSION"), " (out-of-band sampler)");

/// Takes one sample: one request a URL, and a few more in turns.
pub async fn run(mut job: Job) -> Run {
    let start = Instant::now();
    let Some(address) = job.point.address else { return super::unresolved(&job.point) };
    let Some(starts) = walk::starts(&job.point.target.endpoint) else {
        let unknown = Unknown::new(Reason::NotApplicable, "the target does not speak HTTP");
        return Run::unknown(&job.point, unknown, Duration::ZERO, 0);
    };
    job.dialer = job.dialer.with_read_limit(exchange::READ_LIMIT);
    let agent = job.point.target.settings.user_agent.as_deref().unwrap_or(AGENT);
    let mut remembered = Remembered::of(job.memory.as_ref());
    let mut walker = Walker::new(&job, address, agent).await;
    let (http, https) = walks(&mut walker, starts, job.dialer.deadline()).await;
    let asked = further(&job, &mut walker, [https.as_ref(), http.as_ref()], &mut remembered).await;
    let (hops, glimpse) = walker.into_seen().await;
    let seen = Seen { own: job.point.target.endpoint.host.clone(), hops, http, https };
    let (duration, connections) = (start.elapsed(), job.dialer.connections());
    let list = job.point.target.settings.hsts_preload_list.as_ref();
    let preloaded = list.and_then(|file| PreloadList::shared(&file.text));
    let outcome = match seen.silence() {
        Some(unknown) => Outcome::Unknown(unknown),
        None => {
            let mut facts = facts::measure(&seen, &asked, job.now);
            facts::preload(&seen, preloaded.as_deref(), &mut facts);
            profiles::measure(&seen, &asked, &mut remembered, preloaded.as_deref(), &mut facts);
            let occasion = match job.cause {
                Cause::Manual => Occasion::ByHand,
                _ => Occasion::ByPlan,
            };
            facts::departures(&seen, &mut remembered.past, occasion, &mut facts);
            Outcome::Measured(facts)
        }
    };
    let observation = Observation {
        probe: ProbeKind::Http,
        address: Some(address),
        outcome,
        duration,
        connections,
    };
    let memory = remembered.keep(job.memory.as_ref());
    Run { observations: [observation].into_iter().chain(glimpse).collect(), memory }
}

/// Both walks. A scheme that drips must leave the other its time; https comes first: it matters
/// most.
async fn walks(
    walker: &mut Walker<'_>,
    starts: Starts,
    end: Instant,
) -> (Option<Walk>, Option<Walk>) {
    let Starts { http, https } = starts;
    let now = Instant::now();
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
    (http, https)
}

/// The further requests whose turn it is, where the site answers and is not shut.
async fn further(
    job: &Job,
    walker: &mut Walker<'_>,
    walks: [Option<&Walk>; 2],
    remembered: &mut Remembered,
) -> Vec<Asked> {
    let places = walks.into_iter().flatten().find_map(|walk| {
        let hop = |index: Option<&usize>| index.and_then(|&index| walker.hops().get(index));
        let (first, last) = (hop(walk.hops.first())?, hop(walk.hops.last())?);
        usable::judge(last.answer.as_ref().ok()?).ok()?;
        Some((last.url.clone(), first.url.clone()))
    });
    let Some((page, root)) = places else { return Vec::new() };
    let extras = remembered.turns.take(job.cause, job.now);
    extras::ask(walker, extras, (&page, &root), job.seed, job.dialer.deadline()).await
}
