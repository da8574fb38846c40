//! Record data in one canonical presentation form, so that two equal records are two equal strings,
//! and the same form read from what a person pinned.

use hickory_proto::rr::rdata::{CAA, SOA};
use hickory_proto::rr::{RData, RecordType};
use hickory_proto::serialize::binary::BinEncodable;
use siphasher::sip::SipHasher24;

use super::text;

/// A record's data as the sample writes it: names lower-case without last dot, character strings
/// joined and unquoted, digests in upper-case hexadecimal.
pub(super) fn of(data: &RData) -> String {
    bounded(match data {
        RData::A(a) => a.to_string(),
        RData::AAAA(aaaa) => aaaa.to_string(),
        RData::CNAME(name) => text::of_name(&name.0),
        RData::NS(name) => text::of_name(&name.0),
        RData::PTR(name) => text::of_name(&name.0),
        RData::ANAME(name) => text::of_name(&name.0),
        RData::MX(mx) => format!("{} {}", mx.preference, text::of_name(&mx.exchange)),
        RData::SOA(soa) => of_soa(soa),
        RData::SRV(srv) => {
            format!("{} {} {} {}", srv.priority, srv.weight, srv.port, text::of_name(&srv.target))
        }
        RData::TXT(txt) => text::of_octets(txt.txt_data.iter().flatten().copied()),
        RData::CAA(caa) => of_caa(caa),
        RData::TLSA(tlsa) => format!(
            "{} {} {} {}",
            u8::from(tlsa.cert_usage),
            u8::from(tlsa.selector),
            u8::from(tlsa.matching),
            text::hex(&tlsa.cert_data)
        ),
        RData::SSHFP(sshfp) => format!(
            "{} {} {}",
            u8::from(sshfp.algorithm),
            u8::from(sshfp.fingerprint_type),
            text::hex(&sshfp.fingerprint)
        ),
        RData::HTTPS(https) => text::printable(&https.0.to_string()).to_ascii_lowercase(),
        RData::SVCB(svcb) => text::printable(&svcb.to_string()).to_ascii_lowercase(),
        other => of_wire(other),
    })
}

/// The octets of a record's data, with names uncompressed.
pub(super) fn wire(data: &RData) -> Vec<u8> {
    data.to_bytes().unwrap_or_default()
}

/// What a person wrote of a record, in the form of [`of`].
pub(super) fn normal(kind: RecordType, written: &str) -> String {
    let written = written.trim();
    match kind {
        RecordType::A | RecordType::AAAA => written
            .parse::<std::net::IpAddr>()
            .map_or_else(|_| written.to_owned(), |address| address.to_string()),
        RecordType::TXT => text::of_octets(unquoted(written)),
        RecordType::CAA => normal_caa(written),
        RecordType::TLSA | RecordType::SSHFP | RecordType::DS | RecordType::CDS => digest(written),
        RecordType::CNAME
        | RecordType::NS
        | RecordType::PTR
        | RecordType::MX
        | RecordType::SRV
        | RecordType::SOA => written
            .split_whitespace()
            .map(|word| match word {
                "." => ".".to_owned(),
                word => word.trim_end_matches('.').to_ascii_lowercase(),
            })
            .collect::<Vec<_>>()
            .join(" "),
        _ => written.to_owned(),
    }
}

fn of_soa(soa: &SOA) -> String {
    format!(
        "{} {} {} {} {} {} {}",
        text::of_name(&soa.mname),
        text::of_name(&soa.rname),
        soa.serial,
        soa.refresh,
        soa.retry,
        soa.expire,
        soa.minimum
    )
}

fn of_caa(caa: &CAA) -> String {
    let flags = caa.reserved_flags | if caa.issuer_critical { 0x80 } else { 0 };
    let value = text::of_octets(caa.value.iter().copied()).replace('"', "\\\"");
    format!("{flags} {} \"{value}\"", text::printable(&caa.tag).to_ascii_lowercase())
}

/// DS and its kin by their own form, all else by RFC 3597's.
fn of_wire(data: &RData) -> String {
    let octets = wire(data);
    match (data.record_type(), octets.as_slice()) {
        (RecordType::DS | RecordType::CDS, [tag1, tag2, algorithm, kind, digest @ ..]) => {
            let tag = u16::from_be_bytes([*tag1, *tag2]);
            format!("{tag} {algorithm} {kind} {}", text::hex(digest))
        }
        (
            RecordType::DNSKEY | RecordType::CDNSKEY,
            [flags1, flags2, protocol, algorithm, key @ ..],
        ) => {
            use base64::Engine;
            let flags = u16::from_be_bytes([*flags1, *flags2]);
            let key = base64::engine::general_purpose::STANDARD.encode(key);
            format!("{flags} {protocol} {algorithm} {key}")
        }
        (_, octets) => format!("\\# {} {}", octets.len(), text::hex(octets)),
    }
}

