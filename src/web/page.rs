//! The start page: is the picture to be trusted, and what is wrong. Plain HTML without script.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use prometheus::core::Collector;

use super::api::Params;
use super::error::Problem;
use super::evidence;
use super::site::Site;
use crate::finding::{Finding, FindingState};
use crate::sample::Severity;
use crate::telemetry::Metrics;

pub(super) async fn start(
    State(site): State<Arc<Site>>,
    params: Result<Query<Params>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(params) = params.map_err(|rejection| Problem::bad(rejection.body_text()))?;
    let params =
        Params { state: params.state.clone().or_else(|| Some("open".to_owned())), ..params };
    let filter = params.filter(ROWS + 1)?;
    let mut findings = site.read(move |view| view.findings(&filter)).await?;
    let more = findings.len() > ROWS;
    findings.truncate(ROWS);
    let next = findings.last().filter(|_| more).map(|finding| finding.id.clone());
    findings.sort_by_key(|finding| std::cmp::Reverse((finding.severity, finding.first_seen)));
    let picture = picture(&site.metrics);
    let proof = evidence::weakest(&gauges(&site.metrics.evidence_bound));
    let page = render(&findings, &params, next.as_deref(), (&picture, &proof), (site.clock)());
    let mut response = Html(page.into_string()).into_response();
    if let Ok(policy) = HeaderValue::try_from(policy()) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(response)
}

/// Nothing is loaded and nothing runs but our own style.
fn policy() -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
    let hash = STANDARD.encode(hash);
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    )
}

/// How much of what should be known is known, a probe.
struct Coverage {
    probe: String,
    points: f64,
    ratio: Option<f64>,
}

/// Reads the gauges that there are; asking for a series by its labels would make it.
fn gauges(collector: &dyn Collector) -> Vec<(String, f64)> {
    let families = collector.collect();
    let series = families.iter().flat_map(|family| family.get_metric());
    series
        .map(|metric| {
            let label = metric.get_label().first();
            let label = label.map_or_else(String::new, |label| label.value().to_owned());
            (label, metric.get_gauge().get_value())
        })
        .collect()
}

fn picture(metrics: &Metrics) -> Vec<Coverage> {
    let ratios = gauges(&metrics.coverage);
    let points = gauges(&metrics.points).into_iter().filter(|(_, points)| *points > 0.0);
    points
        .map(|(probe, points)| {
            let ratio = ratios.iter().find(|(name, _)| *name == probe).map(|(_, ratio)| *ratio);
            Coverage { probe, points, ratio }
        })
        .collect()
}

fn render(
    findings: &[Finding],
    params: &Params,
    next: Option<&str>,
    (picture, proof): (&[Coverage], &Markup),
    now: DateTime<Utc>,
) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="refresh" content="30";
                title { "Secchi" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Secchi" }
                p.picture {
                    @if picture.is_empty() { "No sampling points yet." }
                    @for part in picture {
                        span {
                            b { (part.probe) } " " (part.points) " points"
                            @if let Some(ratio) = part.ratio {
                                ", " (format!("{:.1}", ratio * 100.0)) " % sampled in time"
                            }
                        }
                    }
                }
                (proof)
                (form(params))
                (table(findings, now))
                @if let Some(next) = next {
                    p { a href=(link(params, next)) { "More" } }
                }
                p.foot {
                    "As of " (now.format("%Y-%m-%d %H:%M:%S")) " UTC · "
                    a href="/metrics" { "metrics" } " · "
                    a href="/api/v1/findings" { "JSON" } " · "
                    a href="/api/v1/openapi.json" { "API" }
                }
            }
        }
    }
}

fn form(params: &Params) -> Markup {
    let state = params.state.as_deref().unwrap_or_default();
    let severity = params.severity.as_deref().unwrap_or_default();
    let states = ["open", "confirmed", "suspected", "excepted", "resolved", "withdrawn"];
    html! {
        form method="get" {
            label { "State " select name="state" {
                @for word in states { option value=(word) selected[word == state] { (word) } }
            } }
            label { "Severity " select name="severity" {
                option value="" { "any" }
                @for word in Severity::ALL.map(Severity::as_str) {
                    option value=(word) selected[word == severity] { (word) " or worse" }
                }
            } }
            label { "Target " input name="target" value=(params.target.as_deref().unwrap_or_default()); }
            label { "Rule " input name="rule" value=(params.rule.as_deref().unwrap_or_default()); }
            button { "Show" }
        }
    }
}

fn table(findings: &[Finding], now: DateTime<Utc>) -> Markup {
    html! {
        @if findings.is_empty() {
            p.none { "No such findings." }
        } @else {
            table {
                thead { tr {
                    th { "Severity" } th { "Target" } th { "Finding" } th { "State" } th { "Age" }
                } }
                tbody { @for finding in findings { (row(finding, now)) } }
            }
        }
    }
}

fn row(finding: &Finding, now: DateTime<Utc>) -> Markup {
    let address = finding.key.address.map(|address| address.to_string()).unwrap_or_default();
    html! {
        tr class=(finding.severity.as_str()) {
            td { (finding.severity.as_str()) }
            td {
                (clean(&finding.key.target))
                @if !address.is_empty() { br; small { (address) } }
            }
            td {
                b { (clean(&finding.key.rule)) }
                @if !finding.key.subject.is_empty() { " " (clean(&finding.key.subject)) }
                br; (clean(&finding.summary))
                details {
                    summary { "Evidence" }
                    pre { (clean(&finding.evidence)) }
                    p { "Measured " code { (clean(&finding.measured.to_string())) } ", wanted " (clean(&finding.range)) }
                    p { (clean(&finding.remedy)) }
                }
            }
            td {
                (finding.state.as_str())
                @if finding.state == FindingState::Excepted {
                    @if let Some(until) = finding.excepted_until { br; small { "until " (until) } }
                }
            }
            td title=(finding.first_seen.to_rfc3339()) { (age(now, finding.first_seen)) }
        }
    }
}

/// The next page of the same filter.
fn link(params: &Params, next: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let given = [
        ("state", &params.state),
        ("severity", &params.severity),
        ("target", &params.target),
        ("rule", &params.rule),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    format!("/?{}", query.append_pair("after", next).finish())
}

/// maud escapes what HTML would take for markup; this takes what a screen would obey.
fn clean(text: &str) -> String {
    let is_harmful = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().take(4096).map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

fn age(now: DateTime<Utc>, since: DateTime<Utc>) -> String {
    let seconds = (now - since).num_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

const ROWS: usize = 200;

const STYLE: &str = "body{font:15px/1.4 system-ui,sans-serif;margin:1.5rem auto;max-width:75rem;padding:0 1rem;color:#1b2a33;background:#fff}\
h1{font-size:1.3rem;margin:0}.picture span{margin-right:1.5rem}.proof table{width:auto}form{margin:1rem 0}label{margin-right:1rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.4rem .6rem;border-bottom:1px solid #dde4e8}\
td:first-child{border-left:.4rem solid #8aa}.critical td:first-child{border-color:#8b0000}.high td:first-child{border-color:#d1495b}\
.medium td:first-child{border-color:#e08e45}.low td:first-child{border-color:#edc951}pre{white-space:pre-wrap;overflow-wrap:anywhere}\
small,.foot{color:#567}summary{color:#567;cursor:pointer}\
@media(prefers-color-scheme:dark){body{background:#10181d;color:#dce5ea}th,td{border-color:#2a3740}a{color:#8cc8ff}}";
