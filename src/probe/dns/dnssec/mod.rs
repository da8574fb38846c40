//! Signatures, checked as each server serves them: the chain from the trust anchor to the zone, then
//! every answer of every server against the keys that this server gives. Own checks throughout, so
//! that each verdict has a reason (RFC 4035 §5, RFC 8914's words).

mod anchor;
mod chain;
mod denial;
mod packet;
mod record;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use hickory_proto::rr::{Name, RecordType};

use self::packet::RrSet;
use super::answer::type_word;
use super::text;

pub(super) use self::chain::{Delegation, trace};
pub(super) use self::packet::Packet;
pub(super) use self::record::{Dnskey, Ds};

/// One answer of a server, kept for its signatures.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    /// What was asked for.
    pub(super) name: Name,
    /// The type asked for.
    pub(super) kind: RecordType,
    /// How a sample writes the name: a random label is `*`.
    pub(super) shown: Name,
    /// The answer.
    pub(super) packet: Packet,
}

/// Whether validators can believe a server.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Security {
    Secure,
    Insecure,
    Indeterminate,
    Bogus,
}

impl Security {
    /// The word in JSON.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Secure => "secure",
            Self::Insecure => "insecure",
            Self::Indeterminate => "indeterminate",
            Self::Bogus => "bogus",
        }
    }
}

/// Why: the words of RFC 8914 in snake case, and ours.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Why {
    DnskeyMissing,
    DsMatchesNoDnskey,
    Indeterminate,
    NoDs,
    NoZoneKeyBitSet,
    None,
    NotSigned,
    NsecMissing,
    ParentNotSigned,
    RrsigsMissing,
    SignatureExpired,
    SignatureExpiredBeforeValid,
    SignatureInvalid,
    SignatureNotYetValid,
    UnsupportedDnskeyAlgorithm,
    UnsupportedDsDigestType,
    UnsupportedNsec3Iterations,
}

impl Why {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::DnskeyMissing => "dnskey_missing",
            Self::DsMatchesNoDnskey => "ds_matches_no_dnskey",
            Self::Indeterminate => "dnssec_indeterminate",
            Self::NoDs => "no_ds",
            Self::NoZoneKeyBitSet => "no_zone_key_bit_set",
            Self::None => "none",
            Self::NotSigned => "not_signed",
            Self::NsecMissing => "nsec_missing",
            Self::ParentNotSigned => "parent_not_signed",
            Self::RrsigsMissing => "rrsigs_missing",
            Self::SignatureExpired => "signature_expired",
            Self::SignatureExpiredBeforeValid => "signature_expired_before_valid",
            Self::SignatureInvalid => "signature_invalid",
            Self::SignatureNotYetValid => "signature_not_yet_valid",
            Self::UnsupportedDnskeyAlgorithm => "unsupported_dnskey_algorithm",
            Self::UnsupportedDsDigestType => "unsupported_ds_digest_type",
            Self::UnsupportedNsec3Iterations => "unsupported_nsec3_iterations_value",
        }
    }

    /// What it makes of the answer: what validators can't check they take for unsigned.
    fn security(self) -> Security {
        match self {
            Self::None => Security::Secure,
            Self::Indeterminate => Security::Indeterminate,
            Self::NoDs
            | Self::NotSigned
            | Self::ParentNotSigned
            | Self::UnsupportedDnskeyAlgorithm
            | Self::UnsupportedDsDigestType
            | Self::UnsupportedNsec3Iterations => Security::Insecure,
            _ => Security::Bogus,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What one server's signatures come to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct State {
    /// The worst over what was asked.
    pub(super) security: Security,
    /// Why.
    pub(super) why: Why,
    /// `NAME TYPE` of what does not validate.
    pub(super) failing: BTreeSet<String>,
    /// When the first set is left without a valid signature.
    pub(super) expires: Option<DateTime<Utc>>,
    /// The latest inception.
    pub(super) begins: Option<DateTime<Utc>>,
}

/// Judges one server of a zone by all that it answered.
pub(super) fn judge(
    zone: &Name,
    delegation: &Delegation,
    proofs: &[Proof],
    now: DateTime<Utc>,
) -> State {
    let (expires, begins) = span(proofs, now);
    let state = |why: Why| State {
        security: why.security(),
        why,
        failing: BTreeSet::new(),
        expires,
        begins,
    };
    match delegation {
        Delegation::Unknown => state(Why::Indeterminate),
        Delegation::Broken { why, failing } => {
            State { failing: BTreeSet::from([failing.clone()]), ..state(*why) }
        }
        Delegation::Unsigned(_) if expires.is_none() => state(Why::NotSigned),
        Delegation::Unsigned(why) => state(*why),
        Delegation::Signed { ds, anchored } => {
            let (why, failing) = held(zone, ds, proofs, now);
            match why {
                Why::None if !anchored => state(Why::Indeterminate),
                why => State { failing, ..state(why) },
            }
        }
    }
}

/// The worst of a signed zone's answers, and what fails.
fn held(zone: &Name, ds: &[Ds], proofs: &[Proof], now: DateTime<Utc>) -> (Why, BTreeSet<String>) {
    let keys = proofs
        .iter()
        .find(|proof| proof.kind == RecordType::DNSKEY && proof.name == *zone)
        .and_then(|proof| proof.packet.answer(zone, RecordType::DNSKEY));
    let bench = match verify::entry(zone, ds, keys, now) {
        Ok(bench) => bench,
        Err(why) if why.security() != Security::Bogus => return (why, BTreeSet::new()),
        Err(why) => return (why, BTreeSet::from([shown(zone, RecordType::DNSKEY)])),
    };
    let mut faults: BTreeMap<String, Why> = BTreeMap::new();
    for proof in proofs {
        for (name, kind, why) in bench.faults(proof) {
            let name = if name == proof.name { &proof.shown } else { &name };
            faults.entry(shown(name, kind)).or_insert(why);
        }
    }
    let worst = faults.values().copied().max_by_key(|why| (why.security(), rank(*why)));
    let Some(worst) = worst else { return (Why::None, BTreeSet::new()) };
    let failing = faults
        .into_iter()
        .filter(|(_, why)| why.security() == Security::Bogus)
        .map(|(key, _)| key)
        .take(MAX_FAILING)
        .collect();
    (worst, failing)
}

/// Of several reasons the one that says most.
fn rank(why: Why) -> u8 {
    match why {
        Why::SignatureExpired | Why::SignatureNotYetValid => 3,
        Why::SignatureInvalid | Why::SignatureExpiredBeforeValid => 2,
        Why::RrsigsMissing => 1,
        _ => 0,
    }
}

/// The time to bogus, and the latest inception: of several signatures over a set the last one to end
/// counts.
fn span(proofs: &[Proof], now: DateTime<Utc>) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    let sets = || proofs.iter().flat_map(|proof| proof.packet.sets());
    let end = |set: &RrSet| set.signatures.iter().map(|one| one.expires(now)).max();
    let begin = |set: &RrSet| set.signatures.iter().map(|one| one.begins(now)).max();
    (sets().filter_map(end).min(), sets().filter_map(begin).max())
}

