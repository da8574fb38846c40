//! The secret that phases hang on. Replicas share it; who does not have it cannot tell when a
//! sample comes.

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;

use siphasher::sip::SipHasher24;
use thiserror::Error;

use crate::target::PointKey;

/// 128 random bits, kept in `data.seed_file`.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Seed(pub [u8; 16]);

impl Seed {
    /// The form that the seed file holds: 32 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// A seed for one run of a point's probe: the same for the same slot on every replica.
    pub fn for_run(&self, key: PointKey, slot: i64) -> u64 {
        self.hash(Tag::Run, key, 0, slot)
    }

    /// A number that only the holder of the seed can tell.
    pub(super) fn hash(&self, tag: Tag, key: PointKey, length: i64, slot: i64) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write_u8(tag as u8);
        // Little-endian by hand: the same on every machine.
        hasher.write(&key.0.to_le_bytes());
        hasher.write(&length.to_le_bytes());
        hasher.write(&slot.to_le_bytes());
        hasher.finish()
    }
}

/// What a keyed number is for, so that no two uses share one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tag {
    Phase = 1,
    Place = 2,
    Run = 3,
    /// The phase of rounds, which is no point's own.
    Round = 4,
}

impl FromStr for Seed {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, SeedError> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| SeedError)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(<redacted>)")
    }
}

/// The seed file holds something else. What it holds is not repeated: it may be a secret.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the seed is not 32 hexadecimal digits; delete the file to have a new one made")]
pub struct SeedError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_reads_back_and_is_never_printed() {
        let seed = Seed(*b"0123456789abcdef");
        assert_eq!(format!("{}\n", seed.to_hex()).parse(), Ok(seed));
        assert_eq!(format!("{seed:?}"), "Seed(<redacted>)");
        for text in ["", "30", "zz", &"0".repeat(33)] {
            assert_eq!(text.parse::<Seed>(), Err(SeedError));
        }
    }

    #[test]
    fn keyed_numbers_never_change_between_releases() {
        let seed = Seed([7; 16]);
        assert_eq!(seed.hash(Tag::Phase, PointKey(1), 2, 3), 5_606_950_399_080_101_121);
        assert_ne!(seed.for_run(PointKey(1), 1), seed.for_run(PointKey(1), 2));
    }
}
