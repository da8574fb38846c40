//! Whether the plans fit the budgets: what the samples that are due take, level by level, against
//! what may be taken. A guarantee (`detect`) that cannot be held is a mistake, for nobody would give
//! it; other plans that take too much are remarked on, for their samples come late.
//!
//! What is counted is certain at least: a name has one address until it is resolved, and what
//! discovery will find is not known. So a plan that is refused does not fit, and one that is not
//! refused may still meet its bounds; then samples are late, and are counted.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

use super::model::TargetConfig;
use super::over_budget::OverBudget;
use crate::inventory::{Scope, fixed_addresses};
use crate::schedule::{BudgetSpec, Plan, network};
use crate::target::ProbeKind;

/// What is held against what.
pub(super) struct Fit<'a> {
    pub(super) plans: &'a BTreeMap<Arc<str>, Arc<Plan>>,
    /// Where the file says each plan that could be read.
    pub(super) places: &'a BTreeMap<Arc<str>, Range<usize>>,
    pub(super) targets: &'a [TargetConfig],
    /// Where each target stands.
    pub(super) spans: &'a [Range<usize>],
    pub(super) scope: &'a Scope,
    pub(super) budgets: &'a BudgetSpec,
}

/// Every plan that takes more than it may, once for each budget.
pub(super) fn over_budget(fit: &Fit<'_>) -> Vec<OverBudget> {
    let mut sums: HashMap<Level<'_>, f64> = HashMap::new();
    fit.visit(&mut |level, needed, _, _| *sums.entry(level).or_default() += needed);
    sums.retain(|level, needed| *needed > fit.allowed(level) * ROUNDING);
    if sums.is_empty() {
        return Vec::new();
    }
    // Who takes it is only asked where it is too much: a config may have a million levels.
    let mut demands: HashMap<Level<'_>, Demand> = HashMap::new();
    fit.visit(&mut |level, needed, target, span| {
        if sums.contains_key(&level) {
            demands.entry(level).or_default().add(&target.plan_name, needed, span);
        }
    });
    let mut found = Found { fit, worst: BTreeMap::new() };
    for (level, demand) in demands {
        found.note(&level, &demand);
    }
    found.worst.into_values().collect()
}

/// What has a budget.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum Level<'a> {
    Address(ProbeKind, IpAddr),
    Network(IpAddr),
    /// A name by itself: the address that it has is not known, or its rate is its own.
    Target(ProbeKind, &'a Arc<str>, OwnRate),
    Total,
}

/// A target's own rate, by its bits, so that it can be part of a key.
type OwnRate = Option<u64>;

type Visit<'v, 'a> = dyn FnMut(Level<'a>, f64, &'a TargetConfig, &Range<usize>) + 'v;

impl<'a> Fit<'a> {
    /// Tells of every level that a target's samples take of, and how much.
    fn visit(&self, tell: &mut Visit<'_, 'a>) {
        let nowhere = 0..0;
        for (nth, target) in self.targets.iter().enumerate() {
            // The built-in plan stands nowhere; one that could not be read was reported.
            let place = self.places.get(&target.plan_name);
            if place.is_some() || &*target.plan_name == super::model::DEFAULT_PLAN {
                let span = place.or_else(|| self.spans.get(nth)).unwrap_or(&nowhere);
                let mut tell = |level, needed| tell(level, needed, target, span);
                self.visit_target(target, &mut tell);
            }
        }
    }

