//! `/metrics/targets`: every point's latest as Prometheus text, streamed family by family.
//!
//! The format wants all lines of a family together, and a slow reader must not hold the lock that
//! the ledger writes under. So the points are copied first (some hundred bytes each, chunk by chunk)
//! and written from the copy, 64 KiB at a time.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{error::Elapsed, timeout};

use super::error::Problem;
use super::health::TEXT;
use super::site::Site;
use crate::ledger::latest::{Latest, PointLatest};

#[derive(Debug, Default, Deserialize)]
pub(super) struct Params {
    mode: Option<String>,
}

/// Which points are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    All,
    /// Out of range or unknown.
    Failing,
}

pub(super) async fn targets(
    State(site): State<Arc<Site>>,
    Query(params): Query<Params>,
) -> Result<Response, Problem> {
    let mode = match params.mode.as_deref() {
        None if site.latest.len() > MANY => Mode::Failing,
        None | Some("all") => Mode::All,
        Some("failing") => Mode::Failing,
        Some(_) => return Err(Problem::bad("mode is all or failing")),
    };
    let turn = Arc::clone(&site.expositions).try_acquire_owned().map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "others are reading this; try again")
    })?;
    let (sender, receiver) = mpsc::channel::<Bytes>(2);
    let latest = Arc::clone(&site.latest);
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let points = copy(&latest, mode);
        write(&points, mode, |chunk| {
            let sent = async { timeout(STALL, sender.send(chunk)).await };
            matches!(runtime.block_on(sent), Ok::<_, Elapsed>(Ok(())))
        });
    });
    let chunks = stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (Ok::<_, std::io::Error>(chunk), receiver))
    });
    Ok(([(header::CONTENT_TYPE, TEXT)], Body::from_stream(chunks)).into_response())
}

/// The points of this mode, each once though the list may change meanwhile.
fn copy(latest: &Latest, mode: Mode) -> Vec<PointLatest> {
    let (mut points, mut seen) = (Vec::new(), HashSet::new());
    latest.for_each_chunk(1024, |chunk| {
        for point in chunk {
            let fails = point.out_of_range == Some(true) || point.unknown;
            if (mode == Mode::All || fails) && seen.insert(point.key) {
                points.push(point.clone());
            }
        }
    });
    points
}

/// Hands out the text in chunks until there is none left or nobody takes it.
fn write(points: &[PointLatest], mode: Mode, mut take: impl FnMut(Bytes) -> bool) {
    let mut writer =
        Writer { text: String::with_capacity(CHUNK + 1024), take: &mut take, open: true };
    if mode == Mode::Failing {
        writer
            .text
            .push_str("# Only points that are out of range or unknown; ?mode=all writes all.\n");
    }
    for family in FAMILIES {
        writer.family(family.name, family.help, points, family.value);
    }
    let gauges: BTreeSet<&'static str> =
        points.iter().flat_map(|point| point.gauges.iter().map(|(name, _)| *name)).collect();
    for gauge in gauges {
        let help = "Of the last known sample; see the reference of measurements.";
        let value = |point: &PointLatest| {
            point.gauges.iter().find(|(name, _)| *name == gauge).map(|(_, value)| *value)
        };
        writer.family(gauge, help, points, value);
    }
    writer.flush();
}

struct Family {
    name: &'static str,
    help: &'static str,
    value: fn(&PointLatest) -> Option<f64>,
}

const FAMILIES: &[Family] = &[
    Family {
        name: "target_out_of_range",
        help: "Whether the last known fact of the point is out of range.",
        value: |point| point.out_of_range.map(f64::from),
    },
    Family {
        name: "target_unknown",
        help: "Whether the last sample of the point measured nothing.",
        value: |point| Some(f64::from(point.unknown)),
    },
    Family {
        name: "target_last_sample_timestamp_seconds",
        help: "When the point was last sampled.",
        value: |point| (point.last_sample > 0.0).then_some(point.last_sample),
    },
];

struct Writer<'t> {
    text: String,
    take: &'t mut dyn FnMut(Bytes) -> bool,
    open: bool,
}

