//! ClientHellos. Each holds only what its version allows, so that a strict server answers for the
//! version and not for a stray extension.

use super::names::{self, Kinds};
use super::shares;
use super::suites::{self, Breadth};
use super::wire::{Version, u16s, vec8, vec16, vec24};

/// What one hello asks, whole: what is not in here is not sent. An empty list leaves its extension
/// out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct HelloSpec {
    /// The newest version it offers. Below TLS 1.3 it offers every older one by that.
    pub(super) ceiling: Version,
    /// `supported_versions`: with it, only these are offered.
    pub(super) versions: Vec<Version>,
    /// The version that the record claims.
    pub(super) record: u16,
    /// Cipher suites, in order. SSLv2 has its own ([`ssl2_cipher`]).
    pub(super) suites: Vec<u16>,
    pub(super) groups: Vec<u16>,
    pub(super) schemes: Vec<u16>,
    pub(super) shares: Shares,
    pub(super) alpn: Vec<Vec<u8>>,
    /// Whether DEFLATE is offered beside no compression.
    pub(super) deflate: bool,
    /// Whether the server name is sent, where there is one.
    pub(super) sni: bool,
    pub(super) status_request: bool,
    pub(super) sct: bool,
    /// Extended master secret.
    pub(super) ems: bool,
    /// Encrypt-then-MAC.
    pub(super) etm: bool,
    /// An empty session ticket.
    pub(super) ticket: bool,
    /// `renegotiation_info`; in SSLv3 its signalling suite.
    pub(super) reneg: bool,
    /// TLS_FALLBACK_SCSV.
    pub(super) scsv: bool,
    pub(super) heartbeat: bool,
    /// Algorithms of `compress_certificate` (RFC 8879).
    pub(super) cert_compression: Vec<u16>,
    /// Reserved values among suites, groups, versions and extensions (RFC 8701).
    pub(super) grease: bool,
    /// The length that padding brings the handshake message to, at most [`MAX_PADDED`].
    pub(super) pad_to: Option<usize>,
    /// Where the bytes are cut in two segments, sent one after the other.
    pub(super) split_at: Option<usize>,
}

/// The key shares of a TLS 1.3 hello.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Shares {
    /// No extension at all.
    None,
    /// An empty list makes the server name suite and group in a HelloRetryRequest without any key
    /// operation (RFC 8446 §4.2.8).
    Empty,
    /// Valid keys of these groups, which nobody knows the other half of. Groups without a known
    /// constant are left out.
    Constant(Vec<u16>),
}

impl HelloSpec {
    /// A hello for this version alone: below TLS 1.3 older ones are offered too, as hellos cannot
    /// help but do.
    pub(super) fn new(ceiling: Version, breadth: Breadth) -> Self {
        let kinds = match breadth {
            Breadth::Common | Breadth::Every => Kinds::Any,
            Breadth::Ecdsa => Kinds::Ecdsa,
            Breadth::Rsa => Kinds::Rsa,
        };
        let spec = Self { schemes: names::schemes_for(ceiling, kinds), ..Self::plain(ceiling) };
        match ceiling {
            // Servers that dislike an empty list of shares get a real one.
            Version::Tls13 if breadth == Breadth::Common => {
                Self { shares: Shares::Constant(vec![0x001d]), ..spec }
            }
            Version::Tls13 => spec,
            _ => Self { suites: suites::below_tls13(breadth), ..spec },
        }
    }

    /// A hello for TLS 1.3 and 1.2, as current clients send it.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the checks of features"))]
    pub(super) fn current() -> Self {
        let tls13 = Self::new(Version::Tls13, Breadth::Common);
        let suites = [tls13.suites.clone(), suites::below_tls13(Breadth::Common)].concat();
        let versions = vec![Version::Tls13, Version::Tls12];
        Self { versions, suites, ems: true, etm: true, ticket: true, reneg: true, ..tls13 }
    }

    /// Everything that this version has, but for suites below TLS 1.3.
    fn plain(ceiling: Version) -> Self {
        let is_13 = ceiling == Version::Tls13;
        let has_extensions = ceiling > Version::Ssl3;
        let clear = has_extensions && !is_13;
        Self {
            ceiling,
            versions: if is_13 { vec![ceiling] } else { Vec::new() },
            record: ceiling.code().min(Version::Tls10.code()),
            suites: if is_13 { suites::tls13() } else { Vec::new() },
            groups: match has_extensions {
                true => names::groups_for(ceiling).to_vec(),
                false => Vec::new(),
            },
            schemes: names::schemes_for(ceiling, Kinds::Any),
            shares: if is_13 { Shares::Empty } else { Shares::None },
            alpn: Vec::new(),
            deflate: !is_13,
            sni: has_extensions,
            status_request: has_extensions,
            sct: false,
            ems: clear,
            etm: clear,
            ticket: clear,
            reneg: !is_13,
            scsv: false,
            heartbeat: false,
            cert_compression: Vec::new(),
            grease: false,
            pad_to: None,
            split_at: None,
        }
    }

