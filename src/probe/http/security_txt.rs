//! security.txt (RFC 9116).

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::exchange::Answer;

/// What the file says: `{present, valid, expires, contacts, errors}`. `expires` is `null` where it
/// has none.
pub(super) fn read(answer: &Answer, now: DateTime<Utc>) -> Value {
    let media = answer.head.fields.first("content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let text = String::from_utf8_lossy(&answer.body.start);
    let file = parse(&text);
    // A site that answers everything with a page has no such file.
    let is_one = answer.head.status == 200
        && media != "text/html"
        && (file.contacts > 0 || !file.expires.is_empty());
    if !is_one {
        return json!({
            "present": false, "valid": false, "expires": null, "contacts": 0, "errors": [],
        });
    }
    let mut errors = Vec::new();
    if media != "text/plain" {
        errors.push("not_text_plain");
    }
    if file.contacts == 0 {
        errors.push("no_contact");
    }
    let dates: Vec<DateTime<Utc>> = file.expires.iter().filter_map(|text| date(text)).collect();
    match (file.expires.len(), dates.first()) {
        (0, _) => errors.push("no_expires"),
        (1, None) => errors.push("bad_expires"),
        (1, Some(at)) if *at <= now => errors.push("expired"),
        (1, Some(_)) => {}
        _ => errors.push("several_expires"),
    }
    let expires = dates.first().map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
    json!({
        "present": true,
        "valid": errors.is_empty(),
        "expires": expires,
        "contacts": file.contacts,
        "errors": errors,
    })
}

#[derive(Debug, Default)]
struct File<'a> {
    contacts: usize,
    expires: Vec<&'a str>,
}

fn parse(text: &str) -> File<'_> {
    let mut file = File::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.trim().eq_ignore_ascii_case("contact") && !value.is_empty() {
            file.contacts += 1;
        } else if name.trim().eq_ignore_ascii_case("expires") && file.expires.len() < 4 {
            file.expires.push(value);
        }
    }
    file
}

fn date(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|date| date.with_timezone(&Utc))
}

/// As much as is read of it.
pub(super) const MAX_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_held_to_the_standard() {
        let now: DateTime<Utc> = "2026-11-22T00:00:00Z".parse().expect("a date");
        let good = "# ours\nContact: mailto:a@b.example\nExpires: 2027-01-01T00:00:00Z\n";
        for (status, media, text, present, errors) in [
            (200, "text/plain; charset=utf-8", good, true, &[][..]),
            (404, "text/plain", good, false, &[]),
            (200, "text/html", "<p>Contact: us", false, &[]),
            (200, "application/octet-stream", good, true, &["not_text_plain"]),
            (200, "text/plain", "Contact: x\n", true, &["no_expires"]),
            (200, "text/plain", "Expires: 2020-01-01T00:00:00Z", true, &["no_contact", "expired"]),
            (200, "text/plain", "contact: x\nexpires: soon", true, &["bad_expires"]),
        ] {
            let answer = Answer::of(status, &[("Content-Type", media)], text);
            let read = read(&answer, now);
            assert_eq!(
                (&read["present"], &read["errors"]),
                (&json!(present), &json!(errors)),
                "{text}"
            );
            assert_eq!(read["valid"], present && errors.is_empty());
        }
    }
}
