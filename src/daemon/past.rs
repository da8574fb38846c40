//! What the ledger knows of sampling points from before the start: whatever left the config while
//! the daemon was down ends then, and no address is forgotten because of a restart.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::inventory::vanished;
use crate::ledger::latest::Latest;
use crate::target::{PointKey, ProbeKind};

/// The points that an earlier run sampled and nobody withdrew.
#[derive(Debug, Default)]
pub(super) struct Past {
    points: HashMap<PointKey, (Arc<str>, ProbeKind, Option<IpAddr>)>,
}

impl Past {
    /// As the ledger has it.
    pub(super) fn read(latest: &Latest) -> Self {
        let mut points = HashMap::new();
        latest.for_each_chunk(1024, |chunk| {
            points.extend(chunk.iter().map(|point| {
                let address = point.address.parse().ok();
                (point.key, (Arc::clone(&point.target), point.probe, address))
            }));
        });
        Self { points }
    }

    /// The addresses that each target had.
    pub(super) fn addresses(&self) -> HashMap<Arc<str>, Vec<IpAddr>> {
        let mut all: HashMap<Arc<str>, Vec<IpAddr>> = HashMap::new();
        for (target, _, address) in self.points.values() {
            let Some(address) = address else { continue };
            let addresses = all.entry(Arc::clone(target)).or_default();
            if !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        // Which of too many are sampled must not hang on chance.
        all.values_mut().for_each(|addresses| addresses.sort_unstable());
        all
    }

    /// The tls points with an address: target and address.
    pub(super) fn tls(&self) -> impl Iterator<Item = (&Arc<str>, IpAddr)> {
        let points = self.points.values().filter(|(_, probe, _)| *probe == ProbeKind::Tls);
        points.filter_map(|(target, _, address)| Some((target, (*address)?)))
    }

    /// Points that are no longer wanted. With `careful`, none where over half of them would go:
    /// a broken source must not look like a decision.
    pub(super) fn left_over(
        &self,
        wanted: &HashSet<PointKey>,
        careful: bool,
    ) -> Result<Vec<PointKey>, TooMany> {
        let mut gone: Vec<PointKey> =
            self.points.keys().copied().filter(|key| !wanted.contains(key)).collect();
        gone.sort_unstable();
        match careful && vanished(self.points.len(), self.points.len() - gone.len()) {
            true => Err(TooMany { gone: gone.len(), of: self.points.len() }),
            false => Ok(gone),
        }
    }
}

/// So many points are gone that a person must say so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TooMany {
    pub(super) gone: usize,
    pub(super) of: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::latest::PointLatest;

    fn past() -> Past {
        let latest = Latest::default();
        latest.update((0..4_u8).map(|n| PointLatest {
            key: PointKey(n.into()),
            target: if n < 3 { "a.test" } else { "b.test" }.into(),
            probe: ProbeKind::Tls,
            address: if n < 3 { format!("192.0.2.{}", n / 2) } else { String::new() }.into(),
            last_sample: 0.0,
            out_of_range: None,
            unknown: false,
            gauges: Box::default(),
        }));
        Past::read(&latest)
    }

    #[test]
    fn what_is_not_wanted_any_more_is_left_over() {
        let all = [PointKey(0), PointKey(1), PointKey(2), PointKey(3)];
        let wanted = |count: usize| HashSet::from_iter(all[..count].iter().copied());
        assert_eq!(past().left_over(&wanted(3), true), Ok(vec![PointKey(3)]));
        assert_eq!(past().left_over(&wanted(1), false), Ok(all[1..].to_vec()));
        let too_many = TooMany { gone: 3, of: 4 };
        assert_eq!(past().left_over(&wanted(1), true), Err(too_many));
        assert_eq!(Past::default().left_over(&wanted(0), true), Ok(Vec::new()));
    }

    #[test]
    fn addresses_are_gathered_by_target() {
        let addresses = past().addresses();
        assert_eq!(
            addresses["a.test"],
            ["192.0.2.0", "192.0.2.1"].map(|a| a.parse::<IpAddr>().expect(a))
        );
        assert!(!addresses.contains_key("b.test"));
    }
}
