//! Where the daemon keeps its things on this machine, and what it may hold open.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::config::{DataDir, DataSpec};

/// The data directory: the one `wanted` on the command line, of the config, of systemd, of the user.
pub fn data_dir(wanted: Option<PathBuf>, data: &DataSpec) -> anyhow::Result<Option<PathBuf>> {
    if wanted.is_some() {
        return Ok(wanted);
    }
    match &data.dir {
        DataDir::None => Ok(None),
        DataDir::Path(path) => Ok(Some(path.clone())),
        DataDir::Default => default_data_dir().map(Some),
    }
}

/// The file that holds the seed; none where nothing is kept.
pub(super) fn seed_file(data: &DataSpec, dir: Option<&Path>) -> Option<PathBuf> {
    data.seed_file.clone().or_else(|| dir.map(|dir| dir.join("seed")))
}

/// Files that the process may hold open; `None` where there is no limit.
pub(super) fn file_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current
}

/// How this machine calls itself.
pub(super) fn own_name() -> Option<String> {
    let name = rustix::system::uname().nodename().to_str().ok()?.to_ascii_lowercase();
    (!name.is_empty()).then_some(name)
}

/// Where a listener is reached from elsewhere, as far as this machine can tell.
pub(super) fn url_of(listen: SocketAddr) -> String {
    match own_name().filter(|_| listen.ip().is_unspecified()) {
        Some(name) => format!("http://{name}:{}/", listen.port()),
        None => format!("http://{listen}/"),
    }
}

/// `$STATE_DIRECTORY`, else the user's state folder.
fn default_data_dir() -> anyhow::Result<PathBuf> {
    let variable =
        |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("STATE_DIRECTORY")
        .or_else(|| variable("XDG_STATE_HOME").map(|home| home.join("secchi")))
        .or_else(|| variable("HOME").map(|home| home.join(".local/state/secchi")))
        .context("no data directory: set data.dir or --data-dir")
}
