//! What must stay quiet, and what must be found.

use serde_json::{Value, json};

use super::*;
use crate::sample::Measurements;

/// The facts of a sound site; parts may be replaced.
fn site(parts: &[(&str, Value)]) -> Meaning {
    let mut facts = json!({
        "hsts": {"max_age": 63_072_000, "include_subdomains": true, "preload": false},
        "csp": {"policies": [{"script-src": ["'self'", "'nonce-*'"], "object-src": ["'none'"]}],
                "report_only": false},
        "xfo": {"protected": true}, "xcto": {"nosniff": true},
        "referrer_policy": {"policy": "no-referrer"},
        "permissions_policy": {"features": {"camera": "none"}, "open": []},
        "coop": {"policy": "same-origin"}, "coep": {"policy": "unsafe-none"},
        "corp": {"policy": "same-origin"}, "leaks": [], "alt_svc": ["h3"],
        "https": {"certificate_trusted": true, "downgrades": false},
        "redirection": {"to_https": true}, "integrity_policy": {"blocks": ["script"]},
    });
    for (name, value) in parts {
        facts[*name] = value.clone();
    }
    let facts: Measurements = serde_json::from_value(facts).expect("facts");
    Meaning::of(&facts)
}

fn scripts(sources: &[&str]) -> (&'static str, Value) {
    ("csp", json!({"policies": [{"script-src": sources, "object-src": ["'none'"]}]}))
}

type Cookies = Vec<(String, String)>;

fn cookies(pairs: &[(&str, &str)]) -> Cookies {
    pairs.iter().map(|(name, flags)| ((*name).to_owned(), (*flags).to_owned())).collect()
}

/// A point watched by plan, where two of three samples must agree, as repeats see to; or by hand.
struct Watch {
    past: Past,
    last: [Vec<Change>; 3],
    occasion: Occasion,
}

impl Watch {
    fn new(occasion: Occasion) -> Self {
        Self { past: Past::default(), last: Default::default(), occasion }
    }

    fn step(&mut self, meaning: &Meaning, cookies: &Cookies) -> Vec<Change> {
        // What is remembered goes through the ledger between two samples.
        let kept = serde_json::to_vec(&self.past).expect("JSON");
        assert!(kept.len() < 48 * 1024, "{} bytes", kept.len());
        self.past = serde_json::from_slice(&kept).expect("a past");
        self.last.rotate_left(1);
        self.last[2] = self.past.step("/ HTTP/2 2xx", meaning, cookies, self.occasion);
        if self.occasion == Occasion::ByHand {
            return self.last[2].clone();
        }
        let is_agreed = |change: &&Change| {
            self.last
                .iter()
                .filter(|changes| changes.iter().any(|c| c.field == change.field))
                .count()
                >= 2
        };
        self.last[2].iter().filter(is_agreed).cloned().collect()
    }
}

/// Nothing may be said over a thousand samples.
fn quiet(name: &str, mut sample: impl FnMut(usize) -> (Meaning, Cookies)) {
    let mut watch = Watch::new(Occasion::ByPlan);
    for step in 0..1000 {
        let (meaning, cookies) = sample(step);
        let changes = watch.step(&meaning, &cookies);
        assert!(changes.is_empty(), "{name}, step {step}: {changes:?}");
    }
}

/// A cheap and even scatter of the numbers below 100.
fn scattered(step: usize) -> usize {
    (step * 37 + step / 7 * 11) % 100
}

