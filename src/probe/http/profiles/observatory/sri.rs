//! Subresource Integrity: whether scripts of other sites come with a digest, and securely.

use crate::probe::http::page::{Load, LoadKind};
use crate::probe::http::profiles::domain;

use super::Scan;

/// The test. Scripts are judged by their address as written, wherever they stand.
pub(super) fn judge(scan: &Scan<'_>) -> &'static str {
    let none = "sri-not-implemented-but-no-scripts-loaded";
    let Some(response) = &scan.auto else { return none };
    let media = response.fields.first("content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default();
    if !media.is_empty() && !is_html(media) {
        return "sri-not-implemented-response-not-html";
    }
    let Some(page) = scan.page.filter(|page| page.script_count > 0) else { return none };
    let site = domain::registrable(scan.site);
    let (mut worst, mut is_foreign) = (None, false);
    for load in page.loads.iter().filter(|load| load.kind == LoadKind::Script) {
        let script = Script::of(load, site.as_deref(), scan.is_https);
        let has_digest = !load.integrity.is_empty();
        is_foreign |= script.is_foreign;
        if script.is_foreign {
            let found = match (has_digest, script.is_secure) {
                (true, true) => continue,
                (true, false) => Outcome::DigestInsecurely,
                (false, true) => Outcome::NoDigestSecurely,
                (false, false) => Outcome::NoDigestInsecurely,
            };
            worst = worst.max(Some(found));
        } else if has_digest && script.is_secure && worst.is_none() {
            worst = Some(Outcome::AllWithDigest);
        }
    }
    match worst {
        Some(Outcome::AllWithDigest) => "sri-implemented-and-all-scripts-loaded-securely",
        Some(Outcome::DigestInsecurely) => {
            "sri-implemented-but-external-scripts-not-loaded-securely"
        }
        Some(Outcome::NoDigestSecurely) => {
            "sri-not-implemented-but-external-scripts-loaded-securely"
        }
        Some(Outcome::NoDigestInsecurely) => {
            "sri-not-implemented-and-external-scripts-not-loaded-securely"
        }
        None if is_foreign => "sri-implemented-and-external-scripts-loaded-securely",
        None => "sri-not-implemented-but-all-scripts-loaded-from-secure-origin",
    }
}

/// The media types whose markup is read.
pub(in crate::probe::http) fn is_html(media: &str) -> bool {
    matches!(media, "text/html" | "application/xhtml+xml")
}

/// From best to worst.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Outcome {
    AllWithDigest,
    DigestInsecurely,
    NoDigestSecurely,
    NoDigestInsecurely,
}

struct Script {
    is_foreign: bool,
    is_secure: bool,
}

impl Script {
    fn of(load: &Load, site: Option<&str>, is_https: bool) -> Self {
        let address = &*load.address;
        let is_schemeless = address.starts_with("//")
            && address[2..].starts_with(|c: char| c != '/' && c != '\n' && c != '\r');
        if is_schemeless {
            return Self { is_foreign: true, is_secure: false };
        }
        if !address.starts_with("http://") && !address.starts_with("https://") {
            return Self { is_foreign: false, is_secure: is_https };
        }
        let same = domain::registrable_of_url(address).as_deref() == site;
        Self { is_foreign: !same, is_secure: address.starts_with("https://") }
    }
}
