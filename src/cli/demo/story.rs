//! What the demo says: each step in a finding's life, as the API tells it.

use std::collections::HashMap;
use std::io::Write;
use std::process::ExitCode;

use anstyle::Style;
use serde_json::Value;
use tokio::time::Instant;

use crate::cli::daemon_api::Api;
use crate::cli::screen::{self, clean};
use crate::sample::Severity;

/// The findings told so far.
#[derive(Default)]
pub(super) struct Story {
    states: HashMap<String, String>,
    confirmed: usize,
    resolved: usize,
}

impl Story {
    /// Tells what is new.
    pub(super) async fn tell(&mut self, api: &Api, begun: Instant) -> anyhow::Result<()> {
        let page = api.read("/api/v1/findings?limit=1000").await?;
        for finding in page["findings"].as_array().into_iter().flatten() {
            let id = finding["id"].as_str().unwrap_or_default().to_owned();
            let state = finding["state"].as_str().unwrap_or_default().to_owned();
            let before = self.states.insert(id, state.clone());
            if before.as_ref() == Some(&state) {
                continue;
            }
            match state.as_str() {
                "confirmed" => self.confirmed += 1,
                "resolved" => self.resolved += 1,
                _ => {}
            }
            line(begun, &state, finding)?;
        }
        Ok(())
    }

    /// Says that the lab was broken, or mended.
    pub(super) fn announce(&self, begun: Instant, broken: bool) -> std::io::Result<()> {
        let what = if broken {
            "a deployment goes wrong: headers lost, a rogue address, an open port"
        } else {
            "the deployment is mended"
        };
        let (mut out, bold) = (screen::out(), Style::new().bold());
        writeln!(out, "{:>6.1}s  {bold}— {what} —{bold:#}", begun.elapsed().as_secs_f64())?;
        out.flush()
    }

    /// The last words, and whether the demo showed what it is for.
    pub(super) fn close(&self, url: &str) -> anyhow::Result<ExitCode> {
        let mut out = screen::out();
        writeln!(
            out,
            "\n{} findings confirmed, {} resolved. The same is at {url}/api/v1/findings while the demo runs.",
            self.confirmed, self.resolved
        )?;
        out.flush()?;
        let shown = self.confirmed > 0 && self.resolved > 0;
        Ok(if shown { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn line(begun: Instant, state: &str, finding: &Value) -> std::io::Result<()> {
    let text = |key: &str| clean(finding[key].as_str().unwrap_or_default(), 100);
    let severity: Severity =
        finding["severity"].as_str().and_then(|s| s.parse().ok()).unwrap_or(Severity::Info);
    let style =
        if state == "confirmed" { screen::severity_style(severity) } else { Style::new().dimmed() };
    let subject = match finding["subject"].as_str() {
        Some(subject) if !subject.is_empty() => format!(" [{}]", clean(subject, 60)),
        _ => String::new(),
    };
    let mut out = screen::out();
    writeln!(
        out,
        "{:>6.1}s  {:<9} {style}{:<8}{style:#} {}{subject}  {}",
        begun.elapsed().as_secs_f64(),
        clean(state, 12),
        severity.as_str(),
        text("rule"),
        text("target"),
    )?;
    out.flush()
}
