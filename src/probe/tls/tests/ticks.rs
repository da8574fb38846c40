//! Endpoints that are known: few connections a tick, everything in its turn, and a change seen.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use crate::probe::{Memory, Run};
use crate::sample::{Measurements, Outcome};
use crate::testing::{Pki, scripted};

use super::enumerated::server;
use super::peers::OpenSsl;
use super::{Ask, fact, why};

fn measured(run: &Run) -> &Measurements {
    match &run.observations[0].outcome {
        Outcome::Measured(measurements) => measurements,
        Outcome::Unknown(unknown) => panic!("nothing was measured: {unknown}"),
    }
}

async fn again(port: u16, memory: Option<Memory>, minute: i64) -> Run {
    Ask { memory, minute, ..Ask::default() }.sample(port).await
}

/// Bytes sent by each connection.
type Sent = Arc<Mutex<Vec<u64>>>;

/// A way to whichever server stands in the cell.
async fn way(to: Arc<AtomicU16>, sent: Sent) -> u16 {
    scripted(move |_, mut stream| {
        let (port, sent) = (to.load(Ordering::Relaxed), Arc::clone(&sent));
        async move {
            let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            if let Ok((there, _)) = copy_bidirectional(&mut stream, &mut to).await {
                sent.lock().expect("bytes").push(there);
            }
        }
    })
    .await
}

const SETS: [&str; 8] = [
    "versions",
    "cipher_suites",
    "groups",
    "signature_schemes",
    "certificates",
    "server_order",
    "resumption",
    "without_sni",
];

