//! A small internet on loopback for tests: scripted servers, each at an address of its own, all on
//! one port.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NS, NULL, SOA, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use super::text;

/// Servers that end with the test.
pub(super) struct Lab {
    /// The port of every server.
    pub(super) port: u16,
    _tasks: JoinSet<()>,
}

/// One server's script.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    /// Its zones: `origin` and records, one a line: `OWNER TTL TYPE DATA`.
    pub(super) zones: Vec<(&'static str, String)>,
    /// What it does to every answer.
    pub(super) ways: Vec<Way>,
}

/// Ways to misbehave, and one to recurse.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    Garbage,
    /// Gives clients of 198.51.100.0/24 another address.
    Geo,
    LowerCase,
    Mute,
    NoEdns,
    NoTcp,
    /// Answers as a resolver: RA, no AA.
    Recurse,
    Refuse,
    Servfail,
    Transfer,
    Truncate,
    Upward,
    /// Eighty answers with another id and a lie before the true one.
    WrongIds,
}

impl Lab {
    /// Starts servers at 127.0.0.`last` on a common free port below the ephemeral range.
    pub(super) async fn start(scripts: Vec<(u8, Script)>) -> Self {
        for port in crate::testing::ports() {
            if let Some(lab) = Self::bind(&scripts, port).await {
                return lab;
            }
        }
        panic!("no free port");
    }

    async fn bind(scripts: &[(u8, Script)], port: u16) -> Option<Self> {
        let mut tasks = JoinSet::new();
        for (last, script) in scripts {
            let at = SocketAddr::new(IpAddr::from([127, 0, 0, *last]), port);
            let udp = UdpSocket::bind(at).await.ok()?;
            let tcp = TcpListener::bind(at).await.ok()?;
            let script = Arc::new(script.clone());
            if !script.ways.contains(&Way::NoTcp) {
                tasks.spawn(serve_tcp(tcp, script.clone()));
            }
            tasks.spawn(serve_udp(udp, script));
        }
        Some(Self { port, _tasks: tasks })
    }
}

