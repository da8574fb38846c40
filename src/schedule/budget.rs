//! The politeness budget as the config writes it.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Budget, ByteRate, CpuRate, OutlaySpec, Outlays, Rate};
use crate::target::ProbeKind;

/// Contacts begun: to one address, to one network (/24 or /48), and in all. A written value
/// replaces the default; there is no second limit behind it.
#[derive(Clone, Debug, JsonSchema, PartialEq)]
#[schemars(deny_unknown_fields, default)]
pub struct BudgetSpec {
    /// To one address: one value for all probes, or one a probe.
    pub per_address: PerAddress,
    /// To one /24 or /48.
    pub per_network: Rate,
    /// In all.
    pub total: Rate,
    /// Bytes that samples may send and receive; none where nothing is written.
    pub bytes: OutlaySpec<ByteRate>,
    /// Processor time that samples may take; none where nothing is written.
    pub cpu: OutlaySpec<CpuRate>,
}

impl Default for BudgetSpec {
    fn default() -> Self {
        Self {
            per_address: PerAddress::default(),
            per_network: Rate::default_of(50.0),
            total: Rate::default_of(200.0),
            bytes: OutlaySpec::default(),
            cpu: OutlaySpec::default(),
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

    /// The accounts of what samples use up, all full.
    pub fn outlays(&self) -> Outlays {
        Outlays::new(self.bytes, self.cpu)
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

    fn rates(spec: &BudgetSpec) -> Vec<f64> {
        let budget = spec.compile();
        let rest = [budget.per_network, budget.total].map(|rate| rate.expect("a rate"));
        budget.per_address.into_iter().chain(rest).map(Rate::hertz).collect()
    }

    #[test]
    fn a_written_value_replaces_its_default_and_no_other() {
        let rate = |text: &str| text.parse::<Rate>().expect(text);
        let per_address = |per_address| BudgetSpec { per_address, ..BudgetSpec::default() };
        assert_eq!(rates(&BudgetSpec::default()), [2.0, 2.0, 20.0, 5.0, 50.0, 200.0]);
        let one = per_address(PerAddress::One(rate("30/m")));
        assert_eq!(rates(&one), [0.5, 0.5, 0.5, 0.5, 50.0, 200.0]);
        let ports = BTreeMap::from([(ProbeKind::Ports, rate("100/s"))]);
        let each = BudgetSpec { total: rate("1/s"), ..per_address(PerAddress::Each(ports)) };
        assert_eq!(rates(&each), [2.0, 2.0, 100.0, 5.0, 50.0, 1.0]);
    }
}
