//! What follows from the other facts alone: a letter as SSL Labs gives it, and how ready the peer is
//! for post-quantum key exchange. Pure.
//!
//! The letter is that of the SSL Server Rating Guide 2009r: a score of protocols (30 %), key exchange
//! (30 %) and ciphers (40 %), capped by what is weak. A+ needs HSTS, which is not this probe's to
//! see, so A is the best there is. What is opt-in and was not asked for does not count.

use serde_json::Value;

use crate::sample::{Measurements, Path, Reason, Unknown};

/// States `grade`, `grade_reasons` and `post_quantum` from what is stated already.
pub(super) fn state(facts: &mut Measurements) {
    match graded(facts) {
        Ok(Graded { letter, reasons }) => {
            facts.set("grade", letter);
            facts.set("grade_reasons", reasons);
        }
        Err(why) => {
            facts.set_unknown("grade", why.clone());
            facts.set_unknown("grade_reasons", why);
        }
    }
    match post_quantum(facts) {
        Ok(word) => facts.set("post_quantum", word),
        Err(why) => facts.set_unknown("post_quantum", why),
    }
}

struct Graded {
    letter: &'static str,
    reasons: Vec<String>,
}

/// The letters, best first.
const LETTERS: [&str; 6] = ["A", "A-", "B", "C", "D", "E"];

fn graded(facts: &Measurements) -> Result<Graded, Unknown> {
    let all = Known::of(facts);
    // What is broken stays broken, whatever else is unknown.
    let broken = all.broken();
    if !broken.is_empty() {
        return Ok(Graded { letter: "F", reasons: broken });
    }
    if all.chain("trusted") == Some(false) {
        return Ok(Graded { letter: "T", reasons: vec!["the certificate is not trusted".into()] });
    }
    if all.chain("hostname_matches") == Some(false) {
        return Ok(Graded {
            letter: "M",
            reasons: vec!["the certificate is for other names".into()],
        });
    }
    for key in ["versions", "cipher_suites", "certificates", "chain.trusted"] {
        known_whole(facts, key)?;
    }
    if all.suites().any(|(_, suite)| suite.contains("_DHE_")) {
        known_whole(facts, "dh_prime_bits")?;
    }
    let score = all.score();
    let by_score = match score {
        80.. => 0,
        65.. => 2,
        50.. => 3,
        35.. => 4,
        20.. => 5,
        _ => return Ok(Graded { letter: "F", reasons: vec![format!("a score of {score}")] }),
    };
    let mut caps = all.caps();
    if by_score > 0 {
        caps.push((LETTERS[by_score], format!("a score of {score}")));
    }
    let rank = |letter: &str| LETTERS.iter().position(|&known| known == letter).unwrap_or(0);
    let worst = caps.iter().map(|(letter, _)| rank(letter)).max().unwrap_or(0);
    let reasons = caps.into_iter().filter(|(letter, _)| rank(letter) == worst);
    Ok(Graded { letter: LETTERS[worst], reasons: reasons.map(|(_, why)| why).collect() })
}

/// The error is why the fact, or any part of it, is unknown.
fn known_whole(facts: &Measurements, key: &str) -> Result<(), Unknown> {
    let below = |path: &str| {
        path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
    };
    // A reason that is null because nothing is wrong is no gap.
    let gap = facts
        .unknowns()
        .iter()
        .find(|(path, why)| below(path) && why.reason != Reason::NotApplicable);
    match gap {
        Some((_, why)) => Err(why.clone()),
        None => Ok(()),
    }
}

/// The facts that count, as far as they are known.
struct Known<'a> {
    facts: &'a Measurements,
    versions: Vec<&'a str>,
}

impl<'a> Known<'a> {
    fn of(facts: &'a Measurements) -> Self {
        Self { facts, versions: words(facts.fact("versions")).collect() }
    }

    fn suites(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let by_version = self.facts.fact("cipher_suites").and_then(Value::as_object);
        by_version.into_iter().flatten().flat_map(|(version, suites)| {
            words(Some(suites)).map(move |suite| (version.as_str(), suite))
        })
    }

    fn certificates(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        self.facts.fact("certificates").and_then(Value::as_array).into_iter().flatten()
    }

