//! Runs due samples: takes them by the plan, within the budgets, and hands each judged sample on.
//!
//! The one loop that owns the roster of sampling points is [`Sampler::run`]; [`Taker`] takes a
//! single sample and is what `secchi check` uses too.

mod pace;
mod roster;
mod run;
mod take;

pub use pace::Pacing;
pub use roster::{Entry, Last, Repeat, Roster};
pub use run::{DRAIN, Order, Sampler, Sink, Take};
pub use take::{Judged, Taker};
