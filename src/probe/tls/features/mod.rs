//! Questions on what a peer can do beyond versions and suites, asked once those are known: a
//! connection each, and a real handshake where the answer is encrypted.

mod compression;
mod evidence;
mod fallback;
mod nameless;
mod resumption;
mod slices;
mod smuggled;
mod state;
mod tolerance;

use std::collections::BTreeMap;

use futures_util::FutureExt;
use serde::{Deserialize, Serialize};

use crate::sample::{Reason, Unknown};
use crate::target::StartTls;

use super::board::Presence;
use super::intrusive::{Tried, try_all};
use super::line::Line;
use super::walk::Seen;
use super::wire::Version;

pub(super) use nameless::Nameless;
pub(super) use slices::{Slice, refresh};
pub(super) use state::{negotiable, state};

/// A fact, or why it could not be established.
pub(super) type Fact<T> = Result<T, Unknown>;

/// What is known before, and how far to go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) seen: &'a Seen,
    pub(super) server_name: Option<&'a str>,
    pub(super) alpn: &'a [&'a [u8]],
    pub(super) starttls: Option<StartTls>,
    /// Whether checks that alarm an IDS are allowed.
    pub(super) intrusive: bool,
    pub(super) seed: u64,
}

/// What the questions brought; `None` where there was no question.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Features {
    /// The algorithms of RFC 8879 that certificates come compressed with.
    pub(super) certificate_compression: Option<Fact<Vec<String>>>,
    pub(super) encrypt_then_mac: Option<Fact<bool>>,
    pub(super) fallback_scsv: Option<Fact<bool>>,
    /// What turns the peer away, and what might.
    pub(super) intolerances: Option<BTreeMap<String, Fact<bool>>>,
    pub(super) nameless: Option<Fact<Nameless>>,
    /// Whether a session is taken up again, by version.
    pub(super) resumption: BTreeMap<Version, Fact<bool>>,
    /// How long a ticket of TLS 1.2 may be used, where current clients come to something newer.
    #[serde(default)]
    pub(super) ticket_lifetime: Option<u32>,
    /// Whether a command sent behind STARTTLS is carried out inside TLS.
    pub(super) smuggled: Option<Fact<bool>>,
    /// Whether the peer sent words in clear behind its go-ahead.
    pub(super) spoke_early: bool,
    /// What was tried with leave; nothing without it.
    pub(super) tried: Option<Tried>,
}

/// Asks what there is to ask of this peer.
pub(super) async fn ask(line: &Line<'_>, known: Known<'_>) -> Features {
    let mut features = Features::default();
    if known.seen.stopped.is_some() || !known.seen.board.is_any_offered() {
        return features;
    }
    let tolerances = tolerance::ask(line, known).boxed();
    let hellos = async {
        features.smuggled = smuggled::ask(line, known).await;
        features.fallback_scsv = Some(fallback::ask(line, known).await);
        features.encrypt_then_mac = Some(fallback::encrypt_then_mac(line, known).await);
        features.nameless = Some(nameless::ask(line, known).await);
    };
    let handshakes = async {
        let resumption = resumption::ask(line, known).await;
        (resumption, compression::ask(line, known).await)
    };
    let (hellos, handshakes) = (hellos.boxed(), handshakes.boxed());
    // A split hello waits between its halves; others need not wait for it.
    let (tolerances, (), (resumption, compression)) = match known.seen.bears_company {
        true => tokio::join!(tolerances, hellos, handshakes),
        false => (tolerances.await, hellos.await, handshakes.await),
    };
    features.intolerances = Some(tolerances);
    (features.resumption, features.ticket_lifetime) = resumption;
    features.certificate_compression = Some(compression);
    if known.intrusive {
        features.tried = Some(try_all(line, known).boxed().await);
    }
    features.spoke_early = line.spoke_early();
    features
}

impl Known<'_> {
    /// The versions known to be there among SSLv3 and newer, newest first.
    pub(super) fn offered(&self) -> impl Iterator<Item = Version> {
        Version::Tls13.and_below().filter(|&version| self.seen.board.is_offered(version))
    }

    /// The newest version that shows its certificate in clear.
    pub(super) fn newest_clear(&self) -> Option<Version> {
        self.offered().find(|&version| version < Version::Tls13)
    }

    /// Whether the version is there; the error is why nobody knows.
    pub(super) fn has(&self, version: Version) -> Fact<bool> {
        match self.seen.board.presence(version) {
            Presence::Offered => Ok(true),
            Presence::Absent => Ok(false),
            Presence::Unknown(why) => Err(why),
        }
    }

    /// Ok where one of these versions is there; else why the question could not be put.
    pub(super) fn any_of(&self, versions: &[Version]) -> Fact<()> {
        let mut why = Unknown::from(Reason::NotApplicable);
        for &version in versions {
            match self.has(version) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(unknown) => why = unknown,
            }
        }
        Err(why)
    }
}
