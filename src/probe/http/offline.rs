//! Judging without a network, for benches and fuzzing: what a sample would say of one response.

use std::net::Ipv4Addr;

use chrono::{DateTime, Utc};
use url::Url;

use crate::sample::Measurements;
use crate::target::Host;

use super::body::Body;
use super::drift::Occasion;
use super::exchange::{Answer, Timings};
use super::facts::{self, Seen};
use super::head::{self, Head};
use super::memory::Remembered;
use super::page::PageReader;
use super::profiles;
use super::walk::{Hop, Walk};

/// Everything that a sample says of one https response with this head and page, every profile among
/// it; `None` if the head does not read.
pub fn judge(bytes: &[u8], page: &[u8], now: DateTime<Utc>) -> Option<Measurements> {
    let head = head::parse(bytes).ok()??;
    let mut reader = PageReader::default();
    reader.read(page);
    let body = Body { page: Some(reader.finish(true)), ..Body::default() };
    Some(measure(head, body, now))
}

fn measure(head: Head, body: Body, now: DateTime<Utc>) -> Measurements {
    let address = Ipv4Addr::LOCALHOST.into();
    let own = Host::Name("site.test".to_owned());
    let answer = Answer { address, head, body, trust: None, timings: Timings::default() };
    let hops = Url::parse("https://site.test/").ok().map(|url| Hop {
        url,
        host: own.clone(),
        address: Some(address),
        answer: Ok(answer),
    });
    let https = Some(Walk { hops: vec![0], failure: None });
    let seen = Seen { own, hops: hops.into_iter().collect(), http: None, https };
    let mut remembered = Remembered::default();
    let mut facts = facts::measure(&seen, &[], now);
    profiles::measure(&seen, &[], &mut remembered, None, &mut facts);
    facts::departures(&seen, &mut remembered.past, Occasion::ByPlan, &mut facts);
    facts
}
