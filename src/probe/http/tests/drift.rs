//! Three edges of one site on loopback: what must stay quiet over a thousand samples, and what must
//! be found within three of the change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::edges::{SOUND, Watched, edges, page};
use super::lab::{Script, says};

/// Three edges and the step that the site is at. What an edge says follows from its number, the
/// step, and how many requests it had.
struct Site {
    step: Arc<AtomicUsize>,
    points: Vec<Watched>,
}

impl Site {
    async fn of(fields: fn(usize, usize, usize) -> String) -> Self {
        let step = Arc::new(AtomicUsize::new(0));
        let script = |edge: usize| -> Script {
            let (step, count) = (Arc::clone(&step), AtomicUsize::new(0));
            says(move |_| {
                let nth = count.fetch_add(1, Ordering::SeqCst);
                page(&fields(edge, step.load(Ordering::SeqCst), nth))
            })
        };
        let (port, addresses) = edges((0..3).map(script).collect()).await;
        let points = addresses.iter().map(|address| Watched::of(port, *address)).collect();
        Self { step, points }
    }

    /// What drifted at one edge, where two of three samples agree on it, as the daemon repeats a
    /// sample that departs.
    async fn drift(&mut self, edge: usize) -> Vec<Value> {
        let mut seen: Vec<Vec<Value>> = Vec::new();
        for _ in 0..3 {
            let facts = self.points[edge].sample().await;
            seen.push(facts["drift"].as_array().expect("a list").clone());
            if seen[0].is_empty() {
                return Vec::new();
            }
        }
        let agreed = |change: &&Value| {
            let has = |changes: &&Vec<Value>| changes.iter().any(|c| c["field"] == change["field"]);
            seen.iter().filter(has).count() >= 2
        };
        seen[0].iter().filter(agreed).cloned().collect()
    }
}

/// Over a thousand samples, an edge each, nothing may be said.
async fn quiet(fields: fn(usize, usize, usize) -> String) {
    let mut site = Site::of(fields).await;
    for step in 0..1000 {
        site.step.store(step, Ordering::SeqCst);
        let drift = site.drift(step % 3).await;
        assert!(drift.is_empty(), "step {step}: {drift:?}");
    }
}

/// A cheap and even scatter of the numbers below 100.
fn scattered(n: usize) -> usize {
    (n * 37 + n / 7 * 11) % 100
}

#[tokio::test]
async fn nonces_and_ids_that_are_new_every_time_are_no_drift() {
    quiet(|edge, _, nth| {
        format!(
            "{SOUND}X-Request-Id: {edge}-{nth:032x}\r\nAge: {nth}\r\nETag: \"{nth}\"\r\n\
             Content-Security-Policy: script-src 'nonce-n{edge}{nth:020}' 'strict-dynamic'\r\n"
        )
    })
    .await;
}

#[tokio::test]
async fn cookies_that_come_and_go_are_no_drift() {
    quiet(|_, _, nth| {
        let mut cookies = vec![format!("sid={nth:016x}; Secure; HttpOnly")];
        cookies.extend((scattered(nth) < 30).then(|| format!("affinity={nth}; Secure")));
        cookies.extend(nth.is_multiple_of(2).then(|| format!("lang=l{nth}; Secure")));
        let lines: String = cookies.iter().map(|c| format!("Set-Cookie: {c}\r\n")).collect();
        format!("{SOUND}{lines}")
    })
    .await;
}

#[tokio::test]
async fn two_halves_of_an_a_b_test_are_no_drift() {
    quiet(|_, _, nth| match scattered(nth) < 50 {
        true => SOUND.replace("default-src 'self'", "default-src 'self' https://b.example"),
        false => SOUND.to_owned(),
    })
    .await;
}

#[tokio::test]
async fn blue_and_green_that_take_turns_on_all_edges_are_no_drift() {
    quiet(|_, step, _| match step / 9 % 2 {
        0 => SOUND.to_owned(),
        _ => SOUND.replace("no-referrer", "same-origin"),
    })
    .await;
}

#[tokio::test]
async fn fields_in_another_order_and_case_are_no_drift() {
    quiet(|_, _, nth| {
        let mut lines: Vec<&str> = SOUND.split_inclusive("\r\n").collect();
        let turn = nth % lines.len();
        lines.rotate_left(turn);
        let text = lines.concat();
        if nth.is_multiple_of(2) {
            text.replace("X-Frame-Options", "x-frame-options")
        } else {
            text
        }
    })
    .await;
}

