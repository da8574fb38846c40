//! What samples may use up: bytes and processor time, of one target and in all. A sample's cost is
//! known only after it, so an account may be overdrawn by the samples under way; nothing more begins
//! until it is made good. Over any time T, a bound of r lets through at most r × (T + [`WINDOW`]) and
//! what was under way.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use thiserror::Error;
use tokio::time::Instant;

use super::Importance;
use crate::target::{ByteSize, Span};

/// Bounds on one thing that samples use.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq)]
#[schemars(deny_unknown_fields, default)]
#[schemars(bound = "T: JsonSchema + Default")]
pub struct OutlaySpec<T> {
    /// By one target, all its probes and addresses together.
    pub per_target: Option<T>,
    /// In all.
    pub total: Option<T>,
}

impl<T> Default for OutlaySpec<T> {
    fn default() -> Self {
        Self { per_target: None, total: None }
    }
}

/// Bytes sent and received in a time: `16MiB/m`. In bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ByteRate(f64);

/// Processor time in a time: `6s/m`. In seconds a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuRate(f64);

/// Why nothing more may be sampled for now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spent {
    /// The target's own account.
    Target,
    /// The account of all.
    Total,
}

/// The accounts of all targets. One that is full again is forgotten.
#[derive(Debug, Default)]
pub struct Outlays {
    per_target: [Option<f64>; KINDS],
    total: [Option<f64>; KINDS],
    all: Accounts,
    targets: HashMap<Arc<str>, Accounts>,
    sweep_at: usize,
}

impl Outlays {
    /// Full accounts within these bounds.
    pub fn new(bytes: OutlaySpec<ByteRate>, cpu: OutlaySpec<CpuRate>) -> Self {
        Self {
            per_target: [bytes.per_target.map(|rate| rate.0), cpu.per_target.map(|rate| rate.0)],
            total: [bytes.total.map(|rate| rate.0), cpu.total.map(|rate| rate.0)],
            ..Self::default()
        }
    }

    /// The bounds of other accounts from now on; what was used stays used.
    pub fn bound_by(&mut self, Self { per_target, total, .. }: Self) {
        (self.per_target, self.total) = (per_target, total);
    }

    /// Whether a sample may begin. As the account of all runs low, what matters least goes first.
    ///
    /// # Errors
    /// The account that is spent.
    pub fn allow(&self, target: &str, importance: Importance, now: Instant) -> Result<(), Spent> {
        let own = self.targets.get(target);
        if own.is_some_and(|own| own.left(&self.per_target, now) <= 0.0) {
            return Err(Spent::Target);
        }
        let kept_back = match importance {
            Importance::Low => KEPT_FROM_LOW,
            Importance::Normal => KEPT_FROM_NORMAL,
            Importance::High => 0.0,
        };
        match self.all.left(&self.total, now) > kept_back {
            true => Ok(()),
            false => Err(Spent::Total),
        }
    }

    /// Whether the account of all has room for samples of every importance.
    pub fn is_ample(&self, now: Instant) -> bool {
        self.all.left(&self.total, now) > KEPT_FROM_LOW
    }

    /// Takes what a sample cost.
    pub fn charge(&mut self, target: &Arc<str>, bytes: u64, cpu: Duration, now: Instant) {
        let cost = [bytes as f64, cpu.as_secs_f64()];
        self.all.charge(&self.total, cost, now);
        if self.per_target.iter().all(Option::is_none) {
            return;
        }
        if self.targets.len() >= self.sweep_at {
            let bounds = self.per_target;
            self.targets.retain(|_, accounts| accounts.left(&bounds, now) < 1.0);
            self.sweep_at = SWEEP.max(2 * self.targets.len());
        }
        self.targets.entry(Arc::clone(target)).or_default().charge(&self.per_target, cost, now);
    }
}

/// What is owed, of each kind.
#[derive(Clone, Copy, Debug, Default)]
struct Accounts {
    owed: [f64; KINDS],
    at: Option<Instant>,
}

