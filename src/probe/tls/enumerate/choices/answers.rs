//! What the answers to a version's questions show.

use crate::sample::{Reason, Unknown};

use super::super::super::board::Presence;
use super::super::super::hello::{GREASE_GROUP, GREASE_SCHEME, GREASE_SUITE, HelloSpec};
use super::super::super::outcome::Answer;
use super::super::super::wire::Version;
use super::super::dimension::Dimension;
use super::super::shape::Shape;
use super::{Aim, Choices, No, Order, Signer, Size, is_chacha, signer};

impl Choices {
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

    /// A refusal of groups none of which has a share could be for want of one.
    fn give_up_groups(&mut self) {
        if self.groups.remaining().into_iter().all(|group| self.lacks_share(group)) {
            self.groups.lose(&Unknown::new(Reason::NotObserved, "no key share of it fits"));
        }
    }

    fn note_spared(&mut self, aim: Aim) {
        if aim == Aim::Suites && self.spares_schemes() {
            self.spared.clone_from(&self.schemes.found);
        }
    }

    /// A server that takes a prime of its own, though every finite-field group was on offer, does not
    /// negotiate them (RFC 7919 §4).
    fn note_own_prime(&mut self, spec: &HelloSpec, answer: &Answer) {
        let exchange = &answer.key_exchange;
        if exchange.dh_prime_bits.is_some() && exchange.ffdhe.is_none() {
            self.ffdhe
                .exclude(spec.groups.iter().copied().filter(|g| (0x0100..0x0200).contains(g)));
        }
    }

    /// Takes an accepted question's answer.
    pub(in crate::probe::tls::enumerate) fn accept(
        &mut self,
        aim: Aim,
        spec: &HelloSpec,
        answer: &Answer,
    ) {
        if answer.suite() == Some(GREASE_SUITE) {
            self.presence = Some(Presence::Offered);
            self.accepts_anything = true;
            let why = Unknown::new(Reason::Inconsistent, ANYTHING);
            self.lose_everything(&why);
            return;
        }
        self.note_spared(aim);
        let is_news = self.record(answer);
        self.note_own_prime(spec, answer);
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
            Aim::StrangeGroup => self.groups.is_judged = true,
            Aim::StrangeScheme => self.schemes.is_judged = true,
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
    pub(in crate::probe::tls::enumerate) fn record(&mut self, answer: &Answer) -> bool {
        let why = || Unknown::new(Reason::Inconsistent, ANYTHING);
        if answer.group() == Some(GREASE_GROUP) {
            self.groups.disbelieve(&why());
        }
        if answer.key_exchange.scheme == Some(GREASE_SCHEME) {
            self.schemes.disbelieve(&why());
        }
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
    pub(in crate::probe::tls::enumerate) fn refuse(&mut self, aim: Aim, spec: &HelloSpec, no: &No) {
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
        let is_refused = matches!(no, No::Refused { .. });
        let is_spared = |group: &u16| !spec.groups.contains(group);
        let may_spare = self.version > Version::Ssl3
            && matches!(aim, Aim::Reversed | Aim::Suites | Aim::Schemes);
        if is_refused && may_spare && !self.with_groups && self.groups.found.iter().any(is_spared) {
            self.with_groups = true;
            return;
        }
        if aim == Aim::Suites && self.spares_schemes() && is_refused {
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
            (Aim::StrangeGroup, _) => self.groups.is_judged = true,
            (Aim::StrangeScheme, _) => self.schemes.is_judged = true,
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
    pub(in crate::probe::tls::enumerate) fn resume(
        &mut self,
        order: Vec<u16>,
        alpn: Vec<Vec<u8>>,
        closed: bool,
    ) {
        self.first = order.first().copied();
        self.ranked = order;
        self.with_schemes = true;
        for protocol in alpn {
            self.alpn.find(protocol);
        }
        self.alpn.closed |= closed;
    }

    /// Nothing more will be asked.
    pub(in crate::probe::tls::enumerate) fn lose_everything(&mut self, why: &Unknown) {
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
}

/// Flights that may come cut before a set is left open.
const STALLS: u8 = 3;

const OWN_CURVE: &str = "it prefers the curve of its certificate, and has no other certificate";

const ANYTHING: &str = "it accepts whatever is offered, even what does not exist";
