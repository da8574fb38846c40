//! One sample of a name: its zone's authorities, the chosen recursive servers, pins and baseline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::{join, join3};
use hickory_proto::rr::{Name, RecordType};
use serde_json::{Map, json};

use super::answer::{self, Answer};
use super::ask::Asker;
use super::delegate::{Cut, Walk};
use super::drift::{self, Records, Told};
use super::memory::Baseline;
use super::resolvers::{self, Heard};
use super::wanted::{self, Wanted};
use super::zone::{self, Authorities};
use super::{dangling, facts, mail, mta_sts, policy, registration, skew, text, tlsa};
use crate::probe::{Job, Memory};
use crate::sample::{Measurements, Outcome, Path, Reason, Unknown};
use crate::target::{Pins, Settings};

/// Takes a sample of a name.
pub(super) async fn sample(job: &Job, asker: &Asker, host: &str) -> (Outcome, Option<Memory>) {
    let settings = &job.point.target.settings;
    let Some(name) = text::name(host) else {
        return (Outcome::Unknown(Unknown::new(Reason::DnsError, "no DNS name")), None);
    };
    let pins = wanted::by_hop(&settings.pins);
    let (wanted, left) = wanted::wanted(&name, &pins);
    let walk = Walk::new(asker, settings);
    let (authorities, heard) = join(
        authorities(asker, &walk, settings, &name, &wanted),
        resolvers::ask(asker, &settings.dns_servers, &wanted),
    )
    .await;
    let mut baseline = Baseline::read(job.memory.as_ref());
    let mut measured = Measurements::new();
    match authorities {
        Ok(found) => {
            let records = found.records();
            let context = Context { job, walk: &walk, name: &name };
            write_authorities(&mut measured, context, &found, &records, &mut baseline).await;
            let behind = behind(&mut baseline, job, &found);
            write_drift(&mut measured, job, &pins, &records, &baseline, &behind);
            for (subject, why) in left {
                measured.set_unknown(Path::of("drift").member(&subject).to_string(), why);
            }
            let now = job.now.timestamp();
            if !heard.is_empty() {
                note(&mut baseline, &found, &records, now);
            }
            write_resolvers(&mut measured, &heard, &records, &baseline, now);
            learn(&mut baseline, &pins, &found, &records);
            if job.memory.is_some() {
                measured.set("baseline", baseline.shown());
            }
            (Outcome::Measured(measured), Some(baseline.write()))
        }
        Err(why) => {
            let answered = heard.iter().any(|one| {
                !matches!(&one.seen, Err(_) | Ok(Answer::Error(answer::Fault::Timeout)))
            });
            if !answered {
                return (Outcome::Unknown(why), None);
            }
            for fact in OF_AUTHORITIES {
                measured.set_unknown(*fact, why.clone());
            }
            let now = job.now.timestamp();
            write_resolvers(&mut measured, &heard, &Records::new(), &baseline, now);
            (Outcome::Measured(measured), None)
        }
    }
}

/// What the authorities of all zones asked showed; the first is the target's own zone.
struct Found {
    zones: Vec<Authorities>,
    /// What could not be asked, since its zone was not found.
    lost: Vec<(Name, RecordType, Unknown)>,
}

impl Found {
    fn records(&self) -> Records {
        let mut records = facts::records(&self.zones);
        for (name, kind, _) in &self.lost {
            let (name, kind) = answer::key(name, *kind);
            records.entry(name).or_default().entry(kind).or_default();
        }
        records
    }
}

/// What is asked at one zone's authorities.
struct Questions {
    cut: Arc<Cut>,
    wanted: Vec<Wanted>,
}

