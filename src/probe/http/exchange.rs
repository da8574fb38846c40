//! One request to one address, over a fresh connection; or, of HTTP/2, over the one before.

use std::error::Error as _;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, HOST, HeaderValue, USER_AGENT,
};
use http::{Method, Request, Version};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::{Origin, Position, Url};

use crate::probe::Observation;
use crate::probe::dial::{Copied, Dialer, Tee};
use crate::probe::tls::glimpse;
use crate::probe::trust::{self, Anchors, Verdict, WEAK_SIGNATURE};
use crate::sample::{Outcome, Reason, Unknown};
use crate::target::{Credentials, Host, ProbeKind};

use super::body::{self, Body, Want};
use super::fields::Fields;
use super::handshake::{Secured, of_stream, secure};
use super::head::{self, Head};
use super::text::REDACTED;

/// Bytes one connection may bring: a TLS handshake with its certificates, a head, and as much of a
/// body as is ever read. Nothing is ever decompressed.
pub(super) const READ_LIMIT: usize = 256 * 1024 + body::MAX_PAGE;

/// What is asked, and of whom.
#[derive(Clone, Debug)]
pub(super) struct Question<'a> {
    /// What is asked for; `http` or `https`.
    pub(super) url: &'a Url,
    /// The URL's host.
    pub(super) host: &'a Host,
    /// The address dialled.
    pub(super) address: IpAddr,
    /// The name in the hello and the one that the certificate must cover.
    pub(super) server_name: &'a str,
    /// The method.
    pub(super) method: Method,
    /// Fields beyond the usual ones.
    pub(super) fields: &'a [(&'static str, &'a str)],
    /// What of the body is wanted.
    pub(super) want: Want,
    /// What the origin asks for; sent over https only where the certificate is trusted.
    pub(super) credentials: Option<&'a Credentials>,
    /// The User-Agent.
    pub(super) agent: &'a str,
    /// What its chain may end in.
    pub(super) anchors: &'a Anchors,
    /// When the certificate must be valid.
    pub(super) now: DateTime<Utc>,
    /// Where what the handshake tells of TLS goes, if it is wanted: it holds whatever becomes of
    /// the request.
    pub(super) glimpse: Option<&'a OnceLock<Observation>>,
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The address that answered.
    pub(super) address: IpAddr,
    /// Status, version and fields.
    pub(super) head: Head,
    /// What was wanted of the body.
    pub(super) body: Body,
    /// Whether the certificate is trusted; `None` without TLS.
    pub(super) trust: Option<Verdict>,
    /// Where the time went.
    pub(super) timings: Timings,
}

#[cfg(test)]
impl Answer {
    /// An answer with these fields and this start of its body, for the tests of this room.
    pub(super) fn of(status: u16, pairs: &[(&str, &str)], start: &str) -> Self {
        let head = Head { status, version: "HTTP/1.1", fields: Fields::of(pairs) };
        let body = Body { start: start.as_bytes().to_vec(), ..Body::default() };
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        Self { address, head, body, trust: None, timings: Timings::default() }
    }
}

/// Seconds spent.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Timings {
    /// In the connect, waiting for the budget included.
    pub(super) connect: f64,
    /// In the TLS handshake; 0 without one.
    pub(super) tls: f64,
    /// From the request to the end of the head.
    pub(super) first_byte: f64,
    /// In all.
    pub(super) total: f64,
}

/// An HTTP/2 connection that may carry one more request to where it leads.
#[derive(Debug)]
pub(super) struct Kept {
    sender: http2::SendRequest<Empty<Bytes>>,
    leash: Leash,
    /// Where it leads: origin, address dialled, and the name in the hello.
    way: (Origin, IpAddr, String),
    /// The address that answered.
    peer: IpAddr,
    trust: Verdict,
    asked: u8,
}

impl Kept {
    fn leads_to(&self, question: &Question<'_>) -> bool {
        let (origin, address, name) = &self.way;
        self.asked < REQUESTS_A_CONNECTION
            && *address == question.address
            && name == question.server_name
            && *origin == question.url.origin()
    }

    /// Ends the connection and gives its permit back.
    pub(super) async fn close(self) {
        self.leash.close().await;
    }

    async fn ask(&mut self, question: &Question<'_>) -> Result<Answer, Unknown> {
        let clock = Clock::start();
        self.asked += 1;
        let (head, body) = over_h2(&mut self.sender, &trusting(question, &self.trust)).await?;
        let total = clock.total();
        let timings = Timings { first_byte: total, total, ..Timings::default() };
        Ok(Answer { address: self.peer, head, body, trust: Some(self.trust.clone()), timings })
    }
}

