//! Which autonomous system originates which addresses, by the operator's own file.

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use siphasher::sip::SipHasher24;
use thiserror::Error;

use super::TextFile;

/// Networks and the numbers of the autonomous systems that originate them. The smallest network that
/// holds an address decides.
#[derive(Clone)]
pub struct AsnTable {
    path: PathBuf,
    digest: u64,
    v4: Segments<u32>,
    v6: Segments<u128>,
}

impl AsnTable {
    /// Reads lines of `NETWORK NUMBER`, or of `FIRST LAST NUMBER` and whatever follows (ip2asn), divided
    /// by blanks, tabs or commas. `#` begins a comment; number 0 is a network that nobody originates.
    /// A network that is there twice has both numbers.
    pub fn parse(file: &TextFile) -> Result<Self, AsnTableError> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (at, line) in file.text.lines().enumerate() {
            let text = line.split('#').next().unwrap_or_default().trim();
            if text.is_empty() {
                continue;
            }
            match read(text) {
                Some((IpAddr::V4(first), IpAddr::V4(last), asn)) if first <= last => {
                    v4.push((u32::from(first), u32::from(last), asn));
                }
                Some((IpAddr::V6(first), IpAddr::V6(last), asn)) if first <= last => {
                    v6.push((u128::from(first), u128::from(last), asn));
                }
                _ => {
                    let line = text.chars().take(80).collect();
                    return Err(AsnTableError::Line { at: at + 1, line });
                }
            }
        }
        if v4.is_empty() && v6.is_empty() {
            return Err(AsnTableError::Empty);
        }
        let v4 = Segments::of(v4, |last| last.checked_add(1)).ok_or(AsnTableError::Crossing)?;
        let v6 = Segments::of(v6, |last| last.checked_add(1)).ok_or(AsnTableError::Crossing)?;
        let digest = SipHasher24::new().hash(file.text.as_bytes());
        Ok(Self { path: file.path.clone(), digest, v4, v6 })
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The numbers that originate an address; none where the file knows of none.
    pub fn of(&self, address: IpAddr) -> &[u32] {
        match address {
            IpAddr::V4(address) => self.v4.at(u32::from(address)),
            IpAddr::V6(address) => self.v6.at(u128::from(address)),
        }
    }
}

/// By the file's digest: a reload compares every target's.
impl PartialEq for AsnTable {
    fn eq(&self, other: &Self) -> bool {
        (&self.path, self.digest) == (&other.path, other.digest)
    }
}

impl Eq for AsnTable {}

impl fmt::Debug for AsnTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let segments = self.v4.starts.len() + self.v6.starts.len();
        f.debug_struct("AsnTable").field("path", &self.path).field("segments", &segments).finish()
    }
}

/// The number in `64500` or `AS64500`.
pub fn parse_asn(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// Why a file of networks and numbers could not be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum AsnTableError {
    /// A line has another form.
    #[error("line {at}: `{line}` is neither NETWORK NUMBER nor FIRST LAST NUMBER")]
    Line {
        /// The line's number.
        at: usize,
        /// Its beginning.
        line: String,
    },
    /// Two ranges overlap and neither holds the other.
    #[error("two ranges of it cross")]
    Crossing,
    /// There is nothing in it.
    #[error("it holds no network")]
    Empty,
}

fn read(line: &str) -> Option<(IpAddr, IpAddr, u32)> {
    let mut words = line.split([' ', '\t', ',']).filter(|word| !word.is_empty());
    let (first, second) = (words.next()?, words.next()?);
    match first.parse::<IpNet>() {
        Ok(network) => Some((network.network(), network.broadcast(), parse_asn(second)?)),
        Err(_) => Some((first.parse().ok()?, second.parse().ok()?, parse_asn(words.next()?)?)),
    }
}

/// The numbers of a line of addresses, cut wherever they change: a search finds the place.
#[derive(Clone)]
struct Segments<T> {
    /// Where a segment begins, and its place in `origins`.
    starts: Vec<(T, u32)>,
    /// Sets of numbers; the first is empty.
    origins: Vec<Vec<u32>>,
}

impl<T: Copy + Ord> Segments<T> {
    /// From ranges that lie within each other or apart; `None` where two cross.
    fn of(mut ranges: Vec<(T, T, u32)>, after: impl Fn(T) -> Option<T>) -> Option<Self> {
        ranges.sort_unstable_by_key(|(first, last, asn)| (*first, Reverse(*last), *asn));
        let mut segments = Self { starts: Vec::new(), origins: vec![Vec::new()] };
        let mut places = std::collections::HashMap::new();
        // The ranges that are open, each within the one before it.
        let mut open: Vec<(T, u32)> = Vec::new();
        let mut rest = ranges.into_iter().peekable();
        while let Some((first, last, asn)) = rest.next() {
            let mut origin = vec![asn];
            while let Some((_, _, other)) = rest.next_if(|(f, l, _)| (*f, *l) == (first, last)) {
                origin.push(other);
            }
            origin.retain(|asn| *asn != 0);
            origin.dedup();
            segments.close(&mut open, Some(first), &after);
            if open.last().is_some_and(|(end, _)| *end < last) {
                return None;
            }
            let place = match places.get(&origin) {
                Some(place) => *place,
                None if origin.is_empty() => 0,
                None => {
                    let place = u32::try_from(segments.origins.len()).ok()?;
                    segments.origins.push(origin.clone());
                    places.insert(origin, place);
                    place
                }
            };
            segments.start(first, place);
            open.push((last, place));
        }
        segments.close(&mut open, None, &after);
        segments.starts.shrink_to_fit();
        Some(segments)
    }

