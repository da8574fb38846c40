//! One receiver's task: ask the outbox, plan, send, record; wait; again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::client::{Answer, Client, Life};
use super::member::Member;
use super::message::Externals;
use super::plan::{Batch, Context, Entry, GroupKey, Plan, ReceiverState, plan};
use super::receiver::{Kind, Receiver};
use super::{AlertError, Delivery, watchdog};
use crate::ledger::{Ack, AlertState, LedgerError, OutboxRow};

pub(super) struct Courier {
    client: Client,
    delivery: Delivery,
    externals: Externals,
    backoff: Backoff,
    member: Member,
    groups: HashMap<GroupKey, DateTime<Utc>>,
    since: DateTime<Utc>,
    asked_at: Option<DateTime<Utc>>,
    watchdog_at: Option<DateTime<Utc>>,
}

/// What a round of requests came to.
#[derive(Debug, Default)]
struct Round {
    accepted: bool,
    /// Something left the queue: accepted, or refused for good.
    answered: bool,
    failures: u32,
    is_over: bool,
    wish: Option<TimeDelta>,
    /// Answered 403: refused if another request of the round was accepted, else tried again.
    forbidden: Vec<(Entry, String)>,
}

impl Courier {
    pub(super) fn new(receiver: Receiver, delivery: Delivery) -> Result<Self, AlertError> {
        let externals = Externals {
            labels: delivery.external_labels.clone(),
            url: delivery.external_url.clone(),
        };
        let seed = receiver
            .name
            .bytes()
            .fold(delivery.seed, |seed, byte| seed.rotate_left(8) ^ u64::from(byte));
        let timing = &delivery.timing;
        Ok(Self {
            backoff: Backoff::new(timing.backoff_min, timing.backoff_max, seed),
            client: Client::new(receiver)?,
            externals,
            member: Member::default(),
            groups: HashMap::new(),
            since: (delivery.clock)(),
            asked_at: None,
            watchdog_at: None,
            delivery,
        })
    }

    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let mut changes = self.delivery.outbox.changes();
        self.start_at_zero();
        loop {
            changes.mark_unchanged();
            let mut turn = Box::pin(self.turn());
            let waits = tokio::select! {
                waits = &mut turn => waits,
                // What is on the wire may end; what is not recorded is sent again after the start.
                () = shutdown.cancelled() => {
                    let _ = timeout(GRACE, turn).await;
                    return;
                }
            };
            drop(turn);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = wait(waits, &mut changes) => {}
            }
        }
    }

    /// One look at the outbox and whatever is due; says how long to wait.
    async fn turn(&mut self) -> Waits {
        let rows = match self.rows().await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(receiver = self.name(), %error, "the outbox cannot be read");
                return Waits::Backoff(self.backoff.failed(None));
            }
        };
        self.gauge(&rows);
        let busy = !rows.is_empty();
        if busy {
            self.ask().await;
        }
        let Plan { batches, settled, next_at } = self.plan(rows);
        let mut round = Round::default();
        self.acknowledge(settled, &mut round).await;
        if self.watchdog_is_due() {
            let batch = watchdog::batch(self.since, self.now(), &self.delivery.timing);
            if self.deliver(batch, &mut round).await {
                self.watchdog_at = Some(self.now());
            }
        }
        for batch in batches {
            if round.is_over || round.failures >= MAX_FAILURES {
                break;
            }
            let group = batch.group.as_ref().map(|group| group.key.clone());
            if self.deliver(batch, &mut round).await
                && let Some(key) = group
            {
                self.groups.insert(key, self.now());
            }
        }
        self.settle_forbidden(&mut round).await;
        if round.answered
            && let Ok(rows) = self.rows().await
        {
            self.gauge(&rows);
        }
        if round.failures > 0 {
            return Waits::Backoff(self.backoff.failed(round.wish));
        }
        self.backoff.succeeded();
        Waits::Changes(self.pause(next_at, busy))
    }

    async fn rows(&self) -> Result<Vec<OutboxRow>, LedgerError> {
        let (outbox, name) = (Arc::clone(&self.delivery.outbox), self.name().to_owned());
        tokio::task::spawn_blocking(move || outbox.pending(&name))
            .await
            .unwrap_or(Err(LedgerError::Closed))
    }

    fn plan(&mut self, rows: Vec<OutboxRow>) -> Plan {
        let now = self.now();
        let interval = self.delivery.timing.group_interval;
        self.groups.retain(|_, at| *at + interval > now && *at <= now);
        self.member.retain(&rows);
        let receiver = match self.client.receiver().kind {
            Kind::Alertmanager { .. } => ReceiverState::Alertmanager(&self.member),
            Kind::Webhook { .. } => ReceiverState::Webhook(&self.groups),
        };
        let send_resolved = self.client.receiver().send_resolved;
        let context = Context { now, receiver, send_resolved, timing: &self.delivery.timing };
        plan(rows, &context)
    }

    /// Asks an Alertmanager whether it restarted, at most once in `status_interval` while it
    /// answers.
    async fn ask(&mut self) {
        let Kind::Alertmanager { .. } = self.client.receiver().kind else { return };
        let now = self.now();
        let interval = self.delivery.timing.status_interval;
        if self.asked_at.is_some_and(|at| at <= now && now < at + interval) {
            return;
        }
        match self.client.life(now).await {
            Life::Since { id, started } => {
                self.asked_at = Some(now);
                if self.member.observe(&id, started, self.now()) {
                    let receiver = self.name();
                    tracing::warn!(receiver, "the Alertmanager restarted; replaying to it");
                    self.delivery.metrics.receiver_restarts.with_label_values(&[receiver]).inc();
                }
            }
            Life::Unsaid => {
                self.asked_at = Some(now);
                self.member.does_not_say();
            }
            Life::Unreached => {
                self.asked_at = None;
                self.member.miss();
            }
        }
    }

    fn watchdog_is_due(&self) -> bool {
        let is_alertmanager = matches!(self.client.receiver().kind, Kind::Alertmanager { .. });
        let (now, interval) = (self.now(), self.delivery.timing.resend);
        is_alertmanager
            && self.watchdog_at.is_none_or(|at| at + interval <= now || now < at)
            && (self.delivery.alive)()
    }

    /// Sends a batch, in halves where that isolates a bad alert. True if all of it was accepted.
    async fn deliver(&mut self, batch: Batch, round: &mut Round) -> bool {
        let mut whole = true;
        let mut parts = vec![batch];
        while let Some(batch) = parts.pop() {
            let answer = self.client.send(&batch, &self.externals).await;
            whole &= answer == Answer::Accepted;
            match answer {
                Answer::Accepted => {
                    round.accepted = true;
                    self.accepted(&batch, round).await;
                }
                Answer::Refused(_) | Answer::Forbidden(_) if batch.entries.len() > 1 => {
                    parts.extend(halves(batch));
                }
                Answer::Refused(said) => self.refused(batch.entries, &said, round).await,
                Answer::Forbidden(said) => {
                    let said = batch.entries.into_iter().map(|entry| (entry, said.clone()));
                    round.forbidden.extend(said);
                    if !round.accepted && round.forbidden.len() >= MAX_FORBIDDEN {
                        round.is_over = true;
                        return false;
                    }
                }
                Answer::Later(said) => {
                    self.retried(&batch, &said, round);
                    return false;
                }
                Answer::Slower(said, wish) => {
                    round.wish = wish;
                    round.is_over = true;
                    self.retried(&batch, &said, round);
                    return false;
                }
                Answer::Unreached(said) => {
                    round.is_over = true;
                    self.retried(&batch, &said, round);
                    return false;
                }
            }
        }
        whole
    }

    async fn accepted(&mut self, batch: &Batch, round: &mut Round) {
        let now = self.now();
        let metrics = Arc::clone(&self.delivery.metrics);
        let mut acks = Vec::new();
        for entry in &batch.entries {
            if entry.is_news && entry.state == entry.alert.state {
                let latency = (now - entry.alert.changed_at).as_seconds_f64().max(0.0);
                metrics.delivery_seconds.with_label_values(&[self.name()]).observe(latency);
            }
            for (id, state) in &entry.accepts {
                acks.push(Ack { id: id.clone(), state: *state, at: now, refused: None });
                if *state == AlertState::Firing {
                    self.member.holds(id, now);
                }
            }
        }
        self.count("accepted", acks.len());
        self.acknowledge(acks, round).await;
    }

    async fn refused(&self, entries: Vec<Entry>, said: &str, round: &mut Round) {
        let now = self.now();
        let mut acks = Vec::new();
        for entry in entries {
            let alert = entry.alert.labels.get("alertname").map_or("", String::as_str);
            tracing::error!(receiver = self.name(), alert, said, "an alert was refused for good");
            let refused = Some(said.to_owned());
            acks.extend(entry.accepts.into_iter().map(|(id, state)| Ack {
                id,
                state,
                at: now,
                refused: refused.clone(),
            }));
        }
        self.count("refused", acks.len());
        self.acknowledge(acks, round).await;
    }

    async fn settle_forbidden(&self, round: &mut Round) {
        for (entry, said) in std::mem::take(&mut round.forbidden) {
            if round.accepted {
                self.refused(vec![entry], &said, round).await;
            } else {
                self.retried(&Batch { entries: vec![entry], group: None }, &said, round);
            }
        }
    }

    fn retried(&self, batch: &Batch, said: &str, round: &mut Round) {
        round.failures += 1;
        self.count("retried", batch.entries.len());
        tracing::warn!(receiver = self.name(), said, "alerts were not accepted; trying again");
    }

    /// What could not be recorded is sent again: after a pause, as after any other failure.
    async fn acknowledge(&self, acks: Vec<Ack>, round: &mut Round) {
        if acks.is_empty() {
            return;
        }
        round.answered = true;
        if let Err(error) = self.delivery.outbox.acknowledge(self.name(), acks).await {
            tracing::warn!(receiver = self.name(), %error, "an acceptance could not be recorded");
            round.failures += 1;
        }
    }

    fn pause(&self, next_at: Option<DateTime<Utc>>, busy: bool) -> TimeDelta {
        let timing = &self.delivery.timing;
        let tick = if busy { timing.status_interval } else { timing.resend };
        let tick = tick.min(timing.resend / 2);
        next_at.map_or(tick, |at| (at - self.now()).min(tick)).max(SHORTEST)
    }

    fn gauge(&self, rows: &[OutboxRow]) {
        let waiting = rows.iter().filter(|row| {
            row.delivery.accepted != Some(row.alert.state) && row.delivery.refused.is_none()
        });
        let (count, oldest) = waiting.fold((0_i64, None), |(count, oldest), row| {
            let at = row.alert.changed_at;
            (count + 1, Some(oldest.map_or(at, |known: DateTime<Utc>| known.min(at))))
        });
        let metrics = &self.delivery.metrics;
        metrics.outbox_pending.with_label_values(&[self.name()]).set(count);
        let oldest = oldest.map_or(0.0, |at| at.timestamp_millis() as f64 / 1000.0);
        metrics.outbox_oldest.with_label_values(&[self.name()]).set(oldest);
    }

    fn count(&self, outcome: &str, alerts: usize) {
        let labels = [self.name(), outcome];
        self.delivery.metrics.deliveries.with_label_values(&labels).inc_by(alerts as u64);
    }

    fn start_at_zero(&self) {
        for outcome in ["accepted", "retried", "refused"] {
            self.count(outcome, 0);
        }
        if let Kind::Alertmanager { .. } = self.client.receiver().kind {
            self.delivery.metrics.receiver_restarts.with_label_values(&[self.name()]);
        }
    }

    fn name(&self) -> &str {
        &self.client.receiver().name
    }

    fn now(&self) -> DateTime<Utc> {
        (self.delivery.clock)()
    }
}

