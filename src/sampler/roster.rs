//! The roster: every sampling point with its plan, and when it is due.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::backlog::Backlog;
use super::entry::{Entry, Glimpse, Last, PageQuery, Rank, Repeat};
use super::extras::{Seat, Services};
use super::run::Begin;
use crate::rules::Selection;
use crate::schedule::{Effect, Importance, Plan, Queue, Seed, Slot, Window};
use crate::target::{Endpoint, Host, Point, PointKey, ProbeKind, Scheme, Target};

/// One point as the roster holds it: 72 bytes, for a million of them are to fit.
struct Place {
    point: Point,
    how: Arc<How>,
    next: Next,
    /// [`NEVER`] before the first.
    last_slot: i64,
    /// Unix seconds, which end in 2106: when something was measured last, else since when the point
    /// is sampled; 0 where no glimpse has come yet.
    fresh_at: u32,
    busy: bool,
}

impl Place {
    /// Worked out anew each time, for it takes eight bytes.
    fn key(&self) -> PointKey {
        self.point.key()
    }

    /// Whether it is sampled by runs of its own.
    fn has_runs(&self) -> bool {
        self.how.glimpse != Glimpse::Takes
    }

    fn entry(&self) -> Entry {
        let How { plan, plan_name, selection, repeat, freshness, glimpse } = &*self.how;
        Entry {
            point: self.point.clone(),
            plan: Arc::clone(plan),
            plan_name: Arc::clone(plan_name),
            selection: selection.clone(),
            repeat: *repeat,
            freshness: *freshness,
            glimpse: *glimpse,
            spoken_for: Arc::default(),
        }
    }
}

/// The next slot, packed.
#[derive(Clone, Copy)]
struct Next {
    /// Nanoseconds since 1970; [`NEVER`] where nothing is due.
    due: i64,
    number: i64,
}

impl Next {
    fn of(slot: Option<Slot>) -> Self {
        slot.map_or_else(Self::default, |Slot { number, due }| Self {
            due: due.timestamp_nanos_opt().unwrap_or(i64::MAX),
            number,
        })
    }

    fn slot(self) -> Option<Slot> {
        let due = DateTime::from_timestamp_nanos(self.due);
        (self.due != NEVER).then_some(Slot { number: self.number, due })
    }
}

impl Default for Next {
    fn default() -> Self {
        Self { due: NEVER, number: 0 }
    }
}

/// What an entry says beside its point: the same for most points, so it is kept once.
struct How {
    plan: Arc<Plan>,
    plan_name: Arc<str>,
    selection: Selection,
    repeat: Repeat,
    freshness: Duration,
    glimpse: Glimpse,
}

impl How {
    fn next(&self, key: PointKey, seed: &Seed, after: DateTime<Utc>) -> Option<Slot> {
        match self.glimpse {
            Glimpse::Takes => None,
            Glimpse::Apart | Glimpse::Gives => self.plan.next(key, seed, after),
        }
    }

    /// Whether its points are due at the same times.
    fn is_due_with(&self, other: &Self) -> bool {
        let takes = |how: &Self| how.glimpse == Glimpse::Takes;
        self.plan.spec() == other.plan.spec() && takes(self) == takes(other)
    }
}

/// What tells one [`How`] from another. Plan and selection go by where they lie, which holds for as
/// long as the [`How`] beside this key is kept.
type HowKey = (usize, Arc<str>, usize, Repeat, Duration, Glimpse);

/// How fresh the points of one probe are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Freshness {
    pub(super) points: u32,
    pub(super) fresh: u32,
    /// Unix seconds.
    pub(super) oldest: Option<i64>,
}

/// Every sampling point, by index, with the queue of due times.
#[derive(Default)]
pub struct Roster {
    places: Vec<Option<Place>>,
    free: Vec<u32>,
    by_key: HashMap<PointKey, u32>,
    /// By target and probe; addresses are put in order when they are asked for.
    by_name: BTreeSet<(Arc<str>, ProbeKind, u32)>,
    hows: HashMap<HowKey, Arc<How>>,
    sweep_at: usize,
    queue: Queue,
    services: Services,
    windows: Arc<[Window]>,
    backlog: Backlog,
}

