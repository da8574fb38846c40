//! What to ask of a version next, and the hello for it.

use super::super::super::board::Presence;
use super::super::super::hello::{GREASE_GROUP, GREASE_SCHEME, GREASE_SUITE, HelloSpec, Shares};
use super::super::super::suites::Breadth;
use super::super::super::wire::Version;
use super::super::dimension::Dimension;
use super::super::shape::Shape;
use super::{Aim, Choices, Order, Signer, Size, is_chacha, is_dhe, signer};

impl Choices {
    /// What to ask next; `None` once everything is settled.
    pub(in crate::probe::tls::enumerate) fn aim(&self) -> Option<Aim> {
        match self.presence {
            None => return Some(Aim::Whole),
            Some(Presence::Offered) if !self.accepts_anything => {}
            Some(_) => return None,
        }
        match self.size {
            Size::Again => return Some(Aim::Bigger),
            Size::Why => return Some(Aim::Padded),
            Size::Settled => {}
        }
        if self.order == Order::Untested && self.suites.is_open() {
            return Some(Aim::Reversed);
        }
        if let Some(aim) = self.strange() {
            return Some(aim);
        }
        let suites = self.suites.is_open().then_some(Aim::Suites);
        let schemes = self.kind_to_ask().map(|_| Aim::Schemes);
        // Suites with an RSA key may still turn up, and make it easier.
        let may_ask = self.has_rsa_groups() || !self.suites.is_open();
        let groups = (may_ask && self.asks_groups()).then_some(Aim::Groups);
        // Where the client chooses, the other sets' questions find suites on the way.
        let elimination = match self.order {
            Order::Server => suites.or(schemes).or(groups),
            _ => schemes.or(groups).or(suites),
        };
        elimination
            .or_else(|| self.asks(&self.ffdhe, is_dhe).then_some(Aim::Ffdhe))
            .or_else(|| self.asks_chacha().then_some(Aim::Chacha))
            .or_else(|| self.asks_rank().then_some(Aim::Rank))
            .or_else(|| (!self.alpn.closed && self.alpn.lost.is_none()).then_some(Aim::Alpn))
    }

    /// A set that grows beyond belief is asked for what nobody has.
    fn strange(&self) -> Option<Aim> {
        let grows = |set: &Dimension, most: usize| {
            set.lost.is_none() && !set.is_judged && set.found.len() > most
        };
        if grows(&self.groups, MOST_GROUPS) && self.has_rsa_groups() {
            return Some(Aim::StrangeGroup);
        }
        grows(&self.schemes, MOST_SCHEMES).then_some(Aim::StrangeScheme)
    }

    /// The kind of key whose schemes are to be asked for. Kinds are asked apart, since a server may
    /// choose the suite first and then find that no scheme fits its key.
    fn kind_to_ask(&self) -> Option<Signer> {
        Signer::ALL.into_iter().find(|&kind| {
            self.schemes.lost.is_none()
                && self.suites.found.iter().any(|&suite| signer(suite) == Some(kind))
                && !self.schemes.remaining_where(|scheme| Signer::of(scheme) == kind).is_empty()
        })
    }

    /// Whether suites with an RSA key take groups: then no curve of a certificate matters.
    pub(in crate::probe::tls::enumerate) fn has_rsa_groups(&self) -> bool {
        let fits = |&suite: &u16| self.is_ecdhe(suite) && signer(suite) == Some(Signer::Rsa);
        self.version == Version::Tls13 || self.suites.found.iter().any(fits)
    }

    pub(in crate::probe::tls::enumerate) fn carries_groups(&self, suite: u16) -> bool {
        let is_rsa = self.version == Version::Tls13 || signer(suite) == Some(Signer::Rsa);
        self.is_ecdhe(suite) && (is_rsa || !self.has_rsa_groups())
    }

    /// Curves that have to stay on offer, since the only certificate may be of one (RFC 8422 §5.1).
    fn certificate_curves(&self) -> Vec<u16> {
        if self.has_rsa_groups() {
            return Vec::new();
        }
        self.groups.found.iter().copied().filter(|group| (23..=28).contains(group)).collect()
    }

