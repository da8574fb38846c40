//! A message once more, octet by octet: signatures hold what was sent, so that nothing may be lost in
//! between, and names in record data must be spelled as the signer spelled them (RFC 4034 §6.2).

use std::collections::BTreeSet;

use hickory_proto::rr::{Name, RecordType};

use super::record::Rrsig;

/// A message's record sets.
#[derive(Clone, Debug, Default)]
pub(in crate::probe::dns) struct Packet {
    /// NXDOMAIN.
    pub(super) nxdomain: bool,
    /// What was asked for.
    pub(super) answers: Vec<RrSet>,
    /// What speaks of the zone: SOA, NSEC, NSEC3.
    pub(super) authorities: Vec<RrSet>,
}

/// Records of one owner and type, with the signatures over them.
#[derive(Clone, Debug)]
pub(super) struct RrSet {
    /// The owner, lower-case.
    pub(super) owner: Name,
    /// The type.
    pub(super) kind: RecordType,
    /// Record data in canonical form and order.
    pub(super) data: BTreeSet<Vec<u8>>,
    /// Signatures over the set.
    pub(super) signatures: Vec<Rrsig>,
}

impl Packet {
    /// Reads a message that an authority answered with. `None` where it can't be read, or is of
    /// no authority's making.
    pub(in crate::probe::dns) fn read(octets: &[u8]) -> Option<Self> {
        let flags = u16_at(octets, 2)?;
        let code = flags & 0xf;
        if flags & AUTHORITATIVE == 0 || (code != 0 && code != 3) {
            return None;
        }
        let [questions, answers, authorities] = [4, 6, 8].map(|at| u16_at(octets, at));
        let mut at = 12;
        for _ in 0..questions? {
            at = name_at(octets, at)?.1 + 4;
        }
        let mut packet = Self { nxdomain: code == 3, ..Self::default() };
        at = sets(octets, at, answers?, &mut packet.answers)?;
        sets(octets, at, authorities?, &mut packet.authorities)?;
        Some(packet)
    }

    /// The answer's set of an owner and type.
    pub(super) fn answer(&self, owner: &Name, kind: RecordType) -> Option<&RrSet> {
        self.answers.iter().find(|set| set.kind == kind && set.owner == *owner)
    }

    /// Every set of the message.
    pub(super) fn sets(&self) -> impl Iterator<Item = &RrSet> {
        self.answers.iter().chain(&self.authorities)
    }

    /// About how much memory it takes.
    pub(in crate::probe::dns) fn weight(&self) -> usize {
        let of = |set: &RrSet| {
            let data: usize = set.data.iter().map(Vec::len).sum();
            64 + data + set.signatures.iter().map(|one| 64 + one.signature.len()).sum::<usize>()
        };
        self.sets().map(of).sum()
    }
}

/// Reads a section, and where it ends.
fn sets(octets: &[u8], mut at: usize, count: u16, into: &mut Vec<RrSet>) -> Option<usize> {
    for _ in 0..count {
        let (owner, fixed) = name_at(octets, at)?;
        let kind = RecordType::from(u16_at(octets, fixed)?);
        let class = u16_at(octets, fixed + 2)?;
        let start = fixed + 10;
        at = start + usize::from(u16_at(octets, fixed + 8)?);
        octets.get(start..at)?;
        if class != IN {
            continue;
        }
        if kind == RecordType::RRSIG {
            let Some(signature) = Rrsig::read(octets, start, at) else { continue };
            let set = of(into, owner, signature.covers)?;
            if set.signatures.len() < MAX_SIGNATURES {
                set.signatures.push(signature);
            }
        } else {
            let data = canonical(octets, kind, start, at)?;
            of(into, owner, kind)?.data.insert(data);
        }
    }
    Some(at)
}

fn of(sets: &mut Vec<RrSet>, owner: Name, kind: RecordType) -> Option<&mut RrSet> {
    let at = match sets.iter().position(|set| set.kind == kind && set.owner == owner) {
        Some(at) => at,
        None if sets.len() >= MAX_SETS => return None,
        None => {
            let (data, signatures) = (BTreeSet::new(), Vec::new());
            sets.push(RrSet { owner, kind, data, signatures });
            sets.len() - 1
        }
    };
    sets.get_mut(at)
}

