//! The enumeration of an endpoint: questions out, outcomes in, facts out; no I/O. A version is a
//! [`Choices`] of its own, so that their questions can be asked side by side.
//!
//! A refusal is an absence at once. A close is asked again between controls, until the chance that
//! the peer is merely unlucky is below one in a hundred million ([`Evidence`]), or it stays
//! unknown. A timeout is never an absence.

mod choices;
mod dimension;
mod evidence;
mod kept;
mod learning;
mod schemes13;
mod shape;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;

use crate::sample::Unknown;

use super::board::{Board, Presence};
use super::hello::HelloSpec;
use super::suites::Breadth;
use super::wire::Version;
use choices::{Aim, Size};
use evidence::Evidence;
use shape::Shape;

pub(super) use choices::{Choices, Order};
pub(super) use dimension::Dimension;
pub(super) use kept::Kept;
pub(super) use schemes13::Schemes13;
pub(super) use watch::{Row, shown};

/// The state of an endpoint's enumeration.
#[derive(Clone, Debug)]
pub(super) struct Enumeration {
    pub(super) board: Board,
    pub(super) choices: BTreeMap<Version, Choices>,
    pub(super) schemes13: Option<Schemes13>,
    ssl2_asked: bool,
    /// Schemes that TLS 1.3 is expected to have.
    pub(super) expected: Vec<u16>,
    /// The scheme that a real handshake of TLS 1.3 was signed by.
    pub(super) shown13: Option<u16>,
    /// What is being asked, or asked again.
    open: BTreeMap<Part, Open>,
    evidence: Evidence,
    /// The shape in which a hello was accepted.
    known_shape: Option<Shape>,
    /// A hello that is accepted.
    control: Option<HelloSpec>,
    /// Questions in a row that came to nothing.
    troubles: u32,
    rng: fastrand::Rng,
    is_stopped: bool,
    pub(super) intolerances: Vec<&'static str>,
}

/// A line of questions that runs beside the others.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Part {
    Choices(Version),
    Schemes13,
    Ssl2,
}

/// One hello to send.
#[derive(Clone, Debug)]
pub(super) struct Question {
    purpose: Purpose,
    pub(super) spec: HelloSpec,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Purpose {
    Ask(Part, Aim),
    /// A hello known to be accepted, beside the doubt of this part.
    Control(Part),
}

/// A question that is out, or in doubt.
#[derive(Clone, Debug)]
struct Open {
    aim: Aim,
    spec: HelloSpec,
    is_out: bool,
    closes: u32,
    /// The alert that came instead of an answer, if it was one.
    alert: Option<u8>,
    controls: u32,
    timeouts: u32,
    failures: u32,
}

impl Enumeration {
    /// `alpn`: the protocols to ask for.
    pub(super) fn new(alpn: &[&[u8]], seed: u64) -> Self {
        let alpn: Vec<Vec<u8>> = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let first = Choices::new(Version::Tls12, Shape::Full, &alpn);
        Self {
            board: Board::default(),
            choices: BTreeMap::from([(Version::Tls12, first)]),
            schemes13: None,
            ssl2_asked: false,
            expected: Vec::new(),
            shown13: None,
            open: BTreeMap::new(),
            evidence: Evidence::default(),
            known_shape: None,
            control: None,
            troubles: 0,
            rng: fastrand::Rng::with_seed(seed),
            is_stopped: false,
            intolerances: Vec::new(),
        }
    }

    /// The next hello to send, beside those that are out; `None` if their outcomes must be awaited,
    /// or if there is nothing left.
    pub(super) fn next(&mut self) -> Option<Question> {
        if self.is_stopped {
            return None;
        }
        self.widen();
        let fresh = self.parts().into_iter().find(|part| !self.open.contains_key(part));
        if let Some(part) = fresh {
            return self.ask(part);
        }
        let doubts: Vec<Part> =
            self.open.iter().filter(|(_, open)| !open.is_out).map(|(&part, _)| part).collect();
        if doubts.is_empty() {
            return None;
        }
        // At random, so that a peer that drops by a pattern does not fall into step.
        let part = doubts[self.rng.usize(..doubts.len())];
        // Controls follow closes, yet not in step with them.
        let open = &self.open[&part];
        let odds = if open.controls < open.closes { 5 } else { 1 };
        let wants_control = open.closes > 0 && self.rng.u8(..10) < odds;
        match self.control_for(part).filter(|_| wants_control) {
            Some(spec) => Some(Question { purpose: Purpose::Control(part), spec }),
            None => {
                let open = self.open.get_mut(&part)?;
                open.is_out = true;
                Some(Question { purpose: Purpose::Ask(part, open.aim), spec: open.spec.clone() })
            }
        }
    }

    /// Whether there is anything to ask.
    pub(super) fn is_done(&mut self) -> bool {
        self.widen();
        self.is_stopped || (self.parts().is_empty() && self.open.is_empty())
    }

    /// How many questions in a row came to nothing: a reason to slow down.
    pub(super) fn troubles(&self) -> u32 {
        self.troubles
    }

