//! Who gets in.

use serde_json::json;

use super::fakes::*;
use crate::web::Settings;
use crate::web::routes::ROUTES;

#[tokio::test]
async fn every_route_of_the_table_is_served_and_described_and_no_other() {
    let house = House::new(settings());
    let document = house.near("GET", "/api/v1/openapi.json").value().await;
    for route in ROUTES {
        let path = route.path.replace("{id}", "f00000");
        let status = house.near(route.method, &path).with("origin", "null").status().await;
        assert!(!matches!(status, 404 | 405), "{} {path}: {status}", route.method);
        let method = route.method.to_ascii_lowercase();
        assert!(document["paths"][route.path][&method]["summary"].is_string(), "{path}");
    }
    let described = document["paths"].as_object().expect("paths");
    let operations: usize = described.values().filter_map(|p| p.as_object()).map(|p| p.len()).sum();
    assert_eq!(operations, ROUTES.len());
    for (method, path, expected) in
        [("GET", "/nothing", 404), ("DELETE", "/metrics", 405), ("GET", "/-/reload", 405)]
    {
        assert_eq!(house.near(method, path).status().await, expected, "{method} {path}");
    }
    let text = String::from_utf8(house.metrics.encode().expect("text")).expect("UTF-8");
    assert!(text.contains("secchi_http_requests_total{code=\"404\",route=\"other\"} 1"), "{text}");
    assert!(text.contains("route=\"/api/v1/findings/{id}\""));
}

#[tokio::test]
async fn a_stranger_from_elsewhere_gets_health_and_small_metrics_only() {
    let house = House::new(settings());
    house.site.set_ready(true);
    for route in ROUTES.iter().filter(|route| route.method == "GET") {
        let path = route.path.replace("{id}", "f00000");
        let status = house.far("GET", &path).status().await;
        let is_open = ["/-/healthy", "/-/ready", "/metrics"].contains(&route.path);
        assert_eq!(status, if is_open { 200 } else { 401 }, "{path}");
    }
    assert_eq!(house.far("GET", "/api/v1/findings").token("ci-secret").status().await, 200);
    assert_eq!(house.far("GET", "/api/v1/findings").token("wrong").status().await, 401);
    let free = House::new(Settings { allow_unauthenticated: true, ..settings() });
    assert_eq!(free.far("GET", "/api/v1/findings").status().await, 200);
}

#[tokio::test]
async fn a_token_does_what_it_may_in_its_name() {
    let house = House::new(settings());
    let deployment = json!({ "service": "shop", "version": "1.2.3" });
    let mark = || house.near("POST", "/api/v1/deployments").json(&deployment);
    assert_eq!(mark().status().await, 401);
    assert_eq!(mark().token("admin-secret").status().await, 403);
    assert_eq!(mark().token("ci-secret").value().await["version"], "1.2.3");
    let sample = house.far("POST", "/api/v1/samples").json(&json!({ "target": "a" }));
    assert_eq!(sample.token("ci-secret").value().await["queued"], 3);
    let exception = json!({
        "rule": "r", "target": "t", "reason": "x", "approved_by": "ciso", "until": "2027-01-31",
    });
    let add = house.far("POST", "/api/v1/exceptions").json(&exception);
    assert_eq!(add.token("admin-secret").status().await, 200);
    let accept = house.far("POST", "/api/v1/baselines").json(&json!({ "target": "t" }));
    assert_eq!(accept.token("admin-secret").status().await, 200);
    assert_eq!(house.far("POST", "/-/reload").token("admin-secret").status().await, 200);
    let notes = house.notes.lock().expect("unpoisoned").clone();
    let expected = [
        ("deploy", "ci"),
        ("sample", "ci"),
        ("exception", "admin"),
        ("baseline", "admin"),
        ("reload", "admin"),
    ];
    assert_eq!(notes, expected.map(|(what, who)| (what, who.to_owned())));
}

#[tokio::test]
async fn without_tokens_only_a_local_reload_changes_anything() {
    let house = House::new(Settings::default());
    assert_eq!(house.near("POST", "/-/reload").status().await, 200);
    assert_eq!(house.far("POST", "/-/reload").status().await, 401);
    let forwarded = house.near("POST", "/-/reload").with("x-forwarded-for", "203.0.113.9");
    assert_eq!(forwarded.status().await, 401);
    let mark = house.near("POST", "/api/v1/deployments").json(&json!({ "service": "shop" }));
    assert_eq!(mark.status().await, 401);
}

#[tokio::test]
async fn a_rebound_name_and_a_foreign_page_are_turned_away() {
    let house = House::new(Settings::default());
    let evil = "evil.example.com:9640";
    assert_eq!(house.near("GET", "/").with("host", evil).status().await, 421);
    assert_eq!(house.near("GET", "/api/v1/findings").with("host", evil).status().await, 421);
    assert_eq!(house.near("POST", "/-/reload").with("host", evil).status().await, 421);
    assert_eq!(house.near("GET", "/metrics").with("host", evil).status().await, 200);
    let foreign = house.near("POST", "/-/reload").with("origin", "https://evil.example.com");
    assert_eq!(foreign.status().await, 403);
    let cross = house.near("POST", "/-/reload").with("sec-fetch-site", "cross-site");
    assert_eq!(cross.status().await, 403);
    let own = house.near("POST", "/-/reload").with("origin", "http://127.0.0.1:9640");
    assert_eq!(own.status().await, 200);
    // A token does not excuse a foreign page.
    let house = House::new(settings());
    let stolen = house.near("POST", "/-/reload").token("admin-secret").with("origin", "null");
    assert_eq!(stolen.status().await, 403);
}

#[tokio::test]
async fn a_body_is_json_bounded_and_without_unknown_keys() {
    let house = House::new(settings());
    let post = || house.near("POST", "/api/v1/deployments").token("ci-secret");
    assert_eq!(post().raw(b"service=shop".to_vec()).status().await, 415);
    assert_eq!(post().json(&json!({ "service": "shop", "sevrice": 1 })).status().await, 400);
    assert_eq!(post().json(&json!({ "service": "x".repeat(70_000) })).status().await, 413);
    let (_, _, body) = post().json(&json!({})).send().await;
    assert!(body.starts_with("{\"error\":"), "{body}");
}
