//! A stapled OCSP response (RFC 6960), held to the certificate that it came with.

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use chrono::{DateTime, NaiveDateTime, SecondsFormat, TimeDelta, Utc};
use x509_parser::asn1_rs::BitString;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::verify::verify_signature;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use super::anchors::{Anchors, key};
use super::certificate::{parse, serial};
use super::chain::certifies;
use super::der::{
    BIT_STRING, ENUMERATED, Element, GENERALIZED_TIME, INTEGER, OCTET_STRING, OID, Row, SEQUENCE,
};

/// What a staple says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Staple {
    /// good, revoked, unknown, expired or invalid.
    pub(crate) status: &'static str,
    /// Whether it speaks of the leaf.
    pub(crate) matches: bool,
    pub(crate) next_update: Option<String>,
    /// Signed by the leaf's issuer, of the leaf, in force: revoked.
    pub(crate) proves_revoked: bool,
}

/// Reads the staple of a chain, leaf first. `None` if the leaf cannot be read.
pub(crate) fn judge(
    response: &[u8],
    served: &[Vec<u8>],
    anchors: &Anchors,
    now: DateTime<Utc>,
) -> Option<Staple> {
    let leaf = parse(served.first()?)?;
    let Some(response) = Response::read(response) else {
        let staple =
            Staple { status: INVALID, matches: false, next_update: None, proves_revoked: false };
        return Some(staple);
    };
    let keys = issuer_keys(&leaf, served, anchors);
    let keys: Vec<SubjectPublicKeyInfo<'_>> = keys.iter().filter_map(|der| key(der)).collect();
    let matches = response.is_about(&leaf, &keys);
    let is_signed = keys.iter().any(|issuer| response.is_signed_by(issuer, &leaf, now));
    let is_forged = matches && !keys.is_empty() && !is_signed;
    let is_early = response.this_update > now + TimeDelta::minutes(5);
    let is_late = response.next_update.is_some_and(|until| until < now);
    let status = match response.status {
        _ if is_forged || is_early => INVALID,
        _ if is_late => "expired",
        status => status,
    };
    Some(Staple {
        status,
        matches,
        next_update: response
            .next_update
            .map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)),
        proves_revoked: status == "revoked" && matches && is_signed,
    })
}

/// The keys that the leaf's issuer may have: of what was sent, and of anchors with its name.
fn issuer_keys(leaf: &X509Certificate<'_>, served: &[Vec<u8>], anchors: &Anchors) -> Vec<Vec<u8>> {
    let sent = served.iter().filter_map(|der| parse(der));
    sent.filter(|issuer| certifies(issuer, leaf))
        .map(|issuer| issuer.public_key().raw.to_vec())
        .chain(anchors.keys_of(leaf.issuer().as_raw()))
        .collect()
}

/// A successful BasicOCSPResponse, its first SingleResponse.
#[derive(Debug)]
struct Response<'a> {
    signed: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    responders: Vec<&'a [u8]>,
    hash: &'static Algorithm,
    issuer_name_hash: &'a [u8],
    issuer_key_hash: &'a [u8],
    serial: &'a [u8],
    status: &'static str,
    this_update: DateTime<Utc>,
    next_update: Option<DateTime<Utc>>,
}

