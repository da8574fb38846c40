//! The effective settings of a target, for `secchi config explain`.

use serde_json::{Value, json};

use super::model::TargetConfig;
use crate::target::{ProbeKind, Settings, Span, TextFile};

impl TargetConfig {
    /// Everything that decides how the target is sampled, under the names of the file. Files
    /// appear by their path.
    pub fn to_json(&self) -> Value {
        let target = &self.target;
        json!({
            "target": target.name,
            "probes": self.probes,
            "glimpses": (self.glimpses_tls() || self.probes.contains(&ProbeKind::Ports)).then_some("tls").as_slice(),
            "plan": self.plan_name,
            "plan_spec": self.plan.spec(),
            "profile": self.profile,
            "labels": target.labels,
            "ranges": self.ranges,
            "repeat": {
                "samples": self.repeat.samples,
                "agree": self.repeat.agree,
                "within": Span(self.repeat.within),
            },
            "freshness": self.freshness.map(Span),
            "max_addresses": self.max_addresses,
            "settings": settings(&target.settings),
        })
    }
}

fn settings(settings: &Settings) -> Value {
    let file = |file: &Option<TextFile>| file.as_ref().map(|f| f.path.display().to_string());
    let all = json!({
        "address": settings.addresses,
        "asn_file": settings.asn.as_ref().map(|table| table.path().display().to_string()),
        "ca_file": file(&settings.ca_file),
        "concurrency": settings.concurrency,
        "connect_to": settings.connect_to.iter().map(|rule| {
            let part = |text: Option<String>| text.unwrap_or_default();
            format!(
                "{}:{}:{}:{}",
                part(rule.host.as_ref().map(ToString::to_string)),
                part(rule.port.map(|port| port.to_string())),
                rule.address,
                part(rule.to_port.map(|port| port.to_string())),
            )
        }).collect::<Vec<_>>(),
        "credentials": settings.credentials.as_ref().map(|secret| format!("{secret:?}")),
        "dns_port": settings.dns_port,
        "dns_server": settings.dns_servers,
        "cdn_ranges": file(&settings.cdn_ranges),
        "hosts_file": file(&settings.hosts_file),
        "hsts_preload_list": file(&settings.hsts_preload_list),
        "intrusive": settings.intrusive,
        "pins": settings.pins,
        "ports": settings.ports.as_ref().map(|ports| format!("{ports:?}")),
        "rate": settings.rate,
        "rdap_bootstrap": settings.rdap.as_ref().map(|table| table.path().display().to_string()),
        "registration_expires": settings.registration_expires,
        "root_hints": file(&settings.root_hints),
        "server_name": settings.server_name,
        "timeout": settings.timeout.map(Span),
        "trust_anchor": file(&settings.trust_anchor),
        "user_agent": settings.user_agent,
    });
    // What was not said is not shown.
    let Value::Object(mut map) = all else { return Value::Null };
    map.retain(|_, value| {
        !value.is_null()
            && value.as_array().is_none_or(|list| !list.is_empty())
            && value.as_object().is_none_or(|map| !map.is_empty())
    });
    Value::Object(map)
}
