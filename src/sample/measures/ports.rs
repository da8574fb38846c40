//! Measurements of the ports probe (CONTRACT §ports).

use crate::sample::{Evidence, Kind, Measure};

pub(super) const MEASURES: &[Measure] = &[
    Measure::new(
        "ports.addresses",
        Kind::Items,
        "Every address with the state of every asked port.",
    )
    .subject(&["address"]),
    Measure::new("ports.addresses.host", Kind::Text, "up, down or answers_everywhere."),
    Measure::new("ports.addresses.open", Kind::Items, "Open ports.")
        .subject(&["port", "transport"]),
    Measure::new("ports.addresses.open.service", Kind::Text, "The service, where one spoke."),
    Measure::new("ports.addresses.open.exposure", Kind::Text, "none, auth or unauthenticated."),
    Measure::new("ports.addresses.open.evidence", Kind::Text, "What it said, printable ASCII.")
        .volatile(),
    // A pass through every port changes these at each sample; what is open is what matters.
    Measure::new("ports.addresses.closed", Kind::Set, "Ports that refused.").volatile(),
    Measure::new(
        "ports.addresses.filtered",
        Kind::Set,
        "Ports that did not answer, or were rejected on the way.",
    )
    .volatile(),
    Measure::new("ports.addresses.open_or_filtered", Kind::Set, "UDP ports without an answer."),
    Measure::new(
        "ports.addresses.not_measured",
        Kind::Set,
        "Ports that this machine could not ask.",
    ),
    Measure::new("ports.addresses.forged", Kind::Set, "Handshakes that are not believed."),
    Measure::new(
        "ports.addresses.unstable",
        Kind::Set,
        "Ports seen open and closed within the hour.",
    )
    .unpromised(),
    Measure::new(
        "ports.asymmetry",
        Kind::Items,
        "Ports open on one family and on none of the other's addresses.",
    )
    .subject(&["port"]),
    Measure::new("ports.exposure", Kind::Items, "Open ports that answer without credentials.")
        .subject(&["port"]),
    Measure::new(
        "ports.unexpected",
        Kind::Items,
        "Open ports that the pins, or the baseline that a person accepted, do not allow (expected_by: pins or baseline), with the pin's reason and owner; none without both.",
    )
    .subject(&["port"])
    // Three connects, seconds apart, are agreement enough.
    .evidence(|item| match item["sightings"].as_u64() {
        Some(3..) => Evidence::Shown,
        _ => Evidence::Forgeable,
    }),
    Measure::new("ports.missing", Kind::Items, "Ports that the pins demand, or that a person accepted as open (expected_by: baseline), and that are not open.")
        .subject(&["port"])
        .evidence(|_| Evidence::Missed),
    Measure::new(
        "ports.coverage",
        Kind::Items,
        "By address and tier (dangerous, common, all) of a plan without `ports`: its window_seconds, the bound_seconds between two looks at a port, and the oldest_look.",
    )
    .subject(&["address", "tier"])
    .unpromised()
    .volatile(),
    Measure::new(
        "ports.late_looks",
        Kind::Items,
        "Tiers of which some port was looked at longer ago than the bound.",
    )
    .subject(&["address", "tier"])
    .unpromised(),
    Measure::new(
        "ports.cost",
        Kind::Object,
        "What the run took: received_bytes, sent_bytes, cpu_seconds.",
    )
    .volatile(),
];
