//! The loop: orders in, due samples out, one turn at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::extras::{AFTER_DEPLOYMENT, Allowance, Extras};
use super::roster::Due;
use super::{Ask, Entry, Glimpse, Judged, Last, PageQuery, Roster, Spending, Taker};
use crate::probe::Memory;
use crate::sample::Cause;
use crate::schedule::{Clock, Seed, Step, StepWatch, Window};
use crate::target::{Labels, PointKey, ProbeKind, chooses};
use crate::telemetry::Metrics;

/// What is remembered of a point, and a mark of it: handed back with what a run came to, it tells
/// whether the point has been given another memory meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// What the point's earlier runs asked to remember.
    pub memory: Option<Memory>,
    /// The mark.
    pub mark: u64,
}

/// Where judged samples go, and where memory comes from: the ledger, or a bench.
pub trait Sink: Send + Sync + 'static {
    /// What is remembered of the point.
    fn memory(&self, key: PointKey) -> Remembered;

    /// Takes in what one run came to that began with the memory of this mark. Answers how many
    /// repeat samples it wants.
    fn deliver<'a>(
        &'a self,
        entry: &'a Entry,
        judged: Vec<Judged>,
        mark: u64,
    ) -> BoxFuture<'a, u32>;

    /// The loop has turned: what feeds the service's watchdog.
    fn turned(&self, now: DateTime<Utc>);
}

/// Takes the sample of an entry; [`Taker`], or a bench's no-op.
pub trait Take: Send + Sync + 'static {
    /// One run.
    fn take<'a>(
        &'a self,
        entry: &'a Entry,
        cause: Cause,
        slot: Option<i64>,
        memory: Option<Memory>,
    ) -> BoxFuture<'a, Vec<Judged>>;

    /// Whether the wall clock can be believed; called when that changes.
    fn believe_clock(&self, _believed: bool) {}
}

impl Take for Taker {
    fn take<'a>(
        &'a self,
        entry: &'a Entry,
        cause: Cause,
        slot: Option<i64>,
        memory: Option<Memory>,
    ) -> BoxFuture<'a, Vec<Judged>> {
        let ask = Ask {
            point: &entry.point,
            selection: &entry.selection,
            glimpses: entry.glimpse == Glimpse::Gives,
            promised: entry.plan.is_guaranteed(),
        };
        Box::pin(Self::take(self, ask, cause, slot, memory))
    }

    fn believe_clock(&self, believed: bool) {
        self.clock_doubted.store(!believed, Ordering::Relaxed);
    }
}

/// Points in order, each with its next due time.
pub type Page = Vec<(Entry, Option<DateTime<Utc>>)>;

/// What the daemon may ask of the loop.
#[derive(Debug)]
pub enum Order {
    /// New points, or known ones with another plan or rules; with the last sample before a restart.
    Put(Vec<(Entry, Option<Last>)>),
    /// Points that are gone.
    Remove(Vec<PointKey>),
    /// Other maintenance windows.
    Windows(Arc<[Window]>),
    /// A deployment was marked: its points are sampled at once, and after 1 and 10 minutes again.
    Deployed {
        /// Labels that choose the targets; `target` chooses by name.
        labels: Labels,
        /// How many points it touched.
        reply: oneshot::Sender<usize>,
    },
    /// Sample every point of a target now, or only one probe's; answers with what was seen.
    Now {
        /// The target's name.
        target: String,
        /// One probe, or all.
        probe: Option<ProbeKind>,
        /// Why.
        cause: Cause,
        /// Where the answer goes.
        reply: oneshot::Sender<Vec<Judged>>,
    },
    /// One page of the points with their next due times.
    Page {
        /// Which points.
        query: PageQuery,
        /// Where the answer goes.
        reply: oneshot::Sender<Page>,
    },
}

