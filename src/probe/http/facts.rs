//! What the walks come to: every measurement of the sample, and what could not be established.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::probe::trust::Verdict;
use crate::sample::{Measurements, Path, Reason, Unknown};
use crate::target::Host;

use super::drift::{Meaning, Occasion, Past};
use super::exchange::Answer;
use super::extras::Asked;
use super::fields::Fields;
use super::profiles::{self, PreloadList};
use super::walk::{Hop, Walk};
use super::{
    beside, cookies, cross_origin, csp, hsts, hygiene, leaks, permissions, redirection, referrer,
    text, usable, xcto, xfo,
};

/// Everything that was seen of one target at one address.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The target's host.
    pub(super) own: Host,
    /// Every hop of all walks.
    pub(super) hops: Vec<Hop>,
    /// The walk that began with http, if one did.
    pub(super) http: Option<Walk>,
    /// The walk that began with https, if one did.
    pub(super) https: Option<Walk>,
}

impl Seen {
    /// Why nothing at all answered; `None` if something did. A refusal on one port weighs less than
    /// what was in the way on the other.
    pub(super) fn silence(&self) -> Option<Unknown> {
        if self.hops.iter().any(|hop| hop.answer.is_ok()) {
            return None;
        }
        let failures: Vec<&Unknown> = [&self.https, &self.http]
            .into_iter()
            .flatten()
            .filter_map(|walk| walk.failure.as_ref())
            .collect();
        let telling = failures.iter().find(|unknown| unknown.reason != Reason::Refused);
        let unknown = telling.or_else(|| failures.first()).copied().cloned();
        Some(unknown.unwrap_or_else(|| Reason::NotObserved.into()))
    }

    fn of<'a>(&'a self, walk: &'a Option<Walk>) -> impl Iterator<Item = &'a Hop> {
        walk.iter().flat_map(|walk| &walk.hops).filter_map(|&index| self.hops.get(index))
    }

    /// The hops in order: http and where it led, then those of https that were not among them.
    fn in_order(&self) -> Vec<&Hop> {
        let mut hops: Vec<&Hop> = Vec::new();
        for hop in self.of(&self.http).chain(self.of(&self.https)) {
            if !hops.iter().any(|known| known.url == hop.url) {
                hops.push(hop);
            }
        }
        hops
    }

    /// The first https hop of the target's own host.
    fn entry(&self) -> Option<&Hop> {
        let is_entry = |hop: &&Hop| hop.url.scheme() == "https" && hop.host == self.own;
        self.of(&self.https).chain(self.of(&self.http)).find(is_entry)
    }

    /// The first https response of the target's own host.
    pub(super) fn https_entry(&self) -> Result<&Fields, Unknown> {
        let entry = self.entry().ok_or_else(|| none("https is not walked on this port"))?;
        match &entry.answer {
            Ok(answer) => Ok(&answer.head.fields),
            Err(unknown) if unknown.reason == Reason::Refused => Err(none("https is refused")),
            Err(unknown) => Err(unknown.clone()),
        }
    }

    /// The response whose fields are judged: the last over https, or over http where https is
    /// refused or not walked.
    pub(super) fn judged(&self) -> Result<&Answer, Unknown> {
        let hop = self.judged_hop()?;
        hop.answer.as_ref().map_err(Clone::clone)
    }

    fn judged_hop(&self) -> Result<&Hop, Unknown> {
        let is_refused = |walk: &&Walk| {
            let entry = walk.hops.first().and_then(|&index| self.hops.get(index));
            entry.is_some_and(|hop| {
                hop.answer.as_ref().is_err_and(|unknown| unknown.reason == Reason::Refused)
            })
        };
        let https = self.https.as_ref().filter(|walk| !(is_refused(walk) && self.http.is_some()));
        let walk = https.or(self.http.as_ref()).ok_or(Reason::NotObserved)?;
        if let Some(unknown) = &walk.failure {
            return Err(unknown.clone());
        }
        let last = walk.hops.last().and_then(|&index| self.hops.get(index));
        last.ok_or_else(|| Reason::NotObserved.into())
    }
}

/// What there is nothing to say of.
pub(super) fn none(why: &str) -> Unknown {
    Unknown::new(Reason::NotApplicable, why)
}

