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

#[cfg(test)]
mod tests {
    use super::super::scan::Question;
    use super::*;
    use crate::probe::dial::Purpose;
    use crate::target::Transport;

    /// So many answers of one kind.
    fn answers(count: u16, state: &State, timing: Timing) -> Vec<Answer> {
        let question = |number| Question {
            at: 0,
            address: [192, 0, 2, 1].into(),
            number,
            transport: Transport::Tcp,
            purpose: Purpose::Scan,
            is_expected: false,
            is_unexpected: false,
            is_canary: false,
        };
        let answer = |number| Answer { timing, ..Answer::new(question(number), state.clone()) };
        (1..=count).map(answer).collect()
    }

    fn prompt(count: u16) -> Vec<Answer> {
        answers(count, &State::Closed, Timing::Prompt)
    }

    fn late(count: u16) -> Vec<Answer> {
        answers(count, &State::Closed, Timing::Late)
    }

    fn dropped(count: u16) -> Vec<Answer> {
        answers(count, &State::Dropped, Timing::Prompt)
    }

    fn all<const N: usize>(answers: [Vec<Answer>; N]) -> Vec<Answer> {
        answers.into_iter().flatten().collect()
    }

    /// A loss that was asked a thousand in ten seconds: a hundred a second.
    fn loss() -> Loss {
        Loss::new(1_000, Duration::from_secs(10))
    }

    #[test]
    fn silence_beside_prompt_answers_is_the_ports_own() {
        assert_eq!(loss().next_pace(&all([prompt(100), dropped(900)])), None);
        assert_eq!(loss().next_pace(&prompt(100)), None);
        assert_eq!(loss().next_pace(&dropped(900)), None);
    }

    #[test]
    fn one_late_answer_in_fifty_is_loss_and_a_single_one_is_none() {
        let of =
            |prompts, lates| loss().next_pace(&all([prompt(prompts), late(lates), dropped(10)]));
        assert_eq!(of(0, 1), None);
        assert_eq!(of(98, 2), Some(Duration::from_millis(20)));
        assert_eq!(of(99, 2), None);
        assert_eq!(loss().next_pace(&all([prompt(10), late(10)])), None);
    }

    #[test]
    fn a_port_that_must_be_open_and_is_silent_beside_others_is_loss() {
        let mut pinned = dropped(1);
        pinned[0].question.is_expected = true;
        let alone = loss().next_pace(&pinned);
        assert_eq!(alone, None);
        let beside = loss().next_pace(&all([pinned, prompt(1)]));
        assert_eq!(beside, Some(Duration::from_millis(20)));
    }

    #[test]
    fn it_is_asked_again_at_half_the_pace_four_times_and_only_while_it_helps() {
        let mut loss = loss();
        let mut again = |silent| loss.next_pace(&all([late(10), dropped(silent)]));
        let pauses = [20, 40, 80, 100].map(Duration::from_millis);
        for (silent, pause) in [100, 90, 80, 70].into_iter().zip(pauses) {
            assert_eq!(again(silent), Some(pause), "{silent}");
        }
        assert_eq!(again(60), None);
        let mut useless = Loss::new(1_000, Duration::from_secs(10));
        let lossy = all([late(10), dropped(100)]);
        assert!(useless.next_pace(&lossy).is_some());
        assert_eq!(useless.next_pace(&lossy), None);
    }

    #[test]
    fn a_second_syn_is_known_by_the_clock() {
        assert_eq!(Timing::of(Duration::from_millis(949)), Timing::Prompt);
        assert_eq!(Timing::of(Duration::from_millis(1_020)), Timing::Late);
        // However fast it was, asking again is no flood.
        let mut fast = Loss::new(65_535, Duration::from_millis(1));
        let pace = fast.next_pace(&all([late(10), dropped(1)]));
        assert_eq!(pace, Some(Duration::from_secs_f64(1.0 / 150.0)));
    }
}
