//! XMPP's streams (RFC 6120 §5), read no further than an upgrade needs.

use super::{Dialogue, Step, broken};

impl Dialogue {
    /// Features, the request, and what the peer says to it.
    pub(super) fn xmpp(&mut self) -> Step {
        let text = String::from_utf8_lossy(&self.buffer).into_owned();
        if text.contains("<stream:error") {
            return broken("a stream error");
        }
        match self.step {
            0 => self.features(&text),
            _ => self.answer(&text),
        }
    }

    fn features(&mut self, text: &str) -> Step {
        let is_whole = ["</stream:features>", "<stream:features/>", "</features>"];
        if !is_whole.iter().any(|end| text.contains(end)) {
            return Step::More;
        }
        self.buffer.clear();
        match text.contains("<starttls") && text.contains(XMPP_TLS) {
            true => Step::Send(format!("<starttls xmlns='{XMPP_TLS}'/>").into_bytes()),
            false => Step::NotOffered,
        }
    }

    fn answer(&mut self, text: &str) -> Step {
        if text.contains("<failure") {
            return Step::NotOffered;
        }
        let proceed = text.find("<proceed").and_then(|at| Some((at, at + text[at..].find('>')?)));
        let Some((at, end)) = proceed else {
            return match text.contains("</stream:stream") {
                true => broken("the stream was closed"),
                false => Step::More,
            };
        };
        // `<proceed …></proceed>` is one element as well.
        let is_open = !text[at..end].ends_with('/');
        let rest = text[end + 1..].trim_start();
        let rest = match (is_open, rest.strip_prefix("</proceed>")) {
            (false, _) => rest,
            (true, Some(rest)) => rest,
            (true, None) => return Step::More,
        };
        self.buffer = rest.trim().as_bytes().to_vec();
        Step::Ready
    }
}

/// The stream's head.
pub(super) fn stream(namespace: &str, to: &str) -> Vec<u8> {
    let to = to.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;");
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='{namespace}' \
         xmlns:stream='http://etherx.jabber.org/streams' to='{to}' version='1.0'>"
    )
    .into_bytes()
}

const XMPP_TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
