//! Peers that mean harm: bounded time and bytes, and the right word for it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::lab::{Lab, Script, encrypted, endless, ok, plain, says};
use crate::sample::Reason;
use crate::testing::scripted;

const PORT: &str = "site.test:8080";
const URL: &str = "http://site.test:8080";

async fn reason_for(script: Script, budget: Duration) -> (Reason, Duration) {
    let port = plain(script).await;
    let start = Instant::now();
    let unknown = Lab::of(URL, &[(PORT, port)]).within(budget).unknown().await;
    (unknown.reason, start.elapsed())
}

#[tokio::test]
async fn endless_fields_end_at_a_bounded_number_of_bytes() {
    for (start, piece) in [
        ("HTTP/1.1 200 OK\r\n", "X-Padding: padding padding padding\r\n".repeat(100)),
        ("HTTP/1.1 200 OK\r\nX: ", "x".repeat(8192)),
        ("HTTP/1.1 200 OK\r\n", "a:\r\n".repeat(2000)),
        ("", "HTTP/1.1 100 Continue\r\n\r\n".repeat(300)),
        ("HTTP/1.1 ", "2".repeat(8192)),
        ("", "\r\n".repeat(4096)),
    ] {
        let (script, taken) = endless(start, piece, Duration::ZERO);
        let (reason, took) = reason_for(script, Duration::from_secs(10)).await;
        assert_eq!(reason, Reason::NotObserved, "{start}");
        assert!(took < Duration::from_secs(5), "{start}: {took:?}");
        // What the kernel buffers on both sides is not the probe's.
        let taken = taken.load(Ordering::Relaxed);
        assert!(taken < 16 * 1024 * 1024, "{start}: {taken}");
    }
}

#[tokio::test]
async fn a_slow_drip_ends_with_the_budget() {
    let (script, _) =
        endless("HTTP/1.1 200 OK\r\n", "X: y\r\n".to_owned(), Duration::from_millis(50));
    let (reason, took) = reason_for(script, Duration::from_secs(1)).await;
    assert_eq!(reason, Reason::Timeout);
    assert!(took < Duration::from_secs(3), "{took:?}");
}

#[tokio::test]
async fn a_scheme_that_drips_leaves_the_other_its_time() {
    let (script, _) =
        endless("HTTP/1.1 200 OK\r\n", "X: y\r\n".to_owned(), Duration::from_millis(50));
    let (https, _) = encrypted(script).await;
    let http = plain(ok("")).await;
    let routes = [("site.test:80", http), ("site.test:443", https)];
    let facts = Lab::of("site.test", &routes).within(Duration::from_secs(2)).facts().await;
    assert_eq!(facts["unknown"]["https"], "timeout");
    assert_eq!(facts["unknown"]["xfo"], "timeout");
    assert_eq!(facts["redirection"]["http"], "serves");
}

#[tokio::test]
async fn a_compressed_bomb_is_never_read() {
    let head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nX-Frame-Options: DENY\r\n\r\n";
    let (script, taken) = endless(head, "\0".repeat(65_536), Duration::ZERO);
    let port = plain(script).await;
    let facts = Lab::of(URL, &[(PORT, port)]).facts().await;
    assert_eq!(facts["xfo"]["value"], "deny");
    assert!(taken.load(Ordering::Relaxed) < 16 * 1024 * 1024);
}

