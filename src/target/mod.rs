//! The vocabulary of *where*: targets, endpoints, labels, sampling points and their switches.

mod asn;
mod cost;
mod credentials;
mod endpoint;
mod network;
mod pins;
mod point;
mod ports;
mod rdap;
mod settings;
mod units;

pub use asn::{AsnTable, AsnTableError, parse_asn};
pub use cost::{DEFAULT_PORTS, DRIP_BLOCKS, DRIP_TIERS};
pub use credentials::{Credentials, CredentialsError};
pub use endpoint::{Endpoint, EndpointError, Host, Scheme, StartTls};
pub use network::{NetworkError, of_network, targets_of};
pub use pins::{Expectation, PinError, PinType, Pins};
pub use point::{Labels, Point, PointKey, ProbeKind, Target, chooses};
pub use ports::{PortSet, PortSetError, Transport};
pub use rdap::{RdapBootstrap, RdapBootstrapError};
pub use settings::{ConnectTo, ConnectToError, Settings, TextFile};
pub use units::{ByteSize, Span, UnitError};
