//! A sampling point as the sampler is told of it, and how lists of them are asked for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::rules::Selection;
use crate::schedule::Plan;
use crate::target::{Point, ProbeKind};

/// One sampling point as the sampler keeps it. What many points share is behind an `Arc`.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The point.
    pub point: Point,
    /// When it is sampled.
    pub plan: Arc<Plan>,
    /// The plan's name.
    pub plan_name: Arc<str>,
    /// What its samples are held to.
    pub selection: Selection,
    /// How a first breach is looked at again.
    pub repeat: Repeat,
    /// How old the last known fact may be.
    pub freshness: Duration,
    /// Whether it gives glimpses, or takes them.
    pub glimpse: Glimpse,
    /// Of a ports point that starts a run: ports of the host whose TLS other points look at.
    pub spoken_for: Arc<[u16]>,
}

/// What a point has to do with glimpses, samples that another point's runs give by the way: the http
/// point's handshake, and that of a ports run on whatever port, show what tls rules say of
/// certificates.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Glimpse {
    /// Nothing.
    #[default]
    Apart,
    /// Its runs give them.
    Gives,
    /// It lives by them: it has no due times of its own.
    Takes,
}

/// How a first breach is looked at again (`repeat:` of a target).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Repeat {
    /// What was missed or can be forged is decided within so many samples.
    pub samples: u32,
    /// So many of them must agree.
    pub agree: u32,
    /// Within which time they are taken.
    pub within: Duration,
}

/// The last sample that a plan took of a point, before a restart.
#[derive(Clone, Copy, Debug)]
pub struct Last {
    /// Its slot.
    pub slot: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// When something was measured last, then or before.
    pub known_at: Option<DateTime<Utc>>,
}

/// A point's place in lists: by target, probe and address, no address first.
pub type Rank = (Arc<str>, ProbeKind, Option<IpAddr>);

/// Which points of the roster, in the order of their [`Rank`].
#[derive(Clone, Debug, Default)]
pub struct PageQuery {
    /// Only this target's.
    pub target: Option<Arc<str>>,
    /// Only this probe's.
    pub probe: Option<ProbeKind>,
    /// Only those after this one.
    pub after: Option<Rank>,
    /// At most so many.
    pub limit: usize,
}
