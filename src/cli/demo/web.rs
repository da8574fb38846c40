//! The demo's sites: one well kept until it is broken, one that nobody cares for.

use std::convert::Infallible;
use std::sync::Arc;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::lab::Acceptor;
use crate::schedule::{Clock, SystemClock};

/// Which site.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Site {
    Legacy,
    Shop,
}

impl Site {
    /// The site's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy.demo.test",
            Self::Shop => "shop.demo.test",
        }
    }

    fn headers(self, broken: bool) -> HeaderMap {
        let list: &[(&str, &str)] = match (self, broken) {
            (Self::Legacy, _) => LEGACY,
            (Self::Shop, false) => SHOP,
            (Self::Shop, true) => SHOP_BROKEN,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            if let (Ok(name), Ok(value)) =
                (http::HeaderName::try_from(*name), HeaderValue::try_from(*value))
            {
                headers.append(name, value);
            }
        }
        headers
    }
}

/// The demo's certificate authority, made at start and forgotten at the end.
pub(super) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Secchi demo CA");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self { pem: certificate.pem(), issuer: Issuer::new(params, key) })
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// A TLS acceptor for the site; the neglected one's certificate has expired.
    pub(super) fn acceptor(&self, site: Site) -> anyhow::Result<Acceptor> {
        let mut params = CertificateParams::new(vec![site.name().to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, site.name());
        let today = SystemClock.now();
        let (first, last) = match site {
            Site::Shop => (today - TimeDelta::days(1), today + TimeDelta::days(60)),
            Site::Legacy => (today - TimeDelta::days(100), today - TimeDelta::days(10)),
        };
        // Months and days are below 256.
        let midnight =
            |day: DateTime<Utc>| date_time_ymd(day.year(), day.month() as u8, day.day() as u8);
        (params.not_before, params.not_after) = (midnight(first), midnight(last));
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        Ok(Arc::new(tokio_rustls::TlsAcceptor::from(Arc::new(config))))
    }
}

/// Plain http: the shop redirects to https, the other site serves.
pub(super) async fn serve_http(listener: TcpListener, site: Site) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, move |_| match site {
            Site::Shop => {
                let location = format!("https://{}/", site.name());
                let mut response = page(StatusCode::MOVED_PERMANENTLY, HeaderMap::new());
                if let Ok(location) = HeaderValue::try_from(location) {
                    response.headers_mut().insert(header::LOCATION, location);
                }
                response
            }
            Site::Legacy => page(StatusCode::OK, site.headers(true)),
        }));
    }
}

/// https with the site's present headers.
pub(super) async fn serve_https(
    listener: TcpListener,
    acceptor: Acceptor,
    site: Site,
    state: watch::Receiver<bool>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, state) = (Arc::clone(&acceptor), state.clone());
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                answer(stream, move |_| page(StatusCode::OK, site.headers(*state.borrow()))).await;
            }
        });
    }
}

/// A service that greets and waits.
pub(super) async fn banner(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        // The visitor may be gone already.
        let _ = stream.write_all(b"220 demo.test ESMTP at your service\r\n").await;
    }
}

async fn answer<S, F>(stream: S, respond: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync,
{
    let service = service_fn(|request| {
        let response = respond(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    // A probe that hangs up early is no event for a demo.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn page(status: StatusCode, headers: HeaderMap) -> Response<Full<Bytes>> {
    let mut response =
        Response::new(Full::from("<!doctype html><title>demo</title><p>Clear water.</p>\n"));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

const SHOP: &[(&str, &str)] = &[
    ("content-type", "text/html; charset=utf-8"),
    ("strict-transport-security", "max-age=63072000; includeSubDomains; preload"),
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("set-cookie", "__Host-session=demo; Path=/; Secure; HttpOnly; SameSite=Lax"),
];

const SHOP_BROKEN: &[(&str, &str)] = &[
    ("content-type", "text/html; charset=utf-8"),
    ("content-security-policy", "default-src * 'unsafe-inline'"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("set-cookie", "session=demo; Path=/"),
];

const LEGACY: &[(&str, &str)] = &[
    ("content-type", "text/html"),
    ("server", "Apache/2.2.15 (CentOS)"),
    ("x-powered-by", "PHP/5.3.3"),
    ("set-cookie", "PHPSESSID=demo; path=/"),
];