#[tokio::test]
async fn what_is_not_http_is_not_read_as_such() {
    for reply in [
        "<html>hello</html>\n",
        "SSH-2.0-OpenSSH_9\r\n",
        "\u{1b}[2J\u{7}\r\n\r\n",
        "HTTP/3 200\r\n\r\n",
    ] {
        let (reason, _) = reason_for(says(|_| reply.to_owned()), Duration::from_secs(3)).await;
        assert_eq!(reason, Reason::NotObserved, "{reply:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_before_an_answer_is_a_reset() {
    for reply in ["", "HTTP/1.1 200 OK\r\nX-Fra"] {
        let (reason, _) = reason_for(says(|_| reply.to_owned()), Duration::from_secs(3)).await;
        assert_eq!(reason, Reason::Reset, "{reply:?}");
    }
}

#[tokio::test]
async fn what_is_not_tls_on_the_https_port_is_said_so() {
    let http = plain(ok("")).await;
    let https = greeting(b"SSH-2.0-OpenSSH_9.2\r\n").await;
    let routes = [("site.test:80", http), ("site.test:443", https)];
    let facts = Lab::of("site.test", &routes).facts().await;
    assert_eq!(facts["unknown"]["https"], "not_tls");
    assert_eq!(facts["unknown"]["hsts"], "not_tls");
    assert_eq!(facts["unknown"]["status"], "not_tls");
    assert_eq!(facts["redirection"]["http"], "serves");
}

/// A server that speaks first, and not TLS.
async fn greeting(text: &'static [u8]) -> u16 {
    let greet = move |_, mut stream: TcpStream| async move {
        let _ = stream.write_all(text).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    scripted(greet).await
}

#[tokio::test]
async fn control_characters_are_kept_as_evidence_and_never_named_on_a_screen() {
    let script = says(|_| {
        "HTTP/1.1 200 OK\r\nServer: nginx\u{1b}[2J\u{1b}]0;owned\u{7}/1.2\r\n\
         Set-Cookie: a\u{1b}=b\r\nX-Frame-Options: DENY\r\n\r\n"
            .to_owned()
    });
    let port = plain(script).await;
    let facts = Lab::of(URL, &[(PORT, port)]).facts().await;
    assert_eq!(facts["hops"][0]["headers"][0][1], "nginx\u{1b}[2J\u{1b}]0;owned\u{7}/1.2");
    assert_eq!(facts["leaks"][0]["product"], "nginx?[2J?]0");
    assert_eq!(facts["xfo"]["value"], "deny");
    assert_eq!(facts["cookies"], serde_json::json!([]), "browsers refuse such a cookie");
    for key in ["leaks", "cookies", "csp", "https", "redirection"] {
        assert!(!facts[key].to_string().contains("\\u00"), "{key}");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_framed_does_not_hide_the_head() {
    for framing in
        ["Content-Length: x", "Content-Length: 1\r\nContent-Length: 2", "Transfer-Encoding: x"]
    {
        let script =
            says(move |_| format!("HTTP/1.1 200 OK\r\n{framing}\r\nX-Frame-Options: DENY\r\n\r\n"));
        let port = plain(script).await;
        let facts = Lab::of(URL, &[(PORT, port)]).facts().await;
        assert_eq!(facts["xfo"]["value"], "deny", "{framing}");
    }
}

#[tokio::test]
async fn repeated_fields_are_all_seen_and_the_first_hsts_counts() {
    let (https, pem) = encrypted(ok(
        "Strict-Transport-Security: max-age=5\r\nstrict-transport-security: max-age=0\r\n",
    ))
    .await;
    let facts = Lab::of("site.test:8443", &[("site.test:8443", https)]).trusting(pem).facts().await;
    assert_eq!(facts["hsts"]["max_age"], 5);
    assert_eq!(facts["hsts"]["errors"], serde_json::json!(["several_fields"]));
    assert_eq!(facts["hops"][0]["headers"][1][0], "strict-transport-security");
}

#[tokio::test]
async fn http_2_is_bounded_in_fields_too() {
    let many: Vec<_> = (0..300).map(|_| ("x", "y")).collect();
    let large = vec![("x", &*"y".repeat(100_000).leak())];
    for fields in [many, large] {
        let (https, _) = super::lab::h2(fields.leak()).await;
        let start = Instant::now();
        let unknown = Lab::of("site.test:8443", &[("site.test:8443", https)]).unknown().await;
        assert_eq!(unknown.reason, Reason::NotObserved);
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_head_full_of_directives_costs_no_time() {
    let directives: String = (10_000..20_000).map(|n| format!("{n};")).collect();
    let script =
        says(move |_| format!("HTTP/1.1 200 OK\r\nContent-Security-Policy: {directives}\r\n\r\n"));
    let port = plain(script).await;
    let start = Instant::now();
    let facts = Lab::of(URL, &[(PORT, port)]).facts().await;
    assert_eq!(facts["csp"]["errors"].as_array().map(Vec::len), Some(32));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}
