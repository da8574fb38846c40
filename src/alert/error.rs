//! What can be wrong with a receiver's settings.

use thiserror::Error;

/// Why a receiver cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AlertError {
    /// The HTTP client refused its settings.
    #[error("receiver {receiver}: {reason}")]
    Client {
        /// The receiver.
        receiver: String,
        /// Why.
        reason: String,
    },
}
