//! What is not a sample: events of other rooms with what follows from them, and staleness.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Batch, Desk, trunc};
use crate::finding::{Change, Finding, Freshness, except, stale_rule, step_stale, withdraw};
use crate::ledger::Memory;
use crate::ledger::event::{Event, exception_key};
use crate::ledger::project::time;
use crate::target::PointKey;

impl Desk {
    /// Another room's event, and what it does to open findings.
    pub(in crate::ledger) fn happen(&mut self, event: Event, batch: &mut Batch) {
        if let Some(at) = event.at() {
            batch.at = batch.at.max(at);
        }
        let happened = event.clone();
        batch.events.push(event);
        match happened {
            Event::ConfigLoaded { at, exceptions, .. } => {
                self.exceptions.retain(|(_, made), _| *made);
                for exception in exceptions {
                    let key = key_of(&exception);
                    self.exceptions.insert((key, false), exception);
                }
                self.enforce(at, batch);
            }
            Event::ExceptionMade { at, exception, .. } => {
                self.exceptions.insert((key_of(&exception), true), exception);
                self.enforce(at, batch);
            }
            Event::ExceptionEnded { at, rule, target, subject, .. } => {
                let key = exception_key(&rule, &target, subject.as_deref());
                self.exceptions.remove(&(key, true));
                self.enforce(at, batch);
            }
            Event::FindingWithdrawn { at, id, .. } => {
                self.change(batch, |f| (f.id == id).then(|| withdraw(f, "by_hand", trunc(at))));
            }
            Event::RulesRemoved { at, rules } => self.change(batch, |finding| {
                let removed = rules.iter().any(|rule| **rule == *finding.key.rule);
                removed.then(|| withdraw(finding, "rule_removed", trunc(at)))
            }),
            Event::PointsWithdrawn { at, note, points } => {
                self.retire(&points, &note, trunc(at), batch);
            }
            _ => {}
        }
    }

    /// Another room's event together with the memory that it gives a point. A run that was handed
    /// the memory before can no longer replace it.
    pub(in crate::ledger) fn remember(
        &mut self,
        event: Event,
        key: PointKey,
        memory: Memory,
        batch: &mut Batch,
    ) {
        self.happen(event, batch);
        if let Some(point) = self.points.get_mut(&key) {
            point.remembers(&memory);
        }
        batch.memory.insert(key, memory);
    }

    /// Opens and ends the findings of stale targets. Returns how many moved.
    pub(in crate::ledger) fn check_stale(
        &mut self,
        now: DateTime<Utc>,
        batch: &mut Batch,
    ) -> usize {
        let now = trunc(now);
        let groups: Vec<PointKey> = self.groups.keys().copied().collect();
        groups.into_iter().filter(|group| self.check_group(*group, now, batch)).count()
    }

    /// A known sample came: an open staleness of its target may be over.
    pub(super) fn refreshed(&mut self, key: PointKey, at: DateTime<Utc>, batch: &mut Batch) {
        let Some(point) = self.points.get(&key) else { return };
        let group = PointKey::new(&point.target, point.probe, None);
        let rule = stale_rule(point.probe);
        let open = self
            .open
            .get(&group)
            .is_some_and(|open| open.iter().any(|open| &*open.finding.key.rule == rule));
        if open {
            self.check_group(group, at, batch);
        }
    }

    fn check_group(&mut self, group: PointKey, now: DateTime<Utc>, batch: &mut Batch) -> bool {
        let keys = self.groups.get(&group).map_or(&[][..], Vec::as_slice);
        let active = keys.iter().filter_map(|key| self.points.get(key)).filter(|p| !p.retired);
        let stalest = active
            .filter_map(|point| Some((point, point.known_at.or(point.first_at)?)))
            .min_by_key(|(point, known)| known.saturating_add(point.freshness));
        let Some((point, _)) = stalest else { return false };
        let fresh = Freshness {
            target: &point.target,
            probe: point.probe,
            labels: &point.labels,
            last_known: point.known_at.map(time),
            since: point.first_at.map_or(now, time),
            limit: Duration::from_millis(u64::try_from(point.freshness).unwrap_or(0)),
        };
        let rule = stale_rule(point.probe);
        let open = self.open.get(&group).and_then(|open| {
            open.iter().map(|open| &open.finding).find(|finding| &*finding.key.rule == rule)
        });
        let Some(change) = step_stale(open, &fresh, &self.in_force, now) else { return false };
        batch.at = batch.at.max(now);
        let (_, event) = self.keep(group, change);
        batch.events.extend(event);
        true
    }

    /// What exceptions that are now in force do to open findings.
    fn enforce(&mut self, at: DateTime<Utc>, batch: &mut Batch) {
        self.in_force = self.exceptions.values().cloned().collect();
        let in_force = std::mem::take(&mut self.in_force);
        self.change(batch, |finding| except(finding, &in_force, trunc(at)));
        self.in_force = in_force;
    }

    fn retire(&mut self, points: &[PointKey], note: &str, at: DateTime<Utc>, batch: &mut Batch) {
        let mut leaving: HashSet<PointKey> = points.iter().copied().collect();
        for key in points {
            let Some(point) = self.points.get_mut(key) else { continue };
            point.retired = true;
            let group = PointKey::new(&point.target, point.probe, None);
            self.news.gone.push(*key);
            let others = self.groups.get(&group).map_or(&[][..], Vec::as_slice);
            let rest = others.iter().filter_map(|key| self.points.get(key));
            if rest.into_iter().all(|point| point.retired) {
                leaving.insert(group);
            }
        }
        leaving.retain(|key| self.open.contains_key(key));
        for key in leaving {
            self.change_at(key, batch, |finding| Some(withdraw(finding, note, at)));
        }
    }

    fn change(&mut self, batch: &mut Batch, mut ask: impl FnMut(&Finding) -> Option<Change>) {
        let keys: Vec<PointKey> = self.open.keys().copied().collect();
        for key in keys {
            self.change_at(key, batch, &mut ask);
        }
    }

    fn change_at(
        &mut self,
        key: PointKey,
        batch: &mut Batch,
        mut ask: impl FnMut(&Finding) -> Option<Change>,
    ) {
        let open = self.open.get(&key).map_or(&[][..], Vec::as_slice);
        let changes: Vec<Change> = open.iter().filter_map(|open| ask(&open.finding)).collect();
        for change in changes {
            let (_, event) = self.keep(key, change);
            batch.events.extend(event);
        }
    }
}

fn key_of(exception: &crate::finding::Exception) -> String {
    exception_key(&exception.rule, &exception.target, exception.subject.as_deref())
}
