//! A TLS handshake that takes whatever certificate it is shown.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, Error, InvalidMessage};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::probe::dial::{Connection, of_io};
use crate::probe::tls::{Handshake, collect};
use crate::probe::trust::Witness;
use crate::sample::{Reason, Unknown};

/// A connection after its handshake.
#[derive(Debug)]
pub(super) struct Secured {
    /// The encrypted stream.
    pub(super) stream: TlsStream<Connection>,
    /// Whether `h2` was agreed on.
    pub(super) is_h2: bool,
    /// What the handshake came to, the certificates shown among it.
    pub(super) handshake: Handshake,
}

/// Shakes hands over `connection`, offering `h2` and `http/1.1`, no resumption.
pub(super) async fn secure(
    connection: Connection,
    name: ServerName<'static>,
) -> Result<Secured, Unknown> {
    let witness = Witness::new(|_| true);
    let config = witness
        .client(&[b"h2", b"http/1.1"])
        .map_err(|error| Unknown::new(Reason::LocalError, error.to_string()))?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, connection)
        .await
        .map_err(|error| of_stream(&error))?;
    let (_, session) = stream.get_ref();
    let handshake = collect(session, &witness);
    Ok(Secured { is_h2: handshake.alpn.as_deref() == Some(b"h2"), handshake, stream })
}

/// The reason behind a stream's failure, in the handshake or after it.
pub(super) fn of_stream(error: &std::io::Error) -> Unknown {
    let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            std::io::ErrorKind::FileTooLarge => {
                Unknown::new(Reason::NotObserved, error.to_string())
            }
            _ => of_io(error),
        };
    };
    match inner {
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => Reason::NotTls.into(),
        Error::AlertReceived(alert) => {
            Unknown::new(Reason::TlsError, format!("alert {}", alert_name(*alert)))
        }
        other => Unknown::new(Reason::TlsError, other.to_string()),
    }
}

fn alert_name(alert: AlertDescription) -> String {
    alert.as_str().map_or_else(|| u8::from(alert).to_string(), str::to_owned)
}
