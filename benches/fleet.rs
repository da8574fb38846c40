//! A fleet of https targets on one local nginx, one sample a minute each: what the daemon takes, and
//! what blackbox_exporter and Prometheus take for the same targets.
#![allow(clippy::print_stdout, unreachable_pub, reason = "a bench prints what it measured")]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::peers::{Process, address, nginx, secchi, wait_for};
use support::{Watched, free_port, get_text, metric, size, told};

fn main() {
    if !support::is_wanted("fleet") {
        return;
    }
    let wanted =
        std::env::var("SECCHI_BENCH_RUNS").unwrap_or_else(|_| "http,both,blackbox".to_owned());
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let fleet = Fleet {
        targets: size("TARGETS", 10_000),
        warm_up: size("WARM_UP", 75) as u64,
        seconds: size("SECONDS", 180) as u64,
        https: free_port(),
    };
    let nginx = nginx(folder.path(), fleet.https);
    for run in wanted.split(',') {
        let dir = folder.path().join(run);
        std::fs::create_dir(&dir).expect("a folder");
        match run {
            // Each handshake of http gives a tls sample too.
            "http" => fleet.daemon(&dir, "http", 2),
            "tls" => fleet.daemon(&dir, "tls", 1),
            "both" => fleet.daemon(&dir, "http, tls", 2),
            _ => fleet.blackbox(&dir),
        }
    }
    drop(nginx);
}

#[derive(Clone, Copy)]
struct Fleet {
    targets: usize,
    warm_up: u64,
    seconds: u64,
    https: u16,
}

impl Fleet {
    fn daemon(self, folder: &Path, probes: &str, points: usize) {
        let port = free_port();
        self.config(folder, probes);
        let mut daemon = secchi(folder, port);
        wait_for(&mut daemon, port, "/-/ready", Duration::from_secs(60));
        std::thread::sleep(Duration::from_secs(self.warm_up));
        let before = get_text(port, "/metrics").expect("metrics");
        self.watch(&[("secchi", daemon.id())]);
        let after = get_text(port, "/metrics").expect("metrics");
        let of = |name: &str, labels: &[&str]| {
            metric(&after, name, labels) - metric(&before, name, labels)
        };
        let samples = of("secchi_samples_total", &[]);
        let expected = (self.targets * points) as f64 * self.seconds as f64 / 60.0;
        let share = 100.0 * samples / expected;
        told(
            "  samples",
            format!("{samples} ({share:.1} % of the plan)"),
            &format!("probes: {probes}"),
        );
        for verdict in ["in_range", "out_of_range", "unknown", "not_applicable"] {
            let count = of("secchi_samples_total", &[&format!("verdict=\"{verdict}\"")]);
            told(&format!("    {verdict}"), count, "");
        }
        told("  connections", of("secchi_connections_total", &[]), "");
        let skipped = of("secchi_scheduler_skipped_total", &[]);
        told("  slots skipped", skipped, "");
        let mean = of("secchi_sample_duration_seconds_sum", &[])
            / of("secchi_sample_duration_seconds_count", &[]);
        told("  mean length of a sample", format!("{:.1} ms", mean * 1e3), "");
        let late = of("secchi_scheduler_lag_seconds_count", &[])
            - of("secchi_scheduler_lag_seconds_bucket", &["le=\"0.25\""]);
        told("  begun more than 250 ms late", late, "");
        told(
            "  ledger",
            format!(
                "{:.1} MiB",
                metric(&after, "secchi_ledger_size_bytes", &[]) / f64::from(1 << 20)
            ),
            "",
        );
        told("  findings open", metric(&after, "secchi_findings_active", &[]), "");
    }

    /// Budgets are lifted: one machine stands for ten thousand.
    fn config(self, folder: &Path, probes: &str) {
        let ca = folder.parent().expect("a folder").join("ca.pem");
        let mut text = format!(
            "scope: {{names: ['*.fleet.test'], networks: [127.0.0.0/8]}}\n\
             plans: {{minutely: {{every: 1m}}}}\n\
             budgets: {{per_address: 10000/s, per_network: 10000/s, total: 10000/s}}\n\
             defaults: {{plan: minutely, probes: [{probes}], ca_file: {}}}\n\
             targets:\n",
            ca.display()
        );
        for n in 0..self.targets {
            let _ = write!(
                text,
                "  - target: https://{}:{}\n    address: {}\n    labels: {{service: shop, team: team-{}, env: bench}}\n",
                name(n),
                self.https,
                address(n),
                n % 20
            );
        }
        std::fs::write(folder.join("secchi.yaml"), text).expect("a config");
    }

