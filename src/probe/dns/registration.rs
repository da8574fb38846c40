//! When the domain's registration ends: as the config says, or as its registry says by RDAP (RFC 9083),
//! which is asked only where the config names the registries, and once a day.

use chrono::{DateTime, NaiveTime, SecondsFormat, TimeDelta, Utc};
use hickory_proto::rr::Name;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::catalogue::Catalogue;
use super::delegate::Walk;
use super::fetch::{Missing, get};
use super::memory::Baseline;
use super::text;
use crate::probe::Job;
use crate::probe::http::Fetched;
use crate::probe::trust::Verdict;
use crate::sample::{Measurements, Reason, Unknown};

/// Writes `registration`.
pub(super) async fn write(
    facts: &mut Measurements,
    job: &Job,
    walk: &Walk<'_>,
    name: &Name,
    baseline: &mut Baseline,
) {
    match registration(job, walk, name, baseline).await {
        Err(why) => facts.set_unknown("registration", why),
        Ok((entry, asked_at)) => {
            if entry.expires.is_none() {
                facts.set_unknown("registration.expires", NOT_SAID);
            }
            if entry.status.is_none() {
                facts.set_unknown("registration.status", NOT_SAID);
            }
            let mut shown = json!(entry);
            shown["asked_at"] = json!(asked_at);
            if asked_at.is_none() {
                facts.set_unknown("registration.asked_at", Reason::NotApplicable);
            }
            facts.set("registration", shown);
        }
    }
}

/// What is known of a registration.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Entry {
    /// The registered domain.
    domain: String,
    /// The end, RFC 3339.
    expires: Option<String>,
    /// RDAP's words (RFC 8056, RFC 9083 §10.2.2), sorted.
    status: Option<Vec<String>>,
    /// `config` or `rdap`.
    source: String,
}

/// What is remembered: the last answer that said something, and why the last question came to nothing.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Remembered {
    entry: Option<Entry>,
    /// When the entry was given.
    asked_at: Option<String>,
    why: Option<Unknown>,
}

async fn registration(
    job: &Job,
    walk: &Walk<'_>,
    name: &Name,
    baseline: &mut Baseline,
) -> Result<(Entry, Option<String>), Unknown> {
    let settings = &job.point.target.settings;
    let domain = Catalogue::builtin().registrable(name).ok_or(Reason::NotApplicable)?;
    let owner = text::of_name(&domain);
    if let Some(date) = settings.registration_expires {
        let expires = time(date.and_time(NaiveTime::MIN).and_utc());
        let source = "config".to_owned();
        return Ok((Entry { domain: owner, expires: Some(expires), status: None, source }, None));
    }
    let bootstrap = settings.rdap.as_deref().ok_or(Reason::OptIn)?;
    // Names of one domain need not all ask for it, again and again.
    if job.is_planned() && domain != *name {
        return Err(Reason::NotApplicable.into());
    }
    let base = bootstrap.of(&owner).ok_or(Reason::NotApplicable)?;
    let known = baseline.kept(KEPT).map(|kept| {
        let known: Remembered = serde_json::from_value(kept.facts.clone()).unwrap_or_default();
        (known, kept.is_fresh(job.now, REFRESH))
    });
    let remembered = match known {
        Some((known, true)) if job.is_planned() => known,
        known => {
            let mut remembered = known.map(|(known, _)| known).unwrap_or_default();
            match ask(job, walk, base, &owner).await {
                Ok(entry) => {
                    let asked_at = Some(time(job.now));
                    remembered = Remembered { entry: Some(entry), asked_at, why: None };
                }
                Err(why) => remembered.why = Some(why),
            }
            baseline.keep(KEPT, json!(remembered), job.now);
            remembered
        }
    };
    match (remembered.entry, remembered.why) {
        (Some(entry), _) if entry.domain == owner => Ok((entry, remembered.asked_at)),
        (_, why) => Err(why.unwrap_or_else(|| Reason::NotObserved.into())),
    }
}

