//! What ports runs came upon, held against the targets that somebody named.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use super::glimpsed::{Place, Sighting};
use super::{Change, Member, Population};
use crate::sampler::Entry;
use crate::target::{Endpoint, Host, Point, PointKey, ProbeKind, Target};

impl Population {
    /// Brings what ports runs came upon in step with the targets: those of `touched` ones are put
    /// again, and what others stand for goes.
    pub(super) fn review_glimpsed(&mut self, touched: &HashSet<Arc<str>>, change: &mut Change) {
        if self.glimpsed.keys().next().is_none() {
            return;
        }
        let configs = self.members.values().map(|member| &member.wanted.config);
        let named = configs.filter(|config| config.looks_at_tls());
        let named: HashSet<(&Host, u16)> = named
            .map(|config| &config.target.endpoint)
            .map(|endpoint| (&endpoint.host, endpoint.port_or_default()))
            .collect();
        let members = &self.members;
        let gives = |giver: &str| members.get(giver).filter(|member| member.gives_ports());
        let gone = self.glimpsed.take(|_, place| {
            gives(&place.giver).is_none() || named.contains(&(&place.host, place.port))
        });
        // Under its own name somebody looks at it from now on.
        let owned = |key: &PointKey| members.values().any(|member| member.points.contains(key));
        change.target_removed.extend(gone.into_iter().filter(|key| !owned(key)));
        for (_, place) in self.glimpsed.places().filter(|(_, place)| touched.contains(&place.giver))
        {
            let member = gives(&place.giver);
            change.put.extend(member.map(|member| member.at_port(place.address, place.port)));
        }
    }

    /// Takes in what a ports run saw of TLS on ports that nobody named.
    pub(in crate::daemon) fn sighted(&mut self, sighting: &Sighting, now: Instant) -> Change {
        let mut change = Change::default();
        let member = self.members.get(&sighting.giver).filter(|member| member.gives_ports());
        let Some(member) = member else {
            // The target went while the run was under way.
            let target = sighting.giver.parse::<Endpoint>().map(Target::new);
            let names = |port| target.as_ref().ok().map(|target| target.at_port(port).name);
            let keys = sighting.seen.iter().filter_map(|(address, port)| {
                Some(PointKey::new(&names(*port)?, ProbeKind::Tls, Some(*address)))
            });
            let named = self.keys();
            change.target_removed = keys.filter(|key| !named.contains(key)).collect();
            return change;
        };
        for (address, port) in &sighting.seen {
            let entry = member.at_port(*address, *port);
            let (key, name) = (entry.point.key(), &entry.point.target.name);
            if self.members.get(name).is_some_and(|named| named.points.contains(&key)) {
                continue;
            }
            let host = member.wanted.config.target.endpoint.host.clone();
            let is_named = |member: &Member| {
                let config = &member.wanted.config;
                let at = &config.target.endpoint;
                config.looks_at_tls() && at.host == host && at.port_or_default() == *port
            };
            if !self.glimpsed.knows(key) && self.members.values().any(is_named) {
                // It was named while the run was under way.
                change.target_removed.push(key);
                continue;
            }
            let giver = Arc::clone(&sighting.giver);
            let place = Place { giver, host, address: *address, port: *port, seen: now };
            if self.glimpsed.see(key, place) {
                change.put.push(entry);
            }
        }
        let gone = self.glimpsed.settle(sighting, now);
        (change.port_closed, change.address_gone) = (gone.ports, gone.addresses);
        change
    }

    /// Takes up again what ports runs came upon before the start: tls points that no target names,
    /// on a port of a host whose ports are looked at.
    pub(in crate::daemon) fn adopt<'a>(
        &mut self,
        points: impl Iterator<Item = (&'a Arc<str>, IpAddr)>,
        now: Instant,
    ) -> Change {
        let givers = self.members.iter().filter(|(_, member)| member.gives_ports());
        let givers: HashMap<Host, Arc<str>> = givers
            .map(|(name, member)| {
                (member.wanted.config.target.endpoint.host.clone(), Arc::clone(name))
            })
            .collect();
        let mut change = Change::default();
        for (target, address) in points {
            let Ok(Endpoint { scheme: None, host, port: Some(port), .. }) = target.parse() else {
                continue;
            };
            let Some(giver) = givers.get(&host).filter(|_| !self.members.contains_key(target))
            else {
                continue;
            };
            let seen = Sighting {
                giver: Arc::clone(giver),
                seen: vec![(address, port)],
                addresses: Value::Null,
            };
            change.put.extend(self.sighted(&seen, now).put);
        }
        change
    }
}

impl Member {
    /// Whether ports runs of it may come upon TLS.
    fn gives_ports(&self) -> bool {
        self.wanted.config.probes.contains(&ProbeKind::Ports)
    }

    /// The tls point of a port that such a run came upon.
    fn at_port(&self, address: IpAddr, port: u16) -> Entry {
        let target = Arc::new(self.wanted.config.target.at_port(port));
        self.entry(Point { target, probe: ProbeKind::Tls, address: Some(address) })
    }
}
