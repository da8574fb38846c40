//! What the outcomes of questions show, and when a doubt is over.

use crate::sample::{Reason, Unknown};

use super::super::board::Presence;
use super::super::hello::HelloSpec;
use super::super::outcome::{Answer, Outcome, Weight};
use super::super::wire::Version;
use super::choices::{Aim, No, Size};
use super::evidence::MOST_CLOSES;
use super::shape::Shape;
use super::{Enumeration, Part, Purpose, Question};

impl Enumeration {
    /// Takes a question's outcome. `alone`: no other connection was open meanwhile, so that a close
    /// is not the answer to too many at once.
    pub(in crate::probe::tls) fn learn(
        &mut self,
        question: &Question,
        outcome: &Outcome,
        alone: bool,
    ) {
        if let Outcome::Accepted(answer) | Outcome::Downgraded(answer) = outcome {
            self.board.answers.push((**answer).clone());
        }
        match question.purpose {
            Purpose::Control(part) => self.learn_control(part, outcome, alone),
            Purpose::Ask(part, aim) => self.learn_answer(part, aim, &question.spec, outcome, alone),
        }
        self.decide_doubts();
    }

    /// Takes what was seen before the enumeration began. It may never have met it again: what was
    /// shown by one of several servers stays shown.
    pub(in crate::probe::tls) fn see(&mut self, answer: &Answer) {
        self.board.offer(answer.version);
        self.board.answers.push(answer.clone());
        let choices = self.choices.get_mut(&answer.version);
        if let Some((suite, choices)) = answer.suite().zip(choices) {
            choices.suites.find(suite);
        }
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

    fn accept(&mut self, part: Part, aim: Aim, spec: &HelloSpec, answer: &Answer) {
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
