//! Requests beyond the two that every sample makes. By hand all of them are made at once; by plan
//! they take turns, so that a sample makes two more at most.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::Method;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use url::Url;

use crate::sample::{Cause, Reason, Unknown};

use super::body::Want;
use super::exchange::Answer;
use super::exposures;
use super::redirect;
use super::walk::{Walker, Way};

/// One more thing to ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Extra {
    /// `/robots.txt`, for the cookies it may set.
    Robots,
    /// The page, as a script of another origin would ask for it.
    Cors(CorsMethod, Origin),
    /// `TRACE`.
    Trace,
    /// The page, compressed if the site does that.
    Compressed,
    /// `/.well-known/security.txt`.
    SecurityTxt,
    /// `/.well-known/change-password`.
    ChangePassword,
    /// A well-known resource that does not exist: who answers with a page there, says nothing by it.
    ChangePasswordControl,
    /// A path that nobody has, for the same reason.
    Control,
    /// A file that should not be had, by its place in the table.
    Exposure(usize),
}

impl Extra {
    fn is_get(self) -> bool {
        !matches!(self, Self::Trace | Self::Cors(CorsMethod::Options, _))
    }
}

/// How another origin asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CorsMethod {
    /// With the request itself.
    Get,
    /// With a preflight.
    Options,
}

impl CorsMethod {
    /// Its name.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Options => "OPTIONS",
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    /// A site that has nothing to do with this one.
    Foreign,
    /// A sandboxed frame, a file.
    Null,
    /// A foreign site whose name begins with this one's.
    Substring,
    /// This host without TLS: whoever is on the way.
    PlainHttp,
}

impl Origin {
    /// Every one.
    pub(super) const ALL: [Self; 4] = [Self::Foreign, Self::Null, Self::Substring, Self::PlainHttp];

    /// Its name.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Null => "null",
            Self::Substring => "substring",
            Self::PlainHttp => "plain_http",
        }
    }

    /// What it writes into `Origin` when it asks of this host.
    pub(super) fn of(self, host: &str) -> String {
        match self {
            Self::Foreign => FOREIGN_ORIGIN.to_owned(),
            Self::Null => "null".to_owned(),
            Self::Substring => format!("https://{host}.{FOREIGN_HOST}"),
            Self::PlainHttp => format!("http://{host}"),
        }
    }
}

/// What was asked, and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// What.
    pub(super) extra: Extra,
    /// The origin it was asked by; empty if none.
    pub(super) origin: String,
    /// The response, or why there is none.
    pub(super) answer: Result<Answer, Unknown>,
}

/// Whose turn is next, and when the last one was.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Turns {
    next: usize,
    /// Unix time.
    last_at: i64,
}

impl Turns {
    /// What this run asks for.
    pub(super) fn take(&mut self, cause: Cause, now: DateTime<Utc>) -> Vec<Extra> {
        match cause {
            Cause::Manual => {
                let mut all: Vec<Extra> = Vec::new();
                for extra in turns().into_iter().flatten() {
                    if !all.contains(&extra) {
                        all.push(extra);
                    }
                }
                all
            }
            // What these requests show needs no second look.
            Cause::Repeat => Vec::new(),
            // However often the page is sampled, the rest need not be.
            _ if now.timestamp().saturating_sub(self.last_at) < SECONDS_BETWEEN => Vec::new(),
            _ => {
                let mut turns = turns();
                let at = self.next % turns.len();
                *self = Self { next: at + 1, last_at: now.timestamp() };
                turns.swap_remove(at)
            }
        }
    }
}

/// The turns: at most two requests each.
fn turns() -> Vec<Vec<Extra>> {
    use CorsMethod::{Get, Options};
    use Origin::{Foreign, Null, PlainHttp, Substring};
    let mut turns = vec![
        vec![Extra::Cors(Options, Foreign), Extra::Robots],
        vec![Extra::Cors(Get, Foreign), Extra::Cors(Get, Null)],
        vec![Extra::Cors(Get, Substring), Extra::Cors(Get, PlainHttp)],
        vec![Extra::Cors(Options, Null), Extra::Cors(Options, Substring)],
        vec![Extra::Cors(Options, PlainHttp), Extra::Trace],
        vec![Extra::Compressed, Extra::SecurityTxt],
        vec![Extra::ChangePassword, Extra::ChangePasswordControl],
    ];
    turns.extend((0..exposures::TABLE.len()).map(|at| vec![Extra::Control, Extra::Exposure(at)]));
    turns
}

