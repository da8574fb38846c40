//! Doors for `fuzz/`.

use chrono::DateTime;
use serde_json::Value;

use super::{cookies, csp, head, hsts, offline};

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
