//! Hellos that watch an endpoint which is known: each offers all that it is not known to have of one
//! set, or one known member of each set. And what has to be asked anew where one of them is not
//! answered as expected.

use super::super::board::{Board, Presence};
use super::super::hello::{HelloSpec, Shares};
use super::super::names;
use super::super::outcome::Answer;
use super::super::shares;
use super::super::suites;
use super::super::wire::Version;
use super::Enumeration;
use super::choices::{Aim, Choices, Order, Signer, chacha_last, is_chacha, signer};

/// Known members, at most one of each set, that one hello asks for together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::probe::tls) struct Row {
    pub(in crate::probe::tls) version: Version,
    suite: Option<u16>,
    group: Option<u16>,
    scheme: Option<u16>,
}

impl Row {
    /// The members one by one, where there are several.
    pub(in crate::probe::tls) fn apart(self) -> Vec<Self> {
        let none = Self { suite: None, group: None, scheme: None, ..self };
        let all = [
            self.suite.map(|suite| Self { suite: Some(suite), ..none }),
            self.group.map(|group| Self { group: Some(group), ..none }),
            self.scheme.map(|scheme| Self { scheme: Some(scheme), ..none }),
        ];
        all.into_iter().flatten().collect()
    }

    fn paths(self) -> impl Iterator<Item = String> {
        let Self { version, suite, group, scheme } = self;
        let suite = suite.map(|suite| format!("cipher_suites[{version}][{}]", suites::name(suite)));
        let group = group.map(|group| format!("groups[{version}][{}]", names::group(group)));
        let scheme =
            scheme.map(|scheme| format!("signature_schemes[{version}][{}]", names::scheme(scheme)));
        [suite, group, scheme].into_iter().flatten()
    }
}

/// The facts that an answer shows, by their paths. `spec` is the hello that it answers: what
/// TLS 1.3 was signed by is encrypted, but it was one of those on offer.
pub(in crate::probe::tls) fn shown(spec: &HelloSpec, answer: &Answer) -> Vec<String> {
    let version = answer.version;
    let is_13 = version == Version::Tls13;
    let is_retry = answer.hello.as_ref().is_none_or(|hello| hello.is_retry);
    let scheme = match spec.schemes.as_slice() {
        [only] if is_13 && !is_retry => Some(*only),
        _ => answer.key_exchange.scheme,
    };
    let row = Row { version, suite: answer.suite(), group: answer.group(), scheme };
    [format!("versions[{version}]")].into_iter().chain(row.paths()).collect()
}

impl Enumeration {
    /// The facts known of versions and their sets that a hello can confirm, by their paths.
    pub(in crate::probe::tls) fn known_paths(&self, board: &Board) -> Vec<String> {
        let told = Version::ALL
            .into_iter()
            .filter(|&version| !matches!(board.presence(version), Presence::Unknown(_)));
        let versions = told.map(|version| format!("versions[{version}]"));
        versions.chain(self.rows(false).into_iter().flat_map(Row::paths)).collect()
    }

    /// Every known member: as many together as one hello can ask for, or each by itself.
    pub(in crate::probe::tls) fn rows(&self, together: bool) -> Vec<Row> {
        let mut rows = Vec::new();
        for (&version, choices) in self.choices.iter().filter(|(_, c)| c.is_offered()) {
            let takes_groups = version > Version::Ssl3 && choices.has_rsa_groups();
            let mut groups_left = takes_groups;
            for kind in [Some(Signer::Rsa), Some(Signer::Ecdsa), Some(Signer::Dss), None] {
                let is_13 = version == Version::Tls13;
                let own = |suite: u16| is_13 && kind.is_none() || !is_13 && signer(suite) == kind;
                let suites = choices.found(own);
                let carries = suites.iter().any(|&suite| choices.carries_groups(suite));
                // Groups go with the first kind that takes them.
                let groups = match groups_left && carries {
                    true => choices.groups.found.clone(),
                    false => Vec::new(),
                };
                groups_left &= groups.is_empty();
                let schemes =
                    if suites.is_empty() { Vec::new() } else { self.schemes(version, kind) };
                let columns = [suites, groups, schemes];
                rows.extend(lay(version, &columns, together));
            }
        }
        rows
    }

