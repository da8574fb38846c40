//! The demo's name servers: a root that delegates `demo.test`, and the zone's own. While the lab is
//! broken, `shop.demo.test` has an address that nobody pinned.

use std::net::Ipv4Addr;
use std::sync::Arc;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CAA, NS, SOA, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;

/// The root server's address.
pub(super) const ROOT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// The addresses of the zone's two servers.
pub(super) const ZONE: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 3), Ipv4Addr::new(127, 0, 0, 4)];

/// The root hints that lead here.
pub(super) fn root_hints() -> String {
    format!(". 3600000 NS a.root.demo.test.\na.root.demo.test. 3600000 A {ROOT}\n")
}

/// What a server is there for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    Root,
    Zone,
}

/// Serves UDP and TCP until the demo ends.
pub(super) fn serve(udp: UdpSocket, tcp: TcpListener, role: Role, state: watch::Receiver<bool>) {
    let udp = Arc::new(udp);
    let broken = state.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
            let broken = *broken.borrow();
            if let Some(reply) = respond(&buffer[..length], role, broken) {
                // A lost answer is asked for again.
                let _ = udp.send_to(&reply, from).await;
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = tcp.accept().await {
            let broken = *state.borrow();
            tokio::spawn(async move {
                let length = stream.read_u16().await.unwrap_or_default();
                let mut question = vec![0; usize::from(length)];
                if stream.read_exact(&mut question).await.is_err() {
                    return;
                }
                if let Some(reply) = respond(&question, role, broken) {
                    let size = u16::try_from(reply.len()).unwrap_or_default();
                    let _ = stream.write_u16(size).await;
                    let _ = stream.write_all(&reply).await;
                }
            });
        }
    });
}

fn respond(bytes: &[u8], role: Role, broken: bool) -> Option<Vec<u8>> {
    let question = Message::from_vec(bytes).ok()?;
    let query = question.queries.first()?.clone();
    let mut reply = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    reply.add_query(query.clone());
    let name = query.name().to_lowercase();
    let zone = Name::from_ascii("demo.test.").ok()?;
    match role {
        _ if query.query_class() != DNSClass::IN => {
            reply.metadata.response_code = ResponseCode::Refused
        }
        Role::Root if zone.zone_of(&name) => {
            for (server, address) in servers() {
                reply.add_authority(Record::from_rdata(
                    zone.clone(),
                    3600,
                    RData::NS(NS(server.clone())),
                ));
                reply.add_additional(Record::from_rdata(server, 3600, RData::A(A(address))));
            }
        }
        Role::Root => {
            reply.metadata.authoritative = true;
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
        Role::Zone if zone.zone_of(&name) => {
            reply.metadata.authoritative = true;
            let (known, answers) = lookup(&name, query.query_type(), broken);
            if !known {
                reply.metadata.response_code = ResponseCode::NXDomain;
            }
            if answers.is_empty() {
                reply.add_authority(soa(&zone)?);
            }
            for data in answers {
                reply.add_answer(Record::from_rdata(query.name().clone(), 300, data));
            }
        }
        Role::Zone => reply.metadata.response_code = ResponseCode::Refused,
    }
    reply.to_vec().ok()
}

fn lookup(name: &Name, kind: RecordType, broken: bool) -> (bool, Vec<RData>) {
    let text = name.to_ascii();
    let address = |last| RData::A(A(Ipv4Addr::new(127, 0, 0, last)));
    let answers = match (text.as_str(), kind) {
        ("demo.test.", RecordType::SOA) => {
            soa(name).map(|record| vec![record.data]).unwrap_or_default()
        }
        ("demo.test.", RecordType::NS) => {
            servers().map(|(server, _)| RData::NS(NS(server))).collect()
        }
        ("demo.test.", RecordType::CAA) => {
            vec![RData::CAA(CAA::new_issue(false, None, Vec::new()))]
        }
        ("demo.test.", RecordType::TXT) => {
            vec![RData::TXT(TXT::new(vec!["v=spf1 -all".to_owned()]))]
        }
        ("_dmarc.demo.test.", RecordType::TXT) => {
            vec![RData::TXT(TXT::new(vec!["v=DMARC1; p=reject".to_owned()]))]
        }
        ("ns1.demo.test.", RecordType::A) => vec![RData::A(A(ZONE[0]))],
        ("ns2.demo.test.", RecordType::A) => vec![RData::A(A(ZONE[1]))],
        ("shop.demo.test.", RecordType::A) if broken => vec![address(1), address(66)],
        ("shop.demo.test." | "legacy.demo.test." | "demo.test.", RecordType::A) => vec![address(1)],
        _ => Vec::new(),
    };
    let known = KNOWN.contains(&text.as_str());
    (known, answers)
}

fn servers() -> impl Iterator<Item = (Name, Ipv4Addr)> {
    let names = ["ns1.demo.test.", "ns2.demo.test."].into_iter().zip(ZONE);
    names.filter_map(|(name, address)| Some((Name::from_ascii(name).ok()?, address)))
}

fn soa(zone: &Name) -> Option<Record> {
    let server = Name::from_ascii("ns1.demo.test.").ok()?;
    let contact = Name::from_ascii("hostmaster.demo.test.").ok()?;
    let data = SOA::new(server, contact, 2_026_112_201, 7200, 3600, 1_209_600, 300);
    Some(Record::from_rdata(zone.clone(), 300, RData::SOA(data)))
}

const KNOWN: [&str; 5] =
    ["demo.test.", "ns1.demo.test.", "shop.demo.test.", "legacy.demo.test.", "_dmarc.demo.test."];
