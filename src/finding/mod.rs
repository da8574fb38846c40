//! The life of a finding, pure: verdicts in, transitions out.

mod state;

pub use state::{Finding, FindingKey, FindingState, Transition};
