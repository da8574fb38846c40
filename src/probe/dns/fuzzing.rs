//! Doors for `fuzz/`.

use hickory_proto::rr::{Name, RecordType};

use super::dnssec::{Delegation, Packet, Proof, Security, judge as judge_proofs};
use super::wire::{Heard, Question, Style, judge, write};
use super::{answer, rdata};

/// A datagram as the answer to one question: what it is taken for, and every record's text, which
/// is printable and reads back as itself.
pub fn dns_message(bytes: &[u8]) {
    let Ok(name) = Name::from_ascii("www.a.test.") else { return };
    let Ok(zone) = Name::from_ascii("a.test.") else { return };
    for kind in [RecordType::A, RecordType::TXT, RecordType::MX] {
        let style = Style { edns: true, mixed_case: false };
        let Some(sent) = write(&Question::of(&name, kind), style, &mut fastrand::Rng::with_seed(1))
        else {
            return;
        };
        // The id is given away, so that the rest is reached.
        let mut octets = bytes.to_vec();
        octets.iter_mut().zip(&sent.octets).take(2).for_each(|(to, from)| *to = *from);
        if let Some(packet) = Packet::read(&octets) {
            let _ = prove(&zone, &name, kind, packet);
        }
        let Heard::Reply { message, .. } = judge(&sent, &octets) else { continue };
        let _ = answer::from_authority(&message, &name, kind, &zone);
        let _ = answer::from_resolver(&message, &name, kind);
        for record in message.answers.iter().chain(&message.authorities) {
            let text = rdata::of(&record.data);
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
}

/// What a packet that signs itself comes to: nothing, for nobody vouches for it.
fn prove(zone: &Name, name: &Name, kind: RecordType, packet: Packet) -> Security {
    let proof =
        |name: &Name, kind, packet| Proof { name: name.clone(), kind, shown: name.clone(), packet };
    let proofs = [proof(zone, RecordType::DNSKEY, packet.clone()), proof(name, kind, packet)];
    let delegation = Delegation::Signed { ds: Vec::new(), anchored: true };
    let state = judge_proofs(zone, &delegation, &proofs, chrono::DateTime::UNIX_EPOCH);
    assert!(state.security != Security::Secure);
    state.security
}
