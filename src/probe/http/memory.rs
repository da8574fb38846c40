//! What the probe remembers of a point between its runs.

use serde::{Deserialize, Serialize};

use super::drift::Past;
use crate::probe::Memory;

/// The memory, bounded and versioned.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Remembered {
    /// Whose turn it is among the extra requests.
    pub(super) cursor: usize,
    /// The Observatory's key for what `OPTIONS` was last answered.
    pub(super) sharing: Option<String>,
    /// The cookies that `/robots.txt` last set: lines without their values.
    pub(super) robots: Vec<String>,
    /// What the responses meant.
    pub(super) past: Past,
}

impl Remembered {
    /// What was remembered; nothing where it is of another version.
    pub(super) fn of(memory: Option<&Memory>) -> Self {
        memory
            .filter(|memory| memory.version == VERSION)
            .and_then(|memory| serde_json::from_slice(&memory.bytes).ok())
            .unwrap_or_default()
    }

    /// To be kept; `None` where it would be too much.
    pub(super) fn keep(&self) -> Option<Memory> {
        let bytes = serde_json::to_vec(self).ok()?;
        (bytes.len() <= Memory::MAX).then_some(Memory { version: VERSION, bytes })
    }
}

const VERSION: u16 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_remembered_and_what_is_foreign_is_not() {
        let remembered = Remembered { cursor: 3, ..Remembered::default() };
        let mut memory = remembered.keep().expect("a memory");
        assert_eq!(Remembered::of(Some(&memory)), remembered);
        memory.version += 1;
        assert_eq!(Remembered::of(Some(&memory)), Remembered::default());
        let broken = Memory { version: VERSION, bytes: b"{".to_vec() };
        assert_eq!(Remembered::of(Some(&broken)), Remembered::default());
    }
}