/// Finds the zones of all that is wanted and asks their authorities.
async fn authorities(
    asker: &Asker,
    walk: &Walk<'_>,
    settings: &Settings,
    name: &Name,
    wanted: &[Wanted],
) -> Result<Found, Unknown> {
    let home = walk.zone_of(name).await?;
    let mut zones: BTreeMap<Name, Questions> = BTreeMap::new();
    let mut lost = Vec::new();
    for one in wanted {
        match walk.zone_of(&answer::zone_side(&one.name, one.kind)).await {
            Ok(cut) => zones
                .entry(cut.name.clone())
                .or_insert_with(|| Questions { cut, wanted: Vec::new() })
                .wanted
                .push(one.clone()),
            Err(why) => lost.push((one.name.clone(), one.kind, why)),
        }
    }
    let own = zones.remove(&home.name).map(|own| own.wanted).unwrap_or_default();
    // A registry's servers are not ours to try: a name that is not delegated is asked for only.
    let whole = home.name == *name || home.name.iter().count() > 1;
    let first = zone::ask(asker, walk, settings, &home, &own, whole).await;
    if let Some(why) = first.silence() {
        return Err(why);
    }
    let mut found = Found { zones: vec![first], lost };
    for Questions { cut, wanted } in zones.into_values() {
        found.zones.push(zone::ask(asker, walk, settings, &cut, &wanted, false).await);
    }
    Ok(found)
}

/// One sample's way out and whom it is of.
#[derive(Clone, Copy)]
struct Context<'a> {
    job: &'a Job,
    walk: &'a Walk<'a>,
    name: &'a Name,
}

async fn write_authorities(
    measured: &mut Measurements,
    context: Context<'_>,
    found: &Found,
    records: &Records,
    baseline: &mut Baseline,
) {
    let Context { job, walk, name } = context;
    facts::write_records(measured, records, &found.zones);
    for (name, kind, why) in &found.lost {
        let (name, kind) = answer::key(name, *kind);
        let path = Path::of("records").join(&name).join(&kind);
        measured.set_unknown(path.to_string(), why.clone());
    }
    let Some(home) = found.zones.first() else { return };
    facts::write_zone(measured, home, job.now);
    let selectors = selectors(name, &job.point.target.settings);
    let port = job.point.target.endpoint.port_or_default();
    let (caa, tlsa, (mut mail, mut unknown)) = join3(
        policy::caa(walk, name),
        tlsa::tlsa(walk, name, port),
        mail::mail(walk, name, &selectors),
    )
    .await;
    for (fact, value) in [("caa", caa), ("tlsa", tlsa)] {
        match value {
            Ok(value) => measured.set(fact, value),
            Err(why) => measured.set_unknown(fact, why),
        }
    }
    let domain = text::of_name(name);
    unknown.extend(mta_sts::add_policy(job, walk, &domain, &mut mail, baseline).await);
    registration::write(measured, job, walk, name, baseline).await;
    let exchanges = mail["mx"].as_object().into_iter().flat_map(Map::keys);
    let exchanges: Vec<Name> = exchanges.filter_map(|name| text::name(name)).collect();
    let servers = home.names.keys().filter_map(|name| text::name(name));
    let pointers = dangling::pointers(&home.name, name, records, servers, exchanges);
    measured.set("mail", mail);
    for (path, why) in unknown {
        measured.set_unknown(format!("mail.{path}"), why);
    }
    let (dangling, unknown) = dangling::look(walk, &home.name, pointers).await;
    measured.set("dangling", dangling);
    for (owner, why) in unknown {
        measured.set_unknown(Path::of("dangling").member(&owner).to_string(), why);
    }
}

/// DKIM's selectors, as far as their names are pinned.
fn selectors(name: &Name, settings: &Settings) -> BTreeSet<String> {
    let below = format!("._domainkey.{}", text::of_name(name));
    let pinned = settings.pins.0.keys().filter_map(|pinned| text::name(pinned));
    pinned
        .filter_map(|pinned| text::of_name(&pinned).strip_suffix(&below).map(str::to_owned))
        .collect()
}

/// The servers that may be behind: none in a sample by hand, which nobody takes again.
fn behind(baseline: &mut Baseline, job: &Job, found: &Found) -> BTreeSet<String> {
    let serials = |zone: &Authorities| -> BTreeMap<String, u32> {
        let soa = zone.surveys.iter().filter_map(|s| Some((s.address(), s.soa.as_ref()?.serial)));
        soa.map(|(server, serial)| (server.to_string(), serial)).collect()
    };
    let behind = found.zones.iter().flat_map(|zone| skew::behind(&serials(zone))).collect();
    match job.is_planned() && baseline.is_skew_young(&behind, job.now.timestamp()) {
        true => behind,
        false => BTreeSet::new(),
    }
}

