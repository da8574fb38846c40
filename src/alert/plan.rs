//! What to send next: a pure function of the outbox rows, the receiver's memory and the time.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use super::Timing;
use super::member::Member;
use crate::ledger::{Ack, Alert, AlertState, OutboxRow};
use crate::sample::Severity;

/// The receiver as the plan sees it.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) now: DateTime<Utc>,
    pub(super) receiver: ReceiverState<'a>,
    pub(super) send_resolved: bool,
    pub(super) timing: &'a Timing,
}

/// What is remembered of a receiver. Losing it costs at most a repeated message.
#[derive(Debug)]
pub(super) enum ReceiverState<'a> {
    Alertmanager(&'a Member),
    /// When each group was sent last.
    Webhook(&'a HashMap<GroupKey, DateTime<Utc>>),
}

/// What to do now, and when to look again.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Requests, the most urgent first.
    pub(super) batches: Vec<Batch>,
    /// What is settled without a request.
    pub(super) settled: Vec<Ack>,
    /// When something is due next, if nothing changes.
    pub(super) next_at: Option<DateTime<Utc>>,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    /// Webhooks: the group, and what of it is repeated for the reader.
    pub(super) group: Option<Group>,
}

/// One alert of a request.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) alert: Alert,
    /// What it is sent as: a resolved alert goes out as firing while it is replayed.
    pub(super) state: AlertState,
    pub(super) ends_at: Option<DateTime<Utc>>,
    /// What is recorded once this is accepted.
    pub(super) accepts: Vec<(String, AlertState)>,
    /// Whether the receiver hears of this state for the first time.
    pub(super) is_news: bool,
}

/// A webhook's group: one cause with many faces is one notification.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) key: GroupKey,
    /// Alerts of the group that still fire and that the receiver already has.
    pub(super) unchanged: Vec<Alert>,
    /// Those that did not fit.
    pub(super) truncated: usize,
}

/// Team, service and rule.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct GroupKey {
    pub(super) team: String,
    pub(super) service: String,
    pub(super) rule: String,
}

impl GroupKey {
    fn of(alert: &Alert) -> Self {
        let label = |name| alert.labels.get(name).cloned().unwrap_or_default();
        Self { team: label("team"), service: label("service"), rule: label("rule") }
    }
}

/// What to send to the receiver now.
pub(super) fn plan(rows: Vec<OutboxRow>, context: &Context<'_>) -> Plan {
    let mut plan = Plan::default();
    let rows = rows.into_iter().filter(|row| row.delivery.refused.is_none());
    let (rows, unheard): (Vec<_>, Vec<_>) =
        rows.partition(|row| context.send_resolved || row.alert.state == AlertState::Firing);
    plan.settled = unheard
        .iter()
        .filter(|row| row.delivery.accepted != Some(AlertState::Resolved))
        .map(|row| settled(&row.alert.id, context.now))
        .collect();
    let identities = identities(rows);
    match context.receiver {
        ReceiverState::Alertmanager(member) => {
            plan_alertmanager(identities, member, context, &mut plan);
        }
        ReceiverState::Webhook(last) => plan_webhook(identities, last, context, &mut plan),
    }
    plan
}

fn settled(id: &str, at: DateTime<Utc>) -> Ack {
    Ack { id: id.to_owned(), state: AlertState::Resolved, at, refused: None }
}

/// Alerts with one set of labels are one alert to any receiver: a finding that opened again must
/// not be closed by the re-sent resolve of its earlier life.
struct Identity {
    row: OutboxRow,
    others: Vec<OutboxRow>,
}

impl Identity {
    /// What is recorded once the alert is accepted in this state.
    fn accepts(&self, state: AlertState) -> Vec<(String, AlertState)> {
        let others = self
            .others
            .iter()
            // While the leader fires, an earlier life that ended is done with: nobody can hear of
            // it any more. While the leader is replayed as firing, nothing of the others is said.
            .filter(|other| {
                other.alert.state == state || self.row.alert.state == AlertState::Firing
            })
            .filter(|other| other.delivery.accepted != Some(other.alert.state))
            .map(|other| (other.alert.id.clone(), other.alert.state));
        std::iter::once((self.row.alert.id.clone(), state)).chain(others).collect()
    }
}

fn identities(rows: Vec<OutboxRow>) -> Vec<Identity> {
    let mut by_labels: BTreeMap<BTreeMap<String, String>, Vec<OutboxRow>> = BTreeMap::new();
    for row in rows {
        by_labels.entry(row.alert.labels.clone()).or_default().push(row);
    }
    by_labels
        .into_values()
        .filter_map(|mut rows| {
            rows.sort_by_key(|row| {
                (row.alert.state == AlertState::Firing, row.alert.starts_at, row.alert.id.clone())
            });
            rows.pop().map(|row| Identity { row, others: rows })
        })
        .collect()
}

fn plan_alertmanager(
    identities: Vec<Identity>,
    member: &Member,
    context: &Context<'_>,
    plan: &mut Plan,
) {
    let mut entries = Vec::new();
    for identity in identities {
        match step(&identity.row, member, context) {
            Step::Send(state) => entries.push(entry(identity, state, context)),
            Step::Wait(until) => plan.wake(until),
            Step::Done => {}
        }
    }
    entries.sort_by_key(|entry| {
        (!entry.is_news, std::cmp::Reverse(entry.alert.severity), entry.alert.changed_at)
    });
    plan.batches = entries
        .chunks(context.timing.batch.max(1))
        .map(|chunk| Batch { entries: chunk.to_vec(), group: None })
        .collect();
}

