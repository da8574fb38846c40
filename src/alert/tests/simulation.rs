//! The plan against a model of Alertmanager and a pager, through every kind of fault.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::fakes::{alert, epoch, is_pending, record, resolved};
use crate::alert::Timing;
use crate::alert::member::Member;
use crate::alert::plan::{Context, GroupKey, ReceiverState, plan};
use crate::ledger::{Ack, AlertState, OutboxRow};
use crate::sample::Severity;

#[derive(Clone, Debug)]
enum Action {
    /// The finding opens, or ends if it is open.
    Toggle(usize),
    /// Alertmanager is killed and comes back empty, after so many ticks.
    KillAlertmanager(u32),
    /// It cannot be reached for so many ticks.
    CutLink(u32),
    /// Secchi is killed: what the courier remembers is gone.
    KillSecchi,
    /// Acceptances of the next turn are sent but not recorded.
    LoseAcks,
    Wait(u32),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0..3_usize).prop_map(Action::Toggle),
        1 => (0..24_u32).prop_map(Action::KillAlertmanager),
        1 => (0..24_u32).prop_map(Action::CutLink),
        1 => Just(Action::KillSecchi),
        1 => Just(Action::LoseAcks),
        4 => (1..30_u32).prop_map(Action::Wait),
    ]
}

/// What Alertmanager holds of one alert in one life.
#[derive(Debug, Default)]
struct Held {
    fires_since: Option<DateTime<Utc>>,
    ends_at: DateTime<Utc>,
    paged_at: Option<DateTime<Utc>>,
}

/// Alertmanager 0.25 as measured: group_wait 30 s, group_interval 60 s, one alert a group, the
/// notification log lost with the process.
#[derive(Debug, Default)]
struct Alertmanager {
    life: u32,
    started: DateTime<Utc>,
    held: BTreeMap<String, Held>,
    down_until: DateTime<Utc>,
}

struct World {
    now: DateTime<Utc>,
    rows: Vec<OutboxRow>,
    member: Member,
    asked_at: DateTime<Utc>,
    peer: Alertmanager,
    link_cut_until: DateTime<Utc>,
    loses_acks: bool,
    firing_resets_resolved: bool,
    pager: BTreeMap<String, bool>,
    timing: Timing,
}

impl World {
    fn new(firing_resets_resolved: bool) -> Self {
        Self {
            now: epoch(),
            rows: Vec::new(),
            member: Member::default(),
            asked_at: epoch() - TimeDelta::days(1),
            peer: Alertmanager { started: epoch(), ..Alertmanager::default() },
            link_cut_until: epoch(),
            loses_acks: false,
            firing_resets_resolved,
            pager: BTreeMap::new(),
            timing: Timing::default(),
        }
    }

    fn act(&mut self, action: &Action) {
        let ticks = |n: u32| TICK * i32::try_from(n).expect("few");
        match action {
            Action::Toggle(n) => self.toggle(*n),
            Action::KillAlertmanager(n) => {
                self.peer.life += 1;
                self.peer.held.clear();
                self.peer.down_until = self.now + ticks(*n);
                self.peer.started = self.peer.down_until;
            }
            Action::CutLink(n) => self.link_cut_until = self.now + ticks(*n),
            Action::KillSecchi => {
                self.member = Member::default();
                self.asked_at = epoch() - TimeDelta::days(1);
            }
            Action::LoseAcks => self.loses_acks = true,
            Action::Wait(n) => (0..*n).for_each(|_| self.tick()),
        }
        self.tick();
    }

    /// One life of a finding after the other, all with the same labels.
    fn toggle(&mut self, n: usize) {
        let name = format!("t{n}");
        let open = self.rows.iter_mut().find(|row| {
            row.alert.labels["target"] == name && row.alert.state == AlertState::Firing
        });
        if let Some(row) = open {
            row.alert = resolved(&row.alert, self.now);
            return;
        }
        let mut alert = alert(&name, Severity::ALL[n], self.now);
        alert.id = format!("{}-{name}", self.rows.len());
        self.rows.push(OutboxRow { alert, delivery: Default::default() });
    }

    fn tick(&mut self) {
        self.now += TICK;
        let reachable = self.now >= self.link_cut_until && self.now >= self.peer.down_until;
        if self.now - self.asked_at >= self.timing.status_interval {
            if reachable {
                self.asked_at = self.now;
                let (life, started) = (self.peer.life.to_string(), Some(self.peer.started));
                self.member.observe(&life, started, self.now);
            } else {
                self.member.miss();
            }
        }
        let now = self.now;
        let rows: Vec<_> = self.rows.iter().filter(|row| is_pending(row, now)).cloned().collect();
        let context = Context {
            now,
            receiver: ReceiverState::Alertmanager(&self.member),
            send_resolved: true,
            timing: &self.timing,
        };
        let plan = plan(rows, &context);
        for batch in plan.batches.into_iter().filter(|_| reachable) {
            for entry in batch.entries {
                let ends_at = entry.ends_at.expect("endsAt is always set");
                self.peer.take(&entry.alert.labels["target"], entry.state, ends_at, now);
                if self.loses_acks {
                    continue;
                }
                for (id, state) in entry.accepts {
                    if state == AlertState::Firing {
                        self.member.holds(&id, now);
                    }
                    self.acknowledge(Ack { id, state, at: now, refused: None });
                }
            }
            self.loses_acks = false;
        }
        if self.now >= self.peer.down_until {
            self.peer.notify(now, &mut self.pager);
        }
    }

