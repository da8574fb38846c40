//! What follows from the rest, and what was tried with leave. A weakness that needs an enumeration is `true` once it shows, and
//! `false` only where no version is left that could have it.

use serde_json::{Map, Value};

use crate::sample::{Measurements, Path, Reason, Unknown};

use super::board::Presence;
use super::features::Fact;
use super::intrusive::Tried;
use super::suites;
use super::walk::Seen;
use super::wire::Version;

/// States `vulnerabilities`.
pub(super) fn vulnerabilities(facts: &mut Measurements, seen: &Seen, tried: Option<&Tried>) {
    let tried = |name: &str| match tried {
        Some(tried) => tried.vulnerabilities.get(name).cloned().unwrap_or_else(not_observed),
        None => Err(Reason::OptIn.into()),
    };
    let suites = seen_suites(seen);
    let shows = |test: &dyn Fn(&str) -> bool, versions: &[Version]| {
        suites.iter().any(|(version, name)| versions.contains(version) && test(name))
    };
    let offered = |version| match seen.board.presence(version) {
        Presence::Offered => Ok(true),
        Presence::Absent => Ok(false),
        Presence::Unknown(why) => Err(why),
    };
    // Present if shown, absent if none of these versions is, else unknown.
    let among = |versions: &[Version], shown: bool| {
        if shown {
            return Ok(true);
        }
        let mut doubt = None;
        for &version in versions {
            match offered(version) {
                Ok(true) => return Err(Unknown::from(Reason::NotObserved)),
                Ok(false) => {}
                Err(why) => doubt = Some(why),
            }
        }
        doubt.map_or(Ok(false), Err)
    };
    let export =
        |kind: &'static str| move |name: &str| name.contains("EXPORT") && name.contains(kind);
    let block64 = |name: &str| ["_DES", "3DES", "_IDEA_", "_RC2_"].iter().any(|c| name.contains(c));
    let primes = seen.board.answers.iter().filter_map(|answer| answer.key_exchange.dh_prime_bits);
    let small_prime = primes.min().is_some_and(|bits| bits <= 1024);
    let deflate = seen.board.answers.iter().filter_map(|a| a.hello.as_ref()).any(|h| h.deflate);
    let cbc = |name: &str| name.contains("_CBC_");
    let clear = &BELOW_TLS13[..];
    let early = &BELOW_TLS13[..2];
    let answers: [(&str, Result<bool, Unknown>); 12] = [
        ("heartbleed", tried("heartbleed")),
        ("ccs_injection", tried("ccs_injection")),
        ("ticketbleed", tried("ticketbleed")),
        ("robot", tried("robot")),
        // SSLv3 without CBC is RC4 or nothing; the version itself is the hole.
        ("poodle", offered(Version::Ssl3)),
        ("drown", offered(Version::Ssl2)),
        ("crime", if deflate { Ok(true) } else { among_crime(seen, &offered) }),
        ("freak", among(clear, shows(&export("RSA_EXPORT"), clear))),
        ("logjam", among(clear, small_prime || shows(&export("DHE_"), clear))),
        ("sweet32", among(clear, shows(&block64, clear))),
        ("rc4", among(clear, shows(&|name| name.contains("_RC4_"), clear))),
        ("beast", among(early, shows(&cbc, early))),
    ];
    let lucky13 = ("lucky13", among(clear, shows(&cbc, clear)));
    let mut map = Map::new();
    for (name, answer) in answers.into_iter().chain([lucky13]) {
        let value = match answer {
            Ok(value) => Value::Bool(value),
            Err(why) => {
                facts.set_unknown(Path::of("vulnerabilities").join(name).to_string(), why);
                Value::Null
            }
        };
        map.insert(name.to_owned(), value);
    }
    facts.set("vulnerabilities", map);
}

/// DEFLATE was offered in every hello below TLS 1.3, so an answer without it settles its version.
fn among_crime(
    seen: &Seen,
    offered: &dyn Fn(Version) -> Result<bool, Unknown>,
) -> Result<bool, Unknown> {
    for version in BELOW_TLS13 {
        let answered = seen.board.answers.iter().any(|answer| answer.version == version);
        match offered(version) {
            Ok(true) if !answered => return Err(Reason::NotObserved.into()),
            Ok(_) => {}
            Err(why) => return Err(why),
        }
    }
    Ok(false)
}

fn seen_suites(seen: &Seen) -> Vec<(Version, String)> {
    let real = seen.handshake.version.zip(seen.handshake.suite);
    let answers = seen.board.answers.iter();
    answers
        .filter_map(|answer| answer.hello.as_ref().map(|hello| (answer.version, hello.suite)))
        .chain(real)
        .map(|(version, suite)| (version, suites::name(suite).into_owned()))
        .collect()
}

fn not_observed() -> Fact<bool> {
    Err(Reason::NotObserved.into())
}

/// Oldest first.
const BELOW_TLS13: [Version; 4] = [Version::Ssl3, Version::Tls10, Version::Tls11, Version::Tls12];
