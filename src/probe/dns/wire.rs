//! One question as octets, and what a datagram that comes back may be taken for.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsOption};
use hickory_proto::rr::{DNSClass, Name, RecordType};
use ipnet::IpNet;

/// A question.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// The name, lower-case.
    pub(super) name: Name,
    /// The type.
    pub(super) kind: RecordType,
    /// The class: IN, or CH for a server's version.
    pub(super) class: DNSClass,
    /// RD.
    pub(super) recursion: bool,
    /// Whom it is asked for (RFC 7871).
    pub(super) subnet: Option<IpNet>,
}

impl Question {
    /// What an authority is asked.
    pub(super) fn of(name: &Name, kind: RecordType) -> Self {
        let (class, recursion, subnet) = (DNSClass::IN, false, None);
        Self { name: name.clone(), kind, class, recursion, subnet }
    }

    /// The same, as if for a client of that network.
    #[must_use]
    pub(super) fn for_client(mut self, subnet: IpNet) -> Self {
        self.subnet = Some(subnet);
        self
    }

    /// The same, for a recursive server.
    #[must_use]
    pub(super) fn recursive(mut self) -> Self {
        self.recursion = true;
        self
    }
}

/// How a question is dressed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// With an OPT record: 1232 octets, DO.
    pub(super) edns: bool,
    /// With letters in random case (draft-vixie-dnsext-dns0x20).
    pub(super) mixed_case: bool,
}

/// A question as sent.
#[derive(Debug)]
pub(super) struct Sent {
    /// The message.
    pub(super) octets: Vec<u8>,
    id: u16,
    query: Query,
}

/// What came back.
#[derive(Debug)]
pub(super) enum Heard {
    /// Not an answer to this question; it may be forged.
    Foreign,
    /// An answer to this question that cannot be read.
    Malformed,
    /// The answer; it may repeat the question's letters in another case.
    Reply {
        /// The message.
        message: Box<Message>,
        /// Whether every letter came back as it was sent.
        keeps_case: bool,
    },
}

/// Writes a question. `None` for a name that no message can carry.
pub(super) fn write(question: &Question, style: Style, rng: &mut fastrand::Rng) -> Option<Sent> {
    let id = rng.u16(..);
    let name = if style.mixed_case { mixed(&question.name, rng)? } else { question.name.clone() };
    let mut query = Query::query(name, question.kind);
    query.set_query_class(question.class);
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = question.recursion;
    message.add_query(query.clone());
    if style.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_PAYLOAD).set_dnssec_ok(true);
        if let Some(net) = question.subnet {
            let subnet = ClientSubnet::new(net.network(), net.prefix_len(), 0);
            edns.options_mut().insert(EdnsOption::Subnet(subnet));
        }
        message.set_edns(edns);
    }
    let octets = message.to_vec().ok()?;
    Some(Sent { octets, id, query })
}

/// Judges a message from the server that was asked: id, direction, question, then the rest.
pub(super) fn judge(sent: &Sent, octets: &[u8]) -> Heard {
    let [id1, id2, flags, ..] = octets else { return Heard::Foreign };
    if u16::from_be_bytes([*id1, *id2]) != sent.id || flags & 0x80 == 0 {
        return Heard::Foreign;
    }
    let Ok(message) = Message::from_vec(octets) else { return Heard::Malformed };
    let keeps_case = match message.queries.as_slice() {
        [query] if !same(query, &sent.query) => return Heard::Foreign,
        [query] => query.name().eq_case(sent.query.name()),
        // Servers that can't read a question need not repeat it (RFC 6891 §7).
        [] if is_error(message.metadata.response_code) => true,
        _ => return Heard::Malformed,
    };
    Heard::Reply { message: Box::new(message), keeps_case }
}

fn same(one: &Query, other: &Query) -> bool {
    one.name().eq_ignore_root(other.name())
        && one.query_type() == other.query_type()
        && one.query_class() == other.query_class()
}

fn is_error(code: ResponseCode) -> bool {
    !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain)
}

fn mixed(name: &Name, rng: &mut fastrand::Rng) -> Option<Name> {
    let labels = name.iter().map(|label| {
        label
            .iter()
            .map(|octet| if rng.bool() { octet.to_ascii_uppercase() } else { *octet })
            .collect::<Vec<u8>>()
    });
    Name::from_labels(labels.collect::<Vec<_>>()).ok()
}

/// Octets that fit any path unfragmented (DNS flag day 2020).
const MAX_PAYLOAD: u16 = 1232;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::probe::dns::text;

    fn sent() -> Sent {
        let name = text::name("www.some-zone.example").expect("a name");
        let question = Question::of(&name, RecordType::A);
        let style = Style { edns: true, mixed_case: true };
        write(&question, style, &mut fastrand::Rng::with_seed(7)).expect("a message")
    }

    fn echo(sent: &Sent) -> Message {
        let mut message = Message::from_vec(&sent.octets).expect("a message").into_response();
        message.edns = None;
        message
    }

    #[test]
    fn an_answer_must_repeat_id_question_and_case() {
        let sent = sent();
        let hear = |message: &Message| judge(&sent, &message.to_vec().expect("octets"));
        assert!(matches!(hear(&echo(&sent)), Heard::Reply { keeps_case: true, .. }));

        let mut wrong_id = echo(&sent);
        wrong_id.metadata.id ^= 1;
        assert!(matches!(hear(&wrong_id), Heard::Foreign));

        let mut other = echo(&sent);
        other.queries[0].set_query_type(RecordType::AAAA);
        assert!(matches!(hear(&other), Heard::Foreign));

        let mut lower = echo(&sent);
        let name = lower.queries[0].name().to_lowercase();
        lower.queries[0].set_name(name);
        assert!(matches!(hear(&lower), Heard::Reply { keeps_case: false, .. }));

        let mut silent = echo(&sent);
        silent.queries.clear();
        assert!(matches!(hear(&silent), Heard::Malformed));
        silent.metadata.response_code = ResponseCode::FormErr;
        assert!(matches!(hear(&silent), Heard::Reply { .. }));
        assert!(matches!(judge(&sent, &sent.octets), Heard::Foreign), "our own question");
    }

    #[test]
    fn a_compression_loop_is_malformed_and_ends() {
        let sent = sent();
        let mut octets = sent.octets[..12].to_vec();
        octets[2] |= 0x80;
        octets[5] = 1;
        octets.extend([0xc0, 12, 0, 1, 0, 1]);
        assert!(matches!(judge(&sent, &octets), Heard::Malformed));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn no_datagram_brings_the_probe_down(mut octets in prop::collection::vec(any::<u8>(), 0..600)) {
            let sent = sent();
            if octets.len() > 12 {
                octets[..2].copy_from_slice(&sent.octets[..2]);
                octets[2] |= 0x80;
            }
            let _ = judge(&sent, &octets);
        }

        #[test]
        fn no_damage_to_an_answer_brings_the_probe_down(
            flips in prop::collection::vec((2usize..200, any::<u8>()), 1..12)
        ) {
            let sent = sent();
            let mut octets = echo(&sent).to_vec().expect("octets");
            octets.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 9, 0, 4, 3, b'a', 0x1b, b'c']);
            octets[7] = 1;
            for (at, value) in flips {
                if let Some(octet) = octets.get_mut(at) {
                    *octet = value;
                }
            }
            if let Heard::Reply { message, .. } = judge(&sent, &octets) {
                for record in message.all_sections() {
                    let text = crate::probe::dns::rdata::of(&record.data);
                    prop_assert!(text.bytes().all(|b| (0x20..=0x7e).contains(&b)));
                }
            }
        }
    }
}
