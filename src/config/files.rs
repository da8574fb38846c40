//! The files that a config names, behind a small trait, so that tests need no disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::target::{ByteSize, TextFile};

/// How files are reached.
pub trait Files {
    /// A file's bytes; fails where there are more than `limit`.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>>;

    /// The files that a glob pattern matches, sorted.
    fn glob(&self, pattern: &str) -> io::Result<Vec<PathBuf>>;

    /// The folder that systemd puts credentials in (`$CREDENTIALS_DIRECTORY`).
    fn credentials(&self) -> Option<PathBuf>;

    /// Remembers a source of expectations that could be read.
    fn keep_good(&self, _file: &TextFile) {}

    /// What such a source said when it could last be read, where somebody remembers it.
    fn last_good(&self, _path: &Path) -> Option<Arc<str>> {
        None
    }

    /// Whether the daemon's own files are at hand: secrets, and the listener's.
    fn has_daemons_own(&self) -> bool {
        true
    }
}

/// The file system.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(too_large(limit));
        }
        Ok(bytes)
    }

    fn glob(&self, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let found = glob::glob(pattern)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let mut files = Vec::new();
        for entry in found.take(MAX_MATCHES) {
            files.push(entry.map_err(io::Error::from)?);
        }
        Ok(files)
    }

    fn credentials(&self) -> Option<PathBuf> {
        std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
    }
}

/// The file system of a pipeline, which has the config, but none of the daemon's secrets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checkout;

impl Files for Checkout {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        Disk.read(path, limit)
    }

    fn glob(&self, pattern: &str) -> io::Result<Vec<PathBuf>> {
        Disk.glob(pattern)
    }

    fn credentials(&self) -> Option<PathBuf> {
        None
    }

    fn has_daemons_own(&self) -> bool {
        false
    }
}

/// Files in memory, for tests.
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles {
    /// Path to contents.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// `$CREDENTIALS_DIRECTORY`.
    pub credentials: Option<PathBuf>,
}

impl MemoryFiles {
    /// Files by path and contents.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let files =
            files.into_iter().map(|(path, text)| (PathBuf::from(path), text.into())).collect();
        Self { files, credentials: None }
    }
}

impl Files for MemoryFiles {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        match self.files.get(path) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(bytes) if bytes.len() > limit => Err(too_large(limit)),
            Some(bytes) => Ok(bytes.clone()),
        }
    }

    fn glob(&self, pattern: &str) -> io::Result<Vec<PathBuf>> {
        let pattern = glob::Pattern::new(pattern)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Ok(self.files.keys().filter(|path| pattern.matches_path(path)).cloned().collect())
    }

    fn credentials(&self) -> Option<PathBuf> {
        self.credentials.clone()
    }
}

fn too_large(limit: usize) -> io::Error {
    let text = format!("it is larger than {}", ByteSize(limit as u64));
    io::Error::new(io::ErrorKind::FileTooLarge, text)
}

/// The largest HSTS preload list, in bytes; Chromium's has over ten million.
pub const MAX_LIST: usize = 64 * 1024 * 1024;

/// The largest other file that a config may name, in bytes.
pub const MAX_FILE: usize = 4 * 1024 * 1024;

const MAX_MATCHES: usize = 1_000;
