//! Enumerations of real servers, over ways that limit hellos, mix servers or change them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use crate::probe::{Memory, Run};
use crate::sample::{Measurements, Outcome};
use crate::testing::{Pki, scripted};

use super::peers::OpenSsl;
use super::{Ask, fact, why};

const SUITES: &str = "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:AES128-SHA";

async fn server(pki: &Pki, arguments: &[&str]) -> OpenSsl {
    let leaf = pki.leaf(&["a.test"], true);
    OpenSsl::start(&[&leaf], "", &[&["-cipher", SUITES], arguments].concat()).await
}

fn measured(run: &Run) -> &Measurements {
    match &run.observations[0].outcome {
        Outcome::Measured(measurements) => measurements,
        Outcome::Unknown(unknown) => panic!("nothing was measured: {unknown}"),
    }
}

fn names(value: &Value) -> Vec<String> {
    let mut names: Vec<String> = serde_json::from_value(value.clone()).expect("names");
    names.sort();
    names
}

fn assert_whole(m: &Measurements, how: &str) {
    assert_eq!(
        names(&fact(m, "/cipher_suites/TLSv1.2")),
        [
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            "TLS_RSA_WITH_AES_128_CBC_SHA"
        ],
        "{how}"
    );
    for path in ["cipher_suites", "cipher_suites[TLSv1.2]", "groups[TLSv1.2]", "versions[TLSv1.1]"]
    {
        assert_eq!(why(m, path), None, "{how}");
    }
}

#[tokio::test]
async fn sets_and_orders_are_the_servers() {
    let pki = Pki::new();
    let clients = server(&pki, &[]).await;
    let m = Ask::default().measure(clients.port).await;
    assert_whole(&m, "client's order");
    assert_eq!(fact(&m, "/server_order"), json!({"TLSv1.2": false, "TLSv1.3": false}));
    let own = server(&pki, &["-serverpref", "-groups", "P-384:X25519"]).await;
    let m = Ask::default().measure(own.port).await;
    assert_whole(&m, "server's order");
    assert_eq!(fact(&m, "/server_order"), json!({"TLSv1.2": true, "TLSv1.3": true}));
    let first = fact(&m, "/cipher_suites/TLSv1.2/0");
    assert_eq!(first, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    assert_eq!(names(&fact(&m, "/groups/TLSv1.3")), ["secp384r1", "x25519"]);
    assert_eq!(fact(&m, "/intolerances"), json!([]));
}

#[tokio::test]
async fn hellos_shrink_for_peers_that_reset_long_ones() {
    let pki = Pki::new();
    let backend = server(&pki, &[]).await;
    for (longest, name) in [(512, "long_hello"), (700, "long_hello")] {
        let to = backend.port;
        let port = scripted(move |_, mut stream| async move {
            let mut hello = vec![0; 5];
            if stream.read_exact(&mut hello).await.is_err() {
                return;
            }
            let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
            if hello[0] == 22 && length + 5 > longest {
                return;
            }
            let Ok(mut to) = TcpStream::connect(("127.0.0.1", to)).await else { return };
            let _ = to.write_all(&hello).await;
            let _ = copy_bidirectional(&mut stream, &mut to).await;
        })
        .await;
        let m = Ask::default().measure(port).await;
        assert_whole(&m, &format!("{longest} bytes"));
        assert_eq!(fact(&m, "/intolerances/0"), name, "{longest} bytes");
    }
}

#[tokio::test]
async fn two_unlike_servers_behind_one_address_are_never_taken_for_one() {
    let pki = Pki::new();
    let (one, two) = (server(&pki, &[]).await, server(&pki, &["-tls1_2"]).await);
    let ports = [one.port, two.port];
    let port = scripted(move |number, mut stream| async move {
        let Ok(mut to) = TcpStream::connect(("127.0.0.1", ports[number % 2])).await else { return };
        let _ = copy_bidirectional(&mut stream, &mut to).await;
    })
    .await;
    let m = Ask::default().measure(port).await;
    assert!(fact(&m, "/configurations").as_u64() > Some(1));
    assert_eq!(why(&m, "cipher_suites[TLSv1.2]").as_deref(), Some("inconsistent"));
}

async fn again(port: u16, memory: Option<Memory>) -> Run {
    Ask { memory, ..Ask::default() }.sample(port).await
}

#[tokio::test]
async fn what_is_known_is_watched_with_few_hellos_and_a_change_is_seen_at_once() {
    let pki = Pki::new();
    let before = server(&pki, &[]).await;
    let after = server(&pki, &["-tls1_2"]).await;
    let legacy = server(&pki, &["-cipher", "ALL:@SECLEVEL=0"]).await;
    let to = Arc::new(AtomicU16::new(before.port));
    let switch = Arc::clone(&to);
    let port = scripted(move |_, mut stream| {
        let port = to.load(Ordering::Relaxed);
        async move {
            let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            let _ = copy_bidirectional(&mut stream, &mut to).await;
        }
    })
    .await;
    let mut run = again(port, None).await;
    let first = serde_json::to_value(measured(&run)).expect("JSON");
    for _ in 0..8 {
        run = again(port, run.memory).await;
        assert!(run.observations[0].connections <= 7, "{}", run.observations[0].connections);
        let now = serde_json::to_value(measured(&run)).expect("JSON");
        for key in ["versions", "cipher_suites", "groups", "signature_schemes", "certificates"] {
            assert_eq!(now[key], first[key], "{key}");
        }
    }
    assert!(measured(&run).fact("last_confirmed").is_some_and(|facts| facts.is_object()));
    let known = run.memory.clone();
    switch.store(legacy.port, Ordering::Relaxed);
    let m = again(port, known.clone()).await;
    assert_eq!(fact(measured(&m), "/versions/0"), "TLSv1.0");
    switch.store(after.port, Ordering::Relaxed);
    let run = again(port, known).await;
    assert_eq!(fact(measured(&run), "/versions"), json!(["TLSv1.2"]));
}