/// What became of a slot that came due; `passed` are the slots after it that passed unseen since.
pub(super) enum Due {
    /// To be sampled now.
    Take { index: u32, entry: Entry, slot: Slot, passed: u64 },
    /// Not to be sampled, for this reason.
    Skip { reason: &'static str, passed: u64 },
}

impl Roster {
    /// Adds a point, or gives a known one a new plan and rules. The phase is a function of seed and
    /// key, so an untouched plan keeps its due times, one that is due now included.
    pub fn put(&mut self, entry: Entry, seed: &Seed, last: Option<Last>, now: DateTime<Utc>) {
        let key = entry.point.key();
        let index = match self.by_key.get(&key) {
            Some(&index) => index,
            None => self.free.pop().unwrap_or_else(|| {
                self.places.push(None);
                u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
            }),
        };
        // What was sampled far ahead of now was so by a clock that has been set right since.
        let last = last.filter(|last| last.at <= now + LONGEST_WAIT);
        let last_slot = last.map_or(NEVER, |last| last.slot);
        let (point, how) = self.shared(entry);
        let Some(place) = self.places.get_mut(index as usize) else { return };
        if let Some(before) = place {
            before.last_slot = before.last_slot.max(last_slot);
            if !before.how.is_due_with(&how) {
                let next = how.next(key, seed, now);
                match &next {
                    Some(slot) => self.queue.insert(index, slot.due),
                    None => self.queue.remove(index),
                }
                before.next = Next::of(next);
            }
            if before.fresh_at == 0 && how.glimpse != Glimpse::Takes {
                before.fresh_at = seconds(now);
            }
            if before.point.target.labels != point.target.labels {
                self.services.remove(&before.point, index);
                self.services.add(&point, index);
            }
            (before.point, before.how) = (point, how);
            return;
        }
        let next = how.next(key, seed, now);
        if let Some(slot) = &next {
            self.queue.insert(index, slot.due);
        }
        let next = Next::of(next);
        let since = if how.glimpse == Glimpse::Takes { 0 } else { seconds(now) };
        let known_at = last.and_then(|last| last.known_at);
        let fresh_at = known_at.map_or(since, seconds);
        self.by_key.insert(key, index);
        self.by_name.insert((Arc::clone(&point.target.name), point.probe, index));
        self.services.add(&point, index);
        *place = Some(Place { point, how, next, last_slot, fresh_at, busy: false });
    }

    /// Whether the point is known.
    pub(super) fn knows(&self, key: PointKey) -> bool {
        self.by_key.contains_key(&key)
    }

    /// Takes the entry apart, with what other points have too in one place.
    fn shared(&mut self, entry: Entry) -> (Point, Arc<How>) {
        let Entry { point, plan, plan_name, selection, repeat, freshness, glimpse, .. } = entry;
        if self.hows.len() >= self.sweep_at {
            self.hows.retain(|_, how| Arc::strong_count(how) > 1);
            self.sweep_at = SWEEP.max(2 * self.hows.len());
        }
        let (plan_at, name) = (Arc::as_ptr(&plan).addr(), Arc::clone(&plan_name));
        let key: HowKey = (plan_at, name, selection.id(), repeat, freshness, glimpse);
        let how = || Arc::new(How { plan, plan_name, selection, repeat, freshness, glimpse });
        (point, Arc::clone(self.hows.entry(key).or_insert_with(how)))
    }

    /// Forgets a point.
    pub fn remove(&mut self, key: PointKey) {
        if let Some(index) = self.by_key.remove(&key) {
            self.queue.remove(index);
            if let Some(gone) = self.places.get_mut(index as usize).and_then(Option::take) {
                self.by_name.remove(&(
                    Arc::clone(&gone.point.target.name),
                    gone.point.probe,
                    index,
                ));
                self.services.remove(&gone.point, index);
            }
            self.free.push(index);
        }
    }

