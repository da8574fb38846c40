//! Signatures on certificates, each checked once: a fleet shows the same few thousand chains every
//! minute.

use std::sync::LazyLock;

use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

use super::PROVIDER;
use crate::probe::memo::Memo;

/// Every algorithm of the provider, with a memory. Not for handshakes, whose signatures never come
/// again.
pub(super) fn algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    static ALL: LazyLock<Vec<&'static dyn SignatureVerificationAlgorithm>> = LazyLock::new(|| {
        let known = PROVIDER.signature_verification_algorithms.all.iter();
        known
            .map(|inner| -> &'static dyn SignatureVerificationAlgorithm {
                Box::leak(Box::new(Remembering(*inner)))
            })
            .collect()
    });
    &ALL
}

#[derive(Debug)]
struct Remembering(&'static dyn SignatureVerificationAlgorithm);

impl SignatureVerificationAlgorithm for Remembering {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let ids = [self.0.public_key_alg_id(), self.0.signature_alg_id()];
        let parts = [ids[0].as_ref(), ids[1].as_ref(), public_key, message, signature];
        let check = || self.0.verify_signature(public_key, message, signature).is_ok();
        GOOD.once(parts, check).then_some(()).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

static GOOD: LazyLock<Memo> = LazyLock::new(|| Memo::new(MOST));

/// Two signatures a chain of three: the chains of some 16,000 names, in about 2 MB.
const MOST: usize = 32_768;

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PublicKeyData, SigningKey};

    use super::*;

    #[test]
    fn a_good_signature_is_good_again_and_a_bad_one_never() {
        let key = KeyPair::generate().expect("a key");
        let (message, other) = (b"to be signed".as_slice(), b"to be forged".as_slice());
        let signature = key.sign(message).expect("a signature");
        let public = key.der_bytes();
        let mut all = PROVIDER.signature_verification_algorithms.all.iter().zip(algorithms());
        let (_, remembering) = all
            .find(|(inner, _)| inner.verify_signature(public, message, &signature).is_ok())
            .expect("an algorithm that fits");
        for _ in 0..3 {
            assert!(remembering.verify_signature(public, message, &signature).is_ok());
            assert!(remembering.verify_signature(public, other, &signature).is_err());
        }
    }
}
