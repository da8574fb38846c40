//! The one writer: a thread that takes what is queued, and commits it as one.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use super::chain::{self, Link};
use super::desk::{Batch, Desk, Prepared};
use super::event::Event;
use super::handle::Shared;
use super::options::{Memory, Options, Receipt};
use super::project::{apply, millis, signed};
use super::reserve::Reserve;
use super::segment::Segments;
use super::{LedgerError, bytes};
use crate::target::PointKey;
use crate::telemetry::Metrics;

/// Where an answer goes.
type Reply<T> = oneshot::Sender<Result<T, LedgerError>>;

/// What the writer is asked.
#[derive(Debug)]
pub(super) enum Message {
    Append(Vec<Event>, Reply<()>),
    Close(Reply<()>),
    Record(Box<Prepared>, Reply<Receipt>),
    Remember(Box<(Event, PointKey, Memory)>, Reply<()>),
    Stale(DateTime<Utc>, Reply<usize>),
    /// Runs SQL on the writer's connection.
    #[cfg(test)]
    Sql(String, Reply<()>),
}

impl Message {
    /// Whether somebody waits for it, or may be woken by it.
    pub(super) fn is_urgent(&self) -> bool {
        !matches!(self, Self::Record(prepared, _) if !prepared.is_urgent())
    }
}

/// An answer that waits for the commit.
enum Pending {
    Done(Reply<()>),
    Moved(Reply<usize>, usize),
    Recorded(Reply<Receipt>, Receipt),
}

/// See the module.
pub(super) struct Writer {
    pub(super) db: Arc<Mutex<Connection>>,
    pub(super) head: Link,
    pub(super) shared: Arc<Shared>,
    pub(super) options: Options,
    pub(super) metrics: Arc<Metrics>,
    pub(super) segments: Segments,
    pub(super) desk: Desk,
    batch: Batch,
    reserve: Option<Reserve>,
    reserve_freed: Option<Instant>,
    /// While the store cannot be written: when to try again.
    retry: Option<Instant>,
    waiting: Vec<Pending>,
    runtime: Option<Runtime>,
    /// Held for as long as the writer lives.
    _lock: Option<File>,
}

