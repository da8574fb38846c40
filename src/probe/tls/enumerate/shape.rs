//! The size of hellos. Some peers choke on long ones, so a version that turns the full hello away
//! without a word is asked again in smaller shapes.

use super::super::hello::{GREASE_SUITE, HelloSpec, Shares};
use super::super::shares;
use super::super::wire::Version;

/// How much a hello may hold.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Shape {
    /// Everything.
    Full,
    /// Everything, with a real key share (TLS 1.3).
    Shared,
    /// At most 120 suites.
    Many,
    /// At most 64 suites.
    Few,
    /// At most 255 bytes, if the server's name is no longer than 50.
    Small,
}

impl Shape {
    /// The next to try; each is smaller, or safer.
    pub(super) fn next(self, version: Version) -> Option<Self> {
        match (self, version) {
            (Self::Full, Version::Tls13) => Some(Self::Shared),
            (Self::Shared | Self::Many | Self::Few, Version::Tls13) => Some(Self::Small),
            (Self::Full | Self::Shared, _) => Some(Self::Many),
            (Self::Many, _) => Some(Self::Few),
            (Self::Few, _) => Some(Self::Small),
            (Self::Small, _) => None,
        }
    }

    /// What is known to be good for this version where another one was accepted in this shape.
    pub(super) fn known_for(self, version: Version) -> Self {
        match self {
            Self::Shared if version != Version::Tls13 => Self::Full,
            Self::Many | Self::Few if version == Version::Tls13 => Self::Full,
            shape => shape,
        }
    }

    pub(super) fn is_small(self) -> bool {
        self == Self::Small
    }

    pub(super) fn suites(self, version: Version) -> usize {
        match self {
            // A key share and a session id take their room.
            Self::Small if version == Version::Tls13 => 8,
            Self::Full | Self::Shared => usize::MAX,
            // One place is the stranger's.
            Self::Many => 119,
            Self::Few => 63,
            Self::Small => 32,
        }
    }

    pub(super) fn groups(self) -> usize {
        if self.is_small() { 8 } else { usize::MAX }
    }

    pub(super) fn schemes(self) -> usize {
        if self.is_small() { 12 } else { usize::MAX }
    }

    /// The shares of a TLS 1.3 hello with these groups. One is enough: for another group the server
    /// asks by a HelloRetryRequest.
    pub(super) fn shares(self, groups: &[u16]) -> Shares {
        let usual = [0x001d, 0x0017].into_iter().find(|group| groups.contains(group));
        let any = || groups.iter().copied().find(|&group| self.has_share(group));
        match usual.or_else(any).filter(|_| self.needs_share()) {
            Some(group) => Shares::Constant(vec![group]),
            None => Shares::Empty,
        }
    }

    /// Whether hellos of TLS 1.3 must hold a share.
    pub(super) fn needs_share(self) -> bool {
        matches!(self, Self::Shared | Self::Small)
    }

    /// Whether there is a share of this group, and room for it.
    pub(super) fn has_share(self, group: u16) -> bool {
        let room = if self.is_small() { SMALL_SHARE } else { usize::MAX };
        shares::constant(group).is_some_and(|share| share.len() <= room)
    }

    /// A suite that nobody has stands first, as current browsers send it (RFC 8701): a peer that
    /// takes it takes anything.
    pub(super) fn with_stranger(self, suites: Vec<u16>) -> Vec<u16> {
        if self.is_small() {
            return suites;
        }
        [vec![GREASE_SUITE], suites].concat()
    }

    /// Leaves out what a small hello has no room for.
    pub(super) fn fit(self, spec: HelloSpec) -> HelloSpec {
        if !self.is_small() {
            return spec;
        }
        let room = if spec.ceiling == Version::Tls13 { 8 } else { usize::MAX };
        let schemes = spec.schemes.into_iter().take(self.schemes().min(room)).collect();
        HelloSpec { schemes, status_request: false, ems: false, etm: false, ticket: false, ..spec }
    }
}

/// The longest share of a small hello: P-256's. It is x25519's but where that is ruled out.
const SMALL_SHARE: usize = 65;

#[cfg(test)]
mod tests {
    use super::super::super::suites::Breadth;
    use super::super::choices::{Aim, Choices};
    use super::*;

    #[test]
    fn a_small_hello_has_at_most_255_bytes() {
        for version in Version::ALL.into_iter().skip(1) {
            let spec = Choices::new(version, Shape::Small, &[]).spec(Aim::Whole);
            let name = "a-name-of-some-length.of-a-department.example.org";
            let bytes = spec.encode(Some(name), &mut fastrand::Rng::with_seed(1));
            assert!(bytes.len() <= 255, "{version}: {}", bytes.len());
        }
        let full = HelloSpec::new(Version::Tls12, Breadth::Every);
        assert!(full.encode(None, &mut fastrand::Rng::with_seed(1)).len() > 800);
    }
}
