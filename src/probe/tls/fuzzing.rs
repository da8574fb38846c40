//! Doors for `fuzz/`.

use crate::probe::trust::certificate;

use super::names::Kinds;
use super::reader::FlightReader;
use super::wire::Version;

/// A first flight read whole and read piece by piece is the same flight, for every version asked.
pub fn tls_flight(bytes: &[u8]) {
    let Some((&size, bytes)) = bytes.split_first() else { return };
    for asked in Version::ALL {
        let mut whole = FlightReader::new(asked);
        let end = whole.push(bytes);
        let mut pieces = FlightReader::new(asked);
        let piecewise = bytes.chunks(usize::from(size) + 1).find_map(|piece| pieces.push(piece));
        // What is not TLS is shown by the first bytes that came, however many those were.
        let kind = |end: &Option<_>| end.as_ref().map(std::mem::discriminant);
        assert_eq!(kind(&end), kind(&piecewise), "{asked:?}");
        assert_eq!(whole.into_flight(), pieces.into_flight(), "{asked:?}");
    }
}

/// A certificate that can be read has facts, and they carry no control characters.
pub fn certificate(der: &[u8]) {
    let Some(certificate) = certificate::parse(der) else { return };
    let facts = certificate::facts(der, &certificate);
    let texts = facts.san.iter().chain([&facts.subject, &facts.issuer, &facts.key_type]);
    for text in texts {
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    let _ = Kinds::of(der);
    for name in ["a.test", "192.0.2.1", "::1", ""] {
        let _ = certificate::covers(&certificate, name);
    }
}
