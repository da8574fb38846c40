//! Doors for `fuzz/`.

use chrono::DateTime;
use serde_json::Value;

use super::fields::Fields;
use super::{cookies, cross_origin, csp, head, hsts, hygiene, offline, permissions, profiles};

/// Policies, a line each, through the evaluator: it reads any text, and names each finding in full.
pub fn csp_evaluator(bytes: &[u8]) {
    let fields = fields("content-security-policy", bytes);
    let Some(report) = profiles::evaluated(&fields) else { return };
    let findings = report["findings"].as_array().map_or(&[][..], Vec::as_slice);
    for finding in findings {
        assert!(finding["type"].is_string() && finding["severity"].is_string(), "{finding}");
    }
}

/// Strict-Transport-Security, a line each, by the standard and by the preload list's checker: what
/// the list would take, browsers take.
pub fn hsts_field(bytes: &[u8]) {
    let fields = fields("strict-transport-security", bytes);
    let hsts = hsts::read(&fields, true);
    assert!(hsts.valid || (!hsts.effective && hsts.max_age == 0));
    assert!(hsts.max_age <= i64::MAX.unsigned_abs());
    let _ = profiles::is_preloadable(&fields, bytes.len() % 2 == 0);
}

/// Every field that is a structured one (RFC 9651), of the same bytes.
pub fn structured_fields(bytes: &[u8]) {
    let printed = |value: serde_json::Result<Value>| value.iter().for_each(printable);
    let read = |name: &str| fields(name, bytes);
    printed(serde_json::to_value(permissions::read(&read("permissions-policy"))));
    printed(serde_json::to_value(cross_origin::opener(&read("cross-origin-opener-policy"))));
    printed(serde_json::to_value(cross_origin::embedder(&read("cross-origin-embedder-policy"))));
    printed(serde_json::to_value(hygiene::integrity_policy(&read("integrity-policy"))));
    printed(serde_json::to_value(hygiene::reporting(&read("reporting-endpoints"))));
    printed(serde_json::to_value(hygiene::alt_svc(&read("alt-svc"))));
    printed(serde_json::to_value(hygiene::clear_site_data(&read("clear-site-data"))));
}

/// One field line of that name a line of the input.
fn fields(name: &str, bytes: &[u8]) -> Fields {
    let mut fields = Fields::default();
    let lines = bytes.split(|&b| b == b'\n').take(16);
    lines.for_each(|line| fields.push(name.as_bytes(), line));
    fields
}

/// A response and its page through every judge: nothing that comes out of them may write on a screen.
pub fn http_judged(bytes: &[u8]) {
    let (head, page) = bytes.split_at(bytes.len() / 2);
    for start in [&b""[..], b"HTTP/1.1 200 OK\r\n"] {
        let head = [start, head, b"\r\n\r\n"].concat();
        let Some(facts) = offline::judge(&head, page, DateTime::UNIX_EPOCH) else { continue };
        for key in ["csp", "permissions_policy", "sri", "mixed_content", "drift", "alt_svc"] {
            facts.fact(key).into_iter().for_each(printable);
        }
    }
}

/// The head of a response and every field of posture that is read from it; what comes out of them
/// carries no control characters.
pub fn http_response(bytes: &[u8]) {
    let Ok(Some(head)) = head::parse(bytes) else { return };
    assert!((200..=999).contains(&head.status));
    let fields = &head.fields;
    for heeded in [false, true] {
        let hsts = hsts::read(fields, heeded);
        assert!(!hsts.effective || (hsts.valid && hsts.max_age > 0));
    }
    let csp = csp::read(fields);
    let _ = csp.refuses_foreign_frames();
    printable(&csp.to_json());
    let responses = [(fields, true), (fields, false)];
    for cookie in cookies::read(responses.into_iter(), DateTime::UNIX_EPOCH) {
        printable(&Value::String(cookie.name));
    }
}

fn printable(value: &Value) {
    match value {
        Value::String(text) => assert!(!text.chars().any(char::is_control), "{text:?}"),
        Value::Array(values) => values.iter().for_each(printable),
        Value::Object(members) => members.values().for_each(printable),
        _ => {}
    }
}