    /// Whether a set is open and known suites can carry it.
    fn asks(&self, set: &Dimension, carries: impl Fn(u16) -> bool) -> bool {
        set.is_open() && self.suites.found.iter().any(|&suite| carries(suite))
    }

    fn asks_groups(&self) -> bool {
        // SSLv3 has no extension to name groups by.
        self.version > Version::Ssl3 && self.asks(&self.groups, |suite| self.is_ecdhe(suite))
    }

    fn asks_chacha(&self) -> bool {
        let found = &self.suites.found;
        let others = found.iter().any(|&suite| !is_chacha(suite));
        // If ChaCha20 comes first anyway, there is nothing to tell apart.
        let first = self.first.is_some_and(is_chacha);
        self.order == Order::Server
            && self.chacha.is_none()
            && self.suites.lost.is_none()
            && found.iter().any(|&suite| is_chacha(suite))
            && others
            && !first
    }

    fn asks_rank(&self) -> bool {
        self.order == Order::Server
            && (self.is_mixed() || self.is_chunked())
            && self.suites.lost.is_none()
            && self.ranked.len() + 1 < self.suites.found.len()
    }

    /// Whether suites may have been found out of the server's order: every scheme of some key had
    /// been left out.
    fn is_mixed(&self) -> bool {
        Signer::ALL.into_iter().any(|kind| {
            let mut known = self.schemes.found.iter().filter(|&&s| Signer::of(s) == kind);
            let is_used = self.suites.found.iter().any(|&suite| signer(suite) == Some(kind));
            let is_spared = self.spared.iter().any(|&s| Signer::of(s) == kind);
            is_used && is_spared && known.all(|scheme| self.spared.contains(scheme))
        })
    }

    /// The hello for an aim.
    pub(in crate::probe::tls::enumerate) fn spec(&self, aim: Aim) -> HelloSpec {
        let full = || Self::new(self.version, Shape::Full, &[]).spec(Aim::Whole);
        match aim {
            Aim::Bigger => return full(),
            Aim::Padded => {
                let length = full().encode(None, &mut fastrand::Rng::with_seed(0)).len();
                return HelloSpec { pad_to: Some(length), ..self.spec(Aim::Whole) };
            }
            _ => {}
        }
        let any = |_| true;
        let room = self.shape.suites(self.version);
        let whole = || self.suites.whole(room, any);
        let remaining: Vec<u16> = self.suites.remaining().into_iter().take(room).collect();
        let suites = match aim {
            Aim::Whole | Aim::Bigger | Aim::Padded => whole(),
            Aim::Reversed => match &self.control {
                Some(first) => reversed(&first.suites),
                None => whole(),
            },
            Aim::Suites => remaining,
            Aim::Alpn => whole(),
            Aim::Groups => self.suites.whole(room, |suite| self.carries_groups(suite)),
            Aim::StrangeGroup => self.found(|suite| self.carries_groups(suite)),
            Aim::StrangeScheme => self.found(|suite| signer(suite).is_some()),
            Aim::Ffdhe => self.found(is_dhe),
            Aim::Schemes => self.suites.whole(room, |suite| {
                let carries = !self.spares_groups_now(aim) || self.carries_groups(suite);
                signer(suite) == self.kind_to_ask() && carries
            }),
            Aim::Chacha => [self.found(is_chacha), self.found(|suite| !is_chacha(suite))].concat(),
            Aim::Rank => self.found(|suite| !self.ranked.contains(&suite)),
        };
        let groups = match aim {
            Aim::StrangeGroup => vec![GREASE_GROUP],
            Aim::Groups => {
                let mut remaining = self.groups.remaining();
                remaining.sort_by_key(|&group| self.lacks_share(group));
                let curves = self.certificate_curves();
                let room = self.shape.groups().saturating_sub(curves.len());
                [first_of(remaining, room), curves].concat()
            }
            _ if self.spares_groups_now(aim) => {
                first_of(self.groups.remaining(), self.shape.groups())
            }
            _ => self.groups.whole(self.shape.groups(), any),
        };
        let ffdhe = match aim {
            Aim::Ffdhe => self.ffdhe.remaining(),
            Aim::Groups | Aim::StrangeGroup => Vec::new(),
            _ if self.shape.is_small() => Vec::new(),
            _ => self.ffdhe.whole(usize::MAX, any),
        };
        let groups = if aim == Aim::Ffdhe { ffdhe } else { [groups, ffdhe].concat() };
        let eliminates = aim == Aim::Schemes || aim == Aim::Suites && self.spares_schemes();
        let schemes = match eliminates {
            true => {
                let kind = self.kind_to_ask().filter(|_| aim == Aim::Schemes);
                let fits = |scheme| kind.is_none_or(|kind| Signer::of(scheme) == kind);
                first_of(self.schemes.remaining_where(fits), self.shape.schemes())
            }
            false if aim == Aim::StrangeScheme => vec![GREASE_SCHEME],
            false => self.schemes.whole(self.shape.schemes(), any),
        };
        let alpn = match aim {
            Aim::Alpn => self.alpn.remaining.clone(),
            Aim::Whole | Aim::Bigger | Aim::Padded => Vec::new(),
            Aim::StrangeGroup | Aim::StrangeScheme => Vec::new(),
            // Beside the rest, until a refusal could be theirs.
            _ if !self.alpn.closed && !self.alpn.is_alone => self.alpn.remaining.clone(),
            _ => Vec::new(),
        };
        // Where the client's order rules, a first place is no special one, and news goes before what
        // is known.
        let suites = match aim == Aim::Chacha || self.order == Order::Client {
            true => suites,
            false => chacha_last(suites),
        };
        self.build(suites, groups, schemes, alpn)
    }

