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
        Words::Hello | Words::Http(_) => None,
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
    if let Some(stranger) = stranger(said) {
        return Some(stranger);
    }
    if said.starts_with(b"HTTP/1.") {
        return Some(recognise_http(words, said));
    }
    let (service, exposure) = super::voice::guess(port, said);
    (service != "unknown").then_some((Identity { service, exposure }, Next::Done))
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
    if !matches!(opcode, 1 | 2_013) || !(16..=1 << 20).contains(&length) {
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
        // unwillingToPerform, where it says for want of what: OpenLDAP's `require authc`.
        [2, 1, 1, 0x65, _, 0x0a, 1, 53, rest @ ..]
            if contains(rest, b"authentication required") =>
        {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What real servers answered.
    #[test]
    fn an_answer_tells_who_it_is_and_whether_it_gave_access() {
        let mongo = |document: &[u8]| {
            let length = (21 + document.len()) as u32;
            let header = [length, 77, 1, 2_013, 0].map(u32::to_le_bytes).concat();
            [&header[..], b"\0", document].concat()
        };
        let mongo_open =
            mongo(b"\x2c\0\0\0\x04databases\0\x05\0\0\0\0\x01ok\0\0\0\0\0\0\0\xf0\x3f\0");
        let mongo_auth = mongo(
            b"\x80\0\0\0\x01ok\0\0\0\0\0\0\0\0\0\x02errmsg\0\x2f\0\0\0Command listDatabases requires \
              authentication\0\x10code\0\x0d\0\0\0\0",
        );
        let kafka_versions = b"\0\0\0\x10\0\0\0\x01\0\0\0\0\0\x01\0\x03\0\0\0\x0c";
        let kafka_open =
            [&kafka_versions[..], b"\0\0\0\x0e\0\0\0\x02\0\0\0\0\0\0\0\0\0\0"].concat();
        let amqp =
            b"\x01\0\0\0\0\x01\xf8\0\x0a\0\x0a\0\x09\0\0\x01\xd3\x07productS\0\0\0\x08RabbitMQ";
        let rdp_nla = b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x02\x1f\x08\0\x02\0\0\0";
        let rdp_plain = b"\x03\0\0\x0b\x06\xd0\0\0\x12\x34\0";
        let root_dse = b"\x30\x07\x02\x01\x01\x64\x02\x04\0\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\0";
        let ldap_denied = b"\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x32\x04\0\x04\0";
        let ldap_authc =
            b"\x30\x23\x02\x01\x01\x65\x1e\x0a\x01\x35\x04\0\x04\x17authentication required";
        let ldap_busy = b"\x30\x10\x02\x01\x01\x65\x0b\x0a\x01\x35\x04\0\x04\x04busy";
        for (words, said, service, exposure) in [
            (Words::Redis, &b"+PONG\r\n"[..], "redis", "unauthenticated"),
            (Words::Redis, b"-NOAUTH Authentication required.\r\n", "redis", "auth"),
            (Words::Redis, b"-DENIED Redis is running in protected mode", "redis", "none"),
            (Words::Memcached, b"VERSION 1.6.18\r\n", "memcached", "unauthenticated"),
            (Words::Memcached, b"CLIENT_ERROR unauthenticated\r\n", "memcached", "auth"),
            (Words::Mongo, &mongo_open, "mongodb", "unauthenticated"),
            (Words::Mongo, &mongo_auth, "mongodb", "auth"),
            (Words::Postgres, b"R\0\0\0\x08\0\0\0\0S\0", "postgresql", "unauthenticated"),
            (Words::Postgres, b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0", "postgresql", "auth"),
            (Words::Postgres, b"R\0\0\0\x0c\0\0\0\x05\x01\x02\x03\x04", "postgresql", "auth"),
            (
                Words::Postgres,
                b"E\0\0\0\x2aSFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry\0",
                "postgresql",
                "none",
            ),
            (Words::ZooKeeper, b"Zookeeper version: 3.8.0-\n", "zookeeper", "unauthenticated"),
            (
                Words::ZooKeeper,
                b"srvr is not executed because it is not in the whitelist.\n",
                "zookeeper",
                "none",
            ),
            (Words::Kafka, &kafka_open, "kafka", "unauthenticated"),
            (Words::Kafka, kafka_versions, "kafka", "auth"),
            (Words::Ldap, root_dse, "ldap", "none"),
            (Words::Ldap, ldap_denied, "ldap", "auth"),
            (Words::Ldap, ldap_authc, "ldap", "auth"),
            (Words::Ldap, ldap_busy, "ldap", "none"),
            (Words::Smb, b"\0\0\0\xf8\xfeSMB\x40\0", "smb", "auth"),
            (Words::Rdp, rdp_nla, "rdp", "auth"),
            (Words::Rdp, rdp_plain, "rdp", "none"),
            (Words::Rfb, b"\x01\x01", "vnc", "unauthenticated"),
            (Words::Rfb, b"\x02\x02\x10", "vnc", "auth"),
            (Words::Rfb, b"\0\0\0\0\x10Too many attempts", "vnc", "none"),
            (Words::Amqp, amqp, "rabbitmq", "auth"),
        ] {
            let (identity, next) = recognise(words, 1, said).expect("it is known");
            assert_eq!(next, Next::Done, "{words:?}");
            assert_eq!((identity.service, identity.exposure), (service, exposure), "{words:?}");
        }
    }

    #[test]
    fn a_stranger_is_asked_in_its_own_tongue() {
        for (said, words) in [
            (&b"-ERR wrong number of arguments for 'get' command\r\n"[..], Words::Redis),
            (b"-NOAUTH Authentication required.\r\n", Words::Redis),
            (b"ERROR\r\n", Words::Memcached),
            (b"HTTP/1.0 200 OK\r\n\r\nIt looks like you are trying to access MongoDB over HTTP on", Words::Mongo),
            (b"AMQP\0\0\x09\x01", Words::Amqp),
        ] {
            let (_, next) = recognise(Words::Http("/"), 1, said).expect("it is known");
            assert_eq!(next, Next::Ask(words), "{said:?}");
        }
        // HTTP in answer to something else is asked for its front door.
        let bad = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        let (identity, next) = recognise(Words::Redis, 6_379, bad).expect("it is known");
        assert_eq!((identity.service, next), ("http", Next::Ask(Words::Http("/"))));
        let (_, next) = recognise(Words::Hello, 9_200, bad).expect("it is known");
        assert_eq!(next, Next::Ask(Words::Http("/")));
        assert_eq!(recognise(Words::Redis, 1, b"?"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_it_fall(port: u16, said: Vec<u8>) {
            for words in [
                Words::Amqp, Words::EtcdRange, Words::Http("/"), Words::Kafka, Words::Ldap,
                Words::Memcached, Words::Mongo, Words::Postgres, Words::Rdp, Words::Redis,
                Words::Rfb, Words::Smb, Words::ZooKeeper,
            ] {
                let _ = recognise(words, port, &said);
            }
            let _ = super::super::datagrams::recognise(port, 12, &said);
        }
    }
}
