//! What is asked, of whom, and what it comes to.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::lab::{
    Here, Lab, OnlySite, encrypted, encrypted_by, h2, h2_resetting_after, ok, plain, says,
};
use crate::probe::dial::{Admission, Pace, Permit};
use crate::sample::{Reason, Unknown, find_measure};
use crate::target::TextFile;
use crate::testing::{HERE, Pki, listener, refusing};

const TO_HTTPS: &str = "HTTP/1.1 301 Moved\r\nLocation: https://site.test/\r\n\r\n";

#[tokio::test]
async fn http_that_redirects_to_https_is_walked_without_asking_anything_twice() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&asked);
    let http = plain(says(|_| TO_HTTPS.to_owned())).await;
    let (https, pem) = encrypted(says(move |request| {
        note.lock().expect("a lock").push(request.to_owned());
        "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=31536000\r\n\
         Set-Cookie: sid=s3cretvalue; Secure; HttpOnly\r\n\r\n"
            .to_owned()
    }))
    .await;
    let lab = Lab::of("site.test", &[("site.test:80", http), ("site.test:443", https)]);
    let run = lab.trusting(pem).run().await;
    // One for each scheme, and two in turns.
    assert_eq!(run.observations[0].connections, 4);
    let facts = run.observations[0].outcome.clone();
    let crate::sample::Outcome::Measured(facts) = facts else { panic!("{facts:?}") };
    let facts = serde_json::to_value(facts).expect("JSON");
    assert_eq!(
        facts["redirection"],
        json!({"http": "redirects", "first_hop_https": true, "to_https": true, "hops": 1})
    );
    assert_eq!(facts["hops"][0]["url"], "http://site.test/");
    assert_eq!(facts["hops"][1]["url"], "https://site.test/");
    assert_eq!(facts["hops"][1]["version"], "HTTP/1.1");
    assert_eq!(facts["hops"][1]["address"], "127.0.0.1");
    assert_eq!(facts["https"]["certificate_trusted"], true, "{}", facts["https"]);
    assert_eq!(facts["hsts"]["max_age"], 31_536_000);
    assert_eq!(facts["hsts"]["effective"], true);
    assert_eq!(facts["status"], 200);
    assert_eq!(facts["cookies"][0]["session"], true);
    assert!(!facts.to_string().contains("s3cretvalue"));
    let asked = asked.lock().expect("a lock");
    let lines: Vec<&str> = asked.iter().filter_map(|request| request.lines().next()).collect();
    assert_eq!(lines, ["GET / HTTP/1.1", "OPTIONS / HTTP/1.1", "GET /robots.txt HTTP/1.1"]);
    let lower = asked[0].to_ascii_lowercase();
    assert!(lower.contains("\r\nhost: site.test\r\n") && lower.contains("\r\nuser-agent: secchi/"));
}

#[tokio::test]
async fn over_http_2_further_requests_cost_no_further_connection_unless_the_peer_resets_them() {
    for (answers, connections) in [(usize::MAX, 1), (2, 2), (1, 3)] {
        let (https, pem) = h2_resetting_after(answers, &[("x-frame-options", "DENY")]).await;
        let lab = Lab::of("site.test:8443", &[("site.test:8443", https)]);
        let run = lab.trusting(pem).run().await;
        assert_eq!(run.observations[0].connections, connections, "{answers}");
        let crate::sample::Outcome::Measured(facts) = &run.observations[0].outcome else {
            panic!("{run:?}")
        };
        let asked = facts.fact("cors").and_then(Value::as_array).expect("a list");
        assert_eq!(asked[0]["method"], "OPTIONS", "{asked:?}");
    }
}

#[tokio::test]
async fn every_measurement_that_is_emitted_stands_in_the_catalogue() {
    let fields = "Server: nginx/1.2\r\nSet-Cookie: a=b\r\n\
        Content-Security-Policy: default-src 'self'\r\nStrict-Transport-Security: max-age=1\r\n";
    let http = plain(ok(fields)).await;
    let (https, pem) = encrypted(ok(fields)).await;
    let routes = [("site.test:80", http), ("site.test:443", https)];
    let facts = Lab::of("site.test", &routes).trusting(pem).facts().await;
    let mut strays = Vec::new();
    strays_of("http", &facts, &mut strays);
    assert_eq!(strays, [""; 0]);
    for key in
        ["hops", "hsts", "csp", "xfo", "xcto", "referrer_policy", "permissions_policy", "coop"]
            .into_iter()
            .chain(["coep", "corp", "cookies", "leaks", "redirection", "https", "status"])
    {
        assert!(!facts[key].is_null(), "{key}: {facts}");
    }
    // Of the further requests only some had their turn, and no list was given.
    let unknown: Vec<&String> = facts["unknown"].as_object().expect("some").keys().collect();
    assert_eq!(unknown, ["cors", "csp.nonce_reused", "hsts.preloaded", "methods"]);
}