impl Writer {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        db: Arc<Mutex<Connection>>,
        mut desk: Desk,
        head: Link,
        shared: Arc<Shared>,
        options: Options,
        metrics: Arc<Metrics>,
        reserve: Option<Reserve>,
        lock: Option<File>,
    ) -> Result<Self, LedgerError> {
        let segments = Segments::load(&db.lock().unwrap_or_else(PoisonError::into_inner), head)?;
        publish(&mut desk, &shared);
        let runtime = Some(Builder::new_current_thread().enable_time().build()?);
        let (retry, waiting, batch) = (None, Vec::new(), Batch::default());
        let _lock = lock;
        Ok(Self {
            db,
            head,
            shared,
            options,
            metrics,
            segments,
            desk,
            batch,
            reserve,
            reserve_freed: None,
            retry,
            waiting,
            runtime,
            _lock,
        })
    }

    /// Until it is closed, or nobody can ask any more.
    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        let Some(runtime) = self.runtime.take() else { return };
        let closer = runtime.block_on(async {
            loop {
                match self.turn(&mut inbox).await {
                    Turn::Closed(reply) => break reply,
                    Turn::Done => self.commit(),
                }
                self.keep_house();
            }
        });
        self.commit();
        let truncate = "PRAGMA wal_checkpoint(TRUNCATE)";
        let db = Arc::clone(&self.db);
        let closed = db
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .query_row(truncate, [], |_| Ok(()))
            .map_err(LedgerError::from);
        let unwritten = self.unwritten();
        // The lock goes before the answer: who hears it may open the directory at once.
        drop(self);
        drop(inbox);
        if let Some(reply) = closer {
            let _ = reply.send(unwritten.map_or(closed, |why| Err(LedgerError::Unwritten(why))));
        }
    }

    /// Takes a batch of messages: all that is queued, and what comes while it is worth waiting. What
    /// can wait does not wake the writer; what cannot rings its bell.
    async fn turn(&mut self, inbox: &mut mpsc::Receiver<Message>) -> Turn {
        let Ok(first) = timeout(self.patience(), inbox.recv()).await else { return Turn::Done };
        let begun = Instant::now();
        let mut deadline = begun + self.options.linger;
        let mut next = first.ok_or(TryRecvError::Disconnected);
        let mut taken = 0;
        while taken < GROUP {
            match next {
                Ok(Message::Close(reply)) => return Turn::Closed(Some(reply)),
                Ok(message) => {
                    if message.is_urgent() {
                        deadline = deadline.min(begun + URGENT);
                    }
                    self.take(message);
                    taken += 1;
                }
                Err(TryRecvError::Disconnected) => return Turn::Closed(None),
                Err(TryRecvError::Empty) if Instant::now() >= deadline => break,
                Err(TryRecvError::Empty) => {
                    let _ = timeout_at(deadline, self.shared.bell.notified()).await;
                }
            }
            next = inbox.try_recv();
        }
        // One over the group's size was received: it belongs to this commit.
        match next {
            Ok(Message::Close(reply)) => return Turn::Closed(Some(reply)),
            Ok(message) => self.take(message),
            Err(_) => {}
        }
        Turn::Done
    }

    fn take(&mut self, message: Message) {
        let (desk, batch) = (&mut self.desk, &mut self.batch);
        match message {
            Message::Record(prepared, reply) => {
                let receipt = desk.record(*prepared, batch);
                self.waiting.push(Pending::Recorded(reply, receipt));
            }
            Message::Append(events, reply) if self.retry.is_some() => {
                let _ = reply.send(self.refuse(events));
            }
            Message::Append(events, reply) => {
                events.into_iter().for_each(|event| desk.happen(event, batch));
                self.waiting.push(Pending::Done(reply));
            }
            Message::Remember(what, reply) if self.retry.is_some() => {
                let _ = reply.send(self.refuse(vec![what.0]));
            }
            Message::Remember(what, reply) => {
                let (event, key, memory) = *what;
                desk.remember(event, key, memory, batch);
                self.waiting.push(Pending::Done(reply));
            }
            Message::Stale(now, reply) => {
                let moved = desk.check_stale(now, batch);
                self.waiting.push(Pending::Moved(reply, moved));
            }
            Message::Close(reply) => self.waiting.push(Pending::Done(reply)),
            #[cfg(test)]
            Message::Sql(sql, reply) => {
                let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = reply.send(db.execute_batch(&sql).map_err(LedgerError::from));
            }
        }
    }

    /// While the store cannot be written, receivers' answers are kept and everything else that
    /// people do is refused, so that nobody believes it done.
    fn refuse(&self, events: Vec<Event>) -> Result<(), LedgerError> {
        for event in events {
            let Event::AlertsAcknowledged { receiver, acks } = event else {
                return Err(LedgerError::Unwritten(self.unwritten().unwrap_or_default()));
            };
            self.shared.overlay().answer(&receiver, acks);
        }
        Ok(())
    }

    /// Writes the batch, tells the waiting and the readers.
    fn commit(&mut self) {
        let failure = match self.batch.is_empty() {
            true => None,
            false => self.try_commit(),
        };
        publish(&mut self.desk, &self.shared);
        for pending in std::mem::take(&mut self.waiting) {
            pending.answer(failure.as_deref());
        }
    }

    /// Writes the batch, or says why it could not be.
    fn try_commit(&mut self) -> Option<String> {
        if self.retry.is_some_and(|retry| Instant::now() < retry) {
            return Some(self.failed(None));
        }
        let begun = Instant::now();
        let mut written = self.write();
        if written.is_err() && self.reserve.as_mut().is_some_and(Reserve::free) {
            tracing::error!("the ledger cannot be written: the reserve is freed");
            self.reserve_freed = Some(Instant::now());
            written = self.write();
        }
        match written {
            Ok(size) => {
                self.metrics.ledger_seconds.observe(begun.elapsed().as_secs_f64());
                self.succeeded(size);
                None
            }
            Err(error) => Some(self.failed(Some(&error))),
        }
    }

    /// One transaction: events, projections, contents, and the link of the chain.
    fn write(&mut self) -> Result<usize, LedgerError> {
        let db = self.db.lock().unwrap_or_else(PoisonError::into_inner);
        if !db.is_autocommit() {
            db.execute_batch("ROLLBACK")?;
        }
        let redacts = self.batch.events.iter().any(|e| matches!(e, Event::Redacted { .. }));
        if redacts {
            db.pragma_update(None, "secure_delete", true)?;
        }
        let transaction = db.unchecked_transaction()?;
        self.batch.events.iter().try_for_each(|event| apply(&transaction, event))?;
        beside(&transaction, &self.batch)?;
        let (mut head, mut size) = (self.head, 0);
        if !self.batch.events.is_empty() {
            let at = millis(self.batch.at);
            (head, size) = chain::append(&transaction, self.head, at, &self.batch.events)?;
        }
        if redacts {
            erase(&transaction)?;
        }
        transaction.commit()?;
        self.head = head;
        if redacts {
            db.pragma_update(None, "secure_delete", false)?;
            // The log still holds the pages as they were.
            let _ = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
        Ok(size)
    }

    fn succeeded(&mut self, size: usize) {
        self.metrics.ledger_commits.inc();
        self.metrics.ledger_events.inc_by(self.batch.events.len() as u64);
        self.metrics.ledger_unrecorded.set(0);
        let batch = std::mem::take(&mut self.batch);
        self.segments.grew(size, batch.samples);
        let alerts = batch
            .events
            .iter()
            .any(|event| matches!(event, Event::FindingChanged { stepped: true, .. }));
        if self.retry.take().is_some() {
            tracing::info!("the ledger can be written again");
            let answers = self.shared.overlay().recovered(self.shared.now());
            for (receiver, ack) in answers {
                let event = Event::AlertsAcknowledged { receiver, acks: vec![ack] };
                self.desk.happen(event, &mut self.batch);
            }
        }
        if alerts {
            self.shared.changes.send_modify(|count| *count += 1);
        }
        // Taken back at once, it would be what fills the disk.
        if let Some(reserve) = &mut self.reserve
            && self.reserve_freed.is_none_or(|freed| freed.elapsed() > RESERVE_AGAIN)
        {
            self.reserve_freed = reserve.hold().is_err().then(Instant::now);
        }
    }

    /// Keeps the batch, within bounds, to be tried again.
    fn failed(&mut self, error: Option<&LedgerError>) -> String {
        if let Some(error) = error {
            if self.retry.is_none() {
                tracing::error!(%error, "the ledger cannot be written: findings wait in memory");
            }
            self.metrics.ledger_failures.inc();
            self.retry = Some(Instant::now() + RETRY);
        }
        if self.batch.samples > BACKLOG || self.batch.events.len() > BACKLOG {
            let lost = self.desk.shed(&mut self.batch);
            self.shared.overlay().lost_samples += lost;
        }
        let mut overlay = self.shared.overlay();
        let before = overlay.failure().map(|(why, _)| why.to_owned());
        let why = error.map_or_else(|| before.unwrap_or_default(), ToString::to_string);
        let steps = self.batch.stepped();
        self.metrics.ledger_unrecorded.set(i64::try_from(steps.len()).unwrap_or(i64::MAX));
        let news = overlay.failed(&why, self.shared.now(), steps);
        drop(overlay);
        if news {
            self.shared.changes.send_modify(|count| *count += 1);
        }
        why
    }

    fn unwritten(&self) -> Option<String> {
        self.shared.overlay().failure().map(|(why, _)| why.to_owned())
    }

    /// How long to wait for a message before something else wants doing.
    fn patience(&self) -> Duration {
        match (&self.retry, self.batch.is_empty()) {
            (Some(retry), _) => retry.saturating_duration_since(Instant::now()).max(URGENT),
            (None, false) => URGENT,
            (None, true) if self.segments.has_work() => URGENT,
            (None, true) => Duration::from_secs(60),
        }
    }

    fn keep_house(&mut self) {
        if self.retry.is_some() {
            return;
        }
        if let Err(error) = self.tend_segments() {
            tracing::error!(%error, "the ledger's segments could not be tended");
        }
    }
}

