//! What the web room and the signals ask of the daemon.

use std::sync::Arc;
use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::reload::{Reloader, Running};
use super::{accepted_ports, baseline};
use crate::finding::Exception;
use crate::ledger::{Event, Ledger, LedgerError, TargetRow, View};
use crate::sample::Cause;
use crate::sampler::{Entry, Order, PageQuery};
use crate::schedule::Clock;
use crate::target::{Labels, PointKey, ProbeKind};
use crate::web::{
    self, Command, NewBaseline, NewDeployment, NewException, ProbeAnswer, Records, Refusal,
    TargetQuery,
};

/// Carries commands out, one at a time; what takes long has a task of its own.
pub(super) struct Commands {
    pub(super) ledger: Arc<Ledger>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) reloader: Reloader,
    pub(super) running: Running,
    pub(super) site: Arc<web::Site>,
}

impl Commands {
    /// Runs until `stop`. SIGHUP is a reload.
    pub(super) async fn run(mut self, mut heard: mpsc::Receiver<Command>, stop: CancellationToken) {
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => {
                tracing::error!(%error, "SIGHUP cannot be heard");
                return;
            }
        };
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = hangup.recv() => {
                    // The reloader logs and counts what came of it.
                    let _ = self.reload().await;
                }
                Some(command) = heard.recv() => self.obey(command).await,
            }
        }
    }

    /// Replaces what runs, the listener's tokens included.
    async fn reload(&mut self) -> anyhow::Result<()> {
        self.reloader.reload(&mut self.running).await?;
        self.site.apply(super::site_settings(&self.running.settings.config));
        Ok(())
    }

    /// An asker that has gone away needs no answer.
    async fn obey(&mut self, command: Command) {
        match command {
            Command::Reload { actor, reply } => {
                tracing::info!(actor, "a reload was asked for");
                let outcome = self.reload().await;
                let _ = reply.send(outcome.map_err(|error| Refusal::Failed(format!("{error:#}"))));
            }
            Command::AcceptBaseline { actor, baseline, reply } => {
                let _ = reply.send(self.accept_baseline(actor, baseline).await);
            }
            Command::AddException { actor, exception, reply } => {
                let _ = reply.send(self.add_exception(actor, exception).await);
            }
            Command::MarkDeployment { actor, deployment, reply } => {
                let _ = reply.send(self.mark_deployment(actor, deployment).await);
            }
            Command::List { records, after, limit, reply } => {
                let _ = reply.send(self.list(records, after.as_deref(), limit));
            }
            Command::Status { reply } => {
                let _ = reply.send(Ok(self.status()));
            }
            Command::Baseline { target, reply } => {
                let _ = reply.send(baseline::show(&self.ledger, &target));
            }
            Command::Explain { target, reply } => {
                let explained = self
                    .running
                    .settings
                    .config
                    .target(&target)
                    .map(crate::config::TargetConfig::to_json);
                let none = || Refusal::NotFound(format!("no target `{target}`"));
                let _ = reply.send(explained.ok_or_else(none));
            }
            Command::Targets { query, reply } => {
                let (orders, ledger) = (self.orders.clone(), Arc::clone(&self.ledger));
                tokio::spawn(async move { reply.send(targets(&orders, &ledger, query).await) });
            }
            Command::Sample { actor, target, probe, reply } => {
                tracing::info!(actor, target, "a sample was asked for");
                let orders = self.orders.clone();
                tokio::spawn(async move {
                    let taken = sample(&orders, target, probe, Cause::Manual).await;
                    let _ = reply.send(taken.map(|samples| samples.len()));
                });
            }
            Command::Probe { target, probe, timeout, reply } => {
                let (orders, ledger, clock) =
                    (self.orders.clone(), Arc::clone(&self.ledger), Arc::clone(&self.clock));
                tokio::spawn(async move {
                    let answer = tokio::time::timeout(
                        timeout,
                        answer(&orders, &ledger, clock.as_ref(), target, probe),
                    )
                    .await;
                    let late = |_| Err(Refusal::Busy("no sample within the timeout".to_owned()));
                    let _ = reply.send(answer.unwrap_or_else(late));
                });
            }
        }
    }

    async fn add_exception(&self, actor: String, new: NewException) -> Result<Value, Refusal> {
        let rules = &self.running.settings.rules;
        if rules.find(&new.rule).is_none() && !new.rule.ends_with("-stale") {
            return Err(Refusal::Invalid(format!("no rule `{}`", new.rule)));
        }
        let at = self.clock.now();
        if new.until < at.date_naive() {
            return Err(Refusal::Invalid(format!("{} is over", new.until)));
        }
        let exception = Exception {
            rule: new.rule,
            target: new.target,
            subject: new.subject,
            reason: new.reason,
            approved_by: new.approved_by,
            until: new.until,
        };
        let stored = json!({ "actor": actor, "exception": exception });
        self.append(Event::ExceptionMade { at, actor, exception }).await?;
        Ok(stored)
    }

    async fn mark_deployment(&self, actor: String, new: NewDeployment) -> Result<Value, Refusal> {
        let at = new.at.unwrap_or_else(|| self.clock.now());
        let version = new.version.unwrap_or_default();
        let labels = Labels::from([("service".to_owned(), new.service.clone())]);
        let mut stored = json!({
            "actor": actor,
            "service": new.service,
            "version": version,
            "at": at.to_rfc3339_opts(SecondsFormat::Secs, true),
        });
        self.append(Event::DeploymentMarked { at, actor, labels: labels.clone(), version }).await?;
        let (reply, points) = oneshot::channel();
        // The mark is recorded; without a sampler nothing is sampled any more anyway.
        let _ = self.orders.send(Order::Deployed { labels, reply }).await;
        stored["points"] = points.await.unwrap_or_default().into();
        Ok(stored)
    }

    /// What the target shows now becomes its past: the probe's memory takes it over, in one commit
    /// with the record of who said so.
    async fn accept_baseline(&self, actor: String, new: NewBaseline) -> Result<Value, Refusal> {
        let probe = new.probe.unwrap_or(ProbeKind::Dns);
        let accepted = match probe {
            ProbeKind::Dns => baseline::accept(&self.ledger, &new)?,
            ProbeKind::Ports => accepted_ports::accept(&self.ledger, &new)?,
            ProbeKind::Tls | ProbeKind::Http => {
                return Err(Refusal::Invalid(format!(
                    "only dns and ports have a baseline; what {probe} expects is set by rules and pins"
                )));
            }
        };
        let at = self.clock.now();
        let stored = json!({
            "actor": actor,
            "target": new.target,
            "probe": probe,
            "reason": new.reason,
            "at": at.to_rfc3339_opts(SecondsFormat::Secs, true),
            "accepted": accepted.records,
        });
        let target: Arc<str> = new.target.into();
        let point = PointKey::new(&target, probe, None);
        let value = json!({ "reason": new.reason, "records": accepted.all });
        let event = Event::BaselineAccepted { at, actor, target, probe, address: None, value };
        let appended = self.ledger.append_with_memory(event, point, accepted.memory).await;
        appended.map_err(failed)?;
        Ok(stored)
    }

    async fn append(&self, event: Event) -> Result<(), Refusal> {
        self.ledger.append(vec![event]).await.map_err(failed)
    }

    fn list(
        &self,
        records: Records,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Value>, Refusal> {
        let all = match records {
            Records::Exceptions => {
                let exceptions = self.ledger.exceptions().map_err(failed)?;
                let record = |(exception, made): (Exception, bool)| {
                    let mut value = json!(exception);
                    value["source"] = json!(if made { "api" } else { "config" });
                    value
                };
                exceptions.into_iter().map(record).collect()
            }
            // The ledger gives the latest first; pages go by a list that grows at its end.
            Records::Deployments => {
                let mut deployments = self.ledger.deployments(MOST_RECORDS).map_err(failed)?;
                deployments.reverse();
                deployments
            }
            Records::Baselines => self.ledger.baselines(MOST_RECORDS).map_err(failed)?,
        };
        Ok(page(all, after, limit))
    }

    fn status(&self) -> Value {
        let config = &self.running.settings.config;
        let health = self.ledger.health();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "config": config.path,
            "targets": config.targets.len(),
            "discovery": config.discovery.len(),
            "receivers": config.alerting.alertmanagers.len() + config.alerting.webhooks.len(),
            "ledger": { "failure": health.failure, "unrecorded": health.unrecorded },
        })
    }
}

