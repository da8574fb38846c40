//! What the probe's own handshake tells of TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::lab::{Here, Lab, Script, encrypted, encrypted_by, ok, plain, says};
use crate::probe::dial::{Dialer, Unbounded};
use crate::probe::{Job, Observation, Run, tls};
use crate::sample::Outcome;
use crate::target::{Point, ProbeKind, Settings, Target, TextFile};
use crate::testing::{HERE, Leaf, Pki};

const TARGET: &str = "https://site.test";

fn leaf(pki: &Pki) -> Leaf {
    let leaf = pki.leaf(&["site.test"], false);
    Leaf { certificate: leaf.certificate, key: leaf.key }
}

fn lab(target: &str, https: u16) -> Lab {
    Lab::of(target, &[("site.test:443", https)])
}

fn glimpse(run: &Run) -> Option<&Observation> {
    let (own, others) = run.observations.split_first().expect("an observation");
    assert_eq!(own.probe, ProbeKind::Http);
    assert!(others.len() <= 1, "{others:?}");
    others.first()
}

fn facts(observation: &Observation) -> Value {
    match &observation.outcome {
        Outcome::Measured(facts) => serde_json::to_value(facts).expect("JSON"),
        Outcome::Unknown(unknown) => panic!("nothing was measured: {unknown}"),
    }
}

/// Answers, and counts the requests.
fn counting() -> (Script, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let script = says(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".to_owned()
    });
    (script, requests)
}

#[tokio::test]
async fn a_handshake_tells_of_the_certificate_and_what_it_did_not_ask_stays_unknown() {
    let pki = Pki::new();
    let (script, requests) = counting();
    let https = encrypted_by(&leaf(&pki), script).await;
    let root = TextFile { path: "root.pem".into(), text: pki.root.clone().into() };
    let run = lab(TARGET, https).trusting(root).glimpsing().run().await;
    assert_eq!(requests.load(Ordering::SeqCst), 3, "no request more than without");
    let seen = glimpse(&run).expect("a glimpse");
    assert_eq!((seen.probe, seen.address, seen.connections), (ProbeKind::Tls, Some(HERE), 0));
    let facts = facts(seen);
    let certificates = facts["certificates"].as_array().expect("a list");
    assert_eq!(certificates.len(), 1);
    assert_eq!(certificates[0]["not_after"], "2027-01-01T00:00:00Z");
    assert_eq!(facts["chain"]["reason"], "incomplete", "{}", facts["chain"]);
    assert_eq!(facts["chain"]["hostname_matches"], true);
    assert_eq!(facts["ocsp_staple"]["present"], false);
    assert_eq!(facts["alpn"], json!(["http/1.1"]));
    assert_eq!(facts["negotiated"]["version"], "TLSv1.3");
    assert_eq!(facts["client_auth"], "none");
    for unasked in ["versions", "cipher_suites", "groups", "configurations", "vulnerabilities"] {
        assert_eq!(facts[unasked], Value::Null, "{unasked}");
        assert_eq!(facts["unknown"][unasked], "not_observed", "{unasked}");
    }
    assert_eq!(facts["unknown"]["certificates[rsa]"], "not_observed");
    assert_eq!(facts["unknown"]["certificates[ec]"], Value::Null);
}

#[tokio::test]
async fn what_it_tells_is_what_the_tls_probe_tells() {
    let pki = Pki::new();
    let https = encrypted_by(&leaf(&pki), ok("")).await;
    let chain = format!("{}{}", pki.root, pki.intermediate);
    let anchors = TextFile { path: "root.pem".into(), text: chain.into() };
    let run = lab(TARGET, https).trusting(anchors.clone()).glimpsing().run().await;
    let glimpsed = facts(glimpse(&run).expect("a glimpse"));
    let settings = Arc::new(Settings {
        ca_file: Some(anchors),
        connect_to: vec![format!("site.test:443:127.0.0.1:{https}").parse().expect("a rule")],
        ..Settings::default()
    });
    let target = Target {
        settings: Arc::clone(&settings),
        ..Target::new(TARGET.parse().expect("a target"))
    };
    let point = Point { target: Arc::new(target), probe: ProbeKind::Tls, address: Some(HERE) };
    let budget = std::time::Duration::from_secs(10);
    let dialer = Dialer::new(Unbounded::outside(), settings, ProbeKind::Tls, budget);
    let now = "2026-11-22T00:00:00Z".parse().expect("a date");
    let job = Job {
        point,
        memory: None,
        now,
        seed: 1,
        cause: crate::sample::Cause::Scheduled,
        dialer,
        glimpses: false,
        promised: false,
    };
    let asked = facts(&tls::run(job).await.observations[0]);
    assert_eq!(asked["chain"]["trusted"], true, "{}", asked["chain"]);
    for shared in
        ["certificates", "chain", "ocsp_staple", "negotiated", "alpn", "client_auth", "starttls"]
    {
        assert_eq!(glimpsed[shared], asked[shared], "{shared}");
    }
    let keys = |facts: &Value| facts.as_object().expect("facts").keys().cloned().collect();
    let (ours, theirs): (Vec<String>, Vec<String>) = (keys(&glimpsed), keys(&asked));
    assert_eq!(ours, theirs, "every fact is stated, or named as unknown");
}

#[tokio::test]
async fn nobody_gets_a_glimpse_who_did_not_ask_for_it() {
    let (https, pem) = encrypted(ok("")).await;
    let run = lab(TARGET, https).trusting(pem).run().await;
    assert!(glimpse(&run).is_none());
}

#[tokio::test]
async fn a_handshake_stands_though_the_request_came_to_nothing() {
    let (https, pem) = encrypted(Arc::new(|_, mut stream| {
        Box::pin(async move {
            let _ = stream.write_all(b"no HTTP at all\r\n\r\n").await;
        })
    }))
    .await;
    let run = lab(TARGET, https).trusting(pem).glimpsing().run().await;
    assert!(matches!(run.observations[0].outcome, Outcome::Unknown(_)), "{run:?}");
    assert_eq!(facts(glimpse(&run).expect("a glimpse"))["chain"]["trusted"], true);
}

#[tokio::test]
async fn a_handshake_that_fails_tells_nothing_of_certificates() {
    let https = plain(ok("")).await;
    let run = lab(TARGET, https).glimpsing().run().await;
    assert!(glimpse(&run).is_none(), "{run:?}");
}

#[tokio::test]
async fn another_host_or_port_says_nothing_of_the_target() {
    let (elsewhere, pem) = encrypted(ok("")).await;
    for to in ["https://other.test/", "https://site.test/"] {
        let plain = plain(says(move |_| format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n")));
        let routes = [
            ("site.test:8080", plain.await),
            ("site.test:443", elsewhere),
            ("other.test:443", elsewhere),
        ];
        let mut lab = Lab::of("http://site.test:8080", &routes);
        lab.outside.resolve = Arc::new(Here);
        let run = lab.trusting(pem.clone()).glimpsing().run().await;
        let hops = &facts(&run.observations[0])["hops"];
        assert_eq!(hops[1]["status"], 200, "{hops}");
        assert!(glimpse(&run).is_none(), "{to}");
    }
}