impl Pending {
    fn answer(self, failure: Option<&str>) {
        let unwritten = |why: &str| LedgerError::Unwritten(why.to_owned());
        // Who asked may have gone; that is its own affair.
        match self {
            Self::Done(reply) => drop(reply.send(failure.map_or(Ok(()), |w| Err(unwritten(w))))),
            Self::Moved(reply, moved) => {
                drop(reply.send(failure.map_or(Ok(moved), |why| Err(unwritten(why)))));
            }
            Self::Recorded(reply, receipt) => {
                drop(reply.send(failure.map_or(Ok(receipt), |why| Err(unwritten(why)))));
            }
        }
    }
}

enum Turn {
    Closed(Option<Reply<()>>),
    Done,
}

/// What the chain does not cover: contents by digest, the latest whole measurements, memory.
fn beside(db: &Connection, batch: &Batch) -> Result<(), LedgerError> {
    let sql = "INSERT OR IGNORE INTO blobs (content, body)
               SELECT id, ?2 FROM contents WHERE digest = ?1 AND redacted = 0
               AND NOT EXISTS (SELECT 1 FROM blobs WHERE content = id)";
    for (digest, text) in &batch.contents {
        let packed = bytes::deflate(text.as_bytes())?;
        db.prepare_cached(sql)?.execute(params![&digest[..], packed])?;
    }
    let sql = "INSERT OR REPLACE INTO volatile (point, sample, body) VALUES (?1, ?2, ?3)";
    for (point, sample, text) in &batch.volatile {
        let packed = bytes::deflate(text.as_bytes())?;
        db.prepare_cached(sql)?.execute(params![point, sample, packed])?;
    }
    let sql = "INSERT OR REPLACE INTO memory (key, version, body) VALUES (?1, ?2, ?3)";
    for (key, memory) in &batch.memory {
        db.prepare_cached(sql)?.execute(params![signed(*key), memory.version, memory.bytes])?;
    }
    Ok(())
}

