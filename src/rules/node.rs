//! YAML as a tree with positions, so that one pass over a pack finds every mistake in it. Scalars
//! keep the text they were written as: `8.20` is a control, not 8.2.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use super::error::{Mistake, Position};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) tree: Tree,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    /// A number, as written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    pub(super) at: Position,
    pub(super) word: String,
}

impl Node {
    /// Reads one YAML document.
    pub(super) fn read(text: &str) -> Result<Self, Mistake> {
        if text.len() > MAX_TEXT {
            let message = format!("the file is larger than {MAX_TEXT} bytes");
            return Err(Mistake::new(Position::default(), message));
        }
        let mut options = serde_saphyr::Options::default();
        options.strict_booleans = true;
        options.with_snippet = false;
        options.duplicate_keys = DuplicateKeyPolicy::Error;
        if let Some(budget) = &mut options.budget {
            budget.max_depth = MAX_DEPTH;
        }
        let raw: Spanned<Raw> =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| {
                let at = error.location().map_or_else(Position::default, position);
                let words = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
                let first = words.lines().next().unwrap_or_default();
                let message = first.split(" at line ").next().unwrap_or(first);
                Mistake::new(at, message.trim_start_matches("error: "))
            })?;
        Ok(Self::new(raw, text))
    }

    /// The same tree out of JSON, without positions.
    pub(super) fn from_json(value: &Value) -> Self {
        let tree = match value {
            Value::Null => Tree::Null,
            Value::Bool(value) => Tree::Bool(*value),
            Value::Number(number) => Tree::Number(number.to_string()),
            Value::String(text) => Tree::Text(text.clone()),
            Value::Array(items) => Tree::List(items.iter().map(Self::from_json).collect()),
            Value::Object(map) => {
                let key = |word: &String| Key { at: Position::default(), word: word.clone() };
                Tree::Map(map.iter().map(|(k, v)| (key(k), Self::from_json(v))).collect())
            }
        };
        Self { at: Position::default(), tree }
    }

    fn new(raw: Spanned<Raw>, text: &str) -> Self {
        let at = position(raw.referenced);
        let tree = match raw.value {
            Raw::Null => Tree::Null,
            Raw::Bool(value) => Tree::Bool(value),
            Raw::Number(number) => {
                let span = raw.defined.span();
                let written =
                    span.byte_offset().zip(span.byte_len()).and_then(|(start, length)| {
                        let start = usize::try_from(start).ok()?;
                        text.get(start..start.checked_add(usize::try_from(length).ok()?)?)
                    });
                Tree::Number(written.map_or(number, |written| written.trim().to_owned()))
            }
            Raw::Text(text) => Tree::Text(text),
            Raw::List(items) => Tree::List(items.into_iter().map(|i| Self::new(i, text)).collect()),
            Raw::Map(entries) => Tree::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let key = Key { at: position(key.referenced), word: key.value };
                        (key, Self::new(value, text))
                    })
                    .collect(),
            ),
        };
        Self { at, tree }
    }

    /// The scalar as it was written.
    pub(super) fn scalar(&self) -> Option<String> {
        match &self.tree {
            Tree::Bool(value) => Some(value.to_string()),
            Tree::Number(text) | Tree::Text(text) => Some(text.clone()),
            Tree::Null | Tree::List(_) | Tree::Map(_) => None,
        }
    }

    /// What it is, for messages.
    pub(super) fn what(&self) -> &'static str {
        match &self.tree {
            Tree::Null => "nothing",
            Tree::Bool(_) => "true or false",
            Tree::Number(_) => "a number",
            Tree::Text(_) => "a text",
            Tree::List(_) => "a list",
            Tree::Map(_) => "a map",
        }
    }
}

fn position(location: Location) -> Position {
    Position { line: location.line(), column: location.column() }
}

enum Raw {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

/// More than any person writes.
const MAX_TEXT: usize = 1 << 20;
const MAX_DEPTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(node: &Node, key: &str) -> Node {
        let Tree::Map(entries) = &node.tree else { panic!("no map") };
        entries.iter().find(|(k, _)| k.word == key).map(|(_, v)| v.clone()).expect(key)
    }

    #[test]
    fn scalars_keep_their_text_and_everything_its_place() {
        let node = Node::read("a: [8.20, 0x10, 21d, no, true]\nb:\n  - ~\n").expect("YAML");
        let a = entry(&node, "a");
        assert_eq!(a.at, Position { line: 1, column: 4 });
        let Tree::List(items) = a.tree else { panic!("no list") };
        let texts: Vec<_> = items.iter().filter_map(Node::scalar).collect();
        assert_eq!(texts, ["8.20", "0x10", "21d", "no", "true"]);
        assert_eq!(items[1].at, Position { line: 1, column: 11 });
        let Tree::List(items) = entry(&node, "b").tree else { panic!("no list") };
        assert_eq!(items[0].tree, Tree::Null);
    }

    #[test]
    fn broken_yaml_and_repeated_keys_have_a_position() {
        let repeated = Node::read("a: 1\nb: 2\na: 3\n").expect_err("repeated");
        assert_eq!(repeated.at.line, 3, "{repeated:?}");
        let deep = Node::read(&"[".repeat(5_000)).expect_err("deep");
        assert!(!deep.message.is_empty());
        let broken = Node::read("a: [1\nb: 2").expect_err("broken");
        assert!(broken.at.line > 0 && !broken.message.is_empty(), "{broken:?}");
    }
}
