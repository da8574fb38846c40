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

/// A server that gave no word may have lost it on the way; what it said was shown.
fn server(item: &Value) -> Evidence {
    let word = |value: &Value| {
        matches!(
            value.as_str(),
            Some("unreachable" | "timeout" | "port_unreachable" | "tcp_failed")
        )
    };
    if word(item) || word(&item["state"]) || word(&item["reason"]) {
        Evidence::Missed
    } else {
        Evidence::Shown
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
    Measure::new("dns.delegation.parent", Kind::Set, "The NS set that the parent's servers give."),
    Measure::new(
        "dns.delegation.parent_by",
        Kind::Text,
        "How: by `referral`, or by an `answer` where all of them hold the zone themselves.",
    ),
    Measure::new("dns.delegation.child", Kind::MapOf(&Kind::Set), "Each child server's NS set."),
    Measure::new(
        "dns.delegation.servers",
        Kind::Items,
        "Each server's name, state (ok, lame, unreachable or broken) and reason.",
    )
    .evidence(server),
    Measure::new("dns.delegation.servers.state", Kind::Text, "ok, lame, unreachable or broken.")
        .evidence(server),
    Measure::new(
        "dns.delegation.names",
        Kind::Items,
        "Each name server's addresses and problem: none, nxdomain, nodata or cname.",
    ),
    Measure::new("dns.delegation.names.problem", Kind::Text, "none, nxdomain, nodata or cname."),
    Measure::new(
        "dns.delegation.glue",
        Kind::Items,
        "Name servers whose glue differs from the child's records.",
    ),
    Measure::new(
        "dns.delegation.mismatch",
        Kind::Items,
        "Name servers that only the parent or only the child names.",
    )
    .subject(&["ns"]),
    Measure::new(
        "dns.delegation.networks",
        Kind::Integer,
        "In how many networks (/24, /48) the servers are.",
    ),
    Measure::new("dns.delegation.count", Kind::Integer, "How many name servers the zone has."),
    Measure::new("dns.soa", Kind::Items, "Each server's SOA.").subject(&["server"]).volatile(),
    Measure::new("dns.soa.refresh", Kind::Integer, "Seconds between a secondary's looks.")
        .unit(Unit::Seconds),
    Measure::new("dns.soa.retry", Kind::Integer, "Seconds after a look that failed.")
        .unit(Unit::Seconds),
    Measure::new("dns.soa.expire", Kind::Integer, "Seconds until a lone secondary gives up.")
        .unit(Unit::Seconds),
    Measure::new("dns.soa.minimum", Kind::Integer, "Seconds that a negative answer is kept.")
        .unit(Unit::Seconds),
    Measure::new("dns.serials", Kind::Integer, "How many distinct SOA serials the servers show."),
    Measure::new(
        "dns.disagreement",
        Kind::Items,
        "Records that the authorities answer differently.",
    )
    .subject(&["name", "type"]),
    Measure::new("dns.servers", Kind::Items, "Each server's abilities.").volatile(),
    Measure::new("dns.servers.edns", Kind::Bool, "Whether the server speaks EDNS."),
    Measure::new("dns.servers.tcp", Kind::Bool, "Whether the server answers over TCP."),
    Measure::new(
        "dns.servers.keeps_case",
        Kind::Bool,
        "Whether the question comes back letter by letter (0x20).",
    ),
    Measure::new("dns.servers.version", Kind::Text, "What the server says that it is, or empty."),
    Measure::new("dns.servers.latency_seconds", Kind::Number, "The slowest answer of the sample.")
        .unit(Unit::Seconds)
        .volatile(),
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
    Measure::new(
        "dns.baseline",
        Kind::Object,
        "`NAME TYPE` → what its learnt baseline rests on: values, samples, frozen, missing_mass, pending.",
    )
    .volatile(),
    Measure::new("dns.caa", Kind::Object, "The CAA set that applies."),
    Measure::new("dns.caa.present", Kind::Bool, "Whether a CAA set applies."),
    Measure::new(
        "dns.caa.issuance",
        Kind::Items,
        "Issuers of the certificates that the tls probe saw, and whether the set permits them.",
    ),
    Measure::new("dns.caa.issuance.permitted", Kind::Bool, "Whether the set permits the issuer."),
    Measure::new("dns.caa.issuance.seen_at", Kind::Timestamp, "When its certificate was seen last.")
        .unit(Unit::Seconds)
        .volatile(),
    Measure::new("dns.tlsa", Kind::Items, "TLSA records of the target's port, by their name."),
    Measure::new("dns.tlsa.records", Kind::Set, "The records."),
    Measure::new(
        "dns.tlsa.matches",
        Kind::Bool,
        "Whether every certificate that the tls probe saw has a record that fits.",
    ),
    Measure::new("dns.tlsa.seen_at", Kind::Timestamp, "When the oldest of those was seen.")
        .unit(Unit::Seconds)
        .volatile(),
    Measure::new("dns.registration", Kind::Object, "The registration of the target's domain."),
    Measure::new("dns.registration.domain", Kind::Text, "The registered domain."),
    Measure::new("dns.registration.source", Kind::Text, "Who says so: config or rdap."),
    Measure::new("dns.registration.expires", Kind::Timestamp, "When it ends.").unit(Unit::Seconds),
    Measure::new("dns.registration.status", Kind::Set, "RDAP's words for its state (RFC 8056)."),
    Measure::new("dns.registration.asked_at", Kind::Timestamp, "When the registry said so.")
        .unit(Unit::Seconds)
        .volatile(),
    Measure::new("dns.mail", Kind::Object, "Mail policy records."),
    Measure::new("dns.mail.null_mx", Kind::Bool, "Whether the name takes no mail (RFC 7505)."),
    Measure::new("dns.mail.mx", Kind::Items, "Each exchange's preference and problem."),
    Measure::new("dns.mail.mx.problem", Kind::Text, "none, nxdomain, nodata or cname."),
    Measure::new("dns.mail.spf", Kind::Object, "The SPF record."),
    Measure::new("dns.mail.spf.records", Kind::Integer, "How many SPF records there are."),
    Measure::new("dns.mail.spf.all", Kind::Text, "The qualifier of `all`: + - ~ ? or empty."),
    Measure::new("dns.mail.spf.lookups", Kind::Integer, "Lookups that an evaluation may take."),
    Measure::new("dns.mail.spf.void_lookups", Kind::Integer, "Lookups of what is not there."),
    Measure::new(
        "dns.mail.spf.errors",
        Kind::Set,
        "multiple_records, missing_record, too_many_lookups, too_many_void_lookups, loop, syntax.",
    ),
    Measure::new("dns.mail.dmarc", Kind::Object, "The DMARC record."),
    Measure::new("dns.mail.dmarc.records", Kind::Integer, "How many DMARC records there are."),
    Measure::new("dns.mail.dmarc.policy", Kind::Text, "none, quarantine, reject, or empty."),
    Measure::new("dns.mail.dmarc.errors", Kind::Set, "multiple_records, syntax."),
    Measure::new("dns.mail.dkim", Kind::Items, "The key of each selector that was found."),
    Measure::new("dns.mail.dkim.key_bits", Kind::Integer, "Bits of the key; 0 if it is none.")
        .unit(Unit::Bits),
    Measure::new("dns.mail.dkim.errors", Kind::Set, "revoked, syntax."),
    Measure::new("dns.mail.mta_sts", Kind::Object, "The MTA-STS record (RFC 8461)."),
    Measure::new("dns.mail.mta_sts.records", Kind::Integer, "How many such records there are."),
    Measure::new("dns.mail.mta_sts.errors", Kind::Set, "multiple_records, syntax."),
    Measure::new(
        "dns.mail.mta_sts.policy",
        Kind::Object,
        "The policy as a sender of mail fetches it, where a record announces one.",
    ),
    Measure::new("dns.mail.mta_sts.policy.mode", Kind::Text, "enforce, testing, none or empty."),
    Measure::new("dns.mail.mta_sts.policy.max_age", Kind::Integer, "How long senders keep it.")
        .unit(Unit::Seconds),
    Measure::new("dns.mail.mta_sts.policy.mx", Kind::Set, "Patterns of the exchanges."),
    Measure::new("dns.mail.mta_sts.policy.unmatched", Kind::Set, "Exchanges that none covers."),
    Measure::new(
        "dns.mail.mta_sts.policy.errors",
        Kind::Set,
        "no_address, certificate, redirect, status, content_type, syntax, version, mode, max_age, no_mx, \
         id_unchanged (another text under the same id).",
    ),
    Measure::new("dns.mail.mta_sts.policy.fetched_at", Kind::Timestamp, "When it was fetched.")
        .unit(Unit::Seconds)
        .volatile(),
    Measure::new("dns.mail.tls_rpt", Kind::Object, "The TLS report record (RFC 8460)."),
    Measure::new("dns.mail.tls_rpt.records", Kind::Integer, "How many such records there are."),
    Measure::new("dns.mail.tls_rpt.errors", Kind::Set, "multiple_records, syntax."),
    Measure::new("dns.mail.bimi", Kind::Object, "The default BIMI record."),
    Measure::new("dns.mail.bimi.records", Kind::Integer, "How many such records there are."),
    Measure::new("dns.mail.bimi.errors", Kind::Set, "multiple_records, syntax."),
    Measure::new("dns.dangling", Kind::Items, "Records that point to names that are not there."),
    Measure::new("dns.dangling.risk", Kind::Text, "takeover, unproven or broken."),
    Measure::new("dns.dnssec", Kind::Items, "Each server's signatures: state, reason, expires."),
    Measure::new("dns.dnssec.state", Kind::Text, "secure, insecure, bogus or indeterminate."),
    Measure::new("dns.dnssec.expires", Kind::Timestamp, "The earliest end of a signature.")
        .unit(Unit::Seconds)
        .volatile(),
    Measure::new("dns.dnssec.valid_from", Kind::Timestamp, "The latest inception of a signature.")
        .unit(Unit::Seconds)
        .volatile(),
    Measure::new("dns.dnssec.reason", Kind::Text, "Why: RFC 8914's words in snake case, and ours."),
    Measure::new("dns.ds", Kind::Items, "The parent's DS set, each with whether it names a key.")
        .subject(&["key_tag", "digest_type"]),
    Measure::new("dns.ds.digest_type", Kind::Integer, "The digest's type: 1 is SHA-1."),
    Measure::new("dns.ds.matches", Kind::Bool, "Whether a key of the zone has this digest."),
    Measure::new("dns.cds", Kind::Items, "What the zone asks the parent to have as its DS set.")
        .subject(&["key_tag", "digest_type"]),
    Measure::new("dns.cds.in_ds", Kind::Bool, "Whether the parent has it (RFC 7344)."),
    Measure::new("dns.cds.in_dnskey", Kind::Bool, "Whether a key of the zone has this digest."),
    Measure::new("dns.cdnskey", Kind::Items, "The same by keys: what the zone asks the parent for.")
        .subject(&["key_tag"]),
    Measure::new("dns.cdnskey.in_ds", Kind::Bool, "Whether the parent has a digest of it."),
    Measure::new("dns.cdnskey.in_dnskey", Kind::Bool, "Whether it is a key of the zone."),
    Measure::new("dns.nsec3", Kind::Items, "Each server's NSEC3 parameters, where it uses NSEC3."),
    Measure::new("dns.nsec3.iterations", Kind::Integer, "Extra rounds of hashing."),
    Measure::new("dns.nsec3.salt", Kind::Text, "The salt in hexadecimal, `-` without one."),
    Measure::new(
        "dns.wildcard",
        Kind::MapOf(&Kind::Text),
        "What each server gives for the address of a random label: nodata, nxdomain, a set or an error.",
    ),
    Measure::new(
        "dns.recursion",
        Kind::MapOf(&Kind::Bool),
        "Whether a server recurses for strangers.",
    ),
    Measure::new("dns.transfer", Kind::MapOf(&Kind::Text), "open, refused or error:KIND."),
    Measure::new(
        "dns.cost",
        Kind::Object,
        "What the run took: received_bytes, sent_bytes, cpu_seconds.",
    )
    .volatile(),
];
