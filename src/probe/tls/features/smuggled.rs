//! Whether a command that rode in one segment with STARTTLS is carried out inside TLS.

use rustls::version::{TLS12, TLS13};
use tokio::time::timeout_at;

use crate::sample::{Reason, Unknown};

use super::super::client::Client;
use super::super::handshake::Offer;
use super::super::line::{Line, upgrade};
use super::super::names::Kinds;
use super::super::outcome::Outcome;
use super::super::starttls::smuggle::Smuggle;
use super::{Fact, Known};

/// Smuggles a harmless command, says goodbye inside TLS, and looks which of the two is answered
/// first. `None` without STARTTLS.
pub(super) async fn ask(line: &Line<'_>, known: Known<'_>) -> Option<Fact<bool>> {
    let protocol = known.starttls?;
    Some(match Smuggle::of(protocol) {
        Some(smuggle) => try_it(line, known, smuggle, line.dialogue(protocol)).await,
        None => Err(Unknown::new(Reason::NotObserved, "not asked in this protocol")),
    })
}

async fn try_it(
    line: &Line<'_>,
    known: Known<'_>,
    smuggle: Smuggle,
    dialogue: super::super::starttls::Dialogue,
) -> Fact<bool> {
    let offer = Offer { server_name: known.server_name, alpn: &[], kinds: Kinds::Any };
    let client = Client::new(&offer, &[&TLS13, &TLS12])
        .map_err(|error| Unknown::new(Reason::LocalError, error.to_string()))?;
    let (mut connection, give_up) = line.dial().await.map_err(|outcome| outcome.unknown())?;
    let upgraded = timeout_at(give_up, upgrade(&mut connection, dialogue.smuggling(smuggle)));
    match upgraded.await {
        Err(_) => return Err(Reason::Timeout.into()),
        // Two commands at once were turned away, as a server may: nothing was carried out.
        Ok(Err(Outcome::NotUpgraded)) => return Ok(false),
        Ok(Err(outcome)) => return Err(outcome.unknown()),
        // It answered in clear: what came before TLS was not thrown away.
        Ok(Ok(dialogue)) if !dialogue.behind().is_empty() => return Ok(true),
        Ok(Ok(_)) => {}
    }
    let mut session = client
        .begin(connection, give_up)
        .map_err(|error| Unknown::new(Reason::LocalError, error.to_string()))?;
    session.shake().await.map_err(|failure| failure.unknown())?;
    session.say(smuggle.goodbye()).await.map_err(|failure| failure.unknown())?;
    let mut heard = Vec::new();
    while heard.len() < MAX_HEARD {
        let words = session.hear().await.map_err(|failure| failure.unknown())?;
        heard.extend_from_slice(&words);
        if let Some(answer) = smuggle.is_carried_out(&heard, words.is_empty()) {
            return Ok(answer);
        }
        if words.is_empty() {
            return Err(Reason::Reset.into());
        }
    }
    Err(Reason::NotObserved.into())
}

const MAX_HEARD: usize = 16 * 1024;
