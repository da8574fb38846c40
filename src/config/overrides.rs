//! The keys of a target, read and checked but not yet joined with the defaults.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use ipnet::IpNet;

use super::model::{DEFAULT_MAX_ADDRESSES, DEFAULT_PLAN, Ranges, RepeatSpec, TargetConfig};
use crate::schedule::Plan;
use crate::target::{
    AsnTable, ConnectTo, Credentials, Endpoint, Labels, Pins, PortSet, ProbeKind, RdapBootstrap,
    Settings, Target, TextFile,
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
    pub(crate) asn: Option<Arc<AsnTable>>,
    pub(crate) rdap: Option<Arc<RdapBootstrap>>,
    pub(crate) registration_expires: Option<NaiveDate>,
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
    pub(crate) cdn_ranges: Option<TextFile>,
    pub(crate) ports: Option<PortSet>,
    pub(crate) rate: Option<f64>,
    pub(crate) concurrency: Option<usize>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) allow_networks: Vec<IpNet>,
    pub(crate) intrusive: Option<bool>,
    pub(crate) max_addresses: Option<usize>,
    /// A target's own; nothing else has it.
    pub(crate) credentials: Option<Credentials>,
    /// No key of a target: the file's `contact` in every one.
    pub(crate) user_agent: Option<Arc<str>>,
}

impl Overrides {
    /// These over `base`: maps are joined, everything else is replaced.
    #[must_use]
    pub(crate) fn over(mut self, base: &Self) -> Self {
        macro_rules! either {
            ($($key:ident)+) => {$(
                if self.$key.is_none() {
                    self.$key.clone_from(&base.$key);
                }
            )+};
        }
        either!(probes plan profile samples agree within freshness pins connect_to server_name);
        either!(ca_file addresses dns_servers root_hints dns_port trust_anchor hosts_file);
        either!(cdn_ranges asn rdap registration_expires);
        either!(hsts_preload_list ports rate concurrency timeout intrusive max_addresses user_agent);
        for (name, value) in &base.labels {
            self.labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        for (rule, range) in &base.ranges {
            self.ranges.entry(rule.clone()).or_insert_with(|| range.clone());
        }
        self.allow_networks.splice(..0, base.allow_networks.iter().copied());
        self
    }

    /// These over `base`, for one endpoint: a probe that is only inherited is left out where it
    /// must come to nothing.
    #[must_use]
    pub(crate) fn for_endpoint(self, base: &Self, endpoint: &Endpoint) -> Self {
        let inherits = self.probes.is_none();
        let mut joined = self.over(base);
        if let Some(probes) = joined.probes.as_mut().filter(|_| inherits) {
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
        plans: &BTreeMap<Arc<str>, Arc<Plan>>,
    ) -> TargetConfig {
        let probes = self.probes.unwrap_or_else(|| applicable(&endpoint));
        let plan_name = self.plan.unwrap_or_else(|| DEFAULT_PLAN.into());
        let plan = plans.get(&plan_name).cloned().unwrap_or_default();
        let default = RepeatSpec::default();
        let repeat = RepeatSpec {
            samples: self.samples.unwrap_or(default.samples),
            agree: self.agree.unwrap_or(default.agree),
            within: self.within.unwrap_or(default.within),
        };
        let settings = Settings {
            addresses: self.addresses.unwrap_or_default(),
            asn: self.asn,
            ca_file: self.ca_file,
            concurrency: self.concurrency,
            connect_to: self.connect_to.unwrap_or_default(),
            credentials: self.credentials,
            dns_port: self.dns_port,
            dns_servers: self.dns_servers.unwrap_or_default(),
            hosts_file: self.hosts_file,
            hsts_preload_list: self.hsts_preload_list,
            cdn_ranges: self.cdn_ranges,
            intrusive: self.intrusive.unwrap_or(false),
            pins: self.pins.unwrap_or_default(),
            ports: self.ports,
            rate: self.rate,
            rdap: self.rdap,
            registration_expires: self.registration_expires,
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

const DEFAULT_PROFILE: &str = "standard";
