//! Names and octets in presentation form (RFC 1035 §5.1, RFC 4343 §2.1): lower-case names without
//! their last dot, and every octet that could write on a screen as `\DDD`.

use std::fmt::Write;

use hickory_proto::rr::Name;

/// A name as the sample writes it.
pub(super) fn of_name(name: &Name) -> String {
    if name.is_root() {
        return ".".to_owned();
    }
    let mut out = String::with_capacity(64);
    for (at, label) in name.iter().enumerate() {
        if at > 0 {
            out.push('.');
        }
        for octet in label.to_ascii_lowercase() {
            match octet {
                b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                    out.push('\\');
                    out.push(char::from(octet));
                }
                0x21..=0x7e => out.push(char::from(octet)),
                _ => push_decimal(&mut out, octet),
            }
        }
    }
    out
}

/// Octets of a character string, unquoted: printable ASCII and spaces as they are.
pub(super) fn of_octets(octets: impl IntoIterator<Item = u8>) -> String {
    let mut out = String::new();
    for octet in octets {
        match octet {
            b'\\' => out.push_str("\\\\"),
            0x20..=0x7e => out.push(char::from(octet)),
            _ => push_decimal(&mut out, octet),
        }
    }
    out
}

/// Text of another's making, with whatever is not printable ASCII escaped.
pub(super) fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            0x20..=0x7e => out.push(char::from(octet)),
            _ => push_decimal(&mut out, octet),
        }
    }
    out
}

/// Octets in upper-case hexadecimal, as dig writes digests.
pub(super) fn hex(octets: &[u8]) -> String {
    hex::encode_upper(octets)
}

/// Reads a name in presentation form, with or without its last dot, lower-cased.
pub(super) fn name(text: &str) -> Option<Name> {
    if text == "." {
        return Some(Name::root());
    }
    let mut labels: Vec<Vec<u8>> = vec![Vec::new()];
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        match octet {
            b'.' => labels.push(Vec::new()),
            b'\\' => labels.last_mut()?.push(escaped(&mut octets)?),
            octet => labels.last_mut()?.push(octet.to_ascii_lowercase()),
        }
    }
    if labels.last().is_some_and(Vec::is_empty) {
        labels.pop();
    }
    if labels.is_empty() || labels.iter().any(|label| label.is_empty() || label.len() > 63) {
        return None;
    }
    Name::from_labels(labels).ok()
}

fn escaped(octets: &mut std::str::Bytes<'_>) -> Option<u8> {
    let first = octets.next()?;
    if !first.is_ascii_digit() {
        return Some(first.to_ascii_lowercase());
    }
    let digits = [first, octets.next()?, octets.next()?];
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

fn push_decimal(out: &mut String, octet: u8) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\{octet:03}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_lower_case_without_their_last_dot() {
        let parsed = name("WWW.Example.COM.").expect("a name");
        assert_eq!(of_name(&parsed), "www.example.com");
        assert_eq!(of_name(&Name::root()), ".");
        assert_eq!(name("a..b"), None);
        assert_eq!(name(""), None);
    }

    #[test]
    fn a_control_octet_never_reaches_a_screen() {
        let hostile = Name::from_labels([b"a\x1b[31m".as_slice(), b"b.c"]).expect("a name");
        assert_eq!(of_name(&hostile), "a\\027[31m.b\\.c");
        assert_eq!(of_octets(*b"x\x1b]0;\x07\xff\\"), "x\\027]0;\\007\\255\\\\");
        assert_eq!(printable("é\n"), "\\195\\169\\010");
    }

    proptest! {
        #[test]
        fn every_name_reads_back(
            labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 1..6)
        ) {
            let original = Name::from_labels(labels).expect("a name").to_lowercase();
            let written = of_name(&original);
            prop_assert!(written.bytes().all(|b| (0x21..=0x7e).contains(&b)));
            prop_assert_eq!(name(&written), Some(original));
        }
    }
}
