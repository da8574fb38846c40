//! Events: each logs and counts in one place, so that the log and the metrics cannot disagree.
//! Like the vocabulary, every room may import it; it imports only the vocabulary.

mod metrics;

pub use metrics::{MetricError, Metrics};