#[test]
fn what_means_the_same_stays_quiet() {
    quiet("nothing changes", |_| (site(&[]), cookies(&[])));
    quiet("hashes rotate with deployments", |step| {
        let hash = format!("'sha256-{step}='");
        (site(&[scripts(&["'self'", &hash])]), cookies(&[]))
    });
    quiet("sources in another order", |step| {
        let lists = [["'self'", "https://a.example"], ["https://a.example", "'self'"]];
        (site(&[scripts(&lists[step % 2])]), cookies(&[]))
    });
    quiet("max-age counts down", |step| {
        (site(&[("hsts", json!({"max_age": 63_000_000 - step * 60}))]), cookies(&[]))
    });
    quiet("two halves of an A/B test", |step| {
        let list: &[&str] = if scattered(step) < 50 { &["'self'"] } else { &["https://b.example"] };
        (site(&[scripts(list)]), cookies(&[]))
    });
    quiet("blue and green take turns", |step| {
        let policy = if step / 3 % 2 == 0 { "no-referrer" } else { "same-origin" };
        (site(&[("referrer_policy", json!({"policy": policy}))]), cookies(&[]))
    });
    quiet("a rare variant that is no weaker", |step| {
        let services = if scattered(step) < 15 { json!(["h2"]) } else { json!(["h3"]) };
        (site(&[("alt_svc", services)]), cookies(&[]))
    });
    quiet("an affinity cookie now and then", |step| {
        let all = cookies(&[("sid", "Secure HttpOnly Lax"), ("affinity", "Secure")]);
        (site(&[]), all[..1 + usize::from(scattered(step) < 30)].to_vec())
    });
    quiet("cookies that come in different numbers", |step| {
        let all = cookies(&[("a", "Secure"), ("b", "Secure"), ("c", "Secure")]);
        (site(&[]), all[..step % 4].to_vec())
    });
    quiet("three variants", |step| {
        let policy = ["same-origin", "same-site", ""][step % 3];
        (site(&[("corp", json!({"policy": policy}))]), cookies(&[]))
    });
    quiet("a fact that is often unknown", |step| {
        let known = json!({"to_https": true});
        let value = if step % 3 == 0 { Value::Null } else { known };
        (site(&[("redirection", value)]), cookies(&[]))
    });
}

/// The change must be told within three samples, and in its direction.
fn found(after: Meaning, direction: Direction, words: &str) {
    found_on(Occasion::ByPlan, &after, direction, words);
    found_on(Occasion::ByHand, &after, direction, words);
}

fn found_on(occasion: Occasion, after: &Meaning, direction: Direction, words: &str) {
    let mut watch = Watch::new(occasion);
    for _ in 0..15 {
        assert!(watch.step(&site(&[]), &cookies(&[])).is_empty());
    }
    let told: Vec<Change> = (0..3).flat_map(|_| watch.step(after, &cookies(&[]))).collect();
    let change = told.iter().find(|change| change.change.contains(words));
    let change = change.unwrap_or_else(|| panic!("{words}: {told:?}"));
    assert_eq!(change.direction, direction, "{words}");
}

#[test]
fn what_means_something_else_is_found_within_three_samples() {
    use Direction::{Sideways, Stronger, Weaker};
    for (parts, direction, words) in [
        (scripts(&["'self'", "'nonce-*'", "*"]), Weaker, "script-src gained *"),
        (scripts(&["'self'", "'unsafe-inline'"]), Weaker, "'nonce-*' -> 'unsafe-inline'"),
        (scripts(&["'nonce-*'"]), Stronger, "script-src lost 'self'"),
        (("csp", json!({"policies": [{"object-src": ["'none'"]}]})), Weaker, "script-src is gone"),
        (("csp", json!({"policies": []})), Weaker, "object-src is gone"),
        (
            ("hsts", json!({"max_age": 86_400, "include_subdomains": true, "preload": false})),
            Weaker,
            "hsts: two years -> a day",
        ),
        (
            ("hsts", json!({"max_age": 63_072_000, "include_subdomains": false, "preload": false})),
            Weaker,
            "hsts includeSubDomains: true -> false",
        ),
        (("xfo", json!({"protected": false})), Weaker, "framing refused: true -> false"),
        (("xcto", json!({"nosniff": false})), Weaker, "nosniff"),
        (("coep", json!({"policy": "require-corp"})), Stronger, "unsafe-none -> require-corp"),
        (
            ("leaks", json!([{"field": "server", "product": "nginx", "has_version": true}])),
            Weaker,
            "server nginx with its version",
        ),
        (
            ("permissions_policy", json!({"features": {"camera": "all"}, "open": ["camera"]})),
            Weaker,
            "permissions-policy open gained camera",
        ),
        (("alt_svc", json!(["h2"])), Sideways, "alt-svc: h3 -> h2"),
        (("redirection", json!({"to_https": false})), Weaker, "redirects to https"),
    ] {
        found(site(&[parts]), direction, words);
    }
}

