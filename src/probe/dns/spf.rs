//! SPF as receivers work it out (RFC 7208): every include and redirect followed, lookups and void
//! lookups counted against their limits.

use futures_util::future::{BoxFuture, join};
use hickory_proto::rr::{Name, RecordType};
use serde_json::{Value, json};

use super::answer::Answer;
use super::delegate::Walk;
use super::policy::values;
use super::text;
use crate::sample::{Reason, Unknown};

/// What the policy of a name comes to, and what of it could not be established.
pub(super) async fn policy(
    walk: &Walk<'_>,
    name: &Name,
    strings: impl IntoIterator<Item = String>,
) -> (Value, Vec<(&'static str, Unknown)>) {
    let records: Vec<String> = strings.into_iter().filter(|text| is_spf(text)).collect();
    let mut count = Count::default();
    let mut all = String::new();
    match records.as_slice() {
        [record] => {
            let record = read(record);
            all = record.all.map(String::from).unwrap_or_default();
            count.follow(walk, &record, std::slice::from_ref(name)).await;
        }
        [] => {}
        _ => count.err("multiple_records"),
    }
    if count.lookups > MAX_LOOKUPS {
        count.err("too_many_lookups");
    }
    if count.voids > MAX_VOIDS {
        count.err("too_many_void_lookups");
    }
    let policy = json!({
        "records": records.len(), "all": all, "errors": count.errors,
        "lookups": count.lookups, "void_lookups": count.voids,
    });
    // What was counted was counted; what was not is more.
    let unknown = count.unknown.into_iter();
    let paths = unknown.flat_map(|why| [("lookups", why.clone()), ("void_lookups", why)]);
    (policy, paths.collect())
}

#[derive(Debug, Default)]
struct Count {
    lookups: u32,
    voids: u32,
    errors: Vec<&'static str>,
    unknown: Option<Unknown>,
}

/// One record's terms.
#[derive(Debug, Default, PartialEq)]
struct Record {
    terms: Vec<Term>,
    all: Option<char>,
    redirect: Option<String>,
    is_sound: bool,
}

/// A term that costs a lookup.
#[derive(Debug, PartialEq)]
struct Term {
    kind: Kind,
    /// The name it speaks of, the record's own if there is none.
    domain: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    A,
    Exists,
    Include,
    Mx,
    Ptr,
}

impl Count {
    fn err(&mut self, word: &'static str) {
        if !self.errors.contains(&word) {
            self.errors.push(word);
            self.errors.sort_unstable();
        }
    }

    /// Counts what a record costs. `trail`: the names whose records led here, the last is its own.
    fn follow<'a>(
        &'a mut self,
        walk: &'a Walk<'_>,
        record: &'a Record,
        trail: &'a [Name],
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if !record.is_sound {
                self.err("syntax");
            }
            let Some(own) = trail.last() else { return };
            for term in &record.terms {
                self.lookups += 1;
                if self.lookups > MAX_FOLLOWED {
                    return;
                }
                let name = match &term.domain {
                    // Macros depend on the sender.
                    Some(domain) if domain.contains('%') => continue,
                    Some(domain) => match text::name(domain) {
                        Some(name) => name,
                        None => {
                            self.err("syntax");
                            continue;
                        }
                    },
                    None => own.clone(),
                };
                match term.kind {
                    Kind::Include => self.enter(walk, &name, trail).await,
                    Kind::A | Kind::Exists => self.addresses(walk, &name, term.kind).await,
                    Kind::Mx => self.exists(walk, &name, RecordType::MX).await,
                    Kind::Ptr => {}
                }
            }
            // `redirect` is read only where no `all` is (RFC 7208 §6.1).
            let redirect = record.redirect.as_ref().filter(|_| record.all.is_none());
            if let Some(domain) = redirect {
                self.lookups += 1;
                match text::name(domain) {
                    _ if domain.contains('%') => {}
                    Some(name) => self.enter(walk, &name, trail).await,
                    None => self.err("syntax"),
                }
            }
        })
    }

    /// Goes on with the record of another name.
    async fn enter(&mut self, walk: &Walk<'_>, name: &Name, trail: &[Name]) {
        if trail.contains(name) {
            return self.err("loop");
        }
        let strings = match values(walk.lookup(name, RecordType::TXT).await) {
            Ok(Some(strings)) => strings,
            Ok(None) => {
                self.voids += 1;
                return self.err("missing_record");
            }
            Err(why) => return self.unknown = Some(why),
        };
        let records: Vec<&String> = strings.iter().filter(|text| is_spf(text)).collect();
        match records.as_slice() {
            [record] => {
                let trail = [trail, std::slice::from_ref(name)].concat();
                if self.lookups <= MAX_FOLLOWED && trail.len() <= MAX_TRAIL {
                    self.follow(walk, &read(record), &trail).await;
                }
            }
            [] => self.err("missing_record"),
            _ => self.err("multiple_records"),
        }
    }

    async fn exists(&mut self, walk: &Walk<'_>, name: &Name, kind: RecordType) {
        match walk.lookup(name, kind).await.map(|found| found.answer) {
            Ok(Answer::Nodata | Answer::Nxdomain) => self.voids += 1,
            Ok(Answer::Set(_)) => {}
            Ok(Answer::Error(fault)) => self.unknown = Some(fault.unknown()),
            Err(why) => self.unknown = Some(why),
        }
    }

    /// `exists` asks for A whatever the sender's family is (RFC 7208 §5.7).
    async fn addresses(&mut self, walk: &Walk<'_>, name: &Name, kind: Kind) {
        if kind == Kind::Exists {
            return self.exists(walk, name, RecordType::A).await;
        }
        let found =
            join(walk.lookup(name, RecordType::A), walk.lookup(name, RecordType::AAAA)).await;
        let answers = [found.0, found.1].map(|found| found.map(|found| found.answer));
        if answers.iter().any(|answer| matches!(answer, Ok(Answer::Set(_)))) {
            return;
        }
        match answers {
            [Ok(Answer::Nodata | Answer::Nxdomain), Ok(Answer::Nodata | Answer::Nxdomain)] => {
                self.voids += 1;
            }
            _ => self.unknown = Some(Unknown::new(Reason::DnsError, "no answer")),
        }
    }
}

