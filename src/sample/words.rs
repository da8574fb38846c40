//! What was measured in words, fit for any screen.

use std::time::Duration;

use serde_json::Value;

use super::{RuleFacts, Unit, find_measure};
use crate::target::{ByteSize, Span};

impl RuleFacts {
    /// What is wrong: the rule's summary with `{measured}`, `{subject}` and `{target}` filled in.
    pub fn summary_of(&self, target: &str, subject: &str, measured: &Value) -> String {
        let mut text = String::with_capacity(self.summary.len() + 64);
        let mut rest: &str = &self.summary;
        while let Some(at) = rest.find('{') {
            let (before, after) = rest.split_at(at);
            text.push_str(before);
            let placeholder = PLACEHOLDERS.into_iter().find(|word| after.starts_with(word));
            match placeholder {
                Some("{measured}") => text.push_str(&self.in_words(measured)),
                Some("{subject}") => text.push_str(&clean(subject, 200)),
                Some("{target}") => text.push_str(&clean(target, 260)),
                _ => text.push('{'),
            }
            rest = &after[placeholder.map_or(1, str::len)..];
        }
        text.push_str(rest);
        text
    }

    /// What was measured, with the measure's unit.
    pub fn in_words(&self, measured: &Value) -> String {
        let unit = find_measure(&self.measure).map_or(Unit::None, |measure| measure.unit);
        let words = measured.as_f64().and_then(|number| match unit {
            Unit::Bits => Some(format!("{number} bits")),
            Unit::Bytes => measured.as_u64().map(|bytes| ByteSize(bytes).to_string()),
            Unit::None => None,
            Unit::Seconds => Some(span_in_words(number)),
        });
        clean(&words.unwrap_or_else(|| in_short(measured)), 200)
    }
}

/// A duration; one that is past has a minus before it.
pub fn span_in_words(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "-" } else { "" };
    match Duration::try_from_secs_f64(seconds.abs()) {
        // More than an hour is not told to the second.
        Ok(length) if length.as_secs() >= 3_600 && length.subsec_millis() > 0 => {
            format!("{sign}{}", Span(Duration::from_secs(length.as_secs())))
        }
        Ok(length) => format!("{sign}{}", Span(length)),
        Err(_) => format!("{seconds}s"),
    }
}

/// A value in one line.
pub fn in_short(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "nothing".to_owned(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        value => value.to_string(),
    }
}

/// Text of a peer: no control or direction characters, at most `most` characters.
pub fn clean(text: &str, most: usize) -> String {
    let mut chars = text.chars();
    let mut cleaned: String =
        chars.by_ref().take(most).map(|c| if steers(c) { ' ' } else { c }).collect();
    if chars.next().is_some() {
        cleaned.push('…');
    }
    cleaned
}

/// Characters that move the cursor, or change how their neighbours are shown.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// What a summary may hold.
pub const PLACEHOLDERS: [&str; 3] = ["{measured}", "{subject}", "{target}"];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::sample::Severity;

    #[test]
    fn a_summary_is_filled_in_and_hostile_text_is_cleaned() {
        let facts = RuleFacts {
            id: "http-hsts".into(),
            severity: Severity::Low,
            measure: "http.hsts.max_age".into(),
            range: "at least 1y".into(),
            summary: "{target}: max-age is {measured} {subject} {other} {".into(),
            remedy: "".into(),
            controls: Arc::default(),
            hold: Duration::ZERO,
        };
        let text = facts.summary_of("a.test", "a\u{1b}[31m\u{202e}b", &Value::from(86_400));
        assert_eq!(text, "a.test: max-age is 1d a [31m b {other} {");
    }
}
