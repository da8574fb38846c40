//! What stands on the wire: Alertmanager's API v2 body, and what it shares with the webhook's.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use url::Url;

use super::plan::Entry;
use crate::ledger::Alert;
use crate::target::Labels;

/// Added to every alert on its way out.
#[derive(Clone, Debug, Default)]
pub(super) struct Externals {
    pub(super) labels: Labels,
    pub(super) url: String,
}

/// One alert as `POST /api/v2/alerts` takes it (Alertmanager api/v2/openapi.yaml, `postableAlert`).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PostableAlert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<String>,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    generator_url: Option<String>,
}

impl PostableAlert {
    pub(super) fn new(entry: &Entry, externals: &Externals) -> Self {
        Self {
            labels: labels(&entry.alert, externals),
            annotations: annotations(&entry.alert),
            starts_at: time(entry.alert.starts_at),
            ends_at: entry.ends_at.map(time),
            generator_url: generator(&entry.alert, externals),
        }
    }
}

/// The alert's labels with the external ones; its own win. An empty label is no label, so that the
/// identity is the same for every receiver.
pub(super) fn labels(alert: &Alert, externals: &Externals) -> BTreeMap<String, String> {
    externals
        .labels
        .iter()
        .chain(&alert.labels)
        .map(|(name, value)| (name.clone(), clean(value, false)))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

pub(super) fn annotations(alert: &Alert) -> BTreeMap<String, String> {
    alert.annotations.iter().map(|(name, value)| (name.clone(), clean(value, true))).collect()
}

/// Where a person reads more: the evidence, else Secchi itself; nothing if neither is a URL, for
/// Alertmanager refuses what is none.
pub(super) fn generator(alert: &Alert, externals: &Externals) -> Option<String> {
    [alert.annotations.get("evidence_url"), Some(&externals.url)]
        .into_iter()
        .flatten()
        .find(|text| Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https")))
        .cloned()
}

/// RFC 3339 with milliseconds, UTC.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Text that no terminal, chat or pager can stumble over: no control characters (but line breaks
/// where they are allowed) and none that turn the direction of writing.
pub(super) fn clean(text: &str, may_break: bool) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' if may_break => c,
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => ' ',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_bytes_never_leave() {
        assert_eq!(clean("a\u{1b}[2J\r\nb\u{202e}c", false), "a [2J  b c");
        assert_eq!(clean("a\nb", true), "a\nb");
    }
}
