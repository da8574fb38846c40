//! The append-only log of everything that happened, and the tables derived from it. The only room
//! that holds state.
//!
//! ```text
//! record ─→ prepare ─→ queue ─→ desk: life::step ─→ events ─┬─→ log, hash chain      one
//! append ───────────────↗        (in memory)                └─→ apply ─→ projections transaction
//! ```
//!
//! [`Ledger::record`] digests a sample on the caller's time; the one writer thread takes up to a
//! thousand messages, turns them into events at its desk, and commits events and projections as
//! one. `apply` derives the projections from the events alone, so [`verify`] replays them into an
//! empty store and compares it with the stored one row by row. Readers have connections of their
//! own.

mod alerts;
mod archive;
mod bytes;
mod chain;
mod context;
mod desk;
mod dump;
mod entry;
mod error;
mod event;
mod evidence;
mod export;
mod gauges;
mod handle;
pub mod latest;
mod options;
mod outbox;
mod overlay;
mod project;
mod read;
mod reserve;
mod schema;
mod segment;
#[cfg(test)]
mod tests;
mod verify;
mod view;
mod writer;

pub use alerts::alert_of;
pub use archive::Archive;
pub use context::{Context, LastDeployment};
pub use entry::{Code, Coded, SampleEntry};
pub use error::LedgerError;
pub use event::Event;
pub use evidence::{EvidenceFilter, EvidenceKey, EvidencePage, EvidenceRow};
pub use export::export;
pub use handle::Ledger;
pub use options::{Health, Memory, Options, PointState, Receipt, Record, SegmentPolicy};
pub use outbox::{Ack, Alert, AlertState, Delivery, Outbox, OutboxRow};
pub use read::ShippedRule;
pub use verify::{Report, verify};
pub use view::{FindingFilter, SampleRow, TargetRow, View};