impl Accounts {
    fn owed(&self, bounds: &[Option<f64>; KINDS], now: Instant) -> [f64; KINDS] {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        std::array::from_fn(|kind| {
            let made_good = bounds[kind].unwrap_or(0.0) * passed.as_secs_f64();
            (self.owed[kind] - made_good).max(0.0)
        })
    }

    /// The share that is left of the scarcest kind; below 0 where it is overdrawn.
    fn left(&self, bounds: &[Option<f64>; KINDS], now: Instant) -> f64 {
        let owed = self.owed(bounds, now);
        let of = |(bound, owed): (&Option<f64>, f64)| {
            bound.map_or(1.0, |bound| 1.0 - owed / (bound * WINDOW.as_secs_f64()))
        };
        bounds.iter().zip(owed).map(of).fold(1.0, f64::min)
    }

    fn charge(&mut self, bounds: &[Option<f64>; KINDS], cost: [f64; KINDS], now: Instant) {
        let owed = self.owed(bounds, now);
        self.owed = std::array::from_fn(|kind| match bounds[kind] {
            Some(_) => owed[kind] + cost[kind],
            None => 0.0,
        });
        self.at = Some(now);
    }
}

impl FromStr for ByteRate {
    type Err = OutlayError;

    fn from_str(text: &str) -> Result<Self, OutlayError> {
        let bytes = |text: &str| text.parse::<ByteSize>().ok().map(|size| size.0 as f64);
        flow(text, bytes).map(Self).ok_or_else(|| OutlayError::Bytes(shortened(text)))
    }
}

impl FromStr for CpuRate {
    type Err = OutlayError;

    fn from_str(text: &str) -> Result<Self, OutlayError> {
        let seconds = |text: &str| text.parse::<Span>().ok().map(|span| span.0.as_secs_f64());
        flow(text, seconds).map(Self).ok_or_else(|| OutlayError::Cpu(shortened(text)))
    }
}

/// `QUANTITY/UNIT` as a quantity a second, above none.
fn flow(text: &str, quantity: impl Fn(&str) -> Option<f64>) -> Option<f64> {
    let (count, unit) = text.split_once('/')?;
    let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit.trim())?;
    quantity(count.trim()).map(|count| count / seconds).filter(|rate| *rate > 0.0)
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Target => "the target's bytes or processor time are spent",
            Self::Total => "the bytes or the processor time of all are spent",
        })
    }
}

macro_rules! schema {
    ($type:ident, $pattern:literal, $what:literal) => {
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $what })
            }
        }
    };
}

schema!(
    ByteRate,
    r"^[0-9]+ ?([KMGT]i?B|B) ?/ ?[smh]$",
    "bytes in a second, a minute or an hour, such as 16MiB/m"
);
schema!(
    CpuRate,
    r"^([0-9]+(y|w|d|h|m|s|ms))+ ?/ ?[smh]$",
    "processor time in a second, a minute or an hour, such as 6s/m"
);

/// No bound.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum OutlayError {
    /// Nothing that could be bytes in a time.
    #[error(
        "`{0}` is no bound on bytes; write a size in a second, minute or hour, such as 16MiB/m"
    )]
    Bytes(String),
    /// Nothing that could be processor time in a time.
    #[error(
        "`{0}` is no bound on processor time; write a time in a second, minute or hour, such as 6s/m"
    )]
    Cpu(String),
}

