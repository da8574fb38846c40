//! Asks the ports: in random order, many at once, each for a bounded time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep};

use super::ask::Ask;
use super::believe::{believe, canaries_after, canaries_beside};
use super::glimpse::{Glimpser, server_name};
use super::loss::{Loss, Timing};
use super::port::Port;
use super::state::{State, Voice};
use super::talk;
use crate::probe::Job;
use crate::probe::dial::{
    Begun, CONNECT_TIMEOUT, Connection, Dialer, Knock, Permit, Purpose, Waiting,
};
use crate::sample::{Reason, Unknown};
use crate::target::Transport;

/// Contacts in flight, whatever rate, timeout and files allow.
const MOST_IN_FLIGHT: usize = 16_384;

/// From so many questions on, every core asks its part.
const SPLIT: usize = 4_096;

/// After so many connects, others have their turn.
const TURN: usize = 64;

/// From so many handshakes on, it may be that everything answers; see [`Scanner::is_crowded`].
const CROWD: u32 = 200;

/// What a scan of one address came to.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) states: BTreeMap<Port, State>,
    pub(super) answers_everywhere: bool,
    /// Ports that were open and then not, within this run.
    pub(super) fickle: BTreeSet<Port>,
    /// Unexpected ports that three connects found open.
    pub(super) confirmed: BTreeSet<Port>,
}

/// One run's way of asking.
#[derive(Debug)]
pub(super) struct Scanner {
    pub(super) dialer: Dialer,
    pub(super) host: Option<String>,
    pub(super) server_name: Option<String>,
    pub(super) timeout: Duration,
    pub(super) wait: Option<Duration>,
    pub(super) rate: Option<f64>,
    pub(super) glimpser: Option<Glimpser>,
    in_flight: usize,
    asked: AtomicU32,
    opened: AtomicU32,
}

/// One port to ask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// Which of the addresses.
    pub(super) at: usize,
    pub(super) address: IpAddr,
    pub(super) number: u16,
    pub(super) transport: Transport,
    pub(super) purpose: Purpose,
    /// Whether the pins demand it.
    pub(super) is_expected: bool,
    /// Whether an open port is unexpected, and therefore to be seen open three times.
    pub(super) is_unexpected: bool,
    /// Whether it only serves to know a host that answers everywhere.
    pub(super) is_canary: bool,
}

impl Question {
    pub(super) fn port(&self) -> Port {
        Port { transport: self.transport, number: self.number }
    }

    pub(super) fn to(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.number)
    }
}

/// One port's answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) question: Question,
    pub(super) state: State,
    pub(super) timing: Timing,
    pub(super) is_fickle: bool,
    /// Whether every connect that there may be found it open.
    pub(super) is_confirmed: bool,
}

impl Answer {
    pub(super) fn new(question: Question, state: State) -> Self {
        Self { question, state, timing: Timing::Prompt, is_fickle: false, is_confirmed: false }
    }
}

impl Scanner {
    pub(super) async fn of(job: &Job) -> Self {
        let settings = &job.point.target.settings;
        let timeout = settings.timeout.unwrap_or(CONNECT_TIMEOUT);
        Self {
            dialer: job.dialer.clone().with_read_limit(talk::MOST_READ),
            host: job.point.target.endpoint.host.name().map(str::to_owned),
            server_name: server_name(&job.point.target),
            timeout,
            wait: settings.timeout,
            rate: settings.rate,
            glimpser: Glimpser::of(job).await,
            in_flight: in_flight(settings.rate, timeout),
            asked: AtomicU32::new(0),
            opened: AtomicU32::new(0),
        }
    }

