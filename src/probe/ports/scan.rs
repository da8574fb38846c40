//! Asks the ports: in random order, many at once, each for a bounded time.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rustix::process::{Resource, getrlimit};
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};

use super::ask::Ask;
use super::port::Port;
use super::state::{State, Voice};
use super::voice::HEARD;
use crate::probe::Job;
use crate::probe::dial::{CONNECT_TIMEOUT, Connection, DialError, Dialer, Purpose};
use crate::sample::{Reason, Unknown};
use crate::target::Transport;

/// How long a server may think before it greets.
const GREETING: Duration = Duration::from_millis(300);

/// How long a UDP port may take to answer.
const UDP_TIMEOUT: Duration = Duration::from_secs(2);

/// Contacts in flight, whatever rate and timeout allow.
const MOST_IN_FLIGHT: usize = 512;

/// Ports that must have been asked before it is asked whether every port answers.
const ENOUGH_FOR_CANARIES: usize = 20;

const CANARIES: usize = 4;

/// The states of one address's ports, and whether the host answers everywhere.
pub(super) type States = (BTreeMap<Port, State>, bool);

/// One run's way of asking.
#[derive(Debug)]
pub(super) struct Scanner {
    dialer: Dialer,
    host: Option<String>,
    timeout: Duration,
    udp_timeout: Duration,
    in_flight: usize,
}

impl Scanner {
    pub(super) fn of(job: &Job) -> Self {
        let settings = &job.point.target.settings;
        let timeout = settings.timeout.unwrap_or(CONNECT_TIMEOUT);
        Self {
            dialer: job.dialer.clone().with_read_limit(HEARD),
            host: job.point.target.endpoint.host.name().map(str::to_owned),
            timeout,
            udp_timeout: settings.timeout.unwrap_or(UDP_TIMEOUT),
            in_flight: in_flight(settings.rate, timeout, getrlimit(Resource::Nofile).current),
        }
    }

    /// Asks everything, then tells true ports from hosts that answer everywhere.
    pub(super) async fn scan(&self, asks: &[Ask], seed: u64) -> Vec<States> {
        let mut random = fastrand::Rng::with_seed(seed);
        let asked = |(at, ask): (usize, &Ask)| {
            ask.ports.iter().map(move |(port, purpose)| (at, *port, *purpose)).collect::<Vec<_>>()
        };
        let questions = asks.iter().enumerate().flat_map(asked).collect();
        let mut states = self.ask(asks, questions, &mut random).await;
        let canaries: Vec<Vec<Port>> = asks
            .iter()
            .zip(&states)
            .map(|(ask, states)| canaries(ask, states, &mut random))
            .collect();
        let questions = canaries
            .iter()
            .enumerate()
            .flat_map(|(at, ports)| ports.iter().map(move |port| (at, *port, Purpose::Scan)))
            .collect();
        let answers = self.ask(asks, questions, &mut random).await;
        for (ask, states) in asks.iter().zip(&mut states) {
            let refused = ask.refused.iter();
            states.extend(refused.map(|(port, why)| (*port, State::NotMeasured(why.clone()))));
        }
        states
            .into_iter()
            .zip(answers)
            .map(|(states, canaries)| believe(states, &canaries))
            .collect()
    }

    async fn ask(
        &self,
        asks: &[Ask],
        mut questions: Vec<(usize, Port, Purpose)>,
        random: &mut fastrand::Rng,
    ) -> Vec<BTreeMap<Port, State>> {
        random.shuffle(&mut questions);
        let answers = stream::iter(questions)
            .map(|(at, port, purpose)| async move {
                (at, port, self.look(asks[at].address, port, purpose).await)
            })
            .buffer_unordered(self.in_flight);
        let states = vec![BTreeMap::new(); asks.len()];
        let gathered = answers.fold(states, |mut states, (at, port, state)| async move {
            states[at].insert(port, state);
            states
        });
        gathered.await
    }

    /// One look at one port.
    async fn look(&self, address: IpAddr, port: Port, purpose: Purpose) -> State {
        if self.is_over() {
            return over();
        }
        let to = SocketAddr::new(address, port.number);
        let state = match port.transport {
            Transport::Tcp => self.look_tcp(to, purpose).await,
            Transport::Udp => self.look_udp(to, purpose).await,
        };
        // A wait that the end of the sample cut short says nothing of the port.
        match state {
            State::Dropped | State::Silent if self.is_over() => over(),
            state => state,
        }
    }

    async fn look_tcp(&self, to: SocketAddr, purpose: Purpose) -> State {
        match self.dialer.dial(self.host.as_deref(), to, purpose, self.timeout).await {
            Ok(connection) => listen(connection, to.port()).await,
            Err(error) => State::of(&error),
        }
    }

