//! Ranges: what a measurement may be. Pure: a value, what is unknown of it and the time go in, a
//! ruling comes out.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use regex::Regex;
use serde_json::Value;

use crate::sample::span_in_words;
use crate::sample::{Reason, Unknown};
use crate::target::ByteSize;

/// What a measurement may be. Its text is what findings show: `none of SSLv2, SSLv3`.
#[derive(Clone, Debug)]
pub struct Range {
    pub(super) test: Test,
    pub(super) quantity: Quantity,
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    /// Nothing there.
    Absent,
    /// Nothing departs from what is pinned or known.
    Drift,
    /// Something there.
    Present,
    /// A number between these, both included; a timestamp's number is the time left until it.
    Bounds { min: Option<f64>, max: Option<f64> },
    /// One of these numbers.
    Numbers(Vec<f64>),
    /// None of these numbers.
    NotNumbers(Vec<f64>),
    /// This truth value.
    Truth(bool),
    /// The text is this one; the set is made of exactly these.
    Equals(Vec<Word>),
    /// The text is one of these; the set holds at least one of them.
    OneOf(Vec<Word>),
    /// The text is none of these; the set holds none of them.
    NoneOf(Vec<Word>),
    /// The set holds all of these.
    AllOf(Vec<Word>),
    /// The set holds nothing else.
    SubsetOf(Vec<Word>),
    /// The text, or every member of the set, matches.
    Matches(Regex),
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Quantity {
    Bits,
    Bytes,
    /// Time until a timestamp.
    Left,
    Plain,
    Seconds,
}

/// A word of a range. `*` stands for any run of characters, `\*` for itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Word {
    written: String,
    /// The literal parts between the `*`; one part if there is none.
    parts: Vec<String>,
}

impl Word {
    pub(super) fn new(written: &str) -> Self {
        let mut parts = vec![String::new()];
        let mut chars = written.chars().peekable();
        while let Some(char) = chars.next() {
            match char {
                '\\' if chars.peek() == Some(&'*') => {
                    chars.next();
                    push(&mut parts, '*');
                }
                '*' => parts.push(String::new()),
                char => push(&mut parts, char),
            }
        }
        Self { written: written.to_owned(), parts }
    }

    pub(super) fn is_pattern(&self) -> bool {
        self.parts.len() > 1
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.parts.split_first() else { return false };
        let Some((last, middle)) = rest.split_last() else { return text == first };
        let Some(mut text) = text.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            let Some(at) = text.find(part.as_str()) else { return false };
            text = &text[at + part.len()..];
        }
        text.ends_with(last.as_str())
    }

    /// The text that a word without `*` stands for.
    fn literal(&self) -> &str {
        self.parts.first().map_or("", String::as_str)
    }
}

fn push(parts: &mut [String], char: char) {
    if let Some(last) = parts.last_mut() {
        last.push(char);
    }
}

/// A value under judgement.
#[derive(Clone, Debug)]
pub(super) struct Fact<'a> {
    pub(super) value: &'a Value,
    /// The value stands but is named unknown: a set is a lower bound, a scalar was not the same
    /// each time.
    pub(super) whole: Option<&'a Unknown>,
    /// Members of a set that are named unknown.
    pub(super) members: BTreeMap<&'a str, &'a Unknown>,
    /// When it was measured; `None` while the clock is in doubt.
    pub(super) now: Option<DateTime<Utc>>,
}

/// What a range says of one value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ruling {
    pub(super) breaches: Vec<Broken>,
    pub(super) doubts: Vec<(Option<String>, Unknown)>,
}

/// One way in which a value is out of range.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Broken {
    /// The member of the set, where it is one member.
    pub(super) member: Option<String>,
    pub(super) measured: Value,
    /// Something expected was not seen, rather than something seen was not expected.
    pub(super) missed: bool,
}

impl Range {
    /// Whether it allows no item at all.
    pub(super) fn bars_items(&self) -> bool {
        matches!(self.test, Test::Absent | Test::Drift)
    }

