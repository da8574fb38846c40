//! What is read of a body, while it streams by: a page's markup, or the start of a text. It is never
//! kept beyond that.

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::head::Head;
use super::page::{Page, PageReader};

/// The most bytes of a page that are read.
pub(super) const MAX_PAGE: usize = 512 * 1024;

/// What of a body is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Want {
    /// Nothing.
    Nothing,
    /// What the markup of a final page says.
    Page {
        /// How long it may take.
        until: Instant,
    },
    /// The start of it.
    Start {
        /// How many bytes.
        bytes: usize,
        /// How long it may take.
        until: Instant,
    },
}

/// What was read of a body.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Body {
    /// What its markup says; `None` if it was not read as a page.
    pub(super) page: Option<Page>,
    /// Its start, where that was wanted.
    pub(super) start: Vec<u8>,
    /// Whether that start is all of it.
    pub(super) is_whole: bool,
}

/// Reads what is wanted of a response's body.
pub(super) async fn read(incoming: Incoming, head: &Head, want: Want) -> Body {
    match want {
        Want::Page { until } if is_page(head) => {
            let mut reader = PageReader::default();
            let is_whole = pieces(incoming, MAX_PAGE, until, |piece| reader.read(piece)).await;
            Body { page: Some(reader.finish(is_whole)), ..Body::default() }
        }
        Want::Start { bytes, until } if is_plain(head) => {
            let mut start = Vec::new();
            let take = |piece: &[u8]| start.extend_from_slice(piece);
            let is_whole = pieces(incoming, bytes, until, take).await;
            Body { start, is_whole, ..Body::default() }
        }
        _ => Body::default(),
    }
}

/// Hands over the body piece by piece, `max` bytes at most; whether that was all of it.
async fn pieces(
    mut incoming: Incoming,
    max: usize,
    until: Instant,
    mut take: impl FnMut(&[u8]),
) -> bool {
    let mut left = max;
    loop {
        match timeout_at(until, incoming.frame()).await {
            Ok(None) => return true,
            Ok(Some(Ok(frame))) => {
                let Some(piece) = frame.data_ref() else { continue };
                take(&piece[..piece.len().min(left)]);
                if piece.len() >= left {
                    return false;
                }
                left -= piece.len();
            }
            Ok(Some(Err(_))) | Err(_) => return false,
        }
    }
}

/// A final response of HTML, or of nothing said.
fn is_page(head: &Head) -> bool {
    let media = head.fields.first("content-type").unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let leads_on = matches!(head.status, 301 | 302 | 303 | 307 | 308);
    !leads_on && is_plain(head) && matches!(&*media, "" | "text/html" | "application/xhtml+xml")
}

fn is_plain(head: &Head) -> bool {
    let encoding = head.fields.joined("content-encoding").unwrap_or_default();
    encoding.is_empty() || encoding.eq_ignore_ascii_case("identity")
}