    /// The clock has gone back. A slot that was taken never runs again, so points wait until the
    /// earlier time has passed; but where that would be longer than [`LONGEST_WAIT`], nobody would
    /// be watching, and they begin anew.
    pub(super) fn rewind(&mut self, seed: &Seed, now: DateTime<Utc>) {
        for (index, place) in (0..).zip(&mut self.places) {
            let Some(place) = place else { continue };
            place.fresh_at = place.fresh_at.min(seconds(now));
            let next = place.how.next(place.key(), seed, now);
            let waits = place.next.slot().zip(next).map(|(held, next)| held.due - next.due);
            if let (Some(next), true) = (next, waits.is_some_and(|wait| wait > LONGEST_WAIT)) {
                self.queue.insert(index, next.due);
                (place.next, place.last_slot) = (Next::of(Some(next)), NEVER);
            }
        }
    }

    /// Other maintenance windows from now on.
    pub fn set_windows(&mut self, windows: Arc<[Window]>) {
        self.windows = windows;
    }

    /// How many points there are of a probe.
    pub fn count(&self, probe: ProbeKind) -> usize {
        self.points().filter(|point| point.probe == probe).count()
    }

    /// Where a fault of this point may show as well: the target's other addresses, then targets of
    /// the same service, beginning where `chance` says. At most `most`, each of the same probe.
    pub(super) fn kin(&self, index: u32, chance: u64, most: usize) -> Vec<Seat> {
        let Some(own) = self.places.get(index as usize).and_then(Option::as_ref) else {
            return Vec::new();
        };
        let Point { target, probe, .. } = &own.point;
        let from = (Arc::clone(&target.name), *probe, 0);
        let addresses = self
            .by_name
            .range(from..)
            .take_while(|(name, kind, _)| name == &target.name && kind == probe);
        let addresses = addresses.map(|(.., index)| *index).filter(|other| *other != index);
        let siblings = self.services.around(&own.point, chance).take(MOST_LOOKED_AT);
        let siblings = siblings.filter(|other| {
            let other = self.places.get(*other as usize).and_then(Option::as_ref);
            other.is_some_and(|other| {
                other.point.probe == *probe && other.point.target.name != target.name
            })
        });
        addresses.chain(siblings).filter_map(|index| self.seat(index)).take(most).collect()
    }

    /// The points of targets that pass.
    pub(super) fn seats(&self, passes: impl Fn(&Target) -> bool) -> Vec<Seat> {
        let places = (0..).zip(&self.places);
        let chosen = places.filter_map(|(index, place)| Some((index, place.as_ref()?)));
        let chosen = chosen.filter(|(_, place)| place.has_runs() && passes(&place.point.target));
        chosen.map(|(index, place)| (index, place.key())).collect()
    }

    fn seat(&self, index: u32) -> Option<Seat> {
        let place = self.places.get(index as usize)?.as_ref();
        place.filter(|place| place.has_runs()).map(|place| (index, place.key()))
    }

    /// Every point.
    pub fn points(&self) -> impl Iterator<Item = &Point> {
        self.places.iter().flatten().map(|place| &place.point)
    }

    /// The entries of points that pass.
    pub fn entries(&self, passes: impl Fn(&Point) -> bool) -> impl Iterator<Item = Entry> {
        let places = self.places.iter().flatten();
        places.filter(move |place| passes(&place.point)).map(Place::entry)
    }

    /// One page of the points in order, each with its next due time. It costs as much as it gives
    /// and skips, however many points there are.
    pub fn page(&self, query: &PageQuery) -> Vec<(Entry, Option<DateTime<Utc>>)> {
        let first = query.target.clone().map(|target| (target, ProbeKind::Tls, 0));
        let after = query.after.clone().map(|(target, probe, _)| (target, probe, 0));
        let from = first.max(after).map_or(Bound::Unbounded, Bound::Included);
        let mut names = self
            .by_name
            .range((from, Bound::Unbounded))
            .take_while(|(target, ..)| query.target.as_ref().is_none_or(|t| t == target))
            .peekable();
        let mut page = Vec::new();
        while page.len() < query.limit
            && let Some((target, probe, _)) = names.peek().copied()
        {
            let mut group: Vec<&Place> = Vec::new();
            while let Some((.., index)) = names.next_if(|(t, p, _)| t == target && p == probe) {
                group.extend(self.places.get(*index as usize).and_then(Option::as_ref));
            }
            group.sort_by_key(|place| place.point.address);
            let comes = |place: &&&Place| {
                query.probe.is_none_or(|wanted| wanted == *probe)
                    && query.after.as_ref().is_none_or(|after| rank(&place.point) > *after)
            };
            let left = query.limit - page.len();
            let shown = group.iter().filter(comes).take(left);
            page.extend(shown.map(|place| (place.entry(), self.due(place))));
        }
        page
    }

