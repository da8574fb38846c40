//! `secchi check` as the gate of a pipeline: SARIF, JUnit, what is new, what is accepted, and targets
//! as the config has them.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use roxmltree::Document;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::peers::{Nginx, is_skipped};
use crate::support::pki::Pki;
use crate::support::scripted::{Scripted, response};
use crate::support::{free_port, run};

const HSTS: &str =
    "add_header Strict-Transport-Security \"max-age=63072000; includeSubDomains\" always;\n";
const CSP: &str =
    "add_header Content-Security-Policy \"default-src 'none'; frame-ancestors 'none'\" always;\n";
const REST: &str = "add_header X-Content-Type-Options nosniff always;\n\
    add_header X-Frame-Options DENY always;\nadd_header Referrer-Policy no-referrer always;\n";

/// nginx under the name site.test, and the folder of everything about it.
struct Site {
    folder: TempDir,
    pki: Pki,
    nginx: Nginx,
}

impl Site {
    fn start(lines: &str) -> Option<Self> {
        if is_skipped("nginx-light") {
            return None;
        }
        let folder = TempDir::new().expect("a folder");
        let pki = Pki::new(folder.path());
        let (certificate, key) = pki.leaf("site.test", 2124);
        let nginx = Nginx::start(folder.path(), &certificate, &key, lines);
        Some(Self { folder, pki, nginx })
    }

    fn mapped(&self) -> [String; 2] {
        [
            format!("site.test:443:127.0.0.1:{}", self.nginx.https),
            format!("site.test:80:127.0.0.1:{}", self.nginx.http),
        ]
    }

    fn switches(&self) -> Vec<String> {
        let mut all = vec!["site.test".to_owned(), "--probe=http".to_owned()];
        all.extend(self.mapped().map(|rule| format!("--connect-to={rule}")));
        all.push(format!("--ca-file={}", self.pki.ca()));
        all
    }

    fn check(&self, more: &[&str]) -> (i32, String) {
        let switches = self.switches();
        let own: Vec<&str> = switches.iter().map(String::as_str).collect();
        check(&[&own, more].concat())
    }

    /// Writes a file beside the server's; gives its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    }

    /// A config with site.test as one of its targets, and whatever else is to stand in it.
    fn config(&self, of_target: &str, more: &str) -> String {
        let [https, http] = self.mapped();
        let text = format!(
            "scope: {{names: [site.test], networks: [127.0.0.0/8]}}\ntargets:\n  - target: site.test\n\
             \x20   probes: [http]\n    connect_to: [\"{https}\", \"{http}\"]\n    ca_file: {}\n\
             \x20   labels: {{service: shop}}\n{of_target}{more}",
            self.pki.ca()
        );
        self.file("secchi.yaml", &text)
    }
}

/// Exit status and standard output; what goes to standard error is no part of either.
fn check(arguments: &[&str]) -> (i32, String) {
    let output = run(&[&["check", "--allow-network=127.0.0.0/8"], arguments].concat());
    let text = String::from_utf8(output.stdout).expect("text");
    (output.status.code().expect("an exit status"), text)
}

fn parsed((status, text): (i32, String)) -> (i32, Value) {
    (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}")))
}

/// The results of a SARIF log that holds to the official schema.
fn sarif_run(log: &Value) -> &Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        // As OASIS publishes it, without its white space.
        serde_json::from_str(include_str!("support/sarif-schema-2.1.0.json")).expect("JSON")
    });
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.enable_format_assertions();
    compiler.add_resource("http://sarif.test/schema", SCHEMA.clone()).expect("a resource");
    let schema = compiler.compile("http://sarif.test/schema", &mut schemas).expect("the schema");
    if let Err(faults) = schemas.validate(log, schema) {
        panic!("{faults:#}\n{log:#}");
    }
    &log["runs"][0]
}

fn list<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("no list {key} in {value:#}"))
}

fn findings<'a>(report: &'a Value, verdict: &str) -> Vec<&'a Value> {
    list(report, "findings").iter().filter(|finding| finding["verdict"] == verdict).collect()
}

fn rules(findings: &[Value]) -> Vec<&str> {
    findings.iter().filter_map(|finding| finding["rule"].as_str()).collect()
}