    fn blackbox(self, folder: &Path) {
        let (blackbox, prometheus) = (free_port(), free_port() + 7);
        let ca = folder.parent().expect("a folder").join("ca.pem");
        let modules = format!(
            "modules:\n  http_2xx:\n    prober: http\n    timeout: 10s\n    http: {{preferred_ip_protocol: ip4, \
             fail_if_not_ssl: true, tls_config: {{ca_file: {}}}}}\n",
            ca.display()
        );
        std::fs::write(folder.join("blackbox.yml"), modules).expect("a config");
        let mut command = Command::new("prometheus-blackbox-exporter");
        command.arg(format!("--config.file={}", folder.join("blackbox.yml").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{blackbox}")).arg("--log.level=error");
        let mut exporter = Process::start("blackbox", &mut command, folder);
        wait_for(&mut exporter, blackbox, "/-/healthy", Duration::from_secs(20));

        let groups: Vec<_> = (0..self.targets)
            .map(|n| {
                serde_json::json!({
                    "targets": [format!("https://{}:{}", address(n), self.https)],
                    "labels": {"__param_hostname": name(n), "instance": name(n)},
                })
            })
            .collect();
        let list = serde_json::to_vec(&groups).expect("JSON");
        std::fs::write(folder.join("targets.json"), list).expect("a list");
        let config = format!(
            "global: {{scrape_interval: 1m, scrape_timeout: 10s}}\nscrape_configs:\n- job_name: blackbox\n  \
             metrics_path: /probe\n  params: {{module: [http_2xx]}}\n  file_sd_configs: [{{files: [{}]}}]\n  \
             relabel_configs:\n  - {{source_labels: [__address__], target_label: __param_target}}\n  \
             - {{target_label: __address__, replacement: '127.0.0.1:{blackbox}'}}\n",
            folder.join("targets.json").display()
        );
        std::fs::write(folder.join("prometheus.yml"), config).expect("a config");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()));
        command
            .arg(format!("--web.listen-address=127.0.0.1:{prometheus}"))
            .arg("--log.level=error");
        let mut server = Process::start("prometheus", &mut command, folder);
        wait_for(&mut server, prometheus, "/-/ready", Duration::from_secs(30));
        std::thread::sleep(Duration::from_secs(self.warm_up));
        let query = "/api/v1/query?query=sum(probe_success)";
        self.watch(&[("blackbox_exporter", exporter.id()), ("Prometheus", server.id())]);
        let answer = get_text(prometheus, query).unwrap_or_default();
        told(
            "  sum(probe_success)",
            answer.rsplit("\",").next().unwrap_or_default().len(),
            &answer,
        );
    }

    /// Processor time and memory of these processes over the run.
    fn watch(self, processes: &[(&str, u32)]) {
        let watched: Vec<_> =
            processes.iter().map(|(name, pid)| (*name, Watched::of(*pid))).collect();
        watched.iter().for_each(|(_, watched)| watched.forget_peak());
        let before: Vec<f64> = watched.iter().map(|(_, watched)| watched.cpu()).collect();
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(self.seconds) {
            std::thread::sleep(Duration::from_secs(1));
            let ended = watched.iter().find(|(_, watched)| watched.rss() == 0);
            assert!(ended.is_none(), "{:?} ended within the run", ended.map(|(name, _)| name));
        }
        let passed = begun.elapsed().as_secs_f64();
        for ((name, watched), before) in watched.iter().zip(before) {
            let share = 100.0 * (watched.cpu() - before) / passed;
            let memory = format!("{:.0} MB, peak {:.0} MB", mb(watched.rss()), mb(watched.peak()));
            told(
                &format!("{name}, {} targets", self.targets),
                format!("{share:.1} % of a core"),
                &memory,
            );
        }
    }
}

fn name(n: usize) -> String {
    format!("host-{n:05}.fleet.test")
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