/// Every measurement. `now` tells deleted cookies from those that are set.
pub(super) fn measure(seen: &Seen, asked: &[Asked], now: DateTime<Utc>) -> Measurements {
    let mut measurements = Measurements::new();
    hops(seen, &mut measurements);
    https(seen, &mut measurements);
    redirection::measure(seen, &mut measurements);
    let judged = seen.judged();
    match &judged {
        Ok(answer) => measurements.set("status", answer.head.status),
        Err(unknown) => measurements.set_unknown("status", unknown.clone()),
    }
    let usable = seen.judged_hop().and_then(|hop| {
        let answer = hop.answer.as_ref().map_err(Clone::clone)?;
        usable::judge(answer).map(|()| (hop, answer))
    });
    match usable {
        Ok((hop, answer)) => {
            posture(&answer.head.fields, hop.url.path(), &mut measurements);
            beside::loads(hop, answer, &mut measurements);
            over_all_hops(seen, now, &mut measurements);
            beside::further(asked, now, &mut measurements);
        }
        Err(unknown) => {
            for key in POSTURE {
                measurements.set_unknown(key, unknown.clone());
            }
        }
    }
    measurements
}

fn hops(seen: &Seen, measurements: &mut Measurements) {
    let mut written = Vec::new();
    for hop in seen.in_order() {
        let url = text::clean(&text::shown(&hop.url), MAX_URL);
        let answer = hop.answer.as_ref();
        if let Err(unknown) = &hop.answer {
            let status = Path::of("hops").member(&url).join("status");
            measurements.set_unknown(status.to_string(), unknown.clone());
        }
        let headers: Vec<[String; 2]> = answer.map_or_else(
            |_| Vec::new(),
            |a| a.head.fields.0.iter().map(|f| [f.name.clone(), text::recorded(f)]).collect(),
        );
        written.push(json!({
            "url": url,
            "address": answer.map_or(hop.address, |answer| Some(answer.address)),
            "status": answer.map(|answer| answer.head.status).ok(),
            "version": answer.map(|answer| answer.head.version).ok(),
            "headers": headers,
            "timings": answer.map(|answer| answer.timings).ok(),
        }));
    }
    measurements.set_value("hops", Value::Array(written));
}

/// How https is served, and what Strict-Transport-Security it says at its entry.
fn https(seen: &Seen, measurements: &mut Measurements) {
    let Some(entry) = seen.entry() else {
        measurements.set_unknown("https", none("https is not walked on this port"));
        measurements.set_unknown("hsts", none("https is not walked on this port"));
        return;
    };
    let answer = match &entry.answer {
        Ok(answer) => answer,
        Err(unknown) if unknown.reason == Reason::Refused => {
            let parts = ["certificate_trusted", "certificate_error", "downgrades"];
            let mut https = json!({ "served": false });
            for part in parts {
                https[part] = Value::Null;
                measurements.set_unknown(format!("https.{part}"), none("https is refused"));
            }
            measurements.set_value("https", https);
            measurements.set_unknown("hsts", none("https is refused"));
            return;
        }
        Err(unknown) => {
            measurements.set_unknown("https", unknown.clone());
            measurements.set_unknown("hsts", unknown.clone());
            return;
        }
    };
    let (trusted, error, untold) = match answer.trust.clone().unwrap_or(Verdict::Trusted) {
        Verdict::Trusted => (Some(true), Some(""), None),
        Verdict::Untrusted(word) => (Some(false), Some(word), None),
        Verdict::Untold(why) => (None, None, Some(why)),
    };
    let downgrades = downgrades(seen);
    measurements.set_value(
        "https",
        json!({
            "served": true,
            "certificate_trusted": trusted,
            "certificate_error": error,
            "downgrades": downgrades.as_ref().ok(),
        }),
    );
    if let Err(unknown) = downgrades {
        measurements.set_unknown("https.downgrades", unknown);
    }
    if let Some(why) = untold {
        measurements.set_unknown("https.certificate_trusted", why.clone());
        measurements.set_unknown("https.certificate_error", why);
    }
    match usable::judge(answer) {
        Ok(()) => {
            // RFC 6797 §8.1, §8.1.1: not from an untrusted connection, nor from an address.
            let is_heeded = trusted == Some(true) && seen.own.name().is_some();
            measurements.set("hsts", hsts::read(&answer.head.fields, is_heeded));
        }
        Err(unknown) => measurements.set_unknown("hsts", unknown),
    }
}

/// Whether the walk that began with https passed over http.
fn downgrades(seen: &Seen) -> Result<bool, Unknown> {
    let Some(walk) = &seen.https else { return Err(Reason::NotApplicable.into()) };
    let is_plain = seen.of(&seen.https).any(|hop| hop.url.scheme() == "http");
    match &walk.failure {
        Some(unknown) if !is_plain => Err(unknown.clone()),
        _ => Ok(is_plain),
    }
}