async fn ask(job: &Job, walk: &Walk<'_>, base: &str, domain: &str) -> Result<Entry, Unknown> {
    let url = Url::parse(&format!("{base}domain/{domain}"))
        .map_err(|_| Unknown::new(Reason::LocalError, "the bootstrap file names no URL"))?;
    match get(job, walk, &url, MAX_ANSWER).await {
        Err(Missing::Unknown(why)) => Err(why),
        Err(Missing::NoAddress) => {
            Err(Unknown::new(Reason::DnsError, "the registry has no address"))
        }
        Ok(fetched) => read(fetched, domain),
    }
}

/// What the registry's answer comes to. That it does not know the domain says nothing: not every
/// registry tells of every domain.
fn read(fetched: Fetched, domain: &str) -> Result<Entry, Unknown> {
    match fetched.trust {
        Verdict::Trusted => {}
        Verdict::Untrusted(why) => return Err(Unknown::new(Reason::TlsError, why)),
        Verdict::Untold(why) => return Err(why),
    }
    match fetched.status {
        200 => {}
        429 => return Err(Reason::RateLimited.into()),
        status => return Err(Unknown::new(Reason::HttpStatus, status.to_string())),
    }
    let odd = || Unknown::new(Reason::NotObserved, "no RDAP answer for the domain");
    let body = fetched.body.ok_or_else(odd)?;
    let answer: Value = serde_json::from_slice(&body).map_err(|_| odd())?;
    let named = answer["ldhName"].as_str().unwrap_or_default().trim_end_matches('.');
    if answer["objectClassName"] != "domain" || !named.eq_ignore_ascii_case(domain) {
        return Err(odd());
    }
    let events = answer["events"].as_array().into_iter().flatten();
    let expires = events
        .filter(|event| event["eventAction"] == "expiration")
        .filter_map(|event| event["eventDate"].as_str()?.parse::<DateTime<Utc>>().ok())
        .min();
    let status = answer["status"].as_array().map(|words| {
        let words = words.iter().filter_map(Value::as_str).take(MAX_STATUS);
        let mut words: Vec<String> = words
            .map(|word| text::printable(word).to_ascii_lowercase().chars().take(64).collect())
            .collect();
        words.sort_unstable();
        words.dedup();
        words
    });
    let (domain, source) = (domain.to_owned(), "rdap".to_owned());
    Ok(Entry { domain, expires: expires.map(time), status, source })
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// What a registry does not say of itself is none of its faults.
const NOT_SAID: Reason = Reason::NotObserved;

/// Under which word the last answer is kept.
const KEPT: &str = "registration";

/// A registry is asked no more often.
const REFRESH: TimeDelta = TimeDelta::hours(24);

/// Bytes of an answer.
const MAX_ANSWER: usize = 256 * 1024;

/// Words of status that are kept.
const MAX_STATUS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn fetched(status: u16, body: &str) -> Fetched {
        let body = Some(body.as_bytes().to_vec());
        Fetched { status, media: String::new(), body, trust: Verdict::Trusted }
    }

    #[test]
    fn a_registrys_answer_is_read_for_the_domain_that_was_asked_for() {
        let body = r#"{"objectClassName": "domain", "ldhName": "SHOP.test.", "status": ["client Hold", "active"],
            "events": [{"eventAction": "registration", "eventDate": "2020-01-01T00:00:00Z"},
                {"eventAction": "expiration", "eventDate": "2027-03-01T12:00:00.0+02:00"}]}"#;
        let entry = read(fetched(200, body), "shop.test").expect("an entry");
        assert_eq!(entry.expires.as_deref(), Some("2027-03-01T10:00:00Z"));
        assert_eq!(entry.status, Some(vec!["active".to_owned(), "client hold".to_owned()]));
        assert!(read(fetched(200, body), "other.test").is_err());
        let bare = r#"{"objectClassName": "domain", "ldhName": "shop.test"}"#;
        let entry = read(fetched(200, bare), "shop.test").expect("an entry");
        assert_eq!((entry.expires, entry.status), (None, None));
        for (status, body, reason) in [
            (429, "", Reason::RateLimited),
            (404, "{}", Reason::HttpStatus),
            (200, "{", Reason::NotObserved),
            (200, "[1]", Reason::NotObserved),
        ] {
            assert_eq!(read(fetched(status, body), "shop.test").expect_err(body).reason, reason);
        }
    }
}
