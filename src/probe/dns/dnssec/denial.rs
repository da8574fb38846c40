//! Proofs that something is not there: NSEC (RFC 4034 §4, RFC 4035 §5.4) and NSEC3 (RFC 5155 §8).

use std::cmp::Ordering;

use aws_lc_rs::digest;
use hickory_proto::rr::{Name, RecordType};

use super::Why;
use super::packet::{RrSet, name_at, wire};

/// What a proof comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Denied {
    /// It is not there.
    Proven,
    /// It may be there, without signatures: an opt-out span.
    OptOut,
}

/// Verified NSEC and NSEC3 records of one message.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    nsec: Vec<Nsec>,
    nsec3: Vec<Nsec3>,
}

#[derive(Debug)]
struct Nsec {
    owner: Name,
    next: Name,
    types: Types,
}

#[derive(Debug)]
struct Nsec3 {
    hash: Vec<u8>,
    next: Vec<u8>,
    opt_out: bool,
    iterations: u16,
    salt: Vec<u8>,
    types: Types,
}

/// A type bit map (RFC 4034 §4.1.2).
#[derive(Debug)]
struct Types(Vec<u8>);

impl Proofs {
    /// Takes in a set that was verified.
    pub(super) fn add(&mut self, set: &RrSet) {
        for data in &set.data {
            match set.kind {
                RecordType::NSEC => self.nsec.extend(Nsec::read(&set.owner, data)),
                RecordType::NSEC3 => self.nsec3.extend(Nsec3::read(&set.owner, data)),
                _ => {}
            }
        }
    }

    /// Whether the name has no such type, or is not there at all where `gone`.
    pub(super) fn absence(
        &self,
        zone: &Name,
        name: &Name,
        kind: RecordType,
        gone: bool,
    ) -> Result<Denied, Why> {
        if self.too_costly() {
            return Err(Why::UnsupportedNsec3Iterations);
        }
        let proven = if gone {
            self.no_name(zone, name) || self.no_type(name, kind)
        } else {
            self.no_type(name, kind) || self.no_type_by_wildcard(zone, name, kind)
        };
        match proven {
            true => Ok(Denied::Proven),
            false if self.opts_out(zone, name) => Ok(Denied::OptOut),
            false => Err(Why::NsecMissing),
        }
    }

    /// Whether nothing closer than the wildcard at `encloser` answers for the name.
    pub(super) fn no_closer(&self, name: &Name, encloser: &Name) -> Result<(), Why> {
        if self.too_costly() {
            return Err(Why::UnsupportedNsec3Iterations);
        }
        let closer = name.trim_to(encloser.iter().count() + 1);
        let covered = self.nsec.iter().any(|nsec| nsec.covers(name))
            || self.nsec3.iter().any(|nsec3| nsec3.covers(&closer));
        covered.then_some(()).ok_or(Why::NsecMissing)
    }

    fn too_costly(&self) -> bool {
        self.nsec.is_empty() && self.nsec3.iter().any(|nsec3| nsec3.iterations > MAX_ITERATIONS)
    }

    fn no_type(&self, name: &Name, kind: RecordType) -> bool {
        let here = |nsec: &&Nsec| nsec.owner == *name;
        let empty = |nsec: &Nsec| nsec.covers(name) && name.zone_of(&nsec.next);
        self.nsec.iter().filter(here).any(|nsec| nsec.types.deny(kind))
            || self.nsec.iter().any(empty)
            || self.nsec3.iter().any(|nsec3| nsec3.is_of(name) && nsec3.types.deny(kind))
    }

    fn no_type_by_wildcard(&self, zone: &Name, name: &Name, kind: RecordType) -> bool {
        if let Some(encloser) = self.nsec_encloser(name) {
            return star(&encloser).is_some_and(|star| self.no_type(&star, kind));
        }
        self.nsec3_encloser(zone, name)
            .and_then(|(encloser, _)| star(&encloser))
            .is_some_and(|star| self.no_type(&star, kind))
    }

    fn no_name(&self, zone: &Name, name: &Name) -> bool {
        if let Some(encloser) = self.nsec_encloser(name) {
            return star(&encloser)
                .is_some_and(|star| self.nsec.iter().any(|nsec| nsec.covers(&star)));
        }
        self.nsec3_encloser(zone, name)
            .and_then(|(encloser, _)| star(&encloser))
            .is_some_and(|star| self.nsec3.iter().any(|nsec3| nsec3.covers(&star)))
    }

    fn opts_out(&self, zone: &Name, name: &Name) -> bool {
        self.nsec3_encloser(zone, name).is_some_and(|(_, opt_out)| opt_out)
    }