    fn chain(&self, key: &str) -> Option<bool> {
        self.facts.fact("chain")?.get(key)?.as_bool()
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.facts.fact(key)?.as_bool()
    }

    fn is_vulnerable(&self, name: &str) -> bool {
        let all = self.facts.fact("vulnerabilities");
        all.and_then(|all| all.get(name)).and_then(Value::as_bool) == Some(true)
    }

    fn dh(&self) -> Option<u64> {
        self.facts.fact("dh_prime_bits").and_then(Value::as_u64)
    }

    /// The smallest RSA or DSA key.
    fn key(&self) -> Option<u64> {
        let is_ec = |leaf: &Value| leaf["key_type"].as_str().is_some_and(|t| t.starts_with("e"));
        self.certificates().filter(|leaf| !is_ec(leaf)).filter_map(|l| l["key_bits"].as_u64()).min()
    }

    /// What makes it an F by itself.
    fn broken(&self) -> Vec<String> {
        let mut why = Vec::new();
        if self.versions.contains(&"SSLv2") {
            why.push("SSLv2".to_owned());
        }
        let has = |kind: &str| self.suites().any(|(_, suite)| suite.contains(kind));
        for (kind, name) in [
            ("_EXPORT", "export suites"),
            ("_anon_", "anonymous suites"),
            ("_NULL_", "no encryption"),
        ] {
            if has(kind) {
                why.push(name.to_owned());
            }
        }
        for name in ["heartbleed", "ccs_injection", "ticketbleed", "robot", "drown", "freak"] {
            if self.is_vulnerable(name) {
                why.push(name.to_owned());
            }
        }
        if self.key().is_some_and(|bits| bits < 1024) {
            why.push("a key below 1024 bits".to_owned());
        }
        if self.dh().is_some_and(|bits| bits < 1024) {
            why.push("a Diffie-Hellman prime below 1024 bits".to_owned());
        }
        let signatures =
            self.certificates().filter_map(|leaf| leaf["signature_algorithm"].as_str());
        if signatures.into_iter().any(|name| name.to_ascii_lowercase().starts_with("md")) {
            why.push("an MD2 or MD5 signature".to_owned());
        }
        why
    }

