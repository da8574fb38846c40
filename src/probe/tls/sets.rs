//! What was enumerated as measurements: suites, groups, schemes, orders. A set that was not closed
//! is a lower bound, and named as unknown with its reason.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat};

use crate::sample::{Measurements, Path, Reason, Unknown};

use super::board::Presence;
use super::configurations::configurations;
use super::enumerate::{Choices, Dimension, Order};
use super::hello::ssl2_cipher;
use super::names;
use super::primes;
use super::report::protocol;
use super::suites;
use super::walk::Seen;
use super::wire::Version;

/// States `cipher_suites`, `groups`, `signature_schemes`, `server_order`, `chacha20_prioritized`,
/// `dh_prime_bits`, `dh_primes` and `intolerances`.
pub(super) fn sets(facts: &mut Measurements, seen: &Seen) {
    cipher_suites(facts, seen);
    groups(facts, seen);
    schemes(facts, seen);
    orders(facts, seen);
    finite_primes(facts, seen);
    let mut intolerances = seen.sets.intolerances.clone();
    intolerances.extend(seen.sets.choices.values().filter_map(|choices| choices.intolerance));
    if seen.sets.choices.values().any(|choices| choices.alpn.intolerant) {
        intolerances.push("alpn");
    }
    facts.set("intolerances", intolerances);
    let shares = configurations(seen);
    match shares.len() {
        0 => facts.set_unknown("configurations", Reason::NotObserved),
        count => facts.set("configurations", count),
    }
    facts.set("configuration_shares", shares);
    let confirmed = seen.confirmed.iter().filter_map(|(path, &at)| {
        DateTime::from_timestamp(at, 0)
            .map(|at| (path, at.to_rfc3339_opts(SecondsFormat::Secs, true)))
    });
    facts.set("last_confirmed", confirmed.collect::<BTreeMap<_, _>>());
}

/// Sets by version, and why one of them is a lower bound.
#[derive(Default)]
struct Sets {
    members: BTreeMap<&'static str, Vec<String>>,
    open: Vec<(Version, Unknown)>,
    /// Members that one answer showed and another denied.
    flips: Vec<(Version, String)>,
}

impl Sets {
    fn add(&mut self, version: Version, members: impl IntoIterator<Item = String>) {
        let set = self.members.entry(version.name()).or_default();
        for member in members {
            if !set.contains(&member) {
                set.push(member);
            }
        }
    }

    fn open(&mut self, version: Version, why: impl Into<Unknown>) {
        self.members.entry(version.name()).or_default();
        self.open.push((version, why.into()));
    }

    fn flip(&mut self, version: Version, members: impl IntoIterator<Item = String>) {
        self.flips.extend(members.into_iter().map(|member| (version, member)));
    }

    fn state(mut self, facts: &mut Measurements, seen: &Seen, key: &str) {
        // Of several servers none need have all of it, nor lack all else.
        if configurations(seen).len() > 1 {
            let versions = Version::ALL.into_iter();
            let stated = versions.filter(|version| self.members.contains_key(version.name()));
            self.open.extend(stated.map(|version| (version, Reason::Inconsistent.into())));
        }
        facts.set(key, self.members);
        for (version, why) in self.open {
            facts.set_unknown(Path::of(key).member(version.name()).to_string(), why);
        }
        for (version, member) in self.flips {
            let path = Path::of(key).member(version.name()).member(&member);
            facts.set_unknown(path.to_string(), Reason::Inconsistent);
        }
    }
}

/// Versions in use with what was asked of them.
fn offered(seen: &Seen) -> impl Iterator<Item = (Version, Option<&Choices>)> {
    let versions = Version::ALL.into_iter().filter(|&version| seen.board.is_offered(version));
    versions.map(|version| (version, seen.sets.choices.get(&version)))
}

/// Why a set is a lower bound, if it is.
fn why_open(set: &Dimension) -> Option<Unknown> {
    let not_asked = || Unknown::from(Reason::NotObserved);
    (!set.is_closed()).then(|| set.lost.clone().unwrap_or_else(not_asked))
}

fn cipher_suites(facts: &mut Measurements, seen: &Seen) {
    let mut sets = Sets::default();
    for (version, choices) in offered(seen) {
        let ssl2 = seen.board.answers.iter().filter_map(|answer| answer.ssl2.as_ref());
        let names = ssl2.flat_map(|hello| &hello.ciphers).filter_map(|&c| ssl2_cipher(c));
        if version == Version::Ssl2 {
            sets.add(version, names.map(str::to_owned));
            continue;
        }
        let Some(choices) = choices else {
            sets.open(version, Reason::NotObserved);
            continue;
        };
        let names = choices.suites_in_order().into_iter().map(|s| suites::name(s).into_owned());
        sets.add(version, names);
        sets.flip(version, choices.suites.flips.iter().map(|&s| suites::name(s).into_owned()));
        if let Some(why) = why_open(&choices.suites) {
            sets.open(version, why);
        }
    }
    let real = seen.handshake.version.zip(seen.handshake.suite);
    if let Some((version, suite)) = real {
        sets.add(version, [suites::name(suite).into_owned()]);
    }
    sets.state(facts, seen, "cipher_suites");
}

