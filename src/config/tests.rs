//! Whole files: the one of the design, ones with mistakes, and ones that make no sense at all.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::inventory::{ResolverSpec, SourceSpec};
use crate::schedule::{BudgetSpec, Effect};
use crate::target::{Labels, ProbeKind};
use crate::web::Right;

fn now() -> DateTime<Utc> {
    "2026-07-05T12:00:00Z".parse().expect("a time")
}

fn files() -> MemoryFiles {
    MemoryFiles::new([
        ("/etc/secchi/hook.key", "a-key-that-signs\n"),
        ("/etc/secchi/ci.token", "a-token-of-the-pipeline\n"),
        ("/etc/secchi/bearer", "Bearer s3cret-of-a\n"),
        ("/etc/secchi/web.yml", "basic_auth_users: {}\n"),
        ("/etc/secchi/my-rules/a.yaml", PACK),
        ("/etc/secchi/hosts", "127.0.0.1 lab.example.com\n"),
    ])
}

fn read(text: &str) -> Result<Config, Diagnostics> {
    parse(text, Path::new("/etc/secchi/secchi.yaml"), &files(), now())
}

fn mistakes(text: &str) -> Vec<String> {
    let found = read(text).expect_err(text);
    found.errors().map(|e| format!("{}:{} {}", e.line, e.column, e.message)).collect()
}

/// A pack of the operator's own.
const PACK: &str = "pack: mine\nprobe: tls\nversion: \"1\"\nsource: us\nrules: []\n";

/// DESIGN §5, word for word.
const DESIGN: &str = r#"
scope:      {names: ["*.example.com"], networks: ["203.0.113.0/24"]}   # what may ever be contacted; names cover their addresses unless private
plans:      {fast: {every: 5m}, night: {cron: "0 2 * * *", time_zone: Europe/Paris}, sure: {detect: {within: 1h, prevalence: 10%, confidence: 99%}}}
defaults:   {plan: fast, probes: [tls, http, dns], profile: standard, repeat: {samples: 3, agree: 2, within: 1m}, freshness: 3h}   # every key of a target
targets:
  - target: https://shop.example.com
    probes: [tls, http]            # else the default ones
    plan: sure
    labels: {service: shop, team: checkout, env: prod}
    ranges: {tls-certificate-expiry: {min: 21d}}     # per-target override of a rule's range
  - target: old.example.com
discovery:  {file_sd: [{files: ["targets/*.json"]}], http_sd: [{url: "https://cmdb.example.com/sd", refresh: 1m}]}
rules:      {packs: ["my-rules/*.yaml"], disable: [http-server-leak]}
exceptions: [{rule: tls-legacy-protocol, target: old.example.com, reason: "till terminals", approved_by: ciso, until: 2027-01-31}]
maintenance: [{cron: "0 3 * * 0", lasts: 2h, targets: {env: staging}, effect: mute}]   # or pause
alerting:   {alertmanagers: [{url: "http://127.0.0.1:9093"}], webhooks: [{url: "https://hooks.example.com/x", hmac_file: hook.key}], external_labels: {cluster: eu1}}
budgets:    {per_address: {tls: 2/s, http: 2/s, ports: 20/s, dns: 5/s}, per_network: 50/s, total: 200/s}   # these are the defaults; one value serves all probes
web:        {listen: "127.0.0.1:9640", config_file: web.yml, external_url: "https://secchi.example.com", tokens: [{name: ci, token_file: ci.token, may: [deploy]}]}
data:       {dir: /var/lib/secchi, retention: 30d, max_size: 10GiB}
resolvers:  [system]                 # or addresses; ip_families: [4, 6]
"#;

#[test]
fn the_file_of_the_design_is_read_as_it_says() {
    let config = read(DESIGN).map_err(|e| e.render(false)).expect("the design's file");
    let shop = config.target("https://shop.example.com").expect("the shop");
    assert_eq!(shop.probes, [ProbeKind::Tls, ProbeKind::Http]);
    assert_eq!(&*shop.plan_name, "sure");
    let sure = json!({"detect": {"within": "1h", "prevalence": "10%", "confidence": "99%"}});
    assert_eq!(json!(shop.plan.spec()), sure);
    assert_eq!(shop.ranges["tls-certificate-expiry"]["min"], json!("21d"));
    assert_eq!(shop.target.labels["team"], "checkout");
    assert_eq!(shop.freshness, Some(Duration::from_secs(3 * 3600)));
    let old = config.target("old.example.com").expect("the old one");
    assert_eq!(old.probes, [ProbeKind::Tls, ProbeKind::Http, ProbeKind::Dns]);
    assert_eq!(&*old.plan_name, "fast");
    assert!(config.rules.find("tls-legacy-protocol").is_some());
    assert!(config.rules.find("http-server-leak").is_none(), "it is disabled");
    assert_eq!(config.exceptions[0].until.to_string(), "2027-01-31");
    assert_eq!(config.maintenance[0].effect(), Effect::Mute);
    assert_eq!(config.budgets.compile(), BudgetSpec::default().compile());
    assert_eq!(config.web.tokens[0].may, [Right::Deploy]);
    assert_eq!(config.data.max_size, 10 << 30);
    assert_eq!(config.resolvers, ResolverSpec::System);
    let SourceSpec::File { patterns, .. } = &config.discovery[0].spec else { panic!("a file") };
    assert_eq!(patterns, &["/etc/secchi/targets/*.json"]);
    assert_eq!(config.discovery[1].index, 0);
    let shown = format!("{config:?}");
    assert!(!shown.contains("a-key-that-signs") && !shown.contains("a-token-of-the"), "{shown}");
}

