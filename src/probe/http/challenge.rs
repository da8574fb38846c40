//! Pages that something in between puts before a site: challenges and blocks. They are known by
//! what the vendors say of them, in field or markup.

use super::fields::Fields;
use super::markup::Tag;
use super::page::Page;

/// Who stands in between, if a response is not the site's own.
pub(super) fn who(status: u16, fields: &Fields, page: Option<&Page>) -> Option<&'static str> {
    let holds = |statuses: &[u16]| statuses.is_empty() || statuses.contains(&status);
    let shows = |mark: &&Mark| {
        holds(mark.statuses)
            && fields.all(mark.field).any(|value| {
                mark.values.is_empty()
                    || mark.values.iter().any(|known| value.eq_ignore_ascii_case(known))
            })
    };
    let named = MARKS.iter().find(shows).map(|mark| mark.who);
    let signs = || page.into_iter().flat_map(|page| &page.signs);
    named.or_else(|| signs().find(|sign| holds(sign.statuses)).map(|sign| sign.who))
}

/// What a start tag shows of a challenge; whether it is one depends on the status.
pub(super) fn sign(tag: &Tag<'_>) -> Option<&'static Sign> {
    // A tag shows by one attribute, whoever's sign it is.
    let attribute = SIGNS.iter().find(|sign| sign.tag == tag.name)?.attribute;
    let value = tag.attribute(attribute)?;
    let shows = |sign: &&Sign| {
        sign.tag == tag.name
            && match attribute {
                "id" => value == sign.part,
                _ => value.contains(sign.part),
            }
    };
    SIGNS.iter().find(shows)
}

/// How a challenge or block page of one vendor is known by a field.
struct Mark {
    who: &'static str,
    field: &'static str,
    /// Any of these; any value if empty.
    values: &'static [&'static str],
    /// Any of these; any status if empty.
    statuses: &'static [u16],
}

/// How one is known by its markup.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Sign {
    who: &'static str,
    tag: &'static str,
    attribute: &'static str,
    /// All of an `id`, a part of an address.
    part: &'static str,
    /// Any of these; any status if empty. Sites have the same scripts in pages of their own.
    statuses: &'static [u16],
}

impl Sign {
    const fn script(who: &'static str, part: &'static str, statuses: &'static [u16]) -> Self {
        Self { who, tag: "script", attribute: "src", part, statuses }
    }
}

/// The one table of fields, from the vendors' own documentation.
const MARKS: [Mark; 6] = [
    Mark { who: "Cloudflare", field: "cf-mitigated", values: &["challenge"], statuses: &[] },
    Mark {
        who: "AWS WAF",
        field: "x-amzn-waf-action",
        values: &["challenge", "captcha"],
        statuses: &[],
    },
    Mark { who: "Vercel", field: "x-vercel-mitigated", values: &[], statuses: &[] },
    Mark { who: "Sucuri", field: "x-sucuri-block", values: &[], statuses: &[] },
    Mark { who: "DataDome", field: "x-datadome", values: &["protected"], statuses: &[401, 403] },
    // Akamai names itself only on pages that it makes itself.
    Mark { who: "Akamai", field: "server", values: &["AkamaiGHost"], statuses: &[403] },
];

/// The one table of markup, from the vendors' own documentation.
const SIGNS: [Sign; 10] = [
    Sign {
        who: "Cloudflare",
        tag: "link",
        attribute: "href",
        part: "/cdn-cgi/styles/",
        statuses: BLOCKED,
    },
    Sign::script("Cloudflare Turnstile", "//challenges.cloudflare.com/turnstile/", BLOCKED),
    Sign::script("AWS WAF", ".token.awswaf.com/", &[202, 403, 405]),
    Sign::script("AWS WAF", ".captcha.awswaf.com/", &[202, 403, 405]),
    Sign::script("DataDome", ".captcha-delivery.com/", BLOCKED),
    Sign::script("hCaptcha", "hcaptcha.com/1/api.js", BLOCKED),
    Sign::script("reCAPTCHA", "//www.google.com/recaptcha/", BLOCKED),
    Sign {
        who: "Akamai",
        tag: "div",
        attribute: "id",
        part: "sec-if-cpt-container",
        statuses: &[],
    },
    Sign { who: "HUMAN", tag: "div", attribute: "id", part: "px-captcha", statuses: BLOCKED },
    Sign {
        who: "Imperva",
        tag: "iframe",
        attribute: "src",
        part: "/_Incapsula_Resource?",
        statuses: &[],
    },
];

