//! Plans, windows and budgets. What they mean is schedule's to know; here its faults get a place.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use crate::config::at::At;
use crate::config::context::{Context, word};
use crate::config::file::{Budgets, Detect, EachOrMany, Maintenance, Outlay, Plan as Block};
use crate::config::model::DEFAULT_PLAN;
use crate::schedule::{
    BudgetSpec, DetectSpec, Matcher, OutlayError, OutlaySpec, PerAddress, Percent, Plan, PlanError,
    PlanSpec, Rate, Window, WindowSpec,
};
use crate::target::Span;

/// The plans by name, and where the file says them.
pub(super) struct Plans {
    pub(super) plans: BTreeMap<Arc<str>, Arc<Plan>>,
    /// Only of those that could be read.
    pub(super) places: BTreeMap<Arc<str>, Range<usize>>,
}

pub(super) fn check(context: &mut Context<'_>, blocks: &BTreeMap<String, At<Block>>) -> Plans {
    let mut plans = BTreeMap::from([(Arc::from(DEFAULT_PLAN), Arc::default())]);
    let mut places = BTreeMap::new();
    for (name, block) in blocks {
        let name: Arc<str> = Arc::from(name.as_str());
        let plan = plan(context, block);
        if plan.is_some() {
            let place = kind(&block.value).unwrap_or_else(|| block.span.clone());
            places.insert(Arc::clone(&name), place);
        }
        // A plan that could not be read still has its name, or each of its users would be an
        // error of its own.
        plans.insert(name, Arc::new(plan.unwrap_or_default()));
    }
    Plans { plans, places }
}

fn plan(context: &mut Context<'_>, at: &At<Block>) -> Option<Plan> {
    let mut spec = spec(context, at)?;
    let mut is_fine = true;
    loop {
        let error = match spec.compile() {
            Ok(plan) => return is_fine.then_some(plan),
            Err(error) => error,
        };
        is_fine = false;
        let span = place_of(at, &error);
        context.error(&span, error.to_string());
        // A fault at one key hides none at another.
        match error.key() {
            "time_zone" => spec.time_zone = None,
            "share" => spec.share = None,
            _ => return None,
        }
    }
}

/// What the block says, if each of its values can be read.
fn spec(context: &mut Context<'_>, at: &At<Block>) -> Option<PlanSpec> {
    let block = &at.value;
    let text = |at: &Option<At<String>>| at.as_ref().map(|at| at.value.clone());
    let every = block.every.as_ref().map(|at| context.parse::<Span>(at));
    let share = block.share.as_ref().map(|at| context.parse::<Percent>(at));
    let guarantee = block.detect.as_ref().map(|at| detect(context, &at.value));
    let mix = block.mix.as_ref().map(|mix| parts(context, &mix.value));
    if every == Some(None) || share == Some(None) || guarantee == Some(None) || mix == Some(None) {
        return None;
    }
    Some(PlanSpec {
        every: every.flatten(),
        share: share.flatten(),
        cron: text(&block.cron),
        time_zone: text(&block.time_zone),
        detect: guarantee.flatten(),
        mix: mix.flatten(),
        // A word that is none was reported with the file's structure.
        importance: block.importance.as_ref().and_then(|at| word(&at.value)).unwrap_or_default(),
    })
}

fn parts(context: &mut Context<'_>, parts: &[At<Block>]) -> Option<Vec<PlanSpec>> {
    let specs: Vec<_> = parts.iter().map(|part| spec(context, part)).collect();
    specs.into_iter().collect()
}

/// Where the fault of a plan stands.
fn place_of(at: &At<Block>, error: &PlanError) -> Range<usize> {
    let block = &at.value;
    if let (PlanError::Part { nth, error }, Some(mix)) = (error, &block.mix)
        && let Some(part) = mix.value.get(*nth)
    {
        return place_of(part, error);
    }
    let span = match error.key() {
        "every" => place(block.every.as_ref()),
        "share" => place(block.share.as_ref()),
        "cron" => place(block.cron.as_ref()),
        "time_zone" => place(block.time_zone.as_ref()),
        "detect" => place(block.detect.as_ref()),
        "mix" => place(block.mix.as_ref()),
        "importance" => place(block.importance.as_ref()),
        _ => kind(block),
    };
    span.unwrap_or_else(|| at.span.clone())
}

