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
    let mut tally = Tally { fit, shared: HashMap::new(), found: BTreeMap::new() };
    for (nth, target) in fit.targets.iter().enumerate() {
        let span = fit.spans.get(nth).cloned().unwrap_or_default();
        // The built-in plan stands nowhere; one that could not be read was reported.
        let place = fit.places.get(&target.plan_name).cloned();
        if place.is_some() || &*target.plan_name == super::model::DEFAULT_PLAN {
            tally.add(target, &place.unwrap_or(span));
        }
    }
    tally.judge_shared();
    tally.found.into_values().collect()
}

struct Tally<'a> {
    fit: &'a Fit<'a>,
    /// Budgets that targets share.
    shared: HashMap<Level, Demand>,
    /// By plan and budget: the worst.
    found: BTreeMap<(Arc<str>, String), OverBudget>,
}

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum Level {
    Address(ProbeKind, IpAddr),
    Network(IpAddr),
    Total,
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

impl Tally<'_> {
    fn add(&mut self, target: &TargetConfig, span: &Range<usize>) {
        let fixed = fixed_addresses(&target.target);
        for &probe in &target.probes {
            let mut addresses = fixed.clone().unwrap_or_default();
            addresses.truncate(target.max_addresses);
            if probe == ProbeKind::Dns {
                // Which servers will be asked is known once they are found; an address is one.
                addresses.retain(|address| target.target.endpoint.host.address() == Some(*address));
            }
            match addresses.is_empty() {
                true => self.at_unknown(target, probe, span),
                false => self.at_known(target, probe, &addresses, span),
            }
        }
    }

    /// Connections a second of one probe, at one address.
    fn rate(&self, target: &TargetConfig, probe: ProbeKind, may_scan: bool) -> f64 {
        let contacts = target.target.contacts(probe, may_scan);
        target.plan.samples_per_hour() / 3_600.0 * f64::from(contacts)
    }

    fn at_unknown(&mut self, target: &TargetConfig, probe: ProbeKind, span: &Range<usize>) {
        let needed = self.rate(target, probe, false);
        let own = target.target.settings.rate;
        // A dns probe's queries go to several servers, none of which is known.
        if probe != ProbeKind::Dns {
            let allowed = own.unwrap_or_else(|| self.fit.budgets.per_address.of(probe).hertz());
            self.hold(probe, allowed, target, needed, span);
        }
        if own.is_none() {
            self.share(Level::Total, target, needed, span);
        }
    }

    fn at_known(
        &mut self,
        target: &TargetConfig,
        probe: ProbeKind,
        addresses: &[IpAddr],
        span: &Range<usize>,
    ) {
        for &address in addresses {
            let may_scan = probe == ProbeKind::Ports && self.fit.scope.may_scan(address);
            let needed = self.rate(target, probe, may_scan);
            if let Some(own) = target.target.settings.rate {
                self.hold(probe, own, target, needed, span);
                continue;
            }
            self.share(Level::Address(probe, address), target, needed, span);
            self.share(Level::Network(network(address)), target, needed, span);
            self.share(Level::Total, target, needed, span);
        }
    }

    fn share(&mut self, level: Level, target: &TargetConfig, needed: f64, span: &Range<usize>) {
        self.shared.entry(level).or_default().add(&target.plan_name, needed, span);
    }

    /// A budget that this target has for itself: its own rate, or that of an address yet unknown.
    fn hold(
        &mut self,
        probe: ProbeKind,
        allowed: f64,
        target: &TargetConfig,
        needed: f64,
        span: &Range<usize>,
    ) {
        if needed > allowed * ROUNDING {
            let mut demand = Demand::default();
            demand.add(&target.plan_name, needed, span);
            let own = target.target.settings.rate.map(|_| "rate".to_owned());
            let budget = own.unwrap_or_else(|| per_address(probe));
            self.note(budget, target.target.name.to_string(), allowed, &demand);
        }
    }

    fn judge_shared(&mut self) {
        for (level, demand) in std::mem::take(&mut self.shared) {
            let budgets = self.fit.budgets;
            let (budget, at, allowed) = match level {
                Level::Address(probe, address) => {
                    (per_address(probe), address.to_string(), budgets.per_address.of(probe))
                }
                Level::Network(address) => {
                    let bits = if address.is_ipv4() { 24 } else { 48 };
                    let at = format!("{address}/{bits}");
                    ("budgets.per_network".to_owned(), at, budgets.per_network)
                }
                Level::Total => ("budgets.total".to_owned(), String::new(), budgets.total),
            };
            if demand.needed > allowed.hertz() * ROUNDING {
                self.note(budget, at, allowed.hertz(), &demand);
            }
        }
    }

    /// Remembers the worst place of each plan and budget. What is told of is a plan with a guarantee
    /// where there is one; among those, the one that takes most.
    fn note(&mut self, budget: String, at: String, allowed: f64, demand: &Demand) {
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
        if let Some(known) = self.found.get_mut(&key) {
            over.more = known.more + 1;
            let is_worse =
                (over.needed / over.allowed, &known.at) > (known.needed / known.allowed, &over.at);
            match is_worse {
                true => *known = over,
                false => known.more += 1,
            }
            return;
        }
        self.found.insert(key, over);
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
        // 40 targets of 5 connections: ten of them at each of four addresses of one network.
        assert_eq!(told(&text("", "1m")), []);
        for (budgets, key, needed, nearest) in [
            ("per_address: 45/m", "budgets.per_address.tls", "0.833", "67s"),
            (
                "per_network: 2/s",
                "budgets.per_network",
                "3.333 connections a second at 192.0.2.0/24",
                "100s",
            ),
            ("total: 1/s", "budgets.total", "3.333 connections a second in all", "3m20s"),
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
        let found = told(&text("2s"));
        let [(DiagnosticLevel::Error, 4, message, help)] = &found[..] else { panic!("{found:?}") };
        assert!(message.contains("plan `sure` cannot keep its guarantee"), "{message}");
        assert!(help.contains("with the other plans there slowed as much"), "{help}");
        assert_eq!(told(&text("3s")), []);
    }

    #[test]
    fn a_rate_of_a_targets_own_stands_in_place_of_the_budgets() {
        let text = |rate: &str| {
            format!(
                "{SCOPE}plans: {{fast: {{every: 1s}}}}\ndefaults: {{plan: fast, probes: [tls]}}\n\
                 targets: [{{target: a.example.com{rate}}}]\n"
            )
        };
        assert!(told(&text(""))[0].2.contains("budgets.per_address.tls"));
        assert!(told(&text(", rate: 4"))[0].2.contains("more than `rate`"));
        assert_eq!(told(&text(", rate: 5")), []);
    }

    #[test]
    fn a_scan_of_every_port_takes_its_time() {
        let text = |every: &str, network: &str| {
            format!(
                "scope: {{networks: [{network}]}}\nplans: {{p: {{every: {every}}}}}\n\
                 targets: [{{target: 192.0.2.1, plan: p, probes: [ports], ports: 1-65535}}]\n"
            )
        };
        assert!(told(&text("15m", "192.0.2.0/24"))[0].2.contains("72.821"));
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
