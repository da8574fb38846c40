//! Room set aside on the disk, so that the last findings can still be written when it is full.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::LedgerError;

/// A file of one mebibyte that is freed when the store cannot be written.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    held: bool,
}

impl Reserve {
    /// Sets the room aside. A directory that has not even that is refused at start.
    pub(super) fn make(dir: &Path) -> Result<Self, LedgerError> {
        let mut reserve = Self { path: dir.join("ledger.reserve"), held: false };
        match reserve.hold() {
            Ok(()) => Ok(reserve),
            Err(source) => Err(LedgerError::Directory { dir: dir.to_owned(), source }),
        }
    }

    /// Sets it aside again, if it was freed.
    pub(super) fn hold(&mut self) -> io::Result<()> {
        if self.held {
            return Ok(());
        }
        let written = write(&self.path);
        self.held = written.is_ok();
        if !self.held {
            let _ = fs::remove_file(&self.path);
        }
        written
    }

    /// Frees it; says whether there was anything to free.
    pub(super) fn free(&mut self) -> bool {
        std::mem::take(&mut self.held) && fs::remove_file(&self.path).is_ok()
    }
}

/// Bytes that no file system folds away.
fn write(path: &Path) -> io::Result<()> {
    let mut noise = fastrand::Rng::with_seed(1);
    let block: Vec<u8> = std::iter::repeat_with(|| noise.u8(..)).take(64 * 1024).collect();
    let mut file = File::create(path)?;
    for _ in 0..16 {
        file.write_all(&block)?;
    }
    file.sync_all()
}
