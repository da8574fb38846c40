//! Where a response leads (RFC 9110 §10.2.2, §15.4).

use url::Url;

use super::head::Head;

/// The URL that a browser would go to next; `None` where the response is the last: no redirect, no
/// `Location` that reads, or one that leaves HTTP.
pub(super) fn next(from: &Url, head: &Head) -> Option<Url> {
    if !matches!(head.status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let mut url = from.join(head.fields.first("location")?).ok()?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return None;
    }
    url.set_fragment(None);
    // Credentials in a redirect are never sent on.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some(url)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::probe::http::fields::Fields;

    fn leads(status: u16, location: Option<&str>) -> Option<String> {
        let pairs: Vec<_> = location.iter().map(|location| ("Location", *location)).collect();
        let head = Head { status, version: "HTTP/1.1", fields: Fields::of(&pairs) };
        let from = Url::parse("https://a.test/x/y?q").expect("a URL");
        next(&from, &head).map(String::from)
    }

    #[test]
    fn a_redirect_leads_where_a_browser_would_go() {
        for (status, location, to) in [
            (301, Some("https://b.test/"), Some("https://b.test/")),
            (302, Some("z"), Some("https://a.test/x/z")),
            (303, Some("/z?a=1#f"), Some("https://a.test/z?a=1")),
            (307, Some("//b.test"), Some("https://b.test/")),
            (308, Some("HTTP://B.test:80/"), Some("http://b.test/")),
            (302, Some("?p"), Some("https://a.test/x/y?p")),
            (302, Some("https://u:p@b.test/"), Some("https://b.test/")),
            (301, Some("ftp://b.test/"), None),
            (301, Some("javascript:alert(1)"), None),
            (301, Some("app://x"), None),
            (301, Some("https://"), None),
            (301, Some("https://[::g]/"), None),
            (301, None, None),
            (300, Some("/z"), None),
            (304, Some("/z"), None),
            (200, Some("/z"), None),
        ] {
            assert_eq!(leads(status, location).as_deref(), to, "{status} {location:?}");
        }
    }

    proptest! {
        #[test]
        fn it_never_leaves_http(location in any::<String>()) {
            let to = leads(302, Some(&location));
            prop_assert!(to.is_none_or(|to| to.starts_with("http://") || to.starts_with("https://")));
        }
    }
}
