//! Known faults that only show when they are tried, and that alarm an intrusion detection system:
//! asked with `--intrusive` only, each as little as it takes.

mod ccs;
mod heartbleed;
mod robot;
mod ticketbleed;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sample::{Reason, Unknown};

use super::features::{Fact, Known};
use super::hello::HelloSpec;
use super::line::Line;
use super::session::{Renegotiation, shake};
use super::suites::Breadth;
use super::wire::Version;

/// What trying showed.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Tried {
    /// heartbleed, ccs_injection, ticketbleed and robot.
    pub(super) vulnerabilities: BTreeMap<String, Fact<bool>>,
    /// Whether a client may renegotiate.
    pub(super) renegotiation: Option<Fact<bool>>,
}

/// Tries everything, one after the other.
pub(super) async fn try_all(line: &Line<'_>, known: Known<'_>) -> Tried {
    let mut rng = fastrand::Rng::with_seed(known.seed);
    let mut tried = Tried::default();
    let mut note = |name: &str, fact| tried.vulnerabilities.insert(name.to_owned(), fact);
    note("heartbleed", heartbleed::ask(line, known, &mut rng).await);
    note("ccs_injection", ccs::ask(line, known, &mut rng).await);
    note("ticketbleed", ticketbleed::ask(line, known, &mut rng).await);
    note("robot", robot::ask(line, known, &mut rng).await);
    tried.renegotiation = Some(renegotiation(line, known, &mut rng).await);
    tried
}

/// One renegotiation, at most.
async fn renegotiation(line: &Line<'_>, known: Known<'_>, rng: &mut fastrand::Rng) -> Fact<bool> {
    known.any_of(&CLEAR)?;
    speaks_tls12(known)?;
    let session = shake(line, known.server_name, rng).await?;
    Ok(session.renegotiate().await? == Renegotiation::Begun)
}

/// A hello for the newest version below TLS 1.3; `None` where there is none of them.
fn clear_hello(known: Known<'_>) -> Fact<Option<HelloSpec>> {
    match known.newest_clear() {
        Some(version) => Ok(Some(HelloSpec::new(version, Breadth::Every))),
        None => match known.any_of(&CLEAR) {
            Err(Unknown { reason: Reason::NotApplicable, .. }) | Ok(()) => Ok(None),
            Err(why) => Err(why),
        },
    }
}

/// The client of our own speaks nothing else.
fn speaks_tls12(known: Known<'_>) -> Fact<()> {
    match known.has(Version::Tls12)? {
        true => Ok(()),
        false => Err(Unknown::new(Reason::NotObserved, "asked in TLS 1.2 only")),
    }
}

const CLEAR: [Version; 4] = [Version::Tls12, Version::Tls11, Version::Tls10, Version::Ssl3];
