//! Ways to a server that limit, cut, delay or confuse: whatever it is that begins behind them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::testing::scripted;

use super::peers::{pass_on, record};

#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// So many connections in a fifth of a second; others are closed.
    Rate(usize),
    OneAtATime,
    /// Closes once it is sent more than this at once.
    NoMoreThan(usize),
    /// What the server says comes a byte at a time.
    Dribble,
    /// Handshake records in clear come in records of seven bytes.
    Split,
    /// Every third connection is reset.
    Reset,
    /// Every other connection goes to the server at this port.
    Mixed(u16),
    /// Answers nothing.
    Tarpit,
    /// Answers as a web server does that is spoken to in TLS on its plain port.
    Http,
}

impl Way {
    /// The port that leads over it.
    pub(super) async fn to(self, backend: u16) -> u16 {
        let times = Arc::new(Mutex::new(Vec::<Instant>::new()));
        let turn = Arc::new(Semaphore::new(1));
        scripted(move |number, stream| {
            let (times, turn) = (Arc::clone(&times), Arc::clone(&turn));
            self.pass(number, stream, backend, times, turn)
        })
        .await
    }

    async fn pass(
        self,
        number: usize,
        mut stream: TcpStream,
        backend: u16,
        times: Arc<Mutex<Vec<Instant>>>,
        turn: Arc<Semaphore>,
    ) {
        match self {
            Self::Rate(most) => {
                let is_within = {
                    let mut times = times.lock().expect("times");
                    times.retain(|at| at.elapsed() < Duration::from_millis(200));
                    times.push(Instant::now());
                    times.len() <= most
                };
                if is_within {
                    pass_on(&mut stream, backend).await;
                }
            }
            Self::OneAtATime => {
                let turn = turn.try_acquire();
                if turn.is_ok() {
                    pass_on(&mut stream, backend).await;
                }
            }
            Self::Reset if (number + 1).is_multiple_of(3) => {
                // What is left unread makes it a reset.
                let _ = stream.read_u8().await;
            }
            Self::Reset => pass_on(&mut stream, backend).await,
            Self::Mixed(other) => {
                pass_on(&mut stream, if number.is_multiple_of(2) { backend } else { other }).await;
            }
            Self::NoMoreThan(_) | Self::Dribble | Self::Split => self.meddle(stream, backend).await,
            Self::Tarpit => tokio::time::sleep(Duration::from_secs(60)).await,
            Self::Http => {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            }
        }
    }

    async fn meddle(self, stream: TcpStream, backend: u16) {
        let Ok(to) = TcpStream::connect(("127.0.0.1", backend)).await else { return };
        let _ = stream.set_nodelay(true);
        let (mut from, mut back) = stream.into_split();
        let (mut answers, mut on) = to.into_split();
        let there = async {
            match self {
                Self::NoMoreThan(most) => up_to(&mut from, &mut on, most).await,
                _ => copy(&mut from, &mut on).await.ok().map(|_| ()),
            };
            let _ = on.shutdown().await;
        };
        tokio::join!(there, async {
            match self {
                Self::Dribble => dribble(&mut answers, &mut back).await,
                Self::Split => split(&mut answers, &mut back).await,
                _ => copy(&mut answers, &mut back).await.ok().map(|_| ()),
            };
            let _ = back.shutdown().await;
        });
    }
}

async fn up_to(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, most: usize) -> Option<()> {
    let mut buffer = vec![0; 16_384];
    loop {
        let count = from.read(&mut buffer).await.ok()?;
        if count == 0 || count > most {
            return None;
        }
        to.write_all(&buffer[..count]).await.ok()?;
    }
}

async fn dribble(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> Option<()> {
    loop {
        to.write_all(&[from.read_u8().await.ok()?]).await.ok()?;
    }
}

async fn split(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> Option<()> {
    let mut is_clear = true;
    loop {
        let mut header = [0; 5];
        from.read_exact(&mut header).await.ok()?;
        let [kind, major, minor, high, low] = header;
        let mut body = vec![0; usize::from(u16::from_be_bytes([high, low]))];
        from.read_exact(&mut body).await.ok()?;
        is_clear &= kind != 20;
        let size = if kind == 22 && is_clear { 7 } else { body.len().max(1) };
        for part in body.chunks(size) {
            let version = u16::from_be_bytes([major, minor]);
            to.write_all(&record(kind, version, part)).await.ok()?;
        }
    }
}
