//! A streaming reader of HTML tags (HTML Standard §13.2.5): bytes in, start and end tags out. No
//! tree is built, text is passed over, memory is bounded by one tag.

use std::borrow::Cow;

use memchr::{memchr, memmem};

/// One tag, as it stands in the document: a page has many, and few of them are looked into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag<'a> {
    /// In lower case, of those that mean something to a reader here; else nothing.
    pub(super) name: &'static str,
    /// What follows the name.
    rest: &'a [u8],
    /// Whether it is an end tag.
    pub(super) is_end: bool,
}

impl<'a> Tag<'a> {
    /// An attribute's value with its references decoded; of a repeated one the first.
    pub(super) fn attribute(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut attributes = Attributes(self.rest);
        let found = attributes.find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| decoded(value))
    }
}

/// Reads a document piece by piece.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// What may yet become a tag, a comment or the end of raw text.
    pending: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    Text,
    Comment,
    /// Inside an element whose content is text up to its end tag.
    Raw(&'static str),
}

impl Reader {
    /// Takes the next bytes and hands over every tag that is complete.
    pub(super) fn read(&mut self, bytes: &[u8], mut found: impl FnMut(Tag<'_>)) {
        let mut held = std::mem::take(&mut self.pending);
        let input: &[u8] = match held.is_empty() {
            true => bytes,
            false => {
                held.extend_from_slice(bytes);
                &held
            }
        };
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            match self.step(rest, &mut found) {
                Some(taken) => at += taken,
                None => break,
            }
        }
        let rest = &input[at..];
        // What is longer than any tag of a sound document is text.
        if rest.len() <= MAX_TAG {
            self.pending = rest.to_vec();
        } else {
            self.state = State::Text;
        }
    }

    /// How many bytes were dealt with; `None` if more are needed.
    fn step(&mut self, rest: &[u8], found: &mut impl FnMut(Tag<'_>)) -> Option<usize> {
        match self.state {
            State::Text => {
                let Some(start) = memchr(b'<', rest) else {
                    return Some(rest.len());
                };
                if start > 0 {
                    return Some(start);
                }
                self.markup(rest, found)
            }
            State::Comment => match memmem::find(rest, b"-->") {
                Some(end) => {
                    self.state = State::Text;
                    Some(end + 3)
                }
                None => keep_tail(rest, 2),
            },
            State::Raw(name) => match end_of_raw(rest, name) {
                Some(end) => {
                    self.state = State::Text;
                    Some(end)
                }
                None => keep_tail(rest, name.len() + 2),
            },
        }
    }

    /// Something that begins with `<`.
    fn markup(&mut self, rest: &[u8], found: &mut impl FnMut(Tag<'_>)) -> Option<usize> {
        match rest.get(1)? {
            b'!' if rest.starts_with(b"<!--") => {
                // `<!-->` and `<!--->` are whole.
                let after = &rest[4..];
                if after.starts_with(b">") {
                    return Some(5);
                }
                if after.starts_with(b"->") {
                    return Some(6);
                }
                if after.len() < 2 {
                    return None;
                }
                self.state = State::Comment;
                Some(4)
            }
            b'!' if b"<!--".starts_with(&rest[..rest.len().min(4)]) && rest.len() < 4 => None,
            b'!' | b'?' => rest.iter().position(|&b| b == b'>').map(|end| end + 1),
            b'/' if rest.len() < 3 => None,
            b'/' if !rest[2].is_ascii_alphabetic() => {
                rest.iter().position(|&b| b == b'>').map(|end| end + 1)
            }
            b'/' => self.tag(rest, 2, found),
            first if first.is_ascii_alphabetic() => self.tag(rest, 1, found),
            _ => Some(1),
        }
    }

    fn tag(&mut self, rest: &[u8], start: usize, found: &mut impl FnMut(Tag<'_>)) -> Option<usize> {
        let end = end_of_tag(&rest[start..])? + start;
        let tag = parse(&rest[start..end], start == 2);
        if !tag.is_end
            && let Some(name) = RAW_TEXT.into_iter().find(|raw| *raw == tag.name)
        {
            self.state = State::Raw(name);
        }
        found(tag);
        Some(end + 1)
    }
}

/// Where `</name` begins, followed by what ends a tag's name.
fn end_of_raw(text: &[u8], name: &str) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = memchr(b'<', &text[from..]) {
        let (start, rest) = (from + at, &text[from + at..]);
        let is_end = rest.len() > name.len() + 2
            && rest[1] == b'/'
            && rest[2..2 + name.len()].eq_ignore_ascii_case(name.as_bytes())
            && matches!(rest[2 + name.len()], b'>' | b'/' | b' ' | b'\t' | b'\n' | b'\r' | 0x0c);
        if is_end {
            return Some(start);
        }
        from = start + 1;
    }
    None
}

/// All of it is dealt with but its last bytes, which may be the start of an end.
fn keep_tail(rest: &[u8], tail: usize) -> Option<usize> {
    (rest.len() > tail).then(|| rest.len() - tail)
}

/// Where the `>` stands that ends a tag; those in quoted values do not.
fn end_of_tag(text: &[u8]) -> Option<usize> {
    let (mut quote, mut after_equals) = (None, false);
    for (at, &byte) in text.iter().enumerate() {
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'>') => return Some(at),
            (None, b'"' | b'\'') if after_equals => {
                quote = Some(byte);
                after_equals = false;
            }
            (None, b'=') => after_equals = true,
            (None, byte) if byte.is_ascii_whitespace() => {}
            (None, _) => after_equals = false,
        }
    }
    None
}

