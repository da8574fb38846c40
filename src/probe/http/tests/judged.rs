//! What other judges and further requests say, over real connections.

use serde_json::{Value, json};

use super::lab::{Lab, encrypted, plain, says};
use crate::sample::Cause;
use crate::target::TextFile;
use crate::testing::refusing;

const TO_HTTPS: &str = "HTTP/1.1 301 Moved\r\nLocation: https://site.test/\r\n\r\n";

fn reply(status: &str, fields: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn mdn(facts: &Value, test: &str) -> Value {
    facts["profiles"]["mdn-observatory"]["tests"][test]["result"].clone()
}

#[tokio::test]
async fn the_profiles_are_computed_from_one_sample_of_both_schemes() {
    let http = plain(says(|_| TO_HTTPS.to_owned())).await;
    let (https, pem) = encrypted(says(|request| {
        let fields = "Content-Type: text/html\r\nStrict-Transport-Security: max-age=31536000\r\n\
            Content-Security-Policy: script-src 'unsafe-inline'\r\n\
            Set-Cookie: sid=1; Secure\r\n";
        let page = "<meta name=referrer content=no-referrer>\
            <script src=https://cdn.example/a.js></script>";
        match request.lines().next().unwrap_or_default() {
            "GET /robots.txt HTTP/1.1" => {
                reply("404 Not Found", "Set-Cookie: SESSION=s3cret; Secure\r\n", "")
            }
            "OPTIONS / HTTP/1.1" => {
                reply("204 No Content", "Access-Control-Allow-Origin: *\r\n", "")
            }
            _ => reply("200 OK", fields, page),
        }
    }))
    .await;
    let routes = [("site.test:80", http), ("site.test:443", https)];
    let facts = Lab::of("site.test", &routes).trusting(pem).facts().await;
    for (test, result) in [
        ("redirection", "redirection-to-https"),
        ("strict-transport-security", "hsts-implemented-max-age-at-least-six-months"),
        ("content-security-policy", "csp-implemented-with-unsafe-inline"),
        ("referrer-policy", "referrer-policy-private"),
        ("subresource-integrity", "sri-not-implemented-but-external-scripts-loaded-securely"),
        // Of robots.txt, without HttpOnly.
        ("cookies", "cookies-session-without-httponly-flag"),
        (
            "cross-origin-resource-sharing",
            "cross-origin-resource-sharing-implemented-with-public-access",
        ),
    ] {
        assert_eq!(mdn(&facts, test), result);
    }
    let observed = &facts["profiles"]["mdn-observatory"];
    assert_eq!((&observed["version"], &observed["grade"]), (&json!("6"), &json!("F")));
    let found = &facts["profiles"]["csp-evaluator"]["findings"][0];
    assert_eq!(found["type"], "SCRIPT_UNSAFE_INLINE");
    let issues = &facts["profiles"]["hsts-preload"]["errors"];
    assert_eq!(issues[0], "header.preloadable.include_sub_domains.missing");
    assert_eq!(facts["sri"]["missing"], json!(["cdn.example"]));
    assert!(!facts.to_string().contains("s3cret"));
}

#[tokio::test]
async fn where_a_scheme_fails_the_profiles_are_computed_from_the_other() {
    let http = plain(says(|_| reply("200 OK", "X-Frame-Options: DENY\r\n", ""))).await;
    let routes = [("site.test:80", http), ("site.test:443", refusing())];
    let facts = Lab::of("site.test", &routes).facts().await;
    assert_eq!(mdn(&facts, "strict-transport-security"), "hsts-not-implemented-no-https");
    assert_eq!(mdn(&facts, "redirection"), "redirection-missing");
    assert_eq!(mdn(&facts, "x-frame-options"), "x-frame-options-sameorigin-or-deny");
    assert_eq!(facts["profiles"]["csp-evaluator"], Value::Null);
    let why = facts["unknown"]["profiles[hsts-preload]"].as_str().expect("a reason");
    assert!(why.starts_with("not_applicable"), "{why}");

    let (https, _) = encrypted(says(|_| reply("200 OK", "", ""))).await;
    let facts = Lab::of("https://site.test:8443", &[("site.test:8443", https)]).facts().await;
    assert_eq!(mdn(&facts, "strict-transport-security"), "hsts-invalid-cert");
    assert_eq!(mdn(&facts, "redirection"), "redirection-not-needed-no-http");
}

#[tokio::test]
async fn the_preload_list_is_taken_from_the_file() {
    let (https, pem) = encrypted(says(|_| reply("200 OK", "", ""))).await;
    let list =
        r#"{"entries": [{"name": "test", "mode": "force-https", "include_subdomains": true}]}"#;
    let mut lab = Lab::of("site.test:8443", &[("site.test:8443", https)]).trusting(pem);
    lab.settings.hsts_preload_list = Some(TextFile { path: "list".into(), text: list.into() });
    let facts = lab.facts().await;
    assert_eq!(mdn(&facts, "strict-transport-security"), "hsts-preloaded");
    assert_eq!(
        (&facts["hsts"]["preloaded"], &facts["hsts"]["preloadable"]),
        (&json!(true), &json!(false))
    );
}

#[tokio::test]
async fn by_hand_everything_is_asked_for() {
    let (https, pem) = encrypted(says(|request| {
        let origin = request.lines().find_map(|line| line.strip_prefix("origin: "));
        let path = request.split(' ').nth(1).unwrap_or_default();
        match (path, origin) {
            ("/", Some("null")) => reply(
                "200 OK",
                "Access-Control-Allow-Origin: null\r\nAccess-Control-Allow-Credentials: true\r\n",
                "",
            ),
            ("/.git/config", _) => reply("200 OK", "", "[core]\nrepositoryformatversion = 0\n"),
            ("/.well-known/security.txt", _) => reply(
                "200 OK",
                "Content-Type: text/plain\r\n",
                "Contact: mailto:a@b.example\nExpires: 2026-11-01T00:00:00Z\n",
            ),
            ("/", _) if request.starts_with("TRACE") => reply("200 OK", "", "TRACE / HTTP/1.1\r\n"),
            ("/", Some("https://cors-probe.secchi.test")) => {
                reply("200 OK", "Allow: GET, HEAD ,PUT\r\n", "")
            }
            ("/", _) => reply("200 OK", "", ""),
            _ => reply("404 Not Found", "", ""),
        }
    }))
    .await;
    let mut lab = Lab::of("site.test:8443", &[("site.test:8443", https)]).trusting(pem);
    lab.cause = Cause::Manual;
    let facts = lab.facts().await;
    assert_eq!(facts["methods"], json!(["GET", "HEAD", "PUT"]));
    let readable: Vec<_> = facts["cors"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|told| told["readable"] == true)
        .map(|told| (told["origin"].clone(), told["method"].clone()))
        .collect();
    assert_eq!(readable, [(json!("null"), json!("GET")), (json!("null"), json!("OPTIONS"))]);
    assert_eq!(facts["exposures"][0]["path"], "/.git/config");
    assert_eq!(facts["exposures"].as_array().map(Vec::len), Some(1));
    assert_eq!(facts["security_txt"]["errors"], json!(["expired"]));
    assert_eq!((&facts["trace"], &facts["change_password"]), (&json!(true), &json!(false)));
    for key in ["cors", "exposures", "trace", "compression"] {
        assert_eq!(facts["unknown"][key], Value::Null, "{key}");
    }
}

#[tokio::test]
async fn a_site_that_answers_everything_with_a_page_hands_out_nothing() {
    let page = "[core] repositoryformatversion DB_PASSWORD=x aws_secret_access_key <?php";
    let (https, pem) = encrypted(says(move |_| reply("200 OK", "", page))).await;
    let mut lab = Lab::of("site.test:8443", &[("site.test:8443", https)]).trusting(pem);
    lab.cause = Cause::Manual;
    let facts = lab.facts().await;
    assert_eq!(facts["exposures"], json!([]));
    assert_eq!(facts["change_password"], false);
    assert_eq!(facts["security_txt"]["present"], false);
}

#[tokio::test]
async fn a_limit_met_on_the_way_is_unknown_and_no_fact() {
    let (https, pem) = encrypted(says(|request| match request.starts_with("GET / ") {
        true if !request.contains("origin: ") => reply("200 OK", "", ""),
        _ => reply("429 Too Many Requests", "", ""),
    }))
    .await;
    let mut lab = Lab::of("site.test:8443", &[("site.test:8443", https)]).trusting(pem);
    lab.cause = Cause::Manual;
    let facts = lab.facts().await;
    assert_eq!(facts["cors"], json!([]));
    assert_eq!(facts["unknown"]["cors"], "not_observed");
    for key in ["trace", "security_txt", "change_password"] {
        assert_eq!(facts["unknown"][key], "http_status: 429", "{key}");
    }
    assert_eq!(facts["unknown"]["exposures"], "not_observed");
}

#[tokio::test]
async fn a_page_that_never_ends_is_read_in_part_and_its_absences_stay_unknown() {
    let piece = "<script src=https://cdn.example/a.js></script>".repeat(100);
    let start = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n";
    let (script, _) = super::lab::endless(start, piece, std::time::Duration::ZERO);
    let (https, pem) = encrypted(script).await;
    let lab = Lab::of("site.test:8443", &[("site.test:8443", https)]).trusting(pem);
    let facts = lab.facts().await;
    assert_eq!(facts["status"], 200);
    assert_eq!(facts["sri"]["missing"], json!(["cdn.example"]));
    assert_eq!(facts["unknown"]["sri.missing"], "not_observed: the page was not read to its end");
}