    /// When the point is sampled next, if by the way, with the one that gives the glimpse.
    fn due(&self, place: &Place) -> Option<DateTime<Utc>> {
        let place = match place.how.glimpse {
            Glimpse::Takes => self.giver(&place.point)?,
            Glimpse::Apart | Glimpse::Gives => place,
        };
        place.next.slot().map(|slot| slot.due)
    }

    /// The point whose runs give glimpses of this one.
    pub(super) fn giver_of(&self, point: &Point) -> Option<Entry> {
        self.giver(point).map(Place::entry)
    }

    fn giver(&self, point: &Point) -> Option<&Place> {
        let key = match &point.target.found_by {
            Some(name) => PointKey::new(name, ProbeKind::Ports, None),
            None => PointKey::new(&point.target.name, ProbeKind::Http, point.address),
        };
        let index = *self.by_key.get(&key)?;
        let place = self.places.get(index as usize)?.as_ref();
        place.filter(|place| place.how.glimpse == Glimpse::Gives)
    }

    /// The entry as a run of it begins: a ports run must know of which ports others look at the TLS.
    pub(super) fn beginning(&self, entry: Entry) -> Entry {
        match entry.point.probe {
            ProbeKind::Ports if entry.glimpse == Glimpse::Gives => {
                let spoken_for = self.tls_ports(&entry.point.target.endpoint.host).into();
                Entry { spoken_for, ..entry }
            }
            _ => entry,
        }
    }

    /// The ports of a host that tls points other than those of ports runs stand for.
    fn tls_ports(&self, host: &Host) -> Vec<u16> {
        let mut ports = BTreeSet::new();
        for scheme in [None, Some(Scheme::Https), Some(Scheme::Tls)] {
            let at = |port| Endpoint { scheme, host: host.clone(), port, path: "/".to_owned() };
            let bare = at(None).to_string();
            // A port or a path may follow; `[v6]` is written otherwise with a port than without.
            let with_port = at(Some(1)).to_string();
            let with_port = with_port.trim_end_matches('1');
            for prefix in [bare.as_str(), with_port, &format!("{bare}/"), &format!("{bare}?")] {
                let from = (Arc::from(prefix), ProbeKind::Tls, 0);
                let names = self.by_name.range(from..);
                let names = names.take_while(|(name, ..)| match prefix == bare {
                    true => **name == *prefix,
                    false => name.starts_with(prefix),
                });
                let places = names.filter(|(_, probe, _)| *probe == ProbeKind::Tls);
                let places = places.filter_map(|(.., index)| self.places.get(*index as usize));
                let targets = places.flatten().map(|place| &place.point.target);
                let named = targets.filter(|t| t.found_by.is_none() && t.endpoint.host == *host);
                ports.extend(named.map(|target| target.endpoint.port_or_default()));
            }
        }
        ports.into_iter().collect()
    }

    /// The next due time of any point.
    pub fn next_due(&mut self) -> Option<DateTime<Utc>> {
        self.queue.next_due()
    }

