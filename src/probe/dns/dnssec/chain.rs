//! The chain of trust from the anchor down to a zone's delegation (RFC 4035 §5).

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use hickory_proto::rr::{Name, RecordType};

use super::anchor::{self, Anchors};
use super::verify::{self, Bench};
use super::{Ds, Packet, Why, shown};
use crate::probe::dns::ask::{Server, locked};
use crate::probe::dns::delegate::{Cut, Walk};
use crate::target::Settings;

/// How a zone is handed down to its servers.
#[derive(Clone, Debug)]
pub(in crate::probe::dns) enum Delegation {
    /// The chain fails above the zone's own servers.
    Broken { why: Why, failing: String },
    /// Keys of these digests must sign it; without an anchor the parent's word stands unproven.
    Signed { ds: Vec<Ds>, anchored: bool },
    /// What is needed to tell was not answered.
    Unknown,
    /// Nothing above vouches for keys of it.
    Unsigned(Why),
}

/// Follows the chain to `cut`, and the DS set that the parent gives, whatever it is worth.
pub(in crate::probe::dns) async fn trace(
    walk: &Walk<'_>,
    cut: &Arc<Cut>,
    settings: &Settings,
) -> (Delegation, Option<BTreeSet<Ds>>) {
    let file = settings.trust_anchor.as_ref().map(|file| &*file.text);
    // Another root's hints without its anchor: nothing of it can be secure.
    let anchored = file.is_some() || settings.root_hints.is_none();
    let anchors = if anchored { anchor::anchors(file) } else { Anchors::new() };
    let chain = Chain { walk, anchors, asked: Mutex::default() };
    let given = chain.given(cut).await;
    let delegation = match (&given, anchored) {
        (_, true) => chain.delegation(cut).await,
        (Some(ds), false) if ds.is_empty() => Delegation::Unsigned(Why::NoDs),
        (Some(ds), false) => Delegation::Signed { ds: ds.iter().cloned().collect(), anchored },
        (None, false) => Delegation::Unknown,
    };
    (delegation, given)
}

struct Chain<'a> {
    walk: &'a Walk<'a>,
    anchors: Anchors,
    asked: Mutex<HashMap<Asked, Option<Arc<Packet>>>>,
}

/// A server, and what it was asked.
type Asked = (SocketAddr, Name, RecordType);

/// What a zone's keys are worth.
enum Trust {
    Broken { why: Why, failing: String },
    Keys(Bench),
    Unknown,
    Unsigned,
}

impl Chain<'_> {
    /// The parent's DS set as it gives it; empty where it has none.
    async fn given(&self, cut: &Cut) -> Option<BTreeSet<Ds>> {
        if cut.name.is_root() {
            return None;
        }
        for server in cut.parents().iter().take(MAX_TRIES) {
            if let Some(packet) = self.ask(server, &cut.name, RecordType::DS).await {
                let set = packet.answer(&cut.name, RecordType::DS);
                let data = set.into_iter().flat_map(|set| &set.data);
                return Some(data.filter_map(|data| Ds::read(data)).collect());
            }
        }
        None
    }

    fn delegation<'b>(&'b self, cut: &'b Arc<Cut>) -> BoxFuture<'b, Delegation> {
        Box::pin(async move {
            if let Some(trusted) = self.anchors.get(&cut.name) {
                return Delegation::Signed { ds: trusted.digests(&cut.name), anchored: true };
            }
            if cut.name.is_root() {
                return Delegation::Unknown;
            }
            let parent = self.walk.zone_above(&cut.name);
            match self.trust(&parent).await {
                Trust::Unknown => Delegation::Unknown,
                Trust::Broken { why, failing } => Delegation::Broken { why, failing },
                Trust::Unsigned => match self.given(cut).await {
                    Some(ds) if ds.is_empty() => Delegation::Unsigned(Why::NoDs),
                    _ => Delegation::Unsigned(Why::ParentNotSigned),
                },
                Trust::Keys(bench) => self.vouched(cut, &bench).await,
            }
        })
    }

    /// The DS set, or the proof that there is none, held by the parent's keys at one of its servers.
    async fn vouched(&self, cut: &Cut, bench: &Bench) -> Delegation {
        let mut found = Delegation::Unknown;
        for server in cut.parents().iter().take(MAX_TRIES) {
            let Some(packet) = self.ask(server, &cut.name, RecordType::DS).await else { continue };
            match vouches(cut, bench, &packet) {
                Ok(ds) if ds.is_empty() => return Delegation::Unsigned(Why::NoDs),
                Ok(ds) => return Delegation::Signed { ds, anchored: true },
                Err(Why::UnsupportedNsec3Iterations) => return Delegation::Unsigned(Why::NoDs),
                Err(Why::Indeterminate) => {}
                Err(why) => {
                    found = Delegation::Broken { why, failing: shown(&cut.name, RecordType::DS) };
                }
            }
        }
        found
    }

    /// The keys of a zone on the way.
    async fn trust(&self, cut: &Arc<Cut>) -> Trust {
        let ds = match self.delegation(cut).await {
            Delegation::Unknown => return Trust::Unknown,
            Delegation::Broken { why, failing } => return Trust::Broken { why, failing },
            Delegation::Unsigned(_) => return Trust::Unsigned,
            Delegation::Signed { ds, .. } => ds,
        };
        let mut found = Trust::Unknown;
        for server in self.walk.servers(cut).await.iter().take(MAX_TRIES) {
            let Some(packet) = self.ask(server, &cut.name, RecordType::DNSKEY).await else {
                continue;
            };
            let keys = packet.answer(&cut.name, RecordType::DNSKEY);
            match verify::entry(&cut.name, &ds, keys, self.walk.now()) {
                Ok(bench) => return Trust::Keys(bench),
                Err(Why::UnsupportedDnskeyAlgorithm | Why::UnsupportedDsDigestType) => {
                    return Trust::Unsigned;
                }
                Err(Why::Indeterminate) => {}
                Err(why) => {
                    let failing = shown(&cut.name, RecordType::DNSKEY);
                    found = Trust::Broken { why, failing };
                }
            }
        }
        found
    }

    /// A server's answer, asked for once.
    async fn ask(&self, server: &Server, name: &Name, kind: RecordType) -> Option<Arc<Packet>> {
        let key = (server.address, name.clone(), kind);
        if let Some(packet) = locked(&self.asked).get(&key) {
            return packet.clone();
        }
        let packet = self.walk.packet(server, name, kind).await.map(Arc::new);
        locked(&self.asked).insert(key, packet.clone());
        packet
    }
}

fn vouches(cut: &Cut, bench: &Bench, packet: &Packet) -> Result<Vec<Ds>, Why> {
    match packet.answer(&cut.name, RecordType::DS) {
        Some(set) => {
            bench.positive(packet, set)?;
            Ok(set.data.iter().filter_map(|data| Ds::read(data)).collect())
        }
        None => {
            bench.denies(packet, &cut.name, RecordType::DS, packet.nxdomain)?;
            Ok(Vec::new())
        }
    }
}

/// Servers of one zone asked on the way, until one validates.
const MAX_TRIES: usize = 3;
