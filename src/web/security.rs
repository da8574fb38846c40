//! The web configuration file as it is in force, read again when it changes.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::time::Instant;

use super::basic::BasicAuth;
use super::config::{RateLimit, WebConfig, WebConfigError};
use super::tls;

/// The listener's TLS, users and header fields, kept in step with the file.
#[derive(Debug)]
pub struct Security {
    path: Option<PathBuf>,
    current: RwLock<Arc<Loaded>>,
    looked_at: tokio::sync::Mutex<Instant>,
    pub(super) basic: BasicAuth,
    tokens: Mutex<(f64, Instant)>,
}

/// One reading of the file.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) config: WebConfig,
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Digest of the file and of those that it names.
    digest: Vec<u8>,
}

impl Loaded {
    /// Certificates are shown by the asker and verified by us.
    pub(super) fn verifies_clients(&self) -> bool {
        let tls = self.config.tls_server_config.as_ref();
        tls.is_some_and(|tls| tls.client_auth_type.verifies())
    }

    fn read(path: &Path) -> Result<Self, WebConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| WebConfigError::File {
            path: path.display().to_string(),
            reason: error.to_string(),
        })?;
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let config = WebConfig::parse(&text, folder)?;
        let http2 = config.http_server_config.http2;
        let server = config.tls_server_config.as_ref();
        let tls = server.map(|tls| tls::server(tls, http2)).transpose()?.map(Arc::new);
        let digest = digest(&text, &config);
        Ok(Self { config, tls, digest })
    }
}

fn digest(text: &str, config: &WebConfig) -> Vec<u8> {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    context.update(text.as_bytes());
    if let Some(tls) = &config.tls_server_config {
        for path in [&tls.cert_file, &tls.key_file, &tls.client_ca_file].into_iter().flatten() {
            context.update(&std::fs::read(path).unwrap_or_default());
            context.update(b"\0");
        }
    }
    context.finish().as_ref().to_vec()
}

impl Security {
    /// Plain HTTP without users.
    pub fn none() -> Self {
        let loaded = Loaded { config: WebConfig::default(), tls: None, digest: Vec::new() };
        Self::with(None, loaded)
    }

    /// Reads the file and those that it names.
    pub fn load(path: &Path) -> Result<Self, WebConfigError> {
        Ok(Self::with(Some(path.to_owned()), Loaded::read(path)?))
    }

    fn with(path: Option<PathBuf>, loaded: Loaded) -> Self {
        let now = Instant::now();
        let burst = loaded.config.rate_limit.map_or(0.0, |rate| f64::from(rate.burst.get()));
        Self {
            path,
            current: RwLock::new(Arc::new(loaded)),
            looked_at: tokio::sync::Mutex::new(now),
            basic: BasicAuth::new(),
            tokens: Mutex::new((burst, now)),
        }
    }

    pub(super) fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again if it was not looked at for some seconds. A mistake in it leaves what is
    /// in force alone; so does a change from TLS to none, which needs a restart.
    pub(super) async fn refresh(self: &Arc<Self>) {
        let Some(path) = self.path.clone() else { return };
        let Ok(mut looked_at) = self.looked_at.try_lock() else { return };
        if looked_at.elapsed() < EVERY {
            return;
        }
        *looked_at = Instant::now();
        let known = self.current();
        let read = tokio::task::spawn_blocking(move || Loaded::read(&path));
        match read.await {
            Ok(Ok(loaded)) if loaded.digest == known.digest => {}
            Ok(Ok(loaded)) if loaded.tls.is_none() && known.tls.is_some() => {
                tracing::error!("the web config no longer has TLS; the old one stays in force");
            }
            Ok(Ok(loaded)) => {
                tracing::info!("the web config was read again");
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "the web config cannot be used; the old one stays in force");
            }
            Err(_) => {}
        }
    }

    /// Takes a token of the rate limit; false if there is none left.
    pub(super) fn may_pass(&self, rate: RateLimit) -> bool {
        if rate.interval.is_zero() {
            return true;
        }
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let earned = tokens.1.elapsed().as_secs_f64() / rate.interval.as_secs_f64();
        let level = (tokens.0 + earned).min(f64::from(rate.burst.get()));
        *tokens = (level, Instant::now());
        if level < 1.0 {
            return false;
        }
        tokens.0 -= 1.0;
        true
    }
}

const EVERY: Duration = Duration::from_secs(2);