    fn visit_target(&self, target: &'a TargetConfig, tell: &mut dyn FnMut(Level<'a>, f64)) {
        let mut fixed = fixed_addresses(&target.target).unwrap_or_default();
        fixed.truncate(target.max_addresses);
        let host = target.target.endpoint.host.address();
        let own = target.target.settings.rate.map(f64::to_bits);
        for &probe in &target.probes {
            // Which servers dns asks is known once they are found; an address is one itself.
            let is_asked = |address: &&IpAddr| probe != ProbeKind::Dns || host == Some(**address);
            let mut is_known = false;
            for &address in fixed.iter().filter(is_asked) {
                let may_scan = probe == ProbeKind::Ports && self.scope.may_scan(address);
                let needed = hertz(target, probe, may_scan);
                let is_first = !std::mem::replace(&mut is_known, true);
                if own.is_some() {
                    // Each address has this rate, and one stands for all of them.
                    if is_first {
                        tell(Level::Target(probe, &target.target.name, own), needed);
                    }
                    continue;
                }
                tell(Level::Address(probe, address), needed);
                tell(Level::Network(network(address)), needed);
                tell(Level::Total, needed);
            }
            if is_known {
                continue;
            }
            let needed = hertz(target, probe, false);
            if probe != ProbeKind::Dns {
                tell(Level::Target(probe, &target.target.name, own), needed);
            }
            if own.is_none() {
                tell(Level::Total, needed);
            }
        }
    }

    /// Connections a second.
    fn allowed(&self, level: &Level<'_>) -> f64 {
        let budgets = self.budgets;
        match level {
            Level::Target(_, _, Some(own)) => f64::from_bits(*own),
            Level::Address(probe, _) | Level::Target(probe, ..) => {
                budgets.per_address.of(*probe).hertz()
            }
            Level::Network(_) => budgets.per_network.hertz(),
            Level::Total => budgets.total.hertz(),
        }
    }
}

/// Connections a second of one probe, at one address.
fn hertz(target: &TargetConfig, probe: ProbeKind, may_scan: bool) -> f64 {
    let an_hour = target.plan.samples_per_hour();
    let plan = (an_hour, target.plan.is_guaranteed());
    an_hour / 3_600.0 * target.target.contacts_by_plan(probe, may_scan, plan)
}

impl Level<'_> {
    /// The budget's key, and where it is.
    fn names(&self) -> (String, String) {
        match self {
            Self::Address(probe, address) => (per_address(*probe), address.to_string()),
            Self::Network(address) => {
                let bits = if address.is_ipv4() { 24 } else { 48 };
                ("budgets.per_network".to_owned(), format!("{address}/{bits}"))
            }
            Self::Target(_, name, Some(_)) => ("rate".to_owned(), name.to_string()),
            Self::Target(probe, name, None) => (per_address(*probe), name.to_string()),
            Self::Total => ("budgets.total".to_owned(), String::new()),
        }
    }
}

/// What is taken of one budget, in connections a second.
#[derive(Default)]
struct Demand {
    needed: f64,
    /// By plan, with where it stands.
    plans: Vec<(Arc<str>, f64, Range<usize>)>,
}

impl Demand {
    fn add(&mut self, plan: &Arc<str>, needed: f64, span: &Range<usize>) {
        self.needed += needed;
        match self.plans.iter_mut().find(|(known, ..)| known == plan) {
            Some((_, sum, _)) => *sum += needed,
            None => self.plans.push((Arc::clone(plan), needed, span.clone())),
        }
    }
}

struct Found<'a> {
    fit: &'a Fit<'a>,
    /// By plan and budget.
    worst: BTreeMap<(Arc<str>, String), OverBudget>,
}

