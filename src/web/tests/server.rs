//! The listener with TLS, client certificates, users and a drain.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::{Certificate, Client, Identity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::fakes::*;
use crate::testing::{HERE, listener};
use crate::web::{Security, Settings, serve};

struct Running {
    port: u16,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(house: &House, security: Security) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (listener, port) = listener(HERE).await;
        let shutdown = CancellationToken::new();
        let serving =
            serve(listener, Arc::clone(&house.site), Arc::new(security), shutdown.clone());
        Self { port, shutdown, task: tokio::spawn(serving) }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(Duration::from_secs(12), self.task).await.expect("in time").expect("ends");
    }
}

/// A CA, the server's certificate and a client's, as PEM files.
fn certificates(folder: &Path) -> (String, String) {
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).expect("a CA").pem();
    let issuer = Issuer::new(ca, ca_key);
    let leaf = |name: &str| {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        (params.signed_by(&key, &issuer).expect("a certificate").pem(), key.serialize_pem())
    };
    let (server, server_key) = leaf("localhost");
    let (client, client_key) = leaf("prometheus.example.com");
    for (name, text) in [("ca.crt", &ca_pem), ("server.crt", &server), ("server.key", &server_key)]
    {
        std::fs::write(folder.join(name), text).expect("written");
    }
    (ca_pem, client + &client_key)
}

fn client(ca: &str, identity: Option<&str>) -> Client {
    let ca = Certificate::from_pem(ca.as_bytes()).expect("a CA");
    let mut builder = Client::builder().no_proxy().tls_certs_only([ca]);
    if let Some(identity) = identity {
        builder = builder.identity(Identity::from_pem(identity.as_bytes()).expect("an identity"));
    }
    builder.build().expect("a client")
}

fn write_config(folder: &Path, text: &str) -> std::path::PathBuf {
    let path = folder.join("web.yml");
    std::fs::write(&path, text).expect("written");
    path
}

#[tokio::test]
async fn tls_with_client_certificates_as_the_toolkit_does_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ca, identity) = certificates(folder.path());
    let tls = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n\
               \x20 client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n";
    let house = House::new(settings());
    for (sans, welcome) in [("prometheus.example.com", true), ("other.example.com", false)] {
        let path = write_config(folder.path(), &format!("{tls}  client_allowed_sans: [{sans}]\n"));
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let running = Running::start(&house, Security::load(&path).expect("a config")).await;
        let url = format!("https://localhost:{}/api/v1/findings", running.port);
        let answer = client(&ca, Some(&identity)).get(&url).send().await;
        assert_eq!(answer.is_ok_and(|answer| answer.status() == 200), welcome, "{sans}");
        assert!(client(&ca, None).get(&url).send().await.is_err(), "without a certificate");
        running.stop().await;
    }
}

#[tokio::test]
async fn users_pass_with_their_password_and_the_file_is_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let hash = |password| bcrypt::hash(password, 4).expect("a hash");
    let config = |password| format!("basic_auth_users:\n  alice: {}\n", hash(password));
    let path = write_config(folder.path(), &config("one"));
    let house = House::new(Settings { allow_unauthenticated: true, ..settings() });
    let security = Security::load(&path).expect("a config");
    let running = Running::start(&house, security).await;
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
    let ask = |user: &'static str, password: &'static str, path: &str| {
        let url = format!("http://127.0.0.1:{}{path}", running.port);
        let request = client.get(url).basic_auth(user, Some(password));
        async move { request.send().await.expect("an answer").status().as_u16() }
    };
    for (user, password, path, expected) in [
        ("alice", "one", "/api/v1/findings", 200),
        ("alice", "one", "/api/v1/findings", 200),
        ("alice", "two", "/api/v1/findings", 401),
        ("bob", "one", "/metrics", 401),
        ("bob", "one", "/-/healthy", 200),
        ("alice", "one", "/metrics", 200),
    ] {
        assert_eq!(ask(user, password, path).await, expected, "{user} {password} {path}");
    }
    // A mistake leaves the old file in force; what is whole again comes into force.
    write_config(folder.path(), "basic_auth_users: {alice: plain}");
    sleep(Duration::from_millis(2100)).await;
    assert_eq!(ask("alice", "one", "/metrics").await, 200);
    write_config(folder.path(), &config("two"));
    sleep(Duration::from_millis(2100)).await;
    assert_eq!(ask("alice", "two", "/metrics").await, 200);
    assert_eq!(ask("alice", "one", "/metrics").await, 401);
    running.stop().await;
}

#[tokio::test]
async fn an_open_connection_ends_with_the_daemon_and_garbage_ends_at_once() {
    let house = House::new(settings());
    let running = Running::start(&house, Security::none()).await;
    let mut idle = TcpStream::connect((Ipv4Addr::LOCALHOST, running.port)).await.expect("open");
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200");
    let mut garbage = TcpStream::connect((Ipv4Addr::LOCALHOST, running.port)).await.expect("open");
    garbage.write_all(b"\x16\x03\x01\x02\x00garbage\r\n\r\n").await.expect("sent");
    let mut rest = Vec::new();
    timeout(Duration::from_secs(5), garbage.read_to_end(&mut rest)).await.expect("in time").ok();
    running.stop().await;
}

#[tokio::test]
async fn the_rate_limit_turns_away_what_is_too_much() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = write_config(folder.path(), "rate_limit: {interval: 1h, burst: 2}\n");
    let house = House::new(settings());
    let running = Running::start(&house, Security::load(&path).expect("a config")).await;
    let client = Client::builder().no_proxy().build().expect("a client");
    let url = format!("http://127.0.0.1:{}/-/healthy", running.port);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.get(&url).send().await.expect("an answer").status().as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
    running.stop().await;
}
