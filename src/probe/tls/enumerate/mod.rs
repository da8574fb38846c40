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
mod schemes13;
mod shape;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::sample::{Reason, Unknown};

use super::board::{Board, Presence};
use super::hello::HelloSpec;
use super::outcome::{Outcome, Weight};
use super::suites::Breadth;
use super::wire::Version;
use choices::{Aim, No, Size};
use evidence::{Evidence, MOST_CLOSES};
use shape::Shape;

pub(super) use choices::{Choices, Order};
pub(super) use dimension::Dimension;
pub(super) use kept::Kept;
pub(super) use schemes13::Schemes13;

/// The state of an endpoint's enumeration.
#[derive(Clone, Debug)]
pub(super) struct Enumeration {
    pub(super) board: Board,
    pub(super) choices: BTreeMap<Version, Choices>,
    pub(super) schemes13: Option<Schemes13>,
    ssl2_asked: bool,
    /// Schemes that TLS 1.3 is expected to have.
    pub(super) expected: Vec<u16>,
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
        self.schemes13 = Some(Schemes13::new(suites, group, &expected));
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

    /// Takes a question's outcome. `alone`: no other connection was open meanwhile, so that a close
    /// is not the answer to too many at once.
    pub(super) fn learn(&mut self, question: &Question, outcome: &Outcome, alone: bool) {
        if let Outcome::Accepted(answer) | Outcome::Downgraded(answer) = outcome {
            self.board.answers.push((**answer).clone());
        }
        match question.purpose {
            Purpose::Control(part) => self.learn_control(part, outcome, alone),
            Purpose::Ask(part, aim) => self.learn_answer(part, aim, &question.spec, outcome, alone),
        }
        self.decide_doubts();
    }

    fn learn_control(&mut self, part: Part, outcome: &Outcome, alone: bool) {
        match outcome {
            Outcome::Accepted(_) => {
                self.troubles = 0;
                self.evidence.answered += 1;
                for open in self.open.values_mut() {
                    open.controls += 1;
                }
            }
            Outcome::Closed if !alone => {}
            Outcome::Closed => {
                self.troubles += 1;
                self.evidence.dropped += 1;
            }
            _ => {
                self.troubles += 1;
                if let Some(open) = self.open.get_mut(&part) {
                    open.failures += 1;
                }
            }
        }
    }

    fn learn_answer(
        &mut self,
        part: Part,
        aim: Aim,
        spec: &HelloSpec,
        outcome: &Outcome,
        alone: bool,
    ) {
        let Some(open) = self.open.get_mut(&part) else { return };
        open.is_out = false;
        let asked = spec.ceiling;
        let is_stray = matches!(outcome, Outcome::Illegal(_, Some(_))) && aim != Aim::Whole;
        let decided = match outcome {
            Outcome::Accepted(answer) => Some(Ok(answer)),
            Outcome::Downgraded(_) => Some(Err(No::Refused { alert: None })),
            // It has none of what was offered, and says so in its own way.
            _ if is_stray => Some(Err(No::Refused { alert: None })),
            Outcome::Refused(120) if !spec.alpn.is_empty() => {
                Some(Err(No::Refused { alert: Some(120) }))
            }
            outcome => match outcome.weight(asked) {
                Weight::Absent => Some(Err(No::Refused { alert: outcome.alert() })),
                Weight::IfRepeated | Weight::Nothing => None,
            },
        };
        let Some(decided) = decided else {
            self.doubt(part, outcome, alone);
            return;
        };
        self.troubles = 0;
        // What was closed upon before is answered now: those closes were chance.
        self.evidence.dropped += open.closes;
        self.evidence.answered += 1;
        match decided {
            Ok(answer) => self.accept(part, aim, spec, answer),
            Err(no) => {
                self.board.excuse(outcome);
                self.refuse(part, aim, spec, &no, outcome);
            }
        }
    }

