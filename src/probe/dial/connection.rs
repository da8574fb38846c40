//! A probing connection: every read waits a bounded time and brings a bounded number of bytes.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Permit, Traffic};

/// A TCP connection that ends with `TimedOut` where a read or write waits too long, and with
/// `FileTooLarge` where the peer sends more than it may.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    timer: Pin<Box<Sleep>>,
    waiting: bool,
    patience: Duration,
    deadline: Instant,
    bytes_left: usize,
    traffic: Arc<Traffic>,
    _permit: Permit,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        permit: Permit,
        (patience, deadline, limit): (Duration, Instant, usize),
        traffic: Arc<Traffic>,
    ) -> Self {
        Self {
            stream,
            timer: Box::pin(sleep_until(deadline)),
            waiting: false,
            patience,
            deadline,
            bytes_left: limit,
            traffic,
            _permit: permit,
        }
    }

    /// The peer's address.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    /// Closes with a reset rather than a goodbye, so that nothing lingers in TIME_WAIT.
    pub fn abort(self) {
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    fn wait<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.waiting = false;
            return poll;
        }
        if !self.waiting {
            self.waiting = true;
            let until = self.deadline.min(Instant::now() + self.patience);
            self.timer.as_mut().reset(until);
        }
        match self.timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes_left == 0 {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the peer sent more than a sample may read",
            )));
        }
        if Instant::now() >= self.deadline {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let room = self.bytes_left.min(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        let poll = Pin::new(&mut self.stream).poll_read(cx, &mut part);
        let read = part.filled().len();
        let poll = poll.map(|done| done.map(|()| read));
        match self.wait(cx, poll) {
            Poll::Ready(Ok(read)) => {
                self.bytes_left -= read;
                self.traffic.note_received(read);
                buf.advance(read);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(sent)) = &poll {
            self.traffic.note_sent(*sent);
        }
        self.wait(cx, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