    /// Whether an answer of this version keeps to the offer.
    pub(super) fn offers(&self, version: Version) -> bool {
        match self.versions.as_slice() {
            [] => version <= self.ceiling,
            versions => versions.contains(&version),
        }
    }

    /// The bytes to send; `server_name` is a DNS name, never an address.
    pub(super) fn encode(&self, server_name: Option<&str>, rng: &mut fastrand::Rng) -> Vec<u8> {
        if self.ceiling == Version::Ssl2 {
            return encode_ssl2(rng);
        }
        let server_name = server_name.filter(|_| self.sni);
        let mut message = vec![1];
        vec24(&mut message, |out| self.body(out, server_name, rng));
        let mut out = Vec::with_capacity(message.len() + 5);
        for part in message.chunks(MAX_FRAGMENT) {
            out.push(22);
            u16s(&mut out, &[self.record]);
            vec16(&mut out, |out| out.extend_from_slice(part));
        }
        out
    }

    fn body(&self, out: &mut Vec<u8>, server_name: Option<&str>, rng: &mut fastrand::Rng) {
        let start = out.len();
        u16s(out, &[self.ceiling.code().min(Version::Tls12.code())]);
        random(out, 32, rng);
        vec8(out, |out| {
            // RFC 8446 §D.4: middleboxes want to see a session id.
            if self.ceiling == Version::Tls13 {
                random(out, 32, rng);
            }
        });
        vec16(out, |out| {
            if self.grease {
                u16s(out, &[GREASE_SUITE]);
            }
            u16s(out, &self.suites);
            // SSLv3 has no extensions; this value says what renegotiation_info would.
            if self.ceiling == Version::Ssl3 && self.reneg {
                u16s(out, &[0x00ff]);
            }
            if self.scsv {
                u16s(out, &[0x5600]);
            }
        });
        vec8(out, |out| out.extend_from_slice(if self.deflate { &[1, 0] } else { &[0] }));
        if self.ceiling > Version::Ssl3 {
            let written = out.len() - start;
            let mut extensions = self.extensions(server_name, rng);
            self.pad(&mut extensions, written);
            vec16(out, |out| out.append(&mut extensions));
        }
    }

    fn extensions(&self, server_name: Option<&str>, rng: &mut fastrand::Rng) -> Vec<u8> {
        let mut bytes = Vec::new();
        let out = &mut bytes;
        if self.grease {
            extension(out, GREASE_EXTENSION, |_| {});
        }
        if let Some(name) = server_name {
            extension(out, 0, |out| {
                vec16(out, |out| {
                    out.push(0);
                    vec16(out, |out| out.extend_from_slice(name.as_bytes()));
                });
            });
        }
        let grease = |value: u16| if self.grease { vec![value] } else { Vec::new() };
        if !self.groups.is_empty() {
            let groups = [grease(GREASE_GROUP), self.groups.clone()].concat();
            extension(out, 10, |out| vec16(out, |out| u16s(out, &groups)));
        }
        if self.status_request {
            extension(out, 5, |out| out.extend_from_slice(&[1, 0, 0, 0, 0]));
        }
        if !self.schemes.is_empty() {
            extension(out, 13, |out| vec16(out, |out| u16s(out, &self.schemes)));
        }
        if !self.alpn.is_empty() {
            extension(out, 16, |out| {
                vec16(out, |out| {
                    for protocol in &self.alpn {
                        vec8(out, |out| out.extend_from_slice(protocol));
                    }
                });
            });
        }
        if !self.versions.is_empty() {
            let own = self.versions.iter().map(|version| version.code());
            let versions: Vec<u16> = grease(GREASE_VERSION).into_iter().chain(own).collect();
            extension(out, 43, |out| vec8(out, |out| u16s(out, &versions)));
            extension(out, 45, |out| out.extend_from_slice(&[1, 1]));
        }
        self.flags(out);
        if self.shares != Shares::None {
            extension(out, 51, |out| vec16(out, |out| self.shares(out, rng)));
        }
        if self.reneg {
            extension(out, 65281, |out| out.push(0));
        }
        bytes
    }

