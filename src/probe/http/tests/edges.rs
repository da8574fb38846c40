//! Several addresses of one name, sampled again and again: which of them departs from what it was.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::lab::{Script, says, serve};
use crate::probe::dial::{Dialer, Unbounded};
use crate::probe::http::run;
use crate::probe::{Job, Memory};
use crate::sample::{Cause, Outcome};
use crate::target::{Point, ProbeKind, Settings, Target};
use crate::testing::ports;

/// Servers on one port of as many loopback addresses, which end with the test.
pub(super) async fn edges(scripts: Vec<Script>) -> (u16, Vec<IpAddr>) {
    let addresses: Vec<IpAddr> =
        (2_u8..).take(scripts.len()).map(|n| Ipv4Addr::new(127, 0, 83, n).into()).collect();
    for port in ports() {
        let mut listeners = Vec::new();
        for address in &addresses {
            listeners.extend(TcpListener::bind((*address, port)).await);
        }
        if listeners.len() == addresses.len() {
            for (listener, script) in listeners.into_iter().zip(scripts) {
                tokio::spawn(async move {
                    while let Ok((stream, _)) = listener.accept().await {
                        tokio::spawn(serve(stream, Arc::clone(&script)));
                    }
                });
            }
            return (port, addresses);
        }
    }
    panic!("no free port");
}

/// One sampling point with what it remembers.
pub(super) struct Watched {
    point: Point,
    memory: Option<Memory>,
}

impl Watched {
    /// The point of one address.
    pub(super) fn of(port: u16, address: IpAddr) -> Self {
        let target = format!("http://site.test:{port}").parse().expect("a target");
        let target = Arc::new(Target::new(target));
        Self {
            point: Point { target, probe: ProbeKind::Http, address: Some(address) },
            memory: None,
        }
    }

    /// The measurements of one more sample by plan.
    pub(super) async fn sample(&mut self) -> Value {
        let dialer = Dialer::new(
            Unbounded::outside(),
            Arc::new(Settings::default()),
            ProbeKind::Http,
            Duration::from_secs(10),
        );
        let ran = run(Job {
            point: self.point.clone(),
            memory: self.memory.clone(),
            now: "2026-11-22T00:00:00Z".parse().expect("a date"),
            seed: 1,
            cause: Cause::Scheduled,
            dialer,
            glimpses: false,
            promised: false,
        })
        .await;
        self.memory = ran.memory.or_else(|| self.memory.take());
        let observation = &ran.observations[0];
        assert_eq!(observation.address, self.point.address);
        match &observation.outcome {
            Outcome::Measured(facts) => serde_json::to_value(facts).expect("JSON"),
            Outcome::Unknown(unknown) => panic!("nothing was measured: {unknown}"),
        }
    }
}

/// What a sound edge says.
pub(super) const SOUND: &str = "X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\
    Content-Security-Policy: default-src 'self'\r\nReferrer-Policy: no-referrer\r\n";

pub(super) fn page(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nhi")
}

#[tokio::test]
async fn the_one_edge_of_three_that_loses_a_field_is_named_by_its_address() {
    let broken = Arc::new(AtomicUsize::new(0));
    let script = |mine: usize| {
        let broken = Arc::clone(&broken);
        says(move |_| match broken.load(Ordering::SeqCst) == mine {
            true => page(&SOUND.replace("X-Content-Type-Options: nosniff\r\n", "")),
            false => page(SOUND),
        })
    };
    let (port, addresses) = edges(vec![script(1), script(2), script(3)]).await;
    let mut points: Vec<_> = addresses.iter().map(|a| Watched::of(port, *a)).collect();
    for _ in 0..12 {
        for point in &mut points {
            assert_eq!(point.sample().await["drift"], json!([]));
        }
    }
    broken.store(2, Ordering::SeqCst);
    let mut departed = Vec::new();
    for point in &mut points {
        let facts = point.sample().await;
        let address = point.point.address.expect("an address").to_string();
        assert_eq!(facts["hops"][0]["address"], *address);
        if facts["drift"] != json!([]) {
            departed.push((address, facts["drift"].clone()));
        }
    }
    let [(address, drift)] = &departed[..] else { panic!("{departed:?}") };
    assert_eq!(address, "127.0.83.3");
    assert_eq!((&drift[0]["field"], &drift[0]["direction"]), (&json!("nosniff"), &json!("weaker")));
    assert_eq!(drift.as_array().map(Vec::len), Some(1), "{drift}");
}

#[tokio::test]
async fn fresh_nonces_and_cookies_over_fifty_samples_are_no_drift() {
    let count = AtomicUsize::new(0);
    let script = says(move |_| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        // Two cookies in turns of order, another of them in one of three samples.
        let own = [format!("sid={n:016x}; HttpOnly"), format!("lang=l{n}")];
        let mut cookies = vec![own[n % 2].clone(), own[(n + 1) % 2].clone()];
        cookies.extend(n.is_multiple_of(3).then(|| format!("edge={n}; HttpOnly")));
        let cookies: String =
            cookies.iter().map(|cookie| format!("Set-Cookie: {cookie}\r\n")).collect();
        page(&format!(
            "X-Request-Id: {n:032x}\r\nDate: Sun, 22 Nov 2026 10:00:{:02} GMT\r\n{cookies}\
             ETag: \"{n}\"\r\nX-Frame-Options: DENY\r\nContent-Security-Policy: default-src 'self'; \
             script-src 'nonce-n{n:020}' 'strict-dynamic'\r\n",
            n % 60
        ))
    });
    let (port, addresses) = edges(vec![script]).await;
    let mut point = Watched::of(port, addresses[0]);
    for step in 0..50 {
        let facts = point.sample().await;
        assert_eq!(facts["drift"], json!([]), "step {step}");
        assert_eq!(facts["variants"], json!([]), "step {step}");
        if step > 0 {
            assert_eq!(facts["csp"]["nonce_reused"], false, "step {step}");
        }
    }
}