#[test]
fn sarif_and_junit_are_whole_at_exit_0_1_and_3() {
    let Some(site) = Site::start(&(HSTS.to_owned() + CSP + REST)) else { return };
    let nobody = format!("--connect-to=site.test::127.0.0.1:{}", free_port());
    for (more, expected) in [
        (&["--fail-on=high"][..], 0),
        (&["--fail-on=info", "--profile=strict"][..], 1),
        (&["--probe=tls", &nobody][..], 3),
    ] {
        let with = |format: &str| match expected {
            3 => check(&[&["site.test", "--format", format], more].concat()),
            _ => site.check(&[&["--format", format], more].concat()),
        };
        let (status, report) = parsed(with("json"));
        assert_eq!(status, expected, "{report:#}");
        let (broken, unknown) = (findings(&report, "out_of_range"), findings(&report, "unknown"));

        let (status, log) = parsed(with("sarif"));
        assert_eq!(status, expected);
        let run = sarif_run(&log);
        let invocation = &run["invocations"][0];
        assert_eq!(invocation["exitCode"], expected);
        assert_eq!(invocation["executionSuccessful"], expected != 3);
        assert_eq!(list(run, "results").len(), broken.len());
        let notes = list(invocation, "toolExecutionNotifications");
        let of_rules = notes.iter().filter(|note| note["associatedRule"].is_object());
        assert_eq!(of_rules.count(), unknown.len());
        assert_eq!(notes.iter().any(|note| note["level"] == "error"), expected == 3);
        let rules = list(&run["tool"]["driver"], "rules");
        for result in list(run, "results") {
            let at = usize::try_from(result["ruleIndex"].as_u64().expect("an index"));
            assert_eq!(rules[at.expect("small")]["id"], result["ruleId"]);
            assert_eq!(result["properties"]["rule"], result["ruleId"]);
            let place = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
            assert_eq!(place, "site.test", "code scanning takes relative URIs only");
        }

        let (status, text) = with("junit");
        assert_eq!(status, expected);
        let document = Document::parse(&text).expect("XML");
        let suites = document.root_element();
        let number = |name: &str| suites.attribute(name).and_then(|n| n.parse::<usize>().ok());
        let tagged = |tag: &str| document.descendants().filter(|n| n.has_tag_name(tag)).count();
        assert_eq!(number("tests"), Some(tagged("testcase")));
        assert_eq!(number("failures"), Some(tagged("failure")));
        assert_eq!(number("errors"), Some(tagged("error")));
        assert_eq!(tagged("failure") > 0, expected == 1, "{text}");
        assert_eq!(tagged("error") > 0, !unknown.is_empty(), "{text}");
    }
}

#[test]
fn a_gate_fails_on_what_is_new_and_not_on_what_is_known() {
    let Some(site) = Site::start(REST) else { return };
    let (status, first) = site.check(&["--format=json"]);
    assert_eq!(status, 1, "{first}");
    let known = site.file("known.json", &first);
    let known = format!("--baseline={known}");

    let (status, again) = parsed(site.check(&["--format=json", &known]));
    assert_eq!(status, 0, "{again:#}");
    for finding in findings(&again, "out_of_range") {
        assert_eq!(finding["baseline"], "known");
    }
    let (status, text) = site.check(&[&known]);
    assert_eq!(status, 0);
    assert!(text.contains("http-csp") && text.contains("known"), "{text}");
    assert!(text.lines().last().expect("a line").starts_with("passed"), "{text}");
    let (status, log) = parsed(site.check(&["--format=sarif", &known]));
    assert_eq!(status, 0);
    for result in list(sarif_run(&log), "results") {
        assert_eq!(result["baselineState"], "unchanged");
    }
    let (status, text) = site.check(&["--format=junit", &known]);
    let document = Document::parse(&text).expect("XML");
    assert_eq!((status, document.root_element().attribute("failures")), (0, Some("0")));
    assert!(document.descendants().any(|node| {
        node.has_tag_name("system-out") && node.text().is_some_and(|text| text.contains("known"))
    }));

    // The log of an earlier run serves as well.
    let (_, log) = site.check(&["--format=sarif"]);
    let log = site.file("known.sarif", &log);
    assert_eq!(site.check(&[&format!("--baseline={log}")]).0, 0);

    // HSTS and the referrer policy are there now, the protection against framing is lost.
    let changed = HSTS.to_owned()
        + CSP.replace("; frame-ancestors 'none'", "").as_str()
        + "add_header X-Content-Type-Options nosniff always;\n";
    let Some(changed) = Site::start(&changed) else { return };
    let (status, report) = parsed(changed.check(&["--format=json", &known]));
    assert_eq!(status, 1, "{report:#}");
    let new = findings(&report, "out_of_range").into_iter().filter(|f| f["baseline"] == "new");
    let new: Vec<_> = new.map(|finding| finding["rule"].as_str().expect("a rule")).collect();
    assert!(new.contains(&"http-frame-options") && !new.contains(&"http-hsts"), "{new:?}");
    let gone = rules(list(&report, "gone"));
    assert!(gone.contains(&"http-hsts") && gone.contains(&"http-csp"), "{gone:?}");
    let (_, text) = changed.check(&[&known]);
    assert!(
        text.lines().any(|line| line.contains("http-hsts") && line.ends_with("gone")),
        "{text}"
    );
    assert!(text.lines().last().expect("a line").starts_with("failed: 1 new finding"), "{text}");
    let (_, log) = parsed(changed.check(&["--format=sarif", &known]));
    let states = |state: &str| {
        let results = list(sarif_run(&log), "results").iter();
        results.filter(|result| result["baselineState"] == state).count()
    };
    assert_eq!((states("absent"), states("new")), (gone.len(), new.len()));
}

