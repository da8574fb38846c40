//! What one version offers: its suites, groups, signature schemes and application protocols, by
//! elimination. A question leaves out of one set what is known of it, until it is refused; the other
//! sets are whole, so that the refusal is of that one alone. What is not known stands first in them:
//! a server that lets the client choose shows news of every set with each answer. Pure: questions
//! out, answers in.

use crate::sample::{Reason, Unknown};

use super::super::board::Presence;
use super::super::hello::{GREASE_SUITE, HelloSpec, Shares};
use super::super::outcome::Answer;
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
    first: Option<u16>,
    /// The hello that was accepted first: the control.
    pub(super) control: Option<HelloSpec>,
    /// Suites by the server's order, where the elimination has mixed it.
    ranked: Vec<u16>,
    /// Whether suites are asked for with every scheme again: some may have lacked theirs.
    with_schemes: bool,
    /// Whether the suites were not found in the server's order.
    is_mixed: bool,
    /// Answers that brought nothing where they had to.
    stalls: u8,
    /// It took what nobody has.
    accepts_anything: bool,
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
            control: None,
            ranked: Vec::new(),
            with_schemes: false,
            is_mixed: false,
            stalls: 0,
            accepts_anything: false,
            size: Size::Settled,
            returns: 0,
            intolerance: None,
        }
    }

    /// What to ask next; `None` once everything is settled.
    pub(super) fn aim(&self) -> Option<Aim> {
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
        let suites = self.suites.is_open().then_some(Aim::Suites);
        let schemes = self.asks(&self.schemes, is_signed).then_some(Aim::Schemes);
        let groups = self.asks_groups().then_some(Aim::Groups);
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

    /// Whether a set is open and known suites can carry it.
    fn asks(&self, set: &Dimension, carries: impl Fn(u16) -> bool) -> bool {
        set.is_open() && self.suites.found.iter().any(|&suite| carries(suite))
    }

    fn lacks_share(&self, group: u16) -> bool {
        self.version == Version::Tls13 && self.shape.needs_share() && !self.shape.has_share(group)
    }

    /// A refusal of groups none of which has a share could be for want of one.
    fn give_up_groups(&mut self) {
        if self.groups.remaining().into_iter().all(|group| self.lacks_share(group)) {
            self.groups.lose(&Unknown::new(Reason::NotObserved, "no key share of it fits"));
        }
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
            && (self.is_mixed || self.is_chunked())
            && self.suites.lost.is_none()
            && self.ranked.len() + 1 < self.suites.found.len()
    }

    /// Whether a hello cannot hold every suite.
    pub(super) fn is_chunked(&self) -> bool {
        self.suites.width() > self.shape.suites(self.version)
    }

    /// Where the server's order rules, schemes are eliminated beside the suites. Once that ends in a
    /// refusal it is asked again with every scheme, and if a suite turns up then, the order was not
    /// the server's.
    fn spares_schemes(&self) -> bool {
        self.order == Order::Server && !self.with_schemes && self.schemes.is_open()
    }

    fn is_ecdhe(&self, suite: u16) -> bool {
        let name = suites::name(suite);
        self.version == Version::Tls13 || name.contains("ECDHE_") || name.contains("ECDH_anon")
    }

    /// The hello for an aim.
    pub(super) fn spec(&self, aim: Aim) -> HelloSpec {
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
            Aim::Reversed => reversed(self.suites.first(room)),
            Aim::Suites => remaining,
            Aim::Alpn => whole(),
            Aim::Groups => self.suites.whole(room, |suite| self.is_ecdhe(suite)),
            Aim::Ffdhe => self.found(is_dhe),
            Aim::Schemes => self.suites.whole(room, is_signed),
            Aim::Chacha => [self.found(is_chacha), self.found(|suite| !is_chacha(suite))].concat(),
            Aim::Rank => self.found(|suite| !self.ranked.contains(&suite)),
        };
        let groups = match aim {
            Aim::Groups => {
                let mut remaining = self.groups.remaining();
                remaining.sort_by_key(|&group| self.lacks_share(group));
                first_of(remaining, self.shape.groups())
            }
            _ => self.groups.whole(self.shape.groups(), any),
        };
        let ffdhe = match aim {
            Aim::Ffdhe => self.ffdhe.remaining(),
            Aim::Groups => Vec::new(),
            _ if self.shape.is_small() => Vec::new(),
            _ => self.ffdhe.whole(usize::MAX, any),
        };
        let groups = if aim == Aim::Ffdhe { ffdhe } else { [groups, ffdhe].concat() };
        let eliminates = aim == Aim::Schemes || aim == Aim::Suites && self.spares_schemes();
        let schemes = match eliminates {
            true => first_of(self.schemes.remaining(), self.shape.schemes()),
            false => self.schemes.whole(self.shape.schemes(), any),
        };
        let alpn = match aim {
            Aim::Alpn => self.alpn.remaining.clone(),
            Aim::Whole | Aim::Bigger | Aim::Padded => Vec::new(),
            // Beside the rest, until a refusal could be theirs.
            _ if !self.alpn.closed && !self.alpn.is_alone => self.alpn.remaining.clone(),
            _ => Vec::new(),
        };
        let suites = if aim == Aim::Chacha { suites } else { chacha_last(suites) };
        self.build(suites, groups, schemes, alpn)
    }

    fn build(
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

    fn found(&self, fits: impl Fn(u16) -> bool) -> Vec<u16> {
        self.suites.found.iter().copied().filter(|&suite| fits(suite)).collect()
    }

    /// Takes an accepted question's answer.
    pub(super) fn accept(&mut self, aim: Aim, spec: &HelloSpec, answer: &Answer) {
        if answer.suite() == Some(GREASE_SUITE) {
            self.presence = Some(Presence::Offered);
            self.accepts_anything = true;
            let why = Unknown::new(Reason::Inconsistent, ANYTHING);
            self.lose_everything(&why);
            return;
        }
        let is_news = self.record(answer);
        self.give_up_groups();
        self.is_mixed |= aim == Aim::Suites && self.with_schemes;
        match aim {
            Aim::Whole => {
                self.presence = Some(Presence::Offered);
                self.first = answer.suite();
                self.control = Some(spec.clone());
            }
            Aim::Reversed => {
                let same = answer.suite() == self.first;
                self.order = if same { Order::Server } else { Order::Client };
            }
            Aim::Bigger => {
                self.shape = Shape::Full;
                self.size = Size::Settled;
            }
            Aim::Padded => {
                self.size = Size::Settled;
                self.intolerance = Some("many_suites");
            }
            Aim::Suites | Aim::Groups | Aim::Schemes if !is_news => self.stall(aim, answer),
            Aim::Ffdhe if !is_news => self.ffdhe.exclude(spec.groups.iter().copied()),
            Aim::Chacha => self.chacha = answer.suite().map(is_chacha),
            Aim::Rank => self.ranked.extend(answer.suite()),
            Aim::Suites | Aim::Groups | Aim::Schemes | Aim::Ffdhe | Aim::Alpn => {}
        }
        if !spec.alpn.is_empty() {
            match answer.hello.as_ref().and_then(|hello| hello.alpn.clone()) {
                Some(chosen) => self.alpn.find(chosen),
                None => self.alpn.closed = true,
            }
        }
    }

    /// Takes what an answer chose; whether any of it is news.
    pub(super) fn record(&mut self, answer: &Answer) -> bool {
        let suite = answer.suite().is_some_and(|suite| self.suites.find(suite));
        let group = answer.group().is_some_and(|group| self.groups.find(group));
        let scheme = answer.key_exchange.scheme.is_some_and(|scheme| self.schemes.find(scheme));
        let ffdhe = answer.key_exchange.ffdhe.is_some_and(|group| self.ffdhe.find(group));
        suite || group || scheme || ffdhe
    }

    /// An answer that does not show what was asked: its flight was cut, or it has a form of its
    /// own.
    fn stall(&mut self, aim: Aim, answer: &Answer) {
        self.stalls += 1;
        if self.stalls > STALLS {
            let why = answer.cut.clone().unwrap_or_else(|| Reason::NotObserved.into());
            self.no(aim, &[], &No::Lost(why));
        }
    }

    /// Takes that a question was not accepted. `spec` is the hello that was not.
    pub(super) fn refuse(&mut self, aim: Aim, spec: &HelloSpec, no: &No) {
        let asked = match aim {
            Aim::Suites => &spec.suites,
            Aim::Schemes => &spec.schemes,
            _ => &spec.groups,
        };
        // RFC 7301 §3.2: of the protocols, and of nothing else.
        if *no == (No::Refused { alert: Some(120) }) && !spec.alpn.is_empty() {
            self.alpn.closed = true;
            return;
        }
        if aim != Aim::Alpn && !spec.alpn.is_empty() {
            // Of which set it is does not show: once more without protocols.
            self.alpn.is_alone = true;
            return;
        }
        if aim == Aim::Suites && self.spares_schemes() && matches!(no, No::Refused { .. }) {
            self.with_schemes = true;
            return;
        }
        self.no(aim, asked, no);
    }

    fn no(&mut self, aim: Aim, asked: &[u16], no: &No) {
        match (aim, no) {
            (Aim::Whole, No::Refused { .. }) => self.presence = Some(Presence::Absent),
            (Aim::Whole, No::Lost(why)) => self.presence = Some(Presence::Unknown(why.clone())),
            (Aim::Bigger, No::Refused { .. }) => self.size = Size::Why,
            (Aim::Padded, No::Refused { .. }) => {
                self.size = Size::Settled;
                self.intolerance = Some("long_hello");
            }
            (Aim::Bigger | Aim::Padded, No::Lost(why)) => {
                self.size = Size::Settled;
                // Silence again and again, where a smaller hello is answered.
                if why.reason == Reason::Timeout {
                    self.intolerance = Some("long_hello");
                }
            }
            (Aim::Reversed, _) => self.order = Order::Unclear,
            (Aim::Chacha, _) => self.chacha = Some(false),
            (Aim::Rank, _) => self.order = Order::Unclear,
            (Aim::Alpn, No::Refused { alert }) => {
                self.alpn.closed = true;
                self.alpn.intolerant = alert.is_none() && self.alpn.found.is_empty();
            }
            (Aim::Alpn, No::Lost(why)) => self.alpn.lost = Some(why.clone()),
            (Aim::Suites | Aim::Groups | Aim::Ffdhe | Aim::Schemes, No::Refused { .. }) => {
                let asked = asked.to_vec();
                self.set(aim).exclude(asked);
                self.give_up_groups();
            }
            (Aim::Suites | Aim::Groups | Aim::Ffdhe | Aim::Schemes, No::Lost(why)) => {
                self.set(aim).lose(why);
            }
        }
    }

    fn set(&mut self, aim: Aim) -> &mut Dimension {
        match aim {
            Aim::Groups => &mut self.groups,
            Aim::Ffdhe => &mut self.ffdhe,
            Aim::Schemes => &mut self.schemes,
            _ => &mut self.suites,
        }
    }

    /// Nothing more will be asked.
    pub(super) fn lose_everything(&mut self, why: &Unknown) {
        self.presence.get_or_insert_with(|| Presence::Unknown(why.clone()));
        self.size = Size::Settled;
        for set in [&mut self.suites, &mut self.groups, &mut self.ffdhe, &mut self.schemes] {
            set.lose(why);
        }
        if !self.alpn.closed {
            self.alpn.lost.get_or_insert_with(|| why.clone());
        }
        if self.order == Order::Untested {
            self.order = Order::Unclear;
        }
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
        self.suites.found.iter().any(|&suite| is_signed(suite))
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

fn reversed(suites: Vec<u16>) -> Vec<u16> {
    suites.into_iter().rev().collect()
}

/// OpenSSL can be told to prefer ChaCha20 if a client's first suite is of that kind, so no list of
/// ours begins with one but where that is the question.
fn chacha_last(suites: Vec<u16>) -> Vec<u16> {
    let (chacha, mut others): (Vec<u16>, Vec<u16>) =
        suites.into_iter().partition(|&suite| is_chacha(suite));
    others.extend(chacha);
    others
}

fn first_of(mut members: Vec<u16>, count: usize) -> Vec<u16> {
    members.truncate(count);
    members
}

fn is_chacha(suite: u16) -> bool {
    suites::name(suite).contains("CHACHA20")
}

fn is_dhe(suite: u16) -> bool {
    let name = suites::name(suite);
    name.contains("_DHE_") || name.contains("DH_anon") && !name.contains("ECDH_anon")
}

/// Whether the server signs its key exchange.
fn is_signed(suite: u16) -> bool {
    let name = suites::name(suite);
    name.contains("DHE_RSA_") || name.contains("DHE_ECDSA_") || name.contains("DHE_DSS_")
}

/// Flights that may come cut before a set is left open.
const STALLS: u8 = 3;

const ANYTHING: &str = "it accepts whatever is offered, even what does not exist";
