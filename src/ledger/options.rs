//! What the ledger is told at start, and what it is handed.

use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use siphasher::sip::SipHasher24;

use crate::finding::Policy;
use crate::sample::{Judgement, Sample, Verdict};
use crate::target::Labels;

/// How the ledger is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory; `None` keeps everything in memory (`data.dir: none`).
    pub dir: Option<PathBuf>,
    /// How long samples are kept.
    pub retention: Duration,
    /// The most bytes the store may take; raw samples go first, evidence never.
    pub max_size: Option<u64>,
    /// What `evidence_url` begins with.
    pub external_url: Option<String>,
    /// When a segment of the log ends.
    pub segment: SegmentPolicy,
    /// How long a commit waits for more samples when nothing in it is urgent. A breach, an alert's
    /// answer or an event never waits longer than 5 ms.
    pub linger: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: None,
            retention: Duration::from_secs(30 * 86_400),
            max_size: None,
            external_url: None,
            segment: SegmentPolicy::default(),
            linger: Duration::from_millis(250),
        }
    }
}

/// When a segment of the log ends: whichever comes first.
#[derive(Clone, Copy, Debug)]
pub struct SegmentPolicy {
    /// After so many bytes of events and sample rows.
    pub max_bytes: u64,
    /// After so long.
    pub max_age: Duration,
}

impl Default for SegmentPolicy {
    fn default() -> Self {
        Self { max_bytes: 256 << 20, max_age: Duration::from_secs(86_400) }
    }
}

/// A judged sample, with what the ledger must know of its point.
#[derive(Clone, Debug)]
pub struct Record {
    /// The sample. A slot is one of the plan that it was taken by: the point's own, or for a glimpse
    /// (http → tls) that of the point whose run gave it, by which alone the point is sampled.
    pub sample: Sample,
    /// What the rules said.
    pub judgements: Vec<Judgement>,
    /// The sample's verdict.
    pub verdict: Verdict,
    /// The target's labels.
    pub labels: Arc<Labels>,
    /// How sure findings must be.
    pub policy: Policy,
    /// What the probe wants remembered; `None` keeps what there was.
    pub memory: Option<Memory>,
    /// The mark of the memory that the run was handed. What it wants remembered is dropped where
    /// that is no longer the point's memory: a person has accepted another meanwhile.
    pub memory_before: u64,
    /// The plan's name.
    pub plan: Arc<str>,
    /// How old the last known fact may become.
    pub freshness: Duration,
    /// The plan's longest regular time between two samples.
    pub interval: Duration,
    /// Slots of the plan that came due since its last sample ([`PointState::last_scheduled`]), this
    /// one included; what passed unseen of them is counted as such.
    pub due: u64,
}

/// A probe's memory of one point: the latest snapshot, outside the chain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Memory {
    /// The version of the bytes' form.
    pub version: u16,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Memory {
    /// The mark of a point that has no memory.
    pub const NO_MARK: u64 = 0;

    /// A number that tells one memory from another; never [`Memory::NO_MARK`].
    pub fn mark(&self) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(0x5365_6363_6869, 3);
        self.version.hash(&mut hasher);
        self.bytes.hash(&mut hasher);
        hasher.finish().max(1)
    }
}

/// What became of a record, once it is on disk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Receipt {
    /// Repeat samples to take now: the sample opened a finding that no repeat has looked at.
    pub repeats_wanted: u32,
    /// Findings that the sample opened.
    pub opened: usize,
    /// Steps in findings' lives.
    pub transitions: usize,
}

/// A sampling point's past.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PointState {
    /// The last sample.
    pub last_sample: Option<DateTime<Utc>>,
    /// The last sample that measured something.
    pub last_known: Option<DateTime<Utc>>,
    /// The last sample of the point's own plan; after a restart, any sample.
    pub last_scheduled: Option<DateTime<Utc>>,
    /// The last slot taken; a slot at or before it never runs again.
    pub last_slot: Option<i64>,
    /// The last sample's verdict.
    pub verdict: Option<Verdict>,
}

/// How the store is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Why it cannot be written at present.
    pub failure: Option<String>,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
    /// Findings' steps that wait to be written; they are delivered all the same.
    pub unrecorded: usize,
    /// Samples lost because they could not be written, since the daemon started.
    pub lost_samples: u64,
}
