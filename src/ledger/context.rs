//! What surrounds a finding: how often and how far its fault shows, and the deployment before it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::{Connection, Row, params};
use serde::Serialize;
use tokio::time::Instant;

use super::LedgerError;
use super::handle::Ledger;
use super::project::{time, unjson};
use super::read::{FINDING, finding};
use crate::finding::{Count, Finding, Share, Spread};
use crate::target::{Labels, ProbeKind, chooses};

/// What surrounds a finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Context {
    /// How often its fault shows at its point.
    pub share: Share,
    /// How far it spreads.
    pub spread: Spread,
    /// The last deployment of the target before the finding's first sight, if one was marked.
    pub last_deployment: Option<LastDeployment>,
}

/// The deployment before a finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LastDeployment {
    /// What was deployed.
    pub version: String,
    /// Who marked it.
    pub actor: String,
    /// When.
    pub at: DateTime<Utc>,
    /// From then to the finding's first sight.
    pub seconds_before: i64,
}

impl LastDeployment {
    /// In words, for an alert.
    pub(super) fn words(&self) -> String {
        let Self { version, actor, at, seconds_before } = self;
        let when = at.to_rfc3339_opts(SecondsFormat::Secs, true);
        format!("{version} at {when} by {actor}, {seconds_before} s before first sight")
    }
}

impl Ledger {
    /// The last deployment before the first sight of a target's finding.
    pub fn deployment_before(
        &self,
        target: &str,
        labels: &Labels,
        first_seen: DateTime<Utc>,
    ) -> Result<Option<LastDeployment>, LedgerError> {
        let deployments = self.shared.readers.with(deployments)?;
        Ok(before(&deployments, target, labels, first_seen))
    }

    /// What the answers of one question share.
    pub(super) fn survey(&self, db: &Connection) -> Result<Survey, LedgerError> {
        Survey::with(db, self.services(db)?)
    }

    /// What surrounds each of the findings.
    pub(super) fn contexts_of(&self, findings: &[Finding]) -> Result<Vec<Context>, LedgerError> {
        self.shared.readers.with(|db| contexts(db, self.survey(db)?, findings))
    }

    /// Counting every point takes a moment, and many ask: the count is kept for ten seconds.
    fn services(&self, db: &Connection) -> Result<Arc<Services>, LedgerError> {
        let mut kept = self.shared.services.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, services)) = kept.as_ref()
            && at.elapsed() < KEPT
        {
            return Ok(Arc::clone(services));
        }
        let services = Arc::new(services(db)?);
        *kept = Some((Instant::now(), Arc::clone(&services)));
        Ok(services)
    }
}

/// What the answers of one question share.
pub(super) struct Survey {
    deployments: Vec<Deployment>,
    services: Arc<Services>,
    /// Rules whose open findings have been counted.
    rules: HashSet<Arc<str>>,
    /// Addresses at which (rule, subject, target) is open.
    edges: HashMap<[Arc<str>; 3], BTreeSet<Option<IpAddr>>>,
    /// Targets at which (rule, subject) is open, by service.
    siblings: HashMap<[Arc<str>; 3], BTreeSet<Arc<str>>>,
    of_target: HashMap<(Arc<str>, ProbeKind), usize>,
}

/// What surrounds each of the findings.
pub(super) fn contexts(
    db: &Connection,
    mut survey: Survey,
    findings: &[Finding],
) -> Result<Vec<Context>, LedgerError> {
    findings.iter().map(|finding| survey.context(db, finding)).collect()
}

impl Survey {
    /// Counts every point anew.
    pub(super) fn new(db: &Connection) -> Result<Self, LedgerError> {
        Self::with(db, Arc::new(services(db)?))
    }

    fn with(db: &Connection, services: Arc<Services>) -> Result<Self, LedgerError> {
        Ok(Self {
            deployments: deployments(db)?,
            services,
            rules: HashSet::new(),
            edges: HashMap::new(),
            siblings: HashMap::new(),
            of_target: HashMap::new(),
        })
    }

