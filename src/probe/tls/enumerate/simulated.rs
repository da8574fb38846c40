//! A server made of sets, for tests: it answers hellos as a real one would, over a way that may
//! drop, stall or dislike them.

use std::collections::BTreeMap;

use super::super::hello::{GREASE_SUITE, HelloSpec, Shares};
use super::super::messages::{KeyExchange, ServerHello};
use super::super::outcome::{Answer, Outcome};
use super::super::suites;
use super::super::wire::Version;
use super::Enumeration;

/// What it has, in its own order.
#[derive(Clone, Debug, Default)]
pub(super) struct Server {
    pub(super) suites: BTreeMap<Version, Vec<u16>>,
    pub(super) groups: Vec<u16>,
    pub(super) schemes: Vec<u16>,
    pub(super) alpn: Vec<&'static [u8]>,
    pub(super) enforces_alpn: bool,
    pub(super) own_order: bool,
    pub(super) prefers_chacha: bool,
    /// Closes instead of an alert.
    pub(super) is_mute: bool,
    /// Takes whatever is offered.
    pub(super) takes_anything: bool,
    /// Takes whatever group, or scheme, stands first.
    pub(super) takes_any_group: bool,
    pub(super) takes_any_scheme: bool,
    /// Answers TLS 1.3 before it looks at the schemes.
    pub(super) is_blind: bool,
    pub(super) most_suites: Option<usize>,
    pub(super) most_bytes: Option<usize>,
    pub(super) dislikes_empty_shares: bool,
    /// Its ECDSA certificate's curve, which must be on offer below TLS 1.3.
    pub(super) curve: Option<u16>,
    /// Chooses the suite before it looks for a scheme.
    pub(super) is_hasty: bool,
}

/// What the way does to the nth connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    Open,
    Drops,
    Stalls,
}

impl Server {
    pub(super) fn answer(&self, spec: &HelloSpec) -> Outcome {
        let bytes = spec.encode(Some("a.test"), &mut fastrand::Rng::with_seed(0)).len();
        if self.most_suites.is_some_and(|most| spec.suites.len() > most)
            || self.most_bytes.is_some_and(|most| bytes > most)
        {
            return Outcome::Closed;
        }
        let refusal = |alert| if self.is_mute { Outcome::Closed } else { Outcome::Refused(alert) };
        let version = self.suites.keys().rev().copied().find(|&version| spec.offers(version));
        let Some(version) = version.filter(|&v| v == Version::Ssl2 || spec.ceiling > Version::Ssl2)
        else {
            return refusal(70);
        };
        if version == Version::Tls13 && spec.shares == Shares::Empty && self.dislikes_empty_shares {
            return refusal(47);
        }
        match self.choose(spec, version) {
            Some(answer) if version == spec.ceiling => Outcome::Accepted(Box::new(answer)),
            Some(answer) => Outcome::Downgraded(Box::new(answer)),
            None if self.enforces_alpn && !self.has_protocol(spec) => refusal(120),
            None => refusal(40),
        }
    }

    fn has_protocol(&self, spec: &HelloSpec) -> bool {
        spec.alpn.is_empty() || self.alpn.iter().any(|p| spec.alpn.iter().any(|q| q == p))
    }

    fn choose(&self, spec: &HelloSpec, version: Version) -> Option<Answer> {
        if self.enforces_alpn && !self.has_protocol(spec) {
            return None;
        }
        let has = &self.suites[&version];
        let usable = |suite: &u16| self.exchange(*suite, spec, version).is_some();
        let offered: Vec<u16> = spec.suites.iter().copied().filter(|s| has.contains(s)).collect();
        let known_first = spec.suites.iter().copied().find(|&suite| suite != GREASE_SUITE);
        let chacha = |suite: u16| suites::name(suite).contains("CHACHA20");
        let prefers = self.prefers_chacha && known_first.is_some_and(chacha);
        let mut ranked: Vec<u16> = match self.own_order {
            true => has.iter().copied().filter(|suite| offered.contains(suite)).collect(),
            false => offered,
        };
        if prefers {
            ranked.sort_by_key(|&suite| !chacha(suite));
        }
        let mut suite = match self.is_hasty && version == Version::Tls12 {
            true => {
                ranked.into_iter().find(|&s| self.group(s, spec, version).is_some()).filter(usable)
            }
            false => ranked.into_iter().find(usable),
        };
        if self.takes_anything {
            suite = spec.suites.first().copied();
        }
        let suite = suite?;
        let key_exchange = self.exchange(suite, spec, version).unwrap_or_default();
        let is_13 = version == Version::Tls13;
        let alpn = self.alpn.iter().find(|p| spec.alpn.iter().any(|q| q == *p));
        let alpn = alpn.map(|chosen| chosen.to_vec()).filter(|_| !is_13);
        let share = match &spec.shares {
            Shares::Constant(groups) => key_exchange.group.is_some_and(|g| groups.contains(&g)),
            _ => false,
        };
        let group = key_exchange.group.filter(|_| is_13);
        let hello = ServerHello {
            version,
            suite,
            alpn,
            group,
            is_retry: is_13 && !share,
            ..Default::default()
        };
        Some(Answer {
            version,
            hello: Some(hello),
            ssl2: None,
            certificates: None,
            staple: None,
            key_exchange: if is_13 { KeyExchange::default() } else { key_exchange },
            asks_for_certificate: false,
            cut: None,
        })
    }