fn is_spf(text: &str) -> bool {
    let mut words = text.splitn(2, ' ');
    words.next().is_some_and(|version| version.eq_ignore_ascii_case("v=spf1"))
}

fn read(text: &str) -> Record {
    let mut record = Record { is_sound: true, ..Record::default() };
    for term in text.split_ascii_whitespace().skip(1) {
        record.is_sound &= record.take(term).is_some();
    }
    record
}

impl Record {
    /// Reads one term; `None` where it is none (RFC 7208 §12).
    fn take(&mut self, term: &str) -> Option<()> {
        let (qualifier, rest) = match term.chars().next()? {
            sign @ ('+' | '-' | '~' | '?') => (sign, &term[1..]),
            _ => ('+', term),
        };
        let end = rest.find([':', '/', '=']).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        let word = word.to_ascii_lowercase();
        if let Some(value) = rest.strip_prefix('=') {
            if word == "redirect" {
                let is_first = self.redirect.replace(value.to_owned()).is_none();
                return (is_first && !value.is_empty()).then_some(());
            }
            // Unknown modifiers are to be ignored.
            let mut letters = word.bytes();
            let starts = letters.next().is_some_and(|letter| letter.is_ascii_alphabetic());
            let goes_on = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            return (starts && letters.all(goes_on)).then_some(());
        }
        if self.all.is_some() && word != "all" {
            // What follows `all` is never looked at.
            return Some(());
        }
        let value = rest.strip_prefix(':');
        let domain = value.map(|value| value.split('/').next().unwrap_or("").to_owned());
        let kind = match (&*word, value) {
            ("all", None) if rest.is_empty() => {
                self.all.get_or_insert(qualifier);
                return Some(());
            }
            ("ip4", Some(net)) => return is_net(net, true).then_some(()),
            ("ip6", Some(net)) => return is_net(net, false).then_some(()),
            ("include", Some(_)) => Kind::Include,
            ("exists", Some(_)) => Kind::Exists,
            ("a", _) => Kind::A,
            ("mx", _) => Kind::Mx,
            ("ptr", _) => Kind::Ptr,
            _ => return None,
        };
        if domain.as_deref() == Some("") {
            return None;
        }
        self.terms.push(Term { kind, domain });
        Some(())
    }
}

fn is_net(written: &str, is_v4: bool) -> bool {
    let (address, length) = written.split_once('/').unwrap_or((written, "0"));
    let most = if is_v4 { 32 } else { 128 };
    address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_ipv4() == is_v4)
        && length.parse::<u8>().is_ok_and(|length| length <= most)
}

/// RFC 7208 §4.6.4.
const MAX_LOOKUPS: u32 = 10;

/// RFC 7208 §4.6.4.
const MAX_VOIDS: u32 = 2;

/// Lookups after which it is clear enough.
const MAX_FOLLOWED: u32 = 40;

/// Records that lead to records.
const MAX_TRAIL: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_by_the_grammar() {
        for (text, lookups, all, is_sound) in [
            ("v=spf1 -all", 0, Some('-'), true),
            ("v=spf1 include:a.test ip4:192.0.2.0/24 ~all", 1, Some('~'), true),
            ("v=spf1 a/24 mx MX:b.test//64 ptr exists:%{i}.c.test ALL", 5, Some('+'), true),
            ("v=spf1 redirect=_spf.a.test exp=why.test x-new=1", 0, None, true),
            ("v=spf1 bogus -all", 0, Some('-'), false),
            ("v=spf1 include: -all", 0, Some('-'), false),
            ("v=spf1 ip4:300.1.1.1 -all", 0, Some('-'), false),
            ("v=spf1 ip6:2001:db8::/32 ?all include:late.test", 0, Some('?'), true),
            ("v=spf1 redirect=a.test redirect=b.test", 0, None, false),
        ] {
            let record = read(text);
            assert_eq!(record.terms.len(), lookups, "{text}");
            assert_eq!((record.all, record.is_sound), (all, is_sound), "{text}");
        }
        assert!(is_spf("V=SPF1 -all") && is_spf("v=spf1") && !is_spf("v=spf10 -all"));
    }
}
