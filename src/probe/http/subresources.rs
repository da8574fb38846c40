//! What a page loads, as browsers resolve it: digests of what comes from elsewhere (Subresource
//! Integrity), and what comes in plain text to an encrypted page (Mixed Content).

use std::collections::BTreeSet;

use serde_json::{Value, json};
use url::Url;

use super::page::{Load, LoadKind, Page};
use super::text::clean;

/// `{external, missing}`: how many scripts and stylesheets come from other origins, and from which
/// hosts they come without a digest.
pub(super) fn integrity(page: &Page, url: &Url) -> Value {
    let base = base(page, url);
    let mut missing = BTreeSet::new();
    let mut external = 0;
    for load in live(page).filter(|load| is_code(load.kind)) {
        let Ok(address) = base.join(load.address.trim()) else { continue };
        if address.origin() == url.origin() || !matches!(address.scheme(), "http" | "https") {
            continue;
        }
        external += 1;
        if !has_digest(&load.integrity) && missing.len() < MAX_HOSTS {
            missing.insert(clean(address.host_str().unwrap_or_default(), 253));
        }
    }
    json!({ "external": external, "missing": missing })
}

/// `{active, passive, forms}`: the hosts that an https page loads from in plain text, or sends to.
pub(super) fn mixed(page: &Page, url: &Url) -> Value {
    let base = base(page, url);
    let hosts = |is: fn(LoadKind) -> bool| -> BTreeSet<String> {
        let addresses = live(page)
            .filter(|load| is(load.kind))
            .filter_map(|load| base.join(load.address.trim()).ok())
            .filter(|address| url.scheme() == "https" && address.scheme() == "http");
        addresses.filter_map(|a| a.host_str().map(|h| clean(h, 253))).take(MAX_HOSTS).collect()
    };
    json!({
        "active": hosts(|kind| is_code(kind) || kind == LoadKind::Frame),
        "passive": hosts(|kind| kind == LoadKind::Media),
        "forms": hosts(|kind| kind == LoadKind::Form),
    })
}

fn live(page: &Page) -> impl Iterator<Item = &Load> {
    page.loads.iter().filter(|load| !load.is_inert)
}

fn is_code(kind: LoadKind) -> bool {
    matches!(kind, LoadKind::Script | LoadKind::SvgScript | LoadKind::Link)
}

fn base(page: &Page, url: &Url) -> Url {
    page.base.as_deref().and_then(|href| url.join(href).ok()).unwrap_or_else(|| url.clone())
}

/// SRI §3.3.3: at least one digest of a known algorithm.
fn has_digest(integrity: &str) -> bool {
    integrity
        .split_ascii_whitespace()
        .any(|word| ["sha256-", "sha384-", "sha512-"].iter().any(|prefix| word.starts_with(prefix)))
}

const MAX_HOSTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect(text)
    }

    #[test]
    fn digests_are_asked_of_what_comes_from_elsewhere() {
        for (html, missing) in [
            ("<script src=/a.js></script>", &[][..]),
            ("<script src=https://cdn.example/a.js></script>", &["cdn.example"]),
            ("<script src=//cdn.example/a.js integrity=sha384-x></script>", &[]),
            ("<script src=//cdn.example/a.js integrity=md5-x></script>", &["cdn.example"]),
            ("<base href=https://cdn.example/><script src=a.js></script>", &["cdn.example"]),
            ("<link rel=stylesheet href=https://c.example/a.css>", &["c.example"]),
            ("<svg><script href=https://s.example/a.js></script></svg>", &["s.example"]),
            ("<template><script src=https://t.example/a.js></script></template>", &[]),
            ("<script src=https://www.a.example/x.js></script>", &["www.a.example"]),
        ] {
            let read = integrity(&Page::of(html), &url("https://a.example/"));
            assert_eq!(read["missing"], json!(missing), "{html}");
        }
    }

    #[test]
    fn plain_text_on_an_encrypted_page_is_told_by_kind() {
        let page = Page::of(
            "<script src=http://a.example></script><img src=http://b.example/x.png>\
             <iframe src=http://f.example></iframe><form action=http://c.example></form>",
        );
        let read = mixed(&page, &url("https://s.example/"));
        assert_eq!(read["active"], json!(["a.example", "f.example"]));
        assert_eq!(read["passive"], json!(["b.example"]));
        assert_eq!(read["forms"], json!(["c.example"]));
        assert_eq!(mixed(&page, &url("http://s.example/"))["active"], json!([]));
    }
}
