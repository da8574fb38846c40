//! Keeps the sampler's roster in step with config, discovery and DNS.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::outside::Bounds;
use super::past::{Past, TooMany};
use super::population::{Change, Population, Sighting, Wanted};
use crate::config::{Config, SourceConfig, TargetConfig};
use crate::inventory::{Discovery, Group, Lookup, Refreshed};
use crate::ledger::{Event, Ledger};
use crate::rules::{RuleSet, Selection};
use crate::sample::Unknown;
use crate::sampler::{Last, Order};
use crate::schedule::Clock;
use crate::telemetry::Metrics;

/// What the keeper works with.
pub(super) struct Keeper {
    pub(super) bounds: Arc<Bounds>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) orders: mpsc::Sender<Order>,
    /// Where last good lists are kept.
    pub(super) cache: Option<PathBuf>,
}

/// A config with the rules that it makes.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) config: Arc<Config>,
    pub(super) rules: Arc<RuleSet>,
}

/// What reaches the keeper from its sources.
enum News {
    Refreshed { source: usize, generation: u64, label: String, refreshed: Refreshed },
}

struct State {
    settings: Settings,
    population: Population,
    /// By source: the groups that are sampled.
    groups: HashMap<usize, Vec<Group>>,
    generation: u64,
    sources: JoinSet<()>,
    names: JoinSet<(Arc<str>, Result<Lookup, Unknown>)>,
    is_first: bool,
    /// Until what it says has been settled.
    past: Option<Past>,
}

impl Keeper {
    /// Runs until `stop`. Settings that come by `reloads` replace those before; a reload by a person
    /// also accepts what discovery has lost.
    pub(super) async fn run(
        self,
        settings: Settings,
        mut reloads: mpsc::Receiver<Settings>,
        mut sightings: mpsc::Receiver<Sighting>,
        stop: CancellationToken,
    ) {
        let (news, mut heard) = mpsc::channel(64);
        let past = Past::read(&self.ledger.latest());
        let mut state = State {
            settings,
            population: Population::remembering(past.addresses(), Instant::now()),
            groups: HashMap::new(),
            generation: 0,
            sources: JoinSet::new(),
            names: JoinSet::new(),
            is_first: true,
            past: Some(past),
        };
        self.listen(&mut state, &news, false);
        self.apply(&mut state, true).await;
        self.settle(&mut state, false).await;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(settings) = reloads.recv() => {
                    state.settings = settings;
                    self.listen(&mut state, &news, true);
                    self.apply(&mut state, true).await;
                    self.settle(&mut state, true).await;
                }
                Some(News::Refreshed { source, generation, label, refreshed }) = heard.recv() => {
                    if generation == state.generation && self.take_in(&mut state, source, &label, refreshed) {
                        self.apply(&mut state, false).await;
                        self.settle(&mut state, false).await;
                    }
                }
                Some(Ok((target, answer))) = state.names.join_next() => {
                    let change = state.population.resolved(&target, answer, Instant::now());
                    self.carry_out(&state, change).await;
                    self.resolve(&mut state);
                }
                Some(sighting) = sightings.recv() => {
                    let change = state.population.sighted(&sighting, Instant::now());
                    self.carry_out(&state, change).await;
                }
                _ = ticks.tick() => self.resolve(&mut state),
            }
        }
    }

    /// Starts a task for each discovery source of the present config. What a person asked for
    /// accepts each source's first answer, however little of the old list is left.
    fn listen(&self, state: &mut State, news: &mpsc::Sender<News>, by_person: bool) {
        state.sources.abort_all();
        state.generation += 1;
        // What a source gave holds until it answers again.
        let sources = state.settings.config.discovery.len();
        state.groups.retain(|source, _| *source < sources);
        let generation = state.generation;
        let agent = state.settings.config.user_agent();
        for (source, spec) in state.settings.config.discovery.iter().enumerate() {
            let discovery = Discovery::new(&spec.spec, spec.index, &agent, self.cache.as_deref());
            let mut discovery = match discovery {
                Ok(discovery) if by_person => discovery.accepting_loss(),
                Ok(discovery) => discovery,
                Err(error) => {
                    tracing::error!(%error, "a discovery source cannot be used");
                    continue;
                }
            };
            let news = news.clone();
            state.sources.spawn(async move {
                loop {
                    let refreshed = discovery.refresh().await;
                    let next = refreshed.next;
                    let label = discovery.label().to_owned();
                    if news
                        .send(News::Refreshed { source, generation, label, refreshed })
                        .await
                        .is_err()
                    {
                        return;
                    }
                    tokio::time::sleep(next).await;
                }
            });
        }
    }

    /// Whether the source's groups are to be applied.
    fn take_in(&self, state: &mut State, source: usize, label: &str, refreshed: Refreshed) -> bool {
        match &refreshed.error {
            Some(error) => {
                self.metrics.discovery_failures.with_label_values(&[label]).inc();
                tracing::warn!(source = label, %error, "a discovery source failed; the last good list holds");
            }
            None => {
                let now = self.clock.now().timestamp() as f64;
                self.metrics.discovery_time.with_label_values(&[label]).set(now);
            }
        }
        let held = i64::try_from(refreshed.held).unwrap_or(i64::MAX);
        let held_before = self.metrics.discovery_held.with_label_values(&[label]);
        if held > held_before.get() {
            tracing::warn!(
                source = label,
                targets = held,
                "over half of a source vanished; a reload accepts it"
            );
        }
        held_before.set(held);
        if !refreshed.known || !refreshed.changed {
            return false;
        }
        let count = refreshed.groups.iter().map(Group::count).sum::<usize>();
        self.metrics
            .targets
            .with_label_values(&[label])
            .set(i64::try_from(count).unwrap_or(i64::MAX));
        state.groups.insert(source, refreshed.groups);
        true
    }

    /// Ends what left the config or a source while the daemon was down, once every source has said
    /// what it has. Where discovery has lost over half of it, a reload `by_person` must say so.
    async fn settle(&self, state: &mut State, by_person: bool) {
        let sources = state.settings.config.discovery.len();
        if !(0..sources).all(|source| state.groups.contains_key(&source)) {
            return;
        }
        let Some(past) = state.past.take() else { return };
        let change = state.population.adopt(past.tls(), Instant::now());
        self.carry_out(state, change).await;
        let careful = sources > 0 && !by_person;
        match past.left_over(&state.population.keys(), careful) {
            Ok(points) if points.is_empty() => {}
            Ok(points) => self.withdraw(points, "target_removed", self.clock.now()).await,
            Err(TooMany { gone, of }) => {
                tracing::warn!(
                    gone,
                    of,
                    "over half of what was sampled before the start is gone; a reload accepts it"
                );
                state.past = Some(past);
            }
        }
    }

    /// Works out the wanted targets and carries out what is new.
    async fn apply(&self, state: &mut State, rules_changed: bool) {
        let wanted = wanted(state);
        let statics = state.settings.config.targets.len();
        self.metrics
            .targets
            .with_label_values(&["static"])
            .set(i64::try_from(statics).unwrap_or(i64::MAX));
        let change = state.population.set(wanted, rules_changed && !state.is_first, Instant::now());
        self.carry_out(state, change).await;
        state.is_first = false;
        self.resolve(state);
    }

    async fn carry_out(&self, state: &State, change: Change) {
        // Addresses beyond the bound come and go without any change of points.
        let excess = i64::try_from(state.population.excess()).unwrap_or(i64::MAX);
        self.metrics.addresses_excess.set(excess);
        if change.is_empty() {
            return;
        }
        let now = self.clock.now();
        for (points, note) in [
            (change.target_removed, "target_removed"),
            (change.address_gone, "address_gone"),
            (change.port_closed, "port_closed"),
        ] {
            if points.is_empty() {
                continue;
            }
            // The sampler has stopped; then nothing is sampled any more anyway.
            let _ = self.orders.send(Order::Remove(points.clone())).await;
            self.withdraw(points, note, now).await;
        }
        let put = change.put.into_iter().map(|entry| {
            let past = self.ledger.point_state(entry.point.key());
            let last = past.last_slot.zip(past.last_sample).map(|(slot, at)| Last {
                slot,
                at,
                known_at: past.last_known,
            });
            (entry, last)
        });
        let put: Vec<_> = put.collect();
        if !put.is_empty() {
            let _ = self.orders.send(Order::Put(put)).await;
        }
    }

    async fn withdraw(&self, points: Vec<crate::target::PointKey>, note: &str, at: DateTime<Utc>) {
        let event = Event::PointsWithdrawn { at, note: note.to_owned(), points };
        if let Err(error) = self.ledger.append(vec![event]).await {
            tracing::error!(%error, "withdrawals were not recorded");
        }
    }

    /// Asks for the names that are due, a bounded number at once.
    fn resolve(&self, state: &mut State) {
        let room = AT_ONCE.saturating_sub(state.names.len());
        for (target, name) in state.population.due_names(Instant::now(), room) {
            let resolver = self.bounds.resolver();
            state.names.spawn(async move {
                let answer = resolver.lookup(&name).await;
                (target, answer)
            });
        }
    }
}

