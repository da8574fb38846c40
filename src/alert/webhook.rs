//! Alertmanager's webhook body, version 4 (Alertmanager docs/configuration.md, webhook_config),
//! with an idempotency key and a signature.

use std::collections::BTreeMap;

use aws_lc_rs::{digest, hmac};
use serde::Serialize;

use super::message::{self, Externals};
use super::plan::{Batch, GroupKey};
use crate::ledger::{Alert, AlertState};
use crate::outgoing::Secret;

/// The body.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Message<'a> {
    version: &'static str,
    group_key: String,
    truncated_alerts: usize,
    status: AlertState,
    receiver: &'a str,
    group_labels: BTreeMap<&'static str, String>,
    common_labels: BTreeMap<String, String>,
    common_annotations: BTreeMap<String, String>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    alerts: Vec<MessageAlert>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageAlert {
    status: AlertState,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

impl<'a> Message<'a> {
    pub(super) fn new(batch: &Batch, receiver: &'a str, externals: &'a Externals) -> Self {
        let mut alerts: Vec<MessageAlert> =
            batch.entries.iter().map(|entry| MessageAlert::new(&entry.alert, externals)).collect();
        let group = batch.group.as_ref();
        let unchanged = group.map_or(&[][..], |group| &group.unchanged);
        alerts.extend(unchanged.iter().map(|alert| MessageAlert::new(alert, externals)));
        let fires = alerts.iter().any(|alert| alert.status == AlertState::Firing);
        let key = group.map(|group| group.key.clone()).unwrap_or_default();
        Self {
            version: "4",
            group_key: group_key(&key),
            truncated_alerts: group.map_or(0, |group| group.truncated),
            status: if fires { AlertState::Firing } else { AlertState::Resolved },
            receiver,
            common_labels: common(alerts.iter().map(|alert| &alert.labels)),
            common_annotations: common(alerts.iter().map(|alert| &alert.annotations)),
            group_labels: group_labels(key),
            external_url: &externals.url,
            alerts,
        }
    }
}

impl MessageAlert {
    fn new(alert: &Alert, externals: &Externals) -> Self {
        let labels = message::labels(alert, externals);
        Self {
            status: alert.state,
            annotations: message::annotations(alert),
            starts_at: message::time(alert.starts_at),
            // Go's zero time, as Alertmanager writes it for what still fires.
            ends_at: alert.ends_at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), message::time),
            generator_url: message::generator(alert, externals).unwrap_or_default(),
            fingerprint: fingerprint(&labels),
            labels,
        }
    }
}

fn group_labels(key: GroupKey) -> BTreeMap<&'static str, String> {
    [("team", key.team), ("service", key.service), ("rule", key.rule)]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name, message::clean(&value, false)))
        .collect()
}

fn group_key(key: &GroupKey) -> String {
    let labels = group_labels(key.clone());
    let text: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{}}:{{{}}}", text.join(", "))
}

/// What all have in common.
fn common<'m>(
    mut maps: impl Iterator<Item = &'m BTreeMap<String, String>>,
) -> BTreeMap<String, String> {
    let mut common = maps.next().cloned().unwrap_or_default();
    for map in maps {
        common.retain(|name, value| map.get(name) == Some(value));
    }
    common
}

/// Alertmanager's fingerprint of a label set: FNV-1a over names and values in order
/// (prometheus/common model/signature.go).
fn fingerprint(labels: &BTreeMap<String, String>) -> String {
    let bytes = labels
        .iter()
        .flat_map(|(name, value)| name.bytes().chain([0xff]).chain(value.bytes()).chain([0xff]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// The same for every attempt to deliver the same news, and another for other news.
pub(super) fn idempotency_key(batch: &Batch) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut news: Vec<_> = batch.entries.iter().map(|e| (&e.alert.id, e.state)).collect();
    news.sort_by(|a, b| a.0.cmp(b.0));
    for (id, state) in news {
        context.update(id.as_bytes());
        context.update(if state == AlertState::Firing { b"\0firing\n" } else { b"\0resolved\n" });
    }
    hex::encode(&context.finish().as_ref()[..16])
}

/// `sha256=<hex>`: HMAC-SHA256 of the body.
pub(super) fn signature(key: &Secret, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
    format!("sha256={}", hex::encode(hmac::sign(&key, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_rfc_4231s_second_case() {
        let signature = signature(&Secret::new("Jefe"), b"what do ya want for nothing?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature, format!("sha256={expected}"));
    }

    #[test]
    fn the_fingerprint_of_no_labels_is_fnvs_offset() {
        assert_eq!(fingerprint(&BTreeMap::new()), "cbf29ce484222325");
    }

    #[test]
    fn common_labels_are_those_of_all() {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
        };
        let maps = [map(&[("a", "1"), ("b", "1")]), map(&[("a", "1"), ("b", "2")])];
        assert_eq!(common(maps.iter()), map(&[("a", "1")]));
    }
}
