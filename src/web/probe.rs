//! `/probe` in blackbox_exporter's dialect, so that its scrape jobs and dashboards work unchanged.
//! Configured targets only: the daemon refuses others.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::command::{Command, ProbeAnswer};
use super::error::Problem;
use super::exposition::{Number, escape};
use super::health::TEXT;
use super::site::Site;
use crate::target::ProbeKind;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Params {
    target: Option<String>,
    module: Option<String>,
    debug: Option<String>,
}

pub(super) async fn probe(
    State(site): State<Arc<Site>>,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let target = params.target.filter(|target| !target.is_empty());
    let target = target.ok_or_else(|| Problem::bad("Target parameter is missing"))?;
    let module = params.module.unwrap_or_default();
    let probe = kind(&module)?;
    let patience = patience(&headers);
    let started = Instant::now();
    let ask = |reply| Command::Probe { target, probe, timeout: patience, reply };
    let answer = match site.ask(patience, ask).await {
        // Too late is an answer of its own: the probe did not succeed.
        Err(problem) if problem.status() == StatusCode::GATEWAY_TIMEOUT => ProbeAnswer::default(),
        answer => answer?,
    };
    let metrics = metrics(&answer, started.elapsed(), patience);
    if params.debug.as_deref() != Some("true") {
        return Ok(([(header::CONTENT_TYPE, TEXT)], metrics).into_response());
    }
    let samples = serde_json::to_string_pretty(&answer.samples).unwrap_or_default();
    let samples: String =
        samples.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
    let age = answer.age.as_secs();
    let text = format!(
        "Samples of the probe, {age} s old:\n{samples}\n\n\n\
         Metrics that would have been returned:\n{metrics}"
    );
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// The probe of a module: its name, or any name that begins with it, as `http_2xx` does.
fn kind(module: &str) -> Result<Option<ProbeKind>, Problem> {
    if module.is_empty() {
        return Ok(None);
    }
    let known = ProbeKind::ALL.into_iter().find(|probe| {
        let rest = module.strip_prefix(probe.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    });
    known.map(Some).ok_or_else(|| {
        let module: String = module.chars().take(64).collect();
        Problem::bad(format!("Unknown module {module:?}; the modules are tls, http, ports and dns"))
    })
}

/// What Prometheus leaves us, less half a second for the way back.
fn patience(headers: &HeaderMap) -> Duration {
    let asked = headers.get("x-prometheus-scrape-timeout-seconds");
    let asked = asked.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    let seconds: f64 = asked.filter(|seconds: &f64| seconds.is_finite()).unwrap_or(10.0);
    let seconds = if seconds > 0.5 { seconds - 0.5 } else { seconds };
    Duration::from_secs_f64(seconds.clamp(0.1, 120.0))
}

/// The metrics of an answer. Several addresses are one answer: the earliest expiry, the highest
/// status, and success only if all are as they should be.
fn metrics(answer: &ProbeAnswer, took: Duration, patience: Duration) -> String {
    let mut text = Text(String::new());
    let samples = &answer.samples;
    let verdict = |sample: &Value| sample["verdict"].as_str().map(str::to_owned);
    let is_good =
        |sample: &Value| matches!(verdict(sample).as_deref(), Some("in_range" | "not_applicable"));
    let success = !samples.is_empty() && samples.iter().all(is_good);
    text.gauge("probe_success", "Whether all was measured and in range.", f64::from(success));
    text.gauge("probe_duration_seconds", "How long the probe took.", duration(samples, took));
    text.gauge("probe_timeout_seconds", "The probe's time limit.", patience.as_secs_f64());
    text.gauge("probe_sample_age_seconds", "Age of the samples.", answer.age.as_secs_f64());
    if let Some(version) = samples.iter().find_map(|sample| ip_version(&sample["address"])) {
        text.gauge("probe_ip_protocol", "Whether the address is IPv4 or IPv6.", version);
    }
    let (tls, http) = (of(samples, "tls"), of(samples, "http"));
    if let Some(expiry) = tls.clone().filter_map(earliest_expiry).reduce(f64::min) {
        let help = "Earliest expiry of the certificates that were sent, unix time.";
        text.gauge("probe_ssl_earliest_cert_expiry", help, expiry);
    }
    if let Some(negotiated) = tls.clone().find_map(|m| m["negotiated"].as_object()) {
        let word = |key: &str| negotiated.get(key).and_then(Value::as_str);
        if let Some(version) = word("version") {
            let version = version.replace("TLSv", "TLS ");
            text.info("probe_tls_version_info", "The TLS version used.", "version", &version);
        }
        if let Some(suite) = word("cipher_suite") {
            text.info("probe_tls_cipher_info", "The cipher suite used.", "cipher", suite);
        }
    }
    http_metrics(&mut text, http);
    text.0
}

fn http_metrics<'s>(text: &mut Text, http: impl Iterator<Item = &'s Value> + Clone) {
    let Some(first) = http.clone().next() else { return };
    let status = http.filter_map(|m| m["status"].as_f64()).reduce(f64::max).unwrap_or(0.0);
    text.gauge("probe_http_status_code", "The final status; 0 without one.", status);
    let Some(last) = first["hops"].as_array().and_then(|hops| hops.last()) else { return };
    let redirects = first["redirection"]["hops"].as_f64().unwrap_or(0.0);
    text.gauge("probe_http_redirects", "How many redirects there were.", redirects);
    let is_https = last["url"].as_str().is_some_and(|url| url.starts_with("https:"));
    text.gauge("probe_http_ssl", "Whether the final response came over TLS.", f64::from(is_https));
    let version = last["version"].as_str().and_then(|version| version.strip_prefix("HTTP/"));
    if let Some(version) = version.and_then(|version| version.parse().ok()) {
        text.gauge("probe_http_version", "The version of the final response.", version);
    }
    let phases = ["connect", "tls", "first_byte", "total"]
        .into_iter()
        .filter_map(|phase| last["timings"][phase].as_f64().map(|seconds| (phase, seconds)))
        .collect::<Vec<_>>();
    text.family("probe_http_duration_seconds", "Phases of the final request.", "phase", &phases);
}

fn of<'s>(samples: &'s [Value], probe: &str) -> impl Iterator<Item = &'s Value> + Clone {
    let probe = probe.to_owned();
    samples.iter().filter(move |sample| sample["probe"] == *probe).map(|s| &s["measurements"])
}

