//! Lists by pages, the start page, and what hostile peers wrote.

use std::collections::HashSet;

use super::fakes::*;
use crate::web::Settings;

#[tokio::test]
async fn pages_hold_every_record_once() {
    let house = House::new(settings());
    for (path, key, id, expected) in [
        ("/api/v1/findings?limit=4", "findings", "id", 25),
        ("/api/v1/samples?target=a&limit=4", "samples", "id", 25),
        ("/api/v1/deployments?limit=3", "deployments", "id", 7),
        ("/api/v1/evidence?limit=3", "evidence", "rule", 7),
        ("/api/v1/targets?limit=1", "targets", "target", 3),
    ] {
        let (mut seen, mut after, mut pages) = (HashSet::new(), String::new(), 0);
        loop {
            let page = house.near("GET", &format!("{path}{after}")).value().await;
            for record in page[key].as_array().expect("a list") {
                assert!(seen.insert(record[id].to_string()), "{record} twice");
            }
            pages += 1;
            let Some(next) = page["next"].as_str() else { break };
            let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
            after = format!("&after={next}");
        }
        assert_eq!(seen.len(), expected, "{path}");
        assert!(pages > 1, "{path}");
    }
}

#[tokio::test]
async fn filters_are_checked_and_used() {
    let house = House::new(settings());
    let open = house.near("GET", "/api/v1/findings?state=open&severity=high").value().await;
    let findings = open["findings"].as_array().expect("a list");
    assert!(!findings.is_empty());
    assert!(findings.iter().all(|f| f["state"] == "confirmed"));
    assert!(findings.iter().all(|f| f["severity"] == "high" || f["severity"] == "critical"));
    for query in ["state=x", "severity=x", "limit=0", "limit=10001", "limit=x"] {
        let status = house.near("GET", &format!("/api/v1/findings?{query}")).status().await;
        assert_eq!(status, 400, "{query}");
    }
    for path in ["/api/v1/samples", "/api/v1/targets?after=x", "/api/v1/targets?probe=icmp"] {
        assert_eq!(house.near("GET", path).status().await, 400, "{path}");
    }
    assert_eq!(house.near("GET", "/api/v1/findings/f00003").value().await["id"], "f00003");
    assert_eq!(house.near("GET", "/api/v1/findings/nope").status().await, 404);
    assert_eq!(house.near("GET", "/api/v1/targets/explain?target=a").status().await, 404);
}

#[tokio::test]
async fn the_page_shows_findings_and_obeys_nothing_that_a_peer_wrote() {
    let house = House::new(Settings::default());
    house.metrics.points.with_label_values(&["tls"]).set(12);
    house.metrics.coverage.with_label_values(&["tls"]).set(0.995);
    let (status, headers, body) = house.near("GET", "/").send().await;
    assert_eq!(status, 200);
    assert!(body.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!body.contains("<script") && !body.contains('\u{1b}') && !body.contains('\u{202e}'));
    assert!(body.contains("tls-legacy-protocol") && body.contains("1 h"));
    assert!(body.contains("12 points") && body.contains("99.5 %"));
    assert!(!body.contains("resolved</td>"), "only what is open unless asked");
    let policy = headers["content-security-policy"].to_str().expect("text");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["x-frame-options"], "DENY");
    let hostile = "/?target=%22%3E%3Cscript%3Ealert(1)%3C/script%3E";
    let (_, _, body) = house.near("GET", hostile).send().await;
    assert!(!body.contains("<script"), "{body}");
}

#[tokio::test]
async fn looking_at_the_page_makes_no_series() {
    let house = House::new(Settings::default());
    house.metrics.points.with_label_values(&["tls"]).set(12);
    assert_eq!(house.near("GET", "/").status().await, 200);
    let text = String::from_utf8(house.metrics.encode().expect("text")).expect("UTF-8");
    assert!(!text.contains("secchi_sampling_coverage_ratio{"), "{text}");
}

#[tokio::test]
async fn ready_says_so_only_when_it_is() {
    let house = House::new(settings());
    assert_eq!(house.near("GET", "/-/ready").status().await, 503);
    assert_eq!(house.near("GET", "/-/healthy").status().await, 200);
    house.site.set_ready(true);
    assert_eq!(house.near("GET", "/-/ready").status().await, 200);
    assert_eq!(house.near("GET", "/api/v1/status").value().await["ready"], true);
}
