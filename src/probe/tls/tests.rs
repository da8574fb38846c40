//! The probe against real `openssl s_server`s and against peers that misbehave.

mod enumerated;
mod features;
mod intrusive;
mod peers;
mod pki;
mod real;
mod scripted;
mod starttls;
mod ticks;
mod various;
mod ways;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::probe::dial::{Dialer, Unbounded};
use crate::probe::{Job, Memory, Run};
use crate::sample::{Measurements, Outcome, Unknown};
use crate::target::{Endpoint, Point, ProbeKind, Settings, Target, TextFile};

/// How a test asks: what it does not say has a default.
struct Ask {
    scheme: &'static str,
    server_name: Option<&'static str>,
    ca: Option<String>,
    budget: Duration,
    intrusive: bool,
    memory: Option<Memory>,
    promised: bool,
    /// Minutes after the tests' time.
    minute: i64,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            scheme: "",
            server_name: Some("a.test"),
            ca: None,
            budget: Duration::from_secs(10),
            intrusive: false,
            memory: None,
            promised: false,
            minute: 0,
        }
    }
}

impl Ask {
    async fn sample(self, port: u16) -> Run {
        let endpoint: Endpoint =
            format!("{}127.0.0.1:{port}", self.scheme).parse().expect("an endpoint");
        let ca_file = self.ca.map(|pem| TextFile { path: "ca.pem".into(), text: pem.into() });
        let server_name = self.server_name.map(str::to_owned);
        let intrusive = self.intrusive;
        let settings = Settings { ca_file, server_name, intrusive, ..Settings::default() };
        let settings = Arc::new(settings);
        let target = Target { settings: settings.clone(), ..Target::new(endpoint) };
        let address = Some(Ipv4Addr::LOCALHOST.into());
        let point = Point { target: Arc::new(target), probe: ProbeKind::Tls, address };
        let dialer = Dialer::new(Unbounded::outside(), settings, ProbeKind::Tls, self.budget);
        super::run(Job {
            point,
            memory: self.memory,
            now: now() + chrono::Duration::minutes(self.minute),
            seed: 7,
            cause: crate::sample::Cause::Scheduled,
            dialer,
            glimpses: false,
            promised: self.promised,
        })
        .await
    }

    async fn measure(self, port: u16) -> Measurements {
        match self.sample(port).await.observations.swap_remove(0).outcome {
            Outcome::Measured(measurements) => measurements,
            Outcome::Unknown(unknown) => panic!("nothing was measured: {unknown}"),
        }
    }

    async fn why_nothing(self, port: u16) -> Unknown {
        match self.sample(port).await.observations.swap_remove(0).outcome {
            Outcome::Measured(measurements) => panic!("measured: {measurements:?}"),
            Outcome::Unknown(unknown) => unknown,
        }
    }
}

#[test]
fn a_run_can_move_between_threads() {
    fn assert_send<T: Send>(_: fn(Job) -> T) {}
    assert_send(super::run);
}

/// Every test's time; certificates are made around it.
fn now() -> DateTime<Utc> {
    "2026-11-22T00:00:00Z".parse().expect("a time")
}

fn fact(measurements: &Measurements, pointer: &str) -> Value {
    let all = serde_json::to_value(measurements).expect("JSON");
    all.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {all:#}")).clone()
}

/// Why a path is unknown, as it is written.
fn why(measurements: &Measurements, path: &str) -> Option<String> {
    measurements.unknowns().get(path).map(ToString::to_string)
}
