//! The probe against real listeners on loopback.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::run;
use crate::probe::dial::{Contact, Dialer, Guard, Outside, Purpose, Unbounded};
use crate::probe::{Job, Memory, Run};
use crate::sample::Outcome;
use crate::target::{Point, ProbeKind, Settings, Target, TextFile};
use crate::testing::{listener, udp};

/// An address of loopback that no other test listens on, so that no scan disturbs one.
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77));

/// Greets everyone, then holds the connection a while.
async fn greeter(greeting: &'static [u8]) -> (u16, JoinHandle<()>) {
    let (listener, port) = listener(HOME).await;
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(greeting).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    (port, server)
}

fn job(settings: Settings, outside: Outside) -> Job {
    let mut target = Target::new("127.0.0.77:1".parse().expect("a target"));
    target.settings = Arc::new(settings);
    let dialer = Dialer::new(
        outside,
        Arc::clone(&target.settings),
        ProbeKind::Ports,
        Duration::from_secs(10),
    );
    let now = "2026-07-01T00:00:00Z".parse().expect("a time");
    let point = Point { target: Arc::new(target), probe: ProbeKind::Ports, address: None };
    Job {
        point,
        memory: None,
        now,
        seed: 7,
        cause: crate::sample::Cause::Manual,
        dialer,
        glimpses: false,
        promised: false,
    }
}

fn settings(ports: &str) -> Settings {
    Settings { ports: Some(ports.parse().expect("ports")), ..Settings::default() }
}

fn measured(run: &Run) -> Value {
    let [seen] = run.observations.as_slice() else { panic!("one sample a target") };
    assert_eq!((seen.probe, seen.address), (ProbeKind::Ports, None));
    match &seen.outcome {
        Outcome::Measured(measured) => serde_json::to_value(measured).expect("json"),
        Outcome::Unknown(unknown) => panic!("nothing measured: {unknown}"),
    }
}

#[tokio::test]
async fn open_and_refused_ports_are_told_apart_and_banners_are_harmless() {
    let (hostile, _server) = greeter(b"SSH-2.0-\x1b]0;owned\x07\xff\r\n").await;
    let closed = listener(HOME).await.1;
    let run = run(job(settings(&format!("{hostile},{closed}")), Unbounded::outside())).await;
    let json = measured(&run);
    let address = &json["addresses"][0];
    assert_eq!((&address["address"], &address["host"]), (&json!("127.0.0.77"), &json!("up")));
    assert_eq!(
        address["open"],
        json!([{
            "port": hostile,
            "transport": "tcp",
            "service": "ssh",
            "exposure": "none",
            "evidence": "SSH-2.0-\\x1b]0;owned\\x07\\xff\\x0d\\x0a",
        }])
    );
    assert_eq!(address["closed"], json!([format!("{closed}/tcp")]));
    assert_eq!(json.get("unknown"), None);
    assert_eq!(run.observations[0].connections, 2);
}

