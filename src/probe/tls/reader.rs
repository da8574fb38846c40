//! A peer's first flight, read as it comes in: records, handshake messages over record bounds,
//! alerts, SSLv2, and what is not TLS at all. Bounded in memory whatever the peer sends.

use super::messages::{KeyExchange, ServerHello, Ssl2Hello, certificates, staple};
use super::wire::{Cursor, Version};

/// What the peer has said so far.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Flight {
    pub(super) hello: Option<ServerHello>,
    pub(super) ssl2: Option<Ssl2Hello>,
    /// Leaf first. `None` if no Certificate message was read whole.
    pub(super) certificates: Option<Vec<Vec<u8>>>,
    pub(super) staple: Option<Vec<u8>>,
    pub(super) key_exchange: Option<KeyExchange>,
    pub(super) asks_for_certificate: bool,
}

/// Why there is nothing more to read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// A fatal alert.
    Alert(u8),
    /// The peer said goodbye.
    Closed,
    /// The flight is complete, as far as it is in clear.
    Done,
    /// TLS, but against its own rules.
    Malformed(&'static str),
    /// Not TLS: the first bytes.
    NotTls(Vec<u8>),
}

/// Takes bytes, gives a [`Flight`].
#[derive(Debug)]
pub(super) struct FlightReader {
    asked: Version,
    /// Bytes of a record not yet complete: at most one record.
    pending: Vec<u8>,
    /// Bytes of a message not yet complete: at most [`MAX_MESSAGE`] and one record.
    handshake: Vec<u8>,
    flight: Flight,
    first: bool,
    /// Records and messages so far: a peer that never comes to the point is left.
    units: usize,
}

impl FlightReader {
    /// A reader of the answer to a hello capped at this version.
    pub(super) fn new(asked: Version) -> Self {
        Self {
            asked,
            pending: Vec::new(),
            handshake: Vec::new(),
            flight: Flight::default(),
            first: true,
            units: 0,
        }
    }

