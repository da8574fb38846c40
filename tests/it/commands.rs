//! Commands that need no network: config, rules, plan, generate.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::peers::find;
use crate::support::run;

fn config_check(text: &str) -> (i32, String) {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("secchi.yaml");
    std::fs::write(&file, text).expect("a file");
    let output = run(&["config", "check", "--config", &file.display().to_string()]);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().expect("a status"), String::from_utf8(said).expect("text"))
}

const GOOD: &str = "scope: {names: [\"*.example.com\"]}\nplans: {fast: {every: 5m}}\ndefaults: {plan: fast}\n\
                    targets:\n  - target: https://www.example.com\n";

#[test]
fn a_good_config_is_good() {
    let (status, said) = config_check(GOOD);
    assert_eq!(status, 0, "{said}");
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_a_suggestion() {
    let (status, said) = config_check(&GOOD.replace("targets:", "tragets:"));
    assert_eq!(status, 2);
    assert!(said.contains("secchi.yaml:4:1") && said.contains("did you mean `targets`"), "{said}");
}

#[test]
fn a_daemon_and_a_check_say_once_that_a_mistake_is_an_error() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("secchi.yaml");
    std::fs::write(&file, "targts: []\n").expect("a file");
    for command in ["run", "check"] {
        let output = run(&[command, "--config", &file.display().to_string()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("error: unknown key `targts`"), "{said}");
    }
}

#[test]
fn every_mistake_is_reported_in_one_pass() {
    let text = "scope: {names: [\"*.example.com\"], networks: [\"10.0.0.0/99\"]}\nplans: {fast: {every: 5m}, odd: {cron: \"61 * * * *\"}}\n\
                defaults: {plan: slow}\ntargets:\n  - target: https://www.example.com\n  - target: https://www.example.com\n  - target: https://elsewhere.net\n    ranges: {no-such-rule: {min: 1d}}\n";
    let (status, said) = config_check(text);
    assert_eq!(status, 2);
    for what in ["10.0.0.0/99", "slow", "61", "elsewhere.net", "no-such-rule"] {
        assert!(said.contains(what), "{what} is missing from:\n{said}");
    }
}

#[test]
fn the_shipped_rules_are_many_and_each_explains_itself() {
    let output = run(&["rules", "list", "--format", "json"]);
    let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rules = list["rules"].as_array().expect("rules");
    assert!(rules.len() >= 40, "{}", rules.len());
    let shown = run(&["rules", "show", "tls-legacy-protocol"]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.contains("tls.versions") && text.contains("iso27002"), "{text}");
    assert_eq!(run(&["rules", "show", "no-such-rule"]).status.code(), Some(2));
}

#[test]
fn the_prometheus_rules_pass_promtool_and_are_the_ones_that_are_shipped() {
    let output = run(&["rules", "prometheus"]);
    let shipped = std::fs::read("deploy/prometheus/secchi.rules.yml").expect("the shipped file");
    assert_eq!(String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&shipped));
    for arguments in
        [["check", "rules", "secchi.rules.yml"], ["test", "rules", "secchi.rules.test.yml"]]
    {
        let output = Command::new(find("promtool"))
            .args(arguments)
            .current_dir("deploy/prometheus")
            .output()
            .expect("promtool");
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn the_plan_states_its_cost() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("secchi.yaml");
    std::fs::write(&file, GOOD).expect("a file");
    let output = run(&["plan", "--format", "json", "--config", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let plan: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let fast = plan["plans"]
        .as_array()
        .expect("plans")
        .iter()
        .find(|plan| plan["plan"] == "fast")
        .expect("the plan");
    assert_eq!(fast["samples_per_hour"], 12.0);
}

#[test]
fn schema_man_page_and_completions_are_written() {
    let schema = run(&["config", "schema"]);
    let schema: Value = serde_json::from_slice(&schema.stdout).expect("JSON");
    assert!(schema["properties"]["targets"].is_object(), "{schema}");
    assert!(String::from_utf8_lossy(&run(&["generate", "man"]).stdout).contains("secchi"));
    assert!(
        String::from_utf8_lossy(&run(&["generate", "completions", "bash"]).stdout)
            .contains("secchi")
    );
}

#[test]
fn the_shipped_config_is_good() {
    let output = run(&["config", "check", "--config", "deploy/secchi.yaml"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_documented_config_is_good() {
    let page = std::fs::read_to_string("docs/config.md").expect("the page");
    let text = page
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("an example");
    let folder = TempDir::new().expect("a folder");
    for name in ["targets", "my-rules"] {
        std::fs::create_dir(folder.path().join(name)).expect("a folder");
    }
    let pack = "probe: http\nversion: '1'\nsource: ours\nrules: []\n";
    for (name, text) in [
        ("hook.key", "0123456789abcdef"),
        ("ci.token", "0123456789abcdef"),
        ("web.yml", ""),
        ("my-rules/ours.yaml", pack),
        ("secchi.yaml", text),
    ] {
        std::fs::write(folder.path().join(name), text).expect("a file");
    }
    let output = run(&[
        "config",
        "check",
        "--config",
        &folder.path().join("secchi.yaml").display().to_string(),
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
