//! The seed's file: made at first start, private, shared by replicas.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::place;
use crate::config::Config;
use crate::schedule::Seed;

/// The seed of a daemon that keeps it in this file, or a random one where it keeps nothing.
pub(super) fn load(file: Option<PathBuf>) -> anyhow::Result<Seed> {
    let Some(file) = file else { return random() };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("the folder {}", folder.display()))?;
    }
    load_or_create(&file)
}

/// The seed that the daemon of this config made, if it did; nothing is made here.
pub fn of_config(config: &Config) -> anyhow::Result<Option<Seed>> {
    let dir = place::data_dir(None, &config.data).unwrap_or_default();
    match place::seed_file(&config.data, dir.as_deref()) {
        Some(file) if file.is_file() => load_or_create(&file).map(Some),
        _ => Ok(None),
    }
}

/// Reads the seed's file, or makes it.
fn load_or_create(path: &Path) -> anyhow::Result<Seed> {
    let in_context = || format!("the seed's file {}", path.display());
    match File::open(path) {
        Ok(file) => read(file).with_context(in_context),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create(path).with_context(in_context)
        }
        Err(error) => Err(error).with_context(in_context),
    }
}

/// A seed from the system's randomness.
pub fn random() -> anyhow::Result<Seed> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("the system gave no randomness"))?;
    Ok(Seed(bytes))
}

fn read(file: File) -> anyhow::Result<Seed> {
    let mut text = String::new();
    file.take(1024).read_to_string(&mut text)?;
    Ok(text.trim().parse()?)
}

fn create(path: &Path) -> anyhow::Result<Seed> {
    let seed = random()?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", seed.to_hex())?;
    file.sync_all()?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_seed_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("seed");
        let first = load_or_create(&path).expect("a seed");
        assert_eq!(load_or_create(&path).expect("the same seed").to_hex(), first.to_hex());
        let mode = std::fs::metadata(&path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_seed_that_cannot_be_read_is_an_error_and_is_not_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("seed");
        std::fs::write(&path, "nonsense").expect("a file");
        assert!(load_or_create(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).expect("text"), "nonsense");
    }
}
