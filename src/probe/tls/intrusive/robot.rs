//! CVE-2017-13099 and its kin (ROBOT): a server that answers RSA key exchanges of sound and of broken
//! padding differently decrypts for whoever asks often enough. Five exchanges tell; where they
//! differ, five more show that it was no chance.

use num_bigint::BigUint;

use crate::probe::trust::certificate::parse;
use crate::sample::Reason;

use super::super::features::{Fact, Known};
use super::super::hello::HelloSpec;
use super::super::line::Line;
use super::super::session::wire::{CHANGE_CIPHER_SPEC, HANDSHAKE, record};
use super::super::session::{Greeted, greet};
use super::super::suites;
use super::super::wire::{vec16, vec24};
use super::clear_hello;

/// Asks where there is a suite with RSA key exchange.
pub(super) async fn ask(line: &Line<'_>, known: Known<'_>, rng: &mut fastrand::Rng) -> Fact<bool> {
    let Some(mut spec) = clear_hello(known)? else { return Ok(false) };
    spec.suites.retain(|&suite| is_rsa(suite));
    let Some(first) = try_all(line, known, &spec, rng).await? else { return Ok(false) };
    if first.windows(2).all(|pair| pair[0] == pair[1]) {
        return Ok(false);
    }
    match try_all(line, known, &spec, rng).await? {
        Some(second) if second == first => Ok(true),
        _ => Err(Reason::Inconsistent.into()),
    }
}

fn is_rsa(suite: u16) -> bool {
    let name = suites::name(suite);
    name.starts_with("TLS_RSA_WITH_") && !name.contains("NULL")
}

/// The answers to each form of padding; `None` without RSA key exchange.
async fn try_all(
    line: &Line<'_>,
    known: Known<'_>,
    spec: &HelloSpec,
    rng: &mut fastrand::Rng,
) -> Fact<Option<Vec<Option<u8>>>> {
    let mut answers = Vec::new();
    for form in Form::ALL {
        let (mut wire, greeted) = greet(line, spec, known.server_name, rng).await?;
        let greeting = match greeted {
            Greeted::Done(greeting) => greeting,
            Greeted::Refused(Some(40 | 71)) if answers.is_empty() => return Ok(None),
            _ => return Err(Reason::NotObserved.into()),
        };
        let key = greeting.leaf.as_deref().and_then(Key::of).ok_or(Reason::TlsError)?;
        let share = key.encrypt(&form.block(key.bytes, greeting.version, rng));
        let mut exchange = vec![16];
        vec24(&mut exchange, |out| vec16(out, |out| out.extend_from_slice(&share)));
        let garbage: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(64).collect();
        let bytes = [
            record(HANDSHAKE, greeting.version, &exchange),
            record(CHANGE_CIPHER_SPEC, greeting.version, &[1]),
            record(HANDSHAKE, greeting.version, &garbage),
        ];
        let sent = wire.send(&bytes.concat()).await?;
        let mut answer = None;
        while let (true, Some(heard)) = (sent, wire.next().await?) {
            answer = heard.alert();
            if answer.is_some() {
                break;
            }
        }
        answers.push(answer);
    }
    Ok(Some(answers))
}

/// What is wrong with a block (RFC 8017 §7.2.1: `00 02 PS 00 M`).
#[derive(Clone, Copy, Debug)]
enum Form {
    Sound,
    WrongType,
    NoSeparator,
    SeparatorInPadding,
    WrongVersion,
}

impl Form {
    const ALL: [Self; 5] = [
        Self::Sound,
        Self::WrongType,
        Self::NoSeparator,
        Self::SeparatorInPadding,
        Self::WrongVersion,
    ];

    fn block(self, bytes: usize, version: u16, rng: &mut fastrand::Rng) -> Vec<u8> {
        let mut block: Vec<u8> = std::iter::repeat_with(|| rng.u8(1..)).take(bytes).collect();
        let separator = bytes.saturating_sub(SECRET + 1);
        // A first byte of 0 leaves the block below the modulus.
        block[0] = 0;
        block[1] = if matches!(self, Self::WrongType) { 0x17 } else { 2 };
        if !matches!(self, Self::NoSeparator) {
            block[separator] = 0;
        }
        if matches!(self, Self::SeparatorInPadding) {
            block[4] = 0;
        }
        let version = if matches!(self, Self::WrongVersion) { 0x0202 } else { version };
        block[separator + 1..separator + 3].copy_from_slice(&version.to_be_bytes());
        block
    }
}

/// An RSA public key, and how long its blocks are.
struct Key {
    modulus: BigUint,
    exponent: BigUint,
    bytes: usize,
}

impl Key {
    fn of(leaf: &[u8]) -> Option<Self> {
        use x509_parser::public_key::PublicKey;
        let leaf = parse(leaf)?;
        let Ok(PublicKey::RSA(key)) = leaf.public_key().parsed() else { return None };
        let modulus = BigUint::from_bytes_be(key.modulus);
        let bytes = usize::try_from(modulus.bits().div_ceil(8)).ok()?;
        // Shorter ones hold no block, longer ones nobody has.
        (64..=2_048).contains(&bytes).then(|| Self {
            modulus,
            exponent: BigUint::from_bytes_be(key.exponent),
            bytes,
        })
    }

    fn encrypt(&self, block: &[u8]) -> Vec<u8> {
        let number = BigUint::from_bytes_be(block).modpow(&self.exponent, &self.modulus);
        let digits = number.to_bytes_be();
        let mut out = vec![0; self.bytes.saturating_sub(digits.len())];
        out.extend(digits);
        out
    }
}

/// The premaster secret's length.
const SECRET: usize = 48;