    /// An empty datagram: most services say nothing to it, but a closed port is told by ICMP.
    async fn look_udp(&self, to: SocketAddr, purpose: Purpose) -> State {
        let opened = self.dialer.udp(self.host.as_deref(), to, purpose).await;
        let (socket, _permit) = match opened {
            Ok(opened) => opened,
            Err(error) => return State::of(&error),
        };
        let give_up = self.dialer.deadline().min(Instant::now() + self.udp_timeout);
        let mut said = [0; HEARD];
        let answer = timeout_at(give_up, async {
            socket.send(&[]).await?;
            socket.recv(&mut said).await
        });
        match answer.await {
            Err(_) => State::Silent,
            Ok(Ok(length)) => {
                self.dialer.traffic().note_received(length);
                State::Open(Voice::of(to.port(), &said[..length]))
            }
            Ok(Err(error)) => State::of(&DialError::Io(error)),
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.dialer.deadline()
    }
}

/// What an open port says unasked.
async fn listen(mut connection: Connection, port: u16) -> State {
    let mut said = [0; HEARD];
    match timeout_at(Instant::now() + GREETING, connection.read(&mut said)).await {
        Ok(Ok(0)) => State::Open(Voice::hung_up()),
        Ok(Ok(length)) => State::Open(Voice::of(port, &said[..length])),
        // A handshake that is torn down before a byte proves a middlebox as well as a server.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionReset => State::Forged,
        Ok(Err(_)) | Err(_) => State::Open(Voice::silent()),
    }
}

fn over() -> State {
    State::NotMeasured(Unknown::new(Reason::Timeout, "the sample's time was over"))
}

/// Rate × timeout where a rate was chosen (else the budget alone paces), a quarter of the files
/// that this process may open, and never more than [`MOST_IN_FLIGHT`].
fn in_flight(rate: Option<f64>, timeout: Duration, files: Option<u64>) -> usize {
    let by_rate =
        rate.map_or(MOST_IN_FLIGHT, |rate| (rate * timeout.as_secs_f64()).ceil() as usize);
    let by_files =
        files.map_or(MOST_IN_FLIGHT, |files| usize::try_from(files / 4).unwrap_or(MOST_IN_FLIGHT));
    by_rate.min(by_files).clamp(1, MOST_IN_FLIGHT)
}

/// Ports that nobody has a reason to open, to see whether the host answers everywhere. Asked only
/// where the scope allows scanning, enough ports were asked anyway, and one of them answered.
fn canaries(ask: &Ask, states: &BTreeMap<Port, State>, random: &mut fastrand::Rng) -> Vec<Port> {
    let is_enough = ask.may_scan && ask.tcp_count() >= ENOUGH_FOR_CANARIES;
    if !is_enough || !states.values().any(State::is_handshake) {
        return Vec::new();
    }
    let mut ports = Vec::new();
    for _ in 0..100 {
        let port = Port::tcp(random.u16(1_025..));
        if !ask.ports.contains_key(&port)
            && !ask.refused.contains_key(&port)
            && !ports.contains(&port)
        {
            ports.push(port);
        }
        if ports.len() == CANARIES {
            break;
        }
    }
    ports
}

/// Where every canary answers, or nearly every one of a thousand ports, a handshake proves nothing:
/// only a port that spoke is believed.
fn believe(mut states: BTreeMap<Port, State>, canaries: &BTreeMap<Port, State>) -> States {
    let asked = |state: &&State| !matches!(state, State::NotMeasured(_));
    let sure = canaries.values().filter(asked).count();
    let all_canaries = sure >= 3 && canaries.values().filter(asked).all(State::is_handshake);
    let tcp = || {
        let tcp = states.iter().filter(|(port, _)| port.transport == Transport::Tcp);
        tcp.map(|(_, state)| state).filter(asked)
    };
    let open = tcp().filter(|state| state.is_handshake()).count();
    let nearly_all = tcp().count() >= 1_000 && open * 10 >= tcp().count() * 9;
    if !all_canaries && !nearly_all {
        return (states, false);
    }
    for state in states.values_mut() {
        if matches!(state, State::Open(voice) if !voice.spoke()) {
            *state = State::Forged;
        }
    }
    (states, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(said: &[u8]) -> State {
        State::Open(Voice::of(1, said))
    }

    fn map(states: impl IntoIterator<Item = State>) -> BTreeMap<Port, State> {
        (1..).map(Port::tcp).zip(states).collect()
    }

    #[test]
    fn connects_in_flight_are_bounded_by_rate_timeout_and_files() {
        let timeout = Duration::from_millis(3_500);
        assert_eq!(in_flight(Some(20.0), timeout, Some(1_024)), 70);
        assert_eq!(in_flight(Some(1_000.0), timeout, Some(1_024)), 256);
        assert_eq!(in_flight(Some(1_000.0), timeout, None), MOST_IN_FLIGHT);
        assert_eq!(in_flight(None, timeout, Some(1_000_000)), MOST_IN_FLIGHT);
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!((1..=MOST_IN_FLIGHT).contains(&in_flight(Some(rate), timeout, Some(0))));
        }
    }

    #[test]
    fn a_host_that_answers_everywhere_is_believed_only_where_it_speaks() {
        let states = || map([open(b""), open(b"SSH-2.0-x"), State::Closed]);
        let (states, everywhere) = believe(states(), &map(vec![open(b""); 4]));
        assert!(everywhere);
        let believed: Vec<_> = states.into_values().collect();
        assert_eq!(believed, [State::Forged, open(b"SSH-2.0-x"), State::Closed]);
    }

    #[test]
    fn one_closed_canary_or_too_few_of_them_prove_nothing() {
        let not_measured = || State::NotMeasured(Reason::LocalError.into());
        for canaries in [
            vec![],
            vec![open(b""), open(b""), open(b""), State::Closed],
            vec![open(b""), open(b""), not_measured(), not_measured()],
        ] {
            assert!(!believe(map([open(b"")]), &map(canaries)).1);
        }
        assert!(believe(map(vec![open(b""); 1_000]), &map([])).1);
        assert!(!believe(map(vec![open(b""); 999]), &map([])).1);
    }
}