impl<'a> Response<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let mut outer = Row(der).next(SEQUENCE)?.row();
        // successful(0)
        (outer.next(ENUMERATED)?.content == [0]).then_some(())?;
        let mut bytes = outer.next(0xa0)?.row().next(SEQUENCE)?.row();
        (bytes.next(OID)?.content == OCSP_BASIC).then_some(())?;
        let mut basic = bytes.next(OCTET_STRING)?.row().next(SEQUENCE)?.row();
        let data = basic.next(SEQUENCE)?;
        let algorithm = basic.next(SEQUENCE)?;
        let signature = basic.next(BIT_STRING)?;
        let mut responders = Vec::new();
        if let Some(list) = basic.next(0xa0) {
            let mut list = list.row().next(SEQUENCE)?.row();
            while let (Some(certificate), true) = (list.any(), responders.len() < 8) {
                responders.push(certificate.whole);
            }
        }
        let mut single = Self::first_single(data)?.row();
        let mut id = single.next(SEQUENCE)?.row();
        let hash = id.next(SEQUENCE)?.row().next(OID)?.content;
        let hash = match hash {
            SHA1_OID => &SHA1_FOR_LEGACY_USE_ONLY,
            SHA256_OID => &SHA256,
            _ => return None,
        };
        let issuer_name_hash = id.next(OCTET_STRING)?.content;
        let issuer_key_hash = id.next(OCTET_STRING)?.content;
        let serial = id.next(INTEGER)?.content;
        let status = match single.any()?.tag {
            0x80 => "good",
            0xa1 => "revoked",
            0x82 => "unknown",
            _ => return None,
        };
        let this_update = time(single.next(GENERALIZED_TIME)?)?;
        let next_update = match single.next(0xa0) {
            Some(explicit) => Some(time(explicit.row().next(GENERALIZED_TIME)?)?),
            None => None,
        };
        Some(Self {
            signed: data.whole,
            algorithm: algorithm.whole,
            signature: signature.whole,
            responders,
            hash,
            issuer_name_hash,
            issuer_key_hash,
            serial,
            status,
            this_update,
            next_update,
        })
    }

    fn first_single(data: Element<'a>) -> Option<Element<'a>> {
        let mut data = data.row();
        let _version = data.next(0xa0);
        let responder = data.any()?;
        matches!(responder.tag, 0xa1 | 0xa2).then_some(())?;
        data.next(GENERALIZED_TIME)?;
        data.next(SEQUENCE)?.row().next(SEQUENCE)
    }

    fn is_about(&self, leaf: &X509Certificate<'_>, issuers: &[SubjectPublicKeyInfo<'_>]) -> bool {
        let zeros = self.serial.iter().take_while(|&&byte| byte == 0).count();
        let ours = &self.serial[zeros.min(self.serial.len().saturating_sub(1))..];
        let name = digest(self.hash, leaf.issuer().as_raw());
        let is_issuer = |issuer: &SubjectPublicKeyInfo<'_>| {
            digest(self.hash, &issuer.subject_public_key.data).as_ref() == self.issuer_key_hash
        };
        ours == serial(leaf)
            && name.as_ref() == self.issuer_name_hash
            && (issuers.is_empty() || issuers.iter().any(is_issuer))
    }

    /// By the issuer itself, or by one whom it certified for just that (RFC 6960 §4.2.2.2).
    fn is_signed_by(
        &self,
        issuer: &SubjectPublicKeyInfo<'_>,
        leaf: &X509Certificate<'_>,
        now: DateTime<Utc>,
    ) -> bool {
        if self.verifies(issuer) {
            return true;
        }
        self.responders.iter().filter_map(|der| parse(der)).any(|delegate| {
            let signs_ocsp = delegate
                .extended_key_usage()
                .is_ok_and(|usage| usage.is_some_and(|usage| usage.value.ocsp_signing));
            let validity = delegate.validity();
            let range = validity.not_before.timestamp()..=validity.not_after.timestamp();
            signs_ocsp
                && range.contains(&now.timestamp())
                && delegate.issuer().as_raw() == leaf.issuer().as_raw()
                && delegate.verify_signature(Some(issuer)).is_ok()
                && self.verifies(delegate.public_key())
        })
    }

    fn verifies(&self, key: &SubjectPublicKeyInfo<'_>) -> bool {
        let Ok((_, algorithm)) = AlgorithmIdentifier::from_der(self.algorithm) else {
            return false;
        };
        let Ok((_, signature)) = BitString::from_der(self.signature) else { return false };
        verify_signature(key, &algorithm, &signature, self.signed).is_ok()
    }
}

/// `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5.2).
fn time(element: Element<'_>) -> Option<DateTime<Utc>> {
    let text = std::str::from_utf8(element.content).ok()?;
    NaiveDateTime::parse_from_str(text, "%Y%m%d%H%M%SZ").ok().map(|time| time.and_utc())
}

const INVALID: &str = "invalid";

/// 1.3.6.1.5.5.7.48.1.1
const OCSP_BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];

/// 1.3.14.3.2.26
const SHA1_OID: &[u8] = &[0x2b, 0x0e, 3, 2, 0x1a];

/// 2.16.840.1.101.3.4.2.1
const SHA256_OID: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Response::read(&bytes);
        }
    }
}
