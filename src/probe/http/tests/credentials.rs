//! Who is sent what a target asks for.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::lab::{Here, Lab, Script, encrypted, plain, says};
use crate::sample::Cause;
use crate::target::Credentials;

const SECRET: &str = "s3cret-of-the-target";

/// Answers by `reply` and notes who was shown the secret, as `name`.
fn noting(
    shown: &Arc<Mutex<Vec<String>>>,
    name: &'static str,
    reply: impl Fn(&str) -> String + Send + Sync + 'static,
) -> Script {
    let shown = Arc::clone(shown);
    says(move |request| {
        if request.contains(SECRET) {
            let line = request.lines().next().unwrap_or_default();
            shown.lock().expect("a lock").push(format!("{name} {line}"));
        }
        reply(request)
    })
}

fn leads(to: &'static str) -> impl Fn(&str) -> String {
    move |_| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

fn page(_: &str) -> String {
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".to_owned()
}

fn with_secret(mut lab: Lab) -> Lab {
    let credentials = Credentials::parse(&format!("Bearer {SECRET}")).expect("credentials");
    lab.settings.credentials = Some(credentials);
    lab.cause = Cause::Manual;
    lab
}

fn told(shown: &Mutex<Vec<String>>) -> Vec<String> {
    shown.lock().expect("a lock").clone()
}

#[tokio::test]
async fn credentials_go_to_the_targets_own_https_origin_and_no_further() {
    let shown = Arc::default();
    let http = plain(noting(&shown, "http", leads("https://site.test/"))).await;
    let other = plain(noting(&shown, "other", page)).await;
    let (https, pem) = encrypted(noting(&shown, "https", leads("http://other.test/x"))).await;
    let routes = [("site.test:80", http), ("site.test:443", https), ("other.test:80", other)];
    let mut lab = with_secret(Lab::of("site.test", &routes).trusting(pem));
    lab.outside.resolve = Arc::new(Here);
    let facts = lab.facts().await;
    assert_eq!(facts["hops"][2]["url"], "http://other.test/x", "{}", facts["hops"]);
    assert_eq!(told(&shown), ["https GET / HTTP/1.1"]);
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_plain_http_or_another_port() {
    let shown = Arc::default();
    let http = plain(noting(&shown, "http", page)).await;
    let (https, pem) = encrypted(noting(&shown, "https", leads("http://site.test:8080/"))).await;
    let routes = [("site.test:8080", http), ("site.test:8443", https)];
    with_secret(Lab::of("https://site.test:8443", &routes).trusting(pem)).facts().await;
    assert_eq!(told(&shown), ["https GET / HTTP/1.1"]);
}

#[tokio::test]
async fn whoever_shows_an_untrusted_certificate_gets_no_credentials() {
    let shown = Arc::default();
    let (https, _) = encrypted(noting(&shown, "https", page)).await;
    let lab = Lab::of("https://site.test:8443", &[("site.test:8443", https)]);
    let facts = with_secret(lab).facts().await;
    assert_eq!(facts["https"]["certificate_trusted"], false);
    assert_eq!(told(&shown), Vec::<String>::new());
}

#[tokio::test]
async fn where_the_target_names_plain_http_its_page_is_asked_for_as_the_user_alone() {
    let shown = Arc::default();
    let port = plain(noting(&shown, "http", page)).await;
    let lab = Lab::of("http://site.test:8080", &[("site.test:8080", port)]);
    with_secret(lab).facts().await;
    let told = told(&shown);
    assert!(told.iter().all(|line| line == "http GET / HTTP/1.1"), "{told:?}");
    assert!(!told.is_empty());
}

#[tokio::test]
async fn a_peer_that_says_them_back_puts_them_into_no_measurement() {
    let shown = Arc::default();
    let echo = |request: &str| {
        let sent = request.lines().find(|line| line.contains(SECRET)).unwrap_or("x").to_owned();
        format!(
            "HTTP/1.1 200 OK\r\nX-Debug: {sent}\r\nServer: {sent}\r\nLocation: /{sent}\r\n\
             Content-Length: 2\r\n\r\nhi"
        )
    };
    let (https, pem) = encrypted(noting(&shown, "https", echo)).await;
    let lab = Lab::of("https://site.test:8443", &[("site.test:8443", https)]).trusting(pem);
    let facts: Value = with_secret(lab).facts().await;
    assert!(!told(&shown).is_empty());
    assert!(!facts.to_string().contains(SECRET), "{facts}");
    assert!(facts["hops"].to_string().contains("<redacted>"));
}
