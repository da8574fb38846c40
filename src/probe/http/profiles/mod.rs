//! What other judges would say of one sample: their own keys and scores, computed from what was
//! seen. Each report names its version; no finding rests on one.

mod domain;
mod evaluator;
mod hsts_preload;
mod observatory;
#[cfg(test)]
mod oracles;
mod preload_list;

use serde_json::{Map, Value, json};
use url::Url;

use crate::probe::trust::Verdict;
use crate::sample::{Measurements, Path, Reason, Unknown};

use super::extras::{Asked, CorsMethod, Extra, Origin};
use super::facts::Seen;
use super::fields::Fields;
use super::memory::Remembered;
use super::redirect;
use super::walk::{Hop, MAX_HOPS, Walk};
use hsts_preload::Policy;
use observatory::{Response, Scan, Sharing};

#[cfg(fuzzing)]
pub(super) use evaluator::report as evaluated;
pub(super) use preload_list::PreloadList;

/// Measures `profiles`; what only now and then is asked for is remembered.
pub(super) fn measure(
    seen: &Seen,
    asked: &[Asked],
    remembered: &mut Remembered,
    preloaded: Option<&PreloadList>,
    measurements: &mut Measurements,
) {
    remember(asked, remembered);
    let mut reports = Map::new();
    let mut add = |name: &str, report: Result<Value, Unknown>| match report {
        Ok(report) => {
            reports.insert(name.to_owned(), report);
        }
        Err(unknown) => {
            reports.insert(name.to_owned(), Value::Null);
            measurements.set_unknown(Path::of("profiles").member(name).to_string(), unknown);
        }
    };
    let sessions = Sessions::of(seen);
    let mdn = sessions.as_ref().map_err(Clone::clone);
    add("mdn-observatory", mdn.and_then(|all| observe(seen, all, asked, remembered, preloaded)));
    let judged = sessions.as_ref().map_err(Clone::clone).and_then(Sessions::judged);
    let evaluated = judged.and_then(|(_, response)| {
        let none = || Unknown::new(Reason::NotApplicable, "no policy");
        evaluator::report(response.fields).ok_or_else(none)
    });
    add("csp-evaluator", evaluated);
    add(
        "hsts-preload",
        seen.https_entry().map(|fields| json!(hsts_preload::of_response(fields, Policy::OneYear))),
    );
    measurements.set_value("profiles", Value::Object(reports));
}

/// Whether the first https response would be taken on the preload list, or kept there.
pub(super) fn is_preloadable(fields: &Fields, is_old: bool) -> bool {
    let policy = if is_old { Policy::EighteenWeeks } else { Policy::OneYear };
    hsts_preload::of_response(fields, policy).errors.is_empty()
}

fn remember(asked: &[Asked], remembered: &mut Remembered) {
    for one in asked {
        match (one.extra, &one.answer) {
            (Extra::Cors(CorsMethod::Options, Origin::Foreign), Ok(answer)) => {
                let key = observatory::sharing(&answer.head.fields, &one.origin);
                remembered.sharing = Some(key.to_owned());
            }
            (Extra::Robots, Ok(answer)) => {
                let lines = answer.head.fields.all("set-cookie").take(16);
                remembered.robots = lines.map(without_value).collect();
            }
            _ => {}
        }
    }
}

/// A cookie's line with another value: what it was is nobody's business.
fn without_value(line: &str) -> String {
    let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
    let name = pair.split_once('=').map(|(name, _)| name).unwrap_or_default();
    format!("{name}=x;{attributes}").chars().take(512).collect()
}

