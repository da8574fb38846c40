//! Silence that is the network's and not the port's. A SYN that was lost is sent again after a
//! second: where answers come so late, others never came, and those ports are asked again, slower.

use std::time::Duration;

use super::scan::Answer;
use super::state::State;

/// How soon a connect was answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Timing {
    /// To the first SYN.
    Prompt,
    /// To a later one, by the clock.
    Late,
}

impl Timing {
    pub(super) fn of(passed: Duration) -> Self {
        if passed >= FIRST_RETRANSMISSION { Self::Late } else { Self::Prompt }
    }
}

/// Which pace to ask again at, as long as that is any use.
#[derive(Debug)]
pub(super) struct Loss {
    /// Contacts a second.
    pace: f64,
    rounds: u32,
    dropped: usize,
}

impl Loss {
    /// So many were asked in this time, beside the last one's wait.
    pub(super) fn new(asked: usize, took: Duration) -> Self {
        let pace = asked as f64 / took.as_secs_f64().max(0.1);
        Self { pace: pace.min(FASTEST_AGAIN), rounds: 0, dropped: usize::MAX }
    }

    /// The pause between two contacts of the next round; `None` where silence can be believed.
    pub(super) fn next_pace(&mut self, answers: &[Answer]) -> Option<Duration> {
        let dropped = count(answers, |answer| answer.state == State::Dropped);
        let is_better = dropped < self.dropped;
        self.dropped = dropped;
        self.rounds += 1;
        if dropped == 0 || self.rounds > ROUNDS || !is_better || !is_lossy(answers) {
            return None;
        }
        self.pace = (self.pace / 2.0).max(SLOWEST);
        Some(Duration::from_secs_f64(1.0 / self.pace))
    }
}

/// Late answers of hosts that answer promptly elsewhere; or a port that must be open, and was not
/// heard of while others were.
fn is_lossy(answers: &[Answer]) -> bool {
    let told = |answer: &&Answer| answer.state.is_sign_of_life();
    let total = answers.iter().filter(told).count();
    let late = answers.iter().filter(told).filter(|a| a.timing == Timing::Late).count();
    let is_late = late >= 2 && late * SHARE >= total;
    let is_canary_lost =
        total > 0 && answers.iter().any(|a| a.question.is_expected && a.state == State::Dropped);
    is_late || is_canary_lost
}

fn count(answers: &[Answer], wanted: impl Fn(&Answer) -> bool) -> usize {
    answers.iter().filter(|answer| wanted(answer)).count()
}

/// A little less than Linux waits (RFC 6298 §2.1).
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(950);
/// One late answer in so many is loss.
const SHARE: usize = 50;
const ROUNDS: u32 = 4;
const FASTEST_AGAIN: f64 = 300.0;
const SLOWEST: f64 = 10.0;
