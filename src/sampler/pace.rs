//! The politeness budget as the dialer sees it: waits for the token buckets, and holds each address
//! to so many connections at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::probe::dial::{Pace, Permit};
use crate::sample::{Reason, Unknown};
use crate::schedule::Buckets;
use crate::target::ProbeKind;

/// Token buckets without catch-up, and connections at once per address.
pub struct Pacing {
    buckets: Mutex<Buckets>,
    addresses: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
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

    fn reserve(&self, probe: ProbeKind, address: IpAddr) -> Result<(), std::time::Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.reserve(probe, address, Instant::now())
    }

    /// For ports, connects in flight are bounded by rate × timeout instead (CONTRACT §ports); a
    /// DNS query holds no connection.
    async fn turn(&self, probe: ProbeKind, address: IpAddr) -> Option<OwnedSemaphorePermit> {
        if !matches!(probe, ProbeKind::Tls | ProbeKind::Http) {
            return None;
        }
        let semaphore = {
            let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
            if addresses.len() >= SWEEP_AT {
                addresses.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
            }
            Arc::clone(
                addresses.entry(address).or_insert_with(|| Arc::new(Semaphore::new(self.at_once))),
            )
        };
        semaphore.acquire_owned().await.ok()
    }
}

impl Pace for Pacing {
    fn admit(
        &self,
        probe: ProbeKind,
        address: IpAddr,
        deadline: Instant,
    ) -> BoxFuture<'_, Result<Permit, Unknown>> {
        Box::pin(async move {
            let no_room = |what: &str| Unknown::new(Reason::Budget, what);
            let turn = timeout_at(deadline, self.turn(probe, address))
                .await
                .map_err(|_| no_room("another connection to the address was open all the time"))?;
            while let Err(wait) = self.reserve(probe, address) {
                let at = Instant::now() + wait;
                if at > deadline {
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
