//! What one version offers: its suites, groups, signature schemes and application protocols, by
//! elimination. A question leaves out of one set what is known of it, until it is refused; the other
//! sets are whole, so that the refusal is of that one alone. What is not known stands first in them:
//! a server that lets the client choose shows news of every set with each answer. Pure: questions
//! out, answers in.

mod answers;
mod questions;

pub(super) use questions::chacha_last;

use crate::sample::Unknown;

use super::super::board::Presence;
use super::super::hello::HelloSpec;
use super::super::names::Kinds;
use super::super::suites::{self, Breadth};
use super::super::wire::Version;
use super::dimension::Dimension;
use super::shape::Shape;

/// The elimination of one version from SSLv3 on.
#[derive(Clone, Debug)]
pub(in crate::probe::tls) struct Choices {
    pub(super) version: Version,
    pub(super) shape: Shape,
    /// `None` until the first question is settled.
    pub(super) presence: Option<Presence>,
    pub(in crate::probe::tls) suites: Dimension,
    /// In TLS 1.3 with ffdhe, below it elliptic curves only.
    pub(in crate::probe::tls) groups: Dimension,
    /// Below TLS 1.3: finite-field groups, told by their primes.
    pub(in crate::probe::tls) ffdhe: Dimension,
    pub(in crate::probe::tls) schemes: Dimension,
    pub(in crate::probe::tls) alpn: Protocols,
    pub(in crate::probe::tls) order: Order,
    /// Whether ChaCha20 wins once the client puts it first; `None` if not asked.
    pub(in crate::probe::tls) chacha: Option<bool>,
    /// The first answer's suite.
    pub(super) first: Option<u16>,
    pub(super) first_group: Option<u16>,
    /// Whether the server takes the client's first group.
    pub(super) follows_groups: bool,
    /// The hello that was accepted first: the control.
    pub(super) control: Option<HelloSpec>,
    /// Suites by the server's order, where the elimination has mixed it.
    pub(super) ranked: Vec<u16>,
    /// Whether suites are asked for with every scheme again: some may have lacked theirs.
    pub(super) with_schemes: bool,
    /// Schemes that were left out of questions for suites.
    pub(super) spared: Vec<u16>,
    /// Groups that another version has, and this one most likely too.
    pub(super) believed: Vec<u16>,
    /// Whether known groups are on offer again in all questions: what was asked without them was
    /// refused.
    pub(super) with_groups: bool,
    /// Answers that brought nothing where they had to.
    pub(super) stalls: u8,
    /// It took what nobody has.
    pub(super) accepts_anything: bool,
    /// How far it is known why a full hello was turned away where a smaller one was accepted.
    pub(super) size: Size,
    /// Times that the full hello was tried again.
    pub(super) returns: u8,
    pub(in crate::probe::tls) intolerance: Option<&'static str>,
}

/// How far the size of hellos has been looked into.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Size {
    Settled,
    /// Perhaps the full hello was dropped by chance: once more.
    Again,
    /// Its suites, or its length?
    Why,
}

/// Application protocols under elimination.
#[derive(Clone, Debug, Default)]
pub(in crate::probe::tls) struct Protocols {
    pub(super) remaining: Vec<Vec<u8>>,
    pub(in crate::probe::tls) found: Vec<Vec<u8>>,
    pub(in crate::probe::tls) closed: bool,
    pub(in crate::probe::tls) lost: Option<Unknown>,
    /// Whether they are asked for by a question of their own.
    is_alone: bool,
    /// A hello was turned away without a word once it named protocols.
    pub(in crate::probe::tls) intolerant: bool,
}

/// Who chooses among suites.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::probe::tls) enum Order {
    Untested,
    Client,
    Server,
    /// Asked, and not answered.
    Unclear,
}

/// What a question is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Aim {
    /// The version itself, with everything.
    Whole,
    /// Everything, suites in the opposite order.
    Reversed,
    /// The version with everything, though a smaller hello was accepted already.
    Bigger,
    /// A small hello as long as the full one.
    Padded,
    /// What remains of one set, the others whole.
    Suites,
    Groups,
    Ffdhe,
    Schemes,
    Alpn,
    /// Known suites, ChaCha20 first.
    Chacha,
    /// Known suites that are not ranked.
    Rank,
    /// Known suites, with a group or a scheme that nobody has.
    StrangeGroup,
    StrangeScheme,
}

/// How a question that was not accepted counts, once settled.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum No {
    /// Shown to be refused.
    Refused {
        /// The alert, if there was one.
        alert: Option<u8>,
    },
    /// Not to be settled.
    Lost(Unknown),
}

impl Choices {
    pub(super) fn new(version: Version, shape: Shape, alpn: &[Vec<u8>]) -> Self {
        let whole = HelloSpec::new(version, Breadth::Every);
        let is_13 = version == Version::Tls13;
        let is_ffdhe = |group: &u16| (0x0100..=0x0104).contains(group);
        let (ffdhe, curves): (Vec<u16>, Vec<u16>) =
            whole.groups.iter().partition(|group| !is_13 && is_ffdhe(group));
        Self {
            version,
            shape,
            presence: None,
            suites: Dimension::new(whole.suites),
            groups: Dimension::new(curves),
            ffdhe: Dimension::new(ffdhe),
            // In TLS 1.3 the choice is encrypted: see `schemes13`.
            schemes: Dimension::new(if is_13 { Vec::new() } else { whole.schemes }),
            alpn: Protocols {
                remaining: alpn.to_vec(),
                closed: alpn.is_empty(),
                ..Default::default()
            },
            order: Order::Untested,
            chacha: None,
            first: None,
            first_group: None,
            follows_groups: false,
            control: None,
            ranked: Vec::new(),
            with_schemes: false,
            spared: Vec::new(),
            believed: Vec::new(),
            with_groups: false,
            stalls: 0,
            accepts_anything: false,
            size: Size::Settled,
            returns: 0,
            intolerance: None,
        }
    }

