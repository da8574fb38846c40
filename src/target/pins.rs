//! Pins: what ports and records a target is expected to show.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::NaiveDate;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use super::{PortSet, parse_asn};

/// Expectations by name or address, then by record type or `ports`. Names compare without case or
/// last dot.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Pins(pub BTreeMap<String, BTreeMap<PinType, Expectation>>);

impl Pins {
    /// The expectations of one name or address.
    pub fn of(&self, name: &str) -> impl Iterator<Item = (&PinType, &Expectation)> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.0
            .iter()
            .filter(move |(pinned, _)| pinned.trim_end_matches('.').eq_ignore_ascii_case(&name))
            .flat_map(|(_, types)| types.iter())
    }

    /// Whether nothing is pinned.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything wrong with the pins, each with the name and type it belongs to.
    pub fn check(&self) -> Vec<PinError> {
        let mut errors = Vec::new();
        for (name, types) in &self.0 {
            for (kind, expectation) in types {
                if let Some(what) = expectation.fault(kind) {
                    errors.push(PinError { name: name.clone(), kind: kind.clone(), what });
                }
            }
        }
        errors
    }

    /// What holds at one vantage: the part of a pin that names it, else what stands around the parts.
    /// A pin that says nothing beside other vantages' parts is not there.
    #[must_use]
    pub fn seen_from(&self, vantage: &str) -> Self {
        let mut seen = self.clone();
        for types in seen.0.values_mut() {
            types.retain(|_, pin| {
                let parts = std::mem::take(&mut pin.per_vantage);
                if let Some(part) = parts.get(vantage) {
                    *pin = pin.with_part(part);
                }
                parts.is_empty() || pin.says_anything()
            });
        }
        seen.0.retain(|_, types| !types.is_empty());
        seen
    }

    /// The pins that hold nothing at one vantage, though they do at others.
    pub fn elsewhere(&self, vantage: &str) -> impl Iterator<Item = (&str, &PinType)> {
        let types = self.0.iter().flat_map(|(name, types)| types.iter().map(move |t| (name, t)));
        types.filter_map(move |(name, (kind, pin))| {
            let has_part = pin.per_vantage.is_empty() || pin.per_vantage.contains_key(vantage);
            (!has_part && !pin.says_anything()).then_some((name.as_str(), kind))
        })
    }

    /// The first pin that is held by autonomous system.
    pub fn by_asn(&self) -> Option<(&str, &PinType)> {
        let types = self.0.iter().flat_map(|(name, types)| types.iter().map(move |t| (name, t)));
        let mut by_asn = types.filter(|(_, (_, pin))| pin.is_by_asn());
        by_asn.next().map(|(name, (kind, _))| (name.as_str(), kind))
    }
}

/// A record type by its IANA mnemonic, or `ports`.
#[derive(
    Clone, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(transparent)]
pub struct PinType(String);

impl PinType {
    /// The word: `A`, `MX`, … or `ports`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this pins ports.
    pub fn is_ports(&self) -> bool {
        self.0 == "ports"
    }
}

impl From<&str> for PinType {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// What one set of records, or of ports, is held to.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expectation {
    /// The set equals these.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Option::is_none")]
    pub exact: Option<Vec<String>>,
    /// The set lies within these.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Option::is_none")]
    pub within: Option<Vec<String>>,
    /// The set contains these.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Option::is_none")]
    pub contains: Option<Vec<String>>,
    /// Every address lies in one of these networks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub prefix: Option<Vec<IpNet>>,
    /// Every address is originated by one of these autonomous systems, as the target's `asn_file` has it.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Option::is_none")]
    pub asn: Option<Vec<String>>,
    /// The alias ends in one of these.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Option::is_none")]
    pub cname_suffix: Option<Vec<String>>,
    /// The aliases from the name on, one after the other, and no more.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Option::is_none")]
    pub cname_chain: Option<Vec<String>>,
    /// There is no such record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absent: Option<bool>,
    /// Only has the type asked; agreement of authorities is judged always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agree: Option<bool>,
    /// Expectations by EDNS client subnet.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub subnets: BTreeMap<String, Self>,
    /// Expectations by the vantage that the daemon samples from, in place of what stands around them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub per_vantage: BTreeMap<String, Self>,
    /// How many records there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// The least TTL in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_min: Option<u32>,
    /// The greatest TTL in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_max: Option<u32>,
    /// Why it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The last day it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<NaiveDate>,
}

impl Expectation {
    /// The expected ports: what must be open, and what may be. `None` where the pin says nothing
    /// of the kind.
    pub fn ports(&self) -> (Option<PortSet>, Option<PortSet>) {
        let set = |list: &Option<Vec<String>>| {
            list.as_ref().and_then(|items| items.join(",").parse::<PortSet>().ok())
        };
        if self.absent == Some(true) {
            return (None, Some(PortSet::default()));
        }
        match set(&self.exact) {
            Some(exact) => (Some(exact.clone()), Some(exact)),
            None => (set(&self.contains), set(&self.within)),
        }
    }