fn strays_of(path: &str, value: &Value, strays: &mut Vec<String>) {
    let opaque = [
        "http.unknown",
        "http.hops.timings",
        "http.csp.policies",
        "http.csp.report_only_policies",
        "http.permissions_policy.features",
        "http.profiles.csp-evaluator.findings",
        "http.profiles.mdn-observatory.tests",
    ];
    match value {
        _ if opaque.contains(&path) => {}
        Value::Object(map) => {
            for (key, value) in map {
                let path = format!("{path}.{key}");
                if find_measure(&path).is_none() && !opaque.contains(&&*path) {
                    strays.push(path.clone());
                }
                strays_of(&path, value, strays);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| strays_of(path, item, strays)),
        _ => {}
    }
}

#[tokio::test]
async fn an_untrusted_certificate_is_said_so_and_its_fields_are_read() {
    let (https, _) = encrypted(ok("Strict-Transport-Security: max-age=10\r\n")).await;
    let facts = Lab::of("https://site.test:8443", &[("site.test:8443", https)]).facts().await;
    assert_eq!(facts["https"]["certificate_trusted"], false);
    assert_eq!(facts["https"]["certificate_error"], "self_signed");
    assert_eq!(facts["hsts"]["max_age"], 10);
    assert_eq!(facts["hsts"]["effective"], false);
    assert_eq!(facts["redirection"], Value::Null);
    assert!(
        facts["unknown"]["redirection"].as_str().expect("a reason").starts_with("not_applicable")
    );
}

#[tokio::test]
async fn a_chain_is_judged_in_the_words_of_the_tls_probe() {
    let pki = Pki::new();
    let https = encrypted_by(&pki.leaf(&["site.test"], false), ok("")).await;
    let file = |pem: &str| TextFile { path: "ca.pem".into(), text: pem.into() };
    for (anchor, word) in [(&pki.root, "incomplete"), (&pki.intermediate, "")] {
        let lab = Lab::of("site.test:8443", &[("site.test:8443", https)]).trusting(file(anchor));
        let facts = lab.facts().await;
        assert_eq!(facts["https"]["certificate_error"], word);
        assert_eq!(facts["https"]["certificate_trusted"], word.is_empty());
    }
}

#[tokio::test]
async fn the_operators_contact_is_told() {
    let site = plain(says(|request| {
        let named = request.to_lowercase().contains("\r\nuser-agent: secchi/1 (+soc@a.test)\r\n");
        format!("HTTP/1.1 {} OK\r\n\r\n", if named { 200 } else { 404 })
    }));
    let site = site.await;
    let mut lab = Lab::of("http://site.test:8080", &[("site.test:8080", site)]);
    lab.settings.user_agent = Some("Secchi/1 (+soc@a.test)".into());
    assert_eq!(lab.facts().await["status"], 200);
}

#[tokio::test]
async fn the_server_name_is_what_certificates_are_matched_with() {
    let (https, pem) = encrypted(ok("")).await;
    let mut lab = Lab::of("other.test:8443", &[("other.test:8443", https)]).trusting(pem.clone());
    lab.settings.server_name = Some("site.test".to_owned());
    assert_eq!(lab.facts().await["https"]["certificate_error"], "");
    let lab = Lab::of("other.test:8443", &[("other.test:8443", https)]).trusting(pem);
    assert_eq!(lab.facts().await["https"]["certificate_error"], "hostname_mismatch");
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_agreed_on() {
    let (https, pem) =
        h2(&[("x-frame-options", "DENY"), ("set-cookie", "a=1"), ("set-cookie", "b=2")]).await;
    let facts = Lab::of("site.test:8443", &[("site.test:8443", https)]).trusting(pem).facts().await;
    assert_eq!(facts["hops"][0]["version"], "HTTP/2");
    assert_eq!(facts["xfo"], json!({"value": "deny", "protected": true}));
    assert_eq!(facts["cookies"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_redirect_loop_ends_and_what_it_hides_is_unknown() {
    let loops = |request: &str| {
        let to = if request.starts_with("GET /a ") { "/b" } else { "/a" };
        format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n")
    };
    let http = plain(says(loops)).await;
    let facts = Lab::of("http://site.test:8080", &[("site.test:8080", http)]).facts().await;
    assert_eq!(facts["hops"].as_array().map(Vec::len), Some(3));
    assert_eq!(facts["status"], Value::Null);
    assert_eq!(facts["unknown"]["status"], "not_observed: redirect loop");
    assert_eq!(facts["unknown"]["xfo"], "not_observed: redirect loop");
    assert_eq!(facts["redirection"]["http"], "redirects");
    assert_eq!(facts["unknown"]["redirection.to_https"], "not_observed: redirect loop");
}

#[tokio::test]
async fn a_walk_has_ten_hops_at_most() {
    let on = |request: &str| {
        let path = request.split(' ').nth(1).unwrap_or("/");
        format!("HTTP/1.1 302 Found\r\nLocation: {path}x\r\n\r\n")
    };
    let http = plain(says(on)).await;
    let facts = Lab::of("http://site.test:8080", &[("site.test:8080", http)]).facts().await;
    assert_eq!(facts["hops"].as_array().map(Vec::len), Some(10));
    assert_eq!(facts["unknown"]["csp"], "not_observed: more than 10 redirects");
}

#[tokio::test]
async fn a_redirect_out_of_scope_is_noted_and_not_followed() {
    let other = plain(ok("X-Frame-Options: DENY\r\n")).await;
    let to =
        format!("HTTP/1.1 302 Found\r\nLocation: http://other.test:{other}/x?code=abc\r\n\r\n");
    let http = plain(says(move |_| to.clone())).await;
    let mut lab = Lab::of("http://site.test:8080", &[("site.test:8080", http)]);
    lab.outside.guard = Arc::new(OnlySite);
    lab.outside.resolve = Arc::new(Here);
    let run = lab.run().await;
    assert_eq!(run.observations[0].connections, 1);
    let crate::sample::Outcome::Measured(facts) = run.observations[0].outcome.clone() else {
        panic!("nothing measured")
    };
    let facts = serde_json::to_value(facts).expect("JSON");
    let url = format!("http://other.test:{other}/x?code=<redacted>");
    assert_eq!(facts["hops"][1]["url"], url);
    assert_eq!(facts["hops"][1]["status"], Value::Null);
    let why = "out_of_scope: scope.names: site.test";
    assert_eq!(facts["unknown"][format!("hops[{url}].status")], why);
    assert_eq!(facts["unknown"]["xfo"], why);
}

#[tokio::test]
async fn a_redirect_to_another_host_goes_there_with_its_own_name() {
    let other = plain(says(|request| {
        let lower = request.to_ascii_lowercase();
        let status = if lower.contains("\r\nhost: other.test:") { 204 } else { 400 };
        format!("HTTP/1.1 {status} X\r\n\r\n")
    }))
    .await;
    let to = format!("HTTP/1.1 302 Found\r\nLocation: http://other.test:{other}/\r\n\r\n");
    let http = plain(says(move |_| to.clone())).await;
    let mut lab = Lab::of("http://site.test:8080", &[("site.test:8080", http)]);
    lab.outside.resolve = Arc::new(Here);
    assert_eq!(lab.facts().await["status"], 204);
}

#[tokio::test]
async fn a_redirect_out_of_http_is_the_last_response() {
    let http = plain(says(|_| {
        "HTTP/1.1 302 Found\r\nLocation: app://open\r\nX-Frame-Options: DENY\r\n\r\n".to_owned()
    }))
    .await;
    let facts = Lab::of("http://site.test:8080", &[("site.test:8080", http)]).facts().await;
    assert_eq!(facts["status"], 302);
    assert_eq!(facts["xfo"]["value"], "deny");
}

#[tokio::test]
async fn faults_and_challenges_are_unknown_and_never_bad_posture() {
    for (reply, reason) in [
        ("HTTP/1.1 503 X\r\nServer: nginx/1.2\r\n\r\n", "http_status: 503"),
        ("HTTP/1.1 429 X\r\n\r\n", "http_status: 429"),
        ("HTTP/1.1 403 X\r\ncf-mitigated: challenge\r\n\r\n", "challenge: Cloudflare"),
    ] {
        let (https, _) = encrypted(says(move |_| reply.to_owned())).await;
        let facts = Lab::of("site.test:8443", &[("site.test:8443", https)]).facts().await;
        for key in super::super::facts::POSTURE.into_iter().chain(["hsts"]) {
            assert_eq!(facts[key], Value::Null, "{key}");
            assert_eq!(facts["unknown"][key], reason, "{key}");
        }
        assert!(facts["status"].is_u64() && facts["hops"][0]["status"].is_u64());
        assert_eq!(facts["https"]["served"], true);
    }
}

#[tokio::test]
async fn http_that_does_not_answer_is_unknown_and_http_that_refuses_is_a_fact() {
    let (silent, port) = listener(HERE).await;
    let (https, pem) = encrypted(ok("")).await;
    let routes = [("site.test:80", port), ("site.test:443", https)];
    let lab = Lab::of("site.test", &routes).trusting(pem.clone()).within(Duration::from_secs(2));
    let facts = lab.facts().await;
    assert_eq!(facts["redirection"], Value::Null);
    assert_eq!(facts["unknown"]["redirection"], "timeout");
    assert_eq!(facts["unknown"]["hops[http://site.test/].status"], "timeout");
    assert_eq!(facts["status"], 200);
    drop(silent);

    let routes = [("site.test:80", refusing()), ("site.test:443", https)];
    let facts = Lab::of("site.test", &routes).trusting(pem).facts().await;
    assert_eq!(facts["redirection"]["http"], "refused");
    assert_eq!(facts["redirection"]["to_https"], Value::Null);
    assert_eq!(facts["unknown"]["redirection.to_https"], "not_applicable: http is refused");
    assert_eq!(facts["status"], 200);
}

#[tokio::test]
async fn where_https_refuses_http_is_judged_and_hsts_has_no_place() {
    let http = plain(ok("X-Frame-Options: DENY\r\n")).await;
    let routes = [("site.test:80", http), ("site.test:443", refusing())];
    let facts = Lab::of("site.test", &routes).facts().await;
    assert_eq!(facts["https"]["served"], false);
    assert_eq!(facts["unknown"]["hsts"], "not_applicable: https is refused");
    assert_eq!(facts["xfo"]["value"], "deny");
    assert_eq!(facts["redirection"]["http"], "serves");
    assert_eq!(facts["redirection"]["to_https"], false);
}

#[tokio::test]
async fn where_nothing_answers_the_sample_is_unknown() {
    let (one, two) = (refusing(), refusing());
    let unknown = Lab::of("site.test", &[("site.test:80", one), ("site.test:443", two)]).unknown();
    assert_eq!(unknown.await, Reason::Refused.into());
    let mail = Lab::of("starttls+smtp://site.test", &[]).unknown().await;
    assert_eq!(mail.reason, Reason::NotApplicable);
}

#[tokio::test]
async fn https_that_leads_to_http_is_said_so() {
    let http = plain(ok("")).await;
    let (https, pem) =
        encrypted(says(|_| "HTTP/1.1 302 F\r\nLocation: http://site.test/\r\n\r\n".to_owned()))
            .await;
    let routes = [("site.test:80", http), ("site.test:443", https)];
    let facts = Lab::of("site.test", &routes).trusting(pem).facts().await;
    assert_eq!(facts["https"]["downgrades"], true);
    assert_eq!(facts["redirection"]["http"], "serves");
}

/// One connection at a time, as the daemon's budget has it.
struct OneAtATime(Arc<Semaphore>);

impl Pace for OneAtATime {
    fn admit(&self, _: Admission) -> BoxFuture<'_, Result<Permit, Unknown>> {
        let turn = Arc::clone(&self.0);
        Box::pin(async move {
            match turn.try_acquire_owned() {
                Ok(permit) => Ok(Permit::holding(permit)),
                Err(_) => Err(Unknown::new(Reason::Budget, "a connection was still held")),
            }
        })
    }
}

#[tokio::test]
async fn a_connection_is_given_back_before_the_next_is_begun() {
    let http = plain(says(|_| TO_HTTPS.to_owned())).await;
    for is_h2 in [false, true] {
        let (https, _) = if is_h2 { h2(&[]).await } else { encrypted(ok("")).await };
        let mut lab = Lab::of("site.test", &[("site.test:80", http), ("site.test:443", https)]);
        lab.outside.pace = Arc::new(OneAtATime(Arc::new(Semaphore::new(1))));
        let facts = lab.facts().await;
        assert_eq!(facts["hops"][1]["status"], 200, "{facts}");
        assert_eq!(facts["hops"][0]["status"], 301, "{facts}");
    }
}
