//! Servers for tests: OpenSSL's, and ones that follow a script. All listen below the ephemeral
//! range and end with the test.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::probe::trust::PROVIDER;
use crate::testing::{Leaf, free_port};

/// An `openssl s_server`, killed when dropped.
pub(super) struct OpenSsl {
    pub(super) port: u16,
    child: Child,
    _files: TempDir,
}

impl OpenSsl {
    /// Serves the leaves (a second one by `-dcert`) with this chain.
    pub(super) async fn start(leaves: &[&Leaf], chain: &str, arguments: &[&str]) -> Self {
        let files = TempDir::new().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = files.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let port = free_port().await;
        let mut command = Command::new("openssl");
        command.args(["s_server", "-www", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
        for (at, (leaf, prefix)) in leaves.iter().zip(["", "d"]).enumerate() {
            let certificate = write(&format!("{at}.crt"), &leaf.certificate);
            let key = write(&format!("{at}.key"), &leaf.key);
            command.args([format!("-{prefix}cert"), certificate, format!("-{prefix}key"), key]);
            if !chain.is_empty() {
                let file = write(&format!("{at}.chain"), chain);
                command.args([format!("-{prefix}cert_chain"), file]);
            }
        }
        let child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is installed");
        let server = Self { port, child, _files: files };
        for _ in 0..200 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok() {
                return server;
            }
            sleep(Duration::from_millis(25)).await;
        }
        panic!("openssl s_server {arguments:?} did not start");
    }
}

impl Drop for OpenSsl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads one record (or an SSLv2 hello): the version that a hello asks for.
pub(super) async fn read_hello(stream: &mut TcpStream) -> Option<u16> {
    let mut header = [0; 5];
    stream.read_exact(&mut header).await.ok()?;
    if header[0] & 0x80 != 0 {
        let mut rest = vec![0; usize::from(header[1]) - 3];
        stream.read_exact(&mut rest).await.ok()?;
        return Some(2);
    }
    let mut body = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
    stream.read_exact(&mut body).await.ok()?;
    // supported_versions tells our own TLS 1.3 hello, and the real handshake's (0x0305 here).
    if body.windows(9).any(|w| w == [0, 43, 0, 5, 4, 3, 4, 3, 3]) {
        return Some(0x0305);
    }
    let is_13 = body.windows(7).any(|w| w == [0, 43, 0, 3, 2, 3, 4]);
    if is_13 { Some(0x0304) } else { Some(u16::from_be_bytes([body[4], body[5]])) }
}

/// A first flight below TLS 1.3: hello, these certificates, done.
pub(super) fn flight(version: u16, suite: u16, certificates: &[&[u8]]) -> Vec<u8> {
    let mut hello = version.to_be_bytes().to_vec();
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend(suite.to_be_bytes());
    hello.push(0);
    let mut list: Vec<u8> = Vec::new();
    for certificate in certificates {
        list.extend(&u32::try_from(certificate.len()).expect("short").to_be_bytes()[1..]);
        list.extend(*certificate);
    }
    let mut body = u32::try_from(list.len()).expect("short").to_be_bytes()[1..].to_vec();
    body.extend(list);
    let all = [message(2, &hello), message(11, &body), message(14, &[])].concat();
    all.chunks(16_000).flat_map(|part| record(22, version, part)).collect()
}

pub(super) fn alert(alert: u8) -> Vec<u8> {
    record(21, 0x0301, &[2, alert])
}

pub(super) fn record(kind: u8, version: u16, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind];
    record.extend(version.to_be_bytes());
    record.extend(u16::try_from(body.len()).expect("a record").to_be_bytes());
    record.extend(body);
    record
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(&u32::try_from(body.len()).expect("short").to_be_bytes()[1..]);
    message.extend(body);
    message
}

/// A server of rustls' with this certificate.
pub(super) fn rustls_config(leaf: &Leaf) -> ServerConfig {
    let certificate = CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).expect("PEM");
    let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).expect("PEM");
    ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a certificate and its key")
}

/// A way to the backend.
pub(super) async fn pass_on(stream: &mut TcpStream, backend: u16) {
    if let Ok(mut to) = TcpStream::connect((Ipv4Addr::LOCALHOST, backend)).await {
        let _ = tokio::io::copy_bidirectional(stream, &mut to).await;
    }
}
