//! Hellos that current clients send and that some peers choke on: long, split, with reserved values,
//! with application protocols.

use std::collections::BTreeMap;

use crate::sample::{Reason, Unknown};

use super::super::board::Presence;
use super::super::hello::HelloSpec;
use super::super::line::Line;
use super::super::suites::Breadth;
use super::super::wire::Version;
use super::evidence::{Reception, receive};
use super::{Fact, Known};

/// Asks by one hello that is nearly everything at once; if that is not answered, by each alone.
pub(super) async fn ask(line: &Line<'_>, known: Known<'_>) -> BTreeMap<String, Fact<bool>> {
    let mut found = BTreeMap::new();
    if let Presence::Unknown(Unknown { reason: Reason::Intolerant, .. }) =
        known.seen.board.presence(Version::Tls13)
    {
        found.insert("tls13_hello".to_owned(), Ok(true));
    }
    let plain = plain(known);
    let mut all = plain.clone();
    for (_, twist) in TOGETHER {
        twist(&mut all);
    }
    if line.ask(&all).await.answer().is_some() {
        found.extend(TOGETHER.iter().map(|(name, _)| ((*name).to_owned(), Ok(false))));
    }
    for (name, twist) in TOGETHER.iter().chain([&SPLIT]) {
        if found.contains_key(*name) {
            continue;
        }
        let mut twisted = plain.clone();
        twist(&mut twisted);
        let fact = match receive(line, &twisted, &plain).await {
            Reception::Answered(_) => Ok(false),
            // no_application_protocol: understood, and none of ours is spoken.
            Reception::Refused(120) => Ok(false),
            Reception::Refused(_) | Reception::Ignored => Ok(true),
            Reception::Unsure(why) => Err(why),
        };
        found.insert((*name).to_owned(), fact);
    }
    found
}

/// Asks again of what is known to be borne: by the hello that holds nearly everything, or by the one
/// in two segments. Only where it is not answered any more are more hellos sent.
pub(super) async fn again(
    line: &Line<'_>,
    known: Known<'_>,
    found: &mut BTreeMap<String, Fact<bool>>,
    is_split: bool,
) {
    let twists = if is_split { &[SPLIT][..] } else { TOGETHER };
    let is_borne = |(name, _): &Twist| found.get(*name) == Some(&Ok(false));
    if !twists.iter().all(is_borne) {
        return;
    }
    let mut all = plain(known);
    for (_, twist) in twists {
        twist(&mut all);
    }
    if line.ask(&all).await.answer().is_some() {
        return;
    }
    let now = ask(line, known).await;
    found.extend(now.into_iter().filter(|(_, fact)| fact.is_ok()));
}

/// A hello without twists: a current client's where the peer is current.
fn plain(known: Known<'_>) -> HelloSpec {
    match known.newest_clear() {
        Some(version) if version < Version::Tls12 => HelloSpec::new(version, Breadth::Every),
        Some(_) => HelloSpec::new(Version::Tls12, Breadth::Common),
        None => HelloSpec::new(Version::Tls13, Breadth::Common),
    }
}

type Twist = (&'static str, fn(&mut HelloSpec));

/// What may stand in one hello, none of it hiding another.
const TOGETHER: &[Twist] = &[
    ("alpn", |spec| spec.alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()]),
    ("grease", |spec| spec.grease = true),
    // Beyond one segment of 1,460 bytes, as a hello with a post-quantum share is.
    ("long_hello", |spec| spec.pad_to = Some(1_800)),
];

/// The first segment holds no more than the record's header and the random.
const SPLIT: Twist = ("split_hello", |spec| spec.split_at = Some(40));
