//! Reading ranges: an operator and its literal, held against the measurement's kind and unit.

use regex::RegexBuilder;

use super::error::{Mistake, Position};
use super::node::{Key, Node, Tree};
use super::range::{Quantity, Range, Test, Word};
use crate::sample::{Kind, Measure, Unit};
use crate::target::{ByteSize, Span};

/// Every operator.
pub(super) const OPERATORS: [&str; 12] = [
    "min",
    "max",
    "equals",
    "one_of",
    "all_of",
    "none_of",
    "subset_of",
    "contains",
    "matches",
    "absent",
    "present",
    "drift",
];

/// Whether a key names an operator.
pub(super) fn is_operator(word: &str) -> bool {
    OPERATORS.contains(&word)
}

/// The kind of one value of the measurement: a map's values are judged one by one.
pub(super) fn leaf(kind: Kind) -> Kind {
    match kind {
        Kind::MapOf(inner) => leaf(*inner),
        kind => kind,
    }
}

/// Reads one range; `min` and `max` may stand together. All mistakes are added to `mistakes`.
pub(super) fn read_range(
    measure: &Measure,
    written: &[(&Key, &Node)],
    at: Position,
    mistakes: &mut Vec<Mistake>,
) -> Option<Range> {
    let quantity = quantity(measure);
    let mut range: Option<Range> = None;
    let before = mistakes.len();
    for (key, node) in written {
        let test = match read_test(measure, &key.word, key.at, node) {
            Ok(test) => test,
            Err(mistake) => {
                mistakes.push(mistake);
                continue;
            }
        };
        range = match (range.take(), test) {
            (None, test) => Some(Range { test, quantity }),
            (
                Some(Range { test: Test::Bounds { min, max }, .. }),
                Test::Bounds { min: other_min, max: other_max },
            ) => {
                let test = Test::Bounds { min: min.or(other_min), max: max.or(other_max) };
                Some(Range { test, quantity })
            }
            (Some(range), _) => {
                mistakes.push(
                    Mistake::new(key.at, format!("`{}` is a second range operator", key.word))
                        .help("a range has one operator; only min and max stand together"),
                );
                Some(range)
            }
        };
    }
    if let Some(Range { test: Test::Bounds { min: Some(min), max: Some(max) }, .. }) = &range
        && min > max
    {
        mistakes.push(Mistake::new(at, "min is greater than max"));
    }
    if written.is_empty() {
        mistakes.push(
            Mistake::new(at, "there is no range operator")
                .help(format!("give one of {}", fitting(measure.kind).join(", "))),
        );
    }
    range.filter(|_| mistakes.len() == before)
}

fn quantity(measure: &Measure) -> Quantity {
    match (leaf(measure.kind), measure.unit) {
        (Kind::Timestamp, _) => Quantity::Left,
        (_, Unit::Bits) => Quantity::Bits,
        (_, Unit::Bytes) => Quantity::Bytes,
        (_, Unit::Seconds) => Quantity::Seconds,
        (_, Unit::None) => Quantity::Plain,
    }
}

/// The operators that a kind can be asked.
fn fitting(kind: Kind) -> &'static [&'static str] {
    match leaf(kind) {
        Kind::Bool => &["equals"],
        Kind::Integer | Kind::Number => &["min", "max", "equals", "one_of", "none_of"],
        Kind::Items => &["absent", "present", "drift"],
        Kind::Object | Kind::MapOf(_) => &[],
        Kind::Set => &[
            "equals",
            "one_of",
            "all_of",
            "none_of",
            "subset_of",
            "contains",
            "matches",
            "absent",
            "present",
        ],
        Kind::Text => &["equals", "one_of", "none_of", "matches", "absent", "present"],
        Kind::Timestamp => &["min", "max"],
    }
}

fn read_test(
    measure: &Measure,
    operator: &str,
    at: Position,
    node: &Node,
) -> Result<Test, Mistake> {
    let fitting = fitting(measure.kind);
    let drift_elsewhere = operator == "drift" && !measure.path.ends_with("drift");
    if !fitting.contains(&operator) || drift_elsewhere {
        let known: Vec<_> = fitting.iter().filter(|fit| **fit != "drift").copied().collect();
        return Err(Mistake::new(at, format!("`{operator}` cannot be asked of {}", measure.path))
            .help(format!("{} takes {}", kind_words(measure.kind), known.join(", "))));
    }
    let kind = leaf(measure.kind);
    match (operator, kind) {
        ("absent", _) => flag(node, "absent").map(|()| Test::Absent),
        ("present", _) => flag(node, "present").map(|()| Test::Present),
        ("drift", _) => match node.scalar().as_deref() {
            Some("none" | "false") => Ok(Test::Drift),
            _ => Err(Mistake::new(node.at, "drift is held to none").help("write `drift: none`")),
        },
        ("matches", _) => pattern(node).map(Test::Matches),
        ("min", _) => Ok(Test::Bounds { min: Some(number(measure, node)?), max: None }),
        ("max", _) => Ok(Test::Bounds { min: None, max: Some(number(measure, node)?) }),
        ("equals", Kind::Bool) => match node.tree {
            Tree::Bool(value) => Ok(Test::Truth(value)),
            _ => Err(wrong(node, "true or false")),
        },
        ("equals", Kind::Integer | Kind::Number) => Ok(Test::Numbers(vec![number(measure, node)?])),
        ("one_of", Kind::Integer | Kind::Number) => numbers(measure, node).map(Test::Numbers),
        ("none_of", Kind::Integer | Kind::Number) => numbers(measure, node).map(Test::NotNumbers),
        ("equals", Kind::Text) => match node.scalar() {
            Some(text) => Ok(Test::Equals(vec![Word::new(&text)])),
            None => Err(wrong(node, "a word")),
        },
        ("equals", _) => plain_words(node, operator).map(Test::Equals),
        ("one_of", _) => words(node).map(Test::OneOf),
        ("none_of", _) => words(node).map(Test::NoneOf),
        ("subset_of", _) => words(node).map(Test::SubsetOf),
        _ => plain_words(node, operator).map(Test::AllOf),
    }
}

