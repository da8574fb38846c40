//! What is asked for: the target's addresses and alias, and whatever is pinned. Pure.

use hickory_proto::rr::{Name, RecordType};
use ipnet::IpNet;

use super::{answer, text};
use crate::sample::{Reason, Unknown};
use crate::target::{Expectation, PinType, Pins};

/// A name and type to ask for.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// The name.
    pub(super) name: Name,
    /// The type.
    pub(super) kind: RecordType,
    /// Networks that it is asked for beside.
    pub(super) subnets: Vec<IpNet>,
}

/// Names and types to ask for, and the pins that nobody asks about, as `NAME TYPE` with the reason.
pub(super) fn wanted(name: &Name, pins: &Pins) -> (Vec<Wanted>, Vec<(String, Unknown)>) {
    let plain = |name: &Name, kind| Wanted { name: name.clone(), kind, subnets: Vec::new() };
    let mut wanted: Vec<Wanted> =
        [RecordType::A, RecordType::AAAA, RecordType::CNAME].map(|kind| plain(name, kind)).into();
    let mut left = Vec::new();
    for (pinned, kind, pin) in records(pins) {
        let mut leave = |why: &str| {
            let owner = pinned.trim_end_matches('.').to_ascii_lowercase();
            let subject = format!("{owner} {}", kind.as_str());
            left.push((subject, Unknown::new(Reason::Budget, why)));
        };
        let (Some(owner), Some(kind)) = (text::name(pinned), answer::record_type(kind.as_str()))
        else {
            leave("no name or type that can be asked for");
            continue;
        };
        // What an alias is held to needs the alias.
        let alias = pin.cname_suffix.as_ref().map(|_| RecordType::CNAME);
        for kind in [kind].into_iter().chain(alias) {
            if wanted.iter().any(|one| one.name == owner && one.kind == kind) {
                continue;
            }
            if wanted.len() >= MAX_WANTED {
                leave(&format!("beyond {MAX_WANTED} names and types"));
                break;
            }
            wanted.push(plain(&owner, kind));
        }
        let nets = pin.subnets.keys().filter_map(|net| net.parse::<IpNet>().ok());
        if let Some(one) = wanted.iter_mut().find(|one| one.name == owner && one.kind == kind) {
            one.subnets.extend(nets.take(MAX_SUBNETS));
            if pin.subnets.len() > MAX_SUBNETS {
                leave(&format!("beyond {MAX_SUBNETS} networks"));
            }
        }
    }
    (wanted, left)
}

/// The pins with each `cname_chain` written out, one alias a hop: who answers for a hop is then
/// asked and named. What pins a hop itself stands.
pub(super) fn by_hop(pins: &Pins) -> Pins {
    let mut all = pins.clone();
    for (name, _, pin) in records(pins) {
        let Some(chain) = &pin.cname_chain else { continue };
        let said = Expectation {
            reason: pin.reason.clone(),
            owner: pin.owner.clone(),
            until: pin.until,
            ..Expectation::default()
        };
        let mut at = name.to_owned();
        for target in chain.iter().take(answer::MAX_CHAIN) {
            let hop = Expectation { exact: Some(vec![target.clone()]), ..said.clone() };
            add(&mut all, &at, hop);
            at.clone_from(target);
        }
        add(&mut all, &at, Expectation { absent: Some(true), ..said });
    }
    all
}

fn add(pins: &mut Pins, name: &str, hop: Expectation) {
    let is_it = |kind: &PinType| kind.as_str().eq_ignore_ascii_case("CNAME");
    let has_own = pins.of(name).any(|(kind, pin)| is_it(kind) && !is_chain_alone(pin));
    if has_own {
        return;
    }
    let bare = name.trim_end_matches('.').to_ascii_lowercase();
    let written =
        pins.0.keys().find(|key| key.trim_end_matches('.').eq_ignore_ascii_case(&bare)).cloned();
    let types = pins.0.entry(written.unwrap_or(bare)).or_default();
    types.retain(|kind, _| !is_it(kind));
    types.insert(PinType::from("CNAME"), hop);
}

/// Whether it says nothing of the name's own alias but by its chain.
fn is_chain_alone(pin: &Expectation) -> bool {
    pin.cname_chain.is_some()
        && pin.exact.is_none()
        && pin.within.is_none()
        && pin.contains.is_none()
        && pin.absent.is_none()
        && pin.cname_suffix.is_none()
}

/// Pins of names; those of addresses and ports are not for dns.
fn records(pins: &Pins) -> impl Iterator<Item = (&str, &PinType, &Expectation)> {
    pins.0
        .iter()
        .filter(|(name, _)| name.parse::<std::net::IpAddr>().is_err())
        .flat_map(|(name, types)| types.iter().map(move |(kind, pin)| (name.as_str(), kind, pin)))
        .filter(|(_, kind, _)| !kind.is_ports())
}

/// Networks that one name and type is asked for.
const MAX_SUBNETS: usize = 16;

/// Names and types asked for in one sample.
const MAX_WANTED: usize = 500;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pins(value: serde_json::Value) -> Pins {
        serde_json::from_value(value).expect("pins")
    }

    #[test]
    fn what_goes_beyond_the_bound_is_named() {
        let names = (0..600).map(|at| (format!("n{at:03}.test"), json!({"A": {"absent": true}})));
        let (wanted, left) = wanted(&text::name("test").expect("a name"), &pins(names.collect()));
        assert_eq!((wanted.len(), left.len()), (MAX_WANTED, 103));
        assert_eq!(left.last().map(|(subject, _)| subject.as_str()), Some("n599.test A"));
        assert!(left.iter().all(|(_, why)| why.reason == Reason::Budget));
    }

    #[test]
    fn a_type_that_nobody_knows_is_named_and_ports_are_not_for_dns() {
        let odd = json!({"a.test": {"BOGUS": {"exact": "x"}, "ports": {"exact": "443"}},
            "192.0.2.1": {"ports": {"exact": "443"}}});
        let (_, left) = wanted(&text::name("test").expect("a name"), &pins(odd));
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].0, "a.test BOGUS");
    }

    #[test]
    fn a_chain_is_one_alias_a_hop_and_ends() {
        let chained = pins(json!({
            "WWW.test.": {"CNAME": {"cname_chain": ["a.cdn.test", "b.cdn.test"], "owner": "web"}},
            "b.cdn.test": {"A": {"exact": "192.0.2.1"}},
        }));
        let all = by_hop(&chained);
        let hop = |name: &str| {
            let (_, pin) = all.of(name).find(|(kind, _)| kind.as_str() == "CNAME").expect(name);
            (pin.exact.clone().unwrap_or_default(), pin.absent, pin.owner.clone())
        };
        let web = Some("web".to_owned());
        assert_eq!(hop("www.test"), (vec!["a.cdn.test".to_owned()], None, web.clone()));
        assert_eq!(hop("a.cdn.test"), (vec!["b.cdn.test".to_owned()], None, web.clone()));
        assert_eq!(hop("b.cdn.test"), (vec![], Some(true), web));
        assert_eq!(all.of("b.cdn.test").count(), 2);
    }
}