    fn schemes(&self, version: Version, kind: Option<Signer>) -> Vec<u16> {
        match (version, kind, &self.schemes13) {
            (Version::Tls13, None, Some(schemes)) if self.share13().is_some() => {
                schemes.found.clone()
            }
            (Version::Tls12, Some(kind), _) => {
                let known = self.choices[&version].schemes.found.iter().copied();
                known.filter(|&scheme| Signer::of(scheme) == kind).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A group of TLS 1.3 that there is a share of.
    fn share13(&self) -> Option<u16> {
        let known = self.choices.get(&Version::Tls13)?.groups.found.iter().copied();
        known.clone().find(|&group| shares::constant(group).is_some())
    }

    /// The hello that asks for these members, all else whole.
    pub(in crate::probe::tls) fn hello_of(&self, row: Row) -> Option<HelloSpec> {
        let choices = self.choices.get(&row.version)?;
        let whole = choices.spec(Aim::Whole);
        let is_13 = row.version == Version::Tls13;
        let kind = row.scheme.filter(|_| !is_13).map(Signer::of);
        let suites = match row.suite {
            Some(suite) => vec![suite],
            None => choices.found(|suite| {
                (row.group.is_none() || choices.carries_groups(suite))
                    && (kind.is_none() || signer(suite) == kind)
            }),
        };
        let groups = row.group.map_or(whole.groups, |group| vec![group]);
        let schemes = row.scheme.map_or(whole.schemes, |scheme| vec![scheme]);
        let spec = choices.build(suites, groups, schemes.clone(), Vec::new());
        match row.scheme.filter(|_| is_13) {
            None => Some(spec),
            Some(_) => {
                let group = row.group.filter(|&g| shares::constant(g).is_some());
                let group = group.or_else(|| self.share13())?;
                let shares = Shares::Constant(vec![group]);
                Some(HelloSpec { groups: vec![group], schemes, shares, ..spec })
            }
        }
    }

    /// Hellos with what is not known of groups and schemes, each of a version.
    pub(in crate::probe::tls) fn complements(&self) -> Vec<(Version, HelloSpec)> {
        let offered = self.choices.iter().filter(|(_, choices)| choices.is_offered());
        let of_each = offered.flat_map(|(&version, choices)| {
            let groups = choices.without_known_groups();
            let schemes = choices.without_known_schemes();
            groups.into_iter().chain(schemes).map(move |spec| (version, spec))
        });
        of_each.chain(self.without_known_schemes13()).collect()
    }

    /// Hellos with the known suites that no current guideline allows, each of a version.
    pub(in crate::probe::tls) fn forbidden(&self) -> Vec<(Version, HelloSpec)> {
        let offered = self.choices.iter().filter(|(_, choices)| choices.is_offered());
        let of_each = offered.filter_map(|(&version, choices)| {
            let is_out = |suite| version < Version::Tls12 || !suites::is_recommended(suite);
            let suites = choices.found(is_out);
            let whole = choices.spec(Aim::Whole);
            let spec = || choices.build(suites.clone(), whole.groups, whole.schemes, Vec::new());
            (!suites.is_empty()).then(|| (version, spec()))
        });
        of_each.collect()
    }

    fn without_known_schemes13(&self) -> Option<(Version, HelloSpec)> {
        let version = Version::Tls13;
        let known = self.schemes13.as_ref().filter(|schemes| schemes.lost.is_none())?;
        let all = names::schemes_for(version, names::Kinds::Any);
        let schemes: Vec<u16> = all.into_iter().filter(|s| !known.found.contains(s)).collect();
        let first = *schemes.first()?;
        let row = Row { version, suite: None, group: None, scheme: Some(first) };
        Some((version, HelloSpec { schemes, ..self.hello_of(row)? }))
    }

    /// Whether an answer shows nothing new of its version.
    pub(in crate::probe::tls) fn knows(&self, spec: &HelloSpec, answer: &Answer) -> bool {
        let Some(choices) = self.choices.get(&answer.version).filter(|c| c.is_offered()) else {
            return self.board.is_offered(answer.version);
        };
        let has = |known: &[u16], shown: Option<u16>| shown.is_none_or(|m| known.contains(&m));
        let is_13 = answer.version == Version::Tls13;
        let is_retry = answer.hello.as_ref().is_none_or(|hello| hello.is_retry);
        // Signed by one of those offered, whichever it was.
        let signs = !is_13 || is_retry || {
            let known = self.schemes13.as_ref().filter(|schemes| schemes.lost.is_none());
            known.is_none_or(|known| spec.schemes.iter().any(|s| known.found.contains(s)))
        };
        has(&choices.suites.found, answer.suite())
            && has(&choices.groups.found, answer.group())
            && has(&choices.schemes.found, answer.key_exchange.scheme)
            && signs
    }

    /// Takes that a known member was refused before its version was asked for anew.
    pub(in crate::probe::tls) fn deny(&mut self, row: Row) {
        let Some(choices) = self.choices.get_mut(&row.version) else { return };
        if let Some(suite) = row.suite {
            choices.suites.deny(suite);
        }
        if let Some(group) = row.group {
            choices.groups.deny(group);
        }
        if let Some(scheme) = row.scheme {
            choices.schemes.deny(scheme);
        }
    }

    /// Leaves one version to be asked for anew.
    pub(in crate::probe::tls) fn forget(&mut self, version: Version, alpn: &[&[u8]]) {
        let shape = self.known_shape.unwrap_or(super::Shape::Full).known_for(version);
        let own = if version == Version::Tls12 { alpn } else { &[] };
        let alpn: Vec<Vec<u8>> = own.iter().map(|protocol| protocol.to_vec()).collect();
        self.choices.insert(version, Choices::new(version, shape, &alpn));
        if version == Version::Tls13 {
            self.schemes13 = None;
        }
        self.board.forget(version);
    }
}

/// Lays columns side by side, each gone round until the longest has ended; or one after the other.
fn lay(version: Version, [suites, groups, schemes]: &[Vec<u16>; 3], together: bool) -> Vec<Row> {
    let none = Row { version, suite: None, group: None, scheme: None };
    let suite = |suite: &u16| Row { suite: Some(*suite), ..none };
    let group = |group: &u16| Row { group: Some(*group), ..none };
    let scheme = |scheme: &u16| Row { scheme: Some(*scheme), ..none };
    if !together {
        let one_by_one = suites.iter().map(suite).chain(groups.iter().map(group));
        return one_by_one.chain(schemes.iter().map(scheme)).collect();
    }
    let longest = suites.len().max(groups.len()).max(schemes.len());
    let nth = |column: &[u16], at: usize| column.get(at.checked_rem(column.len())?).copied();
    (0..longest)
        .map(|at| Row {
            suite: nth(suites, at),
            group: nth(groups, at),
            scheme: nth(schemes, at),
            ..none
        })
        .collect()
}

impl Choices {
    /// A hello with every suite that is not known to be there.
    pub(in crate::probe::tls) fn without_known_suites(&self) -> HelloSpec {
        let known = |suite: &u16| self.suites.found.contains(suite);
        let others = self.suites.first(usize::MAX).into_iter().filter(|suite| !known(suite));
        let suites = others.take(self.shape.suites(self.version)).collect();
        let spec = self.spec(Aim::Whole);
        self.build(chacha_last(suites), spec.groups, spec.schemes, Vec::new())
    }

    /// The same of groups, where no curve of a certificate needs to be on offer.
    fn without_known_groups(&self) -> Option<HelloSpec> {
        let is_asked = self.version > Version::Ssl3 && self.has_rsa_groups();
        if !is_asked || !self.groups.is_closed() || !self.has_ecdhe() {
            return None;
        }
        let others = self.groups.first(usize::MAX).into_iter();
        let others: Vec<u16> = others.filter(|g| !self.groups.found.contains(g)).collect();
        let others: Vec<u16> = others.into_iter().take(self.shape.groups()).collect();
        let suites = self.found(|suite| self.carries_groups(suite));
        let schemes = self.spec(Aim::Whole).schemes;
        (!others.is_empty()).then(|| self.build(suites, others, schemes, Vec::new()))
    }

    /// The same of the schemes of TLS 1.2, those of each kind of key apart: a server may choose the
    /// suite first and then find that no scheme fits its key.
    fn without_known_schemes(&self) -> Vec<HelloSpec> {
        if self.version != Version::Tls12 || !self.schemes.is_closed() {
            return Vec::new();
        }
        let of_kind = |kind| {
            let suites = self.found(|suite| signer(suite) == Some(kind));
            let others = self.schemes.first(usize::MAX).into_iter();
            let others = others.filter(|s| Signer::of(*s) == kind);
            let others: Vec<u16> = others.filter(|s| !self.schemes.found.contains(s)).collect();
            let others: Vec<u16> = others.into_iter().take(self.shape.schemes()).collect();
            let groups = self.spec(Aim::Whole).groups;
            (!suites.is_empty() && !others.is_empty())
                .then(|| self.build(suites, groups, others, Vec::new()))
        };
        Signer::ALL.into_iter().filter_map(of_kind).collect()
    }

    /// Two known suites against the server's order, and which of them it is expected to take.
    pub(in crate::probe::tls) fn pair(&self) -> Option<(HelloSpec, u16)> {
        let plain = |suite: &u16| !is_chacha(*suite);
        let known: Vec<u16> = self.suites_in_order().into_iter().filter(plain).collect();
        let (&better, &worse) = (known.first()?, known.last().filter(|_| known.len() > 1)?);
        let expected = match self.order {
            Order::Server => better,
            Order::Client => worse,
            Order::Untested | Order::Unclear => return None,
        };
        let whole = self.spec(Aim::Whole);
        let spec = self.build(vec![worse, better], whole.groups, whole.schemes, Vec::new());
        Some((spec, expected))
    }
}