/// How long to wait, and whether a change ends the wait.
enum Waits {
    Backoff(TimeDelta),
    Changes(TimeDelta),
}

async fn wait(waits: Waits, changes: &mut watch::Receiver<u64>) {
    let duration = |delta: TimeDelta| delta.to_std().unwrap_or_default();
    match waits {
        Waits::Backoff(delta) => sleep(duration(delta)).await,
        Waits::Changes(delta) => {
            let changed = async {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                // Changes come in bursts; one request carries them all.
                sleep(duration(SHORTEST)).await;
            };
            let _ = timeout(duration(delta), changed).await;
        }
    }
}

fn halves(mut batch: Batch) -> [Batch; 2] {
    let second = batch.entries.split_off(batch.entries.len() / 2);
    let group = batch.group.clone();
    [Batch { entries: second, group }, batch]
}

/// Requests that fail in one round before the rest waits too.
const MAX_FAILURES: u32 = 3;

/// Single alerts answered 403 in one round, and nothing accepted, before it counts as said of us.
const MAX_FORBIDDEN: usize = 4;

/// Between two looks at the outbox.
const SHORTEST: TimeDelta = TimeDelta::milliseconds(100);

/// How long a request may go on after the shutdown began.
const GRACE: Duration = Duration::from_secs(5);
