//! The protocols that speak in packets.

use super::super::wire::{Cursor, printable};
use super::{Dialogue, Step, broken};

impl Dialogue {
    /// One byte answers SSLRequest.
    pub(super) fn postgres(&mut self) -> Step {
        match self.buffer.first() {
            None => Step::More,
            Some(b'S') => {
                self.buffer.remove(0);
                Step::Ready
            }
            // An error from before SSLRequest was known (7.x).
            Some(b'N' | b'E') => Step::NotOffered,
            Some(_) => broken(&printable(&self.buffer)),
        }
    }

    /// Protocol::HandshakeV10: the low capability flags stand behind the server's version.
    pub(super) fn mysql(&mut self) -> Step {
        let mut packet = Cursor(&self.buffer);
        let Some(header) = packet.take(4) else { return Step::More };
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        let Some(payload) = packet.take(length as usize) else { return Step::More };
        let flags =
            payload.split_first().filter(|&(&protocol, _)| protocol == 10).and_then(|(_, rest)| {
                let version = rest.iter().position(|&byte| byte == 0)?;
                let flags = rest.get(version + 1 + 13..)?.first_chunk::<2>()?;
                Some(u16::from_le_bytes(*flags))
            });
        let step = match flags {
            Some(flags) if flags & MYSQL_SSL != 0 => Step::SendThenReady(mysql_ssl_request()),
            Some(_) => Step::NotOffered,
            None => broken(&printable(payload)),
        };
        self.buffer = packet.0.to_vec();
        step
    }

    /// LDAPMessage with an ExtendedResponse (RFC 4511 §4.12): `30 .. 02 01 id 78 .. 0a 01 code`.
    pub(super) fn ldap(&mut self) -> Step {
        let mut all = Cursor(&self.buffer);
        let message = match ber(&mut all) {
            Ok(Some((0x30, message))) => message,
            Ok(None) => return Step::More,
            Ok(Some(_)) | Err(()) => return broken(&printable(&self.buffer)),
        };
        let step = match ldap_result(message) {
            Some(0) => Step::Ready,
            // protocolError: not known; unwillingToPerform (RFC 4511 §4.14.2).
            Some(2 | 53) => Step::NotOffered,
            Some(code) => broken(&format!("result code {code}")),
            None => broken(&printable(message)),
        };
        self.buffer = all.0.to_vec();
        step
    }
}

/// The result of an ExtendedResponse to our request, if that is what the message is.
fn ldap_result(message: &[u8]) -> Option<u8> {
    let mut message = Cursor(message);
    let (0x02, [1]) = ber(&mut message).ok()?? else { return None };
    let (0x78, response) = ber(&mut message).ok()?? else { return None };
    match ber(&mut Cursor(response)).ok()?? {
        (0x0a, [code]) => Some(*code),
        _ => None,
    }
}

/// Tag and content of an element of definite length, `None` if it is not complete yet.
fn ber<'a>(bytes: &mut Cursor<'a>) -> Result<Option<(u8, &'a [u8])>, ()> {
    let mut ahead = *bytes;
    let (Some(tag), Some(first)) = (ahead.u8(), ahead.u8()) else { return Ok(None) };
    let length = match first {
        0..=0x7f => usize::from(first),
        0x81..=0x84 => {
            let Some(digits) = ahead.take(usize::from(first & 0x7f)) else { return Ok(None) };
            digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit))
        }
        _ => return Err(()),
    };
    let Some(content) = ahead.take(length) else { return Ok(None) };
    *bytes = ahead;
    Ok(Some((tag, content)))
}

fn mysql_ssl_request() -> Vec<u8> {
    // Length 32, sequence 1; LONG_PASSWORD, PROTOCOL_41, SSL, SECURE_CONNECTION; 16 MiB; utf8mb4.
    let mut packet = vec![32, 0, 0, 1];
    packet.extend((0x0001 | 0x0200 | u32::from(MYSQL_SSL) | 0x8000).to_le_bytes());
    packet.extend([0, 0, 0, 1, 45]);
    packet.resize(36, 0);
    packet
}

const MYSQL_SSL: u16 = 0x0800;

/// ExtendedRequest 1.3.6.1.4.1.1466.20037 (RFC 4511 §4.14.1), message 1.
pub(super) const LDAP_START_TLS: &[u8] =
    b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

pub(super) const POSTGRES_SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