#[test]
fn what_could_not_be_seen_is_never_gone() {
    let Some(site) = Site::start(REST) else { return };
    let (_, first) = site.check(&["--format=json"]);
    let known = format!("--baseline={}", site.file("known.json", &first));
    let nobody = format!("--connect-to=site.test::127.0.0.1:{}", free_port());
    let blind = ["site.test", "--probe=http", &nobody, &known];
    let (status, report) = parsed(check(&[&blind[..], &["--format=json"]].concat()));
    assert_eq!(status, 3, "{report:#}");
    assert_eq!(report["gone"], json!([]));
    let missing = list(&report, "not_seen");
    assert!(!missing.is_empty());
    for finding in missing {
        assert!(finding["reason"].as_str().expect("a reason").starts_with("refused"), "{finding}");
    }
    let (_, log) = parsed(check(&[&blind[..], &["--format=sarif"]].concat()));
    for result in list(sarif_run(&log), "results") {
        assert_eq!(
            (&result["baselineState"], &result["kind"]),
            (&json!("unchanged"), &json!("open"))
        );
    }
    // And it is still known to whoever takes this run's report for the next baseline.
    let next = format!("--baseline={}", site.file("next.json", &report.to_string()));
    assert_eq!(site.check(&[&next]).0, 0);
}

#[test]
fn a_port_that_was_not_asked_again_is_not_gone_and_one_that_is_closed_is() {
    let folder = TempDir::new().expect("a folder");
    let (port, other) = (free_port(), free_port());
    let expect = folder.path().join("expect.yaml");
    let pins = format!("pins: {{127.0.0.1: {{ports: {{within: [{other}]}}}}}}\n");
    std::fs::write(&expect, pins).expect("pins");
    let expect = format!("--expect={}", expect.display());
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("a listener");
    let ask = |ports: String, more: &[&str]| {
        let ports = format!("--ports={ports}");
        let own = ["127.0.0.1", "--probe=ports", &ports, &expect, "--format=json"];
        parsed(check(&[&own, more].concat()))
    };
    let (status, first) = ask(port.to_string(), &[]);
    assert_eq!(status, 1, "{first:#}");
    let file = folder.path().join("known.json");
    std::fs::write(&file, first.to_string()).expect("a file");
    let known = format!("--baseline={}", file.display());
    let counts = |report: &Value| (list(report, "gone").len(), list(report, "not_seen").len());
    let all = list(&first, "findings").iter().filter(|f| f["verdict"] == "out_of_range").count();

    let (status, elsewhere) = ask(other.to_string(), &[&known]);
    assert_eq!((status, counts(&elsewhere)), (0, (0, all)), "{elsewhere:#}");
    drop(listener);
    let (status, closed) = ask(format!("{port},{other}"), &[&known]);
    assert_eq!((status, counts(&closed)), (0, (all, 0)), "{closed:#}");
}

