//! How far one fault spreads: one address, one target, or its service.

use serde::Serialize;

use super::Finding;

/// How far a fault (a rule's, on one subject) spreads among the points that are sampled.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Spread {
    /// In a word.
    pub scope: SpreadScope,
    /// Of the target's sampled addresses.
    pub addresses: Count,
    /// Of the targets with the same `service` label; of one where there is none.
    pub targets: Count,
}

/// How far, in a word.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SpreadScope {
    /// Some of the target's addresses: one edge.
    Address,
    /// Every address of this target, and no other target of its service.
    Target,
    /// More targets of the service than this one.
    Service,
}

/// So many of so many.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Count {
    /// Where the fault is open.
    pub affected: usize,
    /// Where there is a sampling point of the probe.
    pub sampled: usize,
}

impl Count {
    /// The fault's own place is among the affected, and those among the sampled.
    pub fn of(affected: usize, sampled: usize) -> Self {
        let affected = affected.max(1);
        Self { affected, sampled: sampled.max(affected) }
    }
}

impl Spread {
    /// The spread of a fault that is open at so many of the target's addresses, and at so many of
    /// its service's targets.
    pub fn of(addresses: Count, targets: Count) -> Self {
        let scope = if targets.affected > 1 {
            SpreadScope::Service
        } else if addresses.affected < addresses.sampled {
            SpreadScope::Address
        } else {
            SpreadScope::Target
        };
        Self { scope, addresses, targets }
    }

    /// In words: `1 of 4 addresses of the target; 1 of 3 targets of the service`.
    pub fn words(&self) -> String {
        let Self { addresses, targets, .. } = self;
        format!(
            "{} of {} addresses of the target; {} of {} targets of the service",
            addresses.affected, addresses.sampled, targets.affected, targets.sampled,
        )
    }
}

impl Finding {
    /// The target's `service` label.
    pub fn service(&self) -> Option<&str> {
        self.labels.get("service").map(String::as_str).filter(|service| !service.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_how_far_it_spreads() {
        let scope = |addresses: (usize, usize), targets: (usize, usize)| {
            let count = |(affected, sampled)| Count::of(affected, sampled);
            Spread::of(count(addresses), count(targets)).scope
        };
        assert_eq!(scope((1, 4), (1, 3)), SpreadScope::Address);
        assert_eq!(scope((4, 4), (1, 3)), SpreadScope::Target);
        assert_eq!(scope((1, 1), (1, 1)), SpreadScope::Target);
        assert_eq!(scope((1, 4), (2, 3)), SpreadScope::Service);
        assert_eq!(scope((0, 0), (0, 0)), SpreadScope::Target, "what counts nothing counts itself");
    }
}
