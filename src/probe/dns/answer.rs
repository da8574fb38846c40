//! What a server said of a name and type: a set, nodata, nxdomain, or an error with its kind.

use std::collections::BTreeSet;
use std::fmt;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use serde::{Serialize, Serializer};

use super::{rdata, text};
use crate::sample::{Reason, Unknown};

/// An observation. Errors never compare.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// Values in presentation form; never empty.
    Set(BTreeSet<String>),
    /// The name exists, the type does not.
    Nodata,
    /// The name does not exist.
    Nxdomain,
    /// No answer that could be compared.
    Error(Fault),
}

impl Answer {
    /// The values where the answer compares, none for nodata and nxdomain.
    pub(super) fn values(&self) -> Option<BTreeSet<String>> {
        match self {
            Self::Set(set) => Some(set.clone()),
            Self::Nodata | Self::Nxdomain => Some(BTreeSet::new()),
            Self::Error(_) => None,
        }
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Set(set) => serializer.collect_seq(set),
            Self::Nodata => serializer.serialize_str("nodata"),
            Self::Nxdomain => serializer.serialize_str("nxdomain"),
            Self::Error(fault) => serializer.collect_str(&format_args!("error:{fault}")),
        }
    }
}

/// Why a server's answer does not compare (CONTRACT §dns).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Fault {
    CnameLoop,
    Formerr,
    Malformed,
    NotAuthoritative,
    PortUnreachable,
    Refused,
    Servfail,
    TcpFailed,
    Timeout,
    UpwardReferral,
}

impl Fault {
    /// The word in JSON.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::CnameLoop => "cname_loop",
            Self::Formerr => "formerr",
            Self::Malformed => "malformed",
            Self::NotAuthoritative => "not_authoritative",
            Self::PortUnreachable => "port_unreachable",
            Self::Refused => "refused",
            Self::Servfail => "servfail",
            Self::TcpFailed => "tcp_failed",
            Self::Timeout => "timeout",
            Self::UpwardReferral => "upward_referral",
        }
    }

    /// The reason of a fact that this fault kept from us.
    pub(super) fn unknown(self) -> Unknown {
        match self {
            Self::Timeout => Reason::Timeout.into(),
            Self::PortUnreachable => Unknown::new(Reason::Refused, self.as_str()),
            _ => Unknown::new(Reason::DnsError, self.as_str()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An answer, or why the question was never put.
pub(super) type Seen = Result<Answer, Unknown>;

/// What one message says of the name it was asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Told {
    /// The name is an alias of this one.
    Alias(Name, u32),
    /// An answer with its TTL; negative ones have none.
    Answer(Answer, Option<u32>),
    /// The answer is of another zone, further down.
    Referral(Name),
    /// More values than a sample may hold.
    TooMany,
}

/// Reads an authority's answer for a zone that it should be authoritative for.
pub(super) fn from_authority(
    message: &Message,
    name: &Name,
    kind: RecordType,
    zone: &Name,
) -> Told {
    let fault = |fault| Told::Answer(Answer::Error(fault), None);
    let authoritative = message.metadata.authoritative;
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        code => return fault(of_code(code)),
    }
    if !authoritative {
        return match referral(message) {
            Some(cut) if zone.zone_of(cut) && cut != zone && cut.zone_of(name) => {
                Told::Referral(cut.clone())
            }
            Some(cut) if cut.zone_of(zone) && cut != zone => fault(Fault::UpwardReferral),
            _ => fault(Fault::NotAuthoritative),
        };
    }
    if let Some(told) = owned(message, name, kind) {
        return told;
    }
    match message.metadata.response_code {
        ResponseCode::NXDomain => Told::Answer(Answer::Nxdomain, None),
        _ => Told::Answer(Answer::Nodata, None),
    }
}

/// Reads a recursive server's answer: the chain of aliases is its own to follow.
pub(super) fn from_resolver(message: &Message, name: &Name, kind: RecordType) -> Answer {
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        code => return Answer::Error(of_code(code)),
    }
    let mut name = name.clone();
    for _ in 0..=MAX_CHAIN {
        match owned(message, &name, kind) {
            Some(Told::Alias(target, _)) => name = target,
            Some(Told::Answer(answer, _)) => return answer,
            Some(_) => return Answer::Error(Fault::Malformed),
            None if message.metadata.response_code == ResponseCode::NXDomain => {
                return Answer::Nxdomain;
            }
            None if !message.metadata.recursion_available && referral(message).is_some() => {
                return Answer::Error(Fault::Refused);
            }
            None => return Answer::Nodata,
        }
    }
    Answer::Error(Fault::CnameLoop)
}

/// The error that a response code is.
pub(super) fn of_code(code: ResponseCode) -> Fault {
    match code {
        ResponseCode::Refused | ResponseCode::NotAuth => Fault::Refused,
        ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADVERS => Fault::Formerr,
        ResponseCode::ServFail => Fault::Servfail,
        _ => Fault::Malformed,
    }
}

/// The zone that a message refers to.
pub(super) fn referral(message: &Message) -> Option<&Name> {
    message
        .authorities
        .iter()
        .find(|record| record.record_type() == RecordType::NS)
        .map(|record| &record.name)
}