#[tokio::test]
async fn a_quiet_tick_takes_two_connections_and_a_round_of_all_that_could_be_new_seven() {
    let pki = Pki::new();
    let peer = server(&pki, &["-cipher", "ECDHE+AESGCM"]).await;
    let sent = Sent::default();
    let port = way(Arc::new(AtomicU16::new(peer.port)), Arc::clone(&sent)).await;
    let mut run = again(port, None, 0).await;
    let first = serde_json::to_value(measured(&run)).expect("JSON");
    assert_eq!(first["recalled"], json!([]));
    let (mut ends, mut sentinels) = (Vec::new(), 0);
    for minute in 1..=20 {
        sent.lock().expect("bytes").clear();
        run = again(port, run.memory, minute).await;
        assert!(run.observations[0].connections <= 2, "{}", run.observations[0].connections);
        let now = serde_json::to_value(measured(&run)).expect("JSON");
        for key in SETS {
            assert_eq!(now[key], first[key], "{key}");
        }
        let recalled = now["recalled"].as_array().expect("a list");
        if !recalled.contains(&json!("versions")) {
            ends.push(minute);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let bytes = sent.lock().expect("bytes").clone();
        assert!(bytes.iter().sum::<u64>() <= 3_000, "{bytes:?}");
        if minute <= 6 {
            sentinels += bytes.iter().min().expect("a connection");
        }
    }
    // A sentinel a tick, beside the certificate.
    assert_eq!(ends, [6, 12, 18]);
    assert!(sentinels <= 3_000, "{sentinels} bytes");
    let whole = Ask { memory: run.memory, promised: true, ..Ask::default() }.sample(port).await;
    assert!(whole.observations[0].connections <= 7, "{}", whole.observations[0].connections);
    assert_eq!(fact(measured(&whole), "/recalled"), json!([]));
}

#[tokio::test]
async fn everything_known_is_asked_for_again_within_a_bounded_number_of_ticks() {
    let pki = Pki::new();
    let (rsa, ec) = (pki.leaf(&["a.test"], true), pki.leaf(&["a.test"], false));
    let ciphers = ["-cipher", "ECDHE+AESGCM:ECDHE+CHACHA20", "-groups", "X25519:P-256:P-384"];
    let peer = OpenSsl::start(&[&rsa, &ec], "", &ciphers).await;
    let mut run = again(peer.port, None, 0).await;
    let start = fact(measured(&run), "/last_confirmed/versions[TLSv1.2]");
    let mut ticks = 0;
    loop {
        ticks += 1;
        run = again(peer.port, run.memory, ticks).await;
        assert!(run.observations[0].connections <= 2, "{}", run.observations[0].connections);
        let confirmed = fact(measured(&run), "/last_confirmed");
        let old: Vec<&String> = confirmed
            .as_object()
            .expect("facts")
            .iter()
            .filter(|(_, at)| **at == start)
            .map(|(path, _)| path)
            .collect();
        if old.is_empty() {
            break;
        }
        assert!(ticks < 144, "not yet: {old:?}");
    }
    assert!(ticks > 30, "not all at once");
}

/// The facts once they differ, or after some ticks; and in which tick.
async fn until(
    port: u16,
    mut memory: Option<Memory>,
    is_seen: impl Fn(&Value) -> bool,
) -> (Value, i64) {
    for minute in 1..=200 {
        let run = again(port, memory, minute).await;
        let facts = serde_json::to_value(measured(&run)).expect("JSON");
        if is_seen(&facts) {
            return (facts, minute);
        }
        memory = run.memory;
    }
    panic!("not seen in so many ticks");
}

#[tokio::test]
async fn a_change_is_seen_within_a_round_and_by_a_guarded_plan_at_once() {
    let pki = Pki::new();
    let before = server(&pki, &[]).await;
    let without_13 = server(&pki, &["-tls1_2"]).await;
    let legacy = server(&pki, &["-cipher", "ALL:@SECLEVEL=0"]).await;
    let more = server(
        &pki,
        &[
            "-cipher",
            "ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA:ECDHE-RSA-AES256-GCM-SHA384:AES256-SHA",
        ],
    )
    .await;
    let fewer =
        server(&pki, &["-cipher", "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384"]).await;
    let groups = server(&pki, &["-groups", "X25519:P-256"]).await;
    let to = Arc::new(AtomicU16::new(before.port));
    let port = way(Arc::clone(&to), Arc::default()).await;
    let known = again(port, None, 0).await.memory;
    let suite = |facts: &Value, name: &str| {
        facts["cipher_suites"]["TLSv1.2"].as_array().is_some_and(|all| all.contains(&json!(name)))
    };
    to.store(legacy.port, Ordering::Relaxed);
    let (_, ticks) = until(port, known.clone(), |facts| facts["versions"][0] == "TLSv1.0").await;
    assert!(ticks <= 6, "{ticks}");
    to.store(without_13.port, Ordering::Relaxed);
    let (_, ticks) =
        until(port, known.clone(), |facts| facts["versions"] == json!(["TLSv1.2"])).await;
    assert_eq!(ticks, 1, "the real handshake shows it");
    to.store(more.port, Ordering::Relaxed);
    let (facts, ticks) =
        until(port, known.clone(), |facts| suite(facts, "TLS_RSA_WITH_AES_256_CBC_SHA")).await;
    assert!(ticks <= 6, "{ticks}");
    assert!(suite(&facts, "TLS_RSA_WITH_AES_128_CBC_SHA"));
    to.store(fewer.port, Ordering::Relaxed);
    let (_, ticks) =
        until(port, known.clone(), |facts| !suite(facts, "TLS_RSA_WITH_AES_128_CBC_SHA")).await;
    assert!(ticks <= 7, "what no guideline allows has a turn each round: {ticks}");
    to.store(groups.port, Ordering::Relaxed);
    let few = |facts: &Value| facts["groups"]["TLSv1.3"].as_array().map(Vec::len) == Some(2);
    until(port, known.clone(), few).await;
    // A plan with a guarantee looks at all that it is given for, each time.
    to.store(legacy.port, Ordering::Relaxed);
    let ask = Ask { memory: known, promised: true, ..Ask::default() };
    assert_eq!(fact(measured(&ask.sample(port).await), "/versions/0"), "TLSv1.0");
}

#[tokio::test]
async fn what_one_of_several_servers_showed_once_stays_shown() {
    let pki = Pki::new();
    let most = server(&pki, &[]).await;
    let odd = server(&pki, &["-cipher", "ALL:@SECLEVEL=0"]).await;
    let once = Arc::new(AtomicU16::new(0));
    let armed = Arc::clone(&once);
    let port = scripted(move |_, mut stream| {
        let (armed, most, odd) = (Arc::clone(&armed), most.port, odd.port);
        async move {
            // A hello capped at TLS 1.1 goes to the odd one, once.
            let mut head = [0; 11];
            while stream.peek(&mut head).await.is_ok_and(|read| (1..11).contains(&read)) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let port = match head[9..11] == [3, 2] && armed.swap(0, Ordering::Relaxed) == 1 {
                true => odd,
                false => most,
            };
            let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            let _ = copy_bidirectional(&mut stream, &mut to).await;
        }
    })
    .await;
    let first = again(port, None, 0).await;
    assert_eq!(fact(measured(&first), "/versions"), json!(["TLSv1.2", "TLSv1.3"]));
    once.store(1, Ordering::Relaxed);
    let (mut breached, mut minute) = (first, 0);
    while once.load(Ordering::Relaxed) == 1 && minute < 10 {
        minute += 1;
        breached = again(port, breached.memory, minute).await;
    }
    assert_eq!(once.load(Ordering::Relaxed), 0, "the old hello was asked");
    let versions = fact(measured(&breached), "/versions");
    assert!(versions.as_array().is_some_and(|all| all.len() == 3), "{versions}");
}

#[tokio::test]
async fn a_suite_that_one_of_several_servers_has_is_inconsistent_and_the_set_is_not() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["a.test"], true);
    let most = OpenSsl::start(&[&leaf], "", &["-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]).await;
    let more = ["-cipher", "ECDHE-RSA-AES128-GCM-SHA256:AES256-SHA"];
    let odd = OpenSsl::start(&[&leaf], "", &more).await;
    let once = Arc::new(AtomicU16::new(0));
    let to = Arc::clone(&once);
    let port = scripted(move |_, mut stream| {
        let port = match to.swap(0, Ordering::Relaxed) {
            0 => most.port,
            port => port,
        };
        async move {
            let Ok(mut to) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            let _ = copy_bidirectional(&mut stream, &mut to).await;
        }
    })
    .await;
    let mut run = again(port, None, 0).await;
    let path = "cipher_suites[TLSv1.2][TLS_RSA_WITH_AES_256_CBC_SHA]";
    for minute in 1..=6 {
        // The first hello of a tick goes to the odd one.
        once.store(odd.port, Ordering::Relaxed);
        run = again(port, run.memory, minute).await;
        if why(measured(&run), path).is_some() {
            break;
        }
    }
    let m = measured(&run);
    assert_eq!(why(m, path).as_deref(), Some("inconsistent"));
    assert_eq!(fact(m, "/cipher_suites/TLSv1.2").as_array().map(Vec::len), Some(2));
    assert_eq!(why(m, "cipher_suites[TLSv1.2]"), None, "the rest was refused again and again");
}
