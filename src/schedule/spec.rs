//! A plan as the config writes it.

use std::fmt;
use std::time::Duration;

use chrono_tz::{TZ_VARIANTS, Tz};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{CronError, Percent, Plan};
use crate::target::Span;

/// `{every: 5m}`, `{every: 5m, share: 10%}`, `{cron: "0 2 * * *", time_zone: Europe/Paris}`,
/// `{detect: {within: 1h, prevalence: 10%, confidence: 99%}}` or `{mix: [{…}, {…}]}`: exactly one of
/// `every`, `cron`, `detect` and `mix`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlanSpec {
    /// One sample in every slot of this length, at a random time inside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
    /// With `every`: only this share of the points in each round of that length, drawn without
    /// replacement. Each has its turn once in every ⌈1/share⌉ rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<Percent>,
    /// crontab(5): minute hour day-of-month month day-of-week, with seconds in front if six.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// The IANA zone that `cron` is meant in; UTC if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// As often as it takes to give this guarantee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detect: Option<DetectSpec>,
    /// Two to four plans of the other kinds at once: a floor and random samples beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mix: Option<Vec<Self>>,
    /// What is shed first when there is more due than can be taken.
    #[serde(skip_serializing_if = "Importance::is_normal")]
    pub importance: Importance,
}

/// What is shed first when there is more due than can be taken.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Importance {
    /// Shed first.
    Low,
    /// Shed when shedding what is low was not enough.
    #[default]
    Normal,
    /// Shed only where bytes or processor time are spent to the last.
    High,
}

impl Importance {
    fn is_normal(&self) -> bool {
        *self == Self::Normal
    }
}

/// A fault that shows on at least `prevalence` of connections is seen within any window of
/// `within` with at least this `confidence`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DetectSpec {
    /// The window.
    pub within: Span,
    /// The least share of connections that the fault shows on.
    pub prevalence: Percent,
    /// How sure it is that the fault is seen.
    pub confidence: Percent,
}

impl PlanSpec {
    /// `{every: P}`.
    pub fn every(period: Duration) -> Self {
        Self { every: Some(Span(period)), ..Self::default() }
    }

    /// Checks the plan and makes it ready to use.
    pub fn compile(&self) -> Result<Plan, PlanError> {
        Plan::compile(self)
    }
}

/// As it is written in a config, on one line.
impl fmt::Display for PlanSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut keys = Vec::new();
        keys.extend(self.every.map(|every| format!("every: {every}")));
        keys.extend(self.share.map(|share| format!("share: {share}")));
        keys.extend(self.cron.as_ref().map(|cron| format!("cron: {cron:?}")));
        keys.extend(self.time_zone.as_ref().map(|zone| format!("time_zone: {zone}")));
        keys.extend(self.detect.map(|detect| {
            let DetectSpec { within, prevalence, confidence } = detect;
            format!(
                "detect: {{within: {within}, prevalence: {prevalence}, confidence: {confidence}}}"
            )
        }));
        keys.extend(self.mix.as_ref().map(|parts| {
            let parts: Vec<String> = parts.iter().map(Self::to_string).collect();
            format!("mix: [{}]", parts.join(", "))
        }));
        match self.importance {
            Importance::Low => keys.push("importance: low".to_owned()),
            Importance::Normal => {}
            Importance::High => keys.push("importance: high".to_owned()),
        }
        write!(f, "{{{}}}", keys.join(", "))
    }
}

/// The zone of that name, UTC if there is none.
pub(super) fn zone(name: Option<&str>) -> Result<Tz, PlanError> {
    let Some(name) = name else { return Ok(Tz::UTC) };
    if let Ok(zone) = name.parse() {
        return Ok(zone);
    }
    let name: String = name.chars().take(40).collect();
    let likeness = |zone: &Tz| strsim::jaro(&zone.name().to_lowercase(), &name.to_lowercase());
    let nearest = TZ_VARIANTS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let advice = match nearest.filter(|zone| likeness(zone) > 0.8) {
        Some(zone) => format!("did you mean {}?", zone.name()),
        None => "write an IANA name, such as Europe/Paris".to_owned(),
    };
    Err(PlanError::Zone { name, advice })
}

/// Why a plan was refused.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum PlanError {
    /// The cron expression.
    #[error("{0}")]
    Cron(#[from] CronError),
    /// Samples would come more often than once in a second.
    #[error(
        "this guarantee takes {observations} samples within {within}, more than one in a second; \
         write a longer `within`, a greater `prevalence` or a lower `confidence`"
    )]
    DetectTooOften {
        /// How many samples it takes.
        observations: u64,
        /// Within what time.
        within: Span,
    },
    /// `importance` inside a mix.
    #[error("`importance` is the whole plan's; write it beside `mix`")]
    ImportanceInMix,
    /// A mix inside a mix.
    #[error("a mix holds no other mix; write its parts side by side")]
    MixInMix,
    /// A mix of one, or of too many.
    #[error("a mix has two to four parts; this one has {0}")]
    MixSize(usize),
    /// What is wrong with one part of a mix.
    #[error("{error}")]
    Part {
        /// Which, from 0.
        nth: usize,
        /// What.
        error: Box<Self>,
    },
    /// A part of a mix comes so often that samples would fall into the same second.
    #[error("a part of a mix comes once in {0}, which is too often; 10s is the least")]
    PartTooShort(Span),
    /// A share of nothing.
    #[error("`share` belongs to `every`: so much of the points in each of its rounds")]
    ShareWithoutEvery,
    /// Turns that come later than in a year.
    #[error(
        "each point would have its turn once in {cycle}; write a greater share or a shorter `every`"
    )]
    ShareTooSmall {
        /// ⌈1/share⌉ rounds.
        cycle: Span,
    },
    /// A period beyond a year.
    #[error("`{key}: {span}` is longer than a year, so it says nothing of today; write at most 1y")]
    TooLong {
        /// `every` or `detect`.
        key: &'static str,
        /// What was written.
        span: Span,
    },
    /// A period under a second.
    #[error("`every: {0}` is shorter than a second; write 1s or more")]
    TooShort(Span),
    /// None of the four kinds, or more than one.
    #[error("a plan has exactly one of `every`, `cron`, `detect` and `mix`; this one has {0}")]
    Kinds(usize),
    /// No such time zone.
    #[error("time zone `{name}` is unknown; {advice}")]
    Zone {
        /// What was written.
        name: String,
        /// What to write instead.
        advice: String,
    },
    /// A zone, but nothing that is meant in it.
    #[error("`time_zone` belongs to `cron`; remove it, slots of equal length have no zone")]
    ZoneWithoutCron,
}