/// The loop's parts.
pub struct Sampler {
    /// Takes the samples.
    pub taker: Arc<dyn Take>,
    /// Where they go.
    pub sink: Arc<dyn Sink>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// What phases hang on.
    pub seed: Seed,
    /// What samples use up; the taker pays into the same accounts.
    pub spending: Arc<Spending>,
    /// Samples at once.
    pub at_once: usize,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// A run that has ended.
struct Done {
    index: u32,
    key: PointKey,
    repeats: u32,
    /// Whether it was a repeat itself: what it sees first is repeated too, but kin is asked once.
    is_repeat: bool,
    within: Duration,
    known_at: Option<DateTime<Utc>>,
    /// The point that the run gave a glimpse of, and when.
    glimpsed: Option<(PointKey, DateTime<Utc>)>,
}

struct Turn {
    roster: Roster,
    repeats: Extras,
    follow_ups: Extras,
    allowance: Allowance,
    in_flight: usize,
    done: mpsc::Sender<Done>,
    steps: StepWatch,
    /// The wall clock stepped back: dates are in doubt until it has passed this time.
    doubted_until: Option<DateTime<Utc>>,
    last_turn: Option<DateTime<Utc>>,
    started: Instant,
    survey_at: Instant,
}

impl Sampler {
    /// Runs until `stop`; then waits at most [`DRAIN`] for samples that are being taken.
    pub async fn run(self, mut orders: mpsc::Receiver<Order>, stop: CancellationToken) {
        let (done, mut finished) = mpsc::channel(1024);
        let started = Instant::now();
        let steps = StepWatch::new();
        let mut turn = Turn {
            roster: Roster::default(),
            repeats: Extras::new(MOST_REPEATS),
            follow_ups: Extras::new(MOST_FOLLOW_UPS),
            allowance: Allowance::new(started),
            in_flight: 0,
            done,
            steps,
            doubted_until: None,
            last_turn: None,
            started,
            survey_at: started,
        };
        loop {
            self.dispatch(&mut turn);
            let wait = self.wait(&mut turn);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(order) = orders.recv() => self.obey(&mut turn, order),
                Some(done) = finished.recv() => self.finish(&mut turn, &done),
                () = sleep(wait) => {}
            }
        }
        let drain = async {
            while turn.in_flight > 0 && finished.recv().await.is_some() {
                turn.in_flight -= 1;
            }
        };
        if timeout(DRAIN, drain).await.is_err() {
            tracing::warn!(samples = turn.in_flight, "stopping with samples unfinished");
        }
    }

    /// One turn: everything that is due and fits.
    fn dispatch(&self, turn: &mut Turn) {
        let now = self.clock.now();
        self.note_clock(turn, now);
        self.metrics.scheduler_tick.set(now.timestamp_millis() as f64 / 1e3);
        self.sink.turned(now);
        self.survey(turn, now);
        self.extras(turn, now);
        while turn.in_flight < self.at_once {
            let affords = |target: &str, importance| self.spending.allows(target, importance);
            match turn.roster.pop_due(&self.seed, now, affords) {
                None => break,
                Some(Due::Skip { reason, passed }) => {
                    self.skip(reason, 1);
                    self.skip("missed", passed);
                }
                Some(Due::Take { index, entry, slot, passed }) => {
                    self.skip("missed", passed);
                    let lag = (now - slot.due).to_std().unwrap_or_default();
                    self.metrics.scheduler_lag.observe(lag.as_secs_f64());
                    self.start(turn, index, entry, Cause::Scheduled, Some(slot.number));
                }
            }
        }
    }

    fn skip(&self, reason: &str, slots: u64) {
        self.metrics.skipped.with_label_values(&[reason]).inc_by(slots);
    }

    /// While the clock is behind what it showed before, one of the two times was wrong and nobody
    /// can say which: whatever hangs on the date is unknown until the earlier time has passed.
    fn note_clock(&self, turn: &mut Turn, now: DateTime<Utc>) {
        let before = turn.last_turn.replace(now);
        let step = turn.steps.observe(now, turn.started.elapsed());
        if turn.doubted_until.is_some_and(|until| now >= until) {
            turn.doubted_until = None;
            self.taker.believe_clock(true);
            tracing::info!("the clock has passed the time that it showed before it stepped back");
        }
        let (direction, step) = match step {
            Step::Steady => return,
            Step::Back(step) => ("back", step),
            Step::Forward(step) => ("forward", step),
        };
        self.metrics.clock_steps.with_label_values(&[direction]).inc();
        tracing::warn!(direction, seconds = step.as_secs_f64(), "the clock stepped");
        if direction == "back" {
            turn.doubted_until = turn.doubted_until.max(before);
            self.taker.believe_clock(false);
            turn.roster.rewind(&self.seed, now);
        }
    }

    /// Coverage: what was measured lately enough. An unknown sample covers nothing.
    fn survey(&self, turn: &mut Turn, now: DateTime<Utc>) {
        if Instant::now() < turn.survey_at {
            return;
        }
        turn.survey_at = Instant::now() + SURVEY;
        for (probe, freshness) in ProbeKind::ALL.iter().zip(turn.roster.freshness(now)) {
            let labels = &[probe.as_str()];
            if let Some(oldest) = freshness.oldest {
                let share = f64::from(freshness.fresh) / f64::from(freshness.points);
                self.metrics.coverage.with_label_values(labels).set(share);
                self.metrics.oldest.with_label_values(labels).set(oldest as f64);
            }
        }
    }

