//! From what the config writes to a plan, and to a slower one.

use std::time::Duration;

use super::cron::Cron;
use super::plan::Plan;
use super::spec::{DetectSpec, Importance, PlanError, PlanSpec, zone};
use super::stats;
use super::stream::{Firings, SECOND, Slots, Stream};
use crate::target::Span;

impl Plan {
    pub(super) fn compile(spec: &PlanSpec) -> Result<Self, PlanError> {
        let streams = match &spec.mix {
            None => vec![stream(spec, 0)?],
            Some(parts) => {
                kinds(spec)?;
                if !(2..=MOST_PARTS).contains(&parts.len()) {
                    return Err(PlanError::MixSize(parts.len()));
                }
                let parts = parts.iter().enumerate();
                parts.map(|(nth, spec)| part(nth, spec)).collect::<Result<_, _>>()?
            }
        };
        let parts = spec.mix.iter().flatten();
        let detects = parts.chain([spec]).filter_map(|part| part.detect).collect();
        Ok(Self { spec: spec.clone(), streams: streams.into(), detects })
    }

    /// The nearest plan of the same kind that samples this many times more seldom: periods and
    /// windows grow, prevalence and confidence stay. Cron becomes slots, for a calendar cannot be
    /// stretched. `None` if a period would be longer than a year.
    pub fn slowed(&self, times: f64) -> Option<Self> {
        let mut spec = self.spec.clone();
        match &mut spec.mix {
            None => slow(&mut spec, times)?,
            Some(parts) => parts.iter_mut().try_for_each(|part| slow(part, times))?,
        }
        spec.compile().ok()
    }
}

/// Refuses a spec of no kind, or of two.
fn kinds(spec: &PlanSpec) -> Result<(), PlanError> {
    let kinds =
        [spec.every.is_some(), spec.cron.is_some(), spec.detect.is_some(), spec.mix.is_some()];
    let count = kinds.into_iter().filter(|is_there| *is_there).count();
    if count != 1 {
        return Err(PlanError::Kinds(count));
    }
    if spec.time_zone.is_some() && spec.cron.is_none() {
        return Err(PlanError::ZoneWithoutCron);
    }
    if spec.share.is_some() && spec.every.is_none() {
        return Err(PlanError::ShareWithoutEvery);
    }
    Ok(())
}

fn part(nth: usize, spec: &PlanSpec) -> Result<Stream, PlanError> {
    let wrong = |error| PlanError::Part { nth, error: Box::new(error) };
    if spec.mix.is_some() {
        return Err(wrong(PlanError::MixInMix));
    }
    if spec.importance != Importance::default() {
        return Err(wrong(PlanError::ImportanceInMix));
    }
    let stream = stream(spec, u8::try_from(nth).unwrap_or(u8::MAX)).map_err(wrong)?;
    // Slots' due times are a random fraction apart: at ten seconds, one in six hundred is lost to
    // its neighbour's second. Cron's own are whole seconds.
    match &stream {
        Stream::Slots(slots) if slots.length() < LEAST_PART => {
            Err(wrong(PlanError::PartTooShort(Span(slots.length()))))
        }
        _ => Ok(stream),
    }
}

fn stream(spec: &PlanSpec, part: u8) -> Result<Stream, PlanError> {
    kinds(spec)?;
    if let Some(text) = &spec.cron {
        let cron = Cron::compile(text, zone(spec.time_zone.as_deref())?)?;
        return Ok(Stream::Cron(Box::new(Firings::of(cron))));
    }
    if let Some(detect) = &spec.detect {
        return Ok(Stream::Slots(Slots::new(slot_of(detect)?, false, part)));
    }
    let every = spec.every.unwrap_or_default();
    let length = nanos(every.0).ok_or(PlanError::TooLong { key: "every", span: every })?;
    if length < SECOND {
        return Err(PlanError::TooShort(every));
    }
    let Some(share) = spec.share else {
        return Ok(Stream::Slots(Slots::new(length, false, part)));
    };
    // A hair above the next whole number is rounding, not need.
    let rounds = (1.0 / share.share() - 1e-9).ceil() as u32;
    let cycle = every.0.checked_mul(rounds).unwrap_or(Duration::MAX);
    let length = nanos(cycle).ok_or(PlanError::ShareTooSmall { cycle: Span(cycle) })?;
    Ok(Stream::Slots(Slots::new(length, true, part)))
}

/// The slots' length of a guarantee, in nanoseconds.
fn slot_of(detect: &DetectSpec) -> Result<i64, PlanError> {
    let within =
        nanos(detect.within.0).ok_or(PlanError::TooLong { key: "detect", span: detect.within })?;
    let observations = detect.observations();
    // One slot more than observations: any window of `within` then holds that many whole.
    let slots = i64::try_from(observations).unwrap_or(i64::MAX).saturating_add(1);
    let length = within / slots;
    if length < SECOND {
        return Err(PlanError::DetectTooOften { observations, within: detect.within });
    }
    Ok(length)
}

impl DetectSpec {
    /// The observations that are made in any window: n = ⌈ln(1−c)/ln(1−p)⌉.
    pub fn observations(&self) -> u64 {
        let (prevalence, confidence) = (self.prevalence.share(), self.confidence.share());
        stats::observations(prevalence, confidence).unwrap_or(u64::MAX)
    }
}

fn slow(part: &mut PlanSpec, times: f64) -> Option<()> {
    let longer = |span: Span| {
        let seconds = (span.0.as_secs_f64() * times - 1e-6).ceil();
        (seconds <= A_YEAR).then(|| Span(Duration::from_secs_f64(seconds)))
    };
    if let Some(every) = part.every {
        part.every = Some(longer(every)?);
    } else if let Some(detect) = &mut part.detect {
        detect.within = longer(detect.within)?;
    } else {
        let hours = part.compile().ok()?.samples_per_hour().recip();
        (part.cron, part.time_zone) = (None, None);
        part.every = Some(longer(Span(Duration::try_from_secs_f64(hours * 3_600.0).ok()?))?);
    }
    Some(())
}

/// Nanoseconds of a duration that is at most a year.
fn nanos(span: Duration) -> Option<i64> {
    i64::try_from(span.as_nanos()).ok().filter(|nanos| *nanos <= LEAP_YEAR)
}

const LEAP_YEAR: i64 = 366 * 86_400 * SECOND;
/// In seconds.
const A_YEAR: f64 = 365.0 * 86_400.0;
const LEAST_PART: Duration = Duration::from_secs(10);
const MOST_PARTS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(json: &str) -> Plan {
        serde_json::from_str::<PlanSpec>(json).expect(json).compile().expect(json)
    }

    #[test]
    fn a_slower_plan_costs_that_much_less_and_keeps_what_it_promises() {
        for json in [
            r#"{"every": "5m"}"#,
            r#"{"every": "5m", "share": "10%"}"#,
            r#"{"cron": "*/7 * * * *"}"#,
            r#"{"detect": {"within": "1h", "prevalence": "10%", "confidence": "99%"}}"#,
            r#"{"mix": [{"every": "15m"}, {"detect": {"within": "1h", "prevalence": "10%", "confidence": "99%"}}]}"#,
        ] {
            let plan = plan(json);
            let slowed = plan.slowed(1.5).expect(json);
            let times = plan.samples_per_hour() / slowed.samples_per_hour();
            assert!((1.499_999..1.51).contains(&times), "{json}: {times}");
            assert_eq!(slowed.detects.len(), plan.detects.len());
            assert!(slowed.slowed(1e9).is_none(), "{json}");
        }
    }
}