fn groups(facts: &mut Measurements, seen: &Seen) {
    let mut sets = Sets::default();
    for (version, choices) in offered(seen) {
        let Some(choices) = choices else {
            if version > Version::Ssl3 {
                sets.open(version, Reason::NotObserved);
            }
            continue;
        };
        let found = choices.groups.found.iter().chain(&choices.ffdhe.found);
        let names: Vec<String> = found.map(|&group| names::group(group).into_owned()).collect();
        if version == Version::Ssl3 {
            // Without an extension the client cannot ask for one.
            if !names.is_empty() {
                sets.add(version, names);
                sets.open(version, Reason::NotApplicable);
            }
            continue;
        }
        sets.add(version, names);
        let flips = choices.groups.flips.iter().chain(&choices.ffdhe.flips);
        sets.flip(version, flips.map(|&group| names::group(group).into_owned()));
        // Without a suite that takes a group there is none.
        let unasked = |set: &Dimension, is_used: bool| match is_used {
            true => why_open(set),
            false => why_open(&choices.suites),
        };
        let curves = unasked(&choices.groups, choices.has_ecdhe());
        let finite = if version == Version::Tls13 {
            None
        } else {
            unasked(&choices.ffdhe, choices.has_dhe())
        };
        if let Some(why) = curves.or(finite) {
            sets.open(version, why);
        }
    }
    if let Some((version, group)) = seen.handshake.version.zip(seen.handshake.group) {
        sets.add(version, [names::group(group).into_owned()]);
    }
    sets.state(facts, seen, "groups");
}

fn schemes(facts: &mut Measurements, seen: &Seen) {
    let mut sets = Sets::default();
    for (version, choices) in offered(seen) {
        let named = |found: &[u16]| -> Vec<String> {
            found.iter().map(|&scheme| names::scheme(scheme).into_owned()).collect()
        };
        match (version, choices, &seen.sets.schemes13) {
            (Version::Tls13, _, Some(asked)) => {
                sets.add(version, named(&asked.found));
                if let Some(why) = &asked.lost {
                    sets.open(version, why.clone());
                }
            }
            (Version::Tls12, Some(choices), _) => {
                sets.add(version, named(&choices.schemes.found));
                sets.flip(version, named(&choices.schemes.flips));
                let why = match choices.has_signed() {
                    true => why_open(&choices.schemes),
                    false => why_open(&choices.suites),
                };
                if let Some(why) = why {
                    sets.open(version, why);
                }
            }
            (Version::Tls12 | Version::Tls13, _, _) => sets.open(version, Reason::NotObserved),
            // Older versions have one way to sign.
            _ => {}
        }
    }
    if let Some((version, scheme)) = seen.handshake.version.zip(seen.handshake.scheme) {
        sets.add(version, [names::scheme(scheme).into_owned()]);
    }
    sets.state(facts, seen, "signature_schemes");
}

fn orders(facts: &mut Measurements, seen: &Seen) {
    let mut orders = BTreeMap::new();
    let mut unknown = Vec::new();
    let mut chacha = None;
    for (version, choices) in offered(seen) {
        let Some(choices) = choices else { continue };
        let (order, why) = match choices.order {
            _ if choices.suites.is_closed() && choices.suites.found.len() == 1 => {
                (None, Some(Reason::NotApplicable))
            }
            Order::Server => (Some(true), None),
            Order::Client => (Some(false), None),
            Order::Untested | Order::Unclear => (None, Some(Reason::NotObserved)),
        };
        orders.insert(version.name(), order);
        if let Some(why) = why {
            unknown.push((version, why));
        }
        chacha = match (chacha, choices.chacha) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (known, told) => known.or(told),
        };
    }
    facts.set("server_order", orders);
    for (version, why) in unknown {
        facts.set_unknown(Path::of("server_order").member(version.name()).to_string(), why);
    }
    match chacha {
        Some(chacha) => facts.set("chacha20_prioritized", chacha),
        None => facts.set_unknown("chacha20_prioritized", Reason::NotApplicable),
    }
}

/// The application protocols accepted, of those asked for.
pub(super) fn protocols(facts: &mut Measurements, seen: &Seen, offered: bool) {
    let asked = seen.sets.choices.values().map(|choices| &choices.alpn);
    let Some(asked) = asked.max_by_key(|asked| asked.found.len()).filter(|asked| {
        offered
            && (asked.closed || !asked.found.is_empty())
            && seen.board.is_offered(Version::Tls12)
    }) else {
        // In TLS 1.3 the choice is encrypted.
        return protocol(facts, &seen.handshake, offered);
    };
    let real = seen.handshake.alpn.iter().filter(|chosen| !asked.found.contains(chosen));
    let names = asked.found.iter().chain(real).map(|name| String::from_utf8_lossy(name));
    facts.set("alpn", names.collect::<Vec<_>>());
    if !asked.closed {
        let why = asked.lost.clone().unwrap_or_else(|| Reason::NotObserved.into());
        facts.set_unknown("alpn", why);
    }
}

fn finite_primes(facts: &mut Measurements, seen: &Seen) {
    let bits = seen.board.answers.iter().filter_map(|answer| answer.key_exchange.dh_prime_bits);
    let open = offered(seen)
        .filter(|&(version, _)| version < Version::Tls13)
        .filter_map(|(_, choices)| choices)
        .find_map(|choices| why_open(&choices.suites));
    let doubt = Version::Tls12.and_below().find_map(|version| match seen.board.presence(version) {
        Presence::Unknown(why) => Some(why),
        _ => None,
    });
    let marks = seen.board.answers.iter().filter_map(|answer| answer.key_exchange.dh_prime);
    let named: BTreeSet<String> = marks.map(primes::name).take(MOST_PRIMES).collect();
    // No suite that needs one.
    let why = open.or(doubt).unwrap_or_else(|| Reason::NotApplicable.into());
    match bits.min() {
        Some(bits) => facts.set("dh_prime_bits", bits),
        None => facts.set_unknown("dh_prime_bits", why.clone()),
    }
    match named.is_empty() {
        false => facts.set("dh_primes", named),
        true => facts.set_unknown("dh_primes", why),
    }
}

/// Answers that primes are named of: a server that makes a new one each time names no more.
const MOST_PRIMES: usize = 256;
