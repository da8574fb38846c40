//! Why a contact was not made, and the reason it becomes.

use std::io;

use thiserror::Error;

use crate::sample::{Reason, Unknown};

/// Why a contact was not made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DialError {
    /// The budget had no room before the deadline.
    #[error("{0}")]
    Budget(Unknown),
    /// No answer to the connect.
    #[error("no answer to the connect")]
    ConnectTimeout,
    /// The kernel said no.
    #[error("{0}")]
    Io(io::Error),
    /// The scope said no; the text is the rule that did.
    #[error("{0}")]
    OutOfScope(String),
}

impl DialError {
    /// The reason that a sample gives.
    pub fn unknown(&self) -> Unknown {
        match self {
            Self::Budget(unknown) => unknown.clone(),
            Self::ConnectTimeout => Reason::ConnectTimeout.into(),
            Self::Io(error) => of_io(error),
            Self::OutOfScope(rule) => Unknown::new(Reason::OutOfScope, rule),
        }
    }
}

/// The reason behind an I/O error. What this machine could not do is never said of the peer.
pub fn of_io(error: &io::Error) -> Unknown {
    use io::ErrorKind as Kind;
    let reason = match error.kind() {
        Kind::ConnectionRefused => Reason::Refused,
        Kind::ConnectionReset
        | Kind::ConnectionAborted
        | Kind::BrokenPipe
        | Kind::UnexpectedEof => Reason::Reset,
        Kind::TimedOut => Reason::Timeout,
        Kind::HostUnreachable => Reason::Unreachable,
        _ => Reason::LocalError,
    };
    match reason {
        Reason::LocalError => Unknown::new(reason, error.to_string()),
        _ => reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exhaustion_of_this_machine_is_never_said_of_the_peer() {
        for errno in [
            24,  /* EMFILE */
            105, /* ENOBUFS */
            99,  /* EADDRNOTAVAIL */
            13,  /* EACCES */
            101, /* ENETUNREACH */
        ] {
            assert_eq!(
                of_io(&io::Error::from_raw_os_error(errno)).reason,
                Reason::LocalError,
                "errno {errno}"
            );
        }
        assert_eq!(of_io(&io::Error::from_raw_os_error(111)).reason, Reason::Refused);
        assert_eq!(of_io(&io::Error::from_raw_os_error(113)).reason, Reason::Unreachable);
    }
}