/// Asks, over the connection that was kept if it leads there. When this returns any other is closed
/// and its permit given back; one that can carry more is kept.
pub(super) async fn ask(
    dialer: &Dialer,
    question: &Question<'_>,
    kept: &mut Option<Kept>,
) -> Result<Answer, Unknown> {
    let mut answer = match again(question, kept).await {
        Some(answer) => answer,
        None => afresh(dialer, question, kept).await?,
    };
    if let Some(credentials) = question.credentials {
        // What a peer says back of them stays here, and leads nowhere.
        let echoes = answer.head.fields.0.iter_mut();
        let echoes = echoes.filter(|field| credentials.are_in(&field.value));
        echoes.for_each(|field| REDACTED.clone_into(&mut field.value));
    }
    Ok(answer)
}

/// Over the connection that was kept; `None` where it leads elsewhere, or broke: peers may end one
/// whenever they like.
async fn again(question: &Question<'_>, kept: &mut Option<Kept>) -> Option<Answer> {
    let mut open = kept.take()?;
    if open.leads_to(question)
        && let Ok(answer) = open.ask(question).await
    {
        *kept = Some(open);
        return Some(answer);
    }
    open.close().await;
    None
}

async fn afresh(
    dialer: &Dialer,
    question: &Question<'_>,
    kept: &mut Option<Kept>,
) -> Result<Answer, Unknown> {
    let mut clock = Clock::start();
    let port = question.url.port_or_known_default().unwrap_or(80);
    let connection = dialer
        .connect(question.host, question.address, port)
        .await
        .map_err(|error| error.unknown())?;
    let mut timings = Timings { connect: clock.lap(), ..Timings::default() };
    let peer = connection.peer().map_or(question.address, |peer| peer.ip());
    let ((head, body), trust) = if question.url.scheme() == "https" {
        let name = ServerName::try_from(question.server_name.to_owned())
            .map_err(|error| Unknown::new(Reason::LocalError, error.to_string()))?;
        let mut secured = secure(connection, name).await?;
        timings.tls = clock.lap();
        secured.handshake.duration = Duration::from_secs_f64(timings.tls);
        let trust = judge(&secured, question, clock.start.elapsed());
        let question = &trusting(question, &trust);
        let spoken = if secured.is_h2 {
            speak_h2(secured.stream, question, (peer, &trust), kept).await?
        } else {
            speak_h1(secured.stream, question).await?
        };
        (spoken, Some(trust))
    } else {
        (speak_h1(connection, question).await?, None)
    };
    timings.first_byte = clock.lap();
    timings.total = clock.total();
    Ok(Answer { address: peer, head, body, trust, timings })
}

/// The question, without its credentials where the peer is not trusted: whoever shows another
/// certificate may be anyone.
fn trusting<'a>(question: &Question<'a>, trust: &Verdict) -> Question<'a> {
    let credentials = question.credentials.filter(|_| *trust == Verdict::Trusted);
    Question { credentials, ..question.clone() }
}

/// Whether the peer is to be trusted; `took` is how long it was until its handshake was done.
fn judge(secured: &Secured, question: &Question<'_>, took: Duration) -> Verdict {
    let Question { anchors, server_name, now, .. } = *question;
    let handshake = &secured.handshake;
    let read = handshake.served.read();
    let judged = trust::judge(&handshake.served, &read, anchors, server_name, now);
    let Some((mut judgement, staple)) = judged else {
        return Verdict::Untold(Unknown::new(
            Reason::TlsError,
            "a certificate that cannot be read",
        ));
    };
    let verdict = match judgement.verdict() {
        Verdict::Trusted if handshake.is_forged => Verdict::Untrusted(WEAK_SIGNATURE),
        verdict => verdict,
    };
    if let Some(place) = question.glimpse.filter(|place| place.get().is_none()) {
        if handshake.is_forged {
            judgement.disown();
        }
        if let Some(facts) = glimpse(handshake, &read, judgement, staple) {
            // Nobody else fills it meanwhile: requests go one after the other.
            let _ = place.set(Observation {
                probe: ProbeKind::Tls,
                address: Some(question.address),
                outcome: Outcome::Measured(facts),
                duration: took,
                connections: 0,
            });
        }
    }
    verdict
}

async fn speak_h1<S>(stream: S, question: &Question<'_>) -> Result<(Head, Body), Unknown>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let request = request(question, Version::HTTP_11)?;
    let (leash, copied) = (Leash::default(), Copied::new(head::MAX_BYTES));
    let io = TokioIo::new(Tee::new(stream, copied.clone()));
    let answered = async {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(head::MAX_BYTES)
            .max_headers(head::MAX_FIELDS)
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .handshake(io)
            .await?;
        leash.lead().execute(connection);
        let response = sender.send_request(request).await?;
        Ok::<Incoming, hyper::Error>(response.into_body())
    };
    let answered = answered.await;
    // The raw head is the evidence, also where hyper stumbles over its framing (a bad
    // Content-Length).
    let spoken = match (head::parse(&copied.take()), answered) {
        (Ok(Some(head)), Ok(incoming)) => {
            let body = body::read(incoming, &head, question.want).await;
            Ok((head, body))
        }
        (Ok(Some(head)), Err(_)) => Ok((head, Body::default())),
        (Err(error), _) => Err(Unknown::new(Reason::NotObserved, error.to_string())),
        (Ok(None), Err(error)) => Err(reason(&error)),
        (Ok(None), Ok(_)) => Err(Unknown::new(Reason::NotObserved, "the head did not end")),
    };
    leash.close().await;
    spoken
}

