//! The life of a finding, pure: verdicts in, transitions out.
//!
//! ```text
//!            missed, forgeable                k of n agree
//! breach ──────────────────────→ suspected ───────────────→ confirmed ──→ resolved
//!   │                                │ no k of n possible       ↑ ↓           ↑
//!   │ shown                          └──→ resolved (silently) excepted ───────┘
//!   └──────────────────────────────────────────────────────────↑
//! ```
//!
//! Every open state may become `withdrawn`. Silence, and a sample that could not measure, move
//! nothing (DESIGN §4.6, §4.7).

mod exception;
mod life;
mod share;
mod spread;
mod stale;
mod state;
mod tally;
#[cfg(test)]
mod tests;

pub use exception::Exception;
pub use life::{Change, Look, Move, Policy, except, step, withdraw};
pub use share::{Share, clean_needed};
pub use spread::{Count, Spread, SpreadScope};
pub use stale::{Freshness, stale_rule, step_stale};
pub use state::{Finding, FindingKey, FindingState, Transition};
pub use tally::Tally;
