//! From the config's words to each room's own types.

use crate::alert::{Kind, Receiver};
use crate::config::{AlertingSpec, ExceptionSpec};
use crate::finding::Exception;

/// Accepted risks of the config.
pub fn exceptions(specs: &[ExceptionSpec]) -> Vec<Exception> {
    let exception = |spec: &ExceptionSpec| Exception {
        rule: spec.rule.clone(),
        target: spec.target.clone(),
        subject: spec.subject.clone(),
        reason: spec.reason.clone(),
        approved_by: spec.approved_by.clone(),
        until: spec.until,
    };
    specs.iter().map(exception).collect()
}

/// Who is told.
pub fn receivers(spec: &AlertingSpec) -> Vec<Receiver> {
    let alertmanagers = spec.alertmanagers.iter().enumerate().map(|(at, receiver)| Receiver {
        name: format!("alertmanager/{at}"),
        kind: Kind::Alertmanager { url: receiver.url.clone() },
        send_resolved: true,
        http: receiver.http.clone(),
        timeout: Receiver::TIMEOUT,
    });
    let webhooks = spec.webhooks.iter().enumerate().map(|(at, receiver)| Receiver {
        name: format!("webhook/{at}"),
        kind: Kind::Webhook { url: receiver.url.clone(), hmac_key: receiver.hmac.clone() },
        send_resolved: true,
        http: receiver.http.clone(),
        timeout: Receiver::TIMEOUT,
    });
    alertmanagers.chain(webhooks).collect()
}
