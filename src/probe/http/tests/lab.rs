//! Servers that say what a test wants them to say.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::probe::dial::{Contact, Dialer, Guard, Outside, Resolve, Unbounded};
use crate::probe::http::run;
use crate::probe::trust::PROVIDER;
use crate::probe::{Job, Run};
use crate::sample::{Cause, Outcome, Unknown};
use crate::target::{Point, ProbeKind, Settings, Target, TextFile};
use crate::testing::{Leaf, scripted};

/// What a server does with a request's head, given the stream to answer on.
pub(super) type Script =
    Arc<dyn Fn(String, Box<dyn Stream>) -> BoxFuture<'static, ()> + Send + Sync>;

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Answers each request with what `reply` makes of its head.
pub(super) fn says(reply: impl Fn(&str) -> String + Send + Sync + 'static) -> Script {
    Arc::new(move |request, mut stream| {
        let reply = reply(&request);
        Box::pin(async move {
            let _ = stream.write_all(reply.as_bytes()).await;
            let _ = stream.shutdown().await;
        })
    })
}

/// Answers each request with a 200 and these field lines.
pub(super) fn ok(fields: &'static str) -> Script {
    says(move |_| format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nhi"))
}

/// Writes `piece` for ever, `pause` apart, and counts what was taken.
pub(super) fn endless(
    start: &'static str,
    piece: String,
    pause: Duration,
) -> (Script, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let script: Script = Arc::new(move |_, mut stream| {
        let (piece, count) = (piece.clone(), Arc::clone(&count));
        Box::pin(async move {
            let _ = stream.write_all(start.as_bytes()).await;
            while stream.write_all(piece.as_bytes()).await.is_ok() {
                count.fetch_add(piece.len(), Ordering::Relaxed);
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
        })
    });
    (script, taken)
}

/// A server without TLS; it ends with the test.
pub(super) async fn plain(script: Script) -> u16 {
    scripted(move |_, stream| serve(stream, Arc::clone(&script))).await
}

/// A server with TLS and a certificate for `site.test`; also gives the certificate.
pub(super) async fn encrypted(script: Script) -> (u16, TextFile) {
    let (config, pem) = tls_config(&[b"http/1.1"]);
    (accepting(config, script).await, pem)
}

/// A server with TLS that shows this leaf and nothing else.
pub(super) async fn encrypted_by(leaf: &Leaf, script: Script) -> u16 {
    accepting(server_config(&leaf.certificate, &leaf.key, &[b"http/1.1"]), script).await
}

async fn accepting(config: Arc<ServerConfig>, script: Script) -> u16 {
    let acceptor = TlsAcceptor::from(config);
    scripted(move |_, stream| {
        let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, script).await;
            }
        }
    })
    .await
}

/// A server that speaks HTTP/2 over TLS and answers 200 with these fields.
pub(super) async fn h2(fields: &'static [(&'static str, &'static str)]) -> (u16, TextFile) {
    h2_resetting_after(usize::MAX, fields).await
}

/// The same, which resets what it is asked on a connection after so many answers.
pub(super) async fn h2_resetting_after(
    answers: usize,
    fields: &'static [(&'static str, &'static str)],
) -> (u16, TextFile) {
    let (config, pem) = tls_config(&[b"h2", b"http/1.1"]);
    let acceptor = TlsAcceptor::from(config);
    let port = scripted(move |_, stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve_h2(stream, answers, fields).await;
            }
        }
    });
    (port.await, pem)
}

async fn serve_h2(
    stream: tokio_rustls::server::TlsStream<TcpStream>,
    answers: usize,
    fields: &'static [(&'static str, &'static str)],
) {
    let left = AtomicUsize::new(answers);
    let service = hyper::service::service_fn(|request: http::Request<_>| {
        let took = left.try_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        async move {
            let _: &hyper::body::Incoming = request.body();
            took.map_err(|_| std::io::Error::other("no more"))?;
            let mut response = http::Response::builder().status(200);
            for (name, value) in fields {
                response = response.header(*name, *value);
            }
            let response = response.body(http_body_util::Empty::<bytes::Bytes>::new());
            response.map_err(std::io::Error::other)
        }
    });
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let _ = hyper::server::conn::http2::Builder::new(executor).serve_connection(io, service).await;
}

