//! The MTA-STS policy of a domain (RFC 8461): fetched as a sender of mail would, and held against the
//! record that announces it and the exchanges that it must cover.

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{SecondsFormat, TimeDelta};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::delegate::Walk;
use super::fetch::{Missing, get};
use super::memory::Baseline;
use super::text;
use crate::probe::Job;
use crate::probe::http::Fetched;
use crate::probe::trust::Verdict;
use crate::sample::{Reason, Unknown};

/// Adds `policy` to the `mta_sts` of a name's mail facts. Gives what could not be established, by path
/// below `mail`.
pub(super) async fn add_policy(
    job: &Job,
    walk: &Walk<'_>,
    domain: &str,
    mail: &mut Value,
    baseline: &mut Baseline,
) -> Vec<(String, Unknown)> {
    let record = &mail["mta_sts"];
    if !record.is_object() {
        return Vec::new();
    }
    let id = record["id"].as_str().unwrap_or_default().to_owned();
    let is_announced = record["records"] == 1 && record["errors"] == json!([]);
    let policy = match is_announced {
        false => Err(Reason::NotApplicable.into()),
        true => recent(job, walk, domain, &id, baseline).await,
    };
    let mut unknown = Vec::new();
    let shown = match policy {
        Err(why) => {
            unknown.push(("mta_sts.policy".to_owned(), why));
            Value::Null
        }
        Ok((policy, at)) => {
            let mut shown = json!(policy);
            if policy.max_age.is_none() {
                unknown.push(("mta_sts.policy.max_age".to_owned(), Reason::NotApplicable.into()));
            }
            shown["unmatched"] = match mail["mx"].as_object() {
                Some(mx) => json!(policy.unmatched(mx.keys())),
                None => {
                    unknown.push(("mta_sts.policy.unmatched".to_owned(), Reason::DnsError.into()));
                    Value::Null
                }
            };
            shown["fetched_at"] = json!(at);
            shown
        }
    };
    mail["mta_sts"]["policy"] = shown;
    unknown
}

/// The policy and when it was fetched; a planned sample takes one of the last hour with the same id.
async fn recent(
    job: &Job,
    walk: &Walk<'_>,
    domain: &str,
    id: &str,
    baseline: &mut Baseline,
) -> Result<(Policy, String), Unknown> {
    let time = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let known = baseline.kept(KEPT).and_then(|kept| {
        let known: Remembered = serde_json::from_value(kept.facts.clone()).ok()?;
        Some((known, kept.clone()))
    });
    if let Some((known, kept)) = &known
        && job.is_planned()
        && known.id == id
        && kept.is_fresh(job.now, REFRESH)
    {
        return Ok((known.policy.clone(), time(kept.at())));
    }
    let url = Url::parse(&format!("https://mta-sts.{domain}/.well-known/mta-sts.txt"))
        .map_err(|_| Unknown::new(Reason::NotApplicable, "no host can have the name"))?;
    let (mut policy, text) = match get(job, walk, &url, MAX_POLICY).await {
        Err(Missing::Unknown(why)) => return Err(why),
        Err(Missing::NoAddress) => (Policy::broken("no_address"), None),
        Ok(fetched) => judge(fetched)?,
    };
    let mut first = text.map(|text| hex::encode(digest(&SHA256, &text)));
    if let (Some((known, _)), Some(now)) = (&known, &first)
        && known.id == id
        && let Some(before) = &known.digest
    {
        // Who knows the id fetches no more: the change is not seen until the id changes.
        if before != now {
            policy.errors.push("id_unchanged".to_owned());
        }
        first = Some(before.clone());
    } else if let (Some((known, _)), None) = (&known, &first)
        && known.id == id
    {
        first.clone_from(&known.digest);
    }
    let remembered = Remembered { id: id.to_owned(), digest: first, policy: policy.clone() };
    baseline.keep(KEPT, json!(remembered), job.now);
    Ok((policy, time(job.now)))
}

/// What a fetched text comes to, with the text where it is a policy's.
fn judge(fetched: Fetched) -> Result<(Policy, Option<Vec<u8>>), Unknown> {
    match fetched.trust {
        Verdict::Trusted => {}
        Verdict::Untrusted(_) => return Ok((Policy::broken("certificate"), None)),
        Verdict::Untold(why) => return Err(why),
    }
    match fetched.status {
        200 => {}
        300..=399 => return Ok((Policy::broken("redirect"), None)),
        // Too many asked, or something behind it is down: nothing of the policy.
        status @ (429 | 500..) => {
            return Err(Unknown::new(Reason::HttpStatus, status.to_string()));
        }
        _ => return Ok((Policy::broken("status"), None)),
    }
    let Some(body) = fetched.body else {
        return Err(Unknown::new(Reason::NotObserved, "the policy is too long or does not end"));
    };
    let mut policy = Policy::read(&String::from_utf8_lossy(&body));
    if fetched.media != "text/plain" {
        policy.errors.push("content_type".to_owned());
    }
    Ok((policy, Some(body)))
}

/// A policy as it was read.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
struct Policy {
    /// enforce, testing, none, or empty.
    mode: String,
    /// Seconds.
    max_age: Option<u64>,
    /// Patterns of exchanges.
    mx: Vec<String>,
    /// What is wrong with it.
    errors: Vec<String>,
}

/// What is remembered of the last fetch.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Remembered {
    id: String,
    /// Of the policy that came first with this id.
    digest: Option<String>,
    policy: Policy,
}

