//! Secchi samples production out of band and holds what it sees to target ranges.
//!
//! One sample's way through the house:
//!
//! ```text
//! config → inventory → schedule → probe → sample → rules → ledger → finding → alert
//!                                                           ├─→ web: metrics, API, start page
//!                                                           └─→ report
//! ```
//!
//! Arrows point one way. A probe knows nothing of config files, rules, storage or metrics; a rule
//! knows nothing of sockets; only the ledger holds state.

pub mod alert;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod finding;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
pub mod inventory;
pub mod ledger;
pub mod outgoing;
pub mod probe;
pub mod report;
pub mod rules;
pub mod sample;
pub mod sampler;
pub mod schedule;
pub mod target;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod web;