    /// Asks everything, then tells true ports from hosts that answer everywhere.
    pub(super) async fn scan(self: &Arc<Self>, asks: &[Ask], seed: u64) -> Vec<Scan> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut questions = Vec::with_capacity(asks.iter().map(|ask| ask.ports.len()).sum());
        for (at, ask) in asks.iter().enumerate() {
            questions.extend(ask.questions(at));
            questions.extend(canaries_beside(at, ask, &mut random));
        }
        let (udp, mut tcp): (Vec<_>, Vec<_>) =
            questions.into_iter().partition(|question| question.transport == Transport::Udp);
        random.shuffle(&mut tcp);
        let (mut answers, silent) = tokio::join!(self.ask_tcp(tcp), self.ask_udp(asks.len(), udp));
        answers.extend(silent);
        let late = asks.iter().enumerate().flat_map(|(at, ask)| {
            canaries_after(at, ask, answers.iter().filter(|a| a.question.at == at), &mut random)
        });
        let late: Vec<Question> = late.collect();
        answers.extend(self.ask(late).await);
        gather(asks, answers)
    }

    /// Asks TCP ports, and asks again, slower, those that may have been silent because packets were
    /// lost on the way.
    async fn ask_tcp(self: &Arc<Self>, questions: Vec<Question>) -> Vec<Answer> {
        let (start, count) = (Instant::now(), questions.len());
        let mut answers = self.ask(questions).await;
        let mut loss = Loss::new(count, start.elapsed().saturating_sub(self.timeout));
        while let Some(pace) = loss.next_pace(&answers) {
            let mut again = Vec::new();
            answers.retain(|answer| {
                let is_doubtful = answer.state == State::Dropped;
                if is_doubtful {
                    again.push(answer.question);
                }
                !is_doubtful
            });
            answers.extend(Arc::clone(self).part(again, self.in_flight, pace).await);
        }
        answers
    }

    /// Asks at the budget's pace; on every core where there is much to ask.
    async fn ask(self: &Arc<Self>, mut questions: Vec<Question>) -> Vec<Answer> {
        let cores = available_parallelism().map_or(1, usize::from).min(4);
        if questions.len() < SPLIT || cores == 1 {
            return Arc::clone(self).part(questions, self.in_flight, Duration::ZERO).await;
        }
        let mut parts = JoinSet::new();
        let mut answers = Vec::with_capacity(questions.len());
        let share = questions.len().div_ceil(cores);
        while !questions.is_empty() {
            let part = questions.split_off(questions.len().saturating_sub(share));
            let in_flight = (self.in_flight / cores).max(1);
            parts.spawn(Arc::clone(self).part(part, in_flight, Duration::ZERO));
        }
        while let Some(part) = parts.join_next().await {
            match part {
                Ok(part) => answers.extend(part),
                // The sampler makes a panic of a part one of the run; nothing else ends a part.
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => break,
                },
            }
        }
        answers
    }

    /// One after the other is admitted, `pause` apart, so that thousands do not wait for one token.
    /// What the kernel answers at once never becomes a future; the rest are under way together.
    async fn part(
        self: Arc<Self>,
        questions: Vec<Question>,
        in_flight: usize,
        pause: Duration,
    ) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(questions.len());
        let mut waiting = FuturesUnordered::new();
        for (nth, question) in questions.into_iter().enumerate() {
            while waiting.len() >= in_flight {
                answers.extend(waiting.next().await);
            }
            let permit = {
                let mut admission = pin!(self.admit_after(pause, &question));
                loop {
                    tokio::select! {
                        biased;
                        permit = &mut admission => break permit,
                        Some(answer) = waiting.next() => answers.push(answer),
                    }
                }
            };
            match self.begin(question, permit) {
                Ok(answer) => answers.push(answer),
                Err(begun) => waiting.push(Arc::clone(&self).look(question, begun)),
            }
            if nth % TURN == TURN - 1 {
                yield_now().await;
                // What has been answered meanwhile gives its file back.
                while let Some(Some(answer)) = waiting.next().now_or_never() {
                    answers.push(answer);
                }
            }
        }
        while let Some(answer) = waiting.next().await {
            answers.push(answer);
        }
        answers
    }

    async fn admit_after(&self, pause: Duration, question: &Question) -> Result<Permit, State> {
        if !pause.is_zero() {
            sleep(pause).await;
        }
        self.admit(question).await
    }

    /// The answer, where the kernel has it at once.
    fn begin(&self, question: Question, permit: Result<Permit, State>) -> Result<Answer, Waiting> {
        let permit = match permit {
            Ok(permit) => permit,
            Err(state) => return Ok(Answer::new(question, state)),
        };
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.dialer.begin(permit, question.to()) {
            Begun::Waiting(waiting) => Err(waiting),
            Begun::Settled(knock) => Ok(Answer::new(question, self.state_of(&knock))),
        }
    }

    async fn admit(&self, question: &Question) -> Result<Permit, State> {
        if self.is_over() {
            return Err(over());
        }
        let admitted =
            self.dialer.admit(self.host.as_deref(), question.to(), question.purpose).await;
        admitted.map_err(|error| State::of(&error))
    }

    /// One look at one port. Small where nobody answers, for thousands of these are held at once.
    async fn look(self: Arc<Self>, question: Question, waiting: Waiting) -> Answer {
        let begun = Instant::now();
        let knock = self.dialer.finish(waiting, self.timeout).await;
        let timing = Timing::of(begun.elapsed());
        let mut answer = match knock {
            Knock::Open(connection) => self.welcome(question, connection).await,
            knock => Answer::new(question, self.state_of(&knock)),
        };
        answer.timing = timing;
        answer
    }

    fn state_of(&self, knock: &Knock) -> State {
        match knock {
            Knock::Open(_) => State::Open(Box::new(Voice::silent())),
            // A wait that the end of the sample cut short says nothing of the port.
            Knock::Silent if self.is_over() => over(),
            Knock::Silent => State::Dropped,
            Knock::Refused(error) => State::of_answer(error),
            Knock::Unasked(error) => State::of(error),
        }
    }

    async fn welcome(&self, question: Question, connection: Connection) -> Answer {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Box::pin(talk::talk(self, question, connection)).await
    }

    /// Whether so many ports shake hands that asking each who it is would only be rude.
    pub(super) fn is_crowded(&self) -> bool {
        let opened = self.opened.load(Ordering::Relaxed);
        opened > CROWD && 2 * opened > self.asked.load(Ordering::Relaxed)
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.dialer.deadline()
    }
}

