//! ClientHellos. Each holds only what its version allows, so that a strict server answers for the
//! version and not for a stray extension.

use super::names::{self, Kinds};
use super::suites::{self, Breadth};
use super::wire::{Version, u16s, vec8, vec16, vec24};

/// What one hello asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct HelloSpec {
    /// The newest version it offers; a TLS 1.3 hello offers nothing older.
    pub(super) ceiling: Version,
    /// The suites below TLS 1.3.
    pub(super) breadth: Breadth,
}

impl HelloSpec {
    pub(super) fn new(ceiling: Version, breadth: Breadth) -> Self {
        Self { ceiling, breadth }
    }

    /// The suites offered, in order. SSLv2 has its own.
    pub(super) fn suites(&self) -> Vec<u16> {
        match self.ceiling {
            Version::Tls13 => suites::tls13(),
            _ => suites::below_tls13(self.breadth),
        }
    }

    /// The bytes to send; `server_name` is a DNS name, never an address.
    pub(super) fn encode(&self, server_name: Option<&str>, rng: &mut fastrand::Rng) -> Vec<u8> {
        if self.ceiling == Version::Ssl2 {
            return encode_ssl2(rng);
        }
        let mut out = vec![22];
        u16s(&mut out, &[self.ceiling.code().min(Version::Tls10.code())]);
        vec16(&mut out, |out| {
            out.push(1);
            vec24(out, |out| self.body(out, server_name, rng));
        });
        out
    }

    fn body(&self, out: &mut Vec<u8>, server_name: Option<&str>, rng: &mut fastrand::Rng) {
        u16s(out, &[self.ceiling.code().min(Version::Tls12.code())]);
        random(out, 32, rng);
        vec8(out, |out| {
            // RFC 8446 §D.4: middleboxes want to see a session id.
            if self.ceiling == Version::Tls13 {
                random(out, 32, rng);
            }
        });
        vec16(out, |out| {
            u16s(out, &self.suites());
            // SSLv3 has no extensions; this value says what renegotiation_info would.
            if self.ceiling == Version::Ssl3 {
                u16s(out, &[0x00ff]);
            }
        });
        let deflate = self.ceiling < Version::Tls13;
        vec8(out, |out| out.extend_from_slice(if deflate { &[1, 0] } else { &[0] }));
        if self.ceiling > Version::Ssl3 {
            vec16(out, |out| self.extensions(out, server_name, rng));
        }
    }

    fn extensions(&self, out: &mut Vec<u8>, server_name: Option<&str>, rng: &mut fastrand::Rng) {
        if let Some(name) = server_name {
            extension(out, 0, |out| {
                vec16(out, |out| {
                    out.push(0);
                    vec16(out, |out| out.extend_from_slice(name.as_bytes()));
                });
            });
        }
        let groups = names::groups_for(self.ceiling);
        extension(out, 10, |out| vec16(out, |out| u16s(out, groups)));
        extension(out, 5, |out| out.extend_from_slice(&[1, 0, 0, 0, 0]));
        if self.ceiling >= Version::Tls12 {
            let schemes = names::schemes_for(self.ceiling, self.kinds());
            extension(out, 13, |out| vec16(out, |out| u16s(out, &schemes)));
        }
        if self.ceiling == Version::Tls13 {
            extension(out, 43, |out| vec8(out, |out| u16s(out, &[Version::Tls13.code()])));
            extension(out, 45, |out| out.extend_from_slice(&[1, 1]));
            extension(out, 51, |out| vec16(out, |out| self.shares(out, rng)));
        } else {
            extension(out, 11, |out| vec8(out, |out| out.push(0)));
            extension(out, 22, |_| {});
            extension(out, 23, |_| {});
            extension(out, 35, |_| {});
            extension(out, 65281, |out| out.push(0));
        }
    }

    /// An empty list of shares makes the server name suite and group in a HelloRetryRequest without
    /// any key operation (RFC 8446 §4.2.8). A server that dislikes it gets 32 random bytes, which
    /// are a valid x25519 share.
    fn shares(&self, out: &mut Vec<u8>, rng: &mut fastrand::Rng) {
        if self.breadth == Breadth::Common {
            u16s(out, &[0x001d]);
            vec16(out, |out| random(out, 32, rng));
        }
    }

    fn kinds(&self) -> Kinds {
        match self.breadth {
            Breadth::Common | Breadth::Every => Kinds::Any,
            Breadth::Ecdsa => Kinds::Ecdsa,
            Breadth::Rsa => Kinds::Rsa,
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