    pub(super) fn context(
        &mut self,
        db: &Connection,
        finding: &Finding,
    ) -> Result<Context, LedgerError> {
        let Finding { key, probe, labels, .. } = finding;
        self.count(db, &key.rule)?;
        let of_target = (Arc::clone(&key.target), *probe);
        if !self.of_target.contains_key(&of_target) {
            self.of_target.insert(of_target.clone(), addresses(db, &key.target, *probe)?);
        }
        let of_service = finding.service().map(|service| {
            let sampled = self.services.get(&(service.to_owned(), probe.as_str().to_owned()));
            (self.siblings.get(&with(finding, &service.into())), sampled.copied())
        });
        let (siblings, in_service) = of_service.unwrap_or_default();
        let edges = self.edges.get(&with(finding, &key.target)).map_or(1, BTreeSet::len);
        let addresses = Count::of(edges, self.of_target.get(&of_target).copied().unwrap_or(1));
        let targets = Count::of(siblings.map_or(1, BTreeSet::len), in_service.unwrap_or(1));
        Ok(Context {
            share: finding.share(),
            spread: Spread::of(addresses, targets),
            last_deployment: before(&self.deployments, &key.target, labels, finding.first_seen),
        })
    }

    /// Takes in where the open findings of a rule are.
    fn count(&mut self, db: &Connection, rule: &Arc<str>) -> Result<(), LedgerError> {
        if !self.rules.insert(Arc::clone(rule)) {
            return Ok(());
        }
        for open in open_of_rule(db, rule)? {
            let target = Arc::clone(&open.key.target);
            self.edges.entry(with(&open, &target)).or_default().insert(open.key.address);
            if let Some(service) = open.service() {
                self.siblings.entry(with(&open, &service.into())).or_default().insert(target);
            }
        }
        Ok(())
    }
}

/// A fault, at a target or in a service.
fn with(finding: &Finding, place: &Arc<str>) -> [Arc<str>; 3] {
    let key = &finding.key;
    [Arc::clone(&key.rule), Arc::clone(&key.subject), Arc::clone(place)]
}

/// Targets by service and probe.
pub(super) type Services = HashMap<(String, String), usize>;

fn services(db: &Connection) -> Result<Services, LedgerError> {
    let mut statement = db.prepare_cached(
        "SELECT json_extract(labels, '$.service') AS service, probe, count(DISTINCT target)
         FROM points WHERE retired = 0 AND service IS NOT NULL GROUP BY service, probe",
    )?;
    let rows =
        statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), count_of(row, 2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn addresses(db: &Connection, target: &str, probe: ProbeKind) -> Result<usize, LedgerError> {
    let sql = "SELECT count(*) FROM points WHERE target = ?1 AND probe = ?2 AND retired = 0";
    let mut statement = db.prepare_cached(sql)?;
    Ok(statement.query_row(params![target, probe.as_str()], |row| count_of(row, 0))?)
}

fn count_of(row: &Row<'_>, column: usize) -> rusqlite::Result<usize> {
    row.get::<_, i64>(column).map(|count| usize::try_from(count).unwrap_or_default())
}

fn open_of_rule(db: &Connection, rule: &str) -> Result<Vec<Finding>, LedgerError> {
    let sql = format!("{FINDING} WHERE f.rule = ?1 AND f.open = 1 LIMIT {MOST_OPEN}");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query([rule])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(finding(row)?);
    }
    Ok(all)
}

/// When, which targets, who and what.
struct Deployment {
    at: DateTime<Utc>,
    labels: Labels,
    actor: String,
    version: String,
}

fn before(
    deployments: &[Deployment],
    target: &str,
    labels: &Labels,
    first_seen: DateTime<Utc>,
) -> Option<LastDeployment> {
    let of_target =
        |one: &&Deployment| one.at <= first_seen && chooses(&one.labels, target, labels);
    let last = deployments.iter().find(of_target)?;
    Some(LastDeployment {
        version: last.version.clone(),
        actor: last.actor.clone(),
        at: last.at,
        seconds_before: (first_seen - last.at).num_seconds(),
    })
}

/// The deployments that a finding may name, latest first.
fn deployments(db: &Connection) -> Result<Vec<Deployment>, LedgerError> {
    let sql = "SELECT at, labels, body FROM deployments ORDER BY at DESC, number DESC LIMIT 1000";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let body: BTreeMap<String, String> = unjson(row.get_ref(2)?.as_str().unwrap_or_default())?;
        let word = |name: &str| body.get(name).cloned().unwrap_or_default();
        let labels = unjson(row.get_ref(1)?.as_str().unwrap_or_default())?;
        let at = time(row.get(0)?);
        all.push(Deployment { at, labels, actor: word("actor"), version: word("version") });
    }
    Ok(all)
}

const KEPT: Duration = Duration::from_secs(10);
/// Open findings of one rule that are looked at for its spread.
const MOST_OPEN: usize = 10_000;
