//! The records of DNSSEC (RFC 4034), read from their octets: keys, signatures, digests of keys.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519,
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RsaParameters, UnparsedPublicKey,
    VerificationAlgorithm,
};
use chrono::{DateTime, Utc};
use hickory_proto::rr::{Name, RecordType};

use super::packet::{name_at, u16_at, wire};
use crate::probe::memo::Memo;

/// A DNSKEY.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::probe::dns) struct Dnskey {
    /// The record's data.
    pub(super) octets: Vec<u8>,
    flags: u16,
    protocol: u8,
    pub(super) algorithm: u8,
    pub(super) tag: u16,
}

impl Dnskey {
    pub(super) fn read(octets: &[u8]) -> Option<Self> {
        let [_, _, protocol, algorithm, _, ..] = *octets else { return None };
        let flags = u16_at(octets, 0)?;
        Some(Self { octets: octets.to_vec(), flags, protocol, algorithm, tag: tag(octets) })
    }

    /// Whether it may sign a zone's data (RFC 4034 §2.1.1), and is not revoked (RFC 5011 §2.1).
    pub(super) fn signs_zone(&self) -> bool {
        self.flags & 0x0100 != 0 && self.flags & 0x0080 == 0 && self.protocol == 3
    }

    /// Whether the key made the signature. That it did holds at whatever time and server it comes again.
    fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        GOOD.once([&self.octets, message, signature], || self.works_out(message, signature))
    }

    fn works_out(&self, message: &[u8], signature: &[u8]) -> bool {
        let Some(key) = self.octets.get(4..) else { return false };
        let point = || [&[4], key].concat();
        let plain = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        let rsa = |parameters: &RsaParameters| {
            rsa_key(key).is_some_and(|(e, n)| {
                PublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
            })
        };
        match self.algorithm {
            5 | 7 => rsa(&RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY),
            8 => rsa(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY),
            10 => rsa(&RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY),
            13 => plain(&ECDSA_P256_SHA256_FIXED, &point()),
            14 => plain(&ECDSA_P384_SHA384_FIXED, &point()),
            15 => plain(&ED25519, key),
            _ => false,
        }
    }
}

/// Exponent and modulus of an RSA key (RFC 3110 §2).
fn rsa_key(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match *key {
        [0, high, low, ref rest @ ..] => (usize::from(u16::from_be_bytes([high, low])), rest),
        [length, ref rest @ ..] => (usize::from(length), rest),
        [] => return None,
    };
    (length > 0 && length < rest.len()).then(|| rest.split_at(length))
}

/// Whether signatures of an algorithm can be checked here.
pub(super) fn is_known_algorithm(algorithm: u8) -> bool {
    matches!(algorithm, 5 | 7 | 8 | 10 | 13 | 14 | 15)
}

/// Ed448: validators elsewhere check it.
pub(super) const ED448: u8 = 16;

/// RFC 4034 appendix B.
fn tag(key: &[u8]) -> u16 {
    let sum = key.iter().enumerate().fold(0_u32, |sum, (at, octet)| {
        sum.wrapping_add(if at % 2 == 0 { u32::from(*octet) << 8 } else { u32::from(*octet) })
    });
    let folded = sum + (sum >> 16 & 0xffff);
    u16::try_from(folded & 0xffff).unwrap_or_default()
}

/// A DS, or a CDS.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::probe::dns) struct Ds {
    pub(super) tag: u16,
    pub(super) algorithm: u8,
    pub(super) digest_type: u8,
    pub(super) digest: Vec<u8>,
}

impl Ds {
    pub(super) fn read(octets: &[u8]) -> Option<Self> {
        let [tag1, tag2, algorithm, digest_type, ref digest @ ..] = *octets else { return None };
        let tag = u16::from_be_bytes([tag1, tag2]);
        Some(Self { tag, algorithm, digest_type, digest: digest.to_vec() })
    }

    /// The digest of a key, as SHA-256.
    pub(super) fn of(zone: &Name, key: &Dnskey) -> Self {
        let digest = digest::digest(&digest::SHA256, &[&wire(zone)[..], &key.octets].concat());
        let digest = digest.as_ref().to_vec();
        Self { tag: key.tag, algorithm: key.algorithm, digest_type: 2, digest }
    }

    /// Whether the digest is one that can be worked out.
    pub(super) fn is_known_digest(&self) -> bool {
        self.digest().is_some()
    }

    fn digest(&self) -> Option<&'static digest::Algorithm> {
        match self.digest_type {
            1 => Some(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            2 => Some(&digest::SHA256),
            4 => Some(&digest::SHA384),
            _ => None,
        }
    }

    /// Whether it names this key of `zone`; `None` where its digest is none we know.
    pub(in crate::probe::dns) fn names(&self, zone: &Name, key: &Dnskey) -> Option<bool> {
        let algorithm = self.digest()?;
        Some(
            self.tag == key.tag
                && self.algorithm == key.algorithm
                && digest::digest(algorithm, &[&wire(zone)[..], &key.octets].concat()).as_ref()
                    == self.digest,
        )
    }
}

/// An RRSIG.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::probe::dns) struct Rrsig {
    pub(super) covers: RecordType,
    pub(super) algorithm: u8,
    pub(super) labels: u8,
    original_ttl: [u8; 4],
    expires: u32,
    begins: u32,
    tag: u16,
    pub(super) signer: Name,
    /// Its data up to the signature.
    head: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