fn duration(samples: &[Value], took: Duration) -> f64 {
    let longest = samples.iter().filter_map(|sample| sample["duration_seconds"].as_f64());
    longest.reduce(f64::max).unwrap_or(took.as_secs_f64())
}

fn ip_version(address: &Value) -> Option<f64> {
    match address.as_str()?.parse().ok()? {
        std::net::IpAddr::V4(_) => Some(4.0),
        std::net::IpAddr::V6(_) => Some(6.0),
    }
}

fn earliest_expiry(measurements: &Value) -> Option<f64> {
    let leaves = measurements["certificates"].as_array()?;
    let chains = leaves.iter().filter_map(|leaf| leaf["chain"].as_array()).flatten();
    let ends = leaves.iter().chain(chains).filter_map(|certificate| {
        DateTime::parse_from_rfc3339(certificate["not_after"].as_str()?).ok()
    });
    ends.min().map(|end| end.timestamp() as f64)
}

struct Text(String);

impl Text {
    fn head(&mut self, name: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, help);
        let _ = writeln!(self.0, "{name} {}", Number(value));
    }

    fn info(&mut self, name: &str, help: &str, label: &str, value: &str) {
        self.family(name, help, label, &[(value, 1.0)]);
    }

    fn family(&mut self, name: &str, help: &str, label: &str, values: &[(&str, f64)]) {
        if values.is_empty() {
            return;
        }
        self.head(name, help);
        for (word, value) in values {
            let _ = write!(self.0, "{name}{{{label}=\"");
            escape(&mut self.0, word);
            let _ = writeln!(self.0, "\"}} {}", Number(*value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scrape_timeout_is_honoured_less_half_a_second() {
        for (given, expected) in
            [("5", 4.5), ("0.4", 0.4), ("nan", 9.5), ("1e9", 120.0), ("x", 9.5), ("-3", 0.1)]
        {
            let mut headers = HeaderMap::new();
            headers.insert("x-prometheus-scrape-timeout-seconds", given.parse().expect("a value"));
            assert_eq!(patience(&headers).as_secs_f64(), expected, "{given}");
        }
    }

    #[test]
    fn modules_are_probes_and_their_kin() {
        assert_eq!(kind("http_2xx").expect("known"), Some(ProbeKind::Http));
        assert_eq!(kind("tls").expect("known"), Some(ProbeKind::Tls));
        assert_eq!(kind("").expect("known"), None);
        assert!(kind("icmp").is_err() && kind("httpx").is_err());
    }
}
