//! MTA-STS policies fetched from a scripted host, for a domain of a scripted internet.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::lab::{Lab, Script};
use super::tests::{Asked, asked, fact, internet, measured};
use crate::probe::trust::PROVIDER;
use crate::sample::{Cause, Measurements};
use crate::target::TextFile;
use crate::testing::{Pki, refusing, scripted};

const SHOP: &str = "shop.test 300 SOA 7
    shop.test 300 NS ns1.shop.test
    ns1.shop.test 300 A 127.0.0.3
    shop.test 300 A 192.0.2.1
    shop.test 300 MX 10 mail.shop.test
    shop.test 300 MX 20 mx.cdn.test
    mail.shop.test 300 A 192.0.2.25
    mta-sts.shop.test 300 A 127.0.0.1
    _mta-sts.shop.test 300 TXT v=STSv1; id=ID;";

const POLICY: &str =
    "version: STSv1\nmode: enforce\nmx: mail.shop.test\nmx: *.cdn.test\nmax_age: 604800\n";

/// A host that answers every request by the same words, which may be changed.
pub(super) struct Web {
    pub(super) port: u16,
    answer: Arc<Mutex<String>>,
    requests: Arc<AtomicUsize>,
    anchor: TextFile,
}

impl Web {
    pub(super) async fn start(name: &str) -> Self {
        let pki = Pki::new();
        let leaf = pki.leaf(&[name], false);
        let certificate = CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).expect("PEM");
        let config = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a configuration");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let answer = Arc::new(Mutex::new(String::new()));
        let requests = Arc::new(AtomicUsize::new(0));
        let (says, count) = (Arc::clone(&answer), Arc::clone(&requests));
        let port = scripted(move |_, stream| {
            let (acceptor, says, count) = (acceptor.clone(), says.clone(), count.clone());
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 2048];
                if stream.read(&mut request).await.is_ok() {
                    count.fetch_add(1, Ordering::SeqCst);
                    let answer = says.lock().expect("a lock").clone();
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
                let _ = stream.shutdown().await;
            }
        });
        let anchor = TextFile { path: "ca.pem".into(), text: pki.intermediate.clone().into() };
        Self { port: port.await, answer, requests, anchor }
    }

    /// Answers by a status, a media type and a body from now on.
    pub(super) fn says(&self, status: &str, media: &str, body: &str) {
        let length = body.len();
        *self.answer.lock().expect("a lock") = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {media}\r\nLocation: https://other.test/\r\nContent-Length: {length}\r\n\r\n{body}"
        );
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// A sample that reaches it as `name`.
    pub(super) fn asked(&self, lab: &Lab, name: &str) -> Asked {
        let mut asked = asked(lab);
        asked.now = DateTime::from_timestamp(1_795_351_000, 0).expect("a date");
        asked.settings.ca_file = Some(self.anchor.clone());
        let route = format!("{name}:443:127.0.0.1:{}", self.port);
        asked.settings.connect_to = vec![route.parse().expect("a route")];
        asked
    }
}

async fn lab(records: &str) -> Lab {
    let shop = Script::of(&[("shop.test", records)]);
    internet(shop.clone(), shop, vec![]).await
}

fn policy(measured: &Measurements) -> Value {
    fact(measured, &["mail", "mta_sts", "policy"]).clone()
}

fn why(measured: &Measurements, path: &str) -> String {
    measured.unknowns().get(path).map(ToString::to_string).unwrap_or_default()
}

#[tokio::test]
async fn a_policy_is_fetched_as_a_sender_does_and_held_to_the_exchanges() {
    let (lab, web) = (lab(SHOP).await, Web::start("mta-sts.shop.test").await);
    let asked = web.asked(&lab, "mta-sts.shop.test");
    web.says("200 OK", "text/plain; charset=utf-8", POLICY);
    let shown = policy(&asked.facts("shop.test").await);
    assert_eq!(
        shown,
        json!({"mode": "enforce", "max_age": 604_800, "mx": ["mail.shop.test", "*.cdn.test"],
            "errors": [], "unmatched": [], "fetched_at": "2026-11-22T12:36:40Z"})
    );
    let short = POLICY.replace("mx: *.cdn.test\n", "");
    web.says("200 OK", "text/plain", &short);
    assert_eq!(policy(&asked.facts("shop.test").await)["unmatched"], json!(["mx.cdn.test"]));
    for (status, media, error) in [
        ("301 Moved", "text/plain", "redirect"),
        ("404 Not Found", "text/plain", "status"),
        ("200 OK", "text/html", "content_type"),
    ] {
        web.says(status, media, POLICY);
        assert_eq!(policy(&asked.facts("shop.test").await)["errors"], json!([error]), "{status}");
    }
}

