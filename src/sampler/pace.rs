//! The politeness budget as the dialer sees it: waits for the token buckets, and holds each address
//! to so many connections at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::probe::dial::{Admission, Pace, Permit};
use crate::sample::{Reason, Unknown};
use crate::schedule::{Buckets, Rate};
use crate::target::ProbeKind;

/// Token buckets without catch-up, and connections at once per address.
pub struct Pacing {
    buckets: Mutex<Buckets>,
    /// By address and how many may be held there at once.
    addresses: Mutex<HashMap<(IpAddr, usize), Arc<Semaphore>>>,
    at_once: usize,
}

impl Pacing {
    /// Paces by these buckets, with at most `at_once` connections of tls and http held per address.
    pub fn new(buckets: Buckets, at_once: usize) -> Self {
        Self { buckets: Mutex::new(buckets), addresses: Mutex::default(), at_once: at_once.max(1) }
    }

    /// Other budgets from now on.
    pub fn replace(&self, buckets: Buckets) {
        *self.buckets.lock().unwrap_or_else(PoisonError::into_inner) = buckets;
    }

    fn reserve(&self, asked: &Admission) -> Result<(), std::time::Duration> {
        let own = asked.rate.and_then(Rate::per_second);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        match own {
            Some(rate) => buckets.reserve_at(rate, asked.probe, asked.address, Instant::now()),
            None => buckets.reserve(asked.probe, asked.address, Instant::now()),
        }
    }

    /// For ports, connects in flight are bounded by rate × timeout instead (CONTRACT §ports); a
    /// DNS query holds no connection.
    async fn turn(&self, asked: &Admission) -> Option<OwnedSemaphorePermit> {
        if !matches!(asked.probe, ProbeKind::Tls | ProbeKind::Http) {
            return None;
        }
        let at_once = asked.concurrency.unwrap_or(self.at_once).max(1);
        let semaphore = {
            let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
            if addresses.len() >= SWEEP_AT {
                addresses.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
            }
            let semaphore = addresses
                .entry((asked.address, at_once))
                .or_insert_with(|| Arc::new(Semaphore::new(at_once)));
            Arc::clone(semaphore)
        };
        semaphore.acquire_owned().await.ok()
    }
}

impl Pace for Pacing {
    fn admit(&self, asked: Admission) -> BoxFuture<'_, Result<Permit, Unknown>> {
        Box::pin(async move {
            let no_room = |what: &str| Unknown::new(Reason::Budget, what);
            let turn = timeout_at(asked.deadline, self.turn(&asked))
                .await
                .map_err(|_| no_room("another connection to the address was open all the time"))?;
            while let Err(wait) = self.reserve(&asked) {
                let at = Instant::now() + wait;
                if at > asked.deadline {
                    return Err(no_room("the rate had no room before the sample's end"));
                }
                sleep_until(at).await;
            }
            Ok(turn.map_or_else(Permit::free, Permit::holding))
        })
    }
}

/// Addresses kept before idle ones are dropped.
const SWEEP_AT: usize = 4096;
