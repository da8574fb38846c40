//! `secchi plan`: what the sampling plans cost an hour, and how soon they see a fault.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::{ConfigFile, screen};
use crate::config::Config;
use crate::daemon::{Source, translate};
use crate::inventory::{fixed_addresses, points};
use crate::schedule::Plan;
use crate::target::{ProbeKind, Span};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// human or json
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Human,
    Json,
}

/// What one plan comes to.
struct Cost {
    plan: Plan,
    points: usize,
    connections_per_hour: f64,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = Source::File(args.file.config).load()?;
    let costs = costs(&config)?;
    let mut out = screen::out();
    match args.format {
        Format::Json => {
            let plans: Vec<Value> = costs.iter().map(|(name, cost)| cost.to_json(name)).collect();
            writeln!(out, "{:#}", json!({ "plans": plans }))?;
        }
        Format::Human => costs.iter().try_for_each(|(name, cost)| cost.write(&mut out, name))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn costs(config: &Config) -> anyhow::Result<BTreeMap<Arc<str>, Cost>> {
    let mut costs = BTreeMap::new();
    for (name, spec) in &config.plans {
        let plan = translate::plan(spec).map_err(|error| anyhow::anyhow!(error))?;
        costs.insert(Arc::clone(name), Cost { plan, points: 0, connections_per_hour: 0.0 });
    }
    for target in &config.targets {
        // A name has an address at least; how many more is known once it is resolved.
        let unknown = [std::net::Ipv4Addr::UNSPECIFIED.into()];
        let addresses = fixed_addresses(&target.target).unwrap_or_else(|| unknown.to_vec());
        let found = points(&target.target, &target.probes, &addresses, target.max_addresses);
        let Some(cost) = costs.get_mut(&target.plan_name) else { continue };
        for point in found.points {
            cost.points += 1;
            cost.connections_per_hour += cost.plan.samples_per_hour() * connections(point.probe);
        }
    }
    Ok(costs)
}

/// Connections or queries that a sample takes, as measured on a well-kept target.
fn connections(probe: ProbeKind) -> f64 {
    match probe {
        ProbeKind::Tls => 8.0,
        ProbeKind::Http => 3.0,
        ProbeKind::Ports => 100.0,
        ProbeKind::Dns => 25.0,
    }
}

impl Cost {
    fn samples_per_hour_total(&self) -> f64 {
        self.plan.samples_per_hour() * self.points as f64
    }

    fn to_json(&self, name: &str) -> Value {
        let quantile = |prevalence: f64, quantile: f64| {
            self.plan.detection_time(prevalence, quantile).map(|time| time.as_secs_f64())
        };
        let quantiles = |prevalence: f64| json!({ "p50": quantile(prevalence, 0.5), "p95": quantile(prevalence, 0.95), "p99": quantile(prevalence, 0.99) });
        json!({
            "plan": name,
            "spec": self.plan.spec(),
            "points": self.points,
            "samples_per_hour": self.plan.samples_per_hour(),
            "samples_per_hour_total": self.samples_per_hour_total(),
            "connections_per_hour_total": self.connections_per_hour,
            "detection_seconds": { "permanent": quantiles(1.0), "intermittent": quantiles(INTERMITTENT), "partial": quantiles(PARTIAL) },
            "longest_wait_seconds": self.plan.longest_wait().as_secs_f64(),
        })
    }

    fn write(&self, out: &mut impl Write, name: &str) -> std::io::Result<()> {
        let seen =
            self.plan.detection_time(PARTIAL, 0.95).map(|time| Span(round(time)).to_string());
        writeln!(
            out,
            "{name:<12} {} points, {:.1} samples/h each, {:.0} samples/h and about {:.0} connections/h in all; longest wait {}; \
             a fault on 10% of connections is seen within {} (95%)",
            self.points,
            self.plan.samples_per_hour(),
            self.samples_per_hour_total(),
            self.connections_per_hour,
            Span(round(self.plan.longest_wait())),
            seen.as_deref().unwrap_or("no stated time"),
        )
    }
}

fn round(time: std::time::Duration) -> std::time::Duration {
    std::time::Duration::from_secs(time.as_secs_f64().round() as u64)
}

/// A fault that shows half of the time, and one that shows on a tenth of connections.
const INTERMITTENT: f64 = 0.5;
const PARTIAL: f64 = 0.1;
