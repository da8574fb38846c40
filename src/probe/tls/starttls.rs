//! The plain-text dialogues before a handshake, each a small state machine over bounded input. They
//! know no socket: bytes in, what to send out.

use crate::target::StartTls;

use super::wire::{Cursor, printable};

/// One dialogue.
#[derive(Debug)]
pub(super) struct Dialogue {
    protocol: StartTls,
    host: String,
    buffer: Vec<u8>,
    /// Bytes taken in all.
    taken: usize,
    /// How many of our commands have been sent.
    step: u8,
    /// Whether the peer's list of capabilities named STARTTLS.
    listed: bool,
}

/// What to do next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Wait for more bytes.
    More,
    /// The peer will not upgrade.
    NotOffered,
    /// Begin the handshake.
    Ready,
    /// Send this and wait for the answer.
    Send(Vec<u8>),
    /// Send this and begin the handshake.
    SendThenReady(Vec<u8>),
    /// The dialogue broke off, which says nothing of what is offered.
    Broken(String),
}

impl Dialogue {
    pub(super) fn new(protocol: StartTls, host: &str) -> Self {
        let host = host.to_owned();
        Self { protocol, host, buffer: Vec::new(), taken: 0, step: 0, listed: false }
    }

    /// What to send before the peer says anything.
    pub(super) fn opening(&self) -> Vec<u8> {
        match self.protocol {
            StartTls::Irc => b"STARTTLS\r\n".to_vec(),
            StartTls::Ldap => LDAP_START_TLS.to_vec(),
            StartTls::Postgres => POSTGRES_SSL_REQUEST.to_vec(),
            StartTls::Xmpp => self.stream("jabber:client"),
            StartTls::XmppServer => self.stream("jabber:server"),
            _ => Vec::new(),
        }
    }

