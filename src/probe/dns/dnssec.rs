//! Signatures as each server serves them: when they end, and what is wrong by what was sent alone.
//! Nothing here is called secure: no chain of keys is verified.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};
use hickory_proto::op::Message;
use hickory_proto::rr::{DNSClass, Name, RecordType};

use super::{answer, rdata, text};
use crate::sample::Unknown;

/// One RRSIG (RFC 4034 §3.1), without the signature itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Signature {
    /// `NAME TYPE` of what it signs.
    pub(super) covers: String,
    /// Its end.
    pub(super) expires: DateTime<Utc>,
    /// Its inception.
    pub(super) valid_from: DateTime<Utc>,
}

/// What a server's signatures come to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct State {
    /// insecure, bogus or indeterminate.
    pub(super) state: &'static str,
    /// RFC 8914's words in snake case, and ours.
    pub(super) reason: &'static str,
    /// `NAME TYPE` of what fails by its signatures.
    pub(super) failing: Vec<String>,
}

/// The signatures of a message over records of `owner`.
pub(super) fn signatures(message: &Message, owner: &Name, now: DateTime<Utc>) -> Vec<Signature> {
    message
        .answers
        .iter()
        .filter(|r| r.dns_class == DNSClass::IN && r.name == *owner)
        .filter(|r| r.record_type() == RecordType::RRSIG)
        .filter_map(|record| signature(&rdata::wire(&record.data), owner, now))
        .take(MAX_SIGNATURES)
        .collect()
}

/// The DNSKEY set of a message, as octets.
pub(super) fn keys(message: &Message, zone: &Name) -> BTreeSet<Vec<u8>> {
    message
        .answers
        .iter()
        .filter(|r| r.dns_class == DNSClass::IN && r.name == *zone)
        .filter(|r| r.record_type() == RecordType::DNSKEY)
        .map(|record| rdata::wire(&record.data))
        .take(MAX_SIGNATURES)
        .collect()
}

/// Reads the fixed part of an RRSIG.
fn signature(octets: &[u8], owner: &Name, now: DateTime<Utc>) -> Option<Signature> {
    let date = |at: usize| {
        let raw = u32::from_be_bytes(octets.get(at..at + 4)?.try_into().ok()?);
        Some(near(raw, now))
    };
    let covered = RecordType::from(u16::from_be_bytes(octets.get(..2)?.try_into().ok()?));
    Some(Signature { covers: covers(owner, covered), expires: date(8)?, valid_from: date(12)? })
}

fn covers(owner: &Name, covered: RecordType) -> String {
    format!("{} {}", text::of_name(owner), answer::type_word(covered))
}

impl Signature {
    fn fault(&self, now: DateTime<Utc>) -> Option<&'static str> {
        if self.expires < now {
            Some("signature_expired")
        } else if self.valid_from > now {
            Some("signature_not_yet_valid")
        } else {
            None
        }
    }
}

