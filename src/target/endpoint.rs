//! What a target is written as: `host`, `host:port`, `https://host[:port]/path`, `[v6]:port`,
//! `starttls+smtp://host:25`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

/// The parsed form of a target.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Endpoint {
    /// The scheme, where one was written.
    pub scheme: Option<Scheme>,
    /// The name or address to sample.
    pub host: Host,
    /// The port, where one was written.
    pub port: Option<u16>,
    /// Path and query of a URL; `/` where none was written.
    pub path: String,
}

impl Endpoint {
    /// The port that tls and http sampling uses: the written one, else the scheme's, else 443.
    pub fn port_or_default(&self) -> u16 {
        self.port.unwrap_or_else(|| self.scheme.map_or(443, Scheme::default_port))
    }

    /// Whether a client of the web comes to this host and port by https.
    pub fn is_https(&self) -> bool {
        match self.scheme {
            Some(Scheme::Https | Scheme::Tls) => true,
            Some(Scheme::Http | Scheme::StartTls(_)) => false,
            None => self.port != Some(80),
        }
    }

    /// The STARTTLS dialogue to hold before the handshake, if any.
    pub fn starttls(&self) -> Option<StartTls> {
        match self.scheme {
            Some(Scheme::StartTls(protocol)) => Some(protocol),
            _ => None,
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(EndpointError::Empty);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(EndpointError::Character);
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase().parse()?), rest),
            None => (None, text),
        };
        // A bare IPv6 address has colons of its own, so it is tried first.
        if scheme.is_none()
            && let Ok(address) = rest.parse::<Ipv6Addr>()
        {
            return Ok(Self::bare(Host::Address(IpAddr::V6(address))));
        }
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) if scheme.is_none() && rest[at..].len() > 1 => {
                return Err(EndpointError::PathWithoutScheme);
            }
            Some(at) => (&rest[..at], &rest[at..]),
            None => (rest, "/"),
        };
        if authority.contains('@') {
            return Err(EndpointError::Credentials);
        }
        let (host, port) = split_port(authority)?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let path = path.split('#').next().unwrap_or("/").to_owned();
        Ok(Self { scheme, host: host.parse()?, port, path })
    }
}

impl Endpoint {
    fn bare(host: Host) -> Self {
        Self { scheme: None, host, port: None, path: "/".to_owned() }
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), EndpointError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(EndpointError::Bracket)?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(parse_port(port)?))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(EndpointError::Bracket),
        };
    }
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Ok((authority, None));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) => Ok((host, Some(parse_port(port)?))),
        None => Ok((authority, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, EndpointError> {
    match text.parse::<u16>() {
        Ok(port) if port != 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ => Err(EndpointError::Port(text.to_owned())),
    }
}

/// A host as sampled: a lower-case DNS name without its last dot, or an address.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// A DNS name in lower-case A-label form.
    Name(String),
}

impl Host {
    /// The name, unless the host is an address.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Address(_) => None,
        }
    }

    /// The address, unless the host is a name.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::Address(address) => Some(*address),
        }
    }
}

impl FromStr for Host {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        // Underscores (`_dmarc`) are legal in DNS though not in host names; url allows them.
        let Ok(url::Host::Domain(name)) = url::Host::parse(name) else {
            return Err(EndpointError::Host(text.to_owned()));
        };
        let name = name.to_ascii_lowercase();
        let labels_fit = name.split('.').all(|label| (1..=63).contains(&label.len()));
        if name.len() > 253 || !labels_fit {
            return Err(EndpointError::Host(text.to_owned()));
        }
        Ok(Self::Name(name))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// The target as CONTRACT §Output 7 writes it: as given, names in lower case, no brackets around a
/// bare address.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            write!(f, "{scheme}://")?;
        }
        match (&self.host, self.port, self.scheme) {
            (Host::Address(IpAddr::V6(v6)), port, scheme) if port.is_some() || scheme.is_some() => {
                write!(f, "[{v6}]")?;
            }
            (host, ..) => host.fmt(f)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if self.path != "/" {
            f.write_str(&self.path)?;
        }
        Ok(())
    }
}

/// The schemes a target may have.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// A plain-text protocol that is upgraded to TLS.
    StartTls(StartTls),
    /// TLS without a protocol named inside (`tls://host:636`).
    Tls,
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https | Self::Tls => 443,
            Self::StartTls(protocol) => protocol.default_port(),
        }
    }
}

