//! `secchi demo`: a little production on loopback, sampled by the real daemon, broken and mended.

mod lab;
mod names;
mod story;
mod web;

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use self::lab::Lab;
use self::story::Story;
use super::daemon_api::Api;
use super::screen;
use crate::daemon::{self, Options, Source};
use crate::target::{PointKey, Span};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// End after this time (at least 20s); without it, run until interrupted
    #[arg(long = "for", value_name = "DURATION", value_parser = length)]
    length: Option<Duration>,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let scratch = Scratch::new()?;
    let seed = scratch.seed;
    super::runtime()?.block_on(async {
        let port = lab::free_port(seed).await?;
        let lab = Lab::start(scratch.dir.clone(), seed ^ 1).await?;
        std::fs::write(lab.path("hints"), names::root_hints())?;
        std::fs::write(lab.path("secchi.yaml"), config(&lab)?)?;
        let stop = CancellationToken::new();
        let options = Options {
            source: Source::File(lab.path("secchi.yaml")),
            data_dir: Some(lab.path("data")),
            listen: Some(([127, 0, 0, 1], port).into()),
        };
        let daemon = tokio::spawn(daemon::run(options, stop.clone()));
        let told = tell(&lab, port, args.length).await;
        stop.cancel();
        daemon.await.context("the daemon stopped short")??;
        told
    })
}

/// Breaks and mends the lab while the findings go over the screen.
async fn tell(lab: &Lab, port: u16, length: Option<Duration>) -> anyhow::Result<ExitCode> {
    let url = format!("http://127.0.0.1:{port}");
    let api = Api::at(url.clone());
    let ready_by = Instant::now() + READY;
    while let Err(error) = api.is_ready().await {
        anyhow::ensure!(Instant::now() < ready_by, "the daemon is not ready: {error:#}");
        sleep(Duration::from_millis(50)).await;
    }
    opening(&url)?;
    let act = length.map_or(ACT, |length| length / 4);
    let (begun, mut story) = (Instant::now(), Story::default());
    let mut act_number = 0;
    loop {
        story.tell(&api, begun).await?;
        let elapsed = begun.elapsed();
        if length.is_some_and(|length| elapsed >= length - CLOSING) {
            break;
        }
        let now = u32::try_from(elapsed.as_millis() / act.as_millis().max(1)).unwrap_or(u32::MAX);
        if now > act_number && (length.is_none() || now <= 2) {
            act_number = now;
            lab.set_broken(now % 2 == 1);
            story.announce(begun, now % 2 == 1)?;
        }
        tokio::select! {
            () = sleep(POLL) => {}
            // Without a way to hear it, the demo ends by its time.
            Ok(()) = tokio::signal::ctrl_c() => break,
        }
    }
    story.close(&url)
}

fn opening(url: &str) -> std::io::Result<()> {
    let mut out = screen::out();
    writeln!(out, "Secchi samples a little production on loopback, every second:")?;
    writeln!(out, "  https://shop.demo.test     well kept, until it is broken")?;
    writeln!(out, "  https://legacy.demo.test   nobody cares for it")?;
    writeln!(out, "  demo.test                  its name server, with pinned records")?;
    writeln!(out, "  127.0.0.1                  one port is expected")?;
    writeln!(out, "Start page {url}/   metrics {url}/metrics   API {url}/api/v1/findings\n")?;
    out.flush()
}

/// The config is an ordinary `secchi.yaml`.
fn config(lab: &Lab) -> Result<String, std::fmt::Error> {
    let mut text = String::from(
        "scope: {names: [demo.test, \"*.demo.test\"], networks: [\"127.0.0.0/8\"]}\n\
         plans: {second: {every: 1s}}\n\
         defaults:\n  plan: second\n  probes: [tls, http]\n  timeout: 5s\n  repeat: {samples: 2, agree: 2, within: 1s}\n\
         budgets: {per_address: 200/s, per_network: 1000/s, total: 1000/s}\n\
         targets:\n",
    );
    for (name, (http, https)) in [("shop", lab.shop), ("legacy", lab.legacy)] {
        writeln!(text, "  - target: https://{name}.demo.test")?;
        writeln!(text, "    ca_file: ca.pem")?;
        writeln!(
            text,
            "    connect_to: [\"{name}.demo.test:443:127.0.0.1:{https}\", \"{name}.demo.test:80:127.0.0.1:{http}\"]"
        )?;
        writeln!(text, "    labels: {{service: {name}, team: demo, env: demo}}")?;
    }
    writeln!(
        text,
        "  - target: demo.test\n    probes: [dns]\n    labels: {{service: names, team: demo, env: demo}}"
    )?;
    writeln!(text, "    root_hints: hints\n    dns_port: {}\n    timeout: 1s", lab.dns)?;
    writeln!(
        text,
        "    pins: {{shop.demo.test: {{A: {{exact: [127.0.0.1], reason: one shop}}}}}}"
    )?;
    let (expected, rogue) = lab.ports;
    writeln!(
        text,
        "  - target: 127.0.0.1\n    probes: [ports]\n    labels: {{service: host, team: demo, env: demo}}"
    )?;
    writeln!(
        text,
        "    ports: \"{expected},{rogue}\"\n    pins: {{127.0.0.1: {{ports: {{exact: [{expected}]}}}}}}"
    )?;
    Ok(text)
}

fn length(text: &str) -> Result<Duration, String> {
    let length = text.parse::<Span>().map_err(|error| error.to_string())?.0;
    if length < LEAST { Err("a demo takes at least 20s".to_owned()) } else { Ok(length) }
}

/// A folder of the demo's own, gone when the demo is.
struct Scratch {
    dir: PathBuf,
    seed: u64,
}

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let seed = daemon::random_seed()?.for_run(PointKey(0), 0);
        let dir = std::env::temp_dir().join(format!("secchi-demo-{seed:016x}"));
        std::fs::create_dir(&dir)?;
        Ok(Self { dir, seed })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left in the temporary folder does no harm.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

const ACT: Duration = Duration::from_secs(20);
const CLOSING: Duration = Duration::from_secs(1);
const LEAST: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(200);
const READY: Duration = Duration::from_secs(20);
