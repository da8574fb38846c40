//! A master file (RFC 1035 §5) as BIND reads it: every set of the zone is exact. What lies below a
//! cut is another zone's, and SOA and signatures change by themselves.

use std::collections::BTreeSet;

use super::{Sets, absolute};
use crate::target::Pins;

/// Reads a zone. `$INCLUDE` and `$GENERATE` are refused, so that nothing is left out in silence.
pub(super) fn parse(text: &str) -> Result<Pins, String> {
    let mut reader = Reader { origin: String::new(), owner: None, apex: None, records: Vec::new() };
    let (mut entry, mut depth, mut start) = (Vec::new(), 0_usize, 1);
    for (at, line) in text.lines().enumerate() {
        if depth == 0 {
            (entry, start) = (vec![Word::Blank(line.starts_with([' ', '\t']))], at + 1);
        }
        words(line, &mut entry, &mut depth).map_err(|error| format!("line {}: {error}", at + 1))?;
        if depth == 0 {
            reader.entry(&entry).map_err(|error| format!("line {start}: {error}"))?;
        }
    }
    if depth > 0 {
        return Err(format!("line {start}: a parenthesis is not closed"));
    }
    Ok(reader.pins())
}

#[derive(Clone, Debug, PartialEq)]
enum Word {
    /// Whether the line begins with a blank, so that the last owner holds.
    Blank(bool),
    Plain(String),
    /// In quotes, which it keeps.
    Quoted(String),
}

impl Word {
    fn text(&self) -> &str {
        match self {
            Self::Blank(_) => "",
            Self::Plain(text) | Self::Quoted(text) => text,
        }
    }
}

/// Cuts a line into words, comments and parentheses away.
fn words(line: &str, into: &mut Vec<Word>, depth: &mut usize) -> Result<(), &'static str> {
    let mut rest = line.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            ';' => break,
            '(' => *depth += 1,
            ')' => *depth = depth.checked_sub(1).ok_or("a parenthesis closes nothing")?,
            '"' => {
                let mut text = String::from('"');
                loop {
                    match rest.next().ok_or("a quote is not closed")? {
                        '"' => break,
                        '\\' => text.extend(['\\', rest.next().ok_or("a quote is not closed")?]),
                        other => text.push(other),
                    }
                }
                text.push('"');
                into.push(Word::Quoted(text));
            }
            blank if blank.is_whitespace() => {}
            other => {
                let mut text = String::from(other);
                while let Some(next) = rest.next_if(|c| !c.is_whitespace() && !";()\"".contains(*c))
                {
                    text.push(next);
                }
                into.push(Word::Plain(text));
            }
        }
    }
    Ok(())
}

struct Reader {
    origin: String,
    owner: Option<String>,
    apex: Option<String>,
    records: Vec<(String, String, String)>,
}

impl Reader {
    fn entry(&mut self, words: &[Word]) -> Result<(), String> {
        let [Word::Blank(keeps_owner), words @ ..] = words else { return Ok(()) };
        let Some(first) = words.first() else { return Ok(()) };
        let second = words.get(1).map(Word::text);
        match first.text() {
            "$ORIGIN" => {
                self.origin = absolute(second.ok_or("$ORIGIN needs a name")?, &self.origin);
                return Ok(());
            }
            "$TTL" => return Ok(()),
            directive if directive.starts_with('$') => {
                return Err(format!("{directive} is not read; give the zone without it"));
            }
            _ => {}
        }
        let words = if *keeps_owner {
            words
        } else {
            self.owner = Some(absolute(first.text(), &self.origin));
            &words[1..]
        };
        let owner = self.owner.clone().ok_or("no owner")?;
        let at = words.iter().position(|word| !is_ttl_or_class(word)).ok_or("no type")?;
        let kind = words[at].text().to_ascii_uppercase();
        if kind == "SOA" {
            self.apex.get_or_insert_with(|| owner.clone());
            if self.origin.is_empty() {
                self.origin.clone_from(&owner);
            }
        }
        let value = data(&kind, &words[at + 1..], &self.origin);
        self.records.push((owner, kind, value));
        Ok(())
    }