impl Policy {
    fn broken(error: &str) -> Self {
        Self { errors: vec![error.to_owned()], ..Self::default() }
    }

    /// Reads `key: value` lines (RFC 8461 §3.2); of keys but `mx` the first counts, unknown ones do
    /// not.
    fn read(text: &str) -> Self {
        let mut policy = Self::default();
        let (mut version, mut mode, mut max_age, mut is_odd) = (None, None, None, false);
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let Some((key, value)) = line.split_once(':') else {
                is_odd = true;
                continue;
            };
            let value = value.trim();
            match key.trim() {
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age = max_age.or(Some(value)),
                "mx" if policy.mx.len() < MAX_PATTERNS => {
                    let pattern = text::printable(value.trim_end_matches('.'));
                    policy.mx.push(pattern.to_ascii_lowercase().chars().take(255).collect());
                }
                _ => {}
            }
        }
        let mut error = |word: &str| policy.errors.push(word.to_owned());
        if is_odd {
            error("syntax");
        }
        if version != Some("STSv1") {
            error("version");
        }
        match mode {
            Some(mode @ ("enforce" | "testing" | "none")) => mode.clone_into(&mut policy.mode),
            _ => error("mode"),
        }
        let digits =
            max_age.filter(|text| text.len() <= 10 && text.bytes().all(|b| b.is_ascii_digit()));
        policy.max_age = digits.and_then(|text| text.parse().ok());
        if policy.max_age.is_none_or(|seconds| seconds > LONGEST) {
            policy.errors.push("max_age".to_owned());
        }
        if policy.mx.is_empty() && policy.mode != "none" {
            policy.errors.push("no_mx".to_owned());
        }
        policy
    }

    /// The exchanges that no pattern covers; none where the policy says nothing of them.
    fn unmatched<'a>(&self, exchanges: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
        let is_silent = self.mode.is_empty() || self.mode == "none";
        let covered = |exchange: &String| self.mx.iter().any(|pattern| covers(pattern, exchange));
        exchanges.filter(|exchange| !is_silent && !covered(exchange)).collect()
    }
}

/// A pattern is a name, or `*.` and a name for one label before it (RFC 8461 §4.1).
fn covers(pattern: &str, exchange: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => exchange.split_once('.').is_some_and(|(_, rest)| rest == parent),
        None => pattern == exchange,
    }
}

/// Under which word the last fetch is kept.
const KEPT: &str = "mta_sts";

/// Planned samples fetch no more often; senders do so once a day.
const REFRESH: TimeDelta = TimeDelta::hours(1);

/// Bytes of a policy that are read (RFC 8461 §3.3 suggests it).
const MAX_POLICY: usize = 64 * 1024;

/// Patterns kept.
const MAX_PATTERNS: usize = 32;

/// The longest max_age, a year (RFC 8461 §3.2).
const LONGEST: u64 = 31_557_600;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_policy_is_read_and_what_is_wrong_with_it_is_named() {
        let fine = Policy::read(
            "version: STSv1\r\nmode: enforce\r\nmode: none\r\nmx: Mail.Shop.test.\r\nmx: *.cdn.test\r\n\
             max_age: 604800\r\nfuture: x\r\n",
        );
        assert_eq!((fine.mode.as_str(), fine.max_age), ("enforce", Some(604_800)));
        assert_eq!(fine.mx, ["mail.shop.test", "*.cdn.test"]);
        assert!(fine.errors.is_empty(), "{:?}", fine.errors);
        for (text, errors) in [
            ("version: STSv1\nmode: none\nmax_age: 1", &[][..]),
            ("mode: testing\nmx: a\nmax_age: 1", &["version"]),
            ("version: STSv1\nmode: Enforce\nmx: a\nmax_age: 1", &["mode"]),
            ("version: STSv1\nmode: enforce\nmax_age: 1", &["no_mx"]),
            ("version: STSv1\nmode: enforce\nmx: a\nmax_age: -1", &["max_age"]),
            ("version: STSv1\nmode: enforce\nmx: a\nmax_age: 31557601", &["max_age"]),
            ("<html>", &["syntax", "version", "mode", "max_age", "no_mx"]),
        ] {
            assert_eq!(Policy::read(text).errors, errors, "{text}");
        }
    }

    #[test]
    fn a_wildcard_covers_one_label_and_a_policy_of_none_covers_all() {
        for (pattern, exchange, is_covered) in [
            ("mail.a.test", "mail.a.test", true),
            ("*.a.test", "mail.a.test", true),
            ("*.a.test", "a.test", false),
            ("*.a.test", "x.mail.a.test", false),
            ("a.test", "mail.a.test", false),
        ] {
            assert_eq!(covers(pattern, exchange), is_covered, "{pattern} {exchange}");
        }
        let exchanges = ["mail.a.test".to_owned(), "mx.b.test".to_owned()];
        let policy = |mode: &str| Policy {
            mode: mode.into(),
            mx: vec!["*.a.test".into()],
            ..Policy::default()
        };
        assert_eq!(policy("enforce").unmatched(exchanges.iter()), ["mx.b.test"]);
        assert!(policy("none").unmatched(exchanges.iter()).is_empty());
    }

    proptest! {
        #[test]
        fn no_text_brings_the_reader_down(text in "\\PC{0,120}") {
            let policy = Policy::read(&text);
            prop_assert!(policy.mx.iter().all(|pattern| pattern.len() <= 255));
        }
    }
}
