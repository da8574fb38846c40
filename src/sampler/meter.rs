//! The processor time of a future, poll by poll.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A future that says at its end how much processor time its own polls took. What it spawns elsewhere
/// is not in it.
pub(super) struct Metered<F> {
    future: Pin<Box<F>>,
    spent: Duration,
}

impl<F: Future> Metered<F> {
    pub(super) fn new(future: F) -> Self {
        Self { future: Box::pin(future), spent: Duration::ZERO }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = (F::Output, Duration);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let before = processor_time();
        let poll = self.future.as_mut().poll(cx);
        self.spent += processor_time().saturating_sub(before);
        poll.map(|output| (output, self.spent))
    }
}

/// What this thread has used; a poll begins and ends on one thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_counted_and_waiting_is_not() {
        let waits = Metered::new(tokio::time::sleep(Duration::from_millis(200)));
        let ((), waited) = waits.await;
        assert!(waited < Duration::from_millis(100), "{waited:?}");
        let works = Metered::new(async {
            let mut sum = 0_u64;
            while processor_time() < waited + Duration::from_millis(20) {
                sum = std::hint::black_box(sum.wrapping_add(1));
            }
            let begun = processor_time();
            while processor_time() < begun + Duration::from_millis(20) {
                sum = std::hint::black_box(sum.wrapping_add(1));
            }
        });
        let ((), worked) = works.await;
        assert!(worked >= Duration::from_millis(20), "{worked:?}");
    }
}
