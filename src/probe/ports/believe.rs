//! Hosts that shake hands on every port: SYN proxies, tarpits, middleboxes, a DNAT of everything.
//! Known by ports that nobody has a reason to open; then a port is believed only where it behaves
//! otherwise than those do.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::ask::Ask;
use super::port::Port;
use super::scan::{Answer, Question};
use super::state::State;
use crate::probe::dial::Purpose;
use crate::target::Transport;

/// Beside so many ports, canaries are asked from the start: afterwards they would cost a second
/// timeout.
const MANY: usize = 20;

/// Canaries of one address.
pub(super) const CANARIES: usize = 8;

/// So many must have been measured before they prove anything.
const ENOUGH: usize = 3;

/// Canaries for a scan of many ports.
pub(super) fn canaries_beside(at: usize, ask: &Ask, random: &mut fastrand::Rng) -> Vec<Question> {
    match ask.may_scan && ask.tcp_count() >= MANY {
        true => canaries(at, ask, random),
        false => Vec::new(),
    }
}

/// Canaries for a scan of few ports: only where one shook hands and told nothing, or three or more
/// and every one did.
pub(super) fn canaries_after<'a>(
    at: usize,
    ask: &Ask,
    answers: impl Iterator<Item = &'a Answer>,
    random: &mut fastrand::Rng,
) -> Vec<Question> {
    let tcp = answers.filter(|answer| answer.question.transport == Transport::Tcp);
    let states: Vec<&State> = tcp.map(|answer| &answer.state).collect();
    let is_dumb = |state: &&&State| matches!(state.manner(), Some(Manner::Reset | Manner::Quiet));
    let all_open = states.len() >= ENOUGH && states.iter().all(|state| state.is_handshake());
    let is_odd = all_open || states.iter().any(|state| is_dumb(&state));
    match ask.may_scan && ask.tcp_count() < MANY && is_odd {
        true => canaries(at, ask, random),
        false => Vec::new(),
    }
}

/// Random ports that were not asked.
fn canaries(at: usize, ask: &Ask, random: &mut fastrand::Rng) -> Vec<Question> {
    let mut numbers = BTreeSet::new();
    for _ in 0..100 {
        let port = Port::tcp(random.u16(1_025..));
        if !ask.ports.contains_key(&port) && !ask.refused.contains_key(&port) {
            numbers.insert(port.number);
        }
        if numbers.len() == CANARIES {
            break;
        }
    }
    let canary = |number| Question {
        at,
        address: ask.address,
        number,
        transport: Transport::Tcp,
        purpose: Purpose::Scan,
        is_expected: false,
        is_unexpected: false,
        is_canary: true,
    };
    numbers.into_iter().map(canary).collect()
}

/// How a port that shook hands went on.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Manner {
    HungUp,
    Quiet,
    Reset,
    Spoke(Cow<'static, str>),
}

/// Where every canary answers, or nearly every one of a thousand ports, a handshake proves nothing:
/// only a port that behaves as none of them does is believed. Answers whether it is so.
pub(super) fn believe(states: &mut BTreeMap<Port, State>, canaries: &[State]) -> bool {
    let Some(crowd) = crowd(states, canaries) else { return false };
    for (port, state) in states.iter_mut() {
        let manner = if port.transport == Transport::Tcp { state.manner() } else { None };
        if manner.is_some_and(|manner| crowd.contains(&manner)) {
            *state = State::Forged;
        }
    }
    // What resets is never believed, but one that does where the others do not is no better known.
    true
}

/// The manners of the crowd, where there is one.
fn crowd(states: &BTreeMap<Port, State>, canaries: &[State]) -> Option<BTreeSet<Manner>> {
    let asked = |state: &&State| !matches!(state, State::NotMeasured(_));
    let sure = canaries.iter().filter(asked).count();
    if sure >= ENOUGH && canaries.iter().filter(asked).all(State::is_handshake) {
        return Some(canaries.iter().filter_map(State::manner).collect());
    }
    let tcp = states.iter().filter(|(port, _)| port.transport == Transport::Tcp);
    let mut manners: BTreeMap<Manner, usize> = BTreeMap::new();
    let mut total = 0;
    for (_, state) in tcp.filter(|(_, state)| asked(state)) {
        total += 1;
        if let Some(manner) = state.manner() {
            *manners.entry(manner).or_default() += 1;
        }
    }
    let open: usize = manners.values().sum();
    let is_nearly_all = total >= 1_000 && open * 10 >= total * 9;
    is_nearly_all.then(|| {
        manners.into_iter().filter(|(_, n)| n * 20 >= total).map(|(manner, _)| manner).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::state::Voice;
    use super::*;
    use crate::sample::Reason;

    fn quiet() -> State {
        State::Open(Box::new(Voice::silent()))
    }

    fn spoke(said: &[u8]) -> State {
        State::Open(Box::new(Voice::of(1, said)))
    }

    fn map(states: impl IntoIterator<Item = State>) -> BTreeMap<Port, State> {
        (1..).map(Port::tcp).zip(states).collect()
    }

    fn believed(states: &[State], canaries: &[State]) -> (Vec<State>, bool) {
        let mut states = map(states.iter().cloned());
        let everywhere = believe(&mut states, canaries);
        (states.into_values().collect(), everywhere)
    }

    #[test]
    fn behind_a_tarpit_only_what_speaks_is_believed() {
        let states = [quiet(), spoke(b"SSH-2.0-x"), State::Closed];
        let (seen, everywhere) = believed(&states, &vec![quiet(); 4]);
        assert!(everywhere);
        assert_eq!(seen, [State::Forged, spoke(b"SSH-2.0-x"), State::Closed]);
    }

    #[test]
    fn behind_a_syn_proxy_a_port_that_holds_the_connection_is_open() {
        let states = [quiet(), State::Forged, spoke(b"220 x SMTP")];
        let (seen, everywhere) = believed(&states, &vec![State::Forged; 8]);
        assert!(everywhere);
        assert_eq!(seen, states);
    }

    #[test]
    fn where_every_port_leads_to_one_service_that_service_proves_no_port() {
        let states = [spoke(b"SSH-2.0-x"), spoke(b"220 x SMTP")];
        let (seen, _) = believed(&states, &vec![spoke(b"SSH-2.0-x"); 8]);
        assert_eq!(seen, [State::Forged, spoke(b"220 x SMTP")]);
    }

    #[test]
    fn one_closed_canary_or_too_few_of_them_prove_nothing() {
        let not_measured = || State::NotMeasured(Reason::LocalError.into());
        for canaries in [
            vec![],
            vec![quiet(), quiet(), quiet(), State::Closed],
            vec![quiet(), quiet(), not_measured(), not_measured()],
        ] {
            assert!(!believed(&[quiet()], &canaries).1);
        }
        assert!(believed(&vec![quiet(); 1_000], &[]).1);
        assert!(!believed(&vec![quiet(); 999], &[]).1);
    }
}