    pub(super) fn check(&self, fact: &Fact<'_>) -> Ruling {
        let mut ruling = Ruling::default();
        match fact.value {
            Value::Array(items) if items.iter().all(Value::is_object) && !items.is_empty() => {
                if !matches!(self.test, Test::Present) {
                    ruling.doubts.push((None, odd_shape()));
                }
            }
            Value::Array(members) => self.check_set(members, fact, &mut ruling),
            _ if fact.now.is_none() && self.quantity == Quantity::Left => {
                ruling.doubts.push((None, clock_in_doubt()));
            }
            value => match self.holds(value, fact.now) {
                None => ruling.doubts.push((None, odd_shape())),
                Some(true) => {
                    if let Some(unknown) = fact.whole {
                        ruling.doubts.push((None, unknown.clone()));
                    }
                }
                Some(false) => ruling.breaches.push(Broken {
                    member: None,
                    measured: value.clone(),
                    missed: matches!(self.test, Test::Present),
                }),
            },
        }
        ruling
    }

    /// Whether a scalar is in range; `None` if the range cannot be asked of such a value.
    fn holds(&self, value: &Value, now: Option<DateTime<Utc>>) -> Option<bool> {
        match (&self.test, value) {
            (Test::Truth(wanted), Value::Bool(value)) => Some(value == wanted),
            (Test::Bounds { min, max }, value) => {
                let number = match (self.quantity, value) {
                    (Quantity::Left, Value::String(text)) => seconds_left(text, now?)?,
                    (Quantity::Left, _) => return None,
                    (_, value) => value.as_f64()?,
                };
                Some(min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max))
            }
            (Test::Numbers(wanted), value) => Some(wanted.contains(&value.as_f64()?)),
            (Test::NotNumbers(barred), value) => Some(!barred.contains(&value.as_f64()?)),
            (Test::Present, Value::String(text)) => Some(!text.is_empty()),
            (Test::Present, Value::Object(items)) => Some(!items.is_empty()),
            (Test::Absent, Value::String(text)) => Some(text.is_empty()),
            (Test::Equals(words) | Test::OneOf(words), Value::String(text)) => {
                Some(words.iter().any(|word| word.matches(text)))
            }
            (Test::NoneOf(words), Value::String(text)) => {
                Some(!words.iter().any(|word| word.matches(text)))
            }
            (Test::Matches(regex), Value::String(text)) => Some(regex.is_match(text)),
            _ => None,
        }
    }

    fn check_set(&self, members: &[Value], fact: &Fact<'_>, ruling: &mut Ruling) {
        let Some(members) = members.iter().map(Value::as_str).collect::<Option<Vec<_>>>() else {
            ruling.doubts.push((None, odd_shape()));
            return;
        };
        let set = Set { members: &members, fact };
        match &self.test {
            Test::Absent | Test::Drift => set.bar(|_| true, ruling),
            Test::NoneOf(words) => set.bar(|m| words.iter().any(|w| w.matches(m)), ruling),
            Test::SubsetOf(words) => set.bar(|m| !words.iter().any(|w| w.matches(m)), ruling),
            Test::Matches(regex) => set.bar(|m| !regex.is_match(m), ruling),
            Test::AllOf(words) => set.demand(words, ruling),
            Test::Equals(words) => {
                set.bar(|m| !words.iter().any(|w| w.matches(m)), ruling);
                set.demand(words, ruling);
            }
            Test::OneOf(words) => set.any(|m| words.iter().any(|w| w.matches(m)), ruling),
            Test::Present => set.any(|_| true, ruling),
            Test::Bounds { .. } | Test::Numbers(_) | Test::NotNumbers(_) | Test::Truth(_) => {
                ruling.doubts.push((None, odd_shape()));
            }
        }
    }
}

/// A set under judgement: what was seen of it, and what may be in it.
struct Set<'a> {
    members: &'a [&'a str],
    fact: &'a Fact<'a>,
}

