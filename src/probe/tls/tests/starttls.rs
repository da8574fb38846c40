//! STARTTLS on the wire, by peers that follow a script and a real one.

use std::sync::Arc;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::testing::{Pki, scripted};

use super::peers::{OpenSsl, pass_on, rustls_config};
use super::{Ask, fact, why};

/// Says each line once the peer has said one; `None` when it left.
async fn converse(stream: &mut TcpStream, says: &[&str]) -> Option<()> {
    for (at, words) in says.iter().enumerate() {
        if at > 0 {
            stream.read(&mut [0; 512]).await.ok().filter(|&count| count > 0)?;
        }
        // Slowly, and in pieces.
        for part in words.as_bytes().chunks(7) {
            stream.write_all(part).await.ok()?;
        }
    }
    Some(())
}

#[tokio::test]
async fn each_dialogue_in_lines_leads_to_the_server_behind_it() {
    let leaf = Pki::new().leaf(&["a.test"], false);
    let server = OpenSsl::start(&[&leaf], "", &["-tls1_2"]).await;
    let backend = server.port;
    let scripts: [(&'static str, &'static [&'static str]); 8] = [
        ("smtp", &["220-a\r\n220 b\r\n", "250-a\r\n250-STARTTLS\r\n250 X\r\n", "220 go\r\n"]),
        ("lmtp", &["220 b\r\n", "250-a\r\n250 STARTTLS\r\n", "220 go\r\n"]),
        ("imap", &["* OK hi\r\n", "* CAPABILITY x\r\ns1 OK go\r\n"]),
        ("pop3", &["+OK hi\r\n", "+OK go\r\n"]),
        ("ftp", &["220-hi\r\nyou\r\n220 there\r\n", "234 go\r\n"]),
        ("nntp", &["200 hi\r\n", "382 go\r\n"]),
        ("sieve", &["\"STARTTLS\"\r\nOK\r\n", "OK go\r\n"]),
        (
            "xmpp",
            &[
                "",
                "<stream:stream><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
                "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            ],
        ),
    ];
    for (name, says) in scripts {
        let port = scripted(move |_, mut stream| async move {
            if converse(&mut stream, says).await.is_some() {
                pass_on(&mut stream, backend).await;
            }
        })
        .await;
        let scheme = format!("starttls+{name}://").leak();
        let m = Ask { scheme, ..Ask::default() }.measure(port).await;
        assert_eq!(fact(&m, "/starttls"), "offered", "{name}");
        assert_eq!(fact(&m, "/versions"), json!(["TLSv1.2"]), "{name}");
        let injected = fact(&m, "/starttls_injection");
        assert_eq!(injected, json!([]), "{name}");
    }
}

#[tokio::test]
async fn words_in_clear_behind_the_go_ahead_are_reported_and_hide_nothing() {
    let leaf = Pki::new().leaf(&["a.test"], false);
    let server = OpenSsl::start(&[&leaf], "", &["-tls1_2"]).await;
    let backend = server.port;
    let port = scripted(move |_, mut stream| async move {
        let says = ["* OK hi\r\n", "s1 OK go\r\n* OK [ALERT] send your password to me\r\n"];
        let mut read = [0; 64];
        let _ = stream.write_all(says[0].as_bytes()).await;
        if matches!(stream.read(&mut read).await, Ok(1..)) {
            let _ = stream.write_all(says[1].as_bytes()).await;
            pass_on(&mut stream, backend).await;
        }
    })
    .await;
    let m = Ask { scheme: "starttls+imap://", ..Ask::default() }.measure(port).await;
    assert_eq!(fact(&m, "/versions"), json!(["TLSv1.2"]));
    let ways = fact(&m, "/starttls_injection");
    assert!(ways.as_array().is_some_and(|ways| ways.contains(&json!("response"))), "{ways}");
}

/// A mail server of the test's own. What came in clear behind STARTTLS it keeps, or throws away.
async fn mail_server(keeps: bool) -> u16 {
    let leaf = Pki::new().leaf(&["a.test"], false);
    let acceptor = TlsAcceptor::from(Arc::new(rustls_config(&leaf)));
    scripted(move |_, mut stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut read = [0; 512];
            let _ = stream.write_all(b"220 hi\r\n").await;
            let _ = stream.read(&mut read).await;
            let _ = stream.write_all(b"250 STARTTLS\r\n").await;
            let Ok(count) = stream.read(&mut read).await else { return };
            let kept = if keeps { read[..count].to_vec() } else { Vec::new() };
            let _ = stream.write_all(b"220 go\r\n").await;
            let Ok(tls) = acceptor.accept(stream).await else { return };
            let mut tls = BufReader::new(tls);
            if String::from_utf8_lossy(&kept).contains("NOOP") {
                let _ = tls.write_all(b"250 2.0.0 Ok\r\n").await;
            }
            let mut line = String::new();
            while matches!(tls.read_line(&mut line).await, Ok(1..)) {
                let _ = tls.write_all(b"221 2.0.0 Bye\r\n").await;
                let _ = tls.shutdown().await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_command_smuggled_behind_starttls_is_seen_to_be_carried_out() {
    let scheme = "starttls+smtp://";
    let m = Ask { scheme, ..Ask::default() }.measure(mail_server(true).await).await;
    assert_eq!(fact(&m, "/starttls_injection"), json!(["command"]));
    let m = Ask { scheme, ..Ask::default() }.measure(mail_server(false).await).await;
    assert_eq!(fact(&m, "/starttls_injection"), json!([]));
    assert_eq!(why(&m, "starttls_injection[command]"), None);
}
