//! Measurements of the dns probe (CONTRACT §dns).

use serde_json::Value;

use crate::sample::{Evidence, Kind, Measure, Unit};

/// A record removed was expected and not seen; anything else was shown.
fn drift(item: &Value) -> Evidence {
    match item["kind"].as_str() {
        Some("removed") => Evidence::Missed,
        _ => Evidence::Shown,
    }
}

/// A server that gave no answer was missed; one that answered wrongly was shown.
fn server_state(item: &Value) -> Evidence {
    match item["state"].as_str() {
        Some("unreachable") => Evidence::Missed,
        _ => Evidence::Shown,
    }
}

pub(super) const MEASURES: &[Measure] = &[
    Measure::new(
        "dns.records",
        Kind::Object,
        "name → type → server → set, nodata, nxdomain or error:KIND.",
    ),
    Measure::new("dns.ttl", Kind::Object, "name → type → server → TTL.")
        .unit(Unit::Seconds)
        .volatile(),
    Measure::new("dns.delegation", Kind::Object, "What parent and child say of the name servers."),
    Measure::new("dns.delegation.parent", Kind::Set, "The parent's NS set."),
    Measure::new("dns.delegation.child", Kind::MapOf(&Kind::Set), "Each child server's NS set."),
    Measure::new(
        "dns.delegation.servers",
        Kind::Items,
        "Each server's state: ok, lame, unreachable or broken.",
    ),
    Measure::new("dns.delegation.servers.state", Kind::Text, "ok, lame, unreachable or broken.")
        .evidence(server_state),
    Measure::new(
        "dns.delegation.mismatch",
        Kind::Items,
        "Name servers that only the parent or only the child names.",
    )
    .subject(&["ns"]),
    Measure::new("dns.delegation.count", Kind::Integer, "How many name servers the zone has."),
    Measure::new("dns.soa", Kind::Items, "Each server's SOA.").subject(&["server"]).volatile(),
    Measure::new("dns.serials", Kind::Integer, "How many distinct SOA serials the servers show."),
    Measure::new(
        "dns.disagreement",
        Kind::Items,
        "Records that the authorities answer differently.",
    )
    .subject(&["name", "type"]),
    Measure::new("dns.servers", Kind::Items, "Each server's abilities.").volatile(),
    Measure::new(
        "dns.resolvers",
        Kind::Object,
        "Each recursive server's answers and whether they agree.",
    ),
    Measure::new(
        "dns.resolver_disagreement",
        Kind::Items,
        "Answers of recursive servers that no authority gives.",
    )
    .subject(&["server", "name", "type"]),
    Measure::new("dns.drift", Kind::Items, "Departures from pins and baseline.")
        .subject(&["name", "type"])
        .evidence(drift),
    Measure::new("dns.caa", Kind::Object, "The CAA set that applies."),
    Measure::new("dns.caa.present", Kind::Bool, "Whether a CAA set applies."),
    Measure::new("dns.mail", Kind::Object, "Mail policy records."),
    Measure::new("dns.mail.spf", Kind::Object, "The SPF record."),
    Measure::new("dns.mail.spf.records", Kind::Integer, "How many SPF records there are."),
    Measure::new("dns.mail.spf.all", Kind::Text, "The qualifier of `all`: + - ~ ? or empty."),
    Measure::new("dns.mail.dmarc", Kind::Object, "The DMARC record."),
    Measure::new("dns.mail.dmarc.records", Kind::Integer, "How many DMARC records there are."),
    Measure::new("dns.mail.dmarc.policy", Kind::Text, "none, quarantine, reject, or empty."),
    Measure::new("dns.dnssec", Kind::Items, "Each server's signatures: state, reason, expires."),
    Measure::new("dns.dnssec.state", Kind::Text, "secure, insecure, bogus or indeterminate."),
    Measure::new("dns.dnssec.expires", Kind::Timestamp, "The earliest end of a signature.")
        .unit(Unit::Seconds)
        .volatile(),
    Measure::new(
        "dns.recursion",
        Kind::MapOf(&Kind::Bool),
        "Whether a server recurses for strangers.",
    ),
    Measure::new("dns.transfer", Kind::MapOf(&Kind::Text), "open, refused or error:KIND."),
];
