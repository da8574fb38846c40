//! The keys of a target, read and checked but not yet joined with the defaults.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::model::{
    DEFAULT_EVERY, DEFAULT_MAX_ADDRESSES, DEFAULT_PLAN, PlanSpec, Ranges, RepeatSpec, TargetConfig,
};
use crate::target::{
    ConnectTo, Endpoint, Labels, Pins, PortSet, ProbeKind, Settings, Target, TextFile,
};

/// What one block says; what it does not say comes from the block below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Overrides {
    pub(crate) probes: Option<Vec<ProbeKind>>,
    pub(crate) plan: Option<Arc<str>>,
    pub(crate) profile: Option<Vec<String>>,
    pub(crate) labels: Labels,
    pub(crate) ranges: Ranges,
    pub(crate) samples: Option<u16>,
    pub(crate) agree: Option<u16>,
    pub(crate) within: Option<Duration>,
    pub(crate) freshness: Option<Duration>,
    pub(crate) pins: Option<Pins>,
    pub(crate) connect_to: Option<Vec<ConnectTo>>,
    pub(crate) server_name: Option<String>,
    pub(crate) ca_file: Option<TextFile>,
    pub(crate) addresses: Option<Vec<IpAddr>>,
    pub(crate) dns_servers: Option<Vec<SocketAddr>>,
    pub(crate) root_hints: Option<TextFile>,
    pub(crate) dns_port: Option<u16>,
    pub(crate) trust_anchor: Option<TextFile>,
    pub(crate) hosts_file: Option<TextFile>,
    pub(crate) hsts_preload_list: Option<TextFile>,
    pub(crate) ports: Option<PortSet>,
    pub(crate) rate: Option<f64>,
    pub(crate) concurrency: Option<usize>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) allow_networks: Vec<IpNet>,
    pub(crate) intrusive: Option<bool>,
    pub(crate) max_addresses: Option<usize>,
    /// No key of a target: the file's `contact` in every one.
    pub(crate) user_agent: Option<Arc<str>>,
}

impl Overrides {
    /// These over `base`: maps are joined, everything else is replaced.
    #[must_use]
    pub(crate) fn over(&self, base: &Self) -> Self {
        let this = self.clone();
        let base = base.clone();
        Self {
            probes: this.probes.or(base.probes),
            plan: this.plan.or(base.plan),
            profile: this.profile.or(base.profile),
            labels: joined(base.labels, this.labels),
            ranges: joined(base.ranges, this.ranges),
            samples: this.samples.or(base.samples),
            agree: this.agree.or(base.agree),
            within: this.within.or(base.within),
            freshness: this.freshness.or(base.freshness),
            pins: this.pins.or(base.pins),
            connect_to: this.connect_to.or(base.connect_to),
            server_name: this.server_name.or(base.server_name),
            ca_file: this.ca_file.or(base.ca_file),
            addresses: this.addresses.or(base.addresses),
            dns_servers: this.dns_servers.or(base.dns_servers),
            root_hints: this.root_hints.or(base.root_hints),
            dns_port: this.dns_port.or(base.dns_port),
            trust_anchor: this.trust_anchor.or(base.trust_anchor),
            hosts_file: this.hosts_file.or(base.hosts_file),
            hsts_preload_list: this.hsts_preload_list.or(base.hsts_preload_list),
            ports: this.ports.or(base.ports),
            rate: this.rate.or(base.rate),
            concurrency: this.concurrency.or(base.concurrency),
            timeout: this.timeout.or(base.timeout),
            allow_networks: [base.allow_networks, this.allow_networks].concat(),
            intrusive: this.intrusive.or(base.intrusive),
            max_addresses: this.max_addresses.or(base.max_addresses),
            user_agent: this.user_agent.or(base.user_agent),
        }
    }

    /// These over `base`, for one endpoint: a probe that is only inherited is left out where it
    /// must come to nothing.
    #[must_use]
    pub(crate) fn for_endpoint(&self, base: &Self, endpoint: &Endpoint) -> Self {
        let mut joined = self.over(base);
        if self.probes.is_none()
            && let Some(probes) = &mut joined.probes
        {
            let fitting = applicable(endpoint);
            probes.retain(|probe| fitting.contains(probe));
        }
        joined
    }

    /// The target that these describe. A plan that is not among `plans` counts as the built-in
    /// one; the caller has reported it.
    pub(crate) fn target(
        self,
        endpoint: Endpoint,
        plans: &BTreeMap<Arc<str>, PlanSpec>,
    ) -> TargetConfig {
        let probes = self.probes.unwrap_or_else(|| applicable(&endpoint));
        let plan_name = self.plan.clone().unwrap_or_else(|| DEFAULT_PLAN.into());
        let plan = plans.get(&plan_name).cloned().unwrap_or(PlanSpec::Every(DEFAULT_EVERY));
        let default = RepeatSpec::default();
        let repeat = RepeatSpec {
            samples: self.samples.unwrap_or(default.samples),
            agree: self.agree.unwrap_or(default.agree),
            within: self.within.unwrap_or(default.within),
        };
        let settings = Settings {
            addresses: self.addresses.unwrap_or_default(),
            ca_file: self.ca_file,
            concurrency: self.concurrency,
            connect_to: self.connect_to.unwrap_or_default(),
            dns_port: self.dns_port,
            dns_servers: self.dns_servers.unwrap_or_default(),
            hosts_file: self.hosts_file,
            hsts_preload_list: self.hsts_preload_list,
            intrusive: self.intrusive.unwrap_or(false),
            pins: self.pins.unwrap_or_default(),
            ports: self.ports,
            rate: self.rate,
            root_hints: self.root_hints,
            server_name: self.server_name,
            timeout: self.timeout,
            trust_anchor: self.trust_anchor,
            user_agent: self.user_agent,
        };
        let target = Target {
            labels: Arc::new(self.labels),
            settings: Arc::new(settings),
            ..Target::new(endpoint)
        };
        TargetConfig {
            target: Arc::new(target),
            probes,
            plan_name,
            plan,
            profile: self.profile.unwrap_or_else(|| vec![DEFAULT_PROFILE.to_owned()]),
            ranges: self.ranges,
            repeat,
            freshness: self.freshness,
            max_addresses: self.max_addresses.unwrap_or(DEFAULT_MAX_ADDRESSES),
        }
    }
}

/// The probes that can say something of a target at all: what is only inherited is not sampled
/// where it must come to nothing.
pub(crate) fn applicable(endpoint: &Endpoint) -> Vec<ProbeKind> {
    use crate::target::Scheme;
    ProbeKind::ALL
        .into_iter()
        .filter(|probe| match probe {
            ProbeKind::Http => !matches!(endpoint.scheme, Some(Scheme::StartTls(_) | Scheme::Tls)),
            ProbeKind::Tls => endpoint.scheme != Some(Scheme::Http),
            // A bare address stands for the name server itself, which must be meant.
            ProbeKind::Dns => endpoint.host.name().is_some(),
            ProbeKind::Ports => true,
        })
        .collect()
}

fn joined<K: Ord, V>(mut base: BTreeMap<K, V>, over: BTreeMap<K, V>) -> BTreeMap<K, V> {
    base.extend(over);
    base
}

const DEFAULT_PROFILE: &str = "standard";