    /// Takes what the peer sent.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Step {
        self.taken += bytes.len();
        if self.taken > MAX_BYTES {
            return Step::Broken("a greeting without end".to_owned());
        }
        self.buffer.extend_from_slice(bytes);
        match self.protocol {
            StartTls::Ldap => self.ldap(),
            StartTls::Mysql => self.mysql(),
            StartTls::Postgres => self.postgres(),
            StartTls::Xmpp | StartTls::XmppServer => self.xmpp(),
            _ => self.lines(),
        }
    }

    fn lines(&mut self) -> Step {
        while let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = String::from_utf8_lossy(line.trim_ascii_end()).to_ascii_uppercase();
            match self.line(&line) {
                Step::More => {}
                Step::Send(bytes) => {
                    self.step += 1;
                    return Step::Send(bytes);
                }
                // Bytes behind the go-ahead are not the handshake's: CVE-2011-0411's mirror.
                Step::Ready if !self.buffer.is_empty() => {
                    return Step::Broken("bytes behind the go-ahead".to_owned());
                }
                step => return step,
            }
        }
        Step::More
    }

    fn line(&mut self, line: &str) -> Step {
        match self.protocol {
            StartTls::Ftp => self.coded(line, b"AUTH TLS\r\n", "220", "234"),
            StartTls::Imap => self.imap(line),
            StartTls::Irc => match line {
                _ if line.contains(" 670 ") => Step::Ready,
                _ if line.contains(" 691 ") || line.contains(" 421 ") || line.contains(" 451 ") => {
                    Step::NotOffered
                }
                _ if line.starts_with("ERROR") => broken(line),
                _ => Step::More,
            },
            StartTls::Nntp => self.coded(line, b"STARTTLS\r\n", "20", "382"),
            StartTls::Pop3 => match self.step {
                0 if line.starts_with("+OK") => Step::Send(b"STLS\r\n".to_vec()),
                1 if line.starts_with("+OK") => Step::Ready,
                1 if line.starts_with("-ERR") => Step::NotOffered,
                _ => broken(line),
            },
            StartTls::Sieve => self.sieve(line),
            _ => self.smtp(line),
        }
    }

    /// Greeting, one command, one answer, all with codes of three digits.
    fn coded(&self, line: &str, command: &[u8], greeting: &str, go: &str) -> Step {
        if is_continued(line) {
            return Step::More;
        }
        match self.step {
            0 if line.starts_with(greeting) => Step::Send(command.to_vec()),
            1 if line.starts_with(go) => Step::Ready,
            // 580: able, but not now (RFC 4642 §2.2.2).
            1 if line.starts_with('5') && !line.starts_with("580") => Step::NotOffered,
            1 if line.starts_with("483") => Step::NotOffered,
            _ => broken(line),
        }
    }

    fn smtp(&mut self, line: &str) -> Step {
        if self.step == 1 && line.get(4..).is_some_and(|word| word.trim() == "STARTTLS") {
            self.listed = true;
        }
        if is_continued(line) {
            return Step::More;
        }
        match self.step {
            0 if line.starts_with("220") => Step::Send(b"EHLO secchi.invalid\r\n".to_vec()),
            1 if line.starts_with("250") && self.listed => Step::Send(b"STARTTLS\r\n".to_vec()),
            1 if line.starts_with("250") || line.starts_with('5') => Step::NotOffered,
            2 if line.starts_with("220") => Step::Ready,
            2 if line.starts_with('5') => Step::NotOffered,
            _ => broken(line),
        }
    }

    fn imap(&self, line: &str) -> Step {
        match self.step {
            0 if line.starts_with("* OK") => Step::Send(b"s1 STARTTLS\r\n".to_vec()),
            0 if line.starts_with("* PREAUTH") => Step::NotOffered,
            1 if line.starts_with("S1 OK") => Step::Ready,
            1 if line.starts_with("S1 NO") || line.starts_with("S1 BAD") => Step::NotOffered,
            1 if line.starts_with("* ") && !line.starts_with("* BYE") => Step::More,
            _ => broken(line),
        }
    }

    fn sieve(&mut self, line: &str) -> Step {
        self.listed |= line.starts_with("\"STARTTLS\"");
        match self.step {
            0 if line.starts_with("OK") && self.listed => Step::Send(b"STARTTLS\r\n".to_vec()),
            0 if line.starts_with("OK") => Step::NotOffered,
            0 if line.starts_with('"') => Step::More,
            1 if line.starts_with("OK") => Step::Ready,
            1 if line.starts_with("NO") => Step::NotOffered,
            _ => broken(line),
        }
    }

    fn postgres(&self) -> Step {
        match *self.buffer {
            [] => Step::More,
            [b'S'] => Step::Ready,
            // An error from before SSLRequest was known (7.x).
            [b'N'] | [b'E', ..] => Step::NotOffered,
            _ => broken(&printable(&self.buffer)),
        }
    }

    /// Protocol::HandshakeV10: the low capability flags stand behind the server's version.
    fn mysql(&self) -> Step {
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
        match flags {
            Some(flags) if flags & MYSQL_SSL != 0 => Step::SendThenReady(mysql_ssl_request()),
            Some(_) => Step::NotOffered,
            None => broken(&printable(payload)),
        }
    }

    /// ExtendedResponse: `30 .. 02 01 id 78 .. 0a 01 code` (RFC 4511 §4.12).
    fn ldap(&self) -> Step {
        if self.buffer.first().is_some_and(|&tag| tag != 0x30) {
            return broken(&printable(&self.buffer));
        }
        let code = self.buffer.windows(3).position(|w| w[0] == 0x0a && w[1] == 1);
        match code.map(|at| self.buffer[at + 2]) {
            None => Step::More,
            Some(0) => Step::Ready,
            Some(code @ (51 | 52)) => broken(&format!("result code {code}")),
            Some(_) => Step::NotOffered,
        }
    }

    fn xmpp(&mut self) -> Step {
        let text = String::from_utf8_lossy(&self.buffer);
        let offered = text.contains(XMPP_TLS);
        let step = match self.step {
            _ if text.contains("<stream:error") => broken("a stream error"),
            0 if text.contains("</stream:features>") || text.contains("<stream:features/>") => {
                match offered {
                    true => Step::Send(format!("<starttls xmlns='{XMPP_TLS}'/>").into_bytes()),
                    false => Step::NotOffered,
                }
            }
            1 if text.contains("<failure") => Step::NotOffered,
            1 if text.contains("<proceed") && text.trim_end().ends_with('>') => Step::Ready,
            _ => Step::More,
        };
        if matches!(step, Step::Send(_)) {
            self.step = 1;
            self.buffer.clear();
        }
        step
    }

    fn stream(&self, namespace: &str) -> Vec<u8> {
        format!(
            "<?xml version='1.0'?><stream:stream xmlns='{namespace}' \
             xmlns:stream='http://etherx.jabber.org/streams' to='{}' version='1.0'>",
            self.host
        )
        .into_bytes()
    }
}

