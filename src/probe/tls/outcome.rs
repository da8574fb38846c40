//! What became of one hello, and how much of it is evidence.

use crate::sample::{Reason, Unknown};

use super::hello::HelloSpec;
use super::messages::{KeyExchange, ServerHello, Ssl2Hello};
use super::reader::{End, Flight};
use super::wire::{Version, alert_name, printable};

/// What became of one hello.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// The peer chose the version asked for.
    Accepted(Box<Answer>),
    /// The peer closed or reset the connection without an answer.
    Closed,
    /// The peer chose an older version than asked for.
    Downgraded(Box<Answer>),
    /// The peer answered against the rules, or chose what was not offered: then that choice.
    Illegal(&'static str, Option<Box<Answer>>),
    /// The peer speaks something else: its first bytes.
    NotTls(String),
    /// STARTTLS was not offered.
    NotUpgraded,
    /// A fatal alert.
    Refused(u8),
    /// No answer in time.
    Timeout,
    /// The hello was not sent.
    Unreached(Unknown),
}

/// An accepted hello's answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) version: Version,
    /// `None` for SSLv2.
    pub(super) hello: Option<ServerHello>,
    pub(super) ssl2: Option<Ssl2Hello>,
    pub(super) certificates: Option<Vec<Vec<u8>>>,
    pub(super) staple: Option<Vec<u8>>,
    pub(super) key_exchange: KeyExchange,
    pub(super) asks_for_certificate: bool,
    /// Why the flight behind the hello did not come whole.
    pub(super) cut: Option<Unknown>,
}

/// How a connection ended before or after the flight did.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ending {
    /// The reader said so.
    Read(End),
    /// The stream closed or broke.
    Closed,
    /// Too slow, or too much.
    Cut(Unknown),
}

impl Outcome {
    /// Judges a flight by the hello that it answers.
    pub(super) fn of(spec: &HelloSpec, flight: Flight, ending: Ending) -> Self {
        let version = match (&flight.hello, &flight.ssl2) {
            (Some(hello), _) => hello.version,
            (None, Some(_)) => Version::Ssl2,
            (None, None) => return Self::without_hello(ending),
        };
        let answer = Box::new(Answer {
            version,
            hello: flight.hello,
            ssl2: flight.ssl2,
            certificates: flight.certificates,
            staple: flight.staple,
            key_exchange: flight.key_exchange.unwrap_or_default(),
            asks_for_certificate: flight.asks_for_certificate,
            cut: ending.cut(),
        });
        if let Some(stray) = answer.strays_from(spec) {
            return Self::Illegal(stray, Some(answer));
        }
        if version == spec.ceiling { Self::Accepted(answer) } else { Self::Downgraded(answer) }
    }

    fn without_hello(ending: Ending) -> Self {
        match ending {
            Ending::Read(End::Alert(alert)) => Self::Refused(alert),
            Ending::Read(End::Closed) | Ending::Closed => Self::Closed,
            Ending::Read(End::Done) => Self::Illegal("an end without a hello", None),
            Ending::Read(End::Malformed(how)) => Self::Illegal(how, None),
            Ending::Read(End::NotTls(bytes)) => Self::NotTls(printable(&bytes)),
            Ending::Cut(Unknown { reason: Reason::Timeout, .. }) => Self::Timeout,
            Ending::Cut(unknown) => Self::Unreached(unknown),
        }
    }