    fn acknowledge(&mut self, ack: Ack) {
        let row = self.rows.iter_mut().find(|row| row.alert.id == ack.id).expect("a known id");
        record(row, &ack);
        if self.firing_resets_resolved && ack.state == AlertState::Firing {
            row.delivery.resolved_at = None;
        }
    }
}

impl Alertmanager {
    fn take(&mut self, name: &str, state: AlertState, ends_at: DateTime<Utc>, now: DateTime<Utc>) {
        let held = self.held.entry(name.to_owned()).or_default();
        held.ends_at = ends_at;
        match state {
            AlertState::Firing => {
                held.fires_since.get_or_insert(now);
            }
            AlertState::Resolved => held.ends_at = ends_at.min(now),
        }
    }

    fn notify(&mut self, now: DateTime<Utc>, pager: &mut BTreeMap<String, bool>) {
        for (name, held) in &mut self.held {
            let fires = held.ends_at > now;
            match (fires, held.fires_since, held.paged_at) {
                (true, Some(since), None) if now - since >= TimeDelta::seconds(30) => {
                    held.paged_at = Some(now);
                    pager.insert(name.clone(), true);
                }
                (false, Some(_), Some(at)) if now - at >= TimeDelta::seconds(60) => {
                    *held = Held::default();
                    pager.insert(name.clone(), false);
                }
                // Fired and ended within group_wait: swallowed.
                (false, Some(_), None) => *held = Held::default(),
                _ => {}
            }
        }
    }
}

const TICK: TimeDelta = TimeDelta::seconds(5);

/// A webhook that takes what it is sent, or fails: what it heard last of each set of labels.
fn webhook_turn(
    now: DateTime<Utc>,
    rows: &mut [OutboxRow],
    groups: &mut HashMap<GroupKey, DateTime<Utc>>,
    works: bool,
    heard: &mut BTreeMap<String, AlertState>,
) -> usize {
    let pending = rows.iter().filter(|row| is_pending(row, now)).cloned().collect();
    let receiver = ReceiverState::Webhook(groups);
    let timing = Timing::default();
    let plan = plan(pending, &Context { now, receiver, send_resolved: true, timing: &timing });
    let count = plan.batches.len();
    for batch in plan.batches.into_iter().filter(|_| works) {
        for entry in &batch.entries {
            heard.insert(entry.alert.labels["target"].clone(), entry.state);
            for (id, state) in &entry.accepts {
                let row = rows.iter_mut().find(|row| row.alert.id == *id).expect("a known id");
                record(row, &Ack { id: id.clone(), state: *state, at: now, refused: None });
            }
        }
        groups.insert(batch.group.expect("webhooks have groups").key, now);
    }
    count
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_webhook_hears_the_last_state_once_it_works_and_then_nothing_more(
        steps in proptest::collection::vec((0..4_usize, any::<bool>(), 1..30_i64), 1..40),
    ) {
        let mut world = World::new(false);
        let (mut groups, mut heard) = (HashMap::new(), BTreeMap::new());
        for (n, works, seconds) in steps {
            world.toggle(n);
            world.now += TimeDelta::seconds(seconds);
            if !works && seconds % 3 == 0 {
                groups.clear();
            }
            webhook_turn(world.now, &mut world.rows, &mut groups, works, &mut heard);
        }
        for _ in 0..3 {
            world.now += TimeDelta::seconds(61);
            webhook_turn(world.now, &mut world.rows, &mut groups, true, &mut heard);
        }
        for row in &world.rows {
            prop_assert_eq!(row.delivery.accepted, Some(row.alert.state), "{}", row.alert.id);
        }
        for (name, state) in &heard {
            let fires = world.rows.iter().any(|row| {
                row.alert.labels["target"] == *name && row.alert.state == AlertState::Firing
            });
            prop_assert_eq!(*state == AlertState::Firing, fires, "wrong about {}", name);
        }
        world.now += TimeDelta::seconds(61);
        let late = webhook_turn(world.now, &mut world.rows, &mut groups, true, &mut heard);
        prop_assert_eq!(late, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_fails_every_alert_is_accepted_in_its_last_state_and_the_pager_agrees(
        actions in proptest::collection::vec(action(), 1..30),
        firing_resets_resolved in any::<bool>(),
    ) {
        let mut world = World::new(firing_resets_resolved);
        for action in &actions {
            world.act(action);
        }
        // Half an hour without faults.
        world.act(&Action::Wait(360));
        for row in &world.rows {
            prop_assert_eq!(row.delivery.accepted, Some(row.alert.state), "{}", row.alert.id);
            let name = &row.alert.labels["target"];
            prop_assert!(world.pager.contains_key(name), "nobody heard of {}", name);
        }
        for (name, open) in &world.pager {
            let fires = world.rows.iter().any(|row| {
                row.alert.labels["target"] == *name && row.alert.state == AlertState::Firing
            });
            prop_assert_eq!(*open, fires, "the pager is wrong about {}", name);
        }
    }
}
