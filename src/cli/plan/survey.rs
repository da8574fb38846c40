//! What each plan comes to: points, samples and connections, by target, by group and in all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::promise;
use crate::config::{Config, OverBudget, TargetConfig};
use crate::inventory::{Scope, fixed_addresses, points};
use crate::schedule::Plan;
use crate::target::ProbeKind;

/// All plans of a config.
pub(super) struct Survey<'a> {
    pub(super) plans: Vec<Surveyed>,
    pub(super) over_budget: &'a [OverBudget],
    /// Targets that discovery finds are not counted.
    pub(super) has_discovery: bool,
}

/// One plan.
pub(super) struct Surveyed {
    pub(super) name: Arc<str>,
    pub(super) plan: Arc<Plan>,
    pub(super) probes: BTreeSet<ProbeKind>,
    pub(super) whole: Tally,
    /// By the label `service`; the empty one are targets without it.
    pub(super) groups: BTreeMap<String, Tally>,
}

/// Targets on one plan.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) targets: u32,
    pub(super) points: u32,
    pub(super) samples_per_hour: f64,
    pub(super) connections_per_hour: f64,
    /// The target that most connections go to.
    pub(super) most: Option<(f64, Arc<str>)>,
}

/// What one target's samples come to in an hour.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) points: u32,
    pub(super) samples_per_hour: f64,
    pub(super) connections_per_hour: f64,
}

/// A name has an address at least; how many more is known once it is resolved.
pub(super) fn cost(target: &TargetConfig, scope: &Scope) -> Cost {
    let fixed = fixed_addresses(&target.target);
    let unknown = [std::net::Ipv4Addr::UNSPECIFIED.into()];
    let addresses = fixed.as_deref().unwrap_or(&unknown);
    let found = points(&target.target, &target.probes, addresses, target.max_addresses);
    let mut cost = Cost::default();
    for point in found.points {
        let an_hour = target.plan.samples_per_hour();
        let plan = (an_hour, target.plan.is_guaranteed());
        let contacts = |may_scan| target.target.contacts_by_plan(point.probe, may_scan, plan);
        let contacts: f64 = match (point.probe, &fixed) {
            // One sample asks the ports of every address.
            (ProbeKind::Ports, Some(all)) => {
                all.iter().map(|address| contacts(scope.may_scan(*address))).sum()
            }
            _ => contacts(false),
        };
        cost.points += 1;
        cost.samples_per_hour += an_hour;
        cost.connections_per_hour += an_hour * contacts;
    }
    cost
}

impl<'a> Survey<'a> {
    pub(super) fn of(config: &'a Config) -> Self {
        let surveyed = |(name, plan): (&Arc<str>, &Arc<Plan>)| {
            let surveyed = Surveyed {
                name: Arc::clone(name),
                plan: Arc::clone(plan),
                probes: BTreeSet::new(),
                whole: Tally::default(),
                groups: BTreeMap::new(),
            };
            (Arc::clone(name), surveyed)
        };
        let mut plans: BTreeMap<_, _> = config.plans.iter().map(surveyed).collect();
        for target in &config.targets {
            let Some(of_plan) = plans.get_mut(&target.plan_name) else { continue };
            let cost = cost(target, &config.scope);
            let service = target.target.labels.get("service").cloned().unwrap_or_default();
            of_plan.probes.extend(&target.probes);
            of_plan.whole.add(target, cost);
            of_plan.groups.entry(service).or_default().add(target, cost);
        }
        Self {
            plans: plans.into_values().collect(),
            over_budget: &config.over_budget,
            has_discovery: !config.discovery.is_empty(),
        }
    }

    pub(super) fn total(&self) -> Tally {
        let mut total = Tally::default();
        for Surveyed { whole, .. } in &self.plans {
            total.targets += whole.targets;
            total.points += whole.points;
            total.samples_per_hour += whole.samples_per_hour;
            total.connections_per_hour += whole.connections_per_hour;
        }
        total
    }