fn write_drift(
    measured: &mut Measurements,
    job: &Job,
    pins: &Pins,
    records: &Records,
    baseline: &Baseline,
    behind: &BTreeSet<String>,
) {
    let mut drift = drift::judge(
        records,
        drift::Expected {
            pins,
            asn: job.point.target.settings.asn.as_deref(),
            baseline,
            today: job.now.date_naive(),
        },
    );
    skew::spare(&mut drift, records, behind);
    measured.set("drift", drift.items);
    for (subject, why) in drift.unknown {
        measured.set_unknown(Path::of("drift").member(&subject).to_string(), why);
    }
    // A pin whose zone was not found is judged by nobody.
    for (name, types) in records {
        for kind in types.iter().filter(|(_, servers)| servers.is_empty()).map(|(kind, _)| kind) {
            let subject = format!("{name} {kind}");
            measured.set_unknown(Path::of("drift").member(&subject).to_string(), Reason::DnsError);
        }
    }
}

fn write_resolvers(
    measured: &mut Measurements,
    heard: &[Heard],
    records: &Records,
    baseline: &Baseline,
    now: i64,
) {
    let (resolvers, disagreement, unknown) = resolvers::judge(heard, records, baseline, now);
    measured.set("resolvers", resolvers);
    if records.is_empty() {
        measured.set_unknown("resolver_disagreement", Reason::NotObserved);
    } else {
        measured.set("resolver_disagreement", json!(disagreement));
    }
    for (path, why) in unknown {
        measured.set_unknown(path.to_string(), why);
    }
}

/// Notes what caches may hold from now on.
fn note(baseline: &mut Baseline, found: &Found, records: &Records, now: i64) {
    let soa = found.zones.iter().flat_map(|zone| &zone.surveys).filter_map(|s| s.soa.as_ref());
    let negative = soa.map(|soa| soa.minimum).max().unwrap_or(NEGATIVE_TTL);
    for (name, types) in records {
        for (kind, servers) in types {
            let told = servers
                .values()
                .filter_map(|told| Some((told.seen.as_ref().ok()?, told.ttl.unwrap_or(negative))));
            baseline.note(&format!("{name} {kind}"), &told.collect::<Vec<_>>(), now);
        }
    }
}

/// Learns what no pin speaks of, as far as it is ours: what an alias comes to in another's zone is
/// for the other to change.
fn learn(baseline: &mut Baseline, pins: &Pins, found: &Found, records: &Records) {
    let is_ours = |target: &str| {
        text::name(target).is_some_and(|name| found.zones.iter().any(|z| z.name.zone_of(&name)))
    };
    for (name, types) in records {
        let aliases = types.get("CNAME").into_iter().flat_map(BTreeMap::values);
        let targets = aliases.filter_map(|told| told.seen.as_ref().ok()?.values()).flatten();
        let is_foreign = targets.into_iter().any(|target| !is_ours(&target));
        for (kind, servers) in types {
            let is_pinned = drift::pinned(pins, name, kind).is_some();
            if is_pinned || is_foreign && kind != "CNAME" {
                continue;
            }
            let plain = servers.iter().filter(|(server, _)| !server.contains(facts::BY_SUBNET));
            let answers: Vec<&Answer> =
                plain.filter_map(|(_, Told { seen, .. })| seen.as_ref().ok()).collect();
            baseline.learn(&format!("{name} {kind}"), &answers);
        }
    }
}

/// What only authorities can tell.
const OF_AUTHORITIES: &[&str] = &[
    "records",
    "ttl",
    "delegation",
    "soa",
    "serials",
    "disagreement",
    "servers",
    "drift",
    "caa",
    "tlsa",
    "mail",
    "dangling",
    "dnssec",
    "ds",
    "cds",
    "cdnskey",
    "nsec3",
    "registration",
    "wildcard",
    "recursion",
    "transfer",
];

/// Seconds that a negative answer is kept where the zone does not say (RFC 2308 §5).
const NEGATIVE_TTL: u32 = 10_800;
