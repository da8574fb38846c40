//! Whatever a server has and however bad the way to it: the sets come out exact or named as open,
//! and nothing that it has comes out absent.

use proptest::prelude::*;

use super::super::board::Presence;
use super::super::names;
use super::super::suites::{self, Breadth};
use super::super::wire::Version;
use super::simulated::{Server, Way, enumerate};
use super::{Choices, Dimension, Enumeration, Order};

fn nginx() -> Server {
    Server {
        suites: [
            (Version::Tls12, vec![0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8]),
            (Version::Tls13, vec![0x1302, 0x1303, 0x1301]),
        ]
        .into(),
        groups: vec![0x001d, 0x0017, 0x0018],
        schemes: vec![
            0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0303, 0x0301,
        ],
        alpn: vec![b"h2", b"http/1.1"],
        enforces_alpn: true,
        ..Server::default()
    }
}

fn open(_: usize) -> Way {
    Way::Open
}

fn of(enumeration: &Enumeration, version: Version) -> &Choices {
    &enumeration.choices[&version]
}

fn sorted(members: &[u16]) -> Vec<u16> {
    let mut members = members.to_vec();
    members.sort_unstable();
    members
}

#[test]
fn a_current_server_takes_few_questions() {
    let (asked, count) = enumerate(&nginx(), 1, open);
    assert!(count <= 29, "{count} for sets");
    let tls12 = of(&asked, Version::Tls12);
    assert_eq!(tls12.order, Order::Client);
    assert_eq!(sorted(&tls12.suites.found), sorted(&nginx().suites[&Version::Tls12]));
    assert_eq!(tls12.alpn.found, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert!(tls12.alpn.closed && tls12.schemes.is_closed() && tls12.groups.is_closed());
    for version in [Version::Ssl2, Version::Ssl3, Version::Tls10, Version::Tls11] {
        assert_eq!(asked.board.presence(version), Presence::Absent, "{version}");
    }
    let ordered = Server { own_order: true, ..nginx() };
    let (asked, count) = enumerate(&ordered, 1, open);
    assert!(count <= 36, "{count} in order");
    for version in [Version::Tls12, Version::Tls13] {
        assert_eq!(of(&asked, version).suites_in_order(), ordered.suites[&version], "{version}");
        assert_eq!(of(&asked, version).order, Order::Server);
        assert_eq!(of(&asked, version).chacha, Some(false));
    }
    let schemes = asked.schemes13.expect("asked");
    assert!(schemes.lost.is_none());
    assert_eq!(sorted(&schemes.found), [0x0403, 0x0804, 0x0805, 0x0806]);
}

#[test]
fn the_scheme_that_a_real_handshake_was_signed_by_is_not_asked_for() {
    let mut asked = Enumeration::new(&[], 1);
    asked.shown13 = Some(0x0804);
    let mut count = 0;
    while let Some(question) = asked.next() {
        let is_13 = question.spec.ceiling == Version::Tls13;
        assert!(!is_13 || question.spec.schemes != [0x0804], "asked for once more");
        asked.learn(&question, &nginx().answer(&question.spec), true);
        count += 1;
        assert!(count < 100, "no end of questions");
    }
    let schemes = asked.schemes13.expect("asked");
    assert!(schemes.lost.is_none());
    assert_eq!(sorted(&schemes.found), [0x0403, 0x0804, 0x0805, 0x0806]);
}

#[test]
fn a_server_that_lets_chacha_win_is_told_from_one_that_follows_the_client() {
    let server = Server { own_order: true, prefers_chacha: true, ..nginx() };
    let (asked, _) = enumerate(&server, 1, open);
    for version in [Version::Tls12, Version::Tls13] {
        assert_eq!(of(&asked, version).order, Order::Server, "{version}");
        assert_eq!(of(&asked, version).chacha, Some(true), "{version}");
    }
}

#[test]
fn a_hole_between_versions_is_found() {
    let suites = vec![0x002f, 0x0035];
    for (versions, calls) in [
        (vec![Version::Tls10, Version::Tls12], 22),
        (vec![Version::Ssl3], 14),
        (vec![Version::Tls11], 16),
        (vec![Version::Ssl3, Version::Tls11, Version::Tls12], 24),
    ] {
        let server = Server {
            suites: versions.iter().map(|&version| (version, suites.clone())).collect(),
            ..Server::default()
        };
        let (asked, count) = enumerate(&server, 1, open);
        for version in Version::ALL {
            let expected = match versions.contains(&version) {
                true => Presence::Offered,
                false => Presence::Absent,
            };
            assert_eq!(asked.board.presence(version), expected, "{version} of {versions:?}");
        }
        assert!(count <= calls, "{versions:?}: {count}");
    }
}

#[test]
fn limits_on_hellos_are_got_round_and_named() {
    for (server, name) in [
        (Server { most_suites: Some(64), ..nginx() }, "many_suites"),
        (Server { most_suites: Some(120), ..nginx() }, "many_suites"),
        (Server { most_bytes: Some(512), ..nginx() }, "long_hello"),
        (Server { most_bytes: Some(255), ..nginx() }, "long_hello"),
    ] {
        for own_order in [true, false] {
            let server = Server { own_order, ..server.clone() };
            let (asked, count) = enumerate(&server, 3, open);
            let tls12 = of(&asked, Version::Tls12);
            assert_eq!(tls12.intolerance, Some(name), "{server:?}");
            assert!(count < 180, "{count}");
            assert!(tls12.suites.is_closed(), "{name} {own_order}: {:?}", tls12.suites.lost);
            assert!(tls12.groups.is_closed(), "{name} {own_order}: {:?}", tls12.groups);
            assert_exact(&server, &asked);
            if own_order {
                assert_eq!(tls12.suites_in_order(), server.suites[&Version::Tls12]);
            }
        }
    }
}

#[test]
fn a_peer_that_takes_anything_is_not_believed() {
    let (asked, count) = enumerate(&Server { takes_anything: true, ..nginx() }, 1, open);
    assert!(count < 20, "{count}");
    assert!(of(&asked, Version::Tls12).suites.lost.is_some());
    assert!(of(&asked, Version::Tls12).suites.found.is_empty());
}

#[test]
fn a_peer_that_takes_any_group_or_scheme_has_no_set_of_them() {
    for own_order in [false, true] {
        let groups = Server { takes_any_group: true, own_order, ..nginx() };
        let (asked, count) = enumerate(&groups, 1, open);
        assert!(count < 60, "{count}");
        for version in [Version::Tls12, Version::Tls13] {
            let choices = of(&asked, version);
            assert!(choices.groups.lost.is_some() && !choices.groups.is_closed(), "{version}");
            assert!(choices.groups.found.is_empty(), "{:?}", choices.groups.found);
            assert_eq!(sorted(&choices.suites.found), sorted(&groups.suites[&version]));
        }
        let schemes = Server { takes_any_scheme: true, own_order, ..nginx() };
        let (asked, count) = enumerate(&schemes, 1, open);
        assert!(count < 60, "{count}");
        let choices = of(&asked, Version::Tls12);
        assert!(choices.schemes.lost.is_some() && choices.schemes.found.is_empty());
        assert!(choices.suites.is_closed() && choices.groups.is_closed());
        assert!(asked.schemes13.expect("asked").lost.is_some());
    }
}

#[test]
fn a_member_that_another_server_showed_is_named_and_the_set_is_closed_once_asked_again() {
    for own_order in [false, true] {
        let mut other = Server { own_order, ..nginx() };
        other.suites.insert(Version::Tls12, vec![0x009c]);
        let server = Server { own_order, ..nginx() };
        let (mut asked, _) = enumerate(&server, 1, open);
        let spec = of(&asked, Version::Tls12).without_known_suites();
        let shown = other.answer(&spec);
        asked.see(shown.answer().expect("an answer"));
        let mut count = 0;
        while let Some(question) = asked.next() {
            asked.learn(&question, &server.answer(&question.spec), true);
            count += 1;
            assert!(count < 20, "no end of questions");
        }
        let suites = &of(&asked, Version::Tls12).suites;
        assert_eq!((suites.flips.as_slice(), suites.found.len()), (&[0x009c][..], 7));
        assert!(suites.is_closed() && count >= 4, "{count}");
    }
}

#[test]
fn a_server_that_answers_before_it_looks_at_the_schemes_leaves_them_unknown() {
    let (asked, _) = enumerate(&Server { is_blind: true, ..nginx() }, 1, open);
    assert!(asked.schemes13.expect("asked").lost.is_some());
}

#[test]
fn a_mute_server_is_enumerated_whole() {
    for dislikes_empty_shares in [false, true] {
        let server = Server { is_mute: true, dislikes_empty_shares, ..nginx() };
        let (asked, count) = enumerate(&server, 5, open);
        assert!(count < 170, "{count}");
        assert_exact(&server, &asked);
        for version in [Version::Tls12, Version::Tls13] {
            assert!(of(&asked, version).suites.is_closed(), "{version}");
        }
        assert_eq!(asked.board.presence(Version::Tls11), Presence::Absent);
    }
}

#[test]
fn a_server_that_chooses_suites_before_schemes_hides_none() {
    for own_order in [false, true] {
        let server = Server { is_hasty: true, own_order, ..nginx() };
        let (asked, _) = enumerate(&server, 1, open);
        let tls12 = of(&asked, Version::Tls12);
        assert_eq!(sorted(&tls12.schemes.found), sorted(&server.schemes));
        assert!(tls12.schemes.is_closed());
        assert_exact(&server, &asked);
    }
}

#[test]
fn the_curve_of_the_only_certificate_hides_no_group() {
    for own_order in [false, true] {
        let server = Server {
            suites: [(Version::Tls12, vec![0xc02b, 0xc02c])].into(),
            curve: Some(0x0017),
            own_order,
            groups: vec![0x0017, 0x001d, 0x0018, 0x001e],
            ..nginx()
        };
        let (asked, _) = enumerate(&server, 1, open);
        let groups = &of(&asked, Version::Tls12).groups;
        assert!(!groups.is_closed() || groups.found.len() == 4, "{own_order}: {groups:?}");
        assert_eq!(groups.is_closed(), !own_order);
    }
}

#[test]
fn what_is_stopped_is_open_for_the_reason_given() {
    let mut asked = Enumeration::new(&[], 1);
    for _ in 0..5 {
        let question = asked.next().expect("a question");
        let outcome = nginx().answer(&question.spec);
        asked.learn(&question, &outcome, true);
    }
    asked.stop(&crate::sample::Reason::Budget.into());
    assert!(asked.next().is_none());
    assert!(!of(&asked, Version::Tls12).suites.is_closed());
    assert_eq!(
        asked.board.presence(Version::Ssl2),
        Presence::Unknown(crate::sample::Reason::Budget.into())
    );
}

/// The heart: whatever share of connections is dropped or stalls, nothing that is there is absent.
#[test]
fn no_share_of_drops_makes_anything_absent() {
    for round in 0..300_u64 {
        let mut rng = fastrand::Rng::with_seed(round);
        let server = Server {
            own_order: rng.bool(),
            is_mute: rng.bool(),
            suites: [Version::Tls10, Version::Tls11, Version::Tls12, Version::Tls13]
                .into_iter()
                .map(|version| match version {
                    Version::Tls13 => (version, vec![0x1301, 0x1302]),
                    _ => (version, vec![0x002f, 0xc013, 0x0033, 0x0035]),
                })
                .collect(),
            ..nginx()
        };
        let share = f64::from(rng.u8(..=60)) / 100.0;
        let stalls = f64::from(rng.u8(..10)) / 100.0;
        let mut way = fastrand::Rng::with_seed(round + 1_000);
        let (asked, _) = enumerate(&server, round, |_| match way.f64() {
            x if x < share => Way::Drops,
            x if x < share + stalls => Way::Stalls,
            _ => Way::Open,
        });
        assert_nothing_false(&server, &asked, &format!("{share} dropped, round {round}"));
    }
}

#[test]
fn no_pattern_of_drops_makes_anything_absent() {
    let server = Server { is_mute: true, ..nginx() };
    for period in 2..9 {
        for phase in 0..period {
            for seed in 0..12 {
                let (asked, _) = enumerate(&server, seed, |n| match n % period == phase {
                    true => Way::Drops,
                    false => Way::Open,
                });
                assert_nothing_false(&server, &asked, &format!("1 of {period} from {phase}"));
            }
        }
    }
    // As many as it likes, then none for a while: a rate limit.
    for burst in [3, 5, 10, 20, 50] {
        for pause in [1, 5, 10, 40] {
            let (asked, _) = enumerate(&server, 1, |n| match n % (burst + pause) < burst {
                true => Way::Open,
                false => Way::Drops,
            });
            assert_nothing_false(&server, &asked, &format!("{burst}, then {pause} dropped"));
        }
    }
}

/// Sets that are closed hold what the server has, and nothing else.
fn assert_exact(server: &Server, asked: &Enumeration) {
    for (&version, suites) in &server.suites {
        let Some(choices) = asked.choices.get(&version) else { continue };
        if choices.presence != Some(Presence::Offered) {
            continue;
        }
        if choices.suites.is_closed() {
            assert_eq!(sorted(&choices.suites.found), sorted(suites), "{version}: suites");
        }
        let uses_groups =
            version == Version::Tls13 || suites.iter().any(|&s| suites::name(s).contains("ECDHE"));
        if uses_groups && version > Version::Ssl3 && choices.groups.is_closed() {
            let all = names::groups_for(version);
            let legal =
                |group: &u16| all.contains(group) && (version == Version::Tls13 || *group < 0x0100);
            let expected: Vec<u16> = server.groups.iter().copied().filter(legal).collect();
            assert_eq!(sorted(&choices.groups.found), sorted(&expected), "{version}: groups");
        }
    }
}

fn assert_nothing_false(server: &Server, asked: &Enumeration, how: &str) {
    for (&version, suites) in &server.suites {
        assert_ne!(asked.board.presence(version), Presence::Absent, "{version}, {how}");
        let Some(choices) = asked.choices.get(&version) else { continue };
        if choices.presence != Some(Presence::Offered) {
            continue;
        }
        let lacks = |set: &Dimension, members: &[u16]| {
            set.is_closed() && members.iter().any(|member| !set.found.contains(member))
        };
        assert!(!lacks(&choices.suites, suites), "{version} suites, {how}");
        if suites.iter().any(|&s| suites::name(s).contains("ECDHE")) || version == Version::Tls13 {
            assert!(!lacks(&choices.groups, &server.groups), "{version} groups, {how}");
        }
        if version == Version::Tls12 {
            let all = choices.schemes.is_closed() && choices.has_signed();
            let rsa =
                server.schemes.iter().filter(|s| !matches!(**s, 0x0303 | 0x0403 | 0x0503 | 0x0603));
            let missing = rsa.clone().find(|scheme| !choices.schemes.found.contains(scheme));
            assert!(!all || missing.is_none(), "{missing:?}, {how}");
        }
    }
}

fn subset(of: Vec<u16>, most: usize) -> impl Strategy<Value = Vec<u16>> {
    let most = most.min(of.len());
    prop::sample::subsequence(of, 1..=most).prop_shuffle()
}

fn servers() -> impl Strategy<Value = Server> {
    let clear = suites::below_tls13(Breadth::Every)
        .into_iter()
        .filter(|&suite| {
            let name = suites::name(suite);
            ["TLS_RSA_WITH", "ECDHE_RSA", "ECDHE_ECDSA", "_DHE_RSA"]
                .iter()
                .any(|k| name.contains(k))
        })
        .collect::<Vec<_>>();
    let groups = vec![0x001d, 0x0017, 0x0018, 0x0019, 0x001e];
    let schemes = vec![0x0403, 0x0503, 0x0804, 0x0805, 0x0401, 0x0501, 0x0601, 0x0201];
    let versions = prop::sample::subsequence(
        vec![Version::Ssl3, Version::Tls10, Version::Tls11, Version::Tls12, Version::Tls13],
        1..=5,
    );
    (
        (versions, subset(clear, 30), subset(suites::tls13(), 5)),
        (subset(groups, 5), subset(schemes, 8)),
        prop::array::uniform6(any::<bool>()),
    )
        .prop_map(|((versions, clear, tls13), (groups, schemes), flags)| {
            let [
                own_order,
                is_mute,
                enforces_alpn,
                prefers_chacha,
                dislikes_empty_shares,
                is_hasty,
            ] = flags;
            let suites = versions.into_iter().map(|version| match version {
                Version::Tls13 => (version, tls13.clone()),
                _ => (version, clear.clone()),
            });
            // A server without a scheme for its keys has no such suites.
            let schemes = [schemes, vec![0x0401, 0x0403, 0x0804]].concat();
            let schemes = sorted(&schemes).into_iter().collect::<std::collections::BTreeSet<_>>();
            Server {
                suites: suites.collect(),
                groups,
                schemes: schemes.into_iter().collect(),
                alpn: vec![b"http/1.1"],
                enforces_alpn,
                own_order,
                is_mute,
                prefers_chacha,
                dislikes_empty_shares,
                is_hasty,
                ..Server::default()
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn whatever_a_steady_server_has_is_found_whole(server in servers(), seed: u64) {
        let (asked, count) = enumerate(&server, seed, open);
        assert_exact(&server, &asked);
        let accepted: usize = server.suites.values().map(|suites| suites.len() + 14).sum();
        prop_assert!(server.is_mute || count <= accepted + 40, "{count} for {accepted}");
        for (&version, suites) in &server.suites {
            let choices = of(&asked, version);
            prop_assert!(choices.suites.is_closed() || server.is_mute, "{version}");
            if server.own_order && suites.len() > 1 && choices.suites.is_closed() {
                prop_assert_eq!(choices.suites_in_order(), suites.clone());
                prop_assert_eq!(choices.order, Order::Server);
            }
        }
        for version in Version::ALL {
            if !server.suites.contains_key(&version) {
                prop_assert_ne!(asked.board.presence(version), Presence::Offered);
                prop_assert!(server.is_mute || asked.board.presence(version) == Presence::Absent);
            }
        }
    }

    #[test]
    fn a_bad_way_never_makes_a_set_smaller(
        server in servers(), seed: u64, share in 0.0..0.7, stalls in 0.0..0.2,
    ) {
        let mut way = fastrand::Rng::with_seed(seed);
        let (asked, _) = enumerate(&server, seed ^ 1, |_| match way.f64() {
            x if x < share => Way::Drops,
            x if x < share + stalls => Way::Stalls,
            _ => Way::Open,
        });
        assert_exact(&server, &asked);
        for version in server.suites.keys() {
            prop_assert_ne!(asked.board.presence(*version), Presence::Absent);
        }
    }
}
