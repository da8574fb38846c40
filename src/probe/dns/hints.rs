//! Where every walk begins: the root servers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::text;

/// Root servers by name: from a file in named.root form, else IANA's.
pub(super) fn roots(file: Option<&str>) -> BTreeMap<String, Vec<IpAddr>> {
    let mut roots: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for (name, address) in file.map_or_else(built_in, read) {
        let addresses = roots.entry(name).or_default();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    roots
}

/// Every A and AAAA line; the names that the root's NS lines give are those that have one.
fn read(text: &str) -> Vec<(String, IpAddr)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(';').next().unwrap_or("").split_whitespace().collect();
        let [owner, .., kind, data] = words.as_slice() else { continue };
        if !kind.eq_ignore_ascii_case("A") && !kind.eq_ignore_ascii_case("AAAA") {
            continue;
        }
        let (Some(name), Ok(address)) = (text::name(owner), data.parse()) else { continue };
        found.push((text::of_name(&name), address));
    }
    found
}

fn built_in() -> Vec<(String, IpAddr)> {
    IANA.iter()
        .flat_map(|(letter, v4, v6)| {
            let name = format!("{letter}.root-servers.net");
            [v4, v6].map(|address| (name.clone(), address.parse().ok()))
        })
        .filter_map(|(name, address)| Some((name, address?)))
        .collect()
}

/// IANA's root servers (<https://www.iana.org/domains/root/servers>).
const IANA: [(&str, &str, &str); 13] = [
    ("a", "198.41.0.4", "2001:503:ba3e::2:30"),
    ("b", "170.247.170.2", "2801:1b8:10::b"),
    ("c", "192.33.4.12", "2001:500:2::c"),
    ("d", "199.7.91.13", "2001:500:2d::d"),
    ("e", "192.203.230.10", "2001:500:a8::e"),
    ("f", "192.5.5.241", "2001:500:2f::f"),
    ("g", "192.112.36.4", "2001:500:12::d0d"),
    ("h", "198.97.190.53", "2001:500:1::53"),
    ("i", "192.36.148.17", "2001:7fe::53"),
    ("j", "192.58.128.30", "2001:503:c27::2:30"),
    ("k", "193.0.14.129", "2001:7fd::1"),
    ("l", "199.7.83.42", "2001:500:9f::42"),
    ("m", "202.12.27.33", "2001:dc3::35"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirteen_roots_are_built_in() {
        let roots = roots(None);
        assert_eq!(roots.len(), 13);
        assert!(roots.values().all(|addresses| addresses.len() == 2));
    }

    #[test]
    fn named_root_form_is_read_with_or_without_class_and_comments() {
        let file = "; hints\n. 3600000 NS A.ROOT.lab.\nA.ROOT.lab. 3600000 A 127.0.0.1\n\
                    A.ROOT.lab. 3600000 IN AAAA ::1 ; six\nbroken\nb.root.lab. A nonsense\n";
        let roots = roots(Some(file));
        assert_eq!(roots.len(), 1);
        assert_eq!(roots["a.root.lab"].len(), 2);
    }
}
