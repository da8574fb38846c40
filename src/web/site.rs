//! What every request has at hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use url::Url;

use super::access::Token;
use super::command::{Command, Reply};
use super::error::Problem;
use super::origin::Names;
use crate::ledger::latest::Latest;
use crate::ledger::{LedgerError, View};
use crate::telemetry::Metrics;

/// What the config says of the listener.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Who may do what.
    pub tokens: Vec<Token>,
    /// Where people reach Secchi; its host may stand in the Host field.
    pub external_url: Option<Url>,
    /// Further names that may stand there.
    pub allowed_hosts: Vec<String>,
    /// Pages and data for anybody, beyond loopback too.
    pub allow_unauthenticated: bool,
}

/// What the router answers from. One for the daemon's life; [`Site::apply`] takes new settings.
pub struct Site {
    view: Arc<dyn View>,
    pub(super) latest: Arc<Latest>,
    pub(super) metrics: Arc<Metrics>,
    commands: mpsc::Sender<Command>,
    pub(super) clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    ready: AtomicBool,
    settings: std::sync::RwLock<Arc<Applied>>,
    /// `/metrics/targets` copies the points; two askers at once may.
    pub(super) expositions: Arc<Semaphore>,
}

/// Settings with what follows from them.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) settings: Settings,
    pub(super) names: Names,
}

impl Applied {
    fn new(settings: Settings) -> Arc<Self> {
        let names = Names::new(settings.external_url.as_ref(), &settings.allowed_hosts);
        Arc::new(Self { settings, names })
    }
}

impl Site {
    /// A site that is not ready yet.
    pub fn new(
        view: Arc<dyn View>,
        latest: Arc<Latest>,
        metrics: Arc<Metrics>,
        commands: mpsc::Sender<Command>,
        clock: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
        settings: Settings,
    ) -> Self {
        Self {
            view,
            latest,
            metrics,
            commands,
            clock,
            ready: AtomicBool::new(false),
            settings: std::sync::RwLock::new(Applied::new(settings)),
            expositions: Arc::new(Semaphore::new(2)),
        }
    }

    /// Takes the settings of a reloaded config.
    pub fn apply(&self, settings: Settings) {
        let mut current = self.settings.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *current = Applied::new(settings);
    }

    /// Whether `/-/ready` says so: once config, ledger and listener stand, and not while stopping.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    pub(super) fn applied(&self) -> Arc<Applied> {
        Arc::clone(&self.settings.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Asks the ledger, off the threads that serve.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn View) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, Problem> {
        let view = Arc::clone(&self.view);
        let answer = tokio::task::spawn_blocking(move || question(&*view)).await;
        Ok(answer.unwrap_or(Err(LedgerError::Closed))?)
    }

    /// Asks the daemon and waits, neither for ever.
    pub(super) async fn ask<T>(
        &self,
        patience: Duration,
        command: impl FnOnce(Reply<T>) -> Command,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let busy = |error: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, error);
        self.commands
            .try_send(command(reply))
            .map_err(|_| busy("the daemon is busy or stopping; try again"))?;
        match timeout(patience, answer).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(_)) => Err(busy("the daemon is stopping")),
            Err(_) => Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "the daemon did not answer")),
        }
    }
}

/// How long a plain question to the daemon may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
