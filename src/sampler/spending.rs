//! What samples use up: the loop asks before one begins, the taker pays after it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::schedule::{Importance, Outlays, Spent};

/// The accounts of bytes and processor time, shared by loop and taker.
#[derive(Debug, Default)]
pub struct Spending {
    outlays: Mutex<Outlays>,
    is_short: AtomicBool,
}

impl Spending {
    /// Keeps these accounts.
    pub fn new(outlays: Outlays) -> Self {
        Self { outlays: Mutex::new(outlays), is_short: AtomicBool::new(false) }
    }

    /// The bounds of these accounts from now on; what was used stays used.
    pub fn bound_by(&self, outlays: Outlays) {
        self.outlays.lock().unwrap_or_else(PoisonError::into_inner).bound_by(outlays);
    }

    /// Whether a sample of the target may begin. Says so in the log when samples begin to be let go
    /// for want of the account of all, and when they no longer are.
    pub(super) fn allows(&self, target: &str, importance: Importance) -> bool {
        let outlays = self.outlays.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let answer = outlays.allow(target, importance, now);
        let is_ample = outlays.is_ample(now);
        drop(outlays);
        match answer {
            Err(spent @ Spent::Total) if !self.is_short.swap(true, Ordering::Relaxed) => {
                tracing::warn!("{spent}; samples are let go, those of lesser plans first");
            }
            Err(spent @ Spent::Target) => tracing::debug!(target, "{spent}"),
            Ok(()) if is_ample && self.is_short.swap(false, Ordering::Relaxed) => {
                tracing::info!("bytes and processor time suffice again");
            }
            _ => {}
        }
        answer.is_ok()
    }

    /// Takes what a run cost.
    pub(super) fn charge(&self, target: &Arc<str>, bytes: u64, cpu: Duration) {
        let mut outlays = self.outlays.lock().unwrap_or_else(PoisonError::into_inner);
        outlays.charge(target, bytes, cpu, Instant::now());
    }
}