/// Whether more lines of the same answer follow (`250-`).
fn is_continued(line: &str) -> bool {
    line.as_bytes().get(3) == Some(&b'-')
}

fn broken(line: &str) -> Step {
    Step::Broken(line.to_owned())
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

/// ExtendedRequest 1.3.6.1.4.1.1466.20037 (RFC 4511 §4.14.1).
const LDAP_START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

const POSTGRES_SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];

const XMPP_TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";

/// What a peer may say before the handshake.
const MAX_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Plays the peer's lines; the last step is the result.
    fn play(protocol: StartTls, lines: &[&[u8]]) -> Step {
        let mut dialogue = Dialogue::new(protocol, "a.test");
        let mut last = Step::More;
        for line in lines {
            last = dialogue.feed(line);
        }
        last
    }

    #[test]
    fn each_protocol_comes_to_the_handshake() {
        use StartTls::*;
        let mysql = b"\x26\0\0\0\x0a8.0.1\0\x01\0\0\0saltsalt\0\xff\xff\x08\x02\0\xff\xff\x15\0\0\0\0\0\0\0\0\0\0";
        let scripts: &[(StartTls, &[&[u8]])] = &[
            (Ftp, &[b"220-hi\r\n220 ready\r\n", b"234 go\r\n"]),
            (Imap, &[b"* OK [CAPABILITY IMAP4 STARTTLS] hi\r\n", b"s1 OK go\r\n"]),
            (Irc, &[b":a NOTICE * :hi\r\n:a 670 * :go\r\n"]),
            (Ldap, &[b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"]),
            (Nntp, &[b"200 hi\r\n", b"382 go\r\n"]),
            (Pop3, &[b"+OK hi\r\n", b"+OK go\r\n"]),
            (Postgres, &[b"S"]),
            (Sieve, &[b"\"SIEVE\" \"x\"\r\n\"STARTTLS\"\r\nOK\r\n", b"OK go\r\n"]),
            (Smtp, &[b"220 hi\r\n", b"250-a\r\n250-STARTTLS\r\n250 HELP\r\n", b"220 go\r\n"]),
            (
                Xmpp,
                &[
                    b"<stream:stream><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
                    b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
                ],
            ),
        ];
        for (protocol, script) in scripts {
            assert_eq!(play(*protocol, script), Step::Ready, "{protocol:?}");
        }
        assert!(matches!(play(Mysql, &[&mysql[..]]), Step::SendThenReady(r) if r.len() == 36));
    }

    #[test]
    fn a_refusal_is_told_from_a_broken_dialogue() {
        use StartTls::*;
        for (protocol, script) in [
            (Smtp, &[&b"220 hi\r\n"[..], b"250-a\r\n250 HELP\r\n"][..]),
            (Smtp, &[b"220 hi\r\n", b"250 STARTTLS\r\n", b"502 no\r\n"]),
            (Imap, &[b"* OK hi\r\n", b"s1 BAD no\r\n"]),
            (Pop3, &[b"+OK hi\r\n", b"-ERR no\r\n"]),
            (Ftp, &[b"220 hi\r\n", b"500 no\r\n"]),
            (Postgres, &[b"N"]),
            (Ldap, &[b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00"]),
            (Sieve, &[b"\"SIEVE\" \"x\"\r\nOK\r\n"]),
        ] {
            assert_eq!(play(protocol, script), Step::NotOffered, "{protocol:?}");
        }
        for (protocol, script) in [
            (Smtp, &[&b"554 go away\r\n"[..]][..]),
            (Smtp, &[b"220 hi\r\n", b"250 STARTTLS\r\n", b"454 later\r\n"]),
            (Smtp, &[b"220 hi\r\n", b"250 STARTTLS\r\n", b"220 go\r\n\x16\x03"]),
            (Imap, &[b"* BYE full\r\n"]),
            (Postgres, &[b"HTTP/1.1"]),
        ] {
            assert!(matches!(play(protocol, script), Step::Broken(_)), "{protocol:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_grow(
            which in 0..StartTls::ALL.len(),
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..40),
        ) {
            let mut dialogue = Dialogue::new(StartTls::ALL[which], "a.test");
            for part in parts {
                if matches!(dialogue.feed(&part), Step::Broken(_)) {
                    break;
                }
                prop_assert!(dialogue.buffer.len() <= MAX_BYTES);
            }
        }
    }
}
