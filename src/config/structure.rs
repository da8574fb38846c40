//! Holds the tree against the schema: unknown keys, missing keys, values of the wrong kind. All of
//! them are found in one walk, where serde would stop at the first.

use std::ops::Range;

use serde_json::{Map, Value};

use super::at::At;
use super::diagnostics::did_you_mean;
use super::tree::{Kind, Node};

/// One mistake in the file's structure.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// Whether serde can still read the file around it.
    pub(super) is_readable: bool,
}

/// Every misfit of the tree, in the order of the file.
pub(super) fn misfits(root: &Node, schema: &Value) -> Vec<Misfit> {
    let mut walk = Walk { root: schema, found: Vec::new() };
    // An empty file is a file without any block.
    if !matches!(root.kind, Kind::Null) {
        walk.node(root, schema, "the file", 0);
    }
    walk.found
}

struct Walk<'a> {
    root: &'a Value,
    found: Vec<Misfit>,
}

impl<'a> Walk<'a> {
    fn node(&mut self, node: &Node, schema: &'a Value, name: &str, depth: usize) {
        // The schema is recursive (pins by subnet); the parser bounds the tree's depth as well.
        if depth > MAX_DEPTH {
            return;
        }
        let schema = self.resolve(schema);
        if let Some(words) = words_of(schema) {
            return self.word(node, &words, name);
        }
        if let Some(variants) = variants_of(schema) {
            let fitting = variants.iter().find(|variant| self.takes(node, variant));
            return match fitting {
                Some(variant) => self.node(node, variant, name, depth + 1),
                None => self.mismatch(node, schema, name),
            };
        }
        if !self.takes(node, schema) {
            return self.mismatch(node, schema, name);
        }
        match &node.kind {
            Kind::Map(entries) => self.map(node, entries, schema, depth),
            Kind::List(items) => {
                if let Some(inner) = schema.get("items") {
                    for item in items {
                        self.node(item, inner, name, depth + 1);
                    }
                }
            }
            Kind::Integer(number) => self.bounds(node, *number, schema, name),
            _ => {}
        }
    }

