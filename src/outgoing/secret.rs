//! Secrets that no log, screen or JSON ever shows.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// A secret; whatever writes it writes `<secret>`.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Hides a text, without the line end that editors leave.
    pub fn new(text: &str) -> Self {
        Self(text.trim_end_matches(['\n', '\r']).into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

const HIDDEN: &str = "<secret>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_written_nowhere() {
        let secret = Secret::new("hunter2\r\n");
        assert_eq!(secret.expose(), "hunter2");
        let json = serde_json::to_string(&secret).expect("json");
        for written in [format!("{secret}"), format!("{secret:?}"), json] {
            assert!(written.contains("<secret>") && !written.contains("hunter2"), "{written}");
        }
    }
}