    /// The next point that is due, if one is; its following slot is queued at once, so that a slow
    /// sample makes the next slot an overlap and never a pile.
    ///
    /// `affords` says whether a sample of a target may begin, by what samples have used up.
    pub(super) fn pop_due(
        &mut self,
        seed: &Seed,
        now: DateTime<Utc>,
        affords: impl Fn(&str, Importance) -> bool,
    ) -> Option<Due> {
        self.backlog.ask(now);
        let Some(popped) = self.queue.pop_due(now) else {
            self.backlog.clear(now);
            return None;
        };
        let index = popped.index;
        let windows = Arc::clone(&self.windows);
        let place = self.places.get_mut(index as usize)?.as_mut()?;
        let slot = std::mem::take(&mut place.next).slot()?;
        // Slots that passed while the loop could not run are counted, not caught up.
        let passed = place.how.plan.slots_between(place.key(), seed, slot.due, now);
        let next = place.how.next(place.key(), seed, slot.due.max(now));
        if let Some(next) = &next {
            self.queue.insert(index, next.due);
        }
        place.next = Next::of(next);
        if slot.number <= place.last_slot {
            return Some(Due::Skip { reason: "missed", passed });
        }
        let target = &place.point.target;
        if windows.iter().any(|window| pauses(window, now, target)) {
            return Some(Due::Skip { reason: "maintenance", passed });
        }
        if place.busy {
            return Some(Due::Skip { reason: "overlap", passed });
        }
        let importance = place.how.plan.importance();
        if self.backlog.sheds(importance, now) {
            return Some(Due::Skip { reason: "shed", passed });
        }
        if !affords(&target.name, importance) {
            return Some(Due::Skip { reason: "budget", passed });
        }
        place.busy = true;
        place.last_slot = slot.number;
        Some(Due::Take { index, entry: place.entry(), slot, passed })
    }

    /// Takes the point for a sample beside its plan, unless it is being sampled, gone, or in a
    /// window that pauses it.
    pub(super) fn begin(&mut self, (index, key): Seat, now: DateTime<Utc>) -> Begin {
        let windows = Arc::clone(&self.windows);
        match self.places.get_mut(index as usize).and_then(Option::as_mut) {
            Some(place)
                if windows.iter().any(|window| pauses(window, now, &place.point.target)) =>
            {
                Begin::Gone
            }
            Some(place) if !place.has_runs() => Begin::Gone,
            Some(place) if place.key() == key && !place.busy => {
                place.busy = true;
                Begin::Start(place.entry())
            }
            Some(place) if place.key() == key => Begin::Busy,
            _ => Begin::Gone,
        }
    }

    /// The point may be sampled again; `known_at` is when it measured something, if it did.
    pub(super) fn finish(&mut self, index: u32, key: PointKey, known_at: Option<DateTime<Utc>>) {
        let place = self.places.get_mut(index as usize).and_then(Option::as_mut);
        if let Some(place) = place.filter(|place| place.key() == key) {
            place.busy = false;
            place.fresh_at = known_at.map_or(place.fresh_at, seconds);
        }
    }

    /// A glimpse of the point came, and measured something.
    pub(super) fn glimpsed(&mut self, key: PointKey, at: DateTime<Utc>) {
        let place = self.by_key.get(&key).and_then(|index| self.places.get_mut(*index as usize));
        if let Some(place) = place.and_then(Option::as_mut) {
            place.fresh_at = place.fresh_at.max(seconds(at));
        }
    }

    /// How fresh the points are, in the order of [`ProbeKind::ALL`]. A point that may never be
    /// glimpsed (a site without https) counts from its first glimpse on.
    pub(super) fn freshness(&self, now: DateTime<Utc>) -> [Freshness; 4] {
        let mut all = [Freshness::default(); 4];
        let known = |place: &&Place| place.fresh_at != 0;
        for place in self.places.iter().flatten().filter(known) {
            let of_probe = &mut all[place.point.probe as usize];
            let limit = i64::try_from(place.how.freshness.as_secs()).unwrap_or(i64::MAX);
            of_probe.points += 1;
            let fresh_at = i64::from(place.fresh_at);
            of_probe.fresh += u32::from(now.timestamp().saturating_sub(fresh_at) <= limit);
            of_probe.oldest = Some(of_probe.oldest.map_or(fresh_at, |at| at.min(fresh_at)));
        }
        all
    }
}

fn seconds(at: DateTime<Utc>) -> u32 {
    u32::try_from(at.timestamp().max(1)).unwrap_or(u32::MAX)
}

fn rank(point: &Point) -> Rank {
    (Arc::clone(&point.target.name), point.probe, point.address)
}

fn pauses(window: &Window, now: DateTime<Utc>, target: &Target) -> bool {
    window.effect() == Effect::Pause && window.covers(now, &target.name, &target.labels)
}

/// Members of a service that are looked at to find kin of the same probe.
const MOST_LOOKED_AT: usize = 256;

/// How long points may wait for a time that the clock has shown before.
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(1);

/// So many kinds of entries are kept before those of no point are dropped.
const SWEEP: usize = 64;
const NEVER: i64 = i64::MIN;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::schedule::{Importance, PlanSpec};

