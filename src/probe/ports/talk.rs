//! A polite conversation with an open port: listen first, then at most three connections with one
//! read-only request each that any client of the service sends first. No credentials.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use super::identity::{Identity, Next, recognise};
use super::questions::{Opening, Words, greets_late, openings};
use super::scan::{Answer, Question, Scanner};
use super::state::{State, Voice};
use crate::probe::dial::{Connection, Copied, Knock, Tee};
use crate::probe::trust::Witness;
use crate::sample::Measurements;

/// Talks to the port that the connection leads to.
pub(super) async fn talk(scanner: &Scanner, question: Question, connection: Connection) -> Answer {
    let mut talk = Talk {
        scanner,
        question,
        listening: LISTENING,
        connections: 1,
        connected_at: Instant::now(),
        is_fickle: false,
        glimpse: None,
    };
    let mut state = talk.identify(connection).await;
    if let State::Open(voice) = &mut state {
        voice.glimpse = talk.glimpse.take();
    }
    if question.is_unexpected {
        while talk.connections < CONNECTIONS && !talk.is_fickle {
            if talk.connect().await.is_none() {
                break;
            }
        }
    }
    let is_confirmed = !talk.is_fickle && talk.connections == CONNECTIONS;
    Answer { is_fickle: talk.is_fickle, is_confirmed, ..Answer::new(question, state) }
}

struct Talk<'a> {
    scanner: &'a Scanner,
    question: Question,
    /// What is left of the time to listen.
    listening: Duration,
    connections: u32,
    connected_at: Instant,
    /// Whether a later connect was refused or not answered.
    is_fickle: bool,
    /// What a handshake told of TLS.
    glimpse: Option<Box<Measurements>>,
}

/// What came back.
enum Heard {
    /// These bytes; whether inside TLS.
    Said(Vec<u8>, bool),
    /// Nothing, and the peer hung up.
    HungUp,
    Reset,
    Quiet,
}

