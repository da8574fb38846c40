//! Certificates that come compressed (RFC 8879). The message is encrypted, so a real client offers
//! the algorithms, and knows none of them: it breaks off where one is used.

use rustls::CertificateCompressionAlgorithm as Algorithm;
use rustls::compress::{CertDecompressor, DecompressionFailed};
use rustls::version::TLS13;

use crate::sample::{Reason, Unknown};

use super::super::client::Client;
use super::super::handshake::{Failure, Offer, shake_as};
use super::super::line::Line;
use super::super::names::Kinds;
use super::super::wire::Version;
use super::{Fact, Known};

/// All at once; where one is used, each alone.
pub(super) async fn ask(line: &Line<'_>, known: Known<'_>) -> Fact<Vec<String>> {
    known.any_of(&[Version::Tls13])?;
    if !is_used(line, known, &ALL).await? {
        return Ok(Vec::new());
    }
    let mut used = Vec::new();
    for (algorithm, name) in ALL.iter().zip(NAMES) {
        if is_used(line, known, &[*algorithm]).await? {
            used.push(name.to_owned());
        }
    }
    Ok(used)
}

/// Asks again: by one handshake, if it shows what was known.
pub(super) async fn again(
    line: &Line<'_>,
    known: Known<'_>,
    before: &Fact<Vec<String>>,
) -> Fact<Vec<String>> {
    known.any_of(&[Version::Tls13])?;
    match before {
        Ok(used) if is_used(line, known, &ALL).await? != used.is_empty() => before.clone(),
        _ => ask(line, known).await,
    }
}

async fn is_used(
    line: &Line<'_>,
    known: Known<'_>,
    offered: &[&'static dyn CertDecompressor],
) -> Fact<bool> {
    let offer = Offer { server_name: known.server_name, alpn: known.alpn, kinds: Kinds::Any };
    let client =
        Client::with(&offer, &[&TLS13], |config| config.cert_decompressors = offered.to_vec());
    let client =
        client.map_err(|error| Unknown::new(Reason::LocalError, error.to_string()))?.into();
    let (connection, give_up) = line.open().await.map_err(|outcome| outcome.unknown())?;
    let handshake = shake_as(&client, connection, give_up, line.read_timeout()).await;
    match handshake.failure {
        // rustls' word for what the unwilling algorithms below bring about.
        Some(Failure::Other(Unknown { reason: Reason::TlsError, detail: Some(how) }))
            if how.contains("CertCompression") =>
        {
            Ok(true)
        }
        _ if !handshake.served.certificates.is_empty() => Ok(false),
        Some(failure) => Err(failure.unknown()),
        None => Err(Reason::NotObserved.into()),
    }
}

/// Offers an algorithm and never unpacks.
#[derive(Debug)]
struct Unwilling(Algorithm);

impl CertDecompressor for Unwilling {
    fn decompress(&self, _: &[u8], _: &mut [u8]) -> Result<(), DecompressionFailed> {
        Err(DecompressionFailed)
    }

    fn algorithm(&self) -> Algorithm {
        self.0
    }
}

const ALL: [&dyn CertDecompressor; 3] =
    [&Unwilling(Algorithm::Zlib), &Unwilling(Algorithm::Brotli), &Unwilling(Algorithm::Zstd)];

/// As RFC 8879 §7.3 registers them.
const NAMES: [&str; 3] = ["zlib", "brotli", "zstd"];
