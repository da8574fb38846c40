//! The head of an HTTP/1 response, read from the raw bytes: order, case and repeats of its fields
//! are evidence, and hyper keeps neither order nor case.

use thiserror::Error;

use super::fields::{Fields, is_token_byte};

/// The longest head that is read; interim responses before it count.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// The most field lines that are read.
pub(super) const MAX_FIELDS: usize = 256;

/// A final response's head.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Head {
    /// The status code, 200 to 999.
    pub(super) status: u16,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`.
    pub(super) version: &'static str,
    /// The fields.
    pub(super) fields: Fields,
}

/// Why there is no head to read.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub(super) enum HeadError {
    /// Not HTTP/1.
    #[error("the answer is not HTTP")]
    NotHttp,
    /// More than [`MAX_BYTES`].
    #[error("the head is longer than 64 KiB")]
    TooLong,
    /// More than [`MAX_FIELDS`].
    #[error("the head has more than 256 fields")]
    TooMany,
}

/// Reads the final head at the start of what a peer sent (RFC 9112 §4, §5; lenient as browsers
/// are: a bare LF ends a line, white space before the colon is dropped, a folded line continues
/// the one before, a line that is no field is passed over). `None` until the head is complete.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Head>, HeadError> {
    let incomplete = || if bytes.len() >= MAX_BYTES { Err(HeadError::TooLong) } else { Ok(None) };
    let mut lines = Lines(bytes.get(..MAX_BYTES).unwrap_or(bytes));
    loop {
        let start = lines.0;
        let Some(line) = lines.next() else {
            return if looks_like_http(start) { incomplete() } else { Err(HeadError::NotHttp) };
        };
        if line.is_empty() {
            continue;
        }
        let (version, status) = status_line(line).ok_or(HeadError::NotHttp)?;
        let Some(fields) = fields(&mut lines)? else { return incomplete() };
        if status >= 200 {
            return Ok(Some(Head { status, version, fields }));
        }
    }
}

fn looks_like_http(start: &[u8]) -> bool {
    let known = start.len().min(7);
    b"HTTP/1."[..known] == start[..known]
}

fn status_line(line: &[u8]) -> Option<(&'static str, u16)> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let version = match rest.first()? {
        b'0' => "HTTP/1.0",
        b'1' => "HTTP/1.1",
        _ => return None,
    };
    let rest = rest.get(1..)?.strip_prefix(b" ")?;
    let code = rest.get(..3)?;
    let ends = matches!(rest.get(3), None | Some(b' '));
    let digits = code.iter().all(u8::is_ascii_digit) && code[0] != b'0';
    let status = code.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit.wrapping_sub(b'0')));
    (ends && digits).then_some((version, status))
}

fn fields(lines: &mut Lines<'_>) -> Result<Option<Fields>, HeadError> {
    let mut read: Vec<(&[u8], Vec<u8>)> = Vec::new();
    let mut count = 0;
    for line in lines {
        if line.is_empty() {
            let mut fields = Fields::default();
            read.iter().for_each(|(name, value)| fields.push(name, value));
            return Ok(Some(fields));
        }
        count += 1;
        if count > MAX_FIELDS {
            return Err(HeadError::TooMany);
        }
        if matches!(line[0], b' ' | b'\t') {
            if let Some((_, value)) = read.last_mut() {
                value.push(b' ');
                value.extend_from_slice(line.trim_ascii());
            }
            continue;
        }
        let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
        let name = line[..colon].trim_ascii_end();
        if !name.is_empty() && name.iter().copied().all(is_token_byte) {
            read.push((name, line[colon + 1..].to_vec()));
        }
    }
    Ok(None)
}

/// Complete lines, without what ends them.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|&b| b == b'\n')?;
        let (line, rest) = (&self.0[..end], &self.0[end + 1..]);
        self.0 = rest;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let head = parse(text.as_bytes()).expect("HTTP").expect("complete");
        head.fields.0.into_iter().map(|field| (field.name, field.value)).collect()
    }

    #[test]
    fn order_case_and_repeats_are_kept() {
        let seen = pairs("HTTP/1.1 200 OK\r\nB: 1\r\na:  2 \r\nB:3\r\n\r\nbody: no\r\n\r\n");
        assert_eq!(seen, [("B", "1"), ("a", "2"), ("B", "3")].map(|(n, v)| (n.into(), v.into())));
    }

    #[test]
    fn a_head_is_read_as_browsers_read_it() {
        for (text, fields) in [
            ("HTTP/1.0 200\n\n", 0),
            ("\r\nHTTP/1.1 404 Not Found\r\nA : b\r\n\r\n", 1),
            ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", 1),
            ("HTTP/1.1 200 OK\r\nno colon\r\nb d: x\r\n: y\r\nA: b\r\n\r\n", 1),
            ("HTTP/1.1 103 Early Hints\r\nL: x\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\nC:\r\n\r\n", 2),
        ] {
            assert_eq!(pairs(text).len(), fields, "{text:?}");
        }
        assert_eq!(pairs("HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\n\r\n")[0].1, "b c");
    }

    #[test]
    fn what_is_incomplete_waits_and_what_is_not_http_is_said_so() {
        for text in ["", "HT", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n", "\r\n"] {
            assert_eq!(parse(text.as_bytes()), Ok(None), "{text:?}");
        }
        for text in
            ["<html>", "SSH-2.0-x\r\n", "HTTP/1.1 2000 x\r\n", "HTTP/2 200\r\n", "HTTP/1.1 0a0\r\n"]
        {
            assert_eq!(parse(text.as_bytes()), Err(HeadError::NotHttp), "{text:?}");
        }
    }

    #[test]
    fn a_head_is_bounded_in_fields_and_bytes() {
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MAX_FIELDS + 1));
        assert_eq!(parse(many.as_bytes()), Err(HeadError::TooMany));
        let long = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(MAX_BYTES));
        assert_eq!(parse(long.as_bytes()), Err(HeadError::TooLong));
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(MAX_BYTES / 10);
        assert_eq!(parse(interim.as_bytes()), Err(HeadError::TooLong));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"HTTP/1.1 200 OK\r\n", &*bytes].concat());
        }

        #[test]
        fn what_httparse_reads_is_read_alike(
            lines in proptest::collection::vec("[a-zA-Z-]{1,8}:[ -~]{0,20}", 0..20)
        ) {
            let text = format!("HTTP/1.1 200 OK\r\n{}\r\n",
                lines.iter().map(|line| format!("{line}\r\n")).collect::<String>());
            let mut space = [httparse::EMPTY_HEADER; 32];
            let mut oracle = httparse::Response::new(&mut space);
            prop_assert!(oracle.parse(text.as_bytes()).expect("valid").is_complete());
            let theirs: Vec<_> = oracle.headers.iter()
                .map(|h| (h.name.to_owned(), String::from_utf8_lossy(h.value).trim().to_owned()))
                .collect();
            prop_assert_eq!(pairs(&text), theirs);
        }
    }
}
