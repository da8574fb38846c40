//! MDN's HTTP Observatory, algorithm version 6: twelve tests, a score, a grade. A pure function of
//! what its scanner would have retrieved. Where the standards say otherwise, the findings of
//! Secchi's own rules follow them; this profile follows the Observatory (`docs/http-profiles.md`).

mod cookies;
mod csp;
mod fields;
mod keys;
mod sri;
mod transport;

use serde_json::Value;
use url::Url;

pub(in crate::probe::http) use fields::sharing;

use super::preload_list::PreloadList;
use crate::probe::http::fields::Fields;
use crate::probe::http::page::Page;

/// What the scanner retrieves of a site.
#[derive(Clone, Debug, Default)]
pub(in crate::probe::http) struct Scan<'a> {
    /// The site's host.
    pub(in crate::probe::http) site: &'a str,
    /// The scheme that the judged session began with.
    pub(in crate::probe::http) is_https: bool,
    /// The last response of the walk that began with http.
    pub(in crate::probe::http) http: Option<Response<'a>>,
    /// Where that walk went, its start included.
    pub(in crate::probe::http) http_route: Vec<Url>,
    /// The last response of the walk that began with https.
    pub(in crate::probe::http) https: Option<Response<'a>>,
    /// The last response of the judged session: https, or http where that failed.
    pub(in crate::probe::http) auto: Option<Response<'a>>,
    /// Every response of the judged session with where it came from, in order.
    pub(in crate::probe::http) session: Vec<(&'a Url, &'a Fields)>,
    /// What `OPTIONS` was answered.
    pub(in crate::probe::http) cors: Sharing<'a>,
    /// What the judged response's markup says.
    pub(in crate::probe::http) page: Option<&'a Page>,
    /// Who is on browsers' preload list.
    pub(in crate::probe::http) preloaded: Option<&'a PreloadList>,
}

impl<'a> Scan<'a> {
    /// The page, where its declarations count: the scanner reads them of HTML that says so.
    fn declaring_page(&self) -> Option<&'a Page> {
        let media = self.auto?.fields.first("content-type")?;
        self.page.filter(|_| media.split(';').next().is_some_and(sri::is_html))
    }
}

/// What `OPTIONS` was answered.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::probe::http) enum Sharing<'a> {
    /// Nothing.
    #[default]
    Nothing,
    /// These fields, to this origin.
    Answer(&'a Fields, &'a str),
    /// What came to this key, in an earlier sample.
    Known(&'a str),
}

/// One response.
#[derive(Clone, Copy, Debug)]
pub(in crate::probe::http) struct Response<'a> {
    /// Its fields.
    pub(in crate::probe::http) fields: &'a Fields,
    /// Whether every certificate on the way to it was trusted.
    pub(in crate::probe::http) is_verified: bool,
}

/// Whether the scanner goes on with a response of this status.
pub(in crate::probe::http) fn accepts(status: u16) -> bool {
    matches!(status, 200..=399 | 401 | 403)
}

/// The report: `{version, score, grade, tests}`.
pub(in crate::probe::http) fn report(scan: &Scan<'_>) -> Value {
    let results = results(scan).map(|(test, key)| (test, key, keys::worth(key)));
    let (score, grade) = grade(results.iter().map(|(_, _, (modifier, _))| *modifier));
    let tests = results.map(|(test, key, (modifier, passes))| {
        let result = object([
            ("result", key.into()),
            ("pass", passes.into()),
            ("modifier", modifier.into()),
        ]);
        (test, result)
    });
    let score = score.into();
    object([
        ("version", VERSION.into()),
        ("score", score),
        ("grade", grade.into()),
        ("tests", object(tests)),
    ])
}

fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// The key that each test comes to.
fn results(scan: &Scan<'_>) -> [(&'static str, &'static str); 12] {
    let policy = csp::judge(scan);
    [
        ("content-security-policy", policy.key),
        ("cookies", cookies::judge(scan)),
        ("cross-origin-embedder-policy", fields::embedder(scan)),
        ("cross-origin-opener-policy", fields::opener(scan)),
        ("cross-origin-resource-policy", fields::resource(scan)),
        ("cross-origin-resource-sharing", fields::sharing_of(scan)),
        ("redirection", transport::redirection(scan)),
        ("referrer-policy", fields::referrer(scan)),
        ("strict-transport-security", transport::hsts(scan)),
        ("subresource-integrity", sri::judge(scan)),
        ("x-content-type-options", fields::content_type_options(scan)),
        ("x-frame-options", fields::frame_options(scan, &policy)),
    ]
}

/// Bonuses count only where what is lost leaves at least 90.
fn grade(modifiers: impl Iterator<Item = i32> + Clone) -> (i32, &'static str) {
    let uncurved = 100 + modifiers.clone().filter(|modifier| *modifier < 0).sum::<i32>();
    let bonus: i32 = modifiers.filter(|modifier| *modifier > 0).sum();
    let score = if uncurved >= 90 { uncurved + bonus } else { uncurved }.max(0);
    let grade = match score {
        100.. => "A+",
        90..100 => "A",
        85..90 => "A-",
        80..85 => "B+",
        70..80 => "B",
        65..70 => "B-",
        60..65 => "C+",
        50..60 => "C",
        45..50 => "C-",
        40..45 => "D+",
        30..40 => "D",
        25..30 => "D-",
        _ => "F",
    };
    (score, grade)
}

const VERSION: &str = "6";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bonuses_count_from_ninety_on_and_the_score_ends_at_nothing() {
        for (modifiers, expected) in [
            (&[][..], (100, "A+")),
            (&[5, 10], (115, "A+")),
            (&[-10, 5], (95, "A")),
            (&[-10, -5, 5], (85, "A-")),
            (&[-20, 10, 10], (80, "B+")),
            (&[-25, -50, -40], (0, "F")),
            (&[-75], (25, "D-")),
        ] {
            assert_eq!(grade(modifiers.iter().copied()), expected, "{modifiers:?}");
        }
    }

    #[test]
    fn every_key_stands_in_the_table() {
        let scan = Scan { site: "a.example", ..Scan::default() };
        for (test, key) in results(&scan) {
            assert!(keys::known(key).is_some(), "{test}: {key}");
        }
    }
}
