//! The one integration binary. Tests drive the `secchi` binary, HTTP and real servers on loopback.
//! Each module says what belongs there; try not to add more.
#![expect(unreachable_pub, reason = "one crate of tests")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

/// The API and what talks to it: exceptions, deployments, baselines, tokens, pages, `/probe`.
mod api;
/// The import rule and the bounds on files.
mod architecture;
/// Deployments, how far a fault spreads, and how often it shows.
mod change;
/// `secchi check` against real servers.
mod check;
/// `secchi config …`, `rules …`, `plan`, `generate`: commands that need no network.
mod commands;
/// `kill -9`, again and again.
mod crash;
/// The daemon: findings open and resolve, reload, metrics, API, stop.
mod daemon;
/// `secchi demo`.
mod demo;
/// Lists of targets in files and over HTTP; what is out of scope.
mod discovery;
/// Names: their servers, and what they say of certificates and mail.
mod dns;
/// Services of Debian's packages as the ports probe sees them.
mod exposed;
/// Full disks, receivers that are down, windows, restarts, secrets.
mod faults;
/// `secchi check` as a gate: SARIF, JUnit, baseline, exceptions, targets of a config.
mod gate;
/// Certificates judged by the handshakes of the http probe.
mod glimpse;
/// Peers that lie, drip and shout.
mod hostile;
/// The daemon beside the real Alertmanager and Prometheus.
mod monitoring;
/// What sampling plans promise, by simulation; `secchi plan`.
mod plan;
/// What the daemon does to its targets: one connection at a time, at the configured rate.
mod politeness;
mod ports;
/// What samples prove afterwards: evidence over the API, and `secchi report`.
mod proof;
mod support;
