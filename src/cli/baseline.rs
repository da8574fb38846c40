//! `secchi baseline show|accept`: what a running daemon learnt, and what departs from it.

use std::io::Write;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::Format;
use super::daemon_api::{Api, query};
use super::screen::{self, clean};
use crate::target::ProbeKind;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Args {
    /// What was accepted; of one target, also what departs now and what came since
    Show(Show),
    /// Accept what a target shows now as its past
    Accept(Accept),
}

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// The target; every accepted baseline if it is left out
    #[arg(long, value_name = "T")]
    target: Option<String>,
    /// human or json
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, clap::Args)]
pub(super) struct Accept {
    /// The target
    #[arg(long, value_name = "T")]
    target: String,
    /// The probe: dns (by default), or ports, of which the open ones are accepted
    #[arg(long, value_name = "PROBE")]
    probe: Option<ProbeKind>,
    /// Only this record, with --type; every one that departs if it is left out. Of ports only this
    /// address, with --value
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The record's type
    #[arg(long = "type", id = "type", value_name = "TYPE", requires = "name")]
    kind: Option<String>,
    /// A value of the record's whole set, or an open port such as 22/tcp, in place of what is shown;
    /// repeatable
    #[arg(long, value_name = "VALUE", requires = "name")]
    value: Vec<String>,
    /// Accept that the record is absent, or that no port is open
    #[arg(long, requires = "name", conflicts_with = "value")]
    absent: bool,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    api: Api,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args {
        Args::Show(args) => show(&args),
        Args::Accept(args) => accept(args),
    }
}

fn show(args: &Show) -> anyhow::Result<ExitCode> {
    let query = query(&[("target", args.target.as_deref())]);
    let read = args.api.read_all("/api/v1/baselines", "baselines", &query);
    let baselines = super::runtime()?.block_on(read)?;
    let mut out = screen::out();
    match args.format {
        Format::Json => writeln!(out, "{}", json!({ "baselines": baselines }))?,
        Format::Human => baselines.iter().try_for_each(|one| write_baseline(&mut out, one))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn accept(args: Accept) -> anyhow::Result<ExitCode> {
    let Accept { target, probe, name, kind, value, absent, reason, api } = args;
    let mut body = json!({ "target": target, "probe": probe, "reason": reason });
    for (key, text) in [("name", name), ("type", kind)] {
        if let Some(text) = text {
            body[key] = json!(text);
        }
    }
    if absent || !value.is_empty() {
        body["values"] = json!(value);
    }
    let stored = super::runtime()?.block_on(api.send("/api/v1/baselines", &body))?;
    write_records(&mut screen::out(), "accepted", &stored["accepted"])?;
    Ok(ExitCode::SUCCESS)
}

fn write_baseline(out: &mut impl Write, baseline: &Value) -> std::io::Result<()> {
    let text = |value: &Value, key: &str| clean(value[key].as_str().unwrap_or_default(), 120);
    // Of one target the event lies beside what departs; in the list it stands alone.
    let event = match &baseline["accepted"] {
        Value::Null => baseline,
        event => event,
    };
    writeln!(out, "{} {}", text(baseline, "target"), text(baseline, "probe"))?;
    if event["at"].is_string() {
        let reason = clean(event["value"]["reason"].as_str().unwrap_or("no reason given"), 200);
        writeln!(out, "  accepted {} by {}: {reason}", text(event, "at"), text(event, "actor"))?;
        write_records(out, "  ", &event["value"]["records"])?;
    }
    for item in baseline["departures"].as_array().into_iter().flatten() {
        if item["port"].is_string() {
            let (address, port) = (text(item, "address"), text(item, "port"));
            match item["kind"].as_str() {
                Some("missing") => writeln!(out, "  missing {address} {port}")?,
                _ => writeln!(out, "  unexpected {address} {port}: {}", text(item, "service"))?,
            }
            continue;
        }
        writeln!(
            out,
            "  {} {} {} at {}: expected {}, seen {}",
            text(item, "kind"),
            text(item, "name"),
            text(item, "type"),
            text(item, "server"),
            clean(&item["expected"].to_string(), 400),
            clean(&item["seen"].to_string(), 400),
        )?;
    }
    write_records(out, "  pending", &baseline["pending"])
}

fn write_records(out: &mut impl Write, word: &str, records: &Value) -> std::io::Result<()> {
    for (record, values) in records.as_object().into_iter().flatten() {
        let values: Vec<_> = values.as_array().into_iter().flatten().collect();
        let values = values.iter().filter_map(|value| value.as_str()).collect::<Vec<_>>();
        // A record is a name and a type, an address one word.
        let nothing = if record.contains(' ') { "absent" } else { "no open port" };
        let values = if values.is_empty() { nothing.to_owned() } else { values.join(", ") };
        writeln!(out, "{word} {}: {}", clean(record, 300), clean(&values, 1000))?;
    }
    Ok(())
}
