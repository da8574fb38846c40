//! The politeness budget as the config writes it.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Budget, Rate};
use crate::target::ProbeKind;

/// Contacts begun: to one address, to one network (/24 or /48), and in all. A written value
/// replaces the default; there is no second limit behind it.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetSpec {
    /// To one address: one value for all probes, or one a probe.
    pub per_address: PerAddress,
    /// To one /24 or /48.
    pub per_network: Rate,
    /// In all.
    pub total: Rate,
}

impl Default for BudgetSpec {
    fn default() -> Self {
        Self {
            per_address: PerAddress::default(),
            per_network: Rate::default_of(50.0),
            total: Rate::default_of(200.0),
        }
    }
}

impl BudgetSpec {
    /// The budget with every default filled in.
    pub fn compile(&self) -> Budget {
        Budget {
            per_address: ProbeKind::ALL.map(|probe| self.per_address.of(probe)),
            per_network: Some(self.per_network),
            total: Some(self.total),
        }
    }
}

/// `2/s`, or `{tls: 2/s, ports: 20/s}`; a probe that is not named keeps its default.
#[derive(Clone, Debug, PartialEq)]
pub enum PerAddress {
    /// A value for some probes.
    Each(BTreeMap<ProbeKind, Rate>),
    /// One value for every probe.
    One(Rate),
}

impl PerAddress {
    /// The rate of one probe.
    pub fn of(&self, probe: ProbeKind) -> Rate {
        let rate = match self {
            Self::Each(rates) => rates.get(&probe).copied(),
            Self::One(rate) => Some(*rate),
        };
        rate.unwrap_or(match probe {
            ProbeKind::Tls | ProbeKind::Http => Rate::default_of(2.0),
            ProbeKind::Ports => Rate::default_of(20.0),
            ProbeKind::Dns => Rate::default_of(5.0),
        })
    }
}

impl Default for PerAddress {
    fn default() -> Self {
        Self::Each(BTreeMap::new())
    }
}

impl<'de> Deserialize<'de> for PerAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrEach;

        impl<'de> Visitor<'de> for OneOrEach {
            type Value = PerAddress;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rate such as 2/s, or rates of tls, http, ports and dns")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PerAddress, E> {
                text.parse().map(PerAddress::One).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PerAddress, A::Error> {
                let mut rates = BTreeMap::new();
                while let Some((probe, rate)) = map.next_entry()? {
                    rates.insert(probe, rate);
                }
                Ok(PerAddress::Each(rates))
            }
        }

        deserializer.deserialize_any(OneOrEach)
    }
}

impl Serialize for PerAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Each(rates) => rates.serialize(serializer),
            Self::One(rate) => rate.serialize(serializer),
        }
    }
}

impl JsonSchema for PerAddress {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PerAddress".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rate = generator.subschema_for::<Rate>();
        json_schema!({
            "anyOf": [
                rate,
                {
                    "type": "object",
                    "properties": { "tls": rate, "http": rate, "ports": rate, "dns": rate },
                    "additionalProperties": false,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(json: &str) -> Vec<f64> {
        let spec: BudgetSpec = serde_json::from_str(json).expect(json);
        let budget = spec.compile();
        let rest = [budget.per_network, budget.total].map(|rate| rate.expect("a rate"));
        budget.per_address.into_iter().chain(rest).map(Rate::hertz).collect()
    }

    #[test]
    fn a_written_value_replaces_its_default_and_no_other() {
        assert_eq!(rates("{}"), [2.0, 2.0, 20.0, 5.0, 50.0, 200.0]);
        assert_eq!(rates(r#"{"per_address": "30/m"}"#), [0.5, 0.5, 0.5, 0.5, 50.0, 200.0]);
        assert_eq!(
            rates(r#"{"per_address": {"ports": "100/s"}, "total": "1/s"}"#),
            [2.0, 2.0, 100.0, 5.0, 50.0, 1.0]
        );
    }

    #[test]
    fn what_is_no_budget_is_refused() {
        for json in [
            r#"{"per_address": {"ftp": "1/s"}}"#,
            r#"{"per_adress": "1/s"}"#,
            r#"{"total": "0/s"}"#,
            r#"{"per_address": 2}"#,
        ] {
            assert!(serde_json::from_str::<BudgetSpec>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_budget_reads_back_as_written() {
        let json = r#"{"per_address":{"tls":"2/s"},"per_network":"50/s","total":"30/m"}"#;
        let spec: BudgetSpec = serde_json::from_str(json).expect("a budget");
        assert_eq!(serde_json::to_string(&spec).expect("json"), json);
    }
}