#[test]
fn a_bad_baseline_is_exit_2_with_file_and_position() {
    let folder = TempDir::new().expect("a folder");
    for (text, place) in [
        ("{}", ":1:1: "),
        ("", ":1:0: "),
        ("{\"findings\": [\n  {\"rule\": 7}]}", ":2:12: "),
        ("<testsuites/>", ":1:1: "),
    ] {
        let file = folder.path().join("known.json");
        std::fs::write(&file, text).expect("a file");
        let said = refused(&["check", "127.0.0.1:1", "--baseline", &file.display().to_string()]);
        assert!(said.contains(&format!("{}{place}", file.display())), "{said}");
    }
    let said = refused(&["check", "127.0.0.1:1", "--baseline", "no/such/file.json"]);
    assert!(said.contains("no/such/file.json"), "{said}");
}

/// What is said on standard error of a command that is refused.
fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    said
}

#[test]
fn an_exception_of_the_config_passes_the_gate_until_it_ends() {
    let Some(site) = Site::start(&(HSTS.to_owned() + REST)) else { return };
    let with = |until: &str| {
        let exception = format!(
            "exceptions: [{{rule: http-csp, target: site.test, reason: till the relaunch, approved_by: ciso, until: {until}}}]\n"
        );
        format!("--config={}", site.config("", &exception))
    };
    let config = with("2999-12-31");
    // Without T, every target of the file.
    let (status, report) = parsed(check(&[&config, "--format=json"]));
    assert_eq!(status, 0, "{report:#}");
    let csp = findings(&report, "out_of_range").into_iter().find(|f| f["rule"] == "http-csp");
    assert_eq!(
        csp.expect("it is shown")["excepted"],
        json!({"reason": "till the relaunch", "approved_by": "ciso", "until": "2999-12-31"})
    );
    let (_, text) = check(&[&config]);
    assert!(text.contains("excepted until 2999-12-31 by ciso: till the relaunch"), "{text}");
    let (status, log) = parsed(check(&[&config, "--format=sarif"]));
    assert_eq!(status, 0);
    let run = sarif_run(&log);
    let result = list(run, "results").iter().find(|r| r["ruleId"] == "http-csp").expect("a result");
    assert_eq!(result["suppressions"][0]["kind"], "external");
    let why = result["suppressions"][0]["justification"].as_str().expect("a text");
    assert!(why.contains("till the relaunch"), "{why}");
    assert_eq!(result["properties"]["labels"], json!({"service": "shop"}));
    let (status, text) = check(&[&config, "--format=junit"]);
    assert_eq!(status, 0);
    assert_eq!(
        Document::parse(&text).expect("XML").root_element().attribute("failures"),
        Some("0")
    );

    // A report that was written meanwhile excuses nothing once the exception is over.
    let known = format!("--baseline={}", site.file("known.json", &report.to_string()));
    let over = with("2020-01-01");
    assert_eq!(check(&[&over]).0, 1);
    assert_eq!(check(&[&over, &known]).0, 1);
}

