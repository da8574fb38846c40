//! How a hello's failure becomes evidence: repeated, between controls that are answered.

use crate::sample::{Reason, Unknown};

use super::super::hello::HelloSpec;
use super::super::line::Line;
use super::super::outcome::{Answer, Outcome};

/// What is to be said of a hello.
#[derive(Clone, Debug)]
pub(super) enum Reception {
    /// It was answered, at least once.
    Answered(Box<Answer>),
    /// An alert, each time.
    Refused(u8),
    /// No answer of any kind, each time, while the control was answered.
    Ignored,
    /// Nothing can be said.
    Unsure(Unknown),
}

/// Sends a hello as often as it takes to say how it is received. `control` is a hello that the peer
/// is thought to answer.
pub(super) async fn receive(line: &Line<'_>, spec: &HelloSpec, control: &HelloSpec) -> Reception {
    let first = line.ask(spec).await;
    let repeats = match &first {
        Outcome::Refused(_) => REPEATS_OF_ALERT,
        Outcome::Timeout => REPEATS_OF_SILENCE,
        _ => REPEATS,
    };
    let mut outcome = first.clone();
    for _ in 0..repeats {
        match &outcome {
            Outcome::Accepted(answer) | Outcome::Downgraded(answer) => {
                return Reception::Answered(answer.clone());
            }
            Outcome::Closed | Outcome::Refused(_) | Outcome::Timeout => {}
            other => return Reception::Unsure(other.unknown()),
        }
        if line.ask(control).await.answer().is_none() {
            return Reception::Unsure(outcome.unknown());
        }
        outcome = line.ask(spec).await;
    }
    match (first, outcome) {
        (_, Outcome::Accepted(answer) | Outcome::Downgraded(answer)) => Reception::Answered(answer),
        (Outcome::Refused(first), Outcome::Refused(last)) if first == last => {
            Reception::Refused(first)
        }
        (Outcome::Closed, Outcome::Closed) | (Outcome::Timeout, Outcome::Timeout) => {
            Reception::Ignored
        }
        _ => Reception::Unsure(Reason::Inconsistent.into()),
    }
}

/// A peer that drops half of all connections at random is taken for one that closes on this hello
/// once in 2^11.
const REPEATS: usize = 5;

/// An alert is an answer; one more tells it from a fault of the moment.
const REPEATS_OF_ALERT: usize = 1;

/// Silence costs its wait each time.
const REPEATS_OF_SILENCE: usize = 2;
