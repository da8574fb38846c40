//! The JSON schema of the file. The parser's own walk uses it too, so the two cannot disagree.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::file::File;

/// The JSON schema (draft 2020-12) of `secchi.yaml`.
pub fn schema() -> Value {
    SCHEMA.clone()
}

/// The same, without a copy.
pub(super) fn shared() -> &'static Value {
    &SCHEMA
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<File>().to_value();
    // Pins take `x` for `[x]`, which their type's derived schema does not say.
    if let Some(Value::Object(properties)) = schema.pointer_mut("/$defs/Expectation/properties") {
        for operator in ["exact", "within", "contains", "asn", "cname_suffix", "cname_chain"] {
            let scalar = json!({ "type": ["string", "integer"] });
            if let Some(property) = properties.get_mut(operator) {
                let description = property.get("description").cloned().unwrap_or_default();
                *property = json!({
                    "description": description,
                    "anyOf": [scalar, { "type": "array", "items": scalar }],
                });
            }
        }
    }
    schema
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_knows_every_block_and_refuses_other_keys() {
        let schema = schema();
        for block in ["scope", "plans", "defaults", "targets", "discovery", "alerting", "web"] {
            assert!(schema["properties"].get(block).is_some(), "{block}");
        }
        assert_eq!(schema["additionalProperties"], false);
        assert!(schema["$defs"]["Target"]["properties"].get("connect_to").is_some());
    }
}
