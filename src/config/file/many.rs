//! One value, a list of them, or one for each name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
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
        match value {
            Items::List(items) => Ok(Self { items, span }),
            Items::One(value) => Ok(Self { items: vec![At { value, span: span.clone() }], span }),
            Items::Each(_) => Err(de::Error::custom("a value or a list of values, not a map")),
        }
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

/// A map of texts, or [`Many`]. What is written here has a schema of its own.
#[derive(Debug)]
pub(crate) enum EachOrMany {
    Each(At<BTreeMap<String, At<String>>>),
    Many(Many),
}

impl<'de> Deserialize<'de> for EachOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let At { value, span } = At::<Items>::deserialize(deserializer)?;
        Ok(match value {
            Items::Each(each) => Self::Each(At { value: each, span }),
            Items::List(items) => Self::Many(Many { items, span }),
            Items::One(value) => {
                let items = vec![At { value, span: span.clone() }];
                Self::Many(Many { items, span })
            }
        })
    }
}

impl EachOrMany {
    /// Where it stands.
    pub(crate) fn span(&self) -> &Range<usize> {
        match self {
            Self::Each(each) => &each.span,
            Self::Many(many) => &many.span,
        }
    }
}

enum Items {
    Each(BTreeMap<String, At<String>>),
    List(Vec<At<String>>),
    One(String),
}

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Items;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, a list or a map of values")
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

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Items, E> {
                Ok(Items::One(number.to_string()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Items, A::Error> {
                let mut each = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    each.insert(name, value);
                }
                Ok(Items::Each(each))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Items::List(items))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