impl Writer<'_> {
    fn family(
        &mut self,
        name: &str,
        help: &str,
        points: &[PointLatest],
        value: impl Fn(&PointLatest) -> Option<f64>,
    ) {
        let mut is_first = true;
        for point in points {
            let Some(value) = value(point) else { continue };
            if !self.open {
                return;
            }
            if is_first {
                is_first = false;
                let _ =
                    write!(self.text, "# HELP secchi_{name} {help}\n# TYPE secchi_{name} gauge\n");
            }
            let _ = write!(self.text, "secchi_{name}{{target=\"");
            escape(&mut self.text, &point.target);
            let _ = write!(self.text, "\",probe=\"{}\",address=\"", point.probe.as_str());
            escape(&mut self.text, &point.address);
            let _ = writeln!(self.text, "\"}} {}", Number(value));
            if self.text.len() >= CHUNK {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        if self.open && !self.text.is_empty() {
            self.open = (self.take)(Bytes::copy_from_slice(self.text.as_bytes()));
            self.text.clear();
        }
    }
}

/// A label value of the text format: backslash, quote and line break escaped.
pub(super) fn escape(text: &mut String, value: &str) {
    if !value.contains(['\\', '"', '\n']) {
        text.push_str(value);
        return;
    }
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

/// A value of the text format.
pub(super) struct Number(pub(super) f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            value if value.is_nan() => f.write_str("NaN"),
            value if value.is_infinite() => f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" }),
            value => value.fmt(f),
        }
    }
}

/// Above so many points only the failing ones are written, unless all are asked for.
const MANY: usize = 10_000;
const CHUNK: usize = 64 << 10;

/// How long a reader may stand still.
const STALL: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{PointKey, ProbeKind};

    pub(super) fn point(n: usize, target: &str) -> PointLatest {
        PointLatest {
            key: PointKey(n as u64),
            target: target.into(),
            probe: ProbeKind::Tls,
            address: "192.0.2.1".into(),
            last_sample: 1.8e9,
            out_of_range: Some(n.is_multiple_of(10)),
            unknown: false,
            gauges: Box::new([("tls_cert_not_after_timestamp_seconds", 1.9e9)]),
        }
    }

    fn text(points: &[PointLatest], mode: Mode) -> String {
        let mut text = Vec::new();
        write(points, mode, |chunk| {
            assert!(chunk.len() < CHUNK + 2048);
            text.extend_from_slice(&chunk);
            true
        });
        String::from_utf8(text).expect("UTF-8")
    }

    #[test]
    fn every_family_stands_together_with_its_head() {
        let points: Vec<_> = (0..3000).map(|n| point(n, &format!("t{n}"))).collect();
        let text = text(&points, Mode::All);
        let families: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split('{').next())
            .collect();
        let mut distinct = families.clone();
        distinct.dedup();
        assert_eq!(distinct.len(), 4, "{distinct:?}");
        assert_eq!(families.len(), 4 * 3000);
        assert_eq!(text.matches("# TYPE").count(), 4);
    }

    #[test]
    fn a_hostile_target_stays_inside_its_label() {
        let text = text(&[point(0, "a\"} 1\n\\x")], Mode::All);
        assert!(text.contains("target=\"a\\\"} 1\\n\\\\x\",probe"), "{text}");
    }

    #[test]
    fn nobody_reading_ends_the_writing() {
        let points: Vec<_> = (0..3000).map(|n| point(n, "t")).collect();
        let mut chunks = 0;
        write(&points, Mode::All, |_| {
            chunks += 1;
            false
        });
        assert_eq!(chunks, 1);
    }

    #[test]
    fn a_point_is_copied_once_and_failing_means_failing() {
        let latest = Latest::default();
        let mut points: Vec<_> = (0..30).map(|n| point(n, "t")).collect();
        points.push(point(0, "t"));
        points[5].unknown = true;
        latest.replace(points);
        assert_eq!(copy(&latest, Mode::All).len(), 30);
        assert_eq!(copy(&latest, Mode::Failing).len(), 4);
    }
}
