//! Several servers behind one address: every ServerHello has a fingerprint, and hellos of one
//! version under one kind of key that differ in it come from servers that are not alike. Pure.

use std::collections::BTreeMap;

use crate::probe::trust::certificate::fingerprint;

use super::names::Kinds;
use super::outcome::Answer;
use super::walk::Seen;

/// Configurations seen, each with its share of the answers that could have been its own, in
/// percent. At most [`MOST`].
pub(super) fn configurations(seen: &Seen) -> BTreeMap<String, f64> {
    let mut kinds: BTreeMap<String, BTreeMap<String, u32>> = BTreeMap::new();
    for answer in seen.board.answers.iter().skip(seen.board.remembered) {
        let Some((kind, mark)) = marks(answer) else { continue };
        *kinds.entry(kind).or_default().entry(mark).or_default() += 1;
    }
    // The kind of answer that tells most of them apart.
    let Some((kind, marks)) = kinds.into_iter().max_by_key(|(_, marks)| marks.len()) else {
        return BTreeMap::new();
    };
    let all: u32 = marks.values().sum();
    let share = |count: u32| (1_000.0 * f64::from(count) / f64::from(all)).round() / 10.0;
    let named = marks.into_iter().take(MOST);
    named.map(|(mark, count)| (format!("{kind}, {mark}"), share(count))).collect()
}

/// What an answer can be compared with, and by what.
fn marks(answer: &Answer) -> Option<(String, String)> {
    let hello = answer.hello.as_ref()?;
    let leaf = answer.certificates.iter().flatten().next();
    let kind = match leaf.map(|der| Kinds::of(der)) {
        None => "",
        Some(Some(Kinds::Rsa)) => " rsa",
        Some(_) => " ec",
    };
    let form = if hello.is_retry { " retry" } else { "" };
    // These hang on the suite, the protocols asked for and the certificate.
    let extensions = hello.extensions.iter().filter(|e| !matches!(e, 5 | 11 | 16 | 22));
    let extensions: Vec<String> = extensions.map(ToString::to_string).collect();
    let leaf = leaf.map_or_else(String::new, |der| fingerprint(der).chars().take(16).collect());
    let session = hello.session;
    let mark = format!("extensions {}, session {session}, leaf {leaf}", extensions.join(" "));
    Some((format!("{}{form}{kind}", answer.version), mark))
}

/// More are not told apart.
pub(super) const MOST: usize = 16;