    /// Takes what the peer sent; `Some` once there is nothing more to wait for.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<End> {
        self.pending.extend_from_slice(bytes);
        let mut pending = std::mem::take(&mut self.pending);
        let mut rest = Cursor(&pending);
        let end = loop {
            match self.record(&mut rest) {
                Ok(true) => {}
                Ok(false) => break None,
                Err(end) => break Some(end),
            }
        };
        let used = pending.len() - rest.0.len();
        pending.drain(..used);
        self.pending = pending;
        end
    }

    /// What was read.
    pub(super) fn into_flight(self) -> Flight {
        self.flight
    }

    /// Whether the peer has sent anything.
    pub(super) fn is_untouched(&self) -> bool {
        self.first && self.pending.is_empty()
    }

    /// Takes one record; `false` if it is not complete.
    fn record(&mut self, bytes: &mut Cursor<'_>) -> Result<bool, End> {
        let Some(&first) = bytes.0.first() else { return Ok(false) };
        if self.first && self.asked == Version::Ssl2 && first & 0x80 != 0 {
            return self.ssl2(*bytes).map(|()| false);
        }
        let looks_like_tls =
            (20..=24).contains(&first) && bytes.0.get(1).is_none_or(|&major| major == 3);
        if !looks_like_tls {
            return Err(match self.first {
                true => End::NotTls(bytes.0.to_vec()),
                false => End::Malformed("a record of no known type"),
            });
        }
        let mut ahead = *bytes;
        let (Some(_), Some(length)) = (ahead.take(3), ahead.u16()) else { return Ok(false) };
        if usize::from(length) > MAX_RECORD {
            return Err(match self.first {
                true => End::NotTls(bytes.0.to_vec()),
                false => End::Malformed("a record too long"),
            });
        }
        let Some(body) = ahead.take(length.into()) else { return Ok(false) };
        *bytes = ahead;
        self.first = false;
        self.count()?;
        match first {
            21 => self.alert(body),
            22 => self.messages(body),
            // Application data or a change of cipher before the clear flight ended.
            _ => Err(End::Malformed("a record out of turn")),
        }
        .map(|()| true)
    }

    fn alert(&self, body: &[u8]) -> Result<(), End> {
        match *body {
            [_, 0] => Err(End::Closed),
            // Warnings that say nothing of the hello's fate (RFC 5246 §7.2, RFC 6066 §3).
            [1, 41 | 90 | 100 | 112] => Ok(()),
            [1 | 2, alert] => Err(End::Alert(alert)),
            _ => Err(End::Malformed("an alert that is none")),
        }
    }

    fn messages(&mut self, body: &[u8]) -> Result<(), End> {
        self.handshake.extend_from_slice(body);
        let buffer = std::mem::take(&mut self.handshake);
        let mut rest = Cursor(&buffer);
        loop {
            let mut ahead = rest;
            let (Some(kind), Some(length)) = (ahead.u8(), ahead.u24()) else { break };
            if length > MAX_MESSAGE {
                return Err(End::Malformed("a handshake message too long"));
            }
            let Some(message) = ahead.take(length) else { break };
            rest = ahead;
            self.count()?;
            self.message(kind, message)?;
        }
        self.handshake = rest.0.to_vec();
        Ok(())
    }

    fn message(&mut self, kind: u8, body: &[u8]) -> Result<(), End> {
        let Some(hello) = &self.flight.hello else {
            return match kind {
                0 => Ok(()),
                2 => self.server_hello(body),
                _ => Err(End::Malformed("a message before ServerHello")),
            };
        };
        match kind {
            11 => self.flight.certificates = certificates(body),
            12 => {
                self.flight.key_exchange = KeyExchange::read(hello.suite, hello.version, body);
            }
            13 => self.flight.asks_for_certificate = true,
            14 => return Err(End::Done),
            22 => self.flight.staple = staple(body),
            2 => return Err(End::Malformed("a second ServerHello")),
            _ => {}
        }
        Ok(())
    }

    fn server_hello(&mut self, body: &[u8]) -> Result<(), End> {
        let hello = ServerHello::read(body).ok_or(End::Malformed("an unreadable ServerHello"))?;
        // What follows in TLS 1.3 is encrypted.
        let is_whole = hello.version == Version::Tls13;
        self.flight.hello = Some(hello);
        if is_whole { Err(End::Done) } else { Ok(()) }
    }

    /// SSLv2: two bytes of length, then the message's type.
    fn ssl2(&mut self, mut bytes: Cursor<'_>) -> Result<(), End> {
        let Some(length) = bytes.u16() else { return Ok(()) };
        let Some(body) = bytes.take(usize::from(length & 0x7fff)) else { return Ok(()) };
        match body.split_first() {
            Some((0, _)) => Err(End::Alert(40)),
            Some((4, rest)) => match Ssl2Hello::read(rest) {
                Some(hello) => {
                    self.flight.ssl2 = Some(hello);
                    Err(End::Done)
                }
                None => Err(End::Malformed("an unreadable SERVER-HELLO")),
            },
            _ => Err(End::NotTls(body.to_vec())),
        }
    }

    fn count(&mut self) -> Result<(), End> {
        self.units += 1;
        if self.units > MAX_UNITS { Err(End::Malformed("no end of records")) } else { Ok(()) }
    }
}

/// RFC 5246 §6.2.3: 2^14 and 2048 of slack.
const MAX_RECORD: usize = 16_384 + 2_048;

/// No honest flight holds a longer message.
pub(super) const MAX_MESSAGE: usize = 128 * 1024;

