//! From the tree to the file's shapes, so that the text is parsed once. A scalar that is wanted as
//! text is the text as it stands: `0.10` stays `0.10`.

use std::fmt;
use std::ops::Range;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::at::AT;
use super::tree::{Kind, Node};

/// The value that the tree of this text is.
pub(super) fn from_tree<T: DeserializeOwned>(node: Node, text: &str) -> Result<T, Fault> {
    T::deserialize(Reader { node, text })
}

/// Why a tree is no such value, and where.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) span: Option<Range<usize>>,
    pub(super) message: String,
}

impl Fault {
    fn at(mut self, span: &Range<usize>) -> Self {
        self.span.get_or_insert_with(|| span.clone());
        self
    }
}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { span: None, message: message.to_string() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

struct Reader<'t> {
    node: Node,
    text: &'t str,
}

impl<'t> Reader<'t> {
    fn of(text: &'t str) -> impl FnMut(Node) -> Self {
        move |node| Reader { node, text }
    }

    fn string<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Reader { node, text } = self;
        let written = text.get(node.span.clone()).unwrap_or_default();
        let read = match node.kind {
            Kind::Text(text) => visitor.visit_string(text),
            Kind::Bool(_) | Kind::Float(_) | Kind::Integer(_) => visitor.visit_str(written),
            other => {
                return Reader { node: Node { kind: other, span: node.span }, text }
                    .deserialize_any(visitor);
            }
        };
        read.map_err(|fault: Fault| fault.at(&node.span))
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Reader { node: Node { kind, span }, text } = self;
        let read = match kind {
            Kind::Bool(is) => visitor.visit_bool(is),
            Kind::Float(number) => visitor.visit_f64(number),
            Kind::Integer(number) => match (u64::try_from(number), i64::try_from(number)) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, Ok(number)) => visitor.visit_i64(number),
                _ => visitor.visit_i128(number),
            },
            Kind::List(nodes) => {
                visitor.visit_seq(SeqDeserializer::new(nodes.into_iter().map(Reader::of(text))))
            }
            Kind::Map(entries) => {
                let mut reader = Reader::of(text);
                let entries = entries.into_iter().map(|(key, node)| (key.value, reader(node)));
                visitor.visit_map(MapDeserializer::new(entries))
            }
            Kind::Null => visitor.visit_unit(),
            Kind::Text(text) => visitor.visit_string(text),
        };
        read.map_err(|fault: Fault| fault.at(&span))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.kind {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if name != AT {
            return visitor.visit_newtype_struct(self);
        }
        let Range { start, end } = self.node.span;
        visitor.visit_seq(Placed { value: Some(self), place: [start, end].into_iter() })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// What [`At`](super::at::At) reads: the value, then where it begins, then where it ends.
struct Placed<'t> {
    value: Option<Reader<'t>>,
    place: std::array::IntoIter<usize, 2>,
}

impl<'de> SeqAccess<'de> for Placed<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        if let Some(value) = self.value.take() {
            return seed.deserialize(value).map(Some);
        }
        self.place.next().map(|at| seed.deserialize(at.into_deserializer())).transpose()
    }
}

impl<'de> IntoDeserializer<'de, Fault> for Reader<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
