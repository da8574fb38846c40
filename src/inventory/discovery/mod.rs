//! Discovery: file_sd and http_sd in Prometheus' exact shapes. A source that fails keeps what it
//! last gave, over restarts too: a failure is never taken for an empty list.

mod cache;
mod file_sd;
mod groups;
mod http_sd;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use thiserror::Error;

use crate::outgoing::{Client, ClientError, HttpClientSpec, Manner};
use cache::{Cache, Parts};
use http_sd::Poll;

pub use groups::{Format, Group, GroupsError, MAX_BYTES, MAX_GROUPS, MAX_TARGETS, parse_groups};

/// Where targets are discovered.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceSpec {
    /// Lists in files.
    File {
        /// Absolute glob patterns of `.json`, `.yml` and `.yaml` files.
        patterns: Vec<String>,
        /// How often they are read.
        refresh: Duration,
    },
    /// A list over HTTP.
    Http {
        /// Where.
        url: Url,
        /// How often it is asked for.
        refresh: Duration,
        /// How.
        http: Box<HttpClientSpec>,
    },
}

impl SourceSpec {
    /// Its name in metrics and messages, where it is the `index`-th of its kind: `file_sd/0`.
    pub fn label(&self, index: usize) -> String {
        format!("{}/{index}", self.kind())
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::File { .. } => "file_sd",
            Self::Http { .. } => "http_sd",
        }
    }

    /// The lists that there are now, by file, and the first that cannot be read; none over HTTP. Blocks.
    pub fn lists(&self) -> (BTreeMap<String, Vec<Group>>, Option<DiscoveryError>) {
        match self {
            Self::File { patterns, .. } => file_sd::read_all(patterns, &Parts::new()),
            Self::Http { .. } => (Parts::new(), None),
        }
    }
}

/// One source with what it last gave.
#[derive(Debug)]
pub struct Discovery {
    label: String,
    refresh: Duration,
    origin: Origin,
    cache: Option<Cache>,
    /// What is in force; `None` until the source, or the cache, gave something.
    last: Option<Parts>,
    /// The next list is taken as it is, however little it has of the last one.
    accepts_loss: bool,
    told: Option<Vec<Group>>,
}

#[derive(Debug)]
enum Origin {
    File(Vec<String>),
    Http(Box<Poll>),
}

/// What a refresh came to.
#[derive(Debug)]
pub struct Refreshed {
    /// The groups as last known, in a stable order.
    pub groups: Vec<Group>,
    /// Whether the source ever gave a list; without it `groups` is empty and says nothing.
    pub known: bool,
    /// What went wrong; `groups` is then (in part) what was known before.
    pub error: Option<DiscoveryError>,
    /// Whether `groups` differs from what the last refresh gave; true the first time.
    pub changed: bool,
    /// Targets that the newest list lacks, over half of them: they stay until a person agrees.
    pub held: usize,
    /// When to refresh again.
    pub next: Duration,
}

impl Discovery {
    /// A source. `index` is its place among its kind; `cache` is the folder for last good lists.
    /// Reads the kept list, so call it where blocking for a moment does no harm.
    pub fn new(
        spec: &SourceSpec,
        index: usize,
        user_agent: &str,
        cache: Option<&Path>,
    ) -> Result<Self, DiscoveryError> {
        let (kind, identity, refresh, origin) = match spec {
            SourceSpec::File { patterns, refresh } => {
                (spec.kind(), patterns.join("\n"), *refresh, Origin::File(patterns.clone()))
            }
            SourceSpec::Http { url, refresh, http } => {
                let manner = Manner { user_agent, timeout: http_sd::PATIENCE, redirects: 5 };
                let client = Client::new(http, url, manner)?;
                let identity = url.to_string();
                let poll = Poll { client, url: url.clone(), refresh: *refresh };
                (spec.kind(), identity, *refresh, Origin::Http(Box::new(poll)))
            }
        };
        let cache = cache.map(|folder| Cache::new(folder, kind, &identity));
        let last = cache.as_ref().and_then(Cache::read);
        let label = spec.label(index);
        Ok(Self { label, refresh, origin, cache, last, accepts_loss: false, told: None })
    }

