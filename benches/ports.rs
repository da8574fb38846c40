//! The ports probe: all ports of a loopback address by `secchi check`, again and again; a thousand
//! ports that drop everything; and a thousand addresses that drip. nmap and rustscan beside, where
//! they are.
#![allow(clippy::print_stdout, unreachable_pub, reason = "a bench prints what it measured")]

mod support;

use std::fmt::Write as _;
use std::net::{IpAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use secchi::probe::dial::{Dialer, Unbounded};
use secchi::probe::ports::offline::after_a_whole_pass;
use secchi::probe::{self, Job, Memory, Run};
use secchi::sample::{Cause, Outcome};
use secchi::target::{Point, ProbeKind, Settings, Target};
use serde_json::{Value, json};
use support::peers::{Process, secchi, wait_for};
use support::{Series, Watched, free_port, get_text, metric, mib, size, told};
use tokio::time::Instant;

fn main() {
    if !support::is_wanted("ports") {
        return;
    }
    let wanted =
        std::env::var("SECCHI_BENCH_RUNS").unwrap_or_else(|_| "scan,dropped,steady,drip".into());
    for run in wanted.split(',') {
        match run {
            "scan" => scan(),
            "dropped" => dropped(),
            "steady" => steady(),
            "drip" => drip(),
            other => println!("  there is no run `{other}`"),
        }
    }
}

/// All ports of a loopback address, of which one is ours.
fn scan() {
    let rounds = size("ROUNDS", 20);
    // One port is open, so that a scan which sees nothing does not pass for a fast one.
    let listener = TcpListener::bind((HOME, 0)).expect("a port");
    let open = listener.local_addr().expect("an address").port();
    thread::spawn(move || for _ in listener.incoming() {});
    let (mut times, mut samples, mut peak, mut wrong) = (Vec::new(), Vec::new(), 0, 0);
    for _ in 0..rounds {
        let begun = Instant::now();
        let (report, most) = check(&[], HOME, "1-65535");
        times.push(begun.elapsed().as_secs_f64());
        samples.push(report["samples"][0]["duration_seconds"].as_f64().unwrap_or(f64::NAN));
        peak = peak.max(most);
        wrong += u32::from(!is_right(&report, open));
    }
    told("65,535 ports, the whole command", Series::new(times).in_words("s"), "goal: as nmap");
    told("  the sample alone", Series::new(samples).in_words("s"), "");
    told("  peak of resident memory", format!("{:.1} MiB", mib(peak)), "goal: below 64 MiB");
    told("  runs with a wrong state", wrong, "goal: 0");
    let ours = Some(open);
    rivals(&[], HOME, "1-65535", ours, rounds.min(5));
}

/// Whether our port is open, and every other one closed or another's that listens everywhere.
fn is_right(report: &Value, ours: u16) -> bool {
    let address = &report["samples"][0]["measurements"]["addresses"][0];
    let empty = ["filtered", "not_measured", "forged", "unstable"];
    let open = address["open"].as_array().map(Vec::as_slice).unwrap_or_default();
    empty.iter().all(|list| address[list] == json!([]))
        && open.iter().any(|item| item["port"] == ours)
        && open.len() < 30
}

/// A thousand ports of a host that drops everything but one: each takes the whole timeout.
fn dropped() {
    let Some(net) = Wire::start() else {
        println!("  no network namespaces or nftables here: nothing dropped");
        return;
    };
    let (mut times, mut wrong) = (Vec::new(), 0);
    for _ in 0..size("ROUNDS", 5).min(5) {
        let begun = Instant::now();
        let (report, _) = check(&net.exec(), THERE, "1-1000");
        times.push(begun.elapsed().as_secs_f64());
        let address = &report["samples"][0]["measurements"]["addresses"][0];
        // Without a sign of life from any port the host would be down, and nothing told.
        let lists = (&address["filtered"], &address["closed"]);
        wrong += u32::from(lists != (&json!(["2-1000/tcp"]), &json!(["1/tcp"])));
    }
    let goal = "goal: 3.5 s and 10 %, 3.85 s";
    told("1,000 ports that drop, the whole command", Series::new(times).in_words("s"), goal);
    told("  runs with a wrong state", wrong, "goal: 0");
    rivals(&net.exec(), THERE, "1-1000", None, 3);
}

/// The probe alone, for addresses that the drip has been round once: a sample a minute of each.
fn steady() {
    let (addresses, minutes) = (size("TARGETS", 1_000).min(250), 8);
    let now: DateTime<Utc> = "2026-11-22T00:00:00Z".parse().expect("a time");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (cpu, connects) = runtime.expect("a runtime").block_on(async {
        let mut memories: Vec<_> =
            (0..addresses).map(|n| after_a_whole_pass(address(n), now)).collect();
        let (before, mut connects) = (Watched::own().cpu(), 0);
        for minute in 1..=minutes {
            for (n, memory) in memories.iter_mut().enumerate() {
                let run = sample(address(n), memory.take(), now + TimeDelta::minutes(minute)).await;
                connects += run.observations[0].connections;
                *memory = run.memory;
            }
        }
        (Watched::own().cpu() - before, f64::from(connects))
    });
    let samples = addresses as f64 * minutes as f64;
    told(
        "a planned sample, all ports known",
        format!("{:.2} ms of a core", cpu / samples * 1e3),
        "",
    );
    told("  connects a sample", format!("{:.0}", connects / samples), "");
    told(
        "  the probe at 1,540 connects/s",
        format!("{:.2} %", 100.0 * cpu / connects * 1_540.0),
        "goal: below 3 %",
    );
}

async fn sample(address: IpAddr, memory: Option<Memory>, now: DateTime<Utc>) -> Run {
    let settings = Arc::new(Settings::default());
    let endpoint = address.to_string().parse().expect("a target");
    let target = Target { settings: Arc::clone(&settings), ..Target::new(endpoint) };
    let point = Point { target: Arc::new(target), probe: ProbeKind::Ports, address: None };
    let dialer =
        Dialer::new(Unbounded::outside(), settings, ProbeKind::Ports, Duration::from_secs(60));
    let (cause, spoken_for) = (Cause::Scheduled, Arc::default());
    let promised = false;
    let glimpses = false;
    let job = Job { point, memory, now, seed: 1, cause, dialer, glimpses, promised, spoken_for };
    let run = probe::run(job).await;
    assert!(matches!(run.observations[0].outcome, Outcome::Measured(_)), "{run:?}");
    run
}

/// Loopback addresses that nobody listens on alone.
fn address(n: usize) -> IpAddr {
    let byte = |n: usize| u8::try_from(n % 250).unwrap_or_default();
    IpAddr::from([127, 1, byte(n / 250), byte(n) + 1])
}

/// A thousand addresses, each dripping through its tiers, on a machine where nothing is open but what
/// listens everywhere.
fn drip() {
    let (addresses, seconds, warm_up) =
        (size("TARGETS", 1_000), size("SECONDS", 180), size("WARM_UP", 400));
    let folder = tempfile::tempdir().expect("a folder");
    let idle = {
        let mut process = start(folder.path(), 0);
        thread::sleep(Duration::from_secs(10));
        assert!(!process.has_ended(), "it ended; see its log");
        Watched::of(process.id()).rss()
    };
    let port = daemon_config(folder.path(), addresses);
    let mut process = secchi(folder.path(), port);
    wait_for(&mut process, port, "/-/ready", Duration::from_secs(60));
    // The first step looks at as much as in five minutes, and a tier's states grow with its passes.
    thread::sleep(Duration::from_secs(warm_up as u64));
    let watched = Watched::of(process.id());
    let before = get_text(port, "/metrics").expect("metrics");
    let (begun, cpu) = (Instant::now(), watched.cpu());
    watched.forget_peak();
    thread::sleep(Duration::from_secs(seconds as u64));
    let (took, cpu) = (begun.elapsed().as_secs_f64(), watched.cpu() - cpu);
    let (rss, peak) = (watched.rss(), watched.peak());
    let after = get_text(port, "/metrics").expect("metrics");
    let of = |name: &str, labels: &[&str]| {
        (metric(&after, name, labels) - metric(&before, name, labels)) / took
    };
    let connects = of("secchi_connections_total", &["probe=\"ports\""]);
    let share = 100.0 * cpu / took;
    told(&format!("{addresses} addresses drip"), format!("{connects:.0} connects/s"), "");
    told("  a core", format!("{share:.2} %"), "");
    let at_goal = format!("{:.2} %", share * 1_540.0 / connects);
    told("  of 1,540 connects/s", at_goal, "goal: below 3 %");
    told("  resident memory", format!("{:.1} MiB", mib(rss)), "goal: below 64 MiB");
    told("    at most", format!("{:.1} MiB", mib(peak)), "");
    told("    of a daemon without targets", format!("{:.1} MiB", mib(idle)), "");
    told("  samples", format!("{:.1}/s", of("secchi_samples_total", &[])), "");
    let unknown = of("secchi_samples_total", &["verdict=\"unknown\""]);
    told("    unknown", format!("{unknown:.2}/s"), "0, or something stood in the way");
    let skipped = of("secchi_scheduler_skipped_total", &[]);
    told("  slots skipped", format!("{skipped:.2}/s"), "goal: 0");
    let ledger = metric(&after, "secchi_ledger_size_bytes", &[])
        - metric(&before, "secchi_ledger_size_bytes", &[]);
    told(
        "  ledger's growth",
        format!("{:.2} MiB/min", ledger / took * 60.0 / f64::from(1 << 20)),
        "",
    );
}

fn start(folder: &Path, addresses: usize) -> Process {
    let port = daemon_config(folder, addresses);
    let mut process = secchi(folder, port);
    wait_for(&mut process, port, "/-/ready", Duration::from_secs(60));
    process
}

/// Budgets are lifted: a /24 of loopback stands for as many networks.
fn daemon_config(folder: &Path, addresses: usize) -> u16 {
    let mut text = "scope: {networks: [127.0.0.0/8]}\nplans: {minutely: {every: 1m}}\n\
         budgets: {per_address: {ports: 1000/s}, per_network: 100000/s, total: 100000/s}\n\
         defaults: {plan: minutely, probes: [ports]}\ntargets:\n"
        .to_owned();
    for n in 0..addresses {
        let _ = writeln!(text, "  - target: {}", address(n));
    }
    if addresses == 0 {
        text = text.replace("targets:\n", "targets: []\n");
    }
    std::fs::write(folder.join("secchi.yaml"), text).expect("a config");
    free_port()
}

/// `secchi check` of these ports, at whatever pace the kernel has; the report, and the most memory.
fn check(exec: &[&str], host: &str, ports: &str) -> (Value, u64) {
    let mut command = command(exec, env!("CARGO_BIN_EXE_secchi"));
    command.args(["check", host, "--allow-network", "127.0.0.0/8"]);
    command.args(["--allow-network", "10.0.0.0/8", "--probe", "ports"]);
    command.args(["--ports", ports, "--rate", "1000000", "--format", "json"]);
    let (text, peak) = watch(command.stdout(Stdio::piped()).spawn().expect("the binary"));
    (serde_json::from_str(&text).expect("JSON"), peak)
}

/// What a child writes, and the most memory that it took.
fn watch(mut child: Child) -> (String, u64) {
    let watched = Watched::of(child.id());
    let output = child.stdout.take().expect("a pipe");
    let reader = thread::spawn(move || std::io::read_to_string(output).expect("text"));
    let mut peak = 0;
    while !reader.is_finished() {
        peak = peak.max(watched.peak());
        thread::sleep(Duration::from_millis(5));
    }
    child.wait().expect("a child");
    (reader.join().expect("a reader"), peak)
}

/// The same by others, where they are: time, memory, and how many ports they call open.
fn rivals(exec: &[&str], host: &str, ports: &str, ours: Option<u16>, rounds: usize) {
    let nmap = ["-sT", "-T5", "-n", "-Pn", "-oG", "-", "-p", ports, host];
    let rustscan = ["-a", host, "-r", ports, "--ulimit", "5000", "-g", "--no-config"];
    for (name, args) in [("nmap", &nmap[..]), ("rustscan", &rustscan[..])] {
        if !is_installed(name) {
            println!("  {name}: not here");
            continue;
        }
        let (mut times, mut peak, mut opens) = (Vec::new(), 0, Vec::new());
        for _ in 0..rounds {
            let begun = Instant::now();
            let mut command = command(exec, name);
            let command = command.args(args).stdout(Stdio::piped()).stderr(Stdio::null());
            let (text, most) = watch(command.stdin(Stdio::null()).spawn().expect("it starts"));
            times.push(begun.elapsed().as_secs_f64());
            peak = peak.max(most);
            opens.push(opens_of(&text));
        }
        told(&format!("{name} {}", args[..3].join(" ")), Series::new(times).in_words("s"), "");
        told("  peak of resident memory", format!("{:.1} MiB", mib(peak)), "");
        let missed = opens.iter().filter(|open| ours.is_some_and(|ours| !open.contains(&ours)));
        let counts: Vec<_> = opens.iter().map(Vec::len).collect();
        told("  called open, by run", format!("{counts:?}, ours missed {}", missed.count()), "");
    }
}

/// The open ports of nmap's (`22/open/tcp//ssh///`) and rustscan's (`A -> [22,80]`) greppable lines.
fn opens_of(text: &str) -> Vec<u16> {
    let words = text.split([' ', ',', '\t']).filter(|word| word.contains("/open/"));
    let nmap = words.filter_map(|word| word.split('/').next()?.parse().ok());
    let lists = text.lines().filter_map(|line| line.split_once("-> [")?.1.split(']').next());
    let rustscan =
        lists.flat_map(|list| list.split(',')).filter_map(|port| port.trim().parse().ok());
    nmap.chain(rustscan).collect()
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn command(exec: &[&str], program: &str) -> Command {
    match exec {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    }
}

/// Two namespaces and a wire between them; what comes to the far one is dropped but for port 1.
struct Wire {
    here: String,
    there: String,
}

impl Wire {
    fn start() -> Option<Self> {
        let name = |side: &str| format!("secchi-bench-{}-{side}", std::process::id());
        let wire = Self { here: name("a"), there: name("b") };
        let (here, there) = (wire.here.as_str(), wire.there.as_str());
        let made = ip(&["netns", "add", here])
            && ip(&["netns", "add", there])
            && ip(&[
                "link", "add", "v", "netns", here, "type", "veth", "peer", "name", "v", "netns",
                there,
            ])
            && ip(&["-n", here, "addr", "add", "10.78.0.1/24", "dev", "v"])
            && ip(&["-n", there, "addr", "add", "10.78.0.2/24", "dev", "v"])
            && ip(&["-n", here, "link", "set", "v", "up"])
            && ip(&["-n", there, "link", "set", "v", "up"])
            && [
                "add table inet t",
                "add chain inet t in { type filter hook input priority 0; policy accept; }",
                "add rule inet t in tcp dport 2-65535 drop",
            ]
            .iter()
            .all(|rule| ip(&["netns", "exec", there, "nft", rule]));
        made.then_some(wire)
    }

    fn exec(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.here]
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for side in [&self.here, &self.there] {
            ip(&["netns", "del", side]);
        }
    }
}

fn ip(args: &[&str]) -> bool {
    Command::new("ip")
        .args(args)
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

const HOME: &str = "127.0.0.98";
const THERE: &str = "10.78.0.2";
