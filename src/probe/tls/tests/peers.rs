//! Servers for tests: OpenSSL's, and ones that follow a script. All listen below the ephemeral
//! range and end with the test.

use std::future::Future;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize,
};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// A certificate authority with an intermediate.
pub(super) struct Pki {
    pub(super) root: String,
    pub(super) intermediate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A leaf and its key, PEM.
pub(super) struct Leaf {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Pki {
    pub(super) fn new() -> Self {
        let (root, root_params, root_key) = authority("Lab Root", None);
        let root_issuer = Issuer::new(root_params, root_key);
        let (intermediate, params, key) = authority("Lab Issuing", Some(&root_issuer));
        Self { root, intermediate, issuer: Issuer::new(params, key) }
    }

    /// The intermediate's key, PEM.
    pub(super) fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    pub(super) fn leaf(&self, names: &[&str], rsa: bool) -> Leaf {
        let key = match rsa {
            true => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            false => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        }
        .expect("a key");
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, "leaf");
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        params.not_before = rcgen::date_time_ymd(2026, 11, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Leaf { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

fn authority(
    name: &str,
    issuer: Option<&Issuer<'static, KeyPair>>,
) -> (String, CertificateParams, KeyPair) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    };
    (certificate.expect("a certificate").pem(), params, key)
}

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
        let port = free_port();
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

/// Serves every connection by `serve`, which is told its number, from 0.
pub(super) async fn scripted<F, S>(serve: S) -> u16
where
    S: Fn(usize, TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let port = free_port();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.expect("a listener");
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            tokio::spawn(serve(number, stream));
        }
    });
    port
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

/// A port below the ephemeral range that nobody listens on.
pub(super) fn free_port() -> u16 {
    std::iter::repeat_with(|| fastrand::u16(10_000..32_000))
        .find(|&port| StdListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .expect("a free port")
}
