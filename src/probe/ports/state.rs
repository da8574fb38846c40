//! What one look at a port came to, and what the kernel's word means.

use std::borrow::Cow;
use std::io;

use super::believe::Manner;
use crate::probe::dial::DialError;
use crate::sample::{Measurements, Reason, Unknown};

/// The state of one asked port.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// It refused.
    Closed,
    /// It did not answer.
    Dropped,
    /// A handshake that is not believed.
    Forged,
    /// This machine could not ask.
    NotMeasured(Unknown),
    /// It answered.
    Open(Box<Voice>),
    /// Someone on the way, or the neighbour cache, said that the host cannot be reached.
    Rejected,
    /// UDP without an answer.
    Silent,
}

/// What an open port let itself be known by.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Voice {
    pub(super) service: Cow<'static, str>,
    pub(super) exposure: &'static str,
    /// Printable ASCII.
    pub(super) evidence: String,
    /// What its handshake told of TLS, where somebody wants to know.
    pub(super) glimpse: Option<Box<Measurements>>,
}

impl State {
    /// The state that a failed contact means.
    pub(super) fn of(error: &DialError) -> Self {
        match error {
            DialError::ConnectTimeout => Self::Dropped,
            DialError::Io(error) => Self::of_io(error),
            error => Self::NotMeasured(error.unknown()),
        }
    }

    /// The state behind an error before anything left, or in a datagram's stead. What this machine
    /// could not do is never said of the peer.
    fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Closed,
            // EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL, EACCES, EPERM, ENETUNREACH …
            _ => Self::NotMeasured(Unknown::new(Reason::LocalError, error.to_string())),
        }
    }

    /// The state behind an error that came after the question had left. Linux gives ICMP's codes as
    /// error numbers, of which only a refusal (RST or port unreachable) is the port's own word; the
    /// neighbour cache says EHOSTUNREACH.
    pub(super) fn of_answer(error: &io::Error) -> Self {
        match (error.raw_os_error(), error.kind()) {
            (_, io::ErrorKind::ConnectionRefused) => Self::Closed,
            (_, io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted) => Self::Forged,
            (_, io::ErrorKind::TimedOut) => Self::Dropped,
            (Some(error), _) if ICMP.contains(&error) => Self::Rejected,
            _ => Self::NotMeasured(Unknown::new(Reason::LocalError, error.to_string())),
        }
    }

    /// Why it could not be asked, if it could not.
    pub(super) fn not_measured(&self) -> Option<&Unknown> {
        match self {
            Self::NotMeasured(unknown) => Some(unknown),
            _ => None,
        }
    }

    /// Whether the host itself must have answered.
    pub(super) fn is_sign_of_life(&self) -> bool {
        matches!(self, Self::Closed | Self::Forged | Self::Open(_))
    }

    /// How the port went on after a handshake, if there was one.
    pub(super) fn manner(&self) -> Option<Manner> {
        match self {
            Self::Forged => Some(Manner::Reset),
            Self::Open(voice) if voice.spoke() => Some(Manner::Spoke(voice.service.clone())),
            Self::Open(voice) if voice.service == "tcpwrapped" => Some(Manner::HungUp),
            Self::Open(_) => Some(Manner::Quiet),
            _ => None,
        }
    }

    /// Whether a handshake was completed or torn down in the middle.
    pub(super) fn is_handshake(&self) -> bool {
        matches!(self, Self::Forged | Self::Open(_))
    }
}

/// EACCES (ICMPv6 prohibited), EPROTO, ENOPROTOOPT, EOPNOTSUPP, ENETUNREACH, EHOSTDOWN, EHOSTUNREACH,
/// ENONET: Linux's numbers, as in errno(3), for what ICMP says.
const ICMP: [i32; 8] = [13, 71, 92, 95, 101, 112, 113, 64];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(errno: i32) -> State {
        State::of(&DialError::Io(io::Error::from_raw_os_error(errno)))
    }

    #[test]
    fn only_a_refusal_means_closed() {
        let answer = |errno| State::of_answer(&io::Error::from_raw_os_error(errno));
        assert_eq!(answer(111 /* ECONNREFUSED */), State::Closed);
        assert_eq!(answer(104 /* ECONNRESET */), State::Forged);
        assert_eq!(answer(110 /* ETIMEDOUT */), State::Dropped);
        assert_eq!(State::of(&DialError::ConnectTimeout), State::Dropped);
        for errno in ICMP {
            assert_eq!(answer(errno), State::Rejected, "errno {errno}");
        }
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(State::of_answer(&refused), State::Closed);
        assert!(answer(12 /* ENOMEM */).not_measured().is_some());
    }

    #[test]
    fn what_this_machine_could_not_do_is_not_measured() {
        for (name, errno) in [
            ("EPERM", 1),
            ("ENOMEM", 12),
            ("EACCES", 13),
            ("ENFILE", 23),
            ("EMFILE", 24),
            ("EADDRNOTAVAIL", 99),
            ("ENETUNREACH", 101),
            ("EHOSTUNREACH", 113),
            ("ENOBUFS", 105),
        ] {
            match of(errno) {
                State::NotMeasured(unknown) => assert_eq!(unknown.reason, Reason::LocalError),
                state => panic!("{name} became {state:?}"),
            }
        }
        let budget = State::of(&DialError::Budget(Reason::Budget.into()));
        assert_eq!(budget, State::NotMeasured(Reason::Budget.into()));
        let State::NotMeasured(unknown) = State::of(&DialError::OutOfScope("no".to_owned())) else {
            panic!("the scope's word is no state of the port");
        };
        assert_eq!(unknown.reason, Reason::OutOfScope);
    }
}