#[tokio::test]
async fn a_bad_network_says_nothing_of_the_policy() {
    let (lab, web) = (lab(SHOP).await, Web::start("mta-sts.shop.test").await);
    let mut asked = web.asked(&lab, "mta-sts.shop.test");
    web.says("503 Busy", "text/plain", "later");
    let m = asked.facts("shop.test").await;
    assert_eq!(policy(&m), Value::Null);
    assert_eq!(why(&m, "mail.mta_sts.policy"), "http_status: 503");
    web.says("200 OK", "text/plain", &"x: y\n".repeat(20_000));
    assert!(why(&asked.facts("shop.test").await, "mail.mta_sts.policy").contains("too long"));
    let route = format!("mta-sts.shop.test:443:127.0.0.1:{}", refusing());
    asked.settings.connect_to = vec![route.parse().expect("a route")];
    assert_eq!(why(&asked.facts("shop.test").await, "mail.mta_sts.policy"), "refused");
}

#[tokio::test]
async fn a_host_that_nobody_may_trust_or_find_is_a_fault_of_the_policy() {
    let (lab, web) = (lab(SHOP).await, Web::start("other.test").await);
    let asked = web.asked(&lab, "mta-sts.shop.test");
    web.says("200 OK", "text/plain", POLICY);
    let m = asked.facts("shop.test").await;
    assert_eq!(policy(&m)["errors"], json!(["certificate"]));
    assert_eq!((&policy(&m)["mode"], &policy(&m)["max_age"]), (&json!(""), &Value::Null));

    let gone = SHOP.replace("mta-sts.shop.test 300 A 127.0.0.1", "");
    let lab = self::lab(&gone).await;
    let mut asked = web.asked(&lab, "elsewhere.test");
    assert_eq!(policy(&asked.facts("shop.test").await)["errors"], json!(["no_address"]));
    let silent = SHOP.replace("_mta-sts.shop.test 300 TXT v=STSv1; id=ID;", "");
    let lab = self::lab(&silent).await;
    asked.settings.dns_port = Some(lab.port);
    let m = asked.facts("shop.test").await;
    assert_eq!(why(&m, "mail.mta_sts.policy"), "not_applicable");
}

#[tokio::test]
async fn a_plan_fetches_once_an_hour_and_sees_a_policy_that_changed_behind_its_id() {
    let (lab, web) = (lab(SHOP).await, Web::start("mta-sts.shop.test").await);
    let mut asked = web.asked(&lab, "mta-sts.shop.test");
    asked.cause = Cause::Scheduled;
    let sample = async |asked: &mut Asked, minutes: i64| {
        asked.now += TimeDelta::minutes(minutes);
        let run = asked.of("shop.test").await;
        asked.memory.clone_from(&run.memory);
        policy(&measured(run))["errors"].clone()
    };
    web.says("200 OK", "text/plain", POLICY);
    assert_eq!(sample(&mut asked, 0).await, json!([]));
    web.says("200 OK", "text/plain", &POLICY.replace("enforce", "testing"));
    assert_eq!(sample(&mut asked, 59).await, json!([]));
    assert_eq!(web.requests(), 1);
    assert_eq!(sample(&mut asked, 1).await, json!(["id_unchanged"]));
    assert_eq!(sample(&mut asked, 60).await, json!(["id_unchanged"]), "until the id changes");
    assert_eq!(web.requests(), 3);
    let renewed = self::lab(&SHOP.replace("id=ID", "id=ID2")).await;
    asked.settings.dns_port = Some(renewed.port);
    assert_eq!(sample(&mut asked, 5).await, json!([]));
    assert_eq!(web.requests(), 4);
}
