//! Who answered, and whether it gave access. Pure: bytes in, identity out. `unauthenticated` is
//! access proven by what came back; `auth` that credentials were asked for; `none` neither.

use super::http::recognise_http;
use super::questions::Words;

/// A service and what it let us see.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    pub(super) service: &'static str,
    pub(super) exposure: &'static str,
}

impl Identity {
    pub(super) const UNKNOWN: Self = Self::new("unknown", "none");

    pub(super) const fn new(service: &'static str, exposure: &'static str) -> Self {
        Self { service, exposure }
    }
}

/// What to do with that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Ask this, to know who it is or whether it gives access.
    Ask(Words),
    /// It is known.
    Done,
    /// Try the next opening.
    Other,
}

/// What the answer to `words` tells; `None` where nothing.
pub(super) fn recognise(words: Words, port: u16, said: &[u8]) -> Option<(Identity, Next)> {
    let own = match words {
        Words::Amqp => amqp(said),
        Words::EtcdRange => None,
        Words::Http(_) => None,
        Words::Kafka => kafka(said),
        Words::Ldap => ldap(said),
        Words::Memcached => memcached(said),
        Words::Mongo => mongo(said),
        Words::Postgres => postgres(said),
        Words::Rdp => rdp(said),
        Words::Redis => redis(said),
        Words::Rfb => rfb(said),
        Words::Smb => smb(said),
        Words::ZooKeeper => zookeeper(said),
    };
    if let Some(identity) = own {
        return Some((identity, Next::Done));
    }
    if said.starts_with(b"HTTP/1.") {
        return Some(recognise_http(words, said));
    }
    stranger(said).or_else(|| {
        let (service, exposure) = super::voice::guess(port, said);
        (service != "unknown").then_some((Identity { service, exposure }, Next::Done))
    })
}

/// Services that are known by how they answer to what is not their own protocol.
fn stranger(said: &[u8]) -> Option<(Identity, Next)> {
    let ask = |service, words| Some((Identity::new(service, "none"), Next::Ask(words)));
    if said.starts_with(b"-ERR wrong number of arguments")
        || said.starts_with(b"-ERR unknown command")
        || said.starts_with(b"-NOAUTH")
    {
        return ask("redis", Words::Redis);
    }
    if said.starts_with(b"ERROR\r\n") || said.starts_with(b"CLIENT_ERROR unauthenticated") {
        return ask("memcached", Words::Memcached);
    }
    if contains(said, b"access MongoDB over HTTP") {
        return ask("mongodb", Words::Mongo);
    }
    if said.starts_with(b"AMQP") {
        return ask("amqp", Words::Amqp);
    }
    None
}

/// `+PONG`, `-NOAUTH`, `-NOPERM`, or `-DENIED` in protected mode.
fn redis(said: &[u8]) -> Option<Identity> {
    let exposure = match said {
        _ if said.starts_with(b"+PONG") => "unauthenticated",
        _ if said.starts_with(b"-NOAUTH") || said.starts_with(b"-NOPERM") => "auth",
        _ if said.starts_with(b"-DENIED Redis") => "none",
        _ => return None,
    };
    Some(Identity::new("redis", exposure))
}

fn memcached(said: &[u8]) -> Option<Identity> {
    match said {
        _ if said.starts_with(b"VERSION ") => Some(Identity::new("memcached", "unauthenticated")),
        _ if said.starts_with(b"CLIENT_ERROR unauthenticated") => {
            Some(Identity::new("memcached", "auth"))
        }
        _ => None,
    }
}

/// OP_MSG or OP_REPLY with `ok: 1.0`, or with a code that names what is missing.
fn mongo(said: &[u8]) -> Option<Identity> {
    let opcode = u32::from_le_bytes(said.get(12..16)?.try_into().ok()?);
    let length = u32::from_le_bytes(said.get(..4)?.try_into().ok()?) as usize;
    if !matches!(opcode, 1 | 2_013) || length < 16 || length > 1 << 20 {
        return None;
    }
    let is_ok = contains(said, b"\x01ok\0\0\0\0\0\0\0\xf0\x3f");
    // 13 Unauthorized, 18 AuthenticationFailed.
    let is_refused = contains(said, b"\x10code\0\x0d\0\0\0") || contains(said, b"requires auth");
    let exposure = match (is_ok, is_refused) {
        (true, _) => "unauthenticated",
        (_, true) => "auth",
        _ => "none",
    };
    Some(Identity::new("mongodb", exposure))
}

