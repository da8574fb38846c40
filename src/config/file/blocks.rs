//! The smaller blocks.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::at::At;

/// What may ever be contacted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Scope {
    /// `example.com` is itself, `*.example.com` every name below it. Names cover their public
    /// addresses.
    pub(crate) names: Vec<At<String>>,
    /// CIDRs. Whatever is not public must be here, and only here every port may be scanned.
    pub(crate) networks: Vec<At<String>>,
}

/// How often and how: one of `every`, `cron` and `detect`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Plan {
    /// An interval, such as 15m.
    pub(crate) every: Option<At<String>>,
    /// crontab(5): minute, hour, day, month, weekday; seconds may stand in front.
    pub(crate) cron: Option<At<String>>,
    /// The time zone of `cron`; UTC if not said.
    pub(crate) time_zone: Option<At<String>>,
    /// A guarantee.
    pub(crate) detect: Option<At<Detect>>,
}

/// A fault on at least `prevalence` of connections is seen `within` a time, with `confidence`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Detect {
    /// The window.
    pub(crate) within: At<String>,
    /// The share of connections, such as 10%.
    #[schemars(with = "Share")]
    pub(crate) prevalence: At<String>,
    /// The confidence, such as 99%.
    #[schemars(with = "Share")]
    pub(crate) confidence: At<String>,
}

/// Which rules apply.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Rules {
    /// Glob patterns of own rule packs.
    pub(crate) packs: Vec<At<String>>,
    /// Rules that do not apply.
    pub(crate) disable: Vec<At<String>>,
}

/// An accepted risk.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Exception {
    /// The rule.
    pub(crate) rule: At<String>,
    /// The target.
    pub(crate) target: At<String>,
    /// The subject, all if not said.
    #[serde(default)]
    pub(crate) subject: Option<At<String>>,
    /// Why.
    pub(crate) reason: At<String>,
    /// Who accepted it.
    pub(crate) approved_by: At<String>,
    /// The last day it holds, YYYY-MM-DD.
    pub(crate) until: At<String>,
}

/// A window.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Maintenance {
    /// When it opens, crontab(5).
    pub(crate) cron: At<String>,
    /// The time zone of `cron`; UTC if not said.
    #[serde(default)]
    pub(crate) time_zone: Option<At<String>>,
    /// How long it is open.
    pub(crate) lasts: At<String>,
    /// Labels of the targets it is for; all if empty.
    #[serde(default)]
    pub(crate) targets: BTreeMap<String, At<String>>,
    /// `mute`: sampled, nobody is told; `pause`: not sampled.
    #[serde(default)]
    #[schemars(with = "Option<Effect>")]
    pub(crate) effect: Option<At<String>>,
}

/// What a maintenance window does.
#[derive(Clone, Copy, Debug, Default, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Sampled, but nobody is told.
    #[default]
    Mute,
    /// Not sampled.
    Pause,
}

/// How many connections or queries may be begun a second: N, or N/s.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Budgets {
    /// To one address.
    pub(crate) per_address: Option<PerProbe>,
    /// To one /24 or /48.
    pub(crate) per_network: Option<PerProbe>,
    /// Altogether.
    pub(crate) total: Option<PerProbe>,
}

/// One rate for all probes, or one for each.
#[derive(Debug)]
pub(crate) enum PerProbe {
    Each(BTreeMap<String, At<String>>),
    One(At<String>),
}

impl<'de> Deserialize<'de> for PerProbe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        enum Shape {
            Each(BTreeMap<String, At<String>>),
            One(String),
        }

        struct EachOrOne;

        impl<'de> Visitor<'de> for EachOrOne {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rate, or a rate for each probe")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Shape, E> {
                Ok(Shape::One(text.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Shape, E> {
                Ok(Shape::One(number.to_string()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Shape, E> {
                Ok(Shape::One(number.to_string()))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Shape, E> {
                Ok(Shape::One(number.to_string()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
                let mut each = BTreeMap::new();
                while let Some((probe, rate)) = map.next_entry()? {
                    each.insert(probe, rate);
                }
                Ok(Shape::Each(each))
            }
        }

        impl<'de> Deserialize<'de> for Shape {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(EachOrOne)
            }
        }

        let at = At::<Shape>::deserialize(deserializer)?;
        Ok(match at.value {
            Shape::Each(each) => Self::Each(each),
            Shape::One(rate) => Self::One(At { value: rate, span: at.span }),
        })
    }
}

impl JsonSchema for PerProbe {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PerProbe".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rate = generator.subschema_for::<Rate>();
        json_schema!({
            "anyOf": [
                rate,
                {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": { "tls": rate, "http": rate, "ports": rate, "dns": rate },
                },
            ]
        })
    }
}

/// The schema of a rate.
pub(crate) struct Rate;

impl JsonSchema for Rate {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number"],
            "pattern": r"^[0-9]+(\.[0-9]+)?(/(s|m|h))?$",
            "description": "connections or queries begun a second: N, N/s, N/m or N/h",
        })
    }
}

/// The schema of a share.
struct Share;

impl JsonSchema for Share {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number"],
            "pattern": r"^[0-9]+(\.[0-9]+)? ?%?$",
            "description": "a share: 10%, or 0.1",
        })
    }
}

/// The listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Web {
    /// ADDRESS:PORT; 127.0.0.1:9640 if not said.
    pub(crate) listen: Option<At<String>>,
    /// exporter-toolkit's web configuration file: TLS, client certificates, basic auth.
    pub(crate) config_file: Option<At<String>>,
    /// Where people reach this daemon; goes into alerts.
    pub(crate) external_url: Option<At<String>>,
    /// Who may do what.
    pub(crate) tokens: Vec<At<Token>>,
    /// Serve everything beyond loopback without authentication.
    pub(crate) allow_unauthenticated: bool,
}

/// A token.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Token {
    /// The name that is kept as actor.
    pub(crate) name: At<String>,
    /// A file with the token in it.
    pub(crate) token_file: At<String>,
    /// What its bearer may do.
    #[schemars(with = "Vec<Right>")]
    pub(crate) may: Vec<At<String>>,
}

/// What a token allows.
#[derive(Clone, Copy, Debug, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Accept a baseline.
    Baseline,
    /// Mark a deployment.
    Deploy,
    /// Make an exception.
    Exception,
    /// Reload the config.
    Reload,
    /// Ask for a sample now.
    Sample,
}

/// Where state is kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Data {
    /// The folder, or `none`.
    pub(crate) dir: Option<At<String>>,
    /// How long samples are kept.
    pub(crate) retention: Option<At<String>>,
    /// The most disk the ledger may take.
    pub(crate) max_size: Option<At<String>>,
    /// The schedule's seed; `seed` in the folder if not said.
    pub(crate) seed_file: Option<At<String>>,
}