    fn entry(n: usize, plan: &Arc<Plan>) -> Entry {
        let endpoint = format!("host-{n}.test").parse().expect("a target");
        Entry {
            point: Point {
                target: Arc::new(Target::new(endpoint)),
                probe: ProbeKind::Tls,
                address: None,
            },
            plan: Arc::clone(plan),
            plan_name: "fast".into(),
            selection: Selection::default(),
            repeat: Repeat { samples: 3, agree: 2, within: Duration::from_secs(60) },
            freshness: Duration::from_secs(n as u64 / 500),
            glimpse: Glimpse::Apart,
            spoken_for: Arc::default(),
        }
    }

    fn plan() -> Arc<Plan> {
        Arc::new(PlanSpec::every(Duration::from_secs(60)).compile().expect("a plan"))
    }

    #[test]
    fn what_points_have_in_common_is_kept_once_and_each_entry_comes_back_as_it_was_put() {
        let (mut roster, plan, now) = (Roster::default(), plan(), DateTime::UNIX_EPOCH);
        for n in 0..1000 {
            roster.put(entry(n, &plan), &Seed([1; 16]), None, now);
        }
        assert_eq!(roster.hows.len(), 2);
        assert!(size_of::<Option<Place>>() <= 72, "{}", size_of::<Option<Place>>());
        let back = roster.entries(|point| &*point.target.name == "host-700.test");
        let freshness: Vec<_> = back.map(|entry| entry.freshness.as_secs()).collect();
        assert_eq!(freshness, [1]);
    }

    #[test]
    fn what_matters_least_is_shed_first_and_what_matters_most_never() {
        let (mut roster, seed) = (Roster::default(), Seed([1; 16]));
        let begun = DateTime::from_timestamp(1_700_000_000, 0).expect("a time");
        for (nth, importance) in
            [Importance::Low, Importance::Normal, Importance::High].into_iter().enumerate()
        {
            let spec = PlanSpec { importance, ..PlanSpec::every(Duration::from_secs(60)) };
            let plan = Arc::new(spec.compile().expect("a plan"));
            (0..120).for_each(|n| roster.put(entry(120 * nth + n, &plan), &seed, None, begun));
        }
        // Six samples a second are due, and five can be taken.
        let mut taken = BTreeMap::new();
        for second in 1..=3_600 {
            let (now, mut room) = (begun + TimeDelta::seconds(second), 5);
            while room > 0 {
                match roster.pop_due(&seed, now, |_, _| true) {
                    None => break,
                    Some(Due::Skip { .. }) => {}
                    Some(Due::Take { index, entry, .. }) => {
                        let key = entry.point.key();
                        *taken.entry(entry.plan.importance()).or_insert(0) += 1;
                        roster.finish(index, key, None);
                        room -= 1;
                    }
                }
            }
        }
        let of = |importance| taken.get(&importance).copied().unwrap_or(0);
        let (low, normal, high) =
            (of(Importance::Low), of(Importance::Normal), of(Importance::High));
        // Of each, 7,200 were due; room was for 18,000 of the 21,600.
        assert!(high > 7_000 && normal > 7_000 && low < 4_000, "{low} {normal} {high}");
        // After a sleep much is due at once, and nothing of it is shed.
        let late = begun + TimeDelta::hours(5);
        let mut took = 0;
        while let Some(due) = roster.pop_due(&seed, late, |_, _| true) {
            took += i32::from(matches!(due, Due::Take { .. }));
        }
        assert_eq!(took, 360);
    }

    #[test]
    fn plans_that_are_gone_are_forgotten() {
        let (mut roster, seed, now) = (Roster::default(), Seed([1; 16]), DateTime::UNIX_EPOCH);
        for _ in 0..1000 {
            roster.put(entry(0, &plan()), &seed, None, now);
        }
        assert!(roster.hows.len() <= SWEEP + 1, "{}", roster.hows.len());
        assert_eq!(roster.points().count(), 1);
    }
}
