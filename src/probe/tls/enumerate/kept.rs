//! An enumeration's knowledge as plain data, to be remembered between runs. What was not settled is
//! not kept, so that the next run asks for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::board::{Board, Presence};
use super::super::wire::Version;
use super::Enumeration;
use super::choices::{Aim, Choices, Order};
use super::dimension::Dimension;
use super::schemes13::Schemes13;
use super::shape::Shape;

/// What is kept.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(in crate::probe::tls) struct Kept {
    /// By the version's number: whether it is offered.
    versions: BTreeMap<u16, bool>,
    choices: BTreeMap<u16, Sets>,
    schemes13: Option<Vec<u16>>,
    intolerances: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Sets {
    suites: Set,
    groups: Set,
    ffdhe: Set,
    schemes: Set,
    alpn: Vec<Vec<u8>>,
    alpn_closed: bool,
    server_order: Option<bool>,
    chacha: Option<bool>,
    ranked: Vec<u16>,
    small: bool,
    intolerance: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
struct Set {
    found: Vec<u16>,
    closed: bool,
}

impl Set {
    fn of(set: &Dimension) -> Self {
        Self { found: set.found.clone(), closed: set.is_closed() }
    }

    fn into(self, mut set: Dimension) -> Dimension {
        for member in self.found {
            set.find(member);
        }
        if self.closed {
            set.exclude(set.remaining());
        }
        set
    }
}

impl Kept {
    /// What is worth keeping of an enumeration and the versions it came to.
    pub(in crate::probe::tls) fn of(asked: &Enumeration, board: &Board) -> Self {
        let versions = Version::ALL.into_iter().filter(|&v| !board.is_contradicted(v));
        let versions = versions.filter_map(|version| match board.presence(version) {
            Presence::Offered => Some((version.code(), true)),
            Presence::Absent => Some((version.code(), false)),
            Presence::Unknown(_) => None,
        });
        let choices = asked
            .choices
            .iter()
            .filter(|(_, choices)| choices.presence == Some(Presence::Offered))
            .map(|(version, choices)| (version.code(), Sets::of(choices)));
        let schemes13 = asked.schemes13.as_ref().filter(|s| s.is_done() && s.lost.is_none());
        Self {
            versions: versions.collect(),
            choices: choices.collect(),
            schemes13: schemes13.map(|schemes| schemes.found.clone()),
            intolerances: asked.intolerances.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    /// The enumeration that goes on from here.
    pub(in crate::probe::tls) fn restore(self, alpn: &[&[u8]], seed: u64) -> Enumeration {
        let mut asked = Enumeration::new(alpn, seed);
        for (code, is_offered) in self.versions {
            let Some(version) = Version::from_code(code) else { continue };
            let presence = if is_offered { Presence::Offered } else { Presence::Absent };
            asked.board.state(version, presence.clone());
            asked.ssl2_asked |= version == Version::Ssl2;
            if !is_offered && version != Version::Ssl2 {
                let absent =
                    Choices { presence: Some(presence), ..Choices::new(version, Shape::Full, &[]) };
                asked.choices.insert(version, absent);
            }
        }
        for (code, sets) in self.choices {
            let Some(version) = Version::from_code(code) else { continue };
            let alpn: Vec<Vec<u8>> = match version {
                Version::Tls12 => alpn.iter().map(|protocol| protocol.to_vec()).collect(),
                _ => Vec::new(),
            };
            let choices = sets.restore(Choices::new(version, Shape::Full, &alpn));
            if asked.control.is_none() {
                asked.control.clone_from(&choices.control);
                asked.known_shape = Some(choices.shape);
            }
            asked.choices.insert(version, choices);
        }
        asked.schemes13 = self.schemes13.map(Schemes13::settled);
        asked.intolerances = ["tls13_hello"]
            .into_iter()
            .filter(|name| self.intolerances.iter().any(|kept| kept == name))
            .collect();
        asked
    }
}

impl Sets {
    fn of(choices: &Choices) -> Self {
        Self {
            suites: Set::of(&choices.suites),
            groups: Set::of(&choices.groups),
            ffdhe: Set::of(&choices.ffdhe),
            schemes: Set::of(&choices.schemes),
            alpn: choices.alpn.found.clone(),
            alpn_closed: choices.alpn.closed,
            server_order: match choices.order {
                Order::Server => Some(true),
                Order::Client => Some(false),
                Order::Untested | Order::Unclear => None,
            },
            chacha: choices.chacha,
            ranked: choices.suites_in_order(),
            small: choices.shape.is_small(),
            intolerance: choices.intolerance.map(str::to_owned),
        }
    }

    fn restore(self, fresh: Choices) -> Choices {
        let shape = if self.small { Shape::Small } else { fresh.shape };
        let intolerance = ["many_suites", "long_hello"]
            .into_iter()
            .find(|name| self.intolerance.as_deref() == Some(*name));
        // A peer that bears no full hello is asked in the smallest shape.
        let shape = if intolerance.is_some() { Shape::Small } else { shape };
        let order = match self.server_order {
            Some(true) => Order::Server,
            Some(false) => Order::Client,
            None => Order::Unclear,
        };
        let mut choices = Choices {
            shape,
            presence: Some(Presence::Offered),
            suites: self.suites.into(fresh.suites),
            groups: self.groups.into(fresh.groups),
            ffdhe: self.ffdhe.into(fresh.ffdhe),
            schemes: self.schemes.into(fresh.schemes),
            chacha: self.chacha,
            order,
            intolerance,
            ..fresh
        };
        choices.resume(self.ranked, self.alpn, self.alpn_closed);
        choices.control = Some(choices.spec(Aim::Whole));
        choices
    }
}