    /// The part of one vantage, with what it leaves to the pin around it.
    fn with_part(&self, part: &Self) -> Self {
        Self {
            count: part.count.or(self.count),
            ttl_min: part.ttl_min.or(self.ttl_min),
            ttl_max: part.ttl_max.or(self.ttl_max),
            reason: part.reason.clone().or_else(|| self.reason.clone()),
            owner: part.owner.clone().or_else(|| self.owner.clone()),
            until: part.until.or(self.until),
            ..part.clone()
        }
    }

    fn is_by_asn(&self) -> bool {
        self.asn.is_some()
            || self.subnets.values().chain(self.per_vantage.values()).any(Self::is_by_asn)
    }

    /// Whether it holds anything where no part of another vantage does.
    fn says_anything(&self) -> bool {
        self.operators() > 0
            || self.count.is_some()
            || self.ttl_min.is_some()
            || self.ttl_max.is_some()
    }

    fn operators(&self) -> usize {
        [
            &self.exact,
            &self.within,
            &self.contains,
            &self.asn,
            &self.cname_suffix,
            &self.cname_chain,
        ]
        .into_iter()
        .filter(|list| list.is_some())
        .count()
            + usize::from(self.prefix.is_some())
            + usize::from(self.absent.is_some())
            + usize::from(self.agree.is_some())
            + usize::from(!self.subnets.is_empty())
    }

    /// Whether two sources expect the same, whatever they say of why, who and how long.
    pub fn says_the_same(&self, other: &Self) -> bool {
        self.meaning() == other.meaning()
    }

    /// Itself in one form: values in order, without case or last dot.
    fn meaning(&self) -> Self {
        let mut one = self.clone();
        (one.reason, one.owner, one.until) = (None, None, None);
        let lists = [&mut one.exact, &mut one.within, &mut one.contains, &mut one.cname_suffix];
        for list in lists.into_iter().flatten() {
            for value in list.iter_mut() {
                *value = value.trim_end_matches('.').to_ascii_lowercase();
            }
            list.sort_unstable();
            list.dedup();
        }
        for name in one.cname_chain.iter_mut().flatten() {
            *name = name.trim_end_matches('.').to_ascii_lowercase();
        }
        if let Some(nets) = &mut one.prefix {
            nets.sort_unstable();
        }
        for number in one.asn.iter_mut().flatten() {
            *number = parse_asn(number).map_or_else(|| number.clone(), |asn| asn.to_string());
        }
        if let Some(numbers) = &mut one.asn {
            numbers.sort_unstable();
        }
        one.subnets = one.subnets.iter().map(|(net, pin)| (net.clone(), pin.meaning())).collect();
        one.per_vantage =
            one.per_vantage.iter().map(|(at, pin)| (at.clone(), pin.meaning())).collect();
        one
    }

    fn fault(&self, kind: &PinType) -> Option<String> {
        if let Some(fault) = self.fault_of_parts(kind) {
            return Some(fault);
        }
        let lists = [&self.exact, &self.within, &self.contains];
        if kind.is_ports() {
            let text = lists.into_iter().flatten().flatten().cloned().collect::<Vec<_>>().join(",");
            return PortSet::from_str(&text).err().map(|error| error.to_string());
        }
        if !self.says_anything() && self.per_vantage.is_empty() {
            return Some("no operator; use exact, within, contains, prefix, asn, cname_suffix, cname_chain, absent, agree, subnets or per_vantage".to_owned());
        }
        self.fault_of_asn(kind)
    }

    fn fault_of_parts(&self, kind: &PinType) -> Option<String> {
        let of_subnets = self.subnets.iter().find_map(|(net, inner)| match net.parse::<IpNet>() {
            Err(_) => Some(format!("{net} is no network")),
            Ok(_) if !inner.subnets.is_empty() => Some("subnets within subnets".to_owned()),
            Ok(_) if !inner.per_vantage.is_empty() => Some("per_vantage within subnets".to_owned()),
            Ok(_) => inner.fault(kind),
        });
        of_subnets.or_else(|| {
            self.per_vantage.iter().find_map(|(vantage, inner)| match inner {
                _ if vantage.trim().is_empty() => Some("a vantage without a name".to_owned()),
                _ if !inner.per_vantage.is_empty() => {
                    Some("per_vantage within per_vantage".to_owned())
                }
                inner => inner.fault(kind),
            })
        })
    }

    fn fault_of_asn(&self, kind: &PinType) -> Option<String> {
        let numbers = self.asn.as_ref()?;
        if !["A", "AAAA"].iter().any(|address| kind.as_str().eq_ignore_ascii_case(address)) {
            return Some("asn is for A and AAAA".to_owned());
        }
        if numbers.is_empty() {
            return Some("asn names at least one number".to_owned());
        }
        let odd = numbers.iter().find(|number| parse_asn(number).is_none())?;
        Some(format!(
            "`{}` is no number of an autonomous system",
            odd.chars().take(40).collect::<String>()
        ))
    }
}