const MAX_UNITS: usize = 1_024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut record = vec![kind, 3, 3];
        record.extend(u16::try_from(body.len()).expect("short").to_be_bytes());
        record.extend(body);
        record
    }

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut message = vec![kind];
        message.extend(&u32::try_from(body.len()).expect("short").to_be_bytes()[1..]);
        message.extend(body);
        message
    }

    fn server_hello() -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0xc0, 0x2f, 0, 0, 5, 0xff, 1, 0, 1, 0]);
        message(2, &body)
    }

    /// Hello, two certificates, key exchange, done: in one record.
    fn flight() -> Vec<u8> {
        let mut all = server_hello();
        all.extend(message(11, &[0, 0, 9, 0, 0, 2, 1, 2, 0, 0, 1, 3]));
        all.extend(message(12, &[3, 0, 29, 1, 9, 8, 4]));
        all.extend(message(14, &[]));
        record(22, &all)
    }

    fn read(parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> (Option<End>, Flight) {
        let mut reader = FlightReader::new(Version::Tls12);
        for part in parts {
            if let Some(end) = reader.push(part.as_ref()) {
                return (Some(end), reader.into_flight());
            }
        }
        (None, reader.into_flight())
    }

    #[test]
    fn a_flight_reads_the_same_however_it_is_cut() {
        let whole = flight();
        let expected = read([&whole]);
        assert_eq!(expected.0, Some(End::Done));
        assert_eq!(expected.1.certificates, Some(vec![vec![1, 2], vec![3]]));
        assert_eq!(expected.1.key_exchange.and_then(|k| k.group), Some(29));
        assert!(expected.1.hello.as_ref().is_some_and(|h| h.has(65281) && !h.deflate));
        assert_eq!(read(whole.chunks(1)), expected);
        for at in 0..whole.len() {
            assert_eq!(read([&whole[..at], &whole[at..]]), expected);
            assert_eq!(read([&whole[..at]]).0, None, "cut at {at} is not an end");
        }
    }

    #[test]
    fn messages_may_run_over_records_and_warnings_between_are_skipped() {
        let whole = flight();
        let mut bytes = Vec::new();
        for part in whole[5..].chunks(7) {
            bytes.extend(record(22, part));
        }
        bytes.splice(0..0, record(21, &[1, 112]));
        assert_eq!(read([&bytes]), read([&whole]));
    }

    #[test]
    fn banners_are_not_tls() {
        for banner in ["HTTP/1.1 400 Bad Request\r\n", "SSH-2.0-x\r\n", "220 mail\r\n", "\0\0"] {
            assert_eq!(read([banner]).0, Some(End::NotTls(banner.into())));
        }
    }

    #[test]
    fn a_message_too_long_or_records_without_end_are_left() {
        let long = record(22, &[2, 0xff, 0, 0]);
        assert!(matches!(read([long]).0, Some(End::Malformed(_))));
        let warnings = record(21, &[1, 112]).repeat(MAX_UNITS + 1);
        assert_eq!(read([warnings]).0, Some(End::Malformed("no end of records")));
    }

    #[test]
    fn an_ssl2_answer_is_read_and_its_error_is_a_refusal() {
        let mut hello = vec![4, 0, 1, 0, 2, 0, 1, 0, 3, 0, 1, 9, 7, 0, 0xc0, 5];
        hello.splice(0..0, [0x80, u8::try_from(hello.len()).expect("short")]);
        let mut reader = FlightReader::new(Version::Ssl2);
        assert_eq!(reader.push(&hello[..5]), None);
        assert_eq!(reader.push(&hello[5..]), Some(End::Done));
        let read = reader.into_flight().ssl2.expect("a hello");
        assert_eq!((read.ciphers, read.certificate), (vec![0x07_00c0], Some(vec![9])));
        assert_eq!(
            FlightReader::new(Version::Ssl2).push(&[0x80, 3, 0, 0, 1]),
            Some(End::Alert(40))
        );
        assert_eq!(
            FlightReader::new(Version::Ssl2).push(&[21, 3, 1, 0, 2, 2, 70]),
            Some(End::Alert(70))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_grow(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..40),
            ssl2: bool,
        ) {
            let mut reader = FlightReader::new(if ssl2 { Version::Ssl2 } else { Version::Tls12 });
            for part in parts {
                if reader.push(&part).is_some() {
                    break;
                }
                prop_assert!(reader.pending.len() <= MAX_RECORD + 5 + part.len());
                prop_assert!(reader.handshake.len() <= MAX_MESSAGE + MAX_RECORD);
            }
        }

        #[test]
        fn a_mutated_flight_never_panics(at in 0..flight().len(), with: u8, cut in 0..flight().len()) {
            let mut bytes = flight();
            bytes[at] = with;
            let _ = read([&bytes[..cut], &bytes[cut..]]);
        }
    }
}
