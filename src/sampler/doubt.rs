//! What a probe works out from the date, taken back while the clock is in doubt.

use serde_json::Value;

use crate::sample::{Outcome, Reason, Sample, Unknown};
use crate::target::ProbeKind;

/// Makes every fact that hangs on the date unknown. What the peer sent (`not_after`) stays.
pub(super) fn blank(sample: &mut Sample) {
    let Outcome::Measured(measurements) = &mut sample.outcome else { return };
    for (fact, fields) in dated(sample.probe) {
        let Some(mut value) = measurements.fact(fact).filter(|value| !value.is_null()).cloned()
        else {
            continue;
        };
        for field in *fields {
            if take_back(&mut value, field) > 0 {
                let why = Unknown::new(Reason::LocalError, "the clock stepped back");
                measurements.set_unknown(format!("{fact}.{field}"), why);
            }
        }
        measurements.set(fact, value);
    }
}

/// Top-level facts, and which of their fields hang on the date.
fn dated(probe: ProbeKind) -> &'static [(&'static str, &'static [&'static str])] {
    match probe {
        ProbeKind::Tls => &[
            ("chain", &["trusted", "reason"]),
            ("certificates", &["trusted", "reason"]),
            ("ocsp_staple", &["status"]),
        ],
        ProbeKind::Http => {
            &[("https", &["certificate_trusted", "certificate_error"]), ("hsts", &["effective"])]
        }
        ProbeKind::Dns => &[("dnssec", &["state", "reason", "failing"])],
        ProbeKind::Ports => &[],
    }
}

/// Makes the field `null` wherever it is, through lists and keyed maps alike. Answers how often it
/// was there.
fn take_back(value: &mut Value, field: &str) -> usize {
    match value {
        Value::Array(items) => items.iter_mut().map(|item| take_back(item, field)).sum(),
        Value::Object(map) => match map.get_mut(field) {
            Some(found) => {
                *found = Value::Null;
                1
            }
            None => map.values_mut().map(|item| take_back(item, field)).sum(),
        },
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;
    use serde_json::json;

    use super::*;
    use crate::rules::RuleSet;
    use crate::sample::{Cause, Measurements, Verdict};

    fn sample(probe: ProbeKind, facts: &Value) -> Sample {
        let mut measurements = Measurements::new();
        for (fact, value) in facts.as_object().expect("facts") {
            measurements.set(fact, value);
        }
        Sample {
            target: "a.test".into(),
            probe,
            address: None,
            taken_at: DateTime::from_timestamp(1_800_000_000, 0).expect("a time"),
            duration: Duration::ZERO,
            connections: 1,
            cause: Cause::Scheduled,
            slot: None,
            vantage: "local".into(),
            outcome: Outcome::Measured(measurements),
        }
    }

    #[test]
    fn what_hangs_on_the_date_is_unknown_and_the_rest_stands() {
        let mut seen = sample(
            ProbeKind::Tls,
            &json!({
                "versions": ["TLSv1.0", "TLSv1.3"],
                "chain": {"trusted": false, "reason": "not_yet_valid", "hostname_matches": false},
                "certificates": [{"key_type": "ec", "trusted": false, "reason": "not_yet_valid", "not_after": "2027-01-01T00:00:00Z"}],
            }),
        );
        let rules = RuleSet::builtin().select(&[], &Default::default()).expect("rules");
        let verdict = |sample: &Sample, rule: &str| {
            let judgements = rules.evaluate_undated(sample);
            let found = judgements.iter().find(|judgement| *judgement.rule.id == *rule);
            found.expect("the rule").verdict
        };
        assert_eq!(verdict(&seen, "tls-chain-untrusted"), Verdict::OutOfRange);
        blank(&mut seen);
        let facts = seen.measurements().expect("facts");
        assert_eq!(facts.fact("chain").expect("a chain")["trusted"], Value::Null);
        assert_eq!(facts.fact("certificates").expect("a list")[0]["key_type"], "ec");
        assert_eq!(facts.unknowns()["chain.trusted"].reason, Reason::LocalError);
        for (rule, expected) in [
            ("tls-chain-untrusted", Verdict::Unknown),
            ("tls-certificate-expiry", Verdict::Unknown),
            ("tls-hostname-mismatch", Verdict::OutOfRange),
            ("tls-legacy-protocol", Verdict::OutOfRange),
        ] {
            assert_eq!(verdict(&seen, rule), expected, "{rule}");
        }
    }

    #[test]
    fn servers_and_hops_lose_what_was_worked_out_from_the_date() {
        let mut dns = sample(
            ProbeKind::Dns,
            &json!({"dnssec": {"192.0.2.1": {"state": "bogus", "reason": "signature_expired", "expires": "2027-01-01T00:00:00Z"}}}),
        );
        blank(&mut dns);
        let facts = dns.measurements().expect("facts");
        let server = &facts.fact("dnssec").expect("servers")["192.0.2.1"];
        assert_eq!((&server["state"], &server["reason"]), (&Value::Null, &Value::Null));
        assert_eq!(server["expires"], "2027-01-01T00:00:00Z");
        let mut http = sample(ProbeKind::Http, &json!({"https": null, "xfo": {"present": true}}));
        blank(&mut http);
        assert!(http.measurements().expect("facts").unknowns().is_empty());
    }
}