#[test]
fn a_target_of_the_config_is_sampled_as_the_config_says_and_a_switch_stands_before_it() {
    let Some(site) = Site::start(&(HSTS.to_owned() + CSP + REST)) else { return };
    let config = site.config(
        "    profile: [baseline]\n    ranges: {http-hsts-max-age: {min: 10y}}\n",
        "  - target: other.test\n    address: 127.0.0.1\n    probes: [ports]\n    ports: [1]\n",
    );
    // `scope` names site.test only; other.test needs to stand there too.
    let text = std::fs::read_to_string(&config).expect("the file");
    std::fs::write(&config, text.replace("[site.test]", "[site.test, other.test]"))
        .expect("a file");
    let config = format!("--config={config}");

    // probes, connect_to, ca_file, ranges and profile are the file's; the other target is left out.
    let (status, report) = parsed(check(&["site.test", &config, "--format=json"]));
    let samples = list(&report, "samples");
    assert_eq!((samples.len(), &samples[0]["probe"]), (1, &json!("http")), "{report:#}");
    assert!(samples[0]["measurements"]["hsts"]["present"] == true, "{report:#}");
    let out: Vec<_> = findings(&report, "out_of_range").into_iter().collect();
    assert!(out.iter().any(|finding| finding["rule"] == "http-hsts-max-age"), "{out:#?}");
    assert_eq!(status, 1);

    // A switch stands before the file: another profile, another probe, another place.
    let nobody = free_port();
    let elsewhere = format!("--connect-to=site.test::127.0.0.1:{nobody}");
    let (status, report) =
        parsed(check(&["site.test", &config, "--probe=tls", &elsewhere, "--format=json"]));
    assert_eq!((status, &report["samples"][0]["unknown_reason"]), (3, &json!("refused")));

    // Without T, every static target.
    let (_, report) = parsed(check(&[&config, "--format=json"]));
    let names: Vec<_> = list(&report, "samples").iter().map(|s| s["target"].clone()).collect();
    assert_eq!(names, ["site.test", "other.test"]);

    // A target that the file does not name is bounded by the file's scope.
    let output = run(&[
        "check",
        "elsewhere.test",
        &config,
        "--probe=tls",
        "--address=127.0.0.1",
        "--format=json",
    ]);
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_finding_stands_at_the_line_of_the_config_that_names_its_target() {
    let Some(site) = Site::start(REST) else { return };
    site.config("", "");
    let mut command = crate::support::secchi();
    command.args(["check", "--config=secchi.yaml", "--format=sarif"]);
    let output = command.current_dir(site.folder.path()).output().expect("the binary runs");
    let log: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let place = &list(sarif_run(&log), "results")[0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "secchi.yaml");
    assert_eq!(place["region"]["startLine"], 3);
}

#[test]
fn a_pipeline_needs_none_of_the_daemons_secrets() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("secchi.yaml");
    let text = format!(
        "scope: {{networks: [127.0.0.0/8]}}\ntargets: [{{target: \"127.0.0.1:{}\", probes: [tls]}}]\n\
         web: {{config_file: web.yml, tokens: [{{name: ci, token_file: ci.token, may: [deploy]}}]}}\n\
         alerting:\n  webhooks:\n    - url: https://hooks.example.com/x\n      hmac_file: hook.key\n\
         \x20     http_config: {{tls_config: {{ca_file: ca.pem, cert_file: c.pem, key_file: k.pem}}}}\n",
        free_port()
    );
    std::fs::write(&file, text).expect("a file");
    let file = file.display().to_string();
    let (status, report) = parsed(check(&["--config", &file, "--format=json"]));
    assert_eq!((status, &report["samples"][0]["unknown_reason"]), (3, &json!("refused")));
    // The daemon needs them, and its own check says so.
    let said = refused(&["config", "check", "--config", &file]);
    for name in ["web.yml", "ci.token", "hook.key", "ca.pem", "c.pem", "k.pem"] {
        assert!(said.contains(name), "{name}: {said}");
    }
}

#[test]
fn an_unknown_profile_is_refused_with_a_suggestion() {
    let said = refused(&["check", "127.0.0.1:1", "--profile", "strickt"]);
    assert!(said.contains("did you mean `strict`?"), "{said}");
    let folder = TempDir::new().expect("a folder");
    let file: PathBuf = folder.path().join("secchi.yaml");
    std::fs::write(&file, "targets: [{target: a.example.com, profile: [basline]}]\n")
        .expect("a file");
    let said = refused(&["check", "--config", &file.display().to_string()]);
    assert!(said.contains("did you mean `baseline`?") && said.contains(":1:"), "{said}");
}

#[test]
fn a_stricter_profile_finds_what_a_milder_one_lets_pass() {
    let Some(site) = Site::start(HSTS) else { return };
    let count = |profile: &str| {
        let (_, report) = parsed(site.check(&["--format=json", "--profile", profile]));
        findings(&report, "out_of_range").len()
    };
    let (baseline, standard, strict) = (count("baseline"), count("standard"), count("strict"));
    assert!(baseline < standard && standard < strict, "{baseline} {standard} {strict}");
}

#[test]
fn neither_target_nor_config_is_a_usage_error_and_a_config_without_targets_says_so() {
    refused(&["check"]);
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("secchi.yaml");
    std::fs::write(&file, "scope: {names: [a.example.com]}\n").expect("a file");
    let said = refused(&["check", "--config", &file.display().to_string()]);
    assert!(said.contains("no static targets"), "{said}");
}

