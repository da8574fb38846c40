//! The keys of a TLS 1.2 session (RFC 5246 §6.3 and §8, RFC 5288, RFC 7905), from aws-lc-rs. Nothing
//! here is secret for long: a session is made to ask one question and thrown away.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, Algorithm as Aead, CHACHA20_POLY1305, LessSafeKey, Nonce,
    UnboundKey,
};
use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use aws_lc_rs::digest::{self, SHA256, SHA384, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::tls_prf::{Algorithm as Prf, P_SHA256, P_SHA384, Secret};

use crate::probe::trust::certificate::parse;

use super::super::wire::{Cursor, vec8, vec16};
use super::flight::Greeting;

/// How a suite exchanges keys and protects records.
#[derive(Clone, Copy)]
pub(super) struct Suite {
    is_ephemeral: bool,
    aead: &'static Aead,
    key: usize,
    /// Whether the nonce's last eight bytes travel with the record.
    is_explicit: bool,
    prf: &'static Prf,
    hash: &'static digest::Algorithm,
}

impl Suite {
    /// `None` for suites that are not spoken here.
    pub(super) fn of(number: u16) -> Option<Self> {
        let is_ephemeral = !matches!(number, 0x009c | 0x009d);
        let (aead, key, is_explicit) = match number {
            0xc02b | 0xc02f | 0x009c => (&AES_128_GCM, 16, true),
            0xc02c | 0xc030 | 0x009d => (&AES_256_GCM, 32, true),
            0xcca8 | 0xcca9 => (&CHACHA20_POLY1305, 32, false),
            _ => return None,
        };
        let (prf, hash): (&'static Prf, _) = match number {
            0xc02c | 0xc030 | 0x009d => (&P_SHA384, &SHA384),
            _ => (&P_SHA256, &SHA256),
        };
        Some(Self { is_ephemeral, aead, key, is_explicit, prf, hash })
    }

    /// Every suite that [`Suite::of`] knows.
    pub(super) const ALL: [u16; 8] =
        [0xc02f, 0xc02b, 0xc030, 0xc02c, 0xcca8, 0xcca9, 0x009c, 0x009d];

    fn derive(self, secret: &[u8], label: &str, seed: &[u8], length: usize) -> Option<Vec<u8>> {
        let secret = Secret::new(self.prf, secret).ok()?;
        Some(secret.derive(label.as_bytes(), seed, length).ok()?.as_ref().to_vec())
    }

    /// What Finished holds.
    pub(super) fn verify_data(
        self,
        master: &[u8],
        label: &str,
        transcript: &[u8],
    ) -> Option<Vec<u8>> {
        self.derive(master, label, digest(self.hash, transcript).as_ref(), 12)
    }
}

/// The client's share, as ClientKeyExchange's body holds it, and the premaster secret.
pub(super) fn exchange(suite: Suite, greeting: &Greeting) -> Option<(Vec<u8>, Vec<u8>)> {
    match suite.is_ephemeral {
        true => ecdhe(greeting.key_exchange.as_deref()?),
        false => rsa(greeting.leaf.as_deref()?),
    }
}

fn ecdhe(server: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut server = Cursor(server);
    // Named curves only.
    (server.u8()? == 3).then_some(())?;
    let algorithm = match server.u16()? {
        23 => &agreement::ECDH_P256,
        24 => &agreement::ECDH_P384,
        29 => &agreement::X25519,
        _ => return None,
    };
    let point = server.vec8()?;
    let own = EphemeralPrivateKey::generate(algorithm, &SystemRandom::new()).ok()?;
    let share = own.compute_public_key().ok()?;
    let peer = UnparsedPublicKey::new(algorithm, point);
    let secret = agree_ephemeral(own, peer, Unspecified, |secret| Ok(secret.to_vec())).ok()?;
    let mut body = Vec::new();
    vec8(&mut body, |out| out.extend_from_slice(share.as_ref()));
    Some((body, secret))
}

/// RFC 5246 §7.4.7.1; the version is the hello's.
fn rsa(leaf: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let leaf = parse(leaf)?;
    let key = PublicEncryptingKey::from_der(leaf.public_key().raw).ok()?;
    let key = Pkcs1PublicEncryptingKey::new(key).ok()?;
    let mut secret = vec![0; 48];
    aws_lc_rs::rand::fill(&mut secret).ok()?;
    secret[..2].copy_from_slice(&[3, 3]);
    let mut sealed = vec![0; key.ciphertext_size()];
    let length = key.encrypt(&secret, &mut sealed).ok()?.len();
    let mut body = Vec::new();
    vec16(&mut body, |out| out.extend_from_slice(&sealed[..length]));
    Some((body, secret))
}

/// The master secret of both randoms.
pub(super) fn master(
    suite: Suite,
    premaster: &[u8],
    ours: &[u8],
    theirs: &[u8],
) -> Option<Vec<u8>> {
    suite.derive(premaster, "master secret", &[ours, theirs].concat(), 48)
}

/// Our way of records and theirs.
pub(super) fn ways(suite: Suite, master: &[u8], ours: &[u8], theirs: &[u8]) -> Option<(Way, Way)> {
    let iv = if suite.is_explicit { 4 } else { 12 };
    let seed = [theirs, ours].concat();
    let block = suite.derive(master, "key expansion", &seed, 2 * (suite.key + iv))?;
    let mut block = Cursor(&block);
    let keys = (block.take(suite.key)?, block.take(suite.key)?);
    let ivs = (block.take(iv)?, block.take(iv)?);
    Some((Way::new(suite, keys.0, ivs.0)?, Way::new(suite, keys.1, ivs.1)?))
}

/// One direction of protected records.
pub(super) struct Way {
    key: LessSafeKey,
    iv: Vec<u8>,
    is_explicit: bool,
    sequence: u64,
}

impl Way {
    fn new(suite: Suite, key: &[u8], iv: &[u8]) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(suite.aead, key).ok()?);
        Some(Self { key, iv: iv.to_vec(), is_explicit: suite.is_explicit, sequence: 0 })
    }

    /// Protects a record's body.
    pub(super) fn seal(&mut self, kind: u8, body: &[u8]) -> Option<Vec<u8>> {
        let explicit = self.sequence.to_be_bytes();
        let aad = self.aad(kind, body.len())?;
        let mut sealed = body.to_vec();
        self.key.seal_in_place_append_tag(self.nonce(explicit), aad, &mut sealed).ok()?;
        self.sequence += 1;
        let head = if self.is_explicit { &explicit[..] } else { &[] };
        Some([head, &sealed].concat())
    }

    /// Opens a record's body.
    pub(super) fn open(&mut self, kind: u8, body: &[u8]) -> Option<Vec<u8>> {
        let (explicit, sealed) = match self.is_explicit {
            true => body.split_at_checked(8)?,
            false => (&[][..], body),
        };
        let explicit = explicit.try_into().unwrap_or_else(|_| self.sequence.to_be_bytes());
        let aad = self.aad(kind, sealed.len().checked_sub(16)?)?;
        let mut opened = sealed.to_vec();
        let length = self.key.open_in_place(self.nonce(explicit), aad, &mut opened).ok()?.len();
        opened.truncate(length);
        self.sequence += 1;
        Some(opened)
    }

    fn nonce(&self, explicit: [u8; 8]) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..self.iv.len()].copy_from_slice(&self.iv);
        for (byte, counted) in nonce[4..].iter_mut().zip(explicit) {
            *byte ^= counted;
        }
        Nonce::assume_unique_for_key(nonce)
    }

    fn aad(&self, kind: u8, length: usize) -> Option<Aad<Vec<u8>>> {
        let mut aad = self.sequence.to_be_bytes().to_vec();
        aad.extend([kind, 3, 3]);
        aad.extend(u16::try_from(length).ok()?.to_be_bytes());
        Some(Aad::from(aad))
    }
}