    /// Whether the first version is settled, so that there is somebody to ask side by side.
    pub(super) fn is_introduced(&self) -> bool {
        self.choices
            .get(&Version::Tls12)
            .is_some_and(|choices| choices.presence.is_some() && choices.size == Size::Settled)
    }

    /// Ends the enumeration: what is open stays so for this reason.
    pub(super) fn stop(&mut self, why: &Unknown) {
        for choices in self.choices.values_mut() {
            choices.lose_everything(why);
        }
        if let Some(schemes) = &mut self.schemes13 {
            schemes.lose(why);
        }
        for version in Version::ALL {
            if !self.board.is_told(version) {
                self.board.state(version, Presence::Unknown(why.clone()));
            }
        }
        self.open.clear();
        self.is_stopped = true;
    }

    fn ask(&mut self, part: Part) -> Option<Question> {
        let (aim, spec) = match part {
            Part::Choices(version) => {
                let choices = self.choices.get(&version)?;
                let aim = choices.aim()?;
                (aim, choices.spec(aim))
            }
            Part::Schemes13 => (Aim::Schemes, self.schemes13.as_ref()?.spec()?),
            Part::Ssl2 => (Aim::Whole, HelloSpec::new(Version::Ssl2, Breadth::Every)),
        };
        let open = Open {
            aim,
            spec: spec.clone(),
            is_out: true,
            closes: 0,
            alert: None,
            controls: 0,
            timeouts: 0,
            failures: 0,
        };
        self.open.insert(part, open);
        Some(Question { purpose: Purpose::Ask(part, aim), spec })
    }

    /// Parts that have something to ask.
    fn parts(&self) -> Vec<Part> {
        let mut parts: Vec<Part> = self
            .choices
            .values()
            .rev()
            .filter(|choices| choices.aim().is_some())
            .map(|choices| Part::Choices(choices.version))
            .collect();
        if self.schemes13.as_ref().is_some_and(|schemes| !schemes.is_done()) {
            parts.push(Part::Schemes13);
        }
        if self.is_introduced() && !self.ssl2_asked {
            parts.push(Part::Ssl2);
        }
        parts
    }

    /// Begins what the answers so far make worth asking.
    fn widen(&mut self) {
        if !self.is_introduced() {
            return;
        }
        let shape = self.known_shape.unwrap_or(Shape::Full);
        let begin = |choices: &mut BTreeMap<Version, Choices>, version, alpn: &[Vec<u8>]| {
            choices
                .entry(version)
                .or_insert_with(|| Choices::new(version, shape.known_for(version), alpn));
        };
        begin(&mut self.choices, Version::Tls13, &[]);
        // From TLS 1.1 down, each once the one above is settled.
        let mut next = Some(Version::Tls11);
        while let Some(version) = next {
            if !self.board.is_told(version) || self.board.is_offered(version) {
                begin(&mut self.choices, version, &[]);
            }
            if !self.board.is_told(version) {
                break;
            }
            next = version.older();
        }
        self.begin_schemes13();
        self.believe_groups();
    }

    /// What has groups in TLS 1.3 has them in TLS 1.2 as a rule.
    fn believe_groups(&mut self) {
        let Some(tls13) = self.choices.get(&Version::Tls13) else { return };
        let legal = super::names::groups_for(Version::Tls12);
        let found = tls13.groups.found.iter().copied();
        let shared: Vec<u16> = found.filter(|g| *g < 0x0100 && legal.contains(g)).collect();
        if let Some(tls12) = self.choices.get_mut(&Version::Tls12) {
            tls12.believed = shared;
        }
    }

    fn begin_schemes13(&mut self) {
        if self.schemes13.is_some() || self.choices[&Version::Tls12].aim().is_some() {
            return;
        }
        let Some(tls13) = self.choices.get(&Version::Tls13) else { return };
        let is_offered = tls13.presence == Some(Presence::Offered);
        let group = tls13.groups.found.iter().copied();
        let usable = group.clone().find(|&group| super::shares::constant(group).is_some());
        let Some(group) = usable.or_else(|| group.clone().next()).filter(|_| is_offered) else {
            return;
        };
        let of_12 = &self.choices[&Version::Tls12].schemes.found;
        let shared = of_12.iter().copied().filter(|s| matches!(s, 0x0403 | 0x0804..=0x080b));
        let expected: Vec<u16> = self.expected.iter().copied().chain(shared).collect();
        let suites = tls13.suites.found.clone();
        self.schemes13 = Some(Schemes13::new(suites, group, &expected, self.shown13));
    }

    /// The hello to compare with: of the same part where there is one.
    fn control_for(&self, part: Part) -> Option<HelloSpec> {
        let own = match part {
            Part::Choices(version) => self.choices.get(&version)?.control.clone(),
            Part::Schemes13 => self.schemes13.as_ref()?.control(),
            Part::Ssl2 => None,
        };
        own.or_else(|| self.control.clone())
    }
}