    /// A person has agreed to what the source says next, be it ever so little.
    #[must_use]
    pub fn accepting_loss(mut self) -> Self {
        self.accepts_loss = true;
        self
    }

    /// The source's name in metrics and messages: `file_sd/0`, `http_sd/1`.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Asks the source again.
    pub async fn refresh(&mut self) -> Refreshed {
        let before = self.last.clone().unwrap_or_default();
        let (parts, mut error) = match &self.origin {
            Origin::File(patterns) => read_files(patterns.clone(), before).await,
            Origin::Http(poll) => match poll.fetch().await {
                Ok(groups) => (Some(Parts::from([(String::new(), groups)])), None),
                Err(error) => (None, Some(error)),
            },
        };
        let mut held = 0;
        if let Some(parts) = parts
            // A source of which nothing was ever read is not known to be empty.
            && !(self.last.is_none() && error.is_some() && parts.is_empty())
        {
            held = self.lost(&parts);
            self.accepts_loss &= error.is_some();
            if held == 0 && self.last.as_ref() != Some(&parts) {
                let failed = self.keep(parts.clone()).await;
                error = error.or(failed);
                self.last = Some(parts);
            }
        }
        let groups: Vec<Group> =
            self.last.iter().flat_map(|p| p.values()).flatten().cloned().collect();
        let changed = self.told.as_ref() != Some(&groups);
        self.told = Some(groups.clone());
        Refreshed { groups, known: self.last.is_some(), error, changed, held, next: self.refresh }
    }

    /// How many targets a new list lacks, where that is too many to believe it.
    fn lost(&self, parts: &Parts) -> usize {
        let count = |parts: &Parts| parts.values().flatten().map(Group::count).sum();
        let (before, now): (usize, usize) = (self.last.as_ref().map_or(0, count), count(parts));
        if !self.accepts_loss && vanished(before, now) { before - now } else { 0 }
    }

    async fn keep(&self, parts: Parts) -> Option<DiscoveryError> {
        let cache = self.cache.clone()?;
        let written = tokio::task::spawn_blocking(move || cache.write(&parts)).await;
        match written {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(DiscoveryError::Cache(error.to_string())),
            Err(_) => Some(DiscoveryError::Cache("the writer was stopped".to_owned())),
        }
    }
}

impl fmt::Display for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

async fn read_files(
    patterns: Vec<String>,
    before: Parts,
) -> (Option<Parts>, Option<DiscoveryError>) {
    match tokio::task::spawn_blocking(move || file_sd::read_all(&patterns, &before)).await {
        Ok((parts, error)) => (Some(parts), error),
        Err(_) => (None, Some(DiscoveryError::Cache("the reader was stopped".to_owned()))),
    }
}

/// Whether over half of a list vanished: withdrawals then wait for a person.
pub fn vanished(previous: usize, now: usize) -> bool {
    now < previous && (previous - now) * 2 > previous
}

/// Whether discovery can read a file of this name at all.
pub fn is_list_name(pattern: &str) -> bool {
    file_sd::format_of(Path::new(pattern)).is_some()
}

/// Why a source could not be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// The last good list could not be kept.
    #[error("the last good list could not be kept: {0}")]
    Cache(String),
    /// The client could not be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A name that is neither JSON nor YAML.
    #[error("{}: a list is a .json, .yml or .yaml file", file.display())]
    Extension {
        /// The file.
        file: PathBuf,
    },
    /// A file that is no list.
    #[error("{}:{error}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong, with its position.
        error: GroupsError,
    },
    /// No usable answer.
    #[error("{url}: {message}")]
    Http {
        /// The URL, without what may be secret.
        url: String,
        /// What went wrong.
        message: String,
    },
    /// A pattern that cannot be followed.
    #[error("{pattern}: {message}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What went wrong.
        message: String,
    },
    /// A file that cannot be read.
    #[error("{}: {message}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What went wrong.
        message: String,
    },
    /// More than 10,000.
    #[error("the patterns match more than 10,000 files")]
    TooManyFiles,
    /// An answer that is no list.
    #[error("{url}:{error}")]
    Url {
        /// The URL, without what may be secret.
        url: String,
        /// What is wrong, with its position.
        error: GroupsError,
    },
}

#[cfg(test)]
mod tests;
