//! Runs due samples: takes them by the plan, within the budgets, and hands each judged sample on.
//!
//! The one loop that owns the roster of sampling points is [`Sampler::run`]; [`Taker`] takes a
//! single sample and is what `secchi check` uses too.

mod backlog;
mod doubt;
mod entry;
mod extras;
mod meter;
mod pace;
mod roster;
mod run;
mod spending;
mod take;

pub use entry::{Entry, Glimpse, Last, PageQuery, Rank, Repeat};
pub use pace::Pacing;
pub use roster::Roster;
pub use run::{DRAIN, Order, Page, Remembered, Sampler, Sink, Take};
pub use spending::Spending;
pub use take::{Ask, Beside, Judged, Taker};

#[cfg(test)]
mod tests;
