//! The daemon: start-up, wiring, reload, shutdown. [`run`] reads as the life of the process.

mod accepted_ports;
mod baseline;
mod beside;
mod commands;
mod digest;
mod keeper;
mod muted;
mod notify;
mod outside;
mod past;
mod place;
mod population;
mod proof;
mod pulse;
mod reload;
mod seed;
mod sink;
pub mod translate;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use ipnet::IpNet;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::beside::LedgerBeside;
use self::commands::Commands;
use self::digest::Digest;
use self::keeper::{Keeper, Settings};
use self::reload::Reloader;
use self::sink::LedgerSink;
use crate::config::{self, Config, GoodSources};
use crate::ledger::{Event, Ledger, View};
use crate::probe::dial::Outside;
use crate::sampler::{Pacing, Sampler, Spending, Taker};
use crate::schedule::{Buckets, Clock, SystemClock};
use crate::telemetry::Metrics;
use crate::web;

pub use outside::Bounds;
pub use place::data_dir;
pub use seed::{of_config as seed_of_config, random as random_seed};

/// How the daemon is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the config comes from.
    pub source: Source,
    /// In place of `data.dir`.
    pub data_dir: Option<PathBuf>,
    /// In place of `web.listen`.
    pub listen: Option<SocketAddr>,
}

/// Where the config comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Targets of the command line, and networks that they may lie in.
    Targets(Vec<String>, Vec<IpNet>),
}

impl Source {
    /// Loads and checks the config; the error holds every mistake, rendered.
    pub fn load(&self) -> anyhow::Result<Config> {
        self.load_keeping(&GoodSources::default())
    }

    /// The same; a source of expectations that broke since an earlier load keeps what it said.
    fn load_keeping(&self, sources: &GoodSources) -> anyhow::Result<Config> {
        match self {
            Self::File(path) => config::load_keeping(path, sources, SystemClock.now())
                .map_err(|mistakes| anyhow!("{}", mistakes.render(false).trim_end())),
            Self::Targets(targets, networks) => {
                let options =
                    config::AdHoc { allow_networks: networks.clone(), ..config::AdHoc::default() };
                let in_words = |errors: Vec<config::AdHocError>| {
                    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
                };
                Config::from_targets(targets, &options).map_err(|errors| anyhow!(in_words(errors)))
            }
        }
    }
}

