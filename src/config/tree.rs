//! The file as it is written: every node with its place, every key with its own.

use std::fmt;
use std::ops::Range;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;

use super::at::{At, bytes_of};

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) span: Range<usize>,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Bool(bool),
    Float(f64),
    Integer(i128),
    List(Vec<Node>),
    Map(Vec<(At<String>, Node)>),
    Null,
    Text(String),
}

impl Node {
    /// What a node is, in words of a message.
    pub(crate) fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Bool(_) => "true or false",
            Kind::Float(_) => "a number",
            Kind::Integer(_) => "a whole number",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
            Kind::Null => "nothing",
            Kind::Text(_) => "text",
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self { kind: spanned.value, span: bytes_of(&spanned.defined) })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Kind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_bool<E>(self, is: bool) -> Result<Kind, E> {
                Ok(Kind::Bool(is))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Kind, E> {
                Ok(Kind::Integer(number.into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Kind, E> {
                Ok(Kind::Integer(number.into()))
            }

            fn visit_i128<E>(self, number: i128) -> Result<Kind, E> {
                Ok(Kind::Integer(number))
            }

            fn visit_u128<E>(self, number: u128) -> Result<Kind, E> {
                Ok(Kind::Float(number as f64))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Kind, E> {
                Ok(Kind::Float(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Kind, E> {
                Ok(Kind::Text(text.to_owned()))
            }

            fn visit_unit<E>(self) -> Result<Kind, E> {
                Ok(Kind::Null)
            }

            fn visit_none<E>(self) -> Result<Kind, E> {
                Ok(Kind::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Kind, D::Error> {
                Kind::deserialize(inner)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
                let mut nodes = Vec::new();
                while let Some(node) = seq.next_element()? {
                    nodes.push(node);
                }
                Ok(Kind::List(nodes))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
                let mut entries = Vec::new();
                while let Some((key, node)) = map.next_entry::<Spanned<String>, Node>()? {
                    let span = bytes_of(&key.defined);
                    entries.push((At { value: key.value, span }, node));
                }
                Ok(Kind::Map(entries))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