/// AuthenticationOk, a request for credentials, or an error (PostgreSQL, message formats).
fn postgres(said: &[u8]) -> Option<Identity> {
    let length = u32::from_be_bytes(said.get(1..5)?.try_into().ok()?) as usize;
    let exposure = match said[0] {
        b'R' if (8..=512).contains(&length) => match said.get(5..9)? {
            [0, 0, 0, 0] => "unauthenticated",
            _ => "auth",
        },
        b'E' if (8..=4_096).contains(&length) && contains(said, b"FATAL\0") => "none",
        _ => return None,
    };
    Some(Identity::new("postgresql", exposure))
}

fn zookeeper(said: &[u8]) -> Option<Identity> {
    match said {
        _ if said.starts_with(b"Zookeeper version: ") => {
            Some(Identity::new("zookeeper", "unauthenticated"))
        }
        _ if contains(said, b"is not executed because it is not in the whitelist") => {
            Some(Identity::new("zookeeper", "none"))
        }
        _ => None,
    }
}

/// The answer to correlation 1; a listener that wants SASL hangs up on the second question.
fn kafka(said: &[u8]) -> Option<Identity> {
    let length = u32::from_be_bytes(said.get(..4)?.try_into().ok()?) as usize;
    let is_ours = said.get(4..8) == Some(&[0, 0, 0, 1]) && (10..=65_536).contains(&length);
    if !is_ours {
        return None;
    }
    let second = said.get(length + 4..).and_then(|rest| rest.get(4..8));
    let exposure = match second {
        Some([0, 0, 0, 2]) => "unauthenticated",
        // More may have been on its way than we take.
        _ if length + 12 > 4_096 => "none",
        _ => "auth",
    };
    Some(Identity::new("kafka", exposure))
}

/// SearchResultEntry or SearchResultDone (RFC 4511 §4.5.2). That the root DSE is shown to everyone
/// is the protocol's rule and proves nothing; that it is not, asks for credentials.
fn ldap(said: &[u8]) -> Option<Identity> {
    let body = match said {
        [0x30, length, rest @ ..] if *length < 0x80 => rest,
        [0x30, 0x81, _, rest @ ..] => rest,
        [0x30, 0x82, _, _, rest @ ..] => rest,
        [0x30, 0x84, _, _, _, _, rest @ ..] => rest,
        _ => return None,
    };
    match body {
        [2, 1, 1, 0x64 | 0x73, ..] => Some(Identity::new("ldap", "none")),
        // operationsError, strongerAuthRequired, inappropriateAuthentication, insufficientAccess …
        [2, 1, 1, 0x65, _, 0x0a, 1, 1 | 8 | 48 | 49 | 50, ..] => {
            Some(Identity::new("ldap", "auth"))
        }
        [2, 1, 1, 0x65, ..] => Some(Identity::new("ldap", "none")),
        // Notice of disconnection.
        [2, 1, 0, 0x78, ..] => Some(Identity::new("ldap", "none")),
        _ => None,
    }
}

/// A session is set up with credentials after this.
fn smb(said: &[u8]) -> Option<Identity> {
    match said.get(4..8) {
        Some(b"\xfeSMB" | b"\xffSMB") => Some(Identity::new("smb", "auth")),
        _ => None,
    }
}

/// X.224 connection confirm; CredSSP asks for credentials before there is a session.
fn rdp(said: &[u8]) -> Option<Identity> {
    match said {
        [3, 0, _, _, _, 0xd0, _, _, _, _, _, 2, _, _, _, protocol, ..] => {
            let exposure = if protocol & 0x0a != 0 { "auth" } else { "none" };
            Some(Identity::new("rdp", exposure))
        }
        [3, 0, _, _, _, 0xd0, ..] => Some(Identity::new("rdp", "none")),
        _ => None,
    }
}

/// The security types (RFC 6143 §7.1.2): 1 is none.
fn rfb(said: &[u8]) -> Option<Identity> {
    let (count, rest) = said.split_first()?;
    let types = rest.get(..usize::from(*count)).unwrap_or(rest);
    let exposure = match types {
        [] => "none",
        types if types.contains(&1) => "unauthenticated",
        _ => "auth",
    };
    Some(Identity::new("vnc", exposure))
}

/// Connection.Start with the mechanisms to choose from.
fn amqp(said: &[u8]) -> Option<Identity> {
    if !matches!(said, [1, 0, 0, _, _, _, _, 0, 10, 0, 10, ..]) {
        return said.starts_with(b"AMQP").then(|| Identity::new("amqp", "none"));
    }
    let service = if contains(said, b"RabbitMQ") { "rabbitmq" } else { "amqp" };
    Some(Identity::new(service, "auth"))
}

pub(super) fn contains(said: &[u8], word: &[u8]) -> bool {
    said.windows(word.len()).any(|window| window == word)
}
