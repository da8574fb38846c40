//! Reload: parse and check first; then, and only then, replace what runs.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

use anyhow::Context;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::digest::Digest;
use super::keeper::Settings;
use super::muted::Muted;
use super::{Bounds, Source, notify, place, translate};
use crate::alert::{self, Delivery, Timing};
use crate::config::{Config, GoodSources};
use crate::finding::{FindingState, stale_rule};
use crate::ledger::{Event, FindingFilter, Ledger, Outbox, View};
use crate::rules::RuleSet;
use crate::sampler::{Order, Pacing, Spending};
use crate::schedule::{Buckets, Clock, Seed, Window};
use crate::target::{PointKey, ProbeKind};
use crate::telemetry::Metrics;

/// What a reload reaches.
pub(super) struct Reloader {
    pub(super) source: Source,
    pub(super) sources: Arc<GoodSources>,
    pub(super) bounds: Arc<Bounds>,
    pub(super) pacing: Arc<Pacing>,
    pub(super) spending: Arc<Spending>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) keeper: mpsc::Sender<Settings>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) digest: Arc<Digest>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) seed: Seed,
    pub(super) listen: SocketAddr,
}

/// What runs by the present config.
pub(super) struct Running {
    pub(super) settings: Settings,
    alerts: JoinHandle<()>,
    alerts_stop: CancellationToken,
    stop: CancellationToken,
}

impl Reloader {
    /// Starts what the first config asks for, beyond what is started once.
    pub(super) async fn start(
        &self,
        settings: Settings,
        stop: &CancellationToken,
    ) -> anyhow::Result<Running> {
        let windows = Arc::clone(&settings.config.maintenance);
        let _ = self.orders.send(Order::Windows(Arc::clone(&windows))).await;
        self.record(&settings.config).await?;
        self.withdraw_unknown_rules(&settings.rules).await;
        let alerts_stop = stop.child_token();
        let alerts = self.alerts(&settings.config, windows, alerts_stop.clone());
        Ok(Running { settings, alerts, alerts_stop, stop: stop.clone() })
    }

    /// Loads the config again. On any mistake everything runs on as before.
    pub(super) async fn reload(&self, running: &mut Running) -> anyhow::Result<()> {
        notify::reloading();
        let outcome = self.try_reload(running).await;
        self.metrics.config_reload_ok.set(i64::from(outcome.is_ok()));
        match &outcome {
            Ok(()) => {
                self.metrics.config_reload_time.set(self.clock.now().timestamp() as f64);
                tracing::info!("the config was reloaded");
            }
            Err(error) => tracing::error!("the config was not reloaded: {error:#}"),
        }
        notify::ready();
        outcome
    }

    async fn try_reload(&self, running: &mut Running) -> anyhow::Result<()> {
        let (source, sources) = (self.source.clone(), Arc::clone(&self.sources));
        let config = tokio::task::spawn_blocking(move || source.load_keeping(&sources))
            .await
            .context("loading")?;
        let failing = self.sources.failing();
        self.metrics.expect_failing.set(failing.len().try_into().unwrap_or(i64::MAX));
        for path in failing {
            tracing::error!(path = %path.display(), "a source of expectations is broken; what it last said stands");
        }
        let config = config?;
        let config = Arc::new(config);
        let rules = Arc::clone(&config.rules);
        let windows = Arc::clone(&config.maintenance);
        let bounds = Bounds::of(&config)?;
        // From here on nothing can be refused any more.
        self.bounds.replace(&bounds);
        self.pacing.replace(Buckets::new(config.budgets.compile()));
        self.spending.bound_by(config.budgets.outlays());
        self.withdraw_rules(&running.settings, &rules).await;
        self.record(&config).await?;
        let settings = Settings { config, rules };
        let _ = self.orders.send(Order::Windows(Arc::clone(&windows))).await;
        let _ = self.keeper.send(settings.clone()).await;
        running.alerts_stop.cancel();
        let _ = (&mut running.alerts).await;
        running.alerts_stop = running.stop.child_token();
        running.alerts = self.alerts(&settings.config, windows, running.alerts_stop.clone());
        running.settings = settings;
        Ok(())
    }

