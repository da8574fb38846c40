//! What can be measured: the catalogue's entry.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One documented measurement.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Dotted path with its probe and without keys: `tls.versions`, `dns.mail.spf.lookups`.
    pub path: &'static str,
    /// Its shape.
    pub kind: Kind,
    /// Its unit.
    pub unit: Unit,
    /// Whether a change of it is a change of the sample.
    pub stability: Stability,
    /// For a list of objects: the fields that name one, joined by a space into the subject.
    pub subject: &'static [&'static str],
    /// By how many fresh connections (of dns, queries) each sample that measures it observes it, at
    /// least: what a plan's guarantee is counted in. 0 where a single sample may well not.
    pub per_sample: u32,
    /// How a breach of one item was come by.
    pub evidence: fn(&Value) -> Evidence,
    /// One line for the reference page.
    pub doc: &'static str,
}

impl Measure {
    /// A stable, unitless measurement whose breaches are shown, observed once a sample.
    pub const fn new(path: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            path,
            kind,
            unit: Unit::None,
            stability: Stability::Stable,
            subject: &[],
            per_sample: 1,
            evidence: |_| Evidence::Shown,
            doc,
        }
    }

    /// With a unit.
    pub const fn unit(mut self, unit: Unit) -> Self {
        self.unit = unit;
        self
    }

    /// Kept as the latest value only, out of the digest.
    pub const fn volatile(mut self) -> Self {
        self.stability = Stability::Volatile;
        self
    }

    /// With the fields that name an item.
    pub const fn subject(mut self, fields: &'static [&'static str]) -> Self {
        self.subject = fields;
        self
    }

    /// Observed only when asked for, or over several samples: no plan's guarantee covers it.
    pub const fn unpromised(mut self) -> Self {
        self.per_sample = 0;
        self
    }

    /// With another kind of evidence than what was shown.
    pub const fn evidence(mut self, evidence: fn(&Value) -> Evidence) -> Self {
        self.evidence = evidence;
        self
    }
}

/// Shapes of measurements.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// true or false.
    Bool,
    /// A whole number.
    Integer,
    /// A list of objects, or a map from keys to objects.
    Items,
    /// A map from keys (versions, servers) to values of the inner kind.
    MapOf(&'static Self),
    /// A number.
    Number,
    /// An object with measurements of its own below.
    Object,
    /// A closed set of words.
    Set,
    /// A word or a text.
    Text,
    /// RFC 3339; ranges hold the time left until it.
    Timestamp,
}

/// Units, Prometheus' base units.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// Bits of a key.
    Bits,
    /// Bytes.
    Bytes,
    /// None.
    None,
    /// Seconds; ranges write them as `21d`.
    Seconds,
}

/// Whether a measurement belongs to the sample's digest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stability {
    /// In the digest.
    Stable,
    /// Latest value only (dates, latencies, raw fields).
    Volatile,
}

/// How a breach was come by (DESIGN §4.6).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// A peer on the path could have made it up (an open port): k of n.
    Forgeable,
    /// Expected and not seen: k of n.
    Missed,
    /// A complete answer of the peer breaks the range: confirmed at first sight.
    Shown,
}
