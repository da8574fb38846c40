//! The facts of a sample as a tree, with what could not be established beside it.

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::stable::Stable;
use super::{Reason, Unknown};
use crate::target::ProbeKind;

/// Measurements of one probe, keyed without its prefix. A fact that could not be established is
/// `null` and named in `unknown`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurements {
    facts: Map<String, Value>,
    unknown: BTreeMap<String, Unknown>,
}

impl Measurements {
    /// No facts yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a top-level fact. What cannot be written as JSON becomes `null`.
    pub fn set(&mut self, key: &str, value: impl Serialize) {
        self.facts.insert(key.to_owned(), serde_json::to_value(value).unwrap_or_default());
    }

    /// Sets a top-level fact that is a JSON value already.
    pub fn set_value(&mut self, key: &str, value: Value) {
        self.facts.insert(key.to_owned(), value);
    }

    /// Sets a part of a top-level fact that is an object; of anything else there are no parts.
    pub fn extend(&mut self, key: &str, part: &str, value: Value) {
        if let Some(Value::Object(parts)) = self.facts.get_mut(key) {
            parts.insert(part.to_owned(), value);
        }
    }

    /// Names a path as not established. A top-level key without a value becomes `null`.
    pub fn set_unknown(&mut self, path: impl Into<String>, unknown: impl Into<Unknown>) {
        let path = path.into();
        if !path.contains(['.', '[']) {
            self.facts.entry(path.clone()).or_insert(Value::Null);
        }
        self.unknown.insert(path, unknown.into());
    }

    /// A top-level fact.
    pub fn fact(&self, key: &str) -> Option<&Value> {
        self.facts.get(key)
    }

    /// Every top-level fact.
    pub fn facts(&self) -> &Map<String, Value> {
        &self.facts
    }

    /// What could not be established, by path.
    pub fn unknowns(&self) -> &BTreeMap<String, Unknown> {
        &self.unknown
    }

    /// Why a path is unknown: it, a prefix of it, or nothing.
    pub fn why_unknown(&self, path: &Path) -> Option<&Unknown> {
        (1..=path.0.len())
            .find_map(|length| self.unknown.get(&Path(path.0[..length].to_vec()).to_string()))
    }

    /// The facts that make up the sample's identity, without the volatile ones: canonical JSON
    /// (keys sorted) to be digested.
    pub fn stable(&self, probe: ProbeKind) -> String {
        let stable = Stable::of(probe, &self.facts, &self.unknown);
        // Maps with text for keys, and numbers: nothing of it can fail.
        serde_json::to_string(&stable).unwrap_or_default()
    }
}

impl Serialize for Measurements {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in &self.facts {
            map.serialize_entry(key, value)?;
        }
        if !self.unknown.is_empty() {
            map.serialize_entry("unknown", &self.unknown)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Measurements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut facts = Map::<String, Value>::deserialize(deserializer)?;
        let unknown = match facts.remove("unknown") {
            Some(unknown) => serde_json::from_value(unknown).map_err(serde::de::Error::custom)?,
            None => BTreeMap::new(),
        };
        Ok(Self { facts, unknown })
    }
}

/// A path of CONTRACT §Output 3: `versions[TLSv1.3]`, `mail.spf`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Path(pub Vec<Segment>);

/// One step of a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Segment {
    /// A field, after a dot.
    Field(String),
    /// A key that is no identifier, or a member of a set, in brackets.
    Key(String),
}

impl Path {
    /// The path of a top-level fact.
    pub fn of(fact: &str) -> Self {
        Self(vec![Segment::Field(fact.to_owned())])
    }

    /// One step further: a field if it is an identifier, else a key.
    #[must_use]
    pub fn join(mut self, step: &str) -> Self {
        let mut chars = step.chars();
        let is_identifier = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
        self.0.push(if is_identifier {
            Segment::Field(step.to_owned())
        } else {
            Segment::Key(step.to_owned())
        });
        self
    }

    /// One step further to a member of a set, always in brackets.
    #[must_use]
    pub fn member(mut self, member: &str) -> Self {
        self.0.push(Segment::Key(member.to_owned()));
        self
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Field(name) if at == 0 => f.write_str(name)?,
                Segment::Field(name) => write!(f, ".{name}")?,
                Segment::Key(key) => write!(f, "[{key}]")?,
            }
        }
        Ok(())
    }
}

impl Measurements {
    /// Why a member of the set at `path` is unknown, if it is.
    pub fn why_member_unknown(&self, path: &Path, member: &str) -> Option<&Unknown> {
        self.why_unknown(&path.clone().member(member))
    }

    /// Whether anything at all below the top-level fact is unknown for `reason`.
    pub fn has_reason(&self, reason: Reason) -> bool {
        self.unknown.values().any(|unknown| unknown.reason == reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_unknown_if_it_or_a_prefix_of_it_is_named() {
        let mut m = Measurements::new();
        m.set("versions", ["TLSv1.2"]);
        m.set_unknown("versions[TLSv1.3]", Reason::Timeout);
        m.set_unknown("cipher_suites", Reason::NotObserved);
        assert!(m.why_member_unknown(&Path::of("versions"), "TLSv1.3").is_some());
        assert!(m.why_member_unknown(&Path::of("versions"), "TLSv1.1").is_none());
        let suites = Path::of("cipher_suites").join("TLSv1.2");
        assert!(m.why_member_unknown(&suites, "TLS_RSA_WITH_RC4_128_SHA").is_some());
        assert_eq!(m.fact("cipher_suites"), Some(&Value::Null));
    }

    #[test]
    fn the_stable_form_lacks_what_is_volatile_at_any_depth() {
        let mut m = Measurements::new();
        m.set("hops", serde_json::json!([{"url": "https://a/", "headers": [["date", "x"]]}]));
        let stable = m.stable(ProbeKind::Http);
        assert!(stable.contains("https://a/") && !stable.contains("date"), "{stable}");
    }

    #[test]
    fn paths_write_keys_in_brackets() {
        let path = Path::of("cipher_suites").join("TLSv1.2").member("TLS_AES_128_GCM_SHA256");
        assert_eq!(path.to_string(), "cipher_suites[TLSv1.2][TLS_AES_128_GCM_SHA256]");
    }
}