    /// Extensions that are there or not.
    fn flags(&self, out: &mut Vec<u8>) {
        if self.ceiling < Version::Tls13 || self.offers(Version::Tls12) {
            // Uncompressed points, the only form still in use (RFC 8422 §5.1.2).
            extension(out, 11, |out| vec8(out, |out| out.push(0)));
        }
        if self.heartbeat {
            extension(out, 15, |out| out.push(1));
        }
        for (is_on, number) in [(self.sct, 18), (self.etm, 22), (self.ems, 23)] {
            if is_on {
                extension(out, number, |_| {});
            }
        }
        if !self.cert_compression.is_empty() {
            extension(out, 27, |out| vec8(out, |out| u16s(out, &self.cert_compression)));
        }
        if self.ticket {
            extension(out, 35, |_| {});
        }
    }

    fn shares(&self, out: &mut Vec<u8>, rng: &mut fastrand::Rng) {
        let Shares::Constant(groups) = &self.shares else { return };
        for &group in groups {
            // 32 random bytes are a valid x25519 share, and look like any client's.
            let share = match group {
                0x001d => Some(std::iter::repeat_with(|| rng.u8(..)).take(32).collect()),
                _ => shares::constant(group),
            };
            if let Some(share) = share {
                u16s(out, &[group]);
                vec16(out, |out| out.extend_from_slice(&share));
            }
        }
    }

    /// RFC 7685; `written` bytes of the body come before the extensions.
    fn pad(&self, extensions: &mut Vec<u8>, written: usize) {
        let Some(target) = self.pad_to else { return };
        // Headers of message (4), extensions (2) and padding (4).
        let length = 4 + written + 2 + extensions.len() + 4;
        if let Some(missing) = target.min(MAX_PADDED).checked_sub(length) {
            extension(extensions, 21, |out| out.resize(out.len() + missing, 0));
        }
    }
}

/// SSLv2's own form (draft-hickman-netscape-ssl-00 §2.5).
fn encode_ssl2(rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut body = vec![1];
    u16s(&mut body, &[Version::Ssl2.code(), 3 * SSL2_CIPHERS_LEN, 0, 16]);
    for (cipher, _) in SSL2_CIPHERS {
        body.extend_from_slice(&cipher.to_be_bytes()[1..]);
    }
    random(&mut body, 16, rng);
    // Under 256 bytes: the length fits the second byte.
    let mut out = vec![0x80, u8::try_from(body.len()).unwrap_or(u8::MAX)];
    out.append(&mut body);
    out
}

/// The name of an SSLv2 cipher kind.
pub(super) fn ssl2_cipher(number: u32) -> Option<&'static str> {
    SSL2_CIPHERS.iter().find(|&&(n, _)| n == number).map(|&(_, name)| name)
}

fn extension(out: &mut Vec<u8>, number: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    u16s(out, &[number]);
    vec16(out, fill);
}

fn random(out: &mut Vec<u8>, count: usize, rng: &mut fastrand::Rng) {
    out.extend(std::iter::repeat_with(|| rng.u8(..)).take(count));
}

/// No hello is padded beyond this.
pub(super) const MAX_PADDED: usize = 32 * 1024;

/// RFC 8446 §5.1.
const MAX_FRAGMENT: usize = 1 << 14;

/// Reserved so that nobody ever implements them (RFC 8701 §2).
pub(super) const GREASE_SUITE: u16 = 0x0a0a;
pub(super) const GREASE_GROUP: u16 = 0x1a1a;
pub(super) const GREASE_SCHEME: u16 = 0x2a2a;
const GREASE_EXTENSION: u16 = 0x2a2a;
const GREASE_VERSION: u16 = 0x3a3a;

const SSL2_CIPHERS_LEN: u16 = 7;

const SSL2_CIPHERS: [(u32, &str); SSL2_CIPHERS_LEN as usize] = [
    (0x01_0080, "SSL2_RC4_128_WITH_MD5"),
    (0x02_0080, "SSL2_RC4_128_EXPORT40_WITH_MD5"),
    (0x03_0080, "SSL2_RC2_128_CBC_WITH_MD5"),
    (0x04_0080, "SSL2_RC2_128_CBC_EXPORT40_WITH_MD5"),
    (0x05_0080, "SSL2_IDEA_128_CBC_WITH_MD5"),
    (0x06_0040, "SSL2_DES_64_CBC_WITH_MD5"),
    (0x07_00c0, "SSL2_DES_192_EDE3_CBC_WITH_MD5"),
];

#[cfg(test)]
mod tests {
    use super::super::wire::Cursor;
    use super::*;

    fn encode(ceiling: Version, breadth: Breadth, name: Option<&str>) -> Vec<u8> {
        HelloSpec::new(ceiling, breadth).encode(name, &mut fastrand::Rng::with_seed(1))
    }

