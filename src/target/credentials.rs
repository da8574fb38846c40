//! What a target asks for before it answers.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

/// The value of an Authorization field (RFC 9110 §11.6.2). Whatever writes it writes `<secret>`.
#[derive(Clone, Eq, PartialEq)]
pub struct Credentials(Arc<str>);

impl Credentials {
    /// Reads the whole value: a scheme, a space, and what the scheme asks for.
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        let text = text.trim();
        let is_printable = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        let has_both = text.split_once(' ').is_some_and(|(_, rest)| !rest.trim().is_empty());
        (is_printable && has_both).then(|| Self(text.into())).ok_or(CredentialsError::Field)
    }

    /// Basic authentication (RFC 7617 §2).
    pub fn basic(user: &str, password: &str) -> Result<Self, CredentialsError> {
        if user.contains(':') || user.chars().chain(password.chars()).any(char::is_control) {
            return Err(CredentialsError::Basic);
        }
        Ok(Self(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))).into()))
    }

    /// The field's value, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a text holds what is secret of it.
    pub fn are_in(&self, text: &str) -> bool {
        let secret = self.0.split_once(' ').map_or(&*self.0, |(_, secret)| secret.trim());
        let decoded = STANDARD.decode(secret).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let password = decoded.as_deref().and_then(|pair| Some(pair.split_once(':')?.1));
        // What is shorter stands in any text.
        [Some(secret), password].into_iter().flatten().any(|s| s.len() >= 6 && text.contains(s))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Why a text is no credentials; it does not say what the text was.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum CredentialsError {
    /// No field value.
    #[error("it holds no scheme and credentials, such as `Bearer …`, on one line")]
    Field,
    /// No user name or password that can be sent.
    #[error("a user name has no colon, and neither it nor the password has control characters")]
    Basic,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_one_line_and_are_written_nowhere() {
        let bearer = Credentials::parse("Bearer hunter2\n").expect("credentials");
        assert_eq!((bearer.expose(), &*format!("{bearer:?}")), ("Bearer hunter2", "<secret>"));
        for text in ["", "hunter2", "Bearer ", "Bearer a\nX: b", "Bearer \u{e9}"] {
            assert_eq!(Credentials::parse(text), Err(CredentialsError::Field), "{text:?}");
        }
        let basic = Credentials::basic("me", "pass:word").expect("credentials");
        assert_eq!(basic.expose(), "Basic bWU6cGFzczp3b3Jk");
        assert_eq!(Credentials::basic("m:e", "x"), Err(CredentialsError::Basic));
        assert!(bearer.are_in("you said Bearer hunter2!") && !bearer.are_in("Bearer"));
        assert!(basic.are_in("x pass:word") && basic.are_in("bWU6cGFzczp3b3Jk"));
    }
}
