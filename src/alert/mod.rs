//! Delivery of alerts, at least once: from the ledger's outbox to every Alertmanager and webhook.
//!
//! One task a receiver, so that a receiver that is down costs nothing but its own queue. What to
//! send next is a pure function ([`plan`]) of the outbox rows, of what is known of the receiver and
//! of the time; the task around it only asks, sends and records. Nothing that matters is kept in
//! memory alone: a crash between sending and recording sends again.

mod backoff;
mod client;
mod courier;
mod error;
mod member;
mod message;
mod plan;
mod receiver;
mod timing;
mod watchdog;
mod webhook;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ledger::Outbox;
use crate::target::Labels;
use crate::telemetry::Metrics;

pub use error::AlertError;
pub use receiver::{Kind, Receiver};
pub use timing::Timing;

/// What every receiver's task shares.
#[derive(Clone)]
pub struct Delivery {
    /// Where alerts come from and acceptances go to.
    pub outbox: Arc<dyn Outbox>,
    /// Added to every alert that has no such label of its own.
    pub external_labels: Labels,
    /// Where people reach Secchi: the generator's address of alerts without evidence.
    pub external_url: String,
    /// The time now.
    pub clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    /// Whether the scheduler ticked and coverage is above its floor: the watchdog's condition.
    pub alive: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Randomness of the back-off.
    pub seed: u64,
    /// Intervals; tests shorten them.
    pub timing: Timing,
    /// Counters and gauges.
    pub metrics: Arc<Metrics>,
}

/// Delivers to every receiver until `shutdown`, then lets what is on the wire end for a moment.
///
/// Fails at once, before anything is sent, if a receiver's settings cannot be used.
pub async fn run(
    receivers: Vec<Receiver>,
    delivery: Delivery,
    shutdown: CancellationToken,
) -> Result<(), AlertError> {
    let couriers = receivers
        .into_iter()
        .map(|receiver| courier::Courier::new(receiver, delivery.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    let mut tasks = JoinSet::new();
    for courier in couriers {
        tasks.spawn(courier.run(shutdown.clone()));
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!(%error, "a receiver's task failed; its alerts wait in the outbox");
        }
    }
    Ok(())
}