/// Where a plan says of what kind it is.
fn kind(block: &Block) -> Option<Range<usize>> {
    place(block.every.as_ref())
        .or_else(|| place(block.cron.as_ref()))
        .or_else(|| place(block.detect.as_ref()))
        .or_else(|| place(block.mix.as_ref()))
}

fn detect(context: &mut Context<'_>, block: &Detect) -> Option<DetectSpec> {
    let within = context.parse(&block.within);
    let prevalence = context.parse(&block.prevalence);
    let confidence = context.parse(&block.confidence);
    Some(DetectSpec { within: within?, prevalence: prevalence?, confidence: confidence? })
}

pub(super) fn maintenance(context: &mut Context<'_>, blocks: &[At<Maintenance>]) -> Arc<[Window]> {
    blocks.iter().filter_map(|at| window(context, at)).collect()
}

fn window(context: &mut Context<'_>, at: &At<Maintenance>) -> Option<Window> {
    let block = &at.value;
    let lasts = context.parse::<Span>(&block.lasts);
    let mut is_fine = lasts.is_some();
    let mut spec = WindowSpec {
        cron: block.cron.value.clone(),
        time_zone: block.time_zone.as_ref().map(|at| at.value.clone()),
        lasts: lasts.unwrap_or(AN_HOUR),
        targets: block.targets.as_ref().map(matcher).unwrap_or_default(),
        // A word that is no effect was reported with the file's structure.
        effect: block.effect.as_ref().and_then(|at| word(&at.value)).unwrap_or_default(),
    };
    loop {
        let error = match spec.compile() {
            Ok(window) => return is_fine.then_some(window),
            Err(error) => error,
        };
        is_fine = false;
        // A fault at one key hides none at another.
        let span = match error.key() {
            "lasts" => {
                spec.lasts = AN_HOUR;
                Some(block.lasts.span.clone())
            }
            "targets" => {
                spec.targets = Matcher::default();
                block.targets.as_ref().map(|at| at.span().clone())
            }
            "time_zone" if spec.time_zone.take().is_some() => place(block.time_zone.as_ref()),
            "cron" if spec.cron != DAILY => {
                DAILY.clone_into(&mut spec.cron);
                Some(block.cron.span.clone())
            }
            _ => {
                context.error(&at.span, error.to_string());
                return None;
            }
        };
        context.error(&span.unwrap_or_else(|| at.span.clone()), error.to_string());
    }
}

fn matcher(block: &EachOrMany) -> Matcher {
    match block {
        EachOrMany::Each(each) => Matcher::Labels(
            each.value.iter().map(|(name, at)| (name.clone(), at.value.clone())).collect(),
        ),
        EachOrMany::Many(many) => {
            Matcher::Names(many.items.iter().map(|at| at.value.clone()).collect())
        }
    }
}

pub(super) fn budgets(context: &mut Context<'_>, block: &Budgets) -> BudgetSpec {
    let default = BudgetSpec::default();
    let per_address = match &block.per_address {
        None => None,
        Some(EachOrMany::Many(many)) => {
            many.items.first().and_then(|at| context.parse(at)).map(PerAddress::One)
        }
        Some(EachOrMany::Each(each)) => {
            let mut rates = BTreeMap::new();
            for (probe, at) in &each.value {
                // A key that is no probe was reported with the file's structure.
                if let (Some(rate), Ok(probe)) = (context.parse(at), probe.parse()) {
                    rates.insert(probe, rate);
                }
            }
            Some(PerAddress::Each(rates))
        }
    };
    let mut rate = |at: &Option<At<String>>| at.as_ref().and_then(|at| context.parse::<Rate>(at));
    BudgetSpec {
        per_address: per_address.unwrap_or(default.per_address),
        per_network: rate(&block.per_network).unwrap_or(default.per_network),
        total: rate(&block.total).unwrap_or(default.total),
        bytes: outlay(context, &block.bytes),
        cpu: outlay(context, &block.cpu),
    }
}

fn outlay<T: FromStr<Err = OutlayError>>(
    context: &mut Context<'_>,
    block: &Outlay,
) -> OutlaySpec<T> {
    let mut bound = |at: &Option<At<String>>| at.as_ref().and_then(|at| context.parse::<T>(at));
    OutlaySpec { per_target: bound(&block.per_target), total: bound(&block.total) }
}

fn place<T>(at: Option<&At<T>>) -> Option<Range<usize>> {
    at.map(|at| at.span.clone())
}

const AN_HOUR: Span = Span(std::time::Duration::from_secs(3600));
const DAILY: &str = "@daily";
