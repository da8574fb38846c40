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
            if take_back(&mut value, field) {
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

/// Makes the field `null` wherever it is, through lists and keyed maps alike.
fn take_back(value: &mut Value, field: &str) -> bool {
    match value {
        Value::Array(items) => {
            items.iter_mut().fold(false, |any, item| take_back(item, field) || any)
        }
        Value::Object(map) => match map.get_mut(field) {
            Some(found) => {
                *found = Value::Null;
                true
            }
            None => map.values_mut().fold(false, |any, item| take_back(item, field) || any),
        },
        _ => false,
    }
}