    /// Findings of rules that are gone are withdrawn: nobody judges them any more.
    async fn withdraw_rules(&self, before: &Settings, after: &RuleSet) {
        let gone = before.rules.rules().iter().filter(|rule| after.find(&rule.id).is_none());
        self.remove_rules(gone.map(|rule| rule.id.to_string()).collect()).await;
    }

    /// The same for rules that went while the daemon was down.
    async fn withdraw_unknown_rules(&self, rules: &RuleSet) {
        let open = [FindingState::Suspected, FindingState::Confirmed, FindingState::Excepted];
        let mut filter =
            FindingFilter { states: open.to_vec(), limit: PAGE, ..FindingFilter::default() };
        let mut ids = BTreeSet::new();
        loop {
            let page = match self.ledger.findings(&filter) {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, "open findings could not be read");
                    return;
                }
            };
            let Some(last) = page.last() else { break };
            filter.after = Some(last.id.to_string());
            ids.extend(page.into_iter().map(|finding| finding.key.rule));
        }
        let stale = ProbeKind::ALL.map(stale_rule);
        let gone = ids.iter().filter(|id| rules.find(id).is_none() && !stale.contains(&&***id));
        self.remove_rules(gone.map(ToString::to_string).collect()).await;
    }

    async fn remove_rules(&self, rules: Vec<String>) {
        if rules.is_empty() {
            return;
        }
        let event = Event::RulesRemoved { at: self.clock.now(), rules };
        if let Err(error) = self.ledger.append(vec![event]).await {
            tracing::error!(%error, "withdrawals were not recorded");
        }
    }

    async fn record(&self, config: &Config) -> anyhow::Result<()> {
        let digest = std::fs::read(&config.path).map(|bytes| {
            hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes))
        });
        let event = Event::ConfigLoaded {
            at: self.clock.now(),
            digest: digest.unwrap_or_default(),
            exceptions: translate::exceptions(&config.exceptions),
        };
        self.ledger.append(vec![event]).await.context("recording the config").map(drop)
    }

    fn alerts(
        &self,
        config: &Config,
        windows: Arc<[Window]>,
        stop: CancellationToken,
    ) -> JoinHandle<()> {
        let receivers = translate::receivers(&config.alerting);
        let clock = Arc::clone(&self.clock);
        let (metrics, now) = (Arc::clone(&self.metrics), Arc::clone(&self.clock));
        let external_url = config.web.external_url.as_ref().map(ToString::to_string);
        let delivery = Delivery {
            outbox: Arc::new(Muted {
                outbox: Arc::clone(&self.digest) as Arc<dyn Outbox>,
                clock: Arc::clone(&self.clock),
                windows: RwLock::new(windows),
            }),
            external_labels: config.alerting.external_labels.clone(),
            external_url: external_url.unwrap_or_else(|| place::url_of(self.listen)),
            clock: Arc::new(move || clock.now()),
            alive: Arc::new(move || is_alive(&metrics, now.as_ref())),
            seed: self.seed.for_run(PointKey(0), self.clock.now().timestamp()),
            timing: Timing::default(),
            metrics: Arc::clone(&self.metrics),
        };
        tokio::spawn(async move {
            if let Err(error) = alert::run(receivers, delivery, stop).await {
                tracing::error!(%error, "alerts cannot be delivered");
            }
        })
    }
}

/// The watchdog's condition: the scheduler turned lately, and most points are fresh.
fn is_alive(metrics: &Metrics, clock: &dyn Clock) -> bool {
    let turned = clock.now().timestamp() as f64 - metrics.scheduler_tick.get() < 60.0;
    let covered = ProbeKind::ALL.iter().all(|probe| {
        let points = metrics.points.with_label_values(&[probe.as_str()]).get();
        points == 0 || metrics.coverage.with_label_values(&[probe.as_str()]).get() >= COVERAGE_FLOOR
    });
    turned && covered
}

/// Below this share of fresh points Secchi no longer says that it is well.
const COVERAGE_FLOOR: f64 = 0.5;
/// Findings read at once.
const PAGE: usize = 1000;
