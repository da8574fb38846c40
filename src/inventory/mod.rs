//! What there is to sample, and what may be contacted: scope, name resolution, discovery, and the
//! taking apart of targets into sampling points.

mod address;
pub mod discovery;
pub mod labels;
mod points;
mod resolver;
mod scope;

pub use address::{AddressClass, canonical};
pub use discovery::{
    Discovery, DiscoveryError, Format, Group, Refreshed, SourceSpec, parse_groups, vanished,
};
pub use points::{Points, fixed_addresses, points};
pub use resolver::{Families, Family, Lookup, Resolver, ResolverError, ResolverSpec};
pub use scope::{ContactKind, NameRule, Refusal, Scope, ScopeError, parse_network};