    /// Ends what ends before `next`.
    fn close(&mut self, open: &mut Vec<(T, u32)>, next: Option<T>, after: impl Fn(T) -> Option<T>) {
        while let Some((end, _)) = open.pop_if(|(end, _)| next.is_none_or(|next| *end < next)) {
            if let Some(at) = after(end) {
                self.start(at, open.last().map_or(0, |(_, place)| *place));
            }
        }
    }

    fn start(&mut self, at: T, place: u32) {
        match self.starts.last_mut() {
            Some((last, held)) if *last == at => *held = place,
            _ => self.starts.push((at, place)),
        }
    }

    fn at(&self, address: T) -> &[u32] {
        let place = match self.starts.partition_point(|(start, _)| *start <= address) {
            0 => 0,
            after => self.starts.get(after - 1).map_or(0, |(_, place)| *place),
        };
        usize::try_from(place).ok().and_then(|at| self.origins.get(at)).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<AsnTable, AsnTableError> {
        AsnTable::parse(&TextFile { path: "asn".into(), text: text.into() })
    }

    fn of(table: &AsnTable, address: &str) -> Vec<u32> {
        table.of(address.parse().expect("an address")).to_vec()
    }

    #[test]
    fn the_smallest_network_that_holds_an_address_decides() {
        let table = parse(
            "# ours\n192.0.2.0/24 64500\n192.0.2.128/25,AS64501,a name\n192.0.2.192/26\t0\n\
             198.51.100.0\t198.51.100.99\t64502\tDE\tSOMEBODY\n\
             203.0.113.0/24 64503\n203.0.113.0/24 64504\n2001:db8::/32 64505\n\
             2001:db8:ffff:ffff:ffff:ffff:ffff:0/112 64506\n255.255.255.0/24 64507\n",
        )
        .expect("a table");
        for (address, numbers) in [
            ("192.0.1.255", &[][..]),
            ("192.0.2.0", &[64500]),
            ("192.0.2.127", &[64500]),
            ("192.0.2.128", &[64501]),
            ("192.0.2.192", &[]),
            ("192.0.3.0", &[]),
            ("198.51.100.99", &[64502]),
            ("198.51.100.100", &[]),
            ("203.0.113.7", &[64503, 64504]),
            ("255.255.255.255", &[64507]),
            ("2001:db8::1", &[64505]),
            ("2001:db8:ffff:ffff:ffff:ffff:ffff:1", &[64506]),
            ("2001:db9::", &[]),
            ("::", &[]),
        ] {
            assert_eq!(of(&table, address), numbers, "{address}");
        }
    }

    #[test]
    fn what_is_no_table_is_told_with_its_line() {
        let told = |text: &str| parse(text).expect_err(text).to_string();
        assert!(
            told("192.0.2.0/24 64500\n192.0.2.0/24 x\n").starts_with("line 2: `192.0.2.0/24 x`")
        );
        assert!(told("192.0.2.9 192.0.2.1 1\n").starts_with("line 1"));
        assert!(told("192.0.2.9 2001:db8:: 1\n").starts_with("line 1"));
        assert!(told("192.0.2.0/24\n").starts_with("line 1"));
        assert_eq!(
            told("192.0.2.0 192.0.2.9 1\n192.0.2.5 192.0.2.20 2\n"),
            "two ranges of it cross"
        );
        assert_ne!(parse("192.0.2.0/24 1\n"), parse("192.0.2.0/24 2\n"));
        assert_eq!(told("# nothing\n"), "it holds no network");
    }

    #[test]
    fn a_number_is_read_with_and_without_its_letters() {
        assert_eq!((parse_asn("AS64500"), parse_asn("64500")), (Some(64500), Some(64500)));
        assert_eq!((parse_asn("AS"), parse_asn("+1"), parse_asn("4294967296")), (None, None, None));
    }

    proptest! {
        /// By the table and by looking through every network.
        #[test]
        fn the_search_finds_what_looking_through_all_finds(
            networks in prop::collection::vec((any::<u8>(), 24u8..=32, 1u32..5), 1..40),
            last in any::<u8>(),
        ) {
            let networks: Vec<(IpNet, u32)> = networks
                .into_iter()
                .map(|(last, length, asn)| {
                    let address = IpAddr::from([192, 0, 2, last]);
                    (IpNet::new(address, length).expect("a network").trunc(), asn)
                })
                .collect();
            let text: String = networks.iter().map(|(net, asn)| format!("{net} {asn}\n")).collect();
            let address = IpAddr::from([192, 0, 2, last]);
            let holding = networks.iter().filter(|(net, _)| net.contains(&address));
            let longest = holding.clone().map(|(net, _)| net.prefix_len()).max();
            let mut wanted: Vec<u32> = holding
                .filter(|(net, _)| Some(net.prefix_len()) == longest)
                .map(|(_, asn)| *asn)
                .collect();
            wanted.sort_unstable();
            wanted.dedup();
            prop_assert_eq!(parse(&text).expect("a table").of(address).to_vec(), wanted);
        }

        #[test]
        fn no_text_brings_the_reader_down(text in "[0-9a-f./: ,\\n]{0,80}") {
            let _ = parse(&text);
        }
    }
}
