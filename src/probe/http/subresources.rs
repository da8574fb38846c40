//! What a page loads, as browsers resolve it: digests of what comes from elsewhere (Subresource
//! Integrity), and what comes in plain text to an encrypted page (Mixed Content).

use std::collections::BTreeSet;

use serde_json::{Value, json};
use url::Url;

use super::page::{Load, LoadKind, Page};
use super::text::clean;

/// What a page loads, each with where from.
pub(super) struct Loads<'a> {
    /// Where the page is.
    url: &'a Url,
    all: Vec<(&'a Load, Url)>,
}

impl<'a> Loads<'a> {
    /// Resolves what the page at `url` loads; what no browser would run, or cannot be resolved, is
    /// left out.
    pub(super) fn of(page: &'a Page, url: &'a Url) -> Self {
        let base = page.base.as_deref().and_then(|href| url.join(href).ok());
        let base = base.as_ref().unwrap_or(url);
        let live = page.loads.iter().filter(|load| !load.is_inert);
        let resolved = live.filter_map(|load| Some((load, base.join(load.address.trim()).ok()?)));
        Self { url, all: resolved.collect() }
    }

    /// `{external, missing}`: how many scripts and stylesheets come from other origins, and from
    /// which hosts they come without a digest.
    pub(super) fn integrity(&self) -> Value {
        let mut missing = BTreeSet::new();
        let mut external = 0;
        for (load, address) in self.all.iter().filter(|(load, _)| is_code(load.kind)) {
            if address.origin() == self.url.origin()
                || !matches!(address.scheme(), "http" | "https")
            {
                continue;
            }
            external += 1;
            if !has_digest(&load.integrity) && missing.len() < MAX_HOSTS {
                missing.insert(clean(address.host_str().unwrap_or_default(), 253));
            }
        }
        json!({ "external": external, "missing": missing })
    }

    /// `{active, passive, forms}`: the hosts that an https page loads from in plain text, or sends
    /// to.
    pub(super) fn mixed(&self) -> Value {
        let hosts = |is: fn(LoadKind) -> bool| -> BTreeSet<String> {
            let plain = self.all.iter().filter(|(load, address)| {
                is(load.kind) && self.url.scheme() == "https" && address.scheme() == "http"
            });
            let hosts = plain.filter_map(|(_, a)| a.host_str().map(|host| clean(host, 253)));
            hosts.take(MAX_HOSTS).collect()
        };
        json!({
            "active": hosts(|kind| is_code(kind) || kind == LoadKind::Frame),
            "passive": hosts(|kind| kind == LoadKind::Media),
            "forms": hosts(|kind| kind == LoadKind::Form),
        })
    }
}

fn is_code(kind: LoadKind) -> bool {
    matches!(kind, LoadKind::Script | LoadKind::SvgScript | LoadKind::Link)
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
            let (page, url) = (Page::of(html), url("https://a.example/"));
            let read = Loads::of(&page, &url).integrity();
            assert_eq!(read["missing"], json!(missing), "{html}");
        }
    }

    #[test]
    fn plain_text_on_an_encrypted_page_is_told_by_kind() {
        let page = Page::of(
            "<script src=http://a.example></script><img src=http://b.example/x.png>\
             <iframe src=http://f.example></iframe><form action=http://c.example></form>",
        );
        let mixed = |url: Url| Loads::of(&page, &url).mixed();
        let read = mixed(url("https://s.example/"));
        assert_eq!(read["active"], json!(["a.example", "f.example"]));
        assert_eq!(read["passive"], json!(["b.example"]));
        assert_eq!(read["forms"], json!(["c.example"]));
        assert_eq!(mixed(url("http://s.example/"))["active"], json!([]));
    }
}