/// What a kind is, for messages.
fn kind_words(kind: Kind) -> &'static str {
    match leaf(kind) {
        Kind::Bool => "a truth value",
        Kind::Integer | Kind::Number => "a number",
        Kind::Items => "a list of objects",
        Kind::Object | Kind::MapOf(_) => "an object",
        Kind::Set => "a set of words",
        Kind::Text => "a text",
        Kind::Timestamp => "a time",
    }
}

fn wrong(node: &Node, expected: &str) -> Mistake {
    Mistake::new(node.at, format!("expected {expected}, found {}", node.what()))
}

fn flag(node: &Node, operator: &str) -> Result<(), Mistake> {
    match node.tree {
        Tree::Bool(true) => Ok(()),
        _ => {
            let other = if operator == "absent" { "present" } else { "absent" };
            let found = node.scalar().unwrap_or_else(|| node.what().to_owned());
            let message = format!("expected true, found {found}");
            Err(Mistake::new(node.at, message)
                .help(format!("write `{operator}: true` or `{other}: true`")))
        }
    }
}

fn pattern(node: &Node) -> Result<regex::Regex, Mistake> {
    let Tree::Text(text) = &node.tree else { return Err(wrong(node, "a regular expression")) };
    // Linear in time by construction; the limits bound memory.
    RegexBuilder::new(text).size_limit(1 << 18).dfa_size_limit(1 << 18).build().map_err(|error| {
        let words = error.to_string();
        let last = words.lines().last().unwrap_or_default().trim();
        let last = last.trim_start_matches("error: ");
        Mistake::new(node.at, format!("the regular expression cannot be read: {last}"))
    })
}

fn words(node: &Node) -> Result<Vec<Word>, Mistake> {
    let items = match &node.tree {
        Tree::List(items) => items.as_slice(),
        Tree::Null | Tree::Map(_) => return Err(wrong(node, "a list of words")),
        _ => std::slice::from_ref(node),
    };
    if items.is_empty() {
        return Err(Mistake::new(node.at, "the list is empty"));
    }
    items
        .iter()
        .map(|item| item.scalar().map(|text| Word::new(&text)).ok_or_else(|| wrong(item, "a word")))
        .collect()
}

fn plain_words(node: &Node, operator: &str) -> Result<Vec<Word>, Mistake> {
    let words = words(node)?;
    if words.iter().any(Word::is_pattern) {
        let message = format!("`*` has no meaning in {operator}: its words are looked for as such");
        return Err(Mistake::new(node.at, message).help("write `\\*` for the character itself"));
    }
    Ok(words)
}

fn numbers(measure: &Measure, node: &Node) -> Result<Vec<f64>, Mistake> {
    match &node.tree {
        Tree::List(items) if !items.is_empty() => {
            items.iter().map(|item| number(measure, item)).collect()
        }
        _ => Err(wrong(node, "a list of numbers")),
    }
}

/// A number in the measurement's own unit.
fn number(measure: &Measure, node: &Node) -> Result<f64, Mistake> {
    let text = node.scalar().unwrap_or_default();
    let plain = || text.parse::<f64>().ok().filter(|number| number.is_finite());
    let (value, example) = match quantity(measure) {
        Quantity::Left | Quantity::Seconds => {
            (text.parse::<Span>().ok().map(|span| span.0.as_secs_f64()), "a duration such as 21d")
        }
        Quantity::Bytes => {
            let size = text.parse::<ByteSize>().ok().map(|size| size.0);
            let size = size.or_else(|| (text == "0").then_some(0));
            #[expect(clippy::cast_precision_loss, reason = "sizes below 8 PiB are exact")]
            let value = size.map(|bytes| bytes as f64);
            (value, "a size such as 64KiB")
        }
        Quantity::Bits => (plain().or_else(|| bits(&text)), "a number of bits such as 2048"),
        Quantity::Plain => (plain(), "a number"),
    };
    value.ok_or_else(|| {
        let found = if text.is_empty() { node.what().to_owned() } else { format!("`{text}`") };
        Mistake::new(node.at, format!("{} is not {example}", found)).help(format!(
            "{} is measured in {}",
            measure.path,
            unit_words(measure)
        ))
    })
}

fn bits(text: &str) -> Option<f64> {
    text.strip_suffix("bits")?.trim_end().parse().ok()
}

fn unit_words(measure: &Measure) -> &'static str {
    match quantity(measure) {
        Quantity::Bits => "bits",
        Quantity::Bytes => "bytes",
        Quantity::Left => "the time left until it",
        Quantity::Plain => "plain numbers",
        Quantity::Seconds => "time",
    }
}