    /// What the peer chose, if it chose.
    pub(super) fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Accepted(answer) | Self::Downgraded(answer) => Some(answer),
            _ => None,
        }
    }

    /// The fatal alert, if that was the answer.
    pub(super) fn alert(&self) -> Option<u8> {
        match self {
            Self::Refused(alert) => Some(*alert),
            _ => None,
        }
    }

    /// How much an answer that accepts nothing says of the version asked for.
    pub(super) fn weight(&self, asked: Version) -> Weight {
        match self {
            // RFC 5246 §7.2.2, RFC 8446 §6.2: no common version, suite or parameter.
            Self::Refused(40 | 70 | 71) => Weight::Absent,
            // Any alert to SSLv2 comes from a peer that does not know its form, but for those that
            // speak of the peer's own state.
            Self::Refused(alert) if asked == Version::Ssl2 && ![80, 90, 112].contains(alert) => {
                Weight::Absent
            }
            // A peer that chooses an older version unasked has none newer.
            Self::Illegal(_, Some(answer)) if answer.version < asked => Weight::Absent,
            // Of the name, the certificate or the application, never of the version.
            Self::Refused(42..=46 | 48 | 49 | 90 | 112 | 115 | 116 | 120) => Weight::Nothing,
            Self::Refused(_) | Self::Closed => Weight::IfRepeated,
            // A peer that takes SSLv2's form for something else does not speak it.
            Self::NotTls(_) | Self::Illegal(..) if asked == Version::Ssl2 => Weight::IfRepeated,
            _ => Weight::Nothing,
        }
    }

    /// The reason that a fact gives if this is all there is to say of it.
    pub(super) fn unknown(&self) -> Unknown {
        match self {
            Self::Accepted(_) | Self::Downgraded(_) => Reason::Inconsistent.into(),
            Self::Closed => Reason::Reset.into(),
            Self::Illegal(how, _) => Unknown::new(Reason::TlsError, how),
            Self::NotTls(first) => Unknown::new(Reason::NotTls, first),
            Self::NotUpgraded => Reason::StarttlsNotOffered.into(),
            Self::Refused(alert) => {
                Unknown::new(Reason::TlsError, format!("alert {alert} ({})", alert_name(*alert)))
            }
            Self::Timeout => Reason::Timeout.into(),
            Self::Unreached(unknown) => unknown.clone(),
        }
    }
}

impl Answer {
    /// The group of the key exchange, of whichever message tells it.
    pub(super) fn group(&self) -> Option<u16> {
        self.hello.as_ref().and_then(|hello| hello.group).or(self.key_exchange.group)
    }

    /// The suite chosen; SSLv2 leaves the choice to the client.
    pub(super) fn suite(&self) -> Option<u16> {
        self.hello.as_ref().map(|hello| hello.suite)
    }

    /// What it chose that this hello did not offer.
    fn strays_from(&self, spec: &HelloSpec) -> Option<&'static str> {
        let Some(hello) = &self.hello else { return None };
        let lacks = |offered: &[u16], chosen: Option<u16>| {
            !offered.is_empty() && chosen.is_some_and(|chosen| !offered.contains(&chosen))
        };
        if !spec.offers(self.version) {
            Some("a version that was not offered")
        } else if !spec.suites.contains(&hello.suite) {
            Some("a suite that was not offered")
        } else if lacks(&spec.groups, self.group()) {
            Some("a group that was not offered")
        } else if lacks(&spec.schemes, self.key_exchange.scheme) {
            Some("a signature scheme that was not offered")
        } else if hello.deflate && !spec.deflate {
            Some("a compression that was not offered")
        } else if hello.alpn.as_ref().is_some_and(|chosen| !spec.alpn.contains(chosen)) {
            Some("an application protocol that was not offered")
        } else {
            None
        }
    }
}

/// What an answer without acceptance says of a version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Weight {
    /// It is not there.
    Absent,
    /// It is not there if the same happens again while known hellos are accepted.
    IfRepeated,
    /// Nothing.
    Nothing,
}

