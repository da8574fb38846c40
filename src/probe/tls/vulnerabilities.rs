//! What follows from the facts stated so far, and what was tried with leave. A weakness is `true` once
//! it shows, and `false` only where every set that could hold it is closed.

use serde_json::{Map, Value};

use crate::sample::{Measurements, Path, Reason, Unknown};

use super::features::Fact;
use super::intrusive::Tried;

/// States `vulnerabilities` by `versions`, `cipher_suites`, `dh_prime_bits` and `compression`.
pub(super) fn vulnerabilities(facts: &mut Measurements, tried: Option<&Tried>) {
    let tried = |name: &str| match tried {
        Some(tried) => tried.vulnerabilities.get(name).cloned().unwrap_or_else(not_observed),
        None => Err(Reason::OptIn.into()),
    };
    let known = Known(facts);
    let export =
        |kind: &'static str| move |name: &str| name.contains("EXPORT") && name.contains(kind);
    let block64 = |name: &str| ["_DES", "3DES", "_IDEA_", "_RC2_"].iter().any(|c| name.contains(c));
    let cbc = |name: &str| name.contains("_CBC_");
    let answers: [(&str, Fact<bool>); 13] = [
        ("heartbleed", tried("heartbleed")),
        ("ccs_injection", tried("ccs_injection")),
        ("ticketbleed", tried("ticketbleed")),
        ("robot", tried("robot")),
        // SSLv3 without CBC is RC4 or nothing; the version itself is the hole.
        ("poodle", known.offers("SSLv3")),
        ("drown", known.offers("SSLv2")),
        ("crime", known.compresses()),
        ("freak", known.among(&BELOW_TLS13, &export("RSA_EXPORT"))),
        ("logjam", known.logjam()),
        ("sweet32", known.among(&BELOW_TLS13, &block64)),
        ("rc4", known.among(&BELOW_TLS13, &|name| name.contains("_RC4_"))),
        ("beast", known.among(&BELOW_TLS13[..2], &cbc)),
        ("lucky13", known.among(&BELOW_TLS13, &cbc)),
    ];
    let mut map = Map::new();
    for (name, answer) in answers {
        let value = match answer {
            Ok(value) => Value::Bool(value),
            Err(why) => {
                facts.set_unknown(Path::of("vulnerabilities").join(name).to_string(), why);
                Value::Null
            }
        };
        map.insert(name.to_owned(), value);
    }
    facts.set("vulnerabilities", map);
}

struct Known<'a>(&'a Measurements);

impl Known<'_> {
    /// Whether the version is there.
    fn offers(&self, version: &str) -> Fact<bool> {
        if self.words("versions").any(|offered| offered == version) {
            return Ok(true);
        }
        match self.0.why_unknown(&Path::of("versions").member(version)) {
            Some(why) => Err(why.clone()),
            None => Ok(false),
        }
    }

    /// Whether one of these versions has a suite that `is` it.
    fn among(&self, versions: &[&str], is: &dyn Fn(&str) -> bool) -> Fact<bool> {
        let mut doubt = None;
        for version in versions {
            let suites = self.0.fact("cipher_suites").and_then(|all| all.get(version));
            if words(suites).any(is) {
                return Ok(true);
            }
            match self.offers(version) {
                Ok(false) => {}
                Ok(true) => doubt = self.why_open(version).or(doubt),
                Err(why) => doubt = Some(why),
            }
        }
        doubt.map_or(Ok(false), Err)
    }

    /// Why the suites of a version in use may be more.
    fn why_open(&self, version: &str) -> Option<Unknown> {
        let path = Path::of("cipher_suites").member(version);
        match self.0.why_unknown(&path) {
            Some(why) => Some(why.clone()),
            None if self.0.fact("cipher_suites").and_then(|all| all.get(version)).is_none() => {
                Some(Reason::NotObserved.into())
            }
            None => None,
        }
    }

    /// Export suites, or a prime that a state can break once for all.
    fn logjam(&self) -> Fact<bool> {
        let bits = self.0.fact("dh_prime_bits").and_then(Value::as_u64);
        let export = |name: &str| name.contains("EXPORT") && name.contains("DHE_");
        let has_small = bits.is_some_and(|bits| bits <= 1024);
        if has_small || self.among(&BELOW_TLS13, &export)? {
            return Ok(true);
        }
        let has_dhe = self.among(&BELOW_TLS13, &|name| name.contains("_DHE_"))?;
        match (has_dhe, self.0.why_unknown(&Path::of("dh_prime_bits"))) {
            (true, Some(why)) => Err(why.clone()),
            _ => Ok(false),
        }
    }

    fn compresses(&self) -> Fact<bool> {
        match self.0.why_unknown(&Path::of("compression")) {
            Some(why) if why.reason != Reason::NotApplicable => Err(why.clone()),
            _ => Ok(self.words("compression").any(|method| method == "DEFLATE")),
        }
    }

    fn words(&self, key: &str) -> impl Iterator<Item = &str> {
        words(self.0.fact(key))
    }
}