    pub(super) fn to_json(&self) -> Value {
        let total = self.total();
        let plans: Vec<Value> = self.plans.iter().map(Surveyed::to_json).collect();
        let over: Vec<Value> = self.over_budget.iter().map(over_to_json).collect();
        json!({
            "plans": plans,
            "total": {
                "targets": total.targets,
                "points": total.points,
                "samples_per_hour": total.samples_per_hour,
                "connections_per_hour": total.connections_per_hour,
            },
            "over_budget": over,
            "assumed": {
                "intermittent_share_of_time": promise::INTERMITTENT,
                "partial_share_of_connections": promise::PARTIAL,
                "discovered_targets": if self.has_discovery { "not_counted" } else { "none" },
            },
        })
    }
}

impl Tally {
    fn add(&mut self, target: &TargetConfig, cost: Cost) {
        self.targets += 1;
        self.points += cost.points;
        self.samples_per_hour += cost.samples_per_hour;
        self.connections_per_hour += cost.connections_per_hour;
        if self.most.as_ref().is_none_or(|(most, _)| *most < cost.connections_per_hour) {
            self.most = Some((cost.connections_per_hour, Arc::clone(&target.target.name)));
        }
    }

    /// A fault that a tenth of the points share, at least one of them.
    pub(super) fn tenth(&self) -> u32 {
        (self.points / 10).max(1)
    }

    fn per_target(&self) -> Value {
        let most = self.most.as_ref();
        json!({
            "mean": self.connections_per_hour / f64::from(self.targets.max(1)),
            "most": most.map(|(connections, _)| connections),
            "most_at": most.map(|(_, name)| name),
        })
    }

    /// How soon a fault of a tenth of the group is seen at one of them.
    fn seen(&self, plan: &Plan) -> Value {
        let seconds = |quantile| plan.detection_time_of_group(self.tenth(), quantile);
        let seconds = promise::QUANTILES.map(|(name, quantile)| {
            (name.to_owned(), json!(seconds(quantile).map(|time| time.as_secs_f64())))
        });
        seconds.into_iter().collect()
    }
}

impl Surveyed {
    pub(super) fn probes(&self) -> Vec<ProbeKind> {
        self.probes.iter().copied().collect()
    }

    fn to_json(&self) -> Value {
        let Self { name, plan, whole, groups, .. } = self;
        // Many groups are of one size, and how soon a size sees a fault takes a while to find.
        let mut seen = BTreeMap::new();
        let groups: Vec<Value> = groups
            .iter()
            .map(|(service, tally)| {
                let seen = seen.entry(tally.tenth()).or_insert_with(|| tally.seen(plan));
                json!({
                    "service": service,
                    "targets": tally.targets,
                    "points": tally.points,
                    "samples_per_hour_total": tally.samples_per_hour,
                    "connections_per_hour_total": tally.connections_per_hour,
                    "connections_per_hour_target": tally.per_target(),
                    "tenth_of_points_seconds": seen,
                })
            })
            .collect();
        json!({
            "plan": name,
            "spec": plan.spec(),
            "importance": plan.importance(),
            "targets": whole.targets,
            "points": whole.points,
            "samples_per_hour": plan.samples_per_hour(),
            "samples_per_hour_total": whole.samples_per_hour,
            "connections_per_hour_total": whole.connections_per_hour,
            "connections_per_hour_target": whole.per_target(),
            "detection_seconds": promise::detection(plan),
            "longest_wait_seconds": plan.longest_wait().as_secs_f64(),
            "guarantees": promise::guarantees(plan, &self.probes()),
            "independence": promise::INDEPENDENCE,
            "groups": groups,
        })
    }
}

fn over_to_json(over: &OverBudget) -> Value {
    json!({
        "plan": over.plan,
        "budget": over.budget,
        "at": over.at,
        "more_places": over.more,
        "connections_per_second": over.needed,
        "allowed_per_second": over.allowed,
        "times": over.times(),
        "nearest": over.nearest,
        "nearest_with_others_slowed": over.with_others,
        "refused": over.is_refused,
        "message": over.to_string(),
    })
}
