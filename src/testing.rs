//! What the tests of several rooms share: ports that no client port collides with, scripted peers, a
//! small PKI.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize,
};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

/// Ports below the ephemeral range, in an order of chance; enough of them that one is free.
pub(crate) fn ports() -> impl Iterator<Item = u16> {
    std::iter::repeat_with(|| fastrand::u16(10_000..32_000)).take(200)
}

/// A listener on a free port.
pub(crate) async fn listener(home: IpAddr) -> (TcpListener, u16) {
    for port in ports() {
        if let Ok(listener) = TcpListener::bind((home, port)).await {
            return (listener, port);
        }
    }
    panic!("no free port");
}

/// A UDP socket on a free port.
pub(crate) async fn udp(home: IpAddr) -> UdpSocket {
    for port in ports() {
        if let Ok(socket) = UdpSocket::bind((home, port)).await {
            return socket;
        }
    }
    panic!("no free port");
}

/// A port that nobody listens on, for the moment.
pub(crate) async fn free_port() -> u16 {
    listener(HERE).await.1
}

/// A port that refuses: bound, so that no other test takes it, and nobody listens.
pub(crate) fn refusing() -> u16 {
    let refuses = |port: &u16| {
        let socket = TcpSocket::new_v4().expect("a socket");
        let bound = socket.bind((Ipv4Addr::LOCALHOST, *port).into()).is_ok();
        if bound {
            std::mem::forget(socket);
        }
        bound
    };
    ports().find(refuses).expect("a free port")
}

/// Serves every connection by `serve`, which is told its number, from 0; ends with the test.
pub(crate) async fn scripted<F, S>(serve: S) -> u16
where
    S: Fn(usize, TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let (listener, port) = listener(HERE).await;
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            tokio::spawn(serve(number, stream));
        }
    });
    port
}

/// A certificate authority.
pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

/// An authority of this name: a root, or one that `issuer` signs for.
pub(crate) fn authority(name: &str, issuer: Option<&Authority>) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    match issuer {
        Some(issuer) => CertifiedIssuer::signed_by(params, key, issuer),
        None => CertifiedIssuer::self_signed(params, key),
    }
    .expect("an authority")
}

/// A root with an intermediate that certifies leaves, PEM.
pub(crate) struct Pki {
    pub(crate) root: String,
    pub(crate) intermediate: String,
    issuer: Authority,
}

/// A leaf and its key, PEM.
pub(crate) struct Leaf {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let root = authority("Lab Root", None);
        let issuer = authority("Lab Issuing", Some(&root));
        Self { root: root.pem(), intermediate: issuer.pem(), issuer }
    }

    /// The intermediate's key, PEM.
    pub(crate) fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    pub(crate) fn leaf(&self, names: &[&str], rsa: bool) -> Leaf {
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

/// Where most test peers are.
pub(crate) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
