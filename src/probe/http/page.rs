//! What a page's markup loads and declares, gathered while its body streams by.

use super::challenge::{self, Sign};
use super::markup::{Reader, Tag};

/// What was found; lists are bounded.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Page {
    /// How many script elements there are.
    pub(super) script_count: usize,
    /// What the page loads: scripts, stylesheets, images, frames …
    pub(super) loads: Vec<Load>,
    /// The values of `<meta http-equiv=Content-Security-Policy>`.
    pub(super) policies: Vec<String>,
    /// The value of the last `<meta name=referrer>`.
    pub(super) referrer: Option<String>,
    /// The `href` of the first `<base>`.
    pub(super) base: Option<String>,
    /// What shows that it may be no page of the site's, one a sign.
    pub(super) signs: Vec<&'static Sign>,
    /// Whether all of the body was read.
    pub(super) is_whole: bool,
}

/// One thing that a page loads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Load {
    /// What as.
    pub(super) kind: LoadKind,
    /// The address as written.
    pub(super) address: String,
    /// The integrity metadata as written; empty if none.
    pub(super) integrity: String,
    /// Whether browsers never run it: in `<template>` or `<noscript>`.
    pub(super) is_inert: bool,
}

/// How a page uses what it loads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LoadKind {
    /// `<script src>`.
    Script,
    /// A script in SVG, by `href`.
    SvgScript,
    /// A stylesheet or module preload, by `<link>`.
    Link,
    /// A frame, an object or an embed.
    Frame,
    /// An image, audio or video.
    Media,
    /// Where a form is sent.
    Form,
}

/// Gathers a page.
#[derive(Debug, Default)]
pub(super) struct PageReader {
    reader: Reader,
    page: Page,
    depth: Depth,
}

/// How deep in elements that change what a tag means.
#[derive(Debug, Default)]
struct Depth {
    inert: usize,
    svg: usize,
}

impl PageReader {
    /// Takes the next bytes of the body.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        let Self { reader, page, depth } = self;
        reader.read(bytes, |tag| take(page, depth, &tag));
    }

    /// What was found.
    pub(super) fn finish(mut self, is_whole: bool) -> Page {
        self.page.is_whole = is_whole;
        self.page
    }
}

fn take(page: &mut Page, depth: &mut Depth, tag: &Tag<'_>) {
    let counter = match tag.name {
        "template" | "noscript" => Some(&mut depth.inert),
        "svg" => Some(&mut depth.svg),
        _ => None,
    };
    if let Some(counter) = counter {
        *counter = if tag.is_end { counter.saturating_sub(1) } else { *counter + 1 };
        return;
    }
    if tag.is_end {
        return;
    }
    if let Some(sign) = challenge::sign(tag).filter(|sign| !page.signs.contains(sign)) {
        page.signs.push(sign);
    }
    match tag.name {
        "script" => {
            page.script_count += 1;
            let svg = tag.attribute("href").or_else(|| tag.attribute("xlink:href"));
            match (tag.attribute("src"), svg) {
                (Some(src), _) => page.load(LoadKind::Script, &src, tag, depth),
                (None, Some(href)) if depth.svg > 0 => {
                    page.load(LoadKind::SvgScript, &href, tag, depth);
                }
                _ => {}
            }
        }
        "link" => link(page, tag, depth),
        "meta" => meta(page, tag),
        "base" => {
            if let (None, Some(href)) = (&page.base, tag.attribute("href")) {
                page.base = Some(cut(&href));
            }
        }
        "iframe" | "frame" | "embed" => page.source(LoadKind::Frame, "src", tag, depth),
        "object" => page.source(LoadKind::Frame, "data", tag, depth),
        "img" | "audio" | "video" | "source" | "track" => {
            page.source(LoadKind::Media, "src", tag, depth);
        }
        "form" => page.source(LoadKind::Form, "action", tag, depth),
        _ => {}
    }
}

fn link(page: &mut Page, tag: &Tag<'_>, depth: &Depth) {
    let rel = tag.attribute("rel").unwrap_or_default().to_ascii_lowercase();
    let loads = rel.split_ascii_whitespace().any(|word| {
        matches!(word, "stylesheet" | "modulepreload")
            || (word == "preload"
                && matches!(tag.attribute("as").as_deref(), Some("script" | "style")))
    });
    if loads {
        page.source(LoadKind::Link, "href", tag, depth);
    }
}

