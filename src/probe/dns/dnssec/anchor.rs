//! Where trust begins: keys or digests of them, by zone.

use std::collections::BTreeMap;

use hickory_proto::rr::Name;

use super::record::{Dnskey, Ds};
use crate::probe::dns::text;

/// What is trusted of each zone.
pub(super) type Anchors = BTreeMap<Name, Trusted>;

/// Trusted keys of one zone.
#[derive(Clone, Debug, Default)]
pub(super) struct Trusted {
    pub(super) ds: Vec<Ds>,
    pub(super) keys: Vec<Dnskey>,
}

impl Trusted {
    /// All of it as digests, for a chain to begin with.
    pub(super) fn digests(&self, zone: &Name) -> Vec<Ds> {
        let keys = self.keys.iter().map(|key| Ds::of(zone, key));
        self.ds.iter().cloned().chain(keys).collect()
    }
}

/// Anchors from a file of DNSKEY or DS records in presentation form, as `dig`, BIND's `trust-anchors`
/// lines and IANA write them; IANA's where there is no file.
pub(super) fn anchors(file: Option<&str>) -> Anchors {
    let mut anchors = Anchors::new();
    for line in records(file.unwrap_or(IANA)) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(at) = words.iter().position(is_kind) else { continue };
        let Some(zone) = words.first().filter(|_| at > 0).and_then(|word| text::name(word)) else {
            continue;
        };
        let trusted = anchors.entry(zone).or_default();
        let (kind, data) = (words[at], &words[at + 1..]);
        if kind.eq_ignore_ascii_case("DS") {
            trusted.ds.extend(ds(data));
        } else {
            trusted.keys.extend(key(data));
        }
    }
    anchors.retain(|_, trusted| !trusted.ds.is_empty() || !trusted.keys.is_empty());
    anchors
}

fn is_kind(word: &&str) -> bool {
    ["DS", "DNSKEY"].iter().any(|kind| word.eq_ignore_ascii_case(kind))
}

/// Records one a line, comments away and parentheses closed.
fn records(text: &str) -> Vec<String> {
    let (mut records, mut record, mut open) = (Vec::new(), String::new(), false);
    for line in text.lines() {
        for character in line.split(';').next().unwrap_or("").chars() {
            match character {
                '(' => open = true,
                ')' => open = false,
                '"' => {}
                other => record.push(other),
            }
        }
        if open {
            record.push(' ');
        } else {
            records.push(std::mem::take(&mut record));
        }
    }
    records.push(record);
    records
}

fn ds(words: &[&str]) -> Option<Ds> {
    let [tag, algorithm, digest_type, digest @ ..] = words else { return None };
    Some(Ds {
        tag: tag.parse().ok()?,
        algorithm: algorithm.parse().ok()?,
        digest_type: digest_type.parse().ok()?,
        digest: hex::decode(digest.concat()).ok()?,
    })
}

fn key(words: &[&str]) -> Option<Dnskey> {
    use base64::Engine;
    let [flags, protocol, algorithm, key @ ..] = words else { return None };
    let mut octets = flags.parse::<u16>().ok()?.to_be_bytes().to_vec();
    octets.extend([protocol.parse::<u8>().ok()?, algorithm.parse::<u8>().ok()?]);
    octets.extend(base64::engine::general_purpose::STANDARD.decode(key.concat()).ok()?);
    Dnskey::read(&octets)
}

/// The root's key signing keys of 2017 and 2024 (<https://data.iana.org/root-anchors/root-anchors.xml>).
const IANA: &str = "
. DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D
. DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_digests_are_read_in_every_spelling() {
        let text = "; a comment\n. 86400 IN DNSKEY 257 3 13 ( AwEA\n  Aaaa ) ; KSK\n\
                    lab. DS 1 13 2 aabb CCDD\nbroken\n. DS x\n";
        let anchors = anchors(Some(text));
        assert_eq!(anchors.len(), 2);
        assert_eq!(anchors[&Name::root()].keys.len(), 1);
        let lab = text::name("lab").expect("a name");
        assert_eq!(anchors[&lab].ds[0].digest, [0xaa, 0xbb, 0xcc, 0xdd]);
    }

    #[test]
    fn the_roots_keys_are_built_in() {
        let anchors = anchors(None);
        assert_eq!(anchors[&Name::root()].ds.len(), 2);
    }
}
