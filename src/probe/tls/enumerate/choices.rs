//! What one version offers: its suites, groups, signature schemes and application protocols, by
//! elimination. A question leaves out of one set what is known of it, until it is refused; the other
//! sets are whole, so that the refusal is of that one alone. What is not known stands first in them:
//! a server that lets the client choose shows news of every set with each answer. Pure: questions
//! out, answers in.

use crate::sample::{Reason, Unknown};

use super::super::board::Presence;
use super::super::hello::{GREASE_SUITE, HelloSpec, Shares};
use super::super::names::{self, Kinds};
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
    fn has_rsa_groups(&self) -> bool {
        let fits = |&suite: &u16| self.is_ecdhe(suite) && signer(suite) == Some(Signer::Rsa);
        self.version == Version::Tls13 || self.suites.found.iter().any(fits)
    }

    fn carries_groups(&self, suite: u16) -> bool {
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

    /// Schemes of keys that no suite signs by.
    fn close_unused_schemes(&mut self) {
        if !self.suites.is_closed() {
            return;
        }
        for kind in Signer::ALL {
            if !self.suites.found.iter().any(|&suite| signer(suite) == Some(kind)) {
                let unused = self.schemes.remaining_where(|scheme| Signer::of(scheme) == kind);
                self.schemes.exclude(unused);
            }
        }
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
            && (self.is_mixed() || self.is_chunked())
            && self.suites.lost.is_none()
            && self.ranked.len() + 1 < self.suites.found.len()
    }

    /// Whether a hello cannot hold every suite.
    pub(super) fn is_chunked(&self) -> bool {
        self.suites.width() > self.shape.suites(self.version)
    }

    fn note_spared(&mut self, aim: Aim) {
        if aim == Aim::Suites && self.spares_schemes() {
            self.spared.clone_from(&self.schemes.found);
        }
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
            Aim::Reversed => match &self.control {
                Some(first) => reversed(&first.suites),
                None => whole(),
            },
            Aim::Suites => remaining,
            Aim::Alpn => whole(),
            Aim::Groups => self.suites.whole(room, |suite| self.carries_groups(suite)),
            Aim::Ffdhe => self.found(is_dhe),
            Aim::Schemes => self.suites.whole(room, |suite| signer(suite) == self.kind_to_ask()),
            Aim::Chacha => [self.found(is_chacha), self.found(|suite| !is_chacha(suite))].concat(),
            Aim::Rank => self.found(|suite| !self.ranked.contains(&suite)),
        };
        let groups = match aim {
            Aim::Groups => {
                let mut remaining = self.groups.remaining();
                remaining.sort_by_key(|&group| self.lacks_share(group));
                let curves = self.certificate_curves();
                let room = self.shape.groups().saturating_sub(curves.len());
                [first_of(remaining, room), curves].concat()
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
            true => {
                let kind = self.kind_to_ask().filter(|_| aim == Aim::Schemes);
                let fits = |scheme| kind.is_none_or(|kind| Signer::of(scheme) == kind);
                first_of(self.schemes.remaining_where(fits), self.shape.schemes())
            }
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
        self.note_spared(aim);
        let is_news = self.record(answer);
        self.give_up_groups();
        match aim {
            Aim::Whole => {
                self.presence = Some(Presence::Offered);
                self.first = answer.suite();
                self.first_group = answer.group();
                self.control = Some(spec.clone());
            }
            Aim::Reversed => {
                let same = answer.suite() == self.first;
                self.order = if same { Order::Server } else { Order::Client };
                // What was known stood last: a server of its own mind takes it all the same.
                let group = answer.group();
                self.follows_groups =
                    group.is_some() && self.first_group.is_some_and(|g| Some(g) != group);
            }
            Aim::Bigger => {
                self.shape = Shape::Full;
                self.size = Size::Settled;
            }
            Aim::Padded => {
                self.size = Size::Settled;
                self.intolerance = Some("many_suites");
            }
            Aim::Groups if !is_news && answer.group().is_some() => self.close_groups(spec),
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

    /// It took a known curve, which was last on the list: it has none of the others, if it follows
    /// the list at all.
    fn close_groups(&mut self, spec: &HelloSpec) {
        match self.follows_groups {
            true => self.groups.exclude(spec.groups.iter().copied()),
            false => self.groups.lose(&Unknown::new(Reason::NotObserved, OWN_CURVE)),
        }
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
        self.note_spared(aim);
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
                self.close_unused_schemes();
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

    /// Takes up what was known of order and protocols.
    pub(super) fn resume(&mut self, order: Vec<u16>, alpn: Vec<Vec<u8>>, closed: bool) {
        self.first = order.first().copied();
        self.ranked = order;
        self.with_schemes = true;
        for protocol in alpn {
            self.alpn.find(protocol);
        }
        self.alpn.closed |= closed;
    }

    pub(in crate::probe::tls) fn is_offered(&self) -> bool {
        self.presence == Some(Presence::Offered)
    }

    /// A hello with every suite that is not known to be there.
    pub(in crate::probe::tls) fn complement(&self) -> HelloSpec {
        let known = |suite: &u16| self.suites.found.contains(suite);
        let others = self.suites.first(usize::MAX).into_iter().filter(|suite| !known(suite));
        let suites = others.take(self.shape.suites(self.version)).collect();
        let spec = self.spec(Aim::Whole);
        self.build(chacha_last(suites), spec.groups, spec.schemes, Vec::new())
    }

    /// Hellos with one known member of a set each, the others whole, and what they confirm.
    pub(in crate::probe::tls) fn known_one_by_one(&self) -> Vec<(HelloSpec, Vec<String>)> {
        let version = self.version;
        let whole = self.spec(Aim::Whole);
        let with = |suites: Vec<u16>, groups: Vec<u16>, schemes: Vec<u16>| {
            self.build(suites, groups, schemes, Vec::new())
        };
        let suites = self.suites.found.iter().map(|&suite| {
            let path = format!("cipher_suites[{version}][{}]", suites::name(suite));
            (with(vec![suite], whole.groups.clone(), whole.schemes.clone()), vec![path])
        });
        let with_groups = self.found(|suite| self.carries_groups(suite));
        let takes_groups =
            version > Version::Ssl3 && self.has_rsa_groups() && !with_groups.is_empty();
        let groups = self.groups.found.iter().filter(|_| takes_groups).map(|&group| {
            let path = format!("groups[{version}][{}]", names::group(group));
            (with(with_groups.clone(), vec![group], whole.schemes.clone()), vec![path])
        });
        let is_12 = version == Version::Tls12;
        let schemes = self.schemes.found.iter().filter(|_| is_12).filter_map(|&scheme| {
            let signed = self.found(|suite| signer(suite) == Some(Signer::of(scheme)));
            let path = format!("signature_schemes[{version}][{}]", names::scheme(scheme));
            let spec = with(signed.clone(), whole.groups.clone(), vec![scheme]);
            (!signed.is_empty()).then(|| (spec, vec![path]))
        });
        suites.chain(groups).chain(schemes).collect()
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

fn reversed(suites: &[u16]) -> Vec<u16> {
    suites.iter().rev().copied().filter(|&suite| suite != GREASE_SUITE).collect()
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

/// The kind of key that signs a key exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Signer {
    Rsa,
    Ecdsa,
    Dss,
}

impl Signer {
    const ALL: [Self; 3] = [Self::Rsa, Self::Ecdsa, Self::Dss];

    fn of(scheme: u16) -> Self {
        match (Kinds::Ecdsa.fits(scheme), Kinds::Rsa.fits(scheme)) {
            (true, _) => Self::Ecdsa,
            (_, true) => Self::Rsa,
            _ => Self::Dss,
        }
    }
}

/// Whose key signs the exchange of this suite, if any does.
fn signer(suite: u16) -> Option<Signer> {
    let name = suites::name(suite);
    let kinds =
        [("DHE_RSA_", Signer::Rsa), ("DHE_ECDSA_", Signer::Ecdsa), ("DHE_DSS_", Signer::Dss)];
    kinds.into_iter().find(|(word, _)| name.contains(word)).map(|(_, kind)| kind)
}

fn is_chacha(suite: u16) -> bool {
    suites::name(suite).contains("CHACHA20")
}

fn is_dhe(suite: u16) -> bool {
    let name = suites::name(suite);
    name.contains("_DHE_") || name.contains("DH_anon") && !name.contains("ECDH_anon")
}

/// Schemes of a kind that may be left out beside the suites.
const SPARED: usize = 2;

/// Flights that may come cut before a set is left open.
const STALLS: u8 = 3;

const OWN_CURVE: &str = "it prefers the curve of its certificate, and has no other certificate";

const ANYTHING: &str = "it accepts whatever is offered, even what does not exist";
