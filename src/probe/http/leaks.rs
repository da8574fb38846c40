//! Fields that name the software behind the site.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fields::Fields;
use super::text::clean;

/// One field that names software.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Leak {
    /// The field's name in lower case.
    pub(super) field: &'static str,
    /// The product named, cleaned.
    pub(super) product: String,
    /// Whether a version is named too.
    pub(super) has_version: bool,
    /// What was sent, cleaned and cut.
    pub(super) value: String,
}

/// The fields of all responses that name software, one a name: that with a version, if there is
/// one, else the first.
pub(super) fn read<'a>(responses: impl Iterator<Item = &'a Fields>) -> Vec<Leak> {
    let mut leaks: BTreeMap<&'static str, Leak> = BTreeMap::new();
    for fields in responses {
        for (field, product) in FIELDS {
            for value in fields.all(field) {
                let Some(leak) = leak(field, product, value) else { continue };
                let known = leaks.entry(field).or_insert_with(|| leak.clone());
                if leak.has_version && !known.has_version {
                    *known = leak;
                }
            }
        }
    }
    leaks.into_values().collect()
}

fn leak(field: &'static str, product: Option<&str>, value: &str) -> Option<Leak> {
    let named = if field == "via" { after_protocol(value) } else { value };
    let named = named.trim();
    if named.is_empty() {
        return None;
    }
    let (product, has_version) = match product {
        // The field is the product, its value the version.
        Some(product) => (product.to_owned(), named.bytes().any(|b| b.is_ascii_digit())),
        None => (first_product(named), has_version(named)),
    };
    Some(Leak { field, product, has_version, value: clean(value, MAX_VALUE) })
}

/// `Via: 1.1 name (comment)` begins with a protocol version, which says nothing of the software.
fn after_protocol(value: &str) -> &str {
    value.split_once(' ').map_or("", |(_, rest)| rest)
}

fn first_product(text: &str) -> String {
    let end = text.find(['/', ' ', '(', ',', ';']).unwrap_or(text.len());
    let name = if end == 0 { text } else { &text[..end] };
    let name = name.rsplit_once('-').filter(|(_, v)| is_dotted(v)).map_or(name, |(n, _)| n);
    clean(name, MAX_PRODUCT)
}

/// `nginx/1.2`, `PHP/8`, `ASP.NET 4.0`, `Drupal 10`, `v2.1`, but not `AmazonS3` or `HTTP2`.
fn has_version(text: &str) -> bool {
    let starts_with_digit = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let words = text.split([' ', ',', ';', '(', ')']).filter(|word| !word.is_empty());
    words.enumerate().any(|(at, word)| {
        let after_slash = word.split('/').skip(1).any(|part| {
            starts_with_digit(part) || part.strip_prefix('v').is_some_and(starts_with_digit)
        });
        let bare = word.strip_prefix(['v', 'V']).unwrap_or(word);
        let dashed = word.rsplit_once('-').is_some_and(|(_, part)| is_dotted(part));
        let is_major = at > 0 && word.bytes().all(|b| b.is_ascii_digit());
        after_slash || dashed || is_major || is_dotted(bare)
    })
}

fn is_dotted(word: &str) -> bool {
    let mut parts = word.split('.');
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    parts.next().is_some_and(is_number)
        && parts.next().is_some_and(|part| part.starts_with(|c: char| c.is_ascii_digit()))
}

/// The one table of fields that name software, with the product where the value is a version only.
const FIELDS: [(&str, Option<&str>); 13] = [
    ("liferay-portal", None),
    ("server", None),
    ("via", None),
    ("x-aspnet-version", Some("ASP.NET")),
    ("x-aspnetmvc-version", Some("ASP.NET MVC")),
    ("x-cf-powered-by", None),
    ("x-generator", None),
    ("x-jenkins", Some("Jenkins")),
    ("x-php-version", Some("PHP")),
    ("x-powered-by", None),
    ("x-powered-by-plesk", None),
    ("x-powered-cms", None),
    ("x-server", None),
];

const MAX_PRODUCT: usize = 64;
const MAX_VALUE: usize = 200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn products_and_versions_are_told_apart() {
        for (field, value, product, version) in [
            ("Server", "nginx", "nginx", false),
            ("Server", "nginx/1.18.0 (Ubuntu)", "nginx", true),
            ("Server", "Apache/2", "Apache", true),
            ("Server", "Apache (Debian)", "Apache", false),
            ("Server", "AmazonS3", "AmazonS3", false),
            ("Server", "Microsoft-IIS/10.0", "Microsoft-IIS", true),
            ("Server", "Jetty(9.4.43.v20210629)", "Jetty", true),
            ("Server", "lighttpd-1.4.59", "lighttpd", true),
            ("Server", "gunicorn", "gunicorn", false),
            ("X-Powered-By", "PHP/8.2.1", "PHP", true),
            ("X-Powered-By", "Express", "Express", false),
            ("X-Powered-By", "Servlet 3.0", "Servlet", true),
            ("X-AspNet-Version", "4.0.30319", "ASP.NET", true),
            ("X-Generator", "Drupal 10 (https://www.drupal.org)", "Drupal", true),
            ("Via", "1.1 varnish", "varnish", false),
            ("Via", "1.1 cache (Varnish/6.0)", "cache", true),
            ("Server", "a\u{1b}[31m/1.0", "a?[31m", true),
        ] {
            let leaks = read(std::iter::once(&Fields::of(&[(field, value)])));
            assert_eq!(leaks.len(), 1, "{field}: {value}");
            let leak = &leaks[0];
            assert_eq!((&*leak.product, leak.has_version), (product, version), "{field}: {value}");
            assert!(!leak.value.chars().any(char::is_control));
        }
    }

    #[test]
    fn a_field_is_named_once_and_with_its_version() {
        let first = Fields::of(&[("server", "nginx"), ("server", "")]);
        let second = Fields::of(&[("Server", "nginx/1.2"), ("Via", "1.1"), ("Date", "x")]);
        let leaks = read([&first, &second].into_iter());
        assert_eq!(leaks.len(), 1);
        assert!(leaks[0].has_version && leaks[0].field == "server");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_writes_on_a_screen(text in any::<String>()) {
            for leak in read(std::iter::once(&Fields::of(&[("Server", &text), ("Via", &text)]))) {
                prop_assert!(!leak.value.chars().any(char::is_control));
                prop_assert!(!leak.product.chars().any(char::is_control));
            }
        }
    }
}
