//! The room as a whole, with a ledger and a daemon that are fakes.

mod fakes;
mod gate;
mod metrics;
mod pages;
mod server;
