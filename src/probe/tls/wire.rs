//! Words and bytes of the wire that hellos and answers share.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A protocol version, in order of age.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub(super) enum Version {
    Ssl2,
    Ssl3,
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

impl Version {
    pub(super) const ALL: [Self; 6] =
        [Self::Ssl2, Self::Ssl3, Self::Tls10, Self::Tls11, Self::Tls12, Self::Tls13];

    /// The name in measurements.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ssl2 => "SSLv2",
            Self::Ssl3 => "SSLv3",
            Self::Tls10 => "TLSv1.0",
            Self::Tls11 => "TLSv1.1",
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }

    /// The number on the wire.
    pub(super) fn code(self) -> u16 {
        match self {
            Self::Ssl2 => 0x0002,
            Self::Ssl3 => 0x0300,
            Self::Tls10 => 0x0301,
            Self::Tls11 => 0x0302,
            Self::Tls12 => 0x0303,
            Self::Tls13 => 0x0304,
        }
    }

    pub(super) fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.code() == code)
    }

    /// The versions from SSLv3 up to this one, newest first: what a hello capped here asks for.
    pub(super) fn and_below(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().rev().filter(move |&v| v <= self && v >= Self::Ssl3)
    }

    /// The next older version, down to SSLv3.
    pub(super) fn older(self) -> Option<Self> {
        self.and_below().nth(1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A place in a peer's bytes; every step says whether there was enough.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(super) fn u24(&mut self) -> Option<usize> {
        self.take(3).map(|b| usize::from(b[0]) << 16 | usize::from(b[1]) << 8 | usize::from(b[2]))
    }

    /// Bytes behind a length of one byte.
    pub(super) fn vec8(&mut self) -> Option<&'a [u8]> {
        let length = self.u8()?;
        self.take(length.into())
    }

    /// Bytes behind a length of two bytes.
    pub(super) fn vec16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// Bytes behind a length of three bytes.
    pub(super) fn vec24(&mut self) -> Option<&'a [u8]> {
        let length = self.u24()?;
        self.take(length)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Writes what `fill` writes behind its length of one byte.
pub(super) fn vec8(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    counted(out, 1, fill);
}

/// Writes what `fill` writes behind its length of two bytes.
pub(super) fn vec16(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    counted(out, 2, fill);
}

/// Writes what `fill` writes behind its length of three bytes.
pub(super) fn vec24(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    counted(out, 3, fill);
}

pub(super) fn u16s(out: &mut Vec<u8>, values: &[u16]) {
    out.extend(values.iter().flat_map(|value| value.to_be_bytes()));
}

fn counted(out: &mut Vec<u8>, width: usize, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.resize(start + width, 0);
    fill(out);
    // Ours to keep within bounds: the longest list is under 1 kB.
    let length = (out.len() - start - width).to_be_bytes();
    out[start..start + width].copy_from_slice(&length[length.len() - width..]);
}

/// The name of an alert (RFC 8446 §6, RFC 5246 §7.2 and their forebears).
pub(super) fn alert_name(alert: u8) -> &'static str {
    match alert {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => "an unassigned number",
    }
}

/// A peer's first bytes so that they can stand on any screen.
pub(super) fn printable(bytes: &[u8]) -> String {
    bytes.iter().take(48).flat_map(|byte| byte.escape_ascii()).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capped_hello_asks_for_everything_below_but_sslv2() {
        let asked: Vec<_> = Version::Tls11.and_below().collect();
        assert_eq!(asked, [Version::Tls11, Version::Tls10, Version::Ssl3]);
        assert_eq!(Version::Ssl3.older(), None);
        assert_eq!(Version::Ssl2.and_below().count(), 0);
    }

    #[test]
    fn first_bytes_cannot_write_on_a_screen() {
        assert_eq!(printable(b"SSH-2.0\x1b[2J\r\n"), "SSH-2.0\\x1b[2J\\r\\n");
    }
}
