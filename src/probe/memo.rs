//! Signatures that were found good, each checked once: what was signed stays signed, and a fleet shows
//! the same certificates and records again and again. Only what was found good is remembered.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};

/// Marks of good signatures.
pub(super) struct Memo {
    good: Mutex<HashSet<[u8; 32]>>,
    most: usize,
}

impl Memo {
    /// Room for so many, at some 60 bytes each; when it is full it begins anew.
    pub(super) fn new(most: usize) -> Self {
        Self { good: Mutex::default(), most }
    }

    /// Whether the parts (all that the check hangs on) were found good before, or are now.
    pub(super) fn once<const N: usize>(
        &self,
        parts: [&[u8]; N],
        check: impl FnOnce() -> bool,
    ) -> bool {
        let mark = mark(parts);
        if self.good.lock().unwrap_or_else(PoisonError::into_inner).contains(&mark) {
            return true;
        }
        if !check() {
            return false;
        }
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.len() >= self.most {
            good.clear();
        }
        good.insert(mark);
        true
    }
}

/// SHA-256 over the parts, each after its length.
fn mark<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut mark = [0; 32];
    mark.copy_from_slice(context.finish().as_ref());
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_good_is_checked_once_and_what_was_bad_each_time() {
        let memo = Memo::new(2);
        let mut checks = 0;
        for (parts, is_good, wanted) in [
            ([b"a".as_slice(), b"bc"], true, 1),
            ([b"a", b"bc"], true, 1),
            ([b"ab", b"c"], false, 2),
            ([b"ab", b"c"], false, 3),
            ([b"x", b""], true, 4),
            ([b"y", b""], true, 5),
            ([b"a", b"bc"], true, 6),
        ] {
            let checked = memo.once(parts, || {
                checks += 1;
                is_good
            });
            assert_eq!((checked, checks), (is_good, wanted), "{parts:?}");
        }
    }
}
