//! Maintenance windows.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use glob::Pattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::cron::Cron;
use super::spec::{PlanError, zone};
use crate::target::{Labels, Span};

/// `{cron: "0 3 * * 0", lasts: 2h, targets: {env: staging}, effect: mute}`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WindowSpec {
    /// When it opens: crontab(5).
    pub cron: String,
    /// The IANA zone that `cron` is meant in; UTC if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// How long it stays open.
    pub lasts: Span,
    /// Whom it is for; every target if absent.
    #[serde(default, skip_serializing_if = "Matcher::is_every")]
    pub targets: Matcher,
    /// What it does.
    #[serde(default)]
    pub effect: Effect,
}

/// Labels that a target must all have, or target names of which it must be one. `*` and `?` match
/// as in a shell.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(untagged, expecting = "labels such as {env: staging}, a target name or a list of them")]
pub enum Matcher {
    /// By label.
    Labels(BTreeMap<String, String>),
    /// By name.
    Names(Vec<String>),
    /// By one name.
    Name(String),
}

impl Matcher {
    fn is_every(&self) -> bool {
        matches!(self, Self::Labels(labels) if labels.is_empty())
    }
}

impl Default for Matcher {
    fn default() -> Self {
        Self::Labels(BTreeMap::new())
    }
}

/// What a window does to its targets.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Samples go on, alerts are held back.
    #[default]
    Mute,
    /// No samples are taken.
    Pause,
}

impl WindowSpec {
    /// Checks the window and makes it ready to use.
    pub fn compile(&self) -> Result<Window, WindowError> {
        let lasts = TimeDelta::from_std(self.lasts.0).ok();
        let lasts = lasts.filter(|lasts| (MINUTE..=MONTH).contains(&lasts.num_seconds()));
        let cron = Cron::compile(&self.cron, zone(self.time_zone.as_deref())?);
        Ok(Window {
            cron: cron.map_err(PlanError::from)?,
            lasts: lasts.ok_or(WindowError::Lasts(self.lasts))?,
            targets: Patterns::compile(&self.targets)?,
            effect: self.effect,
        })
    }
}

/// A compiled maintenance window.
#[derive(Clone, Debug)]
pub struct Window {
    cron: Cron,
    lasts: TimeDelta,
    targets: Patterns,
    effect: Effect,
}

impl Window {
    /// Whether the window is open at `now`, and for this target.
    pub fn covers(&self, now: DateTime<Utc>, target: &str, labels: &Labels) -> bool {
        self.targets.matches(target, labels) && self.is_open(now)
    }

    /// Whether the window is open at `now`: it opened at `now` or before, less than `lasts` ago.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        // Beyond these years the time zone arithmetic of dates ends.
        if now.timestamp_nanos_opt().is_none() {
            return false;
        }
        let since = now.checked_sub_signed(self.lasts);
        since.and_then(|since| self.cron.next(since)).is_some_and(|opened| opened <= now)
    }

    /// What it does.
    pub fn effect(&self) -> Effect {
        self.effect
    }
}

#[derive(Clone, Debug)]
enum Patterns {
    Labels(Vec<(String, Pattern)>),
    Names(Vec<Pattern>),
}

impl Patterns {
    fn compile(matcher: &Matcher) -> Result<Self, WindowError> {
        let pattern = |text: &String| {
            Pattern::new(text).map_err(|_| WindowError::Pattern(text.chars().take(40).collect()))
        };
        match matcher {
            Matcher::Labels(labels) => {
                let labels =
                    labels.iter().map(|(name, value)| pattern(value).map(|p| (name.clone(), p)));
                Ok(Self::Labels(labels.collect::<Result<_, _>>()?))
            }
            Matcher::Name(name) => Ok(Self::Names(vec![pattern(name)?])),
            Matcher::Names(names) if names.is_empty() => Err(WindowError::Nobody),
            Matcher::Names(names) => {
                Ok(Self::Names(names.iter().map(pattern).collect::<Result<_, _>>()?))
            }
        }
    }

    fn matches(&self, target: &str, labels: &Labels) -> bool {
        match self {
            // A label that is not there is an empty one, as Prometheus has it.
            Self::Labels(wanted) => wanted
                .iter()
                .all(|(name, value)| value.matches(labels.get(name).map_or("", |value| value))),
            Self::Names(names) => names.iter().any(|name| name.matches(target)),
        }
    }
}