    fn accept(&mut self, part: Part, aim: Aim, spec: &HelloSpec, answer: &super::outcome::Answer) {
        self.open.remove(&part);
        match part {
            Part::Choices(version) => {
                self.board.offer(version);
                let Some(choices) = self.choices.get_mut(&version) else { return };
                choices.accept(aim, spec, answer);
                if aim == Aim::Whole && self.known_shape.is_none() {
                    self.known_shape = Some(choices.shape);
                    self.control = Some(spec.clone());
                    if choices.shape > Shape::Shared {
                        choices.size = Size::Again;
                    }
                }
                if aim == Aim::Bigger {
                    self.known_shape = Some(Shape::Full);
                }
            }
            Part::Schemes13 => {
                if let Some(schemes) = &mut self.schemes13 {
                    schemes.accept(answer);
                }
            }
            Part::Ssl2 => {
                self.ssl2_asked = true;
                self.board.offer(Version::Ssl2);
            }
        }
    }

    /// A question is answered by no: `outcome` is the last that was heard.
    fn refuse(&mut self, part: Part, aim: Aim, spec: &HelloSpec, no: &No, outcome: &Outcome) {
        self.open.remove(&part);
        match part {
            Part::Choices(version) => {
                if aim == Aim::Whole {
                    if !self.asks_the_rest(version, spec, no, outcome) {
                        self.turned_away(version, no, outcome);
                    }
                } else if let Some(choices) = self.choices.get_mut(&version) {
                    choices.refuse(aim, spec, no);
                }
            }
            Part::Schemes13 => {
                if let Some(schemes) = &mut self.schemes13 {
                    schemes.refuse(no);
                }
            }
            Part::Ssl2 => {
                self.ssl2_asked = true;
                self.board.state(Version::Ssl2, presence(no));
            }
        }
    }

    /// A hello that could not hold every suite, and was refused for its suites perhaps, is no
    /// refusal of the version: the others are asked for, if need be in the full hello again.
    fn asks_the_rest(
        &mut self,
        version: Version,
        spec: &HelloSpec,
        no: &No,
        outcome: &Outcome,
    ) -> bool {
        let is_of_version = matches!(outcome, Outcome::Downgraded(_) | Outcome::Refused(70));
        let Some(choices) = self.choices.get_mut(&version) else { return false };
        if is_of_version || !matches!(no, No::Refused { .. }) || !choices.is_chunked() {
            return false;
        }
        if self.known_shape.is_none() && choices.returns < MOST_RETURNS {
            choices.returns += 1;
            choices.shape = Shape::Full;
            return true;
        }
        choices.suites.exclude(spec.suites.iter().copied());
        choices.suites.is_open()
    }

    /// The first question of a version came to nothing.
    fn turned_away(&mut self, version: Version, no: &No, outcome: &Outcome) {
        // A peer with something newer would have chosen what is older, had it any (RFC 5246 §E.1).
        let and_below = version < Version::Tls12 && self.board.speaks_newer_than(version);
        let shown = match outcome {
            Outcome::Downgraded(answer) => Some(answer.version),
            _ => None,
        };
        let is_13 = version == Version::Tls13;
        let is_70 = matches!(no, No::Refused { alert: Some(70) });
        let word = matches!(no, No::Refused { alert: Some(_) }) || shown.is_some();
        let presence = match presence(no) {
            Presence::Absent if is_13 && !word && !self.board.tolerates_tls13 => {
                self.intolerances.push("tls13_hello");
                Presence::Unknown(Unknown::new(Reason::Intolerant, MUTE))
            }
            // Groups and schemes had no room: it may be for want of them.
            Presence::Absent if self.is_small(version) && shown.is_none() && !is_70 => {
                Presence::Unknown(Unknown::new(Reason::Intolerant, SMALL))
            }
            presence => presence,
        };
        if let Some(choices) = self.choices.get_mut(&version) {
            choices.presence = Some(presence.clone());
        }
        match shown {
            Some(shown) => {
                for between in version.and_below().take_while(|&v| v > shown) {
                    self.board.state(between, Presence::Absent);
                }
                self.board.offer(shown);
            }
            None if and_below => {
                for version in version.and_below() {
                    self.board.state(version, presence.clone());
                }
            }
            None => self.board.state(version, presence),
        }
    }

    fn is_small(&self, version: Version) -> bool {
        self.choices.get(&version).is_some_and(|choices| choices.shape.is_small())
    }