fn normal_caa(written: &str) -> String {
    let mut words = written.splitn(3, char::is_whitespace);
    let (Some(flags), Some(tag), Some(value)) = (words.next(), words.next(), words.next()) else {
        return written.to_owned();
    };
    let value = value.trim();
    let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    format!("{flags} {} \"{value}\"", tag.to_ascii_lowercase())
}

/// The leading numbers as they are, the rest one upper-case word.
fn digest(written: &str) -> String {
    let words: Vec<&str> = written.split_whitespace().collect();
    let numbers = words.iter().take_while(|w| w.len() < 6 && w.parse::<u16>().is_ok()).count();
    let (numbers, digest) = words.split_at(numbers.min(3));
    format!("{} {}", numbers.join(" "), digest.concat().to_ascii_uppercase())
}

/// The octets of character strings, quoted (`"a" "b"`) or bare.
fn unquoted(written: &str) -> Vec<u8> {
    if !(written.len() > 1 && written.starts_with('"') && written.ends_with('"')) {
        return written.bytes().collect();
    }
    let (mut out, mut inside, mut octets) = (Vec::new(), false, written.bytes());
    while let Some(octet) = octets.next() {
        match octet {
            b'"' => inside = !inside,
            b'\\' if inside => out.extend(octets.next()),
            octet if inside => out.push(octet),
            _ => {}
        }
    }
    out
}

/// Cuts what is too long for a sample, so that two that differ still do.
fn bounded(mut value: String) -> String {
    if value.len() > MAX_VALUE {
        let digest = SipHasher24::new().hash(value.as_bytes());
        let length = value.len();
        value.truncate(MAX_VALUE); // Every value is ASCII.
        value.push_str(&format!("...({length} characters, {digest:016x})"));
    }
    value
}

/// Characters of one value in a sample; the longest DKIM keys have about 800.
const MAX_VALUE: usize = 4096;

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::{MX, NULL, TXT};

    use super::*;

    #[test]
    fn what_a_person_pins_meets_what_a_server_says() {
        for (kind, written, canonical) in [
            (RecordType::A, " 192.0.2.1", "192.0.2.1"),
            (RecordType::AAAA, "2001:DB8:0::1", "2001:db8::1"),
            (RecordType::MX, "10  Mail.Example.COM.", "10 mail.example.com"),
            (RecordType::MX, "0 .", "0 ."),
            (RecordType::TXT, "\"v=spf1 \" \"-all\"", "v=spf1 -all"),
            (RecordType::TXT, "v=spf1 -all", "v=spf1 -all"),
            (RecordType::CAA, "0 Issue letsencrypt.org", "0 issue \"letsencrypt.org\""),
            (RecordType::CAA, "0 issue \"a; b=c\"", "0 issue \"a; b=c\""),
            (RecordType::DS, "12345 13 2 ab cd", "12345 13 2 ABCD"),
            (RecordType::CNAME, "CDN.example.net.", "cdn.example.net"),
        ] {
            assert_eq!(normal(kind, written), canonical, "{written}");
        }
    }

    #[test]
    fn record_data_has_one_form() {
        let mx = MX::new(10, text::name("Mail.example").expect("a name"));
        assert_eq!(of(&RData::MX(mx)), "10 mail.example");
        let txt = TXT::from_bytes(vec![b"a", b"\x1bb"]);
        assert_eq!(of(&RData::TXT(txt)), "a\\027b");
        let ds = RData::Unknown {
            code: RecordType::DS,
            rdata: NULL::with(vec![0x30, 0x39, 13, 2, 0xab, 0xcd]),
        };
        assert_eq!(of(&ds), "12345 13 2 ABCD");
    }

    #[test]
    fn a_huge_text_is_cut_and_still_tells_itself_from_another() {
        let [one, other] = [b'a', b'b'].map(|last| {
            let mut octets = vec![b'x'; 60_000];
            octets.push(last);
            let strings: Vec<&[u8]> = octets.chunks(255).collect();
            of(&RData::TXT(TXT::from_bytes(strings)))
        });
        assert_ne!(one, other);
        assert!(one.len() < MAX_VALUE + 64);
    }
}