/// Why a maintenance window was refused.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum WindowError {
    /// Too short or too long.
    #[error("`lasts: {0}` is no maintenance; write at least 1m and at most 31d")]
    Lasts(Span),
    /// An empty list of names.
    #[error("`targets: []` matches nobody; leave it out for every target")]
    Nobody,
    /// No shell pattern.
    #[error("`{0}` is no pattern; write * for any text and ? for any character")]
    Pattern(String),
    /// When it opens.
    #[error("{0}")]
    When(#[from] PlanError),
}

impl WindowError {
    /// The key of [`WindowSpec`] at fault.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Lasts(_) => "lasts",
            Self::Nobody | Self::Pattern(_) => "targets",
            Self::When(error) => error.key(),
        }
    }
}

const MINUTE: i64 = 60;
const MONTH: i64 = 31 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn window(json: &str) -> Window {
        serde_json::from_str::<WindowSpec>(json).expect(json).compile().expect(json)
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_window_is_open_from_its_minute_on_for_as_long_as_it_lasts() {
        let window = window(r#"{"cron": "0 3 * * 0", "lasts": "2h"}"#);
        for (time, is_open) in [
            ("2026-07-05T02:59:59.999Z", false),
            ("2026-07-05T03:00:00Z", true),
            ("2026-07-05T04:59:59.999Z", true),
            ("2026-07-05T05:00:00Z", false),
            ("2026-07-06T03:30:00Z", false),
        ] {
            assert_eq!(window.covers(at(time), "any", &Labels::new()), is_open, "{time}");
        }
        assert_eq!(window.effect(), Effect::Mute);
        assert!(
            !window.is_open(DateTime::<Utc>::MAX_UTC) && !window.is_open(DateTime::<Utc>::MIN_UTC)
        );
    }

    #[test]
    fn a_window_is_meant_in_its_zone() {
        let json = r#"{"cron": "0 3 * * *", "time_zone": "Europe/Paris", "lasts": "1h", "effect": "pause"}"#;
        let window = window(json);
        assert!(window.is_open(at("2026-07-05T01:30:00Z")));
        assert!(window.is_open(at("2026-01-05T02:30:00Z")));
        assert!(!window.is_open(at("2026-01-05T01:30:00Z")));
        assert_eq!(window.effect(), Effect::Pause);
    }

    #[test]
    fn a_window_is_for_whom_it_names() {
        let now = at("2026-07-05T00:00:30Z");
        let labels: Labels = [("env".to_owned(), "staging-2".to_owned())].into_iter().collect();
        for (targets, name, covered) in [
            (r#"{"env": "staging-2"}"#, "a", true),
            (r#"{"env": "staging*"}"#, "a", true),
            (r#"{"env": "prod"}"#, "a", false),
            (r#"{"env": "staging*", "team": "x"}"#, "a", false),
            (r#"{"team": ""}"#, "a", true),
            (r#"["*.example.com", "b"]"#, "a.example.com", true),
            (r#"["*.example.com", "b"]"#, "a", false),
            (r#""https://shop.*""#, "https://shop.example.com", true),
        ] {
            let json = format!(r#"{{"cron": "* * * * *", "lasts": "1m", "targets": {targets}}}"#);
            assert_eq!(window(&json).covers(now, name, &labels), covered, "{targets} {name}");
        }
    }

    #[test]
    fn what_is_no_window_is_refused_with_its_key() {
        for (json, key) in [
            (r#"{"cron": "0 3 * * 9", "lasts": "2h"}"#, "cron"),
            (r#"{"cron": "@daily", "lasts": "0"}"#, "lasts"),
            (r#"{"cron": "@daily", "lasts": "1y"}"#, "lasts"),
            (r#"{"cron": "@daily", "lasts": "1h", "time_zone": "Mars"}"#, "time_zone"),
            (r#"{"cron": "@daily", "lasts": "1h", "targets": []}"#, "targets"),
            (r#"{"cron": "@daily", "lasts": "1h", "targets": ["a***"]}"#, "targets"),
        ] {
            let spec: WindowSpec = serde_json::from_str(json).expect(json);
            assert_eq!(spec.compile().expect_err(json).key(), key, "{json}");
        }
    }
}
