//! Whose turn it is. A round asks, a question a tick: for each version in use, everything that it is
//! not known to have; the versions that it does not have; then one row of known members, and one of
//! what changes seldom. Rows and seldom ones go on from round to round until all have had their turn,
//! and begin again: so everything is asked anew in a bounded number of ticks, never at one time.

use super::super::board::Presence;
use super::super::enumerate::Enumeration;
use super::super::features::Slice;
use super::super::hello::HelloSpec;
use super::super::suites::Breadth;
use super::super::wire::Version;
use super::{Expected, Known, Pace, Sentinel, Tick, is_there};

/// What this tick asks.
pub(in crate::probe::tls) fn tick(asked: &Enumeration, known: &Known, pace: Pace) -> Tick {
    let news = news(asked);
    let turn = usize::try_from(known.turn).unwrap_or_default();
    match pace {
        Pace::Whole => whole(asked, known, news, turn),
        Pace::InTurn => in_turn(asked, known, news, turn),
    }
}

/// All that could be new, and now and then one of what is known or seldom.
fn whole(asked: &Enumeration, known: &Known, news: Vec<Sentinel>, turn: usize) -> Tick {
    let mut tick = Tick { sentinels: news, other_kind: true, ..Tick::default() };
    if !turn.is_multiple_of(BETWEEN_KNOWN) {
        return tick;
    }
    let nth = turn / BETWEEN_KNOWN;
    let one = match nth % 4 {
        0 | 2 => member(asked, known, nth / 2),
        1 => of(forbidden(asked), nth / 4),
        // What else it can do is asked all at once at this pace.
        _ => of(seldom_hellos(asked), nth / 4),
    };
    tick.sentinels.extend(one);
    tick
}

fn of(sentinels: Vec<Sentinel>, nth: usize) -> Option<Sentinel> {
    let at = nth.checked_rem(sentinels.len())?;
    sentinels.into_iter().nth(at)
}

fn in_turn(asked: &Enumeration, known: &Known, mut news: Vec<Sentinel>, turn: usize) -> Tick {
    let rows = asked.rows(!known.asks_apart).len();
    // Where much is known every other tick is for that: else it would take too long.
    let (turn, is_extra) = match rows > MANY_ROWS {
        true => (turn / 2, !turn.is_multiple_of(2)),
        false => (turn, false),
    };
    news.extend(forbidden(asked));
    let round = news.len() + 2;
    let (nth, at) = (turn / round, turn % round);
    let mut tick = Tick { recalled: RECALLED, ..Tick::default() };
    if is_extra {
        tick.sentinels.extend(member(asked, known, turn));
    } else if at == news.len() {
        tick.sentinels.extend(member(asked, known, nth));
    } else if at < news.len() {
        tick.sentinels.push(news.swap_remove(at));
    } else {
        // With this tick the round has looked at all that could be new; with the last of the seldom
        // ones, at all there is.
        let seldom = seldom(asked);
        let is_pass = (nth + 1).is_multiple_of(seldom.len());
        tick.recalled = if is_pass { &[] } else { RECALLED_LONGER };
        let at = nth % seldom.len();
        match seldom.into_iter().nth(at) {
            Some(Seldom::Hello(sentinel)) => tick.sentinels.push(*sentinel),
            Some(Seldom::OtherKind) => tick.other_kind = true,
            Some(Seldom::Slice(slice)) => tick.slice = Some(slice),
            None => {}
        }
    }
    tick
}

/// Everything that could be new: suites of each version in use, and versions.
fn news(asked: &Enumeration) -> Vec<Sentinel> {
    let offered = asked.choices.iter().filter(|(_, choices)| choices.is_offered());
    // Nothing new of it: those known to be there are confirmed in their turn.
    let suites =
        offered.map(|(&v, choices)| Sentinel::nothing_of(v, choices.without_known_suites()));
    let mut all: Vec<Sentinel> = suites.rev().collect();
    // The newest of each run of versions that are not there asks for the whole run.
    let is_absent = |version: &Version| asked.board.presence(*version) == Presence::Absent;
    let newer = |version: Version| Version::ALL.into_iter().find(|&other| other > version);
    let asks = Version::ALL.into_iter().rev().filter(|&version| {
        let is_top =
            !newer(version).is_some_and(|newer| newer < Version::Tls13 && is_absent(&newer));
        let is_legacy = version == Version::Tls11 && is_there(asked, version);
        version != Version::Ssl2 && (is_absent(&version) && is_top || is_legacy)
    });
    all.extend(asks.map(|version| version_news(asked, version)));
    all.push(ssl2(asked));
    all
}

