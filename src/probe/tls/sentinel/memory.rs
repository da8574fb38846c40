//! What the probe remembers of an endpoint: its sets, a few answers that show its extensions, the
//! chain that a real handshake does not show, and when each fact was confirmed last.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::probe::Memory;
use crate::probe::trust::Served;

use super::super::enumerate::{Enumeration, Kept};
use super::super::features::Features;
use super::super::messages::{KeyExchange, ServerHello};
use super::super::outcome::Answer;
use super::super::primes::Mark;
use super::super::walk::Seen;
use super::super::wire::Version;

/// An endpoint as it is known.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(in crate::probe::tls) struct Known {
    kept: Kept,
    answers: Vec<Brief>,
    /// Chains beside the one that a current client sees: certificates, leaf first.
    chains: Vec<Vec<String>>,
    /// When each fact was confirmed last, in Unix seconds.
    pub(in crate::probe::tls) confirmed: BTreeMap<String, i64>,
    /// Ticks so far.
    pub(in crate::probe::tls) turn: u32,
    /// What else it can do, by the last time that this was asked.
    pub(in crate::probe::tls) features: Option<Features>,
    /// The leaf that a current client saw.
    leaf: Option<String>,
    /// The version that it came to.
    negotiated: Option<u16>,
    /// Ticks that still look at everything, since something has changed or servers are not alike.
    pub(in crate::probe::tls) restless: u32,
    /// Whether known members are asked for one by one, since together they were refused.
    pub(in crate::probe::tls) asks_apart: bool,
    /// Whether the other kind of certificate could not be asked for.
    pub(in crate::probe::tls) lacks_kind: bool,
}

/// An answer's hello, without what is large.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Brief {
    version: u16,
    suite: u16,
    deflate: bool,
    extensions: Vec<u16>,
    dh_prime_bits: Option<usize>,
    #[serde(default)]
    dh_prime: Option<Mark>,
    asks_for_certificate: bool,
    is_cut: bool,
}

impl Known {
    /// What was remembered; a form that is not known is forgotten.
    pub(in crate::probe::tls) fn read(memory: Option<&Memory>) -> Option<Self> {
        let known = memory.filter(|memory| memory.version == VERSION)?;
        serde_json::from_slice(&known.bytes).ok()
    }

    /// `None` if it is too much to remember: then the next run begins anew.
    pub(in crate::probe::tls) fn write(&self) -> Option<Memory> {
        let bytes = serde_json::to_vec(self).ok()?;
        (bytes.len() <= Memory::MAX).then_some(Memory { version: VERSION, bytes })
    }

    /// What this run leaves behind.
    pub(in crate::probe::tls) fn of(
        seen: &Seen,
        confirmed: BTreeMap<String, i64>,
        turn: u32,
    ) -> Self {
        let mut answers: Vec<Brief> = Vec::new();
        for brief in seen.board.answers.iter().filter_map(Brief::of) {
            let is_known = answers.iter().any(|known| known.shows_as_much_as(&brief));
            if !is_known && answers.len() < MOST_ANSWERS {
                answers.push(brief);
            }
        }
        let real = &seen.handshake.served.certificates;
        let others = seen.chains.iter().filter(|chain| chain.certificates != *real);
        let text = |der: &Vec<u8>| STANDARD_NO_PAD.encode(der);
        let chains = others.take(MOST_CHAINS).map(|c| c.certificates.iter().map(text).collect());
        Self {
            kept: Kept::of(&seen.sets, &seen.board),
            answers,
            chains: chains.collect(),
            confirmed,
            turn,
            features: None,
            leaf: real.first().map(text),
            negotiated: seen.handshake.version.map(Version::code),
            restless: 0,
            asks_apart: seen.asks_apart,
            lacks_kind: seen.missing_kind.is_some(),
        }
    }

    /// The enumeration as it was left, with the answers that the report looks into.
    pub(in crate::probe::tls) fn restore(&self, alpn: &[&[u8]], seed: u64) -> Enumeration {
        let mut asked = self.kept.clone().restore(alpn, seed);
        asked.board.answers = self.answers.iter().filter_map(Brief::restore).collect();
        asked.board.remembered = asked.board.answers.len();
        asked
    }

    /// Whether a current client saw this leaf.
    pub(in crate::probe::tls) fn saw(&self, leaf: Option<&Vec<u8>>) -> bool {
        leaf.map(|der| STANDARD_NO_PAD.encode(der)) == self.leaf
    }

    /// Whether a current client comes to something older than it did.
    pub(in crate::probe::tls) fn is_newer_than(&self, negotiated: Option<Version>) -> bool {
        negotiated.is_some_and(|version| self.negotiated > Some(version.code()))
    }

    /// The other chains, if a current client still sees the leaf that it saw beside them.
    pub(in crate::probe::tls) fn chains_beside(&self, leaf: Option<&Vec<u8>>) -> Vec<Served> {
        if !self.saw(leaf) {
            return Vec::new();
        }
        let decode = |text: &String| STANDARD_NO_PAD.decode(text).ok();
        let chain = |texts: &Vec<String>| texts.iter().map(decode).collect::<Option<Vec<_>>>();
        let chains = self.chains.iter().filter_map(chain);
        chains.map(|certificates| Served { certificates, ..Served::default() }).collect()
    }
}

impl Brief {
    fn of(answer: &Answer) -> Option<Self> {
        let hello = answer.hello.as_ref()?;
        Some(Self {
            version: answer.version.code(),
            suite: hello.suite,
            deflate: hello.deflate,
            extensions: hello.extensions.clone(),
            dh_prime_bits: answer.key_exchange.dh_prime_bits,
            dh_prime: answer.key_exchange.dh_prime,
            asks_for_certificate: answer.asks_for_certificate,
            is_cut: answer.cut.is_some(),
        })
    }

    /// Whether the other says nothing that this one does not.
    fn shows_as_much_as(&self, other: &Self) -> bool {
        let cbc = |suite: u16| super::super::suites::name(suite).contains("_CBC_");
        Self { suite: 0, ..self.clone() } == Self { suite: 0, ..other.clone() }
            && cbc(self.suite) == cbc(other.suite)
    }

    fn restore(&self) -> Option<Answer> {
        let version = Version::from_code(self.version)?;
        let hello = ServerHello {
            version,
            suite: self.suite,
            deflate: self.deflate,
            extensions: self.extensions.clone(),
            group: None,
            alpn: None,
            session: 0,
            is_retry: false,
        };
        let (dh_prime_bits, dh_prime) = (self.dh_prime_bits, self.dh_prime);
        let key_exchange = KeyExchange { dh_prime_bits, dh_prime, ..KeyExchange::default() };
        Some(Answer {
            version,
            hello: Some(hello),
            ssl2: None,
            certificates: None,
            staple: None,
            key_exchange,
            asks_for_certificate: self.asks_for_certificate,
            cut: self.is_cut.then(|| crate::sample::Reason::Reset.into()),
        })
    }
}

const VERSION: u16 = 1;

const MOST_ANSWERS: usize = 64;

const MOST_CHAINS: usize = 3;
