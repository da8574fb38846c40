//! When to sample. Everything here is a pure function of (the point's own plan, the point's key, the
//! time, the seed): nothing is stored, so a restart, a reload or another target re-phases nothing.
//!
//! - [`PlanSpec`] is what the config writes, [`Plan`] what it compiles to: *point, time → next due*.
//! - [`Fault`] is how a fault shows; `Plan::detection_time` says how soon a plan sees it.
//! - [`Queue`] holds the next due time of every point.
//! - [`Buckets`] hold the politeness budget, [`Outlays`] what samples may use up, [`Window`] the maintenance windows.
//! - [`stats`] says what a plan proves; [`Clock`] is the only way to the time of day.

mod bounds;
mod buckets;
mod budget;
mod clock;
mod compile;
mod cron;
mod crontab;
mod detection;
mod outlay;
mod percent;
mod plan;
mod queue;
mod rate;
mod seed;
mod spec;
pub mod stats;
mod stream;
mod window;
#[cfg(test)]
mod year;

pub use bounds::UpperBounds;
pub use buckets::{Buckets, Budget, network};
pub use budget::{BudgetSpec, PerAddress};
pub use clock::{Clock, ManualClock, Step, StepWatch, SystemClock};
pub use crontab::CronError;
pub use detection::{Fault, Guarantee};
pub use outlay::{ByteRate, CpuRate, OutlayError, OutlaySpec, Outlays, Spent};
pub use percent::{Percent, PercentError};
pub use plan::{Plan, Slot};
pub use queue::{Due, Queue};
pub use rate::{Rate, RateError};
pub use seed::{Seed, SeedError};
pub use spec::{DetectSpec, Importance, PlanError, PlanSpec};
pub use window::{Effect, Matcher, Window, WindowError, WindowSpec};
