//! Receivers, and how HTTP peers are reached.

use crate::config::context::Context;
use crate::config::file::{Alerting, HttpConfig};
use crate::config::model::{AlertingSpec, ReceiverSpec};
use crate::outgoing::HttpClientSpec;
use crate::target::Host;

pub(super) fn check(context: &mut Context<'_>, alerting: &Alerting) -> AlertingSpec {
    let mut checked = AlertingSpec {
        external_labels: context.labels(&alerting.external_labels),
        ..<_>::default()
    };
    for at in &alerting.alertmanagers {
        let http = http_config(context, &at.value.http_config);
        if let Some(url) = context.url(&at.value.url) {
            let receiver = ReceiverSpec { url, http, hmac: None };
            // Each would be sent everything twice.
            if checked.alertmanagers.iter().any(|other| other.url == receiver.url) {
                context.error(&at.value.url.span, "this Alertmanager is there twice");
            }
            checked.alertmanagers.push(receiver);
        }
    }
    for at in &alerting.webhooks {
        let http = http_config(context, &at.value.http_config);
        let hmac = at.value.hmac_file.as_ref().and_then(|at| context.secret(at));
        if let Some(url) = context.url(&at.value.url) {
            checked.webhooks.push(ReceiverSpec { url, http, hmac });
        }
    }
    checked
}

pub(super) fn http_config(context: &mut Context<'_>, block: &HttpConfig) -> HttpClientSpec {
    let mut spec = HttpClientSpec::default();
    if let Some(at) = &block.authorization {
        let scheme = at.value.scheme.as_ref().map_or("Bearer", |at| &at.value).to_owned();
        if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_graphic()) {
            context.error(&at.span, "`type` is one word, such as Bearer");
        }
        let secret = context.secret(&at.value.credentials_file);
        spec.authorization = secret.map(|secret| (scheme, secret));
    }
    if let Some(at) = &block.basic_auth {
        let password = context.secret(&at.value.password_file);
        spec.basic_auth = password.map(|password| (at.value.username.value.clone(), password));
        if block.authorization.is_some() {
            context.error(&at.span, "one of authorization and basic_auth, not both");
        }
    }
    let tls = &block.tls_config;
    spec.ca_file = tls.ca_file.as_ref().and_then(|at| context.daemons_file(at));
    spec.insecure_skip_verify = tls.insecure_skip_verify;
    match (&tls.cert_file, &tls.key_file) {
        (Some(certificate), Some(key)) => {
            let certificate = context.daemons_file(certificate);
            let key = context.secret(key);
            spec.certificate = certificate.zip(key);
        }
        (Some(at), None) | (None, Some(at)) => {
            context.error(&at.span, "cert_file and key_file go together");
        }
        (None, None) => {}
    }
    if let Some(at) = &tls.server_name {
        if !matches!(at.value.parse(), Ok(Host::Name(_))) {
            context.error(&at.span, format!("`{}` is no host name", at.value));
        }
        if block.proxy_url.is_some() {
            context.error(&at.span, "one of server_name and proxy_url, not both");
        }
        spec.server_name = Some(at.value.clone());
    }
    spec.proxy_url = block.proxy_url.as_ref().and_then(|at| context.url(at));
    spec
}
