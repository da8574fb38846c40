//! The ledger as other rooms hold it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::context::Services;
use super::desk::{Content, Desk, Prepared, is_of_plan, trunc};
use super::event::Event;
use super::latest::Latest;
use super::options::{Health, Memory, Options, PointState, Receipt, Record};
use super::outbox::Ack;
use super::overlay::Overlay;
use super::read::Readers;
use super::reserve::Reserve;
use super::writer::{GROUP, Message, Writer};
use super::{LedgerError, bytes, chain, evidence, gauges, schema};
use crate::target::PointKey;
use crate::telemetry::Metrics;

/// The ledger. One a data directory; shared by reference.
#[derive(Debug)]
pub struct Ledger {
    inbox: mpsc::Sender<Message>,
    pub(super) shared: Arc<Shared>,
}

/// What the writer and the readers both hold.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) readers: Readers,
    pub(super) latest: Arc<Latest>,
    pub(super) states: RwLock<HashMap<PointKey, PointState>>,
    pub(super) overlay: Mutex<Overlay>,
    pub(super) changes: watch::Sender<u64>,
    /// Wakes the writer before its commit is due.
    pub(super) bell: Notify,
    pub(super) external_url: Option<String>,
    /// How many targets each service has, and when they were counted.
    pub(super) services: Mutex<Option<(Instant, Arc<Services>)>>,
    opened: (DateTime<Utc>, Instant),
}

impl Shared {
    /// The overlay, locked.
    pub(super) fn overlay(&self) -> MutexGuard<'_, Overlay> {
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time: that of the start, and what has passed since.
    pub(super) fn now(&self) -> DateTime<Utc> {
        let passed = TimeDelta::from_std(self.opened.1.elapsed()).unwrap_or(TimeDelta::zero());
        self.opened.0 + passed
    }
}

impl Ledger {
    /// Opens the ledger, or makes it. Refuses a directory that another daemon uses, that cannot be
    /// written, or that a newer Secchi wrote.
    pub fn open(
        options: Options,
        metrics: Arc<Metrics>,
        now: DateTime<Utc>,
    ) -> Result<Self, LedgerError> {
        let dir = options.dir.clone();
        let lock = dir.as_deref().map(lock).transpose()?;
        let reserve = dir.as_deref().map(Reserve::make).transpose()?;
        let db = schema::open_writer(dir.as_deref())?;
        let head = chain::head(&db)?;
        let desk = Desk::load(&db, Arc::clone(&metrics))?;
        metrics.ledger_persistent.set(i64::from(dir.is_some()));
        let db = Arc::new(Mutex::new(db));
        let shared = Arc::new(Shared {
            readers: match dir {
                Some(dir) => Readers::Files { dir, idle: Mutex::default() },
                None => Readers::Shared(Arc::clone(&db)),
            },
            latest: Arc::default(),
            states: RwLock::default(),
            overlay: Mutex::default(),
            changes: watch::Sender::new(0),
            bell: Notify::new(),
            external_url: options.external_url.clone(),
            services: Mutex::default(),
            opened: (trunc(now), Instant::now()),
        });
        let writer =
            Writer::new(db, desk, head, Arc::clone(&shared), options, metrics, reserve, lock)?;
        let (inbox, outlet) = mpsc::channel(QUEUE);
        thread::Builder::new().name("ledger".to_owned()).spawn(move || writer.run(outlet))?;
        Ok(Self { inbox, shared })
    }

    /// Records a judged sample. Resolves when it is on disk; an error means that it is not, though
    /// its findings are kept in memory, delivered, and written when the store can be again.
    pub async fn record(&self, record: Record) -> Result<Receipt, LedgerError> {
        let prepared = Box::new(prepare(record));
        self.ask(|reply| Message::Record(prepared, reply)).await
    }

    /// Records what happened elsewhere. Events that only the ledger may write are refused.
    pub async fn append(&self, events: Vec<Event>) -> Result<(), LedgerError> {
        if events.iter().any(Event::is_internal) {
            return Err(LedgerError::Event("only the ledger writes such an event".to_owned()));
        }
        self.ask(|reply| Message::Append(events, reply)).await
    }