    /// Whether this question leaves known groups out. Those of a certificate's curve are left in: only
    /// keys of RSA are asked so.
    pub(super) fn spares_groups_now(&self, aim: Aim) -> bool {
        let is_of_rsa = aim != Aim::Schemes || self.kind_to_ask() == Some(Signer::Rsa);
        is_of_rsa && self.spares_groups(aim)
    }

    pub(in crate::probe::tls::enumerate) fn build(
        &self,
        suites: Vec<u16>,
        groups: Vec<u16>,
        schemes: Vec<u16>,
        alpn: Vec<Vec<u8>>,
    ) -> HelloSpec {
        let base = HelloSpec::new(self.version, Breadth::Every);
        let has_extensions = self.version > Version::Ssl3;
        let schemes = if self.version == Version::Tls13 { base.schemes.clone() } else { schemes };
        let shares = self.shape.shares(&groups);
        let spec = HelloSpec {
            suites: self.shape.with_stranger(suites),
            groups: if has_extensions { groups } else { Vec::new() },
            schemes,
            alpn,
            shares: if self.version == Version::Tls13 { shares } else { Shares::None },
            ..base
        };
        self.shape.fit(spec)
    }

    pub(in crate::probe::tls::enumerate) fn found(&self, fits: impl Fn(u16) -> bool) -> Vec<u16> {
        self.suites.found.iter().copied().filter(|&suite| fits(suite)).collect()
    }
}

fn reversed(suites: &[u16]) -> Vec<u16> {
    suites.iter().rev().copied().filter(|&suite| suite != GREASE_SUITE).collect()
}

/// OpenSSL can be told to prefer ChaCha20 if a client's first suite is of that kind, so no list of
/// ours begins with one but where that is the question.
pub(in crate::probe::tls::enumerate) fn chacha_last(suites: Vec<u16>) -> Vec<u16> {
    let (chacha, mut others): (Vec<u16>, Vec<u16>) =
        suites.into_iter().partition(|&suite| is_chacha(suite));
    others.extend(chacha);
    others
}

fn first_of(mut members: Vec<u16>, count: usize) -> Vec<u16> {
    members.truncate(count);
    members
}

/// No server has so many groups, or schemes, but one that takes anything.
const MOST_GROUPS: usize = 16;
const MOST_SCHEMES: usize = 16;