/// Judges one server's apex by what it sent. `ds`: the parent's DS set in presentation form.
pub(super) fn judge(
    zone: &Name,
    ds: &Result<BTreeSet<String>, Unknown>,
    keys: &Result<BTreeSet<Vec<u8>>, Unknown>,
    signatures: &[Signature],
    now: DateTime<Utc>,
) -> State {
    let state = |state, reason| State { state, reason, failing: Vec::new() };
    let (Ok(ds), Ok(keys)) = (ds, keys) else {
        return state("indeterminate", "dnssec_indeterminate");
    };
    if ds.is_empty() {
        let signed = !keys.is_empty() || !signatures.is_empty();
        return state("insecure", if signed { "no_ds" } else { "not_signed" });
    }
    if keys.is_empty() {
        return state("bogus", "dnskey_missing");
    }
    match matches(zone, ds, keys) {
        Some(true) => {}
        Some(false) => return state("bogus", "ds_matches_no_dnskey"),
        None => return state("indeterminate", "unsupported_ds_digest_type"),
    }
    let mut sets: BTreeMap<&str, Vec<Option<&'static str>>> = BTreeMap::new();
    for signature in signatures {
        sets.entry(&signature.covers).or_default().push(signature.fault(now));
    }
    for needed in [RecordType::DNSKEY, RecordType::SOA] {
        let needed = covers(zone, needed);
        if !sets.contains_key(needed.as_str()) {
            let failing = vec![needed];
            return State { state: "bogus", reason: "rrsigs_missing", failing };
        }
    }
    // One good signature of a set is enough for a resolver (RFC 4035 §5.3.3).
    let failing: Vec<(&str, &'static str)> = sets
        .into_iter()
        .filter_map(|(set, faults)| Some((set, faults.into_iter().min().flatten()?)))
        .collect();
    match failing.first() {
        None => state("indeterminate", "dnssec_indeterminate"),
        Some((_, reason)) => State {
            state: "bogus",
            reason,
            failing: failing.iter().map(|(set, _)| (*set).to_owned()).collect(),
        },
    }
}

/// Whether a DS names one of the keys; `None` where no digest is one we know.
fn matches(zone: &Name, ds: &BTreeSet<String>, keys: &BTreeSet<Vec<u8>>) -> Option<bool> {
    let owner = wire_name(zone);
    let mut known = false;
    for record in ds {
        let words: Vec<&str> = record.split(' ').collect();
        let [tag, _, kind, wanted] = words.as_slice() else { continue };
        let algorithm = match *kind {
            "1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            "2" => &digest::SHA256,
            "4" => &digest::SHA384,
            _ => continue,
        };
        known = true;
        let named = keys.iter().any(|key| {
            key_tag(key).to_string() == *tag
                && hex::encode_upper(digest::digest(algorithm, &[&owner[..], key].concat()))
                    == *wanted
        });
        if named {
            return Some(true);
        }
    }
    known.then_some(false)
}

/// RFC 4034 appendix B.
fn key_tag(key: &[u8]) -> u16 {
    let sum = key.iter().enumerate().fold(0_u32, |sum, (at, octet)| {
        sum.wrapping_add(if at % 2 == 0 { u32::from(*octet) << 8 } else { u32::from(*octet) })
    });
    let folded = sum + (sum >> 16 & 0xffff);
    u16::try_from(folded & 0xffff).unwrap_or_default()
}

fn wire_name(name: &Name) -> Vec<u8> {
    let mut octets = Vec::new();
    for label in name.iter() {
        octets.push(u8::try_from(label.len()).unwrap_or_default());
        octets.extend(label.to_ascii_lowercase());
    }
    octets.push(0);
    octets
}

/// The date nearest to `now` whose seconds are `raw` modulo 2³².
fn near(raw: u32, now: DateTime<Utc>) -> DateTime<Utc> {
    let base = now.timestamp();
    let distance = raw.wrapping_sub((base & 0xffff_ffff) as u32).cast_signed();
    DateTime::from_timestamp(base + i64::from(distance), 0).unwrap_or(now)
}

/// Signatures or keys of one answer that are looked at.
const MAX_SIGNATURES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).expect("a date")
    }

    fn signed(covered: RecordType, from: i64, until: i64) -> Signature {
        let seconds = |offset: i64| ((now().timestamp() + offset) as u32).to_be_bytes();
        let mut octets = u16::from(covered).to_be_bytes().to_vec();
        octets.extend([13, 2, 0, 0, 14, 16]);
        octets.extend(seconds(until));
        octets.extend(seconds(from));
        octets.extend([0x30, 0x39, 0]);
        let zone = text::name("dskey.example.com").expect("a name");
        signature(&octets, &zone, now()).expect("a signature")
    }

    /// The key of RFC 4034 §5.4 and its DS.
    fn key_and_ds() -> (Vec<u8>, String) {
        use base64::Engine;
        let key = "AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZ\
                   DRD99WYwYqUSdjMmmAphXdvxegXd/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9Xzc\
                   nOf+EPbtG9DMBmADjFDc2w/rljwvFw==";
        let mut octets = vec![1, 0, 3, 5];
        octets.extend(base64::engine::general_purpose::STANDARD.decode(key).expect("base64"));
        (octets, "60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118".to_owned())
    }

    fn judged(ds: &[&str], keys: &[Vec<u8>], signatures: &[Signature]) -> State {
        let zone = text::name("dskey.example.com").expect("a name");
        let ds = Ok(ds.iter().map(|s| (*s).to_owned()).collect());
        judge(&zone, &ds, &Ok(keys.iter().cloned().collect()), signatures, now())
    }

    #[test]
    fn key_and_ds_of_the_rfc_match() {
        let (key, ds) = key_and_ds();
        assert_eq!(key_tag(&key), 60485);
        let zone = text::name("dskey.example.com").expect("a name");
        assert_eq!(matches(&zone, &BTreeSet::from([ds]), &BTreeSet::from([key])), Some(true));
    }

    #[test]
    fn a_state_is_said_only_of_what_was_shown() {
        let (key, ds) = key_and_ds();
        let keys = [key];
        let day = 86_400;
        let good = [RecordType::DNSKEY, RecordType::SOA].map(|t| signed(t, -day, day));
        let past = [RecordType::DNSKEY, RecordType::SOA].map(|t| signed(t, -2 * day, -day));
        let ahead = [RecordType::DNSKEY, RecordType::SOA].map(|t| signed(t, day, 2 * day));
        let rolled = [good.as_slice(), past.as_slice()].concat();
        for (ds, keys, signatures, state, reason) in [
            (&[][..], &[][..], &[][..], "insecure", "not_signed"),
            (&[], &keys, &good, "insecure", "no_ds"),
            (&[&*ds], &[], &[], "bogus", "dnskey_missing"),
            (&["1 5 2 00"], &keys, &good, "bogus", "ds_matches_no_dnskey"),
            (&["1 5 250 00"], &keys, &good, "indeterminate", "unsupported_ds_digest_type"),
            (&[&*ds], &keys, &[], "bogus", "rrsigs_missing"),
            (&[&*ds], &keys, &past, "bogus", "signature_expired"),
            (&[&*ds], &keys, &ahead, "bogus", "signature_not_yet_valid"),
            (&[&*ds], &keys, &rolled, "indeterminate", "dnssec_indeterminate"),
            (&[&*ds], &keys, &good, "indeterminate", "dnssec_indeterminate"),
        ] {
            let judged = judged(ds, keys, signatures);
            assert_eq!((judged.state, judged.reason), (state, reason));
        }
    }

    #[test]
    fn times_beyond_2106_are_read_by_serial_arithmetic() {
        let late = DateTime::from_timestamp(0x1_0000_0010, 0).expect("a date");
        assert_eq!(near(0x20, late).timestamp(), 0x1_0000_0020);
        assert_eq!(near(0xffff_fff0, late).timestamp(), 0xffff_fff0);
    }
}