/// Asks for a version that is not there, and for all below: the newest of those that are known to
/// be is expected.
fn version_news(asked: &Enumeration, ceiling: Version) -> Sentinel {
    let below: Vec<Version> = match ceiling {
        Version::Tls13 => vec![ceiling],
        _ => ceiling.and_below().collect(),
    };
    let expected = below.iter().copied().find(|&version| is_there(asked, version));
    let absent = below.iter().take_while(|&&version| !is_there(asked, version));
    Sentinel {
        spec: HelloSpec::new(ceiling, Breadth::Every),
        expected: expected.map_or(Expected::Nothing, Expected::Version),
        absent: absent.map(|version| format!("versions[{version}]")).collect(),
        about: None,
        row: None,
    }
}

fn ssl2(asked: &Enumeration) -> Sentinel {
    let version = Version::Ssl2;
    let expected = match is_there(asked, version) {
        true => Expected::Version(version),
        false => Expected::Nothing,
    };
    Sentinel {
        spec: HelloSpec::new(version, Breadth::Every),
        expected,
        absent: vec![format!("versions[{version}]")],
        about: None,
        row: None,
    }
}

/// The nth row of known members.
fn member(asked: &Enumeration, known: &Known, nth: usize) -> Option<Sentinel> {
    let rows = asked.rows(!known.asks_apart);
    let row = *rows.get(nth.checked_rem(rows.len())?)?;
    Sentinel::of(asked, row)
}

/// What is known and no current guideline allows, all of a version at once: is any of it still there?
fn forbidden(asked: &Enumeration) -> Vec<Sentinel> {
    let known = asked.forbidden().into_iter().map(|(version, spec)| Sentinel {
        spec,
        expected: Expected::Version(version),
        absent: Vec::new(),
        about: Some(version),
        row: None,
    });
    known.collect()
}

/// What changes seldom.
enum Seldom {
    Hello(Box<Sentinel>),
    OtherKind,
    Slice(Slice),
}

/// Never empty.
fn seldom(asked: &Enumeration) -> Vec<Seldom> {
    let hellos = seldom_hellos(asked).into_iter().map(|sentinel| Seldom::Hello(Box::new(sentinel)));
    let slices = Slice::ALL.into_iter().map(Seldom::Slice);
    hellos.chain([Seldom::OtherKind]).chain(slices).collect()
}

/// Groups and schemes that are not known, and who chooses among suites.
fn seldom_hellos(asked: &Enumeration) -> Vec<Sentinel> {
    let complements = asked.complements().into_iter();
    let complements = complements.map(|(version, spec)| Sentinel::nothing_of(version, spec));
    let offered = asked.choices.iter().filter(|(_, choices)| choices.is_offered());
    let orders = offered.filter_map(|(&version, choices)| {
        let (spec, expected) = choices.pair()?;
        let expected = Expected::Suite(version, expected);
        Some(Sentinel { spec, expected, absent: Vec::new(), about: Some(version), row: None })
    });
    complements.chain(orders).collect()
}

/// Ticks from one question for a known fact to the next, where each asks for all that could be new.
const BETWEEN_KNOWN: usize = 4;

/// Rows beyond which every other tick is for them.
const MANY_ROWS: usize = 32;

/// What a tick does not look at beside the handshake, or not at all of it: it stands as it was known.
const RECALLED: &[&str] = &[
    "alpn",
    "certificate_compression",
    "chacha20_prioritized",
    "cipher_suites",
    "compression",
    "configurations",
    "dh_prime_bits",
    "dh_primes",
    "encrypt_then_mac",
    "fallback_scsv",
    "grade",
    "groups",
    "intolerances",
    "post_quantum",
    "resumption",
    "server_order",
    "session_ticket_lifetime",
    "signature_schemes",
    "starttls_injection",
    "versions",
    "vulnerabilities",
    "without_sni",
];

/// The same at the end of a round.
const RECALLED_LONGER: &[&str] = &[
    "alpn",
    "certificate_compression",
    "chacha20_prioritized",
    "encrypt_then_mac",
    "fallback_scsv",
    "groups",
    "intolerances",
    "post_quantum",
    "resumption",
    "server_order",
    "session_ticket_lifetime",
    "signature_schemes",
    "starttls_injection",
    "without_sni",
];
