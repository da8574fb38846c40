//! Cookies: what the scanner's jar holds after the session, judged by the worst.

use url::Url;

use crate::probe::http::profiles::domain;

use super::{Scan, transport};

/// The test.
pub(super) fn judge(scan: &Scan<'_>) -> &'static str {
    let jar = Jar::of(scan);
    let cookies: Vec<&Cookie> =
        jar.0.iter().filter(|cookie| cookie.name != IGNORED && !cookie.name.is_empty()).collect();
    if cookies.is_empty() {
        return "cookies-not-found";
    }
    let mut worst: Option<Fault> = None;
    let is_malformed = scan
        .auto
        .is_some_and(|response| response.fields.all("set-cookie").any(has_malformed_same_site));
    if is_malformed {
        worst = Some(Fault::SameSite);
    }
    let (_, has_hsts) = super::keys::worth(transport::hsts(scan));
    for cookie in &cookies {
        worst = cookie.faults(has_hsts).max().max(worst);
    }
    match worst {
        Some(fault) => fault.key(),
        None if cookies.iter().all(|cookie| cookie.same_site.is_some()) => {
            "cookies-secure-with-httponly-sessions-and-samesite"
        }
        None => "cookies-secure-with-httponly-sessions",
    }
}

/// From least to worst.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Fault {
    InsecureBehindHsts,
    Insecure,
    InsecureSessionBehindHsts,
    SameSite,
    AntiCsrf,
    SessionWithoutHttpOnly,
    InsecureSession,
}

impl Fault {
    fn key(self) -> &'static str {
        match self {
            Self::InsecureBehindHsts => "cookies-without-secure-flag-but-protected-by-hsts",
            Self::Insecure => "cookies-without-secure-flag",
            Self::InsecureSessionBehindHsts => {
                "cookies-session-without-secure-flag-but-protected-by-hsts"
            }
            Self::SameSite => "cookies-samesite-flag-invalid",
            Self::AntiCsrf => "cookies-anticsrf-without-samesite-flag",
            Self::SessionWithoutHttpOnly => "cookies-session-without-httponly-flag",
            Self::InsecureSession => "cookies-session-without-secure-flag",
        }
    }
}

/// A cookie as the jar keeps it.
#[derive(Clone, Debug)]
struct Cookie {
    name: String,
    domain: String,
    path: String,
    is_secure: bool,
    is_http_only: bool,
    same_site: Option<&'static str>,
}

impl Cookie {
    fn faults(&self, has_hsts: bool) -> impl Iterator<Item = Fault> {
        let name = self.name.to_lowercase();
        let is_session = name.contains("login") || name.contains("sess");
        let is_anti_csrf = name.contains("csrf") && self.same_site.is_none();
        let insecure = match (self.is_secure, is_session, has_hsts) {
            (true, ..) => None,
            (false, true, true) => Some(Fault::InsecureSessionBehindHsts),
            (false, true, false) => Some(Fault::InsecureSession),
            (false, false, true) => Some(Fault::InsecureBehindHsts),
            (false, false, false) => Some(Fault::Insecure),
        };
        let cross_site = !self.is_secure && self.same_site == Some("none");
        let readable = is_session && !self.is_http_only;
        [
            insecure,
            cross_site.then_some(Fault::SameSite),
            is_anti_csrf.then_some(Fault::AntiCsrf),
            readable.then_some(Fault::SessionWithoutHttpOnly),
        ]
        .into_iter()
        .flatten()
    }

    /// What the jar makes of a line; `None` if it refuses it.
    fn parse(line: &str, url: &Url) -> Option<Self> {
        let line = line.trim();
        let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
        let (name, value) = pair.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        let has_controls = |text: &str| text.chars().any(|c| c < ' ');
        if pair.starts_with('=') || has_controls(name) || has_controls(value) {
            return None;
        }
        let host = url.host_str()?.to_ascii_lowercase();
        let read = Attributes::parse(attributes);
        let is_host_only = read.domain.is_none();
        if let Some(domain) = &read.domain
            && (domain::is_public_suffix(domain) || !domain_matches(&host, domain))
        {
            return None;
        }
        // The jar fills in the path before it looks at what the name promises.
        let path = read.path.unwrap_or_else(|| default_path(url));
        let keeps_promise = (!name.starts_with("__Secure-") || read.is_secure)
            && (!name.starts_with("__Host-") || (read.is_secure && is_host_only && path == "/"));
        keeps_promise.then(|| Self {
            name: name.to_owned(),
            domain: read.domain.unwrap_or(host),
            path,
            is_secure: read.is_secure,
            is_http_only: read.is_http_only,
            same_site: read.same_site,
        })
    }
}

#[derive(Default)]
struct Attributes {
    domain: Option<String>,
    path: Option<String>,
    is_secure: bool,
    is_http_only: bool,
    same_site: Option<&'static str>,
}

impl Attributes {
    fn parse(text: &str) -> Self {
        let mut read = Self::default();
        for attribute in text.split(';') {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let value = value.trim();
            match &*name.trim().to_lowercase() {
                "secure" => read.is_secure = true,
                "httponly" => read.is_http_only = true,
                "samesite" => {
                    let value = value.to_lowercase();
                    read.same_site = SAME_SITE.into_iter().find(|known| *known == value);
                }
                "domain" => {
                    let domain = value.strip_prefix('.').unwrap_or(value);
                    if !domain.is_empty() {
                        read.domain = Some(domain.to_lowercase());
                    }
                }
                "path" => read.path = value.starts_with('/').then(|| value.to_owned()),
                _ => {}
            }
        }
        read
    }
}

/// Who comes last with the same name, domain and path is kept.
struct Jar(Vec<Cookie>);

impl Jar {
    fn of(scan: &Scan<'_>) -> Self {
        let mut jar: Vec<Cookie> = Vec::new();
        for (url, fields) in &scan.session {
            for cookie in fields.all("set-cookie").filter_map(|line| Cookie::parse(line, url)) {
                jar.retain(|known| {
                    (&known.name, &known.domain, &known.path)
                        != (&cookie.name, &cookie.domain, &cookie.path)
                });
                if jar.len() < MAX_COOKIES {
                    jar.push(cookie);
                }
            }
        }
        Self(jar)
    }
}

/// RFC 6265 §5.1.3.
fn domain_matches(host: &str, domain: &str) -> bool {
    host == domain
        || (host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
            && host.parse::<std::net::IpAddr>().is_err())
}

/// RFC 6265 §5.1.4.
fn default_path(url: &Url) -> String {
    match url.path().rsplit_once('/') {
        Some(("", _)) | None => "/".to_owned(),
        Some((path, _)) => path.to_owned(),
    }
}

/// A SameSite that is empty or no known word, in a line as sent.
fn has_malformed_same_site(line: &str) -> bool {
    line.trim().split(';').any(|part| {
        let mut words = part.trim().split('=');
        let name = words.next().unwrap_or_default();
        name.trim().to_lowercase() == "samesite"
            && words.next().is_none_or(|value| !SAME_SITE.contains(&&*value.trim().to_lowercase()))
    })
}

const SAME_SITE: [&str; 3] = ["lax", "none", "strict"];

/// Set by a hosting company's router.
const IGNORED: &str = "heroku-session-affinity";

const MAX_COOKIES: usize = 256;