    fn pins(self) -> Pins {
        let apex = self.apex.unwrap_or(self.origin);
        let cuts: BTreeSet<&String> = self
            .records
            .iter()
            .filter(|(owner, kind, _)| kind == "NS" && !owner.eq_ignore_ascii_case(&apex))
            .map(|(owner, _, _)| owner)
            .collect();
        let is_below = |name: &str| {
            let under = |cut: &str| name.strip_suffix(cut).is_some_and(|rest| rest.ends_with('.'));
            cuts.iter().any(|cut| under(cut))
        };
        let mut sets = Sets::default();
        for (owner, kind, value) in &self.records {
            // Of a cut itself only the DS is this zone's.
            let is_anothers = cuts.contains(owner) && kind != "DS";
            if !is_anothers && !is_below(owner) {
                sets.add(owner, kind, value.clone());
            }
        }
        sets.pins()
    }
}

fn is_ttl_or_class(word: &Word) -> bool {
    let Word::Plain(text) = word else { return false };
    ["IN", "CH", "HS"].iter().any(|class| text.eq_ignore_ascii_case(class))
        || text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_digit() || "smhdwSMHDW".contains(c))
}

/// Record data, its names made absolute.
fn data(kind: &str, words: &[Word], origin: &str) -> String {
    let name = match kind {
        "CNAME" | "NS" | "PTR" => Some(0),
        "MX" => Some(1),
        "SRV" => Some(3),
        _ => None,
    };
    let texts = words.iter().enumerate().map(|(at, word)| match word {
        Word::Plain(text) if name == Some(at) => absolute(text, origin),
        // Character strings are quoted, so that they are joined as strings.
        Word::Plain(text) if kind == "TXT" => format!("\"{text}\""),
        word => word.text().to_owned(),
    });
    texts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{exact, parsed, pin};

    const ZONE: &str = "$ORIGIN example.test.
$TTL 1h
@       IN SOA ns1 hostmaster ( 2026112201 ; serial
                3h 1h 2w 300 )
        NS ns1
        NS ns2.other.test.
        IN 300 MX 10 mail
        300 IN MX 0 .
ns1     A 192.0.2.1
www     3600 CNAME @
txt     TXT \"v=spf1 \" \"a;b -all\" ; a comment
bare    TXT word
_s._tcp SRV 0 5 443 www
@       CAA 0 issue \"ca.test\"
sub     NS ns.sub
sub     DS 1 13 2 AABB
ns.sub  A 192.0.2.9
$ORIGIN deep.example.test.
a       AAAA 2001:db8::1
";

    #[test]
    fn a_zone_is_read_with_its_names_made_absolute() {
        let pins = parsed("zone", ZONE);
        for (name, kind, values) in [
            ("example.test", "NS", &["ns1.example.test", "ns2.other.test"][..]),
            ("example.test", "MX", &["10 mail.example.test", "0 ."]),
            ("ns1.example.test", "A", &["192.0.2.1"]),
            ("www.example.test", "CNAME", &["example.test"]),
            ("txt.example.test", "TXT", &["\"v=spf1 \" \"a;b -all\""]),
            ("bare.example.test", "TXT", &["\"word\""]),
            ("_s._tcp.example.test", "SRV", &["0 5 443 www.example.test"]),
            ("example.test", "CAA", &["0 issue \"ca.test\""]),
            ("sub.example.test", "DS", &["1 13 2 AABB"]),
            ("a.deep.example.test", "AAAA", &["2001:db8::1"]),
        ] {
            assert_eq!(exact(&pins, name, kind), values, "{name} {kind}");
        }
        assert_eq!(pin(&pins, "example.test", "SOA"), None);
        assert_eq!(pin(&pins, "sub.example.test", "NS"), None, "the child's own");
        assert_eq!(pin(&pins, "ns.sub.example.test", "A"), None, "glue");
    }
}
