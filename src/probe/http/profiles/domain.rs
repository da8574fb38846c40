//! Registrable domains by the public suffix list.

use std::net::Ipv6Addr;

use url::Url;

/// The registrable domain of a host by ICANN's part of the list; `None` for an address, a public
/// suffix, or a single label.
pub(super) fn registrable(host: &str) -> Option<String> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if is_address(&host) {
        return None;
    }
    let suffix = icann_suffix(&host)?;
    let rest = host.strip_suffix(suffix)?.strip_suffix('.')?;
    let label = rest.rsplit('.').next().filter(|label| !label.is_empty())?;
    Some(format!("{label}.{suffix}"))
}

/// That of an address's host.
pub(super) fn registrable_of_url(address: &str) -> Option<String> {
    registrable(Url::parse(address).ok()?.host_str()?)
}

/// Whether nobody may set a cookie for all of that domain: a public suffix, private ones among
/// them. Names under the special-use ones are nobody's suffix.
pub(super) fn is_public_suffix(domain: &str) -> bool {
    let mut labels = domain.rsplit('.');
    let last = labels.next().unwrap_or_default();
    if SPECIAL_USE.contains(&last) {
        let is_alone = labels.next().is_none();
        return is_alone && !matches!(last, "localhost" | "invalid");
    }
    is_address(domain) || psl::domain_str(domain).is_none()
}

fn icann_suffix(host: &str) -> Option<&str> {
    let mut name = host;
    loop {
        let suffix = psl::suffix(name.as_bytes())?;
        let length = suffix.as_bytes().len();
        let text = name.get(name.len() - length..)?;
        if suffix.typ() != Some(psl::Type::Private) {
            return host.get(host.len() - length..);
        }
        // What private part of the list says, ICANN's shorter rule says of the rest.
        name = text.split_once('.')?.1;
    }
}

fn is_address(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.parse::<std::net::Ipv4Addr>().is_ok() || bare.parse::<Ipv6Addr>().is_ok()
}

/// RFC 6761.
const SPECIAL_USE: [&str; 5] = ["example", "invalid", "local", "localhost", "test"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrable_domains_are_those_of_the_list() {
        for (host, expected) in [
            ("www.mozilla.org", Some("mozilla.org")),
            ("a.b.example.co.uk", Some("example.co.uk")),
            ("co.uk", None),
            ("x.github.io", Some("github.io")),
            ("a.x.github.io", Some("github.io")),
            ("shop.test", Some("shop.test")),
            ("localhost", None),
            ("192.0.2.1", None),
            ("[2001:db8::1]", None),
            ("WWW.Example.COM.", Some("example.com")),
        ] {
            assert_eq!(registrable(host).as_deref(), expected, "{host}");
        }
        assert_eq!(registrable_of_url("https://u@cdn.a.example:8/x").as_deref(), Some("a.example"));
    }

    #[test]
    fn a_public_suffix_has_no_cookies() {
        for (domain, expected) in [
            ("co.uk", true),
            ("github.io", true),
            ("example.co.uk", false),
            ("shop.test", false),
            ("test", true),
            ("localhost", false),
            ("com", true),
        ] {
            assert_eq!(is_public_suffix(domain), expected, "{domain}");
        }
    }
}
