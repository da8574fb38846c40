//! Where plain http leads.

use serde_json::json;

use crate::sample::{Measurements, Reason, Unknown};

use super::facts::Seen;
use super::usable;

/// Measures the walk that began with http.
pub(super) fn measure(seen: &Seen, measurements: &mut Measurements) {
    let Some(walk) = &seen.http else {
        let why = Unknown::new(Reason::NotApplicable, "http is not walked on this port");
        measurements.set_unknown(KEY, why);
        return;
    };
    let mut hops = walk.hops.iter().filter_map(|&index| seen.hops.get(index));
    let Some(first) = hops.next() else {
        measurements.set_unknown(KEY, Reason::NotObserved);
        return;
    };
    let usable = match &first.answer {
        Ok(answer) => usable::judge(answer),
        Err(unknown) if unknown.reason == Reason::Refused => return refused(measurements),
        Err(unknown) => Err(unknown.clone()),
    };
    if let Err(unknown) = usable {
        measurements.set_unknown(KEY, unknown);
        return;
    }
    let second = hops.next();
    let last = hops.next_back().or(second).unwrap_or(first);
    let (to_https, count) = match &walk.failure {
        // Where it ends is not known; that a part of the way was https says nothing of that.
        Some(unknown) => (Err(unknown.clone()), Err(unknown.clone())),
        None => (arrival(last), Ok(walk.hops.len() - 1)),
    };
    let is_redirect = second.is_some() || walk.failure.is_some();
    measurements.set_value(
        KEY,
        json!({
            "http": if is_redirect { "redirects" } else { "serves" },
            "first_hop_https": second.is_some_and(|second| {
                second.url.scheme() == "https" && second.host == first.host
            }),
            "to_https": to_https.as_ref().ok(),
            "hops": count.as_ref().ok(),
        }),
    );
    if let Err(unknown) = to_https {
        measurements.set_unknown("redirection.to_https", unknown);
    }
    if let Err(unknown) = count {
        measurements.set_unknown("redirection.hops", unknown);
    }
}

/// Whether the last hop is https. A fault page over http says nothing of where http leads.
fn arrival(last: &super::walk::Hop) -> Result<bool, Unknown> {
    if last.url.scheme() == "https" {
        return Ok(true);
    }
    let answer = last.answer.as_ref().map_err(Clone::clone)?;
    usable::judge(answer).map(|()| false)
}

fn refused(measurements: &mut Measurements) {
    let nowhere = json!({
        "http": "refused",
        "first_hop_https": null,
        "to_https": null,
        "hops": 0,
    });
    measurements.set(KEY, nowhere);
    let why = Unknown::new(Reason::NotApplicable, "http is refused");
    measurements.set_unknown("redirection.first_hop_https", why.clone());
    measurements.set_unknown("redirection.to_https", why);
}

const KEY: &str = "redirection";