/// Erases what redacted contents held.
fn erase(db: &Connection) -> Result<(), LedgerError> {
    let redacted = "SELECT id FROM contents WHERE redacted = 1";
    db.execute(&format!("DELETE FROM blobs WHERE content IN ({redacted})"), [])?;
    let sql = format!(
        "DELETE FROM volatile WHERE sample IN
         (SELECT s.id FROM volatile v JOIN samples s ON s.id = v.sample
          WHERE s.content IN ({redacted}))"
    );
    db.execute(&sql, [])?;
    Ok(())
}

/// Tells readers what the desk knows.
fn publish(desk: &mut Desk, shared: &Shared) {
    let news = std::mem::take(&mut desk.news);
    shared.latest.update(news.latest);
    shared.latest.remove(news.gone);
    if !news.states.is_empty() {
        shared.states.write().unwrap_or_else(PoisonError::into_inner).extend(news.states);
    }
}

/// The most messages of one commit.
pub(super) const GROUP: usize = 1000;

/// How long a commit waits for company when something in it is urgent.
const URGENT: Duration = Duration::from_millis(5);

/// How long the reserve stays free.
const RESERVE_AGAIN: Duration = Duration::from_secs(60);

/// How often a store that cannot be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Samples, or events, that wait in memory while the store cannot be written.
const BACKLOG: usize = 20_000;
