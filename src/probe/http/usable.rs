//! Whether a response says anything of the site's posture: rate limits, faults and challenge pages
//! come from something in between.

use crate::sample::{Reason, Unknown};

use super::challenge;
use super::exchange::Answer;

/// Why the response says nothing of the posture; `Ok` if it does.
pub(super) fn judge(answer: &Answer) -> Result<(), Unknown> {
    let (status, fields) = (answer.head.status, &answer.head.fields);
    if let Some(who) = challenge::who(status, fields, answer.body.page.as_ref()) {
        return Err(Unknown::new(Reason::Challenge, who));
    }
    match status {
        // RFC 9110 §15.6.4: overload, or maintenance.
        503 if fields.first("retry-after").is_some() => {
            Err(Unknown::new(Reason::HttpStatus, "503 with Retry-After, as in maintenance"))
        }
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
pub(super) fn judge_further(answer: &Answer) -> Result<(), Unknown> {
    let status = answer.head.status;
    match judge(answer) {
        Err(unknown) if unknown.reason == Reason::Challenge || status == 429 => Err(unknown),
        Err(unknown) if matches!(status, 500 | 502..) => Err(unknown),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(status: u16, pairs: &[(&str, &str)]) -> Option<Reason> {
        judge(&Answer::of(status, pairs, "")).err().map(|unknown| unknown.reason)
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
    fn maintenance_is_told_from_a_fault() {
        let told = |status, pairs: &[(&str, &str)]| {
            judge(&Answer::of(status, pairs, "")).err().map(|unknown| unknown.to_string())
        };
        let maintenance = "http_status: 503 with Retry-After, as in maintenance";
        assert_eq!(told(503, &[("Retry-After", "120")]).as_deref(), Some(maintenance));
        assert_eq!(told(503, &[]).as_deref(), Some("http_status: 503"));
        assert_eq!(told(301, &[("Retry-After", "120")]), None);
        let challenge = [("Retry-After", "120"), ("cf-mitigated", "challenge")];
        assert_eq!(told(503, &challenge).as_deref(), Some("challenge: Cloudflare"));
    }
}