enum Step {
    Done,
    Send(AlertState),
    Wait(DateTime<Utc>),
}

/// One alert's next step towards an Alertmanager member.
fn step(row: &OutboxRow, member: &Member, context: &Context<'_>) -> Step {
    let (timing, now) = (context.timing, context.now);
    let held = member.held_since(row, timing);
    let (accepted, accepted_at) = (row.delivery.accepted, row.delivery.accepted_at);
    let again_after = |at: DateTime<Utc>, span| match passed(now, at, span) {
        true => None,
        false => Some(Step::Wait(at + span)),
    };
    if row.alert.state == AlertState::Resolved && !member.is_known() {
        return Step::Wait(now + timing.status_interval);
    }
    match (row.alert.state, held) {
        (AlertState::Firing, Some(_)) if accepted == Some(AlertState::Firing) => accepted_at
            .and_then(|at| again_after(at, timing.resend))
            .unwrap_or(Step::Send(AlertState::Firing)),
        (AlertState::Firing, _) => Step::Send(AlertState::Firing),
        (AlertState::Resolved, Some(since)) => {
            if accepted == Some(AlertState::Resolved) {
                let (Some(first), Some(last)) = (row.delivery.resolved_at, accepted_at) else {
                    return Step::Done;
                };
                if passed(now, first, timing.resolved_resend) {
                    return Step::Done;
                }
                return again_after(last, timing.resend)
                    .unwrap_or(Step::Send(AlertState::Resolved));
            }
            again_after(since, timing.min_firing).unwrap_or(Step::Send(AlertState::Resolved))
        }
        // Never held in this life: a resolve alone would be swallowed. It fires first, for one group
        // cycle: the blip that nobody heard of, or the replay after a restart.
        (AlertState::Resolved, None) => {
            let resolved_at = row.delivery.resolved_at.or(accepted_at);
            match (accepted, resolved_at) {
                (Some(AlertState::Resolved), Some(at)) if passed(now, at, timing.replay_window) => {
                    Step::Done
                }
                _ => Step::Send(AlertState::Firing),
            }
        }
    }
}

/// Whether the span has passed. A clock that stepped back makes it pass: sending twice is harmless.
fn passed(now: DateTime<Utc>, since: DateTime<Utc>, span: TimeDelta) -> bool {
    now >= since + span || now < since
}

fn entry(identity: Identity, state: AlertState, context: &Context<'_>) -> Entry {
    let alert = &identity.row.alert;
    let is_lasting = alert.state == AlertState::Firing && alert.severity >= Severity::High;
    let ends_at = match state {
        AlertState::Firing if is_lasting => Some(context.now + context.timing.hold_high),
        AlertState::Firing => Some(context.now + context.timing.hold),
        AlertState::Resolved => Some(alert.ends_at.unwrap_or(alert.changed_at)),
    };
    Entry {
        ends_at,
        state,
        accepts: identity.accepts(state),
        is_news: identity.row.delivery.accepted != Some(state),
        alert: identity.row.alert,
    }
}

fn plan_webhook(
    identities: Vec<Identity>,
    last: &HashMap<GroupKey, DateTime<Utc>>,
    context: &Context<'_>,
    plan: &mut Plan,
) {
    let mut groups: BTreeMap<GroupKey, Vec<Identity>> = BTreeMap::new();
    for identity in identities {
        groups.entry(GroupKey::of(&identity.row.alert)).or_default().push(identity);
    }
    for (key, members) in groups {
        let (changed, same): (Vec<_>, Vec<_>) = members.into_iter().partition(|identity| {
            identity.accepts(identity.row.alert.state).len() > 1
                || identity.row.delivery.accepted != Some(identity.row.alert.state)
        });
        let Some(first) = changed.iter().map(|identity| identity.row.alert.changed_at).min() else {
            continue;
        };
        let timing = context.timing;
        let waits = [
            Some((first, timing.group_wait)),
            last.get(&key).map(|at| (*at, timing.group_interval)),
        ];
        let due = waits.into_iter().flatten().filter(|(at, span)| !passed(context.now, *at, *span));
        match due.map(|(at, span)| at + span).max() {
            Some(due) => plan.wake(due),
            None => plan.batches.extend(group_batches(key, changed, same, context)),
        }
    }
}

fn group_batches(
    key: GroupKey,
    changed: Vec<Identity>,
    same: Vec<Identity>,
    context: &Context<'_>,
) -> Vec<Batch> {
    let size = context.timing.batch.max(1);
    let mut firing: Vec<Alert> = same
        .into_iter()
        .map(|identity| identity.row.alert)
        .filter(|alert| alert.state == AlertState::Firing)
        .collect();
    let entries: Vec<Entry> = changed
        .into_iter()
        .map(|identity| {
            let state = identity.row.alert.state;
            Entry { ends_at: identity.row.alert.ends_at, ..entry(identity, state, context) }
        })
        .collect();
    let room = size.saturating_sub(entries.len());
    let truncated = firing.len().saturating_sub(room);
    firing.truncate(room);
    entries
        .chunks(size)
        .map(|chunk| Batch {
            entries: chunk.to_vec(),
            group: Some(Group { key: key.clone(), unchanged: firing.clone(), truncated }),
        })
        .collect()
}

impl Plan {
    fn wake(&mut self, at: DateTime<Utc>) {
        self.next_at = Some(self.next_at.map_or(at, |next| next.min(at)));
    }
}
