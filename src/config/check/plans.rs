//! Plans and windows. Their shape is checked here; what a cron line or a guarantee means is
//! schedule's to know, through [`Checks::plan_ok`](crate::config::Checks::plan_ok).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::at::At;
use crate::config::context::Context;
use crate::config::file::{Effect, Maintenance, Plan};
use crate::config::model::{DEFAULT_EVERY, DEFAULT_PLAN, MaintenanceSpec, PlanSpec};

pub(super) fn check(
    context: &mut Context<'_>,
    plans: &BTreeMap<String, At<Plan>>,
) -> BTreeMap<Arc<str>, PlanSpec> {
    let mut checked = BTreeMap::new();
    checked.insert(Arc::from(DEFAULT_PLAN), PlanSpec::Every(DEFAULT_EVERY));
    for (name, plan) in plans {
        // A plan that could not be read still has its name, or each of its users would be an
        // error of its own.
        let spec = spec(context, name, plan).unwrap_or(PlanSpec::Every(DEFAULT_EVERY));
        checked.insert(Arc::from(name.as_str()), spec);
    }
    checked
}

fn spec(context: &mut Context<'_>, name: &str, at: &At<Plan>) -> Option<PlanSpec> {
    let Plan { every, cron, time_zone, detect } = &at.value;
    let kinds = [every.is_some(), cron.is_some(), detect.is_some()];
    let first = every.as_ref().or(cron.as_ref()).map(|at| &at.span);
    let span = detect.as_ref().map(|at| &at.span).or(first).unwrap_or(&at.span).clone();
    if kinds.iter().filter(|is| **is).count() != 1 {
        let message = format!("plan `{name}` has exactly one of every, cron and detect");
        context.error(&span, message);
        return None;
    }
    if let (Some(zone), None) = (time_zone, cron) {
        context.error(&zone.span, "`time_zone` belongs to `cron`");
        return None;
    }
    let spec = match (every, cron, detect) {
        (Some(every), ..) => {
            let interval = context.duration(every)?;
            if interval < MIN_INTERVAL {
                context.error(&every.span, "an interval is at least 1s");
                return None;
            }
            PlanSpec::Every(interval)
        }
        (_, Some(cron), _) => cron_spec(context, cron, time_zone.as_ref())?,
        (_, _, Some(detect)) => {
            let within = context.duration(&detect.value.within);
            let prevalence = context.share(&detect.value.prevalence);
            let confidence = context.share(&detect.value.confidence);
            PlanSpec::Detect { within: within?, prevalence: prevalence?, confidence: confidence? }
        }
        (None, None, None) => return None,
    };
    let fine = context.checks.plan_ok(&spec);
    context.read(&span, fine)?;
    Some(spec)
}

fn cron_spec(
    context: &mut Context<'_>,
    cron: &At<String>,
    zone: Option<&At<String>>,
) -> Option<PlanSpec> {
    let expression = cron.value.trim();
    let named = NAMED.contains(&expression);
    let fields = expression.split_whitespace().count();
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"*/,-#? \t".contains(&b);
    if !named && (!(5..=6).contains(&fields) || !expression.bytes().all(fits)) {
        context.error_with(
            &cron.span,
            format!("`{expression}` is no crontab(5) schedule"),
            Some("five fields: minute, hour, day, month, weekday, such as \"0 2 * * *\"".into()),
        );
        return None;
    }
    if let Some(zone) = zone
        && zone.value.parse::<chrono_tz::Tz>().is_err()
    {
        let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let help = crate::config::diagnostics::did_you_mean(&zone.value, known);
        context.error_with(&zone.span, format!("there is no time zone `{}`", zone.value), help);
        return None;
    }
    let time_zone = zone.map(|zone| zone.value.clone());
    Some(PlanSpec::Cron { expression: expression.to_owned(), time_zone })
}

pub(super) fn maintenance(
    context: &mut Context<'_>,
    windows: &[At<Maintenance>],
) -> Vec<MaintenanceSpec> {
    let mut checked = Vec::new();
    for At { value, .. } in windows {
        let opens = cron_spec(context, &value.cron, value.time_zone.as_ref());
        if let Some(opens) = &opens {
            let fine = context.checks.plan_ok(opens);
            context.read(&value.cron.span, fine);
        }
        let lasts = context.duration(&value.lasts);
        // A word that is none of the two was reported with the file's structure.
        let effect = match value.effect.as_ref().map(|at| at.value.as_str()) {
            Some("pause") => Effect::Pause,
            _ => Effect::Mute,
        };
        let targets =
            value.targets.iter().map(|(name, at)| (name.clone(), at.value.clone())).collect();
        if let (Some(opens), Some(lasts)) = (opens, lasts) {
            checked.push(MaintenanceSpec { opens, lasts, targets, effect });
        }
    }
    checked
}

const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// crontab(5)'s names for whole schedules.
const NAMED: [&str; 7] =
    ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