async fn serve_udp(socket: UdpSocket, script: Arc<Script>) {
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let Ok(asked) = Message::from_vec(&buffer[..length]) else { continue };
        for octets in script.datagrams(&asked) {
            let _ = socket.send_to(&octets, from).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, script: Arc<Script>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let Ok(length) = stream.read_u16().await else { continue };
        let mut octets = vec![0; usize::from(length)];
        if stream.read_exact(&mut octets).await.is_err() || script.has(Way::Mute) {
            continue;
        }
        let Ok(asked) = Message::from_vec(&octets) else { continue };
        let answer = script.answer(&asked).to_vec().expect("octets");
        let _ = stream.write_u16(u16::try_from(answer.len()).expect("fits")).await;
        let _ = stream.write_all(&answer).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl Script {
    pub(super) fn of(zones: &[(&'static str, &str)]) -> Self {
        let zones = zones.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        Self { zones, ways: Vec::new() }
    }

    pub(super) fn way(mut self, way: Way) -> Self {
        self.ways.push(way);
        self
    }

    fn has(&self, way: Way) -> bool {
        self.ways.contains(&way)
    }

    fn datagrams(&self, asked: &Message) -> Vec<Vec<u8>> {
        if self.has(Way::Mute) {
            return Vec::new();
        }
        if self.has(Way::Garbage) {
            let mut octets = asked.metadata.id.to_be_bytes().to_vec();
            octets.extend([0x84, 0, 0, 1, 0, 9, 0, 0, 0, 0, 0xc0, 0x0c, 0x1b]);
            return vec![octets];
        }
        let mut answer = self.answer(asked);
        let mut out = Vec::new();
        if self.has(Way::WrongIds) {
            let mut lie = answer.clone();
            lie.answers = vec![record("evil.test 1 A 6.6.6.6")];
            for step in 1..=20 {
                lie.metadata.id = asked.metadata.id.wrapping_add(step);
                out.push(lie.to_vec().expect("octets"));
            }
        }
        if self.has(Way::Truncate) {
            answer.answers.clear();
            answer.metadata.truncation = true;
        }
        out.push(answer.to_vec().expect("octets"));
        out
    }

    fn answer(&self, asked: &Message) -> Message {
        let mut answer = asked.clone().into_response();
        answer.metadata.authoritative = true;
        if self.has(Way::NoEdns) {
            answer.edns = None;
            if asked.edns.is_some() {
                answer.metadata.response_code = ResponseCode::FormErr;
                return answer;
            }
        }
        let query = asked.queries[0].clone();
        if self.has(Way::LowerCase) {
            let name = query.name().to_lowercase();
            answer.queries[0].set_name(name);
        }
        if query.query_class() == DNSClass::CH || self.has(Way::Refuse) {
            answer.metadata.authoritative = false;
            answer.metadata.response_code = ResponseCode::Refused;
        } else if self.has(Way::Servfail) {
            answer.metadata.authoritative = false;
            answer.metadata.response_code = ResponseCode::ServFail;
        } else if self.has(Way::Upward) {
            answer.metadata.authoritative = false;
            answer.add_authority(record(". 1 NS a.root.test"));
        } else {
            self.look_up(&mut answer, &query.name().to_lowercase(), query.query_type());
        }
        if self.has(Way::Geo) && subnet(asked).is_some_and(|net| net == "198.51.100.0/24") {
            for record in &mut answer.answers {
                if record.record_type() == RecordType::A {
                    record.data = RData::A(A(Ipv4Addr::new(198, 51, 100, 1)));
                }
            }
        }
        if self.has(Way::Recurse) {
            answer.metadata.authoritative = false;
            answer.metadata.recursion_available = true;
        }
        answer
    }

    fn look_up(&self, answer: &mut Message, name: &Name, kind: RecordType) {
        let side = if kind == RecordType::DS { name.base_name() } else { name.clone() };
        let zone = self
            .zones
            .iter()
            .map(|(origin, text)| (parse(origin), text))
            .filter(|(origin, _)| origin.zone_of(&side))
            .max_by_key(|(origin, _)| origin.iter().count());
        let Some((origin, text)) = zone else {
            answer.metadata.authoritative = false;
            answer.metadata.response_code = ResponseCode::Refused;
            return;
        };
        let records: Vec<Record> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(record).collect();
        if kind == RecordType::AXFR {
            if self.has(Way::Transfer) {
                answer.add_answers(records);
            } else {
                answer.metadata.response_code = ResponseCode::Refused;
            }
            return;
        }
        let cut = records.iter().find(|r| {
            r.record_type() == RecordType::NS && r.name != origin && r.name.zone_of(&side)
        });
        if let Some(cut) = cut.map(|record| record.name.clone()) {
            answer.metadata.authoritative = false;
            refer(answer, &records, &cut);
            return;
        }
        let own: Vec<Record> = records.iter().filter(|r| r.name == *name).cloned().collect();
        let fits = |r: &&Record| r.record_type() == kind || r.record_type() == RecordType::CNAME;
        answer.add_answers(own.iter().filter(fits).cloned());
        if own.is_empty() && !records.iter().any(|r| name.zone_of(&r.name)) {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
    }
}

fn refer(answer: &mut Message, records: &[Record], cut: &Name) {
    for record in records.iter().filter(|r| r.name == *cut) {
        let RData::NS(ns) = &record.data else { continue };
        answer.add_authority(record.clone());
        let glue = records.iter().filter(|r| r.name == ns.0 && r.data.ip_addr().is_some());
        answer.add_additionals(glue.cloned());
    }
}

/// The client subnet that a question is for.
fn subnet(asked: &Message) -> Option<String> {
    match asked.edns.as_ref()?.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(net) => Some(format!("{}/{}", net.addr(), net.source_prefix())),
        _ => None,
    }
}

fn parse(name: &str) -> Name {
    text::name(name).expect("a name")
}

/// Reads `OWNER TTL TYPE DATA`.
pub(super) fn record(line: &str) -> Record {
    let words: Vec<&str> = line.splitn(4, ' ').collect();
    let [owner, ttl, kind, data] = words.as_slice() else { panic!("a record: {line}") };
    let rdata = match *kind {
        "A" => RData::A(A(data.parse().expect("an address"))),
        "AAAA" => RData::AAAA(AAAA(data.parse().expect("an address"))),
        "CNAME" => RData::CNAME(CNAME(parse(data))),
        "NS" => RData::NS(NS(parse(data))),
        "MX" => {
            let (preference, exchange) = data.split_once(' ').expect("MX");
            RData::MX(MX::new(preference.parse().expect("a number"), parse(exchange)))
        }
        "CAA" => {
            let words: Vec<&str> = data.splitn(3, ' ').collect();
            let [_, tag, value] = words.as_slice() else { panic!("a CAA") };
            let mut octets = vec![0, u8::try_from(tag.len()).expect("a tag")];
            octets.extend(tag.bytes().chain(value.trim_matches('"').bytes()));
            RData::Unknown { code: RecordType::CAA, rdata: NULL::with(octets) }
        }
        "TXT" => RData::TXT(TXT::from_bytes(data.as_bytes().chunks(255).collect())),
        "SOA" => {
            let serial = data.parse().expect("a serial");
            RData::SOA(SOA::new(parse("ns.test"), parse("hm.test"), serial, 60, 60, 600, 60))
        }
        "DS" => {
            let words: Vec<&str> = data.split(' ').collect();
            let [tag, algorithm, digest, rest @ ..] = words.as_slice() else { panic!("a DS") };
            let mut octets = tag.parse::<u16>().expect("a tag").to_be_bytes().to_vec();
            octets.extend([algorithm, digest].map(|n| n.parse::<u8>().expect("a number")));
            octets.extend(hex::decode(rest.concat()).expect("a digest"));
            RData::Unknown { code: RecordType::DS, rdata: NULL::with(octets) }
        }
        other => panic!("{other}"),
    };
    Record::from_rdata(parse(owner), ttl.parse().expect("a TTL"), rdata)
}
