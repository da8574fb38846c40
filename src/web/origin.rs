//! Host and Origin: a page of another site must not talk to Secchi through a person's browser,
//! whether by a forged request or by making its own name resolve to us (DNS rebinding).

use std::net::IpAddr;

use url::{Host, Url};

/// The names that Secchi is known by, beside addresses and localhost.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    hosts: Vec<String>,
    origin: Option<String>,
}

impl Names {
    pub(super) fn new(external_url: Option<&Url>, others: &[String]) -> Self {
        let external = external_url.and_then(Url::host_str).map(str::to_ascii_lowercase);
        let others = others.iter().map(|name| name.to_ascii_lowercase());
        Self {
            hosts: external.into_iter().chain(others).collect(),
            origin: external_url.map(|url| url.origin().ascii_serialization()),
        }
    }

    /// Whether the `Host` field names Secchi. An address cannot be rebound.
    pub(super) fn knows_host(&self, host: Option<&str>) -> bool {
        let Some(name) = host.and_then(host_name) else { return false };
        match Host::parse(&name) {
            Ok(Host::Ipv4(_) | Host::Ipv6(_)) => true,
            Ok(Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_ascii_lowercase();
                name == "localhost" || self.hosts.contains(&name)
            }
            Err(_) => false,
        }
    }

    /// Whether a request with this `Origin` comes from one of our own pages, or from no page.
    pub(super) fn knows_origin(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        if self.origin.as_deref() == Some(origin) {
            return true;
        }
        let own =
            origin.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"));
        own.is_some_and(|(_, authority)| Some(authority) == host) && self.knows_host(host)
    }
}

/// The host of `host[:port]`, an IPv6 address with its brackets.
fn host_name(text: &str) -> Option<String> {
    if text.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6()) {
        return Some(format!("[{text}]"));
    }
    let name = match text.rfind(']') {
        Some(end) => text.get(..=end)?,
        None => text.split(':').next()?,
    };
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let url = Url::parse("https://secchi.example.com/").expect("a URL");
        Names::new(Some(&url), &["Secchi.internal".to_owned()])
    }

    #[test]
    fn a_foreign_name_is_refused_even_if_it_leads_here() {
        for (host, known) in [
            ("127.0.0.1:9640", true),
            ("[::1]:9640", true),
            ("localhost:9640", true),
            ("LOCALHOST", true),
            ("secchi.example.com", true),
            ("secchi.internal:9640", true),
            ("evil.example.com:9640", false),
            ("localhost.evil.example.com", false),
            ("127.0.0.1.evil.example.com", false),
            ("", false),
            ("<script>", false),
        ] {
            assert_eq!(names().knows_host(Some(host)), known, "{host}");
        }
        assert!(!names().knows_host(None));
    }

    #[test]
    fn a_foreign_page_is_refused() {
        let host = Some("127.0.0.1:9640");
        for (origin, known) in [
            (None, true),
            (Some("http://127.0.0.1:9640"), true),
            (Some("https://secchi.example.com"), true),
            (Some("http://127.0.0.1:8080"), false),
            (Some("https://evil.example.com"), false),
            (Some("null"), false),
        ] {
            assert_eq!(names().knows_origin(origin, host), known, "{origin:?}");
        }
        assert!(!names().knows_origin(Some("http://evil.example.com"), Some("evil.example.com")));
    }
}
