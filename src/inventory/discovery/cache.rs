//! The last good list of a source, kept over restarts.

use std::collections::BTreeMap;
use std::fs;
use std::hash::Hasher;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use super::{Group, groups::MAX_BYTES};

/// What a source last gave, by part: the files of a file_sd, or the one URL of an http_sd.
pub(super) type Parts = BTreeMap<String, Vec<Group>>;

/// Where one source's list is kept.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    path: PathBuf,
}

#[derive(Deserialize, Serialize)]
struct Kept<P> {
    version: u32,
    parts: P,
}

impl Cache {
    /// The file of a source in `folder`. It hangs on what the source is, not on its place in the
    /// config, so that a list is never taken for another source's.
    pub(super) fn new(folder: &Path, kind: &str, identity: &str) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0x5365_6363_6869, 2);
        hasher.write(identity.as_bytes());
        Self { path: folder.join(format!("{kind}-{:016x}.json", hasher.finish())) }
    }

    /// The kept list; `None` where there is none that can be read.
    pub(super) fn read(&self) -> Option<Parts> {
        let mut bytes = Vec::new();
        // Several files may each be as large as a list may be.
        let limit = 4 * MAX_BYTES as u64;
        fs::File::open(&self.path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
        let kept: Kept<Parts> = serde_json::from_slice(&bytes).ok()?;
        (kept.version == VERSION).then_some(kept.parts)
    }

    /// Keeps a list: whoever reads sees the old one or the new one, whole.
    pub(super) fn write(&self, parts: &Parts) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let next = self.path.with_extension("tmp");
        let mut file = fs::File::create(&next)?;
        file.write_all(&serde_json::to_vec(&Kept { version: VERSION, parts })?)?;
        file.sync_all()?;
        fs::rename(&next, &self.path)
    }
}

const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_reads_back_and_belongs_to_its_source_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(&folder.path().join("new"), "http_sd", "https://a.test/sd");
        assert!(cache.read().is_none());
        let group = Group { targets: vec!["a.test".to_owned()], ..Group::default() };
        let parts = Parts::from([("x".to_owned(), vec![group])]);
        cache.write(&parts).expect("written");
        assert_eq!(cache.read(), Some(parts));
        let other = Cache::new(&folder.path().join("new"), "http_sd", "https://b.test/sd");
        assert!(other.read().is_none());
    }

    #[test]
    fn a_torn_list_counts_as_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(folder.path(), "file_sd", "x");
        fs::write(&cache.path, b"{\"version\": 1, \"parts\": {").expect("written");
        assert!(cache.read().is_none());
    }
}
