//! A plain HTTP server that answers as the test says, and keeps a log of who came when.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::free_port;

/// One connection as the server saw it.
#[derive(Clone, Debug)]
pub struct Contact {
    /// The port that was called.
    pub port: u16,
    /// When it was accepted.
    pub begun: Instant,
    /// When the client was gone.
    pub ended: Option<Instant>,
    /// The request, head and body.
    pub request: String,
}

impl Contact {
    /// The request's body.
    pub fn body(&self) -> &str {
        self.request.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}

/// The connections of one server, or of several that share an address.
pub type Log = Arc<Mutex<Vec<Contact>>>;

/// A server on a free port of 127.0.0.1, until the test's process ends.
pub struct Scripted {
    /// Its port.
    pub port: u16,
    /// Who came.
    pub log: Log,
}

impl Scripted {
    /// Answers every request (head and body in one text) by what `answer` gives.
    pub fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::start_with(Log::default(), answer)
    }

    /// The same, with a log that several servers share.
    pub fn start_with(log: Log, answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a listener");
        let (answer, book) = (Arc::new(answer), Arc::clone(&log));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let index = {
                    let mut contacts = book.lock().expect("a lock");
                    let begun = Instant::now();
                    contacts.push(Contact { port, begun, ended: None, request: String::new() });
                    contacts.len() - 1
                };
                let (answer, book) = (Arc::clone(&answer), Arc::clone(&book));
                thread::spawn(move || serve(stream, index, &*answer, &book));
            }
        });
        Self { port, log }
    }

    /// Every connection so far.
    pub fn contacts(&self) -> Vec<Contact> {
        self.log.lock().expect("a lock").clone()
    }
}

/// A whole response that ends the connection.
pub fn response(status: &str, fields: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// 200 with a JSON document.
pub fn json(body: &str) -> String {
    response("200 OK", "Content-Type: application/json\r\n", body)
}

fn serve(mut stream: TcpStream, index: usize, answer: &dyn Fn(&str) -> String, log: &Log) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
    let request = read_request(&mut stream);
    log.lock().expect("a lock")[index].request.clone_from(&request);
    let _ = stream.write_all(answer(&request).as_bytes());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut rest = [0; 1024];
    while matches!(stream.read(&mut rest), Ok(1..)) {}
    log.lock().expect("a lock")[index].ended = Some(Instant::now());
}

/// Reads a head, and the body that its Content-Length announces.
fn read_request(stream: &mut TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if body.len() >= length.unwrap_or(0_usize) {
                return text;
            }
        }
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
            _ => return text,
        }
    }
}