    /// Samples beside the plan, repeats first.
    fn extras(&self, turn: &mut Turn, now: DateTime<Utc>) {
        while turn.in_flight < self.at_once {
            let at = Instant::now();
            let (seat, cause) = match turn.repeats.pop(at) {
                Some(seat) => (seat, Cause::Repeat),
                None => match turn.follow_ups.pop(at) {
                    Some(seat) => (seat, Cause::Deploy),
                    None => return,
                },
            };
            match turn.roster.begin(seat, now) {
                Begin::Start(entry) => {
                    let Entry { point, plan, .. } = &entry;
                    if self.spending.allows(&point.target.name, plan.importance()) {
                        self.start(turn, seat.0, entry, cause, None);
                    } else {
                        turn.roster.finish(seat.0, seat.1, None);
                        self.skip("budget", 1);
                    }
                }
                Begin::Busy if cause == Cause::Repeat => turn.repeats.put_back(at + BUSY, seat),
                Begin::Busy => turn.follow_ups.put_back(at + BUSY, seat),
                Begin::Gone => {}
            }
        }
    }

    fn start(&self, turn: &mut Turn, index: u32, entry: Entry, cause: Cause, slot: Option<i64>) {
        turn.in_flight += 1;
        let (taker, sink, done) =
            (Arc::clone(&self.taker), Arc::clone(&self.sink), turn.done.clone());
        tokio::spawn(async move {
            let key = entry.point.key();
            let Remembered { memory, mark } = sink.memory(key);
            let judged = taker.take(&entry, cause, slot, memory).await;
            let known = judged.iter().map(|judged| &judged.sample);
            let known = known.filter(|sample| sample.measurements().is_some());
            let (own, others): (Vec<_>, Vec<_>) =
                known.partition(|sample| sample.probe == entry.point.probe);
            let known_at = own.iter().map(|sample| sample.taken_at).max();
            let glimpsed = others.first().map(|sample| {
                (PointKey::new(&sample.target, sample.probe, sample.address), sample.taken_at)
            });
            let repeats = sink.deliver(&entry, judged, mark).await;
            // The loop may have stopped; then nobody waits for this.
            let within = entry.repeat.within;
            let is_repeat = cause == Cause::Repeat;
            let end = Done { index, key, repeats, is_repeat, within, known_at, glimpsed };
            let _ = done.send(end).await;
        });
    }

    fn finish(&self, turn: &mut Turn, done: &Done) {
        turn.in_flight -= 1;
        turn.roster.finish(done.index, done.key, done.known_at);
        if let Some((key, at)) = done.glimpsed {
            turn.roster.glimpsed(key, at);
        }
        if done.repeats == 0 {
            return;
        }
        let (now, seat) = (Instant::now(), (done.index, done.key));
        let step = done.within / (done.repeats + 1);
        let own = (1..=done.repeats).map(|nth| (now + step * nth, seat));
        // Up- and downstream: where else does it show?
        let chance = self.seed.for_run(done.key, self.clock.now().timestamp());
        let most = if done.is_repeat { 0 } else { MOST_KIN };
        let kin = turn.roster.kin(done.index, chance, most);
        let given = turn.allowance.take(kin.len(), now);
        let kin = kin.into_iter().take(given).map(|seat| (now, seat));
        let shed = own.chain(kin).filter(|(at, seat)| !turn.repeats.add(*at, *seat)).count();
        self.skip("shed", shed as u64);
    }

    /// Looks at every point that a deployment touched, now and twice again; says how many.
    fn follow_up(&self, turn: &mut Turn, labels: &Labels) -> usize {
        let seats = turn.roster.seats(|target| chooses(labels, &target.name, &target.labels));
        let now = Instant::now();
        let all = AFTER_DEPLOYMENT
            .iter()
            .flat_map(|after| seats.iter().map(move |seat| (now + *after, *seat)));
        let shed = all.filter(|(at, seat)| !turn.follow_ups.add(*at, *seat)).count();
        self.skip("shed", shed as u64);
        seats.len()
    }