impl PlanError {
    /// The key of [`PlanSpec`] at fault; empty where it is the plan as a whole.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Cron(_) => "cron",
            Self::DetectTooOften { .. } => "detect",
            Self::ImportanceInMix => "importance",
            Self::Kinds(_) | Self::PartTooShort(_) => "",
            Self::MixInMix | Self::MixSize(_) | Self::Part { .. } => "mix",
            Self::ShareWithoutEvery | Self::ShareTooSmall { .. } => "share",
            Self::TooLong { key, .. } => key,
            Self::TooShort(_) => "every",
            Self::Zone { .. } | Self::ZoneWithoutCron => "time_zone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> PlanSpec {
        serde_json::from_str(json).expect(json)
    }

    #[test]
    fn every_fault_names_its_key_and_what_to_write() {
        for (json, key, says) in [
            ("{}", "", "exactly one"),
            (r#"{"every": "5m", "cron": "@daily"}"#, "", "this one has 2"),
            (r#"{"every": "999ms"}"#, "every", "write 1s or more"),
            (r#"{"every": "0"}"#, "every", "write 1s or more"),
            (r#"{"every": "9000y"}"#, "every", "at most 1y"),
            (r#"{"every": "5m", "time_zone": "UTC"}"#, "time_zone", "belongs to `cron`"),
            (r#"{"cron": "0 9 * *"}"#, "cron", "five fields"),
            (r#"{"cron": "0 0 30 2 *"}"#, "cron", "never fires"),
            (r#"{"cron": "@daily", "time_zone": "Europe/Pariss"}"#, "time_zone", "Europe/Paris?"),
            (r#"{"cron": "@daily", "time_zone": "x"}"#, "time_zone", "IANA name"),
            (
                r#"{"detect": {"within": "1m", "prevalence": "0.1%", "confidence": "99%"}}"#,
                "detect",
                "4603 samples within 1m",
            ),
            (r#"{"share": "10%", "cron": "@daily"}"#, "share", "belongs to `every`"),
            (r#"{"share": "0.001%", "every": "1h"}"#, "share", "once in 4166d16h"),
            (r#"{"mix": [{"every": "5m"}]}"#, "mix", "two to four"),
            (r#"{"mix": [{"every": "5m"}, {"every": "9s"}]}"#, "mix", "once in 9s"),
            (r#"{"mix": [{"every": "5m"}, {}]}"#, "mix", "this one has 0"),
            (
                r#"{"mix": [{"every": "5m"}, {"mix": [{"every": "5m"}, {"every": "1h"}]}]}"#,
                "mix",
                "no other mix",
            ),
            (
                r#"{"mix": [{"every": "5m"}, {"every": "1h", "importance": "low"}]}"#,
                "mix",
                "beside `mix`",
            ),
            (
                r#"{"detect": {"within": "2y", "prevalence": "10%", "confidence": "99%"}}"#,
                "detect",
                "at most 1y",
            ),
        ] {
            let error = spec(json).compile().expect_err(json);
            assert_eq!(error.key(), key, "{json}");
            assert!(error.to_string().contains(says), "{json}: {error}");
        }
    }

    #[test]
    fn unknown_keys_and_impossible_shares_are_refused_when_read() {
        for json in [
            r#"{"evry": "5m"}"#,
            r#"{"detect": {"within": "1h", "prevalence": "0%", "confidence": "99%"}}"#,
            r#"{"detect": {"within": "1h", "prevalence": "10%", "confidence": "100%"}}"#,
            r#"{"detect": {"within": "1h", "prevalence": "10%"}}"#,
        ] {
            assert!(serde_json::from_str::<PlanSpec>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_plan_is_shown_as_a_config_writes_it() {
        let json = r#"{"mix": [{"every": "5m", "share": "10%"}, {"cron": "0 2 * * *", "time_zone": "UTC"},
            {"detect": {"within": "1h", "prevalence": "10%", "confidence": "99%"}}], "importance": "high"}"#;
        let shown = "{mix: [{every: 5m, share: 10%}, {cron: \"0 2 * * *\", time_zone: UTC}, \
                     {detect: {within: 1h, prevalence: 10%, confidence: 99%}}], importance: high}";
        assert_eq!(spec(json).to_string(), shown);
    }

    #[test]
    fn a_spec_reads_back_as_written() {
        let json = r#"{"detect":{"within":"1h","prevalence":"10%","confidence":"99%"}}"#;
        assert_eq!(serde_json::to_string(&spec(json)).expect("json"), json);
        let json = r#"{"mix":[{"every":"5m","share":"10%"},{"cron":"@daily"}],"importance":"low"}"#;
        assert_eq!(serde_json::to_string(&spec(json)).expect("json"), json);
    }
}
