//! The listener: bounded in connections, header time and body, drained at the end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::gate::Connection;
use super::router::router;
use super::security::{Loaded, Security};
use super::site::Site;
use super::tls;

/// Serves until `shutdown`, then lets open requests end for ten seconds.
pub async fn serve(
    listener: TcpListener,
    site: Arc<Site>,
    security: Arc<Security>,
    shutdown: CancellationToken,
) {
    let router = router(site, Arc::clone(&security));
    // What listens beyond loopback is taken for reachable by all, whoever comes first.
    let is_loopback = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let open = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most often the file table is full; spinning would not empty it.
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!("too many connections; one was turned away");
            continue;
        };
        let guest = Guest {
            router: router.clone(),
            security: Arc::clone(&security),
            shutdown: shutdown.clone(),
        };
        open.spawn(async move {
            let _place = place;
            let is_local = is_loopback && peer.ip().to_canonical().is_loopback();
            guest.serve(stream, is_local).await;
        });
    }
    drop(listener);
    open.close();
    let _ = timeout(DRAIN, open.wait()).await;
}

/// One connection.
struct Guest {
    router: Router,
    security: Arc<Security>,
    shutdown: CancellationToken,
}

impl Guest {
    async fn serve(self, stream: TcpStream, is_local: bool) {
        self.security.refresh().await;
        let loaded = self.security.current();
        let connection = Connection { is_local, has_certificate: false };
        let _ = stream.set_nodelay(true);
        let Some(config) = loaded.tls.clone() else {
            return self.exchange(stream, connection, false).await;
        };
        let Ok(Ok(stream)) = timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await
        else {
            return;
        };
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        if !is_welcome(certificates.first(), &loaded) {
            return;
        }
        let has_certificate = !certificates.is_empty() && loaded.verifies_clients();
        let http2 = loaded.config.http_server_config.http2;
        self.exchange(stream, Connection { has_certificate, ..connection }, http2).await;
    }

    async fn exchange<S>(self, stream: S, connection: Connection, http2: bool)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let router = self.router;
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(connection);
            let request: Request = request.map(axum::body::Body::new);
            let answer = router.clone().oneshot(request);
            async move {
                let answer: Result<_, Infallible> = match timeout(REQUEST, answer).await {
                    Ok(answer) => answer,
                    Err(_) => Ok(StatusCode::GATEWAY_TIMEOUT.into_response()),
                };
                answer
            }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        let mut h1 = builder.http1();
        h1.timer(TokioTimer::new()).header_read_timeout(HEADER).max_buf_size(HEADER_BYTES);
        let mut h2 = builder.http2();
        h2.timer(TokioTimer::new())
            .keep_alive_interval(HEADER)
            .keep_alive_timeout(HEADER)
            .max_header_list_size(HEADER_BYTES as u32)
            .max_concurrent_streams(16);
        let builder = if http2 { builder } else { builder.http1_only() };
        let exchange = builder.serve_connection(TokioIo::new(stream), service);
        let mut exchange = pin!(exchange);
        tokio::select! {
            _ = exchange.as_mut() => return,
            () = self.shutdown.cancelled() => exchange.as_mut().graceful_shutdown(),
        }
        let _ = timeout(DRAIN, exchange).await;
    }
}

/// `client_allowed_sans`: a certificate must carry one of them.
fn is_welcome(
    certificate: Option<&rustls::pki_types::CertificateDer<'_>>,
    loaded: &Loaded,
) -> bool {
    let tls_config = loaded.config.tls_server_config.as_ref();
    let allowed = tls_config.map_or(&[][..], |config| &config.client_allowed_sans);
    allowed.is_empty()
        || certificate.is_some_and(|certificate| tls::is_allowed(certificate, allowed))
}

const CONNECTIONS: usize = 512;
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADER: Duration = Duration::from_secs(10);
const HEADER_BYTES: usize = 32 << 10;
/// A handler's time, the reading of a body included; `/probe` may wait for two minutes.
const REQUEST: Duration = Duration::from_secs(150);
const DRAIN: Duration = Duration::from_secs(10);