/// Records get their place as id, zero-padded so that it sorts; the list only grows at its end.
fn page(records: Vec<Value>, after: Option<&str>, limit: usize) -> Vec<Value> {
    let numbered = records.into_iter().enumerate().map(|(at, mut record)| {
        record["id"] = json!(format!("{at:08}"));
        record
    });
    numbered
        .filter(|record| after.is_none_or(|after| record["id"].as_str() > Some(after)))
        .take(limit)
        .collect()
}

async fn targets(
    orders: &mpsc::Sender<Order>,
    ledger: &Ledger,
    query: TargetQuery,
) -> Result<Vec<TargetRow>, Refusal> {
    let (reply, answer) = oneshot::channel();
    let query = PageQuery {
        target: query.target.map(Into::into),
        probe: query.probe,
        after: query.after.map(|(target, probe, address)| (target.into(), probe, address)),
        limit: query.limit,
    };
    orders.send(Order::Page { query, reply }).await.map_err(|_| stopping())?;
    let points = answer.await.map_err(|_| stopping())?.into_iter();
    let row = |(entry, next_due): (Entry, _)| {
        let past = ledger.point_state(entry.point.key());
        TargetRow {
            target: Arc::clone(&entry.point.target.name),
            probe: entry.point.probe,
            address: entry.point.address,
            labels: Arc::clone(&entry.point.target.labels),
            plan: entry.plan_name,
            verdict: past.verdict,
            last_sample: past.last_sample,
            last_known: past.last_known,
            next_due,
        }
    };
    Ok(points.map(row).collect())
}

