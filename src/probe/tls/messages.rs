//! The peer's handshake messages, decoded: only what a sample needs, nothing believed.

use super::primes::{self, Mark};
use super::suites;
use crate::probe::trust::bits;

use super::wire::{Cursor, Version};

/// ServerHello or HelloRetryRequest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ServerHello {
    pub(super) version: Version,
    pub(super) suite: u16,
    pub(super) deflate: bool,
    /// Extension numbers, in the server's order.
    pub(super) extensions: Vec<u16>,
    /// The group that a TLS 1.3 answer names.
    pub(super) group: Option<u16>,
    /// The application protocol chosen; in TLS 1.3 it is encrypted.
    pub(super) alpn: Option<Vec<u8>>,
    /// The length of the session id: 0 where no session is kept or none is echoed.
    pub(super) session: usize,
    /// A HelloRetryRequest (RFC 8446 §4.1.4).
    pub(super) is_retry: bool,
}

impl ServerHello {
    /// Reads the body of a message of type 2.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut body = Cursor(body);
        let legacy = body.u16()?;
        let random = body.take(32)?;
        let session = body.vec8().filter(|session| session.len() <= 32)?;
        let suite = body.u16()?;
        let compression = body.u8()?;
        let mut hello = Self {
            version: Version::from_code(legacy)?,
            suite,
            deflate: compression == 1,
            extensions: Vec::new(),
            group: None,
            alpn: None,
            session: session.len(),
            is_retry: random == RETRY,
        };
        if compression > 1 {
            return None;
        }
        if !body.is_empty() {
            hello.read_extensions(body.vec16()?)?;
        }
        Some(hello)
    }

    fn read_extensions(&mut self, bytes: &[u8]) -> Option<()> {
        let mut bytes = Cursor(bytes);
        while !bytes.is_empty() {
            let number = bytes.u16()?;
            let mut content = Cursor(bytes.vec16()?);
            match number {
                16 => {
                    let mut list = Cursor(content.vec16()?);
                    self.alpn = Some(list.vec8()?.to_vec());
                }
                43 => self.version = Version::from_code(content.u16()?)?,
                // A HelloRetryRequest names the group alone, a ServerHello also brings a share.
                51 => self.group = Some(content.u16()?),
                _ => {}
            }
            if self.extensions.len() < MAX_EXTENSIONS {
                self.extensions.push(number);
            }
        }
        Some(())
    }

    pub(super) fn has(&self, extension: u16) -> bool {
        self.extensions.contains(&extension)
    }
}

/// What a ServerKeyExchange shows of the key exchange.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct KeyExchange {
    pub(super) group: Option<u16>,
    pub(super) dh_prime_bits: Option<usize>,
    pub(super) dh_prime: Option<Mark>,
    /// The group of RFC 7919 that the prime is of.
    pub(super) ffdhe: Option<u16>,
    /// The size of a temporary RSA key (export suites).
    pub(super) rsa_bits: Option<usize>,
    pub(super) scheme: Option<u16>,
}

impl KeyExchange {
    /// Reads the body of a message of type 12, whose form hangs on the suite.
    pub(super) fn read(suite: u16, version: Version, body: &[u8]) -> Option<Self> {
        let name = suites::name(suite);
        let mut body = Cursor(body);
        let mut exchange = Self::default();
        if name.contains("PSK") {
            body.vec16()?;
        }
        if name.contains("ECDHE") || name.contains("ECDH_anon") {
            // Explicit curves (types 1 and 2) are not decoded.
            if body.u8()? != 3 {
                return Some(exchange);
            }
            exchange.group = Some(body.u16()?);
            body.vec8()?;
        } else if name.contains("DHE") || name.contains("DH_anon") {
            let prime = body.vec16()?;
            exchange.dh_prime_bits = Some(bits(prime));
            exchange.dh_prime = Some(primes::mark(prime));
            exchange.ffdhe = ffdhe(prime);
            body.vec16()?;
            body.vec16()?;
        } else if name.contains("RSA_EXPORT") {
            exchange.rsa_bits = Some(bits(body.vec16()?));
            body.vec16()?;
        } else {
            return Some(exchange);
        }
        if version == Version::Tls12 && !name.contains("anon") && !name.contains("PSK") {
            exchange.scheme = body.u16();
        }
        Some(exchange)
    }
}