    /// Whether the groups on offer let it use this suite.
    fn group(&self, suite: u16, spec: &HelloSpec, version: Version) -> Option<()> {
        let schemes = super::super::names::schemes_for(version, super::super::names::Kinds::Any);
        self.exchange(suite, &HelloSpec { schemes, ..spec.clone() }, version).map(|_| ())
    }

    /// Group and scheme for a suite; `None` if it cannot be used with this hello.
    fn exchange(&self, suite: u16, spec: &HelloSpec, version: Version) -> Option<KeyExchange> {
        let name = suites::name(suite);
        let common = |own: &[u16], offered: &[u16], fits: &dyn Fn(u16) -> bool| {
            let (first, second) = if self.own_order { (own, offered) } else { (offered, own) };
            first.iter().copied().find(|&member| second.contains(&member) && fits(member))
        };
        let is_13 = version == Version::Tls13;
        let mut exchange = KeyExchange::default();
        if is_13 || name.contains("ECDHE") {
            let allowed = |group: u16| is_13 || group < 0x0100;
            exchange.group = match spec.groups.is_empty() {
                true => self.groups.first().copied(),
                false => common(&self.groups, &spec.groups, &allowed),
            };
            if self.takes_any_group {
                exchange.group = spec.groups.first().copied();
            }
            exchange.group?;
            let curve = self.curve.filter(|_| !is_13 && name.contains("ECDSA"));
            if curve.is_some_and(|c| !spec.groups.is_empty() && !spec.groups.contains(&c)) {
                return None;
            }
        } else if name.contains("_DHE_") {
            exchange.dh_prime_bits = Some(2048);
        }
        let is_signed = is_13 || name.contains("DHE_RSA") || name.contains("DHE_ECDSA");
        if version >= Version::Tls12 && is_signed && !(is_13 && self.is_blind) {
            let fits = |scheme: u16| match (is_13, name.contains("ECDSA")) {
                (true, _) => matches!(scheme, 0x0403 | 0x0804..=0x0806),
                (false, true) => matches!(scheme, 0x0203 | 0x0303 | 0x0403 | 0x0503 | 0x0603),
                (false, false) => !matches!(scheme, 0x0203 | 0x0303 | 0x0403 | 0x0503 | 0x0603),
            };
            exchange.scheme = common(&self.schemes, &spec.schemes, &fits);
            if self.takes_any_scheme {
                exchange.scheme = spec.schemes.first().copied();
            }
            exchange.scheme?;
        }
        Some(exchange)
    }
}

/// Asks everything, one at a time, over a way that treats the nth connection by `way`. Gives the
/// number of connections too.
pub(super) fn enumerate(
    server: &Server,
    seed: u64,
    mut way: impl FnMut(usize) -> Way,
) -> (Enumeration, usize) {
    let mut enumeration = Enumeration::new(&[b"h2", b"http/1.1"], seed);
    enumeration.board.tolerates_tls13 = true;
    for count in 0..MOST {
        let Some(question) = enumeration.next() else { return (enumeration, count) };
        let outcome = match way(count) {
            Way::Open => server.answer(&question.spec),
            Way::Drops => Outcome::Closed,
            Way::Stalls => Outcome::Timeout,
        };
        enumeration.learn(&question, &outcome, true);
    }
    panic!("no end of questions: {:?}", enumeration.open);
}

const MOST: usize = 3_000;
