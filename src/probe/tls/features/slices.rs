//! What else a peer can do, asked again a part at a time: one connection each, beside the real
//! handshake, as long as nothing has changed.

use super::super::line::Line;
use super::{
    Fact, Features, Known, compression, fallback, nameless, resumption, smuggled, tolerance,
};

/// One part. Resuming TLS 1.2 beside a newer version is in none, since it takes two connections;
/// encrypt-then-MAC is not either, since every answer by a CBC suite shows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::probe::tls) enum Slice {
    Compression,
    Fallback,
    Nameless,
    Resumption,
    Smuggled,
    SplitHello,
    Tolerance,
}

impl Slice {
    /// All of them.
    pub(in crate::probe::tls) const ALL: [Self; 7] = [
        Self::Tolerance,
        Self::SplitHello,
        Self::Fallback,
        Self::Nameless,
        Self::Resumption,
        Self::Compression,
        Self::Smuggled,
    ];
}

/// Asks for one part again. What could not be established stays as it was known.
pub(in crate::probe::tls) async fn refresh(
    line: &Line<'_>,
    known: Known<'_>,
    slice: Slice,
    features: &mut Features,
) {
    match slice {
        Slice::Compression => {
            if let Some(before) = &features.certificate_compression {
                let now = compression::again(line, known, before).await;
                renew(&mut features.certificate_compression, now);
            }
        }
        Slice::Fallback => renew(&mut features.fallback_scsv, fallback::ask(line, known).await),
        Slice::Nameless => {
            if let Some(before) = &features.nameless {
                let now = nameless::again(line, known, before).await;
                renew(&mut features.nameless, now);
            }
        }
        Slice::Resumption => {
            if let Some((version, Ok(now))) = resumption::again(line, known).await {
                features.resumption.insert(version, Ok(now));
            }
        }
        Slice::Smuggled => {
            if let Some(now) = smuggled::ask(line, known).await {
                renew(&mut features.smuggled, now);
            }
        }
        Slice::SplitHello | Slice::Tolerance => {
            if let Some(found) = &mut features.intolerances {
                tolerance::again(line, known, found, slice == Slice::SplitHello).await;
            }
        }
    }
    features.spoke_early |= line.spoke_early();
}

fn renew<T>(before: &mut Option<Fact<T>>, now: Fact<T>) {
    if now.is_ok() || !matches!(before, Some(Ok(_))) {
        *before = Some(now);
    }
}