    #[test]
    fn every_hello_is_one_record_that_reads_back_whole() {
        for ceiling in Version::ALL.into_iter().skip(1) {
            for breadth in [Breadth::Every, Breadth::Common, Breadth::Rsa, Breadth::Ecdsa] {
                let bytes = encode(ceiling, breadth, Some("a.test"));
                let mut record = Cursor(&bytes);
                assert_eq!(record.take(1), Some(&[22][..]));
                let _ = record.u16();
                let mut message = Cursor(record.vec16().expect("a record"));
                assert!(record.is_empty());
                assert_eq!(message.u8(), Some(1));
                let mut body = Cursor(message.vec24().expect("a message"));
                assert!(message.is_empty());
                assert_eq!(body.u16(), Some(ceiling.code().min(0x0303)));
                assert!(body.take(32).is_some() && body.vec8().is_some());
                assert!(body.vec16().is_some() && body.vec8().is_some());
                if ceiling > Version::Ssl3 {
                    let mut extensions = Cursor(body.vec16().expect("extensions"));
                    while !extensions.is_empty() {
                        assert!(extensions.u16().is_some() && extensions.vec16().is_some());
                    }
                }
                assert!(body.is_empty());
                assert!(bytes.len() < 1_200, "one segment, not {}", bytes.len());
            }
        }
    }

    #[test]
    fn no_hello_holds_what_its_version_does_not_allow() {
        for ceiling in Version::ALL {
            for breadth in [Breadth::Every, Breadth::Common, Breadth::Rsa, Breadth::Ecdsa] {
                let spec = HelloSpec::new(ceiling, breadth);
                let is_13 = ceiling == Version::Tls13;
                assert!(spec.suites.iter().all(|&suite| suites::is_tls13(suite) == is_13));
                assert!(spec.schemes.is_empty() || ceiling >= Version::Tls12);
                assert_eq!(spec.shares == Shares::None, !is_13);
                assert!(!is_13 || !(spec.deflate || spec.ems || spec.etm || spec.reneg));
                // RFC 8446 §4.2.7 retired these curves.
                assert!(!is_13 || spec.groups.iter().all(|g| !(1..=22).contains(g)));
            }
        }
    }

    #[test]
    fn what_is_asked_for_is_sent_and_nothing_else() {
        let spec = HelloSpec {
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            shares: Shares::Constant(vec![0x001d, 0x0017]),
            cert_compression: vec![2],
            heartbeat: true,
            scsv: true,
            grease: true,
            sct: true,
            pad_to: Some(1_500),
            ..HelloSpec::current()
        };
        let bytes = spec.encode(Some("a.test"), &mut fastrand::Rng::with_seed(1));
        assert_eq!(bytes.len(), 5 + 1_500);
        let has = |part: &[u8]| bytes.windows(part.len()).any(|w| w == part);
        assert!(has(&[0, 16, 0, 14, 0, 12, 2, b'h', b'2', 8, b'h']));
        assert!(has(&[0, 43, 0, 7, 6, 0x3a, 0x3a, 3, 4, 3, 3]));
        assert!(has(&[0, 27, 0, 3, 2, 0, 2]) && has(&[0, 15, 0, 1, 1]) && has(&[0x56, 0]));
        assert!(has(&[0, 23, 0, 65, 4, 0x6b, 0x17]));
        let plain = HelloSpec::current().encode(None, &mut fastrand::Rng::with_seed(1));
        assert!(!plain.windows(2).any(|w| w == [0x56, 0]) && plain.len() < 600);
    }

    #[test]
    fn a_hello_longer_than_a_record_takes_two() {
        let spec = HelloSpec { pad_to: Some(MAX_PADDED), ..HelloSpec::current() };
        let bytes = spec.encode(None, &mut fastrand::Rng::with_seed(1));
        let mut rest = Cursor(&bytes);
        let mut message = 0;
        while !rest.is_empty() {
            assert_eq!(rest.take(3), Some(&[22, 3, 1][..]));
            message += rest.vec16().expect("a record").len();
        }
        assert_eq!(message, MAX_PADDED);
    }

    #[test]
    fn only_a_name_is_sent_as_server_name_and_ssl3_has_no_extension() {
        let has = |bytes: &[u8]| bytes.windows(6).any(|w| w == b"a.test");
        assert!(has(&encode(Version::Tls12, Breadth::Every, Some("a.test"))));
        assert!(!has(&encode(Version::Tls12, Breadth::Every, None)));
        assert!(!has(&encode(Version::Ssl3, Breadth::Every, Some("a.test"))));
    }

    #[test]
    fn the_ssl2_hello_has_the_lengths_it_states() {
        let bytes = encode(Version::Ssl2, Breadth::Every, None);
        assert_eq!(bytes[0], 0x80);
        assert_eq!(usize::from(bytes[1]), bytes.len() - 2);
        assert_eq!(bytes.len(), 2 + 1 + 2 + 6 + 21 + 16);
    }
}