#[test]
fn every_mistake_is_shown_in_one_pass_with_its_line_and_what_helps() {
    let text = "\
scope: {names: [\"*.example.com\"], networks: [203.0.113.7/24]}
plans:
  fast: {every: 5m, cron: \"0 2 * * *\"}
targets:
  - target: https://shop.example.com
    pln: fast
    plan: fsat
    labels: {severity: high}
  - target: shop.example.org
  - target: https://shop.example.com
web: {listen: nowhere, lisen: x}
";
    let rendered = read(text).expect_err("mistakes").render(false);
    let expected = "\
error: `203.0.113.7/24` has bits set beyond its prefix; did you mean 203.0.113.0/24?
 --> /etc/secchi/secchi.yaml:1:46
  |
1 | scope: {names: [\"*.example.com\"], networks: [203.0.113.7/24]}
  |                                              ^^^^^^^^^^^^^^

error: a plan has exactly one of `every`, `cron`, `detect` and `mix`; this one has 2
 --> /etc/secchi/secchi.yaml:3:17
  |
3 |   fast: {every: 5m, cron: \"0 2 * * *\"}
  |                 ^^

error: unknown key `pln`
 --> /etc/secchi/secchi.yaml:6:5
  |
6 |     pln: fast
  |     ^^^
  |
  = help: did you mean `plan`?

error: there is no plan `fsat`
 --> /etc/secchi/secchi.yaml:7:11
  |
7 |     plan: fsat
  |           ^^^^
  |
  = help: did you mean `fast`?

error: label `severity` is reserved: Secchi sets it itself
 --> /etc/secchi/secchi.yaml:8:24
  |
8 |     labels: {severity: high}
  |                        ^^^^

error: target out of scope: `shop.example.org` matches none of scope.names
 --> /etc/secchi/secchi.yaml:9:13
  |
9 |   - target: shop.example.org
  |             ^^^^^^^^^^^^^^^^
  |
  = help: scope bounds what may ever be contacted

error: target `https://shop.example.com` is there twice
  --> /etc/secchi/secchi.yaml:10:13
   |
10 |   - target: https://shop.example.com
   |             ^^^^^^^^^^^^^^^^^^^^^^^^

error: `nowhere` is no address to listen on
  --> /etc/secchi/secchi.yaml:11:15
   |
11 | web: {listen: nowhere, lisen: x}
   |               ^^^^^^^
   |
   = help: write ADDRESS:PORT, such as 127.0.0.1:9640 or [::]:9640

error: unknown key `lisen`
  --> /etc/secchi/secchi.yaml:11:24
   |
11 | web: {listen: nowhere, lisen: x}
   |                        ^^^^^
   |
   = help: did you mean `listen`?

/etc/secchi/secchi.yaml: 9 errors
";
    assert_eq!(rendered, expected);
}

#[test]
fn a_network_is_a_target_of_ports_for_each_of_its_addresses() {
    let text = "scope: {networks: [10.0.0.0/8]}\n\
        targets: [{target: 10.1.0.0/29, probes: [ports], pins: {10.1.0.0/16: {ports: {exact: 22}}}}]\n";
    let config = read(text).expect("a good config");
    let names: Vec<_> = config.targets.iter().map(|target| &*target.target.name).collect();
    let hosts: Vec<_> = (1..7).map(|last| format!("10.1.0.{last}")).collect();
    assert_eq!(names, hosts);
    assert!(config.targets.iter().all(|target| !target.target.settings.pins.is_empty()));
    let out = "scope: {networks: [10.0.0.0/8]}\n\
        targets: [{target: 192.0.2.0/28, probes: [ports]}]\n";
    assert_eq!(mistakes(out).len(), 1, "{:?}", mistakes(out));
}

/// One mistake a line: the text, and what the message must say.
#[test]
fn each_mistake_has_its_own_message() {
    let base = "scope: {names: [\"*.a.test\"], networks: [10.0.0.0/8]}\n";
    for (text, says) in [
        ("targets: [{target: \"ftp://x.a.test\"}]", "unknown scheme `ftp`"),
        ("targets: [{target: 192.0.2.1}]", "target out of scope: 192.0.2.1 is for documentation"),
        ("targets: [{target: 10.1.0.0/28}]", "a network is a target of ports alone"),
        ("targets: [{target: 10.1.0.0/16, probes: [ports]}]", "more than 1024 addresses"),
        ("targets: [{target: 192.0.2.0/28, probes: [ports]}]", "target out of scope: 192.0.2.1"),
        ("targets: [{target: x.a.test, probes: [htp]}]", "`htp` is none of tls, http"),
        ("targets: [{target: \"starttls+smtp://x.a.test\", probes: [http]}]", "cannot sample"),
        ("targets: [{probes: [tls]}]", "`target` is missing here"),
        ("targets: {x: y}", "`targets` takes a list, but this is a map"),
        (
            "targets: [{target: x.a.test, intrusive: maybe}]",
            "takes true or false, but this is text",
        ),
        ("targets: [{target: x.a.test, dns_port: 70000}]", "lies between 0 and 65535"),
        ("targets: [{target: x.a.test, dns_port: 0}]", "`dns_port` is at least 1"),
        ("targets: [{target: x.a.test, rate: 0/s}]", "a rate of 0 would never sample"),
        ("targets: [{target: x.a.test, timeout: 5}]", "`5` is no duration"),
        ("targets: [{target: x.a.test, ports: \"80,http\"}]", "`http` is no port list item"),
        ("targets: [{target: x.a.test, ca_file: none.pem}]", "cannot read /etc/secchi/none.pem"),
        ("targets: [{target: x.a.test, ca_file: hosts}]", "holds no PEM certificate"),
        ("targets: [{target: x.a.test, connect_to: \"x:1:y:2\"}]", "is not HOST:PORT:ADDR:PORT"),
        ("targets: [{target: x.a.test, allow_network: 10.0.0.1/8}]", "bits set beyond"),
        ("targets: [{target: x.a.test, profile: strickt}]", "there is no profile `strickt`"),
        ("targets: [{target: x.a.test, ranges: {tls-x: {min: 1d}}}]", "there is no rule `tls-x`"),
        (
            "targets: [{target: x.a.test, ranges: {tls-legacy-protocol: {max: 1d}}}]",
            "`max` cannot be asked of tls.versions",
        ),
        ("targets: [{target: x.a.test, repeat: {samples: 2, agree: 3}}]", "`agree` lies between"),
        ("targets: [{target: x.a.test, pins: {x: {A: {}}}}]", "no operator"),
        ("targets: [{target: x.a.test, pins: {x: {A: {exat: y}}}}]", "unknown key `exat`"),
        ("plans: {x: {cron: \"0 2 * *\"}}", "five fields"),
        ("plans: {x: {cron: \"0 2 * * *\", time_zone: Europe/Pari}}", "did you mean Europe/Paris?"),
        ("plans: {x: {every: 0s}}", "write 1s or more"),
        ("plans: {x: {}}", "exactly one of `every`"),
        ("plans: {x: {detect: {within: 1h, prevalence: 110%, confidence: 99%}}}", "is no share"),
        ("rules: {disable: [tls-legacy-protocl]}", "there is no rule `tls-legacy-protocl`"),
        ("rules: {packs: [\"none/*.yaml\"]}", "no file matches"),
        (
            "exceptions: [{rule: tls-legacy-protocol, target: x.a.test, reason: r, approved_by: c, until: 2027-01-31}]",
            "there is no target `x.a.test`",
        ),
        (
            "targets: [{target: x.a.test}]\nexceptions: [{rule: tls-legacy-protocol, target: x.a.test, reason: r, approved_by: c, until: 2027-02-30}]",
            "`2027-02-30` is no date",
        ),
        (
            "targets: [{target: x.a.test}]\nexceptions: [{rule: tls-legacy-protocol, target: x.a.test, reason: \" \", approved_by: c, until: 2027-02-01}]",
            "says its `reason`",
        ),
        ("budgets: {bytes: {per_target: 16MiB}}", "`16MiB` is no bound on bytes"),
        ("budgets: {cpu: {total: 50%}}", "`50%` is no bound on processor time"),
        ("budgets: {cpu: {per_targt: 6s/m}}", "unknown key `per_targt`"),
        ("maintenance: [{cron: \"0 3 * * 0\", lasts: 2h, effect: sleep}]", "`sleep` is none of"),
        ("alerting: {alertmanagers: [{url: \"file:///x\"}]}", "begins with http://"),
        ("alerting: {alertmanagers: [{url: \"http://u:p@x\"}]}", "carries no credentials"),
        ("alerting: {webhooks: [{url: \"http://x\", hmac_file: none.key}]}", "none.key"),
        ("alerting: {external_labels: {__x: y}}", "begin with __"),
        ("plans: {p: {every: 5m, share: 200%}}", "`200%` is no share"),
        ("plans: {p: {cron: \"@daily\", share: 20%}}", "`share` belongs to `every`"),
        ("plans: {p: {mix: [{every: 5m}]}}", "two to four"),
        ("plans: {p: {mix: [{every: 5m}, {evry: 5m}]}}", "unknown key `evry`"),
        ("plans: {p: {mix: [{every: 5m}, {every: 5}]}}", "`5`"),
        ("plans: {p: {mix: {every: 5m}}}", "`mix` takes"),
        ("plans: {p: {every: 5m, importance: huge}}", "none of low, normal, high"),
        ("budgets: {per_address: {tsl: 2/s}}", "unknown key `tsl`"),
        ("budgets: {total: 0}", "a rate of 0"),
        ("budgets: {total: {tls: 2/s}}", "`total` takes"),
        ("budgets: {per_address: 2/d}", "`2/d` is no rate"),
        ("maintenance: [{cron: \"0 3 * * 0\", lasts: 5s}]", "at least 1m"),
        ("maintenance: [{cron: \"0 3 * * 8\", lasts: 2h}]", "8"),
        ("maintenance: [{cron: \"0 3 * * 0\", lasts: 2h, targets: []}]", "matches nobody"),
        ("maintenance: [{cron: \"0 3 * * 0\", lasts: 2h, targets: {env: \"[\"}}]", "no pattern"),
        ("plans: {x: {detect: {within: 1m, prevalence: 0.1%, confidence: 99%}}}", "4603 samples"),
        ("plans: {x: {every: 5m, time_zone: UTC}}", "`time_zone` belongs to `cron`"),
        ("web: {listen: \"127.0.0.1:0\"}", "no address to listen on"),
        ("web: {tokens: [{name: x, token_file: ci.token, may: [deplo]}]}", "`deplo` is none of"),
        ("data: {max_size: 10}", "`10` is no size"),
        ("resolvers: [system, 1.1.1.1]", "stands alone"),
        ("resolvers: [dns.google]", "is no server"),
        ("ip_families: [5]", "`5` is neither 4 nor 6"),
        ("discovery: {file_sd: [{files: [\"x.txt\"]}]}", "a .json, .yml or .yaml file"),
        ("discovery: {http_sd: [{url: x}]}", "not a URL"),
        ("vantage: \"\"", "a short printable name"),
        ("defaults: {registration_expires: 2027-02-30}", "`2027-02-30` is no day"),
        ("defaults: {rdap_bootstrap: ci.token}", "no RDAP bootstrap file"),
        ("contact: \"a (b)\"", "a mail address or a URL"),
        (
            "alerting: {alertmanagers: [{url: \"http://x\", http_config: {proxy_url: \"http://p\", \
             tls_config: {server_name: y}}}]}",
            "one of server_name and proxy_url",
        ),
        ("targets: [}", ""),
        ("targets: [{target: x.a.test, target: y.a.test}]", "uplicate"),
    ] {
        let found = mistakes(&format!("{base}{text}\n"));
        assert!(found.iter().any(|m| m.contains(says)), "{text}: {found:?}");
        assert!(found.iter().all(|m| !m.starts_with("1:") && !m.starts_with("0:")), "{found:?}");
    }
}

#[test]
fn discovery_without_a_scope_is_refused_and_targets_alone_are_their_own_scope() {
    let found = mistakes("discovery: {http_sd: [{url: \"https://x.test/sd\"}]}\n");
    assert!(found[0].contains("discovery needs a scope"), "{found:?}");
    let config = read("targets: [{target: a.test}]\n").expect("a config");
    assert!(config.scope.covers("a.test") && !config.scope.covers("b.test"));
    assert!(read("targets: [{target: 127.0.0.1}]\n").is_err());
    assert!(read("targets: [{target: 127.0.0.1, allow_network: 127.0.0.0/8}]\n").is_ok());
}

#[test]
fn a_secret_is_found_in_the_credentials_directory_and_shown_nowhere() {
    let mut files = MemoryFiles::new([("/run/creds/am.pass", "hunter2\n")]);
    files.credentials = Some("/run/creds".into());
    let text = "alerting: {alertmanagers: [{url: \"http://127.0.0.1:9093\", \
                http_config: {basic_auth: {username: u, password_file: am.pass}}}]}\n";
    let config = parse(text, Path::new("/etc/x.yaml"), &files, now()).expect("a config");
    let (user, password) = config.alerting.alertmanagers[0].http.basic_auth.clone().expect("auth");
    assert_eq!((user.as_str(), password.expose()), ("u", "hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
    files.credentials = None;
    assert!(parse(text, Path::new("/etc/x.yaml"), &files, now()).is_err());
}

#[test]
fn what_surprises_without_being_wrong_is_a_note() {
    let text = "targets: [{target: a.test, probes: [ports]}]\nweb: {listen: \":9640\"}\n";
    let config = read(text).expect("a config");
    let notes: Vec<_> = config.notes.notes().map(|note| note.message.as_str()).collect();
    assert!(notes[0].contains("only pinned and own ports are scanned"), "{notes:?}");
    assert!(notes[1].contains("serves only health"), "{notes:?}");
    assert!(!config.notes.has_errors());
}

#[test]
fn a_scalar_is_the_text_that_it_stands_for() {
    let text = "\
targets:
  - target: 192.0.2.10
    allow_network: 192.0.2.10
    rate: &rate 0.50
    labels: {a: 0.10, b: 010, c: true, d: &x 7, e: *x, f: 1e3, g: 2027-01-31, h: \"5\"}
  - {target: a.test, rate: *rate, dns_port: 0x35, ports: [22, 80-81]}
";
    let config = read(text).map_err(|e| e.render(false)).expect("scalars");
    let target = &config.targets[0].target;
    let values: Vec<_> = target.labels.values().map(String::as_str).collect();
    assert_eq!(values, ["0.10", "010", "true", "7", "7", "1e3", "2027-01-31", "5"]);
    let settings = &config.targets[1].target.settings;
    assert_eq!((settings.rate, settings.dns_port), (Some(0.5), Some(53)));
}

#[test]
fn a_fault_in_a_plan_or_a_window_hides_no_other_in_it() {
    let text = "\
plans:
  x: {cron: \"61 2 * * *\", time_zone: Nowhere}
  y: {detect: {within: 1, prevalence: 110%, confidence: high}}
maintenance:
  - cron: \"0 25 * * *\"
    time_zone: Nowhere
    lasts: 5s
    targets: []
targets:
  - {target: a.test, plan: x}
";
    let found = mistakes(text);
    let places = ["2:13", "2:38", "3:24", "3:39", "3:57", "5:11", "6:16", "7:12", "8:14"];
    assert_eq!(found.len(), places.len(), "{found:#?}");
    for (found, place) in found.iter().zip(places) {
        assert!(found.starts_with(&format!("{place} ")), "{place}: {found}");
    }
}

#[test]
fn windows_are_for_labels_names_or_all() {
    let text = "\
maintenance:
  - {cron: \"0 12 * * *\", lasts: 1h, targets: {env: staging}, effect: pause}
  - {cron: \"0 12 * * *\", lasts: 1h, targets: [\"a.*\", b.test]}
  - {cron: \"0 12 * * *\", lasts: 1h, targets: a.test}
  - {cron: \"0 12 * * *\", lasts: 1h}
";
    let config = read(text).map_err(|e| e.render(false)).expect("windows");
    let staging = Labels::from([("env".to_owned(), "staging".to_owned())]);
    let covers = |name: &str, labels: &Labels| {
        let windows = config.maintenance.iter();
        windows.map(|window| window.covers(now(), name, labels)).collect::<Vec<_>>()
    };
    assert_eq!(covers("a.test", &Labels::new()), [false, true, true, true]);
    assert_eq!(covers("c.test", &staging), [true, false, false, true]);
    assert_eq!(config.maintenance[0].effect(), Effect::Pause);
}

#[test]
fn an_expired_exception_is_a_note_from_the_day_after_its_last() {
    let with = |until: &str| {
        let text = format!(
            "targets: [{{target: a.test}}]\nexceptions: [{{rule: tls-legacy-protocol, target: \
             a.test, reason: r, approved_by: c, until: {until}}}]\n"
        );
        let config = read(&text).expect("a config");
        config.notes.notes().filter(|note| note.message.contains("expired")).count()
    };
    assert_eq!((with("2026-07-04"), with("2026-07-05")), (1, 0));
}

#[test]
fn names_whose_ports_may_be_scanned_in_part_are_one_note() {
    let text = "\
scope: {names: [\"*.a.test\"], networks: [10.0.0.0/8]}
defaults: {probes: [ports]}
targets: [{target: x.a.test}, {target: y.a.test}, {target: 10.0.0.1}]
";
    let config = read(text).expect("a config");
    let notes: Vec<_> = config.notes.notes().map(|note| note.message.as_str()).collect();
    assert!(matches!(notes[..], [note] if note.contains("2 named target(s)")), "{notes:?}");
}

#[test]
fn found_targets_have_the_blocks_keys_over_the_defaults_and_stay_in_scope() {
    let text = "\
scope: {names: [\"*.a.test\"]}
plans: {slow: {every: 1h}}
defaults: {labels: {team: base, env: prod}, probes: [tls, http, dns]}
discovery: {file_sd: [{files: [x.json], plan: slow, labels: {team: web}}]}
";
    let config = read(text).expect("a config");
    let labels = Labels::from([("service".to_owned(), "shop".to_owned())]);
    let found = config.targets_from_discovery(0, "x.a.test:8443", &labels).expect("a target");
    let [found] = found.as_slice() else { panic!("one target") };
    assert_eq!(&*found.plan_name, "slow");
    assert_eq!(json!(found.plan.spec()), json!({"every": "1h"}));
    let labels_of = |name: &str| found.target.labels.get(name).map(String::as_str);
    assert_eq!(labels_of("team"), Some("web"));
    assert_eq!((labels_of("env"), labels_of("service")), (Some("prod"), Some("shop")));
    let mail = config.targets_from_discovery(0, "starttls+smtp://x.a.test", &Labels::new());
    assert_eq!(mail.expect("mail")[0].probes, [ProbeKind::Tls, ProbeKind::Dns]);
    for (target, says) in [("x.b.test", "matches none of scope.names"), ("a b", "white space")] {
        let error = config.targets_from_discovery(0, target, &Labels::new()).expect_err(target);
        assert!(error.to_string().contains(says), "{error}");
    }
    let reserved = Labels::from([("rule".to_owned(), "x".to_owned())]);
    assert!(config.targets_from_discovery(0, "x.a.test", &reserved).is_err());
}

#[test]
fn a_network_that_discovery_finds_is_its_addresses_by_ports_alone_and_all_in_scope() {
    let text = "\
scope: {networks: [10.0.0.0/24]}
discovery: {file_sd: [{files: [a.json], probes: [ports]}, {files: [b.json]}]}
";
    let config = read(text).expect("a config");
    let labels = Labels::from([("team".to_owned(), "web".to_owned())]);
    let found = config.targets_from_discovery(0, "10.0.0.16/28", &labels).expect("targets");
    assert_eq!((found.len(), &*found[0].target.name), (14, "10.0.0.17"));
    assert!(found.iter().all(|found| *found.target.labels == labels));
    assert!(found.iter().all(|found| found.probes == [ProbeKind::Ports]));
    for (source, entry, says) in [
        (1, "10.0.0.16/28", "a target of ports alone"),
        (0, "10.0.0.0/23", "out of scope"),
        (0, "10.0.0.0/8", "more than 1024 addresses"),
        (0, "10.0.0.0/99", "needs a scheme"),
    ] {
        let error = config.targets_from_discovery(source, entry, &labels).expect_err(entry);
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn a_reload_knows_what_it_changes() {
    let old = read("targets: [{target: a.test}, {target: b.test}, {target: c.test}]\n");
    let new = read(
        "targets: [{target: d.test}, {target: b.test, plan: default}, {target: a.test, labels: {x: y}}]\n",
    );
    let diff = diff(&old.expect("old"), &new.expect("new"));
    assert_eq!(diff.added, ["d.test"]);
    assert_eq!(diff.removed, ["c.test"]);
    assert_eq!(diff.changed, ["a.test"]);
    assert_eq!(diff.untouched, ["b.test"]);
}

#[test]
fn targets_of_the_command_line_are_their_own_scope_and_every_refusal_is_named() {
    let targets = ["example.com", "127.0.0.1:8443", "a b", "example.com"].map(str::to_owned);
    let errors = Config::from_targets(&targets, &AdHoc::default()).expect_err("refused");
    assert_eq!(errors.len(), 2, "{errors:?}");
    let options = AdHoc {
        allow_networks: vec!["127.0.0.0/8".parse().expect("a network")],
        ..AdHoc::default()
    };
    let targets = ["example.com", "127.0.0.1:8443"].map(str::to_owned);
    let config = Config::from_targets(&targets, &options).expect("a config");
    assert_eq!(config.targets[0].probes, ProbeKind::ALL);
    assert_eq!(config.targets[0].profile, ["standard"]);
    assert!(!config.targets[1].probes.contains(&ProbeKind::Dns));
}

#[test]
fn the_contact_goes_with_every_target() {
    let config =
        read("contact: soc@example.com\ntargets: [{target: a.example.com}]\n").expect("a config");
    let agent = concat!("Secchi/", env!("CARGO_PKG_VERSION"), " (+soc@example.com)");
    let target = config.target("a.example.com").expect("the target");
    assert_eq!(target.target.settings.user_agent.as_deref(), Some(agent));
    assert_eq!(config.user_agent(), agent);
    let other = config.ad_hoc("a.example.com:8443").expect("in scope");
    assert_eq!(other.target.settings.user_agent.as_deref(), Some(agent));
    let silent = read("targets: [{target: a.example.com}]\n").expect("a config");
    assert_eq!(silent.target("a.example.com").expect("it").target.settings.user_agent, None);
}

#[test]
fn explain_shows_what_was_said_and_no_file_contents() {
    let text = "targets: [{target: lab.example.com, hosts_file: hosts, ip: 4}]\n";
    assert!(read(text).is_err());
    let text =
        "targets: [{target: lab.example.com, hosts_file: hosts, allow_network: 127.0.0.1}]\n";
    let config = read(text).expect("a config");
    let shown = config.target("lab.example.com").expect("the lab").to_json();
    assert_eq!(shown["settings"]["hosts_file"], "/etc/secchi/hosts");
    assert_eq!(shown["plan_spec"], json!({"every": "15m"}));
    assert!(shown["settings"].get("ca_file").is_none());
    for (probes, glimpses) in [("[http]", json!(["tls"])), ("[http, tls]", json!([]))] {
        let text = format!("targets: [{{target: 'https://a.example.com', probes: {probes}}}]\n");
        let config = read(&text).expect("a config");
        let shown = config.target("https://a.example.com").expect("it").to_json();
        assert_eq!(shown["glimpses"], glimpses, "{probes}");
    }
}

#[test]
fn credentials_are_a_targets_own_and_shown_nowhere() {
    let text = "targets: [{target: a.example.com, authorization_file: bearer}, \
        {target: b.example.com, basic_auth: {username: me, password_file: ci.token}}, \
        {target: c.example.com}]\n";
    let config = read(text).expect("a config");
    let credentials = |name: &str| {
        let target = config.target(name).expect("the target");
        assert!(!format!("{target:?} {}", target.to_json()).contains("s3cret"));
        target.target.settings.credentials.clone()
    };
    let field = credentials("a.example.com").map(|c| c.expose().to_owned());
    assert_eq!(field.as_deref(), Some("Bearer s3cret-of-a"));
    assert!(credentials("b.example.com").is_some_and(|c| c.expose().starts_with("Basic ")));
    assert_eq!(credentials("c.example.com"), None);
    for refused in [
        "defaults: {authorization_file: bearer}\ntargets: [{target: a.example.com}]\n",
        "discovery: {file_sd: [{files: [x.json], basic_auth: {username: a, password_file: b}}]}\n",
        "targets: [{target: a.example.com, authorization_file: ci.token}]\n",
        "targets: [{target: a.example.com, authorization_file: bearer, \
            basic_auth: {username: me, password_file: ci.token}}]\n",
    ] {
        let found = mistakes(refused);
        assert!(!found.is_empty() && !found.concat().contains("pipeline"), "{found:?}");
    }
}

#[test]
fn an_empty_file_is_a_config_without_targets() {
    for text in ["", "# nothing\n", "targets:\n", "---\n"] {
        let config = read(text).map_err(|e| e.render(false)).expect(text);
        assert!(config.targets.is_empty());
    }
}

/// Puts an unknown key into every map of a file that uses every block: each must be refused.
#[test]
fn no_map_of_the_file_takes_an_unknown_key_in_silence() {
    let found = DESIGN.match_indices('{').collect::<Vec<_>>();
    let free = ["labels: {", "plans:      {", "external_labels: {", "ranges: {", "targets: {"];
    for (at, _) in found {
        let before = &DESIGN[..=at];
        let text = format!("{before}zzz: {{}}, {}", &DESIGN[at + 1..]);
        let open = free.iter().any(|name| before.ends_with(name));
        let in_range = before.ends_with("tls-certificate-expiry: {");
        if !open && !in_range {
            let found = mistakes(&text);
            assert!(found.iter().any(|m| m.contains("unknown key `zzz`")), "{text}\n{found:?}");
        }
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}") {
        if let Err(found) = read(&text) {
            let _ = found.render(true);
        }
    }

    /// Cuts and splices of a real file reach far deeper than random text.
    #[test]
    fn no_damaged_file_makes_it_panic(
        from in 0..DESIGN.len(), to in 0..DESIGN.len(), at in 0..DESIGN.len(), junk in "\\PC{0,8}"
    ) {
        let mut text = DESIGN.to_owned();
        let (from, to) = (from.min(to), from.max(to));
        if text.is_char_boundary(from) && text.is_char_boundary(to) {
            text.replace_range(from..to, "");
        }
        let at = at.min(text.len());
        if text.is_char_boundary(at) {
            text.insert_str(at, &junk);
        }
        if let Err(found) = read(&text) {
            prop_assert!(found.has_errors());
            let escape = char::from(0x1b);
            prop_assert!(!found.render(false).contains(escape));
        }
    }
}

const PINNED: &str =
    "$ORIGIN shop.test.\n@ 60 SOA a b 1 2 3 4 5\nwww 60 A 192.0.2.1\nmail 60 A 192.0.2.25\n";

const SOURCES: &str = r#"
targets:
  - target: shop.test
    probes: [dns]
    expect: [zone, more.yaml]
    pins: {WWW.shop.test.: {A: {exact: 192.0.2.9}, TXT: {absent: true}}}
"#;

fn sources(zone: &str) -> MemoryFiles {
    MemoryFiles::new([
        ("/etc/secchi/zone", zone),
        ("/etc/secchi/more.yaml", "pins: {mail.shop.test: {A: {exact: 192.0.2.26}}}"),
    ])
}

#[test]
fn sources_that_pin_otherwise_are_told_of_with_both_places() {
    let path = Path::new("/etc/secchi/secchi.yaml");
    let config = parse(SOURCES, path, &sources(PINNED), now()).expect("a config");
    let notes: Vec<_> = config
        .notes
        .notes()
        .filter(|note| note.message.contains("otherwise"))
        .map(|note| (note.line, note.message.as_str()))
        .collect();
    assert_eq!(
        notes,
        [
            (5, "/etc/secchi/zone pins www.shop.test A otherwise than `pins`, which stands"),
            (
                5,
                "/etc/secchi/more.yaml pins mail.shop.test A otherwise than /etc/secchi/zone, which stands"
            ),
        ]
    );
    let pins = &config.targets[0].target.settings.pins;
    let exact = |name: &str| {
        let (_, pin) = pins.of(name).find(|(kind, _)| kind.as_str() == "A").expect(name);
        pin.exact.clone().unwrap_or_default()
    };
    assert_eq!(exact("www.shop.test"), ["192.0.2.9"]);
    assert_eq!(exact("mail.shop.test"), ["192.0.2.25"]);
    assert_eq!(pins.of("www.shop.test").count(), 2, "types of one name come together");
}

#[test]
fn a_source_that_breaks_keeps_what_it_last_said_and_a_new_one_stops_the_load() {
    let path = Path::new("/etc/secchi/secchi.yaml");
    let good = GoodSources::default();
    let load = |zone: &str| {
        good.begin();
        parse(SOURCES, path, &good::Keeping { files: sources(zone), sources: &good }, now())
    };
    let broken = "$ORIGIN shop.test.\n$INCLUDE other\n";
    assert!(load(broken).is_err(), "nothing is remembered of it yet");
    let before = load(PINNED).expect("a config");
    assert_eq!(good.failing().len(), 0);
    let after = load(broken).expect("the last good one");
    assert_eq!(after.targets[0].target.settings.pins, before.targets[0].target.settings.pins);
    assert_eq!(good.failing(), [Path::new("/etc/secchi/zone")]);
    assert!(after.notes.notes().any(|note| note.message.contains("what it last said stands")));
    load(PINNED).expect("a config");
    assert_eq!(good.failing().len(), 0);
}

#[test]
fn pins_by_system_need_a_file_that_can_be_read() {
    let files = MemoryFiles::new([
        ("/etc/secchi/asn", "192.0.2.0/24 64500\n"),
        ("/etc/secchi/odd", "192.0.2.0/24 64500\n192.0.3.0/24 x\n"),
    ]);
    let path = Path::new("/etc/secchi/secchi.yaml");
    let load = |text: &str| parse(text, path, &files, now());
    let pins = "pins: {a.test: {A: {asn: AS64500}}}";
    let config = load(&format!(
        "defaults: {{asn_file: asn}}\ntargets: [{{target: a.test, probes: [dns], {pins}}}]\n"
    ))
    .expect("a config");
    let table = config.targets[0].target.settings.asn.as_ref().expect("a table");
    assert_eq!(table.of("192.0.2.1".parse().expect("an address")), [64500]);
    for (text, says) in [
        (format!("targets: [{{target: a.test, {pins}}}]\n"), "asn needs `asn_file`"),
        (
            format!(
                "scope: {{names: [a.test]}}\ndiscovery: {{file_sd: [{{files: [x.json], {pins}}}]}}\n"
            ),
            "asn needs `asn_file`",
        ),
        (
            format!("targets: [{{target: a.test, asn_file: odd, {pins}}}]\n"),
            "line 2: `192.0.3.0/24 x`",
        ),
        (format!("targets: [{{target: a.test, asn_file: none, {pins}}}]\n"), "cannot read"),
        (
            "targets: [{target: a.test, asn_file: asn, pins: {a.test: {MX: {asn: 64500}}}}]\n"
                .into(),
            "asn is for A and AAAA",
        ),
    ] {
        let found = load(&text).expect_err(&text).render(false);
        assert!(found.contains(says), "{text}: {found}");
    }
}

#[test]
fn each_vantage_reads_its_own_part_of_a_pin() {
    let files = MemoryFiles::default();
    let path = Path::new("/etc/secchi/secchi.yaml");
    let targets = "targets: [{target: a.test, probes: [dns], pins: {a.test: {A: {per_vantage: \
                   {paris: {exact: 192.0.2.1}, tokyo: {exact: 192.0.2.2}}}}}}]\n";
    let load = |text: &str| parse(&format!("{text}{targets}"), path, &files, now()).expect(text);
    let tokyo = load("vantage: tokyo\n");
    let exact = |config: &Config| {
        let pins = &config.targets[0].target.settings.pins;
        pins.of("a.test").find_map(|(_, pin)| pin.exact.clone())
    };
    assert_eq!(exact(&tokyo), Some(vec!["192.0.2.2".to_owned()]));
    assert_eq!(tokyo.notes.notes().count(), 0);
    let nowhere = load("vantage: toyko\n");
    assert_eq!(exact(&nowhere), None);
    let note = nowhere.notes.notes().next().expect("a remark");
    assert!(note.message.contains("a.test A: nothing for the vantage `toyko`"), "{}", note.message);
}
