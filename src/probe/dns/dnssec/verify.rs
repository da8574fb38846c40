//! Sets against their signatures, and answers against what a signed zone must prove. Pure.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, Utc};
use hickory_proto::rr::{Name, RecordType};

use super::denial::{Denied, Proofs, star};
use super::packet::{RrSet, name_at};
use super::record::{Dnskey, Ds, ED448, Rrsig, is_known_algorithm};
use super::{Packet, Proof, Why};
use crate::probe::dns::answer::MAX_CHAIN;

/// A zone's keys, and how much more may be worked out with them: hostile keys and signatures cost
/// time (CVE-2023-50387).
pub(super) struct Bench {
    zone: Name,
    keys: Vec<Dnskey>,
    now: DateTime<Utc>,
    left: AtomicU32,
}

/// A set that holds.
struct Held {
    /// The name whose wildcard the answer came of.
    encloser: Option<Name>,
}

/// Enters a zone by its DS set: a key that one of them names must have signed the key set.
pub(super) fn entry(
    zone: &Name,
    ds: &[Ds],
    keys: Option<&RrSet>,
    now: DateTime<Utc>,
) -> Result<Bench, Why> {
    let usable = usable(ds)?;
    let Some(set) = keys.filter(|set| !set.data.is_empty()) else {
        return Err(Why::DnskeyMissing);
    };
    let keys: Vec<Dnskey> =
        set.data.iter().filter_map(|data| Dnskey::read(data)).take(MAX_KEYS).collect();
    let named: Vec<Dnskey> = keys
        .iter()
        .filter(|key| usable.iter().any(|ds| ds.names(zone, key) == Some(true)))
        .cloned()
        .collect();
    if named.is_empty() {
        return Err(Why::DsMatchesNoDnskey);
    }
    let named: Vec<Dnskey> = named.into_iter().filter(Dnskey::signs_zone).collect();
    if named.is_empty() {
        return Err(Why::NoZoneKeyBitSet);
    }
    enter(zone, set, named, now)
}

/// The key set, signed by one of these keys.
pub(super) fn enter(
    zone: &Name,
    set: &RrSet,
    named: Vec<Dnskey>,
    now: DateTime<Utc>,
) -> Result<Bench, Why> {
    let bench = |keys| Bench { zone: zone.clone(), keys, now, left: AtomicU32::new(MAX_CHECKS) };
    bench(named).holds(set)?;
    let keys = set.data.iter().filter_map(|data| Dnskey::read(data)).take(MAX_KEYS);
    Ok(bench(keys.filter(Dnskey::signs_zone).collect()))
}

/// The DS that lead anywhere: where a stronger digest is there SHA-1 is none (RFC 4509 §3).
fn usable(ds: &[Ds]) -> Result<Vec<&Ds>, Why> {
    if ds.iter().any(|ds| ds.algorithm == ED448)
        && !ds.iter().any(|ds| is_known_algorithm(ds.algorithm))
    {
        return Err(Why::Indeterminate);
    }
    let known: Vec<&Ds> = ds.iter().filter(|ds| is_known_algorithm(ds.algorithm)).collect();
    if known.is_empty() {
        return Err(Why::UnsupportedDnskeyAlgorithm);
    }
    let mut usable: Vec<&Ds> = known.into_iter().filter(|ds| ds.is_known_digest()).collect();
    if usable.is_empty() {
        return Err(Why::UnsupportedDsDigestType);
    }
    if usable.iter().any(|ds| ds.digest_type != SHA1) {
        usable.retain(|ds| ds.digest_type != SHA1);
    }
    Ok(usable)
}

impl Bench {
    /// What in an answer does not validate.
    pub(super) fn faults(&self, proof: &Proof) -> Vec<(Name, RecordType, Why)> {
        let (packet, kind) = (&proof.packet, proof.kind);
        let mut faults = Vec::new();
        let mut name = proof.name.clone();
        for _ in 0..MAX_CHAIN {
            if let Some(set) = packet.answer(&name, kind) {
                faults.extend(self.positive(packet, set).err().map(|why| (name, kind, why)));
                return faults;
            }
            let Some((alias, target)) = alias(packet, &name).filter(|_| kind != RecordType::CNAME)
            else {
                break;
            };
            let verdict = self.positive(packet, alias);
            faults.extend(verdict.err().map(|why| (name, alias.kind, why)));
            if !self.zone.zone_of(&target) {
                return faults;
            }
            name = target;
        }
        // An alias that the server did not follow proves nothing and need not.
        if name == proof.name || packet.authorities.iter().any(|set| set.kind == RecordType::SOA) {
            match self.denies(packet, &name, kind, packet.nxdomain) {
                Ok(_) => {}
                Err(why) => faults.push((name, kind, why)),
            }
        }
        faults
    }