fn shown(name: &Name, kind: RecordType) -> String {
    format!("{} {}", text::of_name(name), type_word(kind))
}

/// The keys that a server gives for the zone.
pub(super) fn keys(zone: &Name, proofs: &[Proof]) -> BTreeSet<Dnskey> {
    data(zone, RecordType::DNSKEY, proofs).filter_map(Dnskey::read).collect()
}

/// The CDS set that a server gives for the zone.
pub(super) fn child_ds(zone: &Name, proofs: &[Proof]) -> BTreeSet<Ds> {
    data(zone, RecordType::CDS, proofs).filter_map(Ds::read).collect()
}

/// The CDNSKEY set that a server gives for the zone.
pub(super) fn child_keys(zone: &Name, proofs: &[Proof]) -> BTreeSet<Dnskey> {
    data(zone, RecordType::CDNSKEY, proofs).filter_map(Dnskey::read).collect()
}

/// Iterations and salt of the zone's NSEC3, if it uses it.
pub(super) fn nsec3(zone: &Name, proofs: &[Proof]) -> Option<(u16, String)> {
    let data = data(zone, RecordType::NSEC3PARAM, proofs).next()?;
    let [_, _, i1, i2, length, ref salt @ ..] = *data else { return None };
    let salt = salt.get(..usize::from(length))?;
    let salt = if salt.is_empty() { "-".to_owned() } else { text::hex(salt) };
    Some((u16::from_be_bytes([i1, i2]), salt))
}

fn data<'a>(
    zone: &'a Name,
    kind: RecordType,
    proofs: &'a [Proof],
) -> impl Iterator<Item = &'a [u8]> {
    let asked = proofs.iter().filter(move |proof| proof.kind == kind && proof.name == *zone);
    asked
        .filter_map(move |proof| proof.packet.answer(zone, kind))
        .flat_map(|set| set.data.iter().map(Vec::as_slice))
        .take(MAX_RECORDS)
}

impl Dnskey {
    /// Its tag and algorithm as a sample writes them.
    pub(super) fn shown(&self) -> (u16, u8) {
        (self.tag, self.algorithm)
    }
}

impl Ds {
    /// Its fields as a sample writes them.
    pub(super) fn shown(&self) -> (u16, u8, u8) {
        (self.tag, self.algorithm, self.digest_type)
    }
}

/// Sets named as failing.
const MAX_FAILING: usize = 64;

/// Keys or digests of one server that are looked at.
const MAX_RECORDS: usize = 32;
