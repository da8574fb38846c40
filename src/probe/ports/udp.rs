//! UDP ports. A closed one is told by ICMP, of which Linux sends about one a second: so slowly are
//! they asked, one after the other. Silence says nothing.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::datagrams;
use super::scan::{Answer, Question, Scanner, over};
use super::state::State;

impl Scanner {
    /// Asks the UDP ports of so many addresses, side by side; one port of an address at a time.
    pub(super) async fn ask_udp(&self, addresses: usize, questions: Vec<Question>) -> Vec<Answer> {
        let mut hosts: Vec<Vec<Question>> = vec![Vec::new(); addresses];
        for question in questions {
            hosts[question.at].push(question);
        }
        hosts.retain(|questions| !questions.is_empty());
        let asked = stream::iter(hosts).map(|questions| self.ask_one_host(questions));
        asked.buffer_unordered(HOSTS_AT_ONCE).concat().await
    }

    async fn ask_one_host(&self, questions: Vec<Question>) -> Vec<Answer> {
        let every = self.rate.map_or(APART, |rate| Duration::from_secs_f64(1.0 / rate.max(0.01)));
        let mut answers = Vec::with_capacity(questions.len());
        let mut next = Instant::now();
        for question in questions {
            sleep_until(next.min(self.dialer.deadline())).await;
            next = Instant::now() + every;
            let state = if self.is_over() { over() } else { self.look_udp(&question).await };
            answers.push(Answer::new(question, state));
        }
        answers
    }

    async fn look_udp(&self, question: &Question) -> State {
        let opened = self.dialer.udp(self.host.as_deref(), question.to(), question.purpose).await;
        let (socket, _permit) = match opened {
            Ok(opened) => opened,
            Err(error) => return State::of(&error),
        };
        let port = question.number;
        let asked = datagrams::question(port);
        let give_up = self.dialer.deadline().min(Instant::now() + self.wait.unwrap_or(TIMEOUT));
        let mut said = [0; MOST_HEARD];
        let answer = timeout_at(give_up, async {
            let sent = socket.send(&asked).await?;
            self.dialer.traffic().note_sent(sent);
            socket.recv(&mut said).await
        });
        match answer.await {
            Err(_) if self.is_over() => over(),
            Err(_) => State::Silent,
            Ok(Ok(length)) => {
                self.dialer.traffic().note_received(length);
                State::Open(Box::new(datagrams::recognise(port, asked.len(), &said[..length])))
            }
            Ok(Err(error)) => State::of_answer(&error),
        }
    }
}

/// Between two questions to one host, where no rate was chosen.
const APART: Duration = Duration::from_secs(2);
/// How long a UDP port may take to answer.
const TIMEOUT: Duration = Duration::from_secs(2);
const HOSTS_AT_ONCE: usize = 64;
const MOST_HEARD: usize = 4_096;