impl Found<'_> {
    /// Remembers the worst place of each plan and budget. What is told of is a plan with a guarantee
    /// where there is one; among those, the one that takes most.
    fn note(&mut self, level: &Level<'_>, demand: &Demand) {
        let (allowed, (budget, at)) = (self.fit.allowed(level), level.names());
        let promises = |plan: &Arc<str>| {
            self.fit.plans.get(plan).is_some_and(|plan| !plan.guarantees(1).is_empty())
        };
        let most = demand.plans.iter().max_by(|(a, taken_by_a, _), (b, taken_by_b, _)| {
            promises(a).cmp(&promises(b)).then(taken_by_a.total_cmp(taken_by_b))
        });
        let Some((name, own, span)) = most else { return };
        let left = allowed - (demand.needed - own);
        let with_others = left <= 0.0;
        let times = if with_others { demand.needed / allowed } else { own / left };
        let nearest = self.fit.plans.get(name).and_then(|plan| plan.slowed(times));
        let mut over = OverBudget {
            plan: Arc::clone(name),
            budget,
            at,
            needed: demand.needed,
            allowed,
            nearest: nearest.map(|plan| plan.spec().clone()),
            with_others,
            is_refused: promises(name),
            more: 0,
            span: span.clone(),
        };
        let key = (Arc::clone(name), over.budget.clone());
        if let Some(known) = self.worst.get_mut(&key) {
            over.more = known.more + 1;
            let is_worse =
                (over.needed / over.allowed, &known.at) > (known.needed / known.allowed, &over.at);
            match is_worse {
                true => *known = over,
                false => known.more += 1,
            }
            return;
        }
        self.worst.insert(key, over);
    }
}

fn per_address(probe: ProbeKind) -> String {
    format!("budgets.per_address.{probe}")
}

