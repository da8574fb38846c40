//! `secchi rules`: what ships, in full, and Prometheus' alerting rules for Secchi itself.

use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::Format;
use super::screen::{self, severity_style};
use crate::rules::{Rule, RuleSet, prometheus_rules};

#[derive(Debug, Subcommand)]
pub(super) enum Args {
    /// Every shipped rule, a line each
    List {
        /// human or json
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
    },
    /// One rule: range, reason, remedy, references, controls
    Show {
        /// The rule's id
        id: String,
    },
    /// Prometheus alerting rules that watch Secchi itself
    Prometheus,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let rules = RuleSet::builtin();
    let mut out = screen::out();
    match args {
        Args::List { format: Format::Human } => {
            rules.rules().iter().try_for_each(|rule| line(&mut out, rule))?
        }
        Args::List { format: Format::Json } => {
            writeln!(out, "{}", json!({ "rules": rules.rules() }))?;
        }
        Args::Show { id } => {
            let rule = rules.find(&id).ok_or_else(|| {
                anyhow::anyhow!("no rule `{id}`; `secchi rules list` has them all")
            })?;
            show(&mut out, rule)?;
        }
        Args::Prometheus => write!(out, "{}", prometheus_rules(&rules))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn line(out: &mut impl Write, rule: &Rule) -> std::io::Result<()> {
    let style = severity_style(rule.severity);
    writeln!(out, "{style}{:<8}{style:#} {:<34} {}", rule.severity.as_str(), rule.id, rule.summary)
}

fn show(out: &mut impl Write, rule: &Rule) -> std::io::Result<()> {
    let style = severity_style(rule.severity);
    writeln!(out, "{} ({style}{}{style:#})\n", rule.id, rule.severity.as_str())?;
    writeln!(out, "  {}\n", rule.summary)?;
    writeln!(out, "measure     {}\nrange       {}", rule.measure, rule.range)?;
    writeln!(out, "profiles    {}", rule.profiles.keys().cloned().collect::<Vec<_>>().join(", "))?;
    writeln!(out, "why         {}\nremedy      {}", rule.why, rule.remedy)?;
    for reference in rule.references.iter() {
        writeln!(out, "reference   {reference}")?;
    }
    for (framework, controls) in rule.controls.iter() {
        writeln!(out, "control     {framework} {}", controls.join(", "))?;
    }
    Ok(())
}
