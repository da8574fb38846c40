//! The recorded verdicts of the other judges, held against ours. `SECCHI_ORACLES` names the folder
//! that holds them; without it there is nothing to hold.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use url::Url;

use super::evaluator;
use super::hsts_preload::{self, Policy};
use super::observatory::{self, Response, Scan, Sharing};
use super::preload_list::PreloadList;
use crate::probe::http::fields::Fields;
use crate::probe::http::page::Page;

/// A file of verdicts, if there is one.
fn recorded(name: &str) -> Option<Value> {
    let Some(folder) = std::env::var_os("SECCHI_ORACLES") else {
        eprintln!("skipped: SECCHI_ORACLES names no folder of recorded verdicts ({name})");
        return None;
    };
    let path = PathBuf::from(folder).join("http").join(name);
    let text = fs::read_to_string(&path).expect("a file of verdicts");
    Some(serde_json::from_str(&text).expect("JSON"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], |items| items)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// What a case says the scanner retrieved.
#[derive(Default)]
struct Retrieved {
    site: String,
    session: Option<Url>,
    auto: Option<(Fields, bool)>,
    http: Option<(Fields, bool)>,
    https: Option<(Fields, bool)>,
    cors: Option<(Fields, String)>,
    route: Vec<Url>,
    page: Option<Page>,
}

impl Retrieved {
    fn of(input: &Value) -> Self {
        let response = |key: &str| -> Option<(Fields, bool)> {
            let response = input[key].as_object()?;
            let mut fields = Fields::default();
            for line in response["headers"].as_array().expect("fields") {
                let part = |at: usize| line[at].as_str().expect("text").as_bytes();
                fields.push(part(0), part(1));
            }
            Some((fields, response["verified"].as_bool().unwrap_or_default()))
        };
        let url = |text: &str| Url::parse(text).ok();
        let session = url(text(input, "session_url"));
        let site = match text(input, "site") {
            "" => session.as_ref().and_then(Url::host_str).unwrap_or_default(),
            site => site,
        };
        Self {
            site: site.to_owned(),
            auto: response("auto"),
            http: response("http"),
            https: response("https"),
            cors: response("cors")
                .map(|(fields, _)| (fields, text(&input["cors"], "request_origin").to_owned())),
            route: list(input, "http_redirects")
                .iter()
                .filter_map(|r| url(text(r, "url")))
                .collect(),
            page: input["html"].as_str().map(Page::of),
            session,
        }
    }

    fn scan<'a>(&'a self, preloaded: &'a PreloadList) -> Scan<'a> {
        let response = |of: &'a Option<(Fields, bool)>| {
            of.as_ref().map(|(fields, is_verified)| Response { fields, is_verified: *is_verified })
        };
        let session = self.session.as_ref().zip(self.auto.as_ref().map(|(fields, _)| fields));
        Scan {
            site: &self.site,
            is_https: self.session.as_ref().is_none_or(|url| url.scheme() == "https"),
            http: response(&self.http),
            http_route: self.route.clone(),
            https: response(&self.https),
            auto: response(&self.auto),
            session: session.into_iter().collect(),
            cors: self
                .cors
                .as_ref()
                .map_or(Sharing::Nothing, |(fields, origin)| Sharing::Answer(fields, origin)),
            page: self.page.as_ref(),
            preloaded: Some(preloaded),
        }
    }
}

#[test]
fn the_observatory_says_the_same_of_every_recorded_case() {
    let Some(file) = recorded("observatory.json") else { return };
    let entries: Vec<Value> = file["meta"]["preload_list_stub"]
        .as_object()
        .expect("a list")
        .iter()
        .map(|(name, entry)| {
            let covers = entry["includeSubDomains"].clone();
            serde_json::json!({"name": name, "mode": entry["mode"], "include_subdomains": covers})
        })
        .collect();
    let text_of_list = serde_json::json!({ "entries": entries }).to_string();
    let preloaded = PreloadList::parse(&text_of_list).expect("a list");
    let (mut count, mut strays) = (0, Vec::new());
    for case in ["unit_cases", "sweep_cases"].iter().flat_map(|key| list(&file, key)) {
        let retrieved = Retrieved::of(&case["input"]);
        let report = observatory::report(&retrieved.scan(&preloaded));
        let ours = &report["tests"][text(case, "test")];
        let expected = &case["expected"];
        count += 1;
        if ["result", "pass", "modifier"].iter().any(|key| ours[key] != expected[key]) {
            strays.push(format!("{}: {ours} instead of {}", case["id"], expected["result"]));
        }
    }
    eprintln!("observatory: {} of {count} cases equal", count - strays.len());
    assert!(strays.is_empty() && count > 200, "{}", strays.join("\n"));
}

#[test]
fn the_preload_checker_says_the_same_of_every_recorded_case() {
    let Some(file) = recorded("hsts-preload.json") else { return };
    let mut strays = Vec::new();
    let cases = list(&file, "cases");
    for case in cases {
        let header = text(case, "header");
        let policy = match text(case, "policy") {
            "18-weeks" => Policy::EighteenWeeks,
            _ => Policy::OneYear,
        };
        let issues = match text(case, "kind") {
            "parse" => hsts_preload::parsed(header),
            "removable" => hsts_preload::removable(header),
            _ => hsts_preload::eligible(header, policy),
        };
        let ours = serde_json::to_value(&issues).expect("JSON");
        if ["errors", "warnings"].iter().any(|key| ours[key] != case[key]) {
            strays.push(format!("{case}: {ours}"));
        }
    }
    eprintln!("hsts-preload: {} of {} cases equal", cases.len() - strays.len(), cases.len());
    assert!(strays.is_empty() && !cases.is_empty(), "{}", strays.join("\n"));
}

#[test]
fn the_evaluator_says_the_same_of_every_recorded_policy() {
    let Some(file) = recorded("csp-evaluator.json") else { return };
    let (mut strays, cases) = (Vec::new(), list(&file, "full_cases"));
    for case in cases {
        let ours = serde_json::to_value(evaluator::evaluate(text(case, "policy"))).expect("JSON");
        let expected = &case["expected"]["csp3"];
        if ours != *expected {
            strays.push(format!("{}\n  {ours}\n  {expected}", case["policy"]));
        }
    }
    eprintln!("csp-evaluator: {} of {} cases equal", cases.len() - strays.len(), cases.len());
    assert!(strays.is_empty() && !cases.is_empty(), "{}", strays.join("\n"));
}
