//! The smaller blocks: exceptions, the listener, the data folder, who we are.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use chrono::NaiveDate;

use super::{Known, shared};
use crate::config::at::At;
use crate::config::context::{Context, word};
use crate::config::diagnostics::did_you_mean;
use crate::config::file::{Data, Exception, Token, Web};
use crate::config::model::{DataDir, DataSpec, ExceptionSpec, TargetConfig, TokenSpec, WebSpec};
use crate::inventory::labels::check_value;
use crate::target::Endpoint;

pub(super) fn exceptions(
    context: &mut Context<'_>,
    blocks: &[At<Exception>],
    targets: &[TargetConfig],
    discovers: bool,
    known: &Known,
) -> Vec<ExceptionSpec> {
    let names: BTreeSet<&str> = targets.iter().map(|target| &*target.target.name).collect();
    let mut checked = Vec::new();
    for At { value, .. } in blocks {
        known.rule(context, &value.rule);
        for (at, name) in [(&value.reason, "reason"), (&value.approved_by, "approved_by")] {
            if at.value.trim().is_empty() {
                context.error(&at.span, format!("an exception says its `{name}`"));
            }
        }
        // Written as a target is, so that case and brackets do not matter.
        let target = value.target.value.parse::<Endpoint>().map(|e| e.to_string());
        let Some(target) = context.read(&value.target.span, target) else { continue };
        if !names.contains(target.as_str()) {
            if discovers {
                // It may be found later.
                context.note(&value.target.span, format!("`{target}` is no static target"));
            } else {
                let help = did_you_mean(&target, names.iter().copied());
                let message = format!("there is no target `{target}`");
                context.error_with(&value.target.span, message, help);
            }
        }
        let Ok(until) = value.until.value.parse::<NaiveDate>() else {
            let message = format!("`{}` is no date; write YYYY-MM-DD", value.until.value);
            context.error(&value.until.span, message);
            continue;
        };
        if until < context.now.date_naive() {
            let message = "this exception has expired; what it covered is told again";
            context.note(&value.until.span, message);
        }
        checked.push(ExceptionSpec {
            rule: value.rule.value.clone(),
            target,
            subject: value.subject.as_ref().map(|at| at.value.clone()),
            reason: value.reason.value.clone(),
            approved_by: value.approved_by.value.clone(),
            until,
        });
    }
    checked
}

pub(super) fn web(context: &mut Context<'_>, block: &Web) -> WebSpec {
    let mut spec = WebSpec {
        config_file: block.config_file.as_ref().and_then(|at| context.daemons_file(at)),
        external_url: block.external_url.as_ref().and_then(|at| context.url(at)),
        tokens: tokens(context, &block.tokens),
        allow_unauthenticated: block.allow_unauthenticated,
        ..WebSpec::default()
    };
    let Some(at) = &block.listen else { return spec };
    let Some(listen) = listen_address(&at.value) else {
        let help = "write ADDRESS:PORT, such as 127.0.0.1:9640 or [::]:9640".to_owned();
        let message = format!("`{}` is no address to listen on", at.value);
        context.error_with(&at.span, message, Some(help));
        return spec;
    };
    spec.listen = listen;
    let beyond = !listen.ip().is_loopback() && block.config_file.is_none();
    if beyond && block.allow_unauthenticated {
        context.note(&at.span, "everyone who reaches this address may read everything");
    } else if beyond {
        let message = "without web.config_file this listener serves only health, ready and \
                       /metrics beyond loopback";
        context.note(&at.span, message);
    }
    spec
}

/// `ADDRESS:PORT`; `:PORT` is every address, as in Prometheus.
fn listen_address(text: &str) -> Option<SocketAddr> {
    let address: SocketAddr = match text.strip_prefix(':') {
        Some(port) => SocketAddr::from(([0; 16], port.parse().ok()?)),
        None => text.parse().ok()?,
    };
    (address.port() != 0).then_some(address)
}

fn tokens(context: &mut Context<'_>, tokens: &[At<Token>]) -> Vec<TokenSpec> {
    let mut checked: Vec<TokenSpec> = Vec::new();
    for At { value, .. } in tokens {
        let name = value.name.value.clone();
        if name.is_empty() || check_value(&name).is_err() {
            context.error(&value.name.span, "a token's name is printable and not empty");
        }
        if checked.iter().any(|other| other.name == name) {
            context.error(&value.name.span, format!("token `{name}` is there twice"));
        }
        if value.may.is_empty() {
            context.error(&value.name.span, format!("token `{name}` may do nothing"));
        }
        // A word that is no right was reported with the file's structure.
        let may = value.may.iter().filter_map(|at| word(&at.value)).collect();
        let Some(token) = context.secret(&value.token_file) else { continue };
        if token.expose().len() < MIN_TOKEN {
            let message = format!("a token has at least {MIN_TOKEN} characters");
            context.error(&value.token_file.span, message);
        }
        checked.push(TokenSpec { name, token, may });
    }
    checked
}

pub(super) fn data(context: &mut Context<'_>, block: &Data) -> DataSpec {
    let default = DataSpec::default();
    let dir = match block.dir.as_ref().map(|at| at.value.as_str()) {
        None => DataDir::Default,
        Some("none") => DataDir::None,
        Some(path) => DataDir::Path(context.path(path)),
    };
    if let (Some(at), "") = (&block.dir, block.dir.as_ref().map_or("x", |at| &at.value)) {
        context.error(&at.span, "`dir` is a folder, or none");
    }
    DataSpec {
        dir,
        retention: block
            .retention
            .as_ref()
            .and_then(|at| context.duration(at))
            .unwrap_or(default.retention),
        max_size: block
            .max_size
            .as_ref()
            .and_then(|at| context.size(at))
            .unwrap_or(default.max_size),
        seed_file: block.seed_file.as_ref().map(|at| context.path(&at.value)),
    }
}

pub(super) fn vantage(context: &mut Context<'_>, at: Option<&At<String>>) -> Arc<str> {
    let Some(at) = at else { return shared("local") };
    if at.value.is_empty() || check_value(&at.value).is_err() {
        context.error(&at.span, "a vantage is a short printable name");
    }
    shared(&at.value)
}

pub(super) fn contact(context: &mut Context<'_>, at: Option<&At<String>>) -> Option<String> {
    let at = at?;
    let fits = |b: u8| (b' '..=b'~').contains(&b) && !b"()\\".contains(&b);
    if at.value.is_empty() || at.value.len() > 200 || !at.value.bytes().all(fits) {
        let message = "a contact is a mail address or a URL, printable ASCII without ( ) \\";
        context.error(&at.span, message);
        return None;
    }
    Some(at.value.clone())
}

/// What can be guessed is no token.
const MIN_TOKEN: usize = 16;