    /// Nothing that settles the question came.
    fn doubt(&mut self, part: Part, outcome: &Outcome, alone: bool) {
        self.board.excuse(outcome);
        self.troubles += 1;
        let Some(open) = self.open.get_mut(&part) else { return };
        match outcome {
            // It answers, but not by the rules.
            Outcome::Illegal(..) | Outcome::NotTls(_) if part != Part::Ssl2 => open.failures += 4,
            // Perhaps one connection too many: it says nothing.
            Outcome::Closed if !alone && open.failures < MOST_VOID => open.failures += 1,
            Outcome::Timeout => open.timeouts += 1,
            outcome if outcome.weight(open.spec.ceiling) == Weight::IfRepeated => {
                open.closes += 1;
                open.alert = outcome.alert();
            }
            _ => open.failures += 1,
        }
        let (aim, timeouts) = (open.aim, open.timeouts);
        let spent = open.closes + open.timeouts > 0;
        if spent && aim == Aim::Whole && self.try_smaller(part, timeouts > 0) {
            return;
        }
        let Some(open) = self.open.get(&part) else { return };
        let most = if part == Part::Ssl2 { 1 } else { MOST_TIMEOUTS };
        if timeouts >= most || open.failures > MOST_FAILURES {
            let spec = open.spec.clone();
            self.refuse(part, aim, &spec, &No::Lost(outcome.unknown()), outcome);
        }
    }

    /// Asks for a version again in the next smaller shape, if this one is not known to be good.
    fn try_smaller(&mut self, part: Part, timed_out: bool) -> bool {
        let Part::Choices(version) = part else { return false };
        // Where nothing at all is accepted, the first version has shown that size is not why.
        let is_first = self.known_shape.is_none() && version == Version::Tls12;
        let is_known = !is_first && version != Version::Tls13;
        let Some(choices) = self.choices.get_mut(&version) else { return false };
        let next = match choices.shape.next(version) {
            Some(next) if !is_known => next,
            _ => return false,
        };
        // A timeout is dear: at once to the smallest.
        choices.shape = if timed_out { Shape::Small } else { next };
        let spec = choices.spec(Aim::Whole);
        if let Some(open) = self.open.get_mut(&part) {
            open.spec = spec;
            open.closes = 0;
        }
        true
    }

    /// Ends the doubts that have been asked often enough.
    fn decide_doubts(&mut self) {
        let decided: Vec<(Part, No)> = self
            .open
            .iter()
            .filter(|(_, open)| open.closes > 0 && !open.is_out)
            .filter_map(|(&part, open)| {
                // What is said of sizes is no absence.
                let is_of_size = matches!(open.aim, Aim::Bigger | Aim::Padded);
                let is_proven = open.controls >= LEAST_CONTROLS
                    && match is_of_size {
                        true => open.closes >= LEAST_CONTROLS,
                        false => self.evidence.proves(open.closes),
                    };
                let is_hopeless = open.closes >= MOST_CLOSES
                    || (self.control_for(part).is_none() && open.closes >= HOPELESS);
                let why = || match open.alert {
                    Some(alert) => Outcome::Refused(alert).unknown(),
                    None => Reason::Reset.into(),
                };
                match (is_proven, is_hopeless) {
                    (true, _) => Some((part, No::Refused { alert: open.alert })),
                    (false, true) => Some((part, No::Lost(why()))),
                    (false, false) => None,
                }
            })
            .collect();
        for (part, no) in decided {
            let Some(open) = self.open.get(&part) else { continue };
            let (aim, spec) = (open.aim, open.spec.clone());
            self.refuse(part, aim, &spec, &no, &Outcome::Closed);
        }
    }
}

fn presence(no: &No) -> Presence {
    match no {
        No::Refused { .. } => Presence::Absent,
        No::Lost(why) => Presence::Unknown(why.clone()),
    }
}

/// Controls accepted beside a doubt before it counts.
const LEAST_CONTROLS: u32 = 3;

/// Timeouts of one question before it is left.
const MOST_TIMEOUTS: u32 = 2;

/// Other failures of one question before it is left.
const MOST_FAILURES: u32 = 12;

/// Closes beside other connections that are not counted.
const MOST_VOID: u32 = 6;

/// Closes that end a doubt where nothing was ever accepted.
const HOPELESS: u32 = 2;

/// Times that the full hello is tried again before a first answer.
const MOST_RETURNS: u8 = 2;

const SMALL: &str = "only small hellos are answered, and they do not hold everything";

const MUTE: &str = "turns TLS 1.3 hellos away without a word on the version";
