//! What a server is able to do, and what it does for strangers.

use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

use super::ask::{Asker, Failure, Reply, Server};
use super::text;
use super::wire::Question;
use crate::sample::Unknown;

/// What a server is able to do, as far as its answers showed.
#[derive(Clone, Debug, Default)]
pub(super) struct Abilities {
    pub(super) edns: Option<bool>,
    pub(super) tcp: Option<bool>,
    pub(super) keeps_case: Option<bool>,
    pub(super) latency: Option<Duration>,
    pub(super) version: Option<String>,
}

impl Abilities {
    /// Takes in what one more answer showed.
    pub(super) fn note(&mut self, reply: &Reply) {
        if let Some(edns) = reply.edns {
            self.edns = Some(self.edns.unwrap_or(true) && edns);
        }
        self.keeps_case = Some(self.keeps_case.unwrap_or(true) && reply.keeps_case);
        self.latency = self.latency.max(Some(reply.latency));
    }
}

/// The server's version by `version.bind CH TXT`; empty where it keeps it to itself.
pub(super) async fn version(asker: &Asker, server: &Server) -> Option<String> {
    let name = text::name("version.bind")?;
    let question = Question { class: DNSClass::CH, ..Question::of(&name, RecordType::TXT) };
    let reply = asker.ask(server, &question).await.ok()?;
    let text = reply.message.answers.iter().find_map(|record| match &record.data {
        RData::TXT(txt) => Some(text::of_octets(txt.txt_data.iter().flatten().copied())),
        _ => None,
    });
    Some(text.unwrap_or_default().chars().take(200).collect())
}

/// Whether a server recurses: it offers to (RA), and does so for a name that is none of its own.
pub(super) async fn recursion(asker: &Asker, server: &Server) -> Result<bool, Unknown> {
    let question = Question::of(&Name::root(), RecordType::NS).recursive();
    match asker.ask(server, &question).await {
        Ok(reply) => Ok(recurses(&reply.message)),
        Err(failure) => Err(failure.unknown()),
    }
}

fn recurses(message: &Message) -> bool {
    message.metadata.recursion_available
        && match message.metadata.response_code {
            ResponseCode::NoError => !message.answers.is_empty(),
            // It tried for us and failed.
            ResponseCode::ServFail | ResponseCode::NXDomain => true,
            _ => false,
        }
}

/// Asks for the whole zone and hangs up after the first message: proof, no data pull.
pub(super) async fn transfer(
    asker: &Asker,
    server: &Server,
    zone: &Name,
) -> Result<String, Unknown> {
    match asker.ask_tcp(server, &Question::of(zone, RecordType::AXFR)).await {
        Err(Failure::Unasked(unknown)) => Err(unknown),
        // RFC 5936 lets a server refuse by hanging up; that is no proof of either.
        Err(Failure::Fault(fault)) => Ok(format!("error:{fault}")),
        Ok(reply) => {
            let first = reply.message.answers.first();
            let is_open = reply.message.metadata.response_code == ResponseCode::NoError
                && first.is_some_and(|r| r.record_type() == RecordType::SOA && r.name == *zone);
            Ok(if is_open { "open" } else { "refused" }.to_owned())
        }
    }
}