/// What the judged response says.
fn posture(fields: &Fields, path: &str, measurements: &mut Measurements) {
    let csp = csp::read(fields);
    measurements.set_value("csp", csp.to_json());
    if !csp.is_present() {
        for part in ["unsafe_inline", "unsafe_eval", "wildcard_script"] {
            let why = Unknown::new(Reason::NotApplicable, "no policy");
            measurements.set_unknown(format!("csp.{part}"), why);
        }
    }
    measurements.set("xfo", xfo::read(fields, &csp));
    measurements.set("xcto", xcto::read(fields));
    measurements.set("referrer_policy", referrer::read(fields));
    measurements.set("permissions_policy", permissions::read(fields));
    measurements.set("coop", cross_origin::opener(fields));
    measurements.set("coep", cross_origin::embedder(fields));
    measurements.set("corp", cross_origin::resource(fields));
    measurements.set("cross_origin_isolated", cross_origin::isolates(fields));
    measurements.set("integrity_policy", hygiene::integrity_policy(fields));
    measurements.set("clear_site_data", hygiene::clear_site_data(fields));
    measurements.set("reporting", hygiene::reporting(fields));
    measurements.set("alt_svc", hygiene::alt_svc(fields));
    measurements.set("deprecated", hygiene::deprecated(fields));
    measurements.set("cache", hygiene::cache(fields, path));
}

/// What the sample means that earlier ones did not. One that says nothing of the posture leaves the
/// past as it was.
pub(super) fn departures(
    seen: &Seen,
    past: &mut Past,
    occasion: Occasion,
    measurements: &mut Measurements,
) {
    let judged = seen.judged_hop().and_then(|hop| {
        let answer = hop.answer.as_ref().map_err(Clone::clone)?;
        usable::judge(answer).map(|()| (hop, answer))
    });
    let (hop, answer) = match judged {
        Ok(judged) => judged,
        Err(unknown) => {
            measurements.set_unknown("variants", unknown.clone());
            return measurements.set_unknown("drift", unknown);
        }
    };
    let head = &answer.head;
    let path = text::clean(hop.url.path(), 128);
    let stratum = format!("{path} {} {}xx", head.version, head.status / 100);
    let cookies: Vec<(String, String)> = measurements
        .fact("cookies")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|cookie| (cookie["name"].as_str().unwrap_or_default().to_owned(), flags(cookie)))
        .collect();
    let changes = past.step(&stratum, &Meaning::of(measurements), &cookies, occasion);
    measurements.set("drift", changes);
    measurements.set("variants", past.variants(&stratum));
    let nonces = csp::nonces(&head.fields);
    let is_reused = past.reuses(&stratum, &nonces);
    measurements.extend("csp", "nonce_reused", json!(is_reused));
    if nonces.is_empty() {
        measurements.set_unknown("csp.nonce_reused", none("no nonce"));
    } else if is_reused.is_none() {
        measurements.set_unknown("csp.nonce_reused", Reason::NotObserved);
    }
}

fn flags(cookie: &Value) -> String {
    let named = [("secure", "Secure"), ("http_only", "HttpOnly")];
    let set = named.into_iter().filter(|(key, _)| cookie[key] == true).map(|(_, flag)| flag);
    let same_site = cookie["same_site"].as_str().filter(|word| !word.is_empty());
    set.chain(same_site).collect::<Vec<_>>().join(" ")
}

/// Whether browsers know the host as https-only from the start, and whether it would be let in.
pub(super) fn preload(seen: &Seen, list: Option<&PreloadList>, measurements: &mut Measurements) {
    if measurements.fact("hsts").is_none_or(Value::is_null) {
        return;
    }
    let Ok(fields) = seen.https_entry() else { return };
    let cover = list.map(|list| list.covers(&seen.own.to_string()));
    let is_old = cover.flatten().is_some_and(|cover| cover.is_old);
    measurements.extend("hsts", "preloaded", json!(cover.map(|cover| cover.is_some())));
    measurements.extend("hsts", "preloadable", json!(profiles::is_preloadable(fields, is_old)));
    if cover.is_none() {
        measurements.set_unknown("hsts.preloaded", none("no preload list was given"));
    }
}

/// What any usable response on the way says.
fn over_all_hops(seen: &Seen, now: DateTime<Utc>, measurements: &mut Measurements) {
    let usable: Vec<(&Fields, bool)> = seen
        .in_order()
        .into_iter()
        .filter_map(|hop| {
            let answer = hop.answer.as_ref().ok()?;
            usable::judge(answer).ok()?;
            Some((&answer.head.fields, hop.url.scheme() == "https"))
        })
        .collect();
    measurements.set("cookies", cookies::read(usable.iter().copied(), now));
    measurements.set("leaks", leaks::read(usable.iter().map(|(fields, _)| *fields)));
}

/// What is unknown where the judged response is.
pub(super) const POSTURE: [&str; 19] = [
    "alt_svc",
    "cache",
    "clear_site_data",
    "coep",
    "cookies",
    "coop",
    "corp",
    "cross_origin_isolated",
    "csp",
    "deprecated",
    "integrity_policy",
    "leaks",
    "mixed_content",
    "permissions_policy",
    "referrer_policy",
    "reporting",
    "sri",
    "xcto",
    "xfo",
];

const MAX_URL: usize = 2048;
