//! What the probe remembers of a point between its runs.

use serde::{Deserialize, Serialize};

use super::drift::Past;
use super::extras::Turns;
use crate::probe::Memory;

/// The memory, bounded and versioned.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct Remembered {
    /// Whose turn it is among the further requests.
    pub(super) turns: Turns,
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

    /// To be kept instead of `before`; `None` where it is the same, or would be too much.
    pub(super) fn keep(&self, before: Option<&Memory>) -> Option<Memory> {
        let bytes = serde_json::to_vec(self).ok()?;
        let memory = Memory { version: VERSION, bytes };
        (memory.bytes.len() <= Memory::MAX && before != Some(&memory)).then_some(memory)
    }
}

const VERSION: u16 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_remembered_and_what_is_foreign_is_not() {
        let sharing = Some("x".to_owned());
        let remembered = Remembered { sharing, ..Remembered::default() };
        let mut memory = remembered.keep(None).expect("a memory");
        assert_eq!(remembered.keep(Some(&memory)), None);
        assert_eq!(Remembered::of(Some(&memory)), remembered);
        memory.version += 1;
        assert_eq!(Remembered::of(Some(&memory)), Remembered::default());
        let broken = Memory { version: VERSION, bytes: b"{".to_vec() };
        assert_eq!(Remembered::of(Some(&broken)), Remembered::default());
    }
}