/// A pin that can't be held.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("pin {name} {}: {what}", kind.as_str())]
pub struct PinError {
    /// The pinned name or address.
    pub name: String,
    /// The pinned type.
    pub kind: PinType,
    /// What is wrong.
    pub what: String,
}

/// Reads `x` and `[x, y]` alike, numbers as their digits.
fn one_or_many<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    struct Scalars;

    impl<'de> Visitor<'de> for Scalars {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a value or a list of values")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![text.to_owned()])
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
            Ok(vec![number.to_string()])
        }

        fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
            Ok(vec![number.to_string()])
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut items = Vec::new();
            while let Some(Scalar(item)) = seq.next_element()? {
                items.push(item);
            }
            Ok(items)
        }
    }

    deserializer.deserialize_any(Scalars).map(Some)
}

struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;

        impl Visitor<'_> for One {
            type Value = String;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
                Ok(text.to_owned())
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
                Ok(number.to_string())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
                Ok(number.to_string())
            }
        }

        deserializer.deserialize_any(One).map(Scalar)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pins(json: &str) -> Pins {
        serde_json::from_str(json).expect("pins")
    }

    #[test]
    fn names_compare_without_case_or_last_dot() {
        let pins = pins(r#"{"WWW.example.com.": {"A": {"exact": "192.0.2.1"}}}"#);
        assert_eq!(pins.of("www.example.com").count(), 1);
    }

    #[test]
    fn exact_ports_are_both_required_and_allowed() {
        let pins = pins(r#"{"h": {"ports": {"exact": [22, "443"]}}}"#);
        let (_, expectation) = pins.of("h").next().expect("a pin");
        let (required, allowed) = expectation.ports();
        assert_eq!(required, allowed);
        assert_eq!(required.map(|set| set.ranges.len()), Some(2));
    }

    #[test]
    fn a_pin_without_an_operator_is_named() {
        let errors = pins(
            r#"{"h": {"A": {"owner": "x"}, "ports": {"within": "0"}, "AAAA":
            {"subnets": {"europe": {"exact": "::1"}}}}}"#,
        )
        .check();
        assert_eq!(errors.len(), 3);
    }

    #[test]
    fn a_pin_by_number_or_vantage_that_cannot_be_held_is_named() {
        for (pin, told) in [
            (r#"{"MX": {"asn": 64500}}"#, "asn is for A and AAAA"),
            (r#"{"A": {"asn": ["AS64500", "x"]}}"#, "`x` is no number"),
            (r#"{"A": {"asn": []}}"#, "at least one"),
            (r#"{"A": {"per_vantage": {"paris": {"owner": "x"}}}}"#, "no operator"),
            (r#"{"A": {"per_vantage": {"": {"exact": "::1"}}}}"#, "without a name"),
            (
                r#"{"A": {"per_vantage": {"a": {"per_vantage": {"b": {"count": 1}}}}}}"#,
                "per_vantage within",
            ),
            (
                r#"{"A": {"subnets": {"::/0": {"per_vantage": {"b": {"count": 1}}}}}}"#,
                "within subnets",
            ),
            (r#"{"ports": {"per_vantage": {"a": {"within": "0"}}}}"#, "0"),
        ] {
            let errors = pins(&format!(r#"{{"h": {pin}}}"#)).check();
            assert_eq!(errors.len(), 1, "{pin}");
            assert!(errors[0].what.contains(told), "{pin}: {}", errors[0].what);
        }
        let fine = r#"{"h": {"A": {"asn": ["AS64500", 64501]}, "AAAA": {"per_vantage":
            {"paris": {"exact": "::1"}}}, "ports": {"per_vantage": {"paris": {"exact": 443}}}}}"#;
        assert_eq!(pins(fine).check(), []);
    }

    #[test]
    fn each_vantage_has_its_own_part_of_a_pin() {
        let pins = pins(
            r#"{"h": {"A": {"exact": "192.0.2.1", "owner": "web", "ttl_max": 60, "per_vantage":
                {"paris": {"exact": "192.0.2.2"}, "tokyo": {"absent": true, "owner": "asia"}}},
            "AAAA": {"owner": "web", "per_vantage": {"paris": {"exact": "::1"}}}}}"#,
        );
        let at = |vantage: &str| serde_json::to_value(pins.seen_from(vantage)).expect("JSON");
        assert_eq!(
            at("paris"),
            serde_json::json!({"h": {
            "A": {"exact": ["192.0.2.2"], "owner": "web", "ttl_max": 60},
            "AAAA": {"exact": ["::1"], "owner": "web"}}})
        );
        assert_eq!(
            at("tokyo"),
            serde_json::json!({"h": {
            "A": {"absent": true, "owner": "asia", "ttl_max": 60}}})
        );
        assert_eq!(
            at("local"),
            serde_json::json!({"h": {
            "A": {"exact": ["192.0.2.1"], "owner": "web", "ttl_max": 60}}})
        );
        let elsewhere: Vec<_> = pins.elsewhere("local").map(|(_, kind)| kind.as_str()).collect();
        assert_eq!(elsewhere, ["AAAA"]);
        assert_eq!(pins.elsewhere("paris").count(), 0);
    }
}
