//! What one look at a port came to, and what the kernel's word means.

use std::io;

use crate::probe::dial::DialError;
use crate::sample::{Reason, Unknown};

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
    Open(Voice),
    /// Someone on the way, or the neighbour cache, said that the host cannot be reached.
    Rejected,
    /// UDP without an answer.
    Silent,
}

/// What an open port let itself be known by.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Voice {
    pub(super) service: &'static str,
    pub(super) exposure: &'static str,
    /// Printable ASCII.
    pub(super) evidence: String,
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

    /// The state behind an I/O error. What this machine could not do is never said of the peer.
    pub(super) fn of_io(error: &io::Error) -> Self {
        match (error.raw_os_error(), error.kind()) {
            (Some(EHOSTDOWN | EHOSTUNREACH | ENOPROTOOPT | EPROTO), _)
            | (None, io::ErrorKind::HostUnreachable) => Self::Rejected,
            (_, io::ErrorKind::ConnectionRefused) => Self::Closed,
            (_, io::ErrorKind::ConnectionReset) => Self::Forged,
            (_, io::ErrorKind::TimedOut) => Self::Dropped,
            // EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL, EACCES, EPERM, ENETUNREACH …
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

    /// Whether a handshake was completed or torn down in the middle.
    pub(super) fn is_handshake(&self) -> bool {
        matches!(self, Self::Forged | Self::Open(_))
    }
}

// Linux's numbers, as in errno(3).
const EPROTO: i32 = 71;
const ENOPROTOOPT: i32 = 92;
const EHOSTDOWN: i32 = 112;
const EHOSTUNREACH: i32 = 113;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(errno: i32) -> State {
        State::of(&DialError::Io(io::Error::from_raw_os_error(errno)))
    }

    #[test]
    fn only_a_refusal_means_closed() {
        assert_eq!(of(111 /* ECONNREFUSED */), State::Closed);
        assert_eq!(of(104 /* ECONNRESET */), State::Forged);
        assert_eq!(of(110 /* ETIMEDOUT */), State::Dropped);
        assert_eq!(State::of(&DialError::ConnectTimeout), State::Dropped);
        for errno in [EHOSTUNREACH, EHOSTDOWN, ENOPROTOOPT, EPROTO] {
            assert_eq!(of(errno), State::Rejected, "errno {errno}");
        }
        let refused = DialError::Io(io::ErrorKind::ConnectionRefused.into());
        assert_eq!(State::of(&refused), State::Closed);
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