/// Runs until `stop`, or a signal of the system's. Everything that was begun is ended in order.
pub async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    install_crypto();
    let sources = Arc::new(GoodSources::default());
    let config = Arc::new(options.source.load_keeping(&sources)?);
    let settings = Settings { config: Arc::clone(&config), rules: Arc::clone(&config.rules) };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(Metrics::new().context("the metrics table")?);
    note_start(&metrics, clock.as_ref());

    let dir = data_dir(options.data_dir.clone(), &config.data)?;
    let seed = seed::load(place::seed_file(&config.data, dir.as_deref()))?;
    let ledger = open_ledger(dir.clone(), &config, &metrics, clock.as_ref())?;
    digest::record_rules(&ledger, clock.now()).await.context("recording the rules")?;
    let digest = Arc::new(Digest::new(&ledger, Arc::clone(&clock)).context("the rules' ages")?);
    let listen = options.listen.unwrap_or(config.web.listen);
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("listening on {listen}"))?;

    let bounds = Arc::new(Bounds::of(&config)?);
    let pacing = Arc::new(Pacing::new(Buckets::new(config.budgets.compile()), 1));
    let spending = Arc::new(Spending::new(config.budgets.outlays()));
    let outside = Outside { guard: bounds.clone(), pace: pacing.clone(), resolve: bounds.clone() };
    let tasks = TaskTracker::new();
    let (orders, sampler_orders) = mpsc::channel(256);
    let taker = Taker {
        outside,
        clock: Arc::clone(&clock),
        seed,
        vantage: Arc::clone(&config.vantage),
        metrics: Arc::clone(&metrics),
        spending: Arc::clone(&spending),
        beside: Some(Arc::new(LedgerBeside::new(Arc::clone(&ledger)))),
        clock_doubted: Arc::default(),
    };
    let (sightings, keeper_sightings) = mpsc::channel(1024);
    let sink = LedgerSink::new(Arc::clone(&ledger), seed, Arc::clone(&metrics), sightings);
    let sink = Arc::new(sink);
    let sampler = Sampler {
        taker: Arc::new(taker),
        sink,
        clock: Arc::clone(&clock),
        seed,
        spending: Arc::clone(&spending),
        at_once: at_once(),
        metrics: Arc::clone(&metrics),
    };
    let sampling = tasks.spawn(sampler.run(sampler_orders, stop.child_token()));

    let (reloads, keeper_reloads) = mpsc::channel(4);
    let keeper = Keeper {
        bounds: Arc::clone(&bounds),
        clock: Arc::clone(&clock),
        ledger: Arc::clone(&ledger),
        metrics: Arc::clone(&metrics),
        orders: orders.clone(),
        cache: dir.as_deref().map(|dir| dir.join("discovery")),
    };
    tasks.spawn(keeper.run(settings.clone(), keeper_reloads, keeper_sightings, stop.child_token()));
    tasks.spawn(pulse::run(
        Arc::clone(&ledger),
        Arc::clone(&metrics),
        Arc::clone(&clock),
        stop.child_token(),
    ));
    tasks.spawn(proof::run(
        Arc::clone(&ledger),
        Arc::clone(&metrics),
        Arc::clone(&clock),
        stop.child_token(),
    ));

    let reloader = Reloader {
        source: options.source.clone(),
        sources,
        bounds,
        pacing,
        spending,
        orders: orders.clone(),
        keeper: reloads,
        ledger: Arc::clone(&ledger),
        digest,
        metrics: Arc::clone(&metrics),
        clock: Arc::clone(&clock),
        seed,
        listen,
    };
    let running = reloader.start(settings, &stop).await?;
    let (commands, heard) = mpsc::channel(64);
    let now = Arc::clone(&clock);
    let site = Arc::new(web::Site::new(
        Arc::clone(&ledger) as Arc<dyn View>,
        ledger.latest(),
        Arc::clone(&metrics),
        commands,
        Arc::new(move || now.now()),
        site_settings(&config),
    ));
    let security = match &config.web.config_file {
        Some(file) => web::Security::load(&file.path)?,
        None => web::Security::none(),
    };
    let security = Arc::new(security);
    let serving =
        tasks.spawn(web::serve(listener, Arc::clone(&site), security, stop.child_token()));
    let commands = Commands {
        ledger: Arc::clone(&ledger),
        orders,
        clock: Arc::clone(&clock),
        reloader,
        running,
        site: Arc::clone(&site),
    };
    let commanding = tasks.spawn(commands.run(heard, stop.clone()));

    site.set_ready(true);
    notify::ready();
    tracing::info!(%listen, targets = config.targets.len(), "sampling");
    stop.cancelled().await;

    tracing::info!("stopping");
    notify::stopping();
    site.set_ready(false);
    tasks.close();
    let drained = async {
        let _ = tokio::join!(sampling, serving, commanding);
        tasks.wait().await;
    };
    if timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("not everything ended in time");
    }
    let stopped = Event::Stopped { at: clock.now() };
    ledger.append(vec![stopped]).await.context("recording the stop")?;
    ledger.close().await.context("closing the ledger")
}

/// One crypto provider for the process; a second call changes nothing.
pub fn install_crypto() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn note_start(metrics: &Metrics, clock: &dyn Clock) {
    let now = clock.now().timestamp() as f64;
    metrics.process_start.set(now);
    metrics.config_reload_ok.set(1);
    metrics.config_reload_time.set(now);
}

fn open_ledger(
    dir: Option<PathBuf>,
    config: &Config,
    metrics: &Arc<Metrics>,
    clock: &dyn Clock,
) -> anyhow::Result<Arc<Ledger>> {
    let described =
        dir.as_ref().map_or_else(|| "in memory".to_owned(), |dir| dir.display().to_string());
    metrics.ledger_persistent.set(i64::from(dir.is_some()));
    let options = crate::ledger::Options {
        dir,
        retention: config.data.retention,
        max_size: Some(config.data.max_size),
        external_url: config.web.external_url.as_ref().map(ToString::to_string),
        ..crate::ledger::Options::default()
    };
    Ledger::open(options, Arc::clone(metrics), clock.now())
        .map(Arc::new)
        .with_context(|| format!("the ledger ({described})"))
}

/// The listener's settings as the config has them.
pub(crate) fn site_settings(config: &Config) -> web::Settings {
    let token = |token: &config::TokenSpec| {
        web::Token::new(&token.name, token.token.expose().as_bytes(), token.may.iter().copied())
    };
    web::Settings {
        tokens: config.web.tokens.iter().map(token).collect(),
        external_url: config.web.external_url.clone(),
        // Nobody else's site can take the name of this machine.
        allowed_hosts: place::own_name().into_iter().collect(),
        allow_unauthenticated: config.web.allow_unauthenticated,
    }
}

/// Samples at once: what the file limit allows, with room for ledger and listener.
fn at_once() -> usize {
    let limit = place::file_limit().unwrap_or(1024);
    usize::try_from(limit / 4).unwrap_or(usize::MAX).clamp(16, MOST_AT_ONCE)
}

const DRAIN: Duration = Duration::from_secs(18);
const MOST_AT_ONCE: usize = 1024;
