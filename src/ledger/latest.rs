//! The latest of every sampling point, compact and in memory: what `/metrics/targets` streams.

use std::sync::Arc;
use std::sync::{PoisonError, RwLock};

use crate::target::{PointKey, ProbeKind};

/// One sampling point's latest, about 100 bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct PointLatest {
    /// The point.
    pub key: PointKey,
    /// The target's name.
    pub target: Arc<str>,
    /// The probe.
    pub probe: ProbeKind,
    /// The address in text; empty for ports and dns.
    pub address: Box<str>,
    /// Unix seconds of the last sample; 0 before the first.
    pub last_sample: f64,
    /// Whether the last known fact was out of range; `None` before one is known.
    pub out_of_range: Option<bool>,
    /// Whether the last sample was unknown.
    pub unknown: bool,
    /// Gauges of the probe: metric name without `secchi_` (from a closed table), value.
    pub gauges: Box<[(&'static str, f64)]>,
}

/// Every point's latest, in the order of registration.
#[derive(Debug, Default)]
pub struct Latest {
    points: RwLock<Vec<PointLatest>>,
}

impl Latest {
    /// Walks through all points in chunks, so that a slow reader holds no lock for long.
    pub fn for_each_chunk(&self, size: usize, mut visit: impl FnMut(&[PointLatest])) {
        let mut start = 0;
        loop {
            let points = self.points.read().unwrap_or_else(PoisonError::into_inner);
            let Some(rest) = points.get(start..).filter(|rest| !rest.is_empty()) else { return };
            let chunk = &rest[..rest.len().min(size)];
            visit(chunk);
            start += chunk.len();
        }
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.points.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces everything; the ledger's own updates go point by point.
    pub fn replace(&self, points: Vec<PointLatest>) {
        *self.points.write().unwrap_or_else(PoisonError::into_inner) = points;
    }
}