#[test]
fn by_hand_a_change_is_found_within_three_samples_however_little_was_seen_before() {
    for before in [1, 2, 3, 4, 9, 10, 20] {
        let mut watch = Watch::new(Occasion::ByHand);
        for _ in 0..before {
            assert!(watch.step(&site(&[]), &cookies(&[])).is_empty());
        }
        let after = site(&[("xfo", json!({"protected": false}))]);
        let told: Vec<Change> = (0..3).flat_map(|_| watch.step(&after, &cookies(&[]))).collect();
        assert!(told.iter().any(|change| change.direction == Direction::Weaker), "{before}");
    }
}

#[test]
fn a_cookie_that_loses_its_guards_is_found_and_a_new_one_is_told() {
    let mut watch = Watch::new(Occasion::ByPlan);
    let before = cookies(&[("sid", "HttpOnly Secure")]);
    for _ in 0..15 {
        assert!(watch.step(&site(&[]), &before).is_empty());
    }
    let after = cookies(&[("sid", "HttpOnly"), ("ad", "Secure")]);
    let told: Vec<Change> = (0..3).flat_map(|_| watch.step(&site(&[]), &after)).collect();
    let of = |name: &str| told.iter().find(|c| c.field == name).map(|c| c.direction);
    assert_eq!(of("cookie sid"), Some(Direction::Weaker));
    assert_eq!(of("cookie ad"), Some(Direction::Sideways));
}

#[test]
fn what_has_the_windows_majority_is_how_the_site_is() {
    let mut watch = Watch::new(Occasion::ByPlan);
    for _ in 0..20 {
        watch.step(&site(&[]), &cookies(&[]));
    }
    let after = site(&[("xfo", json!({"protected": false}))]);
    let told = (0..40).filter(|_| !watch.step(&after, &cookies(&[])).is_empty()).count();
    assert!((8..=12).contains(&told), "{told}");
    // And the way back is a change again.
    let back: Vec<Change> = (0..3).flat_map(|_| watch.step(&site(&[]), &cookies(&[]))).collect();
    assert!(back.iter().all(|change| change.direction == Direction::Stronger) && !back.is_empty());
}

#[test]
fn a_nonce_seen_before_is_reuse() {
    let mut past = Past::default();
    past.step("/", &site(&[]), &[], Occasion::ByPlan);
    assert_eq!(past.reuses("/", &[1]), None);
    assert_eq!(past.reuses("/", &[2]), Some(false));
    assert_eq!(past.reuses("/", &[]), None);
    assert_eq!(past.reuses("/", &[1]), Some(true));
    assert_eq!(past.reuses("/other", &[1]), None);
}

#[test]
fn ten_thousand_points_fit_in_a_hundred_megabytes() {
    let mut past = Past::default();
    for step in 0..40 {
        let (a, b) = (format!("https://{step}.example"), format!("'sha256-{step}'"));
        past.step(
            "/",
            &site(&[scripts(&["'self'", &a, &b])]),
            &cookies(&[("sid", "Secure")]),
            Occasion::ByPlan,
        );
    }
    assert!(serde_json::to_vec(&past).expect("JSON").len() < 10_000);
}

#[test]
fn by_hand_edges_that_take_turns_are_variants_with_their_shares() {
    let mut watch = Watch::new(Occasion::ByHand);
    let weaker = site(&[("xcto", json!({"nosniff": false}))]);
    for step in 0..100 {
        let meaning = if step % 4 == 3 { weaker.clone() } else { site(&[]) };
        assert!(watch.step(&meaning, &cookies(&[])).is_empty(), "{step}");
    }
    let shares = watch.past.variants("/ HTTP/2 2xx");
    assert_eq!(shares.iter().map(|s| s.share).collect::<Vec<_>>(), [0.75, 0.25]);
    assert_eq!(shares[1].differs, ["nosniff: true -> false"]);
    assert!(watch.past.variants("/other").is_empty());
}
