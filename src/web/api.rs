//! The API: JSON, lists paged by key.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::{Extension, Json};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::command::{Command, Records, TargetQuery};
use super::error::Problem;
use super::gate::Actor;
use super::site::{PATIENCE, Site};
use crate::finding::{Finding, FindingState};
use crate::ledger::{Context, FindingFilter, LedgerError, TargetRow, View};
use crate::target::ProbeKind;

pub(super) type Answer = Result<Json<Value>, Problem>;
pub(super) type Asked<T> = Result<Query<T>, QueryRejection>;
type Sent = Result<Bytes, BytesRejection>;

/// Parameters of every list; each list uses those that the table of routes names.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Params {
    pub(super) state: Option<String>,
    pub(super) target: Option<String>,
    pub(super) rule: Option<String>,
    pub(super) severity: Option<String>,
    pub(super) probe: Option<String>,
    pub(super) limit: Option<usize>,
    pub(super) after: Option<String>,
    pub(super) window: Option<String>,
    pub(super) confidence: Option<String>,
}

impl Params {
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        match self.limit {
            None => Ok(1000),
            Some(limit @ 1..=MAX_LIMIT) => Ok(limit),
            Some(_) => Err(Problem::bad(format!("limit is a number from 1 to {MAX_LIMIT}"))),
        }
    }

    pub(super) fn probe(&self) -> Result<Option<ProbeKind>, Problem> {
        given(self.probe.as_deref()).map(parse).transpose()
    }

    /// The filter of findings, for `limit` of them.
    pub(super) fn filter(&self, limit: usize) -> Result<FindingFilter, Problem> {
        Ok(FindingFilter {
            states: states(given(self.state.as_deref()).unwrap_or_default())?,
            target: given(self.target.as_deref()).map(str::to_owned),
            rule: given(self.rule.as_deref()).map(str::to_owned),
            severity: given(self.severity.as_deref()).map(parse).transpose()?,
            after: given(self.after.as_deref()).map(str::to_owned),
            limit,
        })
    }
}

/// A form sends what was left empty.
pub(super) fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

pub(super) fn parse<T: FromStr<Err = String>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(Problem::bad)
}

fn states(text: &str) -> Result<Vec<FindingState>, Problem> {
    use FindingState::{Confirmed, Excepted, Resolved, Suspected, Withdrawn};
    let mut states = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        if word == "open" {
            states.extend([Suspected, Confirmed, Excepted]);
            continue;
        }
        let state = [Suspected, Confirmed, Excepted, Resolved, Withdrawn]
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| Problem::bad("state is a list of suspected, confirmed, excepted, resolved, withdrawn or open"))?;
        states.push(state);
    }
    states.dedup();
    Ok(states)
}

pub(super) fn params(asked: Asked<Params>) -> Result<Params, Problem> {
    asked.map(|Query(params)| params).map_err(|rejection| Problem::bad(rejection.body_text()))
}

pub(super) async fn findings(State(site): State<Arc<Site>>, asked: Asked<Params>) -> Answer {
    let params = params(asked)?;
    let limit = params.limit()?;
    let filter = params.filter(limit + 1)?;
    let question = move |view: &dyn View| {
        let mut findings = view.findings(&filter)?;
        let more = findings.len() > limit;
        findings.truncate(limit);
        let next = findings.last().filter(|_| more).map(|finding| finding.id.clone());
        Ok((told(view, findings)?, next))
    };
    let (findings, next) = site.read(question).await?;
    Ok(Json(json!({ "findings": findings, "next": next })))
}

pub(super) async fn finding(State(site): State<Arc<Site>>, Path(id): Path<String>) -> Answer {
    let question = move |view: &dyn View| told(view, view.finding(&id)?.into_iter().collect());
    let finding = site.read(question).await?.pop();
    let finding =
        finding.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no such finding"))?;
    Ok(Json(json!(finding)))
}

/// A finding with what surrounds it.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(flatten)]
    finding: Finding,
    #[serde(flatten)]
    context: Context,
}

fn told(view: &dyn View, findings: Vec<Finding>) -> Result<Vec<Told>, LedgerError> {
    let contexts = view.contexts(&findings)?;
    let pairs = findings.into_iter().zip(contexts);
    Ok(pairs.map(|(finding, context)| Told { finding, context }).collect())
}

pub(super) async fn samples(State(site): State<Arc<Site>>, asked: Asked<Params>) -> Answer {
    let params = params(asked)?;
    let (limit, probe) = (params.limit()?, params.probe()?);
    let target = given(params.target.as_deref()).ok_or_else(|| Problem::bad("target is needed"))?;
    let target = target.to_owned();
    let before = given(params.after.as_deref()).map(str::parse::<i64>).transpose();
    let before = before.map_err(|_| Problem::bad("after is the `next` of the page before"))?;
    let question = move |view: &dyn View| view.samples(&target, probe, before, limit + 1);
    let mut samples = site.read(question).await?;
    let more = samples.len() > limit;
    samples.truncate(limit);
    let next = samples.last().filter(|_| more).map(|sample| sample.id.to_string());
    Ok(Json(json!({ "samples": samples, "next": next })))
}

