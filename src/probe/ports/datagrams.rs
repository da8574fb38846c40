//! What a client of each UDP service says first, and what its answer tells. An answer longer than
//! its question is noted, for it can be turned on others.

use std::fmt::Write as _;

use super::identity::Identity;
use super::state::Voice;

/// The first datagram for a port; empty where we know none.
pub(super) fn question(port: u16) -> Vec<u8> {
    match port {
        53 | 5353 => names(port),
        123 => ntp(),
        161 => SNMP.to_vec(),
        389 => CLDAP.to_vec(),
        443 => quic(),
        1900 => SSDP.to_vec(),
        11_211 => b"\0\x01\0\0\0\x01\0\0version\r\n".to_vec(),
        _ => Vec::new(),
    }
}

/// Who answered.
pub(super) fn recognise(port: u16, asked: usize, said: &[u8]) -> Voice {
    let identity = match port {
        53 if is_dns(said) => Identity::new("dns", "none"),
        5353 if is_dns(said) => Identity::new("mdns", "none"),
        123 if said.len() >= 48 && said.first().is_some_and(|first| first & 7 == 4) => {
            Identity::new("ntp", "none")
        }
        // It answers the community that everybody knows.
        161 if said.first() == Some(&0x30) => Identity::new("snmp", "unauthenticated"),
        389 if said.first() == Some(&0x30) => Identity::new("ldap", "none"),
        443 if said.len() >= 7 && said[0] & 0x80 != 0 && said[1..5] == [0; 4] => {
            Identity::new("quic", "none")
        }
        1900 if said.starts_with(b"HTTP/1.1 200") => Identity::new("ssdp", "none"),
        11_211 if said.get(8..).is_some_and(|text| text.starts_with(b"VERSION ")) => {
            Identity::new("memcached", "unauthenticated")
        }
        _ => return Voice::of(port, said),
    };
    let mut voice = Voice::known(&identity, false, said);
    if asked > 0 && said.len() > asked {
        let mut note = String::new();
        let factor = said.len() as f64 / asked as f64;
        // Writing to a string cannot fail.
        let _ = write!(note, "amplification {factor:.1}: ");
        voice.evidence.insert_str(0, &note);
        voice.shorten();
    }
    voice
}

fn is_dns(said: &[u8]) -> bool {
    said.len() >= 12 && said[..2] == NAMES_ID && said[2] & 0x80 != 0
}

/// NS of the root, or the services of the link (RFC 6763 §9); no recursion asked.
fn names(port: u16) -> Vec<u8> {
    let mut query = NAMES_ID.to_vec();
    query.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    match port {
        53 => query.extend([0, 0, 2, 0, 1]),
        _ => {
            for label in ["_services", "_dns-sd", "_udp", "local"] {
                query.push(label.len() as u8);
                query.extend(label.as_bytes());
            }
            query.extend([0, 0, 12, 0, 1]);
        }
    }
    query
}

/// Mode 3, version 4 (RFC 5905 §7.3).
fn ntp() -> Vec<u8> {
    let mut packet = vec![0; 48];
    packet[0] = 0x23;
    packet
}

/// A version that nobody has, in a datagram as long as a first one must be: whoever speaks QUIC
/// answers with those that it has (RFC 9000 §6, §14.1), which is no longer than the question.
fn quic() -> Vec<u8> {
    let mut packet = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8];
    packet.extend(*b"secchi01");
    packet.push(8);
    packet.extend(*b"secchi02");
    packet.resize(1_200, 0);
    packet
}

const NAMES_ID: [u8; 2] = [0x5e, 0xcc];

/// GetRequest of sysDescr.0 with the community `public` (RFC 1157).
const SNMP: &[u8] =
    b"\x30\x29\x02\x01\x00\x04\x06public\xa0\x1c\x02\x04\x5e\xcc\x68\x69\x02\x01\x00\
    \x02\x01\x00\x30\x0e\x30\x0c\x06\x08\x2b\x06\x01\x02\x01\x01\x01\x00\x05\x00";

/// A search for the root DSE's `1.1`, no attribute (RFC 4511 §4.5.1).
const CLDAP: &[u8] =
    b"\x30\x2a\x02\x01\x01\x63\x25\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\
    \x01\x01\x00\x87\x0bobjectClass\x30\x05\x04\x031.1";

const SSDP: &[u8] =
    b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n\
    MX: 1\r\nST: upnp:rootdevice\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_known_and_their_growth_is_noted() {
        let dns = [&NAMES_ID[..], &[0x80; 90]].concat();
        let ntp = [&[0x24][..], &[0; 47]].concat();
        let quic = b"\xc0\0\0\0\0\x08secchi02\x08secchi01\0\0\0\x01";
        for (port, said, service, exposure) in [
            (53, &dns[..], "dns", "none"),
            (5_353, &dns, "mdns", "none"),
            (123, &ntp, "ntp", "none"),
            (161, b"\x30\x30\x02\x01", "snmp", "unauthenticated"),
            (389, b"\x30\x0c\x02\x01\x01", "ldap", "none"),
            (443, quic, "quic", "none"),
            (1_900, b"HTTP/1.1 200 OK\r\n", "ssdp", "none"),
            (11_211, b"\0\x01\0\0\0\x01\0\0VERSION 1.6\r\n", "memcached", "unauthenticated"),
            (9, b"?", "unknown", "none"),
        ] {
            let voice = recognise(port, question(port).len(), said);
            assert_eq!((&*voice.service, voice.exposure), (service, exposure), "{port}");
        }
        let asked = question(53).len();
        assert!(recognise(53, asked, &dns).evidence.starts_with("amplification 5.4: "));
        assert!(!recognise(123, 48, &ntp).evidence.contains("amplification"));
        assert!(recognise(53, 1, &[&NAMES_ID[..], &[0x80; 4_000]].concat()).evidence.len() <= 512);
    }

    #[test]
    fn lengths_inside_the_questions_are_right() {
        assert_eq!(SNMP.len(), usize::from(SNMP[1]) + 2);
        assert_eq!(CLDAP.len(), usize::from(CLDAP[1]) + 2);
        assert_eq!((ntp().len(), quic().len()), (48, 1_200));
        assert_eq!(names(53).len(), 17);
    }
}
