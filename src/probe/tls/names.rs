//! Groups and signature schemes: IANA's numbers and names, and which of them a hello may carry.

use std::borrow::Cow;

use crate::probe::trust::certificate::{key_type, parse};

use super::wire::Version;

/// The name of a group ("TLS Supported Groups").
pub(super) fn group(number: u16) -> Cow<'static, str> {
    named(GROUPS, number)
}

/// The name of a signature scheme ("TLS SignatureScheme"); pairs of TLS 1.2 that have none stand as
/// their number.
pub(super) fn scheme(number: u16) -> Cow<'static, str> {
    named(SCHEMES, number)
}

/// The groups of a hello capped at this version. TLS 1.3 hellos carry no retired curve, since
/// strict servers refuse those.
pub(super) fn groups_for(ceiling: Version) -> &'static [u16] {
    if ceiling == Version::Tls13 { &GROUPS_13 } else { &GROUPS_BELOW_13 }
}

/// The certificates that a hello asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kinds {
    Any,
    Ecdsa,
    Rsa,
}

impl Kinds {
    /// The kind that the leaf is of.
    pub(super) fn of(leaf: &[u8]) -> Option<Self> {
        match key_type(parse(leaf)?.public_key()).as_str() {
            "rsa" | "rsa-pss" => Some(Self::Rsa),
            "ec" | "ed25519" | "ed448" => Some(Self::Ecdsa),
            _ => None,
        }
    }

    /// Whether the scheme needs a key of this kind.
    pub(super) fn fits(self, scheme: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Ecdsa => is_ecdsa(scheme),
            Self::Rsa => is_rsa(scheme),
        }
    }
}

/// The schemes of a hello capped at this version.
pub(super) fn schemes_for(ceiling: Version, kinds: Kinds) -> Vec<u16> {
    let legal: &[u16] = match ceiling {
        Version::Tls13 => &SCHEMES_13,
        Version::Tls12 => &SCHEMES_12,
        // RFC 5246 §7.4.1.4.1 brought the extension.
        _ => &[],
    };
    legal.iter().copied().filter(|scheme| kinds.fits(*scheme)).collect()
}

/// Whether the scheme needs an EC or EdDSA key.
fn is_ecdsa(scheme: u16) -> bool {
    matches!(scheme, 0x0203 | 0x0303 | 0x0403 | 0x0503 | 0x0603 | 0x0807 | 0x0808)
}

/// Whether the scheme needs an RSA key.
fn is_rsa(scheme: u16) -> bool {
    matches!(scheme, 0x0101 | 0x0201 | 0x0301 | 0x0401 | 0x0501 | 0x0601 | 0x0804..=0x0806 | 0x0809..=0x080b)
}

fn named(table: &[(u16, &'static str)], number: u16) -> Cow<'static, str> {
    match table.iter().find(|&&(n, _)| n == number) {
        Some(&(_, name)) => Cow::Borrowed(name),
        None => Cow::Owned(format!("{number:#06x}")),
    }
}

const GROUPS_13: [u16; 18] = [
    0x11ec, 0x001d, 0x0017, 0x0018, 0x0019, 0x001e, 0x11eb, 0x11ed, 0x0200, 0x0201, 0x0202, 0x0100,
    0x0101, 0x0102, 0x0103, 0x0104, 0x001f, 0x0020,
];

const GROUPS_BELOW_13: [u16; 35] = [
    29, 23, 24, 25, 30, 26, 27, 28, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
    19, 20, 21, 22, 0x0100, 0x0101, 0x0102, 0x0103, 0x0104,
];

const SCHEMES_13: [u16; 13] = [
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x0401,
    0x0501,
];

const SCHEMES_12: [u16; 22] = [
    0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080a, 0x080b, 0x0401,
    0x0501, 0x0601, 0x0303, 0x0301, 0x0302, 0x0402, 0x0203, 0x0201, 0x0202, 0x0101,
];

const GROUPS: &[(u16, &str)] = &[
    (1, "sect163k1"),
    (2, "sect163r1"),
    (3, "sect163r2"),
    (4, "sect193r1"),
    (5, "sect193r2"),
    (6, "sect233k1"),
    (7, "sect233r1"),
    (8, "sect239k1"),
    (9, "sect283k1"),
    (10, "sect283r1"),
    (11, "sect409k1"),
    (12, "sect409r1"),
    (13, "sect571k1"),
    (14, "sect571r1"),
    (15, "secp160k1"),
    (16, "secp160r1"),
    (17, "secp160r2"),
    (18, "secp192k1"),
    (19, "secp192r1"),
    (20, "secp224k1"),
    (21, "secp224r1"),
    (22, "secp256k1"),
    (23, "secp256r1"),
    (24, "secp384r1"),
    (25, "secp521r1"),
    (26, "brainpoolP256r1"),
    (27, "brainpoolP384r1"),
    (28, "brainpoolP512r1"),
    (29, "x25519"),
    (30, "x448"),
    (31, "brainpoolP256r1tls13"),
    (32, "brainpoolP384r1tls13"),
    (33, "brainpoolP512r1tls13"),
    (0x0100, "ffdhe2048"),
    (0x0101, "ffdhe3072"),
    (0x0102, "ffdhe4096"),
    (0x0103, "ffdhe6144"),
    (0x0104, "ffdhe8192"),
    (0x0200, "MLKEM512"),
    (0x0201, "MLKEM768"),
    (0x0202, "MLKEM1024"),
    (0x11eb, "SecP256r1MLKEM768"),
    (0x11ec, "X25519MLKEM768"),
    (0x11ed, "SecP384r1MLKEM1024"),
    (0x6399, "X25519Kyber768Draft00"),
];

const SCHEMES: &[(u16, &str)] = &[
    (0x0201, "rsa_pkcs1_sha1"),
    (0x0203, "ecdsa_sha1"),
    (0x0401, "rsa_pkcs1_sha256"),
    (0x0403, "ecdsa_secp256r1_sha256"),
    (0x0501, "rsa_pkcs1_sha384"),
    (0x0503, "ecdsa_secp384r1_sha384"),
    (0x0601, "rsa_pkcs1_sha512"),
    (0x0603, "ecdsa_secp521r1_sha512"),
    (0x0804, "rsa_pss_rsae_sha256"),
    (0x0805, "rsa_pss_rsae_sha384"),
    (0x0806, "rsa_pss_rsae_sha512"),
    (0x0807, "ed25519"),
    (0x0808, "ed448"),
    (0x0809, "rsa_pss_pss_sha256"),
    (0x080a, "rsa_pss_pss_sha384"),
    (0x080b, "rsa_pss_pss_sha512"),
    (0x0904, "mldsa44"),
    (0x0905, "mldsa65"),
    (0x0906, "mldsa87"),
];
