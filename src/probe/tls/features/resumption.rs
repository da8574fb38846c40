//! Whether sessions are taken up again: by a ticket or a number below TLS 1.3, by a pre-shared key
//! in it. It takes a finished handshake to get what a second one comes back with.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::version::TLS12;

use crate::sample::{Reason, Unknown};

use super::super::client::Client;
use super::super::handshake::{Handshake, Offer, shake_as, shake_for_tickets};
use super::super::line::Line;
use super::super::names::Kinds;
use super::super::wire::Version;
use super::{Fact, Known};

/// Comes back to the version of the real handshake, and to TLS 1.2 where that was another.
pub(super) async fn ask(line: &Line<'_>, known: Known<'_>) -> Resumption {
    let (mut answers, mut lifetime) = (BTreeMap::new(), None);
    let real = &known.seen.handshake;
    let newest = real.version.filter(|_| real.failure.is_none());
    if let (Some(version), Some(client)) = (newest, &real.client) {
        answers.insert(version, come_back(line, client, real).await);
    }
    if newest != Some(Version::Tls12) && known.has(Version::Tls12) == Ok(true) {
        let (answer, told) = both(line, known, &TLS12).await;
        answers.insert(Version::Tls12, answer);
        lifetime = told;
    }
    (answers, lifetime)
}

/// By version, and how long a ticket of TLS 1.2 may be used, where that is not what a current client
/// comes to.
pub(super) type Resumption = (BTreeMap<Version, Fact<bool>>, Option<u32>);

/// Comes back to the version of the real handshake alone, by the one connection that this takes.
pub(super) async fn again(line: &Line<'_>, known: Known<'_>) -> Option<(Version, Fact<bool>)> {
    let real = &known.seen.handshake;
    let version = real.version.filter(|_| real.failure.is_none())?;
    Some((version, come_back(line, real.client.as_ref()?, real).await))
}

async fn both(
    line: &Line<'_>,
    known: Known<'_>,
    version: &'static SupportedProtocolVersion,
) -> (Fact<bool>, Option<u32>) {
    match begin(line, known, version).await {
        Err(why) => (Err(why), None),
        Ok((client, first)) => {
            let lifetime = first.tickets.lifetime;
            match &first.failure {
                Some(failure) => (Err(failure.unknown()), None),
                None => (come_back(line, &client, &first).await, lifetime),
            }
        }
    }
}

async fn begin(
    line: &Line<'_>,
    known: Known<'_>,
    version: &'static SupportedProtocolVersion,
) -> Fact<(Arc<Client>, Handshake)> {
    let offer = Offer { server_name: known.server_name, alpn: known.alpn, kinds: Kinds::Any };
    let client = Client::new(&offer, &[version])
        .map_err(|error| Unknown::new(Reason::LocalError, error.to_string()))?;
    let client = Arc::new(client);
    let (connection, give_up) = line.open().await.map_err(|outcome| outcome.unknown())?;
    let patience = line.read_timeout();
    let first = shake_for_tickets(&client, connection, give_up, patience).await;
    Ok((client, first))
}

async fn come_back(line: &Line<'_>, client: &Arc<Client>, first: &Handshake) -> Fact<bool> {
    if first.tickets.count == 0 {
        // Nothing was given to come back with.
        return match first.tickets.is_all {
            true => Ok(false),
            false => Err(Reason::NotObserved.into()),
        };
    }
    let second = meet(line, client).await?;
    match &second.failure {
        Some(failure) => Err(failure.unknown()),
        None => Ok(second.resumed),
    }
}

async fn meet(line: &Line<'_>, client: &Arc<Client>) -> Fact<Handshake> {
    let (connection, give_up) = line.open().await.map_err(|outcome| outcome.unknown())?;
    Ok(shake_as(client, connection, give_up, line.read_timeout()).await)
}