#[tokio::test]
async fn a_port_that_hangs_up_at_once_is_open_and_one_that_resets_is_forged() {
    let (polite, polite_port) = listener(HOME).await;
    let (rude, rude_port) = listener(HOME).await;
    tokio::spawn(async move { while polite.accept().await.is_ok() {} });
    tokio::spawn(async move {
        while let Ok((stream, _)) = rude.accept().await {
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    });
    let ports = settings(&format!("{polite_port},{rude_port}"));
    let json = measured(&run(job(ports, Unbounded::outside())).await);
    let address = &json["addresses"][0];
    assert_eq!(address["open"][0]["service"], "tcpwrapped");
    assert_eq!(address["forged"], json!([format!("{rude_port}/tcp")]));
}

#[tokio::test]
async fn udp_ports_answer_refuse_or_stay_silent() {
    let (answering, silent) = (udp(HOME).await, udp(HOME).await);
    let port_of = |socket: &UdpSocket| socket.local_addr().expect("an address").port();
    let (open, mute, closed) = (port_of(&answering), port_of(&silent), port_of(&udp(HOME).await));
    tokio::spawn(async move {
        while let Ok((_, peer)) = answering.recv_from(&mut [0; 16]).await {
            let _ = answering.send_to(b"hello", peer).await;
        }
    });
    let mut settings = settings(&format!("{open}/udp,{mute}/udp,{closed}/udp"));
    settings.timeout = Some(Duration::from_millis(300));
    let json = measured(&run(job(settings, Unbounded::outside())).await);
    let address = &json["addresses"][0];
    assert_eq!(address["open"][0]["evidence"], "hello");
    assert_eq!(address["open"][0]["transport"], "udp");
    assert_eq!(address["open_or_filtered"], json!([format!("{mute}/udp")]));
    assert_eq!(address["closed"], json!([format!("{closed}/udp")]));
    drop(silent);
}

#[tokio::test]
async fn pins_make_ports_unexpected_and_missing() {
    let (open, _server) = greeter(b"+OK\r\n").await;
    let closed = listener(HOME).await.1;
    let mut settings = settings(&format!("{open},{closed}"));
    let pins = json!({ "127.0.0.77": { "ports": { "exact": [closed] } } });
    settings.pins = serde_json::from_value(pins).expect("pins");
    let json = measured(&run(job(settings, Unbounded::outside())).await);
    let address = "127.0.0.77";
    let unexpected = json!([{ "address": address, "port": format!("{open}/tcp"), "service": "pop3", "sightings": 3, "expected_by": "pins" }]);
    assert_eq!(json["unexpected"], unexpected);
    assert_eq!(json["missing"], json!([{ "address": address, "port": format!("{closed}/tcp") }]));
}

/// A guard that allows no scan.
struct NoScan;

impl Guard for NoScan {
    fn permit(&self, contact: &Contact<'_>) -> Result<(), String> {
        match contact.purpose {
            Purpose::Scan => Err("not in scope.networks".to_owned()),
            _ => Ok(()),
        }
    }
}

fn no_scan() -> Outside {
    Outside { guard: Arc::new(NoScan), ..Unbounded::outside() }
}

#[tokio::test]
async fn where_scanning_is_not_allowed_only_pinned_and_own_ports_are_asked() {
    let (open, _server) = greeter(b"").await;
    let pins = json!({ "127.0.0.77": { "ports": { "contains": [open] } } });
    let pins = serde_json::from_value(pins).expect("pins");
    let unnamed = Settings { pins, ..Settings::default() };
    let run_unnamed = run(job(unnamed, no_scan())).await;
    let json = measured(&run_unnamed);
    // One to each of the two ports, and two more to ask the open one who it is.
    assert!((2..=4).contains(&run_unnamed.observations[0].connections));
    assert_eq!(json["addresses"][0]["open"][0]["port"], open);
    assert_eq!(json["addresses"][0]["closed"], json!(["1/tcp"]));
    // What was asked for by name and refused is said to be so.
    let json = measured(&run(job(settings(&format!("1,{open}")), no_scan())).await);
    assert_eq!(json["addresses"][0]["not_measured"], json!([format!("{open}/tcp")]));
    let reason = &json["unknown"]["addresses[127.0.0.77].open"];
    assert_eq!(reason, "out_of_scope: not in scope.networks");
}

#[tokio::test]
async fn in_the_ranges_of_a_cdn_only_pinned_and_own_ports_are_asked() {
    let (open, _server) = greeter(b"+OK\r\n").await;
    let ranges = |text: &str| Some(TextFile { path: "cdn".into(), text: text.into() });
    let mut settings = settings(&format!("1,{open}"));
    settings.cdn_ranges = ranges("# ours\n127.0.0.0/24 # all\n");
    let run_there = run(job(settings.clone(), Unbounded::outside())).await;
    let json = measured(&run_there);
    assert_eq!(json["addresses"][0]["closed"], json!(["1/tcp"]));
    assert_eq!(json["addresses"][0]["not_measured"], json!([format!("{open}/tcp")]));
    assert_eq!(run_there.observations[0].connections, 1);
    settings.cdn_ranges = ranges("192.0.2.0/24\n");
    let json = measured(&run(job(settings, Unbounded::outside())).await);
    assert_eq!(json["addresses"][0]["open"][0]["service"], "pop3");
}

#[tokio::test]
async fn canaries_are_asked_only_beside_a_scan_and_leave_an_honest_host_alone() {
    let (open, _server) = greeter(b"").await;
    let run = run(job(settings(&format!("{open},1-30")), Unbounded::outside())).await;
    let json = measured(&run);
    assert_eq!(json["addresses"][0]["host"], "up");
    assert_eq!(json["addresses"][0]["open"][0]["port"], open);
    // The open one is silent, so it is asked who it is, by three connections at most.
    let connections = run.observations[0].connections;
    assert!((31 + 8..=31 + 8 + 2).contains(&connections), "{connections}");
}

#[tokio::test]
async fn a_job_that_is_over_measures_nothing_and_claims_nothing() {
    let (open, _server) = greeter(b"").await;
    let mut job = job(settings(&format!("{open},1-1000")), Unbounded::outside());
    let settings = Arc::clone(&job.point.target.settings);
    job.dialer = Dialer::new(Unbounded::outside(), settings, ProbeKind::Ports, Duration::ZERO);
    let run = run(job).await;
    let Outcome::Unknown(unknown) = &run.observations[0].outcome else {
        panic!("measured without time");
    };
    assert_eq!(unknown.to_string(), "timeout: the sample's time was over");
    assert_eq!(run.observations[0].connections, 0);
}

#[tokio::test]
async fn a_port_that_closed_within_the_hour_is_unstable() {
    let (open, server) = greeter(b"").await;
    let ask = |memory: Option<Memory>| async move {
        let mut job = job(settings(&open.to_string()), Unbounded::outside());
        job.memory = memory;
        run(job).await
    };
    let first = ask(None).await;
    assert_eq!(measured(&first)["addresses"][0]["unstable"], json!([]));
    server.abort();
    let _ = server.await;
    let second = ask(first.memory).await;
    let address = &measured(&second)["addresses"][0];
    assert_eq!(address["unstable"], json!([format!("{open}/tcp")]));
    assert_eq!(address["closed"], json!([format!("{open}/tcp")]));
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_unknown() {
    let mut job = job(Settings::default(), Unbounded::outside());
    let target = Target::new("nowhere.test".parse().expect("a target"));
    job.point.target = Arc::new(target);
    let run = run(job).await;
    assert!(matches!(run.observations[0].outcome, Outcome::Unknown(_)));
}

#[tokio::test]
async fn ten_thousand_ports_of_loopback_take_seconds_and_every_one_is_placed() {
    let (open, _server) = greeter(b"").await;
    let json = measured(&run(job(settings("10000-19999,20000-31999"), Unbounded::outside())).await);
    let address = &json["addresses"][0];
    let numbers: Vec<_> = address["open"].as_array().expect("a list").iter().collect();
    assert!(numbers.iter().any(|item| item["port"] == open));
    assert_eq!(address["not_measured"], json!([]));
    assert_eq!(address["filtered"], json!([]));
    let to: SocketAddr = (HOME, open).into();
    assert!(tokio::net::TcpStream::connect(to).await.is_ok());
}
