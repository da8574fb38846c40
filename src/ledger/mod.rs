//! The append-only log of everything that happened, and the tables derived from it. The only room
//! that holds state.

mod error;
pub mod latest;
mod outbox;
mod view;

pub use error::LedgerError;
pub use outbox::{Ack, Alert, AlertState, Delivery, Outbox, OutboxRow};
pub use view::{FindingFilter, SampleRow, TargetRow, View};