pub(super) async fn serve(mut stream: impl Stream + 'static, script: Script) {
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => head.extend_from_slice(&buffer[..read]),
            _ => return,
        }
    }
    script(String::from_utf8_lossy(&head).into_owned(), Box::new(stream)).await;
}

fn tls_config(alpn: &[&[u8]]) -> (Arc<ServerConfig>, TextFile) {
    let made = rcgen::generate_simple_self_signed(["site.test".to_owned()]).expect("a certificate");
    let pem = TextFile { path: "ca.pem".into(), text: made.cert.pem().into() };
    (server_config(&made.cert.pem(), &made.signing_key.serialize_pem(), alpn), pem)
}

fn server_config(certificate: &str, key: &str, alpn: &[&[u8]]) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a configuration");
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// A sample about to be taken of `site.test`.
pub(super) struct Lab {
    pub(super) target: String,
    pub(super) settings: Settings,
    pub(super) outside: Outside,
    pub(super) budget: Duration,
    pub(super) glimpses: bool,
    pub(super) cause: Cause,
}

impl Lab {
    /// Of a target, with these switches of curl's `connect-to` kind.
    pub(super) fn of(target: &str, routes: &[(&str, u16)]) -> Self {
        let connect_to = routes
            .iter()
            .map(|(from, port)| format!("{from}:127.0.0.1:{port}").parse().expect("a rule"))
            .collect();
        Self {
            target: target.to_owned(),
            settings: Settings { connect_to, ..Settings::default() },
            outside: Unbounded::outside(),
            budget: Duration::from_secs(10),
            glimpses: false,
            cause: Cause::Scheduled,
        }
    }

    pub(super) fn trusting(mut self, pem: TextFile) -> Self {
        self.settings.ca_file = Some(pem);
        self
    }

    pub(super) fn within(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// As the daemon takes it where no tls probe looks.
    pub(super) fn glimpsing(mut self) -> Self {
        self.glimpses = true;
        self
    }

    pub(super) async fn run(self) -> Run {
        let (glimpses, cause) = (self.glimpses, self.cause);
        let settings = Arc::new(self.settings);
        let mut target = Target::new(self.target.parse().expect("a target"));
        target.settings = Arc::clone(&settings);
        let address = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let point = Point { target: Arc::new(target), probe: ProbeKind::Http, address };
        let dialer = Dialer::new(self.outside, settings, ProbeKind::Http, self.budget);
        let now = "2026-11-22T00:00:00Z".parse().expect("a date");
        run(Job {
            point,
            memory: None,
            now,
            seed: 1,
            cause,
            dialer,
            glimpses,
            promised: false,
            spoken_for: Arc::default(),
        })
        .await
    }

    /// The measurements as JSON.
    pub(super) async fn facts(self) -> Value {
        match self.run().await.observations.remove(0).outcome {
            Outcome::Measured(facts) => serde_json::to_value(facts).expect("JSON"),
            Outcome::Unknown(unknown) => panic!("nothing was measured: {unknown}"),
        }
    }

    /// Why nothing was measured.
    pub(super) async fn unknown(self) -> Unknown {
        match self.run().await.observations.remove(0).outcome {
            Outcome::Measured(facts) => panic!("{facts:?}"),
            Outcome::Unknown(unknown) => unknown,
        }
    }
}

/// Lets only `site.test` be contacted.
pub(super) struct OnlySite;

impl Guard for OnlySite {
    fn permit(&self, contact: &Contact<'_>) -> Result<(), String> {
        match contact.host {
            Some("site.test") => Ok(()),
            _ => Err("scope.names: site.test".to_owned()),
        }
    }
}

/// Every name is here.
pub(super) struct Here;

impl Resolve for Here {
    fn lookup<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, Unknown>> {
        Box::pin(async { Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) })
    }
}
