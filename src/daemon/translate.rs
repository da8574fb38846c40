//! From the config's words to each room's own types.

use crate::alert::{HttpSettings, Kind, Receiver};
use crate::config::{AlertingSpec, ExceptionSpec, ReceiverSpec};
use crate::finding::Exception;
use crate::inventory::HttpClientSpec;

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
        http: http_settings(receiver),
    });
    let webhooks = spec.webhooks.iter().enumerate().map(|(at, receiver)| Receiver {
        name: format!("webhook/{at}"),
        kind: Kind::Webhook { url: receiver.url.clone(), hmac_key: receiver.hmac.clone() },
        send_resolved: true,
        http: http_settings(receiver),
    });
    alertmanagers.chain(webhooks).collect()
}

fn http_settings(receiver: &ReceiverSpec) -> HttpSettings {
    let HttpClientSpec {
        authorization,
        basic_auth,
        ca_file,
        certificate,
        insecure_skip_verify,
        server_name,
        proxy_url,
    } = &receiver.http;
    HttpSettings {
        authorization: authorization.clone(),
        basic_auth: basic_auth.clone(),
        ca_pem: ca_file.as_ref().map(|file| file.text.as_bytes().to_vec()),
        client_pem: certificate
            .as_ref()
            .map(|(file, key)| (file.text.as_bytes().to_vec(), key.clone())),
        server_name: server_name.clone(),
        insecure_skip_verify: *insecure_skip_verify,
        proxy_url: proxy_url.clone(),
        ..HttpSettings::default()
    }
}
