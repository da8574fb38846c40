//! Peers that lie, drip and shout: bounded time, the right reason, and nothing on the screen.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::support::{check_json, free_port, run};

/// A peer that treats every connection alike, until the test's process ends.
fn peer(behave: impl Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static) -> u16 {
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a listener");
    let behave = std::sync::Arc::new(behave);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let behave = std::sync::Arc::clone(&behave);
            thread::spawn(move || behave(&mut stream));
        }
    });
    port
}

fn unknown_reason(probe: &str, target: &str) -> String {
    let (status, report) = check_json(&[target, &format!("--probe={probe}"), "--timeout=4s"]);
    assert_eq!(status, 3, "{report}");
    report["samples"][0]["unknown_reason"].as_str().expect("a reason").to_owned()
}

#[test]
fn garbage_instead_of_tls_is_not_tls() {
    let port = peer(|stream| stream.write_all(b"SSH-2.0-\x1b[2J\x1b[31mOpenSSH_9.2\r\n"));
    let reason = unknown_reason("tls", &format!("127.0.0.1:{port}"));
    assert!(reason.starts_with("not_tls"), "{reason}");
    assert!(!reason.contains('\u{1b}'), "{reason:?}");
}

#[test]
fn a_silent_peer_is_a_timeout_and_no_version_is_called_absent() {
    let port = peer(|_| {
        thread::sleep(Duration::from_secs(30));
        Ok(())
    });
    let reason = unknown_reason("tls", &format!("127.0.0.1:{port}"));
    assert!(reason.starts_with("timeout"), "{reason}");
}

#[test]
fn a_peer_that_drips_a_byte_at_a_time_is_cut_off_in_time() {
    let port = peer(|stream| {
        loop {
            stream.write_all(b"\x16")?;
            thread::sleep(Duration::from_millis(50));
        }
    });
    for (probe, target) in
        [("tls", format!("127.0.0.1:{port}")), ("http", format!("http://127.0.0.1:{port}"))]
    {
        let begun = tokio::time::Instant::now();
        let (_, report) = check_json(&[&target, &format!("--probe={probe}"), "--timeout=3s"]);
        assert_eq!(report["samples"][0]["verdict"], "unknown", "{probe}: {report}");
        assert!(begun.elapsed() < Duration::from_secs(12), "{probe} took {:?}", begun.elapsed());
    }
}

#[test]
fn endless_headers_end() {
    let port = peer(|stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            stream.write_all(
                b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
            )?;
        }
    });
    let (status, report) =
        check_json(&[&format!("http://127.0.0.1:{port}"), "--probe=http", "--timeout=5s"]);
    assert_eq!(status, 3, "{report}");
}

#[test]
fn a_gzip_bomb_is_not_even_opened() {
    let port = peer(|stream| {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request)?;
        stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1000000000000\r\n\r\n",
        )?;
        loop {
            stream.write_all(&[0; 65536])?;
        }
    });
    let (_, report) =
        check_json(&[&format!("http://127.0.0.1:{port}"), "--probe=http", "--timeout=5s"]);
    assert_eq!(report["samples"][0]["measurements"]["hops"][0]["status"], 200, "{report}");
}

#[test]
fn a_ten_megabyte_certificate_chain_is_bounded() {
    let port = peer(|stream| {
        let mut hello = [0; 4096];
        let _ = stream.read(&mut hello)?;
        // A ServerHello never comes: records of a Certificate message that claims 16 MiB.
        let mut record = vec![0x16, 3, 3, 0x40, 0x00, 11, 0xff, 0xff, 0xff];
        record.resize(5 + 0x4000, 0);
        for _ in 0..640 {
            stream.write_all(&record)?;
        }
        Ok(())
    });
    let (status, report) =
        check_json(&[&format!("127.0.0.1:{port}"), "--probe=tls", "--timeout=5s"]);
    assert_eq!(status, 3, "{report}");
}

#[test]
fn escape_sequences_never_reach_the_screen() {
    let port = peer(|stream| {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nServer: evil/1.0 \x1b]0;pwned\x07\x1b[2J\r\nSet-Cookie: \x1b[31ma=secret-value\r\nContent-Length: 0\r\n\r\n")
    });
    let banner = peer(|stream| stream.write_all(b"220 \x1b[2J\x1b]0;pwned\x07 ESMTP\r\n"));
    for arguments in [
        vec!["check".to_owned(), format!("http://127.0.0.1:{port}"), "--probe=http".into()],
        vec![
            "check".to_owned(),
            "127.0.0.1".into(),
            "--probe=ports".into(),
            format!("--ports={banner}"),
        ],
    ] {
        for format in ["human", "json"] {
            let mut arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let format = format!("--format={format}");
            arguments.extend(["--allow-network=127.0.0.0/8", &format]);
            let output = run(&arguments);
            let bad =
                output.stdout.iter().find(|&&byte| byte < 0x20 && byte != b'\n' || byte == 0x7f);
            assert_eq!(bad, None, "{}", String::from_utf8_lossy(&output.stdout));
            assert!(!String::from_utf8_lossy(&output.stdout).contains("secret-value"));
        }
    }
}
