//! Google's csp-evaluator, version 1.1.6: what it would say of each policy for browsers of CSP3,
//! without its extras for strict policies.

mod bypass;
mod checks;
mod policy;

use serde::Serialize;
use serde_json::{Value, json};

use policy::Policy;

use crate::probe::http::fields::Fields;

/// One finding.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(in crate::probe::http) struct Finding {
    /// Its type.
    #[serde(rename = "type")]
    pub(in crate::probe::http) kind: &'static str,
    /// Its severity.
    pub(in crate::probe::http) severity: &'static str,
    /// The directive it is about.
    pub(in crate::probe::http) directive: String,
    /// The value it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::probe::http) value: Option<String>,
    /// Which policy, where several are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::probe::http) policy: Option<usize>,
}

/// The report on the enforced policies of a response: `{version, findings}`; `None` where it sends
/// none.
pub(in crate::probe::http) fn report(fields: &Fields) -> Option<Value> {
    let sent = fields.joined("content-security-policy")?;
    let mut texts: Vec<&str> = sent.split(',').filter(|text| !text.trim().is_empty()).collect();
    if texts.is_empty() {
        texts.push("");
    }
    texts.truncate(MAX_POLICIES);
    let mut findings = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let policy = (texts.len() > 1).then_some(index);
        let found = evaluate(text).into_iter().map(|finding| Finding { policy, ..finding });
        findings.extend(found.take(MAX_FINDINGS));
    }
    Some(json!({ "version": VERSION, "findings": findings }))
}

/// What it says of one policy.
pub(in crate::probe::http) fn evaluate(text: &str) -> Vec<Finding> {
    let (policy, ignored) = Policy::parse(text).effective();
    let ignored = ignored.into_iter().map(|(directive, value)| Finding {
        kind: "IGNORED",
        severity: "NONE",
        directive,
        value: Some(value),
        policy: None,
    });
    ignored.chain(checks::all(&policy)).collect()
}

const VERSION: &str = "1.1.6";
const MAX_POLICIES: usize = 16;
const MAX_FINDINGS: usize = 256;
