//! One value or a list of them.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::config::at::At;

/// `x` or `[x, y]`; numbers as their digits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Many {
    pub(crate) items: Vec<At<String>>,
    pub(crate) span: Range<usize>,
}

impl<'de> Deserialize<'de> for Many {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let At { value, span } = At::<Items>::deserialize(deserializer)?;
        let items = match value {
            Items::List(items) => items,
            Items::One(item) => vec![At { value: item, span: span.clone() }],
        };
        Ok(Self { items, span })
    }
}

impl JsonSchema for Many {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Many".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": ["string", "integer"] },
                { "type": "array", "items": { "type": ["string", "integer"] } },
            ]
        })
    }
}

enum Items {
    List(Vec<At<String>>),
    One(String),
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Items;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a list of values")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Items, E> {
                Ok(Items::One(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Items, E> {
                Ok(Items::One(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Items, E> {
                Ok(Items::One(number.to_string()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Items::List(items))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}