fn meta(page: &mut Page, tag: &Tag<'_>) {
    let content = tag.attribute("content");
    if let (Some(name), Some(content)) = (tag.attribute("http-equiv"), &content) {
        let is_policy = name.trim().eq_ignore_ascii_case("content-security-policy");
        if is_policy && !content.is_empty() && page.policies.len() < MAX_POLICIES {
            page.policies.push(cut(content));
        }
    } else if tag.attribute("name").is_some_and(|n| n.trim().eq_ignore_ascii_case("referrer"))
        && let Some(content) = content.filter(|content| !content.is_empty())
    {
        page.referrer = Some(cut(&content));
    }
}

impl Page {
    fn source(&mut self, kind: LoadKind, name: &str, tag: &Tag<'_>, depth: &Depth) {
        if let Some(address) = tag.attribute(name) {
            self.load(kind, &address, tag, depth);
        }
    }

    fn load(&mut self, kind: LoadKind, address: &str, tag: &Tag<'_>, depth: &Depth) {
        // Pictures are many and alike: only those over plain http mean something.
        let is_dull = matches!(kind, LoadKind::Media | LoadKind::Form | LoadKind::Frame)
            && !address.trim_start().get(..5).is_some_and(|s| s.eq_ignore_ascii_case("http:"));
        if address.is_empty() || is_dull || self.loads.len() >= MAX_LOADS {
            return;
        }
        self.loads.push(Load {
            kind,
            address: cut(address),
            integrity: cut(&tag.attribute("integrity").unwrap_or_default()),
            is_inert: depth.inert > 0,
        });
    }
}

fn cut(text: &str) -> String {
    let end = text.char_indices().nth(MAX_TEXT).map_or(text.len(), |(end, _)| end);
    text[..end].to_owned()
}

const MAX_LOADS: usize = 256;
const MAX_POLICIES: usize = 16;
const MAX_TEXT: usize = 4096;

#[cfg(test)]
impl Page {
    /// A whole page, for the tests of this room.
    pub(super) fn of(html: &str) -> Self {
        let mut reader = PageReader::default();
        reader.read(html.as_bytes());
        reader.finish(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_loads_and_declares_is_gathered() {
        let page = Page::of(
            "<base href=https://cdn.example/><base href=/no>\
             <meta http-equiv=' Content-Security-POLICY ' content=\"default-src 'self'\">\
             <meta name=Referrer content=origin><meta name=referrer content=''>\
             <link rel='x StyleSheet' href=a.css integrity=sha256-x><link rel=icon href=i.png>\
             <script>if (a < b) x('<script src=no>')</script><script src=a.js></script>\
             <noscript><script src=n.js></script></noscript>\
             <svg><script href=s.js></script></svg><script href=no.js></script>\
             <img src=/a.png><img src=HTTP://b.example/b.png><form action=http://c.example>",
        );
        let loads: Vec<_> =
            page.loads.iter().map(|load| (load.kind, &*load.address, load.is_inert)).collect();
        assert_eq!(
            loads,
            [
                (LoadKind::Link, "a.css", false),
                (LoadKind::Script, "a.js", false),
                (LoadKind::Script, "n.js", true),
                (LoadKind::SvgScript, "s.js", false),
                (LoadKind::Media, "HTTP://b.example/b.png", false),
                (LoadKind::Form, "http://c.example", false),
            ]
        );
        assert_eq!(page.script_count, 5);
        assert_eq!(page.base.as_deref(), Some("https://cdn.example/"));
        assert_eq!(page.policies, ["default-src 'self'"]);
        assert_eq!(page.referrer.as_deref(), Some("origin"));
    }

    #[test]
    fn a_page_of_any_size_is_bounded() {
        let mut reader = PageReader::default();
        for _ in 0..2000 {
            reader.read(
                b"<script src=a></script><meta http-equiv=content-security-policy content=x>",
            );
        }
        let page = reader.finish(false);
        assert!(page.loads.len() <= MAX_LOADS && page.policies.len() <= MAX_POLICIES);
    }
}
