//! Basic auth: bcrypt, off the threads that serve, with the successes remembered.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use tokio::sync::Semaphore;

use super::config::PasswordHash;

/// Checks passwords. bcrypt is slow on purpose, and a scrape comes every few seconds: what was once
/// right is remembered as a keyed digest.
#[derive(Debug)]
pub(super) struct BasicAuth {
    key: Option<hmac::Key>,
    right: Mutex<HashSet<[u8; 32]>>,
    /// Guessing must not take the machine away from sampling.
    turns: Semaphore,
}

impl BasicAuth {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        // Without a key nothing is remembered; slow, but right.
        let key = SystemRandom::new().fill(&mut key).ok().map(|()| key);
        Self {
            key: key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, &key)),
            right: Mutex::default(),
            turns: Semaphore::new(1),
        }
    }

    /// Whether the user has this password. An unknown user takes as long as a known one.
    pub(super) async fn check(
        &self,
        users: &BTreeMap<String, PasswordHash>,
        user: &str,
        password: &[u8],
    ) -> bool {
        let known = users.get(user);
        let hash = known.map_or(NOBODY, PasswordHash::as_str).to_owned();
        let digest = self.key.as_ref().map(|key| digest(key, user, &hash, password));
        if known.is_some() && digest.is_some_and(|digest| self.remembered().contains(&digest)) {
            return true;
        }
        let Ok(_turn) = self.turns.acquire().await else { return false };
        let password = Arc::<[u8]>::from(password);
        let verified = tokio::task::spawn_blocking(move || bcrypt::verify(&*password, &hash));
        let right = matches!(verified.await, Ok(Ok(true))) && known.is_some();
        if right && let Some(digest) = digest {
            let mut remembered = self.remembered();
            if remembered.len() >= REMEMBERED {
                remembered.clear();
            }
            remembered.insert(digest);
        }
        right
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(key: &hmac::Key, user: &str, hash: &str, password: &[u8]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(key);
    for part in [user.as_bytes(), hash.as_bytes(), password] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.sign().as_ref());
    digest
}

/// The hash of nobody's password, for users that do not exist (the toolkit does the same).
const NOBODY: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

const REMEMBERED: usize = 100;
