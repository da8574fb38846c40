//! What is asked of a port that waits to be spoken to: one read-only request that any client of the
//! service sends first, of at most [`MOST_SAID`] bytes, and where each service is at home.

/// What is said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Words {
    /// Connection.Start is asked for by the protocol's name and version.
    Amqp,
    /// One key counted, through etcd's gateway.
    EtcdRange,
    /// A TLS hello, which is said elsewhere; what answers it in the clear was not asked anything else.
    Hello,
    /// GET of this path.
    Http(&'static str),
    /// The versions, then the brokers, of no topic.
    Kafka,
    /// The root DSE, no attribute.
    Ldap,
    Memcached,
    /// Whether there is a database `admin`.
    Mongo,
    /// A startup message as a user that nobody has.
    Postgres,
    Rdp,
    Redis,
    /// VNC's version, in answer to the server's.
    Rfb,
    /// SMB 2 and 3 negotiation.
    Smb,
    ZooKeeper,
}

impl Words {
    /// The bytes.
    pub(super) fn bytes(self, host: Option<&str>) -> Vec<u8> {
        match self {
            Self::Amqp => b"AMQP\x00\x00\x09\x01".to_vec(),
            Self::EtcdRange => {
                let body = r#"{"key":"AA==","limit":1,"count_only":true}"#;
                http("POST", "/v3/kv/range", host, body)
            }
            Self::Hello => Vec::new(),
            Self::Http(path) => http("GET", path, host, ""),
            Self::Kafka => KAFKA.to_vec(),
            Self::Ldap => LDAP.to_vec(),
            Self::Memcached => b"version\r\n".to_vec(),
            Self::Mongo => mongo(),
            Self::Postgres => postgres(),
            Self::Rdp => RDP.to_vec(),
            Self::Redis => b"PING\r\n".to_vec(),
            Self::Rfb => b"RFB 003.008\n".to_vec(),
            Self::Smb => smb(),
            Self::ZooKeeper => b"srvr".to_vec(),
        }
    }
}

/// How a connection is opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Opening {
    pub(super) tls: bool,
    pub(super) words: Words,
}

impl Opening {
    pub(super) const fn plain(words: Words) -> Self {
        Self { tls: false, words }
    }

    const fn tls(words: Words) -> Self {
        Self { tls: true, words }
    }
}

/// What to try, in order: what is at home on the port, then TLS with HTTP inside, then HTTP. Where TLS
/// is at home, the same without it instead.
pub(super) fn openings(port: u16) -> Vec<Opening> {
    let (web, web_in_tls) = (Opening::plain(Words::Http("/")), Opening::tls(Words::Http("/")));
    let mut openings = match at_home(port) {
        None => vec![web_in_tls, web],
        Some(home) if home.tls => vec![home, Opening::plain(home.words), web],
        Some(home) => vec![home, web_in_tls, web],
    };
    openings.dedup();
    let first = openings[0];
    let mut nth = 0;
    openings.retain(|opening| {
        nth += 1;
        nth == 1 || *opening != first
    });
    openings
}

fn at_home(port: u16) -> Option<Opening> {
    use Words as W;
    let plain = |words| Some(Opening::plain(words));
    let tls = |words| Some(Opening::tls(words));
    match port {
        80 | 81 | 3000 | 5601 | 8000 | 8008 | 8080 | 8081 | 8088 | 8888 | 9090 | 9091 | 9100
        | 9200 | 15_672 => plain(W::Http("/")),
        2375 | 4243 => plain(W::Http("/version")),
        2376 => tls(W::Http("/version")),
        10_255 => plain(W::Http("/pods?limit=1")),
        10_250 => tls(W::Http("/pods?limit=1")),
        6443 => tls(W::Http("/api/v1/namespaces?limit=1")),
        8500 => plain(W::Http("/v1/agent/self")),
        8501 => tls(W::Http("/v1/agent/self")),
        5984 => plain(W::Http("/")),
        8123 => plain(W::Http("/")),
        2379 | 4001 => plain(W::EtcdRange),
        6379 => plain(W::Redis),
        6380 => tls(W::Redis),
        11_211 => plain(W::Memcached),
        27_017..=27_019 => plain(W::Mongo),
        5432 | 5433 | 6432 => plain(W::Postgres),
        2181 => plain(W::ZooKeeper),
        9092 => plain(W::Kafka),
        9093 => tls(W::Kafka),
        389 | 3268 => plain(W::Ldap),
        636 | 3269 => tls(W::Ldap),
        445 => plain(W::Smb),
        3389 => plain(W::Rdp),
        5672 => plain(W::Amqp),
        5671 => tls(W::Amqp),
        _ => None,
    }
}

/// Whether a greeting is the rule on this port, and may be slow in coming.
pub(super) fn greets_late(port: u16) -> bool {
    matches!(port, 21 | 22 | 23 | 25 | 110 | 119 | 143 | 587 | 2222 | 2525 | 3306 | 5900..=5903)
}