    fn obey(&self, turn: &mut Turn, order: Order) {
        let now = self.clock.now();
        match order {
            Order::Put(entries) => {
                for (entry, last) in entries {
                    // What a known point misses is counted as it comes due.
                    let has_slots = entry.glimpse != Glimpse::Takes;
                    if has_slots && !turn.roster.knows(entry.point.key()) {
                        self.count_missed(&entry, last, now);
                    }
                    turn.roster.put(entry, &self.seed, last, now);
                }
                self.count_points(turn);
            }
            Order::Remove(keys) => {
                keys.into_iter().for_each(|key| turn.roster.remove(key));
                self.count_points(turn);
            }
            Order::Windows(windows) => turn.roster.set_windows(windows),
            Order::Deployed { labels, reply } => {
                // Who marked it may have gone.
                let _ = reply.send(self.follow_up(turn, &labels));
            }
            Order::Now { target, probe, cause, reply } => {
                self.sample_now(turn, &target, probe, cause, reply)
            }
            Order::Page { query, reply } => {
                // Who asked may have gone.
                let _ = reply.send(turn.roster.page(&query));
            }
        }
    }

    /// Slots that passed while the daemon was down are counted, never caught up.
    fn count_missed(&self, entry: &Entry, last: Option<Last>, now: DateTime<Utc>) {
        let Some(last) = last else { return };
        let missed = entry.plan.slots_between(entry.point.key(), &self.seed, last.at, now);
        self.skip("missed", missed);
    }

    fn count_points(&self, turn: &Turn) {
        let mut counts = [0_i64; ProbeKind::ALL.len()];
        for point in turn.roster.points() {
            counts[point.probe as usize] += 1;
        }
        for (probe, count) in ProbeKind::ALL.iter().zip(counts) {
            self.metrics.points.with_label_values(&[probe.as_str()]).set(count);
        }
    }

    fn sample_now(
        &self,
        turn: &Turn,
        target: &str,
        probe: Option<ProbeKind>,
        cause: Cause,
        reply: oneshot::Sender<Vec<Judged>>,
    ) {
        let query = PageQuery {
            target: Some(target.into()),
            probe,
            limit: usize::MAX,
            ..PageQuery::default()
        };
        let entries = turn.roster.page(&query).into_iter().map(|(entry, _)| entry);
        let entries: Vec<Entry> = entries
            .filter_map(|entry| match (entry.glimpse, probe) {
                // It comes with the one that gives it.
                (Glimpse::Takes, None) => None,
                (Glimpse::Takes, Some(_)) => turn.roster.giver_of(&entry.point),
                (Glimpse::Apart | Glimpse::Gives, _) => Some(entry),
            })
            .collect();
        let (taker, sink) = (Arc::clone(&self.taker), Arc::clone(&self.sink));
        tokio::spawn(async move {
            let mut all = Vec::new();
            for entry in entries {
                let Remembered { memory, mark } = sink.memory(entry.point.key());
                let judged = taker.take(&entry, cause, None, memory).await;
                all.extend(judged.iter().cloned());
                sink.deliver(&entry, judged, mark).await;
            }
            // What is not asked for is left out, unless it alone says why there is nothing else.
            let is_asked = |judged: &Judged| probe.is_none_or(|probe| probe == judged.sample.probe);
            if all.iter().any(is_asked) {
                all.retain(is_asked);
            }
            let _ = reply.send(all);
        });
    }

    /// Until the next thing is due; at most [`TURN`], so that the watchdog sees the loop alive.
    fn wait(&self, turn: &mut Turn) -> Duration {
        if turn.in_flight >= self.at_once {
            return TURN;
        }
        let due =
            turn.roster.next_due().map(|due| (due - self.clock.now()).to_std().unwrap_or_default());
        let extra = [turn.repeats.next_at(), turn.follow_ups.next_at()].into_iter().flatten().min();
        let extra = extra.map(|at| at.saturating_duration_since(Instant::now()));
        TURN.min(due.unwrap_or(TURN)).min(extra.unwrap_or(TURN))
    }
}

/// What a repeat sample finds.
pub(super) enum Begin {
    Start(Entry),
    Busy,
    Gone,
}

/// How long a stop waits for samples that are being taken.
pub const DRAIN: Duration = Duration::from_secs(15);
const TURN: Duration = Duration::from_secs(1);
const BUSY: Duration = Duration::from_millis(500);
const MOST_REPEATS: usize = 1024;
/// Other points that are looked at after a first breach.
const MOST_KIN: usize = 8;
const MOST_FOLLOW_UPS: usize = 30_000;
const SURVEY: Duration = Duration::from_secs(15);
