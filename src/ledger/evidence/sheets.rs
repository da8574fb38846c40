//! Sheets as the writer knows them.

use std::collections::HashMap;
use std::hash::Hasher;
use std::sync::Arc;

use rusqlite::Connection;
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::ledger::LedgerError;
use crate::ledger::desk::Batch;
use crate::ledger::event::Event;
use crate::ledger::project::{counter, unjson};
use crate::sample::{Judgement, Sample, Verdict};

/// A rule as samples were held to it: id, measure and range. With another range it is another rule,
/// and its evidence begins anew.
type Held = (Arc<str>, Arc<str>, Arc<str>);

/// Every sheet that a sample may refer to, by the mark of what it says.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Sheets {
    rules: HashMap<Held, i64>,
    known: HashMap<u128, i64>,
    last_rule: i64,
    last_sheet: i64,
}

impl Sheets {
    /// Reads them back.
    pub(in crate::ledger) fn load(db: &Connection) -> Result<Self, LedgerError> {
        let mut sheets = Self {
            last_rule: counter(db, "rule")?,
            last_sheet: counter(db, "sheet")?,
            ..Self::default()
        };
        let mut by_number: HashMap<i64, Held> = HashMap::new();
        let mut statement = db.prepare("SELECT number, rule, measure, range FROM held_rules")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let text = |at| row.get::<_, String>(at).map(Arc::from);
            let held = (text(1)?, text(2)?, text(3)?);
            by_number.insert(row.get(0)?, held.clone());
            sheets.rules.insert(held, row.get(0)?);
        }
        let mut statement = db.prepare("SELECT number, said FROM sheets")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let said: Vec<i64> = unjson(row.get_ref(1)?.as_str().unwrap_or_default())?;
            let mut mark = Mark::default();
            for word in said {
                let (number, code) = split(word);
                let held = by_number.get(&number).ok_or_else(|| {
                    LedgerError::Event(format!("a sheet has rule {number}, which nobody knows"))
                })?;
                mark.take(held, code);
            }
            sheets.known.insert(mark.0.finish128().as_u128(), row.get(0)?);
        }
        Ok(sheets)
    }

    /// The number of the sheet that says this; one that was never seen is described first.
    pub(in crate::ledger) fn number(
        &mut self,
        mark: u128,
        sample: &Sample,
        judgements: &[Judgement],
        batch: &mut Batch,
    ) -> i64 {
        if let Some(number) = self.known.get(&mark) {
            return *number;
        }
        let said = said(sample, judgements)
            .map(|(judgement, code)| self.rule(held(judgement), batch) * CODES + i64::from(code));
        let said = said.collect();
        self.last_sheet += 1;
        self.known.insert(mark, self.last_sheet);
        batch.events.push(Event::SheetDescribed { number: self.last_sheet, said });
        self.last_sheet
    }

    fn rule(&mut self, held: Held, batch: &mut Batch) -> i64 {
        if let Some(number) = self.rules.get(&held) {
            return *number;
        }
        self.last_rule += 1;
        let (rule, measure, range) = held.clone();
        batch.events.push(Event::RuleDescribed { number: self.last_rule, rule, measure, range });
        self.rules.insert(held, self.last_rule);
        self.last_rule
    }
}

/// What tells one sheet from another.
pub(in crate::ledger) fn mark(sample: &Sample, judgements: &[Judgement]) -> u128 {
    let mut mark = Mark::default();
    for (judgement, code) in said(sample, judgements) {
        mark.take(&held(judgement), code);
    }
    mark.0.finish128().as_u128()
}

/// What a sample says of rules: nothing of what it did not look at.
fn said<'a>(
    sample: &'a Sample,
    judgements: &'a [Judgement],
) -> impl Iterator<Item = (&'a Judgement, u8)> {
    let looked = judgements.iter().filter(|judgement| !sample.recalls(&judgement.rule.measure));
    looked.filter_map(|judgement| Some((judgement, code(judgement.verdict)?)))
}

/// A rule's number and what it said.
pub(super) fn split(word: i64) -> (i64, u8) {
    (word.div_euclid(CODES), u8::try_from(word.rem_euclid(CODES)).unwrap_or(UNKNOWN))
}

struct Mark(SipHasher24);

impl Default for Mark {
    fn default() -> Self {
        Self(SipHasher24::new_with_keys(0x5365_6363_6869, 4))
    }
}

impl Mark {
    fn take(&mut self, (rule, measure, range): &Held, code: u8) {
        for text in [rule, measure, range] {
            self.0.write(text.as_bytes());
            self.0.write_u8(0xff);
        }
        self.0.write_u8(code);
    }
}

fn held(judgement: &Judgement) -> Held {
    let rule = &judgement.rule;
    (Arc::clone(&rule.id), Arc::clone(&rule.measure), Arc::clone(&rule.range))
}

/// A rule that does not apply says nothing, for or against.
fn code(verdict: Verdict) -> Option<u8> {
    match verdict {
        Verdict::InRange => Some(CLEAN),
        Verdict::OutOfRange => Some(POSITIVE),
        Verdict::Unknown => Some(UNKNOWN),
        Verdict::NotApplicable => None,
    }
}

pub(super) const CLEAN: u8 = 0;
pub(super) const POSITIVE: u8 = 1;
pub(super) const UNKNOWN: u8 = 2;
const CODES: i64 = 4;