    fn lacks_share(&self, group: u16) -> bool {
        self.version == Version::Tls13 && self.shape.needs_share() && !self.shape.has_share(group)
    }

    /// Whether a hello cannot hold every suite.
    pub(super) fn is_chunked(&self) -> bool {
        self.suites.width() > self.shape.suites(self.version)
    }

    /// Where the server's order rules, schemes are eliminated beside the suites. Once that ends in a
    /// refusal it is asked again with every scheme.
    fn spares_schemes(&self) -> bool {
        // A server has three of each kind or more, as a rule; beyond that suites could go short.
        let (ecdsa, others): (Vec<u16>, Vec<u16>) =
            self.schemes.found.iter().partition(|scheme| Kinds::Ecdsa.fits(**scheme));
        self.order == Order::Server
            && !self.with_schemes
            && self.schemes.is_open()
            && ecdsa.len().max(others.len()) <= SPARED
    }

    /// Whether a question for something else leaves known groups out, so that its answer shows a new
    /// one: where that cannot change which suite is chosen, and some group is likely to be left. A
    /// refusal is asked again with every group.
    fn spares_groups(&self, aim: Aim) -> bool {
        let (is_13, found) = (self.version == Version::Tls13, &self.groups.found);
        let may_spare = !self.with_groups && self.groups.is_open() && !found.is_empty();
        let is_safe = match aim {
            Aim::Reversed => is_13,
            Aim::Suites => is_13 && self.order == Order::Server,
            Aim::Schemes => self.order == Order::Server && self.has_rsa_groups(),
            _ => false,
        };
        // A server of TLS 1.3 has three groups or more, as a rule.
        let is_likely = match is_13 {
            true => found.len() <= SPARED,
            false => self.believed.iter().any(|group| !found.contains(group)),
        };
        may_spare && is_safe && is_likely
    }

    fn is_ecdhe(&self, suite: u16) -> bool {
        let name = suites::name(suite);
        self.version == Version::Tls13 || name.contains("ECDHE_") || name.contains("ECDH_anon")
    }

    pub(in crate::probe::tls) fn is_offered(&self) -> bool {
        self.presence == Some(Presence::Offered)
    }

    /// Whether the answers exclude each other.
    pub(in crate::probe::tls) fn is_contradicted(&self) -> bool {
        [&self.suites, &self.groups, &self.schemes].into_iter().any(|set| set.is_contradicted())
    }

    /// The suites, in the server's order where it has one.
    pub(in crate::probe::tls) fn suites_in_order(&self) -> Vec<u16> {
        let rest = self.suites.found.iter().copied().filter(|suite| !self.ranked.contains(suite));
        self.ranked.iter().copied().chain(rest).collect()
    }

    /// Whether some known suite is of this kind.
    pub(in crate::probe::tls) fn has_ecdhe(&self) -> bool {
        self.suites.found.iter().any(|&suite| self.is_ecdhe(suite))
    }

    pub(in crate::probe::tls) fn has_dhe(&self) -> bool {
        self.suites.found.iter().any(|&suite| is_dhe(suite))
    }

    pub(in crate::probe::tls) fn has_signed(&self) -> bool {
        self.suites.found.iter().any(|&suite| signer(suite).is_some())
    }
}

impl Protocols {
    fn find(&mut self, chosen: Vec<u8>) {
        self.remaining.retain(|protocol| *protocol != chosen);
        self.closed |= self.remaining.is_empty();
        if !self.found.contains(&chosen) {
            self.found.push(chosen);
        }
    }
}

/// The kind of key that signs a key exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Signer {
    Rsa,
    Ecdsa,
    Dss,
}

impl Signer {
    pub(super) const ALL: [Self; 3] = [Self::Rsa, Self::Ecdsa, Self::Dss];

    pub(super) fn of(scheme: u16) -> Self {
        match (Kinds::Ecdsa.fits(scheme), Kinds::Rsa.fits(scheme)) {
            (true, _) => Self::Ecdsa,
            (_, true) => Self::Rsa,
            _ => Self::Dss,
        }
    }
}

/// Whose key signs the exchange of this suite, if any does.
pub(super) fn signer(suite: u16) -> Option<Signer> {
    let name = suites::name(suite);
    let kinds =
        [("DHE_RSA_", Signer::Rsa), ("DHE_ECDSA_", Signer::Ecdsa), ("DHE_DSS_", Signer::Dss)];
    kinds.into_iter().find(|(word, _)| name.contains(word)).map(|(_, kind)| kind)
}

pub(super) fn is_chacha(suite: u16) -> bool {
    suites::name(suite).contains("CHACHA20")
}

fn is_dhe(suite: u16) -> bool {
    let name = suites::name(suite);
    name.contains("_DHE_") || name.contains("DH_anon") && !name.contains("ECDH_anon")
}

/// Schemes of a kind that may be left out beside the suites.
const SPARED: usize = 2;
