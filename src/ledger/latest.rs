//! The latest of every sampling point, compact and in memory: what `/metrics/targets` streams.

use std::collections::HashMap;
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
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    points: Vec<PointLatest>,
    places: HashMap<PointKey, usize>,
}

impl Latest {
    /// Walks through all points in chunks, so that a slow reader holds no lock for long.
    pub fn for_each_chunk(&self, size: usize, mut visit: impl FnMut(&[PointLatest])) {
        let mut start = 0;
        loop {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            let rest = table.points.get(start..).filter(|rest| !rest.is_empty());
            let Some(rest) = rest else { return };
            let chunk = &rest[..rest.len().min(size.max(1))];
            visit(chunk);
            start += chunk.len();
        }
    }

    /// How many points there are.
    pub fn len(&self) -> usize {
        self.table.read().unwrap_or_else(PoisonError::into_inner).points.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Replaces everything; the ledger's own updates go point by point.
    pub fn replace(&self, points: Vec<PointLatest>) {
        let places = points.iter().enumerate().map(|(place, point)| (point.key, place)).collect();
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Table { points, places };
    }

    /// Brings points up to date; those not seen before are added.
    pub fn update(&self, points: impl IntoIterator<Item = PointLatest>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        for point in points {
            match table.places.get(&point.key).copied() {
                Some(place) => table.points[place] = point,
                None => {
                    let place = table.points.len();
                    table.places.insert(point.key, place);
                    table.points.push(point);
                }
            }
        }
    }

    /// Forgets points. The last one takes a leaver's place, so a walk under way may miss it once
    /// but never sees one twice.
    pub fn remove(&self, keys: impl IntoIterator<Item = PointKey>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            let Some(place) = table.places.remove(&key) else { continue };
            table.points.swap_remove(place);
            if let Some(moved) = table.points.get(place).map(|point| point.key) {
                table.places.insert(moved, place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(key: u64, last_sample: f64) -> PointLatest {
        PointLatest {
            key: PointKey(key),
            target: "a.test".into(),
            probe: ProbeKind::Tls,
            address: "".into(),
            last_sample,
            out_of_range: None,
            unknown: false,
            gauges: Box::default(),
        }
    }

    #[test]
    fn points_are_updated_in_place_and_removed_ones_leave_no_hole() {
        let latest = Latest::default();
        latest.update((0..5).map(|key| point(key, 0.0)));
        latest.update([point(4, 9.0)]);
        latest.remove([PointKey(0), PointKey(4), PointKey(77)]);
        latest.update([point(2, 3.0)]);
        let mut seen = Vec::new();
        latest.for_each_chunk(2, |chunk| {
            seen.extend(chunk.iter().map(|p| (p.key.0, p.last_sample)));
        });
        seen.sort_by_key(|(key, _)| *key);
        assert_eq!(seen, [(1, 0.0), (2, 3.0), (3, 0.0)]);
    }
}