impl Rrsig {
    /// Reads an RRSIG's data between two places of a message.
    pub(super) fn read(octets: &[u8], start: usize, end: usize) -> Option<Self> {
        let u32_at = |at: usize| Some(u32::from_be_bytes(octets.get(at..at + 4)?.try_into().ok()?));
        let (signer, rest) = name_at(octets, start + 18)?;
        let mut head = octets.get(start..start + 18)?.to_vec();
        head.extend(wire(&signer));
        Some(Self {
            covers: RecordType::from(u16_at(octets, start)?),
            algorithm: *octets.get(start + 2)?,
            labels: *octets.get(start + 3)?,
            original_ttl: octets.get(start + 4..start + 8)?.try_into().ok()?,
            expires: u32_at(start + 8)?,
            begins: u32_at(start + 12)?,
            tag: u16_at(octets, start + 16)?,
            signer,
            head,
            signature: octets.get(rest..end)?.to_vec(),
        })
    }

    /// Its end.
    pub(super) fn expires(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        near(self.expires, now)
    }

    /// Its inception.
    pub(super) fn begins(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        near(self.begins, now)
    }

    /// Whether it may be by this key.
    pub(super) fn may_be_by(&self, key: &Dnskey) -> bool {
        self.tag == key.tag && self.algorithm == key.algorithm
    }

    /// Whether this key made it over these data (RFC 4034 §3.1.8.1). `owner` is the name, or the
    /// wildcard that the answer came of.
    pub(super) fn is_by<'a>(
        &self,
        key: &Dnskey,
        owner: &Name,
        data: impl Iterator<Item = &'a Vec<u8>>,
    ) -> bool {
        let mut message = self.head.clone();
        let owner = wire(owner);
        for record in data {
            message.extend(&owner);
            message.extend(u16::from(self.covers).to_be_bytes());
            message.extend([0, 1]);
            message.extend(self.original_ttl);
            message.extend(u16::try_from(record.len()).unwrap_or_default().to_be_bytes());
            message.extend(record);
        }
        key.verifies(&message, &self.signature)
    }
}

/// The date nearest to `now` whose seconds are `raw` modulo 2³² (RFC 4034 §3.1.5).
fn near(raw: u32, now: DateTime<Utc>) -> DateTime<Utc> {
    let base = now.timestamp();
    let distance = raw.wrapping_sub((base & 0xffff_ffff) as u32).cast_signed();
    DateTime::from_timestamp(base + i64::from(distance), 0).unwrap_or(now)
}

static GOOD: LazyLock<Memo> = LazyLock::new(|| Memo::new(MOST_REMEMBERED));

/// Forty sets a zone of some 1,500 zones, in about 4 MB.
const MOST_REMEMBERED: usize = 65_536;

#[cfg(test)]
mod tests {
    use base64::Engine;

    use super::*;
    use crate::probe::dns::text;

    #[test]
    fn key_and_ds_of_the_rfc_match() {
        // RFC 4034 §5.4.
        let key = "AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZ\
                   DRD99WYwYqUSdjMmmAphXdvxegXd/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9Xzc\
                   nOf+EPbtG9DMBmADjFDc2w/rljwvFw==";
        let mut octets = vec![1, 0, 3, 5];
        octets.extend(base64::engine::general_purpose::STANDARD.decode(key).expect("base64"));
        let key = Dnskey::read(&octets).expect("a key");
        assert_eq!(key.tag, 60485);
        let zone = text::name("dskey.example.com").expect("a name");
        let digest = hex::decode("2BB183AF5F22588179A53B0A98631FAD1A292118").expect("hex");
        let mut ds = Ds { tag: 60485, algorithm: 5, digest_type: 1, digest };
        assert_eq!(ds.names(&zone, &key), Some(true));
        ds.digest[0] ^= 1;
        assert_eq!(ds.names(&zone, &key), Some(false));
        ds.digest_type = 250;
        assert_eq!(ds.names(&zone, &key), None);
    }

    #[test]
    fn a_signature_of_the_rfc_verifies_and_one_octet_off_does_not() {
        // RFC 6605 §6.1: www.example.net A 192.0.2.1 by ECDSAP256SHA256.
        let base64 =
            |text: &str| base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
        let mut key = vec![1, 1, 3, 13];
        key.extend(base64(
            "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
        ));
        let key = Dnskey::read(&key).expect("a key");
        assert_eq!(key.tag, 55648);
        let date = |text| {
            let date = chrono::NaiveDateTime::parse_from_str(text, "%Y%m%d%H%M%S").expect("a date");
            u32::try_from(date.and_utc().timestamp()).expect("32 bits").to_be_bytes()
        };
        let mut octets = vec![0, 1, 13, 3, 0, 0, 0x0e, 0x10];
        octets.extend(date("20100909100439"));
        octets.extend(date("20100812100439"));
        octets.extend(55648_u16.to_be_bytes());
        octets.extend(b"\x07example\x03net\x00");
        octets.extend(base64(
            "qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw==",
        ));
        let rrsig = Rrsig::read(&octets, 0, octets.len()).expect("a signature");
        let owner = text::name("www.example.net").expect("a name");
        assert!(rrsig.may_be_by(&key));
        assert!(rrsig.is_by(&key, &owner, [vec![192, 0, 2, 1]].iter()));
        assert!(!rrsig.is_by(&key, &owner, [vec![192, 0, 2, 2]].iter()));
    }

    #[test]
    fn times_beyond_2106_are_read_by_serial_arithmetic() {
        let late = DateTime::from_timestamp(0x1_0000_0010, 0).expect("a date");
        assert_eq!(near(0x20, late).timestamp(), 0x1_0000_0020);
        assert_eq!(near(0xffff_fff0, late).timestamp(), 0xffff_fff0);
    }
}