/// An address' scan to be, the states of its ports, and those of its canaries.
type Gathered = (Scan, Vec<(Port, State)>, Vec<State>);

/// By address: what is believed of the answers.
fn gather(asks: &[Ask], answers: Vec<Answer>) -> Vec<Scan> {
    let mut scans: Vec<Gathered> = asks.iter().map(|_| Gathered::default()).collect();
    for answer in answers {
        let (scan, states, canaries) = &mut scans[answer.question.at];
        let port = answer.question.port();
        if answer.question.is_canary {
            canaries.push(answer.state);
            continue;
        }
        states.push((port, answer.state));
        if answer.is_fickle {
            scan.fickle.insert(port);
        }
        if answer.is_confirmed {
            scan.confirmed.insert(port);
        }
    }
    let gathered = asks.iter().zip(scans).map(|(ask, (scan, states, canaries))| {
        let mut states: BTreeMap<Port, State> = states.into_iter().collect();
        let refused = ask.refused.iter();
        states.extend(refused.map(|(port, why)| (*port, State::NotMeasured(why.clone()))));
        let answers_everywhere = believe(&mut states, &canaries);
        Scan { states, answers_everywhere, ..scan }
    });
    gathered.collect()
}

pub(super) fn over() -> State {
    State::NotMeasured(Unknown::new(Reason::Timeout, "the sample's time was over"))
}

/// Rate × timeout where a rate was chosen (else the budget alone paces); the files that the process
/// may open bound it further, in the dialer.
fn in_flight(rate: Option<f64>, timeout: Duration) -> usize {
    let by_rate = rate.map(|rate| (rate * timeout.as_secs_f64()).ceil() as usize);
    by_rate.unwrap_or(MOST_IN_FLIGHT).clamp(1, MOST_IN_FLIGHT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connects_in_flight_are_bounded_by_rate_and_timeout() {
        let timeout = Duration::from_millis(3_500);
        assert_eq!(in_flight(Some(20.0), timeout), 70);
        assert_eq!(in_flight(None, timeout), MOST_IN_FLIGHT);
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!((1..=MOST_IN_FLIGHT).contains(&in_flight(Some(rate), timeout)));
        }
    }
}