/// Record data with names written out in small letters, where the type is one of RFC 4034 §6.2's.
fn canonical(octets: &[u8], kind: RecordType, start: usize, end: usize) -> Option<Vec<u8>> {
    let (before, names) = match u16::from(kind) {
        // NS, MD, MF, CNAME, MB, MG, MR, PTR, DNAME.
        2..=5 | 7..=9 | 12 | 39 => (0, 1),
        // SOA, MINFO, RP.
        6 | 14 | 17 => (0, 2),
        // MX, AFSDB, RT, KX.
        15 | 18 | 21 | 36 => (2, 1),
        // PX.
        26 => (2, 2),
        // SRV.
        33 => (6, 1),
        // NAPTR: three strings, then a name.
        35 => {
            let mut at = start + 4;
            for _ in 0..3 {
                at += 1 + usize::from(*octets.get(at)?);
            }
            (at - start, 1)
        }
        _ => return octets.get(start..end).map(<[u8]>::to_vec),
    };
    let mut at = start + before;
    let mut out = octets.get(start..at)?.to_vec();
    for _ in 0..names {
        let (name, next) = name_at(octets, at)?;
        out.extend(wire(&name));
        at = next;
    }
    out.extend(octets.get(at..end)?);
    Some(out)
}

/// Reads a name, and where it ends. Pointers lead back only, so that there is an end.
pub(super) fn name_at(octets: &[u8], start: usize) -> Option<(Name, usize)> {
    let (mut at, mut end, mut floor) = (start, None, start);
    let (mut labels, mut length): (Vec<Vec<u8>>, usize) = (Vec::new(), 1);
    loop {
        match usize::from(*octets.get(at)?) {
            0 => break,
            size @ 1..64 => {
                length += size + 1;
                if length > 255 {
                    return None;
                }
                labels.push(octets.get(at + 1..at + 1 + size)?.to_ascii_lowercase());
                at += 1 + size;
            }
            size if size >= 0xc0 => {
                end.get_or_insert(at + 2);
                let to = usize::from(u16_at(octets, at)? & 0x3fff);
                if to >= floor {
                    return None;
                }
                (floor, at) = (to, to);
            }
            _ => return None,
        }
    }
    let name = if labels.is_empty() { Name::root() } else { Name::from_labels(labels).ok()? };
    Some((name, end.unwrap_or(at + 1)))
}

/// A name as octets, in small letters.
pub(super) fn wire(name: &Name) -> Vec<u8> {
    let mut octets = Vec::with_capacity(64);
    for label in name.iter() {
        octets.push(u8::try_from(label.len()).unwrap_or_default());
        octets.extend(label.to_ascii_lowercase());
    }
    octets.push(0);
    octets
}

pub(super) fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(octets.get(at..at + 2)?.try_into().ok()?))
}

/// AA.
const AUTHORITATIVE: u16 = 0x0400;

/// The class of the Internet.
const IN: u16 = 1;

/// Signatures of one set that are looked at.
const MAX_SIGNATURES: usize = 16;

/// Sets of one section.
const MAX_SETS: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(records: &[u8], count: u8) -> Vec<u8> {
        let mut octets = vec![0, 1, 0x84, 0, 0, 1, 0, count, 0, 0, 0, 0];
        octets.extend(b"\x01A\x04Test\x00\x00\x0f\x00\x01");
        octets.extend(records);
        octets
    }

    #[test]
    fn names_in_record_data_are_written_out_in_small_letters() {
        let records = b"\xc0\x0c\x00\x0f\x00\x01\x00\x00\x00\x09\x00\x07\x00\x0a\x02MX\xc0\x0e";
        let packet = Packet::read(&answer(records, 1)).expect("a packet");
        let set = &packet.answers[0];
        assert_eq!(set.owner.to_string(), "a.test.");
        assert!(set.data.contains(b"\x00\x0a\x02mx\x04test\x00".as_slice()), "{:?}", set.data);
    }

    #[test]
    fn a_name_that_points_forward_or_at_itself_is_refused() {
        for octets in [b"\xc0\x00".as_slice(), b"\x01a\xc0\x00", b"\xc0\x02\x00", b"\x40", b"\x05a"]
        {
            assert_eq!(name_at(octets, 0), None, "{octets:?}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_bring_it_down(mut octets in prop::collection::vec(any::<u8>(), 0..400)) {
            if octets.len() > 3 {
                (octets[2], octets[3]) = (0x84, 0);
            }
            let _ = Packet::read(&octets);
        }
    }
}