    /// The closest name that is there, by an NSEC that spans `name`.
    fn nsec_encloser(&self, name: &Name) -> Option<Name> {
        let nsec = self.nsec.iter().find(|nsec| nsec.covers(name) && !name.zone_of(&nsec.next))?;
        let depth = shared(name, &nsec.owner).max(shared(name, &nsec.next));
        Some(name.trim_to(depth))
    }

    /// The closest name that is there, and whether the span that the next one falls in opts out.
    fn nsec3_encloser(&self, zone: &Name, name: &Name) -> Option<(Name, bool)> {
        let (least, labels) = (zone.iter().count(), name.iter().count());
        let depth = (least..labels).rev().find(|depth| {
            let ancestor = name.trim_to(*depth);
            self.nsec3.iter().any(|nsec3| nsec3.is_of(&ancestor))
        })?;
        let closer = name.trim_to(depth + 1);
        let span = self.nsec3.iter().find(|nsec3| nsec3.covers(&closer))?;
        Some((name.trim_to(depth), span.opt_out))
    }
}

impl Nsec {
    fn read(owner: &Name, data: &[u8]) -> Option<Self> {
        let (next, at) = name_at(data, 0)?;
        Some(Self { owner: owner.clone(), next, types: Types(data.get(at..)?.to_vec()) })
    }

    fn covers(&self, name: &Name) -> bool {
        let after = order(&self.owner, name) == Ordering::Less;
        let before = order(name, &self.next) == Ordering::Less;
        let is_last = order(&self.next, &self.owner) != Ordering::Greater;
        // What lies below a cut, or is moved by a DNAME, the span does not speak of.
        let below = self.owner.zone_of(name) && self.owner != *name;
        let elsewhere = below && (self.types.is_cut() || self.types.has(DNAME));
        after && (before || is_last) && !elsewhere
    }
}

impl Nsec3 {
    fn read(owner: &Name, data: &[u8]) -> Option<Self> {
        let [SHA1, flags, i1, i2, salt_length, ref rest @ ..] = *data else { return None };
        let (salt, rest) = rest.split_at_checked(usize::from(salt_length))?;
        let (length, rest) = rest.split_first()?;
        let (next, types) = rest.split_at_checked(usize::from(*length))?;
        Some(Self {
            hash: base32hex(owner.iter().next()?)?,
            next: next.to_vec(),
            opt_out: flags & 1 == 1,
            iterations: u16::from_be_bytes([i1, i2]),
            salt: salt.to_vec(),
            types: Types(types.to_vec()),
        })
    }

    fn hashed(&self, name: &Name) -> Vec<u8> {
        let mut hash = wire(name);
        for _ in 0..=self.iterations.min(MAX_ITERATIONS) {
            hash.extend(&self.salt);
            hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &hash).as_ref().to_vec();
        }
        hash
    }

    fn is_of(&self, name: &Name) -> bool {
        self.hashed(name) == self.hash
    }

    fn covers(&self, name: &Name) -> bool {
        let hash = self.hashed(name);
        self.hash < hash && (hash < self.next || self.next <= self.hash)
            || self.next <= self.hash && hash < self.next
    }
}

impl Types {
    fn has(&self, number: u16) -> bool {
        let [window, low] = number.to_be_bytes();
        let mut rest = self.0.as_slice();
        while let [at, length, tail @ ..] = rest {
            let Some((bits, next)) = tail.split_at_checked(usize::from(*length)) else { break };
            if *at == window {
                return bits
                    .get(usize::from(low / 8))
                    .is_some_and(|b| b & (0x80 >> (low % 8)) != 0);
            }
            rest = next;
        }
        false
    }

    /// Whether it is the parent's side of a delegation.
    fn is_cut(&self) -> bool {
        self.has(NS) && !self.has(SOA)
    }

    /// Whether a record of this owner says that `kind` is not there. A child's apex says nothing of
    /// its DS, and a parent's cut only of that (RFC 4035 §5.4, RFC 6840 §4.4).
    fn deny(&self, kind: RecordType) -> bool {
        let kind = u16::from(kind);
        let side = if kind == DS { !self.has(SOA) } else { !self.is_cut() };
        side && !self.has(kind) && !self.has(CNAME)
    }
}

/// RFC 4034 §6.1.
fn order(one: &Name, other: &Name) -> Ordering {
    let labels = |name: &Name| -> Vec<Vec<u8>> {
        name.iter().rev().map(<[u8]>::to_ascii_lowercase).collect()
    };
    labels(one).cmp(&labels(other))
}

/// How many labels two names have in common, counted from the root.
fn shared(one: &Name, other: &Name) -> usize {
    let pairs = one.iter().rev().zip(other.iter().rev());
    pairs.take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count()
}

/// The wildcard below a name.
pub(super) fn star(encloser: &Name) -> Option<Name> {
    Name::from_labels(std::iter::once(b"*".as_slice()).chain(encloser.iter())).ok()
}

