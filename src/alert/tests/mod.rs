//! The room as a whole, against fakes on loopback and the real Alertmanager.

mod alertmanager;
mod delivery;
mod fakes;
mod simulation;