/// With these a page has a challenge instead of what was asked for; 401 asks for a log-in, which may
/// have one of its own.
const BLOCKED: &[u16] = &[403, 405, 429, 503];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_known_by_its_marks_only() {
        for (status, field, value, expected) in [
            (403, "CF-Mitigated", "challenge", Some("Cloudflare")),
            (200, "cf-mitigated", "challenge", Some("Cloudflare")),
            (503, "cf-mitigated", "challenge", Some("Cloudflare")),
            (403, "server", "cloudflare", None),
            (202, "x-amzn-waf-action", "challenge", Some("AWS WAF")),
            (405, "x-amzn-waf-action", "captcha", Some("AWS WAF")),
            (403, "x-datadome", "protected", Some("DataDome")),
            (200, "x-datadome", "protected", None),
            (403, "server", "AkamaiGHost", Some("Akamai")),
            (301, "server", "AkamaiGHost", None),
        ] {
            let fields = Fields::of(&[(field, value)]);
            assert_eq!(who(status, &fields, None), expected, "{status} {field}: {value}");
        }
    }

    #[test]
    fn every_sign_is_seen_on_its_tag_by_the_one_attribute_that_the_tag_shows_by() {
        for sign in &SIGNS {
            let page = Page::of(&format!("<{} {}='{}'>", sign.tag, sign.attribute, sign.part));
            assert_eq!(page.signs, [sign]);
        }
    }

    #[test]
    fn a_challenge_is_known_by_its_markup_where_the_status_goes_with_it() {
        for (status, markup, expected) in [
            (403, "<script src=https://js.hcaptcha.com/1/api.js>", Some("hCaptcha")),
            (429, "<script src='//hcaptcha.com/1/api.js?onload=x'>", Some("hCaptcha")),
            // A form for comments, or for a log-in, of the site's own.
            (200, "<script src=https://js.hcaptcha.com/1/api.js>", None),
            (401, "<script src=https://js.hcaptcha.com/1/api.js>", None),
            (403, "<p>https://js.hcaptcha.com/1/api.js</p>", None),
            (403, "<script>'<script src=https://js.hcaptcha.com/1/api.js>'</script>", None),
            (403, "<!-- <script src=https://js.hcaptcha.com/1/api.js> -->", None),
            (403, "<script src=https://ct.captcha-delivery.com/c.js>", Some("DataDome")),
            (202, "<script src=https://a.b.token.awswaf.com/a/challenge.js>", Some("AWS WAF")),
            (200, "<script src=https://a.b.token.awswaf.com/a/challenge.js>", None),
            (403, "<link rel=stylesheet href=/cdn-cgi/styles/cf.errors.css>", Some("Cloudflare")),
            (200, "<div id=sec-if-cpt-container>", Some("Akamai")),
            (200, "<div id=about-sec-if-cpt-container>", None),
            (403, "<div id=px-captcha>", Some("HUMAN")),
            (200, "<iframe id=main-iframe src='/_Incapsula_Resource?x=1'>", Some("Imperva")),
            (200, "<script src='/_Incapsula_Resource?SWJIYLWA=1'>", None),
        ] {
            let page = Page::of(markup);
            let found = who(status, &Fields::default(), Some(&page));
            assert_eq!(found, expected, "{status} {markup}");
        }
    }

    #[test]
    fn however_many_signs_a_page_shows_few_are_kept() {
        let page = Page::of(&"<div id=px-captcha><div id=sec-if-cpt-container>".repeat(1000));
        assert_eq!(page.signs.len(), 2);
    }
}