impl Set<'_> {
    /// Nothing in it may be `barred`. What was seen was seen, whatever else is unknown.
    fn bar(&self, barred: impl Fn(&str) -> bool, ruling: &mut Ruling) {
        for member in self.members.iter().filter(|member| barred(member)) {
            ruling.breaches.push(Broken {
                member: Some((*member).to_owned()),
                measured: Value::from(*member),
                missed: false,
            });
        }
        for (member, unknown) in &self.fact.members {
            if !self.members.contains(member) && barred(member) {
                ruling.doubts.push((Some((*member).to_owned()), (*unknown).clone()));
            }
        }
        if let Some(unknown) = self.fact.whole {
            ruling.doubts.push((None, unknown.clone()));
        }
    }

    /// Each word must be in it. What may be there is not missing.
    fn demand(&self, words: &[Word], ruling: &mut Ruling) {
        for word in words.iter().map(Word::literal) {
            let seen = self.members.contains(&word);
            match self.fact.members.get(word).copied().or(self.fact.whole) {
                Some(unknown) if !seen || self.fact.members.contains_key(word) => {
                    ruling.doubts.push((Some(word.to_owned()), unknown.clone()));
                }
                None if !seen => ruling.breaches.push(Broken {
                    member: Some(word.to_owned()),
                    measured: Value::from(self.members),
                    missed: true,
                }),
                _ => {}
            }
        }
    }

    /// At least one `wanted` must be in it.
    fn any(&self, wanted: impl Fn(&str) -> bool, ruling: &mut Ruling) {
        let sure = |member: &&&str| wanted(member) && !self.fact.members.contains_key(**member);
        if self.members.iter().any(|member| sure(&member)) {
            return;
        }
        let maybe = self.fact.members.iter().find(|(member, _)| wanted(member)).map(|(_, u)| *u);
        match maybe.or(self.fact.whole) {
            Some(unknown) => ruling.doubts.push((None, unknown.clone())),
            None => ruling.breaches.push(Broken {
                member: None,
                measured: Value::from(self.members),
                missed: true,
            }),
        }
    }
}

/// Seconds until an RFC 3339 time; negative when it is past.
pub(super) fn seconds_left(text: &str, now: DateTime<Utc>) -> Option<f64> {
    let at = DateTime::parse_from_rfc3339(text).ok()?;
    let left = at.with_timezone(&Utc).signed_duration_since(now).num_milliseconds();
    // Milliseconds of ten thousand years stay exact in an f64.
    #[expect(clippy::cast_precision_loss, reason = "dates are bounded")]
    Some(left as f64 / 1_000.0)
}

fn clock_in_doubt() -> Unknown {
    Unknown::new(Reason::LocalError, "the clock stepped back")
}

fn odd_shape() -> Unknown {
    Unknown::new(Reason::NotObserved, "the value has not the shape that the catalogue says")
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: &f64| self.quantity.words(*value);
        let numbers = |values: &[f64]| values.iter().map(number).collect::<Vec<_>>().join(", ");
        match &self.test {
            Test::Absent => f.write_str("none"),
            Test::Drift => f.write_str("no drift"),
            Test::Present => f.write_str("present"),
            Test::Bounds { min: Some(min), max: Some(max) } => {
                write!(f, "from {} to {}", number(min), number(max))
            }
            Test::Bounds { min: Some(min), max: None } => write!(f, "at least {}", number(min)),
            Test::Bounds { min: None, max: Some(max) } => write!(f, "at most {}", number(max)),
            Test::Bounds { min: None, max: None } => f.write_str("anything"),
            Test::Numbers(values) if values.len() == 1 => f.write_str(&numbers(values)),
            Test::Numbers(values) => write!(f, "one of {}", numbers(values)),
            Test::NotNumbers(values) => write!(f, "none of {}", numbers(values)),
            Test::Truth(value) => write!(f, "{value}"),
            Test::Equals(words) => f.write_str(&listed(words)),
            Test::OneOf(words) => write!(f, "one of {}", listed(words)),
            Test::NoneOf(words) => write!(f, "none of {}", listed(words)),
            Test::AllOf(words) if words.len() == 1 => write!(f, "contains {}", listed(words)),
            Test::AllOf(words) => write!(f, "all of {}", listed(words)),
            Test::SubsetOf(words) => write!(f, "only {}", listed(words)),
            Test::Matches(regex) => write!(f, "matches /{regex}/"),
        }
    }
}

fn listed(words: &[Word]) -> String {
    let words: Vec<_> = words
        .iter()
        .map(|word| if word.written.is_empty() { "nothing" } else { word.written.as_str() })
        .collect();
    words.join(", ")
}

impl Quantity {
    /// A number with its unit, as people write it.
    pub(super) fn words(self, value: f64) -> String {
        match self {
            Self::Bits => format!("{value} bits"),
            Self::Bytes if value >= 0.0 && value.fract() == 0.0 => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "checked"
                )]
                let size = ByteSize(value as u64);
                size.to_string()
            }
            Self::Bytes | Self::Plain => format!("{value}"),
            Self::Left => format!("{} left", span_in_words(value)),
            Self::Seconds => span_in_words(value),
        }
    }
}
