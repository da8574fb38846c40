//! A text by https from a host whose name follows from the target's: found by our own walk, and dialled
//! within the scope.

use std::net::IpAddr;

use hickory_proto::rr::RecordType;
use url::Url;

use super::delegate::Walk;
use super::policy::problem;
use super::text;
use crate::probe::Job;
use crate::probe::dial::Purpose;
use crate::probe::http::{Fetch, Fetched, fetch};
use crate::sample::{Reason, Unknown};
use crate::target::Host;

/// Why there is nothing.
#[derive(Clone, Debug)]
pub(super) enum Missing {
    /// The host has no address: a measured fact.
    NoAddress,
    /// Something on the way.
    Unknown(Unknown),
}

/// Fetches from the host's addresses, one after the other until one answers.
pub(super) async fn get(
    job: &Job,
    walk: &Walk<'_>,
    url: &Url,
    bytes: usize,
) -> Result<Fetched, Missing> {
    let settings = &job.point.target.settings;
    let dialer = job.dialer.clone().with_purpose(Purpose::Derived);
    let mut why = Unknown::from(Reason::DnsError);
    for address in addresses(job, walk, url).await?.into_iter().take(MAX_ADDRESSES) {
        let what = Fetch { url, address, settings, now: job.now, bytes };
        match fetch(&dialer, what).await {
            Ok(fetched) => return Ok(fetched),
            Err(unknown) => why = unknown,
        }
    }
    Err(Missing::Unknown(why))
}

async fn addresses(job: &Job, walk: &Walk<'_>, url: &Url) -> Result<Vec<IpAddr>, Missing> {
    let settings = &job.point.target.settings;
    let host = url.host_str().unwrap_or_default();
    if let Ok(known) = host.parse::<Host>() {
        let port = url.port_or_known_default().unwrap_or(443);
        match (&known, settings.connect_to(&known, port)) {
            (_, Some(mapped)) => return Ok(vec![mapped.ip()]),
            (Host::Address(address), None) => return Ok(vec![*address]),
            (Host::Name(_), None) => {}
        }
    }
    let listed = settings.hosts(host);
    if !listed.is_empty() {
        return Ok(listed);
    }
    let Some(name) = text::name(host) else { return Err(Missing::NoAddress) };
    let v4 = walk.lookup(&name, RecordType::A).await;
    let v6 = walk.lookup(&name, RecordType::AAAA).await;
    let found = [&v4, &v6].into_iter().filter_map(|found| found.as_ref().ok()?.answer.values());
    let found: Vec<IpAddr> = found.flatten().filter_map(|address| address.parse().ok()).collect();
    match (found.is_empty(), problem(&v4, &v6)) {
        (false, _) => Ok(found),
        // An alias that leads nowhere has no address either; one that could not be followed may.
        (true, Some(_)) if v4.is_ok() && v6.is_ok() => Err(Missing::NoAddress),
        _ => {
            let why = [v4, v6].into_iter().find_map(Result::err);
            let why = why.unwrap_or_else(|| Unknown::new(Reason::DnsError, "no address"));
            Err(Missing::Unknown(why))
        }
    }
}

/// Addresses that are tried.
const MAX_ADDRESSES: usize = 2;
