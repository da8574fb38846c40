//! What a client gets that sends no server name (RFC 6066 §3).

use crate::probe::trust::certificate::fingerprint;
use crate::sample::Reason;
use serde::{Deserialize, Serialize};

use super::super::client::Client;
use super::super::handshake::{Failure, Handshake, Offer, shake_as};
use super::super::hello::HelloSpec;
use super::super::line::Line;
use super::super::names::Kinds;
use super::super::suites::Breadth;
use super::evidence::{Reception, receive};
use super::{Fact, Known};

/// The answer to a hello without a name.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(in crate::probe::tls) struct Nameless {
    pub(super) accepted: bool,
    /// The alert that refused it.
    pub(super) alert: Option<u8>,
    /// The leaf, where it was shown.
    pub(super) sha256: Option<String>,
    /// Whether a client with the name gets the same; `None` where it was not shown a leaf of that
    /// kind.
    pub(super) same: Option<bool>,
}

/// Asks without a name, in clear where there is a version that shows the certificate so.
pub(super) async fn ask(line: &Line<'_>, known: Known<'_>) -> Fact<Nameless> {
    if known.server_name.is_none() {
        return Err(Reason::NotApplicable.into());
    }
    let Some(version) = known.newest_clear() else { return ask_tls13(line, known).await };
    let named = HelloSpec::new(version, Breadth::Every);
    let spec = HelloSpec { sni: false, ..named.clone() };
    match receive(line, &spec, &named).await {
        Reception::Answered(answer) => {
            Ok(shown(known, answer.certificates.as_deref().and_then(|all| all.first())))
        }
        Reception::Refused(alert) => Ok(Nameless { alert: Some(alert), ..Nameless::default() }),
        Reception::Ignored => Ok(Nameless::default()),
        Reception::Unsure(why) => Err(why),
    }
}

/// Asks again: by one hello, if that is answered as it was before.
pub(super) async fn again(
    line: &Line<'_>,
    known: Known<'_>,
    before: &Fact<Nameless>,
) -> Fact<Nameless> {
    if known.server_name.is_some()
        && let (Some(version), Ok(before)) = (known.newest_clear(), before)
    {
        let spec = HelloSpec { sni: false, ..HelloSpec::new(version, Breadth::Every) };
        let outcome = line.ask(&spec).await;
        let leaf = outcome.answer().and_then(|a| a.certificates.as_ref()?.first());
        let is_same = match outcome.answer() {
            Some(_) => before.accepted && before.sha256 == leaf.map(|leaf| fingerprint(leaf)),
            None => before.alert.is_some() && outcome.alert() == before.alert,
        };
        if is_same {
            return Ok(before.clone());
        }
    }
    ask(line, known).await
}

async fn ask_tls13(line: &Line<'_>, known: Known<'_>) -> Fact<Nameless> {
    let offer = Offer { server_name: None, alpn: known.alpn, kinds: Kinds::Any };
    let handshake = meet(line, &offer).await?;
    let leaf = handshake.served.certificates.first();
    match handshake.failure {
        _ if leaf.is_some() => Ok(shown(known, leaf)),
        None => Ok(shown(known, None)),
        Some(Failure::Refused(alert)) => Ok(Nameless { alert: Some(alert), ..Nameless::default() }),
        Some(failure) => Err(failure.unknown()),
    }
}

async fn meet(line: &Line<'_>, offer: &Offer<'_>) -> Fact<Handshake> {
    let (connection, give_up) = line.open().await.map_err(|outcome| outcome.unknown())?;
    let client = Client::new(offer, &[&rustls::version::TLS13])
        .map_err(|error| crate::sample::Unknown::new(Reason::LocalError, error.to_string()))?;
    Ok(shake_as(&client.into(), connection, give_up, line.read_timeout()).await)
}

fn shown(known: Known<'_>, leaf: Option<&Vec<u8>>) -> Nameless {
    let kind = leaf.and_then(|leaf| Kinds::of(leaf));
    let mut named = known
        .seen
        .chains
        .iter()
        .filter_map(|served| served.certificates.first())
        .filter(|other| kind.is_some() && Kinds::of(other) == kind)
        .peekable();
    let same = named.peek().is_some().then(|| named.any(|other| Some(other) == leaf));
    Nameless { accepted: true, alert: None, sha256: leaf.map(|leaf| fingerprint(leaf)), same }
}