    fn map(
        &mut self,
        node: &Node,
        entries: &[(At<String>, Node)],
        schema: &'a Value,
        depth: usize,
    ) {
        let properties = properties_of(schema);
        for (key, value) in entries {
            // A block whose lines are all commented out is a block that is not there.
            if depth == 0 && matches!(value.kind, Kind::Null) {
                self.known_block(key, properties_of(schema));
                continue;
            }
            let property = properties.and_then(|properties| properties.get(&key.value));
            match (property, schema.get("additionalProperties")) {
                (Some(inner), _) => self.node(value, inner, &key.value, depth + 1),
                (None, Some(Value::Bool(false))) => self.unknown_key(key, properties),
                (None, Some(inner)) => self.node(value, inner, &key.value, depth + 1),
                (None, None) => {}
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for missing in required.filter_map(Value::as_str) {
            if !entries.iter().any(|(key, _)| key.value == missing) {
                let first = entries.first().map(|(key, _)| key.span.clone());
                self.found.push(Misfit {
                    span: first.unwrap_or_else(|| node.span.clone()),
                    message: format!("`{missing}` is missing here"),
                    help: None,
                    is_readable: false,
                });
            }
        }
    }

    fn known_block(&mut self, key: &At<String>, known: Option<&Map<String, Value>>) {
        if !known.is_some_and(|known| known.contains_key(&key.value)) {
            self.unknown_key(key, known);
        }
    }

    fn unknown_key(&mut self, key: &At<String>, known: Option<&Map<String, Value>>) {
        let known: Vec<&str> = known.into_iter().flat_map(Map::keys).map(String::as_str).collect();
        let help = did_you_mean(&key.value, known.iter().copied());
        self.found.push(Misfit {
            span: key.span.clone(),
            message: format!("unknown key `{}`", key.value),
            help: help.or_else(|| Some(format!("the keys here are {}", known.join(", ")))),
            is_readable: true,
        });
    }

    fn word(&mut self, node: &Node, words: &[&str], name: &str) {
        let Kind::Text(text) = &node.kind else {
            return self.misfit(node, format!("`{name}` takes one of {}", words.join(", ")));
        };
        if !words.contains(&text.as_str()) {
            self.found.push(Misfit {
                span: node.span.clone(),
                message: format!("`{text}` is none of {}", words.join(", ")),
                help: did_you_mean(text, words.iter().copied()),
                is_readable: true,
            });
        }
    }

    fn bounds(&mut self, node: &Node, number: i128, schema: &Value, name: &str) {
        let bound = |key| schema.get(key).and_then(Value::as_i64).map(i128::from);
        let (low, high) = (bound("minimum"), bound("maximum"));
        if low.is_some_and(|low| number < low) || high.is_some_and(|high| number > high) {
            let text = match (low, high) {
                (Some(low), Some(high)) => format!("`{name}` lies between {low} and {high}"),
                (Some(low), None) => format!("`{name}` is at least {low}"),
                _ => format!("`{name}` is too large"),
            };
            self.misfit(node, text);
        }
    }

    fn mismatch(&mut self, node: &Node, schema: &Value, name: &str) {
        let mut wanted = Vec::new();
        self.kinds_wanted(schema, &mut wanted);
        let wanted = if wanted.is_empty() { vec!["another value"] } else { wanted };
        let message =
            format!("`{name}` takes {}, but this is {}", wanted.join(" or "), node.kind_name());
        self.misfit(node, message);
    }

    fn misfit(&mut self, node: &Node, message: String) {
        let span = node.span.clone();
        self.found.push(Misfit { span, message, help: None, is_readable: false });
    }

    /// Whether the node's kind is one that the schema takes.
    fn takes(&self, node: &Node, schema: &Value) -> bool {
        let schema = self.resolve(schema);
        if words_of(schema).is_some() {
            return matches!(node.kind, Kind::Text(_));
        }
        if let Some(variants) = variants_of(schema) {
            return variants.iter().any(|variant| self.takes(node, variant));
        }
        let kinds = kinds_of(schema);
        kinds.is_empty()
            || kinds.into_iter().any(|kind| match (kind, &node.kind) {
                ("object", Kind::Map(_))
                | ("array", Kind::List(_))
                | ("boolean", Kind::Bool(_))
                | ("integer", Kind::Integer(_))
                | ("number", Kind::Integer(_) | Kind::Float(_))
                | ("null", Kind::Null) => true,
                // YAML guesses; where text is wanted, a scalar is the text as it stands.
                ("string", kind) => !matches!(kind, Kind::List(_) | Kind::Map(_) | Kind::Null),
                _ => false,
            })
    }

    fn kinds_wanted(&self, schema: &Value, wanted: &mut Vec<&'static str>) {
        let schema = self.resolve(schema);
        for variant in variants_of(schema).into_iter().flatten() {
            self.kinds_wanted(variant, wanted);
        }
        for kind in kinds_of(schema) {
            let word = match kind {
                "object" => "a map",
                "array" => "a list",
                "boolean" => "true or false",
                "integer" => "a whole number",
                "number" => "a number",
                "string" => "text",
                _ => continue,
            };
            if !wanted.contains(&word) {
                wanted.push(word);
            }
        }
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value
    where
        Self: 'a,
    {
        let mut schema = schema;
        for _ in 0..MAX_DEPTH {
            let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { break };
            let Some(found) = self.root.pointer(reference.trim_start_matches('#')) else { break };
            schema = found;
        }
        schema
    }
}

fn properties_of(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}

fn kinds_of(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn variants_of(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array)
}

/// The words of an enumeration; schemars writes `oneOf` constants where they have documentation.
fn words_of(schema: &Value) -> Option<Vec<&str>> {
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.iter().map(Value::as_str).collect();
    }
    let variants = schema.get("oneOf")?.as_array()?;
    let words: Option<Vec<Vec<&str>>> = variants
        .iter()
        .map(|variant| match variant.get("const") {
            Some(word) => word.as_str().map(|word| vec![word]),
            None => words_of(variant),
        })
        .collect();
    words.map(|words| words.concat())
}

const MAX_DEPTH: usize = 64;