fn parse(text: &[u8], is_end: bool) -> Tag<'_> {
    let end = text.iter().position(|&b| b.is_ascii_whitespace() || b == b'/').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    Tag { name: known(name), rest, is_end }
}

fn known(name: &[u8]) -> &'static str {
    let mut lower = [0; LONGEST_NAME];
    let Some(lower) = lower.get_mut(..name.len()) else { return "" };
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    NAMES.into_iter().find(|known| known.as_bytes() == lower).unwrap_or_default()
}

/// Names and values as written.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.0.iter().position(|&b| !b.is_ascii_whitespace() && b != b'/')?;
        let rest = &self.0[start..];
        let length =
            rest.iter().skip(1).position(|&b| b.is_ascii_whitespace() || b == b'/' || b == b'=');
        let (name, after) = rest.split_at(length.map_or(rest.len(), |length| length + 1));
        let skipped = after.iter().position(|&b| !b.is_ascii_whitespace()).unwrap_or(after.len());
        let (value, rest) = match after[skipped..].strip_prefix(b"=") {
            None => (&[][..], after),
            Some(after) => attribute_value(after.trim_ascii_start()),
        };
        self.0 = rest;
        Some((name, value))
    }
}

fn attribute_value(text: &[u8]) -> (&[u8], &[u8]) {
    match text.first() {
        Some(quote @ (b'"' | b'\'')) => {
            let inner = &text[1..];
            let end = inner.iter().position(|b| b == quote).unwrap_or(inner.len());
            (&inner[..end], inner.get(end + 1..).unwrap_or_default())
        }
        _ => {
            let end = text.iter().position(|b| b.is_ascii_whitespace()).unwrap_or(text.len());
            text.split_at(end)
        }
    }
}