#[tokio::test]
async fn hashes_and_sources_in_another_order_are_no_drift() {
    quiet(|_, step, nth| {
        let hash = format!("'sha256-{:064}='", step / 40);
        let sources = ["'self'".to_owned(), "https://a.example".to_owned(), hash];
        let at = nth % 3;
        let list = [&sources[at..], &sources[..at]].concat().join(" ");
        SOUND.replace("default-src 'self'", &format!("default-src {list}"))
    })
    .await;
}

#[tokio::test]
async fn an_edge_that_always_differs_is_no_drift() {
    quiet(|edge, _, _| match edge {
        1 => SOUND.replace("DENY", "SAMEORIGIN"),
        _ => SOUND.to_owned(),
    })
    .await;
}

#[tokio::test]
async fn a_rare_variant_that_is_no_weaker_is_no_drift() {
    quiet(|_, _, nth| {
        let services = if scattered(nth) < 15 { "h2=\":443\"" } else { "h3=\":443\"" };
        format!("{SOUND}Alt-Svc: {services}; ma={}\r\n", 86_400 - nth)
    })
    .await;
}

#[tokio::test]
async fn three_variants_that_rotate_are_no_drift() {
    quiet(|_, _, nth| {
        let policy = ["same-origin", "same-site", "cross-origin"][nth % 3];
        format!("{SOUND}Cross-Origin-Resource-Policy: {policy}\r\n")
    })
    .await;
}

#[tokio::test]
async fn report_addresses_that_carry_ids_are_no_drift() {
    quiet(|_, _, nth| {
        SOUND.replace(
            "default-src 'self'",
            &format!("default-src 'self'; report-uri https://r.example/csp?id={nth}"),
        )
    })
    .await;
}

#[tokio::test]
async fn what_one_edge_comes_to_mean_is_found_within_three_samples_and_no_other_edge_named() {
    let csp = |to: &str| SOUND.replace("default-src 'self'", to);
    let without = |line: &str| {
        let lines = SOUND.split_inclusive("\r\n").filter(|field| !field.starts_with(line));
        lines.collect::<String>()
    };
    let changes = [
        ("csp default-src", "weaker", csp("default-src 'self' *")),
        ("csp default-src", "weaker", csp("default-src 'self' 'unsafe-inline'")),
        ("csp default-src", "weaker", csp("img-src 'self'")),
        ("csp default-src", "weaker", without("Content-Security-Policy")),
        ("csp default-src", "stronger", csp("default-src 'none'")),
        ("nosniff", "weaker", without("X-Content-Type-Options")),
        ("framing refused", "weaker", without("X-Frame-Options")),
        ("referrer-policy", "weaker", SOUND.replace("no-referrer", "unsafe-url")),
        ("leaks", "weaker", format!("{SOUND}Server: nginx/1.22.1\r\n")),
        ("cookie sid", "weaker", format!("{SOUND}Set-Cookie: sid=1\r\n")),
        (
            "cross-origin-opener-policy",
            "stronger",
            format!("{SOUND}Cross-Origin-Opener-Policy: same-origin\r\n"),
        ),
        ("alt-svc", "sideways", format!("{SOUND}Alt-Svc: h3=\":443\"\r\n")),
    ];
    for (field, direction, after) in changes {
        let after = Arc::new(after);
        let is_broken = Arc::new(AtomicUsize::new(0));
        let script = |edge: usize| -> Script {
            let (after, is_broken) = (Arc::clone(&after), Arc::clone(&is_broken));
            says(move |_| match is_broken.load(Ordering::SeqCst) == edge {
                true => page(&after),
                false => page(SOUND),
            })
        };
        let (port, addresses) = edges([1, 2, 3].map(script).into()).await;
        let points = addresses.iter().map(|address| Watched::of(port, *address)).collect();
        let mut site = Site { step: Arc::default(), points };
        for nth in 0..36 {
            assert!(site.drift(nth % 3).await.is_empty(), "{field}");
        }
        is_broken.store(2, Ordering::SeqCst);
        let (first, second) = (site.drift(0).await, site.drift(1).await);
        assert!(first.is_empty(), "{first:?}");
        let told = second.iter().find(|change| change["field"] == *field);
        let told = told.unwrap_or_else(|| panic!("{field}: {second:?}"));
        assert_eq!(told["direction"], *direction, "{told}");
        assert!(site.drift(2).await.is_empty(), "{field}");
    }
}
