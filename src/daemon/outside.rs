//! What bounds a contact, as the config has it now: the dialer's guard and resolver.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::future::BoxFuture;

use crate::config::Config;
use crate::inventory::{ContactKind, Resolver, Scope};
use crate::probe::dial::{Contact, Guard, Purpose, Resolve};
use crate::sample::Unknown;

/// Scope and resolver; a reload replaces them under running probes.
pub struct Bounds {
    scope: RwLock<Arc<Scope>>,
    resolver: RwLock<Arc<Resolver>>,
}

impl Bounds {
    /// Bounds to begin with.
    pub fn new(scope: Scope, resolver: Resolver) -> Self {
        Self { scope: RwLock::new(scope.into()), resolver: RwLock::new(resolver.into()) }
    }

    /// Bounds as the config has them.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        let resolver = Resolver::new(&config.resolvers, config.families)?;
        let own = config.targets.iter().flat_map(|target| &target.target.settings.dns_servers);
        let servers = resolver.servers().iter().chain(own).map(SocketAddr::ip);
        let scope = config.scope.clone().with_resolvers(servers.collect::<Vec<_>>());
        Ok(Self::new(scope, resolver))
    }

    /// Other bounds from now on.
    pub fn replace(&self, other: &Self) {
        let (scope, resolver) = (other.scope(), other.resolver());
        *self.scope.write().unwrap_or_else(PoisonError::into_inner) = scope;
        *self.resolver.write().unwrap_or_else(PoisonError::into_inner) = resolver;
    }

    /// The resolver of now.
    pub fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn scope(&self) -> Arc<Scope> {
        Arc::clone(&self.scope.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Guard for Bounds {
    fn permit(&self, contact: &Contact<'_>) -> Result<(), String> {
        let kind = match contact.purpose {
            Purpose::Delegation => ContactKind::Delegation,
            Purpose::Derived => ContactKind::Derived,
            Purpose::Resolver => ContactKind::Resolver,
            Purpose::Scan => ContactKind::Scan,
            Purpose::Target => ContactKind::Target,
        };
        self.scope()
            .permit(contact.host, contact.address, kind)
            .map_err(|refusal| refusal.to_string())
    }
}

impl Resolve for Bounds {
    fn lookup<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, Unknown>> {
        let resolver = self.resolver();
        Box::pin(async move { resolver.lookup(name).await.map(|found| found.addresses) })
    }
}
