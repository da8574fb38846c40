//! A command sent in the same segment as STARTTLS. A server that keeps it in its buffer and carries
//! it out inside TLS lets a person in the middle put words into protected sessions (CVE-2011-0411).

use crate::target::StartTls;

/// What is smuggled: a harmless command whose answer cannot be taken for another's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::probe::tls) struct Smuggle(StartTls);

impl Smuggle {
    /// What there is for the protocol.
    pub(in crate::probe::tls) fn of(protocol: StartTls) -> Option<Self> {
        let smuggle = Self(protocol);
        (!smuggle.command().is_empty()).then_some(smuggle)
    }

    /// The command.
    pub(super) fn command(self) -> &'static [u8] {
        match self.0 {
            StartTls::Smtp | StartTls::Lmtp | StartTls::Ftp => b"NOOP\r\n",
            StartTls::Imap => b"s2 NOOP\r\n",
            StartTls::Irc => b"PING :secchi-smuggled\r\n",
            StartTls::Nntp => b"DATE\r\n",
            StartTls::Pop3 => b"NOOP\r\n",
            StartTls::Sieve => b"NOOP \"secchi-smuggled\"\r\n",
            _ => b"",
        }
    }

    /// What to say inside TLS: the peer's goodbye comes behind its answer to what was smuggled.
    pub(in crate::probe::tls) fn goodbye(self) -> &'static [u8] {
        match self.0 {
            StartTls::Imap => b"s3 LOGOUT\r\n",
            StartTls::Sieve => b"LOGOUT\r\n",
            _ => b"QUIT\r\n",
        }
    }

    /// Whether the command was carried out, by all that was `heard` inside TLS, and whether the peer
    /// has `ended` the session. `None`: no answer to the goodbye yet.
    pub(in crate::probe::tls) fn is_carried_out(self, heard: &[u8], ended: bool) -> Option<bool> {
        let text = String::from_utf8_lossy(heard).to_ascii_uppercase();
        let whole = text.rfind('\n').map_or("", |at| &text[..=at]);
        let lines: Vec<&str> = whole.lines().map(str::trim_end).collect();
        let first = lines.first()?;
        let any = |start: &str| lines.iter().any(|line| line.starts_with(start));
        let count = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
        match self.0 {
            StartTls::Smtp | StartTls::Lmtp | StartTls::Ftp => Some(!first.starts_with("221")),
            StartTls::Nntp => Some(!first.starts_with("205")),
            StartTls::Imap if any("S2 ") => Some(true),
            StartTls::Imap => any("S3 ").then_some(false),
            StartTls::Irc if whole.contains("SECCHI-SMUGGLED") => Some(true),
            StartTls::Irc => any("ERROR").then_some(false),
            // The goodbye is one line; anything else answers what was smuggled.
            StartTls::Pop3 if first.starts_with("-ERR") || lines.len() > 1 => Some(true),
            StartTls::Pop3 => ended.then_some(false),
            StartTls::Sieve if whole.contains("SECCHI-SMUGGLED") || any("NO") => Some(true),
            // The list of capabilities, which comes unasked, ends with OK as well (RFC 5804 §2.2).
            StartTls::Sieve => (count("OK") > 1 || any("BYE")).then_some(false),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_what_was_smuggled_is_told_from_the_goodbye() {
        use StartTls::*;
        for (protocol, kept, dropped) in [
            (Smtp, "250 2.0.0 Ok\r\n", "221 2.0.0 Bye\r\n"),
            (Lmtp, "250 2.0.0 OK\r\n", "221 2.0.0 Bye\r\n"),
            (Ftp, "530 log in first\r\n", "221 Goodbye\r\n"),
            (Nntp, "111 20261122000000\r\n", "205 bye\r\n"),
            (Imap, "s2 OK NOOP\r\n* BYE\r\ns3 OK\r\n", "* BYE\r\ns3 OK\r\n"),
            (Pop3, "+OK\r\n+OK bye\r\n", "+OK bye\r\n"),
            (Pop3, "-ERR log in first\r\n", "+OK bye\r\n"),
            (Irc, ":a PONG a :secchi-smuggled\r\n", "ERROR :Closing Link\r\n"),
            (
                Sieve,
                "\"SIEVE\" \"x\"\r\nOK\r\nOK (TAG \"secchi-smuggled\") \"done\"\r\n",
                "\"SIEVE\" \"x\"\r\nOK \"ready\"\r\nOK \"bye\"\r\n",
            ),
        ] {
            let smuggle = Smuggle::of(protocol).expect("a command");
            assert_eq!(smuggle.is_carried_out(kept.as_bytes(), false), Some(true), "{protocol:?}");
            assert_eq!(
                smuggle.is_carried_out(dropped.as_bytes(), true),
                Some(false),
                "{protocol:?}"
            );
            assert_eq!(smuggle.is_carried_out(b"", true), None, "{protocol:?}");
        }
        assert_eq!(Smuggle::of(Postgres), None);
    }
}
