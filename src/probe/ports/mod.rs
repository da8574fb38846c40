//! The ports probe.

use super::{Job, Run};

/// Takes one sample.
pub async fn run(job: Job) -> Run {
    super::unresolved(&job.point)
}
