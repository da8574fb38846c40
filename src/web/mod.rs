//! Secchi's own listener: metrics, `/probe`, health, the API and a plain start page. It reads the
//! ledger and acts only by a [`Command`] sent to the daemon.

mod access;
mod api;
mod basic;
mod command;
mod config;
mod error;
mod evidence;
mod exposition;
mod gate;
mod health;
mod openapi;
mod origin;
mod page;
mod probe;
mod router;
mod routes;
mod security;
mod server;
mod site;
mod tls;

#[cfg(test)]
mod tests;

pub use access::{Right, Token};
pub use command::{
    Command, NewBaseline, NewDeployment, NewException, ProbeAnswer, Records, Refusal, Reply,
    TargetQuery,
};
pub use config::{WebConfig, WebConfigError};
pub use security::Security;
pub use server::serve;
pub use site::{Settings, Site};
