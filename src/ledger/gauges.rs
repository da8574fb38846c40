//! Measurements that are worth a series a target: a closed table.

use chrono::DateTime;
use serde_json::Value;

use crate::sample::Measurements;
use crate::target::ProbeKind;

/// A gauge of `/metrics/targets`: its name without `secchi_`, and how it is read.
type Gauge = (ProbeKind, &'static str, fn(&Measurements) -> Option<f64>);

const GAUGES: &[Gauge] = &[
    (ProbeKind::Tls, "tls_certificate_not_after_timestamp_seconds", |m| {
        let leaves = m.fact("certificates")?.as_array()?;
        leaves.iter().filter_map(|leaf| seconds(&leaf["not_after"])).reduce(f64::min)
    }),
    (ProbeKind::Tls, "tls_oldest_confirmed_timestamp_seconds", |m| {
        let facts = m.fact("last_confirmed")?.as_object()?;
        facts.values().filter_map(seconds).reduce(f64::min)
    }),
    (ProbeKind::Http, "http_hsts_max_age_seconds", |m| m.fact("hsts")?["max_age"].as_f64()),
    (ProbeKind::Ports, "ports_unexpected", |m| count(m.fact("unexpected")?)),
    (ProbeKind::Ports, "ports_dangerous_oldest_look_timestamp_seconds", |m| {
        oldest_look(m, "dangerous")
    }),
    (ProbeKind::Ports, "ports_common_oldest_look_timestamp_seconds", |m| oldest_look(m, "common")),
    (ProbeKind::Ports, "ports_all_oldest_look_timestamp_seconds", |m| oldest_look(m, "all")),
    (ProbeKind::Dns, "dns_drifted_records", |m| count(m.fact("drift")?)),
];

/// The gauges of a sample; what is unknown has none.
pub(super) fn read(probe: ProbeKind, measurements: &Measurements) -> Vec<(&'static str, f64)> {
    let of_probe = GAUGES.iter().filter(|(kind, ..)| *kind == probe);
    of_probe
        .filter_map(|(_, name, read)| Some((*name, read(measurements)?)))
        .filter(|(_, value)| value.is_finite())
        .collect()
}

/// The table's own spelling of a name that was stored.
pub(super) fn known(name: &str) -> Option<&'static str> {
    GAUGES.iter().map(|(_, known, _)| *known).find(|known| *known == name)
}

/// Of the address that waits longest; none while the first pass goes on anywhere.
fn oldest_look(measurements: &Measurements, tier: &str) -> Option<f64> {
    let coverage = measurements.fact("coverage")?.as_array()?;
    let of_tier = coverage.iter().filter(|item| item["tier"] == tier);
    let looks: Option<Vec<f64>> = of_tier.map(|item| seconds(&item["oldest_look"])).collect();
    looks?.into_iter().reduce(f64::min)
}

#[allow(clippy::cast_precision_loss)]
fn seconds(date: &Value) -> Option<f64> {
    let date = DateTime::parse_from_rfc3339(date.as_str()?).ok()?;
    Some(date.timestamp() as f64)
}

#[allow(clippy::cast_precision_loss)]
fn count(list: &Value) -> Option<f64> {
    Some(list.as_array()?.len() as f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_oldest_look_is_that_of_the_address_that_waits_longest() {
        let mut m = Measurements::new();
        let look = |address: &str, tier: &str, at| json!({"address": address, "tier": tier, "oldest_look": at});
        let (early, late) = ("2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z");
        m.set(
            "coverage",
            json!([
                look("a", "dangerous", Some(late)),
                look("b", "dangerous", Some(early)),
                look("a", "all", Some(late)),
                look("b", "all", None),
            ]),
        );
        let expected = [("ports_dangerous_oldest_look_timestamp_seconds", 1_798_761_600.0)];
        assert_eq!(read(ProbeKind::Ports, &m), expected);
    }

    #[test]
    fn the_fact_that_was_confirmed_longest_ago_counts() {
        let mut m = Measurements::new();
        m.set("last_confirmed", json!({}));
        assert!(read(ProbeKind::Tls, &m).is_empty());
        m.set(
            "last_confirmed",
            json!({"versions[TLSv1.2]": "2027-01-02T00:00:00Z", "versions[TLSv1.3]": "2027-01-01T00:00:00Z"}),
        );
        let expected = [("tls_oldest_confirmed_timestamp_seconds", 1_798_761_600.0)];
        assert_eq!(read(ProbeKind::Tls, &m), expected);
    }

    #[test]
    fn the_certificate_that_expires_first_counts_and_what_is_unknown_has_no_gauge() {
        let mut m = Measurements::new();
        assert!(read(ProbeKind::Tls, &m).is_empty());
        m.set(
            "certificates",
            json!([
                {"not_after": "2027-01-02T00:00:00Z"}, {"not_after": "2027-01-01T00:00:00Z"}, {}
            ]),
        );
        m.set("drift", json!(null));
        let expected = [("tls_certificate_not_after_timestamp_seconds", 1_798_761_600.0)];
        assert_eq!(read(ProbeKind::Tls, &m), expected);
        assert!(read(ProbeKind::Dns, &m).is_empty());
        assert_eq!(known(expected[0].0), Some(expected[0].0));
    }
}
