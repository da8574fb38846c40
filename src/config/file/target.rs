//! A target, the defaults, and the discovery blocks: each takes every key of a target.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{BasicAuth, HttpConfig, Many};
use crate::config::at::At;
use crate::schedule::Rate;
use crate::target::{Pins, ProbeKind};

/// Spans are lost in what serde flattens, so the shared keys are written into each struct.
macro_rules! with_target_keys {
    ($($(#[$meta:meta])* struct $name:ident { $($(#[$own_meta:meta])* $own:ident: $own_type:ty,)* })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[schemars(deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$own_meta])* pub(crate) $own: $own_type,)*
            /// The probes to sample with.
            #[serde(default)]
            #[schemars(with = "Option<Vec<ProbeKind>>")]
            pub(crate) probes: Option<Many>,
            /// The name of a plan.
            #[serde(default)]
            pub(crate) plan: Option<At<String>>,
            /// The rule profiles.
            #[serde(default)]
            pub(crate) profile: Option<Many>,
            /// Labels: service, team, env and what else is of use.
            #[serde(default)]
            pub(crate) labels: BTreeMap<String, At<String>>,
            /// Ranges in place of a rule's own: rule, operator, value.
            #[serde(default)]
            pub(crate) ranges: BTreeMap<String, At<BTreeMap<String, At<Value>>>>,
            /// Repeat samples after a first breach.
            #[serde(default)]
            pub(crate) repeat: Option<At<Repeat>>,
            /// After what time a last known fact is stale.
            #[serde(default)]
            pub(crate) freshness: Option<At<String>>,
            /// Expected ports and records, by name or address.
            #[serde(default)]
            pub(crate) pins: Option<At<Pins>>,
            /// curl's connect-to: HOST:PORT:ADDRESS:PORT.
            #[serde(default)]
            pub(crate) connect_to: Option<Many>,
            /// The SNI, and the name that certificates are matched with.
            #[serde(default)]
            pub(crate) server_name: Option<At<String>>,
            /// PEM anchors beside the trust store.
            #[serde(default)]
            pub(crate) ca_file: Option<At<String>>,
            /// Sample only these addresses of the name.
            #[serde(default)]
            pub(crate) address: Option<Many>,
            /// Recursive servers, ADDRESS or ADDRESS:PORT.
            #[serde(default)]
            pub(crate) dns_server: Option<Many>,
            /// Root servers in named.root form.
            #[serde(default)]
            pub(crate) root_hints: Option<At<String>>,
            /// The port of every authority.
            #[serde(default)]
            pub(crate) dns_port: Option<At<u16>>,
            /// DNSKEY or DS records in presentation form.
            #[serde(default)]
            pub(crate) trust_anchor: Option<At<String>>,
            /// hosts(5) text.
            #[serde(default)]
            pub(crate) hosts_file: Option<At<String>>,
            /// Chromium's transport_security_state_static.json.
            #[serde(default)]
            pub(crate) hsts_preload_list: Option<At<String>>,
            /// Networks of content delivery, one a line: there the ports probe asks only pinned and own
            /// ports.
            #[serde(default)]
            pub(crate) cdn_ranges: Option<At<String>>,
            /// Networks and the autonomous systems that originate them, for pins by `asn`: lines of
            /// NETWORK NUMBER or FIRST LAST NUMBER.
            #[serde(default)]
            pub(crate) asn_file: Option<At<String>>,
            /// IANA's bootstrap file of RDAP (dns.json): with it registries are asked, once a day, when
            /// registrations end.
            #[serde(default)]
            pub(crate) rdap_bootstrap: Option<At<String>>,
            /// The day on which the registration of the target's domain ends, for registries that do
            /// not say.
            #[serde(default)]
            pub(crate) registration_expires: Option<At<String>>,
            /// Files of pins, or a list of them; where two differ the first stands.
            #[serde(default)]
            pub(crate) expect: Option<Many>,
            /// The ports that the ports probe asks: 80,443,8000-8099,53/udp,top:100.
            #[serde(default)]
            pub(crate) ports: Option<Many>,
            /// Connections or queries begun a second to one address: 2, or 2/s.
            #[serde(default)]
            #[schemars(with = "Option<Rate>")]
            pub(crate) rate: Option<At<String>>,
            /// Samples at once per address.
            #[serde(default)]
            pub(crate) concurrency: Option<At<u16>>,
            /// How long a sample (tls, http) or a query (ports, dns) may take.
            #[serde(default)]
            pub(crate) timeout: Option<At<String>>,
            /// Networks that this target may reach beside scope.networks.
            #[serde(default)]
            pub(crate) allow_network: Option<Many>,
            /// Allow checks that alarm an IDS.
            #[serde(default)]
            pub(crate) intrusive: Option<At<bool>>,
            /// The most addresses of a name that are sampled.
            #[serde(default)]
            pub(crate) max_addresses: Option<At<u16>>,
        }

        impl $name {
            /// The keys that every kind of target has.
            pub(crate) fn into_keys(self) -> Keys {
                Keys {
                    probes: self.probes,
                    plan: self.plan,
                    profile: self.profile,
                    labels: self.labels,
                    ranges: self.ranges,
                    repeat: self.repeat,
                    freshness: self.freshness,
                    pins: self.pins,
                    connect_to: self.connect_to,
                    server_name: self.server_name,
                    ca_file: self.ca_file,
                    address: self.address,
                    dns_server: self.dns_server,
                    root_hints: self.root_hints,
                    dns_port: self.dns_port,
                    trust_anchor: self.trust_anchor,
                    hosts_file: self.hosts_file,
                    hsts_preload_list: self.hsts_preload_list,
                    cdn_ranges: self.cdn_ranges,
                    asn_file: self.asn_file,
                    rdap_bootstrap: self.rdap_bootstrap,
                    registration_expires: self.registration_expires,
                    expect: self.expect,
                    ports: self.ports,
                    rate: self.rate,
                    concurrency: self.concurrency,
                    timeout: self.timeout,
                    allow_network: self.allow_network,
                    intrusive: self.intrusive,
                    max_addresses: self.max_addresses,
                }
            }
        }
    )+};
}