/// The group of RFC 7919 that has this prime: they differ in their length and in their last words,
/// which are told by the length too.
fn ffdhe(prime: &[u8]) -> Option<u16> {
    // Appendix A: all begin with the binary digits of e.
    const START: [u8; 16] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xad, 0xf8, 0x54, 0x58, 0xa2, 0xbb, 0x4a,
        0x9a,
    ];
    let group = match prime.len() {
        256 => 0x0100,
        384 => 0x0101,
        512 => 0x0102,
        768 => 0x0103,
        1024 => 0x0104,
        _ => return None,
    };
    (prime.starts_with(&START) && prime.ends_with(&[0xff; 8])).then_some(group)
}

/// Reads the body of a message of type 11 below TLS 1.3: certificates, leaf first.
pub(super) fn certificates(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut list = Cursor(Cursor(body).vec24()?);
    let mut certificates = Vec::new();
    while !list.is_empty() {
        certificates.push(list.vec24()?.to_vec());
        if certificates.len() > MAX_CERTIFICATES {
            return None;
        }
    }
    Some(certificates)
}

/// Reads the body of a message of type 22: a stapled OCSP response.
pub(super) fn staple(body: &[u8]) -> Option<Vec<u8>> {
    let mut body = Cursor(body);
    (body.u8()? == 1).then_some(())?;
    body.vec24().map(<[u8]>::to_vec)
}

/// An SSLv2 SERVER-HELLO.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Ssl2Hello {
    pub(super) ciphers: Vec<u32>,
    pub(super) certificate: Option<Vec<u8>>,
}

impl Ssl2Hello {
    /// Reads the body behind the message type 4.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut body = Cursor(body);
        body.take(2)?;
        (body.u16()? == Version::Ssl2.code()).then_some(())?;
        let (certificate, ciphers, connection) = (body.u16()?, body.u16()?, body.u16()?);
        let certificate = body.take(certificate.into())?;
        let ciphers = body.take(ciphers.into())?;
        body.take(connection.into())?;
        Some(Self {
            ciphers: ciphers
                .chunks_exact(3)
                .map(|c| u32::from_be_bytes([0, c[0], c[1], c[2]]))
                .collect(),
            certificate: (!certificate.is_empty()).then(|| certificate.to_vec()),
        })
    }
}

/// SHA-256 of "HelloRetryRequest" (RFC 8446 §4.1.3).
#[rustfmt::skip]
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

const MAX_CERTIFICATES: usize = 64;

const MAX_EXTENSIONS: usize = 64;

/// A hello with nothing in it, for tests to fill.
#[cfg(test)]
impl Default for ServerHello {
    fn default() -> Self {
        Self {
            version: Version::Tls12,
            suite: 0,
            deflate: false,
            extensions: Vec::new(),
            group: None,
            alpn: None,
            session: 0,
            is_retry: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_exchange_shows_curve_or_prime() {
        let ecdhe = KeyExchange::read(0xc02f, Version::Tls12, &[3, 0, 29, 1, 9, 8, 4]);
        let expected = KeyExchange { group: Some(29), scheme: Some(0x0804), ..Default::default() };
        assert_eq!(ecdhe, Some(expected));
        let mut dhe = vec![0, 64];
        dhe.extend([0xff; 64]);
        dhe.extend([0, 1, 2, 0, 1, 5]);
        let read = KeyExchange::read(0x0033, Version::Tls10, &dhe).expect("a key exchange");
        assert_eq!(read.dh_prime_bits, Some(512));
        assert_eq!(KeyExchange::read(0xc02f, Version::Tls12, &[3, 0]), None);
    }
}
