//! What scheduled samples prove, over the API and in a line of the start page.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use chrono::TimeDelta;
use maud::{Markup, html};
use serde_json::{Value, json};

use super::api::{Answer, Asked, Params, given, params, parse};
use super::error::Problem;
use super::site::Site;
use crate::ledger::{EvidenceFilter, EvidenceKey};
use crate::schedule::{Percent, UpperBounds};
use crate::target::Span;

pub(super) async fn evidence(State(site): State<Arc<Site>>, asked: Asked<Params>) -> Answer {
    let params = params(asked)?;
    let limit = params.limit()?;
    let window = window(given(params.window.as_deref()).unwrap_or(WINDOW))?;
    let confidence: Percent = given(params.confidence.as_deref())
        .unwrap_or(CONFIDENCE)
        .parse()
        .map_err(|error: crate::schedule::PercentError| Problem::bad(error.to_string()))?;
    let until = (site.clock)();
    let length = TimeDelta::from_std(window.0).unwrap_or(TimeDelta::MAX);
    let filter = EvidenceFilter {
        target: given(params.target.as_deref()).map(str::to_owned),
        probe: params.probe()?,
        rule: given(params.rule.as_deref()).map(str::to_owned),
        since: until.checked_sub_signed(length).unwrap_or_default(),
        until,
        after: given(params.after.as_deref()).map(cursor).transpose()?,
        limit: limit + 1,
    };
    let mut page = site.read(move |view| view.evidence(&filter)).await?;
    let more = page.rows.len() > limit;
    page.rows.truncate(limit);
    let next = page.rows.last().filter(|_| more).map(|row| cursor_text(row.key()));
    let mut bounds = UpperBounds::new(confidence);
    let rows = page.rows.iter().map(|row| {
        let mut value = row.to_json();
        value["window"] = json!(window.to_string());
        value["confidence"] = json!(confidence.share());
        value["prevalence_upper_bound"] = json!(bounds.of(row.positives, row.samples));
        value
    });
    let rows: Vec<Value> = rows.collect();
    Ok(Json(json!({ "evidence": rows, "since": page.since, "next": next })))
}

fn window(text: &str) -> Result<Span, Problem> {
    let bad = || Problem::bad("window is a time from 1d to 10y, such as 30d");
    let window: Span = text.parse().map_err(|_| bad())?;
    (SHORTEST..=LONGEST).contains(&window.0).then_some(window).ok_or_else(bad)
}

fn cursor_text((target, probe, address, rule): EvidenceKey) -> String {
    format!("{probe},{address},{rule},{target}")
}

fn cursor(text: &str) -> Result<EvidenceKey, Problem> {
    let bad = || Problem::bad("after is the `next` of the page before");
    let mut parts = text.splitn(4, ',');
    let (Some(probe), Some(address), Some(rule), Some(target)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad());
    };
    if !address.is_empty() && address.parse::<IpAddr>().is_err() {
        return Err(bad());
    }
    Ok((target.to_owned(), parse(probe)?, address.to_owned(), rule.to_owned()))
}

/// The rules whose clean samples prove least, from the gauges that the daemon keeps.
pub(super) fn weakest(bounds: &[(String, f64)]) -> Markup {
    let mut bounds: Vec<&(String, f64)> = bounds.iter().collect();
    bounds.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    html! {
        @if !bounds.is_empty() {
            details.proof {
                summary { "What the samples of 30 days prove, at 95 %: " (bounds.len()) " rules" }
                table {
                    thead { tr { th { "Rule" } th { "At its weakest point, out of range at most" } } }
                    tbody { @for (rule, bound) in bounds.iter().take(WEAKEST) {
                        tr { td { (rule) } td { (format!("{:.2}", bound * 100.0)) " %" } }
                    } }
                }
                p { a href="/api/v1/evidence" { "by sampling point" } }
            }
        }
    }
}

const WINDOW: &str = "30d";
const CONFIDENCE: &str = "95%";
const SHORTEST: Duration = Duration::from_secs(86_400);
const LONGEST: Duration = Duration::from_secs(3_660 * 86_400);
const WEAKEST: usize = 10;
