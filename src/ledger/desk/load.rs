//! The desk as the projections say it was.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use rusqlite::{Connection, Row};

use super::{Desk, News, Open, PointEntry};
use crate::finding::Exception;
use crate::ledger::LedgerError;
use crate::ledger::evidence::Sheets;
use crate::ledger::gauges;
use crate::ledger::project::{coded, counter, unjson, unsigned, word};
use crate::ledger::read::{FINDING, finding};
use crate::sample::Verdict;
use crate::target::{Labels, PointKey};
use crate::telemetry::Metrics;

impl Desk {
    /// Reads everything back.
    pub(in crate::ledger) fn load(
        db: &Connection,
        metrics: Arc<Metrics>,
    ) -> Result<Self, LedgerError> {
        let mut desk = Self {
            points: HashMap::new(),
            groups: HashMap::new(),
            open: HashMap::new(),
            exceptions: BTreeMap::new(),
            in_force: Vec::new(),
            last_point: counter(db, "point")?,
            last_finding: counter(db, "finding")?,
            last_sample: counter(db, "sample")?,
            counts: HashMap::new(),
            metrics,
            sheets: Sheets::load(db)?,
            news: News::default(),
        };
        desk.load_points(db)?;
        desk.load_findings(db)?;
        desk.load_exceptions(db)?;
        Ok(desk)
    }

    fn load_points(&mut self, db: &Connection) -> Result<(), LedgerError> {
        let sql = "SELECT p.number, p.target, p.probe, p.address, p.labels, p.plan, p.freshness,
                   p.retired, l.first_at, l.at, l.known_at, l.slot, l.verdict, l.unknown,
                   l.out_of_range, c.digest, l.gauges, p.key, coalesce(r.interval, 0)
                   FROM points p LEFT JOIN latest l ON l.point = p.number
                   LEFT JOIN rhythms r ON r.point = p.number
                   LEFT JOIN contents c ON c.id = l.content ORDER BY p.number";
        let mut texts = Texts::default();
        let mut statement = db.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let point = read_point(row, &mut texts)?;
            let key = unsigned(row.get(17)?);
            if !point.retired {
                self.news.latest.push(point.latest(key));
            }
            self.news.states.push((key, point.state()));
            self.add(key, point);
        }
        Ok(())
    }

    fn load_findings(&mut self, db: &Connection) -> Result<(), LedgerError> {
        let mut statement = db.prepare(&format!("{FINDING} WHERE f.open = 1 ORDER BY f.number"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let number = row.get("number")?;
            let finding = finding(row)?;
            let key = PointKey::new(&finding.key.target, finding.probe, finding.key.address);
            let series =
                (Arc::clone(&finding.key.rule), finding.severity.as_str(), finding.state.as_str());
            self.tell(series, 1);
            self.open.entry(key).or_default().push(Open { number, finding });
        }
        Ok(())
    }

    fn load_exceptions(&mut self, db: &Connection) -> Result<(), LedgerError> {
        let mut statement = db.prepare("SELECT key, made, body FROM exceptions")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let exception: Exception = unjson(row.get_ref(2)?.as_str().unwrap_or_default())?;
            self.exceptions.insert((row.get(0)?, row.get(1)?), exception);
        }
        self.in_force = self.exceptions.values().cloned().collect();
        Ok(())
    }
}

/// Texts that many points share, held once.
#[derive(Default)]
struct Texts {
    words: HashMap<String, Arc<str>>,
    labels: HashMap<String, Arc<Labels>>,
}

impl Texts {
    fn word(&mut self, text: String) -> Arc<str> {
        Arc::clone(self.words.entry(text).or_insert_with_key(|text| text.as_str().into()))
    }

    fn labels(&mut self, text: String) -> Result<Arc<Labels>, LedgerError> {
        if let Some(labels) = self.labels.get(&text) {
            return Ok(Arc::clone(labels));
        }
        let labels: Arc<Labels> = Arc::new(unjson(&text)?);
        self.labels.insert(text, Arc::clone(&labels));
        Ok(labels)
    }
}

fn read_point(row: &Row<'_>, texts: &mut Texts) -> Result<PointEntry, LedgerError> {
    let address: String = row.get(3)?;
    let address: Option<IpAddr> = address.parse().ok();
    let place =
        (texts.word(row.get(1)?), word(row.get_ref(2)?.as_str().unwrap_or_default())?, address);
    let how = (texts.labels(row.get(4)?)?, texts.word(row.get(5)?), row.get(6)?);
    let digest: Option<Vec<u8>> = row.get(15)?;
    let gauges: Option<String> = row.get(16)?;
    let gauges: Vec<(String, f64)> = gauges.map_or_else(|| Ok(Vec::new()), |text| unjson(&text))?;
    Ok(PointEntry {
        retired: row.get(7)?,
        first_at: row.get(8)?,
        at: row.get(9)?,
        known_at: row.get(10)?,
        slot: row.get(11)?,
        verdict: row.get::<_, Option<u8>>(12)?.map(coded::<Verdict>),
        unknown: row.get::<_, Option<bool>>(13)?.unwrap_or(false),
        out_of_range: row.get(14)?,
        digest: digest.and_then(|digest| digest.try_into().ok()),
        scheduled_at: row.get(9)?,
        interval: row.get(18)?,
        gauges: gauges.iter().filter_map(|(name, v)| Some((gauges::known(name)?, *v))).collect(),
        ..PointEntry::new(row.get(0)?, place, how)
    })
}