    /// Records an event and gives a point the memory that follows from it, as one commit. A run
    /// that is under way keeps what it saw, but no longer what it wanted remembered.
    pub async fn append_with_memory(
        &self,
        event: Event,
        point: PointKey,
        memory: Memory,
    ) -> Result<(), LedgerError> {
        if event.is_internal() {
            return Err(LedgerError::Event("only the ledger writes such an event".to_owned()));
        }
        self.ask(|reply| Message::Remember(Box::new((event, point, memory)), reply)).await
    }

    /// Opens and ends the findings of targets whose last known fact is too old. To be called now
    /// and then; returns how many moved.
    pub async fn check_stale(&self, now: DateTime<Utc>) -> Result<usize, LedgerError> {
        self.ask(|reply| Message::Stale(now, reply)).await
    }

    pub(super) async fn acked(&self, receiver: &str, acks: Vec<Ack>) -> Result<(), LedgerError> {
        let (own, acks): (Vec<Ack>, Vec<Ack>) = acks.into_iter().partition(Overlay::is_own);
        self.shared.overlay().answer(receiver, own);
        if acks.is_empty() {
            return Ok(());
        }
        let event = Event::AlertsAcknowledged { receiver: receiver.to_owned(), acks };
        self.ask(|reply| Message::Append(vec![event], reply)).await
    }

    /// A point's past.
    pub fn point_state(&self, point: PointKey) -> PointState {
        let states = self.shared.states.read().unwrap_or_else(PoisonError::into_inner);
        states.get(&point).copied().unwrap_or_default()
    }

    /// The last slot taken at a point: a slot at or before it never runs again.
    pub fn last_slot(&self, point: PointKey) -> Option<i64> {
        self.point_state(point).last_slot
    }

    /// The latest of every point, kept current.
    pub fn latest(&self) -> Arc<Latest> {
        Arc::clone(&self.shared.latest)
    }

    /// How the store is.
    pub fn health(&self) -> Health {
        let overlay = self.shared.overlay();
        Health {
            failure: overlay.failure().map(|(why, _)| why.to_owned()),
            since: overlay.failure().map(|(_, since)| since),
            unrecorded: overlay.waiting(),
            lost_samples: overlay.lost_samples,
        }
    }

    /// The ledger's own reading of the time.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.shared.now()
    }

    /// Writes what is queued, and lets go of the directory.
    pub async fn close(&self) -> Result<(), LedgerError> {
        self.ask(Message::Close).await
    }

    pub(super) async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<T, LedgerError>>) -> Message,
    ) -> Result<T, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let message = message(reply);
        let is_urgent = message.is_urgent();
        self.inbox.send(message).await.map_err(|_| LedgerError::Closed)?;
        if is_urgent || QUEUE - self.inbox.capacity() >= GROUP {
            self.shared.bell.notify_one();
        }
        answer.await.map_err(|_| LedgerError::Closed)?
    }
}

/// Takes the directory for this process; the lock goes with it.
fn lock(dir: &Path) -> Result<File, LedgerError> {
    let fault = |source: io::Error| LedgerError::Directory { dir: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(fault)?;
    let file =
        File::options().create(true).truncate(false).write(true).open(dir.join("ledger.lock"));
    let file = file.map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(LedgerError::Locked { dir: dir.to_owned() }),
        Err(fs::TryLockError::Error(source)) => Err(fault(source)),
    }
}

/// Works out, on the caller's time, what the writer would spend its own on.
fn prepare(record: Record) -> Prepared {
    let Record {
        sample,
        judgements,
        verdict,
        labels,
        policy,
        memory,
        memory_before,
        plan,
        freshness,
        interval,
        due,
    } = record;
    let content = sample.measurements().map(|measurements| {
        let stable = measurements.stable(sample.probe);
        Content {
            digest: bytes::sha256(&[stable.as_bytes()]),
            stable,
            gauges: gauges::read(sample.probe, measurements),
        }
    });
    let freshness = i64::try_from(freshness.as_millis()).unwrap_or(i64::MAX / 4);
    let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX / 4);
    let sheet = is_of_plan(&sample).then(|| evidence::mark(&sample, &judgements));
    Prepared {
        sample,
        judgements,
        verdict,
        labels,
        policy,
        memory,
        memory_before,
        plan,
        freshness,
        interval,
        due,
        sheet,
        content,
    }
}

/// Messages that may wait for the writer; a sender beyond them waits itself.
const QUEUE: usize = 4096;