    /// Whether the zone's keys hold a set, and a wildcard's with the proof that it needs.
    pub(super) fn positive(&self, packet: &Packet, set: &RrSet) -> Result<(), Why> {
        let Some(encloser) = self.holds(set)?.encloser else { return Ok(()) };
        self.proofs(packet)?.no_closer(&set.owner, &encloser)
    }

    /// Whether the message proves that the name, or its type, is not there.
    pub(super) fn denies(
        &self,
        packet: &Packet,
        name: &Name,
        kind: RecordType,
        gone: bool,
    ) -> Result<Denied, Why> {
        self.proofs(packet)?.absence(&self.zone, name, kind, gone)
    }

    fn proofs(&self, packet: &Packet) -> Result<Proofs, Why> {
        let mut proofs = Proofs::default();
        let spans = |set: &&RrSet| matches!(set.kind, RecordType::NSEC | RecordType::NSEC3);
        for set in packet.authorities.iter().filter(spans).take(MAX_SPANS) {
            self.holds(set)?;
            proofs.add(set);
        }
        Ok(proofs)
    }

    /// Whether one good signature lies over the set (RFC 4035 §5.3).
    fn holds(&self, set: &RrSet) -> Result<Held, Why> {
        let mut worst = Why::RrsigsMissing;
        for signature in &set.signatures {
            match self.check(set, signature) {
                Ok(held) => return Ok(held),
                Err(why) if worst == Why::RrsigsMissing || weight(why) > weight(worst) => {
                    worst = why;
                }
                Err(_) => {}
            }
        }
        Err(worst)
    }

    fn check(&self, set: &RrSet, signature: &Rrsig) -> Result<Held, Why> {
        let (begins, expires) = (signature.begins(self.now), signature.expires(self.now));
        let labels = usize::from(set.owner.num_labels());
        let signed = usize::from(signature.labels);
        if signature.signer != self.zone || !self.zone.zone_of(&set.owner) || signed > labels {
            return Err(Why::SignatureInvalid);
        }
        if !is_known_algorithm(signature.algorithm) {
            return Err(Why::UnsupportedDnskeyAlgorithm);
        }
        if expires < begins {
            return Err(Why::SignatureExpiredBeforeValid);
        }
        if expires < self.now {
            return Err(Why::SignatureExpired);
        }
        if begins > self.now {
            return Err(Why::SignatureNotYetValid);
        }
        let encloser = (signed < labels).then(|| set.owner.trim_to(signed));
        let owner = match &encloser {
            Some(encloser) => star(encloser).ok_or(Why::SignatureInvalid)?,
            None => set.owner.clone(),
        };
        for key in self.keys.iter().filter(|key| signature.may_be_by(key)) {
            let spend = |left: u32| left.checked_sub(1);
            if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_err() {
                return Err(Why::Indeterminate);
            }
            if signature.is_by(key, &owner, set.data.iter()) {
                return Ok(Held { encloser });
            }
        }
        Err(Why::SignatureInvalid)
    }
}

/// The alias that a name is in this message, signed itself or by the DNAME that made it.
fn alias<'a>(packet: &'a Packet, name: &Name) -> Option<(&'a RrSet, Name)> {
    let alias = packet.answer(name, RecordType::CNAME)?;
    let (target, _) = name_at(alias.data.first()?, 0)?;
    let moves = |set: &&RrSet| u16::from(set.kind) == DNAME && set.owner.zone_of(name);
    let made_by = packet.answers.iter().find(moves).filter(|_| alias.signatures.is_empty());
    Some((made_by.unwrap_or(alias), target))
}

/// Of several signatures' faults the one that says most.
fn weight(why: Why) -> u8 {
    match why {
        Why::SignatureExpired | Why::SignatureNotYetValid => 3,
        Why::SignatureInvalid | Why::SignatureExpiredBeforeValid => 2,
        _ => 1,
    }
}

/// The digest type that RFC 4509 ended.
const SHA1: u8 = 1;

const DNAME: u16 = 39;

/// Keys of one zone that are looked at.
const MAX_KEYS: usize = 32;

/// Signatures checked for one server.
const MAX_CHECKS: u32 = 1500;

/// NSEC and NSEC3 sets of one message that are looked at.
const MAX_SPANS: usize = 8;