/// Character references that stand in attributes of addresses: numbers, and the names of marks.
fn decoded(text: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(text);
    if !text.contains('&') {
        return text;
    }
    let text = &*text;
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match reference(rest) {
            Some((c, length)) => {
                out.push(c);
                rest = &rest[length..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out.into()
}

fn reference(text: &str) -> Option<(char, usize)> {
    if let Some(digits) = text.strip_prefix("&#") {
        let (radix, digits, before) = match digits.strip_prefix(['x', 'X']) {
            Some(digits) => (16, digits, 3),
            None => (10, digits, 2),
        };
        let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
        let code = u32::from_str_radix(digits.get(..end)?, radix).ok()?;
        let has_end = usize::from(digits[end..].starts_with(';'));
        return Some((char::from_u32(code)?, before + end + has_end));
    }
    let (name, c) = NAMED.into_iter().find(|(name, _)| text[1..].starts_with(name))?;
    Some((c, 1 + name.len()))
}

const NAMED: [(&str, char); 14] = [
    ("amp;", '&'),
    ("apos;", '\''),
    ("colon;", ':'),
    ("equals;", '='),
    ("gt;", '>'),
    ("lt;", '<'),
    ("num;", '#'),
    ("period;", '.'),
    ("quest;", '?'),
    ("quot;", '"'),
    ("semi;", ';'),
    ("sol;", '/'),
    ("NewLine;", '\n'),
    ("Tab;", '\t'),
];

/// Elements that load, declare or change what others mean.
const NAMES: [&str; 22] = [
    "audio", "base", "div", "embed", "form", "frame", "iframe", "img", "link", "meta", "noscript",
    "object", "script", "source", "style", "svg", "template", "textarea", "title", "track",
    "video", "xmp",
];

const LONGEST_NAME: usize = 8;

/// Elements whose content holds no tags, whoever reads it.
const RAW_TEXT: [&str; 5] = ["script", "style", "textarea", "title", "xmp"];

const MAX_TAG: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Name, whether it ends, attributes as read.
    type Owned = (String, bool, Vec<(String, String)>);

    fn owned(tag: Tag<'_>) -> Owned {
        let lower = |name: &[u8]| String::from_utf8_lossy(name).to_ascii_lowercase();
        let names = Attributes(tag.rest).map(|(name, _)| lower(name));
        let pair = |name: String| (tag.attribute(&name).map(Cow::into_owned), name);
        let all = names.map(pair).map(|(value, name)| (name, value.unwrap_or_default()));
        (tag.name.to_owned(), tag.is_end, all.collect())
    }

    fn tags(html: &[u8]) -> Vec<Owned> {
        let (mut reader, mut tags) = (Reader::default(), Vec::new());
        reader.read(html, |tag| tags.push(owned(tag)));
        tags
    }

    fn names(html: &str) -> Vec<String> {
        let shown = |(name, is_end, _): Owned| format!("{}{name}", if is_end { "/" } else { "" });
        tags(html.as_bytes()).into_iter().map(shown).collect()
    }

    #[test]
    fn tags_are_found_where_browsers_find_them() {
        for (html, expected) in [
            ("<div>a<img/>b</DIV>", &["div", "img", "/div"][..]),
            ("<!doctype html><!-- <div> --><link>", &["link"]),
            ("<!--><link>", &["link"]),
            ("<!---><link>", &["link"]),
            ("<!-- a --! --><link>", &["link"]),
            ("<script><div></div></script><link>", &["script", "/script", "link"]),
            ("<script></scripty></SCRIPT ><link>", &["script", "/script", "link"]),
            ("<title><link></title>", &["title", "/title"]),
            ("a < b <3 </ x><link>", &["link"]),
            ("<link title='>'><form>", &["link", "form"]),
            ("<link title=\"'>\"><form>", &["link", "form"]),
            ("<link x=1'><form>", &["link", "form"]),
            (
                "<template><script src=x></script></template>",
                &["template", "script", "/script", "/template"],
            ),
            ("<link", &[]),
            ("<?xml ?><link>", &["link"]),
            // What nobody here looks at has no name.
            ("<p></textareas>", &["", "/"]),
        ] {
            assert_eq!(names(html), expected, "{html}");
        }
    }

    #[test]
    fn attributes_are_read_as_browsers_read_them() {
        let html = br#"<Script SRC = "a&amp;b&#x2f;c&copy" src=no async integrity='' x=/y/ z=1>"#;
        let (.., attributes) = &tags(html)[0];
        // A repeated one has the value of the first.
        let expected = [("src", "a&b/c&copy"); 2].into_iter();
        let expected = expected.chain([("async", ""), ("integrity", "")]);
        let expected = expected.chain([("x", "/y/"), ("z", "1")]);
        let expected: Vec<_> = expected.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        assert_eq!(*attributes, expected);
    }

    #[test]
    fn every_element_that_is_looked_for_is_known_by_its_name() {
        for name in NAMES.into_iter().chain(RAW_TEXT) {
            assert_eq!(known(name.to_ascii_uppercase().as_bytes()), name);
        }
    }

    proptest! {
        #[test]
        fn pieces_read_as_the_whole_does(
            html in "(<script src=\"a\">|</script>|<!--|-->|<link b='c>' d>|x|<|>|</title>|<title>|\"|<br/>){0,12}",
            size in 1usize..7,
        ) {
            let (mut reader, mut pieces) = (Reader::default(), Vec::new());
            for piece in html.as_bytes().chunks(size) {
                reader.read(piece, |tag| pieces.push(owned(tag)));
            }
            prop_assert_eq!(pieces, tags(html.as_bytes()));
        }

        #[test]
        fn no_bytes_make_it_panic_or_grow(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut reader = Reader::default();
            for _ in 0..100 {
                reader.read(&bytes, |_| {});
            }
            prop_assert!(reader.pending.len() <= MAX_TAG);
        }
    }
}
