//! Rule packs, ranges and their evaluation. A rule knows nothing of sockets: measurements go in,
//! judgements come out. The same engine serves `secchi check` and the daemon.

mod error;
#[cfg(test)]
mod examples;
mod judge;
mod literal;
mod node;
mod pack;
mod prometheus;
mod range;
mod reference;
mod route;
mod rule;
mod selection;
mod set;
#[cfg(test)]
mod tests;

pub use error::RuleError;
pub use prometheus::prometheus_rules;
pub use range::Range;
pub use reference::{measurements_page, rules_page};
pub use rule::{PackFacts, ProfileUse, Rule, stale_rule};
pub use selection::{Selection, Summary, sample_verdict};
pub use set::{RuleSet, SHIPPED};