#[test]
fn a_hostile_peer_breaks_neither_sarif_nor_junit_nor_a_baseline() {
    let evil = "Server: evil/1.0 \x1b]0;pwned\x07 ]]></failure><x a=\"&'\u{7f}\r\n\
                X-Powered-By: [click](https://evil.test) {0}\r\nSet-Cookie: \x1b[31m<b>\"=1\r\n";
    let peer = Scripted::start(|_| response("200 OK", evil, "<html>"));
    let target = format!("http://127.0.0.1:{}", peer.port);
    let with =
        |format: &str| check(&[&target, "--probe=http", "--fail-on=info", "--format", format]);
    let (status, text) = with("junit");
    assert_eq!(status, 1, "{text}");
    let document = Document::parse(&text).expect("XML");
    assert!(document.descendants().all(|node| !node.has_tag_name("x")));
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    let (_, text) = with("sarif");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    let log: Value = serde_json::from_str(&text).expect("JSON");
    for result in list(sarif_run(&log), "results") {
        let message = result["message"]["text"].as_str().expect("a text");
        assert!(!message.contains("[click](") && !message.contains(" {0}"), "{message}");
    }
    let folder = TempDir::new().expect("a folder");
    for format in ["json", "sarif"] {
        let file: &Path = &folder.path().join(format);
        std::fs::write(file, with(format).1).expect("a file");
        let known = format!("--baseline={}", file.display());
        let (status, said) = check(&[&target, "--probe=http", "--fail-on=info", &known]);
        assert_eq!(status, 0, "{said}");
    }
}

/// Every command in the examples and the page is one that the binary takes.
#[test]
fn the_examples_of_pipelines_are_sound() {
    let mut commands = 0;
    for file in ["deploy/ci/github-actions.yml", "deploy/ci/gitlab-ci.yml", "deploy/ci/argocd.yaml"]
    {
        let text = std::fs::read_to_string(file).expect(file);
        let parts = text.split("\n---\n").map(serde_saphyr::from_str::<Value>);
        let parts: Vec<Value> = parts.map(|part| part.expect(file)).collect();
        let found: Vec<_> = parts.iter().flat_map(commands_of).collect();
        let is = |words: [&str; 2]| {
            found.iter().any(|command| command.join(" ").contains(&words.join(" ")))
        };
        assert!(is(["check", "--config"]) && is(["deploy", "mark"]), "{file}: {found:?}");
        commands += found.iter().map(|command| accepted(file, command)).count();
    }
    let page = std::fs::read_to_string("docs/gate.md").expect("the page");
    for line in page.lines().filter_map(|line| line.strip_prefix("secchi ")) {
        accepted("docs/gate.md", &words(line));
        commands += 1;
    }
    assert!(commands >= 13, "{commands}");
}

/// The arguments of every call of Secchi in a pipeline's description.
fn commands_of(part: &Value) -> Vec<Vec<String>> {
    match part {
        Value::Array(list) if list.first().is_some_and(|w| w == "check" || w == "deploy") => {
            vec![list.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()]
        }
        Value::Array(list) => list.iter().flat_map(commands_of).collect(),
        Value::Object(map) => map.values().flat_map(commands_of).collect(),
        Value::String(text) => {
            let text = text.replace("\\\n", " ");
            let calls = text.lines().filter_map(|line| {
                let named = ["$SECCHI ", "secchi:0.1.0 ", "secchi "];
                let after =
                    named.iter().find_map(|name| line.split_once(name).map(|(_, rest)| rest))?;
                let words = words(after.trim_start());
                words.first().is_some_and(|w| w == "check" || w == "deploy").then_some(words)
            });
            calls.collect()
        }
        _ => Vec::new(),
    }
}

/// The words of a shell's line, up to where something else begins.
fn words(line: &str) -> Vec<String> {
    let end = line.find(['>', '|', '#']);
    let line = &line[..end.unwrap_or(line.len())];
    line.split_whitespace().map(|word| word.trim_matches('"').to_owned()).collect()
}

fn accepted(file: &str, command: &[String]) {
    let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
    arguments.push("--help");
    let output = run(&arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{file}: {command:?}: {said}");
}
