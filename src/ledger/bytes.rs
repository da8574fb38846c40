//! Bytes as hex in JSON, compression, and the one hash.

use std::io::{Read, Write};

use aws_lc_rs::digest::{Context, SHA256};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Deserializer, Serializer};

/// SHA-256 over the parts in turn.
pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// Compressed bytes.
pub(super) fn deflate(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// [`deflate`] for what comes in pieces.
pub(super) struct Packer {
    encoder: ZlibEncoder<Vec<u8>>,
    failure: Option<std::io::Error>,
}

impl Default for Packer {
    fn default() -> Self {
        Self { encoder: ZlibEncoder::new(Vec::new(), Compression::fast()), failure: None }
    }
}

impl Packer {
    /// The next piece.
    pub(super) fn take(&mut self, piece: &[u8]) {
        if self.failure.is_none() {
            self.failure = self.encoder.write_all(piece).err();
        }
    }

    /// All of it, or what went wrong on the way.
    pub(super) fn finish(self) -> std::io::Result<Vec<u8>> {
        self.failure.map_or_else(|| self.encoder.finish(), Err)
    }
}

/// What [`deflate`] was given; refuses what grows beyond a gibibyte.
pub(super) fn inflate(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len().saturating_mul(4));
    ZlibDecoder::new(bytes).take(MOST).read_to_end(&mut out)?;
    if out.len() as u64 == MOST {
        return Err(std::io::Error::other("too long"));
    }
    Ok(out)
}

pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    hex::decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

const MOST: u64 = 1 << 30;
