//! From the config's words to each room's own types.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::alert::{Kind, Receiver};
use crate::config::{
    self, AlertingSpec, BudgetsSpec, Checks, Limit, MaintenanceSpec, Ranges, RulesSpec,
};
use crate::finding::Exception;
use crate::rules::{RuleError, RuleSet};
use crate::schedule::{
    Budget, BudgetSpec, DetectSpec, Effect, Matcher, PerAddress, Plan, PlanSpec, Rate, Window,
    WindowSpec,
};
use crate::target::{ProbeKind, Span, TextFile};

/// The rules of a config: what ships, the operator's packs, what is disabled.
pub fn rules(spec: &RulesSpec) -> Result<RuleSet, Vec<RuleError>> {
    let packs: Vec<(String, &str)> =
        spec.packs.iter().map(|file| (file.path.display().to_string(), &*file.text)).collect();
    RuleSet::load(&packs, &spec.disable)
}

/// Ranges of a target as the rules read them.
pub fn overrides(ranges: &Ranges) -> BTreeMap<String, Value> {
    let object = |operators: &BTreeMap<String, Value>| {
        Value::Object(operators.clone().into_iter().collect())
    };
    ranges.iter().map(|(rule, operators)| (rule.clone(), object(operators))).collect()
}

/// A plan, compiled.
pub fn plan(spec: &config::PlanSpec) -> Result<Plan, String> {
    plan_spec(spec)?.compile().map_err(|error| error.to_string())
}

fn plan_spec(spec: &config::PlanSpec) -> Result<PlanSpec, String> {
    let share = |share: f64| {
        format!("{}%", share * 100.0)
            .parse()
            .map_err(|error: crate::schedule::PercentError| error.to_string())
    };
    Ok(match spec {
        config::PlanSpec::Every(every) => PlanSpec::every(*every),
        config::PlanSpec::Cron { expression, time_zone } => PlanSpec {
            cron: Some(expression.clone()),
            time_zone: time_zone.clone(),
            ..PlanSpec::default()
        },
        config::PlanSpec::Detect { within, prevalence, confidence } => PlanSpec {
            detect: Some(DetectSpec {
                within: Span(*within),
                prevalence: share(*prevalence)?,
                confidence: share(*confidence)?,
            }),
            ..PlanSpec::default()
        },
    })
}

/// Maintenance windows, compiled.
pub fn windows(specs: &[MaintenanceSpec]) -> Result<Arc<[Window]>, String> {
    specs.iter().map(window).collect()
}

fn window(spec: &MaintenanceSpec) -> Result<Window, String> {
    let config::PlanSpec::Cron { expression, time_zone } = &spec.opens else {
        return Err("a window opens by cron".to_owned());
    };
    let spec = WindowSpec {
        cron: expression.clone(),
        time_zone: time_zone.clone(),
        lasts: Span(spec.lasts),
        targets: Matcher::Labels(spec.targets.clone()),
        effect: match spec.effect {
            config::Effect::Mute => Effect::Mute,
            config::Effect::Pause => Effect::Pause,
        },
    };
    spec.compile().map_err(|error| error.to_string())
}

/// The politeness budget.
pub fn budget(spec: &BudgetsSpec) -> Budget {
    let rate = |hertz: Option<f64>| hertz.and_then(Rate::per_second);
    let defaults = BudgetSpec::default();
    let per_address = match &spec.per_address {
        Limit::Shared(hertz) => rate(Some(*hertz)).map(PerAddress::One),
        Limit::PerProbe(rates) => {
            let rates =
                rates.iter().filter_map(|(probe, hertz)| Some((*probe, rate(Some(*hertz))?)));
            Some(PerAddress::Each(rates.collect()))
        }
    };
    // A network and the total are shared by all probes: the greatest of several values holds.
    let shared = |limit: &Limit| {
        let greatest = ProbeKind::ALL.iter().filter_map(|probe| limit.of(*probe)).reduce(f64::max);
        rate(greatest)
    };
    BudgetSpec {
        per_address: per_address.unwrap_or(defaults.per_address),
        per_network: shared(&spec.per_network).unwrap_or(defaults.per_network),
        total: shared(&spec.total).unwrap_or(defaults.total),
    }
    .compile()
}

/// Accepted risks of the config.
pub fn exceptions(specs: &[config::ExceptionSpec]) -> Vec<Exception> {
    let exception = |spec: &config::ExceptionSpec| Exception {
        rule: spec.rule.clone(),
        target: spec.target.clone(),
        subject: spec.subject.clone(),
        reason: spec.reason.clone(),
        approved_by: spec.approved_by.clone(),
        until: spec.until,
    };
    specs.iter().map(exception).collect()
}

/// Who is told.
pub fn receivers(spec: &AlertingSpec) -> Vec<Receiver> {
    let alertmanagers = spec.alertmanagers.iter().enumerate().map(|(at, receiver)| Receiver {
        name: format!("alertmanager/{at}"),
        kind: Kind::Alertmanager { url: receiver.url.clone() },
        send_resolved: true,
        http: receiver.http.clone(),
        timeout: Receiver::TIMEOUT,
    });
    let webhooks = spec.webhooks.iter().enumerate().map(|(at, receiver)| Receiver {
        name: format!("webhook/{at}"),
        kind: Kind::Webhook { url: receiver.url.clone(), hmac_key: receiver.hmac.clone() },
        send_resolved: true,
        http: receiver.http.clone(),
        timeout: Receiver::TIMEOUT,
    });
    alertmanagers.chain(webhooks).collect()
}

/// What the config asks of the rooms that it may not know.
#[derive(Debug, Default)]
pub struct RoomChecks {
    rules: std::sync::RwLock<Option<RuleSet>>,
}

impl RoomChecks {
    fn with_rules<T>(&self, look: impl FnOnce(&RuleSet) -> T) -> T {
        let own = self.rules.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        match own.as_ref() {
            Some(rules) => look(rules),
            None => look(&RuleSet::builtin()),
        }
    }
}

impl Checks for RoomChecks {
    fn packs(&self, packs: &[TextFile]) -> Result<(), Vec<String>> {
        let spec = RulesSpec { packs: packs.to_vec(), disable: Vec::new() };
        let set = rules(&spec)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        *self.rules.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(set);
        Ok(())
    }

    fn plan_ok(&self, spec: &config::PlanSpec) -> Result<(), String> {
        plan(spec).map(drop)
    }

    fn rules(&self) -> Option<Vec<String>> {
        Some(
            self.with_rules(|rules| rules.rules().iter().map(|rule| rule.id.to_string()).collect()),
        )
    }

    fn range_ok(&self, rule: &str, operator: &str, value: &Value) -> Result<(), String> {
        let range = serde_json::json!({ operator: value });
        let overrides = BTreeMap::from([(rule.to_owned(), range)]);
        self.with_rules(|rules| rules.select(&[], &overrides))
            .map(drop)
            .map_err(|errors| errors.join("; "))
    }

    fn profiles(&self) -> Option<Vec<String>> {
        Some(self.with_rules(|rules| rules.profiles().into_iter().map(str::to_owned).collect()))
    }
}