async fn sample(
    orders: &mpsc::Sender<Order>,
    target: String,
    probe: Option<ProbeKind>,
    cause: Cause,
) -> Result<Vec<Value>, Refusal> {
    let (reply, answer) = oneshot::channel();
    let none = Refusal::NotFound(format!("no target `{target}`"));
    orders.send(Order::Now { target, probe, cause, reply }).await.map_err(|_| stopping())?;
    let judged = answer.await.map_err(|_| stopping())?;
    if judged.is_empty() {
        return Err(none);
    }
    Ok(judged.iter().map(|judged| judged.sample.to_json(judged.verdict)).collect())
}

/// A fresh answer of the ledger is preferred; else one is taken now, by the budget.
async fn answer(
    orders: &mpsc::Sender<Order>,
    ledger: &Ledger,
    clock: &dyn Clock,
    target: String,
    probe: Option<ProbeKind>,
) -> Result<ProbeAnswer, Refusal> {
    let known = ledger.samples(&target, probe, None, 16).map_err(failed)?;
    let oldest = clock.now() - TimeDelta::from_std(FRESH).unwrap_or_default();
    let taken_at = |sample: &Value| {
        sample["taken_at"].as_str().and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok())
    };
    let mut fresh: Vec<Value> = Vec::new();
    for row in known {
        let same = |one: &Value| {
            one["probe"] == row.sample["probe"] && one["address"] == row.sample["address"]
        };
        if taken_at(&row.sample).is_some_and(|at| at >= oldest) && !fresh.iter().any(same) {
            fresh.push(row.sample);
        }
    }
    if fresh.is_empty() {
        return Ok(ProbeAnswer {
            samples: sample(orders, target, probe, Cause::Probe).await?,
            age: Duration::ZERO,
        });
    }
    let eldest = fresh.iter().filter_map(taken_at).min();
    let age = eldest.and_then(|at| (clock.now() - at.to_utc()).to_std().ok()).unwrap_or_default();
    Ok(ProbeAnswer { samples: fresh, age })
}

pub(super) fn failed(error: LedgerError) -> Refusal {
    Refusal::Failed(error.to_string())
}

fn stopping() -> Refusal {
    Refusal::Busy("the daemon is stopping".to_owned())
}

/// An answer of the ledger that is younger needs no sample of its own.
const FRESH: Duration = Duration::from_secs(60);
const MOST_RECORDS: usize = 100_000;