/// RFC 4648 §7, without padding.
fn base32hex(label: &[u8]) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for octet in label {
        let value = match octet.to_ascii_lowercase() {
            digit @ b'0'..=b'9' => digit - b'0',
            letter @ b'a'..=b'v' => letter - b'a' + 10,
            _ => return None,
        };
        held = (held << 5 | u32::from(value)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits & 0xff) as u8);
        }
    }
    Some(out)
}

/// The only hash of NSEC3 (RFC 5155 §11).
const SHA1: u8 = 1;

const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const DNAME: u16 = 39;
const DS: u16 = 43;

/// Above this validators take the answer for unsigned (RFC 9276 §3.2).
const MAX_ITERATIONS: u16 = 150;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::dns::text;

    fn n(name: &str) -> Name {
        text::name(name).expect("a name")
    }

    fn bitmap(types: &[u8]) -> Vec<u8> {
        let mut bits = [0_u8; 8];
        for kind in types {
            bits[usize::from(kind / 8)] |= 0x80 >> (kind % 8);
        }
        [&[0, 8], bits.as_slice()].concat()
    }

    fn nsec(chain: &[(&str, &str, &[u8])]) -> Proofs {
        let nsec = chain.iter().filter_map(|(owner, next, types)| {
            Nsec::read(&n(owner), &[wire(&n(next)), bitmap(types)].concat())
        });
        Proofs { nsec: nsec.collect(), nsec3: Vec::new() }
    }

    fn deny(proofs: &Proofs, name: &str, kind: RecordType, gone: bool) -> bool {
        proofs.absence(&n("z.test"), &n(name), kind, gone) == Ok(Denied::Proven)
    }

    #[test]
    fn names_are_ordered_as_the_rfc_shows() {
        let names = [
            "example",
            "a.example",
            "yljkjljk.a.example",
            "Z.a.example",
            "zABC.a.EXAMPLE",
            "z.example",
            "\\001.z.example",
            "*.z.example",
            "\\200.z.example",
        ];
        for pair in names.windows(2) {
            assert_eq!(order(&n(pair[0]), &n(pair[1])), Ordering::Less, "{pair:?}");
        }
    }

    #[test]
    fn a_span_of_nsec_denies_only_what_it_shows() {
        let apex: &[u8] = &[2, 6];
        let proofs = nsec(&[("z.test", "b.z.test", apex), ("b.z.test", "x.e.z.test", &[1])]);
        assert!(deny(&proofs, "a.z.test", RecordType::A, true));
        assert!(!deny(&proofs, "q.z.test", RecordType::A, true));
        assert!(deny(&proofs, "b.z.test", RecordType::AAAA, false));
        assert!(!deny(&proofs, "b.z.test", RecordType::A, false));
        assert!(deny(&proofs, "e.z.test", RecordType::A, false), "an empty name between");
        let cut = nsec(&[("d.z.test", "e.z.test", &[2])]);
        assert!(deny(&cut, "d.z.test", RecordType::DS, false));
        assert!(!deny(&cut, "d.z.test", RecordType::A, false), "the parent knows no data of it");
        assert!(!deny(&cut, "x.d.z.test", RecordType::A, true));
        assert!(!deny(&nsec(&[("z.test", "b.z.test", apex)]), "z.test", RecordType::DS, false));
    }

    #[test]
    fn hashes_of_nsec3_are_those_of_the_rfc() {
        // RFC 5155 appendix A: example, 12 iterations, salt aabbccdd.
        let nsec3 = Nsec3 {
            hash: base32hex(b"0p9mhaveqvm6t7vbl5lop2u3t2rp3tom").expect("a hash"),
            next: base32hex(b"2t7b4g4vsa5smi47k61mv5bv1a22bojr").expect("a hash"),
            opt_out: true,
            iterations: 12,
            salt: vec![0xaa, 0xbb, 0xcc, 0xdd],
            types: Types(Vec::new()),
        };
        assert!(nsec3.is_of(&n("example")));
        assert_eq!(nsec3.hashed(&n("ns1.example")), nsec3.next);
        // Appendix B.1: c.x.w.example, whose next closer name is c.x.w.example.
        assert!(nsec3.covers(&n("c.x.w.example")));
        assert!(!nsec3.covers(&n("x.w.example")));

        let costly = Nsec3 { iterations: MAX_ITERATIONS + 1, ..nsec3 };
        let proofs = Proofs { nsec: Vec::new(), nsec3: vec![costly] };
        let name = n("c.x.w.example");
        let verdict = proofs.absence(&n("example"), &name, RecordType::A, true);
        assert_eq!(verdict, Err(Why::UnsupportedNsec3Iterations));
    }
}