    /// What caps the letter, and at which.
    fn caps(&self) -> Vec<(&'static str, String)> {
        let mut caps: Vec<(&'static str, String)> = Vec::new();
        let mut cap = |letter, is: bool, why: &str| {
            if is {
                caps.push((letter, why.to_owned()));
            }
        };
        let offers = |version: &str| self.versions.contains(&version);
        let newer = |version: &str| matches!(version, "TLSv1.1" | "TLSv1.2" | "TLSv1.3");
        let all: Vec<(&str, &str)> = self.suites().collect();
        let has = |test: &dyn Fn(&str) -> bool| all.iter().any(|(_, suite)| test(suite));
        let rc4 = |suite: &str| suite.contains("_RC4_");
        let block64 =
            |suite: &str| ["_DES", "3DES", "_IDEA_", "_RC2_"].iter().any(|c| suite.contains(c));
        cap("C", offers("SSLv3"), "SSLv3");
        cap("C", !offers("TLSv1.2") && !offers("TLSv1.3"), "no TLS 1.2");
        cap("B", offers("TLSv1.0") || offers("TLSv1.1"), "TLS 1.0 or 1.1");
        cap("A-", !offers("TLSv1.3"), "no TLS 1.3");
        cap("C", all.iter().any(|(v, suite)| newer(v) && rc4(suite)), "RC4 with TLS 1.1 or newer");
        cap("B", has(&rc4), "RC4");
        cap("C", all.iter().any(|(v, suite)| newer(v) && block64(suite)), "blocks of 64 bits");
        cap("C", self.is_vulnerable("crime"), "TLS compression");
        cap("B", !has(&is_aead), "no AEAD suite");
        cap("B", !has(&is_forward_secret), "no forward secrecy");
        cap(
            "B",
            self.dh().is_some_and(|bits| bits < 2048),
            "a Diffie-Hellman prime below 2048 bits",
        );
        cap("B", self.key().is_some_and(|bits| bits < 2048), "a key below 2048 bits");
        cap("B", self.chain("incomplete") == Some(true), "an incomplete chain");
        cap("A-", self.flag("secure_renegotiation") == Some(false), "no secure renegotiation");
        caps
    }

    /// Weighted as the guide does, from 0 to 100.
    fn score(&self) -> u64 {
        let mean = |of: &dyn Fn() -> Vec<u64>| {
            let all = of();
            let (best, worst) = (all.iter().max(), all.iter().min());
            best.zip(worst).map_or(0, |(best, worst)| (best + worst) / 2)
        };
        let protocols = mean(&|| self.versions.iter().map(|v| version_score(v)).collect());
        let ciphers = mean(&|| self.suites().map(|(_, suite)| cipher_score(suite)).collect());
        // An EC key or group counts as RSA of its strength.
        let weakest = self.key().into_iter().chain(self.dh()).min().unwrap_or(3_072);
        let exchange = match weakest {
            0..=511 => 20,
            512..=1_023 => 40,
            1_024..=2_047 => 80,
            2_048..=4_095 => 90,
            _ => 100,
        };
        (30 * protocols + 30 * exchange + 40 * ciphers) / 100
    }
}

fn words(value: Option<&Value>) -> impl Iterator<Item = &str> {
    value.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn version_score(version: &str) -> u64 {
    match version {
        "SSLv2" => 0,
        "SSLv3" => 80,
        "TLSv1.0" => 90,
        "TLSv1.1" => 95,
        _ => 100,
    }
}

fn cipher_score(suite: &str) -> u64 {
    let has = |part: &str| suite.contains(part);
    match () {
        () if has("_NULL_") => 0,
        () if has("EXPORT") || has("_DES") || has("3DES") || has("_RC2_") => 20,
        () if has("_256_") || has("CHACHA20") => 100,
        () => 80,
    }
}

fn is_aead(suite: &str) -> bool {
    ["_GCM_", "_CCM", "CHACHA20"].iter().any(|mode| suite.contains(mode))
}

/// TLS 1.3's suites do not name their key exchange, which has it always but for bare PSKs.
fn is_forward_secret(suite: &str) -> bool {
    suite.contains("_ECDHE_") || suite.contains("_DHE_") || !suite.contains("_WITH_")
}

/// `preferred`: a current client gets it; `offered`: one that asks for nothing else does; `absent`.
fn post_quantum(facts: &Measurements) -> Result<&'static str, Unknown> {
    let is_pq = |group: &str| group.contains("MLKEM") || group.contains("Kyber");
    let negotiated = facts.fact("negotiated").and_then(|n| n.get("group")).and_then(Value::as_str);
    let groups = facts.fact("groups").and_then(|groups| groups.get("TLSv1.3"));
    if negotiated.is_some_and(is_pq) {
        return Ok("preferred");
    }
    if words(groups).any(is_pq) {
        return Ok("offered");
    }
    let tls13 = Path::of("versions").member("TLSv1.3");
    if !words(facts.fact("versions")).any(|version| version == "TLSv1.3") {
        return match facts.why_unknown(&tls13) {
            Some(why) => Err(why.clone()),
            None => Ok("absent"),
        };
    }
    let path = Path::of("groups").join("TLSv1.3");
    match facts.why_unknown(&path) {
        Some(why) => Err(why.clone()),
        None if groups.is_none() => Err(Reason::NotObserved.into()),
        None => Ok("absent"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts(change: Value) -> Measurements {
        let mut all = json!({
            "versions": ["TLSv1.2", "TLSv1.3"],
            "cipher_suites": {
                "TLSv1.2": ["TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"],
                "TLSv1.3": ["TLS_AES_256_GCM_SHA384"],
            },
            "certificates": [{"key_type": "rsa", "key_bits": 2048, "signature_algorithm": "sha256WithRSAEncryption"}],
            "chain": {"trusted": true, "hostname_matches": true, "incomplete": false},
            "groups": {"TLSv1.3": ["x25519"]},
            "secure_renegotiation": true,
            "vulnerabilities": {},
        });
        if let (Some(all), Value::Object(change)) = (all.as_object_mut(), change) {
            all.extend(change);
        }
        serde_json::from_value(all).expect("measurements")
    }

    fn letter(change: Value) -> String {
        let mut facts = facts(change);
        state(&mut facts);
        let grade = facts.fact("grade").and_then(Value::as_str).map(str::to_owned);
        grade.unwrap_or_else(|| format!("unknown: {}", facts.unknowns()["grade"]))
    }

    #[test]
    fn a_letter_follows_from_score_and_caps() {
        let suites = |list: Value| json!({"cipher_suites": {"TLSv1.2": list}});
        for (change, expected) in [
            (json!({}), "A"),
            (json!({"versions": ["TLSv1.2"]}), "A-"),
            (json!({"secure_renegotiation": false}), "A-"),
            (json!({"versions": ["TLSv1.0", "TLSv1.2", "TLSv1.3"]}), "B"),
            (json!({"versions": ["SSLv3", "TLSv1.2", "TLSv1.3"]}), "C"),
            (json!({"versions": ["TLSv1.0"]}), "C"),
            (json!({"versions": ["SSLv2", "TLSv1.2"]}), "F"),
            (suites(json!(["TLS_RSA_WITH_AES_128_GCM_SHA256"])), "B"),
            (suites(json!(["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"])), "B"),
            (
                suites(json!([
                    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                    "TLS_RSA_WITH_3DES_EDE_CBC_SHA"
                ])),
                "C",
            ),
            (
                suites(json!([
                    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                    "TLS_RSA_WITH_RC4_128_SHA"
                ])),
                "C",
            ),
            (suites(json!(["TLS_RSA_EXPORT_WITH_DES40_CBC_SHA"])), "F"),
            (json!({"dh_prime_bits": 1024}), "B"),
            (json!({"dh_prime_bits": 512}), "F"),
            (json!({"chain": {"trusted": false, "hostname_matches": false}}), "T"),
            (json!({"chain": {"trusted": true, "hostname_matches": false}}), "M"),
            (
                json!({"chain": {"trusted": true, "hostname_matches": true, "incomplete": true}}),
                "B",
            ),
            (json!({"vulnerabilities": {"heartbleed": true}}), "F"),
            (json!({"certificates": [{"key_type": "rsa", "key_bits": 1024}]}), "B"),
            (json!({"certificates": [{"key_type": "ec", "key_bits": 256}]}), "A"),
        ] {
            assert_eq!(letter(change.clone()), expected, "{change}");
        }
    }

    #[test]
    fn what_is_unknown_leaves_the_letter_unknown_but_for_what_is_broken_anyway() {
        let unknown = |key: &str| json!({"unknown": {key: "timeout"}});
        for key in ["versions[TLSv1.1]", "cipher_suites", "cipher_suites[TLSv1.2]", "certificates"]
        {
            assert_eq!(letter(unknown(key)), "unknown: timeout", "{key}");
        }
        assert_eq!(letter(unknown("early_data")), "A");
        let broken = json!({"versions": ["SSLv2"], "unknown": {"cipher_suites": "timeout"}});
        assert_eq!(letter(broken), "F");
        let opt_in = json!({"unknown": {"vulnerabilities.heartbleed": "opt_in"}});
        assert_eq!(letter(opt_in), "A");
    }

    #[test]
    fn post_quantum_key_exchange_is_preferred_offered_absent_or_unknown() {
        let word = |change: Value| post_quantum(&facts(change)).map_err(|why| why.to_string());
        assert_eq!(word(json!({})), Ok("absent"));
        assert_eq!(word(json!({"negotiated": {"group": "X25519MLKEM768"}})), Ok("preferred"));
        let both = json!({"groups": {"TLSv1.3": ["x25519", "X25519MLKEM768"]}, "negotiated": {"group": "x25519"}});
        assert_eq!(word(both), Ok("offered"));
        assert_eq!(word(json!({"versions": ["TLSv1.2"]})), Ok("absent"));
        let unsure = json!({"unknown": {"groups": "not_observed"}});
        assert_eq!(word(unsure), Err("not_observed".to_owned()));
        let unsure = json!({"versions": ["TLSv1.2"], "unknown": {"versions[TLSv1.3]": "timeout"}});
        assert_eq!(word(unsure), Err("timeout".to_owned()));
    }
}
