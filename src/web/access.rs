//! Who may do what: tokens, rights, and the decision about one request, pure.

use std::collections::BTreeSet;
use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a token may be good for.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Accept baselines.
    Baseline,
    /// Mark deployments.
    Deploy,
    /// Add exceptions.
    Exception,
    /// Reload the config.
    Reload,
    /// Sample a target now.
    Sample,
}

impl Right {
    fn as_str(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Deploy => "deploy",
            Self::Exception => "exception",
            Self::Reload => "reload",
            Self::Sample => "sample",
        }
    }
}

/// A bearer token. Only its digest is kept.
#[derive(Clone)]
pub struct Token {
    name: String,
    digest: [u8; 32],
    may: BTreeSet<Right>,
}

impl Token {
    /// A token of this name, secret and rights. White space around the secret is not part of it.
    pub fn new(
        name: impl Into<String>,
        secret: &[u8],
        may: impl IntoIterator<Item = Right>,
    ) -> Self {
        let digest = sha256(secret.trim_ascii());
        Self { name: name.into(), digest, may: may.into_iter().collect() }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.name).field("may", &self.may).finish()
    }
}

/// The token whose secret this is. Every token is compared, in constant time.
pub(super) fn find<'t>(tokens: &'t [Token], secret: &[u8]) -> Option<&'t Token> {
    let digest = sha256(secret);
    tokens.iter().fold(None, |found, token| {
        let is_it = verify_slices_are_equal(&digest, &token.digest).is_ok();
        if is_it { Some(token) } else { found }
    })
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// What a route is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    /// Health: answered to anybody.
    Health,
    /// The small metrics: to anybody, unless the web config names users.
    Metrics,
    /// Pages and data.
    Read,
    /// Changes something.
    Write(Right),
}

/// What is known of the one who asks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asker<'t> {
    /// The listener and the asker have loopback addresses.
    pub(super) is_local: bool,
    /// Passed basic auth, or showed a certificate that the web config asks for and verifies.
    pub(super) is_known: bool,
    pub(super) token: Option<&'t Token>,
}

/// How the listener is set up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// The web config names users.
    pub(super) has_users: bool,
    /// Any token is configured.
    pub(super) has_tokens: bool,
    pub(super) allow_unauthenticated: bool,
}

/// Why a request is turned away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Denial {
    /// Nobody known; basic auth would do.
    NeedsUser,
    /// Nobody known; a token would do.
    NeedsToken,
    /// Known, but without this right.
    Lacks(Right),
}

impl Denial {
    pub(super) fn words(self) -> String {
        match self {
            Self::NeedsUser => {
                "credentials are needed: a user of the web config, or a token".into()
            }
            Self::NeedsToken => "a token is needed: Authorization: Bearer …".into(),
            Self::Lacks(right) => {
                format!("the token may not do this; it needs `{}`", right.as_str())
            }
        }
    }
}

/// Whether the request is allowed, and in whose name.
///
/// Without any token configured nothing can be changed, but for a reload over loopback: whoever is
/// on the machine may as well send SIGHUP.
pub(super) fn decide(access: Access, asker: &Asker<'_>, rules: &Rules) -> Result<String, Denial> {
    let named = || asker.token.map_or_else(String::new, |token| token.name.clone());
    let passes = asker.is_known || asker.token.is_some();
    match access {
        Access::Health => Ok(named()),
        _ if rules.has_users && !passes => Err(Denial::NeedsUser),
        Access::Metrics => Ok(named()),
        Access::Read if passes || asker.is_local || rules.allow_unauthenticated => Ok(named()),
        Access::Read if rules.has_users => Err(Denial::NeedsUser),
        Access::Read => Err(Denial::NeedsToken),
        Access::Write(right) => match asker.token {
            Some(token) if token.may.contains(&right) => Ok(token.name.clone()),
            Some(_) => Err(Denial::Lacks(right)),
            None if right == Right::Reload && asker.is_local && !rules.has_tokens => {
                Ok("loopback".to_owned())
            }
            None => Err(Denial::NeedsToken),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_matrix_of_access() {
        let token = Token::new("ci", b"secret\n", [Right::Deploy]);
        let (open, tokens) = (Rules::default(), Rules { has_tokens: true, ..Rules::default() });
        let users = Rules { has_users: true, ..tokens };
        let free = Rules { allow_unauthenticated: true, ..tokens };
        let (far, near) = (Asker::default(), Asker { is_local: true, ..Asker::default() });
        let known = Asker { is_known: true, ..Asker::default() };
        let bearer = Asker { token: Some(&token), ..Asker::default() };
        let (deploy, reload) = (Access::Write(Right::Deploy), Access::Write(Right::Reload));
        for (access, asker, rules, allowed) in [
            (Access::Health, far, users, true),
            (Access::Metrics, far, open, true),
            (Access::Metrics, far, users, false),
            (Access::Metrics, known, users, true),
            (Access::Metrics, bearer, users, true),
            (Access::Read, far, open, false),
            (Access::Read, far, tokens, false),
            (Access::Read, far, free, true),
            (Access::Read, near, open, true),
            (Access::Read, near, users, false),
            (Access::Read, bearer, tokens, true),
            (Access::Read, known, users, true),
            (deploy, near, open, false),
            (deploy, near, tokens, false),
            (deploy, far, free, false),
            (deploy, known, users, false),
            (deploy, bearer, tokens, true),
            (deploy, bearer, users, true),
            (reload, bearer, tokens, false),
            (reload, near, open, true),
            (reload, near, tokens, false),
            (reload, far, open, false),
            (reload, far, free, false),
            (reload, near, users, false),
        ] {
            let decision = decide(access, &asker, &rules);
            assert_eq!(decision.is_ok(), allowed, "{access:?} {asker:?} {rules:?}");
        }
        assert_eq!(decide(deploy, &bearer, &tokens), Ok("ci".to_owned()));
    }

    #[test]
    fn a_token_is_found_by_its_secret_alone_and_never_printed() {
        let tokens = [Token::new("a", b"one", []), Token::new("b", b"two", [])];
        assert_eq!(find(&tokens, b"two").map(|token| token.name.as_str()), Some("b"));
        assert!(find(&tokens, b"").is_none() && find(&tokens, b"tw").is_none());
        assert!(!format!("{tokens:?}").contains("two"));
    }
}
