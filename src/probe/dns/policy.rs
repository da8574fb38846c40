//! CAA by its climb, and what is wrong with a name that others point to.

use std::collections::BTreeSet;

use hickory_proto::rr::{Name, RecordType};
use serde_json::{Value, json};

use super::answer::Answer;
use super::delegate::{Found, Walk};
use super::text;
use crate::sample::Unknown;

/// The CAA set that applies to a name: its own, else the nearest above it (RFC 8659 §3).
pub(super) async fn caa(walk: &Walk<'_>, name: &Name) -> Result<Value, Unknown> {
    let mut at = name.clone();
    for _ in 0..MAX_CLIMB {
        if at.is_root() {
            break;
        }
        if let Some(set) = values(walk.lookup(&at, RecordType::CAA).await)? {
            let of = |tag: &str| -> Vec<String> {
                set.iter().filter_map(|record| caa_value(record, tag)).collect()
            };
            return Ok(json!({
                "present": true, "found_at": text::of_name(&at),
                "issue": of("issue"), "issuewild": of("issuewild"), "iodef": of("iodef"),
            }));
        }
        at = at.base_name();
    }
    Ok(json!({ "present": false, "found_at": "", "issue": [], "issuewild": [], "iodef": [] }))
}

/// What is wrong with a name that others point to: `none`, `nxdomain`, `nodata`, `cname`; null
/// where it could not be asked.
pub(super) fn problem(
    v4: &Result<Found, Unknown>,
    v6: &Result<Found, Unknown>,
) -> Option<&'static str> {
    let found = [v4, v6].map(|found| found.as_ref().ok());
    if found.iter().flatten().any(|found| found.target.is_some()) {
        return Some("cname");
    }
    let answers = found.map(|found| found.map(|found| &found.answer));
    if answers.iter().any(|answer| matches!(answer, Some(Answer::Set(_)))) {
        return Some("none");
    }
    match answers {
        [Some(Answer::Nxdomain), _] | [_, Some(Answer::Nxdomain)] => Some("nxdomain"),
        [Some(Answer::Nodata), Some(Answer::Nodata)] => Some("nodata"),
        _ => None,
    }
}

fn caa_value(record: &str, tag: &str) -> Option<String> {
    let mut words = record.splitn(3, ' ');
    let (_, name, value) = (words.next()?, words.next()?, words.next()?);
    (name == tag).then(|| value.trim_matches('"').to_owned())
}

/// A set, none, or why it is not known.
pub(super) fn values(found: Result<Found, Unknown>) -> Result<Option<BTreeSet<String>>, Unknown> {
    match found?.answer {
        Answer::Set(set) => Ok(Some(set)),
        Answer::Nodata | Answer::Nxdomain => Ok(None),
        Answer::Error(fault) => Err(fault.unknown()),
    }
}

/// Labels climbed for a CAA set.
const MAX_CLIMB: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caa_value_is_read_without_its_quotes() {
        assert_eq!(caa_value("0 issue \"ca.test; a=b\"", "issue"), Some("ca.test; a=b".to_owned()));
        assert_eq!(caa_value("0 iodef \"mailto:a@b.test\"", "issue"), None);
    }
}
