//! Redirection, and Strict-Transport-Security as the Observatory reads it.

use super::Scan;

/// The redirection test.
pub(super) fn redirection(scan: &Scan<'_>) -> &'static str {
    let Some(response) = &scan.http else { return "redirection-not-needed-no-http" };
    if !response.is_verified {
        return "redirection-invalid-cert";
    }
    let route = &scan.http_route;
    let is_preloaded = |host: Option<&str>| {
        scan.preloaded.is_some_and(|list| list.covers(host.unwrap_or_default()).is_some())
    };
    if route.iter().all(|url| is_preloaded(url.host_str())) {
        return "redirection-all-redirects-preloaded";
    }
    let [first, second, ..] = &**route else { return "redirection-missing" };
    if route.last().is_none_or(|last| last.scheme() != "https") {
        return "redirection-not-to-https";
    }
    if second.scheme() == "http" {
        return "redirection-not-to-https-on-initial-redirection";
    }
    if first.scheme() == "http" && first.host_str() != second.host_str() {
        return "redirection-off-host-from-http";
    }
    "redirection-to-https"
}

/// The HSTS test.
pub(super) fn hsts(scan: &Scan<'_>) -> &'static str {
    let Some(response) = &scan.https else { return "hsts-not-implemented-no-https" };
    if scan.preloaded.is_some_and(|list| list.covers(scan.site).is_some()) {
        return "hsts-preloaded";
    }
    if !response.is_verified {
        return "hsts-invalid-cert";
    }
    let Some(text) = response.fields.joined("strict-transport-security") else {
        return "hsts-not-implemented";
    };
    let text: String = text.chars().take(1024).collect();
    if text.contains(',') {
        return "hsts-header-invalid";
    }
    // The last max-age counts. What is no number is, to the Observatory, not less than six months.
    let max_age = text
        .split(';')
        .filter_map(|part| part.trim().to_lowercase().strip_prefix("max-age=").map(leading_number))
        .next_back();
    match max_age {
        None => "hsts-header-invalid",
        Some(Some(seconds)) if seconds < SIX_MONTHS => {
            "hsts-implemented-max-age-less-than-six-months"
        }
        Some(_) => "hsts-implemented-max-age-at-least-six-months",
    }
}

/// The whole number that a text begins with, as JavaScript's `parseInt` finds it.
fn leading_number(text: &str) -> Option<f64> {
    let text: String = text.chars().take(120).collect();
    let text = text.trim_start();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse::<f64>().ok().map(|number| sign * number)
}

const SIX_MONTHS: f64 = 15_552_000.0;
