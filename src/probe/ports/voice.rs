//! Who speaks on an open port, by the first bytes it sends unasked.

use super::identity::Identity;
use super::state::Voice;

/// Products that speak inside TLS by nature, and are known by their own name.
const IN_TLS_BY_NATURE: &[&str] = &["kubelet", "kubernetes"];

/// The most characters shown.
const SHOWN: usize = 512;

impl Voice {
    /// An open port that said nothing, or nothing yet.
    pub(super) fn silent() -> Self {
        Self { service: "unknown".into(), exposure: "none", evidence: String::new(), glimpse: None }
    }

    /// An open port that hung up before a word: a wrapper that knows us not.
    pub(super) fn hung_up() -> Self {
        Self { service: "tcpwrapped".into(), ..Self::silent() }
    }

    /// An open port that said this.
    pub(super) fn of(port: u16, said: &[u8]) -> Self {
        let (service, exposure) = guess(port, said);
        Self { service: service.into(), exposure, evidence: printable(said), ..Self::silent() }
    }

    /// An open port that was asked and is known by this answer, inside TLS or not.
    pub(super) fn known(identity: &Identity, inside: bool, said: &[u8]) -> Self {
        let service = match inside && !IN_TLS_BY_NATURE.contains(&identity.service) {
            true => format!("tls/{}", identity.service).into(),
            false => identity.service.into(),
        };
        Self { service, exposure: identity.exposure, evidence: printable(said), ..Self::silent() }
    }

    /// The same with what a further question told of access.
    pub(super) fn with_exposure(self, exposure: Option<&'static str>) -> Self {
        Self { exposure: exposure.unwrap_or(self.exposure), ..self }
    }

    /// This, or the other one where it tells more.
    pub(super) fn or_better(self, other: Self) -> Self {
        if other.worth() >= self.worth() { other } else { self }
    }

    fn worth(&self) -> (u8, u8) {
        let service = match &*self.service {
            "unknown" if self.evidence.is_empty() => 0,
            "unknown" => 1,
            "tls/unknown" => 2,
            "http" | "tls/http" => 3,
            _ => 4,
        };
        (service, u8::from(self.exposure != "none"))
    }

    /// Keeps the evidence within its bound.
    pub(super) fn shorten(&mut self) {
        self.evidence.truncate(SHOWN);
    }

    /// Whether it said anything by itself.
    pub(super) fn spoke(&self) -> bool {
        !self.evidence.is_empty()
    }
}

/// Service and exposure by the greeting's form.
pub(super) fn guess(port: u16, said: &[u8]) -> (&'static str, &'static str) {
    if let Some(exposure) = mysql(said) {
        return ("mysql", exposure);
    }
    let prefixed = PREFIXES.iter().find(|(prefix, _)| said.starts_with(prefix));
    let service = match prefixed {
        Some((_, service)) => service,
        None if said.starts_with(b"220") => greeting_220(port, said),
        // Telnet opens by asking for options: IAC WILL, WONT, DO or DONT (RFC 854).
        None if matches!(said, [0xff, 0xfb..=0xfe, ..]) => "telnet",
        None => "unknown",
    };
    (service, "none")
}

/// `220` opens both SMTP (RFC 5321 §4.2) and FTP (RFC 959 §5.4).
fn greeting_220(port: u16, said: &[u8]) -> &'static str {
    let text = said.to_ascii_uppercase();
    let says = |word: &[u8]| text.windows(word.len()).any(|window| window == word);
    match port {
        _ if says(b"SMTP") => "smtp",
        _ if says(b"FTP") => "ftp",
        21 => "ftp",
        25 | 465 | 587 | 2525 => "smtp",
        _ => "unknown",
    }
}