async fn speak_h2<S>(
    stream: S,
    question: &Question<'_>,
    (peer, trust): (IpAddr, &Verdict),
    kept: &mut Option<Kept>,
) -> Result<(Head, Body), Unknown>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let leash = Leash::default();
    let opened = http2::Builder::new(leash.lead())
        .initial_stream_window_size(16 * 1024)
        .max_header_list_size(MAX_HEADER_LIST)
        .handshake(TokioIo::new(stream))
        .await;
    let (mut sender, connection) = opened.map_err(|error| reason(&error))?;
    leash.lead().execute(connection);
    let spoken = over_h2(&mut sender, question).await;
    if spoken.is_err() {
        leash.close().await;
        return spoken;
    }
    let way = (question.url.origin(), question.address, question.server_name.to_owned());
    *kept = Some(Kept { sender, leash, way, peer, trust: trust.clone(), asked: 1 });
    spoken
}

async fn over_h2(
    sender: &mut http2::SendRequest<Empty<Bytes>>,
    question: &Question<'_>,
) -> Result<(Head, Body), Unknown> {
    let response = sender.send_request(request(question, Version::HTTP_2)?).await;
    let response = response.map_err(|error| reason(&error))?;
    let head = head_of(&response)?;
    let body = body::read(response.into_body(), &head, question.want).await;
    Ok((head, body))
}

fn head_of(response: &http::Response<Incoming>) -> Result<Head, Unknown> {
    if response.headers().len() > head::MAX_FIELDS {
        return Err(Unknown::new(Reason::NotObserved, head::HeadError::TooMany.to_string()));
    }
    let mut fields = Fields::default();
    for (name, value) in response.headers() {
        fields.push(name.as_str().as_bytes(), value.as_bytes());
    }
    Ok(Head { status: response.status().as_u16(), version: "HTTP/2", fields })
}

fn request(question: &Question<'_>, version: Version) -> Result<Request<Empty<Bytes>>, Unknown> {
    let is_h2 = version == Version::HTTP_2;
    let url = question.url;
    let target = match is_h2 {
        true => &url[..Position::AfterQuery],
        false => &url[Position::BeforePath..Position::AfterQuery],
    };
    let mut request = Request::builder()
        .method(question.method.clone())
        .version(version)
        .uri(target)
        .header(USER_AGENT, question.agent)
        .header(ACCEPT, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");
    for (name, value) in question.fields {
        request = request.header(*name, *value);
    }
    if !question.fields.iter().any(|(name, _)| *name == ACCEPT_ENCODING) {
        request = request.header(ACCEPT_ENCODING, "identity");
    }
    if let Some(credentials) = question.credentials {
        let mut value = HeaderValue::try_from(credentials.expose())
            .map_err(|_| Unknown::new(Reason::LocalError, "credentials that are no field"))?;
        // No table of HTTP/2 and no log has it.
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    if !is_h2 {
        let authority = &url[Position::BeforeHost..Position::AfterPort];
        request = request.header(HOST, authority).header(CONNECTION, "close");
    }
    request.body(Empty::new()).map_err(|error| Unknown::new(Reason::LocalError, error.to_string()))
}

/// The reason behind a failed exchange after the handshake.
fn reason(error: &hyper::Error) -> Unknown {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return of_stream(io);
        }
        source = inner.source();
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return Reason::Reset.into();
    }
    Unknown::new(Reason::NotObserved, error.to_string())
}

/// Every task of one connection: none outlives it, whether it ends or is given up.
#[derive(Debug, Default)]
struct Leash(Lead);

#[derive(Clone, Debug, Default)]
struct Lead(Arc<Mutex<JoinSet<()>>>);

impl Leash {
    fn lead(&self) -> Lead {
        self.0.clone()
    }

    /// Ends every task, and with it the connection.
    async fn close(self) {
        let mut tasks = std::mem::take(&mut *self.0.lock());
        tasks.shutdown().await;
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.0.lock().abort_all();
    }
}

impl Lead {
    fn lock(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> Executor<F> for Lead
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        self.lock().spawn(async move {
            // How a connection ends is told to whoever awaits its answer.
            let _ = task.await;
        });
    }
}

struct Clock {
    start: Instant,
    lap: Instant,
}

impl Clock {
    fn start() -> Self {
        let start = Instant::now();
        Self { start, lap: start }
    }

    fn lap(&mut self) -> f64 {
        let lap = std::mem::replace(&mut self.lap, Instant::now());
        (self.lap - lap).as_secs_f64()
    }

    fn total(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }
}

/// By RFC 9113 §6.5.2 each field counts 32 bytes more than it has.
const MAX_HEADER_LIST: u32 = 64 * 1024;

/// Those beyond are paced as connections are.
const REQUESTS_A_CONNECTION: u8 = 4;