fn words(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn not_observed() -> Fact<bool> {
    Err(Reason::NotObserved.into())
}

/// Oldest first.
const BELOW_TLS13: [&str; 4] = ["SSLv3", "TLSv1.0", "TLSv1.1", "TLSv1.2"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(facts: Value, name: &str) -> String {
        let mut facts: Measurements = serde_json::from_value(facts).expect("measurements");
        vulnerabilities(&mut facts, None);
        let why = facts.unknowns().get(&format!("vulnerabilities.{name}")).map(ToString::to_string);
        why.unwrap_or_else(|| facts.fact("vulnerabilities").expect("stated")[name].to_string())
    }

    #[test]
    fn a_weakness_is_true_once_shown_and_false_only_where_every_set_is_closed() {
        let gcm = json!({"TLSv1.2": ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]});
        let closed = json!({"versions": ["TLSv1.2"], "cipher_suites": gcm, "compression": []});
        for name in
            ["rc4", "sweet32", "freak", "logjam", "beast", "lucky13", "poodle", "drown", "crime"]
        {
            assert_eq!(answer(closed.clone(), name), "false", "{name}");
        }
        let open = json!({"versions": ["TLSv1.2"], "cipher_suites": gcm,
            "unknown": {"cipher_suites[TLSv1.2]": "timeout"}});
        assert_eq!(answer(open.clone(), "rc4"), "timeout");
        assert_eq!(answer(open, "beast"), "false");
        let doubt = json!({"versions": ["TLSv1.2"], "cipher_suites": gcm,
            "unknown": {"versions[TLSv1.0]": "reset", "compression": "timeout"}});
        assert_eq!(answer(doubt.clone(), "beast"), "reset");
        assert_eq!(answer(doubt, "crime"), "timeout");
        let rc4 = json!({"versions": ["TLSv1.2"], "cipher_suites": {"TLSv1.2": ["TLS_RSA_WITH_RC4_128_SHA"]},
            "unknown": {"cipher_suites[TLSv1.2]": "timeout"}});
        assert_eq!(answer(rc4, "rc4"), "true");
    }

    #[test]
    fn a_small_or_an_unseen_prime_decides_on_logjam() {
        let dhe = |bits: Value, unknown: Value| {
            json!({"versions": ["TLSv1.2"], "dh_prime_bits": bits, "unknown": unknown,
                "cipher_suites": {"TLSv1.2": ["TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"]}})
        };
        assert_eq!(answer(dhe(json!(1024), json!({})), "logjam"), "true");
        assert_eq!(answer(dhe(json!(2048), json!({})), "logjam"), "false");
        let unseen = dhe(Value::Null, json!({"dh_prime_bits": "not_observed"}));
        assert_eq!(answer(unseen, "logjam"), "not_observed");
    }
}
