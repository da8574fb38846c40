//! What sources of expectations last said, for a daemon that outlives a broken one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::files::{Disk, Files};
use crate::target::TextFile;

/// The last good text of each source, and which of them are not good now.
#[derive(Debug, Default)]
pub struct GoodSources(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    good: BTreeMap<PathBuf, Arc<str>>,
    failing: BTreeSet<PathBuf>,
}

impl GoodSources {
    /// Sources that the last load could not use as they are.
    pub fn failing(&self) -> Vec<PathBuf> {
        self.state().failing.iter().cloned().collect()
    }

    /// A load begins.
    pub(super) fn begin(&self) {
        self.state().failing.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file system, with the memory of sources that were good once.
#[derive(Debug)]
pub(super) struct Keeping<'a, F: Files = Disk> {
    pub(super) files: F,
    pub(super) sources: &'a GoodSources,
}

impl<F: Files> Files for Keeping<'_, F> {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        self.files.read(path, limit)
    }

    fn glob(&self, pattern: &str) -> io::Result<Vec<PathBuf>> {
        self.files.glob(pattern)
    }

    fn credentials(&self) -> Option<PathBuf> {
        self.files.credentials()
    }

    fn has_daemons_own(&self) -> bool {
        self.files.has_daemons_own()
    }

    fn keep_good(&self, file: &TextFile) {
        let mut state = self.sources.state();
        if state.good.len() < MAX_SOURCES || state.good.contains_key(&file.path) {
            state.good.insert(file.path.clone(), Arc::clone(&file.text));
        }
    }

    fn last_good(&self, path: &Path) -> Option<Arc<str>> {
        let mut state = self.sources.state();
        let good = state.good.get(path).cloned()?;
        state.failing.insert(path.to_owned());
        Some(good)
    }
}

/// Sources remembered.
const MAX_SOURCES: usize = 1_000;