/// HTTP/1.0, and no Host where there is no name: one of `Host:` and `POST` is what Redis takes for
/// an attack.
fn http(method: &str, path: &str, host: Option<&str>, body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.0\r\nUser-Agent: {AGENT}\r\nAccept: */*\r\n");
    if let Some(host) = host.filter(|host| host.len() <= 100 && path == "/") {
        text += &format!("Host: {host}\r\n");
    }
    if !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    text += "\r\n";
    text += body;
    text.into_bytes()
}

/// OP_MSG (MongoDB wire protocol) with `{listDatabases: 1, nameOnly: true, filter: {name: "admin"},
/// $db: "admin"}`.
fn mongo() -> Vec<u8> {
    let mut filter = Vec::new();
    bson_text(&mut filter, "name", "admin");
    let mut document = Vec::new();
    document.extend(b"\x10listDatabases\0\x01\0\0\0");
    document.extend(b"\x08nameOnly\0\x01");
    document.extend(b"\x03filter\0");
    document.extend(bson(&filter));
    bson_text(&mut document, "$db", "admin");
    let mut message = Vec::new();
    // Request 1, in answer to none, OP_MSG 2013, no flags, section 0: the body.
    for number in [1_u32, 0, 2_013, 0] {
        message.extend(number.to_le_bytes());
    }
    message.push(0);
    message.extend(bson(&document));
    let length = message.len() as u32 + 4;
    [length.to_le_bytes().to_vec(), message].concat()
}

fn bson(elements: &[u8]) -> Vec<u8> {
    let length = elements.len() as u32 + 5;
    [&length.to_le_bytes(), elements, b"\0"].concat()
}

fn bson_text(document: &mut Vec<u8>, key: &str, value: &str) {
    document.push(2);
    document.extend(key.as_bytes());
    document.push(0);
    document.extend((value.len() as u32 + 1).to_le_bytes());
    document.extend(value.as_bytes());
    document.push(0);
}

/// Protocol 3.0; whoever asks for a password does so before looking for the user.
fn postgres() -> Vec<u8> {
    let parameters = b"user\0secchi\0database\0postgres\0\0";
    let mut message = (parameters.len() as u32 + 8).to_be_bytes().to_vec();
    message.extend(196_608_u32.to_be_bytes());
    message.extend(parameters);
    message
}

/// SMB2 NEGOTIATE ([MS-SMB2] 2.2.3), dialects 2.0.2 to 3.0.2, inside the direct TCP header.
fn smb() -> Vec<u8> {
    let mut packet = b"\xfeSMB\x40\0".to_vec();
    packet.resize(64, 0);
    let dialects: [u16; 4] = [0x0202, 0x0210, 0x0300, 0x0302];
    packet.extend(36_u16.to_le_bytes());
    packet.extend((dialects.len() as u16).to_le_bytes());
    // Signing enabled, no capabilities, a client GUID of our own, no contexts.
    packet.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    packet.extend(*b"secchi-sampler-1");
    packet.extend([0; 8]);
    for dialect in dialects {
        packet.extend(dialect.to_le_bytes());
    }
    [(packet.len() as u32).to_be_bytes().to_vec(), packet].concat()
}

/// ApiVersions v0 (correlation 1) and Metadata v1 of no topic (correlation 2), client `s`.
const KAFKA: &[u8] =
    b"\0\0\0\x0b\0\x12\0\0\0\0\0\x01\0\x01s\0\0\0\x0f\0\x03\0\x01\0\0\0\x02\0\x01s\0\0\0\0";

/// Search of the root DSE for `1.1`, that is, no attribute (RFC 4511 §4.5.1.8).
const LDAP: &[u8] =
    b"\x30\x2a\x02\x01\x01\x63\x25\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\
    \x01\x01\x00\x87\x0bobjectClass\x30\x05\x04\x031.1";

/// X.224 connection request that offers TLS and CredSSP ([MS-RDPBCGR] 2.2.1.1).
const RDP: &[u8] = b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0";

const AGENT: &str = concat!("secchi/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
const MOST_SAID: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_request_is_longer_than_it_may_be() {
        let host = "a".repeat(100);
        for port in 1..=u16::MAX {
            let openings = openings(port);
            assert!(openings.len() <= 3, "{port}");
            for opening in openings {
                let said = opening.words.bytes(Some(&host));
                assert!(said.len() <= MOST_SAID, "{:?}: {} bytes", opening.words, said.len());
            }
        }
    }

    #[test]
    fn lengths_inside_the_requests_are_right() {
        let mongo = Words::Mongo.bytes(None);
        assert_eq!(mongo[..4], (mongo.len() as u32).to_le_bytes());
        let document = &mongo[21..];
        assert_eq!(document[..4], (document.len() as u32).to_le_bytes());
        let postgres = Words::Postgres.bytes(None);
        assert_eq!(postgres[..4], (postgres.len() as u32).to_be_bytes());
        assert_eq!(LDAP.len(), usize::from(LDAP[1]) + 2);
        let (first, second) = KAFKA.split_at(15);
        assert_eq!((first[3], second[3]), (11, 15));
        assert_eq!((first.len(), second.len()), (15, 19));
        assert_eq!(RDP.len(), usize::from(RDP[3]));
        let smb = Words::Smb.bytes(None);
        assert_eq!(smb[..4], (smb.len() as u32 - 4).to_be_bytes());
        assert_eq!(smb.len(), 4 + 64 + 36 + 8);
    }

    #[test]
    fn what_is_asked_of_redis_looks_like_no_attack() {
        let said = String::from_utf8(Words::Http("/").bytes(None)).expect("text");
        assert!(said.starts_with("GET ") && !said.contains("Host:"));
    }
}
