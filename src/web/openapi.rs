//! The OpenAPI description, made from the table of routes.

use axum::Json;
use serde_json::{Map, Value, json};

use super::access::Access;
use super::routes::{ROUTES, Route};

pub(super) async fn describe() -> Json<Value> {
    Json(document())
}

pub(super) fn document() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        item[route.method.to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Secchi",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Lists are paged by key: pass `next` as `after` until it is null.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "basic": { "type": "http", "scheme": "basic" },
                "token": { "type": "http", "scheme": "bearer" },
            },
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": { "error": { "type": "string" } },
                },
                "Baselines": record(&["target"], &["probe", "name", "type", "values", "reason"]),
                "Deployments": record(&["service"], &["version", "at"]),
                "Exceptions": record(&["rule", "target", "reason", "approved_by", "until"], &["subject"]),
                "Samples": record(&["target"], &["probe"]),
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let query = route.query.iter().map(|(name, meaning)| {
        json!({ "name": name, "in": "query", "description": meaning, "schema": { "type": "string" } })
    });
    let path = route.path.contains("{id}").then(
        || json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }),
    );
    let error = json!({
        "description": "What went wrong.",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    });
    let mut operation = json!({
        "summary": route.summary,
        "parameters": path.into_iter().chain(query).collect::<Vec<_>>(),
        "responses": { "200": { "description": "The answer." }, "default": error },
        "security": security(route.access),
    });
    if let Some(name) = route.path.strip_prefix("/api/v1/").filter(|_| route.method == "POST") {
        let (first, rest) = name.split_at(1);
        let schema = format!("#/components/schemas/{}{rest}", first.to_ascii_uppercase());
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": { "$ref": schema } } },
        });
    }
    operation
}

fn security(access: Access) -> Value {
    match access {
        Access::Health => json!([]),
        Access::Metrics | Access::Read => json!([{}, { "basic": [] }, { "token": [] }]),
        Access::Write(_) => json!([{ "token": [] }]),
    }
}

fn record(required: &[&str], optional: &[&str]) -> Value {
    let properties: Map<String, Value> = required
        .iter()
        .chain(optional)
        .map(|name| match *name {
            "values" => {
                ((*name).to_owned(), json!({ "type": "array", "items": { "type": "string" } }))
            }
            name => (name.to_owned(), json!({ "type": "string" })),
        })
        .collect();
    json!({
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": false,
    })
}