/// What an account holds: so much time's worth of its bound.
const WINDOW: Duration = Duration::from_secs(60);
/// Shares of the account of all that lesser samples leave to those that matter more.
const KEPT_FROM_LOW: f64 = 0.5;
const KEPT_FROM_NORMAL: f64 = 0.2;
/// Bytes and processor time.
const KINDS: usize = 2;
const UNITS: [(&str, f64); 3] = [("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
/// Below so many accounts, none is forgotten.
const SWEEP: usize = 1_024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(per_target: Option<&str>, total: Option<&str>) -> Outlays {
        let read = |text: Option<&str>| text.map(|text| text.parse().expect(text));
        let bytes = OutlaySpec { per_target: read(per_target), total: read(total) };
        Outlays::new(bytes, OutlaySpec::default())
    }

    #[test]
    fn bounds_are_read_with_their_units() {
        assert_eq!("16MiB/m".parse(), Ok(ByteRate(f64::from(16 << 20) / 60.0)));
        assert_eq!("6s/m".parse(), Ok(CpuRate(0.1)));
        assert_eq!("500ms / s".parse(), Ok(CpuRate(0.5)));
        for text in ["16MiB", "0B/s", "1MiB/d", "", "/", "x/s"] {
            assert!(text.parse::<ByteRate>().is_err(), "{text}");
        }
        assert!("50%".parse::<CpuRate>().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_took_its_share_waits_until_it_is_made_good_and_no_other_does() {
        let mut outlays = bytes(Some("600B/m"), None);
        let (now, dear, cheap) = (Instant::now(), Arc::from("dear"), Arc::from("cheap"));
        outlays.charge(&dear, 700, Duration::from_secs(9), now);
        outlays.charge(&cheap, 100, Duration::ZERO, now);
        assert_eq!(outlays.allow("dear", Importance::High, now), Err(Spent::Target));
        assert_eq!(outlays.allow("cheap", Importance::Low, now), Ok(()));
        let later = now + Duration::from_secs(11);
        assert_eq!(outlays.allow("dear", Importance::Low, later), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn as_the_account_of_all_runs_low_what_matters_least_goes_first() {
        let mut outlays = bytes(None, Some("1KB/s"));
        let (now, target) = (Instant::now(), Arc::from("t"));
        let allowed = |outlays: &Outlays| {
            [Importance::Low, Importance::Normal, Importance::High]
                .map(|importance| outlays.allow("t", importance, now).is_ok())
        };
        assert_eq!(allowed(&outlays), [true, true, true]);
        outlays.charge(&target, 31_000, Duration::ZERO, now);
        assert_eq!(allowed(&outlays), [false, true, true]);
        outlays.charge(&target, 18_000, Duration::ZERO, now);
        assert_eq!(allowed(&outlays), [false, false, true]);
        outlays.charge(&target, 12_000, Duration::ZERO, now);
        assert_eq!(allowed(&outlays), [false, false, false]);
    }

    proptest! {
        /// The bound holds over any time, whatever samples cost and whenever they are asked for.
        #[test]
        fn what_is_let_through_keeps_to_the_bound(
            asks in prop::collection::vec((0_u64..30_000, 0_u64..5_000), 1..200),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let _guard = runtime.enter();
            let mut outlays = bytes(None, Some("100B/s"));
            let (start, target) = (Instant::now(), Arc::from("t"));
            let (mut now, mut taken, mut greatest) = (start, 0_u64, 0_u64);
            for (pause, cost) in asks {
                now += Duration::from_millis(pause);
                if outlays.allow("t", Importance::High, now).is_ok() {
                    outlays.charge(&target, cost, Duration::ZERO, now);
                    taken += cost;
                    greatest = greatest.max(cost);
                }
                let bound = 100.0 * ((now - start) + WINDOW).as_secs_f64() + greatest as f64;
                prop_assert!(taken as f64 <= bound, "{taken} of {bound}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn accounts_that_are_full_again_are_forgotten() {
        let mut outlays = bytes(Some("1KB/s"), None);
        let start = Instant::now();
        for n in 0..10_000_u64 {
            let target: Arc<str> = format!("t{n}").into();
            outlays.charge(&target, 10, Duration::ZERO, start + Duration::from_millis(10 * n));
        }
        assert!(outlays.targets.len() <= SWEEP + 1, "{}", outlays.targets.len());
    }
}
