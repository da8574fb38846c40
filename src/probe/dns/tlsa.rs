//! TLSA records of the port that the target is sampled at (RFC 6698).

use hickory_proto::rr::{Name, RecordType};
use serde_json::{Value, json};

use super::delegate::Walk;
use super::policy::values;
use super::text;
use crate::sample::Unknown;

/// The records by the name that they stand under; empty where there are none.
pub(super) async fn tlsa(walk: &Walk<'_>, name: &Name, port: u16) -> Result<Value, Unknown> {
    let port = format!("_{port}");
    let labels = [port.as_bytes(), b"_tcp"].into_iter().chain(name.iter());
    let Ok(owner) = Name::from_labels(labels) else { return Ok(json!({})) };
    Ok(match values(walk.lookup(&owner, RecordType::TLSA).await)? {
        None => json!({}),
        Some(records) => json!({ text::of_name(&owner): { "records": records } }),
    })
}