/// MySQL's first packet: three bytes of length, sequence 0, then protocol 10 (it asks for
/// credentials) or 255 (it refuses this host).
fn mysql(said: &[u8]) -> Option<&'static str> {
    let [a, b, 0, 0, kind, ..] = said else { return None };
    let length = usize::from(*a) | usize::from(*b) << 8;
    let fits = length >= 5 && said.len() <= length + 4;
    match kind {
        0x0a if fits && said.get(5).is_some_and(u8::is_ascii_digit) => Some("auth"),
        0xff if fits => Some("none"),
        _ => None,
    }
}

const PREFIXES: &[(&[u8], &str)] = &[
    (b"SSH-", "ssh"),
    (b"RFB 0", "vnc"),
    (b"* OK", "imap"),
    (b"* PREAUTH", "imap"),
    (b"* BYE", "imap"),
    (b"+OK", "pop3"),
    (b"HTTP/1.", "http"),
    (b"@RSYNCD:", "rsync"),
    (b"-DENIED Redis", "redis"),
    (b"INFO {\"server_id\"", "nats"),
    (b"AMQP", "amqp"),
];

/// Bytes as printable ASCII; the rest, and the backslash that would make it ambiguous, as `\xNN`.
fn printable(said: &[u8]) -> String {
    let mut text = String::new();
    for byte in said.iter().take(SHOWN) {
        let shown = match byte {
            b'\\' => "\\x5c".to_owned(),
            0x20..=0x7e => char::from(*byte).to_string(),
            _ => format!("\\x{byte:02x}"),
        };
        if text.len() + shown.len() > SHOWN {
            break;
        }
        text.push_str(&shown);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_tells_who_speaks() {
        let mysql: &[u8] = b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0abcdefgh\0";
        let mysql_refuses: &[u8] = b"\x45\0\0\0\xffj\x04Host '192.0.2.1' is not allowed";
        for (port, said, service, exposure) in [
            (22, b"SSH-2.0-OpenSSH_9.2\r\n".as_slice(), "ssh", "none"),
            (2121, b"220 ProFTPD Server ready\r\n", "ftp", "none"),
            (21, b"220 welcome\r\n", "ftp", "none"),
            (25, b"220 mx.example.com\r\n", "smtp", "none"),
            (9925, b"220 mx.example.com ESMTP Postfix\r\n", "smtp", "none"),
            (9925, b"220 mx.example.com\r\n", "unknown", "none"),
            (143, b"* OK IMAP4rev1 ready\r\n", "imap", "none"),
            (110, b"+OK ready\r\n", "pop3", "none"),
            (3306, mysql, "mysql", "auth"),
            (3306, mysql_refuses, "mysql", "none"),
            (5900, b"RFB 003.008\n", "vnc", "none"),
            (23, b"\xff\xfd\x18\xff\xfd\x20", "telnet", "none"),
            (6379, b"-DENIED Redis is running in protected mode", "redis", "none"),
            (7, b"\x05\0\0\0\x0a", "unknown", "none"),
            (7, b"x", "unknown", "none"),
            (7, b"", "unknown", "none"),
        ] {
            let voice = Voice::of(port, said);
            assert_eq!((&*voice.service, voice.exposure), (service, exposure), "{said:?}");
        }
    }

    #[test]
    fn no_byte_of_a_banner_reaches_the_screen_but_printable_ascii() {
        let voice = Voice::of(1, b"\x1b]0;pwned\x07\\ok\xc3\xa9\r\n");
        assert_eq!(voice.evidence, "\\x1b]0;pwned\\x07\\x5cok\\xc3\\xa9\\x0d\\x0a");
        let long = Voice::of(1, &[0x1b; 4_096]);
        assert!(long.evidence.len() <= SHOWN && long.evidence.ends_with("\\x1b"));
    }

    proptest::proptest! {
        #[test]
        fn no_greeting_makes_the_listener_fall(port: u16, said: Vec<u8>) {
            let voice = Voice::of(port, &said);
            proptest::prop_assert!(voice.evidence.bytes().all(|b| (0x20..=0x7e).contains(&b)));
            proptest::prop_assert!(voice.evidence.len() <= SHOWN);
        }
    }
}
