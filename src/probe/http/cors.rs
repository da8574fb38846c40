//! Cross-origin resource sharing (Fetch §3.3): which other origins may read what the user may.

use serde::Serialize;

use super::extras::{Asked, Extra};
use super::fields::Fields;

/// What one origin was told, asking in one way.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Sharing {
    /// `foreign`, `null`, `substring` or `plain_http`.
    pub(super) origin: &'static str,
    /// `GET`, or `OPTIONS` for a preflight.
    pub(super) method: &'static str,
    /// `none`, `star`, `origin` (that origin is named), or `other`.
    pub(super) allows: &'static str,
    /// Whether requests with the user's credentials are allowed.
    pub(super) credentials: bool,
    /// Whether a page of that origin may read what the user's credentials open.
    pub(super) readable: bool,
}

/// What each origin was told that got an answer.
pub(super) fn read(asked: &[Asked]) -> Vec<Sharing> {
    let told = asked.iter().filter_map(|one| {
        let Extra::Cors(method, origin) = one.extra else { return None };
        let answer = one.answer.as_ref().ok()?;
        super::usable::judge(answer).ok()?;
        let (allows, credentials) = told(&answer.head.fields, &one.origin);
        Some(Sharing {
            origin: origin.as_str(),
            method: method.as_str(),
            allows,
            credentials,
            readable: allows == "origin" && credentials,
        })
    });
    told.collect()
}

/// Browsers compare the field's value with their origin byte by byte; with credentials `*` is no
/// value, and only `true` is true.
fn told(fields: &Fields, origin: &str) -> (&'static str, bool) {
    let allows = match fields.joined("access-control-allow-origin").as_deref() {
        None => "none",
        Some("*") => "star",
        Some(value) if value == origin => "origin",
        Some(_) => "other",
    };
    let credentials = fields.joined("access-control-allow-credentials");
    (allows, credentials.as_deref() == Some("true"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::http::exchange::Answer;
    use crate::probe::http::extras::{CorsMethod, Origin};

    #[test]
    fn only_a_named_origin_with_credentials_may_read() {
        let origin = Origin::Foreign.of("a.example");
        for (allowed, credentials, allows, readable) in [
            (None, None, "none", false),
            (Some("*"), Some("true"), "star", false),
            (Some(&*origin), Some("true"), "origin", true),
            (Some(&*origin), Some("True"), "origin", false),
            (Some(&*origin), None, "origin", false),
            (Some("https://b.example"), Some("true"), "other", false),
        ] {
            let mut pairs = Vec::new();
            pairs.extend(allowed.map(|value| ("Access-Control-Allow-Origin", value)));
            pairs.extend(credentials.map(|value| ("Access-Control-Allow-Credentials", value)));
            let asked = Asked {
                extra: Extra::Cors(CorsMethod::Get, Origin::Foreign),
                origin: origin.clone(),
                answer: Ok(Answer::of(200, &pairs, "")),
            };
            let read = &read(&[asked])[0];
            assert_eq!((read.allows, read.readable), (allows, readable), "{pairs:?}");
        }
    }
}
