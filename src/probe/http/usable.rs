//! Whether a response says anything of the site's posture: rate limits, faults and challenge pages
//! come from something in between.

use crate::sample::{Reason, Unknown};

use super::fields::Fields;

/// Why the response says nothing of the posture; `Ok` if it does.
pub(super) fn judge(status: u16, fields: &Fields) -> Result<(), Unknown> {
    if let Some(who) = challenge(status, fields) {
        return Err(Unknown::new(Reason::Challenge, who));
    }
    match status {
        429 => Err(Unknown::new(Reason::HttpStatus, "429")),
        // The request or the connection was at fault, not the site: bad request, timeout,
        // misdirected, too early, fields too large.
        400 | 408 | 421 | 425 | 431 | 500.. => {
            Err(Unknown::new(Reason::HttpStatus, status.to_string()))
        }
        _ => Ok(()),
    }
}

/// The same for a further request: what the site makes of an odd method or path is its own affair,
/// but a limit or a challenge is not.
pub(super) fn judge_further(status: u16, fields: &Fields) -> Result<(), Unknown> {
    match judge(status, fields) {
        Err(unknown) if unknown.reason == Reason::Challenge || status == 429 => Err(unknown),
        Err(unknown) if matches!(status, 500 | 502..) => Err(unknown),
        _ => Ok(()),
    }
}

fn challenge(status: u16, fields: &Fields) -> Option<&'static str> {
    let shows = |mark: &Mark| {
        (mark.statuses.is_empty() || mark.statuses.contains(&status))
            && fields.all(mark.field).any(|value| {
                mark.values.is_empty()
                    || mark.values.iter().any(|known| value.eq_ignore_ascii_case(known))
            })
    };
    MARKS.iter().find(|mark| shows(mark)).map(|mark| mark.who)
}

/// How a challenge or block page of one vendor is known.
struct Mark {
    who: &'static str,
    field: &'static str,
    /// Any of these; any value if empty.
    values: &'static [&'static str],
    /// Any of these; any status if empty.
    statuses: &'static [u16],
}

/// The one table of challenge and block pages, from the vendors' own documentation.
const MARKS: [Mark; 6] = [
    Mark { who: "Cloudflare", field: "cf-mitigated", values: &["challenge"], statuses: &[] },
    Mark {
        who: "AWS WAF",
        field: "x-amzn-waf-action",
        values: &["challenge", "captcha"],
        statuses: &[],
    },
    Mark { who: "Vercel", field: "x-vercel-mitigated", values: &[], statuses: &[] },
    Mark { who: "Sucuri", field: "x-sucuri-block", values: &[], statuses: &[] },
    Mark { who: "DataDome", field: "x-datadome", values: &["protected"], statuses: &[401, 403] },
    // Akamai names itself only on pages that it makes itself.
    Mark { who: "Akamai", field: "server", values: &["AkamaiGHost"], statuses: &[403] },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(status: u16, pairs: &[(&str, &str)]) -> Option<Reason> {
        judge(status, &Fields::of(pairs)).err().map(|unknown| unknown.reason)
    }

    #[test]
    fn the_status_decides_whether_a_response_is_judged() {
        for status in [200, 204, 206, 301, 302, 304, 308, 401, 403, 404, 405, 410, 451] {
            assert_eq!(reason(status, &[]), None, "{status}");
        }
        for status in [400, 408, 421, 425, 429, 431, 500, 502, 503, 504, 520, 599, 999] {
            assert_eq!(reason(status, &[]), Some(Reason::HttpStatus), "{status}");
        }
    }

    #[test]
    fn a_challenge_is_known_by_its_marks_only() {
        for (status, field, value, expected) in [
            (403, "CF-Mitigated", "challenge", Some(Reason::Challenge)),
            (200, "cf-mitigated", "challenge", Some(Reason::Challenge)),
            (503, "cf-mitigated", "challenge", Some(Reason::Challenge)),
            (403, "server", "cloudflare", None),
            (202, "x-amzn-waf-action", "challenge", Some(Reason::Challenge)),
            (405, "x-amzn-waf-action", "captcha", Some(Reason::Challenge)),
            (403, "x-datadome", "protected", Some(Reason::Challenge)),
            (200, "x-datadome", "protected", None),
            (403, "server", "AkamaiGHost", Some(Reason::Challenge)),
            (301, "server", "AkamaiGHost", None),
        ] {
            assert_eq!(reason(status, &[(field, value)]), expected, "{status} {field}: {value}");
        }
    }
}
