//! The plain-text dialogues before a handshake, each a small state machine over bounded input. They
//! know no socket: bytes in, what to send out.

mod binary;
mod lines;
pub(super) mod smuggle;
#[cfg(test)]
mod tests;
mod xmpp;

use crate::target::StartTls;

use smuggle::Smuggle;

/// One dialogue.
#[derive(Debug)]
pub(super) struct Dialogue {
    protocol: StartTls,
    name: String,
    buffer: Vec<u8>,
    /// Bytes taken in all.
    taken: usize,
    /// How many of our commands have been sent.
    step: u8,
    /// Whether the peer's list of capabilities named STARTTLS.
    listed: bool,
    /// The code of an answer of several lines of which the last is still to come.
    open: Option<u16>,
    /// What to send behind STARTTLS in the same segment.
    smuggle: Option<Smuggle>,
    /// What the peer sent behind its go-ahead, in clear: at most [`MAX_BYTES`].
    behind: Vec<u8>,
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
    /// A dialogue with the server of this name.
    pub(super) fn new(protocol: StartTls, name: &str) -> Self {
        Self {
            protocol,
            name: name.to_owned(),
            buffer: Vec::new(),
            taken: 0,
            step: 0,
            listed: false,
            open: None,
            smuggle: None,
            behind: Vec::new(),
        }
    }

    /// The same, with a command sent behind STARTTLS before the peer has agreed to it.
    pub(super) fn smuggling(mut self, smuggle: Smuggle) -> Self {
        self.smuggle = Some(smuggle);
        self
    }

    /// What is spoken.
    pub(super) fn protocol(&self) -> StartTls {
        self.protocol
    }

    /// What to send before the peer says anything.
    pub(super) fn opening(&self) -> Vec<u8> {
        match self.protocol {
            StartTls::Irc => self.start(),
            StartTls::Ldap => binary::LDAP_START_TLS.to_vec(),
            StartTls::Postgres => binary::POSTGRES_SSL_REQUEST.to_vec(),
            StartTls::Xmpp => xmpp::stream("jabber:client", &self.name),
            StartTls::XmppServer => xmpp::stream("jabber:server", &self.name),
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
        let step = match self.protocol {
            StartTls::Ldap => self.ldap(),
            StartTls::Mysql => self.mysql(),
            StartTls::Postgres => self.postgres(),
            StartTls::Xmpp | StartTls::XmppServer => self.xmpp(),
            _ => self.lines(),
        };
        match step {
            // What stands behind the go-ahead came in clear and belongs to nobody.
            Step::Ready | Step::SendThenReady(_) => self.behind = std::mem::take(&mut self.buffer),
            Step::Send(_) => self.step += 1,
            _ => {}
        }
        step
    }

    /// What the peer sent in clear behind its go-ahead. A client that keeps it in its buffer takes
    /// it for a part of the protected session (CVE-2011-0411's mirror, CVE-2021-23222).
    pub(super) fn behind(&self) -> &[u8] {
        &self.behind
    }

    /// The command that asks for TLS, with what is smuggled behind it.
    fn start(&self) -> Vec<u8> {
        let command: &[u8] = match self.protocol {
            StartTls::Ftp => b"AUTH TLS\r\n",
            StartTls::Imap => b"s1 STARTTLS\r\n",
            StartTls::Pop3 => b"STLS\r\n",
            _ => b"STARTTLS\r\n",
        };
        let behind = self.smuggle.map_or(&b""[..], Smuggle::command);
        [command, behind].concat()
    }
}

/// What breaks a dialogue off, in the peer's words.
fn broken(line: &str) -> Step {
    Step::Broken(line.to_owned())
}

/// What a peer may say before the handshake.
const MAX_BYTES: usize = 16 * 1024;