fn observe(
    seen: &Seen,
    sessions: &Sessions<'_>,
    asked: &[Asked],
    remembered: &Remembered,
    preloaded: Option<&PreloadList>,
) -> Result<Value, Unknown> {
    let Sessions { http, https } = sessions;
    let (session, auto) = sessions.judged()?;
    if !observatory::accepts(session.status) {
        return Err(Unknown::new(Reason::HttpStatus, session.status.to_string()));
    }
    let site = seen.own.to_string();
    let start = session.hops.first().map(|hop| &hop.url);
    let mut robots = Fields::default();
    remembered.robots.iter().for_each(|line| robots.push(b"set-cookie", line.as_bytes()));
    let mut responses: Vec<(&Url, &Fields)> = session.answered().collect();
    responses.extend(start.map(|url| (url, &robots)));
    let is_preflight =
        |one: &&Asked| one.extra == Extra::Cors(CorsMethod::Options, Origin::Foreign);
    let preflight = asked.iter().find(is_preflight);
    let cors = match preflight.map(|one| (&one.answer, &*one.origin)) {
        Some((Ok(answer), origin)) => Sharing::Answer(&answer.head.fields, origin),
        Some((Err(_), _)) => Sharing::Nothing,
        None => remembered.sharing.as_deref().map_or(Sharing::Nothing, Sharing::Known),
    };
    Ok(observatory::report(&Scan {
        site: &site,
        is_https: https.response.is_some(),
        http: http.response,
        http_route: http.route.clone(),
        https: https.response,
        auto: Some(auto),
        session: responses,
        cors,
        page: session.hops.last().and_then(|hop| hop.answer.as_ref().ok()?.body.page.as_ref()),
        preloaded,
    }))
}

/// Both walks; the one over https is judged, or that over http where it fails.
struct Sessions<'a> {
    http: Session<'a>,
    https: Session<'a>,
}

impl<'a> Sessions<'a> {
    fn of(seen: &'a Seen) -> Result<Self, Unknown> {
        let http = Session::of(seen, seen.http.as_ref())?;
        Ok(Self { http, https: Session::of(seen, seen.https.as_ref())? })
    }

    fn judged(&self) -> Result<(&Session<'a>, Response<'a>), Unknown> {
        [&self.https, &self.http]
            .into_iter()
            .find_map(|session| Some((session, session.response?)))
            .ok_or_else(|| Reason::NotObserved.into())
    }
}

/// A walk as the Observatory's scanner would have gone it.
#[derive(Default)]
struct Session<'a> {
    hops: Vec<&'a Hop>,
    route: Vec<Url>,
    response: Option<Response<'a>>,
    status: u16,
}

impl<'a> Session<'a> {
    /// No response where something in the network or at the peer was in the way; what was in the
    /// way here makes the whole unknown.
    fn of(seen: &'a Seen, walk: Option<&Walk>) -> Result<Self, Unknown> {
        let Some(walk) = walk else { return Ok(Self::default()) };
        let hops: Vec<&Hop> = walk.hops.iter().filter_map(|&index| seen.hops.get(index)).collect();
        let Some(last) = hops.last() else { return Ok(Self::default()) };
        let answer = match &last.answer {
            Ok(answer) => answer,
            Err(unknown) if LOCAL.contains(&unknown.reason) => return Err(unknown.clone()),
            Err(_) => return Ok(Self::default()),
        };
        let is_trusted = |hop: &&Hop| {
            let trust = hop.answer.as_ref().ok().and_then(|answer| answer.trust.as_ref());
            !matches!(trust, Some(Verdict::Untrusted(_)))
        };
        let mut route: Vec<Url> = hops.iter().map(|hop| hop.url.clone()).collect();
        // The scanner goes round a loop until it has followed ten redirects.
        while walk.failure.is_some() && route.len() <= MAX_HOPS {
            let known = route.last().and_then(|at| hops.iter().find(|hop| hop.url == *at));
            let next =
                known.and_then(|hop| redirect::next(&hop.url, &hop.answer.as_ref().ok()?.head));
            match next {
                Some(url) => route.push(url),
                None => break,
            }
        }
        let is_verified = hops.iter().all(is_trusted);
        let response = Some(Response { fields: &answer.head.fields, is_verified });
        Ok(Self { route, response, status: answer.head.status, hops })
    }

    fn answered(&self) -> impl Iterator<Item = (&'a Url, &'a Fields)> {
        self.hops.iter().filter_map(|hop| Some((&hop.url, &hop.answer.as_ref().ok()?.head.fields)))
    }
}

/// What says nothing of the site at all.
const LOCAL: [Reason; 5] = [
    Reason::Budget,
    Reason::Interrupted,
    Reason::LocalError,
    Reason::Maintenance,
    Reason::OutOfScope,
];