impl FromStr for Scheme {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        match text {
            "http" => Ok(Self::Http),
            "https" => Ok(Self::Https),
            "tls" => Ok(Self::Tls),
            _ => text
                .strip_prefix("starttls+")
                .and_then(StartTls::from_name)
                .map(Self::StartTls)
                .ok_or_else(|| EndpointError::Scheme(text.to_owned())),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http => f.write_str("http"),
            Self::Https => f.write_str("https"),
            Self::StartTls(protocol) => write!(f, "starttls+{}", protocol.name()),
            Self::Tls => f.write_str("tls"),
        }
    }
}

macro_rules! starttls {
    ($($variant:ident $name:literal $port:literal $doc:literal;)+) => {
        /// Protocols that upgrade to TLS in band.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum StartTls { $(#[doc = $doc] $variant,)+ }

        impl StartTls {
            /// Every protocol.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name after `starttls+`.
            pub fn name(self) -> &'static str { match self { $(Self::$variant => $name,)+ } }

            fn default_port(self) -> u16 { match self { $(Self::$variant => $port,)+ } }

            fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

starttls! {
    Ftp "ftp" 21 "RFC 4217.";
    Imap "imap" 143 "RFC 9051.";
    Irc "irc" 6667 "The IRCv3 tls extension.";
    Ldap "ldap" 389 "RFC 4511 §4.14.";
    Lmtp "lmtp" 24 "RFC 2033 with RFC 3207.";
    Mysql "mysql" 3306 "The client/server protocol's SSLRequest.";
    Nntp "nntp" 119 "RFC 4642.";
    Pop3 "pop3" 110 "RFC 2595.";
    Postgres "postgres" 5432 "The frontend/backend protocol's SSLRequest.";
    Sieve "sieve" 4190 "RFC 5804.";
    Smtp "smtp" 25 "RFC 3207.";
    Xmpp "xmpp" 5222 "RFC 6120, client to server.";
    XmppServer "xmpp-server" 5269 "RFC 6120, server to server.";
}

/// Why a target could not be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum EndpointError {
    /// A `[` without its `]`, or text after it.
    #[error("an IPv6 address with a port is written [address]:port")]
    Bracket,
    /// White space or a control character.
    #[error("a target has no white space or control characters")]
    Character,
    /// `user:password@`.
    #[error("a target carries no credentials; use a *_file setting")]
    Credentials,
    /// Nothing there.
    #[error("the target is empty")]
    Empty,
    /// Not a name and not an address.
    #[error("`{0}` is neither a host name nor an address")]
    Host(String),
    /// A path, but no scheme in front.
    #[error("a target with a path needs a scheme, such as https://")]
    PathWithoutScheme,
    /// Not a number from 1 to 65535.
    #[error("`{0}` is not a port (1 to 65535)")]
    Port(String),
    /// A scheme that Secchi does not speak.
    #[error("unknown scheme `{0}`; use http, https, tls or starttls+PROTOCOL")]
    Scheme(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_the_web_comes_by_https_unless_it_is_told_otherwise() {
        let is_https = |text: &str| text.parse::<Endpoint>().expect(text).is_https();
        for text in ["a.test", "a.test:8443", "https://a.test:80", "192.0.2.1", "tls://a.test:993"]
        {
            assert!(is_https(text), "{text}");
        }
        for text in ["a.test:80", "http://a.test", "http://a.test:443", "starttls+smtp://a.test"] {
            assert!(!is_https(text), "{text}");
        }
    }

    #[test]
    fn every_form_of_the_contract_is_read_and_written_as_given() {
        for text in [
            "example.com",
            "example.com:8443",
            "https://example.com",
            "https://example.com:8443/path?q=1",
            "[2001:db8::1]:443",
            "2001:db8::1",
            "192.0.2.1",
            "https://[2001:db8::1]:8443/x",
            "starttls+smtp://mail.example.com:25",
            "starttls+xmpp-server://chat.example.com",
        ] {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.to_string(), text);
        }
    }

    #[test]
    fn names_are_lower_case_without_last_dot_and_brackets_of_a_bare_address_vanish() {
        for (given, written) in [
            ("EXAMPLE.com.", "example.com"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("HTTPS://Example.COM/", "https://example.com"),
        ] {
            assert_eq!(given.parse::<Endpoint>().expect(given).to_string(), written);
        }
    }

    #[test]
    fn what_is_no_target_is_refused_with_its_reason() {
        for text in [
            "",
            "a b",
            "host:0",
            "host:99999",
            "[::1",
            "ftp://x",
            "u:p@h",
            "h/path",
            "..",
            "a\u{1b}b",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn starttls_knows_its_ports() {
        let endpoint: Endpoint = "starttls+imap://mail.example.com".parse().expect("a target");
        assert_eq!((endpoint.port_or_default(), endpoint.starttls()), (143, Some(StartTls::Imap)));
    }
}