pub(super) async fn targets(State(site): State<Arc<Site>>, asked: Asked<Params>) -> Answer {
    let params = params(asked)?;
    let limit = params.limit()?;
    let query = TargetQuery {
        target: given(params.target.as_deref()).map(str::to_owned),
        probe: params.probe()?,
        after: given(params.after.as_deref()).map(cursor).transpose()?,
        limit: limit + 1,
    };
    let mut targets = site.ask(PATIENCE, |reply| Command::Targets { query, reply }).await?;
    let more = targets.len() > limit;
    targets.truncate(limit);
    let next = targets.last().filter(|_| more).map(cursor_text);
    Ok(Json(json!({ "targets": targets, "next": next })))
}

fn cursor_text(row: &TargetRow) -> String {
    let address = row.address.map_or_else(String::new, |address| address.to_string());
    format!("{},{address},{}", row.probe, row.target)
}

fn cursor(text: &str) -> Result<(String, ProbeKind, Option<IpAddr>), Problem> {
    let bad = || Problem::bad("after is the `next` of the page before");
    let mut parts = text.splitn(3, ',');
    let (Some(probe), Some(address), Some(target)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(bad());
    };
    let address = given(Some(address)).map(str::parse).transpose().map_err(|_| bad())?;
    Ok((target.to_owned(), parse(probe)?, address))
}

pub(super) async fn explain(State(site): State<Arc<Site>>, asked: Asked<Params>) -> Answer {
    let params = params(asked)?;
    let target = given(params.target.as_deref()).ok_or_else(|| Problem::bad("target is needed"))?;
    let target = target.to_owned();
    site.ask(PATIENCE, |reply| Command::Explain { target, reply }).await.map(Json)
}

pub(super) async fn status(State(site): State<Arc<Site>>) -> Answer {
    let mut status = site.ask(PATIENCE, |reply| Command::Status { reply }).await?;
    if let Value::Object(status) = &mut status {
        status.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
        status.insert("ready".to_owned(), site.is_ready().into());
    }
    Ok(Json(status))
}

pub(super) async fn baselines(State(site): State<Arc<Site>>, asked: Asked<Params>) -> Answer {
    let Some(target) =
        asked.as_ref().ok().and_then(|Query(params)| given(params.target.as_deref()))
    else {
        return list(&site, asked, Records::Baselines, "baselines").await;
    };
    let target = target.to_owned();
    let shown = site.ask(PATIENCE, |reply| Command::Baseline { target, reply }).await?;
    Ok(Json(json!({ "baselines": shown, "next": null })))
}

pub(super) async fn deployments(State(site): State<Arc<Site>>, asked: Asked<Params>) -> Answer {
    list(&site, asked, Records::Deployments, "deployments").await
}

pub(super) async fn exceptions(State(site): State<Arc<Site>>, asked: Asked<Params>) -> Answer {
    list(&site, asked, Records::Exceptions, "exceptions").await
}

async fn list(site: &Site, asked: Asked<Params>, records: Records, key: &str) -> Answer {
    let params = params(asked)?;
    let limit = params.limit()?;
    let after = given(params.after.as_deref()).map(str::to_owned);
    let mut found = site
        .ask(PATIENCE, |reply| Command::List { records, after, limit: limit + 1, reply })
        .await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|record| record["id"].clone());
    Ok(Json(json!({ key: found, "next": next })))
}

pub(super) async fn accept_baseline(
    State(site): State<Arc<Site>>,
    Extension(Actor(actor)): Extension<Actor>,
    headers: HeaderMap,
    body: Sent,
) -> Answer {
    let baseline = read(&headers, body)?;
    let ask = |reply| Command::AcceptBaseline { actor, baseline, reply };
    site.ask(PATIENCE, ask).await.map(Json)
}

pub(super) async fn add_exception(
    State(site): State<Arc<Site>>,
    Extension(Actor(actor)): Extension<Actor>,
    headers: HeaderMap,
    body: Sent,
) -> Answer {
    let exception = read(&headers, body)?;
    let ask = |reply| Command::AddException { actor, exception, reply };
    site.ask(PATIENCE, ask).await.map(Json)
}

pub(super) async fn mark_deployment(
    State(site): State<Arc<Site>>,
    Extension(Actor(actor)): Extension<Actor>,
    headers: HeaderMap,
    body: Sent,
) -> Answer {
    let deployment = read(&headers, body)?;
    let ask = |reply| Command::MarkDeployment { actor, deployment, reply };
    site.ask(PATIENCE, ask).await.map(Json)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSample {
    target: String,
    #[serde(default)]
    probe: Option<ProbeKind>,
}

pub(super) async fn sample(
    State(site): State<Arc<Site>>,
    Extension(Actor(actor)): Extension<Actor>,
    headers: HeaderMap,
    body: Sent,
) -> Answer {
    let NewSample { target, probe } = read(&headers, body)?;
    let ask = |reply| Command::Sample { actor, target, probe, reply };
    let queued = site.ask(PATIENCE, ask).await?;
    Ok(Json(json!({ "queued": queued })))
}

/// The body of a writing call. The media type is demanded: no form of another site can send it.
fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Sent) -> Result<T, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        let words = "the Content-Type must be application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words));
    }
    let body = body.map_err(|error| Problem::new(error.status(), error.body_text()))?;
    serde_json::from_slice(&body).map_err(|error| Problem::bad(error.to_string()))
}

const MAX_LIMIT: usize = 10_000;