/// Asks for each. `page` is the judged response's address, `root` the session's start.
pub(super) async fn ask(
    walker: &mut Walker<'_>,
    extras: Vec<Extra>,
    (page, root): (&Url, &Url),
    seed: u64,
    deadline: Instant,
) -> Vec<Asked> {
    let mut asked = Vec::new();
    // Some peers never answer what is not GET; one wait tells, and more would hold them up.
    let mut mute: Option<Unknown> = None;
    for extra in extras {
        let Some((url, origin)) = place(extra, page, root, seed) else { continue };
        let answer = match &mute {
            Some(why) if !extra.is_get() => Err(why.clone()),
            _ => one(walker, extra, &url, &origin, deadline).await,
        };
        if let (Err(why), false) = (&answer, extra.is_get()) {
            mute = Some(why.clone()).filter(|why| why.reason == Reason::Timeout).or(mute);
        }
        asked.push(Asked { extra, origin, answer });
    }
    asked
}

async fn one(
    walker: &mut Walker<'_>,
    extra: Extra,
    url: &Url,
    origin: &str,
    deadline: Instant,
) -> Result<Answer, Unknown> {
    let start = |bytes| Want::Start { bytes, until: deadline.min(Instant::now() + BODY_TIME) };
    let by = [("origin", origin)];
    let preflight = [("origin", origin), ("access-control-request-method", "GET")];
    let encodings = [("accept-encoding", "gzip, deflate, br, zstd")];
    let (method, fields, want): (_, &[_], _) = match extra {
        Extra::Cors(CorsMethod::Get, _) => (Method::GET, &by, Want::Nothing),
        Extra::Cors(CorsMethod::Options, _) => (Method::OPTIONS, &preflight, Want::Nothing),
        Extra::Trace => (Method::TRACE, &[], start(1024)),
        Extra::Compressed => (Method::GET, &encodings, Want::Nothing),
        Extra::SecurityTxt => (Method::GET, &[], start(super::security_txt::MAX_BYTES)),
        Extra::Control | Extra::Exposure(_) => (Method::GET, &[], start(exposures::MAX_BYTES)),
        Extra::Robots | Extra::ChangePassword | Extra::ChangePasswordControl => {
            (Method::GET, &[], Want::Nothing)
        }
    };
    // The rest is asked as anyone would ask.
    let is_as_user = matches!(extra, Extra::Cors(CorsMethod::Get, _) | Extra::Compressed);
    let way = Way { method, fields, want, is_as_user };
    let answer = walker.extra(url, way.clone(), deadline).await?;
    // RFC 9116 §3 lets the file be found by a redirect.
    match redirect::next(url, &answer.head) {
        Some(next) if extra == Extra::SecurityTxt => walker.extra(&next, way, deadline).await,
        _ => Ok(answer),
    }
}

/// Where it is asked, and by which origin.
fn place(extra: Extra, page: &Url, root: &Url, seed: u64) -> Option<(Url, String)> {
    let at = |path: &str| Some((root.join(path).ok()?, String::new()));
    match extra {
        Extra::Cors(_, origin) => Some((page.clone(), origin.of(page.host_str()?))),
        Extra::Trace | Extra::Compressed => Some((page.clone(), String::new())),
        Extra::Robots => at("/robots.txt"),
        Extra::SecurityTxt => at("/.well-known/security.txt"),
        Extra::ChangePassword => at("/.well-known/change-password"),
        Extra::ChangePasswordControl => {
            at("/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200")
        }
        Extra::Control => at(&format!("/{seed:016x}/secchi-was-here")),
        Extra::Exposure(index) => at(exposures::TABLE.get(index)?.path),
    }
}

/// Somewhat less than five minutes, the usual plan: each of its samples has its turn.
const SECONDS_BETWEEN: i64 = 270;

const FOREIGN_HOST: &str = "cors-probe.secchi.test";
const FOREIGN_ORIGIN: &str = "https://cors-probe.secchi.test";
const BODY_TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_plan_a_sample_asks_twice_more_at_most_and_in_the_end_for_everything() {
        let (mut taken, mut seen) = (Turns::default(), Vec::new());
        let at =
            |seconds: i64| DateTime::from_timestamp(1_795_000_000 + seconds, 0).expect("a time");
        for nth in 0..i64::try_from(turns().len()).expect("few") {
            let extras = taken.take(Cause::Scheduled, at(300 * nth));
            assert!(!extras.is_empty() && extras.len() <= 2);
            assert_eq!(taken.take(Cause::Repeat, at(300 * nth + 300)), []);
            assert_eq!(taken.take(Cause::Scheduled, at(300 * nth + 60)), []);
            seen.extend(extras);
        }
        let all = Turns::default().take(Cause::Manual, at(0));
        assert!(all.iter().all(|extra| seen.contains(extra)));
        assert_eq!(all.iter().filter(|extra| **extra == Extra::Control).count(), 1);
        let cors = all.iter().filter(|extra| matches!(extra, Extra::Cors(..))).count();
        assert_eq!(cors, 2 * Origin::ALL.len());
    }
}
