//! Against peers that follow a script: silence, garbage, floods, cut answers.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use crate::sample::Reason;
use crate::testing::{Pki, free_port, scripted};

use super::peers::{alert, flight, read_hello, record};
use super::{Ask, fact, why};

fn brief() -> Ask {
    Ask { budget: Duration::from_secs(2), ..Ask::default() }
}

#[tokio::test]
async fn who_is_not_there_or_says_nothing_is_unknown_with_its_reason() {
    assert_eq!(brief().why_nothing(free_port().await).await.reason, Reason::Refused);
    let silent = scripted(|_, stream| async move {
        sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let started = Instant::now();
    assert_eq!(brief().why_nothing(silent).await.reason, Reason::Timeout);
    assert!(started.elapsed() < Duration::from_secs(3));
    let closing = scripted(|_, _| async {}).await;
    assert_eq!(brief().why_nothing(closing).await.reason, Reason::Reset);
    let refusing = scripted(|_, mut stream| async move {
        let _ = read_hello(&mut stream).await;
        let _ = stream.write_all(&alert(112)).await;
    })
    .await;
    let unknown = brief().why_nothing(refusing).await;
    assert_eq!(unknown.to_string(), "tls_error: alert 112 (unrecognized_name)");
}

#[tokio::test]
async fn what_is_not_tls_is_told_without_its_control_characters() {
    for banner in ["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-x\u{1b}[31m\r\n"] {
        let port = scripted(move |_, mut stream| async move {
            let _ = stream.write_all(banner.as_bytes()).await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        })
        .await;
        let unknown = brief().why_nothing(port).await;
        assert_eq!(unknown.reason, Reason::NotTls);
        assert!(unknown.to_string().contains(&banner[..7]), "{unknown}");
        assert!(!unknown.to_string().chars().any(char::is_control));
    }
}

/// A server with these versions (as a hello's number) and no crypto: it answers each hello with the
/// newest it has at or below, and turns others away by `refuse`.
async fn versions(have: &'static [u16], refuse: Option<u8>) -> u16 {
    scripted(move |_, mut stream| async move {
        let Some(asked) = read_hello(&mut stream).await else { return };
        // The real handshake's hello, and TLS 1.3 alone, are turned away too.
        let newest = have.iter().copied().filter(|&v| v <= asked && (v > 2) == (asked > 2)).max();
        let answer = match (newest, refuse) {
            (Some(2), _) => vec![0x80, 12, 4, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 1],
            (Some(version), _) if asked < 0x0304 => {
                flight(version, 0x002f, &[b"not a certificate"])
            }
            (_, Some(number)) => alert(number),
            (_, None) => return,
        };
        let _ = stream.write_all(&answer).await;
        let _ = stream.shutdown().await;
    })
    .await
}

#[tokio::test]
async fn ssl3_and_sslv2_are_seen() {
    let port = versions(&[2, 0x0300, 0x0303], Some(40)).await;
    let m = Ask::default().measure(port).await;
    assert_eq!(fact(&m, "/versions"), json!(["SSLv2", "SSLv3", "TLSv1.2"]));
    assert_eq!(fact(&m, "/vulnerabilities/poodle"), true);
    assert_eq!(fact(&m, "/vulnerabilities/drown"), true);
    assert_eq!(
        why(&m, "certificates").as_deref(),
        Some("tls_error: a certificate that cannot be read")
    );
}

#[tokio::test]
async fn a_server_that_closes_on_what_it_lacks_is_believed_after_controls() {
    let port = versions(&[0x0302, 0x0303], None).await;
    let run = Ask::default().sample(port).await;
    assert!(run.observations[0].connections <= 90, "{}", run.observations[0].connections);
    let m = Ask::default().measure(port).await;
    assert_eq!(fact(&m, "/versions"), json!(["TLSv1.1", "TLSv1.2"]));
    assert_eq!(why(&m, "versions[TLSv1.0]"), None);
    assert_eq!(why(&m, "versions[SSLv2]"), None);
    // It closed on every TLS 1.3 hello, and nothing shows that it would not on any.
    assert!(why(&m, "versions[TLSv1.3]").is_some_and(|why| why.starts_with("intolerant")));
}

#[tokio::test]
async fn a_version_that_times_out_is_unknown() {
    let port = scripted(|_, mut stream| async move {
        match read_hello(&mut stream).await {
            Some(0x0303) => {
                let _ = stream.write_all(&flight(0x0303, 0x002f, &[b"x"])).await;
            }
            Some(0x0302) => sleep(Duration::from_secs(60)).await,
            _ => {
                let _ = stream.write_all(&alert(70)).await;
            }
        }
    })
    .await;
    let m = Ask { budget: Duration::from_secs(5), ..Ask::default() }.measure(port).await;
    assert_eq!(fact(&m, "/versions"), json!(["TLSv1.2"]));
    for version in ["TLSv1.1", "TLSv1.0", "SSLv3"] {
        assert_eq!(why(&m, &format!("versions[{version}]")).as_deref(), Some("timeout"));
    }
    assert_eq!(why(&m, "versions[TLSv1.3]"), None);
}

#[tokio::test]
async fn a_server_that_resets_long_hellos_still_has_its_version() {
    let port = scripted(|_, mut stream| async move {
        let mut header = [0; 5];
        let _ = stream.read_exact(&mut header).await;
        let length = u16::from_be_bytes([header[3], header[4]]);
        let mut body = vec![0; length.into()];
        if length < 600 && stream.read_exact(&mut body).await.is_ok() && body[4..6] == [3, 3] {
            let _ = stream.write_all(&flight(0x0303, 0x002f, &[b"x"])).await;
        }
    })
    .await;
    let m = Ask::default().measure(port).await;
    assert_eq!(fact(&m, "/versions"), json!(["TLSv1.2"]));
}

#[tokio::test]
async fn a_huge_chain_costs_bounded_bytes_and_hides_no_version() {
    let port = scripted(|_, mut stream| async move {
        if read_hello(&mut stream).await != Some(0x0303) {
            return;
        }
        let flight = flight(0x0303, 0x002f, &[&vec![0x30; 300_000]]);
        let _ = stream.write_all(&flight).await;
    })
    .await;
    let started = Instant::now();
    let m = Ask::default().measure(port).await;
    assert_eq!(fact(&m, "/versions"), json!(["TLSv1.2"]));
    let reason = why(&m, "certificates").expect("unknown");
    assert_eq!(reason, "tls_error: a handshake message too long");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn records_without_end_and_bytes_one_at_a_time_end_in_time() {
    let flood = scripted(|_, mut stream| async move {
        while stream.write_all(&record(21, 0x0303, &[1, 112])).await.is_ok() {}
    })
    .await;
    let unknown = brief().why_nothing(flood).await;
    assert_eq!(unknown.to_string(), "tls_error: no end of records");
    let drip = scripted(|_, mut stream| async move {
        for byte in flight(0x0303, 0x002f, &[b"x"]) {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    let started = Instant::now();
    assert_eq!(brief().why_nothing(drip).await.reason, Reason::Timeout);
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_never_an_absence() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"], true).certificate.into_bytes();
    let whole = flight(0x0303, 0x002f, &[&leaf]);
    for at in (0..whole.len()).step_by(whole.len() / 20) {
        let cut = whole[..at].to_vec();
        let port = scripted(move |_, mut stream| {
            let cut = cut.clone();
            async move {
                if read_hello(&mut stream).await == Some(0x0303) {
                    let _ = stream.write_all(&cut).await;
                }
            }
        })
        .await;
        let run = Ask { budget: Duration::from_secs(1), ..Ask::default() }.sample(port).await;
        let json = serde_json::to_value(match &run.observations[0].outcome {
            crate::sample::Outcome::Measured(m) => m,
            crate::sample::Outcome::Unknown(unknown) => {
                assert_eq!(unknown.reason, Reason::Reset, "cut at {at}");
                continue;
            }
        })
        .expect("JSON");
        assert_eq!(json["versions"], json!(["TLSv1.2"]), "cut at {at}");
    }
}