/// What sums of fractions may be off by.
const ROUNDING: f64 = 1.0 + 1e-9;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use chrono::DateTime;

    use crate::config::{Diagnostic, DiagnosticLevel, MemoryFiles, parse};

    type Told = (DiagnosticLevel, usize, String, String);

    fn told(text: &str) -> Vec<Told> {
        let path = Path::new("/etc/secchi/secchi.yaml");
        let found = match parse(text, path, &MemoryFiles::default(), DateTime::UNIX_EPOCH) {
            Ok(config) => config.notes,
            Err(mistakes) => mistakes,
        };
        let all = found.errors().chain(found.notes());
        let help = |item: &Diagnostic| item.help.clone().unwrap_or_default();
        all.map(|item| (item.level, item.line, item.message.clone(), help(item))).collect()
    }

    const SCOPE: &str = "scope: {names: [\"*.example.com\"], networks: [\"192.0.2.0/24\"]}\n";

    #[test]
    fn a_plan_that_cannot_be_held_is_refused_once_a_budget_with_the_nearest_that_fits() {
        let text = format!(
            "{SCOPE}plans:\n  sure:\n    detect: {{within: 10m, prevalence: 1%, confidence: 99%}}\n\
             defaults: {{plan: sure, probes: [tls]}}\ntargets:\n  - target: a.example.com\n  \
             - target: b.example.com\n  - target: 192.0.2.1:443\n"
        );
        let found = told(&text);
        let [(DiagnosticLevel::Error, line, message, help)] = &found[..] else {
            panic!("{found:?}")
        };
        // 459 observations in 10 minutes are 460 slots; five connections each.
        assert_eq!(*line, 4);
        assert!(message.contains("3.833 connections a second at 192.0.2.1"), "{message}");
        assert!(message.contains("2/s are allowed: 1.92 times"), "{message}");
        assert!(message.contains("so it is at 2 more"), "{message}");
        assert!(
            help.contains("{detect: {within: 19m10s, prevalence: 1%, confidence: 99%}}"),
            "{help}"
        );
        let fits = text.replace("within: 10m", "within: 19m10s");
        assert_eq!(told(&fits), []);
    }

    #[test]
    fn what_many_targets_take_of_one_address_network_or_of_all_is_added_up() {
        let targets: String = (0..40)
            .map(|n| format!("  - {{target: n{n}.example.com, address: 192.0.2.{}}}\n", n % 4))
            .collect();
        let text = |budgets: &str, every: &str| {
            format!(
                "{SCOPE}plans: {{fast: {{every: {every}}}}}\ndefaults: {{plan: fast, probes: [tls]}}\n\
                 budgets: {{{budgets}}}\ntargets:\n{targets}"
            )
        };
        // 40 targets of 2 connections: ten of them at each of four addresses of one network.
        assert_eq!(told(&text("", "1m")), []);
        for (budgets, key, needed, nearest) in [
            ("per_address: 18/m", "budgets.per_address.tls", "0.333", "67s"),
            (
                "per_network: 48/m",
                "budgets.per_network",
                "1.333 connections a second at 192.0.2.0/24",
                "100s",
            ),
            ("total: 24/m", "budgets.total", "1.333 connections a second in all", "3m20s"),
        ] {
            let found = told(&text(budgets, "1m"));
            let [(DiagnosticLevel::Note, _, message, help)] = &found[..] else {
                panic!("{found:?}")
            };
            assert!(message.contains(key) && message.contains(needed), "{message}");
            let nearest: crate::target::Span = nearest.parse().expect("a span");
            assert!(help.contains(&format!("{{every: {nearest}}}")), "{help}");
            assert_eq!(told(&text(budgets, &nearest.to_string())), []);
        }
    }

    #[test]
    fn a_guarantee_that_other_plans_leave_no_room_for_is_refused() {
        let text = |every: &str| {
            format!(
                "{SCOPE}plans:\n  greedy: {{every: {every}}}\n  sure: {{detect: {{within: 1h, prevalence: 10%, confidence: 99%}}}}\n\
                 defaults: {{probes: [tls]}}\ntargets:\n  - {{target: 192.0.2.1, plan: greedy}}\n  \
                 - {{target: a.example.com, address: 192.0.2.1, plan: sure}}\n"
            )
        };
        let found = told(&text("1s"));
        let [(DiagnosticLevel::Error, 4, message, help)] = &found[..] else { panic!("{found:?}") };
        assert!(message.contains("plan `sure` cannot keep its guarantee"), "{message}");
        assert!(help.contains("with the other plans there slowed as much"), "{help}");
        assert_eq!(told(&text("2s")), []);
    }

    #[test]
    fn a_rate_of_a_targets_own_stands_in_place_of_the_budgets() {
        let text = |rate: &str| {
            format!(
                "{SCOPE}plans: {{fast: {{every: 1s}}}}\ndefaults: {{plan: fast, probes: [tls]}}\n\
                 budgets: {{per_address: 1/s}}\ntargets: [{{target: a.example.com{rate}}}]\n"
            )
        };
        assert!(told(&text(""))[0].2.contains("budgets.per_address.tls"));
        assert!(told(&text(", rate: 1.5"))[0].2.contains("more than `rate`"));
        assert_eq!(told(&text(", rate: 2")), []);
    }

    #[test]
    fn a_scan_of_every_port_takes_its_time() {
        let text = |every: &str, network: &str| {
            format!(
                "scope: {{networks: [{network}]}}\nplans: {{p: {{every: {every}}}}}\n\
                 targets: [{{target: 192.0.2.1, plan: p, probes: [ports], ports: 1-65535}}]\n"
            )
        };
        assert!(told(&text("15m", "192.0.2.0/24"))[0].2.contains("72.826"));
        assert_eq!(told(&text("1h", "192.0.2.0/24")), []);
    }

    #[test]
    fn a_plan_that_could_not_be_read_is_one_mistake_and_the_built_in_one_stands_at_its_target() {
        let text = "plans: {p: {every: 1d, cron: \"@daily\"}}\nbudgets: {total: 1/h}\n\
                    targets:\n  - {target: a.test, plan: p, probes: [tls]}\n";
        let found = told(text);
        assert!(found.len() == 1 && found[0].2.contains("exactly one"), "{found:?}");
        let text = "budgets: {total: 1/h}\ntargets:\n  - {target: a.test, probes: [tls]}\n";
        let found = told(text);
        assert!(found.len() == 1 && found[0].1 == 3, "{found:?}");
        assert!(found[0].2.contains("plan `default`"), "{found:?}");
    }
}