/// Every target of config and discovery, ready to be sampled. Plans and selections are shared.
fn wanted(state: &State) -> Vec<Wanted> {
    let config = &state.settings.config;
    let mut shared = Shared { rules: &state.settings.rules, selections: BTreeMap::new() };
    let mut wanted: Vec<Wanted> = Vec::with_capacity(config.targets.len());
    let mut names = HashSet::new();
    for target in &config.targets {
        names.insert(Arc::clone(&target.target.name));
        wanted.extend(shared.wanted(target.clone()));
    }
    let found = state
        .groups
        .iter()
        .flat_map(|(source, groups)| groups.iter().map(move |group| (*source, group)));
    for (source, group) in found {
        for text in &group.targets {
            let found = config.targets_from_discovery(source, text, &group.labels);
            let found = found.unwrap_or_else(|error| {
                let source = config.discovery.get(source).map(SourceConfig::label);
                let source = source.unwrap_or_default();
                tracing::warn!(source, target = text, %error, "a discovered target is left out");
                Vec::new()
            });
            for target in found {
                // The file's own word on a target stands over discovery's.
                if names.insert(Arc::clone(&target.target.name)) {
                    wanted.extend(shared.wanted(target));
                }
            }
        }
    }
    wanted
}

struct Shared<'a> {
    rules: &'a RuleSet,
    selections: BTreeMap<String, Selection>,
}

impl Shared<'_> {
    fn wanted(&mut self, config: TargetConfig) -> Option<Wanted> {
        match self.selection(&config) {
            Ok(selection) => Some(Wanted { config: Arc::new(config), selection }),
            Err(error) => {
                tracing::error!(target = %config.target.name, error, "a target cannot be sampled");
                None
            }
        }
    }

    fn selection(&mut self, config: &TargetConfig) -> Result<Selection, String> {
        let key = format!("{:?}{:?}", config.profile, config.ranges);
        let selection = match self.selections.get(&key) {
            Some(selection) => selection.clone(),
            None => {
                let made = self
                    .rules
                    .select(&config.profile, &config.ranges)
                    .map_err(|errors| errors.join("; "))?;
                self.selections.insert(key, made.clone());
                made
            }
        };
        Ok(selection)
    }
}

const AT_ONCE: usize = 64;
const TICK: Duration = Duration::from_secs(1);