/// Records of the answer section that `name` owns, whatever else the server slipped in.
fn owned(message: &Message, name: &Name, kind: RecordType) -> Option<Told> {
    let records: Vec<&Record> =
        message.answers.iter().filter(|r| r.dns_class == DNSClass::IN && r.name == *name).collect();
    let wanted: Vec<&&Record> = records.iter().filter(|r| r.record_type() == kind).collect();
    if wanted.len() > MAX_VALUES {
        return Some(Told::TooMany);
    }
    if let Some(ttl) = wanted.iter().map(|record| record.ttl).min() {
        let set = wanted.iter().map(|record| rdata::of(&record.data)).collect();
        return Some(Told::Answer(Answer::Set(set), Some(ttl)));
    }
    records.iter().find_map(|record| match &record.data {
        RData::CNAME(target) => Some(Told::Alias(target.0.to_lowercase(), record.ttl)),
        _ => None,
    })
}

/// The word for a record type: its mnemonic, else `TYPE` and its number (RFC 3597 §5).
pub(super) fn type_word(kind: RecordType) -> String {
    match kind {
        RecordType::Unknown(number) => format!("TYPE{number}"),
        kind => kind.to_string(),
    }
}

/// Reads a record type that can be asked for.
pub(super) fn record_type(word: &str) -> Option<RecordType> {
    let word = word.trim().to_ascii_uppercase();
    let kind = match word.strip_prefix("TYPE").map(str::parse::<u16>) {
        Some(Ok(number)) => RecordType::from(number),
        _ => word.parse().ok()?,
    };
    let meta = matches!(
        kind,
        RecordType::ANY
            | RecordType::AXFR
            | RecordType::IXFR
            | RecordType::OPT
            | RecordType::TSIG
            | RecordType::SIG
            | RecordType::ZERO
    );
    (!meta).then_some(kind)
}

/// The name that a record type's zone is looked up by: a DS lives above its owner.
pub(super) fn zone_side(name: &Name, kind: RecordType) -> Name {
    if kind == RecordType::DS && !name.is_root() { name.base_name() } else { name.clone() }
}

/// `name` and `type` as they key a sample's maps.
pub(super) fn key(name: &Name, kind: RecordType) -> (String, String) {
    (text::of_name(name), type_word(kind))
}

/// Aliases followed from one name.
pub(super) const MAX_CHAIN: usize = 8;

/// Values of one answer.
const MAX_VALUES: usize = 256;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::op::OpCode;
    use hickory_proto::rr::rdata::{A, CNAME, NS};

    use super::*;

    fn n(text: &str) -> Name {
        text::name(text).expect("a name")
    }

    fn reply(authoritative: bool, code: ResponseCode) -> Message {
        let mut message = Message::response(1, OpCode::Query);
        message.metadata.authoritative = authoritative;
        message.metadata.response_code = code;
        message
    }

    fn a(owner: &str, last: u8) -> Record {
        Record::from_rdata(n(owner), 60, RData::A(A(Ipv4Addr::new(192, 0, 2, last))))
    }

    fn judged(message: &Message) -> Told {
        from_authority(message, &n("www.zone.test"), RecordType::A, &n("zone.test"))
    }

    #[test]
    fn records_of_other_names_are_no_part_of_the_answer() {
        let mut message = reply(true, ResponseCode::NoError);
        message.add_answers([a("www.zone.test", 1), a("evil.test", 66)]);
        let set = BTreeSet::from(["192.0.2.1".to_owned()]);
        assert_eq!(judged(&message), Told::Answer(Answer::Set(set), Some(60)));
    }

    #[test]
    fn a_lame_server_is_told_by_what_it_says() {
        let mut upward = reply(false, ResponseCode::NoError);
        upward.add_authority(Record::from_rdata(n("."), 1, RData::NS(NS(n("a.root.test")))));
        let mut down = reply(false, ResponseCode::NoError);
        down.add_authority(Record::from_rdata(n("www.zone.test"), 1, RData::NS(NS(n("ns.test")))));
        let mut cached = reply(false, ResponseCode::NoError);
        cached.add_answer(a("www.zone.test", 1));
        let error = |fault| Told::Answer(Answer::Error(fault), None);
        for (message, told) in [
            (upward, error(Fault::UpwardReferral)),
            (down, Told::Referral(n("www.zone.test"))),
            (cached, error(Fault::NotAuthoritative)),
            (reply(true, ResponseCode::Refused), error(Fault::Refused)),
            (reply(true, ResponseCode::ServFail), error(Fault::Servfail)),
            (reply(false, ResponseCode::NXDomain), error(Fault::NotAuthoritative)),
            (reply(true, ResponseCode::NXDomain), Told::Answer(Answer::Nxdomain, None)),
            (reply(true, ResponseCode::NoError), Told::Answer(Answer::Nodata, None)),
        ] {
            assert_eq!(judged(&message), told);
        }
    }

    #[test]
    fn a_resolvers_loop_of_aliases_ends() {
        let mut message = reply(false, ResponseCode::NoError);
        for (from, to) in [("www.zone.test", "b.test"), ("b.test", "www.zone.test")] {
            message.add_answer(Record::from_rdata(n(from), 1, RData::CNAME(CNAME(n(to)))));
        }
        assert_eq!(
            from_resolver(&message, &n("www.zone.test"), RecordType::A),
            Answer::Error(Fault::CnameLoop)
        );
    }

    #[test]
    fn types_are_read_by_mnemonic_or_number_and_meta_types_are_refused() {
        assert_eq!(record_type("aaaa"), Some(RecordType::AAAA));
        assert_eq!(record_type("TYPE65400"), Some(RecordType::Unknown(65400)));
        assert_eq!(type_word(RecordType::Unknown(65400)), "TYPE65400");
        assert_eq!(record_type("AXFR"), None);
        assert_eq!(record_type("ports"), None);
    }
}