impl Ending {
    fn cut(self) -> Option<Unknown> {
        match self {
            Self::Read(End::Done) => None,
            Self::Read(End::Malformed(how)) => Some(Unknown::new(Reason::TlsError, how)),
            Self::Read(End::Alert(alert)) => {
                Some(Unknown::new(Reason::TlsError, format!("alert {alert}")))
            }
            Self::Read(_) | Self::Closed => Some(Reason::Reset.into()),
            Self::Cut(unknown) => Some(unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::suites::Breadth;
    use super::*;

    fn spec() -> HelloSpec {
        HelloSpec::new(Version::Tls11, Breadth::Every)
    }

    fn judged(flight: Flight, ending: Ending) -> Outcome {
        Outcome::of(&spec(), flight, ending)
    }

    fn hello(version: Version, suite: u16) -> Flight {
        let hello = ServerHello { version, suite, ..ServerHello::default() };
        Flight { hello: Some(hello), ..Flight::default() }
    }

    fn done() -> Ending {
        Ending::Read(End::Done)
    }

    #[test]
    fn a_timeout_is_never_an_absence() {
        let outcome = judged(Flight::default(), Ending::Cut(Reason::Timeout.into()));
        assert_eq!(outcome, Outcome::Timeout);
        for asked in Version::ALL {
            assert_eq!(outcome.weight(asked), Weight::Nothing);
            assert_eq!(Outcome::Closed.weight(asked), Weight::IfRepeated);
        }
    }

    #[test]
    fn a_refusal_that_speaks_of_the_name_says_nothing_of_the_version() {
        assert_eq!(Outcome::Refused(70).weight(Version::Tls11), Weight::Absent);
        assert_eq!(Outcome::Refused(112).weight(Version::Tls11), Weight::Nothing);
        assert_eq!(Outcome::Refused(80).weight(Version::Tls11), Weight::IfRepeated);
    }

    #[test]
    fn what_was_not_offered_is_illegal_and_what_is_older_is_a_downgrade() {
        assert!(matches!(judged(hello(Version::Tls12, 0x2f), done()), Outcome::Illegal(..)));
        assert!(matches!(judged(hello(Version::Tls11, 0x1301), done()), Outcome::Illegal(..)));
        assert!(matches!(judged(hello(Version::Tls11, 0x2f), done()), Outcome::Accepted(_)));
        assert!(matches!(judged(hello(Version::Tls10, 0x2f), done()), Outcome::Downgraded(_)));
    }

    #[test]
    fn every_choice_is_held_to_the_offer() {
        let spec = HelloSpec {
            groups: vec![29],
            schemes: vec![0x0401],
            alpn: vec![b"h2".to_vec()],
            deflate: false,
            ..HelloSpec::new(Version::Tls12, Breadth::Every)
        };
        let answer = |group, scheme, alpn: &[u8], deflate| {
            let mut flight = hello(Version::Tls12, 0xc02f);
            if let Some(hello) = &mut flight.hello {
                hello.alpn = Some(alpn.to_vec());
                hello.deflate = deflate;
            }
            flight.key_exchange =
                Some(KeyExchange { group, scheme: Some(scheme), ..KeyExchange::default() });
            Outcome::of(&spec, flight, done())
        };
        assert!(matches!(answer(Some(29), 0x0401, b"h2", false), Outcome::Accepted(_)));
        assert!(matches!(answer(None, 0x0401, b"h2", false), Outcome::Accepted(_)));
        for stray in [
            answer(Some(23), 0x0401, b"h2", false),
            answer(Some(29), 0x0201, b"h2", false),
            answer(Some(29), 0x0401, b"spdy/3", false),
            answer(Some(29), 0x0401, b"h2", true),
        ] {
            assert!(matches!(stray, Outcome::Illegal(_, Some(_))), "{stray:?}");
            assert_eq!(stray.answer(), None);
        }
        // A hello for TLS 1.3 alone was not answered by an older version.
        let only13 = HelloSpec::new(Version::Tls13, Breadth::Every);
        let older = Outcome::of(&only13, hello(Version::Tls12, 0x1301), done());
        assert!(matches!(older, Outcome::Illegal("a version that was not offered", _)));
    }

    #[test]
    fn an_answer_counts_though_its_flight_was_cut() {
        let outcome = judged(hello(Version::Tls11, 0x2f), Ending::Closed);
        assert_eq!(outcome.answer().and_then(|a| a.cut.clone()), Some(Reason::Reset.into()));
    }
}
