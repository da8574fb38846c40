use proptest::prelude::*;

use super::*;

/// Plays the peer's words; the last step is the result.
fn play(protocol: StartTls, words: &[&[u8]]) -> Step {
    let mut dialogue = Dialogue::new(protocol, "a.test");
    let mut last = Step::More;
    for word in words {
        last = dialogue.feed(word);
    }
    last
}

/// Protocol | what the peer says, an answer each.
fn upgrades() -> Vec<(StartTls, Vec<&'static [u8]>)> {
    use StartTls::*;
    vec![
        (Ftp, vec![b"220-hi\r\n Welcome to\r\n220-x\r\n220 ready\r\n", b"234-a\r\n234 go\r\n"]),
        (Imap, vec![b"* OK [CAPABILITY IMAP4 STARTTLS] hi\r\n", b"* x\r\nS1 OK go\r\n"]),
        (Irc, vec![b":a NOTICE * :hi 691 670\r\n:a 670 * :go\r\n"]),
        (Ldap, vec![b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"]),
        (
            Ldap,
            vec![b"\x30\x84\0\0\0\x10\x02\x01\x01\x78\x84\0\0\0\x07\x0a\x01\x00\x04\x00\x04\x00"],
        ),
        (Lmtp, vec![b"220 hi\r\n", b"250-a\r\n250-PIPELINING\r\n250 STARTTLS\r\n", b"220 go\r\n"]),
        (Mysql, vec![MYSQL]),
        (Nntp, vec![b"201 hi\r\n", b"382 go\r\n"]),
        (Pop3, vec![b"+OK hi\r\n", b"+OK go\r\n"]),
        (Postgres, vec![b"S"]),
        (Sieve, vec![b"\"SIEVE\" \"x\"\r\n\"STARTTLS\"\r\nOK\r\n", b"OK go\r\n"]),
        (
            Smtp,
            vec![b"220-a\r\n220 hi\r\n", b"250-a\r\n250-StartTLS\r\n250 HELP\r\n", b"220 go\r\n"],
        ),
        (Xmpp, vec![FEATURES, b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"]),
        (XmppServer, vec![FEATURES, b"<proceed xmlns=\"x\"></proceed>\n"]),
    ]
}

const MYSQL: &[u8] =
    b"\x26\0\0\0\x0a8.0.1\0\x01\0\0\0saltsalt\0\xff\xff\x08\x02\0\xff\xff\x15\0\0\0\0\0\0\0\0\0\0";

const FEATURES: &[u8] =
    b"<stream:stream><stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>\
<required/></starttls></stream:features>";

fn is_ready(step: &Step) -> bool {
    matches!(step, Step::Ready | Step::SendThenReady(_))
}

#[test]
fn each_protocol_comes_to_the_handshake_however_its_words_are_cut() {
    for (protocol, script) in upgrades() {
        assert!(is_ready(&play(protocol, &script)), "{protocol:?}");
        let bytes: Vec<&[u8]> = script.iter().flat_map(|word| word.chunks(1)).collect();
        let mut dialogue = Dialogue::new(protocol, "a.test");
        let steps: Vec<Step> = bytes.iter().map(|byte| dialogue.feed(byte)).collect();
        assert_eq!(steps.iter().filter(|step| is_ready(step)).count(), 1, "{protocol:?}");
        let sent = steps.iter().filter(|step| matches!(step, Step::Send(_))).count();
        assert_eq!(sent, script.len() - 1, "{protocol:?}: a command an answer");
        assert!(dialogue.behind().is_empty(), "{protocol:?}");
    }
    for protocol in StartTls::ALL {
        assert!(upgrades().iter().any(|(known, _)| known == protocol), "{protocol:?}");
    }
}

#[test]
fn words_behind_the_go_ahead_are_noted_and_left() {
    for (protocol, mut script) in upgrades() {
        let last = script.pop().expect("words");
        let mut dialogue = Dialogue::new(protocol, "a.test");
        for word in script {
            dialogue.feed(word);
        }
        let step = dialogue.feed(&[last, b"extra"].concat());
        assert!(is_ready(&step), "{protocol:?}: {step:?}");
        assert_eq!(dialogue.behind(), b"extra", "{protocol:?}");
    }
}

#[test]
fn each_protocol_asks_in_its_own_words() {
    use StartTls::*;
    let greeted = |protocol, greeting: &[u8]| match play(protocol, &[greeting]) {
        Step::Send(bytes) => String::from_utf8(bytes).expect("text"),
        step => panic!("{protocol:?}: {step:?}"),
    };
    assert_eq!(greeted(Lmtp, b"220 hi\r\n"), "LHLO secchi.invalid\r\n");
    assert_eq!(greeted(Smtp, b"220 hi\r\n"), "EHLO secchi.invalid\r\n");
    assert_eq!(greeted(Ftp, b"220 hi\r\n"), "AUTH TLS\r\n");
    assert_eq!(greeted(Imap, b"* OK hi\r\n"), "s1 STARTTLS\r\n");
    assert_eq!(greeted(Pop3, b"+OK hi\r\n"), "STLS\r\n");
    let stream = Dialogue::new(Xmpp, "a'b.test").opening();
    assert!(String::from_utf8(stream).expect("text").contains("to='a&apos;b.test'"));
}

#[test]
fn what_is_smuggled_rides_in_the_segment_of_the_command() {
    for (protocol, script) in upgrades() {
        let Some(smuggle) = Smuggle::of(protocol) else { continue };
        let mut dialogue = Dialogue::new(protocol, "a.test").smuggling(smuggle);
        let mut sent = dialogue.opening();
        for word in script {
            if let Step::Send(bytes) = dialogue.feed(word) {
                sent = bytes;
            }
        }
        assert!(sent.ends_with(smuggle.command()), "{protocol:?}");
        assert!(sent.len() > smuggle.command().len(), "{protocol:?}");
    }
}

#[test]
fn a_refusal_is_told_from_a_broken_dialogue() {
    use StartTls::*;
    let no_ssl = {
        let mut greeting = MYSQL.to_vec();
        greeting[4 + 7 + 4 + 9 + 1] = 0xf7;
        greeting
    };
    for (protocol, script) in [
        (Smtp, &[&b"220 hi\r\n"[..], b"250-a\r\n250 HELP\r\n"][..]),
        (Smtp, &[b"220 hi\r\n", b"502 what\r\n"]),
        (Smtp, &[b"220 hi\r\n", b"250 STARTTLS\r\n", b"502-no\r\n502 no\r\n"]),
        (Lmtp, &[b"220 hi\r\n", b"250 a\r\n"]),
        (Imap, &[b"* OK hi\r\n", b"s1 BAD no\r\n"]),
        (Imap, &[b"* PREAUTH hi\r\n"]),
        (Pop3, &[b"+OK hi\r\n", b"-ERR no\r\n"]),
        (Ftp, &[b"220 hi\r\n", b"500 no\r\n"]),
        (Ftp, &[b"220 hi\r\n", b"530 log in\r\n"]),
        (Nntp, &[b"200 hi\r\n", b"502 no\r\n"]),
        (Irc, &[b":a 421 * STARTTLS :Unknown command\r\n"]),
        (Postgres, &[b"N"]),
        (Mysql, &[&no_ssl]),
        (Ldap, &[b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00"]),
        (Sieve, &[b"\"SIEVE\" \"x\"\r\nOK\r\n"]),
        (Xmpp, &[b"<stream:stream><stream:features/>"]),
        (Xmpp, &[FEATURES, b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"]),
    ] {
        assert_eq!(play(protocol, script), Step::NotOffered, "{protocol:?} {script:?}");
    }
    for (protocol, script) in [
        (Smtp, &[&b"554 go away\r\n"[..]][..]),
        (Smtp, &[b"421 too many\r\n"]),
        (Smtp, &[b"220 hi\r\n", b"250 STARTTLS\r\n", b"454 later\r\n"]),
        (Imap, &[b"* BYE full\r\n"]),
        (Pop3, &[b"-ERR full\r\n"]),
        (Pop3, &[b"+OK hi\r\n", b"-ERR [SYS/TEMP] later\r\n"]),
        (Ftp, &[b"220 hi\r\n", b"431 later\r\n"]),
        (Nntp, &[b"200 hi\r\n", b"580 not now\r\n"]),
        (Mysql, &[b"\x10\0\0\0\xff\x10\x04Too many conn"]),
        (Ldap, &[b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x34\x04\x00\x04\x00"]),
        (Postgres, &[b"HTTP/1.1"]),
        (Xmpp, &[b"<stream:stream><stream:error><host-unknown/></stream:error>"]),
        (Xmpp, &[FEATURES, b"</stream:stream>"]),
    ] {
        assert!(matches!(play(protocol, script), Step::Broken(_)), "{protocol:?} {script:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_or_grow(
        which in 0..StartTls::ALL.len(),
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..40),
    ) {
        let mut dialogue = Dialogue::new(StartTls::ALL[which], "a.test");
        for part in parts {
            if matches!(dialogue.feed(&part), Step::Broken(_)) {
                break;
            }
            prop_assert!(dialogue.buffer.len() <= MAX_BYTES);
        }
    }
}
