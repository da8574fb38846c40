//! Served chains as measurements: `certificates`, `chain` and `ocsp_staple`. Pure.

use serde_json::{Map, Value, json};
use x509_parser::certificate::X509Certificate;

use crate::probe::trust::certificate::{Facts, facts};
use crate::probe::trust::{Judgement, Served, Staple};
use crate::sample::{Measurements, Path, Reason, Unknown};

use super::names::Kinds;

/// One served chain, read and judged.
pub(super) struct Judged<'a> {
    pub(super) served: &'a Served,
    pub(super) leaf: Facts,
    chain: Vec<Facts>,
    judgement: Judgement,
    staple: Option<Staple>,
}

impl<'a> Judged<'a> {
    /// What was served, `read` and judged. `None` if there is no leaf, or none that can be read.
    pub(super) fn new(
        served: &'a Served,
        read: &[Option<X509Certificate<'_>>],
        judgement: Judgement,
        staple: Option<Staple>,
    ) -> Option<Self> {
        let mut all = served.certificates.iter().zip(read).map(|(der, certificate)| {
            certificate.as_ref().map(|certificate| facts(der, certificate))
        });
        Some(Self {
            served,
            leaf: all.next()??,
            chain: all.take(MAX_CHAIN).flatten().collect(),
            judgement,
            staple,
        })
    }
}

/// Names the kind of certificate that could not be asked for, or was not.
pub(super) fn lacks(facts: &mut Measurements, kinds: Kinds, why: impl Into<Unknown>) {
    let member = if kinds == Kinds::Rsa { "rsa" } else { "ec" };
    facts.set_unknown(Path::of("certificates").member(member).to_string(), why);
}

/// States the chains, of which what a current client sees comes first.
pub(super) fn state(facts: &mut Measurements, mut judged: Vec<Judged<'_>>) {
    let Some(first) = judged.first() else { return };
    staple(facts, first);
    judged.sort_by(|a, b| a.leaf.key_type.cmp(&b.leaf.key_type));
    judged.dedup_by(|later, first| {
        let same = later.leaf.key_type == first.leaf.key_type;
        if same && later.leaf.sha256 != first.leaf.sha256 {
            let path = Path::of("certificates").member(&first.leaf.key_type);
            facts.set_unknown(path.to_string(), Reason::Inconsistent);
        }
        same
    });
    for judged in &judged {
        let leaf = Path::of("certificates").member(&judged.leaf.key_type);
        if judged.judgement.reason.is_none() {
            let why = judged.judgement.untold.clone();
            let why = why.unwrap_or_else(|| Reason::NotApplicable.into());
            facts.set_unknown(leaf.join("reason").to_string(), why);
        }
    }
    let list: Vec<Value> = judged.iter().map(certificate).collect();
    facts.set_value("certificates", Value::Array(list));
    worst(facts, &judged);
}

fn worst(facts: &mut Measurements, judged: &[Judged<'_>]) {
    let badness = |judged: &&Judged<'_>| {
        let j = &judged.judgement;
        let rank = [Some(false), None, Some(true)].iter().position(|t| *t == j.trusted);
        (rank, j.hostname_matches, !j.incomplete, j.order_ok, usize::MAX - j.extra)
    };
    let Some(worst) = judged.iter().min_by_key(badness) else { return };
    facts.set("chain", &worst.judgement);
    match &worst.judgement.untold {
        Some(why) => {
            facts.set_unknown("chain.trusted", why.clone());
            facts.set_unknown("chain.reason", why.clone());
        }
        None if worst.judgement.reason.is_none() => {
            facts.set_unknown("chain.reason", Reason::NotApplicable);
        }
        None => {}
    }
}

fn certificate(judged: &Judged<'_>) -> Value {
    let object = |value: Value| match value {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    let mut map = object(serde_json::to_value(&judged.leaf).unwrap_or_default());
    map.extend(object(serde_json::to_value(&judged.judgement).unwrap_or_default()));
    map.insert("chain".to_owned(), json!(judged.chain));
    Value::Object(map)
}

fn staple(facts: &mut Measurements, judged: &Judged<'_>) {
    match &judged.staple {
        None => {
            let none =
                json!({"present": false, "status": null, "matches": null, "next_update": null});
            facts.set("ocsp_staple", none);
            for key in ["status", "matches", "next_update"] {
                facts.set_unknown(format!("ocsp_staple.{key}"), Reason::NotApplicable);
            }
        }
        Some(staple) => {
            facts.set(
                "ocsp_staple",
                json!({
                    "present": true,
                    "status": staple.status,
                    "matches": staple.matches,
                    "next_update": staple.next_update,
                }),
            );
            if staple.next_update.is_none() {
                facts.set_unknown("ocsp_staple.next_update", Reason::NotApplicable);
            }
        }
    }
}

const MAX_CHAIN: usize = 32;