impl Talk<'_> {
    async fn identify(&mut self, mut connection: Connection) -> State {
        let port = self.question.number;
        let patience = if greets_late(port) { LATE_GREETING } else { GREETING };
        let heard = match self.hear(&mut connection, patience).await {
            Heard::Said(said, _) => return open(self.greeted(connection, &said).await),
            Heard::HungUp => return open(Voice::hung_up()),
            // A handshake that is torn down before a byte proves a middlebox as well as a server.
            Heard::Reset => return State::Forged,
            Heard::Quiet => connection,
        };
        if self.scanner.is_crowded() {
            return open(Voice::silent());
        }
        open(self.ask(heard).await)
    }

    /// A port that spoke first.
    async fn greeted(&mut self, mut connection: Connection, said: &[u8]) -> Voice {
        let voice = Voice::of(self.question.number, said);
        if voice.service != "vnc" {
            return voice;
        }
        // Which security types it offers is told to whoever says the version (RFC 6143 §7.1).
        match self.exchange(&mut connection, Words::Rfb).await {
            Heard::Said(types, _) => {
                let identity = recognise(Words::Rfb, self.question.number, &types);
                voice.with_exposure(identity.map(|(identity, _)| identity.exposure))
            }
            _ => voice,
        }
    }

    /// A port that waits to be spoken to.
    async fn ask(&mut self, first: Connection) -> Voice {
        let port = self.question.number;
        let mut plan: Vec<Opening> = openings(port);
        plan.reverse();
        let (mut best, mut hung_up) = (Voice::silent(), 0);
        let mut connection = Some(first);
        while let Some(opening) = plan.pop() {
            let Some(at) = (match connection.take() {
                Some(connection) => Some(connection),
                None => self.connect().await,
            }) else {
                break;
            };
            let heard = self.open(at, opening).await;
            if opening.tls && !matches!(heard, Heard::Said(_, true)) {
                plan.retain(|opening| !opening.tls);
            }
            match heard {
                Heard::Said(said, inside) => {
                    let words = if opening.tls && !inside { Words::Hello } else { opening.words };
                    let known = recognise(words, port, &said);
                    let (identity, next) = known.unwrap_or((Identity::UNKNOWN, Next::Other));
                    best = best.or_better(Voice::known(&identity, inside, &said));
                    match next {
                        Next::Done => break,
                        // The peer speaks TLS, and nothing else will be heard from it in the clear.
                        Next::Other if inside => break,
                        Next::Other => {}
                        Next::Ask(words) => plan.push(Opening { tls: inside, words }),
                    }
                }
                Heard::HungUp | Heard::Reset => {
                    hung_up += 1;
                    // What hangs up on TLS and on HTTP alike reads a length first.
                    if plan.is_empty() && hung_up == 2 && best.evidence.is_empty() {
                        plan.push(Opening::plain(Words::Postgres));
                    }
                }
                Heard::Quiet => {}
            }
        }
        best
    }

    /// Another connection, if there may be one. Those that confirm an unexpected port stand apart.
    async fn connect(&mut self) -> Option<Connection> {
        if self.connections >= CONNECTIONS || self.scanner.is_over() {
            return None;
        }
        if self.question.is_unexpected {
            sleep_until(self.connected_at + APART).await;
        }
        let (to, purpose) = (self.question.to(), self.question.purpose);
        let host = self.scanner.host.as_deref();
        let permit = self.scanner.dialer.admit(host, to, purpose).await.ok()?;
        self.connected_at = Instant::now();
        match self.scanner.dialer.knock(permit, to, self.scanner.timeout).await {
            Knock::Open(connection) => {
                self.connections += 1;
                Some(connection)
            }
            Knock::Refused(_) | Knock::Silent => {
                self.is_fickle = true;
                None
            }
            Knock::Unasked(_) => None,
        }
    }

    async fn open(&mut self, mut connection: Connection, opening: Opening) -> Heard {
        match opening.tls {
            true => self.inside_tls(connection, opening.words).await,
            false => self.exchange(&mut connection, opening.words).await,
        }
    }

    /// Shakes hands and asks inside; where the peer speaks no TLS, its answer to the hello is told.
    async fn inside_tls(&mut self, connection: Connection, words: Words) -> Heard {
        let witness = Witness::new(|_| true);
        let Ok(config) = witness.client(&[]) else { return Heard::Quiet };
        let to = self.question.address;
        let name = self.scanner.server_name.clone();
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let name = name.unwrap_or_else(|| ServerName::from(to));
        let heard = Copied::new(MOST_HEARD);
        let copied = Tee::new(connection, heard.clone());
        let begun = Instant::now();
        let shaking = TlsConnector::from(Arc::new(config)).connect(name, copied);
        let shaken = timeout(self.listening.min(HANDSHAKE), shaking).await;
        self.listening = self.listening.saturating_sub(begun.elapsed());
        let mut stream = match shaken {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let said = heard.take();
                let is_tls = matches!(said.as_slice(), [0x15 | 0x16, 3, ..]);
                return match error.kind() {
                    _ if !said.is_empty() => Heard::Said(said, is_tls),
                    std::io::ErrorKind::ConnectionReset => Heard::Reset,
                    _ => Heard::HungUp,
                };
            }
            Err(_) => match heard.take() {
                said if said.is_empty() => return Heard::Quiet,
                said => {
                    let is_tls = matches!(said.as_slice(), [0x15 | 0x16, 3, ..]);
                    return Heard::Said(said, is_tls);
                }
            },
        };
        if let Some(glimpser) = &self.scanner.glimpser {
            let session = stream.get_ref().1;
            self.glimpse = glimpser.look(self.question.number, session, &witness, begun.elapsed());
        }
        match self.exchange(&mut stream, words).await {
            Heard::Said(said, _) => Heard::Said(said, true),
            _ => Heard::Said(Vec::new(), true),
        }
    }

    async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        words: Words,
    ) -> Heard {
        let said = words.bytes(self.scanner.host.as_deref());
        if stream.write_all(&said).await.is_err() || stream.flush().await.is_err() {
            return Heard::HungUp;
        }
        self.hear(stream, ANSWER).await
    }

    /// Listens for a first byte, then as long as more comes without a pause.
    async fn hear<S: AsyncRead + Unpin>(&mut self, stream: &mut S, patience: Duration) -> Heard {
        let mut said = Vec::new();
        let mut patience = patience;
        let begun = Instant::now();
        let heard = loop {
            let wait = patience.min(self.listening.saturating_sub(begun.elapsed()));
            let mut part = [0; 1_024];
            match timeout(wait, stream.read(&mut part)).await {
                Ok(Ok(length)) if length > 0 && said.len() + length < MOST_HEARD => {
                    said.extend_from_slice(&part[..length]);
                    patience = PAUSE;
                }
                Ok(Ok(length)) if length > 0 => {
                    said.extend_from_slice(&part[..length.min(MOST_HEARD - said.len())]);
                    break Heard::Said(said, false);
                }
                _ if !said.is_empty() => break Heard::Said(said, false),
                Ok(Ok(_)) => break Heard::HungUp,
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    break Heard::Reset;
                }
                Ok(Err(error)) if error.kind() != std::io::ErrorKind::TimedOut => {
                    break Heard::HungUp;
                }
                Ok(Err(_)) | Err(_) => break Heard::Quiet,
            }
        };
        self.listening = self.listening.saturating_sub(begun.elapsed());
        heard
    }
}

fn open(voice: Voice) -> State {
    State::Open(Box::new(voice))
}

/// How long a server may think before it greets.
const GREETING: Duration = Duration::from_millis(300);
/// The same where a greeting is the rule, and may wait for a look-up of our name.
const LATE_GREETING: Duration = Duration::from_millis(2_500);
/// How long it may think about a question.
const ANSWER: Duration = Duration::from_millis(1_200);
const HANDSHAKE: Duration = Duration::from_millis(1_500);
/// What comes in one go comes with no longer pause.
const PAUSE: Duration = Duration::from_millis(100);
/// In all, of one port.
const LISTENING: Duration = Duration::from_secs(5);
const CONNECTIONS: u32 = 3;
/// Between two looks at an unexpected port.
const APART: Duration = Duration::from_secs(2);
/// The most bytes of an answer.
const MOST_HEARD: usize = 4_096;
/// The most bytes a connection may bring: an answer, with a handshake and a certificate chain.
pub(super) const MOST_READ: usize = 20 * 1_024;