with_target_keys! {
    /// The keys that every kind of target has, and all that the defaults have.
    #[derive(Default)]
    struct Keys {}

    /// A target.
    struct Target {
        /// `host`, `host:port`, `https://host[:port]/path`, `[v6]:port`, `starttls+smtp://host:25`;
        /// with `probes: [ports]` a network too, `192.0.2.0/28`: each of its addresses (1,024 at most) is
        /// a target of its own.
        target: At<String>,
        /// A file with the value of the Authorization field, such as `Bearer …`, that the http probe
        /// sends to this target alone.
        #[serde(default)]
        authorization_file: Option<At<String>>,
        /// The same by user name and password.
        #[serde(default)]
        basic_auth: Option<At<BasicAuth>>,
    }

    /// Lists of targets in files, in Prometheus' file_sd shape. What is found has the keys below.
    struct FileSd {
        /// Glob patterns of .json, .yml and .yaml files.
        files: Vec<At<String>>,
        /// How often they are read; 30s if not said.
        #[serde(default)]
        refresh: Option<At<String>>,
    }

    /// A list of targets over HTTP, in Prometheus' http_sd shape. What is found has the keys below.
    struct HttpSd {
        /// Where.
        url: At<String>,
        /// How often it is asked for; 1m if not said.
        #[serde(default)]
        refresh: Option<At<String>>,
        /// How it is asked for.
        #[serde(default)]
        http_config: HttpConfig,
    }
}

/// Repeat samples after a first breach.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Repeat {
    /// How many.
    pub(crate) samples: Option<At<u16>>,
    /// How many of them must agree on what was missed.
    pub(crate) agree: Option<At<u16>>,
    /// Within what time.
    pub(crate) within: Option<At<String>>,
}
