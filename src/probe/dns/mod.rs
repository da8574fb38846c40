//! The dns probe: each authority and each chosen recursive server asked by itself, from the root
//! down, and what they say held against pins and the learnt baseline.
//!
//! An observation is a set, nodata, nxdomain, or an error with its kind. Errors never compare: a
//! server that fails is a fact of the server, never of the record.

mod abilities;
mod answer;
mod ask;
#[cfg(test)]
mod bind_lab;
#[cfg(test)]
mod bind_tests;
mod catalogue;
mod dangling;
mod delegate;
mod dnssec;
mod drift;
#[cfg(test)]
mod drift_tests;
mod facts;
mod fetch;
#[cfg(fuzzing)]
pub mod fuzzing;
mod given;
mod hints;
mod hold;
mod join;
mod kept;
#[cfg(test)]
mod lab;
mod mail;
#[cfg(test)]
mod mail_tests;
mod memory;
mod mta_sts;
#[cfg(test)]
mod mta_sts_tests;
mod named;
#[cfg(test)]
mod peer_lab;
#[cfg(test)]
mod peer_tests;
#[cfg(test)]
mod pin_tests;
mod policy;
mod rdata;
mod registration;
#[cfg(test)]
mod registration_tests;
mod resolvers;
mod signed;
mod skew;
mod spf;
mod survey;
#[cfg(test)]
mod tests;
mod text;
mod tlsa;
mod wanted;
mod wire;
mod zone;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::rr::{Name, RecordType};
use serde_json::json;
use tokio::time::Instant;

use self::abilities::Abilities;
use self::ask::{Asker, Failure, Server};
use self::wire::Question;
use futures_util::FutureExt;

use super::dial::Purpose;
use super::{Job, Observation, Run};
use crate::sample::{Measurements, Outcome, Path};
use crate::target::Host;

pub use join::join;
pub use memory::{accept, pending};

/// Takes one sample.
pub async fn run(job: Job) -> Run {
    let began = Instant::now();
    let timeout = job.point.target.settings.timeout.unwrap_or(TIMEOUT);
    let asker = Asker::new(job.dialer.clone(), timeout, job.now, job.seed);
    let (outcome, memory) = match &job.point.target.endpoint.host {
        // Boxed, for the compiler cannot tell of so deep a future that it may cross threads.
        Host::Address(address) => (server(&job, &asker, *address).boxed().await, None),
        Host::Name(name) => named::sample(&job, &asker, name).boxed().await,
    };
    let observation = Observation {
        probe: job.point.probe,
        address: None,
        port: None,
        outcome,
        duration: began.elapsed(),
        connections: asker.asked(),
    };
    Run { observations: vec![observation], memory }
}

/// An address is that name server itself: what it is able to do, and whether it recurses.
async fn server(job: &Job, asker: &Asker, address: IpAddr) -> Outcome {
    let endpoint = &job.point.target.endpoint;
    let port = endpoint.port.or(job.point.target.settings.dns_port).unwrap_or(53);
    let server =
        Server { name: None, address: SocketAddr::new(address, port), purpose: Purpose::Target };
    let mut abilities = Abilities::default();
    let question = Question::of(&Name::root(), RecordType::SOA);
    match asker.ask(&server, &question).await {
        Ok(reply) => abilities.note(&reply),
        Err(failure) => return Outcome::Unknown(failure.unknown()),
    }
    match asker.ask_tcp(&server, &question).await {
        Ok(reply) => {
            abilities.note(&reply);
            abilities.tcp = Some(true);
        }
        Err(Failure::Fault(answer::Fault::TcpFailed)) => abilities.tcp = Some(false),
        Err(_) => {}
    }
    abilities.version = abilities::version(asker, &server).await;
    let key = address.to_string();
    let mut measured = Measurements::new();
    let abilities = facts::abilities(&mut measured, &key, &abilities);
    measured.set("servers", json!({ &key: abilities }));
    match abilities::recursion(asker, &server).await {
        Ok(recursion) => measured.set("recursion", json!({ &key: recursion })),
        Err(why) => {
            measured.set("recursion", json!({ &key: null }));
            measured.set_unknown(Path::of("recursion").join(&key).to_string(), why);
        }
    }
    Outcome::Measured(measured)
}

/// How long one question waits (CONTRACT, `--timeout`).
const TIMEOUT: Duration = Duration::from_secs(2);
