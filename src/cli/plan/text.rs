//! `secchi plan` for people.

use std::io::{self, Write};
use std::time::Duration;

use super::promise::{self, FAULTS, QUANTILES};
use super::survey::{Survey, Surveyed, Tally};
use crate::target::Span;

pub(super) fn write(out: &mut impl Write, survey: &Survey<'_>) -> io::Result<()> {
    for surveyed in &survey.plans {
        plan(out, surveyed)?;
    }
    let total = survey.total();
    writeln!(
        out,
        "in all: {}, {} samples/h, about {} connections/h",
        members(&total),
        rate(total.samples_per_hour),
        rate(total.connections_per_hour),
    )?;
    if survey.has_discovery {
        writeln!(out, "targets that discovery finds are not counted")?;
    }
    for over in survey.over_budget {
        let what = if over.is_refused { "refused" } else { "too much" };
        writeln!(out, "\n{what}: {over}\n  {}", over.help())?;
    }
    Ok(())
}

fn plan(out: &mut impl Write, surveyed: &Surveyed) -> io::Result<()> {
    let Surveyed { name, plan, whole, groups, .. } = surveyed;
    writeln!(out, "{name}  {}", plan.spec())?;
    if whole.targets == 0 {
        return writeln!(out, "  no target\n");
    }
    writeln!(
        out,
        "  {}, {} samples/h each; {} samples/h and about {} connections/h in all{}",
        members(whole),
        rate(plan.samples_per_hour()),
        rate(whole.samples_per_hour),
        rate(whole.connections_per_hour),
        most(whole),
    )?;
    writeln!(out, "  a fault is seen within      {:>9} {:>9} {:>9}", "half", "95%", "99%")?;
    for ((_, fault), what) in FAULTS.into_iter().zip(WHAT) {
        write!(out, "    {what:<25}")?;
        for (_, quantile) in QUANTILES {
            write!(out, " {:>9}", shown(plan.detection_time(fault, quantile)))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "  longest wait {}", Span(rounded(plan.longest_wait())))?;
    promised(out, surveyed)?;
    let named = groups.iter().filter(|(service, _)| !service.is_empty());
    for (service, tally) in named.take(MOST_GROUPS) {
        writeln!(
            out,
            "  service {service}: {}, {} samples/h, about {} connections/h; what is at {} of the points is \
             seen within {} (95%)",
            members(tally),
            rate(tally.samples_per_hour),
            rate(tally.connections_per_hour),
            tally.tenth(),
            shown(plan.detection_time_of_group(tally.tenth(), 0.95)),
        )?;
    }
    if groups.len() > MOST_GROUPS {
        writeln!(
            out,
            "  … and {} more services; --format json has all",
            groups.len() - MOST_GROUPS
        )?;
    }
    writeln!(out)
}

fn promised(out: &mut impl Write, surveyed: &Surveyed) -> io::Result<()> {
    let probes = surveyed.probes();
    let Some(weakest) = promise::weakest(&probes) else { return Ok(()) };
    for guarantee in surveyed.plan.guarantees(weakest) {
        writeln!(
            out,
            "  promised: what shows on {}% of connections, or of the time, is seen within any {} with {:.2}% or more, \
             by {} observations; independence of connections: {}",
            round(100.0 * guarantee.prevalence),
            Span(guarantee.within),
            // Down, never up: it is a promise.
            (guarantee.confidence * 1e4).floor() / 100.0,
            guarantee.observations,
            promise::INDEPENDENCE,
        )?;
        let without = promise::unpromised(&probes);
        if !without.is_empty() {
            writeln!(out, "  promised of every measurement but {}", without.join(", "))?;
        }
    }
    Ok(())
}

fn members(tally: &Tally) -> String {
    let plural = |count: u32| if count == 1 { "" } else { "s" };
    let (points, targets) = (tally.points, tally.targets);
    format!("{points} point{} of {targets} target{}", plural(points), plural(targets))
}

/// So many an hour, with decimals where there are few.
fn rate(an_hour: f64) -> String {
    let decimals = if an_hour < 1.0 { 3 } else { usize::from(an_hour < 100.0) };
    format!("{an_hour:.decimals$}")
}

fn most(tally: &Tally) -> String {
    match &tally.most {
        Some((connections, name)) if tally.targets > 1 => {
            format!(" (at most {} to one: {name})", rate(*connections))
        }
        _ => String::new(),
    }
}

fn shown(time: Option<Duration>) -> String {
    time.map_or_else(|| "never".to_owned(), |time| Span(rounded(time)).to_string())
}

/// Up to the next second, or from an hour on the next minute.
fn rounded(time: Duration) -> Duration {
    let seconds = (time.as_secs_f64() - 1e-6).ceil() as u64;
    let unit = if seconds >= 3_600 { 60 } else { 1 };
    Duration::from_secs(seconds.div_ceil(unit) * unit)
}

/// At most four decimals.
fn round(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

const WHAT: [&str; 3] = ["always there", "there half of the time", "on a tenth of connections"];
const MOST_GROUPS: usize = 20;
